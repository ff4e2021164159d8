"""The client's end on anyio: a session over the driver of the runtime beneath, which is faster than anyio's streams."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, final

import anyio
import anyio.lowlevel

from live_protocol.connection import LiveConnection
from live_protocol.reconnect import EndpointSource
from live_protocol.session import ConfigInput
from live_transports.anyio.runtime import RUNTIME
from live_transports.asyncio.dialing import open_transport
from live_transports.asyncio.driver import AsyncioDriver, OpenTransport, RedialingDriver
from live_transports.shared.async_sessions import AsyncClientSession
from live_transports.shared.dialing import DialPlan
from live_transports.shared.loop_driver import LoopDriver
from live_transports.shared.options import DialOptions
from live_transports.shared.reconnecting import Redialer, make_client
from live_transports.structured.client import connected

S = TypeVar("S", bound=AsyncClientSession)


class _AnyioDriver(LoopDriver):
    """anyio's rules over asyncio: every operation is a checkpoint, and other threads may close.

    Waiting for a future is already a checkpoint: anyio cancels a waiting task, again and again until the task has left
    the scope.
    """

    has_checkpoints = True
    _transport: asyncio.Transport | None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._token = anyio.lowlevel.current_token()

    def checkpoint(self) -> Awaitable[None]:
        return asyncio.sleep(0)  # which is anyio's own

    def must_wait(self) -> bool:
        return True

    async def wait_writable(self) -> None:
        if self._full:
            await super().wait_writable()
        else:
            await asyncio.sleep(0)

    async def close(self, code: int, reason: str) -> None:
        if RUNTIME.is_here(self._token):
            await self._close(code, reason)
        else:
            await RUNTIME.reenter(self._token, lambda: self._close(code, reason))

    async def until_gone(self) -> None:
        """Wait until the socket is free, after `abort`; nothing disturbs this."""
        if self._transport is not None:
            with anyio.CancelScope(shield=True):
                await self.closed.wait()


@final
class _Driver(_AnyioDriver, AsyncioDriver):
    """Over one connection."""

    def __init__(self, machine: LiveConnection) -> None:
        super().__init__(machine)


@final
class _RedialingDriver(_AnyioDriver, RedialingDriver):
    """Over one connection after the other."""

    def __init__(self, redialer: Redialer, open: OpenTransport) -> None:  # noqa: A002 - the verb
        super().__init__(redialer, open)


@asynccontextmanager
async def dialed(
    cls: type[S], endpoint: EndpointSource, config: ConfigInput | None, options: DialOptions
) -> AsyncIterator[S]:
    """The block of a ``connect()`` that dials, on the runtime beneath."""
    if _is_trio():
        from live_transports.trio.runtime import RUNTIME as TRIO  # noqa: PLC0415 - only there is trio installed

        block = connected(TRIO, cls, endpoint, config, options, stream=None)
    elif sys.version_info < (3, 11, 8) and options.get("proxy") is not None:
        # Where TLS fails inside of TLS, this asyncio raises a TypeError; our own TLS does not.
        block = connected(RUNTIME, cls, endpoint, config, options, stream=None)
    else:
        block = _on_asyncio(cls, endpoint, config, options)
    async with block as session:
        yield session


def _is_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_task()


@asynccontextmanager
async def _on_asyncio(
    cls: type[S], endpoint: EndpointSource, config: ConfigInput | None, options: DialOptions
) -> AsyncIterator[S]:
    client = make_client(endpoint, config, options, open_transport=None)
    local_addr = options.get("local_addr")
    driver: _Driver | _RedialingDriver
    if isinstance(client, Redialer):

        async def open_next(dial: DialPlan) -> tuple[asyncio.Transport, bytes]:
            for _ in range(2):  # a close that the caller's function has just started comes first
                await asyncio.sleep(0)
            return await open_transport(dial, local_addr)

        driver = _RedialingDriver(client, open_next)
    else:
        machine, dial = client
        driver = _Driver(machine)
        try:
            driver.start(*await open_transport(dial, local_addr))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await asyncio.sleep(0)  # the transport frees the socket in the next round of the loop
            raise
    session = cls._create(driver.machine, driver)
    try:
        await session._open()
        async with session:
            yield session
    finally:
        driver.abort()
        await driver.until_gone()
