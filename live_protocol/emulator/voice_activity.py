"""Finds the beginning and the end of speech in a stream of audio, by loudness (wire.md#activity)."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import Final, TypeAlias, final

import attrs

_FRAMES: Final = 50  # a second
_DIP: Final = 0.1  # seconds of quiet allowed inside a word before it counts as speech


@final
@attrs.frozen
class SpeechStarted:
    """The user began to speak.

    Attributes:
        at: Seconds from the start of this stream.
    """

    at: float


@final
@attrs.frozen
class SpeechEnded:
    """The user stopped speaking.

    Attributes:
        at: Seconds from the start of this stream.
        pcm: The speech.
    """

    at: float
    pcm: bytes


SpeechActivity: TypeAlias = SpeechStarted | SpeechEnded


class SpeechDetector:
    """Splits a stream of mono 16-bit PCM into utterances. It counts time in samples and needs no clock.

    Args:
        rate: Sample rate, in Hz.
        silence: Silence that ends speech, in seconds.
        padding: Minimum length of speech, in seconds.
        threshold: Peak above which a frame of 20 ms is loud.
        longest: Maximum length of an utterance, in seconds.
        whole: Whether an utterance includes the silence before it.

    Attributes:
        speaking: Whether an utterance has begun but not ended.
    """

    def __init__(
        self, rate: int, *, silence: float, padding: float, threshold: int, longest: float, whole: bool = False
    ) -> None:
        self._samples = rate // _FRAMES
        self._length = self._samples / rate  # of a frame in seconds: 20 ms need not be a whole number of samples
        self._silence = max(1, round(silence * _FRAMES))
        self._padding = max(1, round(padding * _FRAMES))
        self._threshold = threshold
        self._longest = max(1, round(longest * _FRAMES))
        self._rest = b""
        self._frame = 0
        self._run: list[bytes] = []  # frames since the first loud one
        self._before: deque[bytes] = deque(maxlen=self._longest if whole else 0)
        self._quiet = 0  # quiet frames at the end of the run
        self.speaking: bool = False

    @property
    def position(self) -> float:
        """Seconds of audio so far."""
        return self._frame * self._length

    @property
    def listening(self) -> bool:
        """Whether there is audio that may become speech."""
        return bool(self._run)

    def feed(self, pcm: bytes) -> Iterator[SpeechActivity]:
        """Add audio, and yield the activity in it; exhaust the iterator."""
        size = 2 * self._samples
        data = self._rest + pcm
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        for at in range(0, whole, size):
            yield from self._add_frame(data[at : at + size])

    def _add_frame(self, frame: bytes) -> Iterator[SpeechActivity]:
        self._frame += 1
        samples = struct.unpack(f"<{self._samples}h", frame)
        loud = max(samples) > self._threshold or min(samples) < -self._threshold
        if not loud and not self._run:
            self._before.append(frame)
            return
        self._run.append(frame)
        self._quiet = 0 if loud else self._quiet + 1
        if not self.speaking:
            if loud and len(self._run) >= self._padding:
                self.speaking = True
                yield SpeechStarted((self._frame - len(self._run)) * self._length)
            elif self._quiet > _DIP * _FRAMES:
                self._before.extend(self._run)
                self._run.clear()
        elif self._quiet >= self._silence or len(self._run) >= self._longest:
            yield from self.flush()

    def flush(self) -> Iterator[SpeechActivity]:
        """End the utterance, if there is one; exhaust the iterator."""
        run, quiet, spoke = self._run, self._quiet, self.speaking
        self._run, self._quiet, self.speaking = [], 0, False
        speech = run[: len(run) - quiet]
        if spoke:
            yield SpeechEnded((self._frame - quiet) * self._length, b"".join([*self._before, *speech]))
            self._before.clear()
            self._before.extend(run[len(speech) :])
        else:
            self._before.extend(run)
