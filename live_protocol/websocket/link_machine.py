"""The inside of `WebSocketLink`: how the state moves on what comes in and on the clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, cast, final

import attrs

from live_protocol.close_info import CloseInfo
from live_protocol.errors import (
    DeadlineExpired,
    HandshakeFailed,
    LimitExceeded,
    LiveProtocolError,
    RemoteProtocolError,
)
from live_protocol.events import (
    Connected,
    ConnectionClosed,
    ConnectionEvent,
    ConnectionFailed,
    PingReceived,
    PongReceived,
    StallKind,
    StallSuspected,
    UpgradeRejected,
    UpgradeRequested,
)
from live_protocol.limits import Limits
from live_protocol.states import CONNECTION_TRANSITIONS, ConnectionInput, ConnectionState
from live_protocol.timing import Deadline, Deadlines, Timeouts
from live_protocol.websocket import endings
from live_protocol.websocket.compression import Compressor, Decompressor
from live_protocol.websocket.frames import PING, FrameReader, Text
from live_protocol.websocket.handshake import ClientHandshake, ServerHandshake, Upgraded
from live_protocol.websocket.keepalive import Keepalive
from live_protocol.websocket.send_queue import SendQueue

__all__ = ["LinkMachine", "Observation", "Observer", "Wants"]


@final
@attrs.frozen(kw_only=True)
class Observation:
    """One thing that passed a connection.

    Attributes:
        at: Reading of the clock, in seconds; None before there was one.
        from_client: Whether it comes from the client's end.
        what: A whole message, `str` for text and `bytes` for binary, or an event of the connection.
    """

    at: float | None
    from_client: bool
    what: bytes | str | ConnectionEvent


@final
@attrs.frozen
class Wants:
    """What the owner of the transport should do next.

    Attributes:
        read: Reading makes sense: there is room, and what comes would still be looked at.
        write: `WebSocketLink.data_to_send` has something.
        half_close: Our last byte was handed out while the peer may still be sending: closing only the sending
            direction first lets it read our last words, where a plain close could discard them by a reset.
        close: The transport should be closed now; nothing is left to write.
    """

    read: bool
    write: bool
    half_close: bool
    close: bool


_WANTS: Final = tuple(
    Wants(read=bool(bits & 1), write=bool(bits & 2), half_close=bool(bits & 4), close=bool(bits & 8))
    for bits in range(16)
)

Observer: TypeAlias = Callable[[Observation], object]
"""Called with everything that passes a connection, in order. It must not raise."""

_CONNECTING: Final = ConnectionState.CONNECTING
_OPEN: Final = ConnectionState.OPEN
_CLOSING: Final = ConnectionState.CLOSING
_CLOSED: Final = ConnectionState.CLOSED

_ITEM_COST: Final = 64  # bytes that an object in the queue costs, however small its message is
_MIN_ITEMS: Final = 1024


class LinkMachine:
    """State of one WebSocket connection and every step it takes by itself; the commands are `WebSocketLink`'s."""

    __slots__ = (
        "_client",
        "_close_transport",
        "_framing",
        "_handshake",
        "_info",
        "_keepalive",
        "_limits",
        "_linger",
        "_max_in",
        "_max_items",
        "_observer",
        "_paused",
        "_queue",
        "_reader",
        "_send_queue",
        "_timeouts",
        "deadlines",
        "state",
        "wants",
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
        self._handshake = handshake
        self._client = isinstance(handshake, ClientHandshake)
        self._limits = limits
        self._timeouts = timeouts
        self._observer = observer
        self.state: ConnectionState = _CONNECTING
        self._queue: deque[bytes | Text | ConnectionEvent] = deque()
        self._max_in = limits.max_buffered_in
        self._max_items = max(_MIN_ITEMS, limits.max_buffered_in // _ITEM_COST)
        self._paused = False  # the queue is full
        self._framing = False  # frames are being parsed
        self._reader = self._new_reader(None)
        self._send_queue = SendQueue(client=self._client, entropy=entropy)
        self._info: CloseInfo | None = None
        self._close_transport = False  # the transport is ours to close
        self._linger = False  # and the peer may still be sending then
        self.deadlines: Deadlines = deadlines or Deadlines()
        self.deadlines.messages = self._queue
        self._keepalive = Keepalive(self.deadlines, timeouts)
        self.deadlines.arm(Deadline.OPEN, timeouts.open)
        if isinstance(handshake, ClientHandshake):
            self._send_queue.write(handshake.request)
        self.wants: Wants = _WANTS[0]
        self._update_wants()

    def _update_wants(self) -> None:
        """After each change of what it is made of, which only inputs, commands and pulls make."""
        bits = 0
        if self._send_queue:
            bits = 2
        elif self._close_transport or self.state is _CLOSED:
            bits = 12 if self._linger and self.state is not _CLOSED else 8
        if not self._paused and (
            self._framing
            or (self.state is _CLOSING and not self._close_transport)
            or (self.state is _CONNECTING and not self._handshake.waits)
        ):
            bits |= 1
        self.wants = _WANTS[bits]

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
        request = handshake.receive(data)
        if isinstance(request, UpgradeRequested):
            self._queue.append(request)
            request = handshake.overflow()
        if request is not None:
            self._answer(request.status, request.headers)
            self._fail(request.error)

    def _answer(self, status: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Server role: refuse on our own account. A client's request, if it was not taken yet, need not go any more."""
        self._send_queue.clear()
        if isinstance(self._handshake, ServerHandshake):
            self._send_queue.write(self._handshake.refuse(status, headers))

    def _give_up(self) -> None:
        """While connecting, because we were told so."""
        self._move(ConnectionInput.LOCAL_CLOSE)
        self._close_transport = True
        self._linger = not self._client
        self._finish(endings.closed_locally())

    def _refused(self, error: RemoteProtocolError) -> None:
        """Client role: there will be no WebSocket."""
        if isinstance(error, HandshakeFailed) and error.status is not None:
            self._queue.append(UpgradeRejected(status=error.status, headers=error.headers, body=error.body))
        self._send_queue.clear()
        self._move(ConnectionInput.FAIL)
        self._close_transport = True
        self._finish(endings.closed_by_refusal(error))

    def _upgraded(self, outcome: Upgraded) -> None:
        deflate_parameters = outcome.deflate_parameters
        if deflate_parameters is not None:
            ours = (deflate_parameters.client_max_window_bits, deflate_parameters.client_context_takeover)
            theirs = (deflate_parameters.server_max_window_bits, deflate_parameters.server_context_takeover)
            if not self._client:
                ours, theirs = theirs, ours
            self._send_queue.compressor = Compressor(bits=ours[0], context_takeover=ours[1])
            self._reader = self._new_reader(Decompressor(limit=self._limits.max_message, context_takeover=theirs[1]))
        self._handshake.discard()
        self._framing = True
        self._move(ConnectionInput.UPGRADED)
        self.deadlines.disarm(Deadline.OPEN)
        self._keepalive.start()
        self._queue.append(Connected(headers=outcome.headers, compression=deflate_parameters is not None))
        if outcome.trailing:
            self._receive_frames(outcome.trailing)

    def _open_expired(self, after: float) -> None:
        handshake = self._handshake
        if isinstance(handshake, ServerHandshake):
            detail = "the request was not answered" if handshake.waits else "no complete request came"
            self._answer(503 if handshake.waits else 408)
            self._fail(DeadlineExpired(Deadline.OPEN, after, detail))
        elif (refused := handshake.eof_received()) is not None:
            self._refused(refused)
        else:
            self._send_queue.clear()
            self._fail(DeadlineExpired(Deadline.OPEN, after, "no complete response to the upgrade came"))

    # --- frames -------------------------------------------------------------------------------------------------

    def _new_reader(self, decompressor: Decompressor | None) -> FrameReader:
        return FrameReader(
            client=self._client,
            limits=self._limits,
            decompressor=decompressor,
            queue=cast("deque[object]", self._queue),
            on_ping=self._on_ping,
            on_pong=self._on_pong,
            on_close=self._on_close,
        )

    def _receive_frames(self, data: bytes) -> None:
        self._keepalive.data_received()
        reader = self._reader
        try:
            reader.feed(data)
        except RemoteProtocolError as error:
            self._fail(error.with_traceback(None))  # which would keep the data alive
        else:
            if reader.queued > self._max_in or len(self._queue) > self._max_items:
                self._paused = self._framing

    def _on_ping(self, payload: bytes) -> None:
        if self.state is not _OPEN:
            return  # RFC 6455 section 5.5.1: nothing follows our close frame
        self._queue.append(PingReceived(payload=payload))
        self._send_queue.pong(payload)
        if self._send_queue.pong_bytes > self._limits.max_buffered_out:
            raise LimitExceeded("max_buffered_out", self._limits.max_buffered_out, close_code=1008)

    def _on_pong(self, payload: bytes) -> None:
        self._queue.append(PongReceived(payload=payload, rtt=self._keepalive.pong(payload)))

    def _on_close(self, code: int, reason: str, cut: bool) -> None:
        sent = self._send_queue.close_sent
        if sent is None:
            self._send_queue.close(code, reason)  # RFC 6455 section 5.5.1: typically the code is echoed
        self._move(ConnectionInput.REMOTE_CLOSE)
        self._close_transport = not self._client  # RFC 6455 section 7.1.1: the server closes the TCP connection first
        self._finish(endings.closed_by_frame(code, reason, sent=sent, cut=cut, client=self._client))

    def _send_keepalive(self) -> None:
        if self.state is _OPEN:  # else the pong deadline of the same moment has ended it
            payload = self._keepalive.ping_due()
            if payload is not None:
                self._ping(payload)

    def _report_stall(self) -> None:
        if self.state is _OPEN:
            self._queue.append(StallSuspected(kind=StallKind.SILENT_LINK, silence=self._keepalive.idle_time()))

    def _ping(self, payload: bytes) -> None:
        self._send_queue.control(PING, payload)
        self._keepalive.queue(payload)

    def _bytes_sent(self) -> None:
        """Our bytes are on their way."""
        self._keepalive.take(watch=self.state is _OPEN and not self._paused)
        if self.state is _CLOSED:
            self.deadlines.clear()

    def _resume(self) -> None:
        """The queue has room again."""
        self._paused = False
        if self.state is _OPEN:
            self._keepalive.watch()

    # --- the end ------------------------------------------------------------------------------------------------

    def _fail(self, error: LiveProtocolError) -> None:
        """The peer broke a rule or a deadline: say so, stop reading, hang up."""
        code, reason = 1006, ""
        if self.state is _OPEN:
            code, reason = endings.close_frame_for(error)
            self._send_queue.close(code, reason)
        self._move(ConnectionInput.FAIL)
        self._close_transport = self._linger = True
        self._finish(endings.closed_by_failure(error, code, reason))

    def _transport_ended(self, why: str) -> None:
        if isinstance(self._handshake, ClientHandshake) and self.state is _CONNECTING:
            refused = self._handshake.eof_received()
            if refused is not None:
                self._refused(refused)
        if self._info is None:
            self._send_queue.clear()
            closing = self.state is _CLOSING
            self._finish(endings.closed_by_transport(f"{why} {endings.MEANWHILE[self.state]}", closing=closing))
        self._move(ConnectionInput.END)

    def _close_expired(self, after: float) -> None:
        if self._info is None:
            self._finish(
                endings.closed_by_failure(
                    DeadlineExpired(Deadline.CLOSE, after, "the peer did not answer our close frame"), 1006, ""
                )
            )
        self._send_queue.clear()
        if self.state is _CLOSING:
            self._move(ConnectionInput.END)

    def _finish(self, info: CloseInfo) -> None:
        """The outcome is known: report it, once, and parse nothing more."""
        self._framing = False
        self._paused = False
        self._info = info
        self._reader.discard()
        self._handshake.discard()
        if info.error is not None:
            self._queue.append(ConnectionFailed(error=info.error))
        self._queue.append(ConnectionClosed(info=info))

    def _move(self, what: ConnectionInput) -> None:
        """Take the one step that the table has."""
        before = self.state
        self.state = CONNECTION_TRANSITIONS[before, what]
        if self.state is _CLOSING and before is not _CLOSING:
            self.deadlines.clear()
            self.deadlines.arm(Deadline.CLOSE, self._timeouts.close)
        elif self.state is _CLOSED and not self._send_queue:
            self.deadlines.clear()

    def _drop_input(self) -> None:
        self._queue.clear()
        self._paused = False
        self._reader.queued = 0
