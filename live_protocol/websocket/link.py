"""WebSocketLink: one WebSocket connection as a pure state machine (RFC 6455), without I/O and without a clock.

How it works. Bytes go through the opening handshake until it has an outcome, then through the `FrameReader`, which puts
whole messages on the queue of the `LinkCore` and calls back for pings, pongs and the close frame. `next_event` takes
from that queue; once the queue is full, ``wants.read`` turns false and reading pauses. Commands and answers put frames
on the `SendQueue`, from which `data_to_send` takes everything. `Keepalive` decides about pings.

The outcome is settled once, in `_finish`: by a close frame, a refusal, a failure, a command or the end of the
transport. It puts the last events on the queue, and nothing is parsed after it. Only `fail` may amend it, as long as
no event of it was taken.

Every method that can change what the transport should do ends in `_update_wants`, except where only the write flag
changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final, Self, TypeAlias, cast, final

from live_protocol.close_info import CloseInfo
from live_protocol.errors import (
    DeadlineExpired,
    HandshakeFailed,
    IllegalInState,
    InvalidMessage,
    LimitExceeded,
    LiveProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
)
from live_protocol.events import (
    Connected,
    ConnectionEvent,
    PingReceived,
    PongReceived,
    StallKind,
    StallSuspected,
    UpgradeRejected,
    UpgradeRequested,
)
from live_protocol.limits import Limits
from live_protocol.states import ConnectionInput, ConnectionState
from live_protocol.timing import Deadline, Deadlines, Timeouts
from live_protocol.websocket import endings
from live_protocol.websocket.compression import Compressor, Decompressor
from live_protocol.websocket.frames import BINARY, PING, TEXT, FrameReader
from live_protocol.websocket.handshake import ClientHandshake, HandshakeRequest, ServerHandshake, Upgraded
from live_protocol.websocket.keepalive import Keepalive
from live_protocol.websocket.link_core import WANTS, LinkCore, Observer, Wants
from live_protocol.websocket.send_queue import SendQueue

Buffer: TypeAlias = bytes | bytearray | memoryview

_CONNECTING: Final = ConnectionState.CONNECTING
_OPEN: Final = ConnectionState.OPEN
_CLOSING: Final = ConnectionState.CLOSING
_CLOSED: Final = ConnectionState.CLOSED

_MAX_CONTROL: Final = 125  # RFC 6455 section 5.5


@final
class WebSocketLink:
    """One WebSocket connection, client or server role.

    Bytes and clock readings go in by `receive_data`, `receive_eof`, `transport_failed` and `advance`, which never raise
    for what the peer did. Messages and events come out of `next_event` in the order of the wire; bytes come out of
    `data_to_send`. Framing, answers to pings and closes, and limits happen as the bytes arrive.

    The last event is always one `ConnectionClosed`; if the connection failed, a `ConnectionFailed` with the
    reason comes right before it.

    Attributes:
        core: State, queue and outcome; read it only.
        reader: Parses the frames; read it only.
    """

    __slots__ = (
        "_close_transport",
        "_framing",
        "_handshake",
        "_keepalive",
        "_linger",
        "_send_queue",
        "_wants_idle",
        "_wants_writing",
        "core",
        "reader",
    )

    def __init__(
        self,
        handshake: ClientHandshake | ServerHandshake,
        limits: Limits,
        timeouts: Timeouts,
        entropy: Callable[[int], bytes],
        *,
        observer: Observer | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        """Use `client` or `server` instead."""
        client = isinstance(handshake, ClientHandshake)
        self.core: LinkCore = LinkCore(
            client=client, limits=limits, timeouts=timeouts, observer=observer, deadlines=deadlines
        )
        self._handshake: ClientHandshake | ServerHandshake | None = handshake  # until it is over
        self._framing = False  # frames are being parsed
        self.reader: FrameReader = self._new_reader(None)
        self._send_queue = SendQueue(client=client, entropy=entropy)
        self._close_transport = False  # the transport is ours to close
        self._linger = False  # and the peer may still be sending then
        self._keepalive = Keepalive(self.core.deadlines, timeouts)
        self._wants_idle = self._wants_writing = WANTS[0]  # without and with something to write
        if isinstance(handshake, ClientHandshake):
            self._send_queue.write(handshake.request)
        self._update_wants()

    @classmethod
    def client(
        cls,
        request: HandshakeRequest,
        *,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        compression: bool = False,
        entropy: Callable[[int], bytes] = os.urandom,
        observer: Observer | None = None,
        deadlines: Deadlines | None = None,
    ) -> Self:
        """The client's end; its request is ready in `data_to_send`.

        Args:
            request: What to ask for.
            limits: Bounds on what the peer may cost and on what is sent.
            timeouts: How long each phase may take.
            compression: Offer permessage-deflate (RFC 7692).
            entropy: Source of unpredictable bytes for the key and the masks (RFC 6455 section 10.3).
            observer: Called with every message sent, and with every message and event that `next_event` returns.
            deadlines: The table of the connection that the link is part of; one of its own if left out.
        """
        limits = limits or Limits()
        handshake = ClientHandshake(request, limits=limits, compression=compression, entropy=entropy)
        return cls(handshake, limits, timeouts or Timeouts(), entropy, observer=observer, deadlines=deadlines)

    @classmethod
    def server(
        cls,
        *,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        compression: bool = False,
        observer: Observer | None = None,
        deadlines: Deadlines | None = None,
    ) -> Self:
        """The server's end; it waits for a request and then for `accept` or `reject`.

        Args:
            limits: Bounds on what the peer may cost and on what is sent.
            timeouts: How long each phase may take.
            compression: Accept permessage-deflate (RFC 7692) if the client's offer can be met.
            observer: As for `client`.
            deadlines: As for `client`.
        """
        limits = limits or Limits()
        handshake = ServerHandshake(limits=limits, compression=compression)
        return cls(handshake, limits, timeouts or Timeouts(), os.urandom, observer=observer, deadlines=deadlines)

    def __repr__(self) -> str:
        return f"<WebSocketLink {'client' if self.core.client else 'server'} {self.core.state}>"

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """Where the connection is; it moves only along `live_protocol.states.CONNECTION_TRANSITIONS`."""
        return self.core.state

    @property
    def wants(self) -> Wants:
        """What the owner of the transport should do next."""
        return self.core.wants

    @property
    def pending(self) -> bool:
        """Whether `next_event` has something."""
        return bool(self.core.queue)

    @property
    def buffered_in(self) -> int:
        """Bytes of messages not yet pulled and of the message that is still arriving."""
        return self.core.queued + self.reader.partial + (0 if self._handshake is None else self._handshake.held)

    @property
    def buffered_out(self) -> int:
        """Bytes that `data_to_send` would give."""
        return self._send_queue.size

    @property
    def latency(self) -> float | None:
        """Seconds between the last answered ping and its pong, None before the first."""
        return self._keepalive.latency

    def next_deadline(self) -> float | None:
        """The clock reading at which `advance` has to be called, None if there is none.

        It may turn out too early: bytes received push the ping deadline back only when it fires.
        """
        return self.core.deadlines.next()

    # --- input --------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Move the clock and act on what is due.

        Args:
            now: A reading in seconds of any monotonic clock; an earlier one than before counts as the same.
        """
        self.core.deadlines.tick(now)
        for which in self.core.deadlines.expired(session=False):
            if which is Deadline.PING:
                self._send_keepalive()
            elif which is Deadline.PONG:
                after = cast("float", self.core.timeouts.ping_timeout)
                self._fail(DeadlineExpired(which, after, "a ping was sent and nothing came back"))
            elif which is Deadline.SILENT_LINK:
                self._report_stall()
            elif which is Deadline.OPEN:
                self._open_expired(cast("float", self.core.timeouts.open))
            else:
                self._close_expired(cast("float", self.core.timeouts.close))
            self._update_wants()

    def receive_data(self, data: Buffer) -> None:
        """Take bytes from the peer; none at all are no end of the stream and change nothing.

        Args:
            data: Any number of bytes; a copy is made unless it is `bytes`.

        Raises:
            TypeError: It is no buffer of bytes.
        """
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))
        if not data:
            return
        if not self._framing:
            if self.core.state is _CONNECTING:
                self._receive_handshake(data)
                self._update_wants()
            return
        core, keepalive = self.core, self._keepalive
        keepalive.last_received = core.deadlines.now
        if keepalive.unanswered:
            keepalive.answered()
        try:
            self.reader.feed(data)
        except RemoteProtocolError as error:
            self._fail(error.with_traceback(None))  # which would keep the data alive
        else:
            if (core.queued > core.max_bytes or len(core.queue) > core.max_items) and self._framing:
                core.paused = True
                self._update_wants()

    def lone_message(self, data: bytes) -> bytes | None:
        """Take bytes that are one whole binary message and nothing else, while nothing waits to be pulled.

        Returns:
            The message, which `next_event` would have given; None for anything else, and then nothing has changed.
        """
        core = self.core
        if not self._framing or core.queue or core.observer is not None:
            return None
        message = self.reader.lone_message(data)
        if message is not None:
            keepalive = self._keepalive
            keepalive.last_received = core.deadlines.now
            if keepalive.unanswered:
                keepalive.answered()
        return message

    def receive_eof(self) -> None:
        """The peer will send nothing more. Calling it again changes nothing."""
        if self.core.state is not _CLOSED:
            self._transport_ended("the stream ended")
            self._update_wants()

    def transport_failed(self, error: BaseException | str) -> None:
        """The transport broke; nothing can be received or sent any more. Calling it again changes nothing.

        Args:
            error: What happened. Of an exception only its class and the meaning of its errno are kept; a text is
                kept as it is, so it must hold no secret.
        """
        if self.core.state is not _CLOSED:
            what = error if isinstance(error, str) else endings.scrub(error)
            self._transport_ended(f"the transport failed ({what})")
        self._send_queue.clear()
        self._update_wants()

    # --- output -------------------------------------------------------------------------------------------------

    def next_event(self) -> bytes | str | ConnectionEvent | None:
        """The next thing that happened.

        Returns:
            A whole binary message as `bytes`, a whole text message as `str`, an event, or None if there is
            nothing; after `ConnectionClosed` always that.
        """
        core = self.core
        queue = core.queue
        if not queue:
            return None
        item: bytes | str | ConnectionEvent | None
        first = queue[0]
        if type(first) is bytes and core.observer is None:  # as `take`, without the call: nearly every message
            item = first
            del queue[0]
            core.queued -= len(first)
        else:
            item = core.take()
        if core.paused and not core.full:
            core.paused = False
            if core.state is _OPEN:
                self._keepalive.watch()
            self._update_wants()
        return item

    def data_to_send(self) -> bytes:
        """Everything that is to be written now, as whole frames; they count as handed to the peer.

        The clock of a ping among them starts here.
        """
        data = self._send_queue.take()
        if data:
            core = self.core
            if self._keepalive.queued:
                self._keepalive.taken(watch=core.state is _OPEN and not core.paused)
            if core.state is _CLOSED:
                core.deadlines.clear()
            core.wants = self._wants_idle
        return data

    def text_to_send(self, data: bytes) -> bytes:
        """`send_text` and `data_to_send` in one: a message that leaves at once does not pass the queue.

        Args:
            data: As for `send_text`, which has checked the state and says what may be wrong.

        Returns:
            As `data_to_send`.
        """
        core = self.core
        if core.state is _OPEN and not core.wants.write and core.observer is None and len(data) <= core.limits.max_send:
            return self._send_queue.encode(TEXT, data)
        self.send_text(data)
        return self.data_to_send()

    # --- commands -----------------------------------------------------------------------------------------------

    def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Server role: answer `UpgradeRequested` with 101 (RFC 6455 section 4.2.2); `Connected` follows.

        Args:
            headers: More header fields of the response.

        Raises:
            IllegalInState: Client role, no request awaits an answer, or it has been accepted. Nothing changed.
            InvalidMessage: A header field cannot be sent. Nothing changed; the request still awaits its answer.
            ConnectionClosing: The attempt was given up meanwhile. Nothing was sent.
            AlreadyClosed: The connection ended meanwhile. Nothing was sent.
        """
        data, outcome = self._asked("accept").accept(headers)
        self._send_queue.write(data)
        self._upgraded(outcome)
        self._update_wants()

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None:
        """Server role: answer `UpgradeRequested` with a refusal; `ConnectionClosed` follows.

        Args:
            status: HTTP status, 200 to 599.
            headers: Header fields; Connection and Content-Length are set by the library.
            body: The body.

        Raises:
            IllegalInState: As for `accept`. Nothing changed.
            InvalidMessage: An argument cannot be sent. Nothing changed; the request still awaits its answer.
            ConnectionClosing: The attempt was given up meanwhile. Nothing was sent.
            AlreadyClosed: The connection ended meanwhile. Nothing was sent.
        """
        self._send_queue.write(self._asked("reject").refuse(status, headers, body))
        self._give_up()
        self._update_wants()

    def send_text(self, data: bytes) -> None:
        """Queue one text message.

        Args:
            data: Its UTF-8, which is not checked.

        Raises:
            IllegalInState: The link is not open yet. Nothing was sent.
            ConnectionClosing: The link closes. Nothing was sent.
            AlreadyClosed: The link has ended. Nothing was sent.
            InvalidMessage: It is not `bytes`. Nothing was sent.
            MessageTooLarge: It exceeds ``Limits.max_send``. Nothing was sent.
        """
        core = self.core
        if core.state is not _OPEN or type(data) is not bytes or len(data) > core.limits.max_send:
            self._check_send("send_text", data)
        self._send_queue.message(TEXT, data)
        core.wants = self._wants_writing
        if core.observer is not None:
            core.sent(data, text=True)

    def send_binary(self, data: bytes) -> None:
        """Queue one binary message.

        Args:
            data: Its bytes.

        Raises:
            IllegalInState, ConnectionClosing, AlreadyClosed, InvalidMessage, MessageTooLarge: As for `send_text`.
        """
        self._check_send("send_binary", data)
        self._send_queue.message(BINARY, data)
        self.core.wants = self._wants_writing
        if self.core.observer is not None:
            self.core.sent(data, text=False)

    def ping(self, payload: bytes = b"") -> None:
        """Queue a ping (RFC 6455 section 5.5.2); `PongReceived` reports the answer.

        Args:
            payload: Up to 125 bytes, different for each ping if round trips are to be measured.

        Raises:
            IllegalInState: The link is not open yet. Nothing was sent.
            ConnectionClosing: The link closes. Nothing was sent.
            AlreadyClosed: The link has ended. Nothing was sent.
            InvalidMessage: The payload is not `bytes` or too long. Nothing was sent.
        """
        if self.core.state is not _OPEN:
            raise self._refusal("ping")
        if not isinstance(payload, bytes) or len(payload) > _MAX_CONTROL:
            raise InvalidMessage("payload", f"must be bytes, {_MAX_CONTROL} at most")
        self._ping(payload)
        self._update_wants()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake (RFC 6455 section 7.1.2); messages still come until the peer's answer.

        While connecting it abandons the attempt: a client sends nothing more, a server answers 503; the
        `ConnectionClosed` says 1006 and is not clean, but no `ConnectionFailed` comes with it.
        Once the link closes, the call changes nothing.

        Args:
            code: 1000 to 1003, 1007 to 1014 or 3000 to 4999.
            reason: Up to 123 bytes of UTF-8.

        Raises:
            InvalidMessage: An argument cannot stand in a close frame. Nothing changed.
        """
        endings.check_close(code, reason)
        if self.core.state is _OPEN:
            self._send_queue.close(code, reason)
            self._move(ConnectionInput.LOCAL_CLOSE)
        elif self.core.state is _CONNECTING:
            self._answer(503)
            self._give_up()
        self._update_wants()

    def fail(self, error: LiveProtocolError) -> None:
        """End the connection for a fault that a layer above has found.

        Messages and events not pulled yet are dropped, because they came after the fault. A close frame with the code
        and the reason of the error is sent if the link is open; `ConnectionFailed` and `ConnectionClosed` follow.
        Where the wire has ended meanwhile, its facts stay in the report. Once `ConnectionFailed` or `ConnectionClosed`
        was pulled, the call changes nothing.

        Args:
            error: The fault; a deadline is reported with 1011, like every error that names no close code.
        """
        core = self.core
        if core.info is None:
            core.drop()
            if core.state is _CONNECTING:
                self._answer(500)
            self._fail(error)
        else:
            core.amend(error)
        self._update_wants()

    # --- sending ------------------------------------------------------------------------------------------------

    def _check_send(self, operation: str, data: bytes) -> None:
        core = self.core
        if core.state is not _OPEN:
            raise self._refusal(operation)
        if not isinstance(data, bytes):
            raise InvalidMessage("data", "must be bytes")
        if len(data) > core.limits.max_send:
            raise MessageTooLarge(len(data), core.limits.max_send)

    def _refusal(self, operation: str) -> LiveProtocolError:
        if self.core.state is _CONNECTING:
            return IllegalInState(operation, self.core.state, "wait for Connected")
        return self.core.too_late(operation)

    def _asked(self, operation: str) -> ServerHandshake:
        handshake = self._handshake
        self.core.check_answer(operation, asked=handshake is not None and handshake.waits)
        return cast("ServerHandshake", handshake)

    # --- opening handshake --------------------------------------------------------------------------------------

    def _receive_handshake(self, data: bytes) -> None:
        handshake = self._handshake
        if isinstance(handshake, ClientHandshake):
            outcome = handshake.receive(data)
            if isinstance(outcome, Upgraded):
                self._upgraded(outcome)
            elif outcome is not None:
                self._refused(outcome)
            return
        handshake = cast("ServerHandshake", handshake)
        request = handshake.receive(data)
        if isinstance(request, UpgradeRequested):
            self.core.queue.append(request)
            request = handshake.overflow()
        if request is not None:
            self._answer(request.status, request.headers)
            self._fail(request.error)

    def _answer(self, status: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Server role: refuse with a status of ours. A client's request that was not taken yet is dropped."""
        self._send_queue.clear()
        if isinstance(self._handshake, ServerHandshake):
            self._send_queue.write(self._handshake.refuse(status, headers))

    def _give_up(self) -> None:
        """End the attempt to connect because the caller asked for it."""
        self._move(ConnectionInput.LOCAL_CLOSE)
        self._close_transport = True
        self._linger = not self.core.client
        self._finish(endings.closed_locally())

    def _refused(self, error: RemoteProtocolError) -> None:
        """Client role: there will be no WebSocket."""
        if isinstance(error, HandshakeFailed) and error.status is not None:
            self.core.queue.append(UpgradeRejected(status=error.status, headers=error.headers, body=error.body))
        self._send_queue.clear()
        self._move(ConnectionInput.FAIL)
        self._close_transport = True
        self._finish(endings.closed_by_refusal(error))

    def _upgraded(self, outcome: Upgraded) -> None:
        deflate_parameters = outcome.deflate_parameters
        if deflate_parameters is not None:
            ours = (deflate_parameters.client_max_window_bits, deflate_parameters.client_context_takeover)
            theirs = (deflate_parameters.server_max_window_bits, deflate_parameters.server_context_takeover)
            if not self.core.client:
                ours, theirs = theirs, ours
            self._send_queue.compressor = Compressor(bits=ours[0], context_takeover=ours[1])
            self.reader = self._new_reader(Decompressor(limit=self.core.limits.max_message, context_takeover=theirs[1]))
        self._handshake = None
        self._framing = True
        self._move(ConnectionInput.UPGRADED)
        self.core.deadlines.disarm(Deadline.OPEN)
        self._keepalive.start()
        self.core.queue.append(Connected(headers=outcome.headers, compression=deflate_parameters is not None))
        if outcome.trailing:
            self.receive_data(outcome.trailing)

    def _open_expired(self, after: float) -> None:
        handshake = self._handshake
        if isinstance(handshake, ServerHandshake):
            detail = "the request was not answered" if handshake.waits else "no complete request came"
            self._answer(503 if handshake.waits else 408)
            self._fail(DeadlineExpired(Deadline.OPEN, after, detail))
        elif (refused := cast("ClientHandshake", handshake).eof_received()) is not None:
            self._refused(refused)
        else:
            self._send_queue.clear()
            self._fail(DeadlineExpired(Deadline.OPEN, after, "no complete response to the upgrade came"))

    # --- frames -------------------------------------------------------------------------------------------------

    def _new_reader(self, decompressor: Decompressor | None) -> FrameReader:
        return FrameReader(
            client=self.core.client,
            limits=self.core.limits,
            decompressor=decompressor,
            inbox=self.core,
            on_ping=self._on_ping,
            on_pong=self._on_pong,
            on_close=self._on_close,
        )

    def _on_ping(self, payload: bytes) -> None:
        if self.core.state is not _OPEN:
            return  # RFC 6455 section 5.5.1: nothing follows our close frame
        self.core.queue.append(PingReceived(payload=payload))
        self._send_queue.pong(payload)
        if self._send_queue.pong_bytes > self.core.limits.max_buffered_out:
            raise LimitExceeded("max_buffered_out", self.core.limits.max_buffered_out, close_code=1008)
        self.core.wants = self._wants_writing

    def _on_pong(self, payload: bytes) -> None:
        self.core.queue.append(PongReceived(payload=payload, rtt=self._keepalive.pong(payload)))

    def _on_close(self, code: int, reason: str, cut: bool) -> None:
        sent = self._send_queue.close_sent
        if sent is None:
            self._send_queue.close(code, reason)  # RFC 6455 section 5.5.1: typically the code is echoed
        self._move(ConnectionInput.REMOTE_CLOSE)
        # RFC 6455 section 7.1.1: the server closes the TCP connection first.
        self._close_transport = not self.core.client
        self._finish(endings.closed_by_frame(code, reason, sent=sent, cut=cut, client=self.core.client))
        self._update_wants()

    def _send_keepalive(self) -> None:
        if self.core.state is _OPEN:  # else the pong deadline of the same moment has ended it
            payload = self._keepalive.ping_due()
            if payload is not None:
                self._ping(payload)

    def _report_stall(self) -> None:
        if self.core.state is _OPEN:
            self.core.queue.append(StallSuspected(kind=StallKind.SILENT_LINK, silence=self._keepalive.idle_time()))

    def _ping(self, payload: bytes) -> None:
        self._send_queue.control(PING, payload)
        self._keepalive.queued.append(payload)

    # --- the end ------------------------------------------------------------------------------------------------

    def _fail(self, error: LiveProtocolError) -> None:
        """End the connection because the peer broke a rule or a deadline."""
        code, reason = 1006, ""
        if self.core.state is _OPEN:
            code, reason = endings.close_frame_for(error)
            self._send_queue.close(code, reason)
        self._move(ConnectionInput.FAIL)
        self._close_transport = self._linger = True
        self._finish(endings.closed_by_failure(error, code, reason))
        self._update_wants()

    def _transport_ended(self, why: str) -> None:
        if isinstance(self._handshake, ClientHandshake) and self.core.state is _CONNECTING:
            refused = self._handshake.eof_received()
            if refused is not None:
                self._refused(refused)
        if self.core.info is None:
            self._send_queue.clear()
            closing = self.core.state is _CLOSING
            self._finish(endings.closed_by_transport(f"{why} {endings.MEANWHILE[self.core.state]}", closing=closing))
        self._move(ConnectionInput.END)

    def _close_expired(self, after: float) -> None:
        if self.core.info is None:
            error = DeadlineExpired(Deadline.CLOSE, after, "the peer did not answer our close frame")
            self._finish(endings.closed_by_failure(error, 1006, ""))
        self._send_queue.clear()
        if self.core.state is _CLOSING:
            self._move(ConnectionInput.END)

    def _finish(self, info: CloseInfo) -> None:
        """Report the outcome, once, and parse nothing more."""
        self._framing = False
        self.reader.discard()
        self._handshake = None
        self.core.finish(info)

    def _move(self, what: ConnectionInput) -> None:
        self.core.move(what, writing=bool(self._send_queue))

    def _update_wants(self) -> None:
        """Derive what the transport should do from the state it depends on."""
        core = self.core
        idle = 0
        if self._close_transport or core.state is _CLOSED:
            idle = 12 if self._linger and core.state is not _CLOSED else 8
        reading = 0
        if not core.paused and (
            self._framing
            or (core.state is _CLOSING and not self._close_transport)
            or (core.state is _CONNECTING and self._handshake is not None and not self._handshake.waits)
        ):
            reading = 1
        self._wants_idle, self._wants_writing = WANTS[idle | reading], WANTS[2 | reading]
        core.wants = self._wants_writing if self._send_queue else self._wants_idle
