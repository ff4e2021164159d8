"""``ToolRunner`` under structured concurrency, for trio and anyio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, final

from live_transports.shared.async_sessions import AsyncClientSession
from live_transports.shared.async_tools import ToolStream
from live_transports.structured.nursery import hidden_nursery
from live_transports.structured.runtime import Runtime
from live_transports.tools import ToolEnd, ToolRunnerBase, ToolScheduler, ToolTask

T = TypeVar("T")


@final
class _Stream(ToolStream):
    def __init__(self, session: AsyncClientSession, scheduler: ToolScheduler, runtime: Runtime, nursery: Any) -> None:
        super().__init__(session, scheduler)
        self._rt = runtime
        self._nursery = nursery

    def _start(self, task: ToolTask) -> None:
        task.handle = self._rt.scope()
        self._nursery.start_soon(self._run, task)

    def _cancel(self, task: ToolTask) -> None:
        task.handle.cancel()

    async def _run(self, task: ToolTask) -> None:
        end: ToolEnd = ToolEnd.ABANDONED
        failure: BaseException | None = None
        if task.timeout is not None:
            task.watch = self._rt.scope()
            self._nursery.start_soon(self._watch, task, task.timeout)
        try:
            with task.handle:
                if task.stopped is None:
                    end, failure = await self._work(task)
        finally:
            if task.watch is not None:
                task.watch.cancel()
            self._finished(task, end, failure)

    async def _watch(self, task: ToolTask, seconds: float) -> None:
        with task.watch:
            await self._rt.sleep(seconds)
            await self._time_out(task)

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        result: T = await self._rt.in_thread(function, *args)
        return result

    async def _close(self, results: Generator[Any, Any, Any]) -> None:
        with self._rt.scope(shield=True):
            await super()._close(results)

    def stop(self) -> None:
        self._act([], self._scheduler.stop_all())


class StructuredToolRunner(ToolRunnerBase):
    """Runs the functions that the model calls, while you read the session's events.

    Each call has a task, and a plain function a thread, so reading never waits for one. The return value is sent as the
    response, an exception as an error. A generator, async or plain, of a non-blocking function sends one response after
    the other; of a blocking one, or on Vertex, all in one. A call is cancelled, and never answered, if the server
    cancels it or if its connection ends. A function on a thread cannot be cancelled: it goes on and keeps its place,
    and its result is dropped.
    """

    _runtime: Runtime

    @asynccontextmanager
    async def attach(self, session: AsyncClientSession) -> AsyncIterator[ToolStream]:
        """Answer calls during an ``async with`` block. Iterate over the stream that it returns.

        After the block, or after the session's end, unanswered calls are cancelled. Leaving the block waits for their
        tasks and threads.

        Args:
            session: The session. Take its events from the stream only.
        """
        async with hidden_nursery(self._runtime) as nursery:
            stream = _Stream(session, self._scheduler(session.connection.tool_calls), self._runtime, nursery)
            try:
                yield stream
            finally:
                stream.stop()
