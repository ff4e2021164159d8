"""The same client messages make the emulator say what the real service said, in the same shapes.

The recordings stop as soon as their test had seen enough, and were made with models that choose their own words. So of
each message its shape counts, that is its keys and the types of its values, and the recorded messages must occur among
the emulated ones, in their order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from emulator.pair import GEMINI, VERTEX, Raw
from live_protocol.emulator import Action, Call, Emulator, Parrot, Say, Turn
from live_protocol.trace import open_trace

FOLDER = Path(__file__).parents[3] / "shared" / "recordings" / "js"
FILES = sorted(FOLDER.glob("*.websocket.log"))


class Eager:
    """A parrot that would rather call a function, where one is declared."""

    def __init__(self) -> None:
        self._parrot = Parrot()

    def on_text(self, turn: Turn) -> Iterable[Action]:
        if turn.functions:
            return [Call(next(iter(turn.functions)), {"location": "Redmond, WA"})]
        return self._parrot.on_text(turn)

    def on_speech(self, turn: Turn) -> Iterable[Action]:
        return [Say("Yes, I can hear you.")]

    def on_tool_response(self, turn: Turn) -> Iterable[Action]:
        return self._parrot.on_tool_response(turn)


def shape(value: Any) -> Any:
    """Keys and types; of a list its first item, since lengths are up to the model."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


def mime_types(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["mimeType"]} if "mimeType" in value else set()
        return own.union(*map(mime_types, value.values()))
    return set().union(*map(mime_types, value)) if isinstance(value, list) else set()


@pytest.mark.skipif(not FILES, reason="the recordings are not part of this repository")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.partition(".")[0])
def test_recording(path: Path) -> None:
    frames = open_trace(path.read_bytes())
    raw = Raw(Emulator(Eager()), VERTEX if "Vertex" in path.name else GEMINI)
    recorded = [json.loads(frame.data) for frame in frames if not frame.sent]
    emulated: list[Any] = []
    for frame in frames:
        if frame.sent:
            emulated += raw.send(frame.data)
    emulated += raw.wait(60)
    assert recorded
    rest = iter(emulated)
    for message in recorded:
        wanted = shape(message)
        assert any(shape(candidate) == wanted for candidate in rest), (wanted, [shape(m) for m in emulated])
    if any("serverContent" in message and "modelTurn" in message["serverContent"] for message in recorded):
        assert mime_types(recorded) == mime_types(emulated)


def test_the_service_s_layout() -> None:
    # Indented by two spaces, one newline at the end (wire.md section 5).
    from live_protocol.events import ConnectionClosed, Need

    raw = Raw()
    raw.link.send_text(b'{"setup": {"model": "models/m"}}')
    raw.server.receive_data(raw.link.data_to_send())
    list(raw.server.events())
    raw.link.receive_data(raw.server.data_to_send())
    item = raw.link.next_event()
    assert not isinstance(item, (Need, ConnectionClosed))
    assert item == b'{\n  "setupComplete": {}\n}\n'
