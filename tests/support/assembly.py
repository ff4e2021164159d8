"""What the tests of assembly share: messages as the service sends them, and signals."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from typing import Any

from live_protocol.events import InputTranscript, InterimInputTranscript, OutputTranscript, SessionEvent, TextChunk
from live_protocol.messages import LiveClientSetup, Transcription
from live_protocol.session import LiveSession


class Server:
    """A client's session that is ready, and the messages it gets."""

    def __init__(self, setup: LiveClientSetup | None = None) -> None:
        self.session = LiveSession.client(setup or LiveClientSetup(model="models/test"))
        self.session.send_setup()
        self.events: list[SessionEvent] = []
        self.says({"setupComplete": {}})

    def says(self, *messages: dict[str, Any]) -> list[SessionEvent]:
        for message in messages:
            self.session.receive_message(json.dumps(message))
        new = list(self.session.events())
        self.events += new
        return new


def content(**members: Any) -> dict[str, Any]:
    return {"serverContent": members}


def voice(data: bytes, rate: int = 24_000) -> dict[str, Any]:
    import base64

    blob = {"mimeType": f"audio/pcm;rate={rate}", "data": base64.b64encode(data).decode()}
    return {"modelTurn": {"parts": [{"inlineData": blob}]}}


def spoken(text: str, generation: int = 1, *, stale: bool = False, **options: Any) -> OutputTranscript:
    heard = Transcription(text=text, **options)
    return OutputTranscript(
        text=text, finished=bool(heard.finished), transcription=heard, generation=generation, stale=stale
    )


def written(text: str, generation: int = 1, *, thought: bool = False, stale: bool = False) -> TextChunk:
    return TextChunk(text=text, thought=thought, generation=generation, stale=stale)


def heard(text: str, **options: Any) -> InputTranscript:
    found = Transcription(text=text, **options)
    return InputTranscript(text=text, finished=bool(found.finished), transcription=found)


def guessed(text: str, **options: Any) -> InterimInputTranscript:
    return InterimInputTranscript(text=text, transcription=Transcription(text=text, **options))


def pcm(samples: Iterable[float]) -> bytes:
    values = [round(sample) for sample in samples]
    return struct.pack(f"<{len(values)}h", *values)


def samples(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 2}h", data)


def sine(rate: int, frequency: float, frames: int, amplitude: float = 20_000) -> bytes:
    return pcm(amplitude * math.sin(2 * math.pi * frequency * index / rate) for index in range(frames))


def level(data: bytes, rate: int, frequency: float) -> float:
    """Amplitude of one frequency, by correlation under a Hann window over the middle of the signal."""
    values = samples(data)
    values = values[len(values) // 8 : -len(values) // 8]
    size = len(values)
    window = [0.5 - 0.5 * math.cos(2 * math.pi * index / size) for index in range(size)]
    turn = 2 * math.pi * frequency / rate
    real = sum(v * w * math.cos(turn * i) for i, (v, w) in enumerate(zip(values, window, strict=True)))
    imaginary = sum(v * w * math.sin(turn * i) for i, (v, w) in enumerate(zip(values, window, strict=True)))
    return 2 * math.hypot(real, imaginary) / sum(window)


def rms(values: Iterable[float]) -> float:
    found = list(values)
    return math.sqrt(sum(value * value for value in found) / len(found))


def decibels(ratio: float) -> float:
    return 20 * math.log10(max(ratio, 1e-9))
