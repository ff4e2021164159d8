"""The model's voice in plain Python: a tone for each word, and conversion of the user's rate (wire.md#audio)."""

from __future__ import annotations

import functools
import math
import re
import struct
from typing import Final

from live_protocol.emulator.options import VoiceOptions
from live_protocol.messages.audio_format import OUTPUT_RATE, AudioFormat

OUTPUT: Final = AudioFormat(OUTPUT_RATE)
"""The format of the service's speech."""

_PENTATONIC: Final = (0, 2, 4, 7, 9, 12, 14, 16)
_FADE: Final = 0.012
_MAX_LETTERS: Final = 8
_WORD: Final = re.compile(r"\S+\s*|\s+")
_PIECE: Final = 4096
_ZERO_CROSSINGS: Final = 6
"""On each side of the resampling filter; more take longer, fewer let aliases through."""


def fragments(text: str) -> list[str]:
    """Cut a text into pieces: the first has one word, each further piece has twice as many as the one before.

    A single word becomes two pieces, since the service sends every answer in several.
    """
    words = [word[at : at + _PIECE] for word in _WORD.findall(text) for at in range(0, len(word), _PIECE)]
    if len(words) == 1:
        half = (len(text) + 1) // 2
        return [piece for piece in (text[:half], text[half:]) if piece]
    pieces: list[str] = []
    piece, count, limit = "", 0, 1
    for word in words:
        if piece and (count == limit or len(piece) + len(word) > _PIECE):
            pieces.append(piece)
            piece, count, limit = "", 0, 2 * limit
        piece += word
        count += 1
    return [*pieces, piece] if piece else pieces


def speak(text: str, voice: VoiceOptions) -> bytes:
    """Return audio for a text at 24 kHz: a tone for each word, the same for the same word."""
    return b"".join(
        _tone(sum(map(ord, word)) % len(_PENTATONIC), min(len(word), _MAX_LETTERS), voice) for word in text.split()
    )


@functools.lru_cache(maxsize=256)
def _tone(step: int, letters: int, voice: VoiceOptions) -> bytes:
    count = int(voice.word * (3 + letters) / 4 * OUTPUT_RATE)
    fade = max(1, min(count // 2, int(_FADE * OUTPUT_RATE)))
    phase = 2 * math.pi * voice.pitch * 2 ** (_PENTATONIC[step] / 12) / OUTPUT_RATE  # per sample
    peak = 32_767 * min(voice.volume, 1.0)
    samples = [
        int(
            peak
            * min(1.0, at / fade, (count - at) / fade)
            * (0.8 * math.sin(phase * at) + 0.2 * math.sin(2 * phase * at))
        )
        for at in range(count)
    ]
    return struct.pack(f"<{count}h", *samples) + bytes(OUTPUT.size(voice.pause))


def convert_rate(pcm: bytes, rate: int, to: int = OUTPUT_RATE) -> bytes:
    """Change the rate of mono 16-bit PCM with a short windowed sinc.

    This is good enough for speech, fast enough for an event loop, and needs no extra, unlike
    `live_protocol.audio.Resampler`. From 16 to 24 kHz, aliases of a tone up to 5 kHz stay 40 dB below it.

    Args:
        pcm: The audio; half a sample at its end is dropped.
        rate: Its rate, in Hz.
        to: The new rate, in Hz.
    """
    count = len(pcm) // 2
    if rate == to:
        return pcm[: 2 * count]
    common = math.gcd(rate, to)
    up, down = to // common, rate // common
    bandwidth = min(1.0, to / rate)
    reach = math.ceil(_ZERO_CROSSINGS / bandwidth)
    samples = (0,) * (reach - 1) + struct.unpack(f"<{count}h", pcm[: 2 * count]) + (0,) * reach
    out = [0.0] * (count * to // rate)
    # All output samples of one phase share a kernel, so each tap is one pass over a slice.
    for phase in range(min(up, len(out))):
        start, fraction = divmod(phase * down, up)
        column = [0.5] * len(out[phase::up])  # floor() rounds then
        for tap, weight in enumerate(_kernel(fraction / up, reach, bandwidth)):
            taps = samples[start + tap :: down]
            column = [value + weight * sample for value, sample in zip(column, taps, strict=False)]
        out[phase::up] = column
    return struct.pack(f"<{len(out)}h", *(max(-32_768, min(32_767, math.floor(value))) for value in out))


def _kernel(fraction: float, reach: int, bandwidth: float) -> list[float]:
    """The weights of the ``2 * reach`` samples around an output sample, ``fraction`` after the middle one."""
    distances = [tap - reach + 1 - fraction for tap in range(2 * reach)]
    taps = [_sinc(bandwidth * at) * math.cos(math.pi * at / (2 * reach)) ** 2 for at in distances]
    total = math.fsum(taps)
    return [value / total for value in taps]


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0
