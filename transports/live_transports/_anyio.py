"""anyio's streams and names, for what is written once for trio and anyio."""

from __future__ import annotations

import functools
import math
import socket
import ssl as tls
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, final

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
from anyio.streams.tls import TLSStream

from live_protocol.timing import Deadline
from live_transports import _driver
from live_transports._driver import Dial
from live_transports._runtime import Link, Runtime, unwrapped
from live_transports._structured import Listeners

__all__ = ["RUNTIME", "AnyioListeners", "dial", "listen"]


async def _reenter(token: anyio.lowlevel.EventLoopToken, function: Callable[[], Awaitable[None]]) -> None:
    async def called() -> None:
        await function()

    call = functools.partial(anyio.from_thread.run, called, token=token)
    try:
        try:
            anyio.lowlevel.current_token()
        except RuntimeError:
            call()  # no loop runs in this thread
        else:
            await anyio.to_thread.run_sync(call)
    except anyio.RunFinishedError:
        return  # which has closed everything


RUNTIME: Final = Runtime(
    now=anyio.current_time,
    event=anyio.Event,
    scope=anyio.CancelScope,
    nursery=anyio.create_task_group,
    checkpoint=anyio.lowlevel.checkpoint,
    sleep=anyio.sleep,
    forever=anyio.sleep_forever,
    task=lambda: anyio.get_current_task().id,
    token=anyio.lowlevel.current_token,
    reenter=_reenter,
)


@final
class AnyioLink(Link):
    """An `anyio.abc.ByteStream`."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self.can_half_close = not isinstance(stream, TLSStream)
        self._stream = stream

    async def receive(self) -> bytes:
        try:
            return await self._stream.receive()
        except anyio.EndOfStream:
            return b""

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def close(self) -> None:
        await self._stream.aclose()

    async def drop(self) -> None:
        await anyio.aclose_forcefully(self._stream)


async def _secured(stream: anyio.abc.ByteStream, context: tls.SSLContext | None, **options: Any) -> AnyioLink:
    """The stream, with TLS over it where there is a context; it is closed where that fails."""
    sock = stream.extra(anyio.abc.SocketAttribute.raw_socket, None)
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return AnyioLink(stream)
    try:
        # Peers leave without a close_notify; that nothing was cut off, WebSocket itself makes sure.
        secured = await TLSStream.wrap(stream, ssl_context=context, standard_compatible=False, **options)
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
    return AnyioLink(secured)


async def dial(where: Dial, local_addr: tuple[str, int] | None, stream: anyio.abc.ByteStream | None) -> Link:
    """TCP and TLS under one deadline; every failure is one of ours, and names the step."""
    secured = False
    with anyio.move_on_after(math.inf if where.timeout is None else where.timeout):
        try:
            if stream is None:
                host, port = local_addr or (None, None)
                stream = await anyio.connect_tcp(where.host, where.port, local_host=host, local_port=port)
            secured = True
            return await _secured(stream, where.tls, hostname=where.server_hostname, server_side=False)
        except (OSError, ValueError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            cause = unwrapped(error)
            failed = _driver.tls_failed if secured else _driver.dial_failed
            raise failed(cause if isinstance(cause, OSError | ValueError) else ConnectionResetError(), where) from cause
    raise _driver.dial_expired(Deadline.TLS if secured else Deadline.DIAL, where)


# --- servers ----------------------------------------------------------------------------------------------------


@final
class AnyioListeners(Listeners):
    """Listening sockets on anyio."""

    def __init__(self, listeners: Sequence[anyio.abc.Listener[Any]], context: tls.SSLContext | None) -> None:
        self.sockets: tuple[socket.socket, ...] = tuple(
            listener.extra(anyio.abc.SocketAttribute.raw_socket) for listener in listeners
        )
        self._listeners = listeners
        self._context = context

    async def serve(self, connected: Callable[[Any], Awaitable[None]], nursery: anyio.abc.TaskGroup) -> None:
        async with anyio.create_task_group() as accepting:
            for listener in self._listeners:
                accepting.start_soon(self._accept, listener, connected, nursery)

    async def _accept(
        self, listener: anyio.abc.Listener[Any], connected: Callable[[Any], Any], nursery: anyio.abc.TaskGroup
    ) -> None:
        async with listener:
            await listener.serve(connected, nursery)

    async def secure(self, stream: anyio.abc.ByteStream) -> Link:
        return await _secured(stream, self._context, server_side=True)


async def listen(host: str | Sequence[str], port: int, backlog: int, context: tls.SSLContext | None) -> AnyioListeners:
    """Listen on every address.

    Raises:
        OSError: One of them cannot be used; none is then.
    """
    listeners: list[anyio.abc.Listener[Any]] = []
    try:
        for name in [host] if isinstance(host, str) else host:
            made = await anyio.create_tcp_listener(local_host=name or None, local_port=port, backlog=backlog)
            listeners += made.listeners
    except BaseException:
        for listener in listeners:
            await anyio.aclose_forcefully(listener)
        raise
    return AnyioListeners(listeners, context)
