"""Rates and channels: exact lengths, any cut, and the documented quality measured."""

from __future__ import annotations

import math
import subprocess
import sys
import types
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.signals import decibels, level, pcm, rms, samples, sine

from live_protocol.audio import MissingExtra, Resampler, resample
from live_protocol.messages import AudioFormat

RATES = (8_000, 11_025, 16_000, 24_000, 44_100, 48_000)
FORMATS = st.builds(AudioFormat, st.sampled_from(RATES), st.sampled_from((1, 2)))
PAIRS = [(8_000, 16_000), (16_000, 24_000), (24_000, 16_000), (48_000, 16_000), (24_000, 8_000), (44_100, 16_000)]


def convert(data: bytes, source: int, target: int) -> bytes:
    return resample(data, AudioFormat(source), AudioFormat(target))


class TestBooks:
    @given(
        formats=st.tuples(FORMATS, FORMATS),
        frames=st.integers(0, 700),
        sizes=st.lists(st.integers(1, 900), min_size=1, max_size=8),
        random=st.randoms(use_true_random=False),
    )
    @settings(max_examples=60)
    def test_length_is_exact_and_the_cut_does_not_matter(
        self, *, formats: tuple[AudioFormat, AudioFormat], frames: int, sizes: list[int], random: Any
    ) -> None:
        source, target = formats
        data = random.randbytes(frames * source.frame_size)
        whole = resample(data, source, target)
        assert len(whole) == -(-frames * target.rate // source.rate) * target.frame_size
        resampler = Resampler(source, target)
        pieces, start, turn = [], 0, 0
        while start < len(data):
            step = sizes[turn % len(sizes)]
            pieces.append(resampler.push(data[start : start + step]))
            assert len(pieces[-1]) % target.frame_size == 0
            start, turn = start + step, turn + 1
        assert b"".join(pieces) + resampler.flush() == whole

    def test_flush_begins_another_stream(self) -> None:
        for source, target in ((24_000, 16_000), (44_100, 16_000)):
            resampler = Resampler(AudioFormat(source), AudioFormat(target))
            data = sine(source, 440, 500)
            first = resampler.push(data) + resampler.flush()
            assert resampler.push(b"\1") + resampler.flush() == b""
            assert resampler.push(data) + resampler.flush() == first

    def test_a_long_piece_equals_short_ones(self) -> None:
        data = sine(8_000, 440, 30_000)
        resampler = Resampler(AudioFormat(8_000), AudioFormat(16_000))
        pieces = [resampler.push(data[at : at + 640]) for at in range(0, len(data), 640)]
        assert b"".join(pieces) + resampler.flush() == convert(data, 8_000, 16_000)


class TestChannels:
    def test_mono_is_the_mean_of_both(self) -> None:
        assert samples(resample(pcm([100, 300, -1, -2]), AudioFormat(16_000, 2), AudioFormat(16_000))) == (200, -2)

    def test_stereo_is_mono_twice(self) -> None:
        assert samples(resample(pcm([1, 2]), AudioFormat(16_000), AudioFormat(16_000, 2))) == (1, 1, 2, 2)

    def test_stereo_stays_apart(self) -> None:
        left, right = sine(24_000, 440, 600), sine(24_000, 1000, 600)
        both = b"".join(left[at : at + 2] + right[at : at + 2] for at in range(0, len(left), 2))
        found = samples(resample(both, AudioFormat(24_000, 2), AudioFormat(16_000, 2)))
        assert found[0::2] == samples(convert(left, 24_000, 16_000))
        assert found[1::2] == samples(convert(right, 24_000, 16_000))

    @given(st.binary(max_size=200))
    def test_equal_formats_pass_untouched(self, data: bytes) -> None:
        audio = AudioFormat(16_000, 2)
        assert resample(data, audio, audio) == data[: len(data) - len(data) % 4]


class TestQuality:
    @pytest.mark.parametrize(("source", "target"), PAIRS)
    @pytest.mark.parametrize("share", [0.05, 0.25, 0.45])
    def test_a_tone_keeps_its_frequency_and_amplitude(self, source: int, target: int, share: float) -> None:
        frequency = share * min(source, target)
        out = convert(sine(source, frequency, source // 5), source, target)
        assert abs(decibels(level(out, target, frequency) / 20_000)) < 0.1

    @pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] > pair[1]])
    @pytest.mark.parametrize("share", [0.5, 0.55, 0.7])
    def test_what_would_alias_is_90_db_down(self, source: int, target: int, share: float) -> None:
        out = samples(convert(sine(source, share * target, source // 5), source, target))
        middle = out[len(out) // 8 : -len(out) // 8]
        assert decibels(rms(middle) * math.sqrt(2) / 20_000) < -90

    @pytest.mark.parametrize(("source", "target"), [(8_000, 16_000), (8_000, 24_000), (16_000, 24_000)])
    @pytest.mark.parametrize("share", [0.1, 0.41, 0.48])
    def test_mirrors_are_90_db_down(self, source: int, target: int, share: float) -> None:
        out = convert(sine(source, share * source, source // 5), source, target)
        assert decibels(level(out, target, source * (1 - share)) / 20_000) < -90

    @pytest.mark.parametrize(("source", "target"), PAIRS)
    @pytest.mark.parametrize("value", [0, 1, -20_000, 32_767, -32_768])
    def test_a_constant_stays_what_it_is(self, source: int, target: int, value: int) -> None:
        out = samples(convert(pcm([value] * (source // 10)), source, target))
        assert set(out[len(out) // 4 : -len(out) // 4]) == {value}

    def test_silence_has_no_offset(self) -> None:
        out = samples(convert(sine(24_000, 1000, 24_000), 24_000, 16_000))
        middle = out[1600:14_400]  # whole periods
        assert abs(sum(middle) / len(middle)) < 0.1

    def test_the_first_frame_stays_where_it_was(self) -> None:
        for source, target in PAIRS:
            click = [0] * 2000
            click[source // 100] = 20_000
            out = samples(convert(pcm(click), source, target))
            assert abs(out.index(max(out)) - target / 100) <= 1

    @pytest.mark.parametrize(("source", "target"), [(16_000, 24_000), (16_000, 44_100)])
    def test_overshoot_is_clipped_and_does_not_wrap(self, source: int, target: int) -> None:
        square = ([32_767] * 40 + [-32_768] * 40) * 20
        out = samples(convert(pcm(square), source, target))
        assert max(out) == 32_767
        assert min(out) == -32_768
        for index, value in enumerate(out):
            place = index * source / target
            if 10 < place % 40 < 30:
                assert (value > 0) is (place % 80 < 40)

    def test_odd_rates(self) -> None:
        out = convert(sine(23_999, 6_000, 4_800), 23_999, 16_001)
        assert len(out) == 2 * math.ceil(4_800 * 16_001 / 23_999)
        tone = level(out, 16_001, 6_000)
        assert abs(decibels(tone / 20_000)) < 0.1
        middle = samples(out)[400:-400]
        noise = rms(middle) ** 2 - tone**2 / 2
        assert decibels(math.sqrt(max(noise, 0)) / (tone / math.sqrt(2))) < -50

    @pytest.mark.parametrize(("source", "target"), PAIRS)
    def test_the_filter_holds_back_as_little_as_documented(self, source: int, target: int) -> None:
        resampler = Resampler(AudioFormat(source), AudioFormat(target))
        taken = released = longest = 0.0
        for _ in range(100):
            taken += 0.01
            released += len(resampler.push(bytes(2 * source // 100))) / 2 / target
            longest = max(longest, taken - released)
        assert longest < (0.12 if source == 8_000 else 0.075 if target == 8_000 else 0.042)


class TestExtra:
    @pytest.mark.parametrize("missing", ["soxr", "numpy"])
    def test_a_missing_library_names_the_extra(self, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(MissingExtra, match=r"24000 to 16000 Hz .*live-protocol\[audio\]") as caught:
            Resampler(AudioFormat(24_000), AudioFormat(16_000))
        assert caught.value.extra == "audio"

    def test_equal_rates_need_no_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "soxr", None)
        monkeypatch.setitem(sys.modules, "numpy", None)
        mono, stereo = AudioFormat(16_000), AudioFormat(16_000, 2)
        assert resample(b"\1\2", mono, mono) == b"\1\2"
        assert resample(b"\1\2", mono, stereo) == b"\1\2\1\2"
        assert resample(b"\1\2\1\2", stereo, mono) == b"\1\2"

    def test_importing_the_room_loads_neither_library(self) -> None:
        code = "import sys, live_protocol.audio; print(sorted({'numpy', 'soxr'} & sys.modules.keys()))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    @pytest.mark.parametrize("surplus", [0, 5, -1])
    def test_the_total_is_exact_whatever_the_library_gives(self, monkeypatch: pytest.MonkeyPatch, surplus: int) -> None:
        class Stream:
            """Doubles every frame at the end, with a surplus."""

            def __init__(self, source: int, target: int, channels: int, *, dtype: str, quality: str) -> None:
                assert (source, target, channels, dtype, quality) == (8_000, 16_000, 1, "float32", "HQ")
                self.held = numpy.empty((0, 1), dtype="float32")

            def resample_chunk(self, values: Any, *, last: bool) -> Any:
                self.held = numpy.concatenate([self.held, numpy.repeat(values, 2, axis=0)])
                if not last:
                    return self.held[:0]
                return self.held[:surplus] if surplus < 0 else numpy.pad(self.held, [(0, surplus), (0, 0)])

        monkeypatch.setitem(sys.modules, "soxr", types.SimpleNamespace(ResampleStream=Stream))
        resampler = Resampler(AudioFormat(8_000), AudioFormat(16_000))
        for _ in range(2):
            out = resampler.push(pcm([1, -2, 32_767])) + resampler.push(pcm([4])) + resampler.flush()
            assert samples(out) == (1, 1, -2, -2, 32_767, 32_767, 4, 4 if surplus >= 0 else 0)
