"""Over a client's WebSocket of the library ``aiohttp``."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

from live_protocol.connection import CloseWebSocket, SessionOptions
from live_protocol.endpoint import Endpoint
from live_protocol.errors import FrameViolation
from live_protocol.limits import Limits
from live_protocol.session import ConfigInput
from live_protocol.timing import Timeouts
from live_transports.bridges.client import (
    Arguments,
    LiveClientSession,
    _over_tasks,
    credentials_url,
    start_close,
)
from live_transports.bridges.driver import WebSocket, WebSocketEnd
from live_transports.shared.async_session import ConnectContext

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse


def aiohttp_arguments(
    endpoint: Endpoint, *, limits: Limits | None = None, timeouts: Timeouts | None = None
) -> Arguments:
    """Keyword arguments for ``aiohttp.ClientSession.ws_connect()``: URL, headers, and fitting bounds.

    The library waits for a pong half as long as its ``heartbeat``, so that is twice ``Timeouts.ping_timeout``. It
    follows redirects, and takes an API key in a header along to wherever they lead: dial only hosts you trust.

    Args:
        endpoint: Where to dial.
        limits: Bounds; the defaults if left out.
        timeouts: Durations; the defaults if left out.
    """
    from aiohttp import ClientWSTimeout  # noqa: PLC0415 - an optional dependency
    from yarl import URL  # noqa: PLC0415 - of that dependency

    limits, timeouts = limits or Limits(), timeouts or Timeouts()
    heartbeat = timeouts.ping_interval and timeouts.ping_timeout and 2 * timeouts.ping_timeout
    return Arguments(
        url=URL(credentials_url(endpoint), encoded=True),
        headers=dict(endpoint.headers),
        max_msg_size=limits.max_message,
        heartbeat=heartbeat,
        autoclose=False,  # it would answer every close frame with 1000
        timeout=ClientWSTimeout(ws_close=timeouts.close),  # pyright: ignore[reportCallIssue] - made by attrs
    )


def over_aiohttp(
    websocket: ClientWebSocketResponse[Any],
    endpoint: Endpoint,
    config: ConfigInput | None = None,
    **options: Unpack[SessionOptions],
) -> ConnectContext[LiveClientSession]:
    """Open a live session over an open WebSocket of ``aiohttp``: use it in ``async with``, or ``await`` it.

    From here on only the session reads the WebSocket, writes it and closes it; the ``ClientSession`` stays its owner's.
    Two things are less than over `live_transports.asyncio`, because the library does not give more: what the peer sends
    between our close frame and its own is lost, and so is the reason in its answer. A pong that does not come is a
    `TransportFailed` with the library's exception as the cause.

    Args:
        websocket: What ``ws_connect()`` gave.
        endpoint: Where it leads, for the dialect and the names of models.
        config: `LiveConnectConfig`, a dict in its shape, or a whole `LiveClientSetup`.
        **options: See `SessionOptions`. Frames, pings and the upgrade are under the library's own bounds.

    Raises:
        TypeError: There is no such option.
        InvalidMessage: An argument cannot be used, or the service would refuse the setup.
        TransportFailed: The connection broke.
        DeadlineExpired: The setup took too long.
        ServerClosed: The server refused the setup and said why.
        RemoteProtocolError: The server broke the protocol. After all but the first two the WebSocket is closed.
    """
    return _over_tasks(endpoint, config, options, lambda: _WebSocket(websocket), compression=bool(websocket.compress))


class _WebSocket(WebSocket):
    def __init__(self, websocket: ClientWebSocketResponse[Any]) -> None:
        from aiohttp import WebSocketError, WSMsgType  # noqa: PLC0415 - an optional dependency

        self._types = WSMsgType
        self._violation = WebSocketError
        self._websocket = websocket
        self._socket = websocket.get_extra_info("socket")
        self._closing = False

    async def receive(self) -> bytes | str | WebSocketEnd:
        message = await self._websocket.receive()
        if message.type in (self._types.TEXT, self._types.BINARY):
            data: bytes | str = message.data
            return data
        if message.type is self._types.CLOSE:
            code, reason = message.data or 1005, message.extra or ""
            # As RFC 6455 section 5.5.1 has it; where the library has answered by itself, this does nothing.
            await self._websocket.close(code=1000 if code == 1005 else code, message=reason.encode())
            return WebSocketEnd(code=code, reason=reason)
        if self._closing:
            await _never()  # close() reads on
        error = self._websocket.exception() or (message.data if message.type is self._types.ERROR else None)
        if isinstance(error, self._violation):
            return WebSocketEnd(
                fault=FrameViolation("the peer broke the protocol, according to aiohttp", close_code=int(error.code))
            )
        return WebSocketEnd(cause=error)

    async def send(self, message: bytes) -> None:
        await self._websocket.send_frame(message, self._types.TEXT)

    async def close(self, code: int, reason: str) -> WebSocketEnd:
        self._closing = True
        await self._websocket.close(code=code, message=reason.encode())
        answer = self._websocket.close_code
        return WebSocketEnd(cause=self._websocket.exception()) if answer == 1006 else WebSocketEnd(code=answer or 1005)

    async def drop(self, close_frame: CloseWebSocket | None) -> None:
        await start_close(self.close, close_frame or CloseWebSocket(code=1000))
        # The library closes in order, which takes as long as a peer that does not read likes.
        if self._socket is not None:
            with contextlib.suppress(OSError, TypeError):
                self._socket.shutdown(socket.SHUT_RDWR)


async def _never() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError
