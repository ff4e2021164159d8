"""WebSocketLink: one WebSocket connection as a pure state machine (RFC 6455), without I/O and without a clock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final, Self, TypeAlias, cast, final

import attrs

from live_protocol.errors import (
    AlreadyClosed,
    ConnectionClosing,
    DeadlineExpired,
    IllegalInState,
    InvalidMessage,
    LiveProtocolError,
    MessageTooLarge,
)
from live_protocol.events import ConnectionEvent
from live_protocol.limits import Limits
from live_protocol.states import ConnectionInput, ConnectionState
from live_protocol.timing import Deadline, Deadlines, Timeouts
from live_protocol.websocket import endings
from live_protocol.websocket.frames import BINARY, TEXT, Text
from live_protocol.websocket.handshake import ClientHandshake, HandshakeRequest, ServerHandshake
from live_protocol.websocket.link_machine import LinkMachine, Observation, Observer, Wants

__all__ = ["Observation", "Observer", "Wants", "WebSocketLink"]

Buffer: TypeAlias = bytes | bytearray | memoryview

_CONNECTING: Final = ConnectionState.CONNECTING
_OPEN: Final = ConnectionState.OPEN
_CLOSING: Final = ConnectionState.CLOSING
_CLOSED: Final = ConnectionState.CLOSED

_MAX_CONTROL: Final = 125  # RFC 6455 section 5.5


@final
class WebSocketLink(LinkMachine):
    """One WebSocket connection, client or server role.

    Bytes and clock readings go in by `receive_data`, `receive_eof`, `transport_failed` and `advance`, which never raise
    for what the peer did. Messages and events come out of `next_event` in the order of the wire; bytes come out of
    `data_to_send`. Framing, answers to pings and closes, and limits happen as the bytes arrive.

    The last event is always one `ConnectionClosed`; where the connection ended in other than peace, a
    `ConnectionFailed` with the reason comes right before it.

    Attributes:
        state: Where the connection is; it moves only along `live_protocol.states.CONNECTION_TRANSITIONS`.
        wants: What the owner of the transport should do next.
        deadlines: Its deadlines; those of a session above it may be among them.
    """

    __slots__ = ()

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
            observer: Told of every message sent, and of every message and event when `next_event` gives it.
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
            compression: Accept permessage-deflate (RFC 7692) where the client offers it in terms we can meet.
            observer: As for `client`.
            deadlines: As for `client`.
        """
        limits = limits or Limits()
        handshake = ServerHandshake(limits=limits, compression=compression)
        return cls(handshake, limits, timeouts or Timeouts(), os.urandom, observer=observer, deadlines=deadlines)

    def __repr__(self) -> str:
        return f"<WebSocketLink {'client' if self._client else 'server'} {self.state}>"

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether `next_event` has something."""
        return bool(self._queue)

    @property
    def buffered_in(self) -> int:
        """Bytes of messages not yet pulled and of the message that is still arriving."""
        return self._reader.queued + self._reader.partial + self._handshake.held

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
        return self.deadlines.next()

    # --- input --------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Move the clock and act on what is due.

        Args:
            now: A reading in seconds of any monotonic clock; an earlier one than before counts as the same.
        """
        self.deadlines.tick(now)
        for which in self.deadlines.expired(session=False):
            if which is Deadline.PING:
                self._send_keepalive()
            elif which is Deadline.PONG:
                after = cast("float", self._timeouts.ping_timeout)
                self._fail(DeadlineExpired(which, after, "a ping was sent and nothing came back"))
            elif which is Deadline.SILENT_LINK:
                self._report_stall()
            elif which is Deadline.OPEN:
                self._open_expired(cast("float", self._timeouts.open))
            else:
                self._close_expired(cast("float", self._timeouts.close))
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
        if self._framing:
            self._receive_frames(data)
        elif self.state is _CONNECTING:
            self._receive_handshake(data)
        self._update_wants()

    def receive_eof(self) -> None:
        """The peer will send nothing more. Calling it again changes nothing."""
        if self.state is not _CLOSED:
            self._transport_ended("the stream ended")
            self._update_wants()

    def transport_failed(self, error: BaseException | str) -> None:
        """The transport broke; nothing can be received or sent any more. Calling it again changes nothing.

        Args:
            error: What happened. Of an exception only its class and the meaning of its errno are kept; a text is
                kept as it is, so it must hold no secret.
        """
        if self.state is not _CLOSED:
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
        queue = self._queue
        if not queue:
            return None
        item: bytes | str | ConnectionEvent
        taken = queue.popleft()
        if isinstance(taken, Text):
            self._reader.queued -= len(taken.data)
            item = taken.data.decode()
        else:
            item = taken
            if isinstance(taken, bytes):
                self._reader.queued -= len(taken)
        if self._paused and self._reader.queued <= self._max_in and len(queue) <= self._max_items:
            self._resume()
            self._update_wants()
        if self._observer is not None:
            self._observer(Observation(at=self.deadlines.now, from_client=not self._client, what=item))
        return item

    def data_to_send(self) -> bytes:
        """Everything that is to be written now, as whole frames; they count as handed to the peer.

        The clock of a ping among them starts here.
        """
        data = self._send_queue.take()
        if data:
            self._bytes_sent()
            self._update_wants()
        return data

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
            data: Its UTF-8, which the caller vouches for.

        Raises:
            IllegalInState: The link is not open yet. Nothing was sent.
            ConnectionClosing: The link closes. Nothing was sent.
            AlreadyClosed: The link has ended. Nothing was sent.
            InvalidMessage: It is not `bytes`. Nothing was sent.
            MessageTooLarge: It exceeds ``Limits.max_send``. Nothing was sent.
        """
        if self.state is not _OPEN:
            raise self._too_late("send_text")
        self._send(TEXT, data)

    def send_binary(self, data: bytes) -> None:
        """Queue one binary message.

        Args:
            data: Its bytes.

        Raises:
            IllegalInState: The link is not open yet. Nothing was sent.
            ConnectionClosing: The link closes. Nothing was sent.
            AlreadyClosed: The link has ended. Nothing was sent.
            InvalidMessage: It is not `bytes`. Nothing was sent.
            MessageTooLarge: It exceeds ``Limits.max_send``. Nothing was sent.
        """
        if self.state is not _OPEN:
            raise self._too_late("send_binary")
        self._send(BINARY, data)

    def ping(self, payload: bytes = b"") -> None:
        """Queue a ping (RFC 6455 section 5.5.2); `PongReceived` tells of the answer.

        Args:
            payload: Up to 125 bytes, different from ping to ping where the round trip is of interest.

        Raises:
            IllegalInState: The link is not open yet. Nothing was sent.
            ConnectionClosing: The link closes. Nothing was sent.
            AlreadyClosed: The link has ended. Nothing was sent.
            InvalidMessage: The payload is not `bytes` or too long. Nothing was sent.
        """
        if self.state is not _OPEN:
            raise self._too_late("ping")
        if not isinstance(payload, bytes) or len(payload) > _MAX_CONTROL:
            raise InvalidMessage("payload", f"must be bytes, {_MAX_CONTROL} at most")
        self._ping(payload)
        self._update_wants()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake (RFC 6455 section 7.1.2); messages still come until the peer's answer.

        While connecting it gives the attempt up: a client sends nothing (more), a server answers 503; the
        `ConnectionClosed` says 1006 and is not clean, but no `ConnectionFailed` comes with it, for it was asked for.
        Once the link closes, for whatever reason, the call changes nothing.

        Args:
            code: 1000 to 1003, 1007 to 1014 or 3000 to 4999.
            reason: Up to 123 bytes of UTF-8.

        Raises:
            InvalidMessage: An argument cannot stand in a close frame. Nothing changed.
        """
        endings.check_close(code, reason)
        if self.state is _OPEN:
            self._send_queue.close(code, reason)
            self._move(ConnectionInput.LOCAL_CLOSE)
        elif self.state is _CONNECTING:
            self._answer(503)
            self._give_up()
        self._update_wants()

    def fail(self, error: LiveProtocolError) -> None:
        """End the connection for a fault that a layer above has found.

        Messages and events not pulled yet are dropped, because they came after the fault. A close frame with the code
        and the reason of the error goes out, where one still can; `ConnectionFailed` and `ConnectionClosed` follow.
        Where the wire has ended meanwhile, its facts stay in the report. Once `ConnectionFailed` or `ConnectionClosed`
        was pulled, the call changes nothing.

        Args:
            error: The fault; a deadline is reported with 1011, like every error that names no close code.
        """
        info = self._info
        if info is None:
            self._drop_input()
            if self.state is _CONNECTING:
                self._answer(500)
            self._fail(error)
        elif len(self._queue) > 1 or (self._queue and info.error is None):
            self._drop_input()
            self._finish(attrs.evolve(info, error=error, clean=False))
        self._update_wants()

    # --- inside -------------------------------------------------------------------------------------------------

    def _asked(self, operation: str) -> ServerHandshake:
        handshake = self._handshake
        if isinstance(handshake, ClientHandshake):
            raise IllegalInState(operation, "in the client role", "only a server answers the upgrade")
        if self.state in (_CLOSING, _CLOSED):
            raise self._too_late(operation)
        if self.state is _OPEN:
            raise IllegalInState(operation, self.state, "the upgrade has been accepted")
        if not handshake.waits:
            raise IllegalInState(operation, self.state, "wait for UpgradeRequested")
        return handshake

    def _send(self, opcode: int, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise InvalidMessage("data", "must be bytes")
        if len(data) > self._limits.max_send:
            raise MessageTooLarge(len(data), self._limits.max_send)
        self._send_queue.message(opcode, data)
        self._update_wants()
        if self._observer is not None:
            shown = data if opcode == BINARY else data.decode(errors="replace")
            self._observer(Observation(at=self.deadlines.now, from_client=self._client, what=shown))

    def _too_late(self, operation: str) -> LiveProtocolError:
        if self.state is _CONNECTING:
            return IllegalInState(operation, self.state, "wait for Connected")
        return ConnectionClosing(operation) if self.state is _CLOSING else AlreadyClosed(operation)
