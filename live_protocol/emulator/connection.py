"""One connection of the emulated service: upgrade, setup, and the hand-over to a session."""

from __future__ import annotations

import abc
from typing import Any, TypeVar

import attrs

from live_protocol.connection.base import BaseConnection
from live_protocol.connection.wrappers import AutomaticConnection
from live_protocol.emulator.context import Port, ServerContext
from live_protocol.emulator.memory import ConversationMemory
from live_protocol.emulator.session import ClientEvent, EmulatedSession
from live_protocol.emulator.store import StoredToken, TokenStore
from live_protocol.emulator.validation import (
    INVALID,
    NO_SESSION,
    STILL_ALIVE,
    TOKEN_SPENT,
    HttpRefusal,
    SessionRefusal,
    check_key,
    check_request,
    validate_setup,
)
from live_protocol.endpoint import Credentials, Route, credentials, match_target
from live_protocol.events import (
    ClientContentReceived,
    ConnectionClosed,
    ContextUpdateReceived,
    Event,
    RealtimeInputReceived,
    SetupReceived,
    ToolResponseReceived,
    UpgradeRequested,
)
from live_protocol.messages import Backend, LiveClientSetup
from live_protocol.states import ConnectionState

_JSON = (("Content-Type", "application/json; charset=UTF-8"),)

M = TypeVar("M", bound=BaseConnection[Any])


@attrs.frozen(kw_only=True)
class _Accepted:
    """An accepted setup without an answer yet.

    Attributes:
        setup: The setup, after a token has replaced its locked fields.
        conversation: The conversation that it begins or resumes.
        ready_at: Clock reading of the answer; None means never.
    """

    setup: LiveClientSetup
    conversation: ConversationMemory
    ready_at: float | None


class BaseEmulatedConnection(AutomaticConnection[M]):
    """The common part of `EmulatedConnection` and `EmulatedMessageConnection`."""

    def __init__(self, inner: M, context: ServerContext, tokens: TokenStore) -> None:
        """Use `Emulator` instead."""
        super().__init__(inner)
        self._context = context
        self._tokens = tokens
        self._port = Port(inner, self._drop)
        self._now: float | None = None
        self._route = Route(backend=Backend.GEMINI, version="v1beta", method="BidiGenerateContent", prefix="")
        self._credentials = Credentials()
        self._accepted: _Accepted | None = None
        self._session: EmulatedSession | None = None
        self._early: list[ClientEvent] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state} {self.phase} turn={self.turn}>"

    @abc.abstractmethod
    def _drop(self) -> None:
        """Break the transport; earlier messages still leave."""

    # --- inputs -------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Move the clock, and do everything that is due by then.

        Args:
            now: Reading of any monotonic clock, in seconds. An earlier reading than the last one changes nothing.
        """
        self.machine.advance(now)
        if self._now is None:
            self._start_clock(now)
        self._now = now = max(self._now or now, now)
        accepted = self._accepted
        if accepted is not None and accepted.ready_at is not None and accepted.ready_at <= now:
            self._begin(accepted, accepted.ready_at)
        if self._session is not None and self._open:
            self._session.advance(now)

    def _start_clock(self, now: float) -> None:
        """Shift the times that were set before the first reading, when the clock stood at 0."""
        if self._accepted is not None and self._accepted.ready_at is not None:
            self._accepted = attrs.evolve(self._accepted, ready_at=self._accepted.ready_at + now)
        if self._session is not None:
            self._session.shift(now)

    # --- outputs ------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """The time of the next `advance` that the connection or the emulation needs, or None."""
        times = [self.machine.next_deadline()]
        if self._now is not None and self._open:
            times.append(self._accepted.ready_at if self._accepted is not None else None)
            times.append(self._session.due if self._session is not None else None)
        return min((time for time in times if time is not None), default=None)

    # --- the emulation ------------------------------------------------------------------------------------------

    @property
    def _open(self) -> bool:
        return self.machine.state is ConnectionState.OPEN

    def _react(self, event: Event) -> None:
        match event:
            case UpgradeRequested() if self.machine.state is ConnectionState.CONNECTING:
                self._upgrade(event)
            case SetupReceived(setup=setup) if self._open:
                self._set_up(setup)
            case (
                ClientContentReceived() | RealtimeInputReceived() | ToolResponseReceived() | ContextUpdateReceived()
            ) if self._open:
                if self._session is not None:
                    self._session.handle(event)
                elif self._accepted is not None and self._accepted.ready_at is not None:
                    self._early.append(event)
            case ConnectionClosed() if self._session is not None:
                self._session.stop()
            case _:
                pass

    def _upgrade(self, event: UpgradeRequested) -> None:
        self._credentials = credentials(event.target, event.headers)
        route = check_request(match_target(event.target), self._credentials)
        if isinstance(route, HttpRefusal):
            self.machine.reject(route.status, _JSON, route.body)
        else:
            self._route = route
            self._accept()

    def _set_up(self, setup: LiveClientSetup) -> None:
        now, delay = self._now or 0.0, self._context.options.setup_delay
        decision = self._decide(setup, now)
        if isinstance(decision, SessionRefusal):
            self._port.refuse(decision)
            return
        setup, conversation = decision
        ready_at = None if delay is None else now + delay
        self._accepted = _Accepted(setup=setup, conversation=conversation, ready_at=ready_at)
        if delay == 0:
            self._begin(self._accepted, now)

    def _decide(
        self, setup: LiveClientSetup, now: float
    ) -> tuple[LiveClientSetup, ConversationMemory] | SessionRefusal:
        """Check a setup: the credential first, then the content, then the session to resume."""
        options = self._context.options
        token: StoredToken | None = None
        handle = setup.session_resumption.handle if setup.session_resumption is not None else None
        if self._route.backend is Backend.GEMINI:
            refused = check_key(self._credentials, options)
            if refused is not None:
                return refused
            if self._credentials.kind == "ephemeral_token":
                token = self._tokens.find(self._credentials.value or "")
                if token is None or not token.usable(now, resuming=bool(handle)):
                    return TOKEN_SPENT
                setup = token.locked(setup)
        refused = validate_setup(setup, self._route, options)
        if refused is not None:
            return refused
        if handle:
            resumed = self._resume(setup, handle)
            return resumed if isinstance(resumed, SessionRefusal) else (setup, resumed)
        if token is not None:
            token.use()
        return setup, ConversationMemory(model=setup.model or "", alive=self._is_alive, max_history=options.max_history)

    def _resume(self, setup: LiveClientSetup, handle: str) -> ConversationMemory | SessionRefusal:
        conversation = self._context.store.find(handle)
        if conversation is None:
            return NO_SESSION
        if conversation.alive():
            return STILL_ALIVE
        if conversation.model != setup.model:
            return INVALID
        self._context.store.rewind(handle)
        conversation.alive = self._is_alive
        return conversation

    def _is_alive(self) -> bool:
        return self._open

    def _begin(self, accepted: _Accepted, now: float) -> None:
        """Complete the setup, then react to messages that came in the meantime."""
        self._accepted = None
        if not self._open:
            return
        backend, session_id = self._route.backend, None
        if backend is Backend.VERTEX:
            session_id = self._context.options.session_id(self._context.ids.count("session"))
        self.machine.send_setup_complete(session_id)
        self._session = EmulatedSession(
            accepted.setup, backend, accepted.conversation, self._context, port=self._port, now=now
        )
        self._session.start()
        early, self._early = self._early, []
        for event in early:
            self._react(event)
