"""trio's streams and names, for what is written once for trio and anyio."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, final

import trio

from live_protocol.errors import InvalidMessage
from live_transports.shared.listening import names
from live_transports.structured.runtime import ByteStream, Listeners, Runtime, unwrapped, write_now

_CHUNK: Final = 64 * 1024


async def _reenter(token: trio.lowlevel.TrioToken, function: Callable[[], Awaitable[None]]) -> None:
    call = functools.partial(trio.from_thread.run, function, trio_token=token)
    try:
        try:
            trio.lowlevel.current_trio_token()
        except RuntimeError:
            call()  # no trio runs in this thread; what else may run here cannot be waited with
        else:
            await trio.to_thread.run_sync(call)
    except trio.RunFinishedError:
        return  # which has closed everything


@final
class TrioParking:
    """A place where one task waits, without an object for each wait."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None

    # As for `trio.Event`: Ctrl-C between the two lines would leave a task here that does not wait.
    @trio.lowlevel.enable_ki_protection
    async def wait(self) -> None:
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    @trio.lowlevel.enable_ki_protection
    def wake(self) -> None:
        task = self._task
        if task is not None:
            self._task = None
            trio.lowlevel.reschedule(task)


@final
class TrioStream(ByteStream):
    """A `trio.abc.Stream` of the caller's."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.can_half_close: bool = isinstance(stream, trio.abc.HalfCloseableStream)
        self._stream = stream
        self._socket = stream.socket if isinstance(stream, trio.SocketStream) and os.name == "posix" else None

    async def receive(self) -> bytes:
        return bytes(await self._stream.receive_some())

    def send_now(self, data: bytes | memoryview) -> int:
        return 0 if self._socket is None else write_now(self._socket.fileno(), data)

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def close(self) -> None:
        await self._stream.aclose()

    async def drop(self) -> None:
        await trio.aclose_forcefully(self._stream)


@final
class TrioSocket(ByteStream):
    """A connected socket of our own.

    trio's streams try before they wait, look for conflicts and have a checkpoint after each success. Here one task
    reads and one writes, and most reads have to wait: so a read waits first, which saves a system call, and a write
    that the socket takes is one system call and nothing else.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self.can_half_close: bool = True
        theirs = stream.socket
        self._socket = socket.socket(theirs.family, theirs.type, theirs.proto, theirs.detach())
        self._socket.setblocking(False)

    async def receive(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(_CHUNK)
            except BlockingIOError:  # it was ready for an error that has gone, or a packet that was damaged
                continue

    def send_now(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    async def send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            await trio.lowlevel.wait_writable(self._socket)
            left = left[self.send_now(left) :]

    async def send_eof(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        await self.drop()

    async def drop(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


async def _connect(host: str, port: int, local_addr: tuple[str, int] | None) -> TrioSocket:
    if local_addr is not None and local_addr[1] != 0:
        raise InvalidMessage("local_addr", "trio binds to any free port: give port 0, or a stream of your own")
    try:
        return TrioSocket(await trio.open_tcp_stream(host, port, local_address=local_addr[0] if local_addr else None))
    except BaseExceptionGroup as group:
        raise unwrapped(group) from None  # the cancellation of its nursery


# --- servers ----------------------------------------------------------------------------------------------------


@final
class TrioListeners(Listeners):
    """Listening sockets on trio."""

    def __init__(self, listeners: Sequence[trio.SocketListener]) -> None:
        self.sockets: tuple[trio.socket.SocketType, ...] = tuple(listener.socket for listener in listeners)
        self._listeners = listeners

    async def serve(self, connected: Callable[[Any], Coroutine[Any, Any, None]], nursery: trio.Nursery) -> None:
        await trio.serve_listeners(connected, list(self._listeners), handler_nursery=nursery)


async def _listen(host: str | Sequence[str], port: int, backlog: int) -> TrioListeners:
    """Listen on every address.

    Raises:
        OSError: One of them cannot be used; none is then.
    """
    listeners: list[trio.SocketListener] = []
    try:
        for name in names(host):
            listeners += await trio.open_tcp_listeners(port, host=name, backlog=backlog)
    except BaseException:
        for listener in listeners:
            await trio.aclose_forcefully(listener)
        raise
    return TrioListeners(listeners)


RUNTIME: Final = Runtime(
    now=trio.current_time,
    clock=lambda: trio.lowlevel.current_clock().current_time,
    event=trio.Event,
    parking=TrioParking,
    scope=trio.CancelScope,
    nursery=trio.open_nursery,
    checkpoint=trio.lowlevel.checkpoint,
    sleep=trio.sleep,
    sleep_forever=trio.sleep_forever,
    in_thread=trio.to_thread.run_sync,
    task=trio.lowlevel.current_task,
    token=trio.lowlevel.current_trio_token,
    reenter=_reenter,
    broken=(trio.BrokenResourceError, trio.ClosedResourceError),
    wrap_stream=TrioStream,
    connect=_connect,
    listen=_listen,
)
