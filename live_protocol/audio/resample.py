"""Sample rates and channels, converted as the audio streams (wire.md#audio).

The SoX resampler library (the ``soxr`` package) changes rates. It comes with the extra ``audio`` and loads when a
`Resampler` first needs it. Channels are mixed and doubled here, so formats of one rate need no extra.
"""

from __future__ import annotations

import importlib
import struct
from typing import Any, final

from live_protocol.audio.chunking import Bytes
from live_protocol.errors import LocalProtocolError
from live_protocol.messages.audio_format import AudioFormat


class MissingExtra(LocalProtocolError):
    """An optional dependency is needed and not installed. Nothing has changed.

    Attributes:
        extra: The extra of this distribution that installs it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency: pip install 'live-protocol[{extra}]'")
        self.extra: str = extra


@final
class _RateConverter:
    """16-bit frames from one rate to another by soxr, with an exact total.

    soxr may end a stream one frame short of the exact length, so this counts frames and pads or cuts the end.
    """

    def __init__(self, source: int, target: int, channels: int) -> None:
        try:
            self._numpy: Any = importlib.import_module("numpy")
            self._soxr: Any = importlib.import_module("soxr")
        except ImportError:
            raise MissingExtra(f"resampling from {source} to {target} Hz", "audio") from None
        self._source = source
        self._target = target
        self._channels = channels
        self._restart()

    def _restart(self) -> None:
        self._stream: Any = self._soxr.ResampleStream(
            self._source, self._target, self._channels, dtype="float32", quality="HQ"
        )
        self._frames_in = 0
        self._bytes_out = 0

    def push(self, frames: bytes) -> bytes:
        self._frames_in += len(frames) // (2 * self._channels)
        data = self._resampled(frames, last=False)
        self._bytes_out += len(data)
        return data

    def flush(self) -> bytes:
        rest = self._resampled(b"", last=True).ljust(self._bytes_due(), b"\0")
        self._restart()
        return rest

    def _resampled(self, frames: bytes, *, last: bool) -> bytes:
        np = self._numpy
        values = np.frombuffer(frames, dtype="<i2").astype("float32").reshape(-1, self._channels)
        # float32 and rounding here, because soxr adds random dither to 16-bit output.
        rounded = np.clip(np.rint(self._stream.resample_chunk(values, last=last)), -32768, 32767)
        data: bytes = rounded.astype("<i2").tobytes()[: self._bytes_due()]
        return data

    def _bytes_due(self) -> int:
        """Bytes still to come if the stream ended now."""
        frames = -(-self._frames_in * self._target // self._source)
        return 2 * self._channels * frames - self._bytes_out


@final
class Resampler:
    """Converts a stream of audio to another rate and number of channels.

    The output does not depend on how the input is cut. ``n`` frames give ``ceil(n * target.rate / source.rate)``, the
    last of them with `flush`, and the first output frame stands at the same moment as the first input frame. Stereo
    becomes mono as the mean of both channels, mono becomes stereo by doubling. Overshoot is clipped. Equal formats
    pass through unchanged.

    soxr works at its quality "HQ": frequencies up to 0.45 of the lower rate pass within 0.1 dB (7.2 kHz at 16 kHz), and
    aliases and mirrors are more than 90 dB down. It works in blocks and holds audio back meanwhile: up to about 40 ms
    between rates of 16 kHz and above, up to 75 ms down to 8 kHz and 120 ms up from it.

    Args:
        source: Format of the input.
        target: Format of the output.

    Raises:
        MissingExtra: The rates differ, and soxr or numpy is not installed.

    Attributes:
        source: Format of the input.
        target: Format of the output.
    """

    __slots__ = ("_converter", "_torn", "source", "target")

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self.source: AudioFormat = source
        self.target: AudioFormat = target
        self._torn = b""
        self._converter: _RateConverter | None = None
        if source.rate != target.rate:
            # Mixing down comes before and doubling after: both spare soxr a channel.
            self._converter = _RateConverter(source.rate, target.rate, min(source.channels, target.channels))

    def push(self, data: Bytes) -> bytes:
        """Take in any number of bytes; those of a torn frame wait for the rest of it.

        Returns:
            The output that is ready, in whole frames of ``target``. The filter holds some back until more input comes.
        """
        whole = self._torn + bytes(data)
        end = len(whole) - len(whole) % self.source.frame_size
        self._torn = whole[end:]
        frames = whole[:end]
        if self.source.channels > self.target.channels:
            frames = _mixed_down(frames)
        return self._widened(self._converter.push(frames) if self._converter is not None else frames)

    def flush(self) -> bytes:
        """The rest. The next `push` begins another stream; a torn frame is dropped."""
        self._torn = b""
        return self._widened(self._converter.flush()) if self._converter is not None else b""

    def _widened(self, frames: bytes) -> bytes:
        return _doubled(frames) if self.target.channels > self.source.channels else frames


def _mixed_down(frames: bytes) -> bytes:
    samples = struct.unpack(f"<{len(frames) // 2}h", frames)
    return struct.pack(
        f"<{len(samples) // 2}h",
        *((left + right) >> 1 for left, right in zip(samples[::2], samples[1::2], strict=True)),
    )


def _doubled(frames: bytes) -> bytes:
    stereo = bytearray(2 * len(frames))
    for byte in range(2):
        stereo[byte::4] = stereo[byte + 2 :: 4] = frames[byte::2]
    return bytes(stereo)


def resample(data: Bytes, source: AudioFormat, target: AudioFormat) -> bytes:
    """Convert a whole piece of audio; see `Resampler`.

    Raises:
        MissingExtra: The rates differ, and soxr or numpy is not installed.
    """
    resampler = Resampler(source, target)
    return resampler.push(data) + resampler.flush()
