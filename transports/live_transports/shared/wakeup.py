"""What the receiving task waits for on asyncio: a future that can resume it without a detour through the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, final


@final
class Wakeup:
    """One task waits for it, again and again; `resume` runs that task at once, `wake` in the loop's next iteration.

    An `asyncio.Future` knows the second way only. The detour costs a handle, an iteration of the loop and an
    ``epoll_wait`` that finds nothing: a quarter of what one message costs a session in real time. So this is a future
    as far as a task looks at one (see `asyncio.isfuture`), and whoever awaits it need not be resumed through a handle.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop  # a task reads it, to see that it is its own
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._cancelled: tuple[Any, ...] | None = None

    def __await__(self) -> Generator[Any, None, None]:
        """Wait for the next `resume` or `wake`."""
        self._asyncio_future_blocking = True
        yield self

    # --- for the driver -----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let the task run in the next iteration of the loop."""
        callback = self._callback
        if callback is not None:
            self._callback = None
            self._loop.call_soon(callback, self, context=self._context)

    def resume(self) -> None:
        """Run the task now, until it waits again. To be called last: the task may do anything with the session."""
        callback = self._callback
        if callback is not None:
            if asyncio.current_task(self._loop) is not None:  # one that has made the transport read, as TLS can
                self.wake()
                return
            self._callback = None
            context = self._context
            assert context is not None  # noqa: S101 - it came with the callback
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
