"""Listening sockets, and the facts of a server that accepts on them."""

from __future__ import annotations

import abc
import errno
import os
import socket
import ssl as tls
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from live_protocol.connection import LiveConnection, ServeOptions
from live_protocol.errors import IllegalInState
from live_protocol.events import UpgradeRequested
from live_transports.shared.options import ListenOptions, options_of
from live_transports.shared.steps import GEMINI_PATH, NoPublicConstructor, ServePlan, ws_url

BACKLOG: Final = 100
"""Connections that may wait to be accepted, if nothing else is said."""
RETRY: Final = 0.1
"""Seconds between an accept() that failed and the next: a connection has to end first."""
FATAL: Final = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})
"""Failures of an accept() that are permanent."""


def names(host: str | Sequence[str]) -> list[str | None]:
    """The names to resolve for the ``host`` of a ``serve()``; None means every address."""
    return [name or None for name in ([host] if isinstance(host, str) else host)]


def bind_listeners(resolved: Iterable[tuple[Any, Any, Any, Any, Any]], backlog: int) -> list[socket.socket]:
    """Listen on every resolved address, with sockets that do not block.

    Raises:
        OSError: An address cannot be used. No socket is left open.
    """
    listeners: list[socket.socket] = []
    try:
        for family, address in sorted({(family, address[:2]) for family, _, _, _, address in resolved}):
            sock = socket.socket(family, socket.SOCK_STREAM)
            listeners.append(sock)
            if os.name == "posix":  # elsewhere it lets another program take the port over
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(backlog)
            sock.setblocking(False)
    except BaseException:
        for sock in listeners:
            sock.close()
        raise
    return listeners


def serve_plan(
    handler: Callable[[Any], Any] | None,
    process_request: Callable[[UpgradeRequested], Any] | None,
    connection_factory: Callable[[], Any] | None,
    options: ListenOptions,
    *,
    drain: Callable[[Any], Any],
) -> ServePlan:
    """`ServePlan.make` for a ``serve()`` over byte streams."""
    return ServePlan.make(
        handler,
        process_request,
        connection_factory,
        drain=drain,
        default_connection=lambda: LiveConnection.server(**options_of(ServeOptions, options)),
        timeouts=options.get("timeouts"),
    )


class ListeningServer(metaclass=NoPublicConstructor):
    """A listening server with its connections; ``serve()`` makes it.

    Args:
        plan: What it does with each connection.
        context: TLS context with a certificate; None for plain ``ws://``.
    """

    def __init__(self, plan: ServePlan, context: tls.SSLContext | None) -> None:
        self._plan = plan
        self._context = context

    @property
    @abc.abstractmethod
    def sockets(self) -> tuple[Any, ...]:
        """The listening sockets; none after ``close``."""

    @property
    def port(self) -> int:
        """TCP port of the first listening socket.

        Raises:
            IllegalInState: The server was closed.
        """
        return self._address()[1]

    def url(self, secure: bool | None = None, *, path: str = GEMINI_PATH) -> str:
        """URL of this server, for ``Endpoint.custom``; with ``path=""`` a base URL for ``Endpoint.gemini``.

        Args:
            secure: Whether TLS is spoken; by default, whether this server does.
            path: The path.

        Raises:
            IllegalInState: The server was closed.
        """
        host, port = self._address()
        return ws_url(host, port, secure=self._context is not None if secure is None else secure, path=path)

    def _address(self) -> tuple[str, int]:
        if not self.sockets:
            raise IllegalInState("port", "the server is closed", "ask while it listens")
        host, port = self.sockets[0].getsockname()[:2]
        return host, port
