"""Arbitrary conversations: nothing raises, nothing hangs, and the same input gives the same output."""

from __future__ import annotations

import base64
import gc
import json
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from core.emulator.pair import AUDIO, GEMINI, QUIET, TEXT, VERTEX, Pair, Raw, emulator, silence, speech
from live_protocol.connection import LiveConnection
from live_protocol.emulator import Emulator
from live_protocol.messages import LiveClientSetup
from live_protocol.session import LiveSession
from live_protocol.states import ConnectionState

PCM = "AAAA" * 100
MESSAGES: list[Any] = [
    {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "hello there"}]}], "turnComplete": True}},
    {"clientContent": {"turns": [{"parts": [{"text": "wait"}]}]}},
    {"clientContent": {"turnComplete": True}},
    {"clientContent": {"turns": [{"role": "system", "parts": [{"text": "be"}]}], "turnComplete": True}},
    {"realtimeInput": {"text": "hi"}},
    {"realtimeInput": {"audio": {"mimeType": "audio/pcm", "data": PCM}}},
    {"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "AAAAA"}}},
    {"realtimeInput": {"video": {"mimeType": "image/png", "data": PCM}}},
    {"realtimeInput": {"activityStart": {}}},
    {"realtimeInput": {"activityEnd": {}}},
    {"realtimeInput": {"audioStreamEnd": True}},
    {"realtimeInput": {}},
    {"toolResponse": {"functionResponses": [{"id": "function-call-1", "name": "f", "response": {}}]}},
    {"toolResponse": {"functionResponses": [{"name": "f", "response": {}}]}},
    {"contextUpdate": {"systemInstruction": {"parts": [{"text": "x"}]}}},
    *(
        {"realtimeInput": {"text": text}}
        for text in (
            "/call f {}",
            "/call f\n/call n\nand so on",
            "/call n {}",
            "/cancel",
            "/slow 3 a b c",
            "/history",
            "/system",
            "/goaway 20",
            "/unknown\n/error\n/image\n/code\n/ground",
            "/stall",
            "/wait 2",
            "",
            "/close 1234",
        )
    ),
]
SPEECH = {
    "realtimeInput": {
        "audio": {
            "mimeType": "audio/pcm",
            "data": base64.b64encode(speech(0.3) + silence(0.6)).decode(),
        }
    }
}
RARE: list[Any] = [
    {"realtimeInput": {"text": "/drop"}},
    {"realtimeInput": {"text": "/close 4000"}},
    {"setup": {"model": "models/m"}},
    {"unknown": 1},
    {"clientContent": {"turns": 7}},
    [],
]


def setup(rng: random.Random) -> dict[str, Any]:
    functions = [{"name": "f"}, {"name": "n", "behavior": "NON_BLOCKING"}]
    made: dict[str, Any] = {"model": "models/m", "tools": [{"functionDeclarations": functions}]}
    if rng.random() < 0.5:
        made["generationConfig"] = {"responseModalities": ["TEXT"]}
    if rng.random() < 0.5:
        made["outputAudioTranscription"] = {}
    if rng.random() < 0.5:
        made["sessionResumption"] = {}
    made["realtimeInputConfig"] = {
        "automaticActivityDetection": {"disabled": rng.random() < 0.5},
        "activityHandling": rng.choice(["NO_INTERRUPTION", "START_OF_ACTIVITY_INTERRUPTS"]),
    }
    return made


def session(seed: int) -> tuple[list[Any], int]:
    rng = random.Random(seed)
    server = emulator(
        speed=rng.choice([None, 1.0, 3.0]),
        lifetime=rng.choice([None, 50.0]),
        setup_delay=rng.choice([0.0, 0.5]),
        withhold_handles=rng.random() < 0.3,
        interaction_status=rng.random() < 0.3,
        vertex_call_ids=rng.random() < 0.5,
    )
    endpoint = rng.choice([GEMINI, VERTEX])
    raw = Raw(server, endpoint)
    got = raw.send({"setup": {**setup(rng), "model": endpoint.model_path("m")}})
    for _ in range(40):
        if rng.random() < 0.02:
            got += raw.send(json.dumps(rng.choice(RARE)))
        elif rng.random() < 0.1:
            got += raw.send(SPEECH)
        else:
            got += raw.send(rng.choice(MESSAGES))
        if rng.random() < 0.4:
            got += raw.wait(rng.random() * 3)
        deadline = raw.server.next_deadline()
        assert deadline is None or deadline > raw.now
    got += raw.wait(100)
    return got, raw.code


@pytest.mark.parametrize("seed", range(60))
def test_any_conversation(seed: int) -> None:
    first, code = session(seed)
    assert (first, code) == session(seed)
    assert code in (0, 1006, 1007, 1011, 4000)
    # A client never sees a message where the protocol has none, nor output of a turn that was cut.
    client = LiveSession.client(LiveClientSetup(model="models/m"))
    client.send_setup()
    for message in first:
        client.receive_message(json.dumps(message))
    for event in client.events():
        assert not getattr(event, "unexpected", False), event
        assert not getattr(event, "stale", False), event


@pytest.mark.parametrize("config", [TEXT, AUDIO], ids=["text", "audio"])
def test_memory_does_not_grow_with_turns(config: dict[str, Any], length: Callable[[int, int], int]) -> None:
    server = emulator(max_history=20, max_handles=20)
    pair = Pair(server, {**config, "session_resumption": {}})
    turns = length(200, 5000)

    def talk(count: int) -> int:
        for number in range(count):
            pair.content(f"turn {number % 10}")
            pair.wait(2.0)
            pair.events.clear()
            pair.seen.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = talk(turns)
        assert talk(turns) - before < 20_000  # a turn of 100 bytes would be all of it
    finally:
        tracemalloc.stop()


def test_bytes_one_by_one() -> None:
    def drive(size: int) -> bytes:
        client = LiveConnection.client(GEMINI, TEXT, model="m", timeouts=QUIET, entropy=bytes)
        server = Emulator().connection()
        for machine in (client, server):
            machine.advance(1.0)
        out = b""
        for text in ("", "hello world", "/history"):
            if text:
                client.send_realtime_input(text=text)
            for _ in range(3):
                data = client.data_to_send()
                for at in range(0, len(data), size):
                    server.receive_data(data[at : at + size])
                    for _ in server.events():
                        pass
                data = server.data_to_send()
                out += data
                client.receive_data(data)
                for _ in client.events():
                    pass
        return out

    assert drive(1) == drive(7) == drive(1 << 20)


def test_the_size_of_clock_steps_does_not_matter() -> None:
    def drive(step: float) -> list[tuple[str, Any]]:
        pair = Pair(emulator(speed=2.0, lifetime=30.0, go_away_notice=5.0), None)
        pair.content("one two three four five six seven eight nine ten")
        pair.text("/wait 3\nend")
        assert pair.now is not None
        end = pair.now + 40
        while pair.now < end:
            pair.now += step
            pair.server.advance(pair.now)
            pair.run()
        return [(type(event).__name__, getattr(event, "data", None)) for event in pair.events]

    assert drive(40.0) == drive(0.05)


def test_events_are_answered_only_when_taken() -> None:
    client = LiveConnection.client(GEMINI, TEXT, model="m", timeouts=QUIET)
    server = Emulator().connection()
    server.receive_data(client.data_to_send())
    assert server.data_to_send() == b""
    assert server.state is ConnectionState.CONNECTING
    events = server.events()
    next(events)
    assert server.state is ConnectionState.OPEN
    assert b"101" in server.data_to_send()
