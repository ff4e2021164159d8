"""The export in Chrome's Trace Event Format: well-formed, complete, and as discreet as the page."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.recording import scenes
from core.recording.scenes import HANDLE_CANARY, KEY_CANARY
from core.recording.support import RECORDINGS, SETUP, answer, ask, begun, call, content, down, note, up, voice
from core.recording.test_safety import client, frames, hostile, notes, server
from live_protocol.recording import Timeline, TraceRecord, TranscriptKind, chrome_trace, read_websocket_log

Event = dict[str, Any]

REQUIRED = {
    "M": {"name", "args"},
    "X": {"name", "cat", "ts", "dur", "args"},
    "i": {"name", "cat", "ts", "s", "args"},
    "s": {"name", "cat", "ts", "id"},
    "t": {"name", "cat", "ts", "id"},
    "f": {"name", "cat", "ts", "id", "bp"},
}


def checked(timeline: Timeline) -> list[Event]:
    """The events of an export that keeps the format's rules."""
    exported = json.loads(json.dumps(chrome_trace(timeline), allow_nan=False))
    assert exported.keys() == {"traceEvents", "displayTimeUnit", "otherData"}
    events: list[Event] = exported["traceEvents"]
    threads: dict[int, str] = {}
    for event in events:
        assert event.keys() == REQUIRED[event["ph"]] | {"ph", "pid", "tid"}
        assert event["pid"] == 1
        for key in ("tid", "ts", "dur", "id"):
            assert isinstance(event.get(key, 0), int)
            assert 0 <= event.get(key, 0) < 2**53
        if event["ph"] != "M":
            assert event["name"]
            assert event["tid"] in threads
        elif event["name"] == "thread_name":
            assert event["tid"] not in threads
            threads[event["tid"]] = event["args"]["name"]
    assert [event["name"] for event in events if event["tid"] == 0] == ["process_name"]
    assert [event["args"]["sort_index"] for event in events if event["name"] == "thread_sort_index"] == list(threads)
    assert len(set(threads.values())) == len(threads)
    metadata = [event["ph"] == "M" for event in events]
    assert metadata == sorted(metadata, reverse=True)
    times = [event["ts"] for event in events if event["ph"] != "M"]
    assert times == sorted(times)
    nested(events)
    flowing(events)
    return events


def nested(events: list[Event]) -> None:
    """Spans of one thread follow one another or nest."""
    running: defaultdict[int, list[int]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            ends, end = running[event["tid"]], event["ts"] + event["dur"]
            while ends and ends[-1] <= event["ts"]:
                ends.pop()
            assert not ends or end <= ends[-1], event
            ends.append(end)


def flowing(events: list[Event]) -> None:
    """A flow starts once, ends once, and every point of it lies on a span of its thread."""
    flows: defaultdict[int, str] = defaultdict(str)
    for event in events:
        if event["ph"] in "stf":
            flows[event["id"]] += event["ph"]
            spans = [one for one in events if one["ph"] == "X" and one["tid"] == event["tid"]]
            assert any(one["ts"] <= event["ts"] <= one["ts"] + one["dur"] for one in spans)
    assert set(flows.values()) <= {"sf", "stf"}


def lanes(events: list[Event]) -> Counter[str]:
    """How many events each lane has, its further rows included."""
    names = {
        event["tid"]: event["args"]["name"].rstrip(" 0123456789") for event in events if event["name"] == "thread_name"
    }
    return Counter(names[event["tid"]] for event in events if event["ph"] in "Xi")


def expected(timeline: Timeline) -> Counter[str]:
    user = sum(said.kind in (TranscriptKind.HEARD, TranscriptKind.WRITTEN) for said in timeline.said)
    return +Counter(
        {
            "Connection": len(timeline.connections),
            "Turns": len(timeline.turns),
            "User audio": len(timeline.user_audio),
            "Model audio": len(timeline.model_audio),
            "User": user,
            "Model": len(timeline.said) - user,
            "Tools": len(timeline.tools),
            "Gaps": len(timeline.gaps),
            "Pings": len(timeline.pings),
            "Events": len(timeline.marks),
        }
    )


def named(events: list[Event], name: str) -> Event:
    (event,) = [event for event in events if event["name"] == name and event["ph"] in "Xi"]
    return event


# --- a whole conversation ---------------------------------------------------------------------------------------


def test_everything_on_the_timeline_is_there() -> None:
    timeline = Timeline.from_records(scenes.records(), gap=0.8)
    events = checked(timeline)
    assert lanes(events) == expected(timeline)
    assert len(lanes(events)) == 10  # no lane of this conversation is empty
    assert Counter(event["ts"] for event in events if event["ph"] == "i") == Counter(
        round(mark.at * 1e6) for mark in timeline.marks
    )
    turns = [event for event in events if event["ph"] == "X" and event["cat"] == "turn"]
    for event, turn in zip(turns, timeline.turns, strict=True):
        assert turn.end is not None
        assert (event["name"], event["ts"]) == (f"turn {turn.number}", round(turn.start * 1e6))
        assert event["ts"] + event["dur"] == round(turn.end * 1e6)
        assert event["args"]["audio"] == pytest.approx(turn.audio, abs=1e-6)
    (tool,) = [event for event in events if event["ph"] == "X" and event["cat"] == "tool"]
    assert tool["name"] == "get_weather"
    assert json.loads(tool["args"]["arguments"]) == {"city": "Oslo"}
    ping = next(event for event in events if event["name"] == "ping" and event["ph"] == "X")
    assert ping["dur"] == pytest.approx(timeline.pings[0].rtt * 1e6, abs=1)


def test_an_arrow_leads_from_the_turn_to_the_call_and_back() -> None:
    events = checked(Timeline.from_records(scenes.records()))
    (tool,) = [event for event in events if event["ph"] == "X" and event["cat"] == "tool"]
    start, step, finish = [event for event in events if event["ph"] in "stf"]
    assert (start["ph"], step["ph"], finish["ph"]) == ("s", "t", "f")
    assert (step["tid"], step["ts"]) == (tool["tid"], tool["ts"])
    assert finish["ts"] == tool["ts"] + tool["dur"]
    turns = [event for event in events if event["ph"] == "X" and event["tid"] == start["tid"] == finish["tid"]]
    assert {event["cat"] for event in turns} == {"turn"}


def test_an_arrow_leads_to_the_next_turn_where_that_answers() -> None:
    timeline = begun(
        ask(0.3),
        call(1.0, {"id": "a", "name": "f"}),
        content(1.1, turnComplete=True),
        answer(1.5, {"id": "a", "name": "f"}),
        voice(2.0),
    )
    events = checked(timeline)
    assert [(event["ph"], event["ts"]) for event in events if event["ph"] in "stf"] == [
        ("s", 1_000_000),
        ("t", 1_000_000),
        ("f", 2_000_000),
    ]
    assert named(events, "turn 2")["ts"] == 2_000_000


def test_no_arrow_leads_to_a_turn_that_was_over() -> None:
    over = content(1.1, turnComplete=True)
    events = checked(begun(ask(0.3), call(1.0, {"id": "a", "name": "f"}), over, answer(1.5, {"id": "a", "name": "f"})))
    assert [event["ph"] for event in events if event["ph"] in "stf"] == ["s", "f"]


def test_the_recording_has_a_name() -> None:
    exported = chrome_trace(begun(), name=f"a {KEY_CANARY} recording")
    assert exported["traceEvents"][0]["args"]["name"] == "Gemini Live session · models/m · a REDACTED recording"
    assert exported["otherData"] == {"timed": True}
    assert chrome_trace(Timeline.from_records([]))["traceEvents"][0]["args"]["name"] == "Gemini Live session"


def test_without_times() -> None:
    timeline = Timeline.from_records([up(None, SETUP), down(None, {"setupComplete": {}}), ask(None)])
    assert chrome_trace(timeline)["otherData"] == {"timed": False}
    assert lanes(checked(timeline)) == expected(timeline)


# --- odd shapes -------------------------------------------------------------------------------------------------


def test_calls_at_once_take_a_row_each_and_give_it_back() -> None:
    timeline = begun(
        ask(0.3),
        call(1.0, {"id": "a", "name": "slow"}),
        call(1.1, {"id": "b", "name": "quick"}),
        answer(1.2, {"id": "b", "name": "quick"}),
        call(1.3, {"id": "c", "name": "third"}),
        answer(1.4, {"id": "c", "name": "third"}, {"id": "a", "name": "slow"}),
        call(1.5, {"id": "d", "name": ""}),
    )
    events = checked(timeline)
    slow, quick, third = (named(events, name) for name in ("slow", "quick", "third"))
    assert quick["tid"] == third["tid"] == slow["tid"] + 1
    last = named(events, "tool")
    assert last["tid"] == slow["tid"]
    assert last["args"]["unfinished"] is True
    assert "unfinished" not in slow["args"]


def test_what_is_still_running_ends_with_the_picture() -> None:
    timeline = begun(ask(0.3), voice(1.0, seconds=2.0))
    events = checked(timeline)
    for name in ("turn 1", "connection 1"):
        event = named(events, name)
        assert event["ts"] + event["dur"] == round(timeline.end * 1e6) == 3_000_000
        assert event["args"]["unfinished"] is True


def test_a_cancelled_call_ends_there() -> None:
    events = checked(begun(call(1.0, {"id": "a", "name": "f"}), down(1.5, {"toolCallCancellation": {"ids": ["a"]}})))
    assert named(events, "f")["dur"] == 500_000


def test_a_long_text_names_its_span_by_its_beginning() -> None:
    text = "word " * 100
    events = checked(begun(ask(1.0, text)))
    (event,) = [event for event in events if event.get("cat") == "words"]
    assert event["name"] == ("word " * 16).strip()
    assert event["args"]["text"] == text


def test_facts_that_are_false_are_told_and_absent_ones_are_not() -> None:
    events = checked(begun(note(1.0, "closed", code=1011, clean=False)))
    connection = named(events, "connection 1")
    assert connection["args"]["clean"] is False
    assert connection["args"]["code"] == 1011
    assert "going_away" not in connection["args"]
    assert named(events, "closed")["args"]["problem"] is True
    assert "sent" not in named(events, "closed")["args"]
    assert named(events, "setup complete")["args"]["sent"] is False


# --- any recording ----------------------------------------------------------------------------------------------


@given(st.lists(frames | notes, max_size=20))
def test_any_records(records: list[TraceRecord]) -> None:
    timeline = Timeline.from_records(records)
    assert lanes(checked(timeline)) == expected(timeline)


@given(st.lists(st.one_of(server, client), max_size=30), st.lists(st.floats(0, 3), min_size=30, max_size=30))
def test_any_session(messages: list[dict[str, Any]], waits: list[float]) -> None:
    now, records = 0.0, []
    for message, wait in zip(messages, waits, strict=False):
        now += wait
        sent = bool({"setup", "clientContent", "realtimeInput", "toolResponse"} & message.keys())
        records.append((up if sent else down)(now, message))
    timeline = Timeline.from_records(records)
    assert lanes(checked(timeline)) == expected(timeline)


def test_no_credential_comes_out() -> None:
    resumes = {"setup": {"model": "models/m", "sessionResumption": {"handle": HANDLE_CANARY}}}
    records = [
        up(0.0, resumes),
        ask(0.2, f"my key is {KEY_CANARY}"),
        call(0.3, {"id": KEY_CANARY, "name": KEY_CANARY, "args": {"api_key": "CANARY", "k": KEY_CANARY}}),
        answer(0.4, {"id": KEY_CANARY, "response": {"Authorization": "Bearer CANARY", "h": HANDLE_CANARY}}),
        content(0.5, outputTranscription={"text": KEY_CANARY}),
        note(0.8, "closed", code=1008, reason=f"no session {HANDLE_CANARY}", error={"text": "token=CANARY"}),
    ]
    assert "CANARY" not in json.dumps(chrome_trace(Timeline.from_records(records), name=KEY_CANARY))
    assert "CANARY" not in json.dumps(chrome_trace(Timeline.from_records(scenes.records())))


def test_hostile_texts_stay_texts() -> None:
    checked(hostile())


@pytest.mark.skipif(not RECORDINGS, reason="the recordings lie beside the repository")
@pytest.mark.parametrize("path", RECORDINGS[:20], ids=lambda path: path.name[5:60])
def test_recordings(path: Any) -> None:
    timeline = Timeline.from_records(read_websocket_log(path.read_bytes()))
    assert lanes(checked(timeline)) == expected(timeline)
