"""The opening handshake as a server sees it: RFC 6455 section 4.2 and what clients and attackers make of it."""

from __future__ import annotations

import pytest

from core.websocket.harness import (
    ACCEPT,
    GOOD_REQUEST,
    REQUEST_FIELDS,
    TEXT,
    feed,
    new_server,
    open_server,
    outcome,
    pull,
    raw,
    request,
)
from live_protocol.close_info import Initiator
from live_protocol.errors import (
    AlreadyClosed,
    ConnectionClosing,
    DeadlineExpired,
    HandshakeFailed,
    IllegalInState,
    InvalidMessage,
    LimitExceeded,
    TransportFailed,
)
from live_protocol.events import Connected, UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.states import ConnectionState

HOST, UPGRADE, CONNECTION, KEY, VERSION = REQUEST_FIELDS


def status(data: bytes) -> int:
    return int(data.split(b" ", 2)[1])


GOOD = {
    "plain": GOOD_REQUEST,
    "any case": request("host: x", "UPGRADE: WebSocket", "connection: UPGRADE", KEY.upper()[:19] + KEY[19:], VERSION),
    "connection among others": request(HOST, UPGRADE, "Connection: keep-alive, Upgrade", KEY, VERSION),
    "connection over two lines": request(HOST, UPGRADE, "Connection: keep-alive", CONNECTION, KEY, VERSION),
    "an offer of subprotocols": request(*REQUEST_FIELDS, "Sec-WebSocket-Protocol: a, b"),
    "an offer of extensions": request(*REQUEST_FIELDS, "Sec-WebSocket-Extensions: permessage-deflate"),
    "a host that is not idna": request("Host: xn--a.com", UPGRADE, CONNECTION, KEY, VERSION),
    "a body of no bytes": request(*REQUEST_FIELDS, "Content-Length: 0"),
    "latin-1 in an unrelated field": request(*REQUEST_FIELDS, "User-Agent: caf\xe9"),
}


@pytest.mark.parametrize("row", GOOD, ids=str)
@pytest.mark.parametrize("slow", [False, True], ids=["whole", "byte by byte"])
def test_a_good_request_is_handed_out_and_can_be_accepted(row: str, slow: bool) -> None:
    """W45."""
    link = new_server()
    assert link.wants.read
    feed(link, *([bytes([byte]) for byte in GOOD[row]] if slow else [GOOD[row]]))
    (event,) = pull(link)
    assert isinstance(event, UpgradeRequested)
    assert event.target == "/ws?key=1"
    assert ("upgrade", "websocket") in [(name, value.lower()) for name, value in event.headers]
    assert (link.wants.read, link.wants.write, link.state) == (False, False, ConnectionState.CONNECTING)
    link.accept([("X-Served-By", "me")])
    assert link.state is ConnectionState.OPEN
    assert link.data_to_send().decode() == (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {ACCEPT}\r\nX-Served-By: me\r\n\r\n"
    )
    (connected,) = pull(link)
    assert isinstance(connected, Connected)
    assert connected.headers[-1] == ("x-served-by", "me")
    assert link.wants.read


BAD = {
    "host is not ascii": (400, request("Host: \xff", *REQUEST_FIELDS[1:])),
    "host is empty": (400, request("Host:", *REQUEST_FIELDS[1:])),
    "no host": (400, request(*REQUEST_FIELDS[1:])),
    "two hosts": (400, request(HOST, *REQUEST_FIELDS)),
    "two keys": (400, request(*REQUEST_FIELDS, KEY)),
    "two upgrades": (400, request(*REQUEST_FIELDS, UPGRADE)),
    "two versions": (400, request(*REQUEST_FIELDS, VERSION)),
    "no key": (400, request(HOST, UPGRADE, CONNECTION, VERSION)),
    "no version": (400, request(HOST, UPGRADE, CONNECTION, KEY)),
    "no connection": (400, request(HOST, UPGRADE, KEY, VERSION)),
    "key of 15 bytes": (400, request(HOST, UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: a2tra2tra2tra2tra2tr")),
    "key is not base64": (400, request(HOST, UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: " + "*" * 22 + "==")),
    "another version": (426, request(HOST, UPGRADE, CONNECTION, KEY, "Sec-WebSocket-Version: 8")),
    "http 1.0": (400, request(*REQUEST_FIELDS, start="GET /ws HTTP/1.0")),
    "with a body": (400, request(*REQUEST_FIELDS, "Content-Length: 5") + b"hello"),
    "with a chunked body": (400, request(*REQUEST_FIELDS, "Transfer-Encoding: chunked")),
    "with both lengths": (400, request(*REQUEST_FIELDS, "Transfer-Encoding: chunked", "Content-Length: 5")),
    "two lengths": (400, request(*REQUEST_FIELDS, "Content-Length: 0", "Content-Length: 1")),
    "post": (405, request(*REQUEST_FIELDS, start="POST /ws HTTP/1.1")),
    "a health check": (426, request(HOST, start="GET /healthz HTTP/1.1")),
    "a call for a token": (426, request(HOST, "Content-Length: 2", start="POST /v1beta/auth_tokens HTTP/1.1") + b"{}"),
    "upgrade to something else": (426, request(HOST, "Upgrade: h2c", CONNECTION)),
    "a tls client hello": (400, b"\x16\x03\x01\x02\x00\x01"),
    "an empty line first": (400, b"\r\n" + GOOD_REQUEST),
    "garbage": (400, b"\x00\xff"),
    "no request line": (400, b"GET\r\n\r\n"),
    "a broken header line": (400, b"GET / HTTP/1.1\r\nno colon\r\n\r\n"),
    "a preface of http/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
}


@pytest.mark.parametrize("row", BAD, ids=str)
@pytest.mark.parametrize("slow", [False, True], ids=["whole", "byte by byte"])
def test_a_bad_request_gets_one_status_and_ends(row: str, slow: bool) -> None:
    """W45, W47."""
    expected, data = BAD[row]
    link = new_server()
    feed(link, *([bytes([byte]) for byte in data] if slow else [data]))
    link.receive_data(GOOD_REQUEST)
    events, error, info = outcome(link)
    assert events == []
    assert isinstance(error, HandshakeFailed)
    assert (error.status, info.code, info.initiator) == (None, 1006, Initiator.LOCAL)
    assert (link.wants.write, link.wants.close, link.wants.read) == (True, False, False)
    answer = link.data_to_send()
    assert status(answer) == expected
    assert b"Connection: close" in answer
    assert (b"Upgrade: websocket" in answer) is (expected == 426)
    assert (b"Sec-WebSocket-Version: 13" in answer) is (row == "another version")
    assert (link.wants.write, link.wants.close, link.wants.half_close) == (False, True, True)
    assert link.buffered_in == 0


def test_why_a_request_was_refused_is_told_without_its_bytes() -> None:
    for data, text in (
        (b"\x16\x03", "TLS came as the request on a plain-text connection"),
        (b"\x00", "the request is not HTTP"),
        (b"GET /SECRET\r\n\r\n", "illegal request line"),
        (request("Host SECRET"), "illegal header line"),
        (request(HOST, HOST), "Found multiple Host: headers"),
        (request("X: y"), "Missing mandatory Host: header"),
        (
            request(HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
            "multiple Transfer-Encoding headers",
        ),
        (b"GET / HTTP/1.1\r\n folded\r\n\r\n", "continuation line at start of headers"),
    ):
        link = new_server()
        link.receive_data(data)
        assert str(outcome(link)[1]) == f"opening handshake failed: {text}"


@pytest.mark.parametrize("slow", [False, True], ids=["whole", "byte by byte"])
def test_frames_in_the_segment_of_the_request_are_not_lost(slow: bool) -> None:
    """W48."""
    link = new_server()
    data = GOOD_REQUEST + raw(TEXT, b"early", to="server")
    feed(link, *([bytes([byte]) for byte in data] if slow else [data]))
    assert [type(event) for event in pull(link)] == [UpgradeRequested]
    assert link.buffered_in == len(raw(TEXT, b"early", to="server"))
    link.accept()
    link.receive_data(raw(TEXT, b"next", to="server"))
    assert pull(link)[1:] == ["early", "next"]
    assert link.buffered_in == 0


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("slow", [False, True], ids=["whole", "in pieces"])
def test_before_the_answer_little_is_kept(extra: int, slow: bool) -> None:
    """W49."""
    link = new_server(limits=Limits(max_handshake=1000))
    flood = bytes(1000 + extra)
    if slow:
        feed(link, GOOD_REQUEST, *[flood[at : at + 7] for at in range(0, len(flood), 7)])
    else:
        link.receive_data(GOOD_REQUEST + flood)
    assert not link.wants.read
    if extra <= 0:
        assert [type(event) for event in pull(link)] == [UpgradeRequested]
        assert link.buffered_in == 1000 + extra
        return
    events, error, _ = outcome(link)
    assert [type(event) for event in events] == [UpgradeRequested]
    assert isinstance(error, LimitExceeded)
    assert error.which == "max_handshake"
    assert status(link.data_to_send()) == 400
    assert link.buffered_in == 0
    with pytest.raises(ConnectionClosing):
        link.accept()


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("slow", [False, True], ids=["whole", "byte by byte"])
def test_the_head_of_the_request_has_a_bound_that_no_cutting_changes(extra: int, slow: bool) -> None:
    link = new_server(limits=Limits(max_handshake=len(GOOD_REQUEST) - extra))
    feed(link, *([bytes([byte]) for byte in GOOD_REQUEST] if slow else [GOOD_REQUEST]))
    if extra <= 0:
        assert [type(event) for event in pull(link)] == [UpgradeRequested]
    else:
        assert isinstance(outcome(link)[1], LimitExceeded)
        assert status(link.data_to_send()) == 431


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_number_of_header_lines_has_a_bound(extra: int) -> None:
    """W50."""
    link = new_server(limits=Limits(max_headers=len(REQUEST_FIELDS) - extra))
    link.receive_data(GOOD_REQUEST)
    if extra <= 0:
        assert [type(event) for event in pull(link)] == [UpgradeRequested]
    else:
        error = outcome(link)[1]
        assert isinstance(error, LimitExceeded)
        assert error.which == "max_headers"
        assert status(link.data_to_send()) == 431


def test_5000_header_lines_in_one_feed_are_refused() -> None:
    """W50."""
    link = new_server()
    link.receive_data(request(*REQUEST_FIELDS, *(f"X-{n}: yyyyyyyy" for n in range(5000))))
    assert isinstance(outcome(link)[1], LimitExceeded)


def test_13_megabytes_before_the_answer_are_not_kept() -> None:
    """W49."""
    link = new_server()
    link.receive_data(GOOD_REQUEST)
    for _ in range(100):
        link.receive_data(bytes(130_000))
        assert link.buffered_in <= Limits().max_handshake


def test_a_refusal_by_the_application_is_no_failure() -> None:
    link = new_server()
    link.receive_data(GOOD_REQUEST + b"frames that nobody will read")
    link.reject(429, [("Retry-After", "5"), ("Upgrade", "websocket")], b"later")
    assert link.data_to_send() == (
        b"HTTP/1.1 429 Too Many Requests\r\nConnection: close, Upgrade\r\nRetry-After: 5\r\nUpgrade: websocket\r\n"
        b"Content-Length: 5\r\n\r\nlater"
    )
    events, error, info = outcome(link)
    assert [type(event) for event in events] == [UpgradeRequested]
    assert error is None
    assert (info.code, info.clean, info.initiator) == (1006, False, Initiator.LOCAL)
    assert (link.wants.close, link.wants.half_close, link.buffered_in) == (True, True, 0)
    link.receive_eof()
    assert (link.wants.close, link.wants.half_close) == (True, False)


@pytest.mark.parametrize("code", [200, 204, 304, 599])
def test_a_refusal_may_have_any_final_status(code: int) -> None:
    link = new_server()
    link.receive_data(GOOD_REQUEST)
    link.reject(code)
    answer = link.data_to_send()
    assert status(answer) == code
    assert (b"Content-Length: 0" in answer) is (code not in (204, 304))


BAD_ANSWERS = [
    {"status": 101},
    {"status": 199},
    {"status": 600},
    {"status": 403.0},
    {"status": "403"},
    {"status": 204, "body": b"x"},
    {"status": 304, "body": b"x"},
    {"status": 403, "body": "x"},
    {"status": 403, "headers": [("Content-Length", "1")]},
    {"status": 403, "headers": [("Connection", "keep-alive")]},
    {"status": 403, "headers": [("X", "a\r\nb")]},
]


@pytest.mark.parametrize("arguments", BAD_ANSWERS, ids=str)
def test_a_refusal_that_cannot_be_sent_changes_nothing(arguments: dict[str, object]) -> None:
    link = new_server()
    link.receive_data(GOOD_REQUEST)
    with pytest.raises(InvalidMessage):
        link.reject(**arguments)  # type: ignore[arg-type]
    assert (link.state, link.buffered_out) == (ConnectionState.CONNECTING, 0)
    link.accept()
    assert link.state is ConnectionState.OPEN


@pytest.mark.parametrize("header", [("Upgrade", "x"), ("Sec-WebSocket-Protocol", "x"), ("X", "a\nb"), ("X Y", "z")])
def test_an_acceptance_that_cannot_be_sent_changes_nothing(header: tuple[str, str]) -> None:
    link = new_server()
    link.receive_data(GOOD_REQUEST)
    with pytest.raises(InvalidMessage):
        link.accept([header])
    assert (link.state, link.buffered_out) == (ConnectionState.CONNECTING, 0)
    link.accept()
    assert link.state is ConnectionState.OPEN


def test_an_answer_has_its_moment() -> None:
    link = new_server()
    for moment in (b"", GOOD_REQUEST[:20]):
        link.receive_data(moment)
        with pytest.raises(IllegalInState):
            link.accept()
        with pytest.raises(IllegalInState):
            link.reject(403)
    link = open_server()
    with pytest.raises(IllegalInState):
        link.accept()
    link.close()
    with pytest.raises(ConnectionClosing):
        link.reject(403)
    link.receive_eof()
    with pytest.raises(AlreadyClosed):
        link.accept()


def test_the_request_can_be_answered_before_it_is_pulled() -> None:
    link = new_server()
    link.receive_data(GOOD_REQUEST)
    link.accept()
    assert [type(event) for event in pull(link)] == [UpgradeRequested, Connected]


@pytest.mark.parametrize("data", [b"", b"GET / HT", GOOD_REQUEST])
def test_a_client_that_leaves_before_the_answer(data: bytes) -> None:
    link = new_server()
    link.receive_data(data)
    link.receive_eof()
    events, error, info = outcome(link)
    assert isinstance(error, TransportFailed)
    assert (info.initiator, link.state) == (Initiator.TRANSPORT, ConnectionState.CLOSED)
    assert len(events) == (data == GOOD_REQUEST)
    with pytest.raises(AlreadyClosed):
        link.accept()


@pytest.mark.parametrize(
    ("data", "expected", "detail"),
    [
        (b"", 408, "no complete request came"),
        (b"GET / HTTP/1.1\r\nX: ", 408, "no complete request came"),
        (GOOD_REQUEST, 503, "the request was not answered"),
    ],
)
def test_a_handshake_that_takes_too_long(data: bytes, expected: int, detail: str) -> None:
    link = new_server()
    link.advance(100)
    link.receive_data(data)
    assert link.next_deadline() == 110
    link.advance(109.9)
    assert link.state is ConnectionState.CONNECTING
    link.advance(110)
    _, error, info = outcome(link)
    assert isinstance(error, DeadlineExpired)
    assert detail in str(error)
    assert info.initiator is Initiator.LOCAL
    assert status(link.data_to_send()) == expected
    assert link.wants.close
