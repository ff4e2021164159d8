"""Signals: samples of 16 bits, sine waves, and measures of level."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable


def pcm(samples: Iterable[float]) -> bytes:
    values = [round(sample) for sample in samples]
    return struct.pack(f"<{len(values)}h", *values)


def samples(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 2}h", data)


def sine(rate: int, frequency: float, frames: int, amplitude: float = 20_000) -> bytes:
    return pcm(amplitude * math.sin(2 * math.pi * frequency * index / rate) for index in range(frames))


def level(data: bytes, rate: int, frequency: float) -> float:
    """Amplitude of one frequency, by correlation under a Hann window over the middle of the signal."""
    values = samples(data)
    values = values[len(values) // 8 : -len(values) // 8]
    size = len(values)
    window = [0.5 - 0.5 * math.cos(2 * math.pi * index / size) for index in range(size)]
    turn = 2 * math.pi * frequency / rate
    real = sum(v * w * math.cos(turn * i) for i, (v, w) in enumerate(zip(values, window, strict=True)))
    imaginary = sum(v * w * math.sin(turn * i) for i, (v, w) in enumerate(zip(values, window, strict=True)))
    return 2 * math.hypot(real, imaginary) / sum(window)


def rms(values: Iterable[float]) -> float:
    squares = [value * value for value in values]
    return math.sqrt(sum(squares) / len(squares))


def decibels(ratio: float) -> float:
    return 20 * math.log10(max(ratio, 1e-9))
