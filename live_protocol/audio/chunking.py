"""Audio formats as they stand in MIME types, and the arithmetic of outgoing audio (wire.md#audio)."""

from __future__ import annotations

from typing import Final, TypeAlias, final

from live_protocol.messages.audio_format import AudioFormat

__all__ = ["MAX_CHUNK", "MIN_CHUNK", "Chunker", "PreRoll"]

Bytes: TypeAlias = bytes | bytearray | memoryview


MIN_CHUNK: Final = 0.02
"""Seconds; the shortest chunk that is recommended (wire.md#audio)."""


MAX_CHUNK: Final = 0.1
"""Seconds; the longest chunk that is recommended (wire.md#audio)."""


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
        seconds: Length of a chunk, 0.02 to 0.1 seconds as the service recommends (wire.md#audio).

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

    Speech is noticed some time after it began, and audio before ``activity_start`` is refused with 1007
    (wire.md#activity). So: push while outside the window; once speech is noticed send ``activity_start``, then what
    `take`
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
