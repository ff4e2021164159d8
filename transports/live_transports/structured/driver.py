"""One connection over a byte stream under structured concurrency; trio and anyio differ in their `Runtime` only.

Three tasks carry a connection: one owns what is read and runs no code of the user's, one owns what is written, one
waits for the deadlines. They are shielded from the cancellation of whoever holds the session, so that no frame is ever
torn and the end is an orderly one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, final

from live_protocol.errors import LiveProtocolError
from live_protocol.states import ConnectionState
from live_protocol.websocket import Wants
from live_transports.shared import steps
from live_transports.shared.async_sessions import AsyncDriver
from live_transports.shared.reconnecting import Redialer
from live_transports.shared.steps import ByteConnection, DialPlan, EventQueue
from live_transports.structured.runtime import ByteStream, EventFlag, Runtime, Scope, Waker, unwrapped

__all__ = ["OpenStream", "StreamDriver"]

OpenStream: TypeAlias = Callable[[DialPlan], Awaitable[ByteStream]]
"""Opens a stream."""

LINGER: Final = 0.05
"""Seconds that bytes get to leave where nothing else bounds the wait: plenty, unless the peer does not read."""
_CHUNK: Final = 64 * 1024
_ROUNDS: Final = 4
"""Turns of the loop that a sender waits for its bytes to leave, below the high-water mark."""


# --- one stream -------------------------------------------------------------------------------------------------


@final
class StreamPump:
    """One stream of a driver, from its first byte to its last: what waits to be written, and how it ends.

    Args:
        byte_stream: The stream.
        driver: Whom it tells what arrives.
        runtime: Where.

    Attributes:
        full: Whether senders have to wait.
        closing: Whether the stream is closed as soon as everything is written.
        abort_at: When it ends, whatever is still to be written.
    """

    def __init__(self, byte_stream: ByteStream, driver: StreamDriver, runtime: Runtime) -> None:
        self.full = False
        self.closing = False
        self.abort_at = math.inf
        self._byte_stream = byte_stream
        self._driver = driver
        self._rt = runtime
        self._scope: Scope = runtime.scope()
        self._unsent = bytearray()
        self._sending = 0
        self._broken: BaseException | None = None
        self._listening = True
        self._reading = True
        self._half_close = False
        self._writable, self._readable = Waker(runtime.event), Waker(runtime.event)

    async def run(self) -> BaseException | None:
        """Carry bytes until it ends, then free the socket; gives what broke it, if it broke."""
        try:
            with self._scope:
                async with self._rt.nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read()
        finally:
            await self._byte_stream.drop()
        return self._broken

    async def _read(self) -> None:
        try:
            while data := await self._byte_stream.receive():
                self._driver.receive_data(data)
                while not self._reading:
                    await self._readable.wait()
            self._listening = False
            self._writable.wake()
            self._driver.receive_eof()
        except Exception as error:
            self.fail(error)

    async def _write(self) -> None:
        half_closed = False
        try:
            while not self.closing or self._unsent:
                if self._unsent:
                    if self._has_unread_end():
                        await self._writable.wait()
                    else:
                        await self._write_some()
                elif self._half_close and not half_closed:
                    half_closed = True
                    await self._byte_stream.send_eof()
                else:
                    await self._writable.wait()
            await self._byte_stream.close()
            self._scope.cancel()
        except Exception as error:
            # What the peer said last may lie unread, and says more than a broken pipe: the reader has a moment.
            self._broken = unwrapped(error)
            self._unsent.clear()
            self.abort_soon()

    def _has_unread_end(self) -> bool:
        """Whether the peer is gone and its last words are still to be read; then a write would fail and lose them."""
        return self._listening and self._reading and self._byte_stream.peer_closed()

    async def _write_some(self) -> None:
        data = bytes(self._unsent[:_CHUNK])
        del self._unsent[:_CHUNK]
        self._sending = len(data)
        await self._byte_stream.send(data)
        self._sending = 0
        if self.full and len(self._unsent) <= steps.LOW_WATER:
            self.full = False
            self._driver.flush()
            self._driver.wake_next_sender()

    # --- called by the driver -----------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Have it written, after what waits already."""
        if data and not self.closing and self._broken is None:
            self._unsent += data
            if self._sending + len(self._unsent) > steps.HIGH_WATER:
                self.full = True
            self._writable.wake()

    def apply_wants(self, wants: Wants, *, bounded: bool) -> None:
        """Do what the machine wants; ``bounded`` says whether a deadline of it ends a slow close."""
        if self.closing:
            return
        if wants.close and not (wants.half_close and self._byte_stream.can_half_close):
            self.close()
            if not bounded:
                self.abort_soon()
            return
        self._reading = wants.read or wants.half_close
        if self._reading:
            self._readable.wake()
        if wants.half_close and not self._half_close:
            self._half_close = True
            self._writable.wake()

    @property
    def idle(self) -> bool:
        """Whether all has been written."""
        return not self._unsent and not self._sending

    @property
    def paused(self) -> bool:
        """Whether the machine wants nothing to be read."""
        return not self._reading

    def close(self) -> None:
        """Close in order."""
        self.closing = True
        self._writable.wake()

    def abort_soon(self) -> None:
        """What still waits to be written has a moment."""
        self.abort_at = min(self.abort_at, self._rt.now() + LINGER)
        self._driver.wake_by(self.abort_at)

    def abort(self) -> None:
        """End now."""
        self._scope.cancel()

    def fail(self, error: Exception) -> None:
        """End now, because of this."""
        self._broken = unwrapped(error)
        self._scope.cancel()


# --- the driver -------------------------------------------------------------------------------------------------


@final
class StreamDriver(AsyncDriver):
    """The one driver of a machine: its timer, its waiters, and the stream in hand.

    Args:
        machine: What it drives.
        runtime: Where.
        redialer: Where further connections go to, if there are to be any; whoever waits for events opens them.
        open: How to open one.

    Attributes:
        machine: As given.
        gone: Set while there is no stream, and none is being opened.
        spawn: Starts a task that carries a connection.
    """

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
        self.closed = runtime.event()
        self.spawn: Callable[[Callable[[], Awaitable[None]]], object] | None = None
        self._rt = runtime
        self._token = runtime.token()
        self._redialer = redialer
        self._open = open
        self._dialing: Scope | None = None
        self._pump: StreamPump | None = None
        self._alarm: Scope | None = None
        self._new_events = Waker(runtime.event)
        self._senders: deque[EventFlag] = deque()

    def start(self, byte_stream: ByteStream) -> None:
        """Let the machine speak; `run` has to follow."""
        self._pump = StreamPump(byte_stream, self, self._rt)
        self.machine.advance(self._rt.now())
        self.flush()

    async def run(self) -> None:
        """Carry the connection to its end, and close the stream. It takes no cancellation: `abort` it instead."""
        pump = self._pump
        assert pump is not None  # noqa: S101 - start() was called
        try:
            with self._rt.scope(shield=True):
                async with self._rt.nursery() as nursery:
                    nursery.start_soon(self._watch, pump)
                    self.event_queue.cause = await pump.run()
                    nursery.cancel_scope.cancel()
        finally:
            self._alarm = None
            self._ended()

    def _ended(self) -> None:
        self.tick()
        if self.event_queue.cause is None:
            self.machine.receive_eof()
        else:
            self.machine.transport_failed(self.event_queue.cause)
        self.closed.set()
        self._new_events.wake()
        self.wake_next_sender()

    async def _watch(self, pump: StreamPump) -> None:
        """The timer. Its alarm is only ever moved forward; a deadline that moved back is found out when it rings."""
        try:
            while True:
                alarm = self._alarm = self._rt.scope(deadline=min(self._due(), pump.abort_at))
                with alarm:
                    await self._rt.sleep_forever()
                if self._rt.now() >= pump.abort_at:
                    pump.abort()
                    return
                if self._rt.now() - alarm.deadline > steps.MAX_TIMER_DELAY:
                    await self._rt.sleep(0.001)  # so that the reader looks at what came meanwhile, once
                self._advance(pump)
        except Exception as error:
            pump.fail(error)

    def _advance(self, pump: StreamPump) -> None:
        was_closing = pump.closing
        self.machine.advance(self._rt.now())
        pump.write(self.machine.data_to_send())
        if was_closing and self.machine.next_deadline() is None:
            pump.abort()  # it had its time to leave in order
        self.flush()
        self._new_events.wake()

    def _due(self) -> float:
        due = self.machine.next_deadline()
        return math.inf if due is None else due

    def wake_by(self, moment: float) -> None:
        """Move the alarm forward."""
        if self._alarm is not None and moment < self._alarm.deadline:
            self._alarm.deadline = moment

    # --- steps --------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Bytes arrived."""
        steps.deliver_data(self.machine, self._rt.now(), data)
        self._received()

    def receive_eof(self) -> None:
        """The peer sends no more."""
        self.tick()
        self.machine.receive_eof()
        self._received()

    def _received(self) -> None:
        self.flush()
        if self._pump is not None and self._pump.paused:
            self.event_queue.make_room()
        self._new_events.wake()

    def tick(self) -> None:
        self.machine.tick(self._rt.now())

    def flush(self) -> None:
        pump = self._pump
        if pump is None or self.closed.is_set():
            return
        if not pump.full:
            pump.write(self.machine.data_to_send())
        due = self._due()
        pump.apply_wants(self.machine.wants, bounded=due < math.inf)
        self.wake_by(due)

    # --- waiting ------------------------------------------------------------------------------------------------

    async def wait_for_events(self) -> None:
        if self._redialer is not None and await self._reconnect_if_due(self._redialer):
            return
        due = self._due()
        self.wake_by(due)  # what was pulled meanwhile may have been what the session waited for
        if self.closed.is_set():  # nobody else looks at the clock
            with self._rt.scope(deadline=due):
                await self._new_events.wait()
        else:
            await self._new_events.wait()

    async def wait_writable(self) -> None:
        if not self._is_full():
            for _ in range(_ROUNDS):
                await self._rt.checkpoint()
                if self._pump is None or self._pump.idle or self._pump.full:
                    break
            return
        ticket = self._rt.event()
        self._senders.append(ticket)
        try:
            await ticket.wait()
        except BaseException:
            if ticket.is_set():
                self.wake_next_sender()
            else:
                self._senders.remove(ticket)
            raise
        self.wake_next_sender()
        if self._finished:
            raise steps.send_error(self.event_queue)

    def _is_full(self) -> bool:
        return self._pump is not None and self._pump.full and not self.closed.is_set()

    def wake_next_sender(self) -> None:
        """Let the sender go on that waits longest; it admits the next one, so that they go on in their order."""
        if self._senders and not self._is_full():
            self._senders.popleft().set()

    async def checkpoint(self) -> None:
        await self._rt.checkpoint()

    # --- the next connection ------------------------------------------------------------------------------------

    @property
    def _finished(self) -> bool:
        """Whether there is no stream and will be none."""
        return self.closed.is_set() and (self._redialer is None or self.machine.state is ConnectionState.CLOSED)

    async def _reconnect_if_due(self, redialer: Redialer) -> bool:
        """Open the next stream if it is time for that; whether there may be something to tell then."""
        if self.closed.is_set():
            self.machine.advance(self._rt.now())
        where, told = redialer.next()
        if where is None:
            return told
        if self._pump is not None and not self.closed.is_set():
            self._pump.abort()
            await self.closed.wait()
        self._pump = None
        self.closed = self._rt.event()
        try:
            await self._reconnect(redialer, where)
        except LiveProtocolError as error:
            self.tick()
            redialer.failed(error)
        finally:
            self._dialing = None
            if self._pump is None:
                self.closed.set()
        return True

    async def _reconnect(self, redialer: Redialer, where: DialPlan) -> None:
        """Whoever closes interrupts it."""
        assert self._open is not None  # noqa: S101 - comes with the rest
        assert self.spawn is not None  # noqa: S101 - likewise
        byte_stream: ByteStream | None = None
        self._dialing = self._rt.scope()
        with self._dialing:
            byte_stream = await self._open(where)
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
        """Nobody wants the connection any more that is being opened."""
        if self._dialing is not None:
            self._dialing.cancel()
        self._new_events.wake()

    # --- the end ------------------------------------------------------------------------------------------------

    def begin_close(self, code: int, reason: str) -> None:
        """Close in order, and wait for nothing.

        Raises:
            InvalidMessage: Code or reason may not be sent; nothing has changed.
        """
        self.tick()
        self.machine.close(code, reason)
        self.event_queue.begin_close()
        self._received()
        self._interrupt()

    async def close(self, code: int, reason: str) -> None:
        if not self._rt.is_here(self._token):
            await self._rt.reenter(self._token, lambda: self.close(code, reason))
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
        if pump is None or self.closed.is_set():
            return
        if pump.full:
            pump.abort()  # the peer does not read
            return
        pump.write(self.machine.data_to_send())
        pump.close()
        pump.abort_soon()
