"""What both links have: state, queue, bounds and outcome of one WebSocket."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias, final

import attrs

from live_protocol.close_info import CloseInfo
from live_protocol.errors import AlreadyClosed, ConnectionClosing, IllegalInState, LiveProtocolError
from live_protocol.events import ConnectionClosed, ConnectionEvent, ConnectionFailed
from live_protocol.limits import Limits
from live_protocol.states import CONNECTION_TRANSITIONS, ConnectionInput, ConnectionState
from live_protocol.timing import Deadline, Deadlines, Timeouts

_ITEM_COST: Final = 64  # bytes that an object in the queue costs, however small its message is
_MIN_ITEMS: Final = 1024


@final
@attrs.frozen
class Wants:
    """What the owner of the transport should do next.

    Attributes:
        read: Reading makes sense: there is room, and what comes would still be looked at.
        write: `WebSocketLink.data_to_send` has something.
        half_close: Our last byte was handed out while the peer may still be sending: closing only the sending
            direction first lets it read them, while a plain close could discard them by a reset.
        close: The transport should be closed now; nothing is left to write.
    """

    read: bool
    write: bool
    half_close: bool
    close: bool


WANTS: Final = tuple(
    Wants(read=bool(bits & 1), write=bool(bits & 2), half_close=bool(bits & 4), close=bool(bits & 8))
    for bits in range(16)
)
"""Every combination, by its bits."""


@final
@attrs.frozen(kw_only=True)
class Observation:
    """One thing that passed a connection.

    Attributes:
        at: Reading of the clock, in seconds; None before there was one.
        from_client: Whether it comes from the client's end.
        what: A whole message, `str` for text and `bytes` for binary, or an event of the connection.
    """

    at: float | None
    from_client: bool
    what: bytes | str | ConnectionEvent


Observer: TypeAlias = Callable[[Observation], object]
"""Called with everything that passes a connection, in order. It must not raise.

An object with a method ``observe_message(at, from_client, data, text)`` is called there for messages, which spares an
`Observation` for each: ``data`` is the whole message as bytes, ``text`` whether it is a text message.
"""


@final
class Text:
    """A text message as its UTF-8, known to be valid.

    As `str`, one character from beyond the first plane makes all the others cost four bytes too; what waits is held in
    the size that was counted.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data: bytes = data


@final
class LinkCore:
    """The part of a link that does not depend on who frames its messages.

    Attributes:
        client: The role.
        limits: The bounds.
        timeouts: The durations.
        deadlines: The deadlines of the connection.
        state: Moves only along `CONNECTION_TRANSITIONS`.
        wants: What the owner of the transport should do next; the link keeps it up to date.
        queue: Messages and events, oldest first.
        queued: Bytes of the messages among them.
        max_bytes: Bound on those bytes.
        max_items: Bound on the number of messages and events.
        paused: The queue is full, and nothing is to be read.
        info: The outcome, once it is known.
        observer: Told of everything that passes.
        observe_message: Told of messages instead of ``observer``, if that has such a method.
    """

    __slots__ = (
        "client",
        "deadlines",
        "info",
        "limits",
        "max_bytes",
        "max_items",
        "observe_message",
        "observer",
        "paused",
        "queue",
        "queued",
        "state",
        "timeouts",
        "wants",
    )

    def __init__(
        self,
        *,
        client: bool,
        limits: Limits,
        timeouts: Timeouts,
        observer: Observer | None,
        deadlines: Deadlines | None,
    ) -> None:
        self.client: bool = client
        self.limits: Limits = limits
        self.timeouts: Timeouts = timeouts
        self.state: ConnectionState = ConnectionState.CONNECTING
        self.wants: Wants = WANTS[0]
        self.queue: deque[bytes | str | Text | ConnectionEvent] = deque()
        self.queued: int = 0
        self.paused: bool = False
        self.info: CloseInfo | None = None
        self.deadlines: Deadlines = deadlines or Deadlines()
        self.deadlines.messages = self.queue
        self.deadlines.arm(Deadline.OPEN, timeouts.open)
        self.observer: Observer | None = observer
        self.observe_message: Callable[[float | None, bool, bytes, bool], object] | None = None
        if observer is not None:
            self.observe_message = getattr(observer, "observe_message", None)
        self.max_bytes: int = limits.max_buffered_in
        self.max_items: int = max(_MIN_ITEMS, limits.max_buffered_in // _ITEM_COST)

    @property
    def full(self) -> bool:
        """Whether the queue is over its bounds."""
        return self.queued > self.max_bytes or len(self.queue) > self.max_items

    def take(self) -> bytes | str | ConnectionEvent | None:
        """The next message or event, or None."""
        queue = self.queue
        if not queue:
            return None
        item = queue.popleft()
        observe = self.observe_message
        if isinstance(item, bytes):
            self.queued -= len(item)
            if observe is not None:
                observe(self.deadlines.now, not self.client, item, False)
                return item
        elif isinstance(item, Text):
            data = item.data
            self.queued -= len(data)
            item = data.decode()
            if observe is not None:
                observe(self.deadlines.now, not self.client, data, True)
                return item
        elif isinstance(item, str):
            self.queued -= text_size(item)
        if self.observer is not None:
            self.observer(Observation(at=self.deadlines.now, from_client=not self.client, what=item))
        return item

    def sent(self, data: bytes, *, text: bool) -> None:
        """Tell the observer of a message that was sent."""
        if self.observe_message is not None:
            self.observe_message(self.deadlines.now, self.client, data, text)
        elif self.observer is not None:
            what = data.decode(errors="replace") if text else data
            self.observer(Observation(at=self.deadlines.now, from_client=self.client, what=what))

    def move(self, what: ConnectionInput, *, writing: bool = False) -> None:
        """Take the one step that the table has.

        Args:
            what: The input.
            writing: Whether bytes of ours wait to be written; the close deadline bounds that too.
        """
        before = self.state
        self.state = CONNECTION_TRANSITIONS[before, what]
        if self.state is ConnectionState.CLOSING and before is not ConnectionState.CLOSING:
            self.deadlines.clear()
            self.deadlines.arm(Deadline.CLOSE, self.timeouts.close)
        elif self.state is ConnectionState.CLOSED and not writing:
            self.deadlines.clear()

    def finish(self, info: CloseInfo) -> None:
        """Report the outcome, once."""
        self.paused = False
        self.info = info
        if info.error is not None:
            self.queue.append(ConnectionFailed(error=info.error))
        self.queue.append(ConnectionClosed(info=info))

    def amend(self, error: LiveProtocolError) -> None:
        """Report an outcome as a failure after all, unless a part of it was taken."""
        info = self.info
        if info is not None and len(self.queue) > (info.error is not None):
            self.drop()
            self.finish(attrs.evolve(info, error=error, clean=False))

    def drop(self) -> None:
        """Forget what was not taken."""
        self.queue.clear()
        self.queued = 0
        self.paused = False

    def too_late(self, operation: str) -> ConnectionClosing | AlreadyClosed:
        """What a command raises once closing has begun."""
        closing = self.state is ConnectionState.CLOSING
        return ConnectionClosing(operation) if closing else AlreadyClosed(operation)

    def check_answer(self, operation: str, *, asked: bool) -> None:
        """Check that an upgrade can be answered.

        Args:
            operation: The command.
            asked: Whether a request awaits its answer.

        Raises:
            IllegalInState: Client role, no request awaits an answer, or it has been accepted.
            ConnectionClosing: Closing has begun.
            AlreadyClosed: The connection has ended.
        """
        if self.client:
            raise IllegalInState(operation, "in the client role", "only a server answers the upgrade")
        if self.state in (ConnectionState.CLOSING, ConnectionState.CLOSED):
            raise self.too_late(operation)
        if self.state is ConnectionState.OPEN:
            raise IllegalInState(operation, self.state, "the upgrade has been accepted")
        if not asked:
            raise IllegalInState(operation, self.state, "wait for UpgradeRequested")


def text_size(text: str) -> int:
    """Bytes of a text as UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
