"""Machines around a server's machine: what they can rely on, and what all of them pass through."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from live_protocol.close_info import CloseInfo
from live_protocol.connection.base import forward
from live_protocol.connection.protocols import ByteServerConnection, ServerConnection
from live_protocol.events import Event
from live_protocol.messages import FunctionCall
from live_protocol.states import ConnectionState, Phase, TurnState
from live_protocol.websocket.link_core import Wants

WRITE_ONLY: Final = Wants(read=False, write=True, half_close=False, close=False)
"""What a connection wants that is over but for what it has still to write."""


A = TypeVar("A", bound=ServerConnection)
M = TypeVar("M", bound=ByteServerConnection)


class ConnectionWrapper(Generic[A]):
    """A machine around another, to which it leaves everything that it does not do itself.

    Attributes:
        machine: The one inside, for its facts; it is driven by this one alone.
    """

    def __init__(self, machine: A) -> None:
        self.machine: A = machine

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.machine!r}>"

    def tick(self, now: float) -> None:
        """See `LiveConnection.tick`: for a wrapper with deadlines of its own, a moment before the next of them."""
        due = self.next_deadline()
        self.advance(now if due is None or now < due else math.nextafter(due, -math.inf))

    def advance(self, now: float) -> None:
        """See `LiveConnection.advance`."""
        self.machine.advance(now)

    def next_event(self) -> Event | None:
        """See `LiveConnection.next_event`."""
        return self.machine.next_event()

    def events(self) -> Iterator[Event]:
        """See `LiveConnection.events`."""
        while (event := self.next_event()) is not None:
            yield event

    def next_deadline(self) -> float | None:
        """See `LiveConnection.next_deadline`."""
        return self.machine.next_deadline()

    def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """See `LiveConnection.accept`."""
        self.machine.accept(headers)

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None:
        """See `LiveConnection.reject`."""
        self.machine.reject(status, headers, body)

    def send(self, message: Any) -> None:
        """See `LiveConnection.send`."""
        self.machine.send(message)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """See `LiveConnection.close`."""
        self.machine.close(code, reason)

    state: ConnectionState = forward("machine.state", "See `LiveConnection.state`.")
    phase: Phase = forward("machine.phase", "See `LiveConnection.phase`.")
    turn: TurnState = forward("machine.turn", "See `LiveConnection.turn`.")
    pending_tool_calls: tuple[FunctionCall, ...] = forward(
        "machine.pending_tool_calls", "See `LiveConnection.pending_tool_calls`."
    )
    close_info: CloseInfo | None = forward("machine.close_info", "See `LiveConnection.close_info`.")
    buffered_in: int = forward("machine.buffered_in", "See `LiveConnection.buffered_in`.")


class ByteConnectionWrapper(ConnectionWrapper[M]):
    """The same over bytes. It may have last words, which leave although the machine inside is over."""

    def __init__(self, machine: M) -> None:
        super().__init__(machine)
        self._final_bytes = b""  # and not yet taken

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """See `LiveConnection.receive_data`."""
        self.machine.receive_data(data)

    def receive_eof(self) -> None:
        """See `LiveConnection.receive_eof`."""
        self.machine.receive_eof()

    def transport_failed(self, error: BaseException | str) -> None:
        """See `LiveConnection.transport_failed`."""
        self._final_bytes = b""
        self.machine.transport_failed(error)

    def data_to_send(self) -> bytes:
        """See `LiveConnection.data_to_send`."""
        words, self._final_bytes = self._final_bytes, b""
        return words + self.machine.data_to_send()

    @property
    def wants(self) -> Wants:
        """See `LiveConnection.wants`."""
        return WRITE_ONLY if self._final_bytes else self.machine.wants

    def ping(self, payload: bytes = b"") -> None:
        """See `LiveConnection.ping`."""
        self.machine.ping(payload)

    @property
    def buffered_out(self) -> int:
        """See `LiveConnection.buffered_out`."""
        return len(self._final_bytes) + self.machine.buffered_out

    latency: float | None = forward("machine.latency", "See `LiveConnection.latency`.")

    def _break_transport(self, why: str) -> None:
        """Let the transport break; what was sent before still leaves."""
        self._final_bytes = self.machine.data_to_send()
        self.machine.transport_failed(why)


class AutomaticConnection(ConnectionWrapper[A], abc.ABC):
    """A machine that answers by itself: it reacts to each event that it gives.

    It answers the upgrade when it gives `UpgradeRequested`, so a `reject` from outside is always too late.
    """

    def __init__(self, machine: A) -> None:
        super().__init__(machine)
        self._upgraded = False  # it has accepted the upgrade

    @abc.abstractmethod
    def _react(self, event: Event) -> None: ...

    def next_event(self) -> Event | None:
        """The next event, which was reacted to, or None."""
        event = super().next_event()
        if event is not None:
            self._react(event)
        return event

    def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Accept the upgrade: this connection has done so by itself, then nothing happens.

        Args:
            headers: Not used: the response is on its way.

        Raises:
            IllegalInState: Nothing was requested.
            StaleOperation: This connection has refused the upgrade. In both cases nothing has changed.
        """
        if not self._upgraded:
            super().accept(headers)

    def _accept(self) -> None:
        """Accept the upgrade by itself."""
        self._upgraded = True
        self.machine.accept()
