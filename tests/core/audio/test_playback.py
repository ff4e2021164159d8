"""The queue before the sound device: nothing stale plays, nothing is lost without being told."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.signals import pcm, sine

from live_protocol.audio import DroppedAudio, DropReason, MissingExtra, PlaybackBuffer, resample
from live_protocol.events import (
    AudioChunk,
    Event,
    GenerationComplete,
    GoAway,
    Interrupted,
    SetupComplete,
    TurnComplete,
)
from live_protocol.messages import AudioFormat

DEVICE = AudioFormat(24_000)
SECOND = 48_000


def chunk(data: bytes, generation: int = 1, *, rate: int = 24_000, stale: bool = False) -> AudioChunk:
    return AudioChunk(data=data, format=AudioFormat(rate), generation=generation, stale=stale)


class TestReading:
    @given(st.lists(st.one_of(st.binary(max_size=60), st.integers(0, 40)), max_size=40))
    def test_bytes_come_out_as_they_went_in(self, steps: list[bytes | int]) -> None:
        buffer = PlaybackBuffer(DEVICE)
        fed, heard = b"", b""
        for step in steps:
            if isinstance(step, bytes):
                assert buffer.feed(chunk(step)) is None
                fed += step[: len(step) - len(step) % 2]
            else:
                left = len(fed) - len(heard)
                out = buffer.read(2 * step)
                assert len(out) == 2 * step
                assert out[left:] == bytes(max(0, 2 * step - left))
                heard += out[:left]
        assert fed.startswith(heard)
        assert buffer.queued == pytest.approx((len(fed) - len(heard)) / SECOND)
        assert buffer.played == pytest.approx(len(heard) / SECOND)
        asked = sum(2 * step for step in steps if isinstance(step, int))
        assert buffer.silence == pytest.approx((asked - len(heard)) / SECOND)

    def test_read_seconds(self) -> None:
        buffer = PlaybackBuffer(DEVICE)
        buffer.feed(chunk(b"\1" * SECOND))
        assert buffer.read_seconds(0.25) == b"\1" * (SECOND // 4)
        assert buffer.queued == 0.75

    @pytest.mark.parametrize("size", [-2, 1, 3])
    def test_only_whole_frames(self, size: int) -> None:
        buffer = PlaybackBuffer(DEVICE)
        buffer.feed(chunk(b"\1\2"))
        with pytest.raises(ValueError, match="whole number of frames"):
            buffer.read(size)
        assert buffer.read(2) == b"\1\2"

    def test_underruns_are_gaps_inside_a_generation(self) -> None:
        buffer = PlaybackBuffer(DEVICE)
        buffer.read(100)
        assert buffer.underruns == 0  # nobody speaks
        buffer.feed(chunk(bytes(100)))
        buffer.read(200)
        buffer.read(200)
        assert buffer.underruns == 1  # one gap, however often it is read
        buffer.feed(chunk(bytes(100)))
        buffer.read(100)
        buffer.read(2)
        assert buffer.underruns == 2
        buffer.feed(chunk(bytes(100)))
        buffer.feed(GenerationComplete(generation=1))
        buffer.read(500)
        assert buffer.underruns == 2  # all was sent, so the end is no gap
        assert buffer.silence == pytest.approx((100 + 300 + 2 + 400) / SECOND)


class TestInterruption:
    def test_drops_and_tells_the_position(self) -> None:
        buffer = PlaybackBuffer(DEVICE)
        buffer.feed(chunk(b"\1" * SECOND))
        buffer.read_seconds(0.25)
        dropped = buffer.feed(Interrupted(generation=1))
        assert dropped == DroppedAudio(
            reason=DropReason.INTERRUPTED, generation=1, seconds=0.75, played=0.25, data=b"\1" * 36_000
        )
        assert "36000 bytes" in repr(dropped)
        assert buffer.queued == 0
        assert buffer.played == 0.25
        assert buffer.read(4) == bytes(4)
        assert buffer.underruns == 0
        assert buffer.dropped == 0.75

    def test_nothing_queued_nothing_dropped(self) -> None:
        buffer = PlaybackBuffer(DEVICE)
        assert buffer.feed(Interrupted()) is None
        assert buffer.flush() is None

    def test_late_chunks_of_the_cut_generation_are_refused(self) -> None:
        buffer = PlaybackBuffer(DEVICE)
        buffer.feed(chunk(bytes(10)))
        buffer.feed(Interrupted(generation=1))
        for late in (chunk(b"\1" * 480), chunk(b"\1" * 480, 2, stale=True)):
            dropped = buffer.feed(late)
            assert dropped is not None
            assert (dropped.reason, dropped.seconds) == (DropReason.STALE, 0.01)
        assert buffer.queued == 0
        assert buffer.feed(chunk(b"\1\1", 2)) is None
        assert buffer.read(2) == b"\1\1"

    def test_a_local_decision_cuts_the_newest_generation(self) -> None:
        buffer = PlaybackBuffer(DEVICE)
        buffer.feed(chunk(bytes(10), 1))
        buffer.feed(chunk(bytes(10), 2))
        dropped = buffer.flush()
        assert dropped is not None
        assert (dropped.generation, len(dropped.data)) == (2, 20)
        assert buffer.feed(chunk(bytes(10), 2)) is not None
        assert buffer.feed(Interrupted(generation=1)) is None  # the older cut does not undo it
        assert buffer.feed(chunk(bytes(10), 2)) is not None
        assert buffer.feed(chunk(bytes(10), 3)) is None

    def test_positions_are_per_generation(self) -> None:
        buffer = PlaybackBuffer(DEVICE)
        buffer.feed(chunk(bytes(SECOND), 1))
        buffer.feed(chunk(bytes(SECOND), 2))
        buffer.read_seconds(1.5)
        assert (buffer.played_of(1), buffer.played_of(2), buffer.played_of(3)) == (1.0, 0.5, 0.0)
        assert buffer.played == 0.5

    def test_only_the_newest_positions_are_kept(self) -> None:
        buffer = PlaybackBuffer(DEVICE)
        for generation in range(1, 67):
            buffer.feed(chunk(bytes(2), generation))
        buffer.read(2 * 66)
        assert [buffer.played_of(n) > 0 for n in (1, 2, 3, 66)] == [False, False, True, True]


class TestConnections:
    def test_another_connection_may_go_on_counting(self) -> None:
        buffer = PlaybackBuffer(DEVICE)
        buffer.feed(chunk(bytes(SECOND), 3))
        buffer.read_seconds(0.5)
        buffer.feed(SetupComplete())
        buffer.feed(chunk(bytes(SECOND), 4))
        buffer.read_seconds(1)
        assert (buffer.played_of(3), buffer.played_of(4)) == (1.0, 0.5)

    def test_another_session_counts_from_one_again(self) -> None:
        buffer = PlaybackBuffer(DEVICE)
        buffer.feed(chunk(b"\1" * SECOND, 3))
        buffer.feed(Interrupted(generation=3))
        buffer.feed(chunk(b"\1" * SECOND, 4))
        buffer.read_seconds(0.5)
        buffer.feed(SetupComplete())
        assert buffer.feed(chunk(b"\2" * SECOND, 1)) is None
        assert buffer.read_seconds(0.5) == b"\1" * 24_000  # what was queued plays on
        buffer.read_seconds(0.25)
        assert (buffer.played, buffer.played_of(1), buffer.played_of(4)) == (0.25, 0.25, 0.0)


class TestBounds:
    @pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
    def test_the_bound_is_positive(self, seconds: float) -> None:
        with pytest.raises(ValueError, match="positive and finite"):
            PlaybackBuffer(DEVICE, max_seconds=seconds)

    def test_the_policy_is_known(self) -> None:
        policy: Any = "some"
        with pytest.raises(ValueError, match="'newest' or 'oldest'"):
            PlaybackBuffer(DEVICE, overflow=policy)

    def test_newest_is_dropped(self) -> None:
        buffer = PlaybackBuffer(DEVICE, max_seconds=0.5)
        assert buffer.feed(chunk(b"\1" * 24_000)) is None
        dropped = buffer.feed(chunk(b"\2" * 4800))
        assert dropped is not None
        assert (dropped.reason, dropped.seconds, dropped.data) == (DropReason.OVERFLOW, 0.1, b"\2" * 4800)
        buffer.read(2400)
        dropped = buffer.feed(chunk(b"\3" * 4800))
        assert dropped is not None
        assert len(dropped.data) == 2400
        assert buffer.read(24_000) == b"\1" * 21_600 + b"\3" * 2400

    def test_oldest_is_dropped(self) -> None:
        buffer = PlaybackBuffer(DEVICE, max_seconds=0.5, overflow="oldest")
        buffer.feed(chunk(b"\1" * 24_000))
        dropped = buffer.feed(chunk(b"\2" * 4800))
        assert dropped is not None
        assert (dropped.reason, dropped.data) == (DropReason.OVERFLOW, b"\1" * 4800)
        assert buffer.read(24_000) == b"\1" * 19_200 + b"\2" * 4800

    @pytest.mark.parametrize("policy", ["newest", "oldest"])
    @given(sizes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 200)), max_size=20))
    def test_never_more_than_the_bound(self, policy: Any, sizes: list[tuple[int, int]]) -> None:
        buffer = PlaybackBuffer(AudioFormat(4_000), max_seconds=0.05, overflow=policy)
        fed = dropped = read = 0
        for put, take in sizes:
            fed += 2 * put
            lost = buffer.feed(AudioChunk(data=bytes(2 * put), format=AudioFormat(4_000), generation=1))
            dropped += len(lost.data) if lost is not None else 0
            assert buffer.queued <= 0.05
            buffer.read(2 * take)
            read = round(buffer.played * 8_000)
        assert fed == dropped + read + round(buffer.queued * 8_000)


class TestFormats:
    @pytest.mark.parametrize("end", [GenerationComplete(generation=1), TurnComplete(generation=1), SetupComplete()])
    def test_other_rates_are_resampled(self, end: Event) -> None:
        buffer = PlaybackBuffer(AudioFormat(48_000))
        data = sine(24_000, 440, 2_400)
        for at in range(0, len(data), 960):
            buffer.feed(chunk(data[at : at + 960]))
        assert buffer.queued < 0.1  # the filter holds some of it back
        buffer.feed(end)
        assert buffer.queued == 0.1
        assert buffer.read(9_600) == resample(data, DEVICE, AudioFormat(48_000))

    def test_the_next_generation_brings_out_the_rest(self) -> None:
        buffer = PlaybackBuffer(AudioFormat(48_000))
        buffer.feed(chunk(bytes(480), 1))
        buffer.feed(chunk(bytes(480), 2))
        buffer.feed(GenerationComplete(generation=2))
        buffer.read_seconds(1)
        assert (buffer.played_of(1), buffer.played_of(2)) == (0.01, 0.01)

    def test_the_rate_may_change(self) -> None:
        buffer = PlaybackBuffer(DEVICE)
        buffer.feed(chunk(pcm([5] * 480), rate=24_000))
        buffer.feed(chunk(pcm([5] * 480), rate=16_000))
        buffer.feed(chunk(pcm([5] * 480), rate=48_000))
        buffer.feed(chunk(pcm([5] * 480), rate=24_000))
        assert buffer.queued == pytest.approx(0.02 + 0.03 + 0.01 + 0.02)

    def test_an_interruption_drops_what_the_filter_holds(self) -> None:
        buffer = PlaybackBuffer(AudioFormat(48_000))
        buffer.feed(chunk(b"\1" * 480, 1))
        buffer.feed(Interrupted(generation=1))
        buffer.feed(chunk(bytes(480), 2))
        buffer.feed(GenerationComplete(generation=2))
        assert buffer.queued == 0.01
        assert buffer.read_seconds(0.01) == bytes(960)

    def test_a_full_queue_tells_of_the_rest_too(self) -> None:
        buffer = PlaybackBuffer(AudioFormat(48_000), max_seconds=0.01)
        assert buffer.feed(chunk(bytes(480))) is None
        assert buffer.feed(chunk(bytes(4_800))) is not None
        late = buffer.feed(chunk(b"", rate=16_000))
        assert late is not None
        assert late.reason is DropReason.OVERFLOW

    def test_another_rate_without_the_extra_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "soxr", None)
        buffer = PlaybackBuffer(AudioFormat(48_000))
        buffer.feed(chunk(bytes(960), rate=48_000))
        with pytest.raises(MissingExtra, match="24000 to 48000 Hz"):
            buffer.feed(chunk(bytes(480), 2))
        assert (buffer.generation, buffer.queued) == (1, 0.01)

    def test_other_events_pass_by(self) -> None:
        assert PlaybackBuffer(DEVICE).feed(GoAway()) is None
