"""PersistentConnection: one session over as many connections as it takes, with the surface of `LiveConnection`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Self, Unpack, final

import attrs

from live_protocol import events as ev
from live_protocol.close_info import CloseInfo
from live_protocol.codec.codec import Codec
from live_protocol.connection.base import JoinedHalves, forward
from live_protocol.connection.options import ConnectionSettings, ConnectOptions
from live_protocol.endpoint import Endpoint
from live_protocol.errors import InvalidMessage, NotConnected
from live_protocol.events import Event
from live_protocol.messages import FunctionCall, LiveClientMessage, LiveClientToolResponse, SessionResumptionConfig
from live_protocol.reconnect.client_input import ClientInput
from live_protocol.reconnect.lifecycle import (
    WATCHED,
    DialRequest,
    EndpointSource,
    Lifecycle,
    with_handle,
    with_resumption,
)
from live_protocol.reconnect.policy import ReconnectPolicy
from live_protocol.reconnect.reconnector import Reconnector, system_random
from live_protocol.reconnect.snapshot import Snapshot, setup_digest
from live_protocol.session import requests
from live_protocol.session.live_session import LiveSession
from live_protocol.session.message_kinds import is_manual
from live_protocol.session.profiles import audio_gate, supports_scheduling
from live_protocol.session.resumption import Resumption
from live_protocol.session.tool_calls import ToolCallTracker, key_of
from live_protocol.session.usage import Usage
from live_protocol.states import ConnectionState, Phase, TurnState
from live_protocol.timing import Deadlines
from live_protocol.websocket.link import WebSocketLink
from live_protocol.websocket.link_core import LinkCore, Wants


@final
@attrs.frozen
class _Facts:
    """The facts that a driver reads, when they are not those of the present link."""

    wants: Wants
    state: ConnectionState = ConnectionState.CONNECTING


_OPEN: Final = ConnectionState.OPEN
_CLOSE: Final = Wants(read=False, write=False, half_close=False, close=True)
_BEFORE: Final = _Facts(Wants(read=False, write=False, half_close=False, close=False))
_FLUSH: Final = _Facts(Wants(read=False, write=True, half_close=False, close=False))
_BETWEEN: Final = _Facts(_CLOSE)


class PersistentOptions(ConnectOptions, total=False):
    """Options of a session that outlives its connections.

    Attributes:
        policy: When and how to reconnect; `ReconnectPolicy` with its defaults if left out.
        jitter: Source of random numbers from 0 to 1, below 1, for the delays.
    """

    policy: ReconnectPolicy | None
    jitter: Callable[[], float]


@final
class PersistentConnection(JoinedHalves[WebSocketLink]):
    """One session as a pure state machine that outlives its connections (wire.md#resumption).

    It has the surface of `LiveConnection` and is driven in the same way, with one addition: when `dial` is not None,
    close the transport in hand, if there is one, open another one to that endpoint, and call `dial_succeeded` or
    `dial_failed`. The first connection is made in the same way. Between two connections ``wants.close`` means the
    transport in hand; the session is over when ``state`` is CLOSED. Keep taking events: the end of a connection is
    noticed where its events are read.

    When a connection ends, `Reconnecting` takes the place of `ConnectionFailed` and `ConnectionClosed`, which come
    once, at the very end. Each further `SetupComplete` is followed by `Reconnected`, and every loss of input is an
    `InputLost`. Generations, token counts and tool calls go on across connections.

    A message is never lost while `data_to_send` has not handed it out: it goes out on the next connection, unless
    ``ReconnectPolicy.offline`` drops it. In transparent mode no other message is lost either. Otherwise the server
    never says what it has. A handle is taken to include the messages that left at least
    ``ReconnectPolicy.in_flight_window`` before it came; the later ones are reported as ``UNCONFIRMED`` when the
    connection breaks. If the session cannot be resumed, everything that it had is reported as ``NEW_SESSION``.

    Before the first `SetupComplete` commands raise `IllegalInState`; between two connections they follow
    ``ReconnectPolicy.offline``. Besides the errors of `LiveSession`'s commands they raise `NotConnected` if the policy
    keeps no more messages, `ConnectionClosing` once `close` was called, and `AlreadyClosed` after the end. On raise
    nothing was sent and nothing has changed.
    """

    __slots__ = (
        "_all_read",
        "_arrived",
        "_close_info",
        "_codec",
        "_facts",
        "_flowing",
        "_input",
        "_lifecycle",
        "_online",
        "_outbox",
        "_sent_before",
        "_staying",
    )

    # How it works. For a chunk of audio it does by itself what the present connection would do, with the halves of that
    # connection, so that reconnecting costs no calls. Whatever is rare goes to `Lifecycle`, and from there to the
    # connection; `_update` notes afterwards what the short ways need to know.

    def __init__(self, lifecycle: Lifecycle, client_input: ClientInput, codec: Codec) -> None:
        """Use `client` or `restore` instead."""
        self._lifecycle = lifecycle
        self._input = client_input
        self._outbox = client_input.outbox
        self._codec = codec
        # When the oldest bytes arrived that are unread, and the number of the newest message that had left by then.
        self._arrived = 0.0
        self._sent_before = 0
        self._all_read = True  # at a moment after the newest bytes; the clock may have added events since
        self._close_info: CloseInfo | None = None
        self._facts: LinkCore | _Facts = _BEFORE
        self._flowing = False  # the connection's events are next
        self._staying = False  # on the connection, as long as it is not known that it ends
        self._online: LiveSession | None = None  # takes audio at once; None if it waits, or has to be kept
        self._deadlines = Deadlines()  # until the first dial it only tells the time
        self._take_halves()
        self._update()

    @classmethod
    def client(
        cls,
        endpoint: EndpointSource,
        config: requests.ConfigInput | None = None,
        *,
        policy: ReconnectPolicy | None = None,
        jitter: Callable[[], float] = system_random,
        snapshot: Snapshot | None = None,
        **options: Unpack[ConnectOptions],
    ) -> Self:
        """A new session, or one that goes on; `dial` says at once where to connect.

        Args:
            endpoint: As for `LiveConnection.client`, or a callable that makes one for each dial, the first one now.
            config: As for `LiveConnection.client`; with ``session_resumption.handle`` the first connection resumes.
            policy: When and how to reconnect; the defaults if left out.
            jitter: Source of random numbers from 0 to 1, below 1, for the delays.
            snapshot: See `restore`.
            **options: As for `LiveConnection.client`; all connections are made with them.

        Raises:
            InvalidMessage: The service would refuse the setup, a header cannot be sent, the policy asks for transparent
                mode where there is none, or the snapshot does not fit. Nothing was made.
            MessageTooLarge: The setup is over ``Limits.max_send``. Nothing was made.
        """
        first = endpoint if isinstance(endpoint, Endpoint) else endpoint()
        policy, settings = policy or ReconnectPolicy(), ConnectionSettings.read(ConnectOptions, options)
        codec, profile = settings.codec_for(first.backend), settings.profile
        setup = with_resumption(requests.build_setup(first, config, settings.model), policy)
        resumption = setup.session_resumption or SessionResumptionConfig()
        handle = resumption.handle if snapshot is None else snapshot.handle
        calls = ToolCallTracker(
            codec.backend,
            allow_unknown_ids=snapshot is None and handle is not None,
            scheduling=supports_scheduling(profile),
        )
        client_input = ClientInput(
            policy,
            codec,
            settings.limits,
            calls,
            manual=is_manual(setup),
            transparent=bool(resumption.transparent),
            gate=audio_gate(profile, setup, calls),
        )
        setup = with_handle(setup, None)
        if snapshot is not None:
            snapshot.check(setup, codec)
            client_input.restore(snapshot, codec)
        lifecycle = Lifecycle(
            endpoint,
            first,
            setup,
            codec=codec,
            options=options,
            client_input=client_input,
            reconnector=Reconnector(policy, jitter=jitter, handle=handle, accepted=snapshot is not None),
            snapshot=snapshot,
        )
        return cls(lifecycle, client_input, codec)

    @classmethod
    def restore(
        cls,
        snapshot: Snapshot,
        endpoint: EndpointSource,
        config: requests.ConfigInput | None = None,
        **options: Unpack[PersistentOptions],
    ) -> Self:
        """Go on with the session of another process; its connection has to be closed first (wire.md#resuming).

        Args:
            snapshot: The result of `snapshot` there.
            endpoint: See `client`; credentials are never part of a snapshot.
            config: The same as there.
            **options: See `client`; model and policy have to make the same setup as there.

        Raises:
            InvalidMessage: As for `client`; also if backend or setup are not those of the snapshot.
            MessageTooLarge: As for `client`.
        """
        return cls.client(endpoint, config, snapshot=snapshot, **options)

    def __repr__(self) -> str:
        return f"<PersistentConnection {self.state} {self.phase} epoch={self.epoch} turn={self.turn}>"

    # --- dialing ------------------------------------------------------------------------------------------------

    @property
    def dial(self) -> DialRequest | None:
        """The transport to open now, or None.

        If the endpoint comes from a callable, reading this may call it; if that raises, the dial has failed.
        """
        lifecycle = self._lifecycle
        if lifecycle.live:
            return None
        request = lifecycle.due(self._now)
        self._update()
        return request

    def dial_succeeded(self) -> None:
        """The transport that `dial` asked for is open, and the one before it is closed.

        Raises:
            IllegalInState: No dial was due. Nothing has changed.
        """
        now = self._deadlines.now
        self._lifecycle.dial_succeeded(self._now)
        self._take_halves()
        self._deadlines = self._core.deadlines
        if now is not None:
            self._lifecycle.connection.advance(now)
        self._update()

    def dial_failed(self, error: BaseException | str, *, retryable: bool = True) -> None:
        """The transport that `dial` asked for could not be opened.

        Args:
            error: What happened; as for `LiveConnection.transport_failed`; an error of this library is kept.
            retryable: False if another try is bound to fail in the same way, for example because a certificate is not
                valid.

        Raises:
            IllegalInState: No dial was due. Nothing has changed.
        """
        self._lifecycle.dial_failed(error, self._now, retryable=retryable)
        self._update()

    # --- inputs -------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """See `LiveConnection.advance`; also lets the time for the next dial come."""
        lifecycle = self._lifecycle
        self._deadlines.tick(now)
        self._all_read = self._all_read or not (self._core.queue or self._session.ready)
        if lifecycle.dialed:
            lifecycle.connection.advance(now)
        lifecycle.advance(self._now)
        self._update()

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """See `LiveConnection.receive_data`."""
        core, link = self._core, self._link
        if (self._all_read or not (core.queue or self._session.ready)) and (link.reader.plain or link.reader.idle):
            self._arrived = self._deadlines.now or 0.0
            self._sent_before = self._outbox.newest_sent
        self._all_read = False
        if core.state is _OPEN:
            link.receive_data(data)
        else:
            self._lifecycle.connection.receive_data(data)

    def receive_event(self, data: bytes) -> Event | None:
        """See `LiveConnection.receive_event`."""
        session = self._session
        if not self._flowing or session.ready or (payload := self._link.lone_message(data)) is None:
            self.receive_data(data)
        elif (chunk := session.read(payload)) is not None:
            return chunk
        else:
            self._arrived = self._now
            self._sent_before = self._outbox.newest_sent
            self._all_read = False
        return self.next_event()

    def receive_eof(self) -> None:
        """See `LiveConnection.receive_eof`; it means the transport in hand."""
        self._lifecycle.connection.receive_eof()
        self._update()

    def transport_failed(self, error: BaseException | str) -> None:
        """See `LiveConnection.transport_failed`; it means the transport in hand."""
        self._lifecycle.connection.transport_failed(error)
        self._update()

    # --- outputs ------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """See `LiveConnection.pending`."""
        return bool(self._core.queue or self._session.ready) or not self._flowing

    def next_event(self) -> Event | None:
        """The next event, or None if there is none for now."""
        while self._flowing:  # as in `LiveConnection`
            session = self._session
            item: bytes | str | Event | None
            if session.ready:
                item = session.ready.pop()
                if type(item) is ev.ConnectionFailed:
                    self._link.fail(item.error)
                    continue
            else:
                item = self._link.next_event()
                if isinstance(item, (bytes, str)):
                    if (chunk := session.read(item)) is not None:
                        return chunk
                    continue
            if item is None or type(item) not in WATCHED or self._watch(item):
                return item
        return self._next_event_of_ours()

    def events(self) -> Iterator[Event]:
        """Events until there is none; safe to abandon and to take up again."""
        while (event := self.next_event()) is not None:
            yield event

    def data_to_send(self) -> bytes:
        """All bytes that wait to be written on the transport in hand; see `LiveConnection.data_to_send`."""
        if self._facts is not self._core:
            return self._rest_to_send()
        data = self._link.data_to_send()
        if self._outbox.unsent and data:
            self._outbox.left(self._deadlines.now or 0.0)
        return data

    def pcm_to_send(self, audio: bytes, rate: int) -> bytes:
        """See `LiveConnection.pcm_to_send`."""
        session, outbox = self._online, self._outbox
        if session is None or self._core.state is not _OPEN or outbox.unsent:
            self._send_pcm(audio, rate)
            return self.data_to_send()
        payload = session.encode_pcm(audio, rate)
        outbox.accepted = number = outbox.accepted + 1
        now = self._deadlines.now or 0.0
        outbox.unsent.append((number, payload, now))
        outbox.left(now)
        return self._link.text_to_send(payload)

    def next_deadline(self) -> float | None:
        """Reading at which `advance` has something to do, at the latest; None where time alone changes nothing."""
        if not self._staying:
            return self._lifecycle.next_deadline()
        deadlines = self._deadlines
        return deadlines.earliest_of_link if deadlines.messages else deadlines.earliest

    # --- commands -----------------------------------------------------------------------------------------------

    def send(self, message: LiveClientMessage) -> None:
        """See `LiveSession.send`.

        Raises:
            LocalProtocolError, StaleOperation: As the class says.
        """
        if not isinstance(message, LiveClientMessage):
            raise InvalidMessage("", f"the client's end sends LiveClientMessage, not {type(message).__name__}")
        self._send_client("send", message)

    def send_tool_response(self, function_responses: requests.ResponsesInput, *, epoch: int | None = None) -> None:
        """See `ClientCommands.send_tool_response`.

        Args:
            function_responses: As there.
            epoch: Connection the calls came on, from ``ToolCallRequested.epoch``. Give it if the work can outlive a
                session: a new session may use the same ids, and then only this tells an old result from a new one.

        Raises:
            ToolCallOrphaned: The call belongs to another connection, and the policy or the new session rules its answer
                out. Nothing was sent.
            LocalProtocolError, StaleOperation: As there, and as the class says.
        """
        responses = requests.tool_responses(function_responses)
        response = LiveClientToolResponse(function_responses=responses)
        self._send_client("send_tool_response", LiveClientMessage(tool_response=response), epoch)
        self._lifecycle.leave_if_due(self._now)
        self._update()

    def ping(self, payload: bytes = b"") -> None:
        """See `LiveConnection.ping`.

        Raises:
            NotConnected: There is no connection at the moment. Nothing was sent.
            LocalProtocolError, StaleOperation: As there.
        """
        lifecycle = self._lifecycle
        if not lifecycle.live and not lifecycle.ended:
            raise NotConnected("ping", "cannot wait")
        lifecycle.connection.ping(payload)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the session: close the connection, or stop trying to make one; calling it again does nothing.

        Args:
            code: See `LiveConnection.close`.
            reason: See `LiveConnection.close`.

        Raises:
            InvalidMessage: Code or reason may not be sent; nothing has changed.
        """
        self._lifecycle.close(code, reason)
        self._update()

    def drain(self, within: float) -> None:
        """End the session so that another process can go on with it: at the next safe moment, see `GoAwayPolicy`.

        `ConnectionClosed` comes then; take the `snapshot` after it. Until then everything goes on as before, but no
        further connection is made. Messages that were not delivered are not lost: the snapshot has them. Between two
        connections, and while one is being set up, the session ends at once. Calling it again can only bring the end
        nearer; `close` ends a session that drains at once, in the same way.

        Args:
            within: Seconds after which to leave at the latest, in the middle of a turn if need be.

        Raises:
            InvalidMessage: ``within`` is not a number from 0. Nothing has changed.
        """
        if not isinstance(within, int | float) or not 0 <= within < float("inf"):
            raise InvalidMessage("within", f"must be a number of seconds from 0, not {within!r}")
        self._lifecycle.drain(within, self._now)
        self._update()

    def snapshot(self) -> Snapshot:
        """Everything another process needs to go on with this session, as of now; changes nothing.

        To move a session, `drain` it, wait for `ConnectionClosed`, then take the snapshot: the service does not let a
        session be resumed while its connection lives. Messages that `InputLost` has reported are not in it: `close` in
        place of `drain` reports those that never left as lost.
        """
        lifecycle, codec, outbox, context = self._lifecycle, self._codec, self._input.outbox, self._input.context
        recent = self.tool_calls.recent if outbox.transparent else frozenset()
        entries, missing = self._input.export(recent)
        text = None if context is None else codec.encode_client(LiveClientMessage(context_update=context)).decode()
        return Snapshot(
            handle=lifecycle.reconnector.handle,
            backend=codec.backend,
            setup_digest=setup_digest(lifecycle.setup, codec),
            epoch=lifecycle.epoch,
            generation=self.generation,
            accepted=outbox.accepted,
            outbox=entries,
            kept=outbox.kept.copy(),
            unconfirmed=missing,
            calls=[entry for entry in self.tool_calls.open() if key_of(entry.call) not in recent],
            usage=attrs.evolve(self.usage, last=None),
            context=text,
            created=self._deadlines.now,
        )

    # --- facts --------------------------------------------------------------------------------------------------

    wants: Wants = forward(
        "_facts.wants", "What to do with the transport in hand; between two connections: write the rest, then close it."
    )
    state: ConnectionState = forward(
        "_facts.state", "State of the WebSocket: CONNECTING between two connections, CLOSED only at the very end."
    )

    @property
    def phase(self) -> Phase:
        """How far the present connection has come; NEW between two of them, ENDED only at the very end."""
        if self._lifecycle.live:
            return self._lifecycle.connection.phase
        return Phase.ENDED if self._lifecycle.ended else Phase.NEW

    @property
    def turn(self) -> TurnState:
        """Where the model is in its turn; a turn ends with its connection."""
        return self._lifecycle.connection.turn if self._lifecycle.live else TurnState.IDLE

    @property
    def buffered_out(self) -> int:
        """Bytes that wait in `data_to_send`; without messages that wait for a connection."""
        return 0 if self._lifecycle.muted else self._lifecycle.connection.buffered_out

    generation: int = forward(
        "_lifecycle.connection.generation",
        "Number of the session's newest generation, from 1; 0 before the first.",
    )
    epoch: int = forward("_lifecycle.epoch", "Number of the newest connection, from 1; 0 before the first dial.")
    accepted: int = forward(
        "_input.outbox.accepted", "Number of the newest message that a command accepted; see ``InputLost.numbers``."
    )
    pending_tool_calls: tuple[FunctionCall, ...] = forward(
        "_lifecycle.connection.pending_tool_calls", "Calls of all connections that await a response, oldest first."
    )
    tool_calls: ToolCallTracker = forward("_input.calls", "The table of calls of all connections.")
    resumption: Resumption = forward("_lifecycle.connection.resumption", "How the session could be resumed.")
    usage: Usage = forward("_lifecycle.connection.usage", "Tokens of the session so far.")
    close_info: CloseInfo | None = forward("_close_info", "The report of the `ConnectionClosed` event, None before it.")
    buffered_in: int = forward("_lifecycle.connection.buffered_in", "Bytes received that no event has told of yet.")
    latency: float | None = forward(
        "_lifecycle.connection.latency", "Seconds the newest pong of the connection took, None before the first."
    )

    # --- inside -------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return self._deadlines.now or 0.0

    def _take_halves(self) -> None:
        connection = self._lifecycle.connection
        self._core, self._link, self._session = connection._core, connection._link, connection._session

    def _update(self) -> None:
        """Something may have changed that concerns more than the connection: choose the facts and the ways."""
        lifecycle, core = self._lifecycle, self._core
        if lifecycle.live:
            # Until its end was read, it is not known whether another connection follows.
            unread = core.state is ConnectionState.CLOSED and not lifecycle.closing
            self._facts = _Facts(core.wants, ConnectionState.CLOSING) if unread else core
        elif lifecycle.ended:
            self._facts = _Facts(_CLOSE, core.state) if lifecycle.muted else core
        elif lifecycle.dialed:
            self._facts = _FLUSH if lifecycle.writing else _BETWEEN
        self._flowing = lifecycle.live and not lifecycle.events
        self._staying = lifecycle.live and lifecycle.reconnector.leave_at is None
        waits = not lifecycle.live or self._input.offline or self._outbox.transparent
        self._online = None if waits else self._session

    def _watch(self, event: Event) -> bool:
        """An event of the connection that matters for what follows it; gives whether the application gets it."""
        if isinstance(event, ev.ConnectionClosed):
            event = ev.ConnectionClosed(info=self._report(event.info))
        passes = self._lifecycle.event_received(event, self._now, self._sent_before, self._arrived)
        self._update()
        return passes

    def _next_event_of_ours(self) -> Event | None:
        lifecycle = self._lifecycle
        if not lifecycle.events:
            return None
        event = lifecycle.events.pop(0)
        self._flowing = lifecycle.live and not lifecycle.events
        if type(event) is ev.ConnectionClosed:
            self._close_info = event.info
        return event

    def _rest_to_send(self) -> bytes:
        """What a connection still has to write whose end was told, or has arrived and was not read."""
        lifecycle = self._lifecycle
        if not lifecycle.dialed:
            return b""
        data = self._link.data_to_send()
        if lifecycle.muted:
            data = b""
        elif data and lifecycle.live:
            self._outbox.left(self._deadlines.now or 0.0)
        self._update()
        return data

    def _send_client(self, operation: str, message: LiveClientMessage, epoch: int | None = None) -> None:
        self._lifecycle.check_command(operation)
        entry = self._input.add_message(operation, message, self._now, epoch=epoch)
        if not self._input.offline:
            self._lifecycle.send(entry)

    def _send_pcm(self, audio: bytes | bytearray | memoryview, rate: int) -> None:
        session = self._online
        if session is None or self._core.state is not _OPEN:
            self._keep_pcm(audio, rate)
            return
        payload = session.encode_pcm(audio, rate)  # with the encoder of all sessions
        outbox = self._outbox
        outbox.accepted = number = outbox.accepted + 1
        outbox.unsent.append((number, payload, self._deadlines.now or 0.0))
        self._link.send_text(payload)

    def _keep_pcm(self, audio: bytes | bytearray | memoryview, rate: int) -> None:
        self._lifecycle.check_command("send_realtime_input")
        entry = self._input.add_audio(audio, rate, self._now)
        if not self._input.offline:
            self._lifecycle.send(entry)
