"""What a peer can make one connection cost, by counting bytes and calls; nothing here looks at a clock."""

from __future__ import annotations

import gc
import random
import sys
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from core.websocket.harness import (
    BINARY,
    GOOD_REQUEST,
    GOOD_RESPONSE,
    PING,
    REQUEST_FIELDS,
    RESPONSE_FIELDS,
    TEXT,
    deflated,
    new_client,
    new_server,
    open_link,
    outcome,
    parse,
    pull,
    raw,
)
from live_protocol.errors import LimitExceeded
from live_protocol.events import PingReceived
from live_protocol.limits import Limits
from live_protocol.states import ConnectionState
from live_protocol.websocket import WebSocketLink

ROLES = pytest.mark.parametrize("role", ["client", "server"])
READ = 64 * 1024  # what the adapters take off a socket at once
MIB = 1 << 20


def peak(action: Callable[[], object]) -> tuple[int, int]:
    """Bytes of memory that were needed meanwhile, and that are still held after it."""
    gc.collect()
    gc.disable()  # as in `calls`: what watches the collector needs memory of its own
    tracemalloc.start()
    try:
        action()
        now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    return most, now


def calls(action: Callable[[], object]) -> int:
    """Functions called, Python's and built-in ones."""
    count = 0

    def profile(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    gc.collect()
    gc.disable()  # who watches it, as Hypothesis does, is called whenever it runs
    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def in_steps(data: bytes, step: int) -> Iterator[bytes]:
    return (data[at : at + step] for at in range(0, len(data), step))


def feed(link: WebSocketLink, data: bytes, step: int) -> None:
    for chunk in in_steps(data, step):
        link.receive_data(chunk)


SIZE = MIB // 2
BODIES = {
    "zeros": (BINARY, bytes(SIZE)),
    "noise": (BINARY, random.Random(1).randbytes(SIZE)),
    "three bytes a character": (TEXT, "€".encode() * (SIZE // 3)),
    "wide at the start": (TEXT, "😀".encode() + b"a" * (SIZE - 4)),  # in a str, each of them would take four bytes
    "wide here and there": (TEXT, ("😀".encode() + b"a" * 1020) * (SIZE // 1024)),
}


@ROLES
@pytest.mark.parametrize("body", BODIES, ids=str)
@pytest.mark.parametrize("compression", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize(("fragment", "step"), [(SIZE, 2 * SIZE), (SIZE, READ), (16384, READ), (300, 300)], ids=str)
def test_to_take_in_the_largest_message_needs_three_times_its_size_at_most(
    role: str, body: str, compression: bool, fragment: int, step: int
) -> None:
    """W2: also of what inflates, and whatever its characters; what waits to be pulled is held once."""
    opcode, message = BODIES[body]
    limits = Limits(max_message=SIZE, max_buffered_in=SIZE)
    link = open_link(
        role, limits=limits, compression=compression, extensions="permessage-deflate" if compression else ""
    )
    payload = deflated(message)[0] if compression else message
    data = b"".join(
        raw(
            opcode if at == 0 else 0,
            payload[at : at + fragment],
            to=role,
            fin=at + fragment >= len(payload),
            rsv=4 if compression and at == 0 else 0,
        )
        for at in range(0, len(payload), fragment)
    )
    most, held = peak(lambda: feed(link, data, step))
    assert most <= 3 * SIZE
    assert held <= 1.1 * SIZE
    assert link.buffered_in == len(message)
    assert pull(link) == [message if opcode == BINARY else message.decode()]
    assert link.buffered_in == 0


@ROLES
@pytest.mark.parametrize("frame", [raw(BINARY), raw(BINARY, b"xy"), raw(TEXT, b"xy"), raw(PING)], ids=repr)
def test_very_many_frames_that_nobody_pulls_need_three_times_the_bound_at_most(role: str, frame: bytes) -> None:
    """W20, W21: an object costs more than the frame it was made of."""
    limits = Limits(max_buffered_in=2 * MIB)
    link = open_link(role, limits=limits)
    flood = raw(frame[0] & 0xF, frame[2:], to=role) * (READ // len(frame))

    def action() -> None:
        while link.wants.read:
            link.receive_data(flood[:READ])
            link.data_to_send()  # pongs leave as they come

    most, _ = peak(action)
    assert most <= 3 * limits.max_buffered_in
    assert link.buffered_out <= 16 * 8


@ROLES
def test_a_million_small_frames_in_one_read(role: str, length: Callable[[int, int], int]) -> None:
    """W20: linear, and given back to the owner between any two reads."""
    count = length(100_000, 1_000_000)
    data = raw(BINARY, b"x", to=role) * count

    def cost(frames: int) -> int:
        link = open_link(role)
        return calls(lambda: link.receive_data(data[: frames * len(data) // count]))

    assert cost(20_000) <= 2 * cost(10_000)
    link = open_link(role)
    link.receive_data(data)
    assert not link.wants.read
    assert link.buffered_in == count
    assert pull(link) == [b"x"] * count
    assert link.wants.read


@ROLES
@pytest.mark.parametrize("flood", [False, True], ids=["within the bound", "over it"])
def test_200_000_pings_in_one_read(role: str, flood: bool) -> None:
    """W21: linear; the newest are answered, and whoever asks for more answers than the bound is cut off."""
    count = 200_000
    limits = Limits(max_buffered_out=100_000 if flood else 10 * count)
    head = b"\x89\x03" if role == "client" else b"\x89\x83" + bytes(4)
    data = b"".join(head + number.to_bytes(3, "big") for number in range(count))
    size = len(data) // count

    def cost(pings: int) -> int:
        link = open_link(role, limits=limits)
        return calls(lambda: link.receive_data(data[: pings * size]))

    assert cost(10_000) <= 2 * cost(5_000)
    link = open_link(role, limits=limits)
    link.receive_data(data)
    answers = parse(link.data_to_send())
    if flood:
        assert [first for first, _ in answers] == [0x8A] * 16 + [0x88]
        _, error, info = outcome(link)
        assert isinstance(error, LimitExceeded)
        assert (error.which, info.code) == ("max_buffered_out", 1008)
    else:
        assert link.state is ConnectionState.OPEN
        assert answers == [(0x8A, number.to_bytes(3, "big")) for number in range(count - 16, count)]
        assert pull(link)[-1] == PingReceived(payload=(count - 1).to_bytes(3, "big"))


MESSAGES = {
    "binary": lambda role, size: raw(BINARY, bytes(size), to=role),
    "text": lambda role, size: raw(TEXT, "ä".encode() * (size // 2), to=role),
    "fragments": lambda role, size: (
        raw(BINARY, bytes(10), to=role, fin=False) + raw(0, bytes(size), to=role, fin=False) + raw(0, to=role)
    ),
    "pings": lambda role, size: raw(PING, bytes(10), to=role) * (size // 16),
}


@ROLES
@pytest.mark.parametrize("kind", MESSAGES, ids=str)
def test_byte_by_byte_costs_in_proportion_to_the_bytes(role: str, kind: str) -> None:
    """W19."""

    def cost(size: int) -> int:
        link = open_link(role)
        data = MESSAGES[kind](role, size)
        count = calls(lambda: feed(link, data, 1))
        assert link.pending
        return count

    assert cost(8000) <= 2.01 * cost(4000)


@ROLES
def test_what_came_byte_by_byte_is_held_once(role: str) -> None:
    """W19: an object for each byte is kept for a while only, so what it costs does not grow with the message."""

    def held(size: int) -> int:
        link = open_link(role)
        data = raw(BINARY, bytes(size + 1), to=role)[:-1]
        most, now = peak(lambda: feed(link, data, 1))
        assert most <= now + 256 * 1024
        link.receive_data(data[-1:])
        assert len(pull(link)[0]) == size + 1
        return now

    assert held(10_240) <= held(20_480) <= held(10_240) + 1.1 * 10_240


HEADS = {
    "client": b"HTTP/1.1 101 Switching Protocols\r\n" + "\r\n".join(RESPONSE_FIELDS).encode() + b"\r\n",
    "server": b"GET /ws HTTP/1.1\r\n" + "\r\n".join(REQUEST_FIELDS).encode() + b"\r\n",
}
FLOODS = {"one line": b"X: " + b"y" * 200_000, "short lines": b"X: y\r\n" * 40_000, "line feeds": b"X: y\n" * 40_000}


@ROLES
@pytest.mark.parametrize("flood", FLOODS, ids=str)
@pytest.mark.parametrize("step", [1, 1000, 4096])
def test_a_flood_of_header_costs_three_times_its_bound_at_most(role: str, flood: str, step: int) -> None:
    """W37, W50: linear, and the bound does not depend on how the bytes were cut."""
    limits = Limits()

    def new() -> WebSocketLink:
        return new_client() if role == "client" else new_server()

    link = new()
    data = HEADS[role] + FLOODS[flood]
    most, held = peak(lambda: feed(link, data, step))
    assert most <= 3 * limits.max_handshake
    assert held <= limits.max_handshake
    _, error, _ = outcome(link)
    assert isinstance(error, LimitExceeded)
    assert error.which == "max_handshake"

    def cost(size: int) -> int:
        link = new()
        return calls(lambda: feed(link, data[:size], step))

    assert cost(20_000) <= 2.1 * cost(10_000)


@pytest.mark.parametrize("head", [b"", b"Content-Length: 1000000000\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize("step", [100, 4096, READ])
def test_the_endless_body_of_a_refusal_costs_three_times_its_bound_at_most(head: bytes, step: int) -> None:
    """W38."""
    limits = Limits(max_body=MIB)
    link = new_client(limits=limits)
    body = b"fffff\r\n" + bytes(0xFFFFF) + b"\r\n" if head.startswith(b"Transfer") else bytes(MIB)
    data = b"HTTP/1.1 500 Oops\r\n" + head + b"\r\n" + body * 3
    most, _ = peak(lambda: feed(link, data, step))
    assert most <= 3 * limits.max_body
    events, _, _ = outcome(link)
    assert len(events[0].body) == limits.max_body


@ROLES
def test_what_comes_while_nothing_may_come_costs_nothing(role: str) -> None:
    """W5, W49: after a fault nothing is kept; before the answer to a request no more than a head."""
    link = open_link(role)
    link.receive_data(raw(3, to=role))
    pull(link)
    junk = raw(BINARY, bytes(1000), to=role) * 60
    most, _ = peak(lambda: [link.receive_data(junk) for _ in range(200)])
    assert most < len(junk)
    waiting = new_server()
    waiting.receive_data(GOOD_REQUEST)
    most, _ = peak(lambda: [waiting.receive_data(junk) for _ in range(200)])
    assert most <= 3 * Limits().max_handshake


def test_trailing_bytes_of_the_handshake_count_as_any_others() -> None:
    """W40, W48."""
    link = new_client(limits=Limits(max_message=1000))
    link.receive_data(GOOD_RESPONSE + raw(BINARY, bytes(1001)))
    _, error, _ = outcome(link)
    assert isinstance(error, LimitExceeded)
