"""Over a client's transport of the library ``picows``, whose callbacks drive the session without a task."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any, Unpack, cast

from live_protocol.connection import CloseWebSocket, MessageConnection, SessionOptions
from live_protocol.endpoint import Endpoint
from live_protocol.errors import (
    DeadlineExpired,
    FrameViolation,
    IllegalInState,
    LimitExceeded,
    RemoteProtocolError,
    TransportFailed,
)
from live_protocol.limits import Limits
from live_protocol.session import ConfigInput
from live_protocol.timing import Deadline, Timeouts
from live_transports.bridges.client import Arguments, LiveClientSession, connect_context, credentials_url
from live_transports.bridges.driver import LOST, BridgeDriver, WebSocketEnd
from live_transports.shared import steps
from live_transports.shared.async_session import ConnectContext

if TYPE_CHECKING:
    from picows import WSCloseCode, WSFrame, WSListener, WSTransport


def picows_arguments(
    endpoint: Endpoint, *, limits: Limits | None = None, timeouts: Timeouts | None = None
) -> Arguments:
    """Keyword arguments for ``picows.ws_connect()``: listener, URL, headers, and fitting bounds. Redirects are off.

    Args:
        endpoint: Where to dial.
        limits: Bounds; the defaults if left out.
        timeouts: Durations; the defaults if left out.
    """
    limits, timeouts = limits or Limits(), timeouts or Timeouts()
    pings: dict[str, Any] = {}
    if timeouts.ping_interval is not None and timeouts.ping_timeout is not None:
        pings = {
            "enable_auto_ping": True,
            # the library wants no less of it than of the other
            "auto_ping_idle_timeout": max(timeouts.ping_interval, timeouts.ping_timeout),
            "auto_ping_reply_timeout": timeouts.ping_timeout,
        }
    return Arguments(
        ws_listener_factory=picows_listener,
        url=credentials_url(endpoint),
        extra_headers=list(endpoint.headers),
        max_frame_size=limits.max_message,
        max_redirects=0,
        websocket_handshake_timeout=timeouts.open,
        **pings,
    )


def over_picows(
    transport: WSTransport,
    listener: WSListener,
    endpoint: Endpoint,
    config: ConfigInput | None = None,
    **options: Unpack[SessionOptions],
) -> ConnectContext[LiveClientSession]:
    """Open a live session over an open connection of ``picows``: use it in ``async with``, or ``await`` it.

    From here on only the session reads the connection, writes it and closes it. The library's callbacks call the
    session's machine directly: no task and no second buffer stand between them, and the fragments of a message are put
    together here.

    Args:
        transport: The first of what ``picows.ws_connect()`` gave.
        listener: The second, made by `picows_listener`; one serves one session.
        endpoint: Where it leads, for the dialect and the names of models.
        config: `LiveConnectConfig`, a dict in its shape, or a whole `LiveClientSetup`.
        **options: See `SessionOptions`. Frames, pings and the upgrade are under the library's own bounds.

    Raises:
        TypeError: There is no such option.
        InvalidMessage: An argument cannot be used, or the service would refuse the setup.
        IllegalInState: The listener is not of `picows_listener`, or has served a session.
        TransportFailed: The connection broke.
        DeadlineExpired: The setup took too long.
        ServerClosed: The server refused the setup and said why.
        RemoteProtocolError: The server broke the protocol. After all but the first three the connection is closed.
    """

    def attach(machine: MessageConnection) -> BridgeDriver:
        if transport.response is None:  # the library takes the end of TCP for the end of the upgrade
            raise TransportFailed("the connection ended during the opening handshake")
        ours: Any = listener if isinstance(listener, _listener_class()) else None
        if ours is None or ours.driver is not None:
            raise IllegalInState("over_picows", "the listener cannot be used", "dial with picows_arguments()")
        driver = _PicowsDriver(
            machine, transport, options.get("limits") or Limits(), options.get("timeouts") or Timeouts()
        )
        ours.attach(driver, gone=transport.is_disconnected)
        return driver

    response = transport.response
    return connect_context(
        endpoint, config, options, attach, headers=() if response is None else response.headers.items()
    )


class _PicowsDriver(BridgeDriver):
    def __init__(self, machine: MessageConnection, transport: WSTransport, limits: Limits, timeouts: Timeouts) -> None:
        super().__init__(machine)
        from picows import WSMsgType  # noqa: PLC0415 - an optional dependency

        self._types = WSMsgType
        self._transport = transport
        self._limits = limits
        self._timeouts = timeouts
        self._reading = False
        self._closing = False  # we began it
        self._end = LOST
        self._epilogue: asyncio.Task[None] | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def start(self) -> None:
        """Let the machine speak."""
        stream = self._transport.underlying_transport
        stream.set_write_buffer_limits(high=steps.HIGH_WATER, low=steps.LOW_WATER)
        self.machine.advance(self._loop.time())
        self.flush()

    # --- called by the library ----------------------------------------------------------------------------------

    def frame(self, kind: object, data: bytes, fin: bool, reserved: bool) -> None:
        """A frame came. The library has looked at it, but for its reserved bits, and answers pings."""
        if reserved:
            self._fail(FrameViolation("reserved bits are set, and no extension was agreed on"))
        elif kind in (self._types.TEXT, self._types.BINARY, self._types.CONTINUATION):
            self._fragment(data, fin=fin)
        elif kind == self._types.CLOSE:
            code = int.from_bytes(data[:2], "big") if data else 1005
            self._end = WebSocketEnd(code=code, reason=data[2:].decode())
            if not self._transport.is_close_frame_sent:
                self._send_close(1000 if code == 1005 else code, data[2:])
            self._transport.disconnect()

    def _fragment(self, data: bytes, *, fin: bool) -> None:
        if fin and not self._parts:
            self._arrived(data)
            return
        self._parts.append(data)
        self._size += len(data)
        for which, size in (("max_message", self._size), ("max_fragments", len(self._parts))):
            limit = getattr(self._limits, which)
            if size > limit:
                self._parts.clear()
                self._size = 0
                self._fail(LimitExceeded(which, limit))
                return
        if fin:
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            self._arrived(data)

    def _fail(self, error: RemoteProtocolError) -> None:
        self.tick()
        self.machine.fail(error)
        self.flush()
        self._wake()

    def disconnected(self) -> None:
        """The transport has ended."""
        self._epilogue = self._loop.create_task(self._finish())

    def _outcome(self) -> WebSocketEnd:
        shook = self._transport.close_handshake
        if self._end is not LOST or self._closing or shook is None or shook.sent is None:
            return self._end
        code, what = cast("int", shook.sent.code), shook.sent.reason
        if what.startswith("peer has not replied to ping"):
            after = self._timeouts.ping_timeout or 0.0
            return WebSocketEnd(fault=DeadlineExpired(Deadline.PONG, after, "a ping was sent and no pong came back"))
        return WebSocketEnd(fault=FrameViolation(f"the peer broke the protocol: {what}", close_code=int(code)))

    async def _finish(self) -> None:
        """The library keeps its exception in a future, which logs an error unless it is retrieved."""
        with contextlib.suppress(Exception):
            await self._transport.wait_disconnected()
        self._ended(self._outcome())

    def stuffed(self, full: bool) -> None:
        """The transport is full, or has room again."""
        self._full = full
        if not full:
            self.flush()
            self._wake_senders()

    # --- called by the base -------------------------------------------------------------------------------------

    def _perform(self) -> None:
        while not self._full and (action := self.machine.next_action()) is not None:
            if isinstance(action, bytes):
                self._transport.send(self._types.TEXT, action)
            elif isinstance(action, CloseWebSocket):
                self._closing = True
                self._send_close(action.code, action.reason.encode())
        reading = self.machine.wants.read
        if reading is not self._reading and not self._transport.is_disconnected:
            self._reading = reading
            stream = self._transport.underlying_transport
            (stream.resume_reading if reading else stream.pause_reading)()

    def _send_close(self, code: int, reason: bytes) -> None:
        self._transport.send_close(cast("WSCloseCode", code), reason)  # its enum has not all codes, and needs none

    def _drop(self) -> None:
        self._perform()
        self._transport.disconnect(graceful=False)


@functools.cache
def _listener_class() -> Any:
    from picows import WSListener  # noqa: PLC0415 - an optional dependency

    class Listener(WSListener):
        """Hands frames on; keeps those that come before there is a session."""

        def __init__(self) -> None:
            self.driver: _PicowsDriver | None = None
            self._early: list[tuple[object, bytes, bool, bool]] = []

        def attach(self, driver: _PicowsDriver, *, gone: bool) -> None:
            self.driver = driver
            if not gone:
                driver.start()
            for frame in self._early:
                driver.frame(*frame)
            if gone:
                driver.disconnected()

        def on_ws_connected(self, transport: WSTransport) -> None:
            transport.underlying_transport.pause_reading()  # until there is a session

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            reserved = frame.rsv1 or frame.rsv2 or frame.rsv3
            parts = (frame.msg_type, frame.get_payload_as_bytes(), frame.fin, reserved)
            if self.driver is None:
                self._early.append(parts)  # it came in one piece with the upgrade
            else:
                self.driver.frame(*parts)

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            if self.driver is not None:
                self.driver.disconnected()

        def pause_writing(self) -> None:
            if self.driver is not None:
                self.driver.stuffed(True)

        def resume_writing(self) -> None:
            if self.driver is not None:
                self.driver.stuffed(False)

    return Listener


def picows_listener() -> WSListener:
    """Listener factory for ``picows.ws_connect()``; pass its listeners to `over_picows`."""
    listener: WSListener = _listener_class()()
    return listener
