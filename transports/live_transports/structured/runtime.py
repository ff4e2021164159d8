"""What trio and anyio differ in: the names of a handful of things, and their streams."""

from __future__ import annotations

import abc
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Protocol, final

import attrs

__all__ = ["ByteStream", "EventFlag", "Runtime", "Scope", "Waker", "unwrapped"]


class EventFlag(Protocol):
    """``trio.Event`` or ``anyio.Event``."""

    def set(self) -> object: ...

    def is_set(self) -> bool: ...

    async def wait(self) -> object: ...


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
    """The handful of things that differ in name.

    Attributes:
        now: Reading of the runtime's clock.
        event: Makes an event.
        scope: Makes a cancel scope; takes ``deadline`` and ``shield``.
        nursery: Opens a nursery or task group.
        checkpoint: Lets others run and cancellation in.
        sleep: Waits.
        sleep_forever: Waits to be cancelled.
        in_thread: Calls a function on a thread, and waits for it in any case.
        task: Identifies the task that calls.
        token: Identifies the run that calls; what else `reenter` takes.
        reenter: Runs a coroutine function in the run of a token, from another thread or another run in it.
        broken: What streams raise besides `OSError`.
        wrap_stream: Takes over a stream of the runtime's.
        connect: Opens a TCP connection to a host and port, from a local address if one is given.
    """

    now: Callable[[], float]
    event: Callable[[], EventFlag]
    scope: Callable[..., Scope]
    nursery: Callable[[], AbstractAsyncContextManager[Any]]
    checkpoint: Callable[[], Awaitable[None]]
    sleep: Callable[[float], Awaitable[None]]
    sleep_forever: Callable[[], Awaitable[Any]]
    in_thread: Callable[..., Awaitable[Any]]
    task: Callable[[], object]
    token: Callable[[], object]
    reenter: Callable[[Any, Callable[[], Awaitable[None]]], Awaitable[None]]
    broken: tuple[type[Exception], ...]
    wrap_stream: Callable[[Any], ByteStream]
    connect: Callable[[str, int, tuple[str, int] | None], Awaitable[ByteStream]]

    def is_here(self, token: object) -> bool:
        """Whether the caller is in the run of this token."""
        try:
            return self.token() == token
        except RuntimeError:
            return False


class ByteStream(abc.ABC):
    """A byte stream. Whatever its methods raise is the end of it."""

    can_half_close: bool

    @abc.abstractmethod
    async def secure(self, context: ssl.SSLContext, *, hostname: str | None = None) -> ByteStream:
        """TLS over this stream, as a client if there is a hostname, else as a server."""

    @abc.abstractmethod
    async def receive(self) -> bytes:
        """Some bytes; none at the end."""

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
        """Whether the peer sends no more, as far as that can be told before all it sent is read."""
        return False

    @abc.abstractmethod
    async def drop(self) -> None:
        """Free the socket at once; does not wait, works where everything is cancelled, and never fails."""


def unwrapped(error: BaseException) -> BaseException:
    """What the OS or TLS said, under what a runtime wraps it in."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, BaseExceptionGroup):
        return unwrapped(error.exceptions[0])
    return error


@final
class Waker:
    """Wakes the one task that waits for it; where nobody waits, the next wait ends at once."""

    __slots__ = ("_event", "_make")

    def __init__(self, make: Callable[[], EventFlag]) -> None:
        self._make = make
        self._event = make()

    def wake(self) -> None:
        """Wake."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for the next `wake`; cancelling it loses none."""
        await self._event.wait()
        self._event = self._make()
