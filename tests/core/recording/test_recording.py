"""Observers of a connection, and the recorder, which is one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from core.recording.scenes import HANDLE_CANARY, KEY_CANARY
from live_protocol import events as ev
from live_protocol.connection import LiveConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import InvalidMessage
from live_protocol.messages import LiveServerContent, LiveServerMessage
from live_protocol.reconnect import PersistentConnection
from live_protocol.recording import Recorder, TraceFrame, TraceNote, TraceReader
from live_protocol.testing import FakeClock, Pair
from live_protocol.websocket import Observation, WebSocketLink
from live_transports.recording import record_to

ENDPOINT = Endpoint.gemini(api_key=KEY_CANARY)
CONFIG = {"session_resumption": {"handle": HANDLE_CANARY}}


def records(sink: io.BytesIO) -> list[Any]:
    return list(TraceReader(sink.getvalue()).records())


def talk(client: Any, server: LiveConnection) -> Pair:
    pair = Pair(client, server, clock=FakeClock(100.0))
    pair.pump()
    server.send_setup_complete()
    pair.wait(0.5)
    client.ping(b"x")
    client.send_realtime_input(text="Hi")
    pair.wait(0.5)
    server.ping()
    server.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=True)))
    pair.wait(0.5)
    client.close(1000, "bye")
    pair.wait(1.0)
    return pair


def shape(records: list[Any]) -> list[tuple[Any, ...]]:
    shown: list[tuple[Any, ...]] = []
    for record in records:
        if isinstance(record, TraceFrame):
            shown.append((">" if record.sent else "<", record.kind, next(iter(json.loads(record.data)))))
        else:
            shown.append((record.kind,))
    return shown


BOTH = [
    (">", "text", "setup"),
    ("connected",),
    ("<", "binary", "setupComplete"),
    (">", "text", "realtimeInput"),
    ("<", "binary", "serverContent"),
    ("closed",),
]


def test_the_client_end() -> None:
    sink = io.BytesIO()
    recorder = Recorder(sink, info={"who": "client"})
    talk(LiveConnection.client(ENDPOINT, CONFIG, model="m", observer=recorder), LiveConnection.server())
    found = records(sink)
    assert recorder.error is None
    assert [one for one in shape(found) if one not in [("ping",), ("pong",)]] == BOTH
    assert {one.kind for one in found if isinstance(one, TraceNote)} == {"connected", "ping", "pong", "closed"}
    assert [one.facts for one in found if one.kind == "pong"] == [{"rtt": 0.0}]
    closed = found[-1]
    assert closed.facts["code"] == 1000
    assert closed.facts["reason"] == "bye"
    assert closed.facts["clean"] is True
    assert closed.facts["initiator"] == "local"
    times = [one.at for one in found]
    assert times == sorted(times)
    assert times[0] == 100.0
    assert b"CANARY" not in sink.getvalue()


def test_the_server_end_records_the_same_directions() -> None:
    sink = io.BytesIO()
    client = LiveConnection.client(ENDPOINT, CONFIG, model="m")
    talk(client, LiveConnection.server(observer=Recorder(sink)))
    found = [one for one in shape(records(sink)) if one not in [("ping",), ("pong",)]]
    assert sorted(found) == sorted(BOTH)
    assert b"CANARY" not in sink.getvalue()


def test_all_connections_of_a_session_in_one_trace() -> None:
    sink = io.BytesIO()
    client = PersistentConnection.client(ENDPOINT, model="m", observer=Recorder(sink), jitter=lambda: 0.0)
    clock = FakeClock()
    for _ in range(2):
        while client.dial is None:
            client.advance(clock.advance(0.1))
            list(client.events())
        client.dial_succeeded()
        pair = Pair(client, LiveConnection.server(), clock=clock)
        pair.pump()
        assert isinstance(pair.server, LiveConnection)
        pair.server.send_setup_complete()
        pair.wait(0.1)
        client.send_realtime_input(text="Hi")
        pair.wait(0.1)
        client.transport_failed("reset")
        list(client.events())
    expected = [(">", "text", "setup"), ("connected",), ("<", "binary", "setupComplete")]
    expected += [(">", "text", "realtimeInput"), ("closed",)]
    assert shape(records(sink)) == expected * 2
    assert records(sink)[-1].facts["error"]["class"] == "TransportFailed"


def test_a_refused_upgrade() -> None:
    sink = io.BytesIO()
    client = LiveConnection.client(ENDPOINT, model="m", observer=Recorder(sink))
    client.receive_data(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\nCANARY")
    list(client.events())
    found = records(sink)
    assert [one.kind for one in found] == ["rejected", "closed"]
    assert found[0].facts == {"status": 403}
    assert [one.at for one in found] == [0.0, 0.0]  # there was no clock yet


def test_a_pong_that_answers_nothing() -> None:
    sink = io.BytesIO()
    recorder = Recorder(sink)
    recorder(Observation(at=1.0, from_client=False, what=ev.PongReceived(payload=b"?")))
    recorder(Observation(at=1.0, from_client=True, what=ev.UpgradeRequested(target="/?key=CANARY")))
    (found,) = records(sink)
    assert (found.kind, found.facts) == ("pong", {})


class Broken(io.BytesIO):
    room = 2

    def write(self, data: Any, /) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        self.room -= 1
        return super().write(data)


def test_a_sink_that_fails_ends_the_recording_and_nothing_else() -> None:
    sink = Broken()
    recorder = Recorder(sink)
    pair = talk(LiveConnection.client(ENDPOINT, model="m", observer=recorder), LiveConnection.server())
    assert isinstance(recorder.error, OSError)
    assert len(records(sink)) == 1
    assert isinstance(pair.client, LiveConnection)
    assert pair.client.close_info is not None
    assert pair.client.close_info.clean


def test_redaction_can_be_switched_off_and_told_secrets() -> None:
    sink = io.BytesIO()
    text = json.dumps({"setup": {"sessionResumption": {"handle": "CANARY"}}})
    Recorder(sink, redact=False)(Observation(at=0, from_client=True, what=text))
    assert b"CANARY" in sink.getvalue()
    sink = io.BytesIO()
    text = json.dumps({"realtimeInput": {"text": "say hush"}})
    Recorder(sink, secrets=["hush"])(Observation(at=0, from_client=True, what=text))
    assert b"hush" not in sink.getvalue()


@pytest.mark.parametrize("client", [True, False])
def test_the_observer_of_a_link(client: bool) -> None:
    seen: list[Any] = []
    sink = io.BytesIO()
    if client:
        talk(LiveConnection.client(ENDPOINT, model="m", observer=seen.append), LiveConnection.server())
    else:
        talk(
            LiveConnection.client(ENDPOINT, model="m"),
            LiveConnection.server(observer=seen.append),
        )
    assert not sink.getvalue()
    assert {type(one.what) for one in seen} >= {str, bytes, ev.Connected, ev.ConnectionClosed}
    for one in seen:
        if isinstance(one.what, str | bytes):
            assert one.from_client is isinstance(one.what, str)
    assert isinstance(seen[-1].what, ev.ConnectionClosed)


class ByCall:
    """A recorder that is told of messages as observations."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __call__(self, observation: Observation) -> None:
        self.recorder(observation)


@pytest.mark.parametrize("batch", [0, 100, 100_000])
@pytest.mark.parametrize("client", [True, False])
def test_messages_without_an_observation_make_the_same_trace(client: bool, batch: int) -> None:
    traces = []
    for wrap in (ByCall, lambda recorder: recorder):
        sink = io.BytesIO()
        recorder = Recorder(sink, batch=batch)
        ends: dict[str, Any] = {"client" if client else "server": {"observer": wrap(recorder)}}
        talk(
            LiveConnection.client(ENDPOINT, CONFIG, model="m", **ends.get("client", {})),
            LiveConnection.server(**ends.get("server", {})),
        )
        recorder.flush()
        assert recorder.error is None
        traces.append(sink.getvalue())
    assert traces[0] == traces[1]


def test_messages_are_held_until_there_are_enough_or_something_else_happens() -> None:
    sink = io.BytesIO()
    recorder = Recorder(sink, batch=30)

    def written() -> int:
        return sink.getvalue().count(b"\n") - 1

    for count in (0, 0, 3):
        recorder.observe_message(1.0, True, b'{"a": 1}  ', True)
        assert written() == count
    recorder.observe_message(None, False, b"\xff", False)
    recorder(Observation(at=2.0, from_client=False, what=ev.PingReceived(payload=b"")))
    assert [one.at for one in records(sink)] == [1.0, 1.0, 1.0, 0.0, 2.0]
    recorder.observe_message(3, True, b"{}", True)
    assert written() == 5
    recorder.flush()
    recorder.flush()
    assert written() == 6
    assert b'"t":3.0' in sink.getvalue()


def test_what_is_held_is_dropped_after_an_error() -> None:
    recorder = Recorder(sink := Broken(), batch=30)
    sink.room = 0
    for _ in range(9):
        recorder.observe_message(1.0, True, b"{}" * 10, True)
        assert len(recorder._held) <= 1
    assert isinstance(recorder.error, OSError)
    assert len(records(sink)) == 0


@pytest.mark.parametrize("at", [float("inf"), float("nan")])
def test_a_clock_that_reads_no_time_ends_the_recording(at: float) -> None:
    recorder = Recorder(sink := io.BytesIO())
    recorder.observe_message(at, True, b"{}", True)
    assert isinstance(recorder.error, InvalidMessage)
    assert len(records(sink)) == 0


def test_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    with record_to(path, info={"a": 1}) as observer:
        talk(LiveConnection.client(ENDPOINT, model="m", observer=observer), LiveConnection.server())
    assert observer.error is None
    reader = TraceReader(path.read_bytes())
    assert reader.info == {"a": 1}
    assert len(list(reader)) == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_to_a_full_disk() -> None:
    with record_to("/dev/full") as observer:
        pair = talk(LiveConnection.client(ENDPOINT, model="m", observer=observer), LiveConnection.server())
    assert isinstance(observer.error, OSError)
    assert isinstance(pair.client, LiveConnection)
    assert pair.client.close_info is not None
    with pytest.raises(InvalidMessage), record_to("/dev/full", secrets="one"):
        pass


def test_without_an_observer_there_is_none() -> None:
    assert WebSocketLink.server().core.observer is None
