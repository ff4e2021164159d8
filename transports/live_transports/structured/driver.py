"""One connection over a byte stream under structured concurrency; trio and anyio differ in their `Runtime` only.

Theory of operation
-------------------

A `StreamDriver` drives one machine for as long as the session lives. Under it a `StreamPump` owns one stream from its
first byte to its last; a session that reconnects has one pump after the other.

Tasks. The task that runs `StreamDriver.run` reads, and runs no code of the application. A second one waits for the
machine's deadlines. A third writes what the stream does not take at once, and closes the stream in order. It starts
with the first work for it: over plain TCP `ByteStream.send_now` takes nearly everything, so most connections never
have one before they end. All of them live in one nursery, shielded from the cancellation of the task that holds the
session. So no frame is ever torn, and the stream is closed in order.

Steps. Every input, command and pull ends in `StreamDriver.flush`. It hands over bytes if the machine has some, looks
at ``wants`` if that is another object than last time, and moves the alarm if the next deadline is earlier than the
alarm. The alarm only ever moves forward: when it rings early because the deadline has moved back, the timer task sets
it anew.

TLS is a codec between the stream and the machine, so a write needs no lock and no task under TLS either.

Waiting. Each kind of wait has at most one waiter, and a ``Parking`` where that task waits: nobody waits, nothing is
woken. Nothing is awaited between a task's last look at the state and its wait, so no wake-up is lost. Senders
are the exception: they queue up in order, and each admits the next.

The end. ``run`` ends when the stream is closed, dropped or broken; then the machine is told, `closed` is set, and every
waiter wakes up.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, final

from live_protocol.connection import ByteConnection
from live_protocol.errors import LiveProtocolError
from live_protocol.states import ConnectionState
from live_protocol.websocket import Wants
from live_transports.shared.async_session import AsyncDriver
from live_transports.shared.dialing import DialPlan
from live_transports.shared.event_queue import EventQueue, send_error
from live_transports.shared.reconnecting import Redialer
from live_transports.shared.steps import HIGH_WATER, LOW_WATER, MAX_TIMER_DELAY
from live_transports.shared.tls import Tls
from live_transports.structured.runtime import ByteStream, EventFlag, Runtime, Scope, unwrapped

OpenStream: TypeAlias = Callable[[DialPlan], Awaitable[ByteStream]]
"""Opens a stream."""

LINGER: Final = 0.05
"""Seconds for the last bytes to leave if nothing else bounds the wait: plenty, unless the peer does not read."""
_CHUNK: Final = 64 * 1024
_ROUNDS: Final = 4
"""Turns of the loop that a sender waits for its bytes to leave, if the transport is not full."""


# --- one stream -------------------------------------------------------------------------------------------------


@final
class StreamPump:
    """One stream under a driver, from its first byte to its last.

    Args:
        byte_stream: The stream.
        driver: Is told what arrives.
        runtime: The runtime.

    Attributes:
        wants: The machine's wishes as they were applied last.
        pending: Bytes that the stream has not taken yet.
        full: Whether senders have to wait.
        paused: Whether the machine wants nothing to be read.
        closing: Whether the stream is closed as soon as everything is written.
        abort_at: When the stream is dropped, written out or not.
    """

    def __init__(self, byte_stream: ByteStream, driver: StreamDriver, runtime: Runtime) -> None:
        self.wants: Wants | None = None
        self.pending: int = 0
        self.full: bool = False
        self.paused: bool = False
        self.closing: bool = False
        self.abort_at: float = math.inf
        self._byte_stream = byte_stream
        self._driver = driver
        self._runtime = runtime
        self._scope: Scope = runtime.scope()
        self._nursery: Any = None
        self._tls = byte_stream.tls
        self._unsent = bytearray()
        self._broken: BaseException | None = None
        self._listening = True
        self._half_close = False
        self._has_writer = False
        self._reader = runtime.parking()
        self._writer = runtime.parking()

    async def run(self, watch: Callable[[StreamPump], Awaitable[None]]) -> BaseException | None:
        """Carry bytes until the stream ends, then free the socket; returns the error that broke it, if one did."""
        try:
            with self._scope:
                async with self._runtime.nursery() as nursery:
                    nursery.start_soon(self._run_watch, watch)
                    self._nursery = nursery
                    if self._unsent or self._half_close or self.closing:
                        self._wake_writer()
                    try:
                        await self._read()
                        self._listening = False
                        self._wake_writer()
                        self._driver.receive_eof()
                    except Exception as error:
                        self.fail(error)
        finally:
            self.closing = True
            self._nursery = None
            await self._byte_stream.drop()
        return self._broken

    async def _read(self) -> None:
        """Hand on what arrives, until the peer sends no more."""
        receive, tls = self._byte_stream.receive, self._tls
        if tls is not None:
            self._decrypt(tls)  # the peer may have begun with the end of its handshake
        while data := await receive():
            if tls is None:
                self._driver.receive_data(data)
            else:
                tls.receive_data(data)
                self._decrypt(tls)
                if tls.ended:
                    break
            while self.paused:
                await self._reader.wait()

    def _decrypt(self, tls: Tls) -> None:
        try:
            while data := tls.read():
                self._driver.receive_data(data)
        finally:
            if (data := tls.data_to_send()) and self._broken is None:  # an alert, a new key
                self._put(data)
        if self.full and not tls.held:
            self._admit()
        if self.closing:
            self._wake_writer()

    async def _run_watch(self, watch: Callable[[StreamPump], Awaitable[None]]) -> None:
        try:
            await watch(self)
        finally:
            self._nursery = None  # it ends with the scope; a nursery whose last task has ended takes no other

    # --- the writer ---------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        half_closed = False
        tls = self._tls
        try:
            while not self.closing or self._unsent or (tls is not None and tls.held):
                if self._unsent and not self._has_unread_end():
                    await self._write_some()
                elif self._half_close and not half_closed and not self._unsent:
                    half_closed = True
                    await self._byte_stream.send_eof()
                else:
                    await self._writer.wait()
            if tls is not None:
                tls.close()
                await self._byte_stream.send(tls.data_to_send())
            await self._byte_stream.close()
            self._scope.cancel()
        except Exception as error:
            self._write_failed(error)

    def _has_unread_end(self) -> bool:
        """Whether the peer is gone and its last words are still to be read; a write would fail and lose them."""
        return self._listening and not self.paused and self._byte_stream.peer_closed()

    async def _write_some(self) -> None:
        data = bytes(self._unsent[:_CHUNK])
        del self._unsent[:_CHUNK]
        await self._byte_stream.send(data)
        self.pending -= len(data)
        if self.full:
            self._admit()

    def _admit(self) -> None:
        """Let senders go on if there is room."""
        if self.pending <= LOW_WATER:
            self.full = False
            self._driver.flush()
            self._driver.wake_next_sender()

    def _write_failed(self, error: BaseException) -> None:
        """Give the reader a moment: the peer's last words may lie unread, and say more than a broken pipe."""
        self._broken = unwrapped(error)
        self._unsent.clear()
        self.pending = 0
        self.abort_soon()

    def _wake_writer(self) -> None:
        if self._has_writer:
            self._writer.wake()
        elif self._nursery is not None:
            self._has_writer = True
            self._nursery.start_soon(self._write)

    # --- called by the driver -----------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Write it behind what waits already: at once as far as the stream takes it, the rest by the writer."""
        if self.closing or self._broken is not None:
            return
        if self._tls is not None:
            self._tls.write(data)
            self.full = self.full or self._tls.held
            data = self._tls.data_to_send()
        self._put(data)

    def _put(self, data: bytes) -> None:
        sent = 0
        if not self.pending:
            try:
                sent = self._byte_stream.send_now(data)
            except OSError as error:
                self._write_failed(error)
                return
            if sent == len(data):
                return
        self._unsent += memoryview(data)[sent:]
        self.full = self.full or self.pending + len(data) > HIGH_WATER
        self.pending += len(data) - sent
        self._wake_writer()

    def apply_wants(self, wants: Wants, *, bounded: bool) -> None:
        """Do what the machine wants; ``bounded`` says whether a deadline of the machine ends a slow close."""
        self.wants = wants
        if self.closing:
            return
        if wants.close and not (wants.half_close and self._byte_stream.can_half_close):
            self.close()
            if not bounded:
                self.abort_soon()
            return
        self.paused = not (wants.read or wants.half_close)
        if not self.paused:
            self._reader.wake()
        if wants.half_close and not self._half_close:
            self._half_close = True
            self._wake_writer()

    def close(self) -> None:
        """Close in order."""
        self.closing = True
        self._wake_writer()

    def abort_soon(self) -> None:
        """Drop the stream in a moment; what waits to be written has that long to leave."""
        self.abort_at = min(self.abort_at, self._runtime.now() + LINGER)
        self._driver.wake_by(self.abort_at)

    def abort(self) -> None:
        """Drop the stream now."""
        self._scope.cancel()

    def fail(self, error: Exception) -> None:
        """Drop the stream now, because of this error."""
        self._broken = unwrapped(error)
        self._scope.cancel()


# --- the driver -------------------------------------------------------------------------------------------------


@final
class StreamDriver(AsyncDriver):
    """The one driver of a machine: its timer, its waiters, and the stream in hand.

    Args:
        machine: The machine.
        runtime: The runtime.
        redialer: Says where further connections go to, if there are any. The task that waits for events opens them.
        open: Opens them.

    Attributes:
        machine: As given.
        closed: Set while there is no stream, and none is being opened.
        spawn: Starts a task that carries a connection.
    """

    has_checkpoints = True

    def __init__(
        self,
        machine: ByteConnection,
        runtime: Runtime,
        *,
        redialer: Redialer | None = None,
        open: OpenStream | None = None,  # noqa: A002 - it is what it does
    ) -> None:
        self.event_queue: EventQueue[Any] = EventQueue(machine, self.flush)
        self.machine = machine
        self.closed: EventFlag = runtime.event()
        self.spawn: Callable[[Callable[[], Awaitable[None]]], object] | None = None
        self._runtime = runtime
        self._now = runtime.clock()
        self._token = runtime.token()
        self._redialer = redialer
        self._open = open
        self._dialing: Scope | None = None
        self._pump: StreamPump | None = None
        self._alarm: Scope | None = None
        self._alarm_at = -math.inf  # nothing is earlier while there is no alarm
        self._receiver = runtime.parking()
        self._senders: deque[EventFlag] = deque()

    def start(self, byte_stream: ByteStream) -> None:
        """Let the machine speak; `run` has to follow."""
        self._pump = StreamPump(byte_stream, self, self._runtime)
        self.machine.advance(self._now())
        self.flush()

    async def run(self) -> None:
        """Carry the connection to its end. Cancelling has no effect: `abort` instead."""
        assert self._pump is not None  # noqa: S101 - start() was called
        try:
            with self._runtime.scope(shield=True):
                self.event_queue.cause = await self._pump.run(self._watch)
        finally:
            self._ended()

    def _ended(self) -> None:
        self.tick()
        if self.event_queue.cause is None:
            self.machine.receive_eof()
        else:
            self.machine.transport_failed(self.event_queue.cause)
        self._pump = None
        self.closed.set()
        self._receiver.wake()
        self.wake_next_sender()

    # --- the timer ----------------------------------------------------------------------------------------------

    async def _watch(self, pump: StreamPump) -> None:
        try:
            while True:
                at = self._alarm_at = min(self._due(), pump.abort_at)
                with self._runtime.scope(deadline=at) as self._alarm:
                    await self._runtime.sleep_forever()
                at, self._alarm_at = self._alarm_at, -math.inf
                now = self._now()
                if now >= pump.abort_at:
                    pump.abort()
                    return
                if now - at > MAX_TIMER_DELAY:
                    await self._runtime.sleep(0.001)  # the reader looks at the stream once more first
                self._advance(pump)
        except Exception as error:
            pump.fail(error)
        finally:
            self._alarm, self._alarm_at = None, -math.inf

    def _advance(self, pump: StreamPump) -> None:
        was_closing = pump.closing
        self.machine.advance(self._now())
        pump.write(self.machine.data_to_send())  # full or not
        if was_closing and self._due() == math.inf:
            pump.abort()  # it had its time to leave in order
        self.flush()
        self._receiver.wake()

    def _due(self) -> float:
        due = self.machine.next_deadline()
        return math.inf if due is None else due

    def wake_by(self, moment: float) -> None:
        """Move the alarm forward."""
        if moment < self._alarm_at and self._alarm is not None:
            self._alarm_at = self._alarm.deadline = moment

    # --- steps --------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Bytes arrived."""
        machine, pump = self.machine, self._pump
        machine.tick(self._now())
        machine.receive_data(data)
        if pump is not None and (machine.wants is not pump.wants or pump.paused):
            self._received()
        else:  # as nearly always; bytes that arm an earlier deadline change what the machine wants too
            self._receiver.wake()

    def receive_eof(self) -> None:
        """The peer sends no more."""
        self.tick()
        self.machine.receive_eof()
        self._received()

    def _received(self) -> None:
        self.flush()
        if self._pump is not None and self._pump.paused:
            self.event_queue.make_room()
        self._receiver.wake()

    def tick(self) -> None:
        self.machine.tick(self._now())

    def flush(self) -> None:
        pump = self._pump
        if pump is None:
            return
        machine = self.machine
        wants = machine.wants
        if wants.write and not pump.full:
            pump.write(machine.data_to_send())
            wants = machine.wants
        due = machine.next_deadline()
        if wants is not pump.wants:
            pump.apply_wants(wants, bounded=due is not None)
        if due is not None and due < self._alarm_at:
            self.wake_by(due)

    # --- waiting ------------------------------------------------------------------------------------------------

    def wait_for_events(self) -> Awaitable[None]:
        if self._redialer is not None or self.closed.is_set():
            return self._redial_or_wait()
        due = self.machine.next_deadline()
        if due is not None and due < self._alarm_at:  # a pull may have armed a deadline
            self.wake_by(due)
        return self._receiver.wait()

    async def _redial_or_wait(self) -> None:
        if self._redialer is not None and await self._reconnect_if_due(self._redialer):
            return
        due = self._due()
        if self.closed.is_set():  # nobody else looks at the clock
            with self._runtime.scope(deadline=due):
                await self._receiver.wait()
        else:
            if due < self._alarm_at:
                self.wake_by(due)
            await self._receiver.wait()

    def wait_writable(self) -> Awaitable[None]:
        pump = self._pump
        if not self._senders and (pump is None or not (pump.pending or pump.full)):
            return self._runtime.checkpoint()
        return self._wait_writable()

    async def _wait_writable(self) -> None:
        if not self._senders and not self._is_full():
            for _ in range(_ROUNDS):
                await self._runtime.checkpoint()
                pump = self._pump
                if pump is None or not pump.pending or pump.full:
                    break
            return
        ticket = self._runtime.event()
        self._senders.append(ticket)
        try:
            await ticket.wait()
        finally:
            self._senders.remove(ticket)
            self.wake_next_sender()
        if self._finished:
            raise send_error(self.event_queue)

    def _is_full(self) -> bool:
        return self._pump is not None and self._pump.full

    def wake_next_sender(self) -> None:
        """Let the sender go on that waits longest. It leaves the queue and calls this again, so all go on in order."""
        if self._senders and not self._is_full():
            self._senders[0].set()

    def checkpoint(self) -> Awaitable[None]:
        return self._runtime.checkpoint()

    # --- the next connection ------------------------------------------------------------------------------------

    @property
    def _finished(self) -> bool:
        """Whether there is no stream, and none will come."""
        return self.closed.is_set() and (self._redialer is None or self.machine.state is ConnectionState.CLOSED)

    async def _reconnect_if_due(self, redialer: Redialer) -> bool:
        """Open the next stream if it is due; whether there may be events then."""
        if self.closed.is_set():
            self.machine.advance(self._now())
        dial, has_news = redialer.next()
        if dial is None:
            return has_news
        if self._pump is not None:
            self._pump.abort()
            await self.closed.wait()
            if not redialer.wanted:
                return True  # closed meanwhile
        self.closed = self._runtime.event()
        try:
            await self._reconnect(redialer, dial)
        except LiveProtocolError as error:
            self.tick()
            redialer.failed(error)
        finally:
            self._dialing = None
            if self._pump is None:
                self.closed.set()
        return True

    async def _reconnect(self, redialer: Redialer, dial: DialPlan) -> None:
        """Open the next stream. Closing interrupts the dial."""
        assert self._open is not None  # noqa: S101 - comes with the rest
        assert self.spawn is not None  # noqa: S101 - likewise
        byte_stream: ByteStream | None = None
        self._dialing = self._runtime.scope()
        with self._dialing:
            byte_stream = await self._open(dial)
        if byte_stream is None:
            return
        self.tick()
        if not redialer.wanted:
            await byte_stream.drop()
            return
        redialer.machine.dial_succeeded()
        self.start(byte_stream)
        self.spawn(self.run)

    def _interrupt(self) -> None:
        """End a dial under way; its connection is not wanted any more."""
        if self._dialing is not None:
            self._dialing.cancel()
        self._receiver.wake()

    # --- the end ------------------------------------------------------------------------------------------------

    def begin_close(self, code: int, reason: str) -> None:
        """Close in order, without waiting.

        Raises:
            InvalidMessage: Code or reason may not be sent. Nothing has changed.
        """
        self.tick()
        self.machine.close(code, reason)
        self.event_queue.begin_close()
        self._received()
        self._interrupt()

    async def close(self, code: int, reason: str) -> None:
        if not self._runtime.is_here(self._token):
            await self._runtime.reenter(self._token, lambda: self.close(code, reason))
            return
        self.begin_close(code, reason)
        try:
            await self.closed.wait()
        except BaseException:
            self.abort()
            raise
        self.event_queue.drain()

    def abort(self) -> None:
        pump = self._pump
        if self._finished or (pump is None and self._redialer is None):
            return
        self.tick()
        self.machine.close()
        self._interrupt()
        if pump is None:
            return
        if pump.full:
            pump.abort()  # the peer does not read
            return
        pump.write(self.machine.data_to_send())
        pump.close()
        pump.abort_soon()
