"""The inside of `PersistentConnection`: what happens on its connections and between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias, final

import attrs

from live_protocol import events as ev
from live_protocol.close_info import CloseInfo
from live_protocol.codec.codec import Codec
from live_protocol.connection.live_connection import LiveConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import (
    AlreadyClosed,
    ConnectionClosing,
    IllegalInState,
    InvalidMessage,
    LiveProtocolError,
    RemoteProtocolError,
)
from live_protocol.events import Event, ReconnectReason
from live_protocol.limits import Limits
from live_protocol.messages import (
    ActivityStart,
    LiveClientMessage,
    LiveClientRealtimeInput,
    LiveClientSetup,
    SessionResumptionConfig,
)
from live_protocol.reconnect.client_input import ClientInput
from live_protocol.reconnect.continuation import send_encoded, take_over
from live_protocol.reconnect.outbox import OutboxEntry
from live_protocol.reconnect.policy import LateToolResults, ReconnectPolicy
from live_protocol.reconnect.reconnector import Decision, DialAgain, GiveUp, Reconnector
from live_protocol.reconnect.snapshot import Snapshot, setup_digest
from live_protocol.session.commands import ClientCommands
from live_protocol.session.live_session import LiveSession
from live_protocol.session.message_kinds import is_manual
from live_protocol.session.profiles import ModelProfile, audio_gate, supports_scheduling
from live_protocol.session.resumption import Resumption
from live_protocol.session.tool_calls import ToolCallTracker, TrackedToolCall, key_of
from live_protocol.session.usage import Usage
from live_protocol.states import ConnectionState, TurnState
from live_protocol.timing import Deadlines, Timeouts
from live_protocol.websocket import endings
from live_protocol.websocket.handshake import HandshakeRequest
from live_protocol.websocket.link import Observer, WebSocketLink

__all__ = ["REACTIONS", "DialRequest", "EndpointSource", "PersistentMachine", "Settings", "with_resumption"]

EndpointSource: TypeAlias = Endpoint | Callable[[], Endpoint]
"""An endpoint, or what makes one for each dial, for example with a fresh access token."""

_OPEN_WINDOW: Final = LiveClientMessage(realtime_input=LiveClientRealtimeInput(activity_start=ActivityStart()))


@final
@attrs.frozen(kw_only=True)
class DialRequest:
    """Open a transport now.

    Attributes:
        endpoint: Where.
        epoch: Number that the connection will have, from 1.
        attempt: Which try in a row it is; 0 for the first connection of all.
    """

    endpoint: Endpoint
    epoch: int
    attempt: int


@attrs.frozen(kw_only=True)
class Settings:
    """What every connection of the session is made with."""

    codec: Codec
    limits: Limits
    timeouts: Timeouts
    compression: bool
    strict: bool
    entropy: Callable[[int], bytes]
    observer: Observer | None = None
    profile: ModelProfile | None = None


def with_resumption(setup: LiveClientSetup, policy: ReconnectPolicy) -> LiveClientSetup:
    """The setup with resumption as the policy wants it."""
    resumption = setup.session_resumption
    if resumption is None and (policy.resumption or policy.transparent):
        resumption = SessionResumptionConfig()
    if resumption is not None and policy.transparent is not None:
        resumption = attrs.evolve(resumption, transparent=policy.transparent or None)
    return attrs.evolve(setup, session_resumption=resumption)


def with_handle(setup: LiveClientSetup, handle: str | None) -> LiveClientSetup:
    """The setup with another handle; as it is where resumption is off."""
    if setup.session_resumption is None:
        return setup
    return attrs.evolve(setup, session_resumption=attrs.evolve(setup.session_resumption, handle=handle))


class PersistentMachine(ClientCommands):
    """State of one session across its connections; the commands are `PersistentConnection`'s."""

    __slots__ = (
        "_calls",
        "_close_info",
        "_closing",
        "_config",
        "_connection",
        "_decision",
        "_dialed",
        "_draining",
        "_ended",
        "_endpoint",
        "_epoch",
        "_held",
        "_input",
        "_link",
        "_live",
        "_muted",
        "_now",
        "_orphans",
        "_queue",
        "_reconnector",
        "_request",
        "_session",
        "_settings",
        "_source",
        "_started",
    )

    def __init__(
        self,
        source: EndpointSource,
        endpoint: Endpoint,
        setup: LiveClientSetup,
        *,
        policy: ReconnectPolicy,
        settings: Settings,
        jitter: Callable[[], float],
        snapshot: Snapshot | None,
    ) -> None:
        """Use `PersistentConnection.client` or ``restore`` instead."""
        resumption = setup.session_resumption or SessionResumptionConfig()
        handle = resumption.handle if snapshot is None else snapshot.handle
        self._source = source
        self._endpoint: Endpoint | None = endpoint
        self._config = with_handle(setup, None)
        self._settings = settings
        self._reconnector = Reconnector(policy, jitter=jitter, handle=handle, accepted=snapshot is not None)
        self._calls = ToolCallTracker(
            settings.codec.backend,
            allow_unknown_ids=snapshot is None and handle is not None,
            scheduling=supports_scheduling(settings.profile),
        )
        self._input = ClientInput(
            policy,
            settings.codec,
            settings.limits,
            self._calls,
            manual=is_manual(setup),
            transparent=bool(resumption.transparent),
            gate=audio_gate(settings.profile, setup, self._calls),
        )
        self._queue: deque[Event] = deque()
        self._held: list[Event] = []  # told only if this turns out to be the end
        self._orphans: list[TrackedToolCall] = []
        self._now: float | None = None
        self._epoch = 0
        self._dialed = False  # there was a connection
        self._live = False  # there is a connection, and it has not ended
        self._started = False  # a setup was completed
        self._closing = False
        self._draining = False  # somebody else goes on with what is left
        self._ended = False
        self._muted = False  # what the last connection would still write must not go out
        self._close_info: CloseInfo | None = None
        self._decision: DialAgain = DialAgain(
            at=float("-inf"), delay=0.0, handle=handle, attempt=0, reason=ReconnectReason.DROPPED
        )
        self._request: DialRequest | None = None
        generation, usage = 0, Usage()
        if snapshot is not None:
            generation, usage = snapshot.generation, snapshot.usage
            self._restore(snapshot)
        self._connect(endpoint, generation, usage, Resumption(handle=handle))  # refuses what cannot be sent

    def _restore(self, snapshot: Snapshot) -> None:
        codec, outbox = self._settings.codec, self._input.outbox
        if snapshot.backend is not codec.backend:
            raise InvalidMessage(
                "snapshot.backend", f"the session is {snapshot.backend}'s, the endpoint {codec.backend}'s"
            )
        if snapshot.setup_digest != setup_digest(self._config, codec):
            raise InvalidMessage(
                "snapshot.setup_digest",
                "the setup is not the one of that session: restore with the same config, model and policy, "
                "or start a new session",
            )
        if snapshot.context is not None:
            try:
                self._input.context = codec.decode_client(snapshot.context).context_update
            except RemoteProtocolError:
                raise InvalidMessage("snapshot.context", "is no message") from None
        self._epoch = snapshot.epoch
        outbox.accepted = snapshot.accepted
        outbox.kept.merge(snapshot.kept)
        outbox.restore(attrs.evolve(entry) for entry in snapshot.outbox)
        self._calls.restore(snapshot.calls)
        if snapshot.unconfirmed.count:
            self._queue.append(snapshot.unconfirmed.report(ev.LossReason.UNCONFIRMED, certain=False))

    # --- between connections ------------------------------------------------------------------------------------

    @property
    def _clock(self) -> float:
        return 0.0 if self._now is None else self._now

    @property
    def _writing(self) -> bool:
        """Whether the last connection has something left to write, such as its answer to a close frame."""
        return not self._live and not self._muted and self._dialed and self._connection.wants.write

    def _connect(self, endpoint: Endpoint, generation: int, usage: Usage, resumption: Resumption) -> None:
        """Make another connection, which goes on with what the last one knew."""
        settings, handle = self._settings, resumption.handle
        setup = with_handle(self._config, handle)
        if handle is not None or self._started:
            # A session that knows its history takes none, and none is at hand for one that starts anew.
            setup = attrs.evolve(setup, history_config=None)
        if (context := self._input.context) is not None:
            setup = attrs.evolve(
                setup,
                system_instruction=context.system_instruction or setup.system_instruction,
                tools=setup.tools if context.tools is None else context.tools.tools,
            )
        deadlines = Deadlines()
        session = LiveSession.client(
            setup,
            codec=settings.codec,
            limits=settings.limits,
            timeouts=settings.timeouts,
            strict=settings.strict,
            deadlines=deadlines,
        )
        take_over(session, self._calls, generation, usage, resumption)
        self._link = WebSocketLink.client(
            HandshakeRequest(host=endpoint.host_header, target=endpoint.target, headers=endpoint.headers),
            limits=settings.limits,
            timeouts=settings.timeouts,
            compression=settings.compression,
            entropy=settings.entropy,
            observer=settings.observer,
            deadlines=deadlines,
        )
        self._session = session
        self._connection = LiveConnection(self._link, lambda _, __: session, endpoint.backend, client=True)

    def _requested(self, operation: str) -> DialRequest:
        request = self._due()
        if request is None:
            raise IllegalInState(operation, "nothing is to be dialed", "call it once for each dial")
        return request

    def _made_endpoint(self) -> Endpoint:
        return self._source if isinstance(self._source, Endpoint) else self._source()

    def _failed_to_dial(self, error: BaseException | str, *, retryable: bool) -> None:
        self._request = None
        info = endings.closed_by_transport(error if isinstance(error, str) else endings.scrub(error), closing=False)
        if isinstance(error, LiveProtocolError):
            info = attrs.evolve(info, error=error)
        self._connection.receive_eof()  # the old transport was closed before
        self._lost(info, self._reconnector.dial_failed(self._clock, retryable=retryable))

    def _due(self) -> DialRequest | None:
        """What is to be dialed now."""
        if self._live or self._ended or self._writing or self._clock < self._decision.at:
            return None
        if self._request is None:
            try:
                endpoint = self._endpoint or self._made_endpoint()
            except Exception as error:  # the caller's code, which may be out of tokens for a while
                self._failed_to_dial(error, retryable=True)
                return None
            self._endpoint = None
            self._request = DialRequest(endpoint=endpoint, epoch=self._epoch + 1, attempt=self._decision.attempt)
        return self._request

    def _lost(self, info: CloseInfo, decision: Decision) -> None:
        """There is no connection (any more)."""
        session = self._session
        interrupted_generation = session.generation if self._live and session.turn is not TurnState.IDLE else None
        # What did not leave goes out on the next connection, so it must not leave on this one.
        self._muted = self._muted or self._input.outbox.queued
        self._live = False
        losses = self._input.connection_lost(self._calls.recent, closing=False)
        if isinstance(decision, GiveUp):
            self._draining = False
            self._queue.extend(losses)
            hint = f"Gave up: {decision.why}. {info.hint}".rstrip() if decision.why else info.hint
            self._finish(attrs.evolve(info, hint=hint))
            return
        self._held.clear()
        self._decision = decision
        if self._reconnector.policy.late_tool_results is LateToolResults.REFUSE:
            self._orphans.extend(self._calls.orphan())
        self._forget_recent_calls()
        self._queue.append(
            ev.Reconnecting(
                attempt=decision.attempt,
                delay=decision.delay,
                epoch=self._epoch + 1,
                reason=decision.reason,
                info=info,
                interrupted_generation=interrupted_generation,
            )
        )
        self._queue.extend(losses)

    def _forget_recent_calls(self) -> None:
        """In transparent mode a session resumes from before the calls that came after its handle."""
        if self._input.outbox.transparent:
            self._orphans.extend(self._calls.orphan(recent=True))

    def _finish(self, info: CloseInfo) -> None:
        """There will be no other connection."""
        self._live = False
        self._ended = True
        self._queue.extend(self._input.losses() if self._draining else self._input.session_ended(closing=self._closing))
        self._queue.extend(self._held)
        if info.error is not None and not any(type(event) is ev.ConnectionFailed for event in self._held):
            self._queue.append(ev.ConnectionFailed(error=info.error))
        self._held.clear()
        self._queue.append(ev.ConnectionClosed(info=info))

    # --- on a connection: each reaction says whether the event is handed out ------------------------------------

    def _hold(self, event: ev.ConnectionFailed | ev.UpgradeRejected) -> bool:
        self._held.append(event)
        return False

    def _closed(self, event: ev.ConnectionClosed) -> bool:
        info = event.info
        if not self._closing:
            decision = self._reconnector.connection_lost(info, self._clock)
            if isinstance(decision, GiveUp) or not self._draining:
                self._lost(info, decision)
                return False
            self._held.clear()
            info = endings.closed_locally()  # another connection would follow, elsewhere
        self._muted = self._input.outbox.queued
        self._input.connection_lost(self._calls.recent, closing=True)
        self._forget_recent_calls()
        self._finish(info)
        return False

    def _ready(self, event: ev.SetupComplete) -> bool:
        reconnector, now = self._reconnector, self._clock
        first = self._epoch == 1
        resumed = self._decision.handle is not None
        attempts, downtime = reconnector.attempt, reconnector.downtime(now)
        reconnector.event_received(event, now)
        self._started = True
        self._input.connection_ready(now, resumed=resumed)
        if not resumed and not first:
            self._orphans.extend(self._calls.orphan())
        entries: Sequence[OutboxEntry] = ()
        if self._link.state is ConnectionState.OPEN:
            entries = self._input.flush()
            if self._input.reopens_window:
                self._send_text("realtime_input", self._settings.codec.encode_client(_OPEN_WINDOW), awaiting=None)
        if not first:
            self._queue.append(
                ev.Reconnected(
                    epoch=self._epoch,
                    resumed=resumed,
                    attempts=attempts,
                    downtime=downtime,
                    replayed=sum(entry.again for entry in entries),
                    open_calls=_names(self._calls.open()),
                    orphaned_calls=_names(self._orphans),
                )
            )
        self._orphans.clear()
        self._queue.extend(self._input.losses())
        for entry in entries:
            self._transmit(entry)
        return True

    def _resumption_updated(self, event: ev.ResumptionUpdated) -> bool:
        if self._config.session_resumption is not None:  # some models send handles unasked
            self._reconnector.event_received(event, self._clock)
            if event.resumable and event.handle is not None:
                self._calls.forget_recent()
                self._input.resumable(event.last_consumed_client_message_index)
            self._leave_if_due()
        return True

    def _go_away(self, event: ev.GoAway) -> bool:
        self._reconnector.event_received(event, self._clock)
        self._leave_if_due()
        return True

    def _turn_changed(self, _: Event) -> bool:
        self._leave_if_due()
        return True

    def _leave_if_due(self) -> None:
        """After a goAway, or when the session is to go on elsewhere: leave, if this is the moment for it."""
        reconnector = self._reconnector
        if not self._live or reconnector.leave_at is None or self._link.state is not ConnectionState.OPEN:
            return
        session = self._session
        safe = (
            session.turn is TurnState.IDLE
            and not session.awaiting_answer
            and session.resumption.resumable
            and not self._calls.pending()
            and not self._input.window_open
        )
        if reconnector.should_leave(self._clock, safe=safe):
            reconnector.leaving()
            self._closing = self._draining
            self._connection.close()

    # --- sending ------------------------------------------------------------------------------------------------

    def _check(self, operation: str) -> None:
        if self._ended:
            raise AlreadyClosed(operation)
        if self._closing:
            raise ConnectionClosing(operation)
        if not self._started:
            raise IllegalInState(operation, "the session is being set up", "wait for setup_complete")
        if self._link.state is not ConnectionState.OPEN:
            self._input.offline = True  # it has ended, and the event that says so was not read yet

    def _send_client(self, operation: str, message: LiveClientMessage, epoch: int | None = None) -> None:
        self._check(operation)
        self._send_or_keep(self._input.add_message(operation, message, self._clock, epoch=epoch))

    def _send_pcm(self, audio: bytes | bytearray | memoryview, rate: int) -> None:
        self._check("send_realtime_input")
        self._send_or_keep(self._input.add_audio(audio, rate, self._clock))

    def _send_or_keep(self, entry: OutboxEntry) -> None:
        if not self._input.offline:
            self._transmit(entry)

    def _transmit(self, entry: OutboxEntry) -> None:
        self._send_text(entry.kind.partition(".")[0], entry.payload, awaiting=entry.awaiting)
        entry.index = self._session.client_message_index

    def _send_text(self, member: str, payload: bytes, *, awaiting: bool | None) -> None:
        send_encoded(self._session, member, payload, awaiting=awaiting)
        for text in self._session.messages_to_send():
            self._link.send_text(text)


def _names(calls: Sequence[TrackedToolCall]) -> tuple[str, ...]:
    return tuple(key_of(entry.call) for entry in calls)


REACTIONS: Final[Mapping[type, Callable[[PersistentMachine, Any], bool]]] = MappingProxyType(
    {
        ev.ConnectionClosed: PersistentMachine._closed,
        ev.ConnectionFailed: PersistentMachine._hold,
        ev.GoAway: PersistentMachine._go_away,
        ev.UpgradeRejected: PersistentMachine._hold,
        ev.ResumptionUpdated: PersistentMachine._resumption_updated,
        ev.SetupComplete: PersistentMachine._ready,
        ev.ToolCallCancelled: PersistentMachine._turn_changed,
        ev.TurnComplete: PersistentMachine._turn_changed,
    }
)
"""What is done about events before they are handed out, if at all."""
