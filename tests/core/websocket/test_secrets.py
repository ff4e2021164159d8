"""No credential and no payload in anything that a log could show."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from core.websocket.harness import (
    GOOD_REQUEST,
    REQUEST_FIELDS,
    TEXT,
    open_client,
    open_server,
    pull,
    raw,
    request,
    response,
)
from live_protocol.errors import LiveProtocolError, MessageTooLarge
from live_protocol.events import ConnectionClosed, ConnectionFailed, UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.websocket import HandshakeRequest, WebSocketLink

CANARY = "AIzaCANARY"


def shown(error: BaseException) -> str:
    """Everything a log could get out of an exception."""
    chain: list[BaseException | None] = [error, error.__cause__, error.__context__]
    parts = [text for item in chain if item is not None for text in (str(item), repr(item), repr(vars(item)))]
    return "".join(parts) + "".join(traceback.format_exception(error))


def client() -> WebSocketLink:
    return WebSocketLink.client(
        HandshakeRequest(host="h", target=f"/ws?key={CANARY}", headers=[("x-goog-api-key", CANARY)])
    )


def test_a_request_shows_neither_query_nor_values() -> None:
    """W43."""
    asked = HandshakeRequest(host="h", target=f"/ws?key={CANARY}", headers=[("x-goog-api-key", CANARY)])
    assert repr(asked) == "HandshakeRequest(host='h', target='/ws', headers=['x-goog-api-key'])"
    assert CANARY not in repr(client())


def expire(link: WebSocketLink) -> None:
    link.advance(0)
    link.advance(100)


FAILURES: dict[str, Callable[[WebSocketLink], None]] = {
    "echoed in a broken header": lambda link: link.receive_data(b"HTTP/1.1 200 OK\r\n" + CANARY.encode() + b"\r\n\r\n"),
    "echoed in the status line": lambda link: link.receive_data(b"HTTP/1.1 " + CANARY.encode() + b"\r\n\r\n"),
    "echoed as garbage": lambda link: link.receive_data(CANARY.encode()),
    "echoed as an extension": lambda link: link.receive_data(
        response("Upgrade: websocket", f"Connection: {CANARY}", f"Sec-WebSocket-Extensions: {CANARY}")
    ),
    "echoed as a length": lambda link: link.receive_data(response(f"Content-Length: {CANARY}", start="HTTP/1.1 200 x")),
    "the end of the stream": lambda link: link.receive_eof(),
    "a reset": lambda link: link.transport_failed(ConnectionResetError(104, CANARY)),
    "an error with the address": lambda link: link.transport_failed(ValueError(f"wss://h/?key={CANARY}")),
    "the deadline": expire,
}


@pytest.mark.parametrize("row", FAILURES, ids=str)
def test_a_failed_handshake_shows_nothing(row: str) -> None:
    link = client()
    FAILURES[row](link)
    failed, closed = pull(link)
    assert isinstance(failed, ConnectionFailed)
    assert isinstance(closed, ConnectionClosed)
    assert CANARY not in shown(failed.error)
    assert CANARY not in repr(failed) + repr(closed) + repr(link)


def test_a_refusal_that_echoes_the_request_keeps_it_out_of_the_error() -> None:
    link = client()
    link.receive_data(
        f"HTTP/1.1 302 Found\r\nLocation: /ws?key={CANARY}\r\nContent-Length: 10\r\n\r\n{CANARY}".encode()
    )
    _, failed, closed = pull(link)
    assert CANARY not in str(failed.error) + repr(failed) + repr(closed)
    assert "".join(traceback.format_exception(failed.error)).count(CANARY) == 0


def test_a_request_is_shown_by_its_path_alone() -> None:
    link = WebSocketLink.server()
    link.receive_data(request(*REQUEST_FIELDS, f"x-goog-api-key: {CANARY}", start=f"GET /ws?key={CANARY} HTTP/1.1"))
    (event,) = pull(link)
    assert isinstance(event, UpgradeRequested)
    assert CANARY in event.target
    assert repr(event) == "UpgradeRequested(target='/ws')"


@pytest.mark.parametrize(
    "data",
    [
        request("Host: x", f"bad line {CANARY}"),
        f"GET /{CANARY}\r\n\r\n".encode(),
        request("Host: x", f"Content-Length: {CANARY}"),
        request("Host: x", start=f"GET /?key={CANARY} HTTP/1.1"),
    ],
)
def test_a_bad_request_shows_nothing(data: bytes) -> None:
    link = WebSocketLink.server()
    link.receive_data(data)
    failed, closed = pull(link)
    assert CANARY not in shown(failed.error) + repr(failed) + repr(closed)
    assert CANARY.encode() not in link.data_to_send()


@pytest.mark.parametrize(
    "data",
    [
        raw(TEXT, CANARY.encode() + b"\xff"),
        raw(3, CANARY.encode()),
        raw(8, b"\x03\xe8" + CANARY.encode() + b"\xff"),
        raw(TEXT, CANARY.encode(), fin=False) + raw(TEXT, CANARY.encode()),
        raw(TEXT, CANARY.encode() * 1000),
    ],
)
def test_a_broken_frame_shows_no_payload(data: bytes) -> None:
    link = open_client(limits=Limits(max_message=5000))
    link.receive_data(data)
    failed, closed = pull(link)
    assert CANARY not in shown(failed.error) + repr(failed) + repr(closed) + repr(link)


def test_a_refused_command_shows_no_payload() -> None:
    """W24."""
    payload = CANARY.encode() * 1_000_000
    link = open_client()
    commands: list[Callable[[], None]] = [lambda: link.send_text(payload[:1000]), lambda: link.ping(payload[:126])]
    errors: list[LiveProtocolError] = []
    small = open_server(limits=Limits(max_send=10))
    with pytest.raises(MessageTooLarge) as too_large:
        small.send_binary(payload)
    errors.append(too_large.value)
    link.close()
    for command in commands:
        with pytest.raises(LiveProtocolError) as caught:
            command()
        errors.append(caught.value)
    with pytest.raises(LiveProtocolError) as caught:
        open_client().close(1000, CANARY * 100)
    errors.append(caught.value)
    waiting = WebSocketLink.server()
    waiting.receive_data(GOOD_REQUEST)
    with pytest.raises(LiveProtocolError) as caught:
        waiting.accept([("X", f"{CANARY}\n")])
    errors.append(caught.value)
    for error in errors:
        assert CANARY not in shown(error)
        assert len(shown(error)) < 20_000
