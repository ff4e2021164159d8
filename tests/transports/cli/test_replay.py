from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from support.paths import RECORDINGS
from transports.cli.support import call, run

from live_protocol import events
from live_protocol.recording import TraceFrame, TraceWriter, open_trace, write_websocket_log

FILES = sorted(RECORDINGS.glob("*.websocket.log"))

SETUP = b'{"setup":{"model":"models/m","generationConfig":{"responseModalities":["TEXT"]}}}'
COMPLETE = b'{\n  "setupComplete": {}\n}\n'
HELLO = b'{"clientContent":{"turns":[{"role":"user","parts":[{"text":"Hello"}]}],"turnComplete":true}}'
TEXT = b'{"serverContent":{"modelTurn":{"parts":[{"text":"Hi \\u001b[31m"}]},"generationComplete":true}}'


def log(path: Path, *messages: tuple[str, bytes]) -> Path:
    sink = io.BytesIO()
    write_websocket_log([TraceFrame(sent=mark == ">", data=data) for mark, data in messages], sink)
    path.write_bytes(sink.getvalue())
    return path


@pytest.mark.skipif(not FILES, reason="the recordings of the JavaScript SDK are not here")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".websocket.log"))
def test_every_recording_of_the_real_service(file: Path) -> None:
    result = call("replay", "--json", file)
    assert result.status == 0
    types = result.types()
    assert types[0] == "Connected"
    assert types[-1] == "ConnectionClosed"
    assert set(types) <= set(events.__all__) | {"ReplayError"}
    assert not {"Undecodable", "UnknownMessage", "ConnectionFailed"} & set(types)
    frames = open_trace(file.read_bytes())
    shown = result.objects()
    assert sum(item["from"] == "client" and item["type"] != "ReplayError" for item in shown) == sum(
        f.sent for f in frames
    )
    assert sum(item["from"] == "server" and item.get("last", False) for item in shown) == sum(
        not f.sent for f in frames
    )
    assert not any(item.get("unexpected") for item in shown)


def test_a_recording_of_our_own(tmp_path: Path) -> None:
    file = log(
        tmp_path / "own.websocket.log",
        (">", SETUP),
        ("<", COMPLETE),
        (">", HELLO),
        ("<", TEXT),
        ("<", b'{"somethingNew":{"a":1}}'),
        ("<", b"{nonsense"),
        ("<", b'{"serverContent":{"turnComplete":true}}'),
    )
    result = run("replay", "--json", file)
    assert result.status == 0
    assert result.types("server") == [
        "Connected",
        "SetupComplete",
        "TurnStarted",
        "TextChunk",
        "GenerationComplete",
        "UnknownMessage",
        "Undecodable",
        "TurnComplete",
        "ConnectionClosed",
    ]
    assert result.types("client") == ["SetupReceived", "ClientContentReceived"]
    by_type = {item["type"]: item for item in result.objects()}
    assert by_type["TextChunk"]["text"] == "Hi \x1b[31m"
    assert by_type["UnknownMessage"]["fields"] == {"somethingNew": {"a": 1}}
    assert by_type["Undecodable"]["error"]["class"] == "InvalidJson"
    assert by_type["Undecodable"]["data"] == {"size": 9}
    assert by_type["ConnectionClosed"]["info"]["reason"] == "end of recording"
    assert result.err == "5 server and 2 client messages, 1 undecodable, 1 unknown\n"


def test_control_characters_are_escaped(tmp_path: Path) -> None:
    file = log(tmp_path / "own.websocket.log", (">", SETUP), ("<", COMPLETE), ("<", TEXT))
    result = call("replay", file)
    assert "Hi \\x1b[31m" in result.out
    assert "\x1b" not in result.out


def test_full_gives_payloads(tmp_path: Path) -> None:
    audio = {"mimeType": "audio/pcm;rate=24000", "data": "AAABAAIA"}
    message = {"serverContent": {"modelTurn": {"parts": [{"inlineData": audio}]}}}
    file = log(tmp_path / "own.websocket.log", (">", SETUP), ("<", COMPLETE), ("<", json.dumps(message).encode()))
    short = {item["type"]: item for item in call("replay", "--json", file).objects()}
    full = {item["type"]: item for item in call("replay", "--json", "--full", file).objects()}
    assert short["AudioChunk"]["data"] == {"size": 6}
    assert full["AudioChunk"]["data"] == {"size": 6, "base64": "AAABAAIA"}
    assert full["AudioChunk"]["format"] == {"rate": 24000, "channels": 1}


def test_strict_ends_at_the_first_unknown_message(tmp_path: Path) -> None:
    file = log(tmp_path / "own.websocket.log", (">", SETUP), ("<", COMPLETE), ("<", b'{"new":{}}'), ("<", TEXT))
    result = call("replay", "--json", "--strict", file)
    assert result.status == 1
    assert result.types("server")[-2:] == ["ConnectionFailed", "ConnectionClosed"]
    assert "TextChunk" not in result.types()


def test_times_and_message_types_of_a_trace_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    with file.open("wb") as sink:
        writer = TraceWriter(sink)
        writer.record(100.0, sent=True, data=SETUP.decode())
        writer.record(100.25, sent=False, data=COMPLETE)
        # No deadline of ours fires in the recording's own gaps.
        writer.record(1000.0, sent=False, data=TEXT.decode())
    result = call("replay", "--json", file)
    assert result.status == 0
    at = {item["type"]: item.get("at") for item in result.objects()}
    assert (at["SetupReceived"], at["SetupComplete"], at["TextChunk"]) == (0.0, 0.25, 900.0)
    assert "PingReceived" not in at
    assert "PongReceived" not in at


def test_client_messages_that_would_be_refused_are_shown(tmp_path: Path) -> None:
    answer = b'{"toolResponse":{"functionResponses":[{"id":"nobody-asked","name":"f","response":{}}]}}'
    file = log(tmp_path / "own.websocket.log", (">", SETUP), ("<", COMPLETE), (">", answer), ("<", TEXT))
    result = call("replay", "--json", file)
    refused = [item for item in result.objects() if item["type"] == "ReplayError"]
    assert [item["error"]["class"] for item in refused] == ["InvalidMessage"]
    assert "TextChunk" in result.types()
    assert result.status == 0


def test_a_setup_that_would_be_refused_does_not_stop_the_rest(tmp_path: Path) -> None:
    setup = b'{"setup":{"model":"models/m","generationConfig":{"responseModalities":["TEXT","AUDIO"]}}}'
    file = log(tmp_path / "own.websocket.log", (">", setup), ("<", COMPLETE), ("<", TEXT))
    result = call("replay", "--json", file)
    assert result.types()[0] == "ReplayError"
    assert result.types("server")[-1] == "ConnectionClosed"


def test_a_recording_without_client_messages_and_one_side_only(tmp_path: Path) -> None:
    file = log(tmp_path / "own.websocket.log", ("<", COMPLETE), ("<", TEXT))
    assert "TextChunk" in call("replay", "--json", file).types()
    both = log(tmp_path / "both.websocket.log", (">", SETUP), ("<", COMPLETE))
    assert call("replay", "--json", "--only", "client", both).types() == ["SetupReceived"]


def test_handles_and_keys_stay_secret(tmp_path: Path) -> None:
    update = b'{"sessionResumptionUpdate":{"newHandle":"very-secret-handle","resumable":true}}'
    said = b'{"serverContent":{"modelTurn":{"parts":[{"text":"your key is AIzaSyVerySecret0123456789"}]}}}'
    setup = b'{"setup":{"model":"models/m","sessionResumption":{"handle":"very-secret-handle"}}}'
    file = log(tmp_path / "own.websocket.log", (">", setup), ("<", COMPLETE), ("<", update), ("<", said))
    for result in (call("replay", "--json", "--full", file), call("replay", file)):
        assert result.status == 0
        assert "ecret" not in result.out + result.err


def test_standard_input(tmp_path: Path) -> None:
    file = log(tmp_path / "own.websocket.log", (">", SETUP), ("<", COMPLETE))
    assert run("replay", "--json", "-", stdin=file.read_bytes()).types("server")[1] == "SetupComplete"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"what is this", "invalid trace at byte 0"),
        (b'{"format":"something else"}\n', "live-protocol-trace"),
        (b">12 {}\n", "ends inside a record"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "bad"
    file.write_bytes(content)
    result = call("replay", file)
    assert result.status == 3
    assert message in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1


def test_intact_records_of_a_damaged_file_are_shown(tmp_path: Path) -> None:
    file = log(tmp_path / "own.websocket.log", (">", SETUP), ("<", COMPLETE))
    file.write_bytes(file.read_bytes() + b"<400 {cut")
    result = call("replay", "--json", file)
    assert result.status == 3
    assert "SetupComplete" in result.types()
    assert "ends inside a record" in result.err
