"""Name, TCP, proxy and TLS on asyncio, up to a transport that a session can be spoken over."""

from __future__ import annotations

import asyncio
import socket
from typing import cast, final

from aiohappyeyeballs import start_connection

from live_protocol.timing import Deadline
from live_transports.asyncio.last_words import LastWords
from live_transports.shared import steps
from live_transports.shared.dialing import AddressInfo, DialPlan, dial_expired, ip_address, step_failed
from live_transports.shared.proxy import ConnectTunnel, ProxyFailed


@final
class Candidate(asyncio.Protocol):
    """Holds a transport until it is open all the way; then a driver takes it over.

    Attributes:
        transport: The one below TLS, once there is one; it owns the socket.
        early: Bytes that arrived before the driver took over.
        lost: Whether the transport has ended.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.early: bytearray = bytearray()
        self.lost: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = self.transport or cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.early += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@final
class Tunneling(asyncio.Protocol):
    """Opens a tunnel through a proxy, before the candidate takes the transport over.

    Args:
        tunnel: The dialogue.
        candidate: Which frees the transport if this goes wrong.
    """

    def __init__(self, tunnel: ConnectTunnel, candidate: Candidate) -> None:
        self._tunnel = tunnel
        self._candidate = candidate
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Its error is retrieved even if nothing waits for it.
        self._opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._candidate.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._opened.done():
            return
        try:
            if self._tunnel.receive_data(data):
                self._opened.set_result(None)
        except ProxyFailed as error:
            self._opened.set_exception(error)

    def eof_received(self) -> None:
        self.data_received(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.data_received(b"")
        elif not self._opened.done():
            self._opened.set_exception(exc)

    async def through(self, transport: asyncio.Transport | None) -> asyncio.Transport:
        """Open the tunnel; then the transport is the candidate's.

        Raises:
            ProxyFailed: It cannot be opened.
            OSError: The transport ended.
        """
        if transport is None:
            raise ConnectionResetError
        transport.write(self._tunnel.data_to_send())
        await self._opened
        if transport.is_closing():
            raise ConnectionResetError
        transport.set_protocol(self._candidate)
        return transport


async def open_transport(
    dial: DialPlan, local_addr: tuple[str, int] | None = None, sock: socket.socket | None = None
) -> tuple[asyncio.Transport, bytes]:
    """An open transport, for a driver to take over, and the bytes that have arrived on it.

    It is opened under one deadline; every failure is an error of ours that names the step. Each of them frees the
    socket.

    Args:
        dial: Where.
        local_addr: Address to dial from.
        sock: A connected socket to use instead of dialing.

    Raises:
        TransportFailed: A step failed.
        DeadlineExpired: It took too long.
    """
    candidate = Candidate()
    try:
        transport = await _open(candidate, dial, local_addr, sock)
    except BaseException:
        if candidate.transport is not None:
            candidate.transport.abort()
        raise
    return transport, bytes(candidate.early)


async def _open(
    candidate: Candidate, dial: DialPlan, local_addr: tuple[str, int] | None, sock: socket.socket | None
) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    step, hop = Deadline.DIAL, dial.hop
    expiry = asyncio.timeout(dial.timeout)
    try:
        async with expiry:
            if sock is None:
                sock = await connect_tcp(hop.host, hop.port, local_addr)
            if dial.proxy is None:
                made, _ = await loop.create_connection(lambda: candidate, sock=sock)
                transport: asyncio.Transport | None = made
            else:
                tunneling = Tunneling(dial.tunnel(), candidate)
                made, _ = await loop.create_connection(lambda: tunneling, sock=sock)
                step, transport = Deadline.PROXY, made
                if hop.tls is not None:
                    transport = await loop.start_tls(made, tunneling, hop.tls, server_hostname=hop.server_hostname)
                transport = await tunneling.through(transport)
            if dial.tls is not None and transport is not None:
                step = Deadline.TLS
                transport = await loop.start_tls(transport, candidate, dial.tls, server_hostname=dial.server_hostname)
            if transport is None or candidate.lost:
                raise ConnectionResetError
            if transport is not made:
                LastWords(made)
    except (OSError, ValueError) as error:  # ValueError: a name that the resolver cannot encode
        if expiry.expired():
            raise dial_expired(step, dial) from None
        raise step_failed(step, error, dial) from error
    finally:
        if sock is not None and candidate.transport is None:
            sock.close()
    return transport


async def connect_tcp(host: str, port: int, local_addr: tuple[str, int] | None) -> socket.socket:
    """A connected socket (RFC 8305).

    Raises:
        OSError: Resolving failed, or every address did.
        ValueError: The host name is malformed.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - the deadline around this needs one too
    addresses = ip_address(host, port) or await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if len(addresses) == 1 and local_addr is None:
        return await _connect_to(addresses[0], loop)
    local_addresses = None
    if local_addr is not None:
        local_host, local_port = local_addr
        local_addresses = await loop.getaddrinfo(
            local_host or None, local_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    cancels = task.cancelling()
    sock = await start_connection(
        addresses, local_addr_infos=local_addresses, happy_eyeballs_delay=steps.ATTEMPT_DELAY, interleave=1
    )
    # It swallows a cancellation that arrives while it cancels the attempts that lost.
    if task.cancelling() > cancels:
        sock.close()
        raise asyncio.CancelledError
    return sock


async def _connect_to(address: AddressInfo, loop: asyncio.AbstractEventLoop) -> socket.socket:
    """A socket connected to the only address there is: nothing to race."""
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock
