"""anyio under the conformance suite, on each of its backends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
from transports.runtimes.kit.kit import LIMIT, Job, Jobs, Kit, Scenario, Signal
from transports.runtimes.kit.kit_trio import logged

from live_protocol import Endpoint
from live_transports import anyio as live_anyio


class _Job(Job):
    """Jobs begin in the order they were started in, which anyio does not promise."""

    def __init__(self, before: _Job | None) -> None:
        self.scope = anyio.CancelScope()
        self.begun = anyio.Event()
        self.ended = anyio.Event()
        self.before = before

    @property
    def done(self) -> bool:
        return self.ended.is_set()

    def cancel(self) -> None:
        self.scope.cancel()

    async def wait(self) -> Job:
        await self.ended.wait()
        return self

    async def run(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        try:
            with self.scope:
                if self.before is not None:
                    await self.before.begun.wait()
                self.begun.set()
                self.value = await function(*args)
                return
            self.cancelled = True
        except Exception as error:
            self.error = error
        finally:
            self.begun.set()
            self.ended.set()


class _Jobs(Jobs):
    def __init__(self, group: anyio.abc.TaskGroup) -> None:
        self.group = group
        self.last: _Job | None = None

    def start(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Job:
        self.last = job = _Job(self.last)
        self.group.start_soon(job.run, function, *args)
        return job


class _Signal(Signal):
    def __init__(self) -> None:
        self._token = anyio.lowlevel.current_token()
        self._event = anyio.Event()

    def set(self) -> None:
        with contextlib.suppress(RuntimeError):
            if anyio.lowlevel.current_token() == self._token:
                self._event.set()
                return
        anyio.from_thread.run_sync(self._event.set, token=self._token)

    async def wait(self) -> None:
        await self._event.wait()
        for _ in range(4):  # what was done before it was set gets its turn to be written
            await anyio.lowlevel.checkpoint()


class AnyioKit(Kit):
    def __init__(self, backend: str, *, uvloop: bool = False) -> None:
        super().__init__()
        self.name = f"anyio-{'uvloop' if uvloop else backend}"
        self.backend = backend
        self.options = {"use_uvloop": True} if uvloop else {}

    def run(self, scenario: Scenario) -> None:
        async def main() -> None:
            if self.backend == "asyncio":
                complain = self.complaints.append
                asyncio.get_running_loop().set_exception_handler(lambda _, context: complain(context))
            with anyio.fail_after(LIMIT):
                await scenario()
            for _ in range(3):
                await self.pass_on()
            others = [task for task in anyio.get_running_tasks() if task.id != anyio.get_current_task().id]
            assert self.backend == "trio" or not others, f"tasks left behind: {others}"

        self.complaints.clear()
        with logged(self.complaints):
            anyio.run(main, backend=self.backend, backend_options=self.options)
        assert not self.complaints

    def connect(self, endpoint: Endpoint, config: Any = None, **options: Any) -> AbstractAsyncContextManager[Any]:
        options.setdefault("model", "test")
        return live_anyio.connect(endpoint, config, **options)

    def serve(self, handler: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
        return live_anyio.serve(handler, **options)

    @asynccontextmanager
    async def jobs(self) -> AsyncIterator[Jobs]:
        failure: BaseException | None = None
        async with anyio.create_task_group() as group:
            try:
                yield _Jobs(group)
            except BaseException as error:  # bare, as the other kits give it
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        with anyio.move_on_after(seconds) as scope:
            yield
        if scope.cancelled_caught:
            raise TimeoutError

    def signal(self) -> Signal:
        return _Signal()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def pass_on(self) -> None:
        for _ in range(2):  # others may come after us in the first round
            await anyio.lowlevel.checkpoint()
