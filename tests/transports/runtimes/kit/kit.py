"""What the conformance suite needs of a runtime and its adapter. A scenario is an async function over a `Kit`.

To put another adapter under the suite: write a `Kit` for it and add it to `KITS` in conftest.py. A blocking adapter
wraps its session so that each method is a coroutine that never suspends, runs jobs on threads and has
``can_cancel = False``.
"""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from support.patience import PATIENCE
from transports.runtimes.kit.peer import Peer, Script, dialer

from live_protocol import Endpoint, LiveConnection
from live_transports import asyncio as live_asyncio

LIMIT = 2 * PATIENCE
Scenario = Callable[[], Awaitable[object]]


class Job(abc.ABC):
    """Something that runs beside the scenario."""

    value: Any = None
    error: BaseException | None = None
    cancelled = False

    @property
    @abc.abstractmethod
    def done(self) -> bool: ...

    @abc.abstractmethod
    def cancel(self) -> None: ...

    @abc.abstractmethod
    async def wait(self) -> Job:
        """Until it is over; whatever came of it is in `value`, `error` or `cancelled`."""


class Jobs(abc.ABC):
    @abc.abstractmethod
    def start(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Job: ...


class Signal(abc.ABC):
    """An event that any thread may set."""

    @abc.abstractmethod
    def set(self) -> None: ...

    @abc.abstractmethod
    async def wait(self) -> None: ...


class Kit(abc.ABC):
    """One runtime with its adapter.

    Attributes:
        name: Shown in the ids of tests.
        can_cancel: Whether operations can be cancelled from outside.
        machine: Makes what a self-driving machine of the server's end is built on.
        pings: Whether sessions send pings; where another library has the WebSocket, it does.
        threaded: Whether all runs on threads, whose turns are the system's to choose.
        complaints: What the runtime's handler of last resort was told; must be empty at the end unless taken away.
    """

    name: str
    can_cancel = True
    machine: Callable[[], Any] = staticmethod(LiveConnection.server)
    pings = True
    threaded = False

    def __init__(self) -> None:
        self.complaints: list[Any] = []

    @abc.abstractmethod
    def run(self, scenario: Scenario) -> None:
        """Run it to its end within `LIMIT` seconds; fails if any task is left behind or anything was complained of."""

    @abc.abstractmethod
    def connect(self, endpoint: Endpoint, config: Any = None, **options: Any) -> AbstractAsyncContextManager[Any]: ...

    @abc.abstractmethod
    def serve(self, handler: Any, **options: Any) -> AbstractAsyncContextManager[Any]: ...

    @abc.abstractmethod
    def jobs(self) -> AbstractAsyncContextManager[Jobs]:
        """Jobs still running at the end of the block are cancelled and waited for."""

    @abc.abstractmethod
    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Cancels the block and raises TimeoutError."""

    @abc.abstractmethod
    def signal(self) -> Signal: ...

    @abc.abstractmethod
    async def sleep(self, seconds: float) -> None:
        """For letting a deadline of the library pass, never for waiting for something."""

    @abc.abstractmethod
    async def pass_on(self) -> None:
        """Let everything that can run do so, once."""

    async def join(self, peer: Peer) -> list[Any]:
        """Wait for a peer's scripts while the runtime goes on, which may have a socket to free yet."""
        await self._outlast(lambda: peer.busy)
        return peer.join()

    @asynccontextmanager
    async def dialer(self, port: int, script: Script) -> AsyncIterator[list[Any]]:
        """A client on a thread, as `peer.dialer`; the end of the block waits for it while the runtime goes on."""
        with dialer(port, script) as results:
            yield results
            await self._outlast(lambda: not results)

    async def _outlast(self, busy: Callable[[], bool]) -> None:
        patience = time.monotonic() + PATIENCE
        while busy() and time.monotonic() < patience:
            await self.sleep(0.001)

    def hold_up(self, seconds: float) -> None:
        """Block the whole runtime, as a careless program does."""
        time.sleep(seconds)


class _AsyncioJob(Job):
    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task

    @property
    def done(self) -> bool:
        return self.task.done()

    def cancel(self) -> None:
        self.task.cancel()

    async def wait(self) -> Job:
        await asyncio.wait([self.task])
        self.cancelled = self.task.cancelled()
        if not self.cancelled:
            self.error = self.task.exception()
            self.value = None if self.error else self.task.result()
        return self


class _AsyncioJobs(Jobs):
    def __init__(self) -> None:
        self.all: list[_AsyncioJob] = []

    def start(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Job:
        async def run() -> Any:
            return await function(*args)

        job = _AsyncioJob(asyncio.get_running_loop().create_task(run()))
        self.all.append(job)
        return job


class _AsyncioSignal(Signal):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def set(self) -> None:
        self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()


class AsyncioKit(Kit):
    def __init__(self, name: str, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
        super().__init__()
        self.name = name
        self._loop_factory = loop_factory

    def run(self, scenario: Scenario) -> None:
        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: self.complaints.append(context))
            async with asyncio.timeout(LIMIT):
                await scenario()
            for _ in range(3):
                await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left behind: {left}"

        self.complaints.clear()
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(main())
        assert not self.complaints, self.complaints

    def connect(self, endpoint: Endpoint, config: Any = None, **options: Any) -> AbstractAsyncContextManager[Any]:
        options.setdefault("model", "test")
        return live_asyncio.connect(endpoint, config, **options)

    def serve(self, handler: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
        return live_asyncio.serve(handler, **options)

    @asynccontextmanager
    async def jobs(self) -> AsyncIterator[Jobs]:
        jobs = _AsyncioJobs()
        try:
            yield jobs
        finally:
            for job in jobs.all:
                job.cancel()
                await job.wait()

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(seconds)

    def signal(self) -> Signal:
        return _AsyncioSignal()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def pass_on(self) -> None:
        await asyncio.sleep(0)
