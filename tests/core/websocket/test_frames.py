"""Our serialiser and our mask against wsproto, and the short cut of the reader against its long way."""

from __future__ import annotations

import itertools
import struct
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage

from core.websocket.harness import MASK, open_link, outcome, parse, pull, raw
from live_protocol.errors import RemoteProtocolError
from live_protocol.limits import Limits
from live_protocol.timing import Timeouts
from live_protocol.websocket.frames import BINARY, TEXT, FrameReader, apply_mask, frame, peer_may_send
from live_protocol.websocket.link_core import LinkCore, Text

SIZES = [0, 1, 3, 4, 5, 125, 126, 127, 8191, 8192, 8193, 16384, 65535, 65536, 100_001, 1 << 20]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mask", [None, MASK])
def test_a_frame_is_what_wsproto_reads(size: int, mask: bytes | None) -> None:
    payload = (bytes(range(256)) * (size // 256 + 1))[:size]
    data = frame(BINARY, payload, mask)
    peer = Connection(ConnectionType.SERVER if mask else ConnectionType.CLIENT)
    peer.receive_data(data)
    assert b"".join(bytes(event.data) for event in peer.events()) == payload
    assert data[:2] == struct.pack(
        "!BB", 0x82, (0x80 if mask else 0) | (size if size < 126 else 126 if size < 65536 else 127)
    )
    assert parse(data) == [(0x82, payload)]


@given(st.binary(max_size=40_000), st.binary(min_size=4, max_size=4))
@settings(max_examples=100)
def test_masking_is_the_exclusive_or_of_rfc_6455_and_its_own_inverse(payload: bytes, key: bytes) -> None:
    """W25."""
    masked = apply_mask(payload, key)
    assert masked == bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    assert apply_mask(masked, key) == payload


def test_rsv1_marks_a_compressed_message() -> None:
    assert frame(TEXT, b"x", None, rsv1=True) == b"\xc1\x01x"


def test_which_close_codes_may_stand_in_a_frame() -> None:
    allowed = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(65536) if peer_may_send(code)} == allowed


def a_frame(role: str) -> st.SearchStrategy[bytes]:
    """Mostly good frames, some broken ones."""
    payload = st.one_of(
        st.binary(max_size=20),
        st.text(max_size=10).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from([b"\x03\xe8", b"\x03\xe8ok"]),
        st.sampled_from([125, 126, 127, 700, 66_000, 66_001]).map(bytes),
    )
    return st.builds(
        raw,
        st.sampled_from([0, 0, 1, 1, 1, 2, 2, 2, 8, 9, 10, 3]),
        payload,
        to=st.sampled_from([role] * 30 + ["client", "server"]),
        fin=st.sampled_from([True, True, True, False]),
        rsv=st.sampled_from([0] * 30 + [1, 2, 4]),
        width=st.sampled_from([None] * 20 + [2, 8]),
    )


def streams(role: str) -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.lists(a_frame(role), max_size=8).map(b"".join),
        st.binary(max_size=60),
    )


def cuts(data: bytes, points: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(point % (len(data) + 1) for point in points)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def read(role: str, chunks: list[bytes], *, short_cut: bool) -> list[object]:
    """What the reader tells of a stream; without the short cut everything goes through wsproto."""
    inbox = LinkCore(client=role == "client", limits=Limits(), timeouts=Timeouts(), observer=None, deadlines=None)
    told: deque[Any] = inbox.queue
    over = False

    def all_told() -> list[object]:
        return [("text", item.data) if isinstance(item, Text) else item for item in told]

    def on_close(code: int, reason: str, cut: bool) -> None:
        nonlocal over
        over = True
        told.append(("close", code, reason, cut))

    reader = FrameReader(
        client=role == "client",
        limits=Limits(max_message=66_000, max_fragments=5),
        decompressor=None,
        inbox=inbox,
        on_ping=lambda payload: told.append(("ping", payload)),
        on_pong=lambda payload: told.append(("pong", payload)),
        on_close=on_close,
    )
    for chunk in chunks:
        for part in [chunk] if short_cut else [chunk[at : at + 1] for at in range(len(chunk))]:
            try:
                reader.feed(part)
            except RemoteProtocolError as error:
                return [*all_told(), ("failed", type(error), str(error), error.close_code)]
            if over:
                return all_told()
    return [*all_told(), ("held", reader.partial, inbox.queued)]


@pytest.mark.parametrize("role", ["client", "server"])
@given(data=st.data())
@settings(max_examples=150)
def test_any_cutting_and_the_short_cut_tell_the_same(role: str, data: st.DataObject) -> None:
    stream = data.draw(streams(role))
    points = data.draw(st.lists(st.integers(0, 1 << 17), max_size=6))
    whole = read(role, [stream], short_cut=True)
    assert read(role, cuts(stream, points), short_cut=True) == whole
    if len(stream) < 5000:
        assert read(role, [stream], short_cut=False) == whole


@pytest.mark.parametrize("role", ["client", "server"])
def test_an_empty_close_frame_in_pieces(role: str) -> None:
    """wsproto takes its header for the whole frame and tells of the close a second time."""
    stream = raw(8, b"", to=role)
    whole = read(role, [stream], short_cut=True)
    for size in range(1, len(stream)):
        assert read(role, [stream[:size], stream[size:]], short_cut=True) == whole


@pytest.mark.parametrize("role", ["client", "server"])
@given(data=st.data())
@settings(max_examples=150)
def test_good_messages_come_out_as_wsproto_alone_would_tell_them(role: str, data: st.DataObject) -> None:
    messages = data.draw(st.lists(st.one_of(st.binary(max_size=300), st.text(max_size=100)), max_size=6))
    wire = b""
    for message in messages:
        opcode = TEXT if isinstance(message, str) else BINARY
        body = message.encode() if isinstance(message, str) else message
        points = data.draw(st.lists(st.integers(0, 400), max_size=3))
        parts = cuts(body, points) or [b""]
        for number, part in enumerate(parts):
            wire += raw(opcode if number == 0 else 0, part, to=role, fin=number == len(parts) - 1)
            wire += data.draw(st.sampled_from([b"", raw(9, b"p", to=role)]))
    chunks = cuts(wire, data.draw(st.lists(st.integers(0, 4000), max_size=6)))
    link = open_link(role)
    peer = Connection(ConnectionType.CLIENT if role == "client" else ConnectionType.SERVER)
    expected: list[object] = []
    pieces: list[str | bytes] = []
    for chunk in chunks:
        link.receive_data(chunk)
        peer.receive_data(chunk)
        for event in peer.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                pieces.append(event.data)
                if event.message_finished:
                    expected.append("".join(pieces) if isinstance(event, TextMessage) else b"".join(pieces))  # type: ignore[arg-type]
                    pieces.clear()
    assert [event for event in pull(link) if isinstance(event, (bytes, str))] == expected == messages


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("compression", [False, True])
@given(data=st.binary(max_size=200), points=st.lists(st.integers(0, 200), max_size=5))
@settings(max_examples=100)
def test_whatever_comes_the_link_ends_in_one_report(
    role: str, compression: bool, data: bytes, points: list[int]
) -> None:
    extensions = "permessage-deflate" if compression else ""
    link = open_link(role, compression=compression, extensions=extensions)
    for chunk in cuts(data, points):
        link.receive_data(chunk)
    link.receive_eof()
    outcome(link)
    assert link.buffered_in == 0
