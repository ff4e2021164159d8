"""One end of a session on threads, whichever it is: its stream, sending, closing, over a `SyncDriver`."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from live_protocol.close_info import CloseInfo
from live_protocol.events import Event
from live_protocol.messages import LiveClientMessage, LiveServerMessage
from live_protocol.states import Phase
from live_transports.shared.steps import ByteConnection, EndOfEvents, NoPublicConstructor
from live_transports.sync.driver import SyncDriver

__all__ = ["SyncSession"]

M = TypeVar("M", bound=LiveClientMessage | LiveServerMessage)
K = TypeVar("K", bound=ByteConnection)


class SyncSession(Generic[M, K], metaclass=NoPublicConstructor):
    """One end of one live session. ``for event in session`` is everything that happens, to the very end.

    One thread at a time receives; any number of threads send, and any may close. After a clean close the stream just
    ends; after an unclean one it gives `ConnectionFailed` and `ConnectionClosed` and then raises the error.

    Close it: the thread behind it does not keep the program alive, and a session that is dropped, or still open when
    the program ends, is cut off without a close frame. A signal handler must call nothing of it, since it may have
    struck inside of a call; let it raise, as the one of Ctrl-C does.
    """

    __slots__ = ("__weakref__", "_driver", "_machine")

    def __init__(self, machine: K, driver: SyncDriver) -> None:
        self._machine = machine
        self._driver = driver

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._machine.state} {self._machine.phase}>"

    def __del__(self) -> None:
        if not self._driver.finished:
            complaint = f"unclosed {self!r}"  # before the end changes what there is to tell
            self._driver.abort_from_finalizer()
            warnings.warn(complaint, ResourceWarning, source=self, stacklevel=2)

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> K:
        """The state machine, for its facts; it is not thread-safe, and commands go through the session."""
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

    def __iter__(self) -> Self:
        """The session's one stream of events; loops can be left and entered again, nothing is lost in between."""
        return self

    def __next__(self) -> Event:
        """The next event; see the class for how the stream ends.

        Raises:
            StopIteration: The stream has ended in peace.
            IllegalInState: Another thread is receiving. Nothing has changed.
            LiveProtocolError: The stream has ended otherwise: what `ConnectionFailed` said, on every further call.
        """
        event = self.next_event()
        if event is None:
            raise StopIteration
        return event

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event.

        Args:
            timeout: Seconds to wait at most; 0 takes only what is there.

        Returns:
            The event, or None where the stream has ended in peace, on every further call too.

        Raises:
            WaitTimeout: There was none in time; nothing is lost.
            IllegalInState: Another thread is receiving. Nothing has changed.
            LiveProtocolError: The stream has ended otherwise, on every further call too.
        """
        take: Callable[[], Any] = self._driver.event_queue.next_event
        try:
            event: Event = self._driver.take("next_event", take, timeout)
        except EndOfEvents:
            return None
        return event

    def receive(self, timeout: float | None = None) -> M | None:
        """The next whole message, where events are too fine.

        It reads the same stream as iteration and skips what is no message: the setup's acceptance, pings, suspicions.
        Of a message that iteration has begun it gives the whole.

        Args:
            timeout: Seconds to wait at most; 0 takes only what is there.

        Returns:
            The message, or None after a clean close, on every further call too.

        Raises:
            WaitTimeout: There was none in time; nothing is lost.
            InvalidJson, SchemaMismatch: The next message cannot be decoded; the session goes on with the one behind it.
            IllegalInState: Another thread is receiving. Nothing has changed.
            LiveProtocolError: The connection ended otherwise, on every further call too: `ServerClosed`,
                `TransportFailed`, `DeadlineExpired`, `FrameViolation`, `LimitExceeded`.
        """
        take: Callable[[], M | None] = self._driver.event_queue.next_message
        try:
            return self._driver.take("receive", take, timeout)
        except EndOfEvents:
            return None

    def _opened(self, kind: type[Event], timeout: float | None = None) -> Event:
        """Wait for the event that opens the session; whatever comes up to it is the beginning of the stream."""
        find: Callable[[], Any] = lambda: self._driver.event_queue.hold_until(kind)  # noqa: E731
        event: Event = self._driver.take("connect", find, timeout)
        return event

    # --- sending ------------------------------------------------------------------------------------------------

    def ping(self, payload: bytes = b"", *, timeout: float | None = None) -> None:
        """Send a ping; `PongReceived` answers it.

        Args:
            payload: Up to 125 bytes.
            timeout: Seconds to wait for room at most.

        Raises:
            InvalidMessage: The payload is longer. Nothing was sent.
            StaleOperation: The connection is closing or closed. Nothing was sent.
            WaitTimeout: The transport stayed full; the ping is queued.
            LiveProtocolError: The connection ended while the ping waited for room.
        """
        self._driver.call("ping", lambda: self._ping(payload), timeout)

    @abc.abstractmethod
    def _ping(self, payload: bytes) -> None: ...

    # --- closing ------------------------------------------------------------------------------------------------

    def close(self, code: int = 1000, reason: str = "", *, timeout: float | None = None) -> None:
        """Close in order, and free the socket in any case.

        May be called more than once, from any thread, and while other threads receive and send: who receives gets what
        had arrived and then the end. It takes ``Timeouts.close`` at most. Whether the peer agreed is in `close_info`.
        If interrupted, it ends the transport at once.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: At most 123 bytes of UTF-8.
            timeout: Seconds to wait for the peer at most, where ``Timeouts.close`` is too long.

        Raises:
            InvalidMessage: Code or reason may not be sent; nothing has changed.
            WaitTimeout: The peer took longer; the connection was cut off.
        """
        self._driver.close(code, reason, timeout)

    def abort(self) -> None:
        """End the connection at once, from any thread. A close frame goes out if the transport takes it right now.

        A thread that receives gets what had arrived and then the end.
        """
        self._driver.abort()

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """`close`; where the block is left by an interrupt, which should not have to wait, `abort`."""
        if error is not None and not isinstance(error, Exception):
            self._driver.abort()
        else:
            self._driver.close(1000, "")
