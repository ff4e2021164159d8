"""Live sessions on blocking sockets and threads: `connect` for the client's end, `serve` for the server's.

Iterate in one thread, send from any others, close from anywhere. A thread of its own owns each socket, so pings are
answered and deadlines kept however long the application takes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import ssl as tls
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Final, Self, TypeAlias, final

from live_protocol.codec import Codec
from live_protocol.commands import ConfigInput
from live_protocol.connection import LiveConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import IllegalInState, InvalidMessage
from live_protocol.events import UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.timing import Timeouts
from live_transports import _driver
from live_transports._driver import Dial, Machine, NoPublicConstructor, Response
from live_transports._proxy import Proxy, ProxyFailed
from live_transports._sockets import Bell, Stream, open_stream
from live_transports._sync import WaitTimeout, Wire
from live_transports._sync_sessions import SyncClientSession, SyncServerSession

__all__ = [
    "LiveClientSession",
    "LiveServer",
    "LiveServerSession",
    "Proxy",
    "ProxyFailed",
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
    endpoint: Endpoint,
    config: ConfigInput | None = None,
    *,
    model: str | None = None,
    ssl: tls.SSLContext | None = None,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    compression: bool = False,
    strict: bool = False,
    codec: Codec | None = None,
    dial_timeout: float | None = _driver.DIAL_TIMEOUT,
    server_hostname: str | None = None,
    local_addr: tuple[str, int] | None = None,
    sock: socket.socket | None = None,
    proxy: Proxy | str | None = None,
) -> LiveClientSession:
    """Open a live session; use it in ``with``, or close what comes out.

    It returns when the server has accepted the setup. Events up to there are the first ones of the session's stream.

    Args:
        endpoint: Where, with which credentials, in which dialect.
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
        sock: A connected TCP socket to use instead of dialling, to the proxy if there is one; it is closed in any case.
        proxy: HTTP proxy to go through: a `Proxy`, a URL such as ``http://user:password@host:port``, or
            ``"environment"`` for what the variables ``https_proxy``, ``all_proxy`` and ``no_proxy`` say. By default
            none is used, whatever those say.

    Returns:
        The session, ready to be used.

    Raises:
        InvalidMessage: An argument cannot be used, or the service would refuse the setup. Nothing was dialled.
        ProxyFailed: The proxy did not open the tunnel.
        TransportFailed: The name, TCP or TLS failed (its cause is the OS's or TLS's error), or the connection broke.
        DeadlineExpired: The dial, the proxy, TLS, the upgrade or the setup took too long; ``which`` says which.
        HandshakeFailed: The server refused the upgrade, with status, headers and body, or is no WebSocket server.
        ServerClosed: The server refused the setup and said why.
        RemoteProtocolError: The server broke the protocol. After every one of these the socket is closed.
    """
    try:
        dial = Dial.plan(endpoint, context=ssl, server_hostname=server_hostname, timeout=dial_timeout, proxy=proxy)
        machine = LiveConnection.client(
            endpoint,
            config,
            model=model,
            limits=limits,
            timeouts=timeouts,
            codec=codec,
            compression=compression,
            strict=strict,
        )
    except BaseException:
        if sock is not None:
            sock.close()
        raise
    wire = Wire(machine)
    session = LiveClientSession._create(machine, wire)
    try:
        wire.start(open_stream(dial, wire.watch(dial.timeout), local_addr, sock))
        session._open()
    except BaseException:
        wire.abort()
        wire.discard()
        raise
    return session


# --- server -----------------------------------------------------------------------------------------------------


@final
class LiveServer(metaclass=NoPublicConstructor):
    """A listening server with its connections; `serve` makes it."""

    def __init__(
        self,
        handler: Handler,
        machine: Callable[[], Machine],
        process_request: ProcessRequest | None,
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
        self._closed = False
        self._connections: dict[threading.Thread, Wire] = {}
        self._bell = Bell()
        self._acceptor = threading.Thread(target=self._accept, name="live server", daemon=True)
        self._acceptor.start()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; none after `close`."""
        return () if self._closed else self._listeners

    @property
    def port(self) -> int:
        """TCP port of the first listening socket.

        Raises:
            IllegalInState: The server was closed.
        """
        return self._address()[1]

    def url(self, secure: bool | None = None, *, path: str = _driver.GEMINI_PATH) -> str:
        """URL of this server, for ``Endpoint.custom``; with ``path=""`` a base URL for ``Endpoint.gemini``.

        Args:
            secure: Whether TLS is spoken; by default, whether this server does.
            path: The path.

        Raises:
            IllegalInState: The server was closed.
        """
        host, port = self._address()
        return _driver.ws_url(host, port, secure=self._context is not None if secure is None else secure, path=path)

    def _address(self) -> tuple[str, int]:
        if self._closed:
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
        me = threading.current_thread()
        with self._lock:
            mine = {thread: wire for thread, wire in self._connections.items() if thread is not me}
        for wire in mine.values():
            wire.begin_close(code, reason)
        with self._lock:
            self._closed = True
            late = {thread: wire for thread, wire in self._connections.items() if thread is not me}
        self._bell.ring()
        for thread, wire in late.items():
            if thread not in mine:
                wire.begin_close(code, reason)
        self._acceptor.join()
        for wire in late.values():
            wire.gone.wait()
        until = time.monotonic() + grace
        for thread in late:
            thread.join(max(0.0, until - time.monotonic()))
        left = sum(thread.is_alive() for thread in late)
        if left:
            warnings.warn(f"{left} handlers of a live server go on after its end", RuntimeWarning, stacklevel=2)

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
                for sock in (*self._listeners, self._bell.ear):
                    selector.register(sock, selectors.EVENT_READ)
                while not self._closed:
                    for key, _ in selector.select():
                        if key.fileobj in self._listeners:
                            self._accept_from(key.fileobj)  # type: ignore[arg-type]
        finally:
            for listener in self._listeners:
                listener.close()
            self._bell.close()

    def _accept_from(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError as error:
            if error.errno in _OVERLOADED and not self._closed:
                time.sleep(0.1)  # somebody has to leave first
            return
        wire = Wire(self._machine())
        thread = threading.Thread(target=self._serve, args=(sock, wire), name="live handler", daemon=True)
        with self._lock:
            self._connections[thread] = wire
        thread.start()

    def _serve(self, sock: socket.socket, wire: Wire) -> None:
        """One connection from its handshake to its end."""
