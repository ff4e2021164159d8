"""The format of a chunk of audio, which is its MIME type."""

from __future__ import annotations

import re
from typing import Final, final

import attrs

__all__ = ["INPUT_RATE", "OUTPUT_RATE", "AudioFormat"]

INPUT_RATE: Final = 16_000
"""Rate of a bare ``audio/pcm`` from the client, in Hz."""
OUTPUT_RATE: Final = 24_000
"""Rate of the service's audio, and of a bare ``audio/pcm`` from Vertex, in Hz."""
MIN_RATE: Final = 4_000
MAX_RATE: Final = 192_000
_PCM = re.compile(r"\s*audio/pcm\s*(;.*)?", re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(r"\s*(rate|channels)\s*=(.*)", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"\s*(\"?)([0-9]{1,9})\1\s*")


def _bounded_rate(_: object, __: object, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not MIN_RATE <= value <= MAX_RATE:
        raise ValueError(f"an audio rate is {MIN_RATE} to {MAX_RATE} Hz, not {value!r}")


def _bounded_channels(_: object, __: object, value: int) -> None:
    if value not in (1, 2):
        raise ValueError(f"PCM has 1 or 2 channels, not {value!r}")


@final
@attrs.frozen
class AudioFormat:
    """Raw PCM: 16-bit signed little-endian samples, interleaved.

    Attributes:
        rate: Frames per second, in Hz; 4,000 to 192,000.
        channels: 1, or 2 for music.
    """

    rate: int = attrs.field(validator=_bounded_rate)
    channels: int = attrs.field(default=1, validator=_bounded_channels)

    @property
    def mime_type(self) -> str:
        """The MIME type that declares this format."""
        suffix = "" if self.channels == 1 else f";channels={self.channels}"
        return f"audio/pcm;rate={self.rate}{suffix}"

    @property
    def frame_size(self) -> int:
        """Bytes of one frame: one sample of each channel."""
        return 2 * self.channels

    def seconds(self, size: int) -> float:
        """Duration of ``size`` bytes, in seconds."""
        return size / (self.rate * self.frame_size)

    def size(self, seconds: float) -> int:
        """Bytes of ``seconds`` of audio, rounded down to whole frames."""
        # Adds a millionth of a frame, since floats round down: 0.29 s at 100 Hz are 29 frames, not 28.
        return int(seconds * self.rate + 1e-6) * self.frame_size

    def silence(self, seconds: float) -> bytes:
        """``seconds`` of silence, rounded down to whole frames; empty if negative."""
        return bytes(max(0, self.size(seconds)))

    @classmethod
    def parse(cls, mime_type: str, *, default_rate: int | None = None) -> AudioFormat | None:
        """Parse a MIME type from the wire, in any case and spacing; unknown parameters are ignored.

        Args:
            mime_type: The MIME type.
            default_rate: Rate if it has none, in Hz.

        Returns:
            The format. None if it is not PCM, has no rate and no default, or has a rate or a number of channels that is
            malformed or out of bounds.
        """
        match = _PCM.fullmatch(mime_type)
        if match is None:
            return None
        rate, channels = default_rate, 1
        for parameter in (match[1] or "").split(";"):
            if (pair := _PARAMETER.fullmatch(parameter)) is None:
                continue
            number = _NUMBER.fullmatch(pair[2])
            if number is None:
                return None  # at the default rate it would play at the wrong speed
            if pair[1].lower() == "rate":
                rate = int(number[2])
            else:
                channels = int(number[2])
        if rate is None:
            return None
        try:
            return cls(rate, channels)
        except ValueError:
            return None
