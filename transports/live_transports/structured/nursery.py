"""The nursery for the tasks of a session. It never shows in a traceback of the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from live_transports.structured.driver import StreamDriver
from live_transports.structured.runtime import ByteStream, Runtime, unwrapped


@asynccontextmanager
async def hidden_nursery(runtime: Runtime) -> AsyncIterator[Any]:
    """A nursery for tasks that do not raise. An exception of the block leaves it as it is, in no group."""
    failure: BaseException | None = None
    try:
        async with runtime.nursery() as nursery:
            try:
                yield nursery
            except BaseException as error:
                failure = error
            nursery.cancel_scope.shield = True
    except BaseExceptionGroup as group:
        raise unwrapped(group) from None  # Ctrl-C, in one of the tasks
    if failure is not None:
        try:
            raise failure
        finally:
            del failure


@asynccontextmanager
async def hosted(runtime: Runtime, driver: StreamDriver, byte_stream: ByteStream | None) -> AsyncIterator[None]:
    """Carry connections beside the block, beginning with ``byte_stream``. They end with the block."""
    async with hidden_nursery(runtime) as nursery:
        driver.spawn = nursery.start_soon
        if byte_stream is not None:
            driver.start(byte_stream)
            nursery.start_soon(driver.run)
        try:
            yield
        finally:
            driver.abort()
