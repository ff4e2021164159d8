"""The connections of one session, one after the other: what the end of one means, and what follows.

Theory of operation. `PersistentConnection` hands bytes and commands to the present connection and calls in here when
something happens that concerns the next one. A session is always in one of four situations:

- Dialing: there is no connection. ``due`` gives the request once the clock reaches the time that `Reconnector` chose.
  ``dial_succeeded`` makes the connection, ``dial_failed`` asks `Reconnector` again.
- Live: there is a connection, and its end has not been read. It may be closed already; which of its last messages
  still count is known only when its events have been read in order. So every decision is taken in ``event_received``.
- Leaving: the server has announced the end, or the session moves to another process. The connection stays in use
  until a safe moment or the deadline, then it is closed, and its end is read like any other.
- Ended: ``ConnectionClosed`` is queued, and nothing follows.

``ConnectionFailed`` and ``UpgradeRejected`` are held back until ``ConnectionClosed`` comes. If another connection
follows they are dropped, because ``Reconnecting`` has their facts; otherwise they go out before the end.

Messages that were on a connection and did not leave wait for the next one. The old connection must not write them
too: it is muted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, final

import attrs

from live_protocol import events as ev
from live_protocol.close_info import CloseInfo
from live_protocol.codec.codec import Codec
from live_protocol.connection.live_connection import LiveConnection
from live_protocol.connection.options import ConnectOptions
from live_protocol.endpoint import Endpoint
from live_protocol.errors import AlreadyClosed, ConnectionClosing, IllegalInState, LiveProtocolError
from live_protocol.events import Event, ReconnectReason
from live_protocol.messages import (
    ActivityStart,
    LiveClientMessage,
    LiveClientRealtimeInput,
    LiveClientSetup,
    SessionResumptionConfig,
)
from live_protocol.reconnect.client_input import ClientInput
from live_protocol.reconnect.outbox import OutboxEntry
from live_protocol.reconnect.policy import LateToolResults, ReconnectPolicy
from live_protocol.reconnect.reconnector import Decision, DialAgain, GiveUp, Reconnector
from live_protocol.reconnect.snapshot import Snapshot
from live_protocol.session.carried import CarriedState
from live_protocol.session.resumption import Resumption
from live_protocol.session.tool_calls import TrackedToolCall, key_of
from live_protocol.states import ConnectionState, TurnState
from live_protocol.websocket import endings

EndpointSource: TypeAlias = Endpoint | Callable[[], Endpoint]
"""An endpoint, or a function that makes one for each dial, for example with a fresh access token."""

WATCHED: Final = frozenset(
    {
        ev.ConnectionClosed,
        ev.ConnectionFailed,
        ev.GoAway,
        ev.ResumptionUpdated,
        ev.SetupComplete,
        ev.ToolCallCancelled,
        ev.TurnComplete,
        ev.UpgradeRejected,
    }
)
"""Events that `Lifecycle.event_received` has to see; all others go straight to the application."""

_OPEN_WINDOW: Final = LiveClientMessage(realtime_input=LiveClientRealtimeInput(activity_start=ActivityStart()))


@final
@attrs.frozen(kw_only=True)
class DialRequest:
    """A request to open a transport now.

    Attributes:
        endpoint: Where.
        epoch: Number that the connection will have, from 1.
        attempt: Number of tries in a row so far; 0 for the first connection of all.
    """

    endpoint: Endpoint
    epoch: int
    attempt: int


def with_resumption(setup: LiveClientSetup, policy: ReconnectPolicy) -> LiveClientSetup:
    """The setup with resumption as the policy wants it."""
    resumption = setup.session_resumption
    if resumption is None and (policy.resumption or policy.transparent):
        resumption = SessionResumptionConfig()
    if resumption is not None and policy.transparent is not None:
        resumption = attrs.evolve(resumption, transparent=policy.transparent or None)
    return attrs.evolve(setup, session_resumption=resumption)


def with_handle(setup: LiveClientSetup, handle: str | None) -> LiveClientSetup:
    """The setup with another handle; unchanged if resumption is off."""
    resumption = setup.session_resumption
    if resumption is None or resumption.handle == handle:
        return setup
    return attrs.evolve(setup, session_resumption=attrs.evolve(resumption, handle=handle))


class Lifecycle:
    """Makes the connections of a session and decides what follows each of them.

    It has no clock: each method that needs the time is told it, in seconds.

    Args:
        source: Where to connect.
        endpoint: The endpoint of the first dial.
        setup: The setup without a handle.
        codec: The dialect.
        options: Options of every connection.
        client_input: The client's messages.
        reconnector: The decisions.
        snapshot: The session to continue, or None for a new one.

    Attributes:
        reconnector: As given.
        setup: As given.
        connection: The present connection or the last one; before the first dial, one that is not in use yet.
        epoch: Number of the newest connection, from 1; 0 before the first dial.
        dialed: Whether a dial has ever succeeded.
        live: Whether there is a connection whose end has not been read.
        started: Whether a setup was ever completed.
        closing: Whether the session was asked to end.
        ended: Whether the session is over; the events that say so may still be queued.
        muted: Whether the bytes that the last connection still has must not go out.
        events: Events that come before those of the connection.
    """

    __slots__ = (
        "_codec",
        "_decision",
        "_draining",
        "_endpoint",
        "_held",
        "_input",
        "_options",
        "_orphans",
        "_request",
        "_ripe",
        "_source",
        "closing",
        "connection",
        "dialed",
        "ended",
        "epoch",
        "events",
        "live",
        "muted",
        "reconnector",
        "setup",
        "started",
    )

    def __init__(
        self,
        source: EndpointSource,
        endpoint: Endpoint,
        setup: LiveClientSetup,
        *,
        codec: Codec,
        options: ConnectOptions,
        client_input: ClientInput,
        reconnector: Reconnector,
        snapshot: Snapshot | None,
    ) -> None:
        self.setup: LiveClientSetup = setup
        self.reconnector: Reconnector = reconnector
        self.epoch: int = 0
        self.dialed: bool = False
        self.live: bool = False
        self.started: bool = False
        self.closing: bool = False
        self.ended: bool = False
        self.muted: bool = False
        self.events: list[Event] = []
        self._source = source
        self._endpoint: Endpoint | None = endpoint
        self._codec = codec
        # The dialect and the model are settled; the profile is a matter of the commands, which are checked elsewhere.
        self._options: ConnectOptions = {**options, "codec": codec, "model": None, "profile": None}
        self._input = client_input
        self._held: tuple[Event, ...] = ()
        self._orphans: tuple[TrackedToolCall, ...] = ()
        self._draining = False
        self._request: DialRequest | None = None
        handle = reconnector.handle
        self._decision = DialAgain(
            at=float("-inf"), delay=0.0, handle=handle, attempt=0, reason=ReconnectReason.DROPPED
        )
        self._ripe = True  # the time of the decision has come
        carry = CarriedState(calls=client_input.calls)
        if handle is not None:
            carry = attrs.evolve(carry, resumption=Resumption(handle=handle))
        if snapshot is not None:
            self.epoch = snapshot.epoch
            carry = attrs.evolve(carry, generation=snapshot.generation, usage=snapshot.usage)
            if snapshot.unconfirmed.count:
                self.events.append(snapshot.unconfirmed.report(ev.LossReason.UNCONFIRMED, certain=False))
        self.connection: LiveConnection = self._make_connection(endpoint, carry)  # refuses what cannot be sent

    # --- dialing ------------------------------------------------------------------------------------------------

    @property
    def writing(self) -> bool:
        """Whether the last connection still has bytes to write, such as its answer to a close frame."""
        return not self.live and not self.muted and self.dialed and self.connection.wants.write

    def due(self, now: float) -> DialRequest | None:
        """What to dial now. Asks the caller's function for the endpoint; if that raises, the dial has failed."""
        if self.live or self.ended or self.writing or not self._ripe:
            return None
        if self._request is None:
            try:
                source = self._endpoint or self._source
                endpoint = source if isinstance(source, Endpoint) else source()
            except Exception as error:  # the caller's code, which may be out of tokens for a while
                self._dial_failed(error, now, retryable=True)
                return None
            self._endpoint = None
            self._request = DialRequest(endpoint=endpoint, epoch=self.epoch + 1, attempt=self._decision.attempt)
        return self._request

    def dial_succeeded(self, now: float) -> None:
        """The transport is open: make the connection.

        Raises:
            IllegalInState: No dial was due. Nothing has changed.
        """
        request = self._requested("dial_succeeded", now)
        handle, carry = self._decision.handle, self.connection.carried
        resumption = Resumption() if handle is None else attrs.evolve(carry.resumption, handle=handle, updates=0)
        if self.dialed or self.connection.state is not ConnectionState.CONNECTING:
            self.connection = self._make_connection(request.endpoint, attrs.evolve(carry, resumption=resumption))
        self._request = None
        self.epoch = self._input.calls.epoch = request.epoch
        self.reconnector.dial_started(handle)
        self.dialed, self.live, self.muted = True, True, False

    def dial_failed(self, error: BaseException | str, now: float, *, retryable: bool) -> None:
        """No transport could be opened.

        Raises:
            IllegalInState: No dial was due. Nothing has changed.
        """
        self._requested("dial_failed", now)
        self._dial_failed(error, now, retryable=retryable)

    def _requested(self, operation: str, now: float) -> DialRequest:
        request = self.due(now)
        if request is None:
            raise IllegalInState(operation, "no dial is due", "call it once for each dial")
        return request

    def _dial_failed(self, error: BaseException | str, now: float, *, retryable: bool) -> None:
        self._request = None
        info = endings.closed_by_transport(error if isinstance(error, str) else endings.scrub(error), closing=False)
        if isinstance(error, LiveProtocolError):
            info = attrs.evolve(info, error=error)
        self.connection.receive_eof()  # the old transport was closed before
        self._lost(info, self.reconnector.dial_failed(now, retryable=retryable))

    def _make_connection(self, endpoint: Endpoint, carry: CarriedState) -> LiveConnection:
        handle = carry.resumption.handle
        setup = with_handle(self.setup, handle)
        if handle is not None or self.started:
            # A session that knows its history takes none, and there is none at hand for one that starts anew.
            setup = attrs.evolve(setup, history_config=None)
        if (context := self._input.context) is not None:
            setup = attrs.evolve(
                setup,
                system_instruction=context.system_instruction or setup.system_instruction,
                tools=setup.tools if context.tools is None else context.tools.tools,
            )
        carry = attrs.evolve(carry, encoder=self._input.encoder)
        return LiveConnection.client(endpoint, setup, carry=carry, **self._options)

    def advance(self, now: float) -> None:
        """Let the time come for the next dial, or for leaving the connection."""
        self._ripe = now >= self._decision.at
        self.leave_if_due(now)

    def next_deadline(self) -> float | None:
        """When time alone has something to do."""
        if self.live or self.ended or self.writing:
            at = self.connection.next_deadline()
            leave = self.reconnector.next_deadline() if self.live else None
            return at if leave is None else leave if at is None else min(at, leave)
        return None if self._ripe else self._decision.at

    # --- events of the connection -------------------------------------------------------------------------------

    def event_received(self, event: Event, now: float, sent: int, arrived: float) -> bool:
        """Act on an event of the connection.

        Args:
            event: One of `WATCHED`.
            now: Clock reading.
            sent: Number of the newest message that had left when the bytes of the event arrived.
            arrived: Clock reading at which they arrived.

        Returns:
            Whether the application gets the event.
        """
        if isinstance(event, ev.ConnectionFailed | ev.UpgradeRejected):
            self._held += (event,)
            return False
        if isinstance(event, ev.ConnectionClosed):
            self._closed(event.info, now)
            return False
        if isinstance(event, ev.SetupComplete):
            self._ready(event, now)
            return True
        if isinstance(event, ev.ResumptionUpdated):
            if self.setup.session_resumption is None:
                return True  # some models send handles unasked
            self.reconnector.event_received(event, now)
            if event.resumable and event.handle is not None:
                self._input.calls.forget_recent()
                self._input.resumable(event.last_consumed_client_message_index, sent, arrived)
        elif isinstance(event, ev.GoAway):
            self.reconnector.event_received(event, now)
        self.leave_if_due(now)
        return True

    def _ready(self, event: ev.SetupComplete, now: float) -> None:
        reconnector, calls = self.reconnector, self._input.calls
        first, resumed = self.epoch == 1, self._decision.handle is not None
        attempts, downtime = reconnector.attempt, reconnector.downtime(now)
        reconnector.event_received(event, now)
        self.started = True
        self._input.connection_ready(now, resumed=resumed)
        if not resumed and not first:
            self._orphans += calls.orphan()
        entries: Sequence[OutboxEntry] = ()
        if self.connection.state is ConnectionState.OPEN:
            entries = self._input.flush()
            if self._input.reopens_window:
                self.connection.send_encoded("realtime_input", self._codec.encode_client(_OPEN_WINDOW))
        if not first:
            self.events.append(
                ev.Reconnected(
                    epoch=self.epoch,
                    resumed=resumed,
                    attempts=attempts,
                    downtime=downtime,
                    replayed=sum(entry.again for entry in entries),
                    open_calls=_names(calls.open()),
                    orphaned_calls=_names(self._orphans),
                )
            )
        self._orphans = ()
        self.events.extend(self._input.losses())
        for entry in entries:
            self.send(entry)

    def _closed(self, info: CloseInfo, now: float) -> None:
        if not self.closing:
            decision = self.reconnector.connection_lost(info, now)
            if isinstance(decision, GiveUp) or not self._draining:
                self._lost(info, decision)
                return
            self._held = ()
            info = endings.closed_locally()  # another connection would follow, in another process
        self.muted = self._input.outbox.queued
        self._input.connection_lost(closing=True)
        self._forget_recent_calls()
        self._finish(info)

    def _lost(self, info: CloseInfo, decision: Decision) -> None:
        """There is no connection, and it was not us who ended it."""
        connection, calls = self.connection, self._input.calls
        interrupted = self.live and connection.turn is not TurnState.IDLE
        # What did not leave goes out on the next connection, so it must not leave on this one.
        self.muted = self.muted or self._input.outbox.queued
        self.live = False
        losses = self._input.connection_lost(closing=False)
        if isinstance(decision, GiveUp):
            self._draining = False
            self.events.extend(losses)
            hint = f"Gave up: {decision.why}. {info.hint}".rstrip() if decision.why else info.hint
            self._finish(attrs.evolve(info, hint=hint))
            return
        self._held = ()
        self._decision, self._ripe = decision, not decision.delay
        if self.reconnector.policy.late_tool_results is LateToolResults.REFUSE:
            self._orphans += calls.orphan()
        self._forget_recent_calls()
        self.events.append(
            ev.Reconnecting(
                attempt=decision.attempt,
                delay=decision.delay,
                epoch=self.epoch + 1,
                reason=decision.reason,
                info=info,
                interrupted_generation=connection.generation if interrupted else None,
            )
        )
        self.events.extend(losses)

    def _forget_recent_calls(self) -> None:
        """In transparent mode a session resumes from before the calls that came after its handle."""
        if self._input.outbox.transparent:
            self._orphans += self._input.calls.orphan(recent=True)

    def _finish(self, info: CloseInfo) -> None:
        """There will be no other connection."""
        self.live = False
        self.ended = True
        self.events.extend(self._input.losses() if self._draining else self._input.session_ended(closing=self.closing))
        self.events.extend(self._held)
        if info.error is not None and not any(type(event) is ev.ConnectionFailed for event in self._held):
            self.events.append(ev.ConnectionFailed(error=info.error))
        self._held = ()
        self.events.append(ev.ConnectionClosed(info=info))

    # --- leaving ------------------------------------------------------------------------------------------------

    def leave_if_due(self, now: float) -> None:
        """Leave the connection if its end is near or the session moves on, and if this is the moment for it."""
        reconnector, connection = self.reconnector, self.connection
        if not self.live or reconnector.leave_at is None or connection.state is not ConnectionState.OPEN:
            return
        safe = (
            connection.turn is TurnState.IDLE
            and not connection.awaiting_answer
            and connection.resumption.resumable
            and not connection.pending_tool_calls
            and not self._input.outbox.window_open
        )
        if reconnector.should_leave(now, safe=safe):
            reconnector.leaving()
            self.closing = self._draining
            connection.close()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the session, and with it the connection or the attempt to make one.

        Raises:
            InvalidMessage: Code or reason may not be sent; nothing has changed.
        """
        self.connection.close(code, reason)
        if self.closing or self.ended:
            return
        self.closing = True
        if not self.live:
            self.connection.receive_eof()
            self._finish(endings.closed_locally())

    def drain(self, within: float, now: float) -> None:
        """End the session at the next safe moment; another process takes over what was not delivered."""
        if self.closing or self.ended:
            return
        self._draining = True
        if self.live and self.reconnector.ready:
            self.reconnector.leave_by(now + within)
            self.leave_if_due(now)
        else:
            self.close()

    # --- sending ------------------------------------------------------------------------------------------------

    def check_command(self, operation: str) -> None:
        """Raise unless the session takes commands; notice that the connection has ended.

        Raises:
            AlreadyClosed: The session has ended.
            ConnectionClosing: It ends.
            IllegalInState: The first setup is not complete.
        """
        if self.ended:
            raise AlreadyClosed(operation)
        if self.closing:
            raise ConnectionClosing(operation)
        if not self.started:
            raise IllegalInState(operation, "the session is being set up", "wait for setup_complete")
        if self.connection.state is not ConnectionState.OPEN:
            self._input.offline = True  # the event that says so was not read yet

    def send(self, entry: OutboxEntry) -> None:
        """Send a message on the connection, which is open."""
        member = "realtime_input" if entry.kind.startswith("realtime_input.") else entry.kind
        entry.index = self.connection.send_encoded(member, entry.payload, awaiting=entry.awaiting)


def _names(calls: Sequence[TrackedToolCall]) -> tuple[str, ...]:
    return tuple(key_of(entry.call) for entry in calls)
