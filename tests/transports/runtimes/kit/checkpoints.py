"""Cancelling something at each place where it lets go of the processor, one after the other."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from transports.runtimes.kit.kit import Job, Kit

MOST = 500
"""Suspensions after which an operation is taken to go round in circles."""


@types.coroutine
def _counted(coroutine: Coroutine[Any, Any, Any], suspends: Callable[[], None]) -> Generator[Any, Any, Any]:
    """Run a coroutine, and tell of each suspension before it happens, when it can still be cancelled in it."""
    step: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731
    while True:
        try:
            trap = step()
        except StopIteration as stop:
            return stop.value
        suspends()
        try:
            answer = yield trap
        except BaseException as error:
            step = lambda error=error: coroutine.throw(error)  # type: ignore[misc]  # noqa: E731
        else:
            step = lambda answer=answer: coroutine.send(answer)  # type: ignore[misc]  # noqa: E731


async def cancelled_at(
    kit: Kit,
    place: int,
    operation: Callable[[], Coroutine[Any, Any, Any]],
    on_the_way: Callable[[], object] = lambda: None,
) -> Job:
    """Run an operation that is cancelled in its suspension number ``place``, from 0; one that has fewer runs through.

    What came of it is in the job.
    """
    seen = 0

    def suspends() -> None:
        nonlocal seen
        if seen == place:
            job.cancel()
        elif seen < place:
            on_the_way()
        seen += 1

    async def run() -> Any:
        return await _counted(operation(), suspends)

    async with kit.jobs() as jobs:
        job = jobs.start(run)
        return await job.wait()


async def at_every_checkpoint(
    kit: Kit,
    operation: Callable[[], Coroutine[Any, Any, Any]],
    check: Callable[[Job], Awaitable[object]],
    *,
    before: Callable[[], Awaitable[object]] | None = None,
    on_the_way: Callable[[], object] = lambda: None,
) -> int:
    """Cancel an operation at its first suspension, at its second, until it runs through; gives how often it was cut.

    Args:
        kit: The runtime.
        operation: What is run, once for each place.
        check: Called after each.
        before: Called before each.
        on_the_way: Called in each suspension before the one it is cancelled in: lets what it waits for happen.
    """
    for place in range(MOST):
        if before is not None:
            await before()
        job = await cancelled_at(kit, place, operation, on_the_way)
        await check(job)
        if not job.cancelled:
            return place
    raise AssertionError("it never came to its end")
