"""What a client has said: what waits, what is on its way, what the server has for certain (wire.md#resumption)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Final, final

import attrs

from live_protocol.events import InputLost, LossReason

__all__ = ["MessageCounts", "Outbox", "OutboxEntry"]

_MAX_GROUPS: Final = 64


@final
@attrs.define(kw_only=True, eq=False)
class OutboxEntry:
    """One client message.

    Attributes:
        number: Number of the command in the session, from 1.
        kind: Its member, and for realtime input the member of that: ``realtime_input.audio``.
        payload: Its text.
        at: Clock reading at which it was accepted.
        media: Whether it is worthless when it comes late: a piece of audio or video.
        index: Its number on the present connection (setup is 0); 0 while it is on none.
        again: Whether an earlier connection had it already (transparent mode).
        awaiting: Whether an answer is due after it; None where it changes nothing about that.
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
        """Bytes of its text."""
        return len(self.payload)


class MessageCounts:
    """How many messages of which kinds, and which; without their content.

    Attributes:
        count: Messages.
        size: Bytes of their text.
    """

    __slots__ = ("_kinds", "_ranges", "count", "size")

    def __init__(
        self, kinds: Mapping[str, int] | None = None, ranges: Iterable[Sequence[int]] = (), size: int = 0
    ) -> None:
        self._kinds: dict[str, int] = dict(kinds or {})
        self._ranges: list[tuple[int, int]] = [(first, last) for first, last in ranges]
        self.count: int = sum(self._kinds.values())
        self.size: int = size

    @property
    def kinds(self) -> dict[str, int]:
        """How many of each kind."""
        return dict(self._kinds)

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Their numbers, as ranges of first and last, in order."""
        return tuple(self._ranges)

    def add(self, entry: OutboxEntry) -> None:
        """Count one more."""
        self.count += 1
        self.size += entry.size
        self._kinds[entry.kind] = self._kinds.get(entry.kind, 0) + 1
        self._insert(entry.number, entry.number)

    def merge(self, other: MessageCounts) -> None:
        """Count all that another one has counted."""
        self.count += other.count
        self.size += other.size
        for kind, count in other._kinds.items():
            self._kinds[kind] = self._kinds.get(kind, 0) + count
        for first, last in other._ranges:
            self._insert(first, last)

    def _insert(self, first: int, last: int) -> None:
        ranges = self._ranges
        at = len(ranges)
        while at and ranges[at - 1][0] > last:
            at -= 1
        if at and ranges[at - 1][1] + 1 == first:
            at -= 1
            first = ranges.pop(at)[0]
        if at < len(ranges) and ranges[at][0] == last + 1:
            last = ranges.pop(at)[1]
        ranges.insert(at, (first, last))

    def copy(self) -> MessageCounts:
        """Another one that has counted the same."""
        return MessageCounts(self._kinds, self._ranges, self.size)

    def report(self, reason: LossReason, *, certain: bool = True) -> InputLost:
        """The event that tells of their loss."""
        return InputLost(
            count=self.count,
            kinds=self.kinds,
            size=self.size,
            reason=reason,
            certain=certain,
            numbers=self.ranges,
        )


@attrs.define(eq=False)
class _Group:
    """Messages that left together.

    Attributes:
        last: Number, or index, of the newest.
        at: Clock reading at which they left.
        counts: What they were.
    """

    last: int
    at: float
    counts: MessageCounts


class _Ledger:
    """Messages that left and of which only the count is kept, oldest first. Bounded: the oldest become one group."""

    __slots__ = ("groups",)

    def __init__(self) -> None:
        self.groups: deque[_Group] = deque()

    def add(self, group: _Group) -> None:
        self.groups.append(group)
        if len(self.groups) > _MAX_GROUPS:
            oldest, second = self.groups.popleft(), self.groups[0]
            oldest.counts.merge(second.counts)
            second.counts = oldest.counts

    def take(self, last: int, at: float, into: MessageCounts) -> None:
        """Move the groups up to ``last`` that left at ``at`` or before."""
        while self.groups and self.groups[0].last <= last and self.groups[0].at <= at:
            into.merge(self.groups.popleft().counts)


class Outbox:
    """The messages of one session, across its connections.

    A message waits, then is queued on a connection, then leaves with `take`. What happens next depends on the mode.
    Transparent: it is kept until the server says that its handle includes it (`acknowledge`), and goes out again on
    the next connection otherwise. Not transparent: the server never says what it has, so a message is only counted; it
    counts as saved once a handle came after it (`confirm`), and as unconfirmed where the connection breaks before.

    Args:
        transparent: The mode.
        max_sent: Transparent mode: bytes that are kept of messages that left; beyond it the oldest are only counted.

    Attributes:
        transparent: The mode.
        accepted: Number of the newest message, from 1; 0 before the first.
        left: Number of the newest message that left; 0 before the first.
        kept: Messages that the session has, as far as can be known.
        waiting_size: Bytes of the new messages that wait for a connection; not of those that came back from one.
        media_size: The part of it that is audio or video.
    """

    def __init__(self, *, transparent: bool, max_sent: int) -> None:
        self.transparent: bool = transparent
        self.accepted: int = 0
        self.newest_sent: int = 0
        self.kept: MessageCounts = MessageCounts()
        self.waiting_size: int = 0
        self.media_size: int = 0
        self._max_sent = max_sent
        self._returned: deque[OutboxEntry] = deque()  # came back from a connection that ended
        self._waiting: dict[int, OutboxEntry] = {}
        self._media: deque[int] = deque()  # numbers of the waiting messages that are media
        self._queued: deque[OutboxEntry] = deque()
        self._sent: deque[OutboxEntry] = deque()
        self._sent_size = 0
        self._evicted = _Ledger()
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
            payload: Its text.
            at: Clock reading.
            media: See `OutboxEntry`; in transparent mode nothing is worthless.
            awaiting: See `OutboxEntry`.
            calls: See `OutboxEntry`.
            waits: Whether it waits for a connection; otherwise it goes on the present one, where nothing waits before
                it, and has to be numbered.
        """
        self.accepted += 1
        media = media and not self.transparent
        entry = OutboxEntry(
            number=self.accepted, kind=kind, payload=payload, at=at, media=media, awaiting=awaiting, calls=calls
        )
        if not waits:
            self._queued.append(entry)
            return entry
        self._waiting[entry.number] = entry
        self.waiting_size += entry.size
        if media:
            self.media_size += entry.size
            self._media.append(entry.number)
        return entry

    # --- while away ---------------------------------------------------------------------------------------------

    def _remove(self, number: int) -> OutboxEntry:
        entry = self._waiting.pop(number)
        self.waiting_size -= entry.size
        if entry.media:
            self.media_size -= entry.size
        return entry

    def _oldest_media(self) -> int | None:
        while self._media and self._media[0] not in self._waiting:
            self._media.popleft()
        return self._media[0] if self._media else None

    def drop_oldest(self, most: int, into: MessageCounts, *, media: bool) -> None:
        """Drop the oldest new messages until no more than so many bytes of them wait.

        Args:
            most: How many bytes.
            into: Where to count them.
            media: Drop audio and video only.
        """
        while self.waiting_size > most:
            number = self._oldest_media() if media else next(iter(self._waiting))
            if number is None:
                return
            into.add(self._remove(number))

    def drop_expired(self, before: float, into: MessageCounts) -> None:
        """Drop audio and video that was accepted before a clock reading and has not left."""
        while (number := self._oldest_media()) is not None and self._waiting[number].at < before:
            into.add(self._remove(number))
        self._drop_returned(lambda entry: entry.media and entry.at < before, into)

    def discard_answers(self, into: MessageCounts, calls: Container[str] | None = None) -> None:
        """Drop every waiting message that answers tool calls.

        Args:
            into: Where to count them.
            calls: Only if one of these is among them.
        """

        def drop(entry: OutboxEntry) -> bool:
            return bool(entry.calls) if calls is None else any(key in calls for key in entry.calls)

        self._drop_returned(drop, into)
        for number in [number for number, entry in self._waiting.items() if drop(entry)]:
            into.add(self._remove(number))

    def discard_all(self, *, sent: bool) -> tuple[MessageCounts, MessageCounts]:
        """Drop everything that waits; gives what never left, and what had left.

        Args:
            sent: Whether to drop the latter too; it stays otherwise.
        """
        never, before = MessageCounts(), MessageCounts()
        self._drop_returned(lambda entry: not entry.again, never)
        for number in list(self._waiting):
            never.add(self._remove(number))
        if sent:
            self._drop_returned(lambda _: True, before)
        return never, before

    def _drop_returned(self, drop: Callable[[OutboxEntry], bool], into: MessageCounts) -> None:
        kept: deque[OutboxEntry] = deque()
        for entry in self._returned:
            if drop(entry):
                into.add(entry)
            else:
                kept.append(entry)
        self._returned = kept

    # --- out ----------------------------------------------------------------------------------------------------

    def flush(self) -> Sequence[OutboxEntry]:
        """Queue everything that waits on the present connection; gives it in order, to be numbered."""
        entries = (*self._returned, *self._waiting.values())
        self._returned.clear()
        self._waiting.clear()
        self._media.clear()
        self.waiting_size = self.media_size = 0
        self._queued.extend(entries)
        return entries

    @property
    def queued(self) -> bool:
        """Whether a message is on the present connection and has not left."""
        return bool(self._queued)

    def take(self, at: float) -> Sequence[OutboxEntry]:
        """What was queued leaves now; gives it."""
        if not self._queued:
            return ()
        entries = tuple(self._queued)
        self._queued.clear()
        self.newest_sent = entries[-1].number
        if self.transparent:
            self._sent.extend(entries)
            self._sent_size += sum(entry.size for entry in entries)
            while self._sent_size > self._max_sent:
                oldest = self._sent.popleft()
                self._sent_size -= oldest.size
                self._evicted.add(_Group(oldest.index, at, _counts((oldest,))))
        else:
            self._ledger.add(_Group(self.newest_sent, at, _counts(entries)))
        return entries

    # --- what the server has ------------------------------------------------------------------------------------

    def acknowledge(self, index: int) -> None:
        """Transparent mode: the newest handle includes the messages up to this index of the present connection."""
        self._evicted.take(index, float("inf"), self.kept)
        while self._sent and self._sent[0].index <= index:
            entry = self._sent.popleft()
            self._sent_size -= entry.size
            self.kept.add(entry)

    def confirm(self, last: int, at: float) -> None:
        """Otherwise: a handle came after the messages up to number ``last`` that left at ``at`` or before."""
        self._ledger.take(last, at, self.kept)

    def connection_lost(self) -> MessageCounts:
        """The connection ended: what has to go out on the next one waits again, before all new messages.

        Returns:
            What left and cannot go out again.
        """
        lost = self.unconfirmed()
        self._evicted.groups.clear()
        self._ledger.groups.clear()
        for entry in self._sent:
            entry.again = True
        self.restore((*self._sent, *self._queued))
        self._sent.clear()
        self._queued.clear()
        self._sent_size = 0
        return lost

    def session_abandoned(self) -> MessageCounts:
        """The session is given up for a new one: gives what only the old one has."""
        kept, self.kept = self.kept, MessageCounts()
        return kept

    # --- moving -------------------------------------------------------------------------------------------------

    def pending(self) -> tuple[OutboxEntry, ...]:
        """What would go out on another connection if the present one ended now, in order."""
        return (*self._returned, *self._sent, *self._queued, *self._waiting.values())

    def unconfirmed(self) -> MessageCounts:
        """What would be lost if the present connection ended now."""
        total = MessageCounts()
        for group in (*self._evicted.groups, *self._ledger.groups):
            total.merge(group.counts)
        return total

    def restore(self, entries: Iterable[OutboxEntry]) -> None:
        """Put messages of an earlier connection behind those that came back before."""
        for entry in entries:
            entry.index = 0
            self._returned.append(entry)


def _counts(entries: Iterable[OutboxEntry]) -> MessageCounts:
    counts = MessageCounts()
    for entry in entries:
        counts.add(entry)
    return counts
