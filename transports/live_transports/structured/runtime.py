"""The differences between trio and anyio: a handful of names, and their streams."""

from __future__ import annotations

import abc
import contextlib
import os
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Protocol, final

import attrs

from live_transports.shared.tls import Tls


class EventFlag(Protocol):
    """``trio.Event`` or ``anyio.Event``."""

    def set(self) -> object: ...

    def is_set(self) -> bool: ...

    async def wait(self) -> object: ...


class Parking(Protocol):
    """A place where one task at a time waits. It lasts; an event would be made anew for each wait."""

    def wait(self) -> Coroutine[Any, Any, None]: ...

    def wake(self) -> None:
        """Wake the task that waits, if one does."""


class Scope(Protocol):
    """``trio.CancelScope`` or ``anyio.CancelScope``."""

    @property
    def deadline(self) -> float: ...

    @deadline.setter
    def deadline(self, new_deadline: float, /) -> None: ...

    def cancel(self) -> object: ...

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...


@final
@attrs.frozen(kw_only=True)
class Runtime:
    """The handful of functions that differ in name.

    Attributes:
        now: Reading of the runtime's clock.
        clock: Gives that clock's function for this run, without the layers of `now`.
        event: Makes an event.
        parking: Makes a `Parking`.
        scope: Makes a cancel scope; takes ``deadline`` and ``shield``.
        nursery: Opens a nursery or task group.
        checkpoint: Lets others run and cancellation in.
        sleep: Waits.
        sleep_forever: Waits to be cancelled.
        in_thread: Calls a function on a thread, and waits for it in any case.
        task: Identifies the task that calls.
        token: Identifies the run that calls; `reenter` takes it.
        reenter: Runs a coroutine function in the run of a token, from another thread or another run in it.
        broken: Errors that streams raise besides `OSError`.
        wrap_stream: Takes over a stream of the runtime.
        connect: Opens a TCP connection to a host and port, from a local address if one is given.
        listen: Listens on every address of a host, or of several, at a port, with a backlog.
    """

    now: Callable[[], float]
    clock: Callable[[], Callable[[], float]]
    event: Callable[[], EventFlag]
    parking: Callable[[], Parking]
    scope: Callable[..., Scope]
    nursery: Callable[[], AbstractAsyncContextManager[Any]]
    checkpoint: Callable[[], Coroutine[Any, Any, None]]
    sleep: Callable[[float], Awaitable[None]]
    sleep_forever: Callable[[], Awaitable[Any]]
    in_thread: Callable[..., Awaitable[Any]]
    task: Callable[[], object]
    token: Callable[[], object]
    reenter: Callable[[Any, Callable[[], Awaitable[None]]], Awaitable[None]]
    broken: tuple[type[Exception], ...]
    wrap_stream: Callable[[Any], ByteStream]
    connect: Callable[[str, int, tuple[str, int] | None], Awaitable[ByteStream]]
    listen: Callable[[str | Sequence[str], int, int], Awaitable[Listeners]]

    def is_here(self, token: object) -> bool:
        """Whether the caller is in the run of this token."""
        try:
            return self.token() == token
        except RuntimeError:
            return False


class ByteStream(abc.ABC):
    """A byte stream. Any error of its methods is the end of it.

    Attributes:
        tls: What is spoken over it, once `secure` has returned. The other methods carry ciphertext then.
        can_half_close: Whether `send_eof` has an effect.
    """

    tls: Tls | None = None
    can_half_close: bool

    @abc.abstractmethod
    def receive(self) -> Coroutine[Any, Any, bytes]:
        """Wait for some bytes; none at the end."""

    def send_now(self, data: bytes | memoryview) -> int:
        """Send what can be sent at once, while no `send` is under way; returns the number of bytes.

        Raises:
            OSError: Nothing can be sent any more.
        """
        return 0

    @abc.abstractmethod
    async def send(self, data: bytes) -> None:
        """Send all of it."""

    @abc.abstractmethod
    async def send_eof(self) -> None:
        """Close the sending direction only."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Close in order."""

    def peer_closed(self) -> bool:
        """Whether the peer is known to send no more, although its last bytes are still to be read."""
        return False

    @abc.abstractmethod
    async def drop(self) -> None:
        """Free the socket at once. It does not wait, works in a cancelled scope, and never fails."""

    # --- TLS ----------------------------------------------------------------------------------------------------

    async def secure(self, context: ssl.SSLContext, *, hostname: str | None = None) -> None:
        """Speak TLS over this stream: with a hostname as the client, without one as the server.

        Over a stream that speaks TLS already this is TLS in TLS.
        """
        tls = Tls(context, hostname, self.tls)
        while True:
            try:
                complete = tls.shake_hands()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self.send_now(tls.data_to_send())  # the alert; the error matters more
                raise
            if data := tls.data_to_send():
                await self.send(data)
            if complete:
                break
            tls.receive_data(await self.receive())
        self.tls = tls
        self.can_half_close = False

    async def send_plain(self, data: bytes) -> None:
        """Send all of it, through TLS if there is some."""
        if self.tls is not None:
            self.tls.write(data)
            data = self.tls.data_to_send()
        await self.send(data)

    async def receive_plain(self) -> bytes:
        """Wait for some bytes, out of TLS if there is some; none at the end."""
        tls = self.tls
        while tls is not None:
            data = tls.read()
            if data or tls.ended or not (ciphertext := await self.receive()):
                return data
            tls.receive_data(ciphertext)
        return await self.receive()


class Listeners(abc.ABC):
    """The listening sockets of a server."""

    sockets: tuple[Any, ...]

    @abc.abstractmethod
    async def serve(self, connected: Callable[[Any], Coroutine[Any, Any, None]], nursery: Any) -> None:
        """Start a task in the nursery for each stream that is accepted, until cancelled; then close the sockets."""


def write_now(fileno: int, data: bytes | memoryview) -> int:
    """Write what a non-blocking socket takes; returns the number of bytes.

    Raises:
        OSError: The socket is closed or broken.
    """
    try:
        return os.write(fileno, data)
    except BlockingIOError:
        return 0


def unwrapped(error: BaseException) -> BaseException:
    """The error of the system or of TLS, under the runtime's own error."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, BaseExceptionGroup):
        return unwrapped(error.exceptions[0])
    return error
