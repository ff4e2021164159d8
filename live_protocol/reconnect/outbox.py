"""The client's messages: which wait, which are on their way, which the session has (wire.md#resumption).

Theory of operation. Every message gets a number when a command accepts it, and then moves through these places:

    add --> waiting --flush--> queued --take--> sent, or the ledger --> kept
              ^                  |                |
              +--- returned <----+-- connection_lost (sent messages in transparent mode only)

- Waiting: there is no connection. This is the only place that is bounded by `ReconnectPolicy.offline_bytes`.
- Queued: encoded into the present connection, whose bytes nobody has taken yet. If the connection ends, they never
  leave, so they go out on the next one.
- Returned: came back from a connection that ended. They are older than everything that waits, and go out first.

What happens to a message that left depends on the mode. In transparent mode the server says which messages its
newest handle includes (`acknowledge`). Until then the message stays in *sent*, and goes out again if the connection
ends. Beyond ``max_sent`` bytes the oldest are only counted, in the *ledger*: they cannot be sent again.

Otherwise the server never says what it has. The message is only counted in the ledger, with the time at which it
left. A handle that comes later includes it, as far as can be known (`confirm`). If the connection ends before, it is
unconfirmed. In a voice session this is the path of nearly every message, fifty times a second. So audio is no entry
while it is queued but the three values that would make one (`Audio`), nothing is copied, and what stays of it in the
ledger are two numbers in arrays, 10 bytes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Final, TypeAlias, final

import attrs

from live_protocol.events import InputLost, LossReason

_MAX_ROWS: Final = 96
_SUMMED_ROWS: Final = 32
_MAX_SIZE: Final = 65535
_AUDIO: Final = "realtime_input.audio"

Audio: TypeAlias = tuple[int, bytes, float]
"""Audio on the present connection, outside transparent mode: its number, its JSON, and when it was accepted."""


@final
@attrs.define(kw_only=True, eq=False)
class OutboxEntry:
    """One client message.

    Attributes:
        number: Number in the session, from 1.
        kind: Its member, and for realtime input the member of that: ``realtime_input.audio``.
        payload: Its JSON.
        at: Clock reading at which it was accepted.
        media: Whether it is audio or video that is worthless when it comes late.
        index: Number on the present connection (setup is 0); 0 while it is on none.
        again: Whether an earlier connection had it already (transparent mode).
        awaiting: Whether the model owes an answer after it; None if it changes nothing about that.
        calls: Keys of the tool calls it answers.
    """

    number: int
    kind: str
    payload: bytes = attrs.field(repr=lambda payload: f"<{len(payload)} bytes>")
    at: float
    media: bool = False
    index: int = 0
    again: bool = False
    awaiting: bool | None = None
    calls: Sequence[str] = ()

    @property
    def size(self) -> int:
        """Bytes of its JSON."""
        return len(self.payload)


class MessageCounts:
    """Count, kinds and numbers of some messages, without their content.

    Attributes:
        count: Number of messages.
        size: Bytes of their JSON.
    """

    __slots__ = ("_kinds", "_ranges", "count", "size")

    def __init__(
        self, kinds: Mapping[str, int] | None = None, ranges: Iterable[Sequence[int]] = (), size: int = 0
    ) -> None:
        self._kinds: dict[str, int] = dict(kinds or {})
        self._ranges: tuple[tuple[int, int], ...] = tuple((first, last) for first, last in ranges)
        self.count: int = sum(self._kinds.values())
        self.size: int = size

    @property
    def kinds(self) -> dict[str, int]:
        """Number of messages of each kind."""
        return dict(self._kinds)

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The numbers of the messages, as ranges of first and last, in order."""
        return self._ranges

    def add(self, entry: OutboxEntry) -> None:
        """Count one more message."""
        self.add_one(entry.kind, entry.number, entry.size)

    def add_one(self, kind: str, number: int, size: int) -> None:
        """Count one more message, of which only this is known."""
        self.add_range(kind, number, number, size)

    def add_range(self, kind: str, first: int, last: int, size: int) -> None:
        """Count messages of one kind whose numbers follow each other.

        Args:
            kind: The kind.
            first: Number of the first message.
            last: Number of the last message.
            size: Bytes of their JSON, all together.
        """
        count = last + 1 - first
        self.count += count
        self.size += size
        self._kinds[kind] = self._kinds.get(kind, 0) + count
        self._insert(first, last)

    def merge(self, other: MessageCounts) -> None:
        """Count everything that ``other`` has counted."""
        self.count += other.count
        self.size += other.size
        for kind, count in other._kinds.items():
            self._kinds[kind] = self._kinds.get(kind, 0) + count
        for first, last in other._ranges:
            self._insert(first, last)

    def _insert(self, first: int, last: int) -> None:
        ranges = list(self._ranges)
        at = len(ranges)
        while at and ranges[at - 1][0] > last:
            at -= 1
        if at and ranges[at - 1][1] + 1 == first:
            at -= 1
            first = ranges.pop(at)[0]
        if at < len(ranges) and ranges[at][0] == last + 1:
            last = ranges.pop(at)[1]
        ranges.insert(at, (first, last))
        self._ranges = tuple(ranges)

    def copy(self) -> MessageCounts:
        """A copy."""
        return MessageCounts(self._kinds, self._ranges, self.size)

    def report(self, reason: LossReason, *, certain: bool = True) -> InputLost:
        """The event that reports them as lost."""
        return InputLost(
            count=self.count,
            kinds=self.kinds,
            size=self.size,
            reason=reason,
            certain=certain,
            numbers=self.ranges,
        )


class _Ledger:
    """Messages that left and of which only the counts are kept, oldest first: one row for each time something left.

    A row has a time and a size. What the rows are is said once for a whole run of them: messages of one kind whose
    numbers follow each other. Several messages that left together, or a big one, are a run of one row.

    Beyond `_MAX_ROWS` the oldest become one sum, which counts as having left with the newest of them.
    """

    __slots__ = ("_before", "_runs", "_sum", "_sum_at", "_sum_last", "last", "sizes", "times", "what")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.times = array("d")  # when the row left
        self.sizes = array("H")  # 0 for several messages, or a big one
        # The newest run: its kind, or the counts of its one row; and the number or index of its newest message.
        self.what: str | MessageCounts = ""
        self.last = 0
        self._runs: tuple[tuple[int, str | MessageCounts, int], ...] = ()  # those before: also how many rows
        self._before = 0  # rows of those
        self._sum: MessageCounts | None = None
        self._sum_last, self._sum_at = 0, float("-inf")

    def add(self, what: str | MessageCounts, size: int, last: int, at: float) -> None:
        if size > _MAX_SIZE and isinstance(what, str):
            counts = MessageCounts()
            counts.add_one(what, last, size)
            what, size = counts, 0
        times = self.times
        if what != self.what or last != self.last + 1:
            if len(times) > self._before:
                self._runs += ((len(times) - self._before, self.what, self.last),)
                self._before = len(times)
            self.what = what
        self.last = last
        self.sizes.append(size)
        times.append(at)
        if len(times) > _MAX_ROWS:
            self._sum_up()

    def _sum_up(self) -> None:
        if self._sum is None:
            self._sum = MessageCounts()
        self._sum_last, self._sum_at = self._count(_SUMMED_ROWS, self._sum), self.times[_SUMMED_ROWS - 1]
        self._drop(_SUMMED_ROWS)

    def take(self, last: int, at: float, into: MessageCounts) -> None:
        """Move the rows up to ``last`` that left at ``at`` or before."""
        if self._sum_last > last or self._sum_at > at:
            return
        if self._sum is not None:
            into.merge(self._sum)
            self._sum = None
        rows = 0
        for count, what, newest in self._all_runs():
            if newest <= last:
                rows += count
                continue
            if isinstance(what, str):
                rows += max(0, count - (newest - last))
            break
        rows = min(rows, bisect_right(self.times, at))
        self._count(rows, into)
        self._drop(rows)

    def total(self, into: MessageCounts) -> None:
        """Count everything, and keep it."""
        if self._sum is not None:
            into.merge(self._sum)
        self._count(len(self.times), into)

    def _all_runs(self) -> tuple[tuple[int, str | MessageCounts, int], ...]:
        return (*self._runs, (len(self.times) - self._before, self.what, self.last))

    def _count(self, rows: int, into: MessageCounts) -> int:
        """Count the oldest rows; gives the number of the newest message among them, 0 without any."""
        counted = number = 0
        for count, what, newest in self._all_runs():
            some = min(count, rows - counted)
            if some == 0:
                break
            number = newest - (count - some)
            if isinstance(what, str):
                into.add_range(what, newest + 1 - count, number, sum(self.sizes[counted : counted + some]))
            else:
                into.merge(what)
            counted += some
        return number

    def _drop(self, rows: int) -> None:
        """Forget the oldest rows."""
        del self.sizes[:rows], self.times[:rows]
        self._before = max(0, self._before - rows)
        while self._runs and rows:
            count, what, newest = self._runs[0]
            rest = ((count - rows, what, newest),) if count > rows else ()
            self._runs = rest + self._runs[1:]
            rows -= min(rows, count)


_NONE: Final[dict[int, OutboxEntry]] = {}  # of all outboxes where nothing waits; nothing is entered here


class Outbox:
    """The messages of one session, across its connections.

    Args:
        transparent: Whether the server says what it has.
        max_sent: Transparent mode: bytes of sent messages that are kept to be sent again.

    Attributes:
        transparent: As given.
        accepted: Number of the newest message, from 1; 0 before the first.
        newest_sent: Number of the newest message that left; 0 before the first.
        kept: Messages that the session has, as far as can be known.
        waiting_size: Bytes of the messages that wait; without those that returned from a connection.
        media_size: The part of them that is audio or video.
        window_open: Whether an activity window is open, as far as messages have left.
        unsent: Messages on the present connection that have not left; audio that is added here needs its number.
    """

    __slots__ = (
        "_ledger",
        "_max_sent",
        "_media",
        "_returned",
        "_sent",
        "_sent_size",
        "_waiting",
        "accepted",
        "kept",
        "media_size",
        "newest_sent",
        "transparent",
        "unsent",
        "waiting_size",
        "window_open",
    )

    def __init__(self, *, transparent: bool, max_sent: int) -> None:
        self.transparent: bool = transparent
        self.accepted: int = 0
        self.newest_sent: int = 0
        self.kept: MessageCounts = MessageCounts()
        self.waiting_size: int = 0
        self.media_size: int = 0
        self.window_open: bool = False
        self._max_sent = max_sent
        self._returned: tuple[OutboxEntry, ...] = ()
        self._waiting: dict[int, OutboxEntry] = _NONE
        self._media: dict[int, OutboxEntry] = _NONE  # those of them that are media
        self.unsent: list[OutboxEntry | Audio] = []
        self._sent: list[OutboxEntry] = []
        self._sent_size = 0
        self._ledger = _Ledger()

    # --- in -----------------------------------------------------------------------------------------------------

    def add(
        self,
        kind: str,
        payload: bytes,
        at: float,
        *,
        media: bool = False,
        awaiting: bool | None = None,
        calls: Sequence[str] = (),
        waits: bool,
    ) -> OutboxEntry:
        """Take in a new message.

        Args:
            kind: See `OutboxEntry`.
            payload: See `OutboxEntry`.
            at: Clock reading.
            media: See `OutboxEntry`; in transparent mode nothing is worthless.
            awaiting: See `OutboxEntry`.
            calls: See `OutboxEntry`.
            waits: Whether it waits for a connection. If not, it goes out on the present one now, and the caller sets
                its index.
        """
        self.accepted += 1
        media = media and not self.transparent
        entry = OutboxEntry(
            number=self.accepted, kind=kind, payload=payload, at=at, media=media, awaiting=awaiting, calls=calls
        )
        if not waits:
            self.unsent.append(entry)
            return entry
        if not self._waiting:
            self._waiting, self._media = {}, {}
        self._waiting[entry.number] = entry
        self.waiting_size += entry.size
        if media:
            self.media_size += entry.size
            self._media[entry.number] = entry
        return entry

    # --- while away ---------------------------------------------------------------------------------------------

    def _remove(self, number: int) -> OutboxEntry:
        entry = self._waiting.pop(number)
        self.waiting_size -= entry.size
        if self._media.pop(number, None) is not None:
            self.media_size -= entry.size
        return entry

    def drop_oldest(self, most: int, into: MessageCounts, *, media: bool) -> None:
        """Drop the oldest waiting messages until at most ``most`` bytes of them wait.

        Args:
            most: Bytes that may stay.
            into: Counts what is dropped.
            media: Drop audio and video only.
        """
        candidates = self._media if media else self._waiting
        while self.waiting_size > most and candidates:
            into.add(self._remove(next(iter(candidates))))

    def drop_expired(self, before: float, into: MessageCounts) -> None:
        """Drop audio and video that was accepted before a clock reading and has not left."""
        while self._media and (oldest := next(iter(self._media.values()))).at < before:
            into.add(self._remove(oldest.number))
        self._drop_returned(lambda entry: entry.media and entry.at < before, into)

    def discard_answers(self, into: MessageCounts, calls: Container[str] | None = None) -> None:
        """Drop the messages that answer tool calls and have not left.

        Args:
            into: Counts what is dropped.
            calls: Drop only answers to these calls.
        """

        def drop(entry: OutboxEntry) -> bool:
            return bool(entry.calls) if calls is None else any(key in calls for key in entry.calls)

        self._drop_returned(drop, into)
        for number in [number for number, entry in self._waiting.items() if drop(entry)]:
            into.add(self._remove(number))

    def discard_all(self, *, sent: bool) -> tuple[MessageCounts, MessageCounts]:
        """Drop everything that waits; gives the messages that never left, and those that had left before.

        Args:
            sent: Whether to drop the second kind too; otherwise it stays.
        """
        never, before = MessageCounts(), MessageCounts()
        self._drop_returned(lambda entry: not entry.again, never)
        for number in list(self._waiting):
            never.add(self._remove(number))
        if sent:
            self._drop_returned(lambda _: True, before)
        return never, before

    def _drop_returned(self, drop: Callable[[OutboxEntry], bool], into: MessageCounts) -> None:
        if not self._returned:
            return
        for entry in filter(drop, self._returned):
            into.add(entry)
        self._returned = tuple(entry for entry in self._returned if not drop(entry))

    # --- out ----------------------------------------------------------------------------------------------------

    def flush(self) -> Sequence[OutboxEntry]:
        """Queue everything that waits; gives it in order, so that the caller sends it and sets each index."""
        entries = (*self._returned, *self._waiting.values())
        self._returned = ()
        self._waiting = self._media = _NONE
        self.waiting_size = self.media_size = 0
        self.unsent.extend(entries)
        return entries

    @property
    def queued(self) -> bool:
        """Whether the present connection has a message that has not left."""
        return bool(self.unsent)

    def left(self, at: float) -> None:
        """The bytes of everything that is queued leave now."""
        unsent = self.unsent
        if len(unsent) == 1 and type(audio := unsent[0]) is tuple:
            number, payload, _ = audio
            unsent.clear()
            self.newest_sent = number
            ledger = self._ledger
            times = ledger.times
            size = len(payload)
            follows = ledger.what is _AUDIO and ledger.last + 1 == number
            if follows and size <= _MAX_SIZE and len(times) < _MAX_ROWS:
                ledger.last = number  # as `add`, without the call: nearly every message
                ledger.sizes.append(size)
                times.append(at)
            else:
                ledger.add(_AUDIO, size, number, at)
        else:
            self.take(at)

    def take(self, at: float) -> Sequence[OutboxEntry]:
        """As `left`; gives the messages."""
        entries = tuple(map(_entry, self.unsent))
        if not entries:
            return ()
        self.unsent.clear()
        newest = entries[-1]
        self.newest_sent = newest.number
        for entry in entries:
            if entry.kind == "realtime_input.activity_start":
                self.window_open = True
            elif entry.kind == "realtime_input.activity_end":
                self.window_open = False
        if self.transparent:
            self._sent.extend(entries)
            self._sent_size += sum(entry.size for entry in entries)
            if self._sent_size > self._max_sent:
                self._evict(at)
        elif len(entries) == 1:
            self._ledger.add(newest.kind, newest.size, newest.number, at)
        else:
            self._ledger.add(_counts(entries), 0, newest.number, at)
        return entries

    def _evict(self, at: float) -> None:
        evicted = 0
        while self._sent_size > self._max_sent:
            entry = self._sent[evicted]
            self._sent_size -= entry.size
            self._ledger.add(_counts((entry,)), 0, entry.index, at)
            evicted += 1
        del self._sent[:evicted]

    # --- what the server has ------------------------------------------------------------------------------------

    def acknowledge(self, index: int) -> None:
        """Transparent mode: the newest handle includes the messages of this connection up to ``index``."""
        self._ledger.take(index, float("inf"), self.kept)
        included = 0
        while included < len(self._sent) and self._sent[included].index <= index:
            entry = self._sent[included]
            self._sent_size -= entry.size
            self.kept.add(entry)
            included += 1
        del self._sent[:included]

    def confirm(self, last: int, at: float) -> None:
        """Not transparent: a handle came that includes the messages up to ``last`` that left at ``at`` or before."""
        self._ledger.take(last, at, self.kept)

    def connection_lost(self) -> MessageCounts:
        """The connection ended: its messages return, as far as they have to go out on the next one.

        Returns:
            The messages that left and cannot go out again.
        """
        lost = self.unconfirmed()
        self._ledger.clear()
        for entry in self._sent:
            entry.again = True
        self.restore((*self._sent, *map(_entry, self.unsent)))
        self._sent.clear()
        self.unsent.clear()
        self._sent_size = 0
        return lost

    def session_abandoned(self) -> MessageCounts:
        """A new session takes the place of this one; gives the messages that only the old one has."""
        kept, self.kept = self.kept, MessageCounts()
        return kept

    # --- moving -------------------------------------------------------------------------------------------------

    def pending(self) -> tuple[OutboxEntry, ...]:
        """The messages that would go out on another connection if the present one ended now, in order."""
        return (*self._returned, *self._sent, *map(_entry, self.unsent), *self._waiting.values())

    def unconfirmed(self) -> MessageCounts:
        """The messages that would be lost if the present connection ended now."""
        total = MessageCounts()
        self._ledger.total(total)
        return total

    def restore(self, entries: Iterable[OutboxEntry]) -> None:
        """Add messages of an earlier connection, behind those that returned before."""
        returned = tuple(entries)
        for entry in returned:
            entry.index = 0
        self._returned += returned


def _entry(item: OutboxEntry | Audio) -> OutboxEntry:
    if isinstance(item, OutboxEntry):
        return item
    number, payload, at = item
    return OutboxEntry(number=number, kind=_AUDIO, payload=payload, at=at, media=True)


def _counts(entries: Iterable[OutboxEntry]) -> MessageCounts:
    counts = MessageCounts()
    for entry in entries:
        counts.add(entry)
    return counts
