"""The model's voice, as one stretch of PCM."""

from __future__ import annotations

from typing import Final, final

from live_protocol.audio import Resampler
from live_protocol.events import AudioChunk, Event, Interrupted
from live_protocol.messages import AudioFormat
from live_protocol.messages.audio_format import OUTPUT_RATE

__all__ = ["REPLY_FORMAT", "Reply"]

REPLY_FORMAT: Final = AudioFormat(OUTPUT_RATE)
"""The format of a reply."""


@final
class Reply:
    """The model's voice as a listener hears it, without the silence in between.

    Args:
        paced: Whether audio plays in real time. Only then does an interruption cut what was not heard.

    Attributes:
        seconds: Length of the reply.
        cuts: Number of interruptions.
    """

    def __init__(self, *, paced: bool) -> None:
        self.seconds: float = 0.0
        self.cuts: int = 0
        self._paced = paced
        self._pcm = bytearray()
        self._played_until = 0.0
        self._resampler: Resampler | None = None

    def take(self, event: Event, at: float) -> None:
        """Add the audio of an event, or cut at an interruption.

        Args:
            event: Any event.
            at: Seconds since the beginning.
        """
        if isinstance(event, AudioChunk) and not event.stale:
            if self._resampler is None or self._resampler.source != event.format:
                self.finish()
                self._resampler = Resampler(event.format, REPLY_FORMAT)
            self._pcm += self._resampler.push(event.data)
            self._played_until = max(self._played_until, at) + event.format.seconds(len(event.data))
        elif isinstance(event, Interrupted):
            self.cuts += 1
            self.finish()
            if self._paced and (unheard := REPLY_FORMAT.size(max(0.0, self._played_until - at))):
                del self._pcm[-unheard:]
            self._played_until = at
        self.seconds = REPLY_FORMAT.seconds(len(self._pcm))

    def finish(self) -> bytes:
        """The whole reply."""
        if self._resampler is not None:
            self._pcm += self._resampler.flush()
            self.seconds = REPLY_FORMAT.seconds(len(self._pcm))
        return bytes(self._pcm)
