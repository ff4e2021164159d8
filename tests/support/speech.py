"""A session that takes messages of the service, and transcripts as events."""

from __future__ import annotations

import base64
import json
from typing import Any

from live_protocol.events import InputTranscript, InterimInputTranscript, OutputTranscript, SessionEvent, TextChunk
from live_protocol.messages import LiveClientSetup, Transcription
from live_protocol.session import LiveSession


class ReadyClient:
    """A client's session after setup, and all its events."""

    def __init__(self, setup: LiveClientSetup | None = None) -> None:
        self.session = LiveSession.client(setup or LiveClientSetup(model="models/test"))
        self.session.send_setup()
        self.events: list[SessionEvent] = []
        self.receive({"setupComplete": {}})

    def receive(self, *messages: dict[str, Any]) -> list[SessionEvent]:
        for message in messages:
            self.session.receive_message(json.dumps(message))
        new = list(self.session.events())
        self.events += new
        return new


def content(**members: Any) -> dict[str, Any]:
    return {"serverContent": members}


def voice(data: bytes, rate: int = 24_000) -> dict[str, Any]:
    blob = {"mimeType": f"audio/pcm;rate={rate}", "data": base64.b64encode(data).decode()}
    return {"modelTurn": {"parts": [{"inlineData": blob}]}}


def spoken(text: str, generation: int = 1, *, stale: bool = False, **options: Any) -> OutputTranscript:
    transcription = Transcription(text=text, **options)
    return OutputTranscript(
        text=text,
        finished=bool(transcription.finished),
        transcription=transcription,
        generation=generation,
        stale=stale,
    )


def written(text: str, generation: int = 1, *, thought: bool = False, stale: bool = False) -> TextChunk:
    return TextChunk(text=text, thought=thought, generation=generation, stale=stale)


def heard(text: str, **options: Any) -> InputTranscript:
    transcription = Transcription(text=text, **options)
    return InputTranscript(text=text, finished=bool(transcription.finished), transcription=transcription)


def guessed(text: str, **options: Any) -> InterimInputTranscript:
    return InterimInputTranscript(text=text, transcription=Transcription(text=text, **options))
