"""The server's end under structured concurrency, for trio and anyio."""

from __future__ import annotations

import logging
import math
import ssl as tls
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, final

from live_protocol.connection import ByteServerConnection
from live_protocol.events import UpgradeRequested
from live_transports.shared import steps
from live_transports.shared.async_sessions import AsyncServerSession, drain
from live_transports.shared.listening import BACKLOG, ListeningServer, serve_plan
from live_transports.shared.options import ListenOptions, check_options
from live_transports.shared.steps import ServePlan
from live_transports.structured.driver import StreamDriver
from live_transports.structured.nursery import hidden_nursery, hosted
from live_transports.structured.runtime import ByteStream, EventFlag, Listeners, Runtime, Scope, unwrapped

_logger = logging.getLogger("live_transports")

V = TypeVar("V", bound="StreamServer")


@final
class _Connection:
    """One connection and the task that runs its handler."""

    __slots__ = ("done", "driver", "scope", "task")

    def __init__(self, runtime: Runtime) -> None:
        self.done: EventFlag = runtime.event()
        self.scope: Scope = runtime.scope()
        self.task = runtime.task()
        self.driver: StreamDriver | None = None


class StreamServer(ListeningServer):
    """A listening server with its connections; ``serve()`` makes it."""

    _runtime: Runtime
    _session: type[AsyncServerSession]

    def __init__(self, plan: ServePlan, context: tls.SSLContext | None, listeners: Listeners) -> None:
        super().__init__(plan, context)
        self._listeners = listeners
        self._handshake_timeout = math.inf if plan.handshake_timeout is None else plan.handshake_timeout
        self._listening: Scope = self._runtime.scope()
        self._closed = False
        self._stopped: EventFlag = self._runtime.event()
        self._connections: set[_Connection] = set()

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The listening sockets; none after `close`."""
        return () if self._closed or self._stopped.is_set() else self._listeners.sockets

    async def close(self, code: int = 1001, reason: str = "", *, grace: float = 1.0) -> None:
        """Stop listening, close every connection, and wait for the handlers.

        Call it as often as you like. It takes ``Timeouts.close`` and ``grace`` at most, plus the time that a cancelled
        handler takes to clean up. If this call is cancelled, it cancels the handlers at once.

        Args:
            code: Close code for the connections; 1001 is "going away".
            reason: Close reason.
            grace: Seconds that handlers have to end after their connection; then they are cancelled.

        Raises:
            InvalidMessage: Code or reason may not be sent. The server goes on with the connections it has.
        """
        runtime = self._runtime
        me = runtime.task()
        mine = [connection for connection in self._connections if connection.task != me]
        drivers = [connection.driver for connection in mine if connection.driver is not None]
        for driver in drivers:
            driver.begin_close(code, reason)
        self._closed = True
        self._listening.cancel()
        for connection in mine:
            if connection.driver is None:
                connection.scope.cancel()
        try:
            await self._stopped.wait()
            for driver in drivers:
                await driver.closed.wait()
            with runtime.scope(deadline=runtime.now() + grace):
                for connection in mine:
                    await connection.done.wait()
        finally:
            for connection in mine:
                connection.scope.cancel()
            with runtime.scope(shield=True):
                for connection in mine:
                    await connection.done.wait()

    # --- inside -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[Self]:
        async with hidden_nursery(self._runtime) as nursery:
            nursery.start_soon(self._listen, nursery)
            try:
                try:
                    yield self
                except Exception:
                    await self.close()
                    raise
                await self.close()
            finally:
                self._closed = True
                nursery.cancel_scope.cancel()

    async def _listen(self, nursery: Any) -> None:
        try:
            with self._listening:
                await self._listeners.serve(self._connected, nursery)
        except Exception as error:
            _logger.error("a live server can accept no more connections", exc_info=unwrapped(error))
        finally:
            self._stopped.set()

    async def _connected(self, stream: Any) -> None:
        connection = _Connection(self._runtime)
        self._connections.add(connection)
        if self._closed:
            connection.scope.cancel()
        accepted = self._runtime.wrap_stream(stream)
        try:
            with connection.scope:
                if await self._is_secured(accepted):
                    await self._run(connection, accepted)
        except Exception as error:  # in a machine that is not ours; the other connections go on
            _logger.error("a connection of a live server failed", exc_info=error)
            await accepted.drop()
        finally:
            self._connections.discard(connection)
            connection.done.set()

    async def _is_secured(self, byte_stream: ByteStream) -> bool:
        if self._context is None:
            return True
        with self._runtime.scope(deadline=self._runtime.now() + self._handshake_timeout):
            try:
                await byte_stream.secure(self._context)
            except Exception as error:
                _logger.debug("the TLS handshake with a client failed", exc_info=error)
            except BaseException:
                await byte_stream.drop()
                raise
            else:
                return True
        await byte_stream.drop()
        return False

    async def _run(self, connection: _Connection, byte_stream: ByteStream) -> None:
        """One connection from its upgrade to its end."""
        driver = connection.driver = StreamDriver(self._plan.connection_factory(), self._runtime)
        session = self._session._create(driver.machine, driver)
        async with hosted(self._runtime, driver, byte_stream):
            fault = await session._serve(self._plan)
            if fault is not None:
                _logger.error("the handler of a live session failed", exc_info=fault)
            await driver.close(*steps.close_arguments(fault))


class TaskStatus(Protocol):
    """``trio.TaskStatus`` or ``anyio.abc.TaskStatus``."""

    def started(self, value: Any, /) -> object: ...


@final
class ServeContext(Generic[V]):
    """A server to be opened: ``async with`` it, or start it in a nursery: ``await nursery.start(serve(handler))``.

    Both give the `LiveServer`. A server in a nursery ends when the nursery is cancelled or the server is closed.
    """

    __slots__ = ("_open", "_opened")

    def __init__(self, open: Callable[[], Awaitable[V]]) -> None:  # noqa: A002 - it is what it does
        self._open = open
        self._opened: list[AbstractAsyncContextManager[V]] = []

    async def __aenter__(self) -> V:
        """Listen. The server is closed at the end of the block."""
        manager = (await self._open())._serving()
        server = await manager.__aenter__()
        self._opened.append(manager)
        return server

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Close as `LiveServer.close` does. If the block was cancelled, cancel every handler."""
        return await self._opened.pop().__aexit__(kind, error, trace)

    async def __call__(self, *, task_status: TaskStatus) -> None:
        """Listen, report the server, and serve until cancelled or closed."""
        async with self as server:
            task_status.started(server)
            await server._stopped.wait()


def serving(
    server: type[V],
    answers: tuple[
        Callable[[Any], Awaitable[object]] | None,
        Callable[[UpgradeRequested], Any] | None,
        Callable[[], ByteServerConnection] | None,
    ],
    address: tuple[str | Sequence[str], int],
    options: ListenOptions,
) -> ServeContext[V]:
    """The result of a ``serve()``.

    Args:
        server: The class of the server.
        answers: ``handler``, ``process_request`` and ``connection_factory``.
        address: ``host`` and ``port``.
        options: The options.
    """
    check_options(ListenOptions, options)

    async def open_server() -> V:
        plan = serve_plan(*answers, options, drain=drain)
        listeners = await server._runtime.listen(*address, options.get("backlog", BACKLOG))
        return server._create(plan, options.get("ssl"), listeners)

    return ServeContext(open_server)
