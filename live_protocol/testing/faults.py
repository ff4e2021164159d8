"""Faults on purpose: what a network, or a server that misbehaves, does to a client, on the clock and without chance.

`FaultyConnection` stands between a server's machine and whoever drives it, and disturbs what the machine says. It reads
the frames that pass, so faults of messages work with any machine; for them leave compression off.
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
from live_protocol.websocket.link import Wants

__all__ = ["Faults", "FaultyConnection"]


def _count(_: object, attribute: attrs.Attribute[Any], value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise InvalidMessage(f"faults.{attribute.name}", f"must be a whole number from 1, not {value!r}")


def _seconds(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 <= value < float("inf"):
        raise InvalidMessage(f"faults.{attribute.name}", f"must be a number of seconds, not {value!r}")


@final
@attrs.frozen(kw_only=True)
class Faults:
    """What goes wrong. Bytes are counted from 1 over all that the server sends, from its answer to the upgrade on.

    Attributes:
        cut: The connection ends after so many bytes, without a close frame, as a lost network does.
        mute: Nothing leaves after so many bytes; the connection stays open.
        corrupt: The byte of this number arrives changed.
        drop: The connection ends so many seconds after its beginning, without a close frame.
        split: Everything leaves in pieces of so many bytes.
        delay: Everything leaves so many seconds late; the order stays.
        seed: Makes what is regular irregular: pieces of 1 to ``split`` bytes, delays of 0 to ``delay`` seconds, and
            which bits are changed. The same seed gives the same run.
        truncate: The message of this number, setupComplete being 1, loses its second half; its frame is whole.
        oversize: A message of so many bytes comes right after setupComplete.
        duplicate: Every message comes twice.
        unknown: A message that nobody knows comes right after setupComplete.
        no_upgrade: The upgrade is never answered.
        no_setup_complete: The setup is never answered.
        no_pong: Pings are never answered.
        no_close: Close frames are neither sent nor answered, and the connection stays open until the client ends it,
            or until whoever runs the server closes it.
        deaf: What comes after the upgrade is never read.
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
        """Faults in one line, for example ``"cut=120, split=1, delay=0.5, no-pong"``.

        Args:
            text: Names of attributes, with hyphens or underscores, separated by commas; with a value unless they are
                switches. Nothing means no faults.

        Returns:
            The faults.

        Raises:
            InvalidMessage: A name is unknown or comes twice, or a value does not fit.
        """
        known = attrs.fields_dict(cls)
        found: dict[str, Any] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = (part.strip() for part in item.partition("="))
            key = name.replace("-", "_").lower()
            if key not in known:
                raise InvalidMessage("faults", f"unknown fault {name!r}; {suggest(key, known)}")
            if key in found:
                raise InvalidMessage(f"faults.{key}", "is given twice")
            if known[key].default is False:
                if equals:
                    raise InvalidMessage(f"faults.{key}", "takes no value")
                found[key] = True
                continue
            try:
                found[key] = float(value) if key in ("delay", "drop") else int(value)
            except ValueError:
                failure = InvalidMessage(f"faults.{key}", f"needs a number, got {value!r}")
            else:
                continue
            raise failure
        return cls(**found)


M = TypeVar("M", bound=ByteServerConnection)


@final
class FaultyConnection(ByteConnectionWrapper[M]):
    """A server's machine with faults, to be driven in its place.

    Args:
        machine: The machine; it is driven by this one alone.
        faults: What goes wrong.

    Attributes:
        machine: The machine, for its facts.
        faults: What goes wrong.
    """

    def __init__(self, machine: M, faults: Faults) -> None:
        super().__init__(machine)
        self.faults = faults
        self._splitter = FrameSplitter()
        self._chance = None if faults.seed is None else _Random(faults.seed)
        self._queue: deque[tuple[float | None, bytes]] = deque()
        self._now: float | None = None
        self._drop_at: float | None = None
        self._passed = 0  # bytes that were let through
        self._messages = 0
        self._ready = False  # setupComplete has passed
        self._cut = False  # the connection ends with what is queued
        self._mute = faults.no_upgrade
        self._released = False  # the end of the connection is no longer held up
        self._kept: deque[Event] = deque()  # what tells of that end

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
        """See `LiveConnection.next_event`; while the end is held up, nobody is told of it, for they would hang up."""
        if self._kept and not self._holds:
            return self._kept.popleft()
        event = super().next_event()
        while self._holds and isinstance(event, (ConnectionFailed, ConnectionClosed)):
            self._kept.append(event)
            event = super().next_event()
        return event

    def data_to_send(self) -> bytes:
        """What leaves now: everything that is due, or one piece of it."""
        self._pull()
        piece = b"".join(self._due_data())
        if self._cut and not self._queue:
            self._cut = False
            self._mute = True
            self._lose()
        return piece

    def next_deadline(self) -> float | None:
        """See `LiveConnection.next_deadline`; or when the next piece leaves."""
        self._pull()
        times = [super().next_deadline(), self._drop_at]
        if self._queue and self._now is not None:
            times.append(max(self._now, self._queue[0][0] or self._now))
        return min((time for time in times if time is not None), default=None)

    @property
    def wants(self) -> Wants:
        """What the transport should do now; it is kept open while something is on its way, or nothing may end it."""
        self._pull()
        wants = super().wants
        if self._queue:
            return _WRITES if self._is_due() else _WAITS
        return _WAITS if self._holds and (wants.close or wants.half_close) else wants

    def close(self, code: int = 1000, reason: str = "") -> None:
        """See `LiveConnection.close`: whoever runs the server may always end the connection."""
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
        """Whether the transport stays open even though it is over."""
        return (self._mute or self.faults.no_close) and not self._released

    def _lose(self) -> None:
        """The transport is gone, for both ends."""
        self._released = True
        self.machine.transport_failed("dropped by a fault")

    def _pull(self) -> None:
        """Take what the machine says, and disturb it."""
        while said := self.machine.data_to_send():
            for item in self._splitter.feed(said):
                for data in self._disturbed(item):
                    self._let_through(data)

    def _disturbed(self, item: Item) -> Iterator[bytes]:
        """Faults of messages and frames."""
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
        """Faults of bytes."""
        if self._mute or self._cut:
            return
        faults, start = self.faults, self._passed
        if faults.corrupt is not None and start < faults.corrupt <= start + len(data):
            at = faults.corrupt - 1 - start
            bits = 0xFF if self._chance is None else 1 + self._chance.below(255)
            data = data[:at] + bytes((data[at] ^ bits,)) + data[at + 1 :]
        for bound, ends in ((faults.cut, True), (faults.mute, False)):
            if bound is not None and start + len(data) >= bound:
                data = data[: bound - start]
                self._cut, self._mute = self._cut or ends, self._mute or not ends
        self._passed += len(data)
        self._queue.append((self._arrival(), data))

    def _arrival(self) -> float | None:
        """When what is said now leaves; not before what was said earlier."""
        if not self.faults.delay or self._now is None:
            return None
        share = 1.0 if self._chance is None else self._chance.below(1001) / 1000
        before = self._queue[-1][0] if self._queue else None
        return max(self._now + self.faults.delay * share, before or self._now)

    def _is_due(self) -> bool:
        due = self._queue[0][0]
        return due is None or (self._now is not None and due <= self._now)

    def _due_data(self) -> Iterator[bytes]:
        split = self.faults.split
        while self._queue and self._is_due():
            due, data = self._queue.popleft()
            if split is not None:
                size = split if self._chance is None else 1 + self._chance.below(split)
                if data[size:]:
                    self._queue.appendleft((due, data[size:]))
                yield data[:size]
                return
            yield data


class _Random:
    """A sequence of numbers that looks irregular and is the same for the same seed (Knuth's MMIX generator)."""

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
