"""What every adapter shares, whatever its colour: no I/O, no clock, no event loop in here.

The order of steps, which each adapter keeps:

1. Bytes arrived: `deliver_data()`. A command or a pull of events: ``tick()`` first. Only the timer calls ``advance()``,
   and only if it is on time (`MAX_TIMER_DELAY`): a program that was held up reads what has waited before it gives up on
   the peer.
2. After every input, command and pull: write what ``data_to_send()`` gives, unless the transport holds more than
   `HIGH_WATER` already; the timer writes even then, or a ping to a dead peer would never leave and never be missed.
3. Then look at ``wants``: read while ``read`` or ``half_close``; close only the sending side on ``half_close`` where
   that can be done; close the transport on ``close``, and drop it where ``next_deadline()`` has become None meanwhile.
4. Then wake whoever waits for events, and arm the one timer at ``next_deadline()``.
"""

from __future__ import annotations

from abc import ABCMeta
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast, final

from live_protocol.close_info import CloseInfo, Initiator
from live_protocol.connection import ByteConnection, ByteServerConnection, Connection, ServerConnection
from live_protocol.endpoint import match_target
from live_protocol.errors import (
    AlreadyClosed,
    LiveProtocolError,
    OutOfOrder,
    ServerClosed,
    StaleOperation,
    TransportFailed,
)
from live_protocol.events import (
    ConnectionClosed,
    ConnectionFailed,
    Event,
    Reconnecting,
    SetupComplete,
    Undecodable,
    UpgradeRequested,
)
from live_protocol.messages import LiveClientMessage, LiveServerMessage
from live_transports.shared.dialing import AddressInfo, DialPlan, dial_expired, ip_address, step_failed

__all__ = [
    "ATTEMPT_DELAY",
    "BURST",
    "DIAL_TIMEOUT",
    "GEMINI_PATH",
    "HIGH_WATER",
    "LOW_WATER",
    "MAX_TIMER_DELAY",
    "AddressInfo",
    "ByteConnection",
    "ByteServerConnection",
    "Connection",
    "DialPlan",
    "EndOfEvents",
    "EventQueue",
    "NoPublicConstructor",
    "Response",
    "ServerConnection",
    "answer_request",
    "deliver_data",
    "dial_expired",
    "ip_address",
    "is_own_end",
    "send_error",
    "step_failed",
    "ws_url",
]

HIGH_WATER: Final = 64 * 1024
"""Bytes waiting in the transport above which senders wait."""
LOW_WATER: Final = 16 * 1024
"""Bytes waiting in the transport below which they go on."""
DIAL_TIMEOUT: Final = 10.0
"""Seconds for name, TCP and TLS together."""
ATTEMPT_DELAY: Final = 0.25
"""Seconds after which the next address is tried beside the ones before (RFC 8305 section 5)."""
MAX_TIMER_DELAY: Final = 0.05
"""Seconds of delay from which a timer is no evidence: the program was held up and the answer may wait to be read."""
BURST: Final = 64
"""Sends in a row after which a sender lets others run, even though there was room all the time."""

_MAX_EARLY: Final = 256
"""Events before the one that opens the session; a peer that sends more of them is not opening one."""

GEMINI_PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"

T = TypeVar("T")
M_co = TypeVar("M_co", bound=LiveClientMessage | LiveServerMessage, covariant=True)
E = TypeVar("E", bound=Event)


# --- the machine ------------------------------------------------------------------------------------------------


def deliver_data(machine: ByteConnection, now: float, data: bytes) -> None:
    """Tell the time and hand over bytes; a deadline that they may settle fires only after them."""
    machine.tick(now)
    machine.receive_data(data)


# --- events -----------------------------------------------------------------------------------------------------


class EndOfEvents(Exception):
    """The session has ended cleanly, and every event was given."""


@final
class EventQueue(Generic[M_co]):
    """The stream of one session: what was held back, then what the machine has, then the end.

    Args:
        machine: Where events come from.
        changed: Called after a pull that changed what the machine wants: write, read on, close.

    Attributes:
        info: How the connection ended, once `ConnectionClosed` was pulled.
        cause: The error of the transport; becomes the cause of the `TransportFailed` that the machine reports.
    """

    def __init__(self, machine: Connection, changed: Callable[[], None]) -> None:
        self.info: CloseInfo | None = None
        self.cause: BaseException | None = None
        self._machine = machine
        self._changed = changed
        self._held: deque[Event] = deque()
        self._ended = False  # the consumer has had ConnectionClosed
        self._closing = False
        self._kept = False

    # --- for the consumer ---------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """The next event, or None if there is none yet.

        Raises:
            EndOfEvents: The connection ended cleanly and `ConnectionClosed` was given before.
            LiveProtocolError: The same after an unclean end.
        """
        if self._held:
            event: Event | None = self._held.popleft()
        elif self._ended:
            raise self.error() or EndOfEvents
        else:
            event = self._pull()
        if type(event) is ConnectionClosed:
            self._ended = True
        return event

    def next_message(self) -> M_co | None:
        """The next whole message, or None if there is none yet. The acceptance of the setup is not one.

        Raises:
            EndOfEvents: The connection ended cleanly.
            RemoteProtocolError: The next message could not be decoded; the session goes on behind it.
            LiveProtocolError: The connection ended uncleanly.
        """
        while True:
            event = self.next_event()
            if event is None:
                return None
            if type(event) is Undecodable:
                raise event.error.with_traceback(None)
            # Only what came out of a message has a `last`; the end of a bundle stands for the whole of it.
            if getattr(event, "last", False) and type(event) is not SetupComplete:
                return cast("M_co", cast("Any", event).message)

    # --- for the adapter ----------------------------------------------------------------------------------------

    def hold_until(self, kind: type[E]) -> E | None:
        """Pull events, for the consumer to have first, until there is one of a kind; None while there is not.

        Raises:
            LiveProtocolError: The connection ended before, or tells everything but that.
        """
        while (event := self._pull()) is not None:
            self._held.append(event)
            if isinstance(event, kind):
                return event
            if sum(type(held) is not Reconnecting for held in self._held) > _MAX_EARLY:
                raise OutOfOrder(f"the peer sent {_MAX_EARLY} messages and none that begins the session")
        if self.info is not None:  # whoever closes may have pulled it
            raise self.error() or _never_begun(self.info)
        return None

    def error(self) -> LiveProtocolError | None:
        """What went wrong, where the connection has ended and something did; as if never raised before."""
        error = self.info.error if self.info else None
        return error.with_traceback(None) if error else None

    def unread(self, event: Event) -> None:
        """Give an event back that was taken too early; it is the next one."""
        self._held.appendleft(event)

    def drain(self) -> None:
        """Pull all there is, for the consumer to have later: the transport is gone, and `info` is asked for."""
        while (event := self._pull()) is not None:
            self._held.append(event)

    def begin_close(self) -> None:
        """The application closes: from now on `make_room` may be used."""
        self._closing = True

    def make_room(self) -> None:
        """While closing: let the machine read on, or the peer's close frame would never be seen.

        What had arrived when the room was first made is kept for the consumer, a budget of bytes at most; what a peer
        that does not stop sends after that is dropped.
        """
        if not self._closing:
            return
        while (event := self._pull()) is not None:
            if not self._kept or type(event) in (ConnectionFailed, ConnectionClosed):
                self._held.append(event)
        self._kept = True

    # --- inside -------------------------------------------------------------------------------------------------

    def _pull(self) -> Event | None:
        machine = self._machine
        before = machine.wants
        event = machine.next_event()
        if machine.wants is not before:
            self._changed()
        if type(event) is ConnectionClosed:
            self.info = event.info
            error = event.info.error
            if self.cause is not None and isinstance(error, TransportFailed) and error.__cause__ is None:
                error.__cause__ = self.cause
        return event


def _never_begun(info: CloseInfo) -> LiveProtocolError:
    if info.initiator is Initiator.LOCAL:
        return AlreadyClosed("the opening of the session")
    return ServerClosed(info.code, info.reason, "the session had not begun")


def send_error(event_queue: EventQueue[Any]) -> LiveProtocolError:
    """For a sender that waited for room when the connection ended: the connection's error, or that there was none."""
    event_queue.drain()
    return event_queue.error() or TransportFailed("the connection ended while the message waited to leave")


# --- serving ----------------------------------------------------------------------------------------------------

Response: TypeAlias = tuple[int, Sequence[tuple[str, str]], bytes]
"""A refusal of the upgrade: status, header fields, body."""


def answer_request(request: UpgradeRequested) -> Response | None:
    """The default answer to an upgrade: accept every method that `match_target` knows, 404 for the rest."""
    if match_target(request.target) is not None:
        return None
    return 404, (("content-type", "text/plain; charset=utf-8"),), b"no such method\n"


def is_own_end(error: BaseException, info: CloseInfo | None) -> bool:
    """Whether a handler ended by nothing but the end of its own connection, which is no fault of the handler."""
    if isinstance(error, BaseExceptionGroup):  # of its task group
        return all(is_own_end(one, info) for one in error.exceptions)
    return isinstance(error, StaleOperation) or (info is not None and error is info.error)


def ws_url(host: str, port: int, *, secure: bool, path: str) -> str:
    """URL of a server that listens there; a wildcard address becomes the loopback one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return f"{'wss' if secure else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}{path}"


# --- classes ----------------------------------------------------------------------------------------------------


class NoPublicConstructor(ABCMeta):
    """Metaclass of handles that only ``connect()`` and ``serve()`` make."""

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        """Refuse."""
        raise TypeError(f"{cls.__qualname__} has no public constructor; use connect() or serve()")

    def _create(cls: type[T], *args: Any, **kwargs: Any) -> T:
        return cast("T", type.__call__(cls, *args, **kwargs))
