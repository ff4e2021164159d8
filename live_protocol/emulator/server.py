"""The emulated service: one `Emulator` for a server, one `EmulatedConnection` for each client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Literal, final

import attrs

from live_protocol._tables import LinkState, Phase, TurnState
from live_protocol.closing import CloseInfo
from live_protocol.connection import LiveConnection
from live_protocol.emulator.actions import Model
from live_protocol.emulator.conversation import Conversation
from live_protocol.emulator.options import EmulatorOptions
from live_protocol.emulator.parrot import Parrot
from live_protocol.emulator.session import ClientEvent, EmulatedSession
from live_protocol.emulator.shared import Shared
from live_protocol.emulator.store import Ids, Store, Token, Tokens
from live_protocol.emulator.validation import (
    INVALID,
    NO_SESSION,
    STILL_ALIVE,
    TOKEN_SPENT,
    Refusal,
    Rejection,
    check_key,
    check_request,
    check_setup,
)
from live_protocol.endpoint import Credentials, Route, credentials, match_target
from live_protocol.errors import MessageTooLarge
from live_protocol.events import (
    ClientContentReceived,
    ContextUpdateReceived,
    Event,
    Need,
    RealtimeInputReceived,
    SetupReceived,
    ToolResponseReceived,
    UpgradeRequested,
)
from live_protocol.limits import Limits
from live_protocol.link import Wants
from live_protocol.messages import (
    AuthToken,
    AuthTokenCreateRequest,
    Backend,
    FunctionCall,
    LiveClientSetup,
    LiveServerMessage,
)
from live_protocol.timing import Timeouts

__all__ = ["EmulatedConnection", "Emulator", "describe_speech"]

_LAST_WORDS = Wants(read=False, write=True, half_close=False, close=False)
_JSON = (("Content-Type", "application/json; charset=UTF-8"),)


def describe_speech(pcm: bytes, rate: int) -> str:
    """The default transcript: how long it was, for example ``[2.4 s of speech]``.

    Args:
        pcm: Mono 16-bit PCM.
        rate: Its rate, in Hz.
    """
    return f"[{len(pcm) / 2 / rate:.1f} s of speech]"


@final
class Emulator:
    """What all connections of one emulated server share: handles, tokens, counters, behaviour.

    It is pure: no socket, no clock, no thread. Use it and its connections from one thread.

    Args:
        model: Who answers; the parrot if left out, unless ``options.parrot`` is off.
        options: Behaviour; the defaults if left out.
        transcriber: Makes the transcript of an utterance from mono 16-bit PCM and its rate in Hz.
        entropy: Source of random bytes for ids, handles and tokens; without it they count up, the same in every run.
        limits: Bounds of each connection.
        timeouts: Durations of each connection; the service itself sends no pings (wire.md section 5).
        compression: Whether to accept permessage-deflate.

    Attributes:
        options: Behaviour.
    """

    def __init__(
        self,
        model: Model | None = None,
        *,
        options: EmulatorOptions | None = None,
        transcriber: Callable[[bytes, int], str] = describe_speech,
        entropy: Callable[[int], bytes] | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        compression: bool = False,
    ) -> None:
        self.options = options or EmulatorOptions()
        ids = Ids(entropy)
        self._tokens = Tokens(ids)
        self._shared = Shared(
            options=self.options,
            model=model or Parrot(),
            answers=model is not None or self.options.parrot,
            transcriber=transcriber,
            ids=ids,
            store=Store(ids, self.options.max_handles),
        )
        self._limits = limits
        self._timeouts = timeouts or Timeouts(ping_interval=None)
        self._compression = compression

    def connection(self) -> EmulatedConnection:
        """The server's end of one more connection."""
        inner = LiveConnection.server(limits=self._limits, timeouts=self._timeouts, compression=self._compression)
        return EmulatedConnection(inner, self._shared, self._tokens)

    def mint_token(self, request: AuthTokenCreateRequest, now: float, *, wall: datetime | None = None) -> AuthToken:
        """Mint an ephemeral token (wire.md section 2).

        Args:
            request: Body of the REST call.
            now: Reading of the clock that the connections' `advance` is told.
            wall: What time it is at that reading; needed where the request names times.

        Returns:
            The reply; its name is the credential.

        Raises:
            InvalidMessage: A time that is not ahead, or by more than 20 hours, or without ``wall``; negative uses; a
                mask of unknown fields, or without a setup. Nothing was minted.
        """
        return self._tokens.mint(request, now, wall)


class _Port:
    """How a session reaches its connection; once that is over, nothing here does anything.

    Attributes:
        tail: What was written before a drop, and not yet taken.
    """

    __slots__ = ("_inner", "tail")

    def __init__(self, inner: LiveConnection) -> None:
        self._inner = inner
        self.tail = b""

    def send(self, message: LiveServerMessage) -> None:
        if self._inner.state is LinkState.OPEN:
            try:
                self._inner.send(message)
            except MessageTooLarge:
                self._inner.close(1011, "Internal error occurred.")

    def refuse(self, refusal: Refusal) -> None:
        if self._inner.state is LinkState.OPEN:
            self._inner.close(refusal.code, refusal.reason)

    def drop(self) -> None:
        self.tail = self._inner.data_to_send()
        self._inner.transport_failed("dropped on purpose")


@attrs.frozen(kw_only=True)
class _Accepted:
    """A setup that was accepted and not yet answered.

    Attributes:
        setup: The setup that counts.
        conversation: What it goes on with.
        ready_at: Clock reading at which it is answered; None means never.
    """

    setup: LiveClientSetup
    conversation: Conversation
    ready_at: float | None


@final
class EmulatedConnection:
    """The server's end of one connection, with the verbs of `LiveConnection`; it answers by itself.

    Drive it like any connection. `next_event` lets the emulation react to the event it gives, so an event that nobody
    takes is not answered; `advance` does what the emulation has planned. What a model raises comes out of these two.
    """

    __slots__ = (
        "_accepted",
        "_credentials",
        "_early",
        "_inner",
        "_now",
        "_port",
        "_route",
        "_session",
        "_shared",
        "_tokens",
        "_upgraded",
    )

    def __init__(self, inner: LiveConnection, shared: Shared, tokens: Tokens) -> None:
        """Use `Emulator.connection` instead."""
        self._inner = inner
        self._shared = shared
        self._tokens = tokens
        self._port = _Port(inner)
        self._now: float | None = None
        self._route = Route(backend=Backend.GEMINI, version="v1beta", method="BidiGenerateContent", prefix="")
        self._credentials = Credentials()
        self._accepted: _Accepted | None = None
        self._upgraded = False
        self._session: EmulatedSession | None = None
        self._early: list[ClientEvent] = []

    def __repr__(self) -> str:
        return f"<EmulatedConnection {self.state} {self.phase} turn={self.turn}>"

    # --- inputs -------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Tell the time; what the emulation has planned up to it happens.

        Args:
            now: Reading of any monotonic clock, in seconds. A reading before the last one counts as the last one.
        """
        self._inner.advance(now)
        if self._now is None:
            self._start_clock(now)
        self._now = now = max(self._now or now, now)
        accepted = self._accepted
        if accepted is not None and accepted.ready_at is not None and accepted.ready_at <= now:
            self._begin(accepted, accepted.ready_at)
        if self._session is not None and self._open:
            self._session.advance(now)

    def _start_clock(self, now: float) -> None:
        """What was planned before the first reading was planned from 0."""
        if self._accepted is not None and self._accepted.ready_at is not None:
            self._accepted = attrs.evolve(self._accepted, ready_at=self._accepted.ready_at + now)
        if self._session is not None:
            self._session.shift(now)

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """See `LiveConnection.receive_data`."""
        self._inner.receive_data(data)

    def receive_eof(self) -> None:
        """See `LiveConnection.receive_eof`."""
        self._inner.receive_eof()

    def transport_failed(self, error: BaseException | str) -> None:
        """See `LiveConnection.transport_failed`."""
        self._port.tail = b""
        self._inner.transport_failed(error)

    # --- outputs ------------------------------------------------------------------------------------------------

    def next_event(self) -> Event | Literal[Need.DATA]:
        """The next event, to which the emulation has reacted, or `Need.DATA`."""
        event = self._inner.next_event()
        if event is not Need.DATA:
            self._react(event)
        return event

    def events(self) -> Iterator[Event]:
        """Events until `Need.DATA`; safe to abandon and to take up again."""
        while (event := self.next_event()) is not Need.DATA:
            yield event

    def data_to_send(self) -> bytes:
        """All bytes that wait to be written; see `LiveConnection.data_to_send`."""
        tail, self._port.tail = self._port.tail, b""
        return tail + self._inner.data_to_send()

    def next_deadline(self) -> float | None:
        """When `advance` has something to do at the latest: of the connection, or of the emulation."""
        times = [self._inner.next_deadline()]
        if self._now is not None and self._open:
            times.append(self._accepted.ready_at if self._accepted is not None else None)
            times.append(self._session.due if self._session is not None else None)
        return min((time for time in times if time is not None), default=None)

    @property
    def wants(self) -> Wants:
        """What the transport should do now; after a drop: close it, without a close frame."""
        if self._port.tail:
            return _LAST_WORDS
        return self._inner.wants

    # --- commands -----------------------------------------------------------------------------------------------

    def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Accept the upgrade. The emulation has done so by itself, then this does nothing.

        Args:
            headers: Not used: the response is on its way.

        Raises:
            IllegalInState: Nothing was requested.
            StaleOperation: The emulation has refused the upgrade. In both cases nothing has changed.
        """
        if not self._upgraded:
            self._inner.accept(headers)

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None:
        """Refuse the upgrade: always too late, since the emulation answers when it gives `UpgradeRequested`.

        Raises:
            IllegalInState: Nothing was requested, or the emulation has accepted it.
            StaleOperation: The emulation has refused it. In both cases nothing has changed.
        """
        self._inner.reject(status, headers, body)

    def send(self, message: LiveServerMessage) -> None:
        """Send a message besides what the emulation sends; see `LiveConnection.send`.

        Raises:
            LocalProtocolError: As there.
            StaleOperation: As there.
        """
        self._inner.send(message)

    def ping(self, payload: bytes = b"") -> None:
        """See `LiveConnection.ping`."""
        self._inner.ping(payload)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """See `LiveConnection.close`."""
        self._inner.close(code, reason)

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> LinkState:
        """State of the WebSocket connection."""
        return self._inner.state

    @property
    def phase(self) -> Phase:
        """How far the session has come."""
        return self._inner.phase

    @property
    def turn(self) -> TurnState:
        """Where the model is in its turn."""
        return self._inner.turn

    @property
    def pending_tool_calls(self) -> tuple[FunctionCall, ...]:
        """Calls made on this connection that await a response."""
        return self._inner.pending_tool_calls

    @property
    def close_info(self) -> CloseInfo | None:
        """What the `ConnectionClosed` event said, None before it."""
        return self._inner.close_info

    @property
    def buffered_in(self) -> int:
        """Bytes received that no event has told of yet."""
        return self._inner.buffered_in

    @property
    def buffered_out(self) -> int:
        """Bytes that wait in `data_to_send`."""
        return len(self._port.tail) + self._inner.buffered_out

    @property
    def latency(self) -> float | None:
        """Seconds the newest pong took, None before the first."""
        return self._inner.latency

    # --- the emulation ------------------------------------------------------------------------------------------

    @property
    def _open(self) -> bool:
        return self._inner.state is LinkState.OPEN

    def _react(self, event: Event) -> None:
        match event:
            case UpgradeRequested() if self._inner.state is LinkState.CONNECTING:
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
            case _:
                pass

    def _upgrade(self, event: UpgradeRequested) -> None:
        self._credentials = credentials(event.target, event.headers)
        route = check_request(match_target(event.target), self._credentials)
        if isinstance(route, Rejection):
            self._inner.reject(route.status, _JSON, route.body)
        else:
            self._route = route
            self._upgraded = True
            self._inner.accept()

    def _set_up(self, setup: LiveClientSetup) -> None:
        now, delay = self._now or 0.0, self._shared.options.setup_delay
        judged = self._judged(setup, now)
        if isinstance(judged, Refusal):
            self._port.refuse(judged)
            return
        setup, conversation = judged
        ready_at = None if delay is None else now + delay
        self._accepted = _Accepted(setup=setup, conversation=conversation, ready_at=ready_at)
        if delay == 0:
            self._begin(self._accepted, now)

    def _judged(self, setup: LiveClientSetup, now: float) -> tuple[LiveClientSetup, Conversation] | Refusal:
        """What becomes of a setup: credential first, then its content, then what it wants to resume."""
        options = self._shared.options
        token: Token | None = None
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
        refused = check_setup(setup, self._route, options)
        if refused is not None:
            return refused
        if handle:
            resumed = self._resumed(setup, handle)
            return resumed if isinstance(resumed, Refusal) else (setup, resumed)
        if token is not None:
            token.use()
        return setup, Conversation(model=setup.model or "", alive=self._is_alive)

    def _resumed(self, setup: LiveClientSetup, handle: str) -> Conversation | Refusal:
        found = self._shared.store.find(handle)
        if found is None:
            return NO_SESSION
        conversation, length = found
        if conversation.alive():
            return STILL_ALIVE
        if conversation.model != setup.model:
            return INVALID
        del conversation.history[length:]
        conversation.alive = self._is_alive
        return conversation

    def _is_alive(self) -> bool:
        return self._open

    def _begin(self, accepted: _Accepted, now: float) -> None:
        """Complete the setup, then take up what came in the meantime."""
        self._accepted = None
        if not self._open:
            return
        backend, session_id = self._route.backend, None
        if backend is Backend.VERTEX:
            session_id = self._shared.options.session_id(self._shared.ids.count("session"))
        self._inner.send_setup_complete(session_id)
        self._session = EmulatedSession(
            accepted.setup, backend, accepted.conversation, self._shared, port=self._port, now=now
        )
        self._session.start()
        early, self._early = self._early, []
        for event in early:
            self._react(event)
