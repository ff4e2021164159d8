"""Live sessions on asyncio and uvloop: `connect` for the client's end, `serve` for the server's.

The transport calls the state machine directly: no task, no queue and no second buffer stand between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import ssl as tls
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias, cast, final

from live_protocol.codec import Codec
from live_protocol.connection import LiveConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import IllegalInState, InvalidMessage
from live_protocol.events import UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.reconnect import EndpointSource, ReconnectPolicy, Snapshot
from live_protocol.session import ConfigInput, ModelProfile
from live_protocol.timing import Timeouts
from live_protocol.websocket import Observer
from live_transports.asyncio.dialing import open_transport
from live_transports.asyncio.driver import AsyncioDriver
from live_transports.asyncio.tools import ToolRunner
from live_transports.shared import reconnecting as _redial
from live_transports.shared import steps
from live_transports.shared.async_sessions import AsyncClientSession, AsyncServerSession, ConnectContext
from live_transports.shared.listening import FATAL, RETRY, bind_listeners, names
from live_transports.shared.proxy import Proxy, ProxyFailed
from live_transports.shared.reconnecting import Redialer
from live_transports.shared.steps import ByteServerConnection, DialPlan, NoPublicConstructor, Response

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
    """The client's end of a live session on asyncio; `connect` makes it."""

    __slots__ = ()


@final
class LiveServerSession(AsyncServerSession):
    """The server's end of a live session on asyncio; `serve` hands it to the handler."""

    __slots__ = ()


# --- client -----------------------------------------------------------------------------------------------------


def connect(
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
    sock: socket.socket | None = None,
    proxy: Proxy | str | None = None,
    reconnect: ReconnectPolicy | None = None,
    snapshot: Snapshot | None = None,
    observer: Observer | None = None,
    profile: ModelProfile | None = None,
) -> ConnectContext[LiveClientSession]:
    """Open a live session: use it in ``async with``, or ``await`` it.

    It returns when the server has accepted the setup. Events up to there are the first ones of the session's stream.
    Cancelling it frees the socket at once.

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
        sock: A connected TCP socket to use instead of dialing, to the proxy if there is one; it is closed in any case.
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

    async def open_session() -> LiveClientSession:
        made = _redial.make_client(
            endpoint,
            config,
            plan,
            reconnect=reconnect,
            snapshot=snapshot,
            given=None if sock is None else "sock",
            model=model,
            limits=limits,
            timeouts=timeouts,
            codec=codec,
            compression=compression,
            strict=strict,
            observer=observer,
            profile=profile,
        )
        loop = asyncio.get_running_loop()
        if isinstance(made, Redialer):
            first = None
            driver = AsyncioDriver(
                made.machine, loop, redialer=made, open=lambda dial: open_transport(dial, local_addr)
            )
        else:
            machine, first = made
            driver = AsyncioDriver(machine, loop)
        session = LiveClientSession._create(driver.machine, driver)
        try:
            if first is not None:
                driver.start(*await open_transport(first, local_addr, sock))
            await session._open()
        except BaseException as error:
            driver.abort()
            if isinstance(error, Exception):
                await asyncio.sleep(0)  # the transport frees the socket in the next round of the loop
            raise
        return session

    return ConnectContext(open_session)


# --- server -----------------------------------------------------------------------------------------------------


_ROUNDS = 4
"""Rounds of the loop that a connection takes from being accepted to the first step of its task, and one to spare."""


@final
class LiveServer(metaclass=NoPublicConstructor):
    """A listening server with its connections; `serve` makes it."""

    def __init__(
        self,
        handler: Handler,
        machine: Callable[[], ByteServerConnection],
        process_request: ProcessRequest | None,
        *,
        context: tls.SSLContext | None,
        handshake_timeout: float | None,
    ) -> None:
        self._handler = handler
        self._machine = machine
        self._process_request = process_request
        self._context = context
        self._handshake_timeout = handshake_timeout
        self._listeners: list[socket.socket] = []
        self._acceptors: set[asyncio.Task[None]] = set()
        # Each with what it drives: nothing, before TLS is agreed upon.
        self._tasks: dict[asyncio.Task[None], AsyncioDriver | None] = {}

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; none after `close`."""
        return tuple(self._listeners)

    @property
    def port(self) -> int:
        """TCP port of the first listening socket.

        Raises:
            IllegalInState: The server was closed.
        """
        return self._address()[1]

    def url(self, secure: bool | None = None, *, path: str = steps.GEMINI_PATH) -> str:
        """URL of this server, for ``Endpoint.custom``; with ``path=""`` a base URL for ``Endpoint.gemini``.

        Args:
            secure: Whether TLS is spoken; by default, whether this server does.
            path: The path.

        Raises:
            IllegalInState: The server was closed.
        """
        host, port = self._address()
        return steps.ws_url(host, port, secure=self._context is not None if secure is None else secure, path=path)

    def _address(self) -> tuple[str, int]:
        if not self.sockets:
            raise IllegalInState("port", "the server is closed", "ask while it listens")
        host, port = self.sockets[0].getsockname()[:2]
        return host, port

    async def close(self, code: int = 1001, reason: str = "", *, grace: float = 1.0) -> None:
        """Stop listening, close every connection, then see the handlers off.

        Idempotent. It takes ``Timeouts.close`` and ``grace`` at most, plus what a handler does against being cancelled.

        Args:
            code: Close code for the connections; 1001 is "going away".
            reason: Close reason.
            grace: Seconds that handlers get to end by themselves once their connection has; then they are cancelled.

        Raises:
            InvalidMessage: Code or reason may not be sent; the server goes on with the connections it has.
        """
        self._begin_close(code, reason)
        try:
            await self._stop_listening()
            self._begin_close(code, reason)  # those that came meanwhile
            mine = self._others()
            for task, driver in mine.items():
                if driver is None:
                    task.cancel()
            for driver in mine.values():
                if driver is not None:
                    await driver.closed.wait()
            if mine:
                await asyncio.wait(mine, timeout=grace)
        finally:
            await self._stop_listening()
            mine = self._others()
            for task, driver in mine.items():
                if driver is not None:
                    driver.abort()
                task.cancel()
            if mine:
                await asyncio.wait(mine)

    def _others(self) -> dict[asyncio.Task[None], AsyncioDriver | None]:
        me = asyncio.current_task()
        return {task: driver for task, driver in self._tasks.items() if task is not me}

    def _begin_close(self, code: int, reason: str) -> None:
        for driver in self._others().values():
            if driver is not None:
                driver.begin_close(code, reason)

    async def _stop_listening(self) -> None:
        acceptors = tuple(self._acceptors)
        if not acceptors:
            return
        # A connection whose accept() is cancelled after it has come would be lost, socket and all: so let those that
        # are on their way arrive first, while no others can.
        for listener in self._listeners:
            with contextlib.suppress(NotImplementedError):  # the proactor
                asyncio.get_running_loop().remove_reader(listener)
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        for task in acceptors:
            task.cancel()
        await asyncio.wait(acceptors)
        self._acceptors.clear()
        while self._listeners:
            self._listeners.pop().close()

    async def __aenter__(self) -> Self:
        """The server itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """`close`."""
        await self.close()

    # --- inside -------------------------------------------------------------------------------------------------

    async def _listen(self, host: str | Sequence[str], port: int, backlog: int) -> None:
        loop = asyncio.get_running_loop()
        found = [
            address
            for name in names(host)
            for address in await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        ]
        self._listeners = bind_listeners(found, backlog)
        self._acceptors = {loop.create_task(self._accept(listener)) for listener in self._listeners}

    async def _accept(self, listener: socket.socket) -> None:
        """What `asyncio.Server` does, which keeps what it has accepted to itself until TLS is agreed upon."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._log_failure("a live server could not accept a connection", error)
                if error.errno in FATAL:
                    return
                await asyncio.sleep(RETRY)
            else:
                task = loop.create_task(self._serve(sock))
                self._tasks[task] = None
                task.add_done_callback(self._tasks.pop)

    async def _serve(self, sock: socket.socket) -> None:
        """One connection from its first byte to its end."""
        loop, task = asyncio.get_running_loop(), cast("asyncio.Task[None]", asyncio.current_task())

        def ready(driver: AsyncioDriver) -> None:
            self._tasks[task] = driver
            driver.start()

        try:
            driver = AsyncioDriver(self._machine(), loop, ready)
            timeout = None if self._context is None else self._handshake_timeout
            with contextlib.suppress(OSError):  # TLS failed
                await loop.connect_accepted_socket(
                    lambda: driver, sock, ssl=self._context, ssl_handshake_timeout=timeout
                )
                await self._run(driver)
        except Exception as error:
            self._log_failure("a connection of a live server failed", error)
        finally:
            if self._tasks[task] is None:
                sock.close()

    def _log_failure(self, message: str, error: BaseException, **more: object) -> None:
        context = {"message": message, "exception": error, **more}
        asyncio.get_running_loop().call_exception_handler(context)

    async def _run(self, driver: AsyncioDriver) -> None:
        """One connection from its upgrade to its end."""
        session = LiveServerSession._create(driver.machine, driver)
        code = 1000
        try:
            if await self._admit(session):
                await self._handler(session)
        except asyncio.CancelledError:
            driver.abort()
            raise
        except Exception as error:
            if not steps.is_own_end(error, driver.event_queue.info):
                code = 1011
                self._log_failure("the handler of a live session failed", error, session=session)
        await driver.close(code, "" if code == 1000 else "Internal error encountered.")

    async def _admit(self, session: LiveServerSession) -> bool:
        """Answer the upgrade; False where it was refused."""
        if self._process_request is None:
            return True
        request = await session._requested()
        answer = self._process_request(request)
        refusal = await answer if inspect.isawaitable(answer) else answer
        return await session._answer(refusal)


async def _drain(session: LiveServerSession) -> None:
    async for _ in session:
        pass


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
) -> ConnectContext[LiveServer]:
    """Serve live sessions: use it in ``async with``, or ``await`` it.

    Each connection has one task that runs ``handler(session)`` once the upgrade is accepted. When the handler returns,
    its connection is closed with 1000. When it raises, with 1011, and the exception goes to the loop's exception
    handler, unless it is only the connection's own end (the stream's error, or `StaleOperation`).

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
        if handler is None and connection_factory is None:
            raise InvalidMessage("handler", "somebody has to answer: give a handler or a connection_factory")
        process = process_request
        if process is None and connection_factory is None:
            process = steps.answer_request
        server = LiveServer._create(
            handler or _drain,
            connection_factory or machine,
            process,
            context=ssl,
            handshake_timeout=(timeouts or Timeouts()).open,
        )
        await server._listen(host, port, backlog)
        return server

    return ConnectContext(open_server)
