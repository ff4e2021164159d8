"""Nothing in a recording makes it fail, and no credential comes out."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.recording import scenes
from core.recording.scenes import HANDLE_CANARY, HOSTILE, KEY_CANARY
from core.recording.support import RECORDINGS, SETUP, answer, ask, begun, blob, call, content, down, note, up
from live_protocol.recording import (
    Timeline,
    TraceFrame,
    TraceNote,
    TraceReader,
    TraceRecord,
    read_websocket_log,
    render,
    write_websocket_log,
)
from live_protocol.recording.timeline.figures import ending, figures

recorded = pytest.mark.skipif(not RECORDINGS, reason="the recordings lie beside the repository")


def everything(records: list[TraceRecord]) -> str:
    """All that can be got out of a timeline."""
    timeline = Timeline.from_records(records)
    words = json.dumps(timeline.to_dict())
    words += repr(timeline) + repr(figures(timeline.summary)) + ending(timeline.summary.end)
    page = render(timeline, subtitle="x")
    page.encode()
    json.loads(data_of(page))
    return words + page


def data_of(page: str) -> str:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return found


# --- it never fails ---------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
seconds = st.floats(0, 1e5) | st.floats() | st.none()
pieces = st.one_of(
    st.just({"text": "x"}),
    st.builds(lambda data: {"inlineData": blob(data, "audio/pcm;rate=24000")}, st.binary(max_size=400)),
    st.just({"inlineData": {"mimeType": "image/png"}}),
    st.just({"executableCode": {}}),
)
server = st.fixed_dictionaries(
    {},
    optional={
        "setupComplete": st.just({}),
        "goAway": st.just({"timeLeft": "3s"}),
        "serverContent": st.fixed_dictionaries(
            {},
            optional={
                "modelTurn": st.builds(lambda parts: {"parts": parts}, st.lists(pieces, max_size=3)),
                "interrupted": st.just(True),
                "generationComplete": st.just(True),
                "turnComplete": st.just(True),
                "outputTranscription": st.builds(lambda text: {"text": text}, st.text(max_size=10)),
                "inputTranscription": st.builds(lambda text: {"text": text}, st.text(max_size=10)),
            },
        ),
        "toolCall": st.builds(
            lambda key: {"functionCalls": [{"id": key, "name": "f"}]}, st.sampled_from(["", "a", "b"])
        ),
        "toolCallCancellation": st.builds(lambda key: {"ids": [key]}, st.sampled_from(["a", "b", "c"])),
        "usageMetadata": st.just({"totalTokenCount": 5}),
        "sessionResumptionUpdate": st.just({"newHandle": "handle-handle", "resumable": True}),
        "error": values,
        "x": values,
    },
)
client = st.one_of(
    st.just(SETUP),
    st.just({"clientContent": {"turns": [{"parts": [{"text": "x"}]}], "turnComplete": True}}),
    st.builds(lambda data: {"realtimeInput": {"audio": blob(data)}}, st.binary(max_size=400)),
    st.builds(lambda key: {"toolResponse": {"functionResponses": [{"id": key}]}}, st.sampled_from(["", "a", "b"])),
    st.builds(lambda value: {"setup": value}, values),
)
frames = st.builds(
    lambda sent, data, at: TraceFrame(sent=sent, data=data, at=at),
    st.booleans(),
    st.binary(max_size=60) | st.one_of(server, client, values).map(lambda value: json.dumps(value).encode()),
    seconds,
)
notes = st.builds(
    lambda at, kind, facts: TraceNote(at=at, kind=kind, facts=facts),
    st.floats(0, 1e5) | st.floats(),
    st.sampled_from(["connected", "closed", "ping", "pong", "rejected"]) | st.text(max_size=5),
    st.dictionaries(st.sampled_from(["code", "reason", "rtt", "clean", "error", "hint", "initiator"]), values),
)


@given(st.lists(frames | notes, max_size=20))
def test_any_records(records: list[TraceRecord]) -> None:
    everything(records)


@given(st.lists(st.one_of(server, client), max_size=30), st.lists(st.floats(0, 3), min_size=30, max_size=30))
def test_any_session(messages: list[dict[str, Any]], waits: list[float]) -> None:
    now, records = 0.0, []
    for message, wait in zip(messages, waits, strict=False):
        now += wait
        sent = bool({"setup", "clientContent", "realtimeInput", "toolResponse"} & message.keys())
        records.append((up if sent else down)(now, message))
    timeline = Timeline.from_records(records)
    assert timeline.duration <= now
    assert timeline.end >= timeline.duration
    for strip in (*timeline.user_audio, *timeline.model_audio):
        assert strip.start <= strip.end
        assert 0 <= strip.heard <= strip.seconds
    for turn in timeline.turns:
        assert turn.asked is None or turn.asked <= turn.start
        assert turn.end is None or turn.end >= turn.start
        assert turn.heard <= turn.audio
    for gap in timeline.gaps:
        assert gap.seconds > 0
    summary = timeline.summary
    assert summary.sent.messages + summary.received.messages == len(records)
    assert summary.sent.size + summary.received.size == sum(len(record.data) for record in records)
    size = sum(strip.size for strip in (*timeline.user_audio, *timeline.model_audio))
    assert sum(len(strip.envelope) for strip in (*timeline.user_audio, *timeline.model_audio)) <= size


@given(st.binary(max_size=200), st.integers(0, 1 << 20))
def test_a_damaged_recording(junk: bytes, where: int) -> None:
    frames = [record for record in scenes.records() if isinstance(record, TraceFrame)][:20]
    victim = frames[where % len(frames)]
    data = victim.data[: where % (len(victim.data) + 1)] + junk
    frames[where % len(frames)] = TraceFrame(sent=victim.sent, data=data, at=victim.at)
    Timeline.from_records(frames)


@pytest.mark.parametrize(
    "record",
    [
        up(1.0, {"toolResponse": {"functionResponses": [{"id": "1", "response": {"a": 10**4200}}]}}),
        TraceFrame(sent=False, data=b"[" * 100_000, at=1.0),
        TraceFrame(sent=False, data=b'{"a":' * 200 + b"1" + b"}" * 200, at=1.0),
        TraceFrame(sent=True, data=b'{"realtimeInput":{"text":"\\ud800"}}', at=1.0),
        note(1.0, "closed", reason="\ud800 lone", error={"text": "\udfff"}),
        note(1.0, "connected", compression=object()),
        call(1.0, {"id": "1", "name": "f", "args": {"a": [[[[{}]]]]}}),
    ],
)
def test_odd_records(record: TraceRecord) -> None:
    everything([up(0.0, SETUP), record])


# --- no credentials ---------------------------------------------------------------------------------------------


def test_handles_and_keys_never_come_out() -> None:
    resumes = {"setup": {"model": "models/m", "sessionResumption": {"handle": HANDLE_CANARY}}}
    other = "CANARY-OTHER-0123456789"
    records = [
        up(0.0, resumes),
        down(0.1, {"sessionResumptionUpdate": {"newHandle": other, "resumable": True}}),
        ask(0.2, f"my key is {KEY_CANARY}"),
        call(0.3, {"id": KEY_CANARY, "name": KEY_CANARY, "args": {"api_key": "CANARY", "k": KEY_CANARY}}),
        answer(0.4, {"id": KEY_CANARY, "response": {"Authorization": "Bearer CANARY", "h": HANDLE_CANARY}}),
        content(0.5, outputTranscription={"text": f"{KEY_CANARY} {other}"}),
        down(0.6, {"error": {"message": f"key={KEY_CANARY} {HANDLE_CANARY}"}, KEY_CANARY: 1}),
        up(0.7, {KEY_CANARY: 1}),
        note(0.8, "closed", code=1008, reason=f"no session {HANDLE_CANARY}", error={"text": f"token=CANARY {other}"}),
    ]
    assert "CANARY" not in everything(records)


def test_instructions_and_tool_credentials_are_not_shown() -> None:
    setup = {
        "model": "models/m",
        "systemInstruction": {"parts": [{"text": "CANARY"}]},
        "tools": [{"mcpServers": [{"streamableHttpTransport": {"headers": {"x": "CANARY"}}}]}],
    }
    assert "CANARY" not in everything([up(0.0, {"setup": setup})])


def test_short_and_redacted_handles_are_no_secrets_to_search_for() -> None:
    for handle in ("a", "REDACTED-1"):
        update = {"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}}
        timeline = begun(down(1.0, update), content(1.1, outputTranscription={"text": "a fine day, REDACTED-1"}))
        assert timeline.said[0].text == "a fine day, REDACTED-1"


def test_a_recorded_conversation_keeps_no_key() -> None:
    assert "CANARY" not in everything(scenes.records())


# --- markup -----------------------------------------------------------------------------------------------------


def hostile() -> Timeline:
    records = [
        up(0.0, {"setup": {"model": HOSTILE}}),
        ask(0.1, HOSTILE),
        call(0.2, {"id": HOSTILE, "name": HOSTILE, "args": {HOSTILE: HOSTILE}}),
        content(0.3, outputTranscription={"text": HOSTILE}),
        down(0.4, {HOSTILE: HOSTILE}),
        note(0.5, "closed", code=1008, reason=HOSTILE, initiator=HOSTILE, hint=HOSTILE),
    ]
    return Timeline.from_records(records)


def test_hostile_texts_stay_data() -> None:
    page = render(hostile(), title=HOSTILE, subtitle=HOSTILE)
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "\u2028" not in data_of(page)
    assert not set("<>&") & set(data_of(page))
    assert HOSTILE in [said["text"] for said in json.loads(data_of(page))["said"]]


def test_the_page_needs_nothing_else() -> None:
    page = render(Timeline.from_records(scenes.records()))
    page = page.replace(data_of(page), "")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert not re.search(r"\b(src|href)=|@import|url\((?!#)|\bimport\(|fetch\(|XMLHttpRequest|WebSocket\(", page)
    assert not re.search(r"\son[a-z]+=", page)
    assert "style=" not in page
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[0]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_policy_admits_the_style_and_the_script_by_their_hashes() -> None:
    page = render(Timeline.from_records(scenes.records()))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    for tag, source in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy


def test_the_page_is_the_same_every_time() -> None:
    assert render(Timeline.from_records(scenes.records())) == render(Timeline.from_records(scenes.records()))


def test_title_end_and_hint() -> None:
    page = render(
        begun(note(1.0, "closed", code=1011, reason="Internal error encountered.")), title="A <b>", subtitle="f"
    )
    assert "<title>A &lt;b&gt;</title>" in page
    assert "models/m · f" in page
    assert '<div class="end bad">' in page
    assert "The service failed" in page
    assert '<div class="end ok">' in render(begun(note(1.0, "closed", code=1000, clean=True)))
    assert '<div class="end open">' in render(begun())


def test_nothing_recorded() -> None:
    assert "<dt>turns</dt><dd>0</dd>" in render(Timeline.from_records([]))


# --- Google's recordings ----------------------------------------------------------------------------------------


@recorded
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name[5:60])
def test_recordings(path: Path) -> None:
    frames = list(read_websocket_log(path.read_bytes()))
    everything(list(frames))
    timeline = Timeline.from_records(frames)
    summary = timeline.summary
    assert not timeline.timed
    assert summary.connections == 1
    assert "undecodable" not in summary.problems
    assert "unknown message" not in summary.problems
    assert summary.sent.messages + summary.received.messages == len(frames)
    assert timeline.connections[0].ready is not None
    assert not summary.end.recorded


def test_both_formats_tell_the_same_but_for_times() -> None:
    frames = list(TraceReader(scenes.recorded()))
    sink = io.BytesIO()
    write_websocket_log(frames, sink)
    timed, untimed = (
        Timeline.from_records(frames).summary,
        Timeline.from_records(read_websocket_log(sink.getvalue())).summary,
    )
    for name in ("turns", "interruptions", "tool_calls", "usage", "sent", "received"):
        assert getattr(timed, name) == getattr(untimed, name), name
    for name in ("user_audio", "model_audio"):
        assert getattr(timed, name) == pytest.approx(getattr(untimed, name)), name
