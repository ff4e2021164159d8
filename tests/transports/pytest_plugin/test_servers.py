"""Servers for tests, without the fixtures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from transports.pytest_plugin.support import GREETING, TEXT, ask, converse, official

from live_protocol import (
    ClientContentReceived,
    ConnectionClosed,
    DeadlineExpired,
    Endpoint,
    InvalidMessage,
    ServerClosed,
    SetupComplete,
    TextChunk,
    Timeouts,
    TransportFailed,
)
from live_protocol.emulator import Emulator, EmulatorOptions, ModelAction, Say, UserTurn
from live_protocol.testing import Faults, InvalidPlaybook, Playbook, PlaybookConnection, PlaybookMismatch
from live_transports import asyncio as live
from live_transports.pytest_plugin.servers import LocalServer, Servers


def test_the_default_is_an_emulator(live_server: Servers) -> None:
    server = live_server()
    assert ask(server.endpoint, "Hi", "Ho") == "HiHo"
    assert repr(server) == f"<LocalServer ws://127.0.0.1:{server.port}>"
    assert (server.ca, server.ssl) == (None, None)


def test_events_and_connections_can_be_inspected(live_server: Servers) -> None:
    server = live_server()
    ask(server.endpoint, "Hi")
    said = [event.content for event in server.events if isinstance(event, ClientContentReceived)]
    assert [content.turns[0].parts[0].text for content in said] == ["Hi"]
    assert len(server.connections) == 1


def test_another_emulator(live_server: Servers) -> None:
    server = live_server(emulator=Emulator(options=EmulatorOptions(missing_models="m")))
    with pytest.raises(ServerClosed, match="is not found"):
        ask(server.endpoint, "Hi")


def test_a_playbook(live_server: Servers) -> None:
    server = live_server(GREETING)
    assert ask(server.endpoint, "Hi") == "Hello!"
    (connection,) = server.connections
    assert isinstance(connection, PlaybookConnection)


def test_a_playbook_for_each_connection(live_server: Servers) -> None:
    first = Playbook().expect_setup().send_setup_complete().send_resumption("handle").expect_close()
    second = Playbook().expect_setup(session_resumption={"handle": "handle"}).send_setup_complete()
    server = live_server(first, second)

    async def scene() -> None:
        await converse(server.endpoint)
        await converse(server.endpoint, config={"session_resumption": {"handle": "handle"}})

    asyncio.run(scene())


def test_one_playbook_for_every_connection(live_server: Servers) -> None:
    server = live_server(GREETING, repeat=True)
    assert [ask(server.endpoint, "Hi") for _ in range(2)] == ["Hello!", "Hello!"]


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_playbook_from_a_file(live_server: Servers, tmp_path: Path, suffix: str) -> None:
    steps = ["expect setup", "send_setup_complete", {"expect_client_content": "Hi"}, {"reply": "Hello!"}]
    text = "- expect setup\n- sendSetupComplete\n- expect_client_content: Hi\n- reply: Hello!\n"
    path = tmp_path / f"greeting.{suffix}"
    path.write_text(text if suffix == "yaml" else json.dumps(steps))
    assert ask(live_server(path).endpoint, "Hi") == "Hello!"
    assert ask(live_server(str(path)).endpoint, "Hi") == "Hello!"
    assert ask(live_server(steps).endpoint, "Hi") == "Hello!"


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "a: [b"), ("a.json", "{"), ("a.yml", "- expct_setup")])
def test_a_file_that_is_not_a_playbook(live_server: Servers, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidPlaybook):
        live_server(tmp_path / name)


def test_yaml_is_an_extra(live_server: Servers, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("- drop")
    with patch.dict("sys.modules", {"yaml": None}), pytest.raises(ImportError, match=r"live-protocol\[yaml\]"):
        live_server(tmp_path / "a.yaml")


# --- TLS, dialects, HTTP ----------------------------------------------------------------------------------------


def test_tls(live_server: Servers) -> None:
    server = live_server(GREETING, tls=True)
    assert server.base_url == f"wss://localhost:{server.port}"
    assert server.ca is not None
    assert ask(server.endpoint, "Hi", ssl=server.ssl) == "Hello!"


def test_tls_ends_with_the_test(tmp_path: Path) -> None:
    with Servers() as servers:
        ca = servers(tls=True).ca
        assert ca is not None
        assert ca.exists()
    assert not ca.exists()


def test_tls_is_an_extra() -> None:
    missing = patch.dict("sys.modules", {"trustme": None})
    with Servers() as servers, missing, pytest.raises(ImportError, match=r"live-protocol\[tls\]"):
        servers(tls=True)


@pytest.mark.skipif(find_spec("google.genai") is None, reason="google-genai is not installed")
def test_the_official_sdk_against_a_playbook(live_server: Servers) -> None:
    server = live_server(GREETING, tls=True)
    assert server.ca is not None
    assert official(server.base_url, "Hi", server.ca) == "Hello!"


def test_the_official_sdk_gets_the_mismatch() -> None:
    if find_spec("google.genai") is None:
        pytest.skip("google-genai is not installed")
    servers = Servers()
    server = servers(GREETING, tls=True)
    assert server.ca is not None
    assert "playbook: step 3: client_content.text" in official(server.base_url, "Ho", server.ca)
    with pytest.raises(PlaybookMismatch):
        servers.stop()


def test_vertex(live_server: Servers) -> None:
    server = live_server(backend="vertex")
    (event,) = [event for event in asyncio.run(converse(server.endpoint, "Hi")) if isinstance(event, SetupComplete)]
    assert event.session_id


def test_tokens_are_minted(live_server: Servers) -> None:
    server = live_server()
    url = f"http://127.0.0.1:{server.port}/v1alpha/auth_tokens"
    headers = {"x-goog-api-key": "any"}
    with urllib.request.urlopen(urllib.request.Request(url, b"{}", headers, method="POST"), timeout=10) as reply:
        token = json.load(reply)["name"]
    assert ask(Endpoint.gemini(token=token, base_url=server.base_url), "Hi") == "Hi"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(f"{url}/x", b"{}", headers, method="POST"), timeout=10)
    assert caught.value.code == 404
    caught.value.close()


# --- faults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", ["split=1", Faults(split=3, seed=1), "delay=0.02", ""])
def test_faults_that_change_nothing(live_server: Servers, faults: Any) -> None:
    assert ask(live_server(faults=faults).endpoint, "Hi") == "Hi"


def test_faults_that_end_the_connection(live_server: Servers) -> None:
    with pytest.raises(TransportFailed):
        ask(live_server(faults="cut=160").endpoint, "Hi")
    with pytest.raises(TransportFailed):
        ask(live_server(faults="drop=0.05").endpoint, "/stall")
    with pytest.raises(InvalidMessage):
        live_server(faults="no-pnog")


def test_a_server_that_never_closes_can_be_stopped() -> None:
    async def scene(server: LocalServer) -> None:
        async with live.connect(server.endpoint, TEXT, model="m", timeouts=Timeouts(close=0.05)) as session:
            await session.close()
            assert isinstance(session.close_info and session.close_info.error, DeadlineExpired)

    with Servers() as servers:
        server = servers(faults="no-close")
        asyncio.run(scene(server))


# --- what a test is told ----------------------------------------------------------------------------------------


def test_a_mismatch_fails_the_test() -> None:
    servers = Servers()
    with pytest.raises(PlaybookMismatch) as caught, servers, pytest.raises(ServerClosed, match="playbook: step 3"):
        ask(servers(GREETING).endpoint, "Ho")
    assert '-  "(text)": "Hi",' in caught.value.diff


def test_an_unused_playbook_fails_the_test() -> None:
    servers = Servers()
    with pytest.raises(PlaybookMismatch, match="no client made"), servers:
        servers(GREETING)


def test_a_playbook_left_early_fails_the_test() -> None:
    servers = Servers()
    with pytest.raises(PlaybookMismatch, match="the connection ended"), servers:
        ask(servers(GREETING).endpoint)


def test_all_servers_are_stopped_after_an_error() -> None:
    servers = Servers()
    running = [servers(GREETING), servers()]
    with pytest.raises(PlaybookMismatch):
        servers.stop()
    for server in running:
        with pytest.raises(TransportFailed):
            ask(server.endpoint, "Hi")


def test_step_timeout() -> None:
    servers = Servers()
    server = servers(GREETING, step_timeout=0.05)

    async def scene() -> None:
        async with live.connect(server.endpoint, TEXT, model="m") as session:
            async for _ in session:
                pass

    with pytest.raises(ServerClosed, match="nothing came within"):
        asyncio.run(scene())
    with pytest.raises(PlaybookMismatch, match=r"nothing came within 0\.05 s"):
        servers.stop()


class Broken:
    """A model with a bug."""

    def on_text(self, turn: UserTurn) -> Iterable[ModelAction]:
        yield Say(f"{1 // len(turn.speech)}")

    on_speech = on_tool_response = on_text


def test_an_exception_of_a_model_fails_the_test() -> None:
    servers = Servers()
    with contextlib.suppress(ServerClosed):  # or the end of a turn in which nothing was said, which comes first
        ask(servers(emulator=Emulator(Broken())).endpoint, "Hi")
    with pytest.raises(ZeroDivisionError):
        servers.stop()


def test_a_connection_still_open_at_the_end_of_the_test() -> None:
    async def scene() -> None:
        servers = Servers()
        server = servers()
        async with live.connect(server.endpoint, TEXT, model="m") as session:
            await asyncio.to_thread(servers.stop)
            assert [type(event) async for event in session][-1] is ConnectionClosed
            assert not any(isinstance(event, TextChunk) for event in server.events)

    asyncio.run(scene())


def test_contexts_are_new_for_each_client(live_server: Servers) -> None:
    server = live_server(tls=True)
    first, second = server.ssl, server.ssl
    assert isinstance(first, ssl.SSLContext)
    assert first is not second
