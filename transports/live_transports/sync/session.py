"""The end of a session on threads, in either role: receiving, pinging and closing over a `SyncDriver`."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from live_protocol.close_info import CloseInfo
from live_protocol.connection import ByteConnection
from live_protocol.events import Event
from live_protocol.messages import LiveClientMessage, LiveServerMessage
from live_protocol.states import Phase
from live_transports.shared.event_queue import EndOfEvents
from live_transports.shared.steps import NoPublicConstructor
from live_transports.sync.driver import SyncDriver

M = TypeVar("M", bound=LiveClientMessage | LiveServerMessage)
K = TypeVar("K", bound=ByteConnection)
E = TypeVar("E", bound=Event)


class SyncSession(Generic[M, K], metaclass=NoPublicConstructor):
    """One end of one live session. ``for event in session`` gives everything that happens, to the very end.

    One thread at a time receives. Any number of threads send, and any thread may close. After a clean close the stream
    just ends. After an unclean one it gives `ConnectionFailed` and `ConnectionClosed` and then raises the error.

    Close the session. Its thread does not keep the program alive, so a session that is dropped, or still open when the
    program ends, is cut off without a close frame. A signal handler must not call any method, since the signal may
    arrive inside of a call. Let the handler raise, as the one for Ctrl-C does.
    """

    __slots__ = ("__weakref__", "_driver", "_machine")

    def __init__(self, machine: K, driver: SyncDriver) -> None:
        self._machine = machine
        self._driver = driver

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._machine.state} {self._machine.phase}>"

    def __del__(self) -> None:
        if not self._driver.finished:
            complaint = f"unclosed {self!r}"  # before the end changes the repr
            self._driver.abort_from_finalizer()
            warnings.warn(complaint, ResourceWarning, source=self, stacklevel=2)

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> K:
        """The state machine, for its facts. It is not thread-safe; send commands through the session."""
        return self._machine

    @property
    def phase(self) -> Phase:
        """How far the session has come."""
        return self._machine.phase

    @property
    def close_info(self) -> CloseInfo | None:
        """How the connection ended; None until `ConnectionClosed` is received or `close` returns."""
        return self._driver.event_queue.info

    # --- receiving ----------------------------------------------------------------------------------------------

    def __iter__(self) -> Self:
        """The session's one stream of events. Leave a loop and enter another: nothing is lost in between."""
        return self

    def __next__(self) -> Event:
        """The next event; the class says how the stream ends.

        Raises:
            StopIteration: The stream has ended after a clean close.
            IllegalInState: Another thread is receiving. Nothing has changed.
            LiveProtocolError: The connection failed; the error of `ConnectionFailed`, on every further call too.
        """
        take: Callable[[], Any] = self._driver.event_queue.next_event
        try:
            event: Event = self._driver.take("next_event", take, None)
        except EndOfEvents:
            raise StopIteration from None
        return event

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event.

        Args:
            timeout: Most seconds to wait; 0 does not wait.

        Returns:
            The event, or None after a clean close, on every further call too.

        Raises:
            WaitTimeout: None came in time. Nothing is lost.
            IllegalInState: Another thread is receiving. Nothing has changed.
            LiveProtocolError: The connection failed, on every further call too.
        """
        take: Callable[[], Any] = self._driver.event_queue.next_event
        try:
            event: Event = self._driver.take("next_event", take, timeout)
        except EndOfEvents:
            return None
        return event

    def receive(self, timeout: float | None = None) -> M | None:
        """The next whole message, for programs that do not need single events.

        This reads the same stream as iteration and skips events that are no message, such as pings. If iteration has
        begun a message, this returns the whole message.

        Args:
            timeout: Most seconds to wait; 0 does not wait.

        Returns:
            The message, or None after a clean close, on every further call too.

        Raises:
            WaitTimeout: None came in time. Nothing is lost.
            InvalidJson, SchemaMismatch: The next message cannot be decoded. The session goes on with the one after it.
            IllegalInState: Another thread is receiving. Nothing has changed.
            LiveProtocolError: The connection failed, on every further call too: `ServerClosed`,
                `TransportFailed`, `DeadlineExpired`, `FrameViolation`, `LimitExceeded`.
        """
        take: Callable[[], M | None] = self._driver.event_queue.next_message
        try:
            return self._driver.take("receive", take, timeout)
        except EndOfEvents:
            return None

    def _opened(self, kind: type[E], timeout: float | None = None) -> E:
        """Wait for the event that opens the session. The events before it are the beginning of the stream."""
        return self._driver.take("connect", lambda: self._driver.event_queue.hold_until(kind), timeout)

    # --- sending ------------------------------------------------------------------------------------------------

    def ping(self, payload: bytes = b"", *, timeout: float | None = None) -> None:
        """Send a ping; `PongReceived` answers it.

        Args:
            payload: Up to 125 bytes.
            timeout: Most seconds to wait for room.

        Raises:
            InvalidMessage: The payload is longer. Nothing was sent.
            StaleOperation: The connection is closing or closed. Nothing was sent.
            WaitTimeout: The transport stayed full; the ping is queued.
            LiveProtocolError: The connection ended while the ping waited to leave.
        """
        self._driver.call("ping", lambda: self._ping(payload), timeout)

    @abc.abstractmethod
    def _ping(self, payload: bytes) -> None: ...

    # --- closing ------------------------------------------------------------------------------------------------

    def close(self, code: int = 1000, reason: str = "", *, timeout: float | None = None) -> None:
        """Close in order, and free the socket in any case.

        Call it from any thread, more than once, and while other threads receive and send. A thread that receives gets
        the events that had arrived, then the end. Closing takes ``Timeouts.close`` at most; an interrupt ends the
        transport at once. `close_info` tells whether the peer agreed.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: At most 123 bytes of UTF-8.
            timeout: Most seconds to wait for the peer, if ``Timeouts.close`` is too long.

        Raises:
            InvalidMessage: Code or reason may not be sent. Nothing has changed.
            WaitTimeout: The peer took longer. The connection was cut off.
        """
        self._driver.close(code, reason, timeout)

    def abort(self) -> None:
        """End the connection at once, from any thread. A close frame is sent if the transport takes it right now.

        A thread that receives gets the events that had arrived, then the end.
        """
        self._driver.abort()

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """`close`; if the block is left by an interrupt, which should not wait, `abort`."""
        if error is not None and not isinstance(error, Exception):
            self._driver.abort()
        else:
            self._driver.close(1000, "")
