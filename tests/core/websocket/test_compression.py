"""permessage-deflate (RFC 7692): agreement, both directions, and what hostile peers do with it."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest

from core.websocket.harness import (
    BINARY,
    PING,
    REQUEST_FIELDS,
    RESPONSE_FIELDS,
    TEXT,
    close_frame,
    deflated,
    feed,
    new_client,
    new_server,
    open_client,
    open_link,
    open_server,
    outcome,
    parse,
    pull,
    raw,
    request,
    response,
)
from live_protocol.errors import FrameViolation, HandshakeFailed, LimitExceeded
from live_protocol.events import Connected, PingReceived
from live_protocol.limits import Limits

ROLES = pytest.mark.parametrize("role", ["client", "server"])
PMD = "permessage-deflate"


@pytest.mark.parametrize(
    "chosen",
    [
        PMD,
        f"{PMD}; server_max_window_bits=8",
        f"{PMD}; client_max_window_bits=8",
        f"{PMD};server_no_context_takeover ; client_no_context_takeover",
        f'{PMD}; server_max_window_bits="10"',
        "Permessage-Deflate; Client_Max_Window_Bits=15, ",
    ],
)
def test_a_client_takes_what_it_offered(chosen: str) -> None:
    """W28."""
    link = new_client(compression=True)
    link.receive_data(response(*RESPONSE_FIELDS, f"Sec-WebSocket-Extensions: {chosen}"))
    (event,) = pull(link)
    assert isinstance(event, Connected)
    assert event.compression
    link.send_binary(b"x" * 1000)
    ((first, payload),) = parse(link.data_to_send())
    if "client_max_window_bits=8" in chosen:
        assert (first, payload) == (0x82, b"x" * 1000)  # zlib cannot write such a window: sent as it is
    else:
        assert first == 0xC2
        assert len(payload) < 50


@pytest.mark.parametrize(
    "chosen",
    [
        f"{PMD}; server_max_window_bits=abc",
        f"{PMD}; server_max_window_bits",
        f"{PMD}; server_max_window_bits=7",
        f"{PMD}; server_max_window_bits=16",
        f"{PMD}; server_max_window_bits=08",
        f"{PMD}; server_max_window_bits=" + "1" * 5000,
        f"{PMD}; client_max_window_bits",
        f"{PMD}; client_max_window_bits=",
        f"{PMD}; server_no_context_takeover=1",
        f"{PMD}; server_no_context_takeover; server_no_context_takeover",
        f"{PMD}; something_new",
        f"{PMD}; =1",
        f"{PMD}; ",
        f"{PMD}, {PMD}",
        f"x-unknown, {PMD}",
        "x-unknown",
        'x"y',
    ],
)
@pytest.mark.parametrize("lines", [1, 2])
def test_a_client_refuses_what_it_did_not_offer(chosen: str, lines: int) -> None:
    """W28, W29."""
    link = new_client(compression=True)
    values = chosen.split(", ") if lines == 2 else [chosen]
    link.receive_data(response(*RESPONSE_FIELDS, *(f"Sec-WebSocket-Extensions: {value}" for value in values)))
    assert isinstance(outcome(link)[1], HandshakeFailed)


def test_a_second_line_cannot_hide_an_extension() -> None:
    """W29."""
    link = new_client(compression=True)
    fields = ("Sec-WebSocket-Extensions: x-evil", f"Sec-WebSocket-Extensions: {PMD}")
    link.receive_data(response(*RESPONSE_FIELDS, *fields))
    assert isinstance(outcome(link)[1], HandshakeFailed)


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        (PMD, PMD),
        (f"{PMD}; client_max_window_bits", PMD),
        (f"{PMD}; client_max_window_bits=10", PMD),
        (f"{PMD}; server_max_window_bits=10", f"{PMD}; server_max_window_bits=10"),
        (f"{PMD}; server_max_window_bits=8", f"{PMD}; server_max_window_bits=8"),
        (f"{PMD}; server_no_context_takeover", f"{PMD}; server_no_context_takeover"),
        (f"{PMD}; client_no_context_takeover", f"{PMD}; client_no_context_takeover"),
        (f"x-other; a=b, {PMD}; server_max_window_bits=7, {PMD}", PMD),
        (f"{PMD}; client_max_window_bits=abc", None),
        (f"{PMD}; client_max_window_bits=", None),
        (f"{PMD}; client_max_window_bits=" + "1" * 5000, None),
        (f"{PMD}; unknown", None),
        ("x-other", None),
        (";;;", None),
        ("", None),
    ],
)
def test_a_server_accepts_the_first_offer_that_it_can_meet_or_declines(offer: str, answer: str | None) -> None:
    """W46."""
    link = new_server(compression=True)
    link.receive_data(request(*REQUEST_FIELDS, f"Sec-WebSocket-Extensions: {offer}"))
    link.accept()
    head = link.data_to_send().decode()
    assert (f"Sec-WebSocket-Extensions: {answer}\r\n" in head) is (answer is not None)
    assert ("Sec-WebSocket-Extensions" in head) is (answer is not None)
    event = pull(link)[1]
    assert isinstance(event, Connected)
    assert event.compression is (answer is not None)


def test_without_being_asked_nobody_compresses() -> None:
    link = open_server(extensions=PMD)
    link.send_text(b"x" * 100)
    assert parse(link.data_to_send()) == [(0x81, b"x" * 100)]


@ROLES
@pytest.mark.parametrize("keep", [True, False])
def test_messages_come_out_as_they_went_in(role: str, keep: bool) -> None:
    peer = "server" if role == "client" else "client"
    extensions = PMD if keep else f"{PMD}; {peer}_no_context_takeover"
    link = open_link(role, compression=True, extensions=extensions)
    messages = [b"hello hello hello", b"", b"hello hello hello", bytes(100_000)]
    for payload in deflated(*messages, keep=keep):
        link.receive_data(raw(BINARY, payload, to=role, rsv=4))
    link.receive_data(raw(BINARY, b"not compressed", to=role))
    assert pull(link) == [*messages, b"not compressed"]


@ROLES
@pytest.mark.parametrize("keep", [True, False])
def test_what_we_compress_can_be_inflated(role: str, keep: bool) -> None:
    extensions = PMD if keep else f"{PMD}; {role}_no_context_takeover"
    link = open_link(role, compression=True, extensions=extensions)
    messages = [b"hello " * 10, b"hello " * 10, b"x"]
    for message in messages:
        link.send_text(message)
    link.send_text(b"")
    frames = parse(link.data_to_send())
    assert frames.pop() == (0x81, b"")
    stream = zlib.decompressobj(-15)
    for message, (first, payload) in zip(messages, frames, strict=True):
        assert first == 0xC1
        assert stream.decompress(payload + b"\0\0\xff\xff") == message
        stream = stream if keep else zlib.decompressobj(-15)
    if keep:
        assert len(frames[1][1]) < len(frames[0][1])


@ROLES
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("cut", [0, 1, 5])
def test_a_ping_inside_a_compressed_message_leaves_it_whole(role: str, opcode: int, cut: int) -> None:
    """W1."""
    link = open_link(role, compression=True, extensions=PMD)
    message = b"the quick brown fox"
    (payload,) = deflated(message)
    feed(
        link,
        raw(opcode, payload[:cut], to=role, fin=False, rsv=4) + raw(PING, b"k", to=role),
        raw(0, payload[cut:], to=role) + raw(PING, b"l", to=role),
    )
    expected = message.decode() if opcode == TEXT else message
    assert pull(link) == [PingReceived(payload=b"k"), expected, PingReceived(payload=b"l")]


@ROLES
@pytest.mark.parametrize("slow", [False, True], ids=["whole", "in pieces"])
def test_a_deflate_bomb_is_stopped_at_the_limit(role: str, slow: bool) -> None:
    """W2."""
    stream = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(stream.compress(bytes(1 << 20)) for _ in range(64)) + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]
    limits = Limits(max_message=1 << 20)
    link = open_link(role, compression=True, extensions=PMD, limits=limits)
    data = raw(BINARY, bomb, to=role, rsv=4)
    tracemalloc.start()
    try:
        feed(link, *([data[at : at + 100] for at in range(0, len(data), 100)] if slow else [data]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    _, error, info = outcome(link)
    assert isinstance(error, LimitExceeded)
    assert (error.which, info.code) == ("max_message", 1009)
    assert peak < 4 * limits.max_message


@ROLES
@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("kind", ["compressible", "random", "plain"])
def test_the_bound_counts_inflated_bytes(role: str, extra: int, kind: str) -> None:
    limit = 5000
    message = random.Random(1).randbytes(limit + extra) if kind == "random" else bytes(limit + extra)
    payload = message if kind == "plain" else deflated(message)[0]
    link = open_link(role, compression=True, extensions=PMD, limits=Limits(max_message=limit))
    half = len(payload) // 2
    rsv = 0 if kind == "plain" else 4
    link.receive_data(raw(BINARY, payload[:half], to=role, fin=False, rsv=rsv) + raw(0, payload[half:], to=role))
    if extra <= 0:
        assert pull(link) == [message]
    else:
        assert isinstance(outcome(link)[1], LimitExceeded)


def test_a_compressed_frame_that_announces_too_much_is_refused_before_its_payload() -> None:
    link = open_client(compression=True, extensions=PMD)
    link.receive_data(raw(BINARY, length=2**62, width=8, rsv=4))
    assert isinstance(outcome(link)[1], LimitExceeded)


BROKEN = {
    "not deflate": (raw(BINARY, b"\xff\xff\xff", rsv=4), 1007),
    "final block": (raw(BINARY, zlib.compress(b"x", wbits=-15), rsv=4) + raw(BINARY, b"y", rsv=4), 1007),
    "inflates to no UTF-8": (raw(TEXT, deflated(b"\xff")[0], rsv=4), 1007),
    "rsv1 on a ping": (raw(PING, rsv=4), 1002),
    "rsv1 on a continuation": (raw(BINARY, b"", fin=False, rsv=4) + raw(0, b"", rsv=4), 1002),
    "rsv2": (raw(BINARY, rsv=2), 1002),
}


@pytest.mark.parametrize("row", BROKEN, ids=str)
def test_broken_compression_fails_with_its_code(row: str) -> None:
    """W14."""
    data, code = BROKEN[row]
    link = open_client(compression=True, extensions=PMD)
    link.receive_data(data + raw(BINARY, b"later"))
    events, error, info = outcome(link)
    assert events == []
    assert isinstance(error, FrameViolation)
    assert info.code == code
    assert str(error)


def test_a_message_that_is_cut_off_counts_until_it_is_dropped() -> None:
    link = open_client(compression=True, extensions=PMD)
    link.receive_data(raw(BINARY, deflated(bytes(1000))[0], rsv=4, fin=False))
    assert link.buffered_in == 1000
    link.receive_data(close_frame(1000))
    assert link.buffered_in == 0


@pytest.mark.parametrize("slow", [False, True], ids=["whole", "byte by byte"])
def test_broken_text_comes_before_a_broken_limit_however_it_is_cut(slow: bool) -> None:
    link = open_client(compression=True, extensions=PMD, limits=Limits(max_message=100))
    data = raw(TEXT, deflated(b"\xff" + bytes(1000))[0], rsv=4)
    feed(link, *([bytes([byte]) for byte in data] if slow else [data]))
    assert outcome(link)[2].code == 1007
