"""Deadlines fire in order and once, by a clock that never runs backwards."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from live_protocol.timing import Deadline, Deadlines, Timeouts


def due(deadlines: Deadlines, now: float, *, session: bool = False) -> list[Deadline]:
    deadlines.tick(now)
    return list(deadlines.expired(session=session))


def test_deadlines_fire_once_and_in_order() -> None:
    deadlines = Deadlines()
    deadlines.arm(Deadline.OPEN, 10.0)
    assert deadlines.next() is None  # there is no clock yet
    assert not deadlines.expired(session=False)
    assert deadlines.is_armed(Deadline.OPEN)
    assert not due(deadlines, 100.0)
    assert deadlines.next() == 110.0
    deadlines.arm(Deadline.CLOSE, 5.0)
    deadlines.arm(Deadline.PING, 5.0)
    deadlines.arm(Deadline.PONG, None)
    assert not deadlines.is_armed(Deadline.PONG)
    assert deadlines.next() == 105.0
    assert not due(deadlines, 104.999)
    assert due(deadlines, 110.0) == [Deadline.CLOSE, Deadline.PING, Deadline.OPEN]
    assert not due(deadlines, 1000.0)
    assert deadlines.next() is None


def test_link_and_session_fire_only_their_own() -> None:
    deadlines = Deadlines()
    deadlines.tick(0.0)
    deadlines.arm(Deadline.STALL, 1.0)
    deadlines.arm(Deadline.SILENT_LINK, 2.0)
    deadlines.arm(Deadline.SETUP, 3.0)
    assert due(deadlines, 10.0) == [Deadline.SILENT_LINK]
    assert deadlines.next() == 1.0
    assert due(deadlines, 10.0, session=True) == [Deadline.STALL, Deadline.SETUP]


def test_the_session_is_on_hold_while_messages_wait() -> None:
    messages = ["one"]
    deadlines = Deadlines(messages)
    deadlines.tick(0.0)
    deadlines.arm(Deadline.SETUP, 1.0)
    assert deadlines.next() is None
    deadlines.arm(Deadline.PING, 5.0)
    assert deadlines.next() == 5.0
    assert not due(deadlines, 2.0, session=True)
    messages.clear()
    assert deadlines.next() == 1.0
    assert due(deadlines, 2.0, session=True) == [Deadline.SETUP]


@pytest.mark.parametrize("end", [Deadlines.clear, Deadlines.end_session])
def test_a_session_that_has_ended_waits_for_nothing(end: Callable[[Deadlines], None]) -> None:
    deadlines = Deadlines()
    deadlines.arm(Deadline.SETUP, 1.0)
    deadlines.arm(Deadline.OPEN, 1.0)
    end(deadlines)
    assert deadlines.is_armed(Deadline.OPEN) is (end is Deadlines.end_session)
    deadlines.tick(0.0)
    for which in Deadline:
        deadlines.arm(which, 1.0)
    assert not due(deadlines, 2.0, session=True)
    assert Deadline.CLOSE in due(deadlines, 2.0)


def test_a_deadline_can_be_moved_and_dropped() -> None:
    deadlines = Deadlines()
    deadlines.arm(Deadline.OPEN, 1.0)
    deadlines.arm(Deadline.CLOSE, 1.0)
    deadlines.disarm(Deadline.OPEN)
    deadlines.tick(0.0)
    deadlines.arm(Deadline.CLOSE, 7.0)
    assert deadlines.next() == 7.0
    deadlines.arm(Deadline.CLOSE, None)
    assert deadlines.next() is None
    deadlines.disarm(Deadline.CLOSE)
    deadlines.arm(Deadline.PING, 1.0)
    deadlines.clear()
    assert not deadlines.is_armed(Deadline.PING)
    assert not due(deadlines, 100.0)


def test_the_clock_never_runs_backwards() -> None:
    deadlines = Deadlines()
    deadlines.tick(100.0)
    deadlines.tick(50.0)
    assert (deadlines.started, deadlines.now) == (100.0, 100.0)
    deadlines.arm(Deadline.OPEN, 1.0)
    assert not due(deadlines, -1.0)
    assert deadlines.next() == 101.0
    deadlines.tick(101.0)
    assert due(deadlines, 0.0) == [Deadline.OPEN]


@pytest.mark.parametrize("field", attrs.fields(Timeouts), ids=lambda field: field.name)
def test_a_timeout_is_a_positive_number_or_none(field: Any) -> None:
    for good in (None, 0.001, 5, 1e9):
        assert getattr(Timeouts(**{field.name: good}), field.name) == good
    for bad in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"Timeouts.{field.name} must be a positive number"):
            Timeouts(**{field.name: bad})
