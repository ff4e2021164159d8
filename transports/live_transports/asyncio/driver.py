"""One session on asyncio: transport, timer and machine, joined by callbacks.

There is no task, no queue and no second buffer. The transport calls `AsyncioDriver` when bytes arrive, when it has room
again and when it ends; the session calls it before and after every command. Each of these calls is one step in the
order of `live_transports.shared.steps`: tell the machine the time, give it its input, then `flush`, which writes what
the machine has to say, does what it wants of the transport if that has changed, and moves the timer forward if a
deadline has come closer. In mid-turn the last two are one comparison each.

The receiving task pulls events out of the machine, and waits for a ``Wakeup`` when there are none. While it waits,
bytes that arrive become its event in `data_received`, which resumes the task in the same call; a chunk of audio to
send is written in the call that encodes it. Both are the two usual commands of the machine in one step,
``receive_event`` and ``pcm_to_send``, and give the same. A machine that wraps another is driven by the usual
commands. A sender waits for a future of its own while the transport is full. Nothing is awaited between a command and
the write of what it left behind, so cancelling a send never tears a frame.

`RedialingDriver` opens one transport after the other for a session that reconnects. The receiving task does that, in
`wait_for_events`: there is still no task of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

from live_protocol.connection import ByteConnection, LiveConnection
from live_protocol.errors import LiveProtocolError
from live_protocol.events import ConnectionClosed, Event
from live_protocol.reconnect import PersistentConnection
from live_protocol.states import ConnectionState
from live_protocol.websocket import Wants
from live_transports.asyncio.last_words import unread
from live_transports.shared.dialing import DialPlan
from live_transports.shared.loop_driver import LoopDriver
from live_transports.shared.reconnecting import Redialer
from live_transports.shared.steps import BURST, HIGH_WATER, LOW_WATER

OpenTransport: TypeAlias = Callable[[DialPlan], Awaitable[tuple[asyncio.Transport, bytes]]]
"""Opens a transport; returns it with the bytes that have arrived on it."""


class AsyncioDriver(asyncio.Protocol, LoopDriver):
    """The owner of one transport.

    Args:
        machine: The connection to drive.
        ready: Called when an accepted transport can be used; a dialed one is given to `start`.
    """

    machine: ByteConnection

    def __init__(self, machine: ByteConnection, ready: Callable[[AsyncioDriver], None] | None = None) -> None:
        super().__init__(machine)
        self._ready = ready
        # A wrapper does something with what passes it, so it is given no short cut.
        self._direct = isinstance(machine, (LiveConnection, PersistentConnection))
        self._transport: asyncio.Transport | None = None
        self._owns_socket = False  # the transport does; one of TLS does not
        self._hung_up: select.poll | None = None
        self._applied: Wants | None = None
        self._reading = True
        self._half_closed = False
        self._closing = False

    # --- called by the transport --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._ready is not None:
            self._watch_for_hang_up(self._transport)
            self._ready(self)

    def data_received(self, data: bytes) -> None:
        machine = self.machine
        machine.tick(self._time())
        self._burst = 0
        wakeup = self._wakeup
        if wakeup.can_resume():
            event = cast("LiveConnection | PersistentConnection", machine).receive_event(data)
            if machine.wants is not self._applied or event is None:
                self.flush()
            if type(event) is ConnectionClosed:
                self.event_queue.ended(event)
            if event is not None:
                wakeup.resume(event)
            return
        machine.receive_data(data)
        self.flush()
        if not self._reading:
            self.event_queue.make_room()
        wakeup.wake()

    def eof_received(self) -> None:
        self.tick()
        self.machine.receive_eof()
        self.flush()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.tick()
        if self._owns_socket and self._transport is not None:
            for data in unread(self._transport, exc):
                self.machine.receive_data(data)
                if not self.machine.wants.read:
                    break
        self.event_queue.cause = exc
        if exc is None:
            self.machine.receive_eof()
        else:
            self.machine.transport_failed(exc)
        self._full = False
        if self._finished:
            self._disarm()
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
            self._applied = None
            self._reading = True
            self._half_closed = self._closing = False
            self.closed.clear()
        transport = cast("asyncio.Transport", self._transport)
        self._owns_socket = transport.get_extra_info("ssl_object") is None
        sock = transport.get_extra_info("socket")
        # asyncio does so too, for sockets that were made with the protocol's number.
        if sock is not None and sock.proto != socket.IPPROTO_TCP and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        self.machine.advance(self._loop.time())
        self.flush()
        if early:
            self.data_received(early)

    def _watch_for_hang_up(self, transport: asyncio.Transport) -> None:
        """Below accepted TLS there is no ``LastWords``: asyncio hides that transport. So look before a write."""
        sock = transport.get_extra_info("socket")
        if sock is not None and transport.get_extra_info("ssl_object") and hasattr(select, "POLLRDHUP"):
            self._hung_up = select.poll()
            self._hung_up.register(sock.fileno(), select.POLLRDHUP)

    def send_pcm(self, audio: bytes, rate: int) -> bool:
        transport = self._transport
        if self._full or transport is None or self._closing or transport.is_closing() or not self._direct:
            return super().send_pcm(audio, rate)
        machine = cast("LiveConnection | PersistentConnection", self.machine)
        machine.tick(self._time())
        transport.write(machine.pcm_to_send(audio, rate))
        due = machine.next_deadline()
        if due is not None and due < self._due:
            self._arm(due)
        self._burst += 1
        return self._full or self._burst >= BURST

    def flush(self) -> None:
        machine = self.machine
        if machine.wants.write and not self._full:
            self._write()
        wants = machine.wants
        if wants is not self._applied:
            self._apply_wants(wants)
        due = machine.next_deadline()
        if due is not None and due < self._due:
            self._arm(due)

    def _write(self) -> None:
        transport = self._transport
        if transport is None or self._closing or transport.is_closing():
            return  # a transport that failed is closing until it ends
        if self._hung_up is not None and self._reading and self._hung_up.poll(0):
            return  # there is something to read, so this comes back here
        transport.write(self.machine.data_to_send())

    def _apply_wants(self, wants: Wants) -> None:
        """Do what the machine wants of the transport."""
        transport = self._transport
        if transport is None or self._closing or self.closed.is_set():
            return
        self._applied = wants
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
            with contextlib.suppress(OSError):  # the peer has reset the connection; reading finds its end
                transport.write_eof()

    def _on_deadline(self) -> None:
        # Both loops look at sockets before they run timers, so all that has waited was read, however late this is.
        self.machine.advance(self._loop.time())
        if self.machine.wants.write:
            self._write()
        if self._closing and self.machine.next_deadline() is None and self._transport is not None:
            self._transport.abort()  # it had its time to leave in order
        self.flush()
        self._wake()

    # --- the end ------------------------------------------------------------------------------------------------

    def abort(self) -> None:
        if self._transport is not None and not self.closed.is_set():
            self.tick()
            self.machine.close()
            self._cut()
            self._wake()

    def _cut(self) -> None:
        """End the transport, after a last write that does not wait."""
        if self._transport is not None and not self.closed.is_set():
            if self.machine.wants.write:
                self._write()
            self._closing = True
            self._transport.abort()


class RedialingDriver(AsyncioDriver):
    """The owner of one transport after the other.

    Args:
        redialer: Knows where each connection goes to, and has the machine.
        open: Opens a transport.
    """

    def __init__(self, redialer: Redialer, open: OpenTransport) -> None:  # noqa: A002 - the verb
        super().__init__(redialer.machine)
        self._redialer = redialer
        self._open = open
        self._dialing: asyncio.Timeout | None = None

    @property
    def _finished(self) -> bool:
        return self.closed.is_set() and self.machine.state is ConnectionState.CLOSED

    def wait_for_event(self) -> Awaitable[Event | None]:
        if self.machine.state is ConnectionState.CONNECTING:
            return self._dial_or_wait()
        due = self.machine.next_deadline()  # as `LoopDriver`, without the call: this runs for every event
        if due is not None and due < self._due:
            self._arm(due)
        self._wakeup.takes_event = self._direct
        return self._wakeup

    def wait_for_events(self) -> Awaitable[object]:
        # No coroutine of its own: it would be one frame more for every event.
        if self.machine.state is ConnectionState.CONNECTING:
            return self._dial_or_wait()
        return super().wait_for_events()

    async def _dial_or_wait(self) -> None:
        plan, has_events = self._redialer.next()
        if plan is not None:
            await self._reconnect(plan)
        elif not has_events:
            await super().wait_for_events()

    async def _reconnect(self, plan: DialPlan) -> None:
        """Open the next transport, once the last one has ended; a close interrupts it."""
        if self._transport is not None and not self.closed.is_set():
            self._transport.abort()
            await self.closed.wait()
            if not self._redialer.wanted:
                return  # closed meanwhile
        self._transport = None
        self.closed.clear()
        try:
            async with asyncio.timeout(None) as self._dialing:
                transport, early = await self._open(plan)
            self.tick()
            if self._redialer.wanted:
                self._redialer.machine.dial_succeeded()
                self.start(transport, early)
            else:
                transport.abort()
        except LiveProtocolError as error:
            self.tick()
            self._redialer.failed(error)
        except TimeoutError:
            return  # `_interrupt`
        finally:
            self._dialing = None
            if self._transport is None:
                self.closed.set()

    def _interrupt(self) -> None:
        """The connection that is being opened is not wanted any more."""
        if self._dialing is not None:
            self._dialing.reschedule(self._loop.time())
            self._dialing = None
        if self._finished:
            self._disarm()
        self._wake()

    def begin_close(self, code: int, reason: str) -> None:
        super().begin_close(code, reason)
        self._interrupt()

    def abort(self) -> None:
        if not self._finished:
            self.tick()
            self.machine.close()
            self._cut()
            self._interrupt()
