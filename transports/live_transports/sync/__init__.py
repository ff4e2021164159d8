"""Live sessions on blocking sockets and threads: `connect` for the client's end, `serve` for the server's.

Iterate in one thread, send from any others, close from anywhere. A thread of its own owns each socket, so pings are
answered and deadlines kept however long the application takes.
"""

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
from typing import Final, Self, TypeAlias, final

from live_protocol.codec import Codec
from live_protocol.connection import LiveConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import DeadlineExpired, IllegalInState, InvalidMessage
from live_protocol.events import UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.reconnect import EndpointSource, ReconnectPolicy, Snapshot
from live_protocol.session import ConfigInput, ModelProfile
from live_protocol.timing import Timeouts
from live_protocol.websocket import Observer
from live_transports.shared import reconnecting as _redial
from live_transports.shared import steps
from live_transports.shared.listening import RETRY, bind_listeners, names
from live_transports.shared.proxy import Proxy, ProxyFailed
from live_transports.shared.reconnecting import Redialer
from live_transports.shared.steps import ByteServerConnection, DialPlan, NoPublicConstructor, Response
from live_transports.shared.timeouts import Countdown, WaitTimeout
from live_transports.sync.client_and_server_session import SyncClientSession, SyncServerSession
from live_transports.sync.driver import SyncDriver
from live_transports.sync.sockets import SelectorWaker, Stream, WaitExpired, WaitInterrupted, open_stream
from live_transports.sync.tools import ToolRunner

__all__ = [
    "LiveClientSession",
    "LiveServer",
    "LiveServerSession",
    "Proxy",
    "ProxyFailed",
    "ToolRunner",
    "WaitTimeout",
    "connect",
    "serve",
]

Handler: TypeAlias = Callable[["LiveServerSession"], object]
ProcessRequest: TypeAlias = Callable[[UpgradeRequested], Response | None]

_OVERLOADED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@final
class LiveClientSession(SyncClientSession):
    """The client's end of a live session on threads; `connect` makes it."""

    __slots__ = ()


@final
class LiveServerSession(SyncServerSession):
    """The server's end of a live session on threads; `serve` hands it to the handler."""

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
    timeout: float | None = None,
) -> LiveClientSession:
    """Open a live session; use it in ``with``, or close what comes out.

    It returns when the server has accepted the setup. Events up to there are the first ones of the session's stream.

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
            there that the next connection is asked for. By default the session ends with its connection.
        snapshot: What `LiveClientSession.snapshot` gave elsewhere, to go on with that session; needs ``reconnect``.
        observer: Told of everything that passes, for example what `live_transports.recording.record_to` gives.
        profile: What the model is known to refuse, where that shall be refused here; see `live_protocol.session`.
        timeout: Seconds for all of it together, on top of the bounds of each step; None for no bound more.

    Returns:
        The session, ready to be used.

    Raises:
        InvalidMessage: An argument cannot be used, or the service would refuse the setup. Nothing was dialed.
        ProxyFailed: The proxy did not open the tunnel.
        TransportFailed: The name, TCP or TLS failed (its cause is the OS's or TLS's error), or the connection broke.
        DeadlineExpired: The dial, the proxy, TLS, the upgrade or the setup took too long; ``which`` says which.
        WaitTimeout: All of it took longer than ``timeout``; the text names the step.
        HandshakeFailed: The server refused the upgrade, with status, headers and body, or is no WebSocket server.
        ServerClosed: The server refused the setup and said why.
        RemoteProtocolError: The server broke the protocol. After every one of these the socket is closed.
    """

    def plan(endpoint: Endpoint) -> DialPlan:
        return DialPlan.plan(endpoint, context=ssl, server_hostname=server_hostname, timeout=dial_timeout, proxy=proxy)

    countdown = Countdown(timeout)
    try:
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
    except BaseException:
        if sock is not None:
            sock.close()
        raise
    if isinstance(made, Redialer):
        first = None
        driver = SyncDriver(made.machine, redialer=made, open=lambda dial, watch: open_stream(dial, watch, local_addr))
    else:
        machine, first = made
        driver = SyncDriver(machine)
    session = LiveClientSession._create(driver.machine, driver)
    try:
        if first is not None:
            first = first.within(timeout)
            driver.start(open_stream(first, driver.watch(first.timeout), local_addr, sock))
        session._open(countdown.left)
    except BaseException as error:
        late = isinstance(error, WaitTimeout) or (isinstance(error, DeadlineExpired) and countdown.left == 0)
        given_up = WaitTimeout("connect", cost=f"{session!r} was given up")
        driver.abort()
        driver.discard()
        if late:
            raise given_up from error
        raise
    return session


# --- server -----------------------------------------------------------------------------------------------------


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
        listeners: Sequence[socket.socket],
    ) -> None:
        self._handler = handler
        self._machine = machine
        self._process_request = process_request
        self._context = context
        self._handshake_timeout = handshake_timeout
        self._listeners = tuple(listeners)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        # What is None has not begun or is over; threads that are over are weeded out as others come.
        self._connections: dict[threading.Thread, SyncDriver | None] = {}
        self._waker = SelectorWaker()
        self._acceptor = threading.Thread(target=self._accept, name="live server", daemon=True)
        self._acceptor.start()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; none after `close`."""
        return () if self._stopping.is_set() else self._listeners

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
        host, port = self._listeners[0].getsockname()[:2]
        return host, port

    def close(self, code: int = 1001, reason: str = "", *, grace: float = 1.0) -> None:
        """Stop listening, close every connection, then see the handlers off.

        Idempotent, from any thread. It takes ``Timeouts.close`` and ``grace`` at most. A thread cannot be cancelled: of
        handlers that go on longer a RuntimeWarning tells; their threads do not keep the program alive.

        Args:
            code: Close code for the connections; 1001 is "going away".
            reason: Close reason.
            grace: Seconds that handlers get to end by themselves once their connection has.

        Raises:
            InvalidMessage: Code or reason may not be sent; the server goes on with the connections it has.
        """
        self._begin_close(code, reason)
        with self._lock:
            self._stopping.set()
        self._waker.wake()
        mine = self._begin_close(code, reason)  # those that came meanwhile
        wires = [driver for driver in mine.values() if driver is not None]
        try:
            for driver in wires:
                driver.closed.wait()
            until = time.monotonic() + grace
            for thread in mine:
                thread.join(max(0.0, until - time.monotonic()))
        except BaseException:
            for driver in wires:
                driver.abort()
            raise
        self._acceptor.join()
        left = sum(thread.is_alive() for thread in mine)
        if left:
            warnings.warn(f"{left} handlers of a live server go on after its end", RuntimeWarning, stacklevel=2)

    def _begin_close(self, code: int, reason: str) -> dict[threading.Thread, SyncDriver | None]:
        """Close all connections but the caller's own."""
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
                self._stopping.wait(RETRY)  # somebody has to leave first
            return
        thread = threading.Thread(target=self._serve, args=(sock,), name="live handler", daemon=True)
        with self._lock:
            if self._stopping.is_set():
                sock.close()
                return
            for over in [thread for thread, driver in self._connections.items() if driver is None]:
                if not over.is_alive():
                    del self._connections[over]
            try:
                thread.start()
            except RuntimeError:  # the system allows no more of them
                sock.close()
                return
            self._connections[thread] = None

    def _serve(self, sock: socket.socket) -> None:
        """One connection from its handshake to its end."""
        me = threading.current_thread()
        with contextlib.closing(sock):
            driver = SyncDriver(self._machine())
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
        """Speak TLS where that is asked for, then let the machine speak; whether that came about."""
        try:
            stream = Stream(sock)
            if self._context is not None:
                stream.secure(self._context, driver.watch(self._handshake_timeout))
            driver.start(stream)
        except (OSError, ValueError, WaitExpired, WaitInterrupted):
            return False
        return True

    def _run(self, driver: SyncDriver) -> None:
        session = LiveServerSession._create(driver.machine, driver)
        code = 1000
        try:
            if self._admit(session):
                self._handler(session)
        except Exception as error:
            if not steps.is_own_end(error, driver.event_queue.info):
                code = 1011
                caught = (type(error), error, error.__traceback__, threading.current_thread())
                threading.excepthook(threading.ExceptHookArgs(caught))
        driver.close(code, "" if code == 1000 else "Internal error encountered.")

    def _admit(self, session: LiveServerSession) -> bool:
        """Answer the upgrade; False where it was refused."""
        if self._process_request is None:
            return True
        return session._answer(self._process_request(session._requested()))


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
    ssl: tls.SSLContext | None = None,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    compression: bool = False,
    strict: bool = True,
    codec: Codec | None = None,
    process_request: ProcessRequest | None = None,
    connection_factory: Callable[[], ByteServerConnection] | None = None,
    backlog: int = 100,
) -> LiveServer:
    """Serve live sessions; use it in ``with``, or close what comes out.

    Each connection has one thread that runs ``handler(session)`` once the upgrade is accepted. When the handler
    returns, its connection is closed with 1000. When it raises, with 1011, and the exception goes to
    `threading.excepthook`, unless it is only the connection's own end (the stream's error, or `StaleOperation`).

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
        process_request: Called with each `UpgradeRequested`, in the connection's thread; gives None to accept, or
            status, header fields and body to refuse with. By default the paths of the service are accepted and others
            refused with 404.
        connection_factory: Makes the state machine of each connection in place of `LiveConnection.server`, and makes
            the parameters from ``limits`` to ``codec`` void, but for ``timeouts.open`` in TLS. Unless
            ``process_request`` is given, that machine answers the upgrade itself, and the handler is called as soon as
            there is a connection; it must drain the events. The machine is used by several threads, one at a time.
        backlog: Connections that may wait to be accepted.

    Raises:
        OSError: Listening failed.
        InvalidMessage: Neither ``handler`` nor ``connection_factory`` was given.
    """

    def machine() -> ByteServerConnection:
        return LiveConnection.server(
            limits=limits, timeouts=timeouts, codec=codec, compression=compression, strict=strict
        )

    if handler is None and connection_factory is None:
        raise InvalidMessage("handler", "somebody has to answer: give a handler or a connection_factory")
    if process_request is None and connection_factory is None:
        process_request = steps.answer_request
    return LiveServer._create(
        handler or _drain,
        connection_factory or machine,
        process_request,
        context=ssl,
        handshake_timeout=(timeouts or Timeouts()).open,
        listeners=_listen(host, port, backlog),
    )
