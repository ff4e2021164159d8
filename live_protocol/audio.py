"""Audio formats as they stand in MIME types, and the arithmetic of outgoing audio (wire.md sections 6 and 12)."""

from __future__ import annotations

import re
from typing import Final, TypeAlias, final

import attrs

__all__ = ["INPUT_RATE", "MAX_CHUNK", "MIN_CHUNK", "OUTPUT_RATE", "AudioFormat", "Chunker", "PreRoll"]

Bytes: TypeAlias = bytes | bytearray | memoryview

INPUT_RATE: Final = 16_000
"""Hz; what a bare ``audio/pcm`` means from the client."""

OUTPUT_RATE: Final = 24_000
"""Hz; what the service speaks, and what a bare ``audio/pcm`` means from Vertex."""

MIN_CHUNK: Final = 0.02
"""Seconds; the shortest chunk that is recommended (wire.md section 12)."""
MAX_CHUNK: Final = 0.1
"""Seconds; the longest chunk that is recommended (wire.md section 12)."""

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
        """Bytes of one frame, that is one sample of every channel."""
        return 2 * self.channels

    def seconds(self, size: int) -> float:
        """How long ``size`` bytes play, in seconds."""
        return size / (self.rate * self.frame_size)

    def size(self, seconds: float) -> int:
        """Bytes of ``seconds`` of audio, rounded down to whole frames."""
        # A millionth of a frame makes up for binary fractions: 0.29 s at 100 Hz are 29 frames, not 28.
        return int(seconds * self.rate + 1e-6) * self.frame_size

    def silence(self, seconds: float) -> bytes:
        """``seconds`` of silence, rounded down to whole frames; nothing where that is negative."""
        return bytes(max(0, self.size(seconds)))

    @classmethod
    def parse(cls, mime_type: str, *, default_rate: int | None = None) -> AudioFormat | None:
        """Read a MIME type as it came from the wire: any case, any spacing, unknown parameters ignored.

        Returns:
            The format, or None where it is not PCM, has no rate and no ``default_rate`` is given, or states a rate
            or channel count that is no whole number or outside the bounds.
        """
        match = _PCM.fullmatch(mime_type)
        if match is None:
            return None
        rate, channels = default_rate, 1
        for parameter in (match[1] or "").split(";"):
            if (found := _PARAMETER.fullmatch(parameter)) is None:
                continue
            number = _NUMBER.fullmatch(found[2])
            if number is None:
                return None  # taken for the default it would play at a wrong speed
            if found[1].lower() == "rate":
                rate = int(number[2])
            else:
                channels = int(number[2])
        if rate is None:
            return None
        try:
            return cls(rate, channels)
        except ValueError:
            return None


def _bounded_length(seconds: float, least: float, greatest: float, what: str) -> float:
    if not least <= seconds <= greatest:  # also false for NaN
        raise ValueError(f"{what} is {least:g} to {greatest:g} seconds, not {seconds!r}")
    return seconds


@final
class Chunker:
    """Cuts a stream of audio, however it comes, into equal chunks for ``send_realtime_input``.

    Holds less than one chunk. Bytes of a torn frame wait for the rest of it, so an odd-sized read never shifts the
    samples by a byte.

    Args:
        format: What is pushed.
        seconds: Length of a chunk, 0.02 to 0.1 seconds as the service recommends (wire.md section 12).

    Raises:
        ValueError: ``seconds`` is out of these bounds.

    Attributes:
        format: What is pushed.
        size: Bytes of one chunk; whole frames.
    """

    __slots__ = ("_held", "format", "size")

    def __init__(self, format: AudioFormat, seconds: float = 0.04) -> None:  # noqa: A002
        self.format: AudioFormat = format
        self.size: int = format.size(_bounded_length(seconds, MIN_CHUNK, MAX_CHUNK, "a chunk"))
        self._held = bytearray()

    @property
    def pending(self) -> int:
        """Bytes that wait for the next `push` or `flush`."""
        return len(self._held)

    def push(self, data: Bytes) -> list[bytes]:
        """Take in any number of bytes.

        Returns:
            The chunks they complete, oldest first, each ``size`` bytes.
        """
        held = self._held
        held += data
        end = len(held) - len(held) % self.size
        chunks = [bytes(held[start : start + self.size]) for start in range(0, end, self.size)]
        del held[:end]
        return chunks

    def flush(self, *, pad: bool = False) -> bytes:
        """Give out the rest, as before ``activity_end`` or ``audio_stream_end``.

        Args:
            pad: Fill the chunk up to ``size`` with silence; a torn frame is completed with zeros too. Without it the
                bytes of a torn frame stay, as what is pushed next completes it.

        Returns:
            Whole frames, shorter than a chunk unless padded; empty where nothing is left.
        """
        held = self._held
        if pad:
            rest = bytes(held).ljust(self.size, b"\0") if held else b""
            held.clear()
            return rest
        end = len(held) - len(held) % self.format.frame_size
        rest = bytes(held[:end])
        del held[:end]
        return rest

    def reset(self) -> int:
        """Forget what is held, as before another source; gives the number of bytes dropped."""
        dropped = len(self._held)
        self._held.clear()
        return dropped


@final
class PreRoll:
    """Keeps the newest audio of a microphone while no activity window is open.

    Speech is noticed some time after it began, and audio before ``activity_start`` is refused with 1007 (wire.md
    section 6). So: push while outside the window; once speech is noticed send ``activity_start``, then what `take`
    gives, then the live audio.

    Args:
        format: What is pushed.
        seconds: How much is kept, up to 60 seconds.

    Raises:
        ValueError: ``seconds`` is negative or above 60.

    Attributes:
        format: What is pushed.
        size: Most bytes kept; whole frames.
    """

    __slots__ = ("_held", "format", "size")

    def __init__(self, format: AudioFormat, seconds: float = 0.3) -> None:  # noqa: A002
        self.format: AudioFormat = format
        self.size: int = format.size(_bounded_length(seconds, 0.0, 60.0, "a pre-roll"))
        self._held = bytearray()

    @property
    def seconds(self) -> float:
        """How much `take` would give, in seconds."""
        return self.format.seconds(len(self._held) - len(self._held) % self.format.frame_size)

    def push(self, data: Bytes) -> None:
        """Take in any number of bytes; the oldest frames beyond ``size`` are forgotten."""
        held = self._held
        held += data
        frame = self.format.frame_size
        surplus = len(held) - len(held) % frame - self.size
        if surplus > 0:
            del held[:surplus]

    def take(self) -> bytes:
        """What is kept, oldest first, in whole frames; only the bytes of a torn frame stay."""
        end = len(self._held) - len(self._held) % self.format.frame_size
        taken = bytes(self._held[:end])
        del self._held[:end]
        return taken

    def clear(self) -> None:
        """Forget everything, as before another source."""
        self._held.clear()
