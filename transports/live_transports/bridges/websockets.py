"""Over a client connection of the library ``websockets`` on asyncio."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Unpack

from live_protocol.connection import CloseWebSocket, SessionOptions
from live_protocol.endpoint import Endpoint
from live_protocol.errors import DeadlineExpired, FrameViolation
from live_protocol.limits import Limits
from live_protocol.session import ConfigInput
from live_protocol.timing import Deadline, Timeouts
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
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

_PEACE: Final = (1000, 1001)


def websockets_arguments(
    endpoint: Endpoint, *, limits: Limits | None = None, timeouts: Timeouts | None = None
) -> Arguments:
    """Keyword arguments for ``websockets.connect()``: URL, headers, and replacements for unsuitable defaults.

    Those would end healthy sessions: the service has taken up to 30 s for a pong (wire.md#keepalive).

    Args:
        endpoint: Where to dial.
        limits: Bounds; the defaults if left out.
        timeouts: Durations; the defaults if left out.
    """
    limits, timeouts = limits or Limits(), timeouts or Timeouts()
    return Arguments(
        uri=credentials_url(endpoint),
        additional_headers=list(endpoint.headers),
        user_agent_header=None,
        max_size=limits.max_message,
        compression=None,
        open_timeout=timeouts.open,
        ping_interval=timeouts.ping_interval,
        ping_timeout=timeouts.ping_timeout,
        close_timeout=timeouts.close,
    )


def over_websockets(
    connection: ClientConnection,
    endpoint: Endpoint,
    config: ConfigInput | None = None,
    **options: Unpack[SessionOptions],
) -> ConnectContext[LiveClientSession]:
    """Open a live session over an open connection of ``websockets``: use it in ``async with``, or ``await`` it.

    From here on only the session reads the connection, writes it and closes it. Errors are those of
    `live_transports.asyncio.connect` from the upgrade on; where the library gave the connection up, its exception is
    the cause.

    Args:
        connection: What ``websockets.connect()`` gave.
        endpoint: Where it leads, for the dialect and the names of models.
        config: `LiveConnectConfig`, a dict in its shape, or a whole `LiveClientSetup`.
        **options: See `SessionOptions`. Frames, pings and the upgrade are under the library's own bounds.

    Raises:
        TypeError: There is no such option.
        InvalidMessage: An argument cannot be used, or the service would refuse the setup.
        TransportFailed: The connection broke.
        DeadlineExpired: The setup took too long.
        ServerClosed: The server refused the setup and said why.
        RemoteProtocolError: The server broke the protocol. After all but the first two the connection is closed.
    """
    response = connection.response
    headers = () if response is None else tuple(response.headers.raw_items())
    return _over_tasks(
        endpoint,
        config,
        options,
        lambda: _WebSocket(connection),
        headers=headers,
        compression=bool(connection.protocol.extensions),
    )


class _WebSocket(WebSocket):
    def __init__(self, connection: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - an optional dependency

        self._connection = connection
        self._ended: type[ConnectionClosed] = ConnectionClosed
        self._closing = False

    async def receive(self) -> bytes | str | WebSocketEnd:
        try:
            return await self._connection.recv()
        except self._ended as error:
            return self._end(error)

    async def send(self, message: bytes) -> None:
        await self._connection.send(message, text=True)

    async def close(self, code: int, reason: str) -> None:
        self._closing = True
        await self._connection.close(code, reason)

    async def drop(self, close_frame: CloseWebSocket | None) -> None:
        await start_close(self.close, close_frame)
        self._connection.transport.abort()
        with contextlib.suppress(Exception):
            await self._connection.wait_closed()

    def _end(self, error: ConnectionClosed) -> WebSocketEnd:
        """What two close frames and their order tell."""
        rcvd, sent = error.rcvd, error.sent
        if sent is not None and not error.rcvd_then_sent and not self._closing and sent.code not in _PEACE:
            if sent.code == 1011 and sent.reason == "keepalive ping timeout":
                after = self._connection.ping_timeout or 0.0
                return WebSocketEnd(
                    fault=DeadlineExpired(Deadline.PONG, after, "a ping was sent and no pong came back")
                )
            what = sent.reason or "a rule of WebSocket"
            return WebSocketEnd(fault=FrameViolation(f"the peer broke the protocol: {what}", close_code=sent.code))
        if rcvd is not None:
            return WebSocketEnd(code=rcvd.code, reason=rcvd.reason)
        return WebSocketEnd(cause=error.__cause__ or error)
