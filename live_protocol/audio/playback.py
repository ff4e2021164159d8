"""The queue between the model's voice, which comes faster than it plays, and a sound device (wire.md#turn-state)."""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from typing import Final, Literal, TypeAlias, final

import attrs

from live_protocol.audio.resample import Resampler
from live_protocol.events import (
    AudioChunk,
    ConnectionClosed,
    ConnectionFailed,
    Event,
    GenerationComplete,
    Interrupted,
    SetupComplete,
    TurnComplete,
)
from live_protocol.messages.audio_format import AudioFormat

__all__ = ["DropReason", "DroppedAudio", "OverflowPolicy", "PlaybackBuffer"]

OverflowPolicy: TypeAlias = Literal["newest", "oldest"]
"""Which audio is dropped when the queue is full."""

_REMEMBERED: Final = 64
"""Generations whose position is kept (a count)."""


class DropReason(enum.StrEnum):
    """Why audio is not played."""

    STALE = "STALE"
    """It came after its generation was cut."""
    INTERRUPTED = "INTERRUPTED"
    """It was queued when its generation was cut."""
    OVERFLOW = "OVERFLOW"
    """The queue was full."""


@final
@attrs.frozen(kw_only=True)
class DroppedAudio:
    """Audio that will not be played.

    Attributes:
        reason: Why.
        generation: Generation it belongs to; the newest, where it belongs to several.
        seconds: Its length.
        played: Seconds of that generation that were played before: where in the answer the listener is.
        data: The audio, in the format of the buffer; a stale chunk as it came.
    """

    reason: DropReason
    generation: int
    seconds: float
    played: float
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")


@final
class PlaybackBuffer:
    """Feed it every event; read from it whatever the sound device asks for.

    Chunks of another format than the device's are resampled on the way in. After an interruption the queue is dropped,
    and what still comes of the cut generation is refused, so that no stale audio plays.

    Nothing in here locks. Where the device calls back from a thread of its own, guard `feed`, `flush` and `read` with
    one lock; each is short.

    Args:
        format: What the device plays.
        max_seconds: Most audio that is queued, in seconds; the service sends a long answer at once.
        overflow: What is dropped where that is too much: the ``"newest"`` audio or the ``"oldest"``.

    Raises:
        ValueError: ``max_seconds`` is not positive and finite, or ``overflow`` is neither.

    Attributes:
        format: What the device plays.
        generation: Generation of the audio that was fed last; -1 before the first.
        silence: Seconds of silence that `read` has given so far, for whatever reason.
        underruns: How often the audio ran out in the middle of a generation (a count).
        dropped: Seconds that were dropped so far, for whatever reason.
    """

    __slots__ = (
        "_cut",
        "_limit",
        "_open",
        "_overflow",
        "_played",
        "_playing",
        "_queue",
        "_queued",
        "_resampler",
        "_starved",
        "dropped",
        "format",
        "generation",
        "silence",
        "underruns",
    )

    def __init__(
        self,
        format: AudioFormat,  # noqa: A002
        *,
        max_seconds: float = 300.0,
        overflow: OverflowPolicy = "newest",
    ) -> None:
        if not 0 < max_seconds < float("inf"):
            raise ValueError(f"max_seconds must be positive and finite, not {max_seconds!r}")
        if overflow not in ("newest", "oldest"):
            raise ValueError(f"overflow is 'newest' or 'oldest', not {overflow!r}")
        self.format: AudioFormat = format
        self.generation: int = -1
        self.silence: float = 0.0
        self.underruns: int = 0
        self.dropped: float = 0.0
        self._limit = max(format.size(max_seconds), format.frame_size)
        self._overflow = overflow
        self._queue: deque[tuple[int, bytes]] = deque()
        self._queued = 0
        self._played: OrderedDict[int, int] = OrderedDict()
        self._playing = -1
        self._cut = -1
        self._open = False
        self._starved = False
        self._resampler: Resampler | None = None

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def queued(self) -> float:
        """Seconds that wait to be played."""
        return self.format.seconds(self._queued)

    @property
    def played(self) -> float:
        """Seconds of the generation heard now, or heard last, that were given to the device."""
        return self.played_of(self._playing)

    def played_of(self, generation: int) -> float:
        """Seconds of a generation that were given to the device; 0.0 where it is none of the last 64 heard.

        What the device itself holds back is its own business; subtract its latency.
        """
        return self.format.seconds(self._played.get(generation, 0))

    # --- in -----------------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> DroppedAudio | None:
        """Take in an event: audio is queued, interruptions flush, ends of generations are noted, others pass by.

        Returns:
            What was dropped because of it.
        """
        match event:
            case AudioChunk():
                return self._chunk(event)
            case Interrupted():
                return self._flush(max(event.generation, self._cut))
            case GenerationComplete() | TurnComplete() | ConnectionClosed() | ConnectionFailed():
                return self._ended()
            case SetupComplete():
                # Another connection: nothing late can come of the former. What is queued goes on playing.
                self._cut = -1
                return self._ended()
            case _:
                return None

    def _chunk(self, chunk: AudioChunk) -> DroppedAudio | None:
        if chunk.stale or chunk.generation <= self._cut:
            seconds = chunk.format.seconds(len(chunk.data))
            return self._drop(DropReason.STALE, chunk.generation, seconds, chunk.data)
        late = self._ended() if chunk.generation != self.generation else None
        if chunk.generation < self.generation:
            self._renumber()
        self.generation = chunk.generation
        self._open = True
        data = chunk.data
        source = self._resampler.source if self._resampler is not None else self.format
        if chunk.format != source:
            late = self._tail() or late
            self._resampler = Resampler(chunk.format, self.format) if chunk.format != self.format else None
        if self._resampler is not None:
            data = self._resampler.push(data)
        return self._enqueue(data) or late

    def _renumber(self) -> None:
        # A new session counts from 1 again; positions of the former one would be mistaken for its own.
        self._queue = deque((-1, data) for _, data in self._queue)
        self._playing = -1
        self._played.clear()

    def _ended(self) -> DroppedAudio | None:
        self._open = False
        return self._tail()

    def _tail(self) -> DroppedAudio | None:
        return self._enqueue(self._resampler.flush()) if self._resampler is not None else None

    def _enqueue(self, data: bytes) -> DroppedAudio | None:
        frame = self.format.frame_size
        data = data[: len(data) - len(data) % frame]  # half a sample from the wire would shift all that follows
        surplus = self._queued + len(data) - self._limit
        lost = b""
        if surplus > 0 and self._overflow == "newest":
            data, lost = data[:-surplus], data[-surplus:]
        if data:
            self._queue.append((self.generation, data))
            self._queued += len(data)
        if surplus > 0 and self._overflow == "oldest":
            lost = b"".join(piece for _, piece in self._take(surplus))
        if not lost:
            return None
        return self._drop(DropReason.OVERFLOW, self.generation, self.format.seconds(len(lost)), lost)

    def flush(self) -> DroppedAudio | None:
        """Drop what is queued and refuse the rest of the newest generation, as on a local decision to interrupt.

        An `Interrupted` event that is fed does the same.

        Returns:
            What was dropped, and how far the listener had come; None where nothing was queued.
        """
        return self._flush(max(self.generation, self._cut))

    def _flush(self, cut: int) -> DroppedAudio | None:
        self._ended()
        self._cut = cut
        self._starved = False
        if not self._queue:
            return None
        newest = self._queue[-1][0]
        data = b"".join(piece for _, piece in self._take(self._queued))
        return self._drop(DropReason.INTERRUPTED, newest, self.format.seconds(len(data)), data)

    def _drop(self, reason: DropReason, generation: int, seconds: float, data: bytes) -> DroppedAudio:
        self.dropped += seconds
        played = self.played_of(generation)
        return DroppedAudio(reason=reason, generation=generation, seconds=seconds, played=played, data=data)

    # --- out ----------------------------------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes for the device, always exactly that many: silence where the queue is empty.

        Raises:
            ValueError: ``size`` is negative or no whole number of frames; nothing was taken.
        """
        if size < 0 or size % self.format.frame_size:
            raise ValueError(f"{size!r} bytes are no whole number of frames of {self.format.frame_size} bytes")
        pieces: list[bytes] = []
        found = 0
        for generation, piece in self._take(size):
            pieces.append(piece)
            found += len(piece)
            self._note(generation, len(piece))
        missing = size - found
        if missing:
            pieces.append(bytes(missing))
            self.silence += self.format.seconds(missing)
            if self._open and not self._starved:
                self.underruns += 1
        self._starved = missing > 0 and self._open
        return b"".join(pieces)

    def read_seconds(self, seconds: float) -> bytes:
        """Like `read`, for a length in seconds, rounded down to whole frames.

        Raises:
            ValueError: ``seconds`` is negative; nothing was taken.
        """
        return self.read(self.format.size(seconds))

    def _take(self, size: int) -> list[tuple[int, bytes]]:
        taken: list[tuple[int, bytes]] = []
        while size and self._queue:
            generation, data = self._queue.popleft()
            if len(data) > size:
                self._queue.appendleft((generation, data[size:]))
                data = data[:size]
            size -= len(data)
            self._queued -= len(data)
            taken.append((generation, data))
        return taken

    def _note(self, generation: int, size: int) -> None:
        self._playing = generation
        self._played[generation] = self._played.get(generation, 0) + size
        if len(self._played) > _REMEMBERED:
            self._played.popitem(last=False)
