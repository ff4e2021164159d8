"""A client and a server joined in memory, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, final

from live_protocol.connection.live_connection import LiveConnection
from live_protocol.endpoint import Endpoint
from live_protocol.events import Event, UpgradeRequested
from live_protocol.websocket.link_core import Wants


class PairEnd(Protocol):
    """One end of a `Pair`: a `LiveConnection`, or an object with these members of it."""

    @property
    def wants(self) -> Wants:
        """See `LiveConnection.wants`."""
        ...

    def advance(self, now: float) -> None:
        """See `LiveConnection.advance`."""
        ...

    def receive_data(self, data: bytes) -> None:
        """See `LiveConnection.receive_data`."""
        ...

    def receive_eof(self) -> None:
        """See `LiveConnection.receive_eof`."""
        ...

    def next_event(self) -> object:
        """See `LiveConnection.next_event`."""
        ...

    def data_to_send(self) -> bytes:
        """See `LiveConnection.data_to_send`."""
        ...

    def next_deadline(self) -> float | None:
        """See `LiveConnection.next_deadline`."""
        ...


@final
class FakeClock:
    """A clock that moves only when told to.

    Attributes:
        now: The reading, in seconds.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now: float = now

    def __call__(self) -> float:
        """The reading."""
        return self.now

    def advance(self, seconds: float) -> float:
        """Move forward, and return the new reading.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError("a clock cannot run backwards")
        self.now += seconds
        return self.now


def chunks(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """Cut ``data`` into pieces of these sizes, repeating the list; sizes below 1 count as 1."""
    steps = [max(1, size) for size in sizes] or [len(data) or 1]
    start = index = 0
    while start < len(data):
        size = steps[index % len(steps)]
        yield data[start : start + size]
        start += size
        index += 1


@final
class Pair:
    """A client and a server joined in memory.

    Args:
        client: The client's end; by default ``LiveConnection.client(Endpoint.custom("ws://test/"), model="test")``.
        server: The server's end; `LiveConnection.server()` if left out.
        clock: Shared by both ends.

    Attributes:
        client: The client's end.
        server: The server's end.
        clock: The clock; move it with `wait`.
        client_events: Events of the client's end so far.
        server_events: Events of the server's end so far.
    """

    def __init__(
        self,
        client: PairEnd | None = None,
        server: PairEnd | None = None,
        *,
        clock: FakeClock | None = None,
    ) -> None:
        self.client: PairEnd = client or LiveConnection.client(Endpoint.custom("ws://test/"), model="test")
        self.server: PairEnd = server or LiveConnection.server()
        self.clock: FakeClock = clock or FakeClock()
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []
        self._ended: set[int] = set()
        self._tell_time()

    def _tell_time(self) -> None:
        self.client.advance(self.clock.now)
        self.server.advance(self.clock.now)

    def pump(self) -> None:
        """Move bytes and collect events until nothing moves; an end that wants to close becomes EOF for the other."""
        moving = True
        while moving:
            moving = self._collect(self.client, self.client_events)
            moving |= self._collect(self.server, self.server_events)
            moving |= self._carry(self.client, self.server)
            moving |= self._carry(self.server, self.client)

    def _collect(self, machine: PairEnd, into: list[Event]) -> bool:
        moved = False
        while (event := machine.next_event()) is not None:
            moved = True
            if type(event) is UpgradeRequested and isinstance(machine, LiveConnection):
                machine.accept()
            into.append(event)  # type: ignore[arg-type]
        return moved

    def _carry(self, source: PairEnd, target: PairEnd) -> bool:
        moved = False
        data = source.data_to_send()
        if data:
            target.receive_data(data)
            moved = True
        wants = source.wants
        if wants.close and not wants.write and id(source) not in self._ended:
            self._ended.add(id(source))
            target.receive_eof()
            source.receive_eof()
            moved = True
        return moved

    def wait(self, seconds: float) -> None:
        """Let time pass, stopping at every deadline to pump."""
        end = self.clock.now + seconds
        self.pump()
        while True:
            due = [at for machine in (self.client, self.server) if (at := machine.next_deadline()) is not None]
            step = min(due, default=end)
            if step > end:
                break
            self.clock.now = max(self.clock.now, step)
            self._tell_time()
            self.pump()
            if step >= end:
                break
        self.clock.now = end
        self._tell_time()
        self.pump()
