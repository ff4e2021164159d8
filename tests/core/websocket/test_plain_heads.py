"""The client writes its request and reads a plain 101 without h11: both as h11 does."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.websocket.harness import KEY, fixed_entropy
from live_protocol.websocket import HandshakeRequest, WebSocketLink
from live_protocol.websocket.http11 import decode_headers, read_switching

TOKENS = st.sampled_from(["Upgrade", "x-a", "SEC-WebSocket-Accept", "!#$%&'*+-.^_`|~1", "Content-Type", "Date"])
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)
FIELDS = st.builds("{}: {}".format, TOKENS, VALUES)
ODD_FIELDS = st.sampled_from(
    [
        "a:b",
        "a:  b",
        "a: b ",
        "a: b\tc",
        "a:",
        "a: ",
        "a : b",
        ": b",
        " b",
        "a: caf\xe9",
        "a: b\x00",
        "a: b\rc",
        "Content-Length: 0",
        "content-length: 1, 2",
        "Transfer-Encoding: chunked",
        "TRANSFER-ENCODING: gzip",
        "Host: a",
    ]
)
STARTS = st.sampled_from(
    [
        "HTTP/1.1 101 Switching Protocols",
        "HTTP/1.1 101 ",
        "HTTP/1.1 101",
        "HTTP/1.0 101 Old",
        "HTTP/1.1 100 Continue",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 101 \xe9",
        "HTTP/1.1  101 x",
        "http/1.1 101 x",
    ]
)
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n"])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    lines = [draw(STARTS), *draw(st.lists(st.one_of(FIELDS, ODD_FIELDS), max_size=5))]
    return "".join(line + draw(ENDS) for line in [*lines, ""]).encode("latin-1")


def by_h11(head: bytes) -> tuple[tuple[str, str], ...] | None:
    """The fields of a 101 in HTTP/1.1; None for anything else."""
    http = h11.Connection(h11.CLIENT)
    http.send(
        h11.Request(method="GET", target="/", headers=[("Host", "a"), ("Upgrade", "b"), ("Connection", "upgrade")])
    )
    http.send(h11.EndOfMessage())
    http.receive_data(head)
    try:
        event = http.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.InformationalResponse) or (event.status_code, event.http_version) != (101, b"1.1"):
        return None
    return decode_headers(event.headers)


@given(head=heads())
def test_what_is_read_is_what_h11_reads(head: bytes) -> None:
    fields = read_switching(head)
    if fields is not None:
        assert fields == by_h11(head)


@given(lines=st.lists(FIELDS, max_size=8))
def test_the_usual_head_is_read(lines: list[str]) -> None:
    head = "".join(f"{line}\r\n" for line in ["HTTP/1.1 101 Switching Protocols", *lines, ""]).encode()
    fields = read_switching(head)
    assert fields is not None
    assert fields == by_h11(head)


@pytest.mark.parametrize("field", ["Content-Length: 0", "Transfer-Encoding: chunked"])
def test_a_head_that_frames_a_body_is_left_to_h11(field: str) -> None:
    assert read_switching(f"HTTP/1.1 101 x\r\n{field}\r\n\r\n".encode()) is None


@given(
    target=st.sampled_from(["/", "/ws?key=a%20b", "/a;b=c~"]),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["x-a", "User-Agent", "authorization", "X-A"]),
            st.one_of(VALUES, st.sampled_from(["", "a b\tc", "caf\xe9"])),
        ),
        max_size=5,
    ),
    compression=st.booleans(),
)
def test_the_request_is_what_h11_writes(target: str, headers: list[tuple[str, str]], compression: bool) -> None:
    request = HandshakeRequest(host="example.com:8443", target=target, headers=headers)
    written = WebSocketLink.client(request, compression=compression, entropy=fixed_entropy).data_to_send()
    fields = [
        ("Host", "example.com:8443"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "a2tra2tra2tra2tra2traw=="),
        ("Sec-WebSocket-Version", "13"),
        *[("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")] * compression,
        *headers,
    ]
    assert KEY == b"k" * 16
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    assert written == h11.Connection(h11.CLIENT).send(h11.Request(method="GET", target=target, headers=encoded))
