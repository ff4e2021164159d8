"""Injects faults of the network or the server into a connection, by the clock and reproducibly.

Theory of operation. `FaultyConnection` wraps a server's connection and is driven in its place. Bytes that the server
sends pass three stages, each with its own faults:

1. `_disturbed` sees messages and frames. A `FrameSplitter` finds them in the byte stream, so any server works, but
   compression must be off. Frames are dropped, truncated, duplicated or added here.
2. `_let_through` sees bytes and counts them. They are changed or cut off here, then queued with the time at which they
   leave.
3. `_due_data` releases queued bytes that are due, in pieces if `Faults.split` says so.

`_pull` moves bytes through the first two stages. Every output calls it first, so that `wants`, `next_deadline` and
`buffered_out` describe the queue, not the server inside.

Some faults keep the transport open although the server is done with it (`_holds`). The wrapper then also holds back the
events that report the end; otherwise the driver would close the transport.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, Self, TypeVar, final

import attrs

from live_protocol.connection.protocols import ByteServerConnection
from live_protocol.connection.wrappers import ByteConnectionWrapper
from live_protocol.errors import InvalidMessage
from live_protocol.events import ConnectionClosed, ConnectionFailed, Event
from live_protocol.states import ConnectionState
from live_protocol.testing.frame_splitter import FrameSplitter, HttpBytes, Item
from live_protocol.testing.suggestions import suggest
from live_protocol.websocket.frames import BINARY, CLOSE, PONG, TEXT, frame
from live_protocol.websocket.link_core import Wants


def _count(_: object, attribute: attrs.Attribute[Any], value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise InvalidMessage(f"faults.{attribute.name}", f"must be a whole number from 1, not {value!r}")


def _seconds(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 <= value < float("inf"):
        raise InvalidMessage(f"faults.{attribute.name}", f"must be a number of seconds, not {value!r}")


@final
@attrs.frozen(kw_only=True)
class Faults:
    """The faults of one connection. Byte numbers start at 1 with the server's response to the upgrade.

    Attributes:
        cut: The connection ends after this many bytes, without a close frame, as a lost network does.
        mute: The server sends nothing after this many bytes; the connection stays open.
        corrupt: Number of a byte that is changed.
        drop: Seconds after which the connection ends, without a close frame.
        split: The server's bytes arrive in pieces of this size.
        delay: Seconds by which everything is late; the order stays.
        seed: Randomizes pieces (1 to ``split`` bytes), delays (0 to ``delay`` seconds) and changed bits. The same seed
            repeats the same run.
        truncate: Number of a message that loses its second half; setupComplete is 1. Its frame is valid.
        oversize: Size in bytes of an extra message after setupComplete.
        duplicate: Every message is sent twice.
        unknown: An unknown message follows setupComplete.
        no_upgrade: The server never answers the upgrade.
        no_setup_complete: The server never answers the setup.
        no_pong: The server never answers pings.
        no_close: The server neither sends nor answers close frames. The connection stays open until the client ends it
            or the server's program calls `FaultyConnection.close`.
        deaf: The server reads nothing after the upgrade.
    """

    cut: int | None = attrs.field(default=None, validator=_count)
    mute: int | None = attrs.field(default=None, validator=_count)
    corrupt: int | None = attrs.field(default=None, validator=_count)
    drop: float | None = attrs.field(default=None, validator=_seconds)
    split: int | None = attrs.field(default=None, validator=_count)
    delay: float = attrs.field(default=0.0, validator=_seconds)
    seed: int | None = None
    truncate: int | None = attrs.field(default=None, validator=_count)
    oversize: int | None = attrs.field(default=None, validator=_count)
    duplicate: bool = False
    unknown: bool = False
    no_upgrade: bool = False
    no_setup_complete: bool = False
    no_pong: bool = False
    no_close: bool = False
    deaf: bool = False

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Parse faults from one line, for example ``"cut=120, split=1, delay=0.5, no-pong"``.

        Args:
            text: Names of attributes, with hyphens or underscores, separated by commas; each has a value unless it is a
                switch. May be empty.

        Raises:
            InvalidMessage: A name is unknown or repeated, or a value is not allowed.
        """
        names = attrs.fields_dict(cls)
        values: dict[str, Any] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = (part.strip() for part in item.partition("="))
            key = name.replace("-", "_").lower()
            if key not in names:
                raise InvalidMessage("faults", f"unknown fault {name!r}; {suggest(key, names)}")
            if key in values:
                raise InvalidMessage(f"faults.{key}", "is given twice")
            if names[key].default is False:
                if equals:
                    raise InvalidMessage(f"faults.{key}", "takes no value")
                values[key] = True
                continue
            try:
                values[key] = float(value) if key in ("delay", "drop") else int(value)
            except ValueError:
                failure = InvalidMessage(f"faults.{key}", f"needs a number, got {value!r}")
            else:
                continue
            raise failure
        return cls(**values)


M = TypeVar("M", bound=ByteServerConnection)


@final
class FaultyConnection(ByteConnectionWrapper[M]):
    """A server's connection with faults; drive it in place of that one.

    Args:
        machine: The server's connection; nothing else may drive it.
        faults: The faults.

    Attributes:
        machine: The server's connection, for its state.
        faults: The faults.
    """

    def __init__(self, machine: M, faults: Faults) -> None:
        super().__init__(machine)
        self.faults = faults
        self._splitter = FrameSplitter()
        self._random = None if faults.seed is None else _Random(faults.seed)
        self._queue: deque[tuple[float | None, bytes]] = deque()
        self._now: float | None = None
        self._drop_at: float | None = None
        self._passed = 0  # bytes let through
        self._messages = 0
        self._ready = False  # setupComplete has passed
        self._cut = False  # the connection ends with what is queued
        self._mute = faults.no_upgrade
        self._released = False  # nothing keeps the transport open any longer
        self._kept: deque[Event] = deque()  # events that report the end

    # --- inputs -------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """See `LiveConnection.advance`."""
        if self._now is None and self.faults.drop is not None:
            self._drop_at = now + self.faults.drop
        self._now = now if self._now is None else max(now, self._now)
        super().advance(now)
        if self._drop_at is not None and self._drop_at <= self._now:
            self._drop_at = None
            self._queue.clear()
            self._lose()

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """See `LiveConnection.receive_data`."""
        if not self.faults.deaf or self.machine.state is ConnectionState.CONNECTING:
            super().receive_data(data)

    def receive_eof(self) -> None:
        """See `LiveConnection.receive_eof`."""
        self._released = True
        super().receive_eof()

    def transport_failed(self, error: BaseException | str) -> None:
        """See `LiveConnection.transport_failed`."""
        self._released = True
        self._queue.clear()
        super().transport_failed(error)

    # --- outputs ------------------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """See `LiveConnection.next_event`; while a fault keeps the transport open, the end is not reported."""
        if self._kept and not self._holds:
            return self._kept.popleft()
        event = super().next_event()
        while self._holds and isinstance(event, (ConnectionFailed, ConnectionClosed)):
            self._kept.append(event)
            event = super().next_event()
        return event

    def data_to_send(self) -> bytes:
        """Return everything that is due, or one piece of it."""
        self._pull()
        piece = b"".join(self._due_data())
        if self._cut and not self._queue:
            self._cut = False
            self._mute = True
            self._lose()
        return piece

    def next_deadline(self) -> float | None:
        """See `LiveConnection.next_deadline`; the time of the next piece counts too."""
        self._pull()
        times = [super().next_deadline(), self._drop_at]
        if self._queue and self._now is not None:
            times.append(max(self._now, self._queue[0][0] or self._now))
        return min((time for time in times if time is not None), default=None)

    @property
    def wants(self) -> Wants:
        """See `LiveConnection.wants`; queued bytes and faults keep the transport open."""
        self._pull()
        wants = super().wants
        if self._queue:
            return _WRITES if self._is_due() else _WAITS
        return _WAITS if self._holds and (wants.close or wants.half_close) else wants

    def close(self, code: int = 1000, reason: str = "") -> None:
        """See `LiveConnection.close`; it ends the connection in spite of `Faults.no_close`."""
        super().close(code, reason)
        self._pull()
        self._released = True

    @property
    def buffered_out(self) -> int:
        """See `LiveConnection.buffered_out`."""
        self._pull()
        return sum(len(data) for _, data in self._queue)

    # --- inside -------------------------------------------------------------------------------------------------

    @property
    def _holds(self) -> bool:
        """Whether a fault keeps the transport open."""
        return (self._mute or self.faults.no_close) and not self._released

    def _lose(self) -> None:
        """Break the transport, for both ends."""
        self._released = True
        self.machine.transport_failed("dropped by a fault")

    def _pull(self) -> None:
        """Queue what the server sends, with its faults."""
        while output := self.machine.data_to_send():
            for item in self._splitter.feed(output):
                for data in self._disturbed(item):
                    self._let_through(data)

    def _disturbed(self, item: Item) -> Iterator[bytes]:
        """Apply the faults of messages and frames."""
        faults = self.faults
        if isinstance(item, HttpBytes):
            yield item.data
        elif item.opcode in (TEXT, BINARY):
            self._messages += 1
            answer = not self._ready and b'"setupComplete"' in item.payload
            if answer and faults.no_setup_complete:
                return
            data = item.data
            if faults.truncate == self._messages:
                data = frame(item.opcode, item.payload[: len(item.payload) // 2], None)
            yield data
            if faults.duplicate:
                yield data
            if answer:
                self._ready = True
                yield from self._extras()
        elif not (item.opcode == PONG and faults.no_pong) and not (item.opcode == CLOSE and faults.no_close):
            yield item.data

    def _extras(self) -> Iterator[bytes]:
        if self.faults.unknown:
            yield frame(BINARY, b'{"unheardOf": {}}\n', None)
        if self.faults.oversize is not None:
            room = max(0, self.faults.oversize - len(_OVERSIZE % b""))
            yield frame(BINARY, _OVERSIZE % (b"x" * room), None)

    def _let_through(self, data: bytes) -> None:
        """Apply the faults of bytes."""
        if self._mute or self._cut:
            return
        faults, start = self.faults, self._passed
        if faults.corrupt is not None and start < faults.corrupt <= start + len(data):
            at = faults.corrupt - 1 - start
            bits = 0xFF if self._random is None else 1 + self._random.below(255)
            data = data[:at] + bytes((data[at] ^ bits,)) + data[at + 1 :]
        for bound, ends in ((faults.cut, True), (faults.mute, False)):
            if bound is not None and start + len(data) >= bound:
                data = data[: bound - start]
                self._cut, self._mute = self._cut or ends, self._mute or not ends
        self._passed += len(data)
        self._queue.append((self._arrival(), data))

    def _arrival(self) -> float | None:
        """The time at which bytes queued now leave: not before the bytes ahead of them."""
        if not self.faults.delay or self._now is None:
            return None
        fraction = 1.0 if self._random is None else self._random.below(1001) / 1000
        before = self._queue[-1][0] if self._queue else None
        return max(self._now + self.faults.delay * fraction, before or self._now)

    def _is_due(self) -> bool:
        due = self._queue[0][0]
        return due is None or (self._now is not None and due <= self._now)

    def _due_data(self) -> Iterator[bytes]:
        split = self.faults.split
        while self._queue and self._is_due():
            due, data = self._queue.popleft()
            if split is not None:
                size = split if self._random is None else 1 + self._random.below(split)
                if data[size:]:
                    self._queue.appendleft((due, data[size:]))
                yield data[:size]
                return
            yield data


class _Random:
    """Knuth's MMIX generator: the same numbers for the same seed in every version of Python."""

    def __init__(self, seed: int) -> None:
        self._state = seed
        self.below(1)

    def below(self, bound: int) -> int:
        """The next number, from 0 to ``bound - 1``."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 33) % bound


_OVERSIZE: Final = b'{"serverContent": {"modelTurn": {"parts": [{"text": "%b"}]}}}\n'
_WRITES: Final = Wants(read=True, write=True, half_close=False, close=False)
_WAITS: Final = Wants(read=True, write=False, half_close=False, close=False)
