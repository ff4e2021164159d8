"""The commands that talk in text: serve and chat."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from transports.cli.support import call, command, environment, line, run, running

from live_protocol import Content, Endpoint, Part, TextChunk, TurnComplete, UpgradeRequested
from live_transports import asyncio as live

KEY = "AIzaSyThisIsNoRealKey0123456789"


async def ask(base_url: str, text: str, **options: object) -> str:
    endpoint = Endpoint.gemini(api_key="any", base_url=base_url)
    answer = ""
    connecting = live.connect(endpoint, {"response_modalities": ["TEXT"]}, model="m", **options)  # type: ignore[arg-type]
    async with asyncio.timeout(20), connecting as session:
        await session.send_client_content(Content(role="user", parts=[Part(text=text)]))
        async for event in session:
            if isinstance(event, TextChunk):
                answer += event.text
            if isinstance(event, TurnComplete):
                break
    return answer


# --- serve ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_serve_holds_a_conversation_and_ends_on_a_signal(which: signal.Signals) -> None:
    with running("serve", "--port", "0") as process:
        match = re.fullmatch(r"listening on (ws://127\.0\.0\.1:\d+)", line(process.stdout))
        assert match
        assert asyncio.run(ask(match[1], "Is this on?")) == "Is this on?"
        process.send_signal(which)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_serve_prints_addresses_as_json() -> None:
    with running("serve", "--port", "0", "--tls", "--json") as process:
        ca, where = (json.loads(line(process.stdout)) for _ in range(2))
        assert ca["type"] == "ca"
        assert Path(ca["path"]).is_file()
        assert where["type"] == "listening"
        assert re.fullmatch(r"wss://localhost:\d+", where["url"])


def test_serve_ends_while_a_client_is_connected() -> None:
    async def scene(base_url: str, process: subprocess.Popen[str]) -> None:
        endpoint = Endpoint.gemini(api_key="any", base_url=base_url)
        async with asyncio.timeout(20), live.connect(endpoint, model="m") as session:
            process.terminate()
            async for _ in session:
                pass
            assert session.close_info is not None
            assert (session.close_info.code, session.close_info.clean) == (1001, True)

    with running("serve", "--port", "0") as process:
        asyncio.run(scene(line(process.stdout).removeprefix("listening on "), process))
        assert process.wait(10) == 0


def test_serve_over_tls() -> None:
    with running("serve", "--port", "0", "--tls") as process:
        ca = line(process.stdout).removeprefix("ca ")
        url = line(process.stdout).removeprefix("listening on ")
        assert url.startswith("wss://localhost:")
        context = ssl.create_default_context(cafile=ca)
        assert asyncio.run(ask(url, "secretly", ssl=context)) == "secretly"
        process.terminate()
        assert process.wait(10) == 0
    assert not Path(ca).exists()


OFFICIAL = """
import asyncio, sys
from google import genai

async def main():
    client = genai.Client(api_key="any", http_options={"base_url": sys.argv[1]})
    async with client.aio.live.connect(model="m", config={"response_modalities": ["TEXT"]}) as session:
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "Hello, parrot"}]})
        print("".join([message.text or "" async for message in session.receive()]))

asyncio.run(main())
"""


def test_serve_is_understood_by_the_official_sdk() -> None:
    if find_spec("google.genai") is None:
        pytest.skip("google-genai is not installed")
    with running("serve", "--port", "0", "--tls") as process:
        ca = line(process.stdout).removeprefix("ca ")
        url = line(process.stdout).removeprefix("listening on ")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", OFFICIAL, url.replace("wss", "https")],
            env=environment(SSL_CERT_FILE=ca) | {"PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello, parrot\n", "")


def test_serve_on_a_port_that_is_taken() -> None:
    with running("serve", "--port", "0") as process:
        port = line(process.stdout).rpartition(":")[2]
        result = run("serve", "--port", port)
    assert result.status == 1
    assert result.err.startswith(f"error: cannot listen on 127.0.0.1:{port}: ")
    assert result.err.count("\n") == 1


def test_serve_refuses_invalid_options() -> None:
    result = call("serve", "--speed", "-1")
    assert result.status == 2
    assert "--speed: must be a number above 0, not '-1'" in result.err


# --- chat -------------------------------------------------------------------------------------------------------


def test_chat_shows_the_transcript_and_says_that_it_is_an_emulator() -> None:
    result = run("chat", "Good morning", "Good night")
    assert (result.status, result.out) == (0, "Good morning\nGood night\n")
    assert result.err.startswith("no key in the environment: talking to an emulator at ws://127.0.0.1:")


def test_chat_reads_lines() -> None:
    result = run("chat", "--modality", "TEXT", stdin="one\n\ntwo\nthree")
    assert (result.status, result.out) == (0, "one\ntwo\nthree\n")


def test_chat_as_json() -> None:
    result = run("chat", "--json", "hi")
    types = result.types()
    assert types[:2] == ["Connected", "SetupComplete"]
    assert {"TurnStarted", "OutputTranscript", "AudioChunk", "TurnComplete"} < set(types)
    assert types[-1] == "ConnectionClosed"


def test_chat_verbose_passes_the_system_instruction() -> None:
    result = run("chat", "-v", "--modality", "TEXT", "--system", "Be a parrot.", "/system")
    assert result.status == 0
    assert re.search(r"> client content +/system", result.out)
    assert re.search(r"< text +Be a parrot\.", result.out)
    assert re.search(r"< closed +1000", result.out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("/close 1011 Internal error encountered.",), "closed by the peer with 1011"),
        (("/drop",), "ended without a close frame"),
        (("/drop",), "resume"),  # the hint
        (("/close 1000 that is all",), "the connection ended before an answer came"),
        (("--model", "missing", "hi"), "models/missing is not found"),
        (("--timeout", "0.2", "/stall"), "did not come within 0.2 s"),
        (("--url", "ws://127.0.0.1:1", "hi"), "could not connect to 127.0.0.1:1"),
    ],
)
def test_chat_fails_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = run("chat", *arguments)
    assert result.status == 1
    (error,) = [line for line in result.err.splitlines() if not line.startswith("no key")]
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--vertex",), "needs an access token"),
        (("--emulator", "--vertex"), "--emulator excludes"),
        (("--url", "https://somewhere/x"), "must be ws:// or wss://"),
        (("--url", "nonsense"), "url: "),
    ],
)
def test_chat_with_contradicting_flags(arguments: tuple[str, ...], message: str) -> None:
    result = call("chat", *arguments, "hi")
    assert result.status == 2
    assert message in result.err


def test_chat_answers_a_tool_call_with_an_error() -> None:
    # No tool is declared, so the emulator says so; a model that calls one all the same must not hang.
    assert "No function 'f' is declared." in run("chat", "--modality", "TEXT", "/call f {}").out


def test_a_key_goes_to_google_only() -> None:
    seen: list[UpgradeRequested] = []

    async def refuse(request: UpgradeRequested) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        seen.append(request)
        return 403, (), b""

    async def never(session: live.LiveServerSession) -> None:
        raise AssertionError(session)

    async def scene() -> list[tuple[int | None, bytes, bytes]]:
        results = []
        async with live.serve(never, process_request=refuse) as server:
            for arguments in (
                ("--url", server.url(path="")),
                ("--url", server.url()),
                ("--vertex", "--project", "p", "--url", server.url(path="")),
            ):
                variables = {"GEMINI_API_KEY": KEY, "CLOUDSDK_AUTH_ACCESS_TOKEN": "ya29.secret"}
                process = await asyncio.create_subprocess_exec(
                    *command("chat", *arguments, "hi"),
                    env=environment(**variables),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
                out, err = await process.communicate()
                results.append((process.returncode, out, err))
        return results

    results = asyncio.run(scene())
    assert [status for status, _, _ in results] == [1, 1, 1]
    assert len(seen) == 3
    assert not any(secret in repr((r.target, r.headers)) for r in seen for secret in (KEY, "ya29"))
    assert not any(KEY.encode() in out + err or b"ya29" in out + err for _, out, err in results)
