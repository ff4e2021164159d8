"""What both ends of a session have in common, over any async runtime. A runtime supplies an `AsyncDriver`."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar, cast, final

from live_protocol.close_info import CloseInfo
from live_protocol.connection import Connection
from live_protocol.errors import IllegalInState
from live_protocol.events import Event
from live_protocol.messages import LiveClientMessage, LiveServerMessage
from live_protocol.states import Phase
from live_transports.shared.event_queue import EndOfEvents, EventQueue
from live_transports.shared.steps import NoPublicConstructor

T = TypeVar("T")
M = TypeVar("M", bound=LiveClientMessage | LiveServerMessage)
K = TypeVar("K", bound=Connection)
S = TypeVar("S")
E = TypeVar("E", bound=Event)


class AsyncDriver(abc.ABC):
    """One connection under one runtime: the machine, its transport and its timer."""

    has_checkpoints: ClassVar[bool] = False
    """Whether every operation of the runtime is a checkpoint."""

    event_queue: EventQueue[Any]
    machine: Any

    @abc.abstractmethod
    def tick(self) -> None:
        """Tell the machine the time, before a command or a pull."""

    @abc.abstractmethod
    def flush(self) -> None:
        """The machine has changed: write, read on, close, arm the timer; or see to it that this happens."""

    def must_wait(self) -> bool:
        """Whether a sender has to call `wait_writable`, after `flush`."""
        return True

    @abc.abstractmethod
    def wait_writable(self) -> Awaitable[None]:
        """Wait until the transport takes more, first come first served.

        Raises:
            LiveProtocolError: The connection ended meanwhile.
        """

    @abc.abstractmethod
    def wait_for_events(self) -> Awaitable[object]:
        """Wait until there may be events. One task at a time calls it; cancelling it loses nothing."""

    def wait_for_event(self) -> Awaitable[Event | None]:
        """The same for a task that takes an event from the driver's hand; None if it has to look for one."""
        return cast("Awaitable[None]", self.wait_for_events())

    def send_pcm(self, audio: bytes, rate: int) -> bool:
        """Send raw audio; gives `must_wait`.

        Raises:
            LiveProtocolError: As for the command of the machine.
        """
        self.tick()
        self.machine.send_realtime_input(audio=audio, rate=rate)
        self.flush()
        return self.must_wait()

    def checkpoint(self) -> Awaitable[None]:
        """A checkpoint where there is nothing to wait for; called only if `has_checkpoints`."""
        raise NotImplementedError

    @abc.abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Close in order and wait for the transport's end; on cancellation `abort`."""

    @abc.abstractmethod
    def abort(self) -> None:
        """End the transport at once."""


class AsyncSession(Generic[M, K], metaclass=NoPublicConstructor):
    """One end of one live session. ``async for event in session`` is everything that happens, to the very end.

    One task at a time receives; any number of tasks send. After a clean close the stream just ends; after an unclean
    one it gives `ConnectionFailed` and `ConnectionClosed` and then raises the error.
    """

    __slots__ = ("_driver", "_machine", "_receiving")

    def __init__(self, machine: K, driver: AsyncDriver) -> None:
        self._machine = machine
        self._driver = driver
        self._receiving = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._machine.state} {self._machine.phase}>"

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> K:
        """The state machine, for its facts; commands go through the session, which sends what they leave behind."""
        return self._machine

    @property
    def phase(self) -> Phase:
        """How far the session has come."""
        return self._machine.phase

    @property
    def close_info(self) -> CloseInfo | None:
        """How the connection ended; None before `ConnectionClosed` was received or `close` has returned."""
        return self._driver.event_queue.info

    # --- receiving ----------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        """The session's one stream of events; loops can be left and entered again, nothing is lost in between."""
        return self

    async def __anext__(self) -> Event:
        """The next event; see the class for how the stream ends. Cancelling it loses nothing.

        Raises:
            StopAsyncIteration: The stream has ended in peace.
            IllegalInState: Another task is receiving. Nothing has changed.
            LiveProtocolError: The stream has ended otherwise: what `ConnectionFailed` said, on every further call.
        """
        if self._receiving:
            raise self._busy()
        driver = self._driver
        event_queue = driver.event_queue
        self._receiving = True
        try:  # as `_take`, but this runs for every chunk of audio
            event: Event | None = None
            if event_queue.idle():  # the wait is the checkpoint
                event = await driver.wait_for_event()
            else:
                if driver.has_checkpoints:
                    await driver.checkpoint()
                driver.tick()
            while event is None and (event := event_queue.next_event()) is None:
                event = await driver.wait_for_event()
            return event
        except EndOfEvents:
            raise StopAsyncIteration from None
        finally:
            self._receiving = False

    async def receive(self) -> M | None:
        """The next whole message, where events are too fine; cancelling it loses nothing.

        It reads the same stream as iteration and skips what is no message: the setup's acceptance, pings, suspicions.
        Of a message that iteration has begun it gives the whole.

        Returns:
            The message, or None after a clean close, on every further call too.

        Raises:
            InvalidJson, SchemaMismatch: The next message cannot be decoded; the session goes on with the one behind it.
            IllegalInState: Another task is receiving. Nothing has changed.
            LiveProtocolError: The connection ended otherwise, on every further call too: `ServerClosed`,
                `TransportFailed`, `DeadlineExpired`, `FrameViolation`, `LimitExceeded`.
        """
        take: Callable[[], M | None] = self._driver.event_queue.next_message
        try:
            return await self._take(take)
        except EndOfEvents:
            return None

    @staticmethod
    def _busy() -> IllegalInState:
        return IllegalInState("receive", "another task is receiving", "let one task receive and pass the events on")

    async def _take(self, take: Callable[[], T | None]) -> T:
        if self._receiving:
            raise self._busy()
        self._receiving = True
        try:
            if self._driver.has_checkpoints:
                await self._driver.checkpoint()
            self._driver.tick()
            while (item := take()) is None:
                await self._driver.wait_for_events()
            return item
        finally:
            self._receiving = False

    async def _opened(self, kind: type[E]) -> E:
        """Wait for the event that opens the session; the events up to it begin the stream."""
        return await self._take(lambda: self._driver.event_queue.hold_until(kind))

    # --- sending ------------------------------------------------------------------------------------------------

    async def _sent(self) -> None:
        driver = self._driver
        driver.flush()
        if driver.must_wait():
            await driver.wait_writable()

    async def ping(self, payload: bytes = b"") -> None:
        """Send a ping; `PongReceived` answers it.

        Args:
            payload: Up to 125 bytes.

        Raises:
            InvalidMessage: The payload is longer. Nothing was sent.
            StaleOperation: The connection is closing or closed. Nothing was sent.
            LiveProtocolError: The connection ended while the ping waited for room.
        """
        self._driver.tick()
        self._ping(payload)
        await self._sent()

    @abc.abstractmethod
    def _ping(self, payload: bytes) -> None: ...

    # --- closing ------------------------------------------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order, and free the socket in any case.

        May be called more than once, from any task, and while another task is receiving: that one gets what had arrived
        and then the end. It takes ``Timeouts.close`` at most. Whether the peer agreed is in `close_info`. If cancelled,
        it ends the transport at once.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: At most 123 bytes of UTF-8.

        Raises:
            InvalidMessage: Code or reason may not be sent; nothing has changed.
        """
        await self._driver.close(code, reason)

    async def aclose(self) -> None:
        """`close`, under the name that `contextlib.aclosing` looks for."""
        await self._driver.close(1000, "")

    def abort(self) -> None:
        """End the connection at once. A close frame goes out if the transport takes it right now; nothing is awaited.

        A task that receives gets what had arrived and then the end.
        """
        self._driver.abort()

    async def __aenter__(self) -> Self:
        """The session itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """`close`; where the block is left by cancellation, which should not have to wait, `abort`."""
        if error is not None and not isinstance(error, Exception):
            self._driver.abort()
        else:
            await self._driver.close(1000, "")


@final
class ConnectContext(Generic[S]):
    """Something to be opened: ``async with`` it, or ``await`` it and close what comes out. Each use opens anew."""

    __slots__ = ("_open", "_opened")

    def __init__(self, open: Callable[[], Coroutine[Any, Any, S]]) -> None:  # noqa: A002 - it is what it does
        self._open = open
        self._opened: list[Any] = []

    def __await__(self) -> Generator[Any, None, S]:
        """Open."""
        return self._open().__await__()

    async def __aenter__(self) -> S:
        """Open, to be closed at the end of the block."""
        opened = await self._open()
        self._opened.append(opened)
        return opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close as the session or server does it."""
        await self._opened.pop().__aexit__(kind, error, trace)
