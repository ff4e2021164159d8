"""trio under the conformance suite."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import trio
from transports.runtimes.kit.kit import LIMIT, Job, Jobs, Kit, Scenario, Signal

from live_protocol import Endpoint
from live_transports import trio as live_trio


class _Complaints(logging.Handler):
    def __init__(self, complaints: list[Any]) -> None:
        super().__init__(logging.WARNING)
        self.complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        exception = record.exc_info[1] if record.exc_info else None
        self.complaints.append({"message": record.getMessage(), "exception": exception})


@contextmanager
def logged(complaints: list[Any]) -> Iterator[None]:
    """Take what is logged as complaints."""
    handler = _Complaints(complaints)
    logger = logging.getLogger()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Job(Job):
    """Jobs begin in the order they were started in, which trio alone does not promise."""

    def __init__(self, before: _Job | None) -> None:
        self.scope = trio.CancelScope()
        self.begun = trio.Event()
        self.ended = trio.Event()
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
    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.last: _Job | None = None

    def start(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Job:
        self.last = job = _Job(self.last)
        self.nursery.start_soon(job.run, function, *args)
        return job


class _Signal(Signal):
    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._event = trio.Event()

    def set(self) -> None:
        self._token.run_sync_soon(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()
        for _ in range(4):  # what was done before it was set gets its turn to be written
            await trio.lowlevel.checkpoint()


class TrioKit(Kit):
    name = "trio"

    def run(self, scenario: Scenario) -> None:
        async def main() -> None:
            me = trio.lowlevel.current_task()
            with trio.fail_after(LIMIT):
                await scenario()
            assert not me.child_nurseries

        self.complaints.clear()
        with logged(self.complaints):
            trio.run(main)
        assert not self.complaints

    def connect(self, endpoint: Endpoint, config: Any = None, **options: Any) -> AbstractAsyncContextManager[Any]:
        options.setdefault("model", "test")
        return live_trio.connect(endpoint, config, **options)

    def serve(self, handler: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
        return live_trio.serve(handler, **options)

    @asynccontextmanager
    async def jobs(self) -> AsyncIterator[Jobs]:
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            try:
                yield _Jobs(nursery)
            except BaseException as error:  # bare, as the other kits give it
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        with trio.move_on_after(seconds) as scope:
            yield
        if scope.cancelled_caught:
            raise TimeoutError

    def signal(self) -> Signal:
        return _Signal()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def pass_on(self) -> None:
        for _ in range(2):  # others may come after us in the first round
            await trio.lowlevel.checkpoint()
