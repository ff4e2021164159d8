"""A summary in words."""

from __future__ import annotations

from typing import Any

import pytest

from core.recording import scenes
from core.recording.support import answer, ask, begun, call, content, down, mic, note, voice
from live_protocol.recording import Timeline
from live_protocol.recording.timeline.figures import Figure, duration, ending, figures, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"), (0.0004, "0 ms"), (0.42, "420 ms"), (0.9994, "999 ms"), (0.9996, "1.00 s"), (9.994, "9.99 s"),
        (9.996, "10.0 s"), (99.94, "99.9 s"), (99.96, "1 min 40 s"), (3725, "62 min 05 s"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.50 MB"), (20_000_000, "20.00 MB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def shown(timeline: Timeline) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures(timeline.summary)}


def test_what_there_is_nothing_of_is_left_out() -> None:
    assert list(shown(Timeline.from_records([]))) == ["duration", "turns", "user audio", "model audio", "traffic"]
    assert shown(Timeline.from_records([]))["user audio"] == Figure("user audio", "none")


def test_everything() -> None:
    found = shown(Timeline.from_records(scenes.records()))
    assert found["duration"].detail == "2 connections"
    assert found["turns"] == Figure("turns", "6", "1 interrupted")
    assert found["time to first audio"].detail.startswith("median of 6; p95 ")
    assert found["model audio"].detail.endswith("of it could be heard")
    assert found["tool calls"] == Figure("tool calls", "1", "median 700 ms")
    assert found["gaps"].detail.startswith("1 silence, 1 outage; ")
    assert found["gaps"].problem
    assert found["ping"].value == "60 ms"
    assert found["tokens"].value == "1,723"
    assert found["problems"] == Figure("problems", "1", "closed", problem=True)


def test_particulars() -> None:
    found = shown(begun(
        ask(1.0), voice(1.2, 0.1), voice(1.5, 0.1), mic(1.6), content(1.7, turnComplete=True),
        call(2.0, {"id": "1", "name": "f"}, {"id": "2", "name": "f"}, {"id": "3", "name": "f"}),
        answer(2.5, {"id": "1"}),
        down(2.6, {"toolCallCancellation": {"ids": ["2"]}}), note(10.0, "closed"),
    ))  # fmt: skip
    assert found["tool calls"] == Figure("tool calls", "3", "median 500 ms, 1 cancelled, 1 unanswered", problem=True)
    assert found["time to first audio"] == Figure("time to first audio", "200 ms", "1 turn")
    assert found["gaps"] == Figure("gaps", "2", "1 silence, 1 underrun; 7.60 s", problem=True)
    assert found["model audio"] == Figure("model audio", "200 ms")
    untimed = shown(Timeline.from_records([call(None, {"id": "1", "name": "f"})]))
    assert untimed["tool calls"].detail == "1 unanswered"
    assert untimed["duration"].value == "not recorded"
    silent = shown(begun(note(10.0, "closed")))
    assert silent["gaps"] == Figure("gaps", "1", "1 silence; 9.80 s")


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"code": 1000, "reason": "bye", "clean": True, "initiator": "remote"},
         "closed with 1000 'bye' by the other end, clean"),
        ({"code": 1006, "initiator": "transport", "error": {"text": "lost"}},
         "closed with 1006 by the transport: lost"),
        ({"initiator": "x"}, "closed with no code"),
    ],
)  # fmt: skip
def test_ends(facts: dict[str, Any], text: str) -> None:
    assert ending(begun(note(1.0, "closed", **facts)).summary.end) == text
    assert ending(begun().summary.end) == "no end was recorded"
