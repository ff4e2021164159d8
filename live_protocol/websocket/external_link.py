"""MessageLink: the link under a session when another library has the WebSocket. Facts come in, actions go out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias, cast, final

import attrs

from live_protocol.errors import (
    AlreadyClosed,
    DeadlineExpired,
    HandshakeFailed,
    IllegalInState,
    LimitExceeded,
    LiveProtocolError,
)
from live_protocol.events import Connected, ConnectionEvent, UpgradeRejected, UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.states import ConnectionInput, ConnectionState
from live_protocol.timing import Deadline, Deadlines, Timeouts
from live_protocol.websocket import endings
from live_protocol.websocket.http11 import RESERVED, check_headers, check_refusal
from live_protocol.websocket.link_core import WANTS, LinkCore, Observer, text_size

_CONNECTING: Final = ConnectionState.CONNECTING
_OPEN: Final = ConnectionState.OPEN
_CLOSING: Final = ConnectionState.CLOSING
_CLOSED: Final = ConnectionState.CLOSED


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
    """Server role: refuse the WebSocket with an HTTP response; nothing comes after it.

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
"""An action for the owner of a WebSocket; `bytes` are a message to send."""


class MessageLink:
    """State of one WebSocket that another library runs, with the surface that a session needs of its link."""

    __slots__ = ("_asked", "_close_sent", "_out", "buffered_out", "core")

    latency: Final = None  # pings are the library's

    def __init__(
        self,
        *,
        client: bool,
        limits: Limits,
        timeouts: Timeouts,
        observer: Observer | None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self.core: LinkCore = LinkCore(
            client=client, limits=limits, timeouts=timeouts, observer=observer, deadlines=deadlines
        )
        self._asked = False  # a request awaits its answer
        self._out: deque[WebSocketAction] = deque()
        self._close_sent: tuple[int, str] | None = None
        self.buffered_out: int = 0
        self._update_wants()

    def _update_wants(self) -> None:
        """Read: there is room. Write: there are actions. Close: the WebSocket is over and can be dropped."""
        core = self.core
        over = core.state is _CLOSED
        core.wants = WANTS[(2 if self._out else 8 if over else 0) | (not over and not core.paused)]

    @property
    def buffered_in(self) -> int:
        """Bytes of messages not yet pulled."""
        return self.core.queued

    # --- input --------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Move the clock and act on what is due."""
        self.core.deadlines.tick(now)
        for which in self.core.deadlines.expired(session=False):
            if which is Deadline.OPEN:
                after = cast("float", self.core.timeouts.open)
                detail = "the request was not answered" if self._asked else "no WebSocket was reported"
                self._fail(DeadlineExpired(which, after, detail), status=503)
            else:
                self._close_expired(cast("float", self.core.timeouts.close))
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
            body=bytes(body[: self.core.limits.max_body]),
        )
        self.core.queue.append(UpgradeRejected(status=status, headers=error.headers, body=error.body))
        self.core.move(ConnectionInput.FAIL)
        self.core.finish(endings.closed_by_refusal(error))
        self.core.move(ConnectionInput.END)
        self._update_wants()

    def requested(self, target: str, headers: Sequence[tuple[str, str]]) -> None:
        """Server role: a client asks for a WebSocket."""
        self._expect("requested", client=False)
        self._asked = True
        self.core.queue.append(UpgradeRequested(target=target, headers=_lowered(headers)))

    def receive_message(self, data: bytes | str) -> None:
        """A whole message arrived."""
        if self.core.state is _CONNECTING:
            raise IllegalInState("receive_message", self.core.state, "report connected() first, or accept the request")
        if self.core.info is not None:
            return
        core = self.core
        size = len(data) if isinstance(data, bytes) else text_size(data)
        if size > self.core.limits.max_message:
            self._fail(LimitExceeded("max_message", self.core.limits.max_message))
        else:
            core.queue.append(data)
            core.queued += size
            core.paused = core.full
        self._update_wants()

    def closed(self, code: int, reason: str) -> None:
        """The WebSocket has ended, with the peer's code, or 1006 if no close frame came."""
        if code == 1006 or self.core.state is _CONNECTING:
            self._transport_ended("the WebSocket ended")
        elif self.core.state is not _CLOSED:
            if self.core.info is None:
                self.core.move(ConnectionInput.REMOTE_CLOSE)
                self.core.finish(
                    endings.closed_by_frame(code, reason, sent=self._close_sent, cut=False, client=self.core.client)
                )
            self._end()
        self._update_wants()

    def broken(self, error: LiveProtocolError) -> None:
        """The WebSocket's library found a fault; it came after all that was reported."""
        if self.core.info is None:
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
        core = self.core
        item = core.take()
        if core.paused and not core.full:
            core.paused = False
            self._update_wants()
        return item

    def next_action(self) -> WebSocketAction | None:
        """The next thing to do, or None. It counts as done."""
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
        self.core.check_answer("accept", asked=self._asked)
        fields = check_headers(headers, RESERVED)
        self._out.append(AcceptUpgrade(headers=fields))
        self._opened(_lowered(fields), compression=False)
        self._update_wants()

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None:
        """See `WebSocketLink.reject`."""
        self.core.check_answer("reject", asked=self._asked)
        self._out.append(RefuseUpgrade(status=status, headers=check_refusal(status, headers, body), body=body))
        self._give_up()
        self._update_wants()

    def send_text(self, data: bytes) -> None:
        """Queue a message; whether it goes as text or binary is the role's, not the call's."""
        self._out.append(data)
        self.buffered_out += len(data)
        self._update_wants()
        self.core.sent(data, text=self.core.client)

    send_binary = send_text

    def ping(self, payload: bytes = b"") -> None:
        """Refuse: pings are the other library's."""
        if self.core.state in (_CLOSING, _CLOSED):
            raise self.core.too_late("ping")
        raise IllegalInState("ping", "another library has the WebSocket", "pings are that library's")

    def close(self, code: int = 1000, reason: str = "") -> None:
        """See `WebSocketLink.close`."""
        endings.check_close(code, reason)
        if self.core.state is _OPEN:
            self._send_close(code, reason)
            self.core.move(ConnectionInput.LOCAL_CLOSE)
        elif self.core.state is _CONNECTING:
            self._answer(503)
            self._give_up()
        self._update_wants()

    def fail(self, error: LiveProtocolError) -> None:
        """See `WebSocketLink.fail`."""
        if self.core.info is None:
            self.core.drop()
            self._fail(error)
        else:
            self.core.amend(error)
        self._update_wants()

    # --- inside -------------------------------------------------------------------------------------------------

    def _expect(self, operation: str, *, client: bool) -> None:
        """Check that a fact about the opening can be reported now."""
        if self.core.client is not client:
            role = "client" if self.core.client else "server"
            raise IllegalInState(operation, f"in the {role} role", "a client is connected, a server is requested")
        if self.core.state is _CLOSED:
            raise AlreadyClosed(operation)
        if self.core.state is not _CONNECTING or self._asked:
            raise IllegalInState(operation, self.core.state, "report it once")

    def _opened(self, headers: Sequence[tuple[str, str]], *, compression: bool) -> None:
        self.core.move(ConnectionInput.UPGRADED)
        self.core.deadlines.disarm(Deadline.OPEN)
        self.core.queue.append(Connected(headers=headers, compression=compression))

    def _answer(self, status: int) -> None:
        if self._asked:
            self._out.append(RefuseUpgrade(status=status))

    def _give_up(self) -> None:
        """End the attempt to connect because the caller asked for it."""
        self.core.move(ConnectionInput.LOCAL_CLOSE)
        self.core.finish(endings.closed_locally())
        self.core.move(ConnectionInput.END)

    def _send_close(self, code: int, reason: str) -> None:
        self._close_sent = (code, reason)
        self._out.append(CloseWebSocket(code=code, reason=reason))

    def _fail(self, error: LiveProtocolError, *, status: int = 500) -> None:
        """End the connection because the peer broke a rule or a deadline."""
        code, reason = 1006, ""
        before = self.core.state
        if before is _OPEN:
            code, reason = endings.close_frame_for(error)
            self._send_close(code, reason)
        elif before is _CONNECTING:
            self._answer(status)
        self.core.move(ConnectionInput.FAIL)
        self.core.finish(endings.closed_by_failure(error, code, reason))
        if before is _CONNECTING:
            self.core.move(ConnectionInput.END)

    def _transport_ended(self, why: str) -> None:
        if self.core.state is _CLOSED:
            return
        if self.core.info is None:
            closing = self.core.state is _CLOSING
            self.core.finish(
                endings.closed_by_transport(f"{why} {endings.MEANWHILE[self.core.state]}", closing=closing)
            )
        self._end()

    def _close_expired(self, after: float) -> None:
        if self.core.info is None:
            error = DeadlineExpired(Deadline.CLOSE, after, "the peer did not answer our close frame")
            self.core.finish(endings.closed_by_failure(error, 1006, ""))
        self._end()

    def _end(self) -> None:
        """The WebSocket has ended; actions not taken are dropped."""
        self._out.clear()
        self.buffered_out = 0
        self.core.move(ConnectionInput.END)


def _lowered(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in headers)
