"""The outbox and its books by themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from live_protocol.events import InputLost, LossReason
from live_protocol.reconnect import MessageCounts, Outbox, OutboxEntry


def entry(number: int, kind: str = "client_content") -> OutboxEntry:
    return OutboxEntry(number=number, kind=kind, payload=b"{}", at=0.0)


def counts(numbers: list[int]) -> MessageCounts:
    total = MessageCounts()
    for number in numbers:
        total.add(entry(number))
    return total


def ranges(numbers: set[int]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if merged and merged[-1][1] + 1 == number:
            merged[-1] = (merged[-1][0], number)
        else:
            merged.append((number, number))
    return merged


@given(st.lists(st.sets(st.integers(1, 30)), min_size=1, max_size=5))
def test_counts_keep_ranges(groups: list[set[int]]) -> None:
    seen: set[int] = set()
    total = MessageCounts()
    for group in groups:
        new = list(group - seen)
        seen |= group
        total.merge(counts(new))
    assert list(total.ranges) == ranges(seen)
    assert (total.count, total.size, sum(total.kinds.values())) == (len(seen), 2 * len(seen), len(seen))
    again = MessageCounts(total.kinds, total.ranges, total.size)
    assert again.report(LossReason.STALE) == total.report(LossReason.STALE)


def test_a_report() -> None:
    total = counts([3, 1, 2, 7])
    total.add(entry(8, "tool_response"))
    assert total.report(LossReason.UNCONFIRMED, certain=False) == InputLost(
        count=5,
        kinds={"client_content": 4, "tool_response": 1},
        size=10,
        reason=LossReason.UNCONFIRMED,
        certain=False,
        numbers=((1, 3), (7, 8)),
    )


def test_the_life_of_a_message() -> None:
    outbox = Outbox(transparent=True, max_sent=1000)
    first = outbox.add("client_content", b"{}", 0.0, waits=False)
    first.index = 1
    assert outbox.queued
    assert outbox.take(1.0) == (first,)
    assert outbox.take(2.0) == ()
    assert not outbox.queued
    second = outbox.add("client_content", b"{}", 0.0, waits=True)
    assert outbox.pending() == (first, second)
    assert outbox.connection_lost().count == 0
    assert (first.again, first.index, second.again) == (True, 0, False)
    assert outbox.flush() == (first, second)
    first.index, second.index = 1, 2
    outbox.take(3.0)
    outbox.acknowledge(1)
    assert outbox.pending() == (second,)
    assert outbox.kept.ranges == ((1, 1),)
    assert outbox.session_abandoned().ranges == ((1, 1),)
    assert outbox.kept.count == 0


def test_messages_that_left_are_counted_one_by_one_for_a_while() -> None:
    """Those that left long ago are one sum, which a handle includes as a whole or not at all."""
    outbox = Outbox(transparent=False, max_sent=1000)
    for number in range(1, 201):
        outbox.add("realtime_input.audio", b"{}", 0.0, media=True, waits=False)
        outbox.take(float(number))
    outbox.confirm(200, 20.0)
    assert outbox.kept.count == 0
    outbox.confirm(20, 200.0)
    assert outbox.kept.count == 0
    outbox.confirm(200, 150.0)
    assert outbox.kept.ranges == ((1, 150),)
    outbox.confirm(160, 200.0)
    assert outbox.kept.ranges == ((1, 160),)
    lost = outbox.connection_lost()
    assert (lost.ranges, lost.kinds, lost.size) == (((161, 200),), {"realtime_input.audio": 40}, 80)
    assert outbox.unconfirmed().count == 0


def test_messages_that_left_together_are_confirmed_together() -> None:
    outbox = Outbox(transparent=False, max_sent=1000)
    for kind in ("client_content", "realtime_input.text"):
        outbox.add(kind, b"{}", 0.0, waits=False)
    outbox.take(1.0)
    outbox.confirm(1, 2.0)
    assert outbox.kept.count == 0
    outbox.confirm(2, 2.0)
    assert outbox.kept.kinds == {"client_content": 1, "realtime_input.text": 1}


def test_no_content_in_texts() -> None:
    assert "secret" not in repr(OutboxEntry(number=1, kind="client_content", payload=b"secret", at=0.0))


class Rows:
    """What the ledger of an outbox does, one row at a time: each is numbers, kinds, sizes and a time."""

    def __init__(self) -> None:
        self.rows: list[tuple[list[tuple[int, str, int]], float]] = []
        self.summed: list[tuple[int, str, int]] = []
        self.summed_at = float("-inf")

    def add(self, messages: list[tuple[int, str, int]], at: float) -> None:
        self.rows.append((messages, at))
        if len(self.rows) > 96:
            self.summed += [message for row, _ in self.rows[:32] for message in row]
            self.summed_at = self.rows[31][1]
            del self.rows[:32]

    def confirm(self, last: int, at: float) -> list[tuple[int, str, int]]:
        if self.summed_at > at or (self.summed and self.summed[-1][0] > last):
            return []
        confirmed, self.summed = self.summed, []
        while self.rows and self.rows[0][0][-1][0] <= last and self.rows[0][1] <= at:
            confirmed += self.rows.pop(0)[0]
        return confirmed

    @property
    def unconfirmed(self) -> list[tuple[int, str, int]]:
        return self.summed + [message for row, _ in self.rows for message in row]


def counted(messages: list[tuple[int, str, int]]) -> tuple[object, ...]:
    total = MessageCounts()
    for number, kind, size in messages:
        total.add_one(kind, number, size)
    return total.count, total.size, total.kinds, total.ranges


def counted_by(counts: MessageCounts) -> tuple[object, ...]:
    return counts.count, counts.size, counts.kinds, counts.ranges


AUDIO = "realtime_input.audio"
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(1, 40), st.sampled_from([2, 2, 2, 3, 65_535, 65_536])),
        st.tuples(st.just("entry"), st.integers(1, 3), st.sampled_from([AUDIO, "client_content", "tool_response"])),
        st.tuples(st.just("gap"), st.integers(1, 3), st.just(0)),
        st.tuples(st.just("confirm"), st.integers(0, 150), st.integers(-3, 120)),
        st.tuples(st.just("lose"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS)
def test_the_ledger_counts_as_if_it_kept_a_row_for_everything_that_left(steps: list[tuple[str, int, object]]) -> None:
    outbox, rows, kept, now = Outbox(transparent=False, max_sent=1000), Rows(), list[tuple[int, str, int]](), 0.0
    for what, count, detail in steps:
        if what == "audio":  # each leaves alone, as in a voice session
            for _ in range(count):
                outbox.accepted += 1
                outbox.unsent.append((outbox.accepted, bytes(detail), now))  # type: ignore[call-overload]
                outbox.left(now)
                rows.add([(outbox.accepted, AUDIO, detail)], now)  # type: ignore[list-item]
                now += 1.0
        elif what == "entry":  # they leave together
            for _ in range(count):
                outbox.add(str(detail), b"{}", now, waits=False)
            outbox.left(now)
            rows.add([(outbox.accepted - back, str(detail), 2) for back in reversed(range(count))], now)
            now += 0.5
        elif what == "gap":  # messages that were dropped while there was no connection
            outbox.accepted += count
        elif what == "confirm":
            outbox.confirm(outbox.newest_sent - count, now - float(str(detail)))
            kept += rows.confirm(outbox.newest_sent - count, now - float(str(detail)))
        else:
            assert counted_by(outbox.connection_lost()) == counted(rows.unconfirmed)
            rows = Rows()
        assert counted_by(outbox.kept) == counted(kept)
        assert counted_by(outbox.unconfirmed()) == counted(rows.unconfirmed)


def test_audio_that_did_not_leave_is_an_entry_again() -> None:
    outbox = Outbox(transparent=False, max_sent=1000)
    outbox.accepted = 7
    outbox.unsent.append((7, b"{}", 1.5))
    (entry,) = outbox.pending()
    assert (entry.number, entry.kind, entry.payload, entry.at, entry.media) == (7, AUDIO, b"{}", 1.5, True)
    assert outbox.connection_lost().count == 0
    assert [entry.number for entry in outbox.flush()] == [7]
