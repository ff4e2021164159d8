"""WebSocketLink: one WebSocket connection as a pure state machine (RFC 6455), without I/O and without a clock."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, Self, TypeAlias, cast, final

import attrs

from live_protocol._deflate import Deflate, Inflate
from live_protocol._frames import BINARY, CLOSE, PING, PONG, TEXT, FrameReader, frame, peer_may_send
from live_protocol._tables import LINK, LinkInput, LinkState
from live_protocol.closing import CLEAN_CODES, CloseInfo, Initiator, diagnose
from live_protocol.errors import (
    AlreadyClosed,
    ClientClosed,
    ConnectionClosing,
    DeadlineExpired,
    HandshakeFailed,
    IllegalInState,
    InvalidMessage,
    LimitExceeded,
    LiveProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
    ServerClosed,
    TransportFailed,
)
from live_protocol.events import (
    Connected,
    ConnectionClosed,
    Failed,
    LinkEvent,
    Need,
    PingReceived,
    PongReceived,
    Rejected,
)
from live_protocol.handshake import (
    ClientHandshake,
    HandshakeRequest,
    Refusal,
    ServerHandshake,
    Upgraded,
    refusal_hint,
)
from live_protocol.limits import Limits
from live_protocol.timing import Deadline, Deadlines, Timeouts

__all__ = ["Wants", "WebSocketLink"]

Buffer: TypeAlias = bytes | bytearray | memoryview

_CONNECTING: Final = LinkState.CONNECTING
_OPEN: Final = LinkState.OPEN
_CLOSING: Final = LinkState.CLOSING
_CLOSED: Final = LinkState.CLOSED

_MAX_CONTROL: Final = 125  # RFC 6455 section 5.5
_MAX_REASON: Final = 123  # the same, less the code
_ITEM_COST: Final = 64  # bytes that an object in the queue costs, however small its message is
_MIN_ITEMS: Final = 1024
_REMEMBERED_PINGS: Final = 64


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


@final
class WebSocketLink:
    """One WebSocket connection, client or server role.

    Bytes and clock readings go in by `receive_data`, `receive_eof`, `transport_failed` and `advance`, which never raise
    for what the peer did. Messages and events come out of `next_event` in the order of the wire; bytes come out of
    `data_to_send`. Framing, answers to pings and closes, and limits happen as the bytes arrive.

    The last event is always one `ConnectionClosed`; where the connection ended in other than peace, a `Failed` with the
    reason comes right before it.
    """

    __slots__ = (
        "_client",
        "_close_sent",
        "_deadlines",
        "_deflate",
        "_entropy",
        "_framing",
        "_handshake",
        "_hang_up",
        "_heard",
        "_info",
        "_latency",
        "_limits",
        "_linger",
        "_max_in",
        "_max_items",
        "_out",
        "_out_bytes",
        "_owed",
        "_paused",
        "_ping_count",
        "_pings_queued",
        "_pings_taken",
        "_pong",
        "_queue",
        "_reader",
        "_state",
        "_timeouts",
        "_unanswered",
    )

    def __init__(
        self,
        handshake: ClientHandshake | ServerHandshake,
        limits: Limits,
        timeouts: Timeouts,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Use `client` or `server` instead."""
        self._handshake = handshake
        self._client = isinstance(handshake, ClientHandshake)
        self._limits = limits
        self._timeouts = timeouts
        self._entropy = entropy
        self._state = _CONNECTING
        self._queue: deque[bytes | str | LinkEvent] = deque()
        self._max_in = limits.max_buffered_in
        self._max_items = max(_MIN_ITEMS, limits.max_buffered_in // _ITEM_COST)
        self._paused = False
        self._reader: FrameReader | None = None
        self._framing = False  # frames are being parsed
        self._deflate: Deflate | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._pong: bytes | None = None  # payload of the newest ping not answered
        self._owed = 0  # bytes of pongs asked for since data_to_send() was last called
        self._pings_queued: list[bytes] = []
        self._pings_taken: dict[bytes, float | None] = {}
        self._ping_count = 0
        self._unanswered = False  # nothing came since a ping of ours was taken
        self._latency: float | None = None
        self._heard: float | None = None
        self._close_sent: tuple[int, str] | None = None
        self._info: CloseInfo | None = None
        self._hang_up = False  # the transport is ours to close
        self._linger = False  # the peer may still be sending then
        self._deadlines = Deadlines()
        self._deadlines.arm(Deadline.OPEN, timeouts.open)
        if isinstance(handshake, ClientHandshake):
            self._write(handshake.request)

    @classmethod
    def client(
        cls,
        request: HandshakeRequest,
        *,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        compression: bool = False,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> Self:
        """The client's end; its request is ready in `data_to_send`.

        Args:
            request: What to ask for.
            limits: Bounds on what the peer may cost and on what is sent.
            timeouts: How long each phase may take.
            compression: Offer permessage-deflate (RFC 7692).
            entropy: Source of unpredictable bytes for the key and the masks (RFC 6455 section 10.3).
        """
        limits = limits or Limits()
        handshake = ClientHandshake(request, limits=limits, compression=compression, entropy=entropy)
        return cls(handshake, limits, timeouts or Timeouts(), entropy)

    @classmethod
    def server(
        cls, *, limits: Limits | None = None, timeouts: Timeouts | None = None, compression: bool = False
    ) -> Self:
        """The server's end; it waits for a request and then for `accept` or `reject`.

        Args:
            limits: Bounds on what the peer may cost and on what is sent.
            timeouts: How long each phase may take.
            compression: Accept permessage-deflate (RFC 7692) where the client offers it in terms we can meet.
        """
        limits = limits or Limits()
        handshake = ServerHandshake(limits=limits, compression=compression)
        return cls(handshake, limits, timeouts or Timeouts(), os.urandom)

    def __repr__(self) -> str:
        return f"<WebSocketLink {'client' if self._client else 'server'} {self._state}>"

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> LinkState:
        """Where the connection is; it moves only along ``_tables.LINK``."""
        return self._state

    @property
    def wants(self) -> Wants:
        """What the owner of the transport should do next."""
        bits = 0
        if self.buffered_out:
            bits = 2
        elif self._hang_up or self._state is _CLOSED:
            bits = 12 if self._linger and self._state is not _CLOSED else 8
        if not self._paused and (
            self._framing
            or (self._state is _CLOSING and not self._hang_up)
            or (self._state is _CONNECTING and not self._handshake.waits)
        ):
            bits |= 1
        return _WANTS[bits]

    @property
    def pending(self) -> bool:
        """Whether `next_event` has something."""
        return bool(self._queue)

    @property
    def buffered_in(self) -> int:
        """Bytes of messages not yet pulled and of the message that is still arriving."""
        reader = self._reader
        if reader is not None:
            return reader.queued + reader.partial
        return self._handshake.held

    @property
    def buffered_out(self) -> int:
        """Bytes that `data_to_send` would give."""
        if self._pong is None:
            return self._out_bytes
        return self._out_bytes + self._control_size(self._pong)

    @property
    def latency(self) -> float | None:
        """Seconds between the last answered ping and its pong, None before the first."""
        return self._latency

    def next_deadline(self) -> float | None:
        """The clock reading at which `advance` has to be called, None if there is none.

        It may turn out too early: bytes received push the ping deadline back only when it fires.
        """
        return self._deadlines.next()

    # --- input --------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Move the clock and act on what is due.

        Args:
            now: A reading in seconds of any monotonic clock; an earlier one than before counts as the same.
        """
        for which in self._deadlines.advance(now):
            if which is Deadline.PING:
                self._ping_due()
            elif which is Deadline.PONG:
                after = cast("float", self._timeouts.ping_timeout)
                self._fail(DeadlineExpired(which, after, "a ping was sent and nothing came back"))
            elif which is Deadline.OPEN:
                self._open_expired(cast("float", self._timeouts.open))
            else:
                self._close_expired(cast("float", self._timeouts.close))

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
            self._receive_frames(cast("FrameReader", self._reader), data)
        elif self._state is _CONNECTING:
            self._receive_handshake(data)

    def receive_eof(self) -> None:
        """The peer will send nothing more. Calling it again changes nothing."""
        if self._state is not _CLOSED:
            self._transport_ended("the stream ended")

    def transport_failed(self, error: BaseException | str) -> None:
        """The transport broke; nothing can be received or sent any more. Calling it again changes nothing.

        Args:
            error: What happened. Of an exception only its class and the meaning of its errno are kept; a text is
                kept as it is, so it must hold no secret.
        """
        if self._state is not _CLOSED:
            self._transport_ended(error if isinstance(error, str) else _scrubbed(error))
        self._drop_output()

    # --- output -------------------------------------------------------------------------------------------------

    def next_event(self) -> bytes | str | LinkEvent | Literal[Need.DATA]:
        """The next thing that happened.

        Returns:
            A whole binary message as `bytes`, a whole text message as `str`, an event, or ``Need.DATA`` if there is
            nothing; after `ConnectionClosed` always that.
        """
        queue = self._queue
        if not queue:
            return Need.DATA
        item = queue.popleft()
        if isinstance(item, bytes):
            cast("FrameReader", self._reader).queued -= len(item)
        elif isinstance(item, str):
            cast("FrameReader", self._reader).queued -= len(item) if item.isascii() else len(item.encode())
        if self._paused and not self._full():
            self._resume()
        return item

    def data_to_send(self) -> bytes:
        """Everything that is to be written now, as whole frames; they count as handed to the peer.

        The clock of a ping among them starts here.
        """
        if self._pong is not None:
            # Of several pings only the newest needs an answer (RFC 6455 section 5.5.3); it overtakes messages.
            self._out.insert(0, self._frame(PONG, self._pong))
            self._pong = None
        self._owed = 0
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._out_bytes = 0
        if self._pings_queued:
            self._take_pings()
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
        self._write(data)
        self._upgraded(outcome)

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
        self._write(self._asked("reject").refuse(status, headers, body))
        self._give_up()

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
        if self._state is not _OPEN:
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
        if self._state is not _OPEN:
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
        if self._state is not _OPEN:
            raise self._too_late("ping")
        if not isinstance(payload, bytes) or len(payload) > _MAX_CONTROL:
            raise InvalidMessage("payload", f"must be bytes, {_MAX_CONTROL} at most")
        self._write(self._frame(PING, payload))
        self._pings_queued.append(payload)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake (RFC 6455 section 7.1.2); messages still come until the peer's answer.

        While connecting it gives the attempt up: a client sends nothing (more), a server answers 503; the
        `ConnectionClosed` says 1006 and is not clean, but no `Failed` comes with it, for it was asked for. Once the
        link closes, for whatever reason, the call changes nothing.

        Args:
            code: 1000 to 1003, 1007 to 1014 or 3000 to 4999.
            reason: Up to 123 bytes of UTF-8.

        Raises:
            InvalidMessage: An argument cannot stand in a close frame. Nothing changed.
        """
        if not isinstance(code, int) or not peer_may_send(code):
            raise InvalidMessage("code", "must be 1000 to 1003, 1007 to 1014 or 3000 to 4999")
        try:
            raw = reason.encode()
        except (AttributeError, UnicodeEncodeError):
            raise InvalidMessage("reason", "must be text without lone surrogates") from None
        if len(raw) > _MAX_REASON:
            raise InvalidMessage("reason", f"must be {_MAX_REASON} bytes of UTF-8 at most, not {len(raw)}")
        if self._state is _OPEN:
            self._send_close(code, reason)
            self._move(LinkInput.LOCAL_CLOSE)
        elif self._state is _CONNECTING:
            self._answer(503)
            self._give_up()

    def fail(self, error: LiveProtocolError) -> None:
        """End the connection for a fault that a layer above has found.

        Messages and events not pulled yet are dropped, because they came after the fault. A close frame with the code
        and the reason of the error goes out, where one still can; `Failed` and `ConnectionClosed` follow. Where the
        wire has ended meanwhile, its facts stay in the report. Once `Failed` or `ConnectionClosed` was pulled, the call
        changes nothing.

        Args:
            error: The fault; a deadline is reported with 1011, like every error that names no close code.
        """
        info = self._info
        if info is None:
            self._drop_input()
            self._fail(error)
        elif len(self._queue) > 1 or (self._queue and info.error is None):
            self._drop_input()
            self._conclude(attrs.evolve(info, error=error, clean=False))

    # --- opening handshake --------------------------------------------------------------------------------------

    def _receive_handshake(self, data: bytes) -> None:
        outcome = self._handshake.receive(data)
        if isinstance(outcome, Upgraded):
            self._upgraded(outcome)
        elif isinstance(outcome, Refusal):
            self._answer(outcome.status, outcome.headers)
            self._fail(outcome.error)
        elif isinstance(outcome, RemoteProtocolError):
            self._refused(outcome)
        elif outcome is not None:
            self._queue.append(outcome)

    def _asked(self, operation: str) -> ServerHandshake:
        handshake = self._handshake
        if isinstance(handshake, ClientHandshake):
            raise IllegalInState(operation, "in the client role", "only a server answers the upgrade")
        if self._state in (_CLOSING, _CLOSED):
            raise self._too_late(operation)
        if self._state is _OPEN:
            raise IllegalInState(operation, self._state, "the upgrade has been accepted")
        if not handshake.waits:
            raise IllegalInState(operation, self._state, "wait for UpgradeRequested")
        return handshake

    def _answer(self, status: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Server role: refuse on our own account. The client's request, if not taken yet, need not go any more."""
        self._drop_output()
        if isinstance(self._handshake, ServerHandshake):
            self._write(self._handshake.refuse(status, headers))

    def _give_up(self) -> None:
        """While connecting, because we were told so."""
        self._move(LinkInput.LOCAL_CLOSE)
        self._hang_up = True
        self._linger = not self._client
        self._conclude(CloseInfo(code=1006, clean=False, initiator=Initiator.LOCAL))

    def _refused(self, error: RemoteProtocolError) -> None:
        """Client role: the server refused the upgrade, or did not answer as a WebSocket server does."""
        initiator = Initiator.LOCAL
        retryable = False
        hint = "The other end does not answer as a WebSocket server: check scheme, host, port and path."
        if isinstance(error, HandshakeFailed) and error.status is not None:
            self._queue.append(Rejected(status=error.status, headers=error.headers, body=error.body))
            initiator = Initiator.REMOTE
            retryable, hint = refusal_hint(error.status)
        self._drop_output()
        self._move(LinkInput.FAIL)
        self._hang_up = True
        self._conclude(
            CloseInfo(code=1006, clean=False, initiator=initiator, error=error, retryable=retryable, hint=hint)
        )

    def _upgraded(self, outcome: Upgraded) -> None:
        agreement = outcome.agreement
        inflate = None
        if agreement is not None:
            ours = (agreement.client_bits, agreement.client_keeps)
            theirs = (agreement.server_bits, agreement.server_keeps)
            if not self._client:
                ours, theirs = theirs, ours
            self._deflate = Deflate(bits=ours[0], keeps=ours[1])
            inflate = Inflate(limit=self._limits.max_message, keeps=theirs[1])
        reader = FrameReader(
            client=self._client,
            limits=self._limits,
            inflate=inflate,
            queue=cast("deque[object]", self._queue),
            on_ping=self._on_ping,
            on_pong=self._on_pong,
            on_close=self._on_close,
        )
        self._reader = reader
        self._framing = True
        self._move(LinkInput.UPGRADED)
        self._deadlines.disarm(Deadline.OPEN)
        self._deadlines.arm(Deadline.PING, self._timeouts.ping_interval)
        self._heard = self._deadlines.now
        self._queue.append(Connected(headers=outcome.headers, compression=agreement is not None))
        if outcome.trailing:
            self._receive_frames(reader, outcome.trailing)

    def _open_expired(self, after: float) -> None:
        if isinstance(self._handshake, ServerHandshake):
            waits = self._handshake.waits
            detail = "the request was not answered" if waits else "no complete request came"
            self._answer(503 if waits else 408)
            self._fail(DeadlineExpired(Deadline.OPEN, after, detail))
        elif (refused := self._handshake.cut_off()) is not None:
            self._refused(refused)
        else:
            self._drop_output()
            self._fail(DeadlineExpired(Deadline.OPEN, after, "no complete response to the upgrade came"))

    # --- frames -------------------------------------------------------------------------------------------------

    def _receive_frames(self, reader: FrameReader, data: bytes) -> None:
        self._heard = self._deadlines.now
        if self._unanswered:
            self._unanswered = False
            self._deadlines.disarm(Deadline.PONG)
        try:
            reader.feed(data)
        except RemoteProtocolError as error:
            self._fail(error)
            return
        if reader.queued > self._max_in or len(self._queue) > self._max_items:
            self._paused = True

    def _on_ping(self, payload: bytes) -> None:
        if self._state is not _OPEN:
            return  # RFC 6455 section 5.5.1: nothing follows our close frame
        self._queue.append(PingReceived(payload=payload))
        self._pong = payload
        self._owed += self._control_size(payload)
        if self._owed > self._limits.max_buffered_out:
            raise LimitExceeded("max_buffered_out", self._limits.max_buffered_out, close_code=1008)

    def _on_pong(self, payload: bytes) -> None:
        taken = self._pings_taken
        rtt = None
        if payload in taken:
            at = taken[payload]
            now = self._deadlines.now
            if at is not None and now is not None:
                self._latency = rtt = now - at
            while payload in taken:  # it answers every earlier ping too (RFC 6455 section 5.5.3)
                del taken[next(iter(taken))]
        self._queue.append(PongReceived(payload=payload, rtt=rtt))

    def _on_close(self, code: int, reason: str, cut: bool) -> None:
        sent = self._close_sent
        clean = code in CLEAN_CODES
        retryable, hint = diagnose(code, reason)
        if sent is None:
            self._send_close(code, reason)  # RFC 6455 section 5.5.1: typically the code is echoed
        elif clean or code == sent[0]:
            retryable, hint = False, ""
            reason = reason or (sent[1] if code == sent[0] else "")
        if cut:
            hint = f"{hint} The close frame cut off a message.".lstrip()
        error = None
        if not clean and (sent is None or code != sent[0]):
            error = (ServerClosed if self._client else ClientClosed)(code, reason, hint)
        self._move(LinkInput.REMOTE_CLOSE)
        self._hang_up = not self._client  # RFC 6455 section 7.1.1: the server closes the TCP connection first
        self._conclude(
            CloseInfo(
                code=code,
                reason=reason,
                clean=clean,
                initiator=Initiator.REMOTE if sent is None else Initiator.LOCAL,
                error=error,
                retryable=retryable,
                hint=hint,
            )
        )

    # --- silence ------------------------------------------------------------------------------------------------

    def _ping_due(self) -> None:
        """The ping deadline fired: find out how long the silence really is."""
        if self._state is not _OPEN:
            return  # the pong deadline of the same moment has ended it
        interval = cast("float", self._timeouts.ping_interval)
        rest = 0.0
        if self._heard is not None:
            rest = self._heard + interval - cast("float", self._deadlines.now)
        if rest > 0.001:  # less is rounding
            self._deadlines.arm(Deadline.PING, rest)
            return
        self._deadlines.arm(Deadline.PING, interval)
        if not self._unanswered and not self._pings_queued:
            self._ping_count += 1
            self.ping((self._ping_count & 0xFFFFFFFF).to_bytes(4, "big"))

    def _take_pings(self) -> None:
        taken = self._pings_taken
        now = self._deadlines.now
        for payload in self._pings_queued:
            taken.pop(payload, None)
            taken[payload] = now
        self._pings_queued.clear()
        while len(taken) > _REMEMBERED_PINGS:
            del taken[next(iter(taken))]
        if self._state is _OPEN and not self._unanswered:
            self._unanswered = True
            if not self._paused:
                self._deadlines.arm(Deadline.PONG, self._timeouts.ping_timeout)

    def _full(self) -> bool:
        return cast("FrameReader", self._reader).queued > self._max_in or len(self._queue) > self._max_items

    def _resume(self) -> None:
        """Reading goes on; the wait for a pong that could not have been seen begins anew."""
        self._paused = False
        if self._unanswered:
            self._deadlines.arm(Deadline.PONG, self._timeouts.ping_timeout)

    # --- the end ------------------------------------------------------------------------------------------------

    def _fail(self, error: LiveProtocolError) -> None:
        """The peer broke a rule or a deadline: say so, stop reading, hang up."""
        code, reason = 1006, ""
        if self._state is _OPEN:
            code, reason = _last_words(error)
            self._send_close(code, reason)
        retryable, hint = diagnose(code, reason) if isinstance(error, DeadlineExpired) else (False, "")
        self._move(LinkInput.FAIL)
        self._hang_up = self._linger = True
        self._conclude(
            CloseInfo(
                code=code,
                reason=reason,
                clean=False,
                initiator=Initiator.LOCAL,
                error=error,
                retryable=retryable,
                hint=hint,
            )
        )

    def _transport_ended(self, why: str) -> None:
        if isinstance(self._handshake, ClientHandshake) and self._state is _CONNECTING:
            refused = self._handshake.cut_off()
            if refused is not None:
                self._refused(refused)
        if self._info is None:
            self._drop_output()
            during = _MEANWHILE[self._state]
            retryable, hint = diagnose(1006, "")
            self._conclude(
                CloseInfo(
                    code=1006,
                    clean=False,
                    initiator=Initiator.TRANSPORT if self._close_sent is None else Initiator.LOCAL,
                    error=TransportFailed(f"{why} {during}"),
                    retryable=retryable,
                    hint=hint,
                )
            )
        self._move(LinkInput.END)

    def _close_expired(self, after: float) -> None:
        if self._info is None:
            error = DeadlineExpired(Deadline.CLOSE, after, "the peer did not answer our close frame")
            self._conclude(CloseInfo(code=1006, clean=False, initiator=Initiator.LOCAL, error=error))
        if self._state is _CLOSING:
            self._move(LinkInput.END)
        self._drop_output()

    def _conclude(self, info: CloseInfo) -> None:
        """The outcome is known: report it, once, and parse nothing more."""
        self._framing = False
        self._paused = False
        self._info = info
        if self._reader is not None:
            self._reader.discard()
        self._handshake.discard()
        if info.error is not None:
            self._queue.append(Failed(error=info.error))
        self._queue.append(ConnectionClosed(info=info))

    def _move(self, what: LinkInput) -> None:
        """Take the one step that the table has."""
        before = self._state
        self._state = LINK[before, what]
        if self._state is _CLOSING and before is not _CLOSING:
            self._deadlines.clear()
            self._deadlines.arm(Deadline.CLOSE, self._timeouts.close)
        elif self._state is _CLOSED and not self._out:
            self._deadlines.clear()

    def _drop_input(self) -> None:
        self._queue.clear()
        self._paused = False
        if self._reader is not None:
            self._reader.queued = 0

    def _drop_output(self) -> None:
        self._out.clear()
        self._out_bytes = 0
        self._pong = None

    # --- frames out ---------------------------------------------------------------------------------------------

    def _too_late(self, operation: str) -> LiveProtocolError:
        if self._state is _CONNECTING:
            return IllegalInState(operation, self._state, "wait for Connected")
        return ConnectionClosing(operation) if self._state is _CLOSING else AlreadyClosed(operation)

    def _send(self, opcode: int, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise InvalidMessage("data", "must be bytes")
        if len(data) > self._limits.max_send:
            raise MessageTooLarge(len(data), self._limits.max_send)
        rsv1 = False
        if self._deflate is not None and (compressed := self._deflate.compress(data)) is not None:
            data = compressed
            rsv1 = True
        wire = frame(opcode, data, self._entropy(4) if self._client else None, rsv1=rsv1)
        self._out.append(wire)
        self._out_bytes += len(wire)

    def _send_close(self, code: int, reason: str) -> None:
        self._close_sent = (code, reason)
        payload = b"" if code == 1005 else code.to_bytes(2, "big") + reason.encode()
        self._write(self._frame(CLOSE, payload))

    def _frame(self, opcode: int, payload: bytes) -> bytes:
        return frame(opcode, payload, self._entropy(4) if self._client else None)

    def _control_size(self, payload: bytes) -> int:
        return len(payload) + (6 if self._client else 2)

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        self._out_bytes += len(data)


_MEANWHILE: Final = {
    _CONNECTING: "during the opening handshake",
    _OPEN: "without a close frame",
    _CLOSING: "before the peer answered our close frame",
}


def _last_words(error: LiveProtocolError) -> tuple[int, str]:
    """Code and reason of the close frame that names a fault, cut to what fits."""
    if isinstance(error, RemoteProtocolError):
        code, reason = error.close_code, error.close_reason
    elif isinstance(error, DeadlineExpired):
        code = 1011
        reason = "keepalive ping timeout" if error.which is Deadline.PONG else str(error)
    else:
        code, reason = 1011, ""
    return code, reason.encode("utf-8", "replace")[:_MAX_REASON].decode("utf-8", "ignore")


def _scrubbed(error: BaseException) -> str:
    """What may be said about an exception: texts and arguments of unknown origin can hold addresses and credentials."""
    name = type(error).__name__
    number = error.errno if isinstance(error, OSError) else None
    if number in errno.errorcode and not hasattr(error, "library"):  # the errno of TLS errors means something else
        return f"{name}: {os.strerror(number)}"
    return name
