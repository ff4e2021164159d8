"""Audio at the edges of a session: chunks, sample rates, WAV files, playback.

Knows audio formats and nothing of sessions or connections. Begin reading in ``playback``.
"""

from live_protocol.audio.chunking import MAX_CHUNK, MIN_CHUNK, Chunker, PreRoll
from live_protocol.audio.playback import DroppedAudio, DropReason, OverflowPolicy, PlaybackBuffer
from live_protocol.audio.resample import MissingExtra, Quality, Resampler, resample
from live_protocol.audio.wav import InvalidWav, WavReader, WavSink, WavSource, WavWriter, read_wav, write_wav

__all__ = [
    "MAX_CHUNK",
    "MIN_CHUNK",
    "Chunker",
    "DropReason",
    "DroppedAudio",
    "InvalidWav",
    "MissingExtra",
    "OverflowPolicy",
    "PlaybackBuffer",
    "PreRoll",
    "Quality",
    "Resampler",
    "WavReader",
    "WavSink",
    "WavSource",
    "WavWriter",
    "read_wav",
    "resample",
    "write_wav",
]
