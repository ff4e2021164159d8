"""One session on asyncio: transport, timer and machine, joined by callbacks. No task, no queue, no second buffer."""

from __future__ import annotations

import asyncio
import select
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast, final

from live_protocol.errors import LiveProtocolError
from live_protocol.states import ConnectionState
from live_transports.shared import steps
from live_transports.shared.async_sessions import AsyncDriver
from live_transports.shared.reconnecting import Redialer
from live_transports.shared.steps import ByteConnection, DialPlan, EventQueue
from live_transports.shared.threadsafe_close import close_threadsafe

__all__ = ["AsyncioDriver", "OpenTransport"]

OpenTransport: TypeAlias = Callable[[DialPlan], Awaitable[tuple[asyncio.Transport, bytes]]]
"""Opens a transport; gives it with what the peer has said on it already."""


@final
class AsyncioDriver(asyncio.Protocol, AsyncDriver):
    """The one owner of a transport, and of those that follow it.

    Args:
        machine: What it drives.
        loop: The loop that all of this runs in.
        ready: Called when the transport can be used; without it somebody calls `start`.
        redialer: Where further connections go to, if there are to be any; whoever waits for events opens them.
        open: How to open one.

    Attributes:
        machine: As given.
        gone: Set while there is no transport: its socket is closed in the same step of the loop.
    """

    def __init__(
        self,
        machine: ByteConnection,
        loop: asyncio.AbstractEventLoop,
        ready: Callable[[AsyncioDriver], None] | None = None,
        *,
        redialer: Redialer | None = None,
        open: OpenTransport | None = None,  # noqa: A002 - it is what it does
    ) -> None:
        self.event_queue: EventQueue[Any] = EventQueue(machine, self.flush)
        self.closed = asyncio.Event()
        self.machine = machine
        self._loop = loop
        self._ready = ready
        self._redialer = redialer
        self._open = open
        self._dialing: asyncio.Timeout | None = None
        self._transport: asyncio.Transport | None = None
        self._full = False
        self._reading = True
        self._half_closed = False
        self._closing = False
        self._burst = 0
        self._hung_up: select.poll | None = None
        self._new_events: asyncio.Future[None] | None = None
        self._senders: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    # --- called by the transport --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._ready is not None:
            self._ready(self)

    def data_received(self, data: bytes) -> None:
        steps.deliver_data(self.machine, self._loop.time(), data)
        self._burst = 0
        self.flush()
        if not self._reading:
            self.event_queue.make_room()
        self._wake()

    def eof_received(self) -> None:
        self.tick()
        self.machine.receive_eof()
        self.flush()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.tick()
        self.event_queue.cause = exc
        if exc is None:
            self.machine.receive_eof()
        else:
            self.machine.transport_failed(exc)
        self._full = False
        self.closed.set()
        self._arm()
        self._wake()
        self._wake_senders()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self.flush()
        self._wake_senders()

    # --- steps --------------------------------------------------------------------------------------------------

    def start(self, transport: asyncio.Transport | None = None, early: bytes = b"") -> None:
        """Let the machine speak, over a transport that was opened for it if one is given."""
        if transport is not None:
            transport.set_protocol(self)
            self._transport = transport
            self._reading = True
            self._half_closed = self._closing = False
            self.closed.clear()
        transport = cast("asyncio.Transport", self._transport)
        self._watch_for_hang_up(transport)
        transport.set_write_buffer_limits(high=steps.HIGH_WATER, low=steps.LOW_WATER)
        self.machine.advance(self._loop.time())
        self.flush()
        if early:
            self.data_received(early)

    def _watch_for_hang_up(self, transport: asyncio.Transport) -> None:
        self._hung_up = None
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does so too, but only for sockets that were made with the protocol's number
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(select, "POLLRDHUP"):
                self._hung_up = select.poll()
                self._hung_up.register(sock.fileno(), select.POLLRDHUP)

    def tick(self) -> None:
        self.machine.tick(self._loop.time())

    def flush(self) -> None:
        if not self._full:
            self._write()
        self._apply_wants()
        self._arm()

    def _write(self) -> None:
        transport = self._transport
        if transport is None or self._closing or self.closed.is_set() or not self.machine.wants.write:
            return
        if self._reading and self._hung_up is not None and self._hung_up.poll(0):
            # Listen before you speak: a write that fails makes the transport forget what lies unread, and that may be
            # the close frame which says why the peer hung up. There is something to read, so this comes back here.
            return
        transport.write(self.machine.data_to_send())

    def _apply_wants(self) -> None:
        """Do what the machine wants of the transport."""
        transport = self._transport
        if transport is None or self._closing or self.closed.is_set():
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
        if due is None or self._finished:
            if self._timer is not None and self.closed.is_set():
                self._timer.cancel()
                self._timer = None
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
        self.flush()
        self._wake()

    # --- waiting ------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._new_events is not None and not self._new_events.done():
            self._new_events.set_result(None)

    def _wake_senders(self) -> None:
        if self._full and not self.closed.is_set():
            return
        while self._senders:
            sender = self._senders.popleft()
            if not sender.done():
                sender.set_result(None)

    async def wait_for_events(self) -> None:
        if self._redialer is not None:
            where, told = self._redialer.next()
            if where is not None:
                await self._reconnect(self._redialer, where)
            if where is not None or told:
                return
        self._arm()
        self._new_events = self._loop.create_future()
        try:
            await self._new_events
        finally:
            self._new_events = None

    async def wait_writable(self) -> None:
        self._burst += 1
        if not self._full:
            if self._burst >= steps.BURST:
                self._burst = 0
                await asyncio.sleep(0)
            return
        sender = self._loop.create_future()
        self._senders.append(sender)
        await sender
        if self._finished:
            raise steps.send_error(self.event_queue)

    # --- the next connection ------------------------------------------------------------------------------------

    @property
    def _finished(self) -> bool:
        """Whether there is no transport and will be none."""
        return self.closed.is_set() and (self._redialer is None or self.machine.state is ConnectionState.CLOSED)

    async def _reconnect(self, redialer: Redialer, where: DialPlan) -> None:
        """Open the next transport, once the last one has ended; whoever closes interrupts it."""
        assert self._open is not None  # noqa: S101 - comes with the rest
        if self._transport is not None and not self.closed.is_set():
            self._transport.abort()
            await self.closed.wait()
        self._transport = None
        self.closed.clear()
        try:
            async with asyncio.timeout(None) as self._dialing:
                transport, early = await self._open(where)
            self.tick()
            if redialer.wanted:
                redialer.machine.dial_succeeded()
                self.start(transport, early)
            else:
                transport.abort()
        except LiveProtocolError as error:
            self.tick()
            redialer.failed(error)
        except TimeoutError:
            return  # nobody wants it any more
        finally:
            self._dialing = None
            if self._transport is None:
                self.closed.set()

    def _interrupt(self) -> None:
        """Nobody wants the connection any more that is being opened."""
        if self._dialing is not None:
            self._dialing.reschedule(self._loop.time())
            self._dialing = None
        self._arm()
        self._wake()

    # --- the end ------------------------------------------------------------------------------------------------

    def begin_close(self, code: int, reason: str) -> None:
        """Close in order, and wait for nothing.

        Raises:
            InvalidMessage: Code or reason may not be sent; nothing has changed.
        """
        self.tick()
        self.machine.close(code, reason)
        self.event_queue.begin_close()
        self.flush()
        self._interrupt()
        if not self._reading:
            self.event_queue.make_room()

    async def close(self, code: int, reason: str) -> None:
        if asyncio.get_running_loop() is not self._loop:
            await close_threadsafe(self._loop, lambda: self.close(code, reason))
            return
        self.begin_close(code, reason)
        try:
            await self.closed.wait()
        except BaseException:
            self.abort()
            raise
        self.event_queue.drain()

    def abort(self) -> None:
        if self._finished:
            return
        if self._transport is not None or self._redialer is not None:
            self.tick()
            self.machine.close()
        if self._transport is not None and not self.closed.is_set():
            self._write()
            self._closing = True
            self._transport.abort()
        self._interrupt()
