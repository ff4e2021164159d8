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
