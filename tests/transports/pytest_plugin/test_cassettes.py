"""Recording and replaying cassettes."""

from __future__ import annotations

import asyncio
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from transports.pytest_plugin.support import TEXT, ask, converse, official

from live_protocol import (
    AudioChunk,
    Endpoint,
    InputTranscript,
    LiveProtocolError,
    ResumptionUpdated,
    ServerClosed,
    SetupComplete,
    TransportFailed,
    TurnComplete,
)
from live_protocol.recording import InvalidTrace, TraceReader
from live_protocol.testing import Playbook, PlaybookMismatch
from live_transports import asyncio as live
from live_transports.pytest_plugin.cassette_files import cassette_files
from live_transports.pytest_plugin.cassettes import Cassettes
from live_transports.pytest_plugin.servers import Servers

KEY = "AIzaSyThisIsNoRealKey0123456789"
SPOKEN = {"response_modalities": ["AUDIO"], "input_audio_transcription": {}}


@pytest.fixture
def cassettes(tmp_path: Path) -> Cassettes:
    return Cassettes(tmp_path / "cassettes", "test_it[a/b]")


@pytest.fixture
def real(live_server: Servers) -> Endpoint:
    """A stand-in for the service."""
    return Endpoint.gemini(api_key=KEY, base_url=live_server().base_url)


def text_of(cassettes: Cassettes) -> str:
    return "".join(path.read_text() for path in sorted(cassettes.folder.iterdir()))


def test_recorded_then_replayed(cassettes: Cassettes, real: Endpoint) -> None:
    with cassettes("greeting", endpoint=real) as server:
        assert ask(server.endpoint, "Hi", "Ho") == "HiHo"
    (path,) = cassettes.folder.iterdir()
    assert path.name == "greeting.jsonl"
    for endpoint in (None, real):
        with cassettes("greeting", endpoint=endpoint) as server:
            assert ask(server.endpoint, "Hi", "Ho") == "HiHo"


def test_the_name_is_the_tests_own(cassettes: Cassettes, real: Endpoint) -> None:
    with cassettes(endpoint=real) as server:
        ask(server.endpoint, "Hi")
    assert [path.name for path in cassettes.folder.iterdir()] == ["test_it-a-b-.jsonl"]
    with cassettes() as server:
        assert ask(server.endpoint, "Hi") == "Hi"


def test_a_message_that_differs_from_the_recording(cassettes: Cassettes, real: Endpoint) -> None:
    with cassettes(endpoint=real) as server:
        ask(server.endpoint, "Hi")
    replay = cassettes()
    told = pytest.raises(ServerClosed, match="playbook: step 3")
    with pytest.raises(PlaybookMismatch) as caught, replay as server, told:
        ask(server.endpoint, "Ho")
    assert '-            "text": "Hi"' in caught.value.diff
    assert '+            "text": "Ho"' in caught.value.diff
    assert "ok 2 send setupComplete" in str(caught.value)


def test_fewer_messages_than_recorded(cassettes: Cassettes, real: Endpoint) -> None:
    with cassettes(endpoint=real) as server:
        ask(server.endpoint, "Hi")
    replay = cassettes(step_timeout=None)
    with pytest.raises(PlaybookMismatch, match="still to come"), replay as server:
        ask(server.endpoint)


def test_without_a_cassette_and_without_an_endpoint(cassettes: Cassettes) -> None:
    with pytest.raises(FileNotFoundError, match="no cassette 'x'"), cassettes("x"):
        pass


def test_recording_again(cassettes: Cassettes, real: Endpoint) -> None:
    with cassettes("x", endpoint=real) as server:
        ask(server.endpoint, "Hi")
        ask(server.endpoint, "Hi")
    assert len(cassette_files(cassettes.folder, "x")) == 2
    cassettes.rerecord = True
    with cassettes("x", endpoint=real) as server:
        ask(server.endpoint, "Ho")
    assert [path.name for path in cassettes.folder.iterdir()] == ["x.jsonl"]
    assert "Ho" in text_of(cassettes)
    with cassettes("x") as server:  # a flag alone, without an endpoint, records nothing
        assert ask(server.endpoint, "Ho") == "Ho"


def test_a_test_that_fails_records_nothing(cassettes: Cassettes, real: Endpoint) -> None:
    recording = cassettes(endpoint=real)
    with pytest.raises(ZeroDivisionError), recording as server:  # noqa: PT012
        ask(server.endpoint, "Hi")
        raise ZeroDivisionError
    assert not cassettes.folder.exists()


# --- what is kept -----------------------------------------------------------------------------------------------


async def speak(endpoint: Endpoint, loud: bytes) -> list[Any]:
    events = []
    async with asyncio.timeout(20), live.connect(endpoint, SPOKEN, model="m") as session:
        await session.send_realtime_input(audio=loud * 8000, rate=16_000)
        await session.send_realtime_input(audio_stream_end=True)
        async for event in session:
            events.append(event)
            if isinstance(event, TurnComplete):
                break
    return events


def test_media_are_trimmed_and_replayed_at_full_length(cassettes: Cassettes, live_server: Servers) -> None:
    loud = bytes((0, 64))
    script = (
        Playbook()
        .expect_setup()
        .send_setup_complete()
        .expect_audio(0.5)
        .expect_realtime_input(audio_stream_end=True)
        .send_transcript("heard", user=True)
        .send_audio(data=loud * 12_000)
        .send_raw('{"serverContent": {"turnComplete": true}}')
    )
    with cassettes(endpoint=live_server(script).endpoint, keep=100) as server:
        recorded = asyncio.run(speak(server.endpoint, loud))
    text = text_of(cassettes)
    assert len(text) < 4000
    assert '"kind":"trimmed"' in text
    with cassettes() as server:
        replayed = asyncio.run(speak(server.endpoint, b"\0\x70"))  # another voice, as long
    for events in (recorded, replayed):
        assert [event.text for event in events if isinstance(event, InputTranscript)] == ["heard"]
    first, again = (
        b"".join(event.data for event in events if isinstance(event, AudioChunk)) for events in (recorded, replayed)
    )
    assert first == loud * 12_000
    assert len(again) == len(first)
    assert again[:100] == first[:100]
    assert again[100:11_520] == bytes(11_420)


def test_secrets_are_not_recorded(cassettes: Cassettes, live_server: Servers) -> None:
    first = Playbook().expect_setup().send_setup_complete().send_resumption("very-secret-handle").expect_close()
    second = Playbook().expect_setup(session_resumption={"handle": "very-secret-handle"}).send_setup_complete()
    base_url = live_server(first, second).base_url

    def run(endpoint: Endpoint) -> None:
        async def scene() -> None:
            async with asyncio.timeout(20):
                handle = ""
                async with live.connect(endpoint, TEXT, model="m") as session:
                    async for event in session:
                        if isinstance(event, ResumptionUpdated):
                            handle = event.handle or ""
                            break
                async with live.connect(endpoint, TEXT | {"session_resumption": {"handle": handle}}, model="m"):
                    pass

        asyncio.run(scene())

    with cassettes(endpoint=Endpoint.gemini(api_key="a-key-of-no-known-shape", base_url=base_url)) as server:
        run(server.endpoint)
    text = text_of(cassettes)
    assert "very-secret-handle" not in text
    assert "a-key-of-no-known-shape" not in text
    with cassettes() as server:
        run(server.endpoint)


# --- how it ended -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "clean"), [(1000, True), (1011, False)])
def test_the_servers_close_is_replayed(cassettes: Cassettes, live_server: Servers, code: int, clean: bool) -> None:
    script = Playbook().expect_setup().send_setup_complete().expect_client_content().close(code, "so be it")
    endpoint = live_server(script).endpoint

    async def scene(where: Endpoint) -> tuple[int, str]:
        async with asyncio.timeout(20), live.connect(where, TEXT, model="m") as session:
            await session.send_client_content({"parts": [{"text": "Hi"}]})
            try:
                async for _ in session:
                    pass
            except ServerClosed:
                assert not clean
            assert session.close_info is not None
            return session.close_info.code, session.close_info.reason

    for where in (endpoint, None):
        with cassettes(endpoint=where) as server:
            assert asyncio.run(scene(server.endpoint)) == (code, "so be it")


def test_a_loss_is_replayed(cassettes: Cassettes, live_server: Servers) -> None:
    script = Playbook().expect_setup().send_setup_complete().expect_client_content().send_text("Hel").drop()
    endpoint = live_server(script).endpoint
    for where in (endpoint, None):
        with cassettes(endpoint=where) as server, pytest.raises(TransportFailed):
            ask(server.endpoint, "Hi")


def test_a_refusal_is_replayed(cassettes: Cassettes, live_server: Servers) -> None:
    endpoint = Endpoint.gemini(api_key="invalid", base_url=live_server().base_url)
    for where in (endpoint, None):
        with cassettes(endpoint=where) as server, pytest.raises(ServerClosed, match="API key not valid"):
            ask(server.endpoint, "Hi")


def test_a_server_that_cannot_be_reached(cassettes: Cassettes) -> None:
    nowhere = Endpoint.gemini(api_key="k", base_url="ws://127.0.0.1:1")
    recording = cassettes(endpoint=nowhere)
    told = pytest.raises(ServerClosed, match="the recorded endpoint cannot be reached")
    with pytest.raises(TransportFailed, match="could not connect"), recording as server, told:
        ask(server.endpoint, "Hi")
    assert not cassettes.folder.exists()


def test_a_client_that_sends_nothing_or_nonsense(cassettes: Cassettes, real: Endpoint) -> None:
    async def silent(endpoint: Endpoint) -> None:
        _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        writer.write(b"GET " + endpoint.target.encode() + _UPGRADE)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def nonsense(endpoint: Endpoint) -> int:
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        writer.write(b"GET " + endpoint.target.encode() + _UPGRADE + b"\x81\x95\0\0\0\0" + b'{"clientContent": {}}')
        await reader.readuntil(b"\r\n\r\n")
        frame = await reader.readexactly(4)
        writer.close()
        await writer.wait_closed()
        return int.from_bytes(frame[2:], "big")

    with cassettes(endpoint=real) as server:
        asyncio.run(silent(server.endpoint))
        assert asyncio.run(nonsense(server.endpoint)) == 1007
        assert ask(server.endpoint, "Hi") == "Hi"
    assert len(cassette_files(cassettes.folder, "test_it[a/b]")) == 3


_UPGRADE = (
    b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def test_messages_that_the_service_would_refuse(cassettes: Cassettes, real: Endpoint) -> None:
    async def scene(endpoint: Endpoint) -> None:
        async with asyncio.timeout(20), live.connect(endpoint, TEXT, model="m") as session:
            session.connection._link.send_text(b'{"realtimeInput": {"text": "a", "audioStreamEnd": true}}')
            await session.ping()
            async for _ in session:
                pass

    with cassettes(endpoint=real) as server, pytest.raises(ServerClosed, match="exactly one member"):
        asyncio.run(scene(server.endpoint))


def test_vertex(cassettes: Cassettes, live_server: Servers) -> None:
    endpoint = live_server(backend="vertex").endpoint

    def session_id(events: list[Any]) -> str:
        return next(event.session_id for event in events if isinstance(event, SetupComplete))

    with cassettes(endpoint=endpoint) as server:
        recorded = session_id(asyncio.run(converse(server.endpoint, "Hi")))
    with cassettes() as server:
        assert server.backend == "vertex"
        assert session_id(asyncio.run(converse(server.endpoint, "Hi"))) == recorded


# --- files ------------------------------------------------------------------------------------------------------


def test_a_cassette_is_a_trace(cassettes: Cassettes, real: Endpoint) -> None:
    with cassettes("x", endpoint=real) as server:
        ask(server.endpoint, "Hi")
    reader = TraceReader((cassettes.folder / "x.jsonl").read_bytes())
    assert reader.redacted
    assert reader.info == {"cassette": "x", "backend": "gemini", "media_bytes_kept": 960}
    frames = list(reader)
    assert frames[0].sent
    assert frames[0].at == 0.0
    assert frames[1].data == b'{\n  "setupComplete": {}\n}\n'


def test_a_damaged_cassette(cassettes: Cassettes) -> None:
    cassettes.folder.mkdir()
    (cassettes.folder / "x.jsonl").write_text("{")
    with pytest.raises(InvalidTrace), cassettes("x"):
        pass


def test_a_cassette_of_any_messages(cassettes: Cassettes) -> None:
    """Written by hand: messages that no client and no recorder of this library writes."""
    lines: list[dict[str, Any]] = [
        {"format": "live-protocol-trace", "version": 1},
        {"t": 0, "dir": ">", "kind": "text", "json": {"setup": {"model": "models/m"}}},
        {"t": 1, "dir": "<", "kind": "text", "json": {"setupComplete": {}}},
        {"t": 1, "kind": "ping"},
        {"t": 2, "dir": "<", "kind": "text", "text": "[]"},
        {"t": 2, "dir": "<", "kind": "binary", "data": "/w=="},
        {"t": 3, "dir": ">", "kind": "text", "text": "nonsense"},
        {"t": 4, "kind": "closed", "code": 1005},
    ]
    cassettes.folder.mkdir()
    (cassettes.folder / "x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    async def scene(endpoint: Endpoint) -> list[str]:
        async with asyncio.timeout(20), live.connect(endpoint, {}, model="m") as session:
            session.connection._link.send_text(b"more nonsense")
            await session.ping()
            return [type(event).__name__ async for event in session]

    with cassettes("x") as server:
        names = asyncio.run(scene(server.endpoint))
    assert names.count("Undecodable") == 2
    assert names[-1] == "ConnectionClosed"


@pytest.mark.skipif(find_spec("google.genai") is None, reason="google-genai is not installed")
def test_the_official_sdk(cassettes: Cassettes, real: Endpoint) -> None:
    for endpoint in (real, None):
        with cassettes("official", endpoint=endpoint, tls=True) as server:
            assert server.ca is not None
            assert official(server.base_url, "Hi", server.ca) == "Hi"
    assert KEY not in text_of(cassettes)
    replay = cassettes("official", tls=True)
    with pytest.raises(PlaybookMismatch), replay as server:  # noqa: PT012
        assert server.ca is not None
        assert "playbook: step 3" in official(server.base_url, "Ho", server.ca)


def test_errors_belong_to_the_library() -> None:
    assert issubclass(PlaybookMismatch, LiveProtocolError)
