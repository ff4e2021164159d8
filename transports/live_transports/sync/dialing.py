"""Opening a stream on threads: name, TCP, proxy and TLS."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import threading
from collections.abc import Sequence
from typing import Any

from live_protocol.timing import Deadline
from live_transports.shared import steps
from live_transports.shared.dialing import AddressInfo, DialPlan, dial_expired, ip_address, step_failed
from live_transports.sync.sockets import SelectorWaker, SocketWaiter, Stream, WaitExpired


def open_stream(
    dial: DialPlan, waiter: SocketWaiter, local_addr: tuple[str, int] | None = None, sock: socket.socket | None = None
) -> Stream:
    """Resolve, connect, go through the proxy and shake hands, under one deadline. Errors name the step.

    Args:
        dial: The plan of the dial.
        waiter: Waits, and has the deadline.
        local_addr: Address to dial from.
        sock: A connected socket to use instead. It is closed if a later step fails.

    Raises:
        TransportFailed: A step failed.
        DeadlineExpired: The steps took too long.
        WaitInterrupted: See `SocketWaiter`.
    """
    step = Deadline.DIAL
    try:
        hop = dial.hop
        if sock is None:
            sock = _connect_tcp(hop.host, hop.port, waiter, local_addr)
        stream = Stream(sock)
        if dial.proxy is not None:
            step = Deadline.PROXY
            _tunnel(stream, dial, waiter)
        if dial.tls is not None:
            step = Deadline.TLS
            stream.secure(dial.tls, waiter, server_hostname=dial.server_hostname)
    except BaseException as error:
        if sock is not None:
            sock.close()
        if isinstance(error, WaitExpired):
            raise dial_expired(step, dial) from None
        if isinstance(error, (OSError, ValueError)):  # ValueError: a name that the resolver cannot encode
            raise step_failed(step, error, dial) from error
        raise
    return stream


def _tunnel(stream: Stream, dial: DialPlan, waiter: SocketWaiter) -> None:
    hop = dial.hop
    if hop.tls is not None:
        stream.secure(hop.tls, waiter, server_hostname=hop.server_hostname)
    tunnel = dial.tunnel()
    stream.write(tunnel.data_to_send())
    while not tunnel.receive_data(stream.receive(waiter)):
        pass


def _connect_tcp(host: str, port: int, waiter: SocketWaiter, local_addr: tuple[str, int] | None) -> socket.socket:
    """A connected socket (RFC 8305)."""
    addresses = ip_address(host, port) or _interleave_families(_resolve(host, port, waiter))
    errors: list[OSError] = []
    waiting: dict[socket.socket, int] = {}
    winner: socket.socket | None = None
    try:
        while winner is None and (addresses or waiting):
            if addresses:
                family, _, _, _, address = addresses.pop(0)
                sock = socket.socket(family, socket.SOCK_STREAM)
                waiting[sock] = selectors.EVENT_WRITE
                try:
                    sock.setblocking(False)
                    if local_addr is not None:
                        sock.bind(local_addr)
                    with contextlib.suppress(BlockingIOError):
                        sock.connect(address)
                except OSError as error:
                    errors.append(error)
                    del waiting[sock]
                    sock.close()
                    continue
            for sock in waiter.wait(waiting, steps.ATTEMPT_DELAY if addresses else None):
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                del waiting[sock]
                if not code and winner is None:
                    winner = sock
                    continue
                sock.close()
                if code:
                    errors.append(OSError(code, ""))
    finally:
        for sock in waiting:
            sock.close()
    if winner is None:
        raise errors[0]
    return winner


def _interleave_families(resolved: Sequence[AddressInfo]) -> list[AddressInfo]:
    """Addresses in the order to try them: as resolved, the families taking turns (RFC 8305 section 4)."""
    families: dict[int, list[AddressInfo]] = {}
    for address in resolved:
        families.setdefault(address[0], []).append(address)
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


def _resolve(host: str, port: int, waiter: SocketWaiter) -> list[AddressInfo]:
    """Resolve on a thread, since the system's resolver has no deadline. A thread that is given up ends with it."""
    done = SelectorWaker()
    outcome: list[Any] = []

    def ask() -> None:
        try:
            outcome.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            outcome.append(error)
        done.wake()

    thread = threading.Thread(target=ask, name=f"resolver of {host}", daemon=True)
    thread.start()
    try:
        waiter.wait({done.reader: selectors.EVENT_READ})
    finally:
        done.close()
    thread.join()
    (result,) = outcome
    if isinstance(result, Exception):
        raise result
    return list(result)
