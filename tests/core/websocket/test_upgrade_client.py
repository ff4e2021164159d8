"""The opening handshake as a client sees it: RFC 6455 section 4.1 and what servers and proxies make of it."""

from __future__ import annotations

import pytest

from core.websocket.harness import (
    ACCEPT,
    BINARY,
    GOOD_RESPONSE,
    RESPONSE_FIELDS,
    TEXT,
    feed,
    new_client,
    open_client,
    outcome,
    pull,
    raw,
    response,
)
from live_protocol.close_info import Initiator
from live_protocol.errors import HandshakeFailed, IllegalInState, InvalidMessage, LimitExceeded, TransportFailed
from live_protocol.events import Connected, UpgradeRejected
from live_protocol.limits import Limits
from live_protocol.states import ConnectionState
from live_protocol.websocket import HandshakeRequest, WebSocketLink

UPGRADE, CONNECTION, ACCEPTED = RESPONSE_FIELDS


def test_the_request_is_what_rfc_6455_asks_for() -> None:
    request = HandshakeRequest(host="example.com:8443", target="/ws?a=b", headers=[("X-Goog-Api-Client", "x/1")])
    link = WebSocketLink.client(request, compression=True, entropy=lambda count: b"k" * count)
    assert link.state is ConnectionState.CONNECTING
    head = link.data_to_send().decode()
    assert head == (
        "GET /ws?a=b HTTP/1.1\r\nHost: example.com:8443\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: a2tra2tra2tra2tra2traw==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nX-Goog-Api-Client: x/1\r\n\r\n"
    )
    assert link.data_to_send() == b""


GOOD = {
    "plain": GOOD_RESPONSE,
    "names and tokens in any case": response(
        "uPGRADE: WebSocket", "CONNECTION: upgrade", f"sec-websocket-ACCEPT: {ACCEPT}"
    ),
    "connection among others": response(UPGRADE, "Connection: keep-alive, Upgrade", ACCEPTED),
    "connection over two lines": response(UPGRADE, "Connection: Upgrade", "Connection: keep-alive", ACCEPTED),
    "early hints before": response("Link: </x>", start="HTTP/1.1 103 Early Hints") + GOOD_RESPONSE,
    "two informational responses before": response(start="HTTP/1.1 100 Continue") * 2 + GOOD_RESPONSE,
    "latin-1 in an unrelated field": response(*RESPONSE_FIELDS, "Server: caf\xe9"),
    "empty extensions field": response(*RESPONSE_FIELDS, "Sec-WebSocket-Extensions: ,"),
    "no reason phrase": response(*RESPONSE_FIELDS, start="HTTP/1.1 101 "),
    "bare line feeds": GOOD_RESPONSE.replace(b"\r\n", b"\n"),
}


@pytest.mark.parametrize("row", GOOD, ids=str)
@pytest.mark.parametrize("slow", [False, True], ids=["whole", "byte by byte"])
def test_a_good_response_connects_once(row: str, slow: bool) -> None:
    """W31, W32."""
    link = new_client()
    feed(link, *([bytes([byte]) for byte in GOOD[row]] if slow else [GOOD[row]]))
    (event,) = pull(link)
    assert isinstance(event, Connected)
    assert ("sec-websocket-accept", ACCEPT) in event.headers
    assert not event.compression
    assert (link.state, link.buffered_in) == (ConnectionState.OPEN, 0)


BAD = {
    "wrong accept": response(UPGRADE, CONNECTION, "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "no accept": response(UPGRADE, CONNECTION),
    "a wrong accept and the right one": response(
        UPGRADE, CONNECTION, "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=", ACCEPTED
    ),
    "the right accept twice": response(UPGRADE, CONNECTION, ACCEPTED, ACCEPTED),
    "http 1.0": response(*RESPONSE_FIELDS, start="HTTP/1.0 101 Switching Protocols"),
    "upgrade to something else": response("Upgrade: h2c", CONNECTION, ACCEPTED),
    "no upgrade": response(CONNECTION, ACCEPTED),
    "no connection": response(UPGRADE, ACCEPTED),
    "connection without upgrade": response(UPGRADE, "Connection: close", ACCEPTED),
    "connection is not ascii": response(UPGRADE, "Connection: \xff", ACCEPTED),
    "a subprotocol": response(*RESPONSE_FIELDS, "Sec-WebSocket-Protocol: chat"),
    "a subprotocol that is not ascii": response(*RESPONSE_FIELDS, "Sec-WebSocket-Protocol: \xff"),
    "an extension": response(*RESPONSE_FIELDS, "Sec-WebSocket-Extensions: permessage-deflate"),
    "extensions that are not ascii": response(*RESPONSE_FIELDS, "Sec-WebSocket-Extensions: \xff"),
    "an ssh banner": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a tls alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "garbage": b"\x00\x01\x02",
    "an empty line first": b"\r\n" + GOOD_RESPONSE,
    "no status": b"HTTP/1.1 \r\n\r\n",
    "a broken status line": b"HTTP/one two three\r\n\r\n",
    "a broken header line": b"HTTP/1.1 101 x\r\nno colon here\r\n\r\n",
    "conflicting lengths": b"HTTP/1.1 400 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "garbage after an informational response": response(start="HTTP/1.1 100 Continue") + b"oops",
}


@pytest.mark.parametrize("row", BAD, ids=str)
@pytest.mark.parametrize("slow", [False, True], ids=["whole", "byte by byte"])
def test_a_bad_response_fails_once_and_for_good(row: str, slow: bool) -> None:
    """W27, W30, W33, W36."""
    link = new_client()
    feed(link, *([bytes([byte]) for byte in BAD[row]] if slow else [BAD[row]]))
    link.receive_data(GOOD_RESPONSE + raw(TEXT, b"too late"))
    events, error, info = outcome(link)
    assert events == []
    assert isinstance(error, HandshakeFailed)
    assert (error.status, info.code, info.clean, info.initiator) == (None, 1006, False, Initiator.LOCAL)
    assert (link.state, link.wants.close, link.wants.read) == (ConnectionState.CLOSING, True, False)
    assert link.data_to_send() == b""
    assert link.buffered_in == 0


def test_what_the_answer_was_is_told_without_its_bytes() -> None:
    """W35."""
    for data, text in (
        (b"\x15\x03\x01", "TLS came as the answer on a plain-text connection"),
        (b"SSH-2.0", "the answer is not HTTP"),
        (b"HTTP/1.1 x\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 x\r\na b\r\n\r\n", "illegal header line"),
        (b"HTTP/1.1 200 x\r\nTransfer-Encoding: gzip\r\n\r\n", "Only Transfer-Encoding: chunked is supported"),
        (b"HTTP/1.1 200 x\r\nContent-Length: x\r\n\r\n", "bad Content-Length"),
        (b"HTTP/1.1 199\r\n 199 200\r\n\r\n", "continuation line at start of headers"),
    ):
        link = new_client()
        link.receive_data(data)
        assert str(outcome(link)[1]) == f"opening handshake failed: {text}"


@pytest.mark.parametrize("slow", [False, True], ids=["whole", "byte by byte"])
def test_frames_behind_the_response_are_not_lost(slow: bool) -> None:
    """W40."""
    data = GOOD_RESPONSE + raw(BINARY, b"early") + raw(TEXT, b"birds")
    link = new_client()
    feed(link, *([bytes([byte]) for byte in data] if slow else [data]))
    assert pull(link)[1:] == [b"early", "birds"]


def test_a_fault_behind_the_response_comes_after_the_connection() -> None:
    link = new_client()
    link.receive_data(GOOD_RESPONSE + raw(3))
    events, _, info = outcome(link)
    assert isinstance(events[0], Connected)
    assert info.code == 1002


def test_no_bytes_are_no_end_of_the_stream() -> None:
    """W34."""
    link = new_client()
    feed(link, GOOD_RESPONSE[:10], b"", GOOD_RESPONSE[10:], b"")
    assert link.state is ConnectionState.OPEN


@pytest.mark.parametrize(
    ("status", "retryable", "hint"),
    [
        (301, False, "Redirects are not followed"),
        (401, False, "credential"),
        (403, False, "permission"),
        (404, False, "path"),
        (408, True, "retry"),
        (418, False, ""),
        (426, False, "another protocol"),
        (429, True, "backoff"),
        (500, True, "retry"),
        (503, True, "overloaded"),
        (200, False, ""),
    ],
)
def test_a_refusal_keeps_status_headers_and_body(status: int, retryable: bool, hint: str) -> None:
    """W39."""
    link = new_client()
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: 4\r\nX-A: B\r\nLocation: https://elsewhere/\r\n\r\n"
    link.receive_data(head.encode() + b"bo")
    assert pull(link) == []
    link.receive_data(b"dy" + b"and more")
    events, error, info = outcome(link)
    (rejected,) = events
    assert isinstance(rejected, UpgradeRejected)
    assert (rejected.status, rejected.body) == (status, b"body")
    assert ("x-a", "B") in rejected.headers
    assert isinstance(error, HandshakeFailed)
    assert (error.status, error.body, error.headers) == (status, b"body", rejected.headers)
    assert (info.code, info.clean, info.initiator) == (1006, False, Initiator.REMOTE)
    assert info.retryable is retryable
    assert hint in info.hint
    assert (link.wants.close, link.wants.half_close) == (True, False)


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        (b"Content-Length: 100\r\n", b"cut", b"cut"),
        (b"", b"until the end", b"until the end"),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n5\r\nde", b"abcde"),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\nnonsense\r\n", b"abc"),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"Content-Length: 0\r\n", b"", b""),
    ],
)
@pytest.mark.parametrize("end", ["eof", "reset", "deadline"])
@pytest.mark.parametrize("slow", [False, True], ids=["whole", "byte by byte"])
def test_a_body_that_never_ends_well_costs_nothing_but_itself(
    head: bytes, body: bytes, expected: bytes, end: str, slow: bool
) -> None:
    """W38, A8."""
    link = new_client()
    link.advance(0)
    data = b"HTTP/1.1 429 Slow down\r\n" + head + b"\r\n" + body
    feed(link, *([bytes([byte]) for byte in data] if slow else [data]))
    if end == "eof":
        link.receive_eof()
    elif end == "reset":
        link.transport_failed(ConnectionResetError())
    else:
        link.advance(10)
    events, error, info = outcome(link)
    assert [(event.status, event.body) for event in events] == [(429, expected)]
    assert isinstance(error, HandshakeFailed)
    assert (error.status, info.retryable, info.initiator) == (429, True, Initiator.REMOTE)


@pytest.mark.parametrize("extra", [-1, 0, 1, 200_000])
@pytest.mark.parametrize("slow", [False, True], ids=["whole", "in pieces"])
def test_the_body_of_a_refusal_is_cut_at_its_bound(extra: int, slow: bool) -> None:
    limits = Limits(max_body=1000)
    link = new_client(limits=limits)
    data = b"HTTP/1.1 500 Oops\r\n\r\n" + b"x" * (1000 + extra)
    feed(link, *([data[at : at + 100] for at in range(0, len(data), 100)] if slow else [data]))
    assert link.pending is (extra >= 0)
    link.receive_eof()
    events, _, _ = outcome(link)
    assert len(events[0].body) == min(1000, 1000 + extra)


def test_an_endless_body_is_not_waited_for() -> None:
    """W38."""
    link = new_client()
    link.receive_data(b"HTTP/1.1 500 Oops\r\n\r\n")
    for _ in range(100):
        link.receive_data(bytes(4096))
    events, error, _ = outcome(link)
    assert len(events[0].body) == Limits().max_body
    assert isinstance(error, HandshakeFailed)
    assert link.buffered_in == 0


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("slow", [False, True], ids=["whole", "byte by byte"])
def test_the_head_of_the_response_has_a_bound_that_no_cutting_changes(extra: int, slow: bool) -> None:
    """W37."""
    head = response(*RESPONSE_FIELDS, "X: " + "y" * 500)
    link = new_client(limits=Limits(max_handshake=len(head) - extra))
    data = head + raw(TEXT, b"z" * 1000)
    feed(link, *([bytes([byte]) for byte in data] if slow else [data]))
    if extra <= 0:
        assert [type(event) for event in pull(link)] == [Connected, str]
    else:
        _, error, info = outcome(link)
        assert isinstance(error, LimitExceeded)
        assert (error.which, info.initiator) == ("max_handshake", Initiator.LOCAL)


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_number_of_header_lines_has_a_bound(extra: int) -> None:
    fields = [*RESPONSE_FIELDS, *(f"X-{n}: y" for n in range(20))]
    link = new_client(limits=Limits(max_headers=len(fields) - extra))
    link.receive_data(response(*fields))
    if extra <= 0:
        assert isinstance(pull(link)[0], Connected)
    else:
        error = outcome(link)[1]
        assert isinstance(error, LimitExceeded)
        assert error.which == "max_headers"


def test_informational_responses_count_together() -> None:
    hint = response("X: " + "y" * 100, start="HTTP/1.1 103 Early Hints")
    link = new_client(limits=Limits(max_handshake=10 * len(hint)))
    link.receive_data(hint * 10)
    assert not link.pending
    link.receive_data(hint)
    assert isinstance(outcome(link)[1], LimitExceeded)


def test_50_megabytes_of_header_are_refused_in_one_piece_too() -> None:
    """W37."""
    link = new_client()
    link.receive_data(b"HTTP/1.1 101 x\r\nX: " + b"y" * 50_000_000)
    assert isinstance(outcome(link)[1], LimitExceeded)
    assert link.buffered_in == 0


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 101 Swit", response(start="HTTP/1.1 100 Continue")])
def test_the_end_of_the_stream_before_a_response_is_the_transports(data: bytes) -> None:
    """W35, A8."""
    link = new_client()
    link.receive_data(data)
    link.receive_eof()
    _, error, info = outcome(link)
    assert isinstance(error, TransportFailed)
    assert str(error) == "the stream ended during the opening handshake"
    assert (info.code, info.initiator, info.retryable) == (1006, Initiator.TRANSPORT, True)
    assert link.state is ConnectionState.CLOSED


BAD_REQUESTS = {
    "line break in a value": ("headers", {"headers": [("X-Key", "SECRET\r\nX-Evil: 1")]}),
    "trailing newline in a value": ("headers", {"headers": [("X-Key", "SECRET\n")]}),
    "nul in a value": ("headers", {"headers": [("X-Key", "SECRET\0")]}),
    "value beyond latin-1": ("headers", {"headers": [("X-Key", "SECRET\u20ac")]}),
    "blank at the start of a value": ("headers", {"headers": [("X-Key", " SECRET")]}),
    "blank in a name": ("headers", {"headers": [("X Key", "SECRET")]}),
    "empty name": ("headers", {"headers": [("", "SECRET")]}),
    "name is bytes": ("headers", {"headers": [(b"X", "SECRET")]}),
    "no pairs": ("headers", {"headers": ["SECRET"]}),
    "three members": ("headers", {"headers": [("X", "SECRET", "SECRET")]}),
    "line break in the target": ("target", {"target": "/x?key=SECRET\r\n"}),
    "blank in the target": ("target", {"target": "/x?key=SECRET 1"}),
    "target beyond ascii": ("target", {"target": "/x?key=SECRET\u20ac"}),
    "fragment in the target": ("target", {"target": "/x?key=SECRET#here"}),
    "target is a url": ("target", {"target": "wss://h/x?key=SECRET"}),
    "target is empty": ("target", {"target": ""}),
    "target is bytes": ("target", {"target": b"/x?key=SECRET"}),
    "host with a path": ("host", {"host": "h/SECRET"}),
    "host with credentials": ("host", {"host": "SECRET@h"}),
    "host with a line break": ("host", {"host": "h\r\nX: SECRET"}),
    "host beyond ascii": ("host", {"host": "h\u00e4SECRET"}),
    "host is empty": ("host", {"host": ""}),
    "host is bytes": ("host", {"host": b"SECRET"}),
}


@pytest.mark.parametrize("row", BAD_REQUESTS, ids=str)
def test_a_request_that_cannot_be_sent_is_refused_without_its_values(row: str) -> None:
    """W41, W42, W44, A9."""
    path, members = BAD_REQUESTS[row]
    arguments = {"host": "h", "target": "/", **members}
    with pytest.raises(InvalidMessage) as caught:
        HandshakeRequest(**arguments)  # type: ignore[arg-type]
    assert caught.value.path.startswith(path)
    assert "SECRET" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "upgrade",
        "CONNECTION",
        "Content-Length",
        "Transfer-Encoding",
        "Sec-WebSocket-Key",
        "sec-websocket-version",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Anything",
    ],
)
def test_fields_of_the_handshake_are_not_the_callers(name: str) -> None:
    """W44."""
    with pytest.raises(InvalidMessage):
        HandshakeRequest(host="h", target="/", headers=[(name, "x")])


def test_what_may_be_sent_arrives_as_it_is() -> None:
    headers = [("X-Empty", ""), ("X-Latin", "caf\xe9\tx"), ("authorization", "Bearer a.b-c_d~e")]
    request = HandshakeRequest(host="[::1]:8080", target="/%E2%82%AC?q=%20", headers=headers)
    data = WebSocketLink.client(request).data_to_send()
    assert b"\r\nX-Latin: caf\xe9\tx\r\n" in data
    assert b"\r\nX-Empty: \r\n" in data
    assert data.startswith(b"GET /%E2%82%AC?q=%20 HTTP/1.1\r\nHost: [::1]:8080\r\n")
    assert request.headers == tuple(headers)


def test_a_client_neither_accepts_nor_rejects() -> None:
    for link in (new_client(), open_client()):
        for command in (link.accept, lambda link=link: link.reject(403)):
            with pytest.raises(IllegalInState):
                command()
