"""The same client messages make the emulator say what the real service said, in the same shapes.

The recordings stop as soon as their test had seen enough, and were made with models that choose their own words. So of
each message its shape counts: its keys, the types of its values, and those values that are the protocol's and not the
model's. After each client message the recorded answers have to occur in their order, and what the emulator says besides
may only be more of the model's output, or, behind the last recorded message, the regular end of that turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest
from core.emulator.pair import GEMINI, VERTEX, Raw
from support.paths import RECORDINGS

from live_protocol.emulator import Call, EchoModel, Emulator, ModelAction, Say, UserTurn
from live_protocol.recording import open_trace

FOLDER = RECORDINGS
FILES = sorted(FOLDER.glob("*.websocket.log"))

FIXED: Final = ("mimeType", "role", "language", "trafficType", "generationComplete", "turnComplete", "interrupted")
"""Members whose values the model does not choose."""

OUTPUT: Final = ("modelTurn", "outputTranscription")
UNKNOWN_ID: Final = "live_ML_Dev_should_send_tool_response_with_function_responses"
"""This client answers a call that nobody made; what the service said to that is not recorded."""


class Eager:
    """A parrot that would rather call a function, where one is declared."""

    def __init__(self) -> None:
        self._parrot = EchoModel()

    def on_text(self, turn: UserTurn) -> Iterable[ModelAction]:
        if turn.functions:
            return [Call(next(iter(turn.functions)), {"location": "Redmond, WA"})]
        return self._parrot.on_text(turn)

    def on_speech(self, turn: UserTurn) -> Iterable[ModelAction]:
        return [Say("Yes, I can hear you.")]

    def on_tool_response(self, turn: UserTurn) -> Iterable[ModelAction]:
        return self._parrot.on_tool_response(turn)


def shape(value: Any, key: str = "") -> Any:
    """Keys, types and fixed values; of a list its different items, since their number is up to the model."""
    if isinstance(value, dict):
        return {name: shape(item, name) for name, item in value.items()}
    if isinstance(value, list):
        items = [shape(item) for item in value]
        return [item for at, item in enumerate(items) if item not in items[:at]]
    return value if key in FIXED else type(value).__name__


def is_output(message: dict[str, Any]) -> bool:
    return set(message) == {"serverContent"} and set(message["serverContent"]) <= set(OUTPUT)


def is_end(message: dict[str, Any]) -> bool:
    content = message.get("serverContent", {})
    return set(message) <= {"serverContent", "usageMetadata"} and (
        content == {"generationComplete": True} or (content == {"turnComplete": True} and "usageMetadata" in message)
    )


def exchanges(path: Path) -> Iterable[tuple[bytes, list[dict[str, Any]]]]:
    """Each client message, with what the service said before the next one."""
    sent: bytes | None = None
    answers: list[dict[str, Any]] = []
    for frame in open_trace(path.read_bytes()):
        data = frame.data if isinstance(frame.data, bytes) else frame.data.encode()
        if not frame.sent:
            answers.append(json.loads(data))
            continue
        if sent is not None:
            yield sent, answers
        sent, answers = data, []
    assert sent is not None
    yield sent, answers


@pytest.mark.skipif(not FILES, reason="the recordings are not part of this repository")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.partition(".")[0])
def test_recording(path: Path) -> None:
    raw = Raw(Emulator(Eager()), VERTEX if "Vertex" in path.name else GEMINI)
    pairs = list(exchanges(path))
    assert pairs[0][1], "the setup was answered"
    for number, (sent, recorded) in enumerate(pairs, 1):
        emulated = raw.send(sent)
        if number == len(pairs):
            emulated += raw.wait(60)
        wanted = [shape(message) for message in recorded]
        for message in emulated:
            if wanted and shape(message) == wanted[0]:
                wanted.pop(0)
            else:
                assert is_output(message) or (not wanted and is_end(message)), (message, wanted)
        assert not wanted, [shape(message) for message in emulated]
        assert sum("turnComplete" in message.get("serverContent", {}) for message in emulated) <= 1
        audio = [sizes for message in emulated if (sizes := audio_sizes(message))]
        recorded_audio = [sizes for message in recorded if (sizes := audio_sizes(message))]
        assert audio[: len(recorded_audio)] == recorded_audio
    # Binary frames, indented by two spaces, one newline at the end (wire.md#frames).
    for text in raw.texts:
        assert text.decode() == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
    assert raw.code == (1007 if path.name.startswith(UNKNOWN_ID) else 0)


def audio_sizes(message: dict[str, Any]) -> list[int]:
    """Lengths of the audio in a message, as base64."""
    parts = message.get("serverContent", {}).get("modelTurn", {}).get("parts", [])
    return [len(part["inlineData"]["data"]) for part in parts if "inlineData" in part]


def test_the_service_s_layout() -> None:
    raw = Raw()
    raw.send('{"setup": {"model": "models/m"}}')
    assert raw.texts == [b'{\n  "setupComplete": {}\n}\n']
