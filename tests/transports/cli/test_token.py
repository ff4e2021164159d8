"""``live-protocol token``, and ``chat --token``."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from transports.cli.support import Result, call, command, environment, line, run, running

KEY = "AIzaSyThisIsNoRealKey0123456789"


# --- against the emulator ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running("serve", "--port", "0") as process:
        yield line(process.stdout).removeprefix("listening on ")


def mint(url: str, *arguments: str | Path, stdin: str = "") -> Result:
    return call("token", "--base-url", url.replace("ws", "http"), *arguments, stdin=stdin)


def chat(url: str, token: str, *arguments: str) -> Result:
    return call("chat", "--url", url, "--token", token, *arguments)


def test_a_token_opens_one_session(url: str) -> None:
    minted = mint(url)
    assert (minted.status, minted.err) == (0, "")
    assert re.fullmatch(r"auth_tokens/[\w-]+\n", minted.out)
    token = minted.out.strip()
    assert chat(url, token, "hi").out == "hi\n"
    again = chat(url, token, "hi")
    assert again.status == 1
    assert "Token has been used too many times" in again.err
    assert token not in again.err


def test_a_token_without_a_limit_of_sessions(url: str) -> None:
    minted = mint(url, "--uses", "2", "--json")
    (reply,) = minted.objects()
    assert (reply["uses"], reply["name"].partition("/")[0]) == (2, "auth_tokens")
    assert [chat(url, reply["name"], "hi").status for _ in range(3)] == [0, 0, 1]


def test_a_token_for_one_configuration(url: str, tmp_path: Path) -> None:
    config = {"response_modalities": ["TEXT"], "system_instruction": {"parts": [{"text": "Be a locked parrot."}]}}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    token = mint(url, "--config", path).out.strip()
    assert chat(url, token, "--modality", "AUDIO", "--system", "Be free.", "/system").out == "Be a locked parrot.\n"
    token = mint(url, "--config", "-", "--model", "m", stdin=json.dumps(config)).out.strip()
    assert chat(url, token, "/system").out == "Be a locked parrot.\n"


def test_a_token_for_one_model(url: str) -> None:
    token = mint(url, "--model", "missing-model").out.strip()
    result = chat(url, token, "hi")
    assert "models/missing-model is not found" in result.err  # the token's, not the client's
    token = mint(url, "--model", "m").out.strip()
    assert chat(url, token, "--system", "Be free.", "/system").out == "Be free.\n"


def test_over_tls() -> None:
    with running("serve", "--port", "0", "--tls") as process:
        ca = line(process.stdout).removeprefix("ca ")
        url = line(process.stdout).removeprefix("listening on ").replace("wss", "https")
        assert run("token", "--base-url", url, SSL_CERT_FILE=ca).status == 0
        result = call("token", "--base-url", url)
        assert result.status == 1
        assert "its certificate is not trusted" in result.err
        assert "SSL_CERT_FILE" in result.err


# --- against a server that looks --------------------------------------------------------------------------------


@attrs.define
class Seen:
    port: int
    request: bytes = b""

    @property
    def body(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.request.partition(b"\r\n\r\n")[2])
        return value


@asynccontextmanager
async def answering(reply: bytes) -> AsyncIterator[Seen]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert size
        seen.request = head + await reader.readexactly(int(size[1]))
        writer.write(reply)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen = Seen(server.sockets[0].getsockname()[1])
    async with server:
        yield seen


def response(status: str, body: bytes, *fields: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *fields, "", ""])
    return head.encode() + body


def asked(reply: bytes, *arguments: str, **variables: str) -> tuple[Seen, int | None, str, str]:
    async def scene() -> tuple[Seen, int | None, str, str]:
        async with answering(reply) as seen:
            process = await asyncio.create_subprocess_exec(
                *command("token", "--base-url", f"http://127.0.0.1:{seen.port}/prefix/", *arguments),
                env=environment(**variables),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
        return seen, process.returncode, out.decode(), err.decode()

    return asyncio.run(scene())


GOOD = response("200 OK", b'{"name": "auth_tokens/abc", "uses": 3}')


def test_the_request() -> None:
    before = datetime.now(UTC)
    seen, status, out, err = asked(
        GOOD,
        *("--uses", "3", "--expire-minutes", "90", "--new-session-seconds", "5", "--version", "v1beta"),
        GEMINI_API_KEY=KEY,
    )
    assert (status, out, err) == (0, "auth_tokens/abc\n", "")
    assert seen.request.startswith(b"POST /prefix/v1beta/auth_tokens HTTP/1.1\r\n")
    # The key of the environment is for Google; this server is somebody else's.
    assert KEY.encode() not in seen.request
    assert set(seen.body) == {"uses", "expireTime", "newSessionExpireTime"}
    assert seen.body["uses"] == 3
    for name, ahead in (("expireTime", timedelta(minutes=90)), ("newSessionExpireTime", timedelta(seconds=5))):
        late = datetime.fromisoformat(seen.body[name]) - before - ahead
        assert timedelta(0) <= late < timedelta(seconds=30)


def test_the_defaults_are_left_to_the_service() -> None:
    seen, status, _, _ = asked(GOOD)
    assert (status, seen.body) == (0, {})
    assert b" /prefix/v1alpha/auth_tokens " in seen.request


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            response("400 Bad Request", b'{"error": {"code": 400, "message": "API key not valid.", "status": "X"}}'),
            "HTTP 400: API key not valid.",
        ),
        (response("404 Not Found", b"<html>"), "HTTP 404\n"),
        (response("200 OK", b"[]"), "HTTP 200\n"),
        (response("200 OK", b"{}"), "the reply has no token"),
        (response("200 OK", b'{"name": 7}'), "the reply has no token"),
        (response("302 Found", b"", "Location: http://127.0.0.1:1/"), "HTTP 302\n"),
        (response("400 Bad Request", b'{"error": {"message": "\\u001b[31mred " }}'), "\\x1b[31mred"),
        (b"", "no reply from 127.0.0.1: "),
        (b"SSH-2.0-x\r\n", "no reply from 127.0.0.1: "),
    ],
)
def test_replies_without_a_token(reply: bytes, message: str) -> None:
    _, status, out, err = asked(reply)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


# --- wrong use --------------------------------------------------------------------------------------------------


def test_without_a_key() -> None:
    result = call("token")
    assert (result.status, result.out) == (2, "")
    assert "set GEMINI_API_KEY" in result.err
    assert "live-protocol serve" in result.err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--uses", "-1"), 2, "must be a whole number from 0, not '-1'"),
        (("--expire-minutes", "soon"), 2, "must be a number above 0, at most 1200, not 'soon'"),
        (("--expire-minutes", "1201"), 2, "must be a number above 0, at most 1200, not '1201'"),
        (("--new-session-seconds", "nan"), 2, "must be a number above 0, at most 72000, not 'nan'"),
        (("--api-version", "../x"), 2, "version: must be an API version"),
        (("--base-url", "ftp://somewhere"), 2, "base_url: "),
        (("--base-url", "http://user:pass@host"), 2, "base_url: "),
        (("--base-url", "http://127.0.0.1:1"), 1, "no reply from 127.0.0.1: Connection refused"),
        (("--config", "{folder}/none.json"), 3, "none.json: No such file"),
        (("--config", "{folder}/bad.json"), 1, "response_modalities"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    (tmp_path / "bad.json").write_text('{"response_modalities": 7}')
    result = call("token", "--base-url", "http://127.0.0.1:1", *(a.format(folder=tmp_path) for a in arguments))
    assert (result.status, result.out) == (status, "")
    assert message in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--vertex",), "not with --vertex or --emulator"),
        (("--emulator",), "not with --vertex or --emulator"),
        (("--url", "ws://127.0.0.1:1/a/path"), "give --url without one"),
    ],
)
def test_flags_that_a_token_excludes(arguments: tuple[str, ...], message: str) -> None:
    result = call("chat", "--token", "auth_tokens/abc", *arguments, "hi")
    assert result.status == 2
    assert message in result.err


def test_a_key_is_refused_as_a_token() -> None:
    result = call("chat", "--token", KEY, "hi")
    assert result.status == 2
    assert "must begin with auth_tokens/" in result.err
    assert KEY not in result.err
