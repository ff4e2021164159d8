"""``live-protocol serve`` with a script, faults and traces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from transports.cli.support import call, environment, line, running
from transports.pytest_plugin.support import TEXT, ask

from live_protocol import Endpoint, GoAway, ServerClosed, TransportFailed
from live_protocol.recording import TraceReader, open_trace
from live_transports import asyncio as live

STORY = """
- expect_setup: {generation_config: ...}
- send_setup_complete
- expect_client_content: Hi
- reply: Hello!
"""
KEY = "AIzaSyThisIsNoRealKey0123456789"


def endpoint(process: subprocess.Popen[str], key: str = "any") -> Endpoint:
    return Endpoint.gemini(api_key=key, base_url=line(process.stdout).removeprefix("listening on "))


def stopped(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    return process.returncode, err


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_script(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"story.{suffix}"
    steps = ["expect setup", "send setup complete", {"expect client content": "Hi"}, {"reply": "Hello!"}]
    path.write_text(STORY if suffix == "yaml" else json.dumps(steps))
    with running("serve", "--port", "0", "--script", str(path)) as process:
        where = endpoint(process)
        assert [ask(where, "Hi") for _ in range(2)] == ["Hello!", "Hello!"]
        assert stopped(process) == (0, "")


def test_a_script_that_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "story.yml"
    path.write_text(STORY)
    with running("serve", "--port", "0", "--script", str(path), "--fault", "split=3") as process:
        with pytest.raises(ServerClosed, match="playbook: step 3"):
            ask(endpoint(process), "Ho")
        status, err = stopped(process)
    assert status == 1
    assert err.startswith('playbook mismatch: step 3: client_content.text: expected "Hi", got "Ho"\n')
    assert "+++ received" in err


@pytest.mark.parametrize(
    ("arguments", "text", "status", "told"),
    [
        ((), "- expct_setup", 3, "story.yaml: step 1: unknown step 'expct_setup'; did you mean 'expect_setup'"),
        ((), "a: [b", 3, "story.yaml: the file is not YAML: "),
        (("--lifetime", "5"), "- drop", 2, "--lifetime is for the emulator and excludes --script"),
        (("--silent",), "- drop", 2, "--silent is for the emulator"),
        (("--fault", "no-pnog"), "- drop", 2, "--fault: faults: unknown fault 'no-pnog'; did you mean 'no_pong'"),
        ((), None, 3, "cannot read "),
    ],
)
def test_scripts_that_cannot_be_played(
    tmp_path: Path, arguments: tuple[str, ...], text: str | None, status: int, told: str
) -> None:
    path = tmp_path / "story.yaml"
    if text is not None:
        path.write_text(text)
    result = call("serve", "--script", path, *arguments)
    assert result.status == status
    assert told in result.err


def test_extras_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text("- drop")
    with patch.dict("sys.modules", {"yaml": None, "trustme": None}):
        result = call("serve", "--script", tmp_path / "story.yaml")
        assert (result.status, "pip install 'live-protocol[yaml]'" in result.err) == (2, True)
        result = call("serve", "--tls")
        assert (result.status, "pip install 'live-protocol[tls]'" in result.err) == (2, True)


def test_faults() -> None:
    with running("serve", "--port", "0", "--fault", "cut=160") as process:
        with pytest.raises(TransportFailed):
            ask(endpoint(process), "Hi")
        assert stopped(process) == (0, "")


def test_a_lifetime_and_its_announcement() -> None:
    async def scene(where: Endpoint) -> list[Any]:
        async with asyncio.timeout(20), live.connect(where, TEXT, model="m") as session:
            events: list[Any] = []
            with contextlib.suppress(ServerClosed):
                async for event in session:
                    events.append(event)  # noqa: PERF401 - the loop ends by an error
            assert session.close_info is not None
            assert session.close_info.reason.startswith("Deadline expired")
            return events

    with running("serve", "--port", "0", "--lifetime", "0.3", "--go-away", "0.1") as process:
        events = asyncio.run(scene(endpoint(process)))
    assert [event.time_left for event in events if isinstance(event, GoAway)] == [0.1]
    assert call("serve", "--go-away", "5").status == 2


def test_a_trace_of_each_connection(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "traces"
    folder.mkdir(parents=True)
    (folder / "connection-001.jsonl").write_text("of an earlier run")
    with running("serve", "--port", "0", "--record", str(folder)) as process:
        where = endpoint(process, KEY)
        assert ask(where, "Hi") == "Hi"
        assert ask(where, f"my key is {KEY}") != ""
        assert stopped(process) == (0, "")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["connection-001.jsonl", "connection-002.jsonl", "connection-003.jsonl"]
    data = (folder / names[1]).read_bytes()
    kinds = [getattr(record, "kind", "") for record in TraceReader(data).records()]
    assert kinds[:4] == ["connected", "text", "binary", "text"]
    assert kinds[-1] == "closed"
    assert b'"Hi"' in open_trace(data)[2].data
    assert KEY.encode() not in b"".join(path.read_bytes() for path in folder.iterdir())
    assert (folder / names[0]).read_text() == "of an earlier run"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = call("serve", "--record", tmp_path / "file" / "below")
    assert result.status == 1
    assert "cannot write to" in result.err


TOKENS = """
import asyncio, sys
from google import genai

async def main(base_url):
    options = {"base_url": base_url, "api_version": "v1alpha"}
    client = genai.Client(api_key="any", http_options=options)
    constraints = {"model": "m", "config": {"response_modalities": ["TEXT"]}}
    token = client.auth_tokens.create(config={"uses": 1, "live_connect_constraints": constraints})
    other = await client.aio.auth_tokens.create(config={"uses": 1})
    assert token.name != other.name
    tied = genai.Client(api_key=token.name, http_options=options)
    async with tied.aio.live.connect(model="m", config={"response_modalities": ["TEXT"]}) as session:
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "Hello, parrot"}]})
        print("".join([message.text or "" async for message in session.receive()]))
    try:
        async with tied.aio.live.connect(model="m"):
            pass
    except Exception as error:
        print(error)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(find_spec("google.genai") is None, reason="google-genai is not installed")
def test_the_official_sdk_gets_ephemeral_tokens() -> None:
    with running("serve", "--port", "0", "--tls") as process:
        ca = line(process.stdout).removeprefix("ca ")
        url = line(process.stdout).removeprefix("listening on ")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", TOKENS, url.replace("wss", "https")],
            env=environment(SSL_CERT_FILE=ca) | {"PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert stopped(process) == (0, "")
    assert (done.stdout, done.stderr) == ("Hello, parrot\n1011 None. Token has been used too many times\n", "")
