"""The link under a session where another library has the WebSocket: its facts come in, what it should do comes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias, cast, final

import attrs

from live_protocol.close_info import CloseInfo
from live_protocol.errors import (
    AlreadyClosed,
    ConnectionClosing,
    DeadlineExpired,
    HandshakeFailed,
    IllegalInState,
    LimitExceeded,
    LiveProtocolError,
)
from live_protocol.events import (
    Connected,
    ConnectionClosed,
    ConnectionEvent,
    ConnectionFailed,
    UpgradeRejected,
    UpgradeRequested,
)
from live_protocol.limits import Limits
from live_protocol.states import CONNECTION_TRANSITIONS, ConnectionInput, ConnectionState
from live_protocol.timing import Deadline, Deadlines, Timeouts
from live_protocol.websocket import endings
from live_protocol.websocket.http11 import RESERVED, check_headers, check_refusal
from live_protocol.websocket.link_machine import Observation, Observer, Wants

__all__ = ["AcceptUpgrade", "CloseWebSocket", "MessageLink", "RefuseUpgrade", "WebSocketAction"]

_CONNECTING: Final = ConnectionState.CONNECTING
_OPEN: Final = ConnectionState.OPEN
_CLOSING: Final = ConnectionState.CLOSING
_CLOSED: Final = ConnectionState.CLOSED

_ITEM_COST: Final = 64  # bytes that an object in the queue costs, however small its message is
_MIN_ITEMS: Final = 1024

_WANTS: Final = tuple(
    Wants(read=bool(bits & 1), write=bool(bits & 2), half_close=False, close=bool(bits & 4)) for bits in range(8)
)


@final
@attrs.frozen(kw_only=True)
class AcceptUpgrade:
    """Server role: accept the WebSocket.

    Attributes:
        headers: Header fields to add to the response.
    """

    headers: Sequence[tuple[str, str]] = ()


@final
@attrs.frozen(kw_only=True)
class RefuseUpgrade:
    """Server role: answer the request with something else than a WebSocket; nothing comes after it.

    Attributes:
        status: HTTP status.
        headers: Header fields of the response.
        body: Its body.
    """

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


@final
@attrs.frozen(kw_only=True)
class CloseWebSocket:
    """Close the WebSocket; nothing comes after it.

    Attributes:
        code: Close code.
        reason: Close reason.
    """

    code: int
    reason: str = ""


WebSocketAction: TypeAlias = bytes | AcceptUpgrade | RefuseUpgrade | CloseWebSocket
"""What the owner of a WebSocket should do with it; `bytes` are a message to send."""


class MessageLink:
    """State of one WebSocket that another library runs, with the surface that a session needs of its link."""

    __slots__ = (
        "_asked",
        "_client",
        "_close_sent",
        "_info",
        "_limits",
        "_max_items",
        "_observer",
        "_out",
        "_paused",
        "_queue",
        "_timeouts",
        "buffered_in",
        "buffered_out",
        "deadlines",
        "state",
        "wants",
    )

    def __init__(
        self,
        *,
        client: bool,
        limits: Limits,
        timeouts: Timeouts,
        observer: Observer | None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._client = client
        self._limits = limits
        self._timeouts = timeouts
        self._observer = observer
        self.state: ConnectionState = _CONNECTING
        self._asked = False  # a request awaits its answer
        self._queue: deque[bytes | str | ConnectionEvent] = deque()
        self._max_items = max(_MIN_ITEMS, limits.max_buffered_in // _ITEM_COST)
        self._paused = False
        self._out: deque[WebSocketAction] = deque()
        self._close_sent: tuple[int, str] | None = None
        self._info: CloseInfo | None = None
        self.deadlines: Deadlines = deadlines or Deadlines()
        self.deadlines.messages = self._queue
        self.deadlines.arm(Deadline.OPEN, timeouts.open)
        self.buffered_in: int = 0
        self.buffered_out: int = 0
        self.wants: Wants = _WANTS[0]
        self._update_wants()

    def _update_wants(self) -> None:
        """Read: there is room. Write: there are actions. Close: the WebSocket is over and can be dropped."""
        bits = 0
        if self._out:
            bits = 2
        elif self.state is _CLOSED:
            bits = 4
        if not self._paused and self.state is not _CLOSED:
            bits |= 1
        self.wants = _WANTS[bits]

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def latency(self) -> None:
        """Not known: pings are the library's."""
        return None

    @property
    def pending(self) -> bool:
        """Whether `next_event` has something."""
        return bool(self._queue)

    def next_deadline(self) -> float | None:
        """The clock reading at which `advance` has to be called, None if there is none."""
        return self.deadlines.next()

    # --- input --------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Move the clock and act on what is due."""
        self.deadlines.tick(now)
        for which in self.deadlines.expired(session=False):
            if which is Deadline.OPEN:
                after = cast("float", self._timeouts.open)
                detail = "the request was not answered" if self._asked else "no WebSocket was reported"
                self._fail(DeadlineExpired(which, after, detail), status=503)
            else:
                self._close_expired(cast("float", self._timeouts.close))
            self._update_wants()

    def connected(self, headers: Sequence[tuple[str, str]], *, compression: bool) -> None:
        """Client role: the WebSocket is open."""
        self._expect("connected", client=True)
        self._opened(_lowered(headers), compression=compression)
        self._update_wants()

    def rejected(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Client role: the server refused the upgrade."""
        self._expect("rejected", client=True)
        error = HandshakeFailed(
            f"the server refused the upgrade with HTTP {status}",
            status=status,
            headers=_lowered(headers),
            body=bytes(body[: self._limits.max_body]),
        )
        self._queue.append(UpgradeRejected(status=status, headers=error.headers, body=error.body))
        self._move(ConnectionInput.FAIL)
        self._finish(endings.closed_by_refusal(error))
        self._move(ConnectionInput.END)
        self._update_wants()

    def requested(self, target: str, headers: Sequence[tuple[str, str]]) -> None:
        """Server role: a client asks for a WebSocket."""
        self._expect("requested", client=False)
        self._asked = True
        self._queue.append(UpgradeRequested(target=target, headers=_lowered(headers)))

    def receive_message(self, data: bytes | str) -> None:
        """A whole message arrived."""
        if self.state is _CONNECTING:
            raise IllegalInState("receive_message", self.state, "report connected() first, or accept the request")
        if self._info is not None:
            return
        size = _size(data)
        if size > self._limits.max_message:
            self._fail(LimitExceeded("max_message", self._limits.max_message))
        else:
            self._queue.append(data)
            self.buffered_in += size
            self._paused = self.buffered_in > self._limits.max_buffered_in or len(self._queue) > self._max_items
        self._update_wants()

    def closed(self, code: int, reason: str) -> None:
        """The WebSocket is over; the peer's code, or 1006 where there was no close frame."""
        if code == 1006 or self.state is _CONNECTING:
            self._transport_ended("the WebSocket ended")
        elif self.state is not _CLOSED:
            if self._info is None:
                self._move(ConnectionInput.REMOTE_CLOSE)
                self._finish(
                    endings.closed_by_frame(code, reason, sent=self._close_sent, cut=False, client=self._client)
                )
            self._end()
        self._update_wants()

    def broken(self, error: LiveProtocolError) -> None:
        """The WebSocket's library found a fault; it came after all that was reported."""
        if self._info is None:
            self._fail(error)
            self._update_wants()

    def transport_failed(self, error: BaseException | str) -> None:
        """The WebSocket broke; see `WebSocketLink.transport_failed`."""
        what = error if isinstance(error, str) else endings.scrub(error)
        self._transport_ended(f"the transport failed ({what})")
        self._update_wants()

    # --- output -------------------------------------------------------------------------------------------------

    def next_event(self) -> bytes | str | ConnectionEvent | None:
        """See `WebSocketLink.next_event`."""
        queue = self._queue
        if not queue:
            return None
        item = queue.popleft()
        if isinstance(item, (bytes, str)):
            self.buffered_in -= _size(item)
        if self._paused and self.buffered_in <= self._limits.max_buffered_in and len(queue) <= self._max_items:
            self._paused = False
            self._update_wants()
        if self._observer is not None:
            self._observer(Observation(at=self.deadlines.now, from_client=not self._client, what=item))
        return item

    def next_action(self) -> WebSocketAction | None:
        """The next thing to do, which counts as done; None where there is nothing."""
        if not self._out:
            return None
        action = self._out.popleft()
        if isinstance(action, bytes):
            self.buffered_out -= len(action)
        self._update_wants()
        return action

    # --- commands -----------------------------------------------------------------------------------------------

    def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """See `WebSocketLink.accept`."""
        self._check_asked("accept")
        fields = check_headers(headers, RESERVED)
        self._out.append(AcceptUpgrade(headers=fields))
        self._opened(_lowered(fields), compression=False)
        self._update_wants()

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None:
        """See `WebSocketLink.reject`."""
        self._check_asked("reject")
        self._out.append(RefuseUpgrade(status=status, headers=check_refusal(status, headers, body), body=body))
        self._give_up()
        self._update_wants()

    def send_text(self, data: bytes) -> None:
        """Queue a message; whether it goes as text or binary is the role's, not the call's."""
        self._out.append(data)
        self.buffered_out += len(data)
        self._update_wants()
        if self._observer is not None:
            self._observer(
                Observation(
                    at=self.deadlines.now, from_client=self._client, what=data.decode() if self._client else data
                )
            )

    send_binary = send_text

    def ping(self, payload: bytes = b"") -> None:
        """Not possible."""
        if self.state in (_CLOSING, _CLOSED):
            raise self._too_late("ping")
        raise IllegalInState("ping", "another library has the WebSocket", "pings are that library's")

    def close(self, code: int = 1000, reason: str = "") -> None:
        """See `WebSocketLink.close`."""
        endings.check_close(code, reason)
        if self.state is _OPEN:
            self._send_close(code, reason)
            self._move(ConnectionInput.LOCAL_CLOSE)
        elif self.state is _CONNECTING:
            self._answer(503)
            self._give_up()
        self._update_wants()

    def fail(self, error: LiveProtocolError) -> None:
        """See `WebSocketLink.fail`."""
        info = self._info
        if info is None:
            self._drop_input()
            self._fail(error)
        elif len(self._queue) > 1 or (self._queue and info.error is None):
            self._drop_input()
            self._finish(attrs.evolve(info, error=error, clean=False))
        self._update_wants()

    # --- inside -------------------------------------------------------------------------------------------------

    def _expect(self, operation: str, *, client: bool) -> None:
        """Refuse a fact that cannot be one, before it does any harm."""
        if self._client is not client:
            role = "client" if self._client else "server"
            raise IllegalInState(operation, f"in the {role} role", "a client is connected, a server is requested")
        if self.state is _CLOSED:
            raise AlreadyClosed(operation)
        if self.state is not _CONNECTING or self._asked:
            raise IllegalInState(operation, self.state, "report it once")

    def _too_late(self, operation: str) -> ConnectionClosing | AlreadyClosed:
        return ConnectionClosing(operation) if self.state is _CLOSING else AlreadyClosed(operation)

    def _check_asked(self, operation: str) -> None:
        if self._client:
            raise IllegalInState(operation, "in the client role", "only a server answers the upgrade")
        if self.state in (_CLOSING, _CLOSED):
            raise self._too_late(operation)
        if self.state is _OPEN:
            raise IllegalInState(operation, self.state, "the upgrade has been accepted")
        if not self._asked:
            raise IllegalInState(operation, self.state, "wait for UpgradeRequested")

    def _opened(self, headers: Sequence[tuple[str, str]], *, compression: bool) -> None:
        self._move(ConnectionInput.UPGRADED)
        self.deadlines.disarm(Deadline.OPEN)
        self._queue.append(Connected(headers=headers, compression=compression))

    def _answer(self, status: int) -> None:
        if self._asked:
            self._out.append(RefuseUpgrade(status=status))

    def _give_up(self) -> None:
        """There will be no WebSocket, because we said so."""
        self._move(ConnectionInput.LOCAL_CLOSE)
        self._finish(endings.closed_locally())
        self._move(ConnectionInput.END)

    def _send_close(self, code: int, reason: str) -> None:
        self._close_sent = (code, reason)
        self._out.append(CloseWebSocket(code=code, reason=reason))

    def _fail(self, error: LiveProtocolError, *, status: int = 500) -> None:
        """The peer broke a rule or a deadline: say so and wait for the end."""
        code, reason = 1006, ""
        before = self.state
        if before is _OPEN:
            code, reason = endings.close_frame_for(error)
            self._send_close(code, reason)
        elif before is _CONNECTING:
            self._answer(status)
        self._move(ConnectionInput.FAIL)
        self._finish(endings.closed_by_failure(error, code, reason))
        if before is _CONNECTING:
            self._move(ConnectionInput.END)

    def _transport_ended(self, why: str) -> None:
        if self.state is _CLOSED:
            return
        if self._info is None:
            closing = self.state is _CLOSING
            self._finish(endings.closed_by_transport(f"{why} {endings.MEANWHILE[self.state]}", closing=closing))
        self._end()

    def _close_expired(self, after: float) -> None:
        if self._info is None:
            error = DeadlineExpired(Deadline.CLOSE, after, "the peer did not answer our close frame")
            self._finish(endings.closed_by_failure(error, 1006, ""))
        self._end()

    def _end(self) -> None:
        """There is nothing left that could be done with the WebSocket."""
        self._out.clear()
        self.buffered_out = 0
        self._move(ConnectionInput.END)

    def _finish(self, info: CloseInfo) -> None:
        """The outcome is known: report it, once."""
        self._paused = False
        self._info = info
        if info.error is not None:
            self._queue.append(ConnectionFailed(error=info.error))
        self._queue.append(ConnectionClosed(info=info))

    def _move(self, what: ConnectionInput) -> None:
        before = self.state
        self.state = CONNECTION_TRANSITIONS[before, what]
        if self.state is _CLOSED:
            self.deadlines.clear()
        elif self.state is _CLOSING and before is not _CLOSING:
            self.deadlines.clear()
            self.deadlines.arm(Deadline.CLOSE, self._timeouts.close)

    def _drop_input(self) -> None:
        self._queue.clear()
        self.buffered_in = 0
        self._paused = False


def _lowered(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in headers)


def _size(data: bytes | str) -> int:
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode(errors="surrogatepass"))
