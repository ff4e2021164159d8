"""`ToolRunner` on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, final

from live_transports.shared.async_sessions import AsyncClientSession
from live_transports.shared.async_tools import ToolStream
from live_transports.tools import ToolEnd, ToolRunnerBase, ToolScheduler, ToolTask

T = TypeVar("T")


@final
class _Stream(ToolStream):
    def __init__(self, session: AsyncClientSession, scheduler: ToolScheduler) -> None:
        super().__init__(session, scheduler)
        self.tasks: set[asyncio.Task[None]] = set()

    def _start(self, tool_task: ToolTask) -> None:
        tool_task.handle = task = asyncio.get_running_loop().create_task(self._run(tool_task))
        self.tasks.add(task)
        task.add_done_callback(lambda _: self._task_done(tool_task, task))

    def _task_done(self, tool_task: ToolTask, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if tool_task in self._scheduler.tasks:  # it was cancelled before it began
            self._finished(tool_task, ToolEnd.ABANDONED, None)

    def _cancel(self, tool_task: ToolTask) -> None:
        tool_task.handle.cancel()

    async def _run(self, tool_task: ToolTask) -> None:
        end: ToolEnd = ToolEnd.ABANDONED
        failure: BaseException | None = None
        if tool_task.timeout is not None:
            tool_task.watch = asyncio.get_running_loop().call_later(tool_task.timeout, self._on_timeout, tool_task)
        try:
            if tool_task.stopped is None:
                end, failure = await self._work(tool_task)
        except asyncio.CancelledError as error:
            failure = error
            task = asyncio.current_task()
            if tool_task.stopped is None and task is not None and not task.cancelling():
                end, failure = await self._failed(tool_task, RuntimeError("it was cancelled"))  # of its own making
        finally:
            if tool_task.watch is not None:
                tool_task.watch.cancel()
            self._finished(tool_task, end, failure)

    def _on_timeout(self, tool_task: ToolTask) -> None:
        task = asyncio.get_running_loop().create_task(self._time_out(tool_task))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(function, *args))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # nobody else looks
            raise

    async def stop(self) -> None:
        self._act([], self._scheduler.stop_all())
        cancelled = None
        while self.tasks:
            try:
                await asyncio.wait(self.tasks)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


@final
class ToolRunner(ToolRunnerBase):
    """Runs the functions that the model calls, beside the session's stream of events.

    Each call gets a task, and each function that is no coroutine function a thread, so reading waits for none of them.
    What a function returns is sent as its response; what it raises, as an error. An async or plain generator of a
    non-blocking function gives one response after the other; of a blocking one, or on Vertex, all in one. A call that
    the server cancels is cancelled, and its answer never sent; so is one that was lost with its connection. A function
    on a thread cannot be cancelled: it goes on and keeps its place, and its result is dropped.
    """

    @asynccontextmanager
    async def attach(self, session: AsyncClientSession) -> AsyncIterator[ToolStream]:
        """Answer calls for the length of an ``async with`` block; ``async for event in`` what it gives.

        When the block is left, or the session ends, calls that are not answered are cancelled. Leaving waits for their
        tasks and threads.

        Args:
            session: The session; take its events from what this gives, and only there.
        """
        stream = _Stream(session, self._scheduler(session.connection.tool_calls))
        try:
            yield stream
        finally:
            await stream.stop()
