"""Joins chunks of audio into strips with an envelope."""

from __future__ import annotations

from typing import Final, final

import attrs

from live_protocol.messages.audio_format import AudioFormat
from live_protocol.recording.timeline.spans import ENVELOPE_STEP, AudioStrip

AUDIBLE: Final = 4
"""Lowest peak of an envelope that counts as sound: 3 % of full scale, -30 dB."""

# The high byte of a sample is enough for a picture, and slicing finds it without a loop or a byte order. Ones'
# complement keeps -1, which is silence, from counting as more than 0.
_LEVELS: Final = bytes(byte if byte < 128 else 255 - byte for byte in range(256))

_JITTER: Final = 0.25  # seconds; how irregularly a microphone's chunks arrive
_ROUNDING: Final = 0.001


@attrs.define(kw_only=True)
class _Draft:
    format: AudioFormat
    start: float
    end: float
    turn: int
    stale: bool
    cut: float | None = None
    chunks: int = 0
    size: int = 0
    envelope: bytearray = attrs.field(factory=bytearray)
    rest: bytes = b""

    def add(self, data: bytes) -> int:
        """Take in samples and return the highest new peak."""
        self.chunks += 1
        self.size += len(data)
        levels = self.rest + data[1::2].translate(_LEVELS)
        step = self.format.size(ENVELOPE_STEP) // 2
        whole = len(levels) - len(levels) % step
        peaks = [max(levels[start : start + step]) for start in range(0, whole, step)]
        self.envelope += bytes(peaks)
        self.rest = levels[whole:]
        return max(peaks, default=0)

    def strip(self) -> AudioStrip:
        seconds = self.format.seconds(self.size)
        heard = seconds
        if self.stale:
            heard = 0.0
        elif self.cut is not None:
            heard = min(seconds, max(0.0, self.cut - self.start))
        rest = bytes([max(self.rest)]) if self.rest else b""
        return AudioStrip(
            start=self.start,
            end=self.end,
            seconds=seconds,
            heard=heard,
            chunks=self.chunks,
            size=self.size,
            rate=self.format.rate,
            channels=self.format.channels,
            envelope=bytes(self.envelope) + rest,
            turn=self.turn,
            stale=self.stale,
        )


@final
class Strips:
    """The audio of one direction.

    Args:
        plays: Whether audio lies where it plays, one chunk after the other, instead of where it was sent.
        spaced: Seconds for each chunk of a recording without times, where nothing plays.

    Attributes:
        cursor: Where playback runs out, if it plays.
    """

    def __init__(self, *, plays: bool, spaced: float | None = None) -> None:
        self.cursor: float = 0.0
        self._plays = plays and spaced is None
        self._spaced = spaced
        self._drafts: list[_Draft] = []
        self._playing: list[_Draft] = []  # an interruption may still cut these
        self._last = 0.0

    def add(self, now: float, data: bytes, form: AudioFormat, *, turn: int = 0, stale: bool = False) -> int:
        """Take in a chunk and return its peak."""
        if not data:
            return 0
        seconds = form.seconds(len(data))
        draft = self._drafts[-1] if self._drafts else None
        if draft is None or (draft.format, draft.turn, draft.stale) != (form, turn, stale) or self._apart(now, draft):
            # Stale audio never plays, so it lies where it came.
            start = max(now, self.cursor) if self._plays and not stale else now
            draft = _Draft(format=form, start=start, end=start, turn=turn, stale=stale)
            self._drafts.append(draft)
            if not stale:
                self._playing.append(draft)
        peak = draft.add(data)
        if self._plays:
            draft.end = draft.start + form.seconds(draft.size)
            self.cursor = self.cursor if stale else draft.end
        else:
            draft.end = now + (seconds if self._spaced is None else self._spaced)
        self._last = now
        return peak

    def cut(self, now: float) -> None:
        """The generation was cut: the rest of its audio never plays."""
        for draft in self._playing:
            if draft.end > now:
                draft.cut = now
        self._playing.clear()
        self.cursor = min(self.cursor, now)

    def strips(self) -> tuple[AudioStrip, ...]:
        """All of them, oldest first."""
        for draft, following in zip(self._drafts, self._drafts[1:], strict=False):
            if not self._plays:  # audio sent faster than real time must not reach into the next strip
                draft.end = max(draft.start, min(draft.end, following.start))
        return tuple(draft.strip() for draft in self._drafts)

    def _apart(self, now: float, draft: _Draft) -> bool:
        if self._plays:
            return draft.cut is not None or now > draft.end + _ROUNDING
        return now > max(draft.end, self._last + _JITTER) + _JITTER
