"""The queue between the model's voice and a sound device (wire.md#turn-state).

Audio arrives faster than it plays, so the queue holds seconds of it, and an interruption has to drop them at once.
Every queued piece carries the number of its generation. The buffer remembers the newest generation that was cut: audio
up to that number is stale and refused, and anything newer plays. The same numbers count how much of each generation
the device took, which tells how far the listener had come when the answer was cut.
"""

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

OverflowPolicy: TypeAlias = Literal["newest", "oldest"]
"""Which audio a full queue drops."""

_REMEMBERED: Final = 64
"""How many generations keep their position."""


class DropReason(enum.StrEnum):
    """Why audio does not play."""

    STALE = "STALE"
    """It arrived after its generation was cut."""
    INTERRUPTED = "INTERRUPTED"
    """It was in the queue when its generation was cut."""
    OVERFLOW = "OVERFLOW"
    """The queue was full."""


@final
@attrs.frozen(kw_only=True)
class DroppedAudio:
    """Audio that will not play.

    Attributes:
        reason: Why it was dropped.
        generation: Its generation; the newest one if it spans several.
        seconds: Its length.
        played: Seconds of that generation that played before, which is the listener's position in the answer.
        data: The audio in the format of the buffer; a stale chunk in its own format.
    """

    reason: DropReason
    generation: int
    seconds: float
    played: float
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")


@final
class PlaybackBuffer:
    """Plays the model's voice: feed it every event, and read as many bytes as the sound device asks for.

    It resamples chunks of another format on the way in, which needs the extra ``audio`` if the rate differs. An
    interruption empties the queue, and later chunks of the cut generation are refused, so no stale audio plays.

    It does not lock. If the device calls back from its own thread, guard `feed`, `flush` and `read` with one lock; each
    is short.

    Args:
        format: Format of the device.
        max_seconds: Longest queue, in seconds. The service sends a long answer at once.
        overflow: Which audio a full queue drops, the ``"newest"`` or the ``"oldest"``.

    Raises:
        ValueError: ``max_seconds`` is not positive and finite, or ``overflow`` is neither.

    Attributes:
        format: Format of the device.
        generation: Generation of the audio fed last; -1 before the first.
        silence: Seconds of silence that `read` has returned so far.
        underruns: How often the audio ran out in the middle of a generation.
        dropped: Seconds of audio dropped so far.
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
        """Seconds waiting to play."""
        return self.format.seconds(self._queued)

    @property
    def played(self) -> float:
        """Seconds of the current generation, or else the last one, that the device took."""
        return self.played_of(self._playing)

    def played_of(self, generation: int) -> float:
        """Seconds of a generation that the device took; 0.0 if it is not among the last 64 heard.

        The device's own buffer counts as played: subtract its latency.
        """
        return self.format.seconds(self._played.get(generation, 0))

    # --- in -----------------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> DroppedAudio | None:
        """Take in an event: audio is queued, an interruption empties the queue, other events pass by.

        Returns:
            The audio that this event caused to be dropped, or None.

        Raises:
            MissingExtra: A chunk has another rate than the device, and soxr or numpy is not installed. The event
                changed nothing.
        """
        match event:
            case AudioChunk():
                return self._chunk(event)
            case Interrupted():
                return self._flush(max(event.generation, self._cut))
            case GenerationComplete() | TurnComplete() | ConnectionClosed() | ConnectionFailed():
                return self._ended()
            case SetupComplete():
                # A new connection cannot deliver late audio of the old one. The queue goes on playing.
                self._cut = -1
                return self._ended()
            case _:
                return None

    def _chunk(self, chunk: AudioChunk) -> DroppedAudio | None:
        if chunk.stale or chunk.generation <= self._cut:
            seconds = chunk.format.seconds(len(chunk.data))
            return self._drop(DropReason.STALE, chunk.generation, seconds, chunk.data)
        resampler = self._resampler
        if chunk.format != (resampler.source if resampler is not None else self.format):
            # First, because it raises if the extra is missing.
            resampler = Resampler(chunk.format, self.format) if chunk.format != self.format else None
        late = self._ended() if chunk.generation != self.generation else None
        if chunk.generation < self.generation:
            self._renumber()
        self.generation = chunk.generation
        self._open = True
        data = chunk.data
        if resampler is not self._resampler:
            late = self._tail() or late
            self._resampler = resampler
        if self._resampler is not None:
            data = self._resampler.push(data)
        return self._enqueue(data) or late

    def _renumber(self) -> None:
        # A new session counts from 1 again, and must not inherit the positions of the old one.
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
        data = data[: len(data) - len(data) % frame]  # half a sample would shift everything behind it
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
        """Empty the queue and refuse the rest of the newest generation, when the application itself interrupts.

        Feeding an `Interrupted` event does the same.

        Returns:
            The dropped audio and the listener's position, or None if the queue was empty.
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
        """The next ``size`` bytes for the device, exactly that many: silence fills up when the queue runs out.

        Raises:
            ValueError: ``size`` is negative or not a whole number of frames; nothing was taken.
        """
        if size < 0 or size % self.format.frame_size:
            raise ValueError(f"{size!r} bytes are not a whole number of frames of {self.format.frame_size} bytes")
        pieces: list[bytes] = []
        queued = 0
        for generation, piece in self._take(size):
            pieces.append(piece)
            queued += len(piece)
            self._note(generation, len(piece))
        missing = size - queued
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
