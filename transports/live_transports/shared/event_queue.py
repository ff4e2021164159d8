"""The stream of events of one session, for adapters of every colour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, cast, final

from live_protocol.close_info import CloseInfo, Initiator
from live_protocol.connection import Connection
from live_protocol.connection.base import JoinedHalves
from live_protocol.errors import AlreadyClosed, LiveProtocolError, OutOfOrder, ServerClosed, TransportFailed
from live_protocol.events import ConnectionClosed, ConnectionFailed, Event, Reconnecting, SetupComplete, Undecodable
from live_protocol.messages import LiveClientMessage, LiveServerMessage

_MAX_EARLY: Final = 256
"""Events before the one that opens the session. A peer that sends more does not open one."""

M_co = TypeVar("M_co", bound=LiveClientMessage | LiveServerMessage, covariant=True)
E = TypeVar("E", bound=Event)


class EndOfEvents(Exception):
    """The session has ended cleanly, and the consumer has had every event."""


@final
class EventQueue(Generic[M_co]):
    """The stream of one session: events held back, then the machine's, then the end.

    Args:
        machine: The source of events.
        changed: Called after a pull that changed what the machine wants: write, read on, close.

    Attributes:
        info: How the connection ended, once `ConnectionClosed` was pulled.
        cause: The error of the transport; becomes the cause of the `TransportFailed` that the machine reports.
    """

    def __init__(self, machine: Connection, changed: Callable[[], None]) -> None:
        self.info: CloseInfo | None = None
        self.cause: BaseException | None = None
        self._machine: Any = machine
        self._tells = isinstance(machine, JoinedHalves)  # whether it has events; a wrapper may have some of its own
        self._changed = changed
        self._held: list[Event] = []  # the next one is at the end: a deque would take 700 bytes more
        self._ended = False  # the consumer has had ConnectionClosed
        self._closing = False
        self._made_room = False

    # --- for the consumer ---------------------------------------------------------------------------------------

    def idle(self) -> bool:
        """Whether `next_event` would find nothing, which saves the look."""
        return self._tells and not (self._machine.pending or self._held or self._ended)

    def next_event(self) -> Event | None:
        """The next event, or None if there is none yet.

        Raises:
            EndOfEvents: The connection ended cleanly and the consumer has had `ConnectionClosed`.
            LiveProtocolError: The same after an unclean end.
        """
        if self._held or self._ended:
            return self._next_held()
        machine = self._machine
        before = machine.wants
        event: Event | None = machine.next_event()
        if machine.wants is not before:
            self._changed()
        if type(event) is ConnectionClosed:
            self.ended(event)
        return event

    def _next_held(self) -> Event:
        if not self._held:
            raise self.error() or EndOfEvents
        event = self._held.pop()
        if type(event) is ConnectionClosed:
            self._ended = True
        return event

    def next_message(self) -> M_co | None:
        """The next whole message, or None if there is none yet. The acceptance of the setup is skipped.

        Raises:
            EndOfEvents: The connection ended cleanly.
            RemoteProtocolError: The next message could not be decoded; the session goes on with the one behind it.
            LiveProtocolError: The connection ended uncleanly.
        """
        while True:
            event = self.next_event()
            if event is None:
                return None
            if type(event) is Undecodable:
                raise event.error.with_traceback(None)
            # Only an event made from a message has `last`; the last event of a bundle stands for the whole message.
            if getattr(event, "last", False) and type(event) is not SetupComplete:
                return cast("M_co", cast("Any", event).message)

    def ended(self, event: ConnectionClosed) -> None:
        """The consumer is given the last event by another way than `next_event`."""
        self._closed(event)
        self._ended = True

    # --- for the adapter ----------------------------------------------------------------------------------------

    def hold_until(self, kind: type[E]) -> E | None:
        """Pull events up to the first of a kind, and hold all of them for the consumer; None if it has not come yet.

        Raises:
            LiveProtocolError: The connection ended before, or the peer sends everything but this event.
        """
        while (event := self._pull()) is not None:
            self._held.insert(0, event)
            if isinstance(event, kind):
                return event
            if sum(type(held) is not Reconnecting for held in self._held) > _MAX_EARLY:
                raise OutOfOrder(f"the peer sent {_MAX_EARLY} messages but none that begins the session")
        if self.info is not None:  # a concurrent close may have pulled it
            raise self.error() or _never_begun(self.info)
        return None

    def error(self) -> LiveProtocolError | None:
        """The error that ended the connection, if any, without the traceback of an earlier raise."""
        error = self.info.error if self.info else None
        return error.with_traceback(None) if error else None

    def unread(self, event: Event) -> None:
        """Put an event back; it is the next one."""
        self._held.append(event)

    def drain(self) -> None:
        """Hold all that the machine has for the consumer. The transport is gone, and `info` is needed now."""
        events: list[Event] = []
        while (event := self._pull()) is not None:
            events.append(event)
        self._held[:0] = reversed(events)

    def begin_close(self) -> None:
        """The application closes: from now on `make_room` has an effect."""
        self._closing = True

    def make_room(self) -> None:
        """While closing: let the machine read on, or it would never see the peer's close frame.

        The consumer keeps what had arrived when room was first made, a budget of bytes at most. What a peer that does
        not stop sends after that is dropped.
        """
        if not self._closing:
            return
        events: list[Event] = []
        while (event := self._pull()) is not None:
            if not self._made_room or type(event) in (ConnectionFailed, ConnectionClosed):
                events.append(event)
        self._held[:0] = reversed(events)
        self._made_room = True

    # --- inside -------------------------------------------------------------------------------------------------

    def _pull(self) -> Event | None:
        machine = self._machine
        before = machine.wants
        event: Event | None = machine.next_event()
        if machine.wants is not before:
            self._changed()
        if type(event) is ConnectionClosed:
            self._closed(event)
        return event

    def _closed(self, event: ConnectionClosed) -> None:
        self.info = event.info
        self._changed = _nothing  # the driver's method is a cycle, which would leave the session to the collector
        error = event.info.error
        if self.cause is not None and isinstance(error, TransportFailed) and error.__cause__ is None:
            error.__cause__ = self.cause


def _nothing() -> None:
    """After the end the machine wants nothing else any more."""


def _never_begun(info: CloseInfo) -> LiveProtocolError:
    if info.initiator is Initiator.LOCAL:
        return AlreadyClosed("the opening of the session")
    return ServerClosed(info.code, info.reason, "the session had not begun")


def send_error(event_queue: EventQueue[Any]) -> LiveProtocolError:
    """The error for a sender that waited for room when the connection ended, cleanly or not."""
    event_queue.drain()
    return event_queue.error() or TransportFailed("the connection ended while the message waited to leave")
