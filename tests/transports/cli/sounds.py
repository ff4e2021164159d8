"""WAV files to talk with."""

from __future__ import annotations

import io
import math
import struct
import wave
from importlib.resources import files
from pathlib import Path

SPEECH = Path(str(files("live_transports.cli") / "speech.wav"))
"""The recorded sentence of the demo: 2.88 s at 16 kHz."""


def tone(seconds: float, rate: int = 16_000) -> list[float]:
    return [0.5 * math.sin(2 * math.pi * 300 * n / rate) for n in range(round(seconds * rate))]


def silence(seconds: float, rate: int = 16_000) -> list[float]:
    return [0.0] * round(seconds * rate)


def wav(samples: list[float], rate: int = 16_000, *, channels: int = 1, width: int = 2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        if width == 1:
            file.writeframes(bytes(round(128 + 127 * value) for value in samples for _ in range(channels)))
        else:
            values = [round(32767 * value) for value in samples for _ in range(channels)]
            file.writeframes(struct.pack(f"<{len(values)}h", *values))
    return out.getvalue()


def length(data: bytes) -> float:
    """Seconds of a reply; it must be 16-bit mono at 24 kHz."""
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (24_000, 2, 1)
        return file.getnframes() / 24_000


def loudest(data: bytes) -> int:
    with wave.open(io.BytesIO(data)) as file:
        pcm = file.readframes(file.getnframes())
    return max(map(abs, struct.unpack(f"<{len(pcm) // 2}h", pcm)))
