"""Machines around a server's machine: what they can rely on, and what all of them pass through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

from live_protocol._tables import LinkState, Phase, TurnState
from live_protocol.closing import CloseInfo
from live_protocol.events import Event, Need
from live_protocol.link import Wants
from live_protocol.messages import FunctionCall

__all__ = ["MachineWrapper", "ServerMachine"]


class ServerMachine(Protocol):
    """A server's `LiveConnection`, or anything with its surface; each member is documented there."""

    @property
    def wants(self) -> Wants: ...

    @property
    def state(self) -> LinkState: ...

    @property
    def phase(self) -> Phase: ...

    @property
    def turn(self) -> TurnState: ...

    @property
    def pending_tool_calls(self) -> tuple[FunctionCall, ...]: ...

    @property
    def close_info(self) -> CloseInfo | None: ...

    @property
    def buffered_in(self) -> int: ...

    @property
    def buffered_out(self) -> int: ...

    @property
    def latency(self) -> float | None: ...

    def advance(self, now: float) -> None: ...

    def receive_data(self, data: bytes) -> None: ...

    def receive_eof(self) -> None: ...

    def transport_failed(self, error: BaseException | str) -> None: ...

    def next_event(self) -> Event | Literal[Need.DATA]: ...

    def data_to_send(self) -> bytes: ...

    def next_deadline(self) -> float | None: ...

    def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None: ...

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None: ...

    def send(self, message: Any) -> None: ...

    def ping(self, payload: bytes = b"") -> None: ...

    def close(self, code: int = 1000, reason: str = "") -> None: ...


M = TypeVar("M", bound=ServerMachine)


class MachineWrapper(Generic[M]):
    """A machine with the surface of the one inside, to which it leaves everything that it does not do itself.

    Attributes:
        machine: The one inside, for its facts; it is driven by this one alone.
    """

    def __init__(self, machine: M) -> None:
        self.machine: M = machine

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.machine!r}>"

    def advance(self, now: float) -> None:
        """See `LiveConnection.advance`."""
        self.machine.advance(now)

    def receive_data(self, data: bytes) -> None:
        """See `LiveConnection.receive_data`."""
        self.machine.receive_data(data)

    def receive_eof(self) -> None:
        """See `LiveConnection.receive_eof`."""
        self.machine.receive_eof()

    def transport_failed(self, error: BaseException | str) -> None:
        """See `LiveConnection.transport_failed`."""
        self.machine.transport_failed(error)

    def next_event(self) -> Event | Literal[Need.DATA]:
        """See `LiveConnection.next_event`."""
        return self.machine.next_event()

    def events(self) -> Iterator[Event]:
        """See `LiveConnection.events`."""
        while (event := self.next_event()) is not Need.DATA:
            yield event

    def data_to_send(self) -> bytes:
        """See `LiveConnection.data_to_send`."""
        return self.machine.data_to_send()

    def next_deadline(self) -> float | None:
        """See `LiveConnection.next_deadline`."""
        return self.machine.next_deadline()

    @property
    def wants(self) -> Wants:
        """See `LiveConnection.wants`."""
        return self.machine.wants

    def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """See `LiveConnection.accept`."""
        self.machine.accept(headers)

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None:
        """See `LiveConnection.reject`."""
        self.machine.reject(status, headers, body)

    def send(self, message: Any) -> None:
        """See `LiveConnection.send`."""
        self.machine.send(message)

    def ping(self, payload: bytes = b"") -> None:
        """See `LiveConnection.ping`."""
        self.machine.ping(payload)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """See `LiveConnection.close`."""
        self.machine.close(code, reason)

    @property
    def state(self) -> LinkState:
        """See `LiveConnection.state`."""
        return self.machine.state

    @property
    def phase(self) -> Phase:
        """See `LiveConnection.phase`."""
        return self.machine.phase

    @property
    def turn(self) -> TurnState:
        """See `LiveConnection.turn`."""
        return self.machine.turn

    @property
    def pending_tool_calls(self) -> tuple[FunctionCall, ...]:
        """See `LiveConnection.pending_tool_calls`."""
        return self.machine.pending_tool_calls

    @property
    def close_info(self) -> CloseInfo | None:
        """See `LiveConnection.close_info`."""
        return self.machine.close_info

    @property
    def buffered_in(self) -> int:
        """See `LiveConnection.buffered_in`."""
        return self.machine.buffered_in

    @property
    def buffered_out(self) -> int:
        """See `LiveConnection.buffered_out`."""
        return self.machine.buffered_out

    @property
    def latency(self) -> float | None:
        """See `LiveConnection.latency`."""
        return self.machine.latency
