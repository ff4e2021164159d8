"""The short way of a message through the send queue gives the bytes of the general one."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live_protocol.websocket.frames import BINARY, MASK_SLICE, TEXT, frame
from live_protocol.websocket.send_queue import SendQueue


def counting() -> Callable[[int], bytes]:
    """Bytes that never repeat within a key."""
    numbers = itertools.cycle(range(251))
    return lambda size: bytes(itertools.islice(numbers, size))


@given(
    sizes=st.lists(st.one_of(st.integers(0, 300), st.integers(MASK_SLICE - 5, MASK_SLICE + 5)), max_size=20),
    opcode=st.sampled_from([TEXT, BINARY]),
)
def test_frames_are_those_of_the_serializer(sizes: list[int], opcode: int) -> None:
    queue, keys = SendQueue(client=True, entropy=counting()), counting()
    for number, size in enumerate(sizes):
        payload = bytes((number + position) % 256 for position in range(size))
        assert queue.encode(opcode, payload) == frame(opcode, payload, keys(4))


@pytest.mark.parametrize("size", [125, 126, 127, 128, 129, 130, 131, 132, MASK_SLICE])
@pytest.mark.parametrize("key", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\0\0\0\x40"])
def test_every_key_masks_right(size: int, key: bytes) -> None:
    queue = SendQueue(client=True, entropy=lambda count: key * (count // 4))
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    masked = queue.encode(TEXT, payload)[-size:]
    assert masked == bytes(byte ^ key[position % 4] for position, byte in enumerate(payload))


def test_keys_are_drawn_anew_when_they_are_used_up() -> None:
    queue, keys = SendQueue(client=True, entropy=counting()), counting()
    payload = bytes(200)
    for _ in range(200):
        assert queue.encode(TEXT, payload) == frame(TEXT, payload, keys(4))


def test_a_server_does_not_mask() -> None:
    queue = SendQueue(client=False, entropy=counting())
    assert queue.encode(BINARY, bytes(200)) == frame(BINARY, bytes(200), None)
