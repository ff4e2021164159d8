"""Records written by hand."""

from __future__ import annotations

import base64
import json
from typing import Any

from support import paths

from live_protocol.recording import Timeline, TraceFrame, TraceNote, TraceRecord

RECORDINGS = sorted(paths.RECORDINGS.glob("*.websocket.log"))

SETUP = {"setup": {"model": "models/m"}}
READY = {"setupComplete": {}}


def up(at: float | None, message: Any) -> TraceFrame:
    """A message of the client."""
    return TraceFrame(sent=True, data=json.dumps(message).encode(), at=at, kind="text")


def down(at: float | None, message: Any) -> TraceFrame:
    """A message of the server."""
    return TraceFrame(sent=False, data=json.dumps(message).encode(), at=at, kind="binary")


def note(at: float, kind: str, **facts: Any) -> TraceNote:
    return TraceNote(at=at, kind=kind, facts=facts)


def pcm(seconds: float, rate: int = 16_000, level: int = 0x40) -> bytes:
    return bytes((0, level)) * round(seconds * rate)


def blob(data: bytes, mime_type: str = "audio/pcm;rate=16000") -> dict[str, str]:
    return {"mimeType": mime_type, "data": base64.b64encode(data).decode()}


def mic(at: float | None, seconds: float = 0.1, level: int = 0x40, rate: int = 16_000) -> TraceFrame:
    return up(at, {"realtimeInput": {"audio": blob(pcm(seconds, rate, level), f"audio/pcm;rate={rate}")}})


def voice(at: float | None, seconds: float = 0.1, rate: int = 24_000) -> TraceFrame:
    data = blob(pcm(seconds, rate), f"audio/pcm;rate={rate}")
    return down(at, {"serverContent": {"modelTurn": {"parts": [{"inlineData": data}]}}})


def content(at: float | None, **members: Any) -> TraceFrame:
    return down(at, {"serverContent": members})


def ask(at: float | None, text: str = "Hi", *, complete: bool = True) -> TraceFrame:
    turn = {"role": "user", "parts": [{"text": text}]}
    return up(at, {"clientContent": {"turns": [turn], "turnComplete": complete}})


def call(at: float | None, *calls: dict[str, Any]) -> TraceFrame:
    return down(at, {"toolCall": {"functionCalls": list(calls)}})


def answer(at: float | None, *responses: dict[str, Any]) -> TraceFrame:
    return up(at, {"toolResponse": {"functionResponses": list(responses)}})


def begun(*records: TraceRecord) -> Timeline:
    """The timeline of a session that is ready at 0.2 s, and of what follows."""
    return Timeline.from_records([up(0.0, SETUP), down(0.2, READY), *records])


def kinds(timeline: Timeline) -> list[str]:
    return [mark.kind for mark in timeline.marks]


def mark(timeline: Timeline, kind: str) -> Any:
    (found,) = [mark for mark in timeline.marks if mark.kind == kind]
    return found
