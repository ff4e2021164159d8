"""anyio's streams and names, for what is written once for trio and anyio."""

from __future__ import annotations

import functools
import logging
import os
import select
import socket
from asyncio.trsock import TransportSocket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, cast, final

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
from anyio.streams.tls import TLSStream

from live_transports.shared.listening import FATAL, RETRY, names
from live_transports.structured.runtime import ByteStream, Listeners, Runtime, unwrapped, write_now

_logger = logging.getLogger("live_transports")


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


@final
class AnyioParking:
    """A place where one task waits."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    async def wait(self) -> None:
        self._event = anyio.Event()
        try:
            await self._event.wait()
        finally:
            self._event = None

    def wake(self) -> None:
        if self._event is not None:
            self._event.set()


@final
class AnyioStream(ByteStream):
    """An `anyio.abc.ByteStream`."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self.can_half_close: bool = not isinstance(stream, TLSStream)
        self._stream = stream
        self._socket: socket.socket | None = None
        self._hung_up: select.poll | None = None
        sock = stream.extra(anyio.abc.SocketAttribute.raw_socket, None)  # noqa: S610 - this is not Django's
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # These have the fileno() -1 once they are closed. A socket of uvloop keeps a number that gets reused.
            if os.name == "posix" and self.can_half_close and isinstance(sock, socket.socket | TransportSocket):
                self._socket = sock
            if hasattr(select, "POLLRDHUP"):
                self._hung_up = select.poll()
                self._hung_up.register(sock.fileno(), select.POLLRDHUP)

    async def receive(self) -> bytes:
        try:
            return await self._stream.receive()
        except anyio.EndOfStream:
            return b""

    def send_now(self, data: bytes | memoryview) -> int:
        return 0 if self._socket is None else write_now(self._socket.fileno(), data)

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def close(self) -> None:
        await self._stream.aclose()

    def peer_closed(self) -> bool:
        # A write that fails makes asyncio's transport forget what lies unread; trio would still give it.
        return self._hung_up is not None and bool(self._hung_up.poll(0))

    async def drop(self) -> None:
        await anyio.aclose_forcefully(self._stream)


async def _connect(host: str, port: int, local_addr: tuple[str, int] | None) -> AnyioStream:
    local_host, local_port = local_addr or (None, None)
    return AnyioStream(await anyio.connect_tcp(host, port, local_host=local_host, local_port=local_port))


# --- servers ----------------------------------------------------------------------------------------------------


@final
class AnyioListeners(Listeners):
    """Listening sockets on anyio."""

    def __init__(self, listeners: Sequence[anyio.abc.SocketListener]) -> None:
        self.sockets: tuple[socket.socket, ...] = tuple(
            listener.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610 - this is not Django's
            for listener in listeners
        )
        self._listeners = listeners

    async def serve(self, connected: Callable[[Any], Coroutine[Any, Any, None]], nursery: anyio.abc.TaskGroup) -> None:
        async with anyio.create_task_group() as accepting:
            for listener in self._listeners:
                accepting.start_soon(self._accept, listener, connected, nursery)

    async def _accept(
        self,
        listener: anyio.abc.SocketListener,
        connected: Callable[[Any], Coroutine[Any, Any, None]],
        nursery: anyio.abc.TaskGroup,
    ) -> None:
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except (OSError, anyio.BrokenResourceError) as error:  # the latter is over trio what the former is
                    cause = unwrapped(error)
                    if not isinstance(cause, OSError) or cause.errno in FATAL:
                        raise
                    _logger.error("a live server could not accept a connection", exc_info=cause)
                    await anyio.sleep(RETRY)
                else:
                    nursery.start_soon(connected, stream)


async def _listen(host: str | Sequence[str], port: int, backlog: int) -> AnyioListeners:
    """Listen on every address.

    Raises:
        OSError: One of them cannot be used; none is then.
    """
    listeners: list[anyio.abc.SocketListener] = []
    try:
        for name in names(host):
            made = await anyio.create_tcp_listener(local_host=name, local_port=port, backlog=backlog)
            listeners += cast("Sequence[anyio.abc.SocketListener]", made.listeners)
    except BaseException:
        for listener in listeners:
            await anyio.aclose_forcefully(listener)
        raise
    return AnyioListeners(listeners)


RUNTIME: Final = Runtime(
    now=anyio.current_time,
    clock=lambda: anyio.current_time,
    event=anyio.Event,
    parking=AnyioParking,
    scope=anyio.CancelScope,
    nursery=anyio.create_task_group,
    checkpoint=anyio.lowlevel.checkpoint,
    sleep=anyio.sleep,
    sleep_forever=anyio.sleep_forever,
    in_thread=anyio.to_thread.run_sync,
    task=lambda: anyio.get_current_task().id,
    token=anyio.lowlevel.current_token,
    reenter=_reenter,
    broken=(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream),
    wrap_stream=AnyioStream,
    connect=_connect,
    listen=_listen,
)
