"""Live sessions on anyio, over asyncio and trio: `connect` for the client's end, `serve` for the server's.

The tasks behind a session live in a task group that does not show: a session raises single exceptions of its own, and
what the block of a session raises leaves it as it is. Cancelling that block ends the session at once, with a close
frame if the peer reads. Every operation is a checkpoint; those that wait can be cancelled and lose nothing by it.
"""

from __future__ import annotations

import socket
import ssl as tls
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias, final

import anyio.abc

from live_protocol.codec import Codec
from live_protocol.connection import LiveConnection
from live_protocol.endpoint import Endpoint
from live_protocol.events import UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.reconnect import EndpointSource, ReconnectPolicy, Snapshot
from live_protocol.session import ConfigInput, ModelProfile
from live_protocol.timing import Timeouts
from live_protocol.websocket import Observer
from live_transports.anyio.runtime import RUNTIME, listen
from live_transports.shared import steps
from live_transports.shared.async_sessions import AsyncClientSession, AsyncServerSession
from live_transports.shared.proxy import Proxy, ProxyFailed
from live_transports.shared.reconnecting import make_client
from live_transports.shared.steps import ByteServerConnection, DialPlan, Response
from live_transports.structured.server import ServeContext, StreamServer, connected, server_parts
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

Handler: TypeAlias = Callable[["LiveServerSession"], Awaitable[object]]
ProcessRequest: TypeAlias = Callable[[UpgradeRequested], Awaitable[Response | None] | Response | None]


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
    """Runs the functions that the model calls, beside the session's stream of events.

    Each call gets a task, and each function that is no coroutine function a thread, so reading waits for none of them.
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


@asynccontextmanager
async def connect(
    endpoint: EndpointSource,
    config: ConfigInput | None = None,
    *,
    model: str | None = None,
    ssl: tls.SSLContext | None = None,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    compression: bool = False,
    strict: bool = False,
    codec: Codec | None = None,
    dial_timeout: float | None = steps.DIAL_TIMEOUT,
    server_hostname: str | None = None,
    local_addr: tuple[str, int] | None = None,
    stream: anyio.abc.ByteStream | None = None,
    proxy: Proxy | str | None = None,
    reconnect: ReconnectPolicy | None = None,
    snapshot: Snapshot | None = None,
    observer: Observer | None = None,
    profile: ModelProfile | None = None,
) -> AsyncIterator[LiveClientSession]:
    """Open a live session for the length of an ``async with`` block; it cannot be awaited, its tasks need the block.

    The block is entered when the server has accepted the setup. Events up to there are the first ones of the session's
    stream. Cancelling it frees the socket at once. At the end of the block the session is closed.

    Args:
        endpoint: Where, with which credentials, in which dialect; with ``reconnect`` also a function that makes one for
            each dial, with a fresh token for example.
        config: `LiveConnectConfig`, a dict in its shape, or a whole `LiveClientSetup`.
        model: The model; needed unless ``config`` is a setup that names it.
        ssl: TLS context; for ``wss://`` one that verifies the server against the system's authorities if left out.
        limits: Bounds; the defaults if left out.
        timeouts: Durations from the upgrade on; the defaults if left out.
        compression: Whether to offer permessage-deflate.
        strict: End the session at the first message that is unknown, undecodable or out of place; for tests.
        codec: Dialect, if not the endpoint's.
        dial_timeout: Seconds for name, TCP, proxy and TLS together; None for no bound.
        server_hostname: Name that the certificate must be for, if not the endpoint's host.
        local_addr: Address to dial from.
        stream: A connected stream to use instead of dialing, in memory for example, or to the proxy if there is one;
            TLS is spoken over it for ``wss://``, and unless an argument is refused it is closed in any case.
        proxy: HTTP proxy to go through: a `Proxy`, a URL such as ``http://user:password@host:port``, or
            ``"environment"`` for what the variables ``https_proxy``, ``all_proxy`` and ``no_proxy`` say. By default
            none is used, whatever those say.
        reconnect: When and how to go on where a connection ends: then the session is one stream of events over as many
            connections as it takes, see `PersistentConnection`. Somebody has to take events all the time, for it is
            there that the next connection is made. By default the session ends with its connection.
        snapshot: What `LiveClientSession.snapshot` gave elsewhere, to go on with that session; needs ``reconnect``.
        observer: Told of everything that passes, for example what `live_transports.recording.record_to` gives.
        profile: What the model is known to refuse, where that shall be refused here; see `live_protocol.session`.

    Raises:
        InvalidMessage: An argument cannot be used, or the service would refuse the setup. Nothing was dialed.
        ProxyFailed: The proxy did not open the tunnel.
        TransportFailed: The name, TCP or TLS failed (its cause is the OS's or TLS's error), or the connection broke.
        DeadlineExpired: The dial, the proxy, TLS, the upgrade or the setup took too long; ``which`` says which.
        HandshakeFailed: The server refused the upgrade, with status, headers and body, or is no WebSocket server.
        ServerClosed: The server refused the setup and said why.
        RemoteProtocolError: The server broke the protocol. After every one of these the socket is closed.
    """

    def plan(endpoint: Endpoint) -> DialPlan:
        return DialPlan.plan(endpoint, context=ssl, server_hostname=server_hostname, timeout=dial_timeout, proxy=proxy)

    made = make_client(
        endpoint,
        config,
        plan,
        reconnect=reconnect,
        snapshot=snapshot,
        given=None if stream is None else "stream",
        model=model,
        limits=limits,
        timeouts=timeouts,
        codec=codec,
        compression=compression,
        strict=strict,
        observer=observer,
        profile=profile,
    )
    opening = connected(RUNTIME, LiveClientSession, made, local_addr=local_addr, stream=stream)
    async with opening as session:
        yield session


def serve(
    handler: Handler | None,
    host: str | Sequence[str] = "127.0.0.1",
    port: int = 0,
    *,
    ssl: tls.SSLContext | None = None,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    compression: bool = False,
    strict: bool = True,
    codec: Codec | None = None,
    process_request: ProcessRequest | None = None,
    connection_factory: Callable[[], ByteServerConnection] | None = None,
    backlog: int = 100,
) -> ServeContext[LiveServer]:
    """Serve live sessions: use it in ``async with``, or start it: ``server = await group.start(serve(handler))``.

    Each connection has one task in the server's task group that runs ``handler(session)`` once the upgrade is accepted.
    When the handler returns, its connection is closed with 1000. When it raises, with 1011, and the exception goes to
    the logger ``live_transports``, unless it is only the connection's own end (the stream's error, or
    `StaleOperation`); the other connections go on.

    Args:
        handler: Called with each `LiveServerSession`; None, where the machine drives itself, to drain its events.
        host: Address or addresses to listen on; ``""`` for all.
        port: TCP port; 0 for any free one, see `LiveServer.port`.
        ssl: TLS context with a certificate; None for plain ``ws://``.
        limits: Bounds; the defaults if left out.
        timeouts: Durations; the defaults if left out. ``open`` bounds the TLS handshake too.
        compression: Whether to accept permessage-deflate.
        strict: End a connection, as the service does, at a message that is unknown, undecodable or out of place.
        codec: Dialect; the one that the requested path belongs to if left out.
        process_request: Called with each `UpgradeRequested`; gives None to accept, or status, header fields and body
            to refuse with; may be a coroutine function. By default the paths of the service are accepted and others
            refused with 404.
        connection_factory: Makes the state machine of each connection in place of `LiveConnection.server`, and makes
            the parameters from ``limits`` to ``codec`` void, but for ``timeouts.open`` in TLS. Unless
            ``process_request`` is given, that machine answers the upgrade itself, and the handler is called as soon as
            there is a connection; it must drain the events.
        backlog: Connections that may wait to be accepted.

    Raises:
        OSError: Listening failed.
        InvalidMessage: Neither ``handler`` nor ``connection_factory`` was given.
    """

    def machine() -> ByteServerConnection:
        return LiveConnection.server(
            limits=limits, timeouts=timeouts, codec=codec, compression=compression, strict=strict
        )

    async def open_server() -> LiveServer:
        parts = server_parts(handler, process_request, connection_factory, machine)
        listeners = await listen(host, port, backlog)
        return LiveServer._create(listeners, *parts, context=ssl, handshake_timeout=(timeouts or Timeouts()).open)

    return ServeContext(open_server)
