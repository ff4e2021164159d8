"""Sessions and servers under structured concurrency: what `trio` and `anyio` have in common above the driver."""

from __future__ import annotations

import abc
import inspect
import logging
import math
import ssl as tls
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar, final

from live_protocol.connection import LiveConnection
from live_protocol.errors import IllegalInState, InvalidMessage
from live_protocol.events import UpgradeRequested
from live_protocol.timing import Deadline
from live_transports.shared import steps
from live_transports.shared.async_sessions import AsyncClientSession, AsyncServerSession
from live_transports.shared.reconnecting import Redialer
from live_transports.shared.steps import ByteServerConnection, DialPlan, NoPublicConstructor, Response
from live_transports.structured.driver import StreamDriver
from live_transports.structured.runtime import ByteStream, EventFlag, Runtime, Scope, unwrapped

__all__ = [
    "Listeners",
    "ServeContext",
    "StreamServer",
    "connected",
    "hidden_nursery",
    "server_parts",
]

_logger = logging.getLogger("live_transports")

S = TypeVar("S", bound=AsyncClientSession)
V = TypeVar("V", bound="StreamServer")
Handler: TypeAlias = Callable[[Any], Awaitable[object]]
ProcessRequest: TypeAlias = Callable[[UpgradeRequested], Awaitable[Response | None] | Response | None]


# --- clients ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def hidden_nursery(runtime: Runtime) -> AsyncIterator[Any]:
    """A nursery for tasks that do not raise. What the block raises leaves as it is, in no group."""
    failure: BaseException | None = None
    try:
        async with runtime.nursery() as nursery:
            try:
                yield nursery
            except BaseException as error:
                failure = error
            nursery.cancel_scope.shield = True
    except BaseExceptionGroup as group:
        raise unwrapped(group) from None  # an interrupt of the program that struck in one of the tasks
    if failure is not None:
        try:
            raise failure
        finally:
            del failure


@asynccontextmanager
async def hosted(runtime: Runtime, driver: StreamDriver, byte_stream: ByteStream | None) -> AsyncIterator[None]:
    """Carry connections beside the block, from the one in hand on; when the block is left, it is over with them."""
    async with hidden_nursery(runtime) as nursery:
        driver.spawn = nursery.start_soon
        if byte_stream is not None:
            driver.start(byte_stream)
            nursery.start_soon(driver.run)
        try:
            yield
        finally:
            driver.abort()


async def _dial(
    runtime: Runtime, where: DialPlan, local_addr: tuple[str, int] | None, stream: object | None
) -> ByteStream:
    """TCP, proxy and TLS under one deadline; every failure is one of ours, and names the step."""
    step, byte_stream = Deadline.DIAL, None
    with runtime.scope(deadline=math.inf if where.timeout is None else runtime.now() + where.timeout):
        try:
            hop = where.hop
            byte_stream = (
                await runtime.connect(hop.host, hop.port, local_addr) if stream is None else runtime.wrap_stream(stream)
            )
            if where.proxy is not None:
                step = Deadline.PROXY
                if hop.tls is not None:
                    byte_stream = await byte_stream.secure(hop.tls, hostname=hop.server_hostname)
                tunnel = where.tunnel()
                await byte_stream.send(tunnel.data_to_send())
                while not tunnel.receive_data(await byte_stream.receive()):
                    pass
            if where.tls is not None:
                step = Deadline.TLS
                byte_stream = await byte_stream.secure(where.tls, hostname=where.server_hostname)
        except BaseException as error:
            if byte_stream is not None:
                await byte_stream.drop()
            if isinstance(error, (OSError, ValueError, *runtime.broken)):
                cause = unwrapped(error)
                known = cause if isinstance(cause, OSError | ValueError) else ConnectionResetError()
                raise steps.step_failed(step, known, where) from known
            raise
        return byte_stream
    raise steps.dial_expired(step, where)


@asynccontextmanager
async def connected(
    runtime: Runtime,
    cls: type[S],
    made: tuple[LiveConnection, DialPlan] | Redialer,
    *,
    local_addr: tuple[str, int] | None,
    stream: object | None,
) -> AsyncIterator[S]:
    """A client's session from its first dial to its end."""
    byte_stream: ByteStream | None = None
    if isinstance(made, Redialer):
        driver = StreamDriver(
            made.machine, runtime, redialer=made, open=lambda where: _dial(runtime, where, local_addr, None)
        )
    else:
        machine, where = made
        driver = StreamDriver(machine, runtime)
        byte_stream = await _dial(runtime, where, local_addr, stream)
    session = cls._create(driver.machine, driver)
    async with hosted(runtime, driver, byte_stream):
        await session._open()
        async with session:
            yield session


# --- servers ----------------------------------------------------------------------------------------------------


class Listeners(abc.ABC):
    """The listening sockets of a server."""

    sockets: tuple[Any, ...]

    @abc.abstractmethod
    async def serve(self, connected: Callable[[Any], Coroutine[Any, Any, None]], nursery: Any) -> None:
        """Start a task in the nursery for each stream that is accepted, until cancelled; then close the sockets."""


@final
class _Connection:
    """One connection and the task that runs its handler."""

    __slots__ = ("done", "driver", "scope", "task")

    def __init__(self, runtime: Runtime) -> None:
        self.done: EventFlag = runtime.event()
        self.scope: Scope = runtime.scope()
        self.task = runtime.task()
        self.driver: StreamDriver | None = None


class StreamServer(metaclass=NoPublicConstructor):
    """A listening server with its connections; ``serve()`` makes it."""

    _runtime: Runtime
    _session: type[AsyncServerSession]

    def __init__(
        self,
        listeners: Listeners,
        handler: Handler,
        machine: Callable[[], ByteServerConnection],
        process_request: ProcessRequest | None,
        *,
        context: tls.SSLContext | None,
        handshake_timeout: float | None,
    ) -> None:
        self._listeners = listeners
        self._handler = handler
        self._machine = machine
        self._process_request = process_request
        self._context = context
        self._handshake_timeout = math.inf if handshake_timeout is None else handshake_timeout
        self._listening: Scope = self._runtime.scope()
        self._closed = False
        self._stopped: EventFlag = self._runtime.event()
        self._connections: set[_Connection] = set()

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
        secure = self._context is not None if secure is None else secure
        return steps.ws_url(host, port, secure=secure, path=path)

    def _address(self) -> tuple[str, int]:
        if self._closed or self._stopped.is_set():
            raise IllegalInState("port", "the server is closed", "ask while it listens")
        host, port = self._listeners.sockets[0].getsockname()[:2]
        return host, port

    async def close(self, code: int = 1001, reason: str = "", *, grace: float = 1.0) -> None:
        """Stop listening, close every connection, then see the handlers off.

        Idempotent. It takes ``Timeouts.close`` and ``grace`` at most, plus what a handler does against being cancelled.
        If cancelled, it cancels the handlers at once.

        Args:
            code: Close code for the connections; 1001 is "going away".
            reason: Close reason.
            grace: Seconds that handlers get to end by themselves once their connection has; then they are cancelled.

        Raises:
            InvalidMessage: Code or reason may not be sent; the server goes on with the connections it has.
        """
        runtime = self._runtime
        me = runtime.task()
        mine = [connection for connection in self._connections if connection.task != me]
        wires = [connection.driver for connection in mine if connection.driver is not None]
        for driver in wires:
            driver.begin_close(code, reason)
        self._closed = True
        self._listening.cancel()
        for connection in mine:
            if connection.driver is None:
                connection.scope.cancel()
        try:
            await self._stopped.wait()
            for driver in wires:
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
                byte_stream = await self._secured(accepted)
                if byte_stream is not None:
                    await self._run(connection, byte_stream)
        except Exception as error:  # of a machine that is not ours; the other connections go on
            _logger.error("a connection of a live server failed", exc_info=error)
            await accepted.drop()
        finally:
            self._connections.discard(connection)
            connection.done.set()

    async def _secured(self, byte_stream: ByteStream) -> ByteStream | None:
        if self._context is None:
            return byte_stream
        with self._runtime.scope(deadline=self._runtime.now() + self._handshake_timeout):
            try:
                return await byte_stream.secure(self._context)
            except Exception as error:
                _logger.debug("the TLS handshake with a client failed", exc_info=error)
            except BaseException:
                await byte_stream.drop()
                raise
        await byte_stream.drop()
        return None

    async def _run(self, connection: _Connection, byte_stream: ByteStream) -> None:
        """One connection from its upgrade to its end."""
        driver = connection.driver = StreamDriver(self._machine(), self._runtime)
        session = self._session._create(driver.machine, driver)
        async with hosted(self._runtime, driver, byte_stream):
            code = 1000
            try:
                if await self._admit(session):
                    await self._handler(session)
            except Exception as error:
                if not steps.is_own_end(error, driver.event_queue.info):
                    code = 1011
                    _logger.error("the handler of a live session failed", exc_info=error)
            await driver.close(code, "" if code == 1000 else "Internal error encountered.")

    async def _admit(self, session: AsyncServerSession) -> bool:
        """Answer the upgrade; False where it was refused."""
        if self._process_request is None:
            return True
        request = await session._requested()
        answer = self._process_request(request)
        refusal = await answer if inspect.isawaitable(answer) else answer
        return await session._answer(refusal)


async def _drain(session: Any) -> None:
    async for _ in session:
        pass


def server_parts(
    handler: Handler | None,
    process_request: ProcessRequest | None,
    connection_factory: Callable[[], ByteServerConnection] | None,
    machine: Callable[[], ByteServerConnection],
) -> tuple[Handler, Callable[[], ByteServerConnection], ProcessRequest | None]:
    """What answers, from what ``serve()`` was given.

    Raises:
        InvalidMessage: Nothing does.
    """
    if handler is None and connection_factory is None:
        raise InvalidMessage("handler", "somebody has to answer: give a handler or a connection_factory")
    if process_request is None and connection_factory is None:
        process_request = steps.answer_request
    return handler or _drain, connection_factory or machine, process_request


class TaskStatus(Protocol):
    """``trio.TaskStatus`` or ``anyio.abc.TaskStatus``."""

    def started(self, value: Any, /) -> object: ...


@final
class ServeContext(Generic[V]):
    """A server to be opened: ``async with`` it, or start it in a nursery: ``await nursery.start(serve(handler))``.

    Either gives the `LiveServer`. A server that was started ends when its nursery is cancelled or it is closed.
    """

    __slots__ = ("_open", "_opened")

    def __init__(self, open: Callable[[], Awaitable[V]]) -> None:  # noqa: A002 - it is what it does
        self._open = open
        self._opened: list[AbstractAsyncContextManager[V]] = []

    async def __aenter__(self) -> V:
        """Listen; at the end of the block the server is closed."""
        manager = (await self._open())._serving()
        server = await manager.__aenter__()
        self._opened.append(manager)
        return server

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Close as `LiveServer.close` does; where the block is cancelled, cancel every handler."""
        return await self._opened.pop().__aexit__(kind, error, trace)

    async def __call__(self, *, task_status: TaskStatus) -> None:
        """Listen, report the server, and serve until cancelled or closed."""
        async with self as server:
            task_status.started(server)
            await server._stopped.wait()
