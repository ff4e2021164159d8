"""From records to spans, marks and measures."""

from __future__ import annotations

import json
import math
from typing import Any

import attrs
import pytest

from core.recording import scenes
from core.recording.support import (
    READY,
    SETUP,
    answer,
    ask,
    begun,
    blob,
    call,
    content,
    down,
    kinds,
    mark,
    mic,
    note,
    pcm,
    up,
    voice,
)
from live_protocol.recording import ENVELOPE_STEP, Distribution, GapKind, Timeline, TranscriptKind

about = pytest.approx


# --- time -------------------------------------------------------------------------------------------------------


def test_nothing() -> None:
    timeline = Timeline.from_records([])
    assert not timeline.timed
    assert (timeline.duration, timeline.end) == (0.0, 0.0)
    assert timeline.connections == timeline.turns == timeline.marks == ()
    assert timeline.summary.first_audio is None
    assert not timeline.summary.end.recorded


def test_times_count_from_the_first_record_and_never_go_back() -> None:
    timeline = Timeline.from_records([up(1e9, SETUP), down(1e9 + 2, READY), content(1e9 + 1, turnComplete=True)])
    assert timeline.timed
    assert timeline.connections[0].ready == 2.0
    assert mark(timeline, "turn complete").at == 2.0
    assert timeline.duration == 2.0


def test_times_too_far_apart_to_subtract() -> None:
    timeline = Timeline.from_records([up(-1.7e308, SETUP), down(1.7e308, READY)])
    assert timeline.duration == 0.0


@pytest.mark.parametrize("odd", [None, math.nan, math.inf])
def test_without_times_messages_are_spaced_evenly(odd: float | None) -> None:
    records = [up(0.0, SETUP), down(0.2, READY), ask(0.3), voice(odd, 3.0), content(5.0, interrupted=True)]
    timeline = Timeline.from_records(records)
    assert not timeline.timed
    assert timeline.duration == about(0.4)
    assert timeline.connections[0].ready == about(0.1)
    (strip,) = timeline.model_audio
    assert (strip.start, strip.end, strip.seconds, strip.heard) == (about(0.3), about(0.4), 3.0, 3.0)
    summary = timeline.summary
    assert (summary.duration, summary.first_audio, summary.model_audio_heard) == (0.0, None, None)
    assert summary.model_audio == 3.0
    assert "time_to_first_audio" not in timeline.to_dict()["turns"][0]


@pytest.mark.parametrize("gap", [0, -1, math.nan])
def test_a_gap_is_positive(gap: float) -> None:
    with pytest.raises(ValueError, match="gap"):
        Timeline.from_records([], gap=gap)


# --- audio ------------------------------------------------------------------------------------------------------


def test_the_users_audio_lies_where_it_was_sent() -> None:
    timeline = begun(*[mic(1 + n / 10, level=0x7F if n == 2 else 0x20) for n in range(5)])
    (strip,) = timeline.user_audio
    assert (strip.start, strip.end) == (about(1.0), about(1.5))
    assert (strip.seconds, strip.heard, strip.chunks, strip.rate) == (about(0.5), about(0.5), 5, 16_000)
    assert strip.size == 16_000
    assert list(strip.envelope) == [0x20] * 10 + [0x7F] * 5 + [0x20] * 10
    assert len(strip.envelope) * ENVELOPE_STEP == about(strip.seconds)
    assert timeline.summary.user_audio == about(0.5)


def test_faster_than_real_time_it_takes_less_room() -> None:
    timeline = begun(mic(1.0, 1.0), mic(1.1, 1.0), mic(1.2, 0.5), mic(9.0, 1.0))
    first, second = timeline.user_audio
    assert (first.start, first.end, first.seconds) == (about(1.0), about(1.7), about(2.5))
    assert second.start == about(9.0)
    timeline = begun(mic(1.0, 5.0), mic(1.1, 0.1, rate=8000))
    assert [strip.rate for strip in timeline.user_audio] == [16_000, 8000]
    assert timeline.user_audio[0].end == timeline.user_audio[1].start


def test_an_envelope_across_chunks_of_any_size() -> None:
    odd = [up(1.0 + n / 100, {"realtimeInput": {"audio": blob(pcm(0.0131))}}) for n in range(3)]
    (strip,) = begun(*odd, up(2.0, {"realtimeInput": {"audio": blob(b"")}})).user_audio
    assert strip.chunks == 3
    assert list(strip.envelope) == [0x40, 0x40]  # 0.0393 s: one whole step and most of another
    negative = {"realtimeInput": {"audio": blob(b"\xff\xff" * 320 + b"\x00\x80" * 320)}}
    assert list(begun(up(1.0, negative)).user_audio[0].envelope) == [0, 127]


def test_stereo_and_other_media() -> None:
    stereo = {"realtimeInput": {"mediaChunks": [blob(bytes(6400), "audio/pcm;rate=16000;channels=2")]}}
    video = {"realtimeInput": {"video": blob(b"1234", "image/jpeg")}}
    timeline = begun(up(1.0, stereo), up(1.1, video))
    assert timeline.user_audio[0].seconds == about(0.1)
    assert timeline.user_audio[0].channels == 2
    assert len(timeline.user_audio[0].envelope) == 5
    assert mark(timeline, "media").detail == "image/jpeg, 4 bytes"


def test_the_models_audio_lies_where_it_plays() -> None:
    timeline = begun(ask(1.0), voice(1.5, 1.0), voice(1.6, 1.0), voice(1.7, 1.0), content(4.5, turnComplete=True))
    (strip,) = timeline.model_audio
    assert (strip.start, strip.end, strip.heard, strip.turn) == (about(1.5), about(4.5), about(3.0), 1)
    assert timeline.turns[0].audio == timeline.turns[0].heard == about(3.0)


def test_an_interruption_cuts_what_has_not_played() -> None:
    records = [ask(1.0), voice(1.5, 1.0), voice(3.0, 2.0), voice(3.1, 2.0), content(4.0, interrupted=True)]
    timeline = begun(*records, voice(4.1, 0.5), content(4.2, turnComplete=True), ask(4.3), voice(4.5, 1.0))
    first, second, stale, fresh = timeline.model_audio
    assert (first.heard, first.turn) == (about(1.0), 1)
    assert (second.seconds, second.heard) == (about(4.0), about(1.0))
    assert (stale.stale, stale.heard, stale.start) == (True, 0.0, about(4.1))
    assert (fresh.start, fresh.turn) == (about(4.5), 2)
    turn = timeline.turns[0]
    assert (turn.interrupted, turn.audio, turn.heard) == (about(4.0), about(5.0), about(2.0))
    summary = timeline.summary
    assert (summary.interruptions, summary.model_audio, summary.model_audio_heard) == (1, about(6.5), about(3.0))
    assert timeline.end == about(5.5)


def test_the_picture_ends_when_the_audio_does() -> None:
    assert begun(ask(1.0), voice(1.5, 10.0)).end == about(11.5)
    assert begun(mic(1.0, 3.0)).end == about(4.0)


def test_an_interruption_without_a_turn_and_audio_before_any() -> None:
    timeline = begun(content(1.0, interrupted=True))
    assert mark(timeline, "interrupted").detail == "no turn"
    assert timeline.summary.interruptions == 0
    timeline = begun(content(1.0, interrupted=True), voice(1.1))
    assert len(timeline.model_audio) == 1


# --- turns ------------------------------------------------------------------------------------------------------


def test_a_turn() -> None:
    timeline = begun(
        ask(1.0),
        content(1.4, modelTurn={"parts": [{"text": "hm", "thought": True}]}),
        content(1.5, outputTranscription={"text": ""}),
        content(1.6, outputTranscription={"text": "Yes"}),
        voice(1.7),
        voice(1.8),
        content(1.9, generationComplete=True),
        down(2.0, {"serverContent": {"turnComplete": True}, "usageMetadata": {"totalTokenCount": 12}}),
        down(2.1, {"usageMetadata": {"totalTokenCount": 3}}),
    )
    (turn,) = timeline.turns
    assert (turn.number, turn.connection, turn.start, turn.end) == (1, 1, about(1.4), about(2.0))
    assert (turn.asked, turn.asked_by) == (about(1.0), "text")
    assert turn.time_to_first_text == about(0.6)
    assert turn.time_to_first_audio == about(0.7)
    assert (turn.generated, turn.tokens, turn.reason) == (about(1.9), 15, "")
    assert timeline.summary.usage.total_tokens == 15
    assert timeline.summary.usage.last is None
    assert timeline.summary.first_audio == Distribution(count=1, median=about(0.7), p95=about(0.7), maximum=about(0.7))
    shown = timeline.to_dict()["turns"][0]
    assert shown["time_to_first_audio"] == about(0.7)


@pytest.mark.parametrize(
    ("records", "by", "at"),
    [
        ([mic(1.0), mic(1.1), mic(1.2, level=0)], "audio", 1.1),
        ([mic(1.0), up(1.3, {"realtimeInput": {"audioStreamEnd": True}})], "audio stream end", 1.3),
        ([up(1.0, {"realtimeInput": {"activityStart": {}}}), mic(1.1), up(1.4, {"realtimeInput": {"activityEnd": {}}})],
         "activity end", 1.4),
        ([up(1.0, {"realtimeInput": {"text": "Hi"}})], "text", 1.0),
        ([ask(1.0, complete=False)], "", None),
        ([mic(1.0, level=2)], "", None),
        ([answer(1.0, {"id": "x"})], "tool response", 1.0),
        ([up(1.0, {"clientContent": {"turnComplete": True}})], "text", 1.0),
    ],
)  # fmt: skip
def test_what_a_turn_answers(records: list[Any], by: str, at: float | None) -> None:
    turn = begun(*records, voice(2.0)).turns[0]
    assert (turn.asked_by, turn.asked) == (by, None if at is None else about(at))
    assert turn.time_to_first_audio == (None if at is None else about(2.0 - at))
    assert turn.time_to_first_text is None


def test_input_is_answered_once() -> None:
    timeline = begun(ask(1.0), voice(1.5), content(1.6, turnComplete=True), voice(3.0))
    assert [turn.asked for turn in timeline.turns] == [about(1.0), None]
    assert timeline.summary.first_audio is not None
    assert timeline.summary.first_audio.count == 1


def test_ends_of_turns() -> None:
    timeline = begun(
        content(1.0, turnComplete=True),
        content(1.1, generationComplete=True),
        content(1.2, turnComplete=True, turnCompleteReason="MALFORMED_FUNCTION_CALL"),
        content(1.3, generationComplete=True),
    )
    assert [turn.reason for turn in timeline.turns] == ["MALFORMED_FUNCTION_CALL", ""]
    assert timeline.turns[1].end is None
    assert timeline.summary.problems == {"turn complete": 1}
    assert timeline.turns[1].generated == about(1.3)
    late = begun(voice(1.0), note(1.1, "closed"), content(1.2, generationComplete=True), voice(1.3))
    assert (late.turns[0].generated, late.turns[0].end) == (None, about(1.1))


# --- words ------------------------------------------------------------------------------------------------------


def test_words() -> None:
    timeline = begun(
        up(1.0, {"clientContent": {"turns": [
            {"role": "model", "parts": [{"text": "before"}]},
            {"parts": [{"text": "a"}, {"text": "b"}, {"inlineData": blob(b"1", "image/png")}]}, {"parts": []},
        ]}}),
        content(1.2, inputTranscription={"text": "Hel"}),
        content(1.3, interimInputTranscription={"text": "lo"}),
        content(1.4, inputTranscription={"text": "lo."}),
        content(1.5, modelTurn={"parts": [{"text": "thinking", "thought": True}]}),
        content(1.6, outputTranscription={"text": "Good"}),
        content(1.9, outputTranscription={"text": " day"}),
        content(2.0, interrupted=True),
        content(2.1, turnComplete=True),
    )  # fmt: skip
    said = [(one.kind, one.text, one.start, one.end, one.interrupted, one.turn) for one in timeline.said]
    assert said == [
        (TranscriptKind.WRITTEN, "a b", about(1.0), about(1.0), False, 0),
        (TranscriptKind.HEARD, "Hello.", about(1.2), about(1.4), False, 0),
        (TranscriptKind.THOUGHT, "thinking", about(1.5), about(1.5), True, 1),
        (TranscriptKind.SAID, "Good day", about(1.6), about(1.9), True, 1),
    ]
    assert mark(timeline, "history").detail == "before"
    assert mark(timeline, "media").sent is True


def test_words_before_any_turn_and_content_without_any() -> None:
    timeline = begun(content(1.0, inputTranscription={"text": "x"}), up(1.1, {"clientContent": {}}))
    assert timeline.said[0].turn == 0
    assert mark(timeline, "client content").detail == ""
    assert mark(begun(up(1.1, {"clientContent": {"turnComplete": True}})), "client content").detail == "go on"


# --- tools ------------------------------------------------------------------------------------------------------


def test_calls() -> None:
    timeline = begun(
        call(1.0, {"id": "1", "name": "f", "args": {"q": "x"}}, {"id": "2", "name": "g"}, {"id": "3", "name": "h"}),
        answer(1.5, {"id": "1", "name": "f", "response": {"output": "first"}, "willContinue": True}),
        answer(1.8, {"id": "1", "name": "f", "response": {"output": "ok"}}),
        down(2.0, {"toolCallCancellation": {"ids": ["2", "unknown"]}}),
        down(2.2, {"toolCallCancellation": {"ids": ["2"]}}),
    )
    first, second, third = timeline.tools
    assert (first.name, first.arguments, first.response) == ("f", '{"q": "x"}', '{"output": "ok"}')
    assert (first.latency, first.turn, first.connection) == (about(0.8), 1, 1)
    assert (second.cancelled, second.latency) == (about(2.0), None)
    assert third.answered is third.cancelled is None
    assert mark(timeline, "tool cancelled").problem
    summary = timeline.summary
    assert (summary.tool_calls, summary.tool_cancelled, summary.tool_unanswered) == (3, 1, 1)
    assert summary.tool_latency is not None
    assert summary.tool_latency.median == about(0.8)
    assert timeline.to_dict()["tools"][0]["latency"] == about(0.8)


def test_calls_without_ids() -> None:
    timeline = begun(
        call(1.0, {"name": "f"}, {"name": "f"}, {}),
        answer(1.5, {"name": "f", "willContinue": True}),
        answer(1.6, {"name": "f"}),
        answer(1.8, {"name": "f"}),
        answer(1.9, {"name": "f"}),
        answer(2.0, {}),
        answer(2.1, {"id": "unknown"}),
    )
    assert [one.latency for one in timeline.tools] == [about(0.6), about(0.8), about(1.0)]
    assert [one.detail for one in timeline.marks if one.kind == "tool response"] == [
        "to an unknown call: f {}",
        "to an unknown call:  {}",
    ]


def test_long_arguments_are_cut() -> None:
    tool = begun(call(1.0, {"id": "1", "name": "f", "args": {"q": "x" * 10_000}})).tools[0]
    assert len(tool.arguments) < 2100
    assert tool.arguments.endswith("…")


# --- gaps and pings ---------------------------------------------------------------------------------------------


def test_silence() -> None:
    timeline = Timeline.from_records(
        [up(0.0, SETUP), down(0.1, READY), ask(3.0), voice(3.2), note(9.0, "closed")], gap=2.5
    )
    assert [(gap.kind, gap.start, gap.end) for gap in timeline.gaps] == [
        (GapKind.SILENCE, about(0.1), about(3.0)),
        (GapKind.SILENCE, about(3.2), about(9.0)),
    ]
    assert timeline.summary.silences == 2
    assert timeline.summary.gap_seconds == about(8.7)


def test_an_underrun() -> None:
    timeline = begun(ask(1.0), voice(1.1, 0.5), voice(1.62, 0.5), voice(2.5, 0.5), content(3.0, turnComplete=True))
    (gap,) = timeline.gaps
    assert (gap.kind, gap.start, gap.end, gap.turn) == (GapKind.UNDERRUN, about(2.12), about(2.5), 1)
    assert gap.seconds == about(0.38)
    assert timeline.summary.underruns == 1
    assert len(timeline.model_audio) == 3


def test_pings() -> None:
    timeline = Timeline.from_records(
        [note(0.0, "connected"), note(1.0, "pong", rtt=0.1), note(2.0, "pong", rtt=1), note(3.0, "pong"),
         note(4.0, "pong", rtt="fast"), note(4.0, "pong", rtt=-1), note(4.0, "pong", rtt=10**400), note(5.0, "ping")]
    )  # fmt: skip
    assert [(ping.at, ping.rtt) for ping in timeline.pings] == [(1.0, 0.1), (2.0, 1.0)]
    assert timeline.summary.pings == Distribution(count=2, median=about(0.55), p95=1.0, maximum=1.0)
    assert "ping" in kinds(timeline)


def test_spreads() -> None:
    assert Distribution.from_values([None]) is None
    assert Distribution.from_values([3, None, 1, 2]) == Distribution(count=3, median=2, p95=3, maximum=3)
    spread = Distribution.from_values(range(1, 101))
    assert spread is not None
    assert (spread.median, spread.p95, spread.maximum) == (50.5, 95, 100)


# --- connections ------------------------------------------------------------------------------------------------


def test_a_close() -> None:
    facts: dict[str, Any] = {"code": 1011, "reason": "Deadline expired before operation", "clean": False}
    timeline = begun(
        voice(1.0), down(1.5, {"goAway": {"timeLeft": "5s"}}),
        note(2.0, "closed", initiator="remote", error={"class": "ServerClosed", "text": "oops"}, **facts),
    )  # fmt: skip
    (connection,) = timeline.connections
    assert (connection.start, connection.ready, connection.end) == (0.0, about(0.2), about(2.0))
    assert (connection.going_away, connection.model) == (about(1.5), "models/m")
    end = timeline.summary.end
    assert (end.code, end.clean, end.initiator, end.error) == (1011, False, "remote", "ServerClosed: oops")
    assert "stalled turn" in end.hint  # known from the reason
    assert timeline.turns[0].end == timeline.turns[0].interrupted == about(2.0)
    assert mark(timeline, "closed").problem
    assert mark(timeline, "go away").detail == "5 s left"


def test_a_recorded_hint_and_odd_facts() -> None:
    end = begun(note(1.0, "closed", code=1000, clean=True, hint="as it said", reason=5)).summary.end
    assert (end.hint, end.clean, end.reason) == ("as it said", True, "")
    end = begun(note(1.0, "closed", code=10**30, error="text", clean="yes")).summary.end
    assert (end.recorded, end.code, end.clean, end.error) == (True, None, False, "")
    assert "network failed" in end.hint
    rejected = mark(Timeline.from_records([note(0.0, "rejected", status=403)]), "rejected")
    assert (rejected.detail, rejected.problem) == ("HTTP 403", True)


def test_no_end() -> None:
    assert begun().summary.end.hint == ""
    end = begun(down(1.0, {"goAway": {}})).summary.end
    assert not end.recorded
    assert "announced" in end.hint


def test_connections_follow_one_another() -> None:
    resumes = {"setup": {"model": "models/other", "sessionResumption": {"handle": "h"}}}
    timeline = Timeline.from_records(
        [
            up(0.0, SETUP), note(0.1, "connected", compression=True), down(0.2, READY), voice(0.5), note(1.0, "closed"),
            note(2.0, "closed"),  # an attempt that failed
            up(3.0, resumes), note(3.1, "connected"), down(3.2, READY),
            note(4.0, "connected"), up(4.1, SETUP),  # the recorder was in the server's end, and saw no close
            up(5.0, SETUP),
        ]
    )  # fmt: skip
    assert [one.start for one in timeline.connections] == [0.0, 2.0, 3.0, 4.0, 5.0]
    assert [one.resumes for one in timeline.connections] == [False, False, True, False, False]
    assert [one.end for one in timeline.connections] == [1.0, 2.0, None, None, None]
    assert [(gap.kind, gap.start, gap.end) for gap in timeline.gaps] == [
        (GapKind.OUTAGE, 1.0, 2.0),
        (GapKind.OUTAGE, 2.0, 3.0),
    ]
    assert timeline.summary.outages == 2
    assert timeline.summary.model == "models/m"
    assert timeline.turns[0].end == 1.0
    assert [one.detail for one in timeline.marks if one.kind == "connected"] == ["compressed", "", ""]


def test_unknown_notes_are_skipped() -> None:
    timeline = Timeline.from_records([note(0.0, "of-a-later-version", x=1), note(1.0, "connected")])
    assert kinds(timeline) == ["connected"]
    assert timeline.duration == 1.0


# --- the whole --------------------------------------------------------------------------------------------------


def test_a_conversation() -> None:
    timeline = Timeline.from_records(scenes.records())
    summary = timeline.summary
    assert timeline.timed
    assert (summary.connections, summary.turns, summary.interruptions, summary.outages) == (2, 6, 1, 1)
    assert (summary.tool_calls, summary.tool_unanswered) == (1, 0)
    assert summary.tool_latency is not None
    assert summary.tool_latency.median == about(0.7, abs=0.02)
    assert summary.first_audio is not None
    assert summary.first_audio.median == about(0.42, abs=0.03)  # 0.35 s of thinking and the way there and back
    assert summary.pings is not None
    assert summary.pings.median == about(0.06, abs=0.011)
    assert summary.user_audio == about(3.47, abs=0.01)
    assert summary.model_audio_heard is not None
    assert summary.model_audio_heard < summary.model_audio
    assert (summary.end.code, summary.end.reason, summary.end.clean) == (1000, "bye", True)
    assert summary.problems == {"closed": 1}
    assert [one.resumes for one in timeline.connections] == [False, True]
    assert timeline.connections[0].initiator == "transport"
    shown = json.loads(json.dumps(timeline.to_dict()))
    assert set(shown) == {field.name for field in attrs.fields(Timeline)}
    assert shown["gaps"][0]["kind"] == "outage"
    assert isinstance(shown["user_audio"][0]["envelope"], str)
