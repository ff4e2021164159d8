"""Both ends of a link for the tests, and a frame builder that shares no code with the library."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Any

from live_protocol.close_info import CloseInfo
from live_protocol.events import Connected, ConnectionClosed, ConnectionFailed, UpgradeRequested
from live_protocol.states import ConnectionState
from live_protocol.websocket import HandshakeRequest, WebSocketLink

KEY = b"k" * 16
ACCEPT = base64.b64encode(
    hashlib.sha1(base64.b64encode(KEY) + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
).decode()
RESPONSE_FIELDS = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {ACCEPT}")
REQUEST_FIELDS = (
    "Host: example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    f"Sec-WebSocket-Key: {base64.b64encode(KEY).decode()}",
    "Sec-WebSocket-Version: 13",
)
MASK = b"\x11\x22\x33\x44"

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def fixed_entropy(count: int) -> bytes:
    """Key and masks that never change: what a client writes becomes a golden value."""
    return KEY if count == 16 else MASK[:count]


def xor(payload: bytes, mask: bytes) -> bytes:
    out = bytearray(payload)
    for at, key in enumerate(mask):
        out[at::4] = out[at::4].translate(bytes(byte ^ key for byte in range(256)))
    return bytes(out)


def raw(
    opcode: int,
    payload: bytes = b"",
    *,
    to: str = "client",
    fin: bool = True,
    rsv: int = 0,
    length: int | None = None,
    width: int | None = None,
) -> bytes:
    """One frame as a peer sends it towards ``to``; ``length`` and ``width`` lie about the size."""
    size = len(payload) if length is None else length
    least = 0 if size < 126 else 2 if size < 65536 else 8
    width = least if width is None else max(width, least)
    masked = to == "server"
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    second = (0x80 if masked else 0) | (size if width == 0 else 126 if width == 2 else 127)
    head = bytes([first, second]) + (b"" if width == 0 else size.to_bytes(width, "big"))
    if masked:
        return head + MASK + xor(payload, MASK)
    return head + payload


def close_frame(code: int, reason: str | bytes = "", *, to: str = "client") -> bytes:
    reason = reason if isinstance(reason, bytes) else reason.encode()
    return raw(CLOSE, code.to_bytes(2, "big") + reason, to=to)


def parse(data: bytes) -> list[tuple[int, bytes]]:
    """What a link wrote, as (first byte, unmasked payload)."""
    frames: list[tuple[int, bytes]] = []
    while data:
        first, second = data[0], data[1]
        size, at = second & 0x7F, 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
        mask = bytes(4)
        if second & 0x80:
            mask, at = data[at : at + 4], at + 4
        payload = xor(data[at : at + size], mask)
        assert len(payload) == size, "a frame was cut"
        frames.append((first, payload))
        data = data[at + size :]
    return frames


def response(*fields: str, start: str = "HTTP/1.1 101 Switching Protocols") -> bytes:
    return "\r\n".join((start, *fields, "", "")).encode("latin-1")


def request(*fields: str, start: str = "GET /ws?key=1 HTTP/1.1") -> bytes:
    return "\r\n".join((start, *fields, "", "")).encode("latin-1")


GOOD_RESPONSE = response(*RESPONSE_FIELDS)
GOOD_REQUEST = request(*REQUEST_FIELDS)


def new_client(**options: Any) -> WebSocketLink:
    options.setdefault("entropy", fixed_entropy)
    link = WebSocketLink.client(HandshakeRequest(host="example.com", target="/ws?key=1"), **options)
    link.data_to_send()
    return link


def new_server(**options: Any) -> WebSocketLink:
    return WebSocketLink.server(**options)


def open_client(*, extensions: str = "", now: float | None = None, **options: Any) -> WebSocketLink:
    link = new_client(**options)
    if now is not None:
        link.advance(now)
    fields = (f"Sec-WebSocket-Extensions: {extensions}",) if extensions else ()
    link.receive_data(response(*RESPONSE_FIELDS, *fields))
    assert isinstance(link.next_event(), Connected)
    return link


def open_server(*, extensions: str = "", now: float | None = None, **options: Any) -> WebSocketLink:
    link = new_server(**options)
    if now is not None:
        link.advance(now)
    fields = (f"Sec-WebSocket-Extensions: {extensions}",) if extensions else ()
    link.receive_data(request(*REQUEST_FIELDS, *fields))
    assert isinstance(link.next_event(), UpgradeRequested)
    link.accept()
    link.data_to_send()
    assert isinstance(link.next_event(), Connected)
    return link


def open_link(role: str, **options: Any) -> WebSocketLink:
    return open_client(**options) if role == "client" else open_server(**options)


def pull(link: WebSocketLink) -> list[Any]:
    events: list[Any] = []
    while (event := link.next_event()) is not None:
        events.append(event)
    return events


def outcome(link: WebSocketLink) -> tuple[list[Any], Any, CloseInfo]:
    """What came before the end, the error of `ConnectionFailed` or None, and the `CloseInfo`; checks their order."""
    events = pull(link)
    assert isinstance(events[-1], ConnectionClosed), events
    info = events.pop().info
    error = events.pop().error if events and isinstance(events[-1], ConnectionFailed) else None
    assert info.error is error
    assert not any(isinstance(event, (ConnectionFailed, ConnectionClosed)) for event in events)
    assert link.next_event() is None
    return events, error, info


def feed(link: WebSocketLink, *chunks: bytes) -> None:
    for chunk in chunks:
        link.receive_data(chunk)


def deflated(*messages: bytes, keep: bool = True) -> list[bytes]:
    """Each message as a payload of permessage-deflate, by zlib alone."""
    stream = zlib.compressobj(wbits=-15)
    payloads: list[bytes] = []
    for message in messages:
        payloads.append((stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4])
        if not keep:
            stream = zlib.compressobj(wbits=-15)
    return payloads


def exchange(one: WebSocketLink, other: WebSocketLink) -> None:
    """Carry bytes both ways until nothing moves."""
    while (data := one.data_to_send()) or other.wants.write:
        other.receive_data(data)
        one.receive_data(other.data_to_send())


def is_over(link: WebSocketLink) -> bool:
    return link.state is ConnectionState.CLOSED and not link.pending
