"""One turn of a session at a time, for those who take the floor in turns: `Turn` and, on threads, `SyncTurn`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Self, final

from live_protocol.conversation import TurnCollector, TurnView
from live_protocol.events import ConnectionClosed, Event, SetupComplete, TurnStarted
from live_protocol.states import TurnState
from live_transports.shared.timeouts import Countdown

MAX_AUDIO: Final = 64 * 1024 * 1024
"""Most bytes of audio in one view, if nothing else is said."""


def make_collector(state: TurnState, *, keep_audio: bool, max_audio: int) -> TurnCollector:
    """What gathers the turn of a session in this state: of one that was cut only the end is to come, which is passed.

    Raises:
        ValueError: ``max_audio`` is less than 1.
    """
    return TurnCollector(keep_audio=keep_audio, max_audio=max_audio, interrupted=state is TurnState.INTERRUPTED)


class _TurnReader:
    """The view of one turn, and what ends it."""

    __slots__ = ("_collector", "_ended", "_unread", "view")

    def __init__(self, unread: Callable[[Event], None], collector: TurnCollector) -> None:
        self._collector = collector
        self._unread = unread
        self._ended = False
        self.view: TurnView = collector.current

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.view!r}>"

    def _take(self, event: Event) -> bool:
        """Whether the event belongs to the turn; one that begins the next turn goes back into the stream.

        The end of the connection is left for the session to tell: what comes after it may be an error.
        """
        self._ended = self._collector.feed(event) is not None and not isinstance(event, ConnectionClosed)
        if self._ended and isinstance(event, TurnStarted | SetupComplete):
            self._unread(event)
            return False
        return True


@final
class Turn(_TurnReader):
    """The events of one turn: ``async for event in turn``; then the session's stream goes on behind it.

    A turn takes in everything since the one before it, and ends with the last event of the message that holds
    `TurnComplete`, or with its connection. It can be left and entered again like the session's own stream.

    Attributes:
        view: What is known of the turn so far.
    """

    __slots__ = ("_next",)

    def __init__(
        self,
        take: Callable[[], Awaitable[Event]],
        unread: Callable[[Event], None],
        collector: TurnCollector,
    ) -> None:
        super().__init__(unread, collector)
        self._next = take

    def __aiter__(self) -> Self:
        """The events that are left."""
        return self

    async def __anext__(self) -> Event:
        """The next event. Cancelling it loses nothing.

        Raises:
            StopAsyncIteration: The turn, or the session, has ended.
            LiveProtocolError: As for the session's own iteration.
        """
        if not self._ended:
            event = await self._next()
            if self._take(event):
                return event
        raise StopAsyncIteration

    async def finish(self) -> TurnView:
        """Take the rest of the events, and give what they made.

        Returns:
            The view; its ``complete`` is False where the session ended, or began anew, in the middle.

        Raises:
            LiveProtocolError: As for the session's own iteration.
        """
        async for _ in self:
            pass
        return self.view


@final
class SyncTurn(_TurnReader):
    """The events of one turn: ``for event in turn``; then the session's stream goes on behind it.

    A turn takes in everything since the one before it, and ends with the last event of the message that holds
    `TurnComplete`, or with its connection. It can be left and entered again like the session's own stream.

    Attributes:
        view: What is known of the turn so far.
    """

    __slots__ = ("_next",)

    def __init__(
        self,
        take: Callable[[float | None], Event | None],
        unread: Callable[[Event], None],
        collector: TurnCollector,
    ) -> None:
        super().__init__(unread, collector)
        self._next = take

    def __iter__(self) -> Self:
        """The events that are left."""
        return self

    def __next__(self) -> Event:
        """The next event.

        Raises:
            StopIteration: The turn, or the session, has ended.
            LiveProtocolError: As for the session's own iteration.
        """
        event = self._event(None)
        if event is None:
            raise StopIteration
        return event

    def _event(self, timeout: float | None) -> Event | None:
        event = None if self._ended else self._next(timeout)
        return event if event is not None and self._take(event) else None

    def finish(self, timeout: float | None = None) -> TurnView:
        """Take the rest of the events, and give what they made.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            The view; its ``complete`` is False where the session ended, or began anew, in the middle.

        Raises:
            WaitTimeout: The turn went on; what has come of it is in ``view``, and it can be finished later.
            LiveProtocolError: As for the session's own iteration.
        """
        countdown = Countdown(timeout)
        while self._event(countdown.left) is not None:
            pass
        return self.view
