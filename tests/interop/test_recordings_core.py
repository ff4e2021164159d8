"""Real sessions, recorded: both directions through real connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.core import frame, names
from support.paths import RECORDINGS

from live_protocol import Codec, ConnectionState, Endpoint, LiveConnection, LiveSession, Phase, TurnState
from live_protocol.messages import Backend
from live_protocol.testing import Pair

FOLDER = RECORDINGS
FILES = sorted(FOLDER.glob("*.websocket.log"))

if not FILES:
    pytest.skip("the recordings are not part of the distribution", allow_module_level=True)


def frames(path: Path) -> Iterator[tuple[str, bytes]]:
    data = path.read_bytes()
    at = 0
    while at < len(data):
        space = data.index(b" ", at)
        size = int(data[at + 1 : space])
        yield chr(data[at]), data[space + 1 : space + size]
        at = space + 1 + size


def backend_of(path: Path) -> Backend:
    return Backend.VERTEX if "_Vertex_" in path.name else Backend.GEMINI


def turn_after(messages: list[dict[str, Any]]) -> TurnState:
    """What the recording itself says about the turn at its end, worked out apart from the library."""
    state = TurnState.IDLE
    for message in messages:
        content = message.get("serverContent", {})
        if "modelTurn" in content or "outputTranscription" in content or "toolCall" in message:
            state = TurnState.GENERATING
        if content.get("generationComplete"):
            state = TurnState.GENERATED
        if content.get("turnComplete"):
            state = TurnState.IDLE
        assert not content.get("interrupted")
    return state


def test_there_are_as_many_as_the_readme_says() -> None:
    directions = [direction for path in FILES for direction, _ in frames(path)]
    assert (len(FILES), directions.count(">"), directions.count("<")) == (16, 29, 40)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".websocket.log"))
def test_what_the_service_said(path: Path) -> None:
    codec = Codec(backend_of(path))
    records = list(frames(path))
    texts = [text for direction, text in records if direction == "<"]
    first = codec.decode_client(next(text for direction, text in records if direction == ">"))
    assert first.setup is not None
    endpoint = Endpoint.custom("ws://test/", backend=codec.backend)
    pair = Pair(
        LiveConnection.client(endpoint, first.setup, strict=True),
        LiveConnection.server(codec=codec),
    )
    pair.pump()
    pair.client_events.clear()
    values = [json.loads(text) for text in texts]
    for text, value in zip(texts, values, strict=True):
        message = codec.decode_server(text, strict=True)
        pair.server.send(message)
        wire = pair.server.data_to_send()
        assert json.loads(wire[wire.index(b"{\n") :]) == value
        assert wire.endswith(b"}\n")
        pair.client.receive_data(wire)
        events = list(pair.client.events())
        for event in events:
            assert event.message == message  # type: ignore[union-attr]
        assert bool(events) == (value != {"serverContent": {}})
        pair.client_events += events
    kinds = names(pair.client_events)
    assert not {"UnknownMessage", "Undecodable", "ServerError", "ConnectionFailed", "PartReceived"} & set(kinds)
    assert not any(event.stale for event in pair.client_events if hasattr(event, "stale"))
    assert pair.client.turn is pair.server.turn is turn_after(values)
    assert pair.client.usage.reports == sum("usageMetadata" in value for value in values)
    assert pair.client.state is ConnectionState.OPEN
    if texts:
        assert pair.client.phase is Phase.READY
        assert kinds[0] == "SetupComplete"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".websocket.log"))
def test_what_the_client_said(path: Path) -> None:
    codec = Codec(backend_of(path))
    server = LiveSession.server(codec=codec)
    connection = LiveConnection.server(codec=codec)
    dialed = LiveConnection.client(Endpoint.custom("ws://test/"), model="m")
    connection.receive_data(dialed.data_to_send())
    next(connection.events())
    connection.accept()
    count = 0
    for direction, text in frames(path):
        if direction == "<":
            continue
        server.receive_message(text)
        connection.receive_data(frame(text, masked=True))
        (event,) = server.events()
        (*_, same) = connection.events()
        assert event == same
        assert (event.index, event.unexpected) == (count, False)  # type: ignore[union-attr]
        assert json.loads(codec.encode_client(event.message)) == json.loads(text)  # type: ignore[union-attr,arg-type]
        count += 1
    assert server.client_message_index == count - 1
