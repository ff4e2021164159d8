"""The server's end on asyncio: `serve`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl as tls
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, Unpack, cast, final

from live_protocol.connection import ByteServerConnection
from live_transports.asyncio.driver import AsyncioDriver
from live_transports.shared import steps
from live_transports.shared.async_session import ConnectContext
from live_transports.shared.async_sessions import AsyncServerSession, Handler, ProcessRequest, drain
from live_transports.shared.listening import BACKLOG, FATAL, RETRY, ListeningServer, bind_listeners, names, serve_plan
from live_transports.shared.options import ListenOptions, check_options
from live_transports.shared.steps import ServePlan


@final
class LiveServerSession(AsyncServerSession):
    """The server's end of a live session on asyncio; `serve` hands it to the handler."""

    __slots__ = ()


_ROUNDS = 4
"""Rounds of the loop that a connection takes from being accepted to the first step of its task, and one to spare."""


@final
class LiveServer(ListeningServer):
    """A listening server with its connections; `serve` makes it."""

    def __init__(self, plan: ServePlan, context: tls.SSLContext | None) -> None:
        super().__init__(plan, context)
        self._listeners: list[socket.socket] = []
        self._acceptors: set[asyncio.Task[None]] = set()
        # None before TLS is agreed upon.
        self._tasks: dict[asyncio.Task[None], AsyncioDriver | None] = {}

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; none after `close`."""
        return tuple(self._listeners)

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
        addresses = [
            address
            for name in names(host)
            for address in await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        ]
        self._listeners = bind_listeners(addresses, backlog)
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
            driver = AsyncioDriver(self._plan.connection_factory(), ready)
            timeout = None if self._context is None else self._plan.handshake_timeout
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
        try:
            fault = await session._serve(self._plan)
        except asyncio.CancelledError:
            driver.abort()
            raise
        if fault is not None:
            self._log_failure("the handler of a live session failed", fault, session=session)
        await driver.close(*steps.close_arguments(fault))


def serve(
    handler: Handler[LiveServerSession] | None,
    host: str | Sequence[str] = "127.0.0.1",
    port: int = 0,
    *,
    process_request: ProcessRequest | None = None,
    connection_factory: Callable[[], ByteServerConnection] | None = None,
    **options: Unpack[ListenOptions],
) -> ConnectContext[LiveServer]:
    """Serve live sessions: use it in ``async with``, or ``await`` it.

    Each connection has one task that runs ``handler(session)`` once the upgrade is accepted. When the handler returns,
    its connection is closed with 1000. When it raises, with 1011, and the exception goes to the loop's exception
    handler, unless it is only the connection's own end (the stream's error, or `StaleOperation`).

    Args:
        handler: Called with each `LiveServerSession`; None drains the events of a machine that drives itself.
        host: Address or addresses to listen on; ``""`` for all.
        port: TCP port; 0 for any free one, see `LiveServer.port`.
        process_request: Called with each `UpgradeRequested`; gives None to accept, or status, header fields and body
            to refuse with; may be a coroutine function. By default the paths of the service are accepted and others
            refused with 404.
        connection_factory: Makes the state machine of each connection in place of `LiveConnection.server`, whose
            options have no effect then, but for ``timeouts.open`` in TLS. Unless ``process_request`` is given, that
            machine answers the upgrade itself, and the handler is called as soon as there is a connection; it must
            drain the events.
        **options: See `ListenOptions` and `ServeOptions`.

    Raises:
        TypeError: There is no such option.
        OSError: Listening failed.
        InvalidMessage: Neither ``handler`` nor ``connection_factory`` was given.
    """
    check_options(ListenOptions, options)

    async def open_server() -> LiveServer:
        plan = serve_plan(handler, process_request, connection_factory, options, drain=drain)
        server = LiveServer._create(plan, options.get("ssl"))
        await server._listen(host, port, options.get("backlog", BACKLOG))
        return server

    return ConnectContext(open_server)
