"""Listening sockets, for whatever accepts on them."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = ["FATAL", "RETRY", "bind_listeners", "names"]

RETRY: Final = 0.1
"""Seconds until another accept() is tried where one has failed: somebody has to leave first."""
FATAL: Final = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})
"""Failures of an accept() that no further one will get over."""


def names(host: str | Sequence[str]) -> list[str | None]:
    """What to resolve for the ``host`` of a ``serve()``; None is every address there is."""
    return [name or None for name in ([host] if isinstance(host, str) else host)]


def bind_listeners(found: Iterable[tuple[Any, Any, Any, Any, Any]], backlog: int) -> list[socket.socket]:
    """Listen on every address that was resolved; none of the sockets blocks.

    Raises:
        OSError: One of them cannot be used; none is then.
    """
    listeners: list[socket.socket] = []
    try:
        for family, address in sorted({(family, address[:2]) for family, _, _, _, address in found}):
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
