"""What the receiving task waits for on asyncio: a future that can resume it without a detour through the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, final

from live_protocol.events import Event


@final
class Wakeup:
    """One task waits for it, again and again; `resume` runs that task at once, `wake` in the loop's next iteration.

    An `asyncio.Future` knows the second way only. The detour costs a handle, an iteration of the loop and an
    ``epoll_wait`` that finds nothing: a quarter of what one message costs a session in real time. So this is a future
    as far as a task looks at one (see `asyncio.isfuture`), but the task need not be resumed through a handle.

    Attributes:
        takes_event: The task that waits takes an event from `resume`.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_event", "_loop", "takes_event")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop  # a task reads it, to see that it is its own
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._cancelled: tuple[Any, ...] | None = None
        self._event: Event | None = None
        self.takes_event: bool = False

    def __await__(self) -> Generator[Any, None, Event | None]:
        """Wait for the next `resume` or `wake`; gives the event that it came with."""
        self._asyncio_future_blocking = True
        yield self
        event = self._event
        self._event = None
        return event

    # --- for the driver -----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let the task run in the next iteration of the loop."""
        callback = self._callback
        if callback is not None:
            self._callback = None
            self.takes_event = False
            self._loop.call_soon(callback, self, context=self._context)

    def can_resume(self) -> bool:
        """Whether a task waits that takes an event, and none is running that would have to be left for it."""
        # A task can make a transport of TLS read.
        return self.takes_event and asyncio.current_task(self._loop) is None

    def resume(self, event: Event) -> None:
        """Give the task its event and run it, until it waits again; `can_resume` has said that this can be done.

        To be called last: the task may do anything with the session.
        """
        callback, context = self._callback, self._context
        assert callback is not None and context is not None  # noqa: S101, PT018 - a task waits
        self._callback = None
        self.takes_event = False
        self._event = event
        context.run(callback, self)

    # --- for the task -------------------------------------------------------------------------------------------

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context) -> None:
        """The task waits."""
        self._cancelled = None
        self._callback = callback
        self._context = context

    def cancel(self, msg: Any = None) -> bool:
        """The task is cancelled while it waits."""
        if self._callback is None:
            return False
        self._cancelled = () if msg is None else (msg,)
        self.wake()
        return True

    def result(self) -> None:
        """The task asks as it is resumed."""
        if self._cancelled is not None:
            raise asyncio.CancelledError(*self._cancelled)
