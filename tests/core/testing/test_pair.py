"""Two connections joined in memory, their clock, and bytes in chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core import dial, names, open_pair

from live_protocol import LiveConnection, Timeouts
from live_protocol.testing import FakeClock, Pair, chunks


def test_a_fake_clock_moves_only_forward() -> None:
    clock = FakeClock()
    assert (clock(), clock.now) == (1000.0, 1000.0)
    assert clock.advance(0.5) == clock() == 1000.5
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


@given(st.binary(max_size=50), st.lists(st.integers(-2, 9), max_size=4))
def test_chunks_cover_the_data_in_the_sizes_asked_for(data: bytes, sizes: list[int]) -> None:
    pieces = list(chunks(data, sizes))
    assert b"".join(pieces) == data
    assert all(pieces)
    if not sizes:
        assert len(pieces) == bool(data)
    for piece, size in zip(pieces[:-1], sizes, strict=False):
        assert len(piece) == max(1, size)


def test_a_pair_connects_by_default() -> None:
    pair = Pair(clock=FakeClock(5.0))
    pair.wait(1.0)
    assert pair.clock.now == 6.0
    assert names(pair.client_events) == ["Connected"]


def quiet(seconds: float | None) -> Pair:
    """A pair of which only the client sends pings."""
    server = LiveConnection.server(timeouts=Timeouts(ping_interval=None))
    return open_pair(dial(timeouts=Timeouts(ping_interval=seconds)), server)


def test_a_pair_waits_deadline_by_deadline() -> None:
    pair = quiet(1.0)
    pair.wait(3.5)
    assert names(pair.server_events) == ["PingReceived"] * 3
    assert names(pair.client_events) == ["PongReceived"] * 3
    pair = quiet(None)
    pair.wait(1e6)
    assert pair.client_events == []
    pair = quiet(2.0)
    pair.wait(2.0)
    assert len(pair.server_events) == 1
