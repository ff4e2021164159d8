"""`receive_event` and `pcm_to_send` do in one step what two commands do: the same events, bytes and facts."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core import close_frame, frame

from live_protocol import Endpoint, LiveConnection, ReconnectPolicy
from live_protocol import events as ev
from live_protocol.errors import LiveProtocolError
from live_protocol.reconnect import PersistentConnection
from live_protocol.timing import Timeouts

ENDPOINT = Endpoint.custom("ws://service.test/live")
AUDIO: Any = {"response_modalities": ["AUDIO"], "session_resumption": {}}
CHUNK = bytes(640)
TIMEOUTS = Timeouts(ping_interval=5.0, stall=2.0)
BINARY = 2

Machine = LiveConnection | PersistentConnection


def content(**members: Any) -> bytes:
    return frame((json.dumps({"serverContent": members}, indent=2) + "\n").encode(), BINARY)


def voice(size: int, rate: int = 24_000) -> bytes:
    data = base64.b64encode(bytes(number % 256 for number in range(size))).decode()
    return content(modelTurn={"parts": [{"inlineData": {"mimeType": f"audio/pcm;rate={rate}", "data": data}}]})


FRAMES = {
    "audio": voice(1920),
    "long": voice(9600),
    "short": voice(2),
    "other rate": voice(960, 16_000),
    "transcript": content(outputTranscription={"text": "hello"}),
    "both": content(
        outputTranscription={"text": "hi"},
        modelTurn={"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}}]},
    ),
    "no base64": voice(1920).replace(b"AAEC", b"A*EC"),
    "no json": frame(b"x" * 300, BINARY),
    "text frame": frame(voice(1920)[4:]),
    "end": content(generationComplete=True) + content(turnComplete=True),
    "interrupted": content(interrupted=True),
    "handle": frame(b'{"sessionResumptionUpdate":{"newHandle":"' + b"h" * 200 + b'","resumable":true}}', BINARY),
    "going": frame(b'{"goAway":{"timeLeft":"50s"}}' + b" " * 200, BINARY),
    "ping": frame(b"x", 9),
    "close": close_frame(1011, "busy"),
    "broken": b"\xf2\x7e\x00\xc8" + bytes(200),
    "masked": frame(b"{}" * 100, BINARY, masked=True),
}

STEPS = st.lists(
    st.one_of(
        st.sampled_from(["audio"] * 6 + list(FRAMES)).map(lambda name: ("bytes", FRAMES[name])),
        st.tuples(st.sampled_from(list(FRAMES)), st.sampled_from(list(FRAMES))).map(
            lambda names: ("bytes", FRAMES[names[0]] + FRAMES[names[1]])
        ),
        st.tuples(st.sampled_from(list(FRAMES)), st.integers(1, 300)).map(
            lambda cut: ("split", (FRAMES[cut[0]], cut[1]))
        ),
        st.sampled_from([("send", CHUNK)] * 3 + [("send", b""), ("say", "hello"), ("write", None), ("clock", None)]),
        st.floats(0.0, 3.0).map(lambda seconds: ("wait", seconds)),
    ),
    max_size=25,
)


def counting() -> Callable[[int], bytes]:
    numbers = itertools.cycle(range(251))
    return lambda size: bytes(itertools.islice(numbers, size))


def opened(machine: Machine) -> Machine:
    """After its setup."""
    machine.advance(0.0)
    if isinstance(machine, PersistentConnection):
        assert machine.dial is not None
        machine.dial_succeeded()
    key = re.search(rb"(?i)sec-websocket-key: *([^\r\n]+)", machine.data_to_send())
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    machine.receive_data(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    machine.receive_data(frame(b'{"setupComplete":{}}', BINARY))
    assert any(isinstance(event, ev.SetupComplete) for event in machine.events())
    machine.data_to_send()
    return machine


def plain() -> Machine:
    return opened(
        LiveConnection.client(ENDPOINT, AUDIO, model="m", entropy=counting(), timeouts=TIMEOUTS),
    )


def observed() -> Machine:
    return opened(
        LiveConnection.client(
            ENDPOINT, AUDIO, model="m", entropy=counting(), timeouts=TIMEOUTS, observer=lambda observation: None
        ),
    )


def persistent() -> Machine:
    policy = ReconnectPolicy(in_flight_window=0.0)
    return opened(
        PersistentConnection.client(
            ENDPOINT, AUDIO, model="m", entropy=counting(), timeouts=TIMEOUTS, policy=policy, jitter=lambda: 0.5
        ),
    )


def told(event: ev.Event) -> object:
    """An event with its message, which may be built late."""
    return repr(event), repr(getattr(event, "message", None))


def play(machine: Machine, steps: list[tuple[str, Any]], *, one_step: bool) -> list[object]:
    now, seen = 0.0, list[object]()

    def receive(data: bytes) -> None:
        if one_step:
            event = machine.receive_event(data)
            if event is not None:
                seen.append(told(event))
        else:
            machine.receive_data(data)
        seen.extend(map(told, machine.events()))

    for step, value in steps:
        if step == "bytes":
            receive(value)
        elif step == "split":
            data, at = value
            receive(data[:at])
            receive(data[at:] or b"\x8a\x00")
        elif step == "wait":
            now += value
            machine.tick(now)
        elif step == "clock":
            machine.advance(now)  # events that it adds wait for the next pull
        elif step == "write":
            seen.append(machine.data_to_send())
        else:
            try:
                if step == "say":
                    machine.send_client_content({"role": "user", "parts": [{"text": value}]})
                elif one_step:
                    seen.append(machine.pcm_to_send(value, 16_000))
                else:
                    machine.send_realtime_input(audio=value, rate=16_000)
                    seen.append(machine.data_to_send())
            except LiveProtocolError as error:
                seen.append(repr(error))
        seen.append((repr(machine.wants), machine.buffered_in, machine.buffered_out, machine.next_deadline()))
    seen.append((machine.data_to_send(), repr(machine.close_info), repr(machine.resumption), str(machine.state)))
    if isinstance(machine, PersistentConnection):
        machine.receive_eof()
        seen.extend(map(told, machine.events()))
        machine.close()
        seen.extend(map(told, machine.events()))
    return seen


@pytest.mark.parametrize("make", [plain, observed, persistent])
@given(steps=STEPS)
def test_one_step_is_two(make: Callable[[], Machine], steps: list[tuple[str, Any]]) -> None:
    assert play(make(), steps, one_step=True) == play(make(), steps, one_step=False)


@pytest.mark.parametrize("make", [plain, persistent])
def test_what_waits_comes_first(make: Callable[[], Machine]) -> None:
    machine = make()
    machine.receive_data(FRAMES["both"])
    first = machine.next_event()
    assert isinstance(first, ev.TurnStarted)
    event = machine.receive_event(FRAMES["audio"])
    assert isinstance(event, ev.OutputTranscript)
    assert [type(event) for event in machine.events()] == [ev.AudioChunk, ev.AudioChunk]


@pytest.mark.parametrize("make", [plain, persistent])
def test_what_waits_to_be_written_leaves_first(make: Callable[[], Machine]) -> None:
    machine = make()
    machine.send_realtime_input(text="first")
    data = machine.pcm_to_send(CHUNK, 16_000)
    assert data.count(b"\x81\xfe") >= 1
    assert len(data) > len(make().pcm_to_send(CHUNK, 16_000))
    assert machine.buffered_out == 0


def test_nothing_is_sent_before_the_upgrade() -> None:
    machine = LiveConnection.client(ENDPOINT, AUDIO, model="m")
    request = machine.data_to_send()
    assert request.startswith(b"GET")
    with pytest.raises(LiveProtocolError):
        machine.pcm_to_send(CHUNK, 16_000)
    assert machine.data_to_send() == b""


def test_a_chunk_that_comes_alone_answers_a_ping() -> None:
    machine = plain()
    machine.receive_data(FRAMES["audio"])
    machine.advance(5.0)
    assert machine.data_to_send()  # the ping
    list(machine.events())
    pong_due = machine.next_deadline()
    assert machine.receive_event(FRAMES["audio"]) is not None
    assert isinstance(machine, LiveConnection)
    machine.advance(66.0)
    assert machine.close_info is None
    assert pong_due is not None


def test_audio_with_an_escape_in_its_base64_is_parsed_each_time() -> None:
    machine = plain()
    escaped = FRAMES["audio"][4:].replace(b"AAEC", b"A\\/EC")
    for _ in range(3):
        machine.receive_data(frame(escaped, BINARY))
        chunk = list(machine.events())[-1]
        assert isinstance(chunk, ev.AudioChunk)
        assert len(chunk.data) == 1920
