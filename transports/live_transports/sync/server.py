"""The server's end on threads: `serve`, the server it returns, and the sessions for the handlers."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import ssl as tls
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, Unpack, final

from live_protocol.connection import ByteServerConnection, LiveConnection
from live_protocol.errors import IllegalInState
from live_protocol.events import UpgradeRequested
from live_protocol.messages import LiveClientMessage, LiveServerMessage, LiveServerSetupComplete
from live_transports.shared.listening import BACKLOG, RETRY, ListeningServer, bind_listeners, names, serve_plan
from live_transports.shared.options import ListenOptions, check_options
from live_transports.shared.steps import Response, ServePlan, close_arguments, handler_fault
from live_transports.sync.driver import SyncDriver
from live_transports.sync.session import SyncSession
from live_transports.sync.sockets import SelectorWaker, Stream, WaitExpired, WaitInterrupted

Handler: TypeAlias = Callable[["LiveServerSession"], object]
ProcessRequest: TypeAlias = Callable[[UpgradeRequested], Response | None]

_OVERLOADED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@final
class LiveServerSession(SyncSession[LiveClientMessage, ByteServerConnection]):
    """The server's end of a live session on threads; `serve` hands it to the handler.

    Its stream begins with `UpgradeRequested`, which is answered already.
    """

    __slots__ = ("_request",)

    def __init__(self, machine: ByteServerConnection, driver: SyncDriver) -> None:
        super().__init__(machine, driver)
        self._request: UpgradeRequested | None = None

    @property
    def request(self) -> UpgradeRequested | None:
        """The upgrade that was accepted; None if the machine answers it itself."""
        return self._request

    def send(self, message: LiveServerMessage, *, timeout: float | None = None) -> None:
        """Send a message, whole or not at all, then wait while the transport is full.

        Args:
            message: The message.
            timeout: Most seconds to wait for room.

        Raises:
            InvalidMessage: It is no `LiveServerMessage`, or does not fit. Nothing was sent.
            IllegalInState: It is not allowed in this phase. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            StaleOperation: The connection is closing or closed. Nothing was sent.
            WaitTimeout: The transport stayed full. The message is queued.
            LiveProtocolError: The connection ended while the message waited to leave.
        """
        self._driver.call("send", lambda: self._machine.send(message), timeout)

    def send_setup_complete(self, session_id: str | None = None, *, timeout: float | None = None) -> None:
        """Accept the client's setup.

        Args:
            session_id: Id of the session, as Vertex sends it.
            timeout: Most seconds to wait for room.

        Raises:
            IllegalInState: There is no setup to accept. Nothing was sent.
            LiveProtocolError: As `send`.
        """
        message = LiveServerMessage(setup_complete=LiveServerSetupComplete(session_id=session_id))
        self._driver.call("send_setup_complete", lambda: self._machine.send(message), timeout)

    def _serve(self, plan: ServePlan) -> Exception | None:
        """Answer the upgrade and run the handler; returns the handler's fault, if it has one."""
        try:
            if plan.process_request is None or self._admit(plan.process_request):
                plan.handler(self)
        except Exception as error:
            return handler_fault(error, self.close_info)
        return None

    def _admit(self, process_request: Callable[[UpgradeRequested], Response | None]) -> bool:
        """Answer the upgrade; whether it was accepted."""
        self._request = request = self._opened(UpgradeRequested)
        refusal = process_request(request)
        machine = self._machine
        answer: Any = machine.accept if refusal is None else lambda: machine.reject(*refusal)
        self._driver.call("accept", answer, None)
        return refusal is None

    def _ping(self, payload: bytes) -> None:
        if not isinstance(self._machine, LiveConnection):
            raise IllegalInState("ping", "the machine drives itself", "leave pings to its deadlines")
        self._machine.ping(payload)


@final
class LiveServer(ListeningServer):
    """A listening server with its connections; `serve` makes it."""

    def __init__(self, plan: ServePlan, context: tls.SSLContext | None, listeners: Sequence[socket.socket]) -> None:
        super().__init__(plan, context)
        self._listeners = tuple(listeners)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        # None before a connection has its driver and after its end. Dead threads leave as others come.
        self._connections: dict[threading.Thread, SyncDriver | None] = {}
        self._waker = SelectorWaker()
        self._acceptor = threading.Thread(target=self._accept, name="live server", daemon=True)
        self._acceptor.start()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; none after `close`."""
        return () if self._stopping.is_set() else self._listeners

    def close(self, code: int = 1001, reason: str = "", *, grace: float = 1.0) -> None:
        """Stop listening, close every connection, and wait for the handlers.

        Call it from any thread, as often as you like. It takes ``Timeouts.close`` and ``grace`` at most. A thread
        cannot be cancelled: a RuntimeWarning tells of handlers that go on longer. Their threads do not keep the program
        alive.

        Args:
            code: Close code for the connections; 1001 is "going away".
            reason: Close reason.
            grace: Seconds that handlers have to end after their connection.

        Raises:
            InvalidMessage: Code or reason may not be sent. The server goes on with the connections it has.
        """
        self._begin_close(code, reason)
        with self._lock:
            self._stopping.set()
        self._waker.wake()
        mine = self._begin_close(code, reason)  # connections that came meanwhile
        drivers = [driver for driver in mine.values() if driver is not None]
        try:
            for driver in drivers:
                driver.closed.wait()
            until = time.monotonic() + grace
            for thread in mine:
                thread.join(max(0.0, until - time.monotonic()))
        except BaseException:
            for driver in drivers:
                driver.abort()
            raise
        self._acceptor.join()
        left = sum(thread.is_alive() for thread in mine)
        if left:
            warnings.warn(f"{left} handlers of a live server go on after its end", RuntimeWarning, stacklevel=2)

    def _begin_close(self, code: int, reason: str) -> dict[threading.Thread, SyncDriver | None]:
        """Close all connections, except the caller's own."""
        with self._lock:
            connections = dict(self._connections)
        connections.pop(threading.current_thread(), None)
        for driver in connections.values():
            if driver is not None:
                driver.begin_close(code, reason)
        return connections

    def __enter__(self) -> Self:
        """The server itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """`close`."""
        self.close()

    # --- inside -------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                for sock in (*self._listeners, self._waker.reader):
                    selector.register(sock, selectors.EVENT_READ)
                while not self._stopping.is_set():
                    ready = {key.fileobj for key, _ in selector.select()}
                    for listener in self._listeners:
                        if listener in ready:
                            self._accept_from(listener)
        finally:
            for listener in self._listeners:
                listener.close()
            self._waker.close()

    def _accept_from(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError as error:
            if error.errno in _OVERLOADED:
                self._stopping.wait(RETRY)  # until another connection ends
            return
        thread = threading.Thread(target=self._serve, args=(sock,), name="live handler", daemon=True)
        with self._lock:
            if self._stopping.is_set():
                sock.close()
                return
            for old in [thread for thread, driver in self._connections.items() if driver is None]:
                if not old.is_alive():
                    del self._connections[old]
            try:
                thread.start()
            except RuntimeError:  # the system allows no more threads
                sock.close()
                return
            self._connections[thread] = None

    def _serve(self, sock: socket.socket) -> None:
        """One connection from its handshake to its end."""
        me = threading.current_thread()
        with contextlib.closing(sock):
            driver = SyncDriver(self._plan.connection_factory())
            try:
                with self._lock:
                    self._connections[me] = driver
                if not self._stopping.is_set() and self._start(sock, driver):
                    self._run(driver)
            finally:
                driver.abort()
                driver.discard()
                with self._lock:
                    self._connections[me] = None

    def _start(self, sock: socket.socket, driver: SyncDriver) -> bool:
        """Shake hands if there is TLS, then let the machine speak; False if the connection failed before."""
        try:
            stream = Stream(sock)
            if self._context is not None:
                stream.secure(self._context, driver.waiter(self._plan.handshake_timeout))
            driver.start(stream)
        except (OSError, ValueError, WaitExpired, WaitInterrupted):
            return False
        return True

    def _run(self, driver: SyncDriver) -> None:
        session = LiveServerSession._create(driver.machine, driver)
        fault = session._serve(self._plan)
        if fault is not None:
            caught = (type(fault), fault, fault.__traceback__, threading.current_thread())
            threading.excepthook(threading.ExceptHookArgs(caught))
        driver.close(*close_arguments(fault))


def _drain(session: LiveServerSession) -> None:
    for _ in session:
        pass


def _listen(host: str | Sequence[str], port: int, backlog: int) -> list[socket.socket]:
    """Listening sockets on every address of every host."""
    return bind_listeners(
        (
            address
            for name in names(host)
            for address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        ),
        backlog,
    )


def serve(
    handler: Handler | None,
    host: str | Sequence[str] = "127.0.0.1",
    port: int = 0,
    *,
    process_request: ProcessRequest | None = None,
    connection_factory: Callable[[], ByteServerConnection] | None = None,
    **options: Unpack[ListenOptions],
) -> LiveServer:
    """Serve live sessions. Use the server in ``with``, or close it yourself.

    Each connection has one thread that runs ``handler(session)`` once the upgrade is accepted. When the handler
    returns, its connection is closed with 1000. When it raises, the connection is closed with 1011 and the exception
    goes to `threading.excepthook`, unless it only tells the connection's own end (its error, or `StaleOperation`).

    Args:
        handler: Called with each `LiveServerSession`; None drains the events of a machine that drives itself.
        host: Address or addresses to listen on; ``""`` for all.
        port: TCP port; 0 for any free one, see `LiveServer.port`.
        process_request: As for `live_transports.asyncio.serve`, but called in the connection's thread.
        connection_factory: As for `live_transports.asyncio.serve`. Several threads use the machine, one at a time.
        **options: See `ListenOptions` and `ServeOptions`.

    Raises:
        OSError: Listening failed.
        TypeError: There is no such option.
        InvalidMessage: Neither ``handler`` nor ``connection_factory`` was given.
    """
    check_options(ListenOptions, options)
    plan = serve_plan(handler, process_request, connection_factory, options, drain=_drain)
    return LiveServer._create(plan, options.get("ssl"), _listen(host, port, options.get("backlog", BACKLOG)))
