"""Outgoing audio: equal chunks, and the moments before speech was noticed (wire.md#media-formats)."""

from __future__ import annotations

from typing import Final, TypeAlias, final

from live_protocol.messages.audio_format import AudioFormat

Bytes: TypeAlias = bytes | bytearray | memoryview


MIN_CHUNK: Final = 0.02
"""Shortest recommended chunk, in seconds (wire.md#media-formats)."""


MAX_CHUNK: Final = 0.1
"""Longest recommended chunk, in seconds (wire.md#media-formats)."""


def _bounded_length(seconds: float, least: float, greatest: float, what: str) -> float:
    if not least <= seconds <= greatest:  # also false for NaN
        raise ValueError(f"{what} is {least:g} to {greatest:g} seconds long, not {seconds!r}")
    return seconds


@final
class Chunker:
    """Cuts a stream of audio into equal chunks for ``send_realtime_input``.

    It holds less than one chunk. Bytes of a torn frame wait for the rest of it, so a read of odd size never shifts the
    samples by a byte.

    Args:
        format: Format of the stream.
        seconds: Length of a chunk, 0.02 to 0.1 seconds as the service recommends (wire.md#audio).

    Raises:
        ValueError: ``seconds`` is out of bounds.

    Attributes:
        format: Format of the stream.
        size: Bytes in one chunk; whole frames.
    """

    __slots__ = ("_held", "format", "size")

    def __init__(self, format: AudioFormat, seconds: float = 0.04) -> None:  # noqa: A002
        self.format: AudioFormat = format
        self.size: int = format.size(_bounded_length(seconds, MIN_CHUNK, MAX_CHUNK, "a chunk"))
        self._held = bytearray()

    @property
    def pending(self) -> int:
        """Bytes waiting for the next `push` or `flush`."""
        return len(self._held)

    def push(self, data: Bytes) -> list[bytes]:
        """Take in any number of bytes.

        Returns:
            The completed chunks, oldest first, ``size`` bytes each.
        """
        held = self._held
        held += data
        end = len(held) - len(held) % self.size
        chunks = [bytes(held[start : start + self.size]) for start in range(0, end, self.size)]
        del held[:end]
        return chunks

    def flush(self, *, pad: bool = False) -> bytes:
        """Take the rest, for example before ``activity_end`` or ``audio_stream_end``.

        Args:
            pad: Fill the chunk up to ``size`` with silence, and complete a torn frame with zeros. Without it the bytes
                of a torn frame stay, and the next `push` completes them.

        Returns:
            Whole frames, less than a chunk unless padded; empty if nothing is left.
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
        """Drop the held bytes, for example before another source, and return their number."""
        dropped = len(self._held)
        self._held.clear()
        return dropped


@final
class PreRoll:
    """Keeps the newest audio of a microphone while no activity window is open.

    A detector notices speech some time after it began, and the service refuses audio before ``activity_start`` with
    1007 (wire.md#activity). Push while outside the window. On speech send ``activity_start``, then the audio from
    `take`, then the live audio.

    Args:
        format: Format of the audio.
        seconds: How much to keep, up to 60 seconds.

    Raises:
        ValueError: ``seconds`` is negative or above 60.

    Attributes:
        format: Format of the audio.
        size: Most bytes kept; whole frames.
    """

    __slots__ = ("_held", "format", "size")

    def __init__(self, format: AudioFormat, seconds: float = 0.3) -> None:  # noqa: A002
        self.format: AudioFormat = format
        self.size: int = format.size(_bounded_length(seconds, 0.0, 60.0, "a pre-roll"))
        self._held = bytearray()

    @property
    def seconds(self) -> float:
        """Length of the audio that `take` would return, in seconds."""
        return self.format.seconds(len(self._held) - len(self._held) % self.format.frame_size)

    def push(self, data: Bytes) -> None:
        """Take in any number of bytes, and drop the oldest frames beyond ``size``."""
        held = self._held
        held += data
        frame = self.format.frame_size
        surplus = len(held) - len(held) % frame - self.size
        if surplus > 0:
            del held[:surplus]

    def take(self) -> bytes:
        """Remove and return the kept audio in whole frames; the bytes of a torn frame stay."""
        end = len(self._held) - len(self._held) % self.format.frame_size
        taken = bytes(self._held[:end])
        del self._held[:end]
        return taken

    def clear(self) -> None:
        """Drop everything, for example before another source."""
        self._held.clear()
