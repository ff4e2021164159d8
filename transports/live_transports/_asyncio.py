"""One connection on asyncio: transport, timer and machine, joined by callbacks. No task, no queue, no second buffer."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, cast, final

from live_protocol.errors import IllegalInState
from live_transports import _driver
from live_transports._driver import Inbox, Machine
from live_transports._proxy import ConnectTunnel, ProxyFailed
from live_transports._sessions import AsyncWire

__all__ = ["Tunnelling", "Wire", "connect_tcp"]


@final
class Wire(asyncio.Protocol, AsyncWire):
    """The one owner of a transport.

    Args:
        machine: What it drives.
        loop: The loop that all of this runs in.
        ready: Called when the transport can be used; without it somebody calls `start`.

    Attributes:
        machine: As given.
        gone: Set when the transport has ended; its socket is closed in the same step of the loop.
    """

    def __init__(
        self, machine: Machine, loop: asyncio.AbstractEventLoop, ready: Callable[[Wire], None] | None = None
    ) -> None:
        self.inbox: Inbox[Any] = Inbox(machine, self.settle)
        self.gone = asyncio.Event()
        self.machine = machine
        self._loop = loop
        self._ready = ready
        self._transport: asyncio.Transport | None = None
        self._started = False
        self._full = False
        self._reading = True
        self._half_closed = False
        self._closing = False
        self._burst = 0
        self._hung_up: select.poll | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._senders: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    @property
    def made(self) -> bool:
        """Whether there is a transport, which then owns the socket."""
        return self._transport is not None

    # --- called by the transport --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._ready is not None:
            self._ready(self)

    def data_received(self, data: bytes) -> None:
        _driver.arrived(self.machine, self._loop.time(), data)
        self._burst = 0
        self.settle()
        if not self._reading:
            self.inbox.make_room()
        self._wake()

    def eof_received(self) -> None:
        self.tick()
        self.machine.receive_eof()
        self.settle()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.tick()
        self.inbox.cause = exc
        if exc is None:
            self.machine.receive_eof()
        else:
            self.machine.transport_failed(exc)
        self.gone.set()
        if self._timer is not None:
            self._timer.cancel()
        self._wake()
        self._wake_senders()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self.settle()
        self._wake_senders()

    # --- steps --------------------------------------------------------------------------------------------------

    def start(self, transport: asyncio.Transport | None = None) -> None:
        """Let the machine speak, over another transport than the one that was made where TLS lies between."""
        transport = self._transport = transport or cast("asyncio.Transport", self._transport)
        self._started = True
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does so too, but only for sockets that were made with the protocol's number
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(select, "POLLRDHUP"):
                self._hung_up = select.poll()
                self._hung_up.register(sock.fileno(), select.POLLRDHUP)
        transport.set_write_buffer_limits(high=_driver.HIGH_WATER, low=_driver.LOW_WATER)
        self.machine.advance(self._loop.time())
        self.settle()

    def tick(self) -> None:
        _driver.tick(self.machine, self._loop.time())

    def settle(self) -> None:
        if not self._full:
            self._write()
        self._heed()
        self._arm()

    def _write(self) -> None:
        transport = self._transport
        if transport is None or self._closing or self.gone.is_set() or not self.machine.wants.write:
            return
        if self._reading and self._hung_up is not None and self._hung_up.poll(0):
            # Listen before you speak: a write that fails makes the transport forget what lies unread, and that may be
            # the close frame which says why the peer hung up. There is something to read, so this comes back here.
            return
        transport.write(self.machine.data_to_send())

    def _heed(self) -> None:
        """Do what the machine wants of the transport."""
        transport = self._transport
        if transport is None or self._closing or self.gone.is_set():
            return
        wants = self.machine.wants
        if wants.close and not (wants.half_close and transport.can_write_eof()):
            self._closing = True
            if self.machine.next_deadline() is None and transport.get_write_buffer_size():
                transport.abort()  # nothing bounds the wait for a peer that does not read
            else:
                transport.close()
            return
        reading = wants.read or wants.half_close
        if reading is not self._reading:
            self._reading = reading
            if reading:
                transport.resume_reading()
            else:
                transport.pause_reading()
        if wants.half_close and not self._half_closed:
            self._half_closed = True
            transport.write_eof()

    # --- the timer: one handle, moved forward only; a deadline that moved back is found out when it fires --------

    def _arm(self) -> None:
        due = self.machine.next_deadline()
        if due is None or self.gone.is_set():
            return
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        # Both loops look at sockets before they run timers, so whatever has waited was read, however late this is.
        self.machine.advance(self._loop.time())
        self._write()
        if self._closing and self.machine.next_deadline() is None and self._transport is not None:
            self._transport.abort()  # it had its time to leave in order
        self.settle()
        self._wake()

    # --- waiting ------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _wake_senders(self) -> None:
        if self._full and not self.gone.is_set():
            return
        while self._senders:
            sender = self._senders.popleft()
            if not sender.done():
                sender.set_result(None)

    async def arrival(self) -> None:
        self._arm()
        self._arrival = self._loop.create_future()
        try:
            await self._arrival
        finally:
            self._arrival = None

    async def room(self) -> None:
        self._burst += 1
        if not self._full:
            if self._burst >= _driver.BURST:
                self._burst = 0
                await asyncio.sleep(0)
            return
        sender = self._loop.create_future()
        self._senders.append(sender)
        await sender
        if self.gone.is_set():
            raise _driver.cut_off(self.inbox)

    # --- the end ------------------------------------------------------------------------------------------------

    async def close(self, code: int, reason: str) -> None:
        if asyncio.get_running_loop() is not self._loop:
            await self._close_from_afar(code, reason)
            return
        self.tick()
        self.machine.close(code, reason)
        self.inbox.begin_close()
        self.settle()
        if not self._reading:
            self.inbox.make_room()
        try:
            await self.gone.wait()
        except BaseException:
            self.abort()
            raise
        self.inbox.drain()

    async def _close_from_afar(self, code: int, reason: str) -> None:
        """Another thread's loop calls: let ours do it."""
        if self._loop.is_closed():
            return
        if not self._loop.is_running():
            raise IllegalInState("close", "the session's event loop does not run", "run it, or call abort() in it")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.close(code, reason), self._loop))

    def abort(self) -> None:
        if self._transport is None or self.gone.is_set():
            return
        if self._started:
            self.tick()
            self.machine.close()
            self._write()
        self._closing = True
        self._transport.abort()


@final
class Tunnelling(asyncio.Protocol):
    """What is said to a proxy, before the wire takes the transport over.

    Args:
        tunnel: What to say.
        wire: Which frees the transport if this goes wrong.
    """

    def __init__(self, tunnel: ConnectTunnel, wire: Wire) -> None:
        self._tunnel = tunnel
        self._wire = wire
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Nobody may wait for it.
        self._opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire.connection_made(transport)

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
        """Open the tunnel; then the transport is the wire's.

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
        transport.set_protocol(self._wire)
        return transport


async def connect_tcp(host: str, port: int, local_addr: tuple[str, int] | None) -> socket.socket:
    """A connected socket (RFC 8305).

    asyncio can do it itself, but its race, if cancelled, leaks the winner's socket (3.11), and uvloop has none.

    Raises:
        OSError: Resolving failed, or every address did; then the first failure.
        ValueError: The name cannot be resolved for how it is written.
    """
    loop = asyncio.get_running_loop()
    addresses = _driver.literal(host, port)
    if not addresses:
        addresses = _driver.interleaved(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    if len(addresses) == 1:
        return await _attempt(addresses[0], local_addr)
    running: set[asyncio.Task[socket.socket]] = set()
    errors: list[BaseException] = []
    winner: asyncio.Task[socket.socket] | None = None
    try:
        while winner is None and (addresses or running):
            if addresses:
                running.add(loop.create_task(_attempt(addresses.pop(0), local_addr)))
            delay = _driver.STAGGER if addresses else None
            done, _ = await asyncio.wait(running, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    winner = task
                    break
                errors.append(error)
                running.discard(task)
        if winner is None:
            raise errors[0]
        return winner.result()
    finally:
        for task in running:
            if task is winner:
                continue
            if not task.cancel():  # it is over already
                with contextlib.suppress(OSError):
                    task.result().close()


async def _attempt(address: _driver.Resolved, local_addr: tuple[str, int] | None) -> socket.socket:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if local_addr is not None:
            sock.bind(local_addr)
        await asyncio.get_running_loop().sock_connect(sock, address[1])
    except BaseException:
        sock.close()
        raise
    return sock
