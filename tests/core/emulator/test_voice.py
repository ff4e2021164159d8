"""The emulator's rate conversion, measured against soxr."""

from __future__ import annotations

import math

import pytest
from support.signals import decibels, level, pcm, rms, samples, sine

from live_protocol.audio import resample as by_soxr
from live_protocol.emulator.voice import convert_rate
from live_protocol.messages import AudioFormat


def noise_beside(data: bytes, rate: int, frequency: float) -> float:
    """Decibels of everything but the tone, relative to the tone."""
    tone = level(data, rate, frequency)
    middle = samples(data)[rate // 10 : -rate // 10]
    return decibels(math.sqrt(max(rms(middle) ** 2 - tone**2 / 2, 1.0)) / (tone / math.sqrt(2)))


@pytest.mark.parametrize("frequency", [200, 440, 1_000, 3_000, 5_000])
def test_an_echo_of_a_tone_sounds_like_the_tone(frequency: int) -> None:
    source = sine(16_000, frequency, 16_000)
    echo = convert_rate(source, 16_000, 24_000)
    reference = by_soxr(source, AudioFormat(16_000), AudioFormat(24_000))
    assert len(echo) == len(reference)
    assert abs(decibels(level(echo, 24_000, frequency) / level(reference, 24_000, frequency))) < 0.1
    assert noise_beside(echo, 24_000, frequency) < -40
    middle = slice(1_000, -1_000)
    apart = [ours - theirs for ours, theirs in zip(samples(echo)[middle], samples(reference)[middle], strict=True)]
    assert decibels(rms(apart) / rms(samples(reference)[middle])) < -40


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_other_rates(rate: int) -> None:
    echo = convert_rate(sine(rate, 1_000, rate), rate, 24_000)
    assert len(echo) == 48_000
    assert abs(decibels(level(echo, 24_000, 1_000) / 20_000)) < 0.1
    assert noise_beside(echo, 24_000, 1_000) < -40


def test_a_tone_above_the_new_band_is_damped() -> None:
    echo = samples(convert_rate(sine(48_000, 16_000, 9_600), 48_000, 24_000))
    assert decibels(rms(echo[200:-200]) * math.sqrt(2) / 20_000) < -40


def test_edges() -> None:
    assert convert_rate(b"", 16_000, 24_000) == b""
    assert convert_rate(b"\1\2\3", 24_000, 24_000) == b"\1\2"
    assert samples(convert_rate(pcm([7]) + b"\1", 16_000, 48_000))[:1] == (7,)
    assert set(samples(convert_rate(pcm([1_000] * 400), 16_000, 24_000))[20:-20]) == {1_000}
    loud = samples(convert_rate(pcm(([32_767] * 20 + [-32_768] * 20) * 10), 16_000, 24_000))
    assert (max(loud), min(loud)) == (32_767, -32_768)
