"""The client's end over a foreign WebSocket: the session, and how it opens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, final

from live_protocol.connection import CloseWebSocket, MessageConnection, SessionOptions
from live_protocol.endpoint import Endpoint
from live_protocol.session import ConfigInput
from live_transports.bridges.driver import BridgeDriver, TaskDriver, WebSocket
from live_transports.shared.async_session import ConnectContext
from live_transports.shared.async_sessions import AsyncClientSession
from live_transports.shared.options import check_options


@final
class LiveClientSession(AsyncClientSession):
    """The client's end of a live session over a WebSocket of another library; the ``over_`` functions make it.

    It is the session of `live_transports.asyncio`, except that `ping` raises `IllegalInState` and `latency` stays
    None: pings are the library's.
    """

    __slots__ = ("_bridge",)

    def __init__(self, machine: MessageConnection, driver: BridgeDriver) -> None:
        super().__init__(machine, driver)
        self._bridge = driver

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As every session; a cancelled block is left when nothing of ours runs any more, a few steps of the loop on.

        So the library's own block around it finds the WebSocket as the session left it.
        """
        await super().__aexit__(kind, error, trace)
        if isinstance(error, asyncio.CancelledError):
            await self._bridge.closed.wait()


@final
class Arguments(dict[str, Any]):
    """Keyword arguments for a library's dial, to be passed on with ``**``. They hold credentials; no ``repr`` does."""

    def __repr__(self) -> str:
        return f"<arguments: {', '.join(self)}; values hidden>"

    __str__ = __repr__


def credentials_url(endpoint: Endpoint) -> str:
    """The URL with all that its query holds; `Endpoint.url` is the one for logs."""
    return f"{'wss' if endpoint.secure else 'ws'}://{endpoint.host_header}{endpoint.target}"


def connect_context(
    endpoint: Endpoint,
    config: ConfigInput | None,
    options: SessionOptions,
    attach: Callable[[MessageConnection], BridgeDriver],
    *,
    headers: Iterable[tuple[str, str]] = (),
    compression: bool = False,
) -> ConnectContext[LiveClientSession]:
    """Open a session.

    Args:
        endpoint: As the ``over_`` functions have it.
        config: As there.
        options: As there.
        attach: Makes the driver of a machine and lets it start.
        headers: Of the response to the upgrade, as far as the library tells.
        compression: Whether the library compresses.
    """
    check_options(SessionOptions, options)

    async def open_session() -> LiveClientSession:
        machine = MessageConnection.client(endpoint, config, **options)
        machine.advance(asyncio.get_running_loop().time())
        machine.connected(tuple(headers), compression=compression)
        driver = attach(machine)
        session = LiveClientSession._create(machine, driver)
        try:
            await session._open()
        except BaseException as error:
            driver.abort()
            if isinstance(error, (Exception, asyncio.CancelledError)):
                await driver.closed.wait()
            raise
        return session

    return ConnectContext(open_session)


def _over_tasks(
    endpoint: Endpoint,
    config: ConfigInput | None,
    options: SessionOptions,
    socket: Callable[[], WebSocket],
    *,
    headers: Iterable[tuple[str, str]] = (),
    compression: bool = False,
) -> ConnectContext[LiveClientSession]:
    """Open a session over a library of coroutines; see `connect_context`."""

    def attach(machine: MessageConnection) -> BridgeDriver:
        driver = TaskDriver(machine, socket())
        driver.start()
        return driver

    return connect_context(endpoint, config, options, attach, headers=headers, compression=compression)


_STEPS: Final = 2  # of the event loop: the task begins; what it writes is written


async def start_close(close: Callable[[int, str], Any], close_frame: CloseWebSocket | None) -> None:
    """Begin an orderly close and do not wait for its end; a library that can be cancelled there has closed by then."""
    if close_frame is None:
        return
    task = asyncio.ensure_future(close(close_frame.code, close_frame.reason))
    for _ in range(_STEPS):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # seen, and of no interest: this is the end anyway
