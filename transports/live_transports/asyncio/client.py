"""The client's end on asyncio: `connect`."""

from __future__ import annotations

import asyncio
import socket
from typing import Unpack, final

from live_protocol.reconnect import EndpointSource
from live_protocol.session import ConfigInput
from live_transports.asyncio.dialing import open_transport
from live_transports.asyncio.driver import AsyncioDriver, RedialingDriver
from live_transports.shared.async_session import ConnectContext
from live_transports.shared.async_sessions import AsyncClientSession
from live_transports.shared.options import DialOptions, check_options
from live_transports.shared.reconnecting import Redialer, make_client


@final
class LiveClientSession(AsyncClientSession):
    """The client's end of a live session on asyncio; `connect` makes it."""

    __slots__ = ()


def connect(
    endpoint: EndpointSource,
    config: ConfigInput | None = None,
    *,
    sock: socket.socket | None = None,
    **options: Unpack[DialOptions],
) -> ConnectContext[LiveClientSession]:
    """Open a live session: use it in ``async with``, or ``await`` it.

    It returns when the server has accepted the setup. Events up to there are the first ones of the session's stream.
    Cancelling it frees the socket at once.

    Args:
        endpoint: Where, with which credentials, in which dialect; with ``reconnect`` also a function that makes one for
            each dial, with a fresh token for example.
        config: `LiveConnectConfig`, a dict in its shape, or a whole `LiveClientSetup`.
        sock: A connected TCP socket to use instead of dialing, to the proxy if there is one; it is closed in any case.
        **options: See `DialOptions` and `ConnectOptions`.

    Raises:
        TypeError: There is no such option.
        InvalidMessage: An argument cannot be used, or the service would refuse the setup. Nothing was dialed.
        ProxyFailed: The proxy did not open the tunnel.
        TransportFailed: The name, TCP or TLS failed (its cause is the OS's or TLS's error), or the connection broke.
        DeadlineExpired: The dial, the proxy, TLS, the upgrade or the setup took too long; ``which`` says which.
        HandshakeFailed: The server refused the upgrade, with status, headers and body, or is no WebSocket server.
        ServerClosed: The server refused the setup and said why.
        RemoteProtocolError: The server broke the protocol. After every one of these the socket is closed.
    """
    check_options(DialOptions, options)

    async def open_session() -> LiveClientSession:
        client = make_client(endpoint, config, options, open_transport=None if sock is None else "sock")
        local_addr = options.get("local_addr")
        driver: AsyncioDriver
        if isinstance(client, Redialer):
            first = None
            driver = RedialingDriver(client, lambda dial: open_transport(dial, local_addr))
        else:
            machine, first = client
            driver = AsyncioDriver(machine)
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
