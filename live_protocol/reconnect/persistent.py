"""PersistentConnection: one session over as many connections as it takes, with the surface of `LiveConnection`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Self, Unpack, final

import attrs

from live_protocol import events as ev
from live_protocol.close_info import CloseInfo
from live_protocol.codec.codec import Codec
from live_protocol.connection.options import ConnectOptions
from live_protocol.endpoint import Endpoint
from live_protocol.errors import InvalidMessage, NotConnected
from live_protocol.events import Event
from live_protocol.limits import Limits
from live_protocol.messages import FunctionCall, LiveClientMessage, LiveClientToolResponse
from live_protocol.reconnect.lifecycle import (
    REACTIONS,
    DialRequest,
    EndpointSource,
    PersistentMachine,
    Settings,
    with_resumption,
)
from live_protocol.reconnect.policy import ReconnectPolicy
from live_protocol.reconnect.reconnector import system_random
from live_protocol.reconnect.snapshot import Snapshot, setup_digest
from live_protocol.session import requests
from live_protocol.session.profiles import ModelProfile
from live_protocol.session.resumption import Resumption
from live_protocol.session.tool_calls import ToolCallTracker, key_of
from live_protocol.session.usage import Usage
from live_protocol.states import ConnectionState, Phase, TurnState
from live_protocol.timing import Timeouts
from live_protocol.websocket import endings
from live_protocol.websocket.link import Observer, Wants

__all__ = ["DialRequest", "EndpointSource", "PersistentConnection", "PersistentOptions"]

_NOTHING = Wants(read=False, write=False, half_close=False, close=False)
_WRITE = Wants(read=False, write=True, half_close=False, close=False)
_CLOSE = Wants(read=False, write=False, half_close=False, close=True)


class PersistentOptions(ConnectOptions, total=False):
    """The options of `PersistentConnection.client`, each documented there or in `ConnectOptions`."""

    policy: ReconnectPolicy | None
    jitter: Callable[[], float]


@final
class PersistentConnection(PersistentMachine):
    """One session as a pure state machine that outlives its connections (wire.md#resumption).

    It has the surface of `LiveConnection` and is driven in the same way, with one thing more: where `dial` is not None,
    close the transport in hand, if there is one, open another one to that endpoint, and call `dial_started` or
    `dial_failed`; the first connection is made in the same way. Between two connections ``wants.close`` means the
    transport in hand; the session is over when ``state`` is CLOSED. Somebody has to take events all the time: the end
    of a connection is noticed where its events are read.

    Where a connection ends, `Reconnecting` stands in place of `ConnectionFailed` and `ConnectionClosed`, which come
    once, at the very end. Each further `SetupComplete` is followed by `Reconnected`, and every loss of input is an
    `InputLost`. Generations, token counts and tool calls go on across connections.

    What counts as lost: nothing is lost that `data_to_send` never handed out; it goes out on the next connection,
    unless the offline policy drops it. In transparent mode nothing else is lost either. Otherwise the server never says
    what it has, so what was handed out after the newest handle came, or less than ``ReconnectPolicy.in_flight_window``
    before, is reported as ``UNCONFIRMED`` when the connection breaks: a handle is taken to include what left earlier,
    and that is all that is known. Where the session cannot be resumed, all that it had is reported as ``NEW_SESSION``.

    Before the first `SetupComplete` commands raise `IllegalInState`; between two connections they follow
    ``ReconnectPolicy.offline``. Besides what the commands of `LiveSession` raise, they raise `NotConnected` where the
    policy keeps no more input, `ConnectionClosing` once `close` was called and `AlreadyClosed` after the end; on raise
    nothing was sent and nothing has changed.
    """

    __slots__ = ()

    @classmethod
    def client(
        cls,
        endpoint: EndpointSource,
        config: requests.ConfigInput | None = None,
        *,
        model: str | None = None,
        policy: ReconnectPolicy | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        codec: Codec | None = None,
        compression: bool = False,
        strict: bool = False,
        entropy: Callable[[int], bytes] = os.urandom,
        jitter: Callable[[], float] = system_random,
        observer: Observer | None = None,
        profile: ModelProfile | None = None,
        snapshot: Snapshot | None = None,
    ) -> Self:
        """A new session, or one that goes on; `dial` says at once where to connect.

        Args:
            endpoint: As for `LiveConnection.client`, or a callable that makes one for each dial; it is called here
                once, and what it gives is used for the first dial.
            config: As for `LiveConnection.client`; with ``session_resumption.handle`` the first connection resumes.
            model: As for `LiveConnection.client`.
            policy: When and how to reconnect; the defaults if left out.
            limits: Bounds of each connection.
            timeouts: Durations of each connection.
            codec: Dialect, if not the endpoint's.
            compression: Whether to offer permessage-deflate.
            strict: For tests, as for `LiveConnection.client`.
            entropy: Source of handshake keys and masks.
            jitter: Source of random numbers from 0 to 1, below 1, for the delays.
            observer: As for `LiveConnection.client`; one for all connections.
            profile: What the model is known to refuse, where that shall be refused here; see `live_protocol.session`.
            snapshot: See `restore`.

        Raises:
            InvalidMessage: The service would refuse the setup, a header cannot be sent, the policy asks for transparent
                mode where there is none, or the snapshot does not fit. Nothing was made.
            MessageTooLarge: The setup is over ``Limits.max_send``. Nothing was made.
        """
        first = endpoint if isinstance(endpoint, Endpoint) else endpoint()
        policy, limits = policy or ReconnectPolicy(), limits or Limits()
        settings = Settings(
            codec=codec or Codec(first.backend, max_depth=limits.max_json_depth),
            limits=limits,
            timeouts=timeouts or Timeouts(),
            compression=compression,
            strict=strict,
            entropy=entropy,
            observer=observer,
            profile=profile,
        )
        setup = with_resumption(requests.build_setup(first, config, model), policy)
        return cls(endpoint, first, setup, policy=policy, settings=settings, jitter=jitter, snapshot=snapshot)

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
            snapshot: What `snapshot` gave there.
            endpoint: See `client`; credentials are never part of a snapshot.
            config: The same as there.
            **options: See `client`; model and policy have to make the same setup as there.

        Raises:
            InvalidMessage: As for `client`; also where backend or setup are not those of the snapshot.
            MessageTooLarge: As for `client`.
        """
        return cls.client(endpoint, config, snapshot=snapshot, **options)

    def __repr__(self) -> str:
        return f"<PersistentConnection {self.state} {self.phase} epoch={self._epoch} turn={self.turn}>"

    # --- dialing ------------------------------------------------------------------------------------------------

    @property
    def dial(self) -> DialRequest | None:
        """What the adapter has to dial now; None while there is nothing to dial, or not yet.

        Where the endpoint comes from a callable, reading this may call it; if that raises, the dial has failed.
        """
        return self._due()

    def dial_succeeded(self) -> None:
        """The transport that `dial` asked for is open, and the one before it is closed.

        Raises:
            IllegalInState: Nothing was to be dialed. Nothing has changed.
        """
        request = self._requested("dial_started")
        self._request = None
        self._epoch = self._calls.epoch = request.epoch
        before = self._session
        handle = self._decision.handle
        resumption = Resumption() if handle is None else attrs.evolve(before.resumption, handle=handle, updates=0)
        self._connect(request.endpoint, before.generation, before.usage, resumption)
        self._reconnector.dial_started(handle)
        self._dialed, self._live, self._muted = True, True, False
        if self._now is not None:
            self._connection.advance(self._now)

    def dial_failed(self, error: BaseException | str, *, retryable: bool = True) -> None:
        """The transport that `dial` asked for could not be opened.

        Args:
            error: What happened; as for `LiveConnection.transport_failed`; an error of this library is kept.
            retryable: False where another try must fail in the same way: a certificate that is not valid, for example.

        Raises:
            IllegalInState: Nothing was to be dialed. Nothing has changed.
        """
        self._requested("dial_failed")
        self._failed_to_dial(error, retryable=retryable)

    # --- inputs -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """See `LiveConnection.tick`."""
        self._now = now if self._now is None else max(now, self._now)
        if self._dialed:
            self._connection.tick(self._now)

    def advance(self, now: float) -> None:
        """See `LiveConnection.advance`; also lets the time for the next dial come."""
        self._now = now if self._now is None else max(now, self._now)
        if self._dialed:
            self._connection.advance(self._now)
        self._leave_if_due()

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """See `LiveConnection.receive_data`."""
        if self._live:
            self._input.bytes_received(self._clock)
        self._connection.receive_data(data)

    def receive_eof(self) -> None:
        """See `LiveConnection.receive_eof`; it means the transport in hand."""
        self._connection.receive_eof()

    def transport_failed(self, error: BaseException | str) -> None:
        """See `LiveConnection.transport_failed`; it means the transport in hand."""
        self._connection.transport_failed(error)

    # --- outputs ------------------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """The next event, or None if there is none yet."""
        while True:
            if self._queue:
                event = self._queue.popleft()
                if type(event) is ev.ConnectionClosed:
                    self._close_info = event.info
                return event
            if not self._live:
                return None
            found = self._connection.next_event()
            if found is None:
                if not self._connection.buffered_in:
                    self._input.input_processed()
                return found
            react = REACTIONS.get(type(found))
            if react is None or react(self, found):
                return found

    def events(self) -> Iterator[Event]:
        """Events until there is none; safe to abandon and to take up again."""
        while (event := self.next_event()) is not None:
            yield event

    def data_to_send(self) -> bytes:
        """All bytes that wait to be written on the transport in hand; see `LiveConnection.data_to_send`."""
        if not self._dialed:
            return b""
        data = self._connection.data_to_send()
        if self._muted:
            return b""
        if data and self._live:
            self._input.bytes_sent(self._clock)
        return data

    def next_deadline(self) -> float | None:
        """Reading at which `advance` has something to do, at the latest; None where time alone changes nothing."""
        if self._live or self._ended or self._writing:
            times = (self._connection.next_deadline(), self._reconnector.next_deadline() if self._live else None)
            return min((at for at in times if at is not None), default=None)
        return self._decision.at if self._clock < self._decision.at else None

    @property
    def wants(self) -> Wants:
        """What to do with the transport in hand; between two connections: write the rest, then close it."""
        if self._live or (self._ended and not self._muted):
            return self._connection.wants
        if not self._dialed:
            return _NOTHING
        return _WRITE if self._writing else _CLOSE

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
            epoch: Connection the calls came on, from ``ToolCallRequested.epoch``. Give it where work can outlive a
                session: ids may come again in a new one, and then only this tells an old result from a new one.

        Raises:
            ToolCallOrphaned: The call belongs to another connection, and the policy or the new session rules its answer
                out. Nothing was sent.
            LocalProtocolError, StaleOperation: As there, and as the class says.
        """
        responses = requests.tool_responses(function_responses)
        response = LiveClientToolResponse(function_responses=responses)
        self._send_client("send_tool_response", LiveClientMessage(tool_response=response), epoch)
        self._leave_if_due()

    def ping(self, payload: bytes = b"") -> None:
        """See `LiveConnection.ping`.

        Raises:
            NotConnected: There is no connection at the moment. Nothing was sent.
            LocalProtocolError, StaleOperation: As there.
        """
        if not self._live and not self._ended:
            raise NotConnected("ping", "cannot wait")
        self._connection.ping(payload)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the session: close the connection, or stop trying to make one; calling it again does nothing.

        Args:
            code: See `LiveConnection.close`.
            reason: See `LiveConnection.close`.

        Raises:
            InvalidMessage: Code or reason may not be sent; nothing has changed.
        """
        self._connection.close(code, reason)
        if self._closing or self._ended:
            return
        self._closing = True
        if not self._live:
            self._connection.receive_eof()
            self._finish(endings.closed_locally())

    def drain(self, within: float) -> None:
        """End the session so that another process can go on with it: at the next safe moment, see `GoAwayPolicy`.

        `ConnectionClosed` comes then, and `snapshot` is to be taken after it. Until then everything goes on as before;
        there is no further connection. What could not be delivered is no loss: the snapshot holds it. Between two
        connections, and while one is being set up, the session ends at once. Calling it again can only bring the end
        nearer; `close` ends a session that drains at once, in the same way.

        Args:
            within: Seconds after which to leave at the latest, in the middle of a turn if need be.

        Raises:
            InvalidMessage: ``within`` is no number from 0. Nothing has changed.
        """
        if not isinstance(within, int | float) or not 0 <= within < float("inf"):
            raise InvalidMessage("within", f"must be a number of seconds from 0, not {within!r}")
        if self._closing or self._ended:
            return
        self._draining = True
        if self._live and self._reconnector.ready:
            self._reconnector.leave_by(self._clock + within)
            self._leave_if_due()
        else:
            self.close()

    def snapshot(self) -> Snapshot:
        """What another process needs to go on with this session, as of now; changes nothing.

        To move a session, `drain` it, wait for `ConnectionClosed`, then take the snapshot: the service does not let a
        session be resumed while its connection lives. What `InputLost` has reported is not in it: `close` in place of
        `drain` reports what never left as lost.
        """
        codec, outbox, context = self._settings.codec, self._input.outbox, self._input.context
        recent = self._calls.recent if outbox.transparent else ()
        entries, missing = self._input.export(recent)
        text = None if context is None else codec.encode_client(LiveClientMessage(context_update=context)).decode()
        return Snapshot(
            handle=self._reconnector.handle,
            backend=codec.backend,
            setup_digest=setup_digest(self._config, codec),
            epoch=self._epoch,
            generation=self.generation,
            accepted=outbox.accepted,
            outbox=entries,
            kept=outbox.kept.copy(),
            unconfirmed=missing,
            calls=[entry for entry in self._calls.open() if key_of(entry.call) not in recent],
            usage=attrs.evolve(self.usage, last=None),
            context=text,
            created=self._now,
        )

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """State of the WebSocket connection: CONNECTING between two of them, CLOSED only at the very end."""
        if not self._live and not self._ended:
            return ConnectionState.CONNECTING
        state = self._connection.state
        # Until its end was read, it is not known whether another connection follows.
        ours = self._closing or self._ended
        return ConnectionState.CLOSING if state is ConnectionState.CLOSED and not ours else state

    @property
    def phase(self) -> Phase:
        """How far the present connection has come; NEW between two of them, ENDED only at the very end."""
        if self._live:
            return self._connection.phase
        return Phase.ENDED if self._ended else Phase.NEW

    @property
    def turn(self) -> TurnState:
        """Where the model is in its turn; a turn ends with its connection."""
        return self._session.turn if self._live else TurnState.IDLE

    @property
    def generation(self) -> int:
        """Number of the newest generation of the session, from 1; 0 before the first."""
        return self._session.generation

    @property
    def epoch(self) -> int:
        """Number of the newest connection, from 1; 0 before the first was dialed."""
        return self._epoch

    @property
    def accepted(self) -> int:
        """Number of the newest message that a command accepted, from 1; see ``InputLost.numbers``."""
        return self._input.outbox.accepted

    @property
    def pending_tool_calls(self) -> tuple[FunctionCall, ...]:
        """Calls that await a response, of all connections, oldest first."""
        return self._calls.pending()

    @property
    def tool_calls(self) -> ToolCallTracker:
        """The table of calls of all connections, for what became of each: see `ToolCallTracker.get`."""
        return self._calls

    @property
    def resumption(self) -> Resumption:
        """How the session could be resumed."""
        return self._session.resumption

    @property
    def usage(self) -> Usage:
        """Tokens of the session so far."""
        return self._session.usage

    @property
    def close_info(self) -> CloseInfo | None:
        """What the `ConnectionClosed` event said, None before it."""
        return self._close_info

    @property
    def buffered_in(self) -> int:
        """Bytes received that no event has told of yet."""
        return self._connection.buffered_in

    @property
    def buffered_out(self) -> int:
        """Bytes that wait in `data_to_send`; not those that wait for a connection."""
        return 0 if self._muted else self._connection.buffered_out

    @property
    def latency(self) -> float | None:
        """Seconds the newest pong of the present connection took, None before the first."""
        return self._connection.latency
