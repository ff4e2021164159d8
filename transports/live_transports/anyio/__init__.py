"""Live sessions on anyio, over asyncio and trio: `connect` for the client's end, `serve` for the server's.

The tasks of a session live in a hidden task group: a session raises single exceptions, and an exception of your block
leaves the block as it is. Cancelling the block ends the session at once, with a close frame if the peer reads. Every
operation is a checkpoint. Cancelling one loses nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Unpack, final

import anyio.abc

from live_protocol.connection import ByteServerConnection
from live_protocol.reconnect import EndpointSource
from live_protocol.session import ConfigInput
from live_transports.anyio.client import dialed
from live_transports.anyio.runtime import RUNTIME
from live_transports.shared.async_sessions import AsyncClientSession, AsyncServerSession, Handler, ProcessRequest
from live_transports.shared.options import DialOptions, ListenOptions, check_options
from live_transports.shared.proxy import Proxy, ProxyFailed
from live_transports.structured.client import connected
from live_transports.structured.server import ServeContext, StreamServer, serving
from live_transports.structured.tools import StructuredToolRunner

__all__ = [
    "LiveClientSession",
    "LiveServer",
    "LiveServerSession",
    "Proxy",
    "ProxyFailed",
    "ToolRunner",
    "connect",
    "serve",
]


@final
class LiveClientSession(AsyncClientSession):
    """The client's end of a live session on anyio; `connect` makes it."""

    __slots__ = ()


@final
class LiveServerSession(AsyncServerSession):
    """The server's end of a live session on anyio; `serve` hands it to the handler."""

    __slots__ = ()


@final
class ToolRunner(StructuredToolRunner):
    """Runs the functions that the model calls, while you read the session's events.

    Each call has a task, and a plain function a thread, so reading never waits for one.
    """

    _runtime = RUNTIME


@final
class LiveServer(StreamServer):
    """A listening server with its connections; `serve` makes it."""

    _runtime = RUNTIME
    _session = LiveServerSession

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; none after `close`."""
        return () if self._closed or self._stopped.is_set() else self._listeners.sockets


def connect(
    endpoint: EndpointSource,
    config: ConfigInput | None = None,
    *,
    stream: anyio.abc.ByteStream | None = None,
    **options: Unpack[DialOptions],
) -> AbstractAsyncContextManager[LiveClientSession]:
    """Open a live session for an ``async with`` block. It cannot be awaited, since its tasks need the block.

    The block begins when the server has accepted the setup. The events up to there begin the session's stream. The
    session is closed at the end of the block. Cancelling frees the socket at once.

    Args:
        endpoint: The service, with credentials and dialect. With ``reconnect`` also a function that makes an endpoint
            for each dial, for example with a fresh token.
        config: `LiveConnectConfig`, a dict in its shape, or a whole `LiveClientSetup`.
        stream: A connected stream to use instead of dialing: to the server, or to the proxy if there is one. TLS runs
            over it for ``wss://``. It is closed in any case, unless an argument is refused.
        **options: See `DialOptions` and `ConnectOptions`.

    Raises:
        TypeError: There is no such option.
        LiveProtocolError: As `live_transports.asyncio.connect` raises them. Unless it is an `InvalidMessage`, the
            socket is closed.
    """
    if stream is not None:
        return connected(RUNTIME, LiveClientSession, endpoint, config, options, stream=stream)
    check_options(DialOptions, options)
    return dialed(LiveClientSession, endpoint, config, options)


def serve(
    handler: Handler[LiveServerSession] | None,
    host: str | Sequence[str] = "127.0.0.1",
    port: int = 0,
    *,
    process_request: ProcessRequest | None = None,
    connection_factory: Callable[[], ByteServerConnection] | None = None,
    **options: Unpack[ListenOptions],
) -> ServeContext[LiveServer]:
    """Serve live sessions: use it in ``async with``, or start it: ``server = await group.start(serve(handler))``.

    Each connection has one task in the server's task group that runs ``handler(session)`` once the upgrade is accepted.
    When the handler returns, its connection is closed with 1000. When it raises, the connection is closed with 1011 and
    the exception goes to the logger ``live_transports``, unless it only tells the connection's own end (its error, or
    `StaleOperation`). The other connections go on.

    Args:
        handler: Called with each `LiveServerSession`; None drains the events of a machine that drives itself.
        host: Address or addresses to listen on; ``""`` for all.
        port: TCP port; 0 for any free one, see `LiveServer.port`.
        process_request: As for `live_transports.asyncio.serve`.
        connection_factory: As for `live_transports.asyncio.serve`.
        **options: See `ListenOptions` and `ServeOptions`.

    Raises:
        OSError: Listening failed.
        TypeError: There is no such option.
        InvalidMessage: Neither ``handler`` nor ``connection_factory`` was given.
    """
    return serving(LiveServer, (handler, process_request, connection_factory), (host, port), options)
