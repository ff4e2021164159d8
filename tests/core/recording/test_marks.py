"""Moments: what becomes a mark, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from core.recording.support import begun, blob, down, mark, up
from live_protocol.recording import Timeline, TraceFrame


@pytest.mark.parametrize(
    ("message", "kind", "detail"),
    [
        ({"goAway": {}}, "go away", ""),
        ({"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}}, "resumption", "new handle"),
        ({"sessionResumptionUpdate": {"resumable": True}}, "resumption", ""),
        ({"sessionResumptionUpdate": {}}, "resumption", "not possible now"),
        ({"serverContent": {"waitingForInput": True}}, "waiting for input", ""),
        ({"serverContent": {"interactionStatus": "IDLE"}}, "interaction", "IDLE"),
        ({"voiceActivity": {"type": "ACTIVITY_START", "audioOffset": "0.5s"}}, "voice activity",
         "ACTIVITY_START at 0.5 s of audio"),
        ({"voiceActivityDetectionSignal": {"vadSignalType": "VAD_SIGNAL_TYPE_SOS"}}, "voice activity",
         "VAD_SIGNAL_TYPE_SOS"),
        ({"serverContent": {"modelTurn": {"parts": [{"inlineData": blob(b"123", "image/png")}]}}}, "media",
         "image/png, 3 bytes"),
        ({"serverContent": {"modelTurn": {"parts": [{"executableCode": {"code": "print(1)"}}]}}}, "code", "print(1)"),
        ({"serverContent": {"modelTurn": {"parts": [{"codeExecutionResult": {"outcome": "OUTCOME_OK"}}]}}},
         "code result", "OUTCOME_OK: "),
        ({"serverContent": {"groundingMetadata": {}}}, "grounding", "0 sources"),
        ({"serverContent": {"urlContextMetadata": {}}}, "url context", "0 pages"),
        ({"serverContent": {"modelTurn": {"parts": [{"fileData": {"fileUri": "x"}}]}}}, "part", ""),
        ({"usageMetadata": {"totalTokenCount": 7}}, "usage", "7 tokens"),
        ({"error": {"code": 5, "message": "no", "status": "NOT_FOUND"}}, "server error", "5 NOT_FOUND no"),
        ({"novelty": 1}, "unknown message", "novelty"),
    ],
)  # fmt: skip
def test_server_marks(message: dict[str, Any], kind: str, detail: str) -> None:
    timeline = begun(down(1.0, message))
    found = mark(timeline, kind)
    assert (found.detail, found.sent, found.at) == (detail, False, 1.0)
    assert found.problem == (kind in ("server error", "unknown message"))


@pytest.mark.parametrize(
    ("message", "kind", "detail"),
    [
        ({"contextUpdate": {"systemInstruction": {"parts": []}}}, "context update", "instruction"),
        ({"contextUpdate": {"tools": {"tools": []}}}, "context update", "tools"),
        ({"realtimeInput": {"activityStart": {}}}, "activity start", ""),
        ({"novelty": 1}, "unknown message", "novelty"),
    ],
)
def test_client_marks(message: dict[str, Any], kind: str, detail: str) -> None:
    found = mark(begun(up(1.0, message)), kind)
    assert (found.detail, found.sent) == (detail, True)


@pytest.mark.parametrize("sent", [True, False])
def test_undecodable(sent: bool) -> None:
    timeline = Timeline.from_records([TraceFrame(sent=sent, data=b"\xff{", at=1.0)])
    found = mark(timeline, "undecodable")
    assert found.problem
    assert found.sent is sent
    assert timeline.summary.problems == {"undecodable": 1}
    assert (timeline.summary.sent.messages, timeline.summary.received.messages) == (int(sent), int(not sent))


def test_what_a_setup_asks_for() -> None:
    setup = {
        "model": "models/m",
        "generationConfig": {"responseModalities": ["AUDIO"]},
        "tools": [{"functionDeclarations": [{"name": "f"}, {}]}, {"googleSearch": {}}],
        "systemInstruction": {"parts": [{"text": "SECRET PROMPT"}]},
    }
    detail = mark(Timeline.from_records([up(0.0, {"setup": setup})]), "setup").detail
    assert detail == "models/m; AUDIO; tools f, ?; system instruction"
    assert mark(Timeline.from_records([up(0.0, {"setup": {}})]), "setup").detail == "no model"
