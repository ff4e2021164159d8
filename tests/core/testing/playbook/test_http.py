"""Plain HTTP on the port of a WebSocket server, and the emulator's REST method."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.testing.playbook.support import QUIET, READY, client
from live_protocol import (
    ConnectionClosed,
    ConnectionState,
    Endpoint,
    IllegalInState,
    InvalidMessage,
    Limits,
    LiveConnection,
    SetupComplete,
)
from live_protocol.connection import HttpFallback, HttpRequest, HttpResponse
from live_protocol.emulator import EmulatedConnection, Emulator, EmulatorOptions
from live_protocol.emulator.token_service import token_service
from live_protocol.messages import LiveServerContent, LiveServerMessage
from live_protocol.testing import Pair

WALL = datetime(2026, 11, 22, 10, tzinfo=UTC)
ECHO = b"POST /echo?key=secret HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nX-Thing: a\r\n\r\nhello"


class Served:
    """An emulator behind an `HttpFallback`."""

    def __init__(self, emulator: Emulator | None = None, **options: Any) -> None:
        self.seen: list[tuple[HttpRequest, float | None]] = []
        self.emulator = emulator or Emulator()
        self.front: HttpFallback[EmulatedConnection] = HttpFallback(
            self.emulator.connection(), options.pop("answer", self._echo), **options
        )

    def _echo(self, request: HttpRequest, now: float | None) -> HttpResponse:
        self.seen.append((request, now))
        return HttpResponse(status=201, headers=[("X-Echo", "yes")], body=request.body)

    def send(self, data: bytes, size: int = 10**9) -> bytes:
        for at in range(0, len(data), size):
            self.front.receive_data(data[at : at + size])
        return self.front.data_to_send()


@pytest.mark.parametrize("size", [1, 3, 10**9])
def test_a_request_is_answered(size: int) -> None:
    served = Served()
    served.front.advance(5.0)
    for at in range(0, len(ECHO), size):
        served.front.receive_data(ECHO[at : at + size])
    assert served.front.buffered_out > 0
    assert (served.front.wants.write, served.front.wants.close) == (True, False)
    assert served.front.data_to_send() == (
        b"HTTP/1.1 201 \r\nConnection: close\r\nX-Echo: yes\r\nContent-Length: 5\r\n\r\nhello"
    )
    ((request, now),) = served.seen
    assert (request.method, request.target, request.body, now) == ("POST", "/echo?key=secret", b"hello", 5.0)
    assert ("x-thing", "a") in request.headers
    assert "secret" not in repr(request)
    assert served.front.wants.close
    assert served.front.buffered_out == 0
    served.front.receive_data(b"more")
    served.front.receive_eof()
    assert [type(event) for event in served.front.events()] == [ConnectionClosed]
    assert served.front.close_info is not None
    assert served.front.close_info.error is None
    assert served.front.data_to_send() == b""


def test_a_websocket_passes() -> None:
    for split in (False, True):
        served, ours = Served(), client()
        if split:
            served.front.receive_data(b"G")
            served.front.receive_data(b"ET")
            request = ours.data_to_send()
            served.front.receive_data(request[3:])
        pair = Pair(ours, served.front)
        pair.pump()
        assert isinstance(pair.client_events[-1], SetupComplete)
        assert not served.seen


def test_other_bytes_pass() -> None:
    assert Served().send(b"\x16\x03\x01").startswith(b"HTTP/1.1 400")
    assert Served().send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 426")


def test_a_bad_request() -> None:
    assert Served().send(b"POST nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert (
        Served()
        .send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n")
        .startswith(b"HTTP/1.1 400 ")
    )


def test_bounds() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    for size, status in ((10, b"201"), (11, b"413")):
        served = Served(limits=Limits(max_body=10))
        assert served.send(head % size + b"x" * size).startswith(b"HTTP/1.1 " + status)
    long = b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 300
    for end in (b"", b"\r\n\r\n"):  # a complete head is no less bounded than one that is still coming
        assert Served(limits=Limits(max_handshake=200)).send(long + end).startswith(b"HTTP/1.1 431")
    many = b"POST / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20 + b"\r\n"
    assert Served(limits=Limits(max_headers=20)).send(many).startswith(b"HTTP/1.1 431")
    assert Served().send(long) == b""


def test_a_request_that_takes_too_long() -> None:
    served = Served()
    served.front.advance(0.0)
    served.send(ECHO[:20])
    served.front.advance(11.0)
    assert served.front.data_to_send().startswith(b"HTTP/1.1 408")
    served.front.receive_data(ECHO[20:])
    assert not served.seen


def test_an_answer_to_head_has_no_body() -> None:
    answer = HttpResponse(body=b"hello")
    served = Served(answer=lambda *_: answer)
    out = served.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert out == b"HTTP/1.1 200 \r\nConnection: close\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize("wrong", [{"status": 100}, {"headers": [("X", "a\nb")]}, {"status": 204, "body": b"x"}])
def test_a_response_that_cannot_be_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        HttpResponse(**wrong)


def test_facts_and_commands_pass() -> None:
    inner = READY.send_tool_call("f").connection()
    front = HttpFallback(inner, lambda *_: HttpResponse())
    pair = Pair(client(), front)
    pair.pump()
    assert repr(front) == "<HttpFallback <PlaybookConnection OPEN step 4 of 3>>"
    assert (front.state, front.phase, front.turn) == (inner.state, inner.phase, inner.turn)
    assert front.pending_tool_calls == inner.pending_tool_calls != ()
    assert (front.buffered_in, front.buffered_out, front.close_info) == (0, 0, None)
    front.accept()
    with pytest.raises(IllegalInState):
        front.reject(404)
    front.ping()
    front.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=True)))
    pair.pump()
    assert front.latency == 0.0
    front.transport_failed("gone")
    assert front.state is ConnectionState.CLOSED


# --- tokens -----------------------------------------------------------------------------------------------------


def post(
    body: object, *, path: str = "/v1alpha/auth_tokens", key: str = "k", method: str = "POST", **options: Any
) -> tuple[int, Any, Emulator]:
    emulator = Emulator(options=EmulatorOptions(**options))
    served = Served(emulator, answer=token_service(emulator, lambda: WALL))
    served.front.advance(1000.0)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nx-goog-api-key: {key}\r\nContent-Length: {len(data)}\r\n\r\n"
    head, _, answer = served.send(head.encode() + data).decode().partition("\r\n\r\n")
    return int(head[9:12]), json.loads(answer), emulator


@pytest.mark.parametrize("path", ["/v1alpha/auth_tokens", "//v1/auth_tokens?x=1", "/gateway/v1beta/auth_tokens"])
def test_a_minted_token_works(path: str) -> None:
    setup = {"model": "models/m", "generationConfig": {"responseModalities": ["TEXT"]}}
    status, token, emulator = post({"uses": 2, "bidiGenerateContentSetup": setup}, path=path)
    assert status == 200
    assert token == {"name": "auth_tokens/token-1", "uses": 2}
    ours = LiveConnection.client(Endpoint.gemini(token=token["name"]), {}, model="m", timeouts=QUIET)
    pair = Pair(ours, emulator.connection())
    pair.pump()
    assert isinstance(pair.client_events[-1], SetupComplete)


def test_token_times_use_the_time_of_day() -> None:
    expires = (WALL + timedelta(hours=1)).isoformat()
    status, token, _ = post({"expireTime": expires})
    assert (status, token["expireTime"]) == (200, "2026-11-22T11:00:00Z")
    status, error, _ = post({"expireTime": WALL.isoformat()})
    assert (status, error["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert "expire_time" in error["error"]["message"]


@pytest.mark.parametrize(
    ("body", "options", "status", "text"),
    [
        (b"", {}, 200, None),
        (b"[", {}, 400, "Invalid JSON payload received."),
        (b"\xff", {}, 400, "Invalid JSON payload received."),
        ({"liveConnectConstraints": {}}, {}, 400, "unknown field 'liveConnectConstraints'"),
        ({"uses": -1}, {}, 400, "must not be negative"),
        ({}, {"key": "invalid"}, 400, "API key not valid."),
        ({}, {"key": "b", "api_keys": ["a"]}, 400, "API key not valid."),
        ({}, {"path": "/v1alpha/models"}, 404, "Requested entity was not found."),
        ({}, {"method": "PUT"}, 404, "Requested entity was not found."),
    ],
)
def test_refusals_in_the_services_shape(body: Any, options: dict[str, Any], status: int, text: str | None) -> None:
    got, value, _ = post(body, **options)
    assert got == status
    if text is not None:
        assert value["error"]["code"] == status
        assert text in value["error"]["message"]
