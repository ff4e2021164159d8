"""Audio between a device and a session: equal chunks, sample rates, WAV files, the queue before a loudspeaker.

Knows audio formats, and of a session its events alone; it opens no device and no file.
Begin reading in ``chunking`` for the way in and in ``playback`` for the way out.
"""

from live_protocol.audio.chunking import MAX_CHUNK, MIN_CHUNK, Chunker, PreRoll
from live_protocol.audio.playback import DroppedAudio, DropReason, OverflowPolicy, PlaybackBuffer
from live_protocol.audio.resample import MissingExtra, Resampler, resample
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
    "Resampler",
    "WavReader",
    "WavSink",
    "WavSource",
    "WavWriter",
    "read_wav",
    "resample",
    "write_wav",
]
