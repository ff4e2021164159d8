"""Our two ends against each other, and each of them against the websockets library."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from core.websocket.harness import (
    ACCEPT,
    GOOD_REQUEST,
    GOOD_RESPONSE,
    exchange,
    is_over,
    new_client,
    new_server,
    outcome,
    pull,
)
from core.websocket.test_frames import cuts, streams
from live_protocol.close_info import Initiator
from live_protocol.events import Connected, ConnectionClosed, ConnectionFailed, UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.websocket import HandshakeRequest, WebSocketLink

MESSAGE = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=100),
    st.sampled_from([b"", "", "ä" * 200, bytes(130), bytes(70_000), "x" * 70_000]),
)
POINTS = st.lists(st.integers(0, 1 << 17), max_size=6)


def connected(compression: bool) -> tuple[WebSocketLink, WebSocketLink]:
    request = HandshakeRequest(host="example.com", target="/")
    client = WebSocketLink.client(request, compression=compression)
    server = WebSocketLink.server(compression=compression)
    server.receive_data(client.data_to_send())
    server.accept()
    client.receive_data(server.data_to_send())
    assert isinstance(pull(client)[0], Connected)
    assert [type(event) for event in pull(server)] == [UpgradeRequested, Connected]
    return client, server


def send(link: WebSocketLink, message: str | bytes) -> None:
    if isinstance(message, str):
        link.send_text(message.encode())
    else:
        link.send_binary(message)


@pytest.mark.parametrize("compression", [False, True])
@given(messages=st.lists(st.tuples(st.booleans(), MESSAGE), max_size=8), points=POINTS)
@settings(max_examples=60)
def test_our_ends_understand_each_other(
    compression: bool, messages: list[tuple[bool, str | bytes]], points: list[int]
) -> None:
    client, server = connected(compression)
    for up, message in messages:
        sender, receiver = (client, server) if up else (server, client)
        send(sender, message)
        sender.ping(b"between")
        for chunk in cuts(sender.data_to_send(), points):
            receiver.receive_data(chunk)
        assert pull(receiver)[0] == message
        exchange(sender, receiver)
        pull(sender)
    client.close(1000, "done")
    exchange(client, server)
    for link, initiator in ((client, Initiator.LOCAL), (server, Initiator.REMOTE)):
        _, error, info = outcome(link)
        assert (error, info.code, info.reason, info.clean, info.initiator) == (None, 1000, "done", True, initiator)
    server.receive_eof()
    client.receive_eof()
    assert is_over(client)
    assert is_over(server)


class Peer:
    """websockets' sans-I/O protocol behind the few verbs that these tests need."""

    def __init__(self, role: str, compression: bool) -> None:
        self.protocol: Any
        if role == "client":
            extensions = [ClientPerMessageDeflateFactory(client_max_window_bits=True)] if compression else None
            self.protocol = ClientProtocol(parse_uri("ws://example.com/"), extensions=extensions, max_size=None)
            self.protocol.send_request(self.protocol.connect())
        else:
            factories = [ServerPerMessageDeflateFactory()] if compression else None
            self.protocol = ServerProtocol(extensions=factories, max_size=None)
        self.pieces: list[bytes] = []
        self.opcode = 0

    def out(self) -> bytes:
        return b"".join(self.protocol.data_to_send())

    def take(self, data: bytes) -> list[str | bytes]:
        if data:
            self.protocol.receive_data(data)
        messages: list[str | bytes] = []
        for event in self.protocol.events_received():
            if isinstance(event, Request):
                self.protocol.send_response(self.protocol.accept(event))
            elif isinstance(event, Response):
                assert self.protocol.handshake_exc is None
            elif isinstance(event, Frame) and event.opcode < 8:
                self.opcode = event.opcode or self.opcode
                self.pieces.append(bytes(event.data))
                if event.fin:
                    body = b"".join(self.pieces)
                    messages.append(body.decode() if self.opcode == 1 else body)
                    self.pieces.clear()
        return messages

    def send(self, message: str | bytes, points: list[int]) -> None:
        """In fragments, with a ping behind each."""
        body = message.encode() if isinstance(message, str) else message
        first = self.protocol.send_text if isinstance(message, str) else self.protocol.send_binary
        parts = cuts(body, points) or [b""]
        for number, part in enumerate(parts):
            method = self.protocol.send_continuation if number else first
            method(part, fin=number == len(parts) - 1)
            self.protocol.send_ping(str(number).encode())


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("compression", [False, True])
@given(
    messages=st.lists(st.tuples(st.booleans(), MESSAGE, POINTS, POINTS), max_size=6), code=st.sampled_from([1000, 3000])
)
@settings(max_examples=60)
def test_we_understand_the_websockets_library(
    role: str, compression: bool, messages: list[tuple[bool, str | bytes, list[int], list[int]]], code: int
) -> None:
    if role == "client":
        peer = Peer("server", compression)
        link = WebSocketLink.client(HandshakeRequest(host="example.com", target="/"), compression=compression)
        peer.take(link.data_to_send())
        link.receive_data(peer.out())
    else:
        peer = Peer("client", compression)
        link = WebSocketLink.server(compression=compression)
        link.receive_data(peer.out())
        link.accept()
        peer.take(link.data_to_send())
    event = pull(link)[-1]
    assert isinstance(event, Connected)
    assert event.compression is compression
    for ours, message, fragments, points in messages:
        if ours:
            send(link, message)
            received = [item for chunk in cuts(link.data_to_send(), points) for item in peer.take(chunk)]
        else:
            peer.send(message, fragments)
            for chunk in cuts(peer.out(), points):
                link.receive_data(chunk)
            received = [item for item in pull(link) if isinstance(item, (str, bytes))]
            peer.take(link.data_to_send())
        assert received == [message]
    link.receive_data(peer.out())
    link.close(code, "done")
    peer.take(link.data_to_send())
    link.receive_data(peer.out())
    assert (peer.protocol.close_rcvd.code, peer.protocol.close_rcvd.reason) == (code, "done")
    assert outcome(link)[2].code == code


@pytest.mark.parametrize("role", ["client", "server"])
@given(data=st.data(), points=POINTS)
@settings(max_examples=80)
def test_no_cutting_changes_what_is_told_from_the_first_byte_on(
    role: str, data: st.DataObject, points: list[int]
) -> None:
    stream = (GOOD_RESPONSE if role == "client" else GOOD_REQUEST) + data.draw(streams(role))

    def told(chunks: list[bytes]) -> list[object]:
        limits = Limits(max_handshake=1 << 20)
        link = new_client(limits=limits) if role == "client" else new_server(limits=limits)
        events: list[object] = []
        for chunk in chunks:
            link.receive_data(chunk)
            for event in pull(link):
                events.append(plain(event))
                if isinstance(event, UpgradeRequested) and link.state == "CONNECTING":
                    link.accept()
        link.receive_eof()
        return events + [plain(event) for event in pull(link)]

    whole = told([stream])
    assert told(cuts(stream, points)) == whole
    assert isinstance(whole[-1], tuple)
    assert whole[-1][0] is ConnectionClosed


def plain(event: object) -> object:
    """Exceptions compare by identity; what they say is what counts."""
    if isinstance(event, ConnectionFailed):
        return (ConnectionFailed, type(event.error), str(event.error))
    if isinstance(event, ConnectionClosed):
        info = event.info
        return (ConnectionClosed, info.code, info.reason, info.clean, info.initiator, info.retryable, info.hint)
    return event


@given(data=st.binary(max_size=300), points=POINTS, role=st.sampled_from(["client", "server"]))
@settings(max_examples=100)
def test_whatever_comes_instead_of_a_handshake_ends_in_one_report(data: bytes, points: list[int], role: str) -> None:
    link = new_client() if role == "client" else new_server()
    for chunk in cuts(data, points):
        link.receive_data(chunk)
    link.receive_eof()
    outcome(link)
    assert is_over(link)


HEAD_LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "Upgrade: websocket",
                "Connection: Upgrade",
                f"Sec-WebSocket-Accept: {ACCEPT}",
                "Host: x",
                "Sec-WebSocket-Key: a2tra2tra2tra2tra2traw==",
                "Sec-WebSocket-Version: 13",
                "Content-Length: 3",
                "Content-Length: -1",
                "Transfer-Encoding: chunked",
                "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9",
            ]
        ),
        st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20),
    ),
    max_size=8,
)


START = st.sampled_from(["HTTP/1.1 101 x", "HTTP/1.1 200 x", "HTTP/1.0 101", "GET / HTTP/1.1", "GET * HTTP/1.1", "X"])


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("compression", [False, True])
@given(head=st.tuples(START, HEAD_LINES, st.binary(max_size=20)), points=POINTS)
@settings(max_examples=60)
def test_whatever_the_head_says_nothing_escapes(
    role: str, compression: bool, head: tuple[str, list[str], bytes], points: list[int]
) -> None:
    start, lines, rest = head
    data = "\r\n".join((start, *lines, "", "")).encode("latin-1") + rest
    link = new_client(compression=compression) if role == "client" else new_server(compression=compression)
    link.advance(0)
    for chunk in cuts(data, points):
        link.receive_data(chunk)
    if role == "server" and isinstance(link.next_event(), UpgradeRequested):
        link.accept()
    link.advance(1000)
    link.data_to_send()
    link.advance(2000)
    link.receive_eof()
    assert is_over(link) or isinstance(pull(link)[-1], ConnectionClosed)
    assert is_over(link)
