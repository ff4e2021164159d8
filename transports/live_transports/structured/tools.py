"""``ToolRunner`` under structured concurrency, for trio and anyio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, final

from live_transports.shared.async_sessions import AsyncClientSession
from live_transports.shared.async_tools import ToolStream
from live_transports.structured.runtime import Runtime
from live_transports.structured.server import hidden_nursery
from live_transports.tools import Desk, Job, Runner, ToolEnd

__all__ = ["StructuredToolRunner"]

T = TypeVar("T")


@final
class _Stream(ToolStream):
    def __init__(self, session: AsyncClientSession, desk: Desk, runtime: Runtime, nursery: Any) -> None:
        super().__init__(session, desk)
        self._rt = runtime
        self._nursery = nursery

    def _start(self, job: Job) -> None:
        job.handle = self._rt.scope()
        self._nursery.start_soon(self._run, job)

    def _cancel(self, job: Job) -> None:
        job.handle.cancel()

    async def _run(self, job: Job) -> None:
        end: ToolEnd = ToolEnd.ABANDONED
        failure: BaseException | None = None
        if job.timeout is not None:
            job.watch = self._rt.scope()
            self._nursery.start_soon(self._watch, job, job.timeout)
        try:
            with job.handle:
                if job.stopped is None:
                    end, failure = await self._work(job)
        finally:
            if job.watch is not None:
                job.watch.cancel()
            self._over(job, end, failure)

    async def _watch(self, job: Job, seconds: float) -> None:
        with job.watch:
            await self._rt.sleep(seconds)
            await self._expire(job)

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        result: T = await self._rt.in_thread(function, *args)
        return result

    async def _close(self, results: Generator[Any, Any, Any]) -> None:
        with self._rt.scope(shield=True):
            await super()._close(results)

    def stop(self) -> None:
        self._act([], self._desk.stop_all())


class StructuredToolRunner(Runner):
    """Runs the functions that the model calls, beside the session's stream of events.

    Each call gets a task, and each function that is no coroutine function a thread, so reading waits for none of them.
    What a function returns is sent as its response; what it raises, as an error. An async or plain generator of a
    non-blocking function gives one response after the other; of a blocking one, or on Vertex, all in one. A call that
    the server cancels is cancelled, and its answer never sent; so is one that was lost with its connection. A function
    on a thread cannot be cancelled: it goes on and keeps its place, and its result is dropped.
    """

    _runtime: Runtime

    @asynccontextmanager
    async def over(self, session: AsyncClientSession) -> AsyncIterator[ToolStream]:
        """Answer calls for the length of an ``async with`` block; ``async for event in`` what it gives.

        When the block is left, or the session ends, calls that are not answered are cancelled. Leaving waits for their
        tasks and threads.

        Args:
            session: The session; take its events from what this gives, and only there.
        """
        async with hidden_nursery(self._runtime) as nursery:
            stream = _Stream(session, self._desk(session.connection.tool_calls), self._runtime, nursery)
            try:
                yield stream
            finally:
                stream.stop()
