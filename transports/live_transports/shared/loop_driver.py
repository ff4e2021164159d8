"""What every driver on asyncio has in common: the one timer, the tasks that wait, and the close."""

from __future__ import annotations

import abc
import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from live_protocol.connection import Connection
from live_protocol.events import Event
from live_transports.shared.async_session import AsyncDriver
from live_transports.shared.event_queue import EventQueue, send_error
from live_transports.shared.flag import Flag
from live_transports.shared.steps import BURST
from live_transports.shared.threadsafe_close import close_threadsafe
from live_transports.shared.wakeup import Wakeup


def _clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's clock; asyncio's own loops only wrap this one in a function."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time


class LoopDriver(AsyncDriver):
    """One connection on one event loop. A subclass moves the bytes or messages.

    The timer is one handle that only ever moves forward. A deadline that moved back is noticed when the timer fires, so
    the usual step, which pushes a deadline back, costs one comparison.

    Args:
        machine: The connection to drive.

    Attributes:
        machine: As given.
        closed: Set while there is no transport.
    """

    machine: Any

    def __init__(self, machine: Connection) -> None:
        self.machine = machine
        self.event_queue: EventQueue[Any] = EventQueue(machine, self.flush)
        self.closed: Flag = Flag()
        self._loop = asyncio.get_running_loop()
        self._time = _clock(self._loop)
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf  # when the timer fires; inf without one, -inf once there will be none
        self._full = False  # senders wait
        self._direct = False  # bytes that arrive may become an event on the way to the task that waits
        self._burst = 0
        self._wakeup = Wakeup(self._loop)
        self._senders: list[asyncio.Future[None]] = []

    @property
    def _finished(self) -> bool:
        """Whether there is no transport and will be none."""
        return self.closed.is_set()

    def tick(self) -> None:
        self.machine.tick(self._time())

    # --- the timer ----------------------------------------------------------------------------------------------

    def _arm(self, due: float) -> None:
        """Move the timer forward; the caller has compared ``due`` with `_due`."""
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _disarm(self) -> None:
        """Cancel the timer. It is never armed again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due = -math.inf

    def _on_timer(self) -> None:
        self._timer = None
        self._due = math.inf
        self._on_deadline()

    @abc.abstractmethod
    def _on_deadline(self) -> None:
        """Advance the machine and do what follows."""

    # --- tasks that wait ----------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Wake the task that waits for events."""
        self._wakeup.wake()

    def wait_for_events(self) -> Awaitable[object]:
        due = self.machine.next_deadline()  # pulling events may have armed one
        if due is not None and due < self._due:
            self._arm(due)
        return self._wakeup

    def wait_for_event(self) -> Awaitable[Event | None]:
        due = self.machine.next_deadline()
        if due is not None and due < self._due:
            self._arm(due)
        self._wakeup.takes_event = self._direct
        return self._wakeup

    def _wake_senders(self) -> None:
        if self._full and not self.closed.is_set():
            return
        senders, self._senders = self._senders, []
        for sender in senders:
            if not sender.done():
                sender.set_result(None)

    def must_wait(self) -> bool:
        self._burst += 1
        return self._full or self._burst >= BURST

    async def wait_writable(self) -> None:
        if not self._full:
            self._burst = 0
            await asyncio.sleep(0)
            return
        sender = self._loop.create_future()
        self._senders.append(sender)
        await sender
        if self._finished:
            raise send_error(self.event_queue)

    # --- the close ----------------------------------------------------------------------------------------------

    def begin_close(self, code: int, reason: str) -> None:
        """Close in order, and wait for nothing.

        Raises:
            InvalidMessage: Code or reason may not be sent; nothing has changed.
        """
        self.tick()
        self.machine.close(code, reason)
        self.event_queue.begin_close()
        self.flush()
        wants = self.machine.wants
        if not wants.read and not wants.half_close:
            self.event_queue.make_room()

    async def close(self, code: int, reason: str) -> None:
        if asyncio.get_running_loop() is not self._loop:
            await close_threadsafe(self._loop, lambda: self._close(code, reason))
        else:
            await self._close(code, reason)

    async def _close(self, code: int, reason: str) -> None:
        self.begin_close(code, reason)
        try:
            await self.closed.wait()
        except BaseException:
            self.abort()
            raise
        self.event_queue.drain()
