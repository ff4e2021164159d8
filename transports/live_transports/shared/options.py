"""The options of every `connect` and `serve`, documented once.

Each takes these as keyword arguments, so editors and type checkers show them one by one.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import Mapping
from typing import Any

from live_protocol.connection import ConnectOptions, ServeOptions
from live_protocol.reconnect import ReconnectPolicy, Snapshot
from live_transports.shared.proxy import Proxy


class DialOptions(ConnectOptions, total=False):
    """Options of a ``connect()``, besides those of the connection itself.

    Attributes:
        ssl: TLS context; for ``wss://`` one that verifies the server against the system's authorities if left out.
        dial_timeout: Seconds for name, TCP, proxy and TLS together; None for no bound; 10 if left out.
        server_hostname: Name that the certificate must be for, if not the endpoint's host.
        local_addr: Address to dial from; on trio its port must be 0.
        proxy: HTTP proxy to go through: a `Proxy`, a URL such as ``http://user:password@host:port``, or
            ``"environment"`` for what the variables ``https_proxy``, ``all_proxy`` and ``no_proxy`` say. By default
            none is used, whatever those say.
        reconnect: When and how to go on after a connection has ended: the session is one stream of events over all its
            connections, see `PersistentConnection`. Keep iterating: reconnecting happens inside the receive call. By
            default the session ends with its connection.
        snapshot: What `LiveClientSession.snapshot` gave elsewhere, to go on with that session; needs ``reconnect``.
    """

    ssl: tls.SSLContext | None
    dial_timeout: float | None
    server_hostname: str | None
    local_addr: tuple[str, int] | None
    proxy: Proxy | str | None
    reconnect: ReconnectPolicy | None
    snapshot: Snapshot | None


class ListenOptions(ServeOptions, total=False):
    """Options of a ``serve()``, besides those of each connection.

    Attributes:
        ssl: TLS context with a certificate; None for plain ``ws://``. ``Timeouts.open`` bounds the TLS handshake too.
        backlog: Connections that may wait to be accepted; 100 if left out.
    """

    ssl: tls.SSLContext | None
    backlog: int


def check_options(kind: type[Any], options: Mapping[str, Any]) -> None:
    """Refuse keyword arguments that a class of options does not have, at the call and not when it is awaited.

    Raises:
        TypeError: There is one.
    """
    for name in options:
        if name not in kind.__optional_keys__:
            raise TypeError(f"unexpected keyword argument {name!r}")


def options_of(kind: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that a class has."""
    return {name: value for name, value in options.items() if name in kind.__optional_keys__}
