"""Sample rates and channels, converted as the audio streams (wire.md#audio).

Pure Python, since ``audioop`` left the standard library with 3.13 and the service takes one rate a session.
"""

from __future__ import annotations

import importlib
import math
import operator
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias, final

from live_protocol.audio.chunking import Bytes
from live_protocol.errors import LocalProtocolError
from live_protocol.messages.audio_format import AudioFormat

__all__ = ["MissingExtra", "Quality", "Resampler", "resample"]

Quality: TypeAlias = Literal["good", "best"]
"""Plain Python, or soxr, which is an extra."""

_ZERO_CROSSINGS: Final = 24
"""Of the filter, on each side and at the lower of the two rates: 48 taps, more the further a rate goes down."""

_CUTOFF: Final = 0.457
"""Of the lower rate. The filter needs 8 % of that rate to close; it is closed at half of it."""

_BETA: Final = 6.3
"""Shape of the Kaiser window: side lobes 66 dB down."""

_ONE: Final = 1 << 16
"""The sum of every kernel: a constant passes unchanged."""

_MAX_PHASES: Final = 1024
"""Kernels kept at most; only pairs of rates with nearly no common divisor need more, and share the nearest one."""

_MAX_PRODUCTS: Final = 64
"""Up to here the long multiplication is the faster way."""

_SLOT: Final = 5
"""Bytes of one sample inside a long integer: 16 of fraction, 16 of sample, 8 for overshoot and sign."""

_MIDDLE: Final = (0x80 << 32) + _ONE // 2
"""Added to every slot: keeps it positive, and rounds it."""

_FLIP: Final = bytes(byte ^ 0x80 for byte in range(256))
"""Turns the high byte of a signed sample into that of an unsigned one, and back."""

_dot: Final[Callable[[Sequence[int], Sequence[int]], int]] = getattr(
    math, "sumprod", lambda a, b: sum(map(operator.mul, a, b))
)


class MissingExtra(LocalProtocolError):
    """An optional dependency is needed and not installed. Nothing has changed.

    Attributes:
        extra: The extra of this distribution that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency: pip install 'live-protocol[{extra}]'")
        self.extra: str = extra


class _Track(Protocol):
    """One channel on its way from rate to rate: 16-bit samples in and out."""

    def push(self, samples: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


# --- the filter -------------------------------------------------------------------------------------------------


def _bessel(x: float) -> float:
    total = term = 1.0
    count = 1
    while term > 1e-12 * total:
        term *= (x / (2 * count)) ** 2
        total += term
        count += 1
    return total


@final
class _Kernels:
    """A windowed sinc at every position an output sample can have between two input samples, in 1/65536."""

    def __init__(self, up: int, down: int) -> None:
        self.half = math.ceil(_ZERO_CROSSINGS * max(1.0, down / up))
        self.phases = min(up, _MAX_PHASES)
        self._cutoff = _CUTOFF * min(1.0, up / down)
        self._kernels: dict[int, list[int]] = {}

    def at(self, phase: int) -> list[int]:
        kernel = self._kernels.get(phase)
        if kernel is None:
            kernel = self._kernels[phase] = self._made(phase / self.phases)
        return kernel

    def _made(self, fraction: float) -> list[int]:
        shape: list[float] = []
        for index in range(2 * self.half):
            distance = fraction + self.half - 1 - index
            angle = 2 * math.pi * self._cutoff * distance
            window = _bessel(_BETA * math.sqrt(max(0.0, 1 - (distance / self.half) ** 2)))
            shape.append(window * (math.sin(angle) / angle if angle else 1.0))
        total = math.fsum(shape)
        taps = [round(_ONE * value / total) for value in shape]
        taps[taps.index(max(taps))] += _ONE - sum(taps)  # what rounding took would be heard as a hum at the phase rate
        return taps


class _Filter(Protocol):
    """Turns held samples into output; what is no longer needed it removes."""

    def take(self, held: bytearray) -> bytes: ...

    def restart(self) -> None: ...


@final
class _ByBlocks:
    """The filter as a few multiplications of long integers, for ratios of small numbers such as 2:3.

    A long integer with one sample in each 40 bits times one with a kernel value in each 40 bits has their convolution
    in each 40 bits, and the interpreter multiplies long integers in C. ``down`` input samples give ``up`` output
    samples; each of these is a sum over ``down`` interleaved sequences.
    """

    def __init__(self, kernels: _Kernels, up: int, down: int) -> None:
        self._up = up
        self._down = down
        self._span = -(-(2 * kernels.half + down - 1) // down)
        self._factors = [
            [self._factor(kernels.at(phase * down % up), phase * down // up, sequence) for sequence in range(down)]
            for phase in range(up)
        ]

    def _factor(self, kernel: Sequence[int], offset: int, sequence: int) -> int:
        places = (self._down * step + sequence - offset for step in range(self._span))
        factor = 0
        for place in places:  # the first value ends up highest: a product is a convolution, which reverses
            factor = (factor << 8 * _SLOT) + (kernel[place] if 0 <= place < len(kernel) else 0)
        return factor

    def restart(self) -> None:
        pass

    def take(self, held: bytearray) -> bytes:
        pieces: list[bytes] = []
        while (blocks := min(len(held) // (2 * self._down) - self._span + 1, 4096)) > 0:
            pieces.append(self._blocks(held, blocks))
            del held[: 2 * self._down * blocks]
        return b"".join(pieces)

    def _blocks(self, held: bytearray, blocks: int) -> bytes:
        up, down, span = self._up, self._down, self._span
        length = blocks + span - 1
        sequences: list[int] = []
        for sequence in range(down):
            slots = bytearray(_SLOT * length)
            end = 2 * down * length
            slots[0::_SLOT] = held[2 * sequence : end : 2 * down]
            slots[1::_SLOT] = held[2 * sequence + 1 : end : 2 * down].translate(_FLIP)
            sequences.append(int.from_bytes(slots, "little"))
        count = length + span
        middle = int.from_bytes(_MIDDLE.to_bytes(_SLOT, "little") * count, "little")
        samples = bytearray(2 * up * blocks)
        first = _SLOT * (span - 1)
        for phase, factors in enumerate(self._factors):
            total = sum(map(operator.mul, sequences, factors), middle)
            slots = bytearray(total.to_bytes(_SLOT * count, "little")[first : first + _SLOT * blocks])
            if slots[4::_SLOT].count(0x80) < blocks:
                _clip(slots)
            samples[2 * phase :: 2 * up] = slots[2::_SLOT]
            samples[2 * phase + 1 :: 2 * up] = slots[3::_SLOT].translate(_FLIP)
        return bytes(samples)


def _clip(slots: bytearray) -> None:
    for index, top in enumerate(slots[4::_SLOT]):
        if top != 0x80:
            at = _SLOT * index + 2
            slots[at : at + 2] = b"\xff\xff" if top > 0x80 else b"\0\0"


@final
class _BySample:
    """The filter as one scalar product for each output sample, for any ratio; the same numbers as `_ByBlocks`."""

    def __init__(self, kernels: _Kernels, up: int, down: int) -> None:
        self._kernels = kernels
        self._up = up
        self._down = down
        self.restart()

    def restart(self) -> None:
        self._start = 0  # in what is held: the first tap of the next output sample
        self._phase = 0  # of it, in 1/_up input samples

    def take(self, held: bytearray) -> bytes:
        kernels, up, down = self._kernels, self._up, self._down
        start, phase, taps = self._start, self._phase, 2 * kernels.half
        samples = struct.unpack(f"<{len(held) // 2}h", held)
        out: list[int] = []
        while start + taps <= len(samples):
            kernel = kernels.at(phase if kernels.phases == up else (phase * kernels.phases + up // 2) // up)
            out.append(_dot(kernel, samples[start : start + taps]))
            phase += down
            start += phase // up
            phase %= up
        spent = min(start, len(samples))
        del held[: 2 * spent]
        self._start, self._phase = start - spent, phase
        clipped = [max(-32768, min(32767, (value + _ONE // 2) >> 16)) for value in out]
        return struct.pack(f"<{len(clipped)}h", *clipped)


# --- tracks -----------------------------------------------------------------------------------------------------


@final
class _Through:
    """Equal rates: nothing to filter."""

    def push(self, samples: bytes) -> bytes:
        return samples

    def flush(self) -> bytes:
        return b""


class _Counted:
    """Keeps the books: how many samples are due for those taken."""

    def __init__(self, up: int, down: int) -> None:
        self._up = up
        self._down = down
        self._taken = 0
        self._given = 0

    def _due(self) -> int:
        """Bytes still to be given, were this the end."""
        return 2 * (-(-self._taken * self._up // self._down) - self._given)


@final
class _Sinc(_Counted):
    """A channel through a filter. Output sample k stands at k * down / up input samples, without delay."""

    def __init__(self, kernels: _Kernels, up: int, down: int) -> None:
        super().__init__(up, down)
        self._half = kernels.half
        self._filter: _Filter = (_ByBlocks if up * down <= _MAX_PRODUCTS else _BySample)(kernels, up, down)
        self._held = bytearray(2 * (self._half - 1))

    def push(self, samples: bytes) -> bytes:
        self._held += samples
        self._taken += len(samples) // 2
        out = self._filter.take(self._held)
        self._given += len(out) // 2
        return out

    def flush(self) -> bytes:
        self._held += bytes(2 * (2 * self._half + 4 * self._down))  # more than any filter waits for
        rest = self._filter.take(self._held)[: self._due()]
        self._filter.restart()
        self._held = bytearray(2 * (self._half - 1))
        self._taken = self._given = 0
        return rest


@final
class _Soxr(_Counted):
    """A channel through the SoX resampler library, whose total is made exact at the end."""

    def __init__(self, up: int, down: int) -> None:
        super().__init__(up, down)
        try:
            self._numpy: Any = importlib.import_module("numpy")
            self._soxr: Any = importlib.import_module("soxr")
        except ImportError:
            missing = True
        else:
            missing = False
        if missing:
            raise MissingExtra('quality="best"', "audio")
        self._stream: Any = self._made()

    def _made(self) -> Any:
        return self._soxr.ResampleStream(self._down, self._up, 1, dtype="float32", quality="HQ")

    def _resampled(self, samples: bytes, *, last: bool) -> bytes:
        np = self._numpy
        values = np.frombuffer(samples, dtype="<i2").astype("float32")
        out = np.clip(np.rint(self._stream.resample_chunk(values, last=last)), -32768, 32767)
        data: bytes = out.astype("<i2").tobytes()[: self._due()]
        return data

    def push(self, samples: bytes) -> bytes:
        self._taken += len(samples) // 2
        data = self._resampled(samples, last=False)
        self._given += len(data) // 2
        return data

    def flush(self) -> bytes:
        rest = self._resampled(b"", last=True).ljust(self._due(), b"\0")
        self._stream = self._made()
        self._taken = self._given = 0
        return rest


# --- the public surface -----------------------------------------------------------------------------------------


@final
class Resampler:
    """Converts a stream of audio to another rate and number of channels.

    However the input is cut, the output is the same. From ``n`` frames come ``ceil(n * target.rate / source.rate)``,
    the last of them with `flush`; the first output frame stands at the same moment as the first input frame. Stereo
    becomes mono as the mean of both channels, mono becomes stereo by doubling. Overshoot is clipped.

    What quality means, with f the lower of the two rates: frequencies up to 0.41 f pass within 0.1 dB (6.6 kHz at
    16 kHz), everything that would alias or mirror is at least 60 dB down. Pairs of rates that need more than 1,024
    kernels (none of the usual ones) share them, with a noise floor of about -55 dB at the top of the band.

    Args:
        source: What is pushed.
        target: What comes out.
        quality: ``"good"`` is pure Python; ``"best"`` needs the extra ``audio`` (soxr, with numpy).

    Raises:
        MissingExtra: ``quality="best"`` and soxr or numpy is not installed.

    Attributes:
        source: What is pushed.
        target: What comes out.
    """

    __slots__ = ("_torn", "_tracks", "source", "target")

    def __init__(self, source: AudioFormat, target: AudioFormat, *, quality: Quality = "good") -> None:
        self.source: AudioFormat = source
        self.target: AudioFormat = target
        self._torn = b""
        self._tracks: list[_Track] = self._made(quality)

    def _made(self, quality: Quality) -> list[_Track]:
        # Mixing down comes first and doubling last: both spare a channel's filtering.
        count = min(self.source.channels, self.target.channels)
        if self.source.rate == self.target.rate:
            return [_Through() for _ in range(count)]
        common = math.gcd(self.source.rate, self.target.rate)
        up, down = self.target.rate // common, self.source.rate // common
        if quality == "best":
            return [_Soxr(up, down) for _ in range(count)]
        kernels = _Kernels(up, down)
        return [_Sinc(kernels, up, down) for _ in range(count)]

    def push(self, data: Bytes) -> bytes:
        """Take in any number of bytes; those of a torn frame wait for the rest of it.

        Returns:
            What is ready, in whole frames of ``target``; some is held back until the filter has seen what follows.
        """
        whole = self._torn + bytes(data)
        end = len(whole) - len(whole) % self.source.frame_size
        self._torn = whole[end:]
        channels = _split(whole[:end], self.source.channels, len(self._tracks))
        return self._joined([track.push(samples) for track, samples in zip(self._tracks, channels, strict=True)])

    def flush(self) -> bytes:
        """The rest. The next `push` begins another stream; a torn frame is dropped."""
        self._torn = b""
        return self._joined([track.flush() for track in self._tracks])

    def _joined(self, channels: list[bytes]) -> bytes:
        count = self.target.channels
        if count == 1:
            return channels[0]
        left, right = channels[0], channels[-1]
        frames = bytearray(2 * len(left))
        for index, samples in enumerate((left, right)):
            frames[2 * index :: 4] = samples[0::2]
            frames[2 * index + 1 :: 4] = samples[1::2]
        return bytes(frames)


def _split(frames: bytes, channels: int, wanted: int) -> list[bytes]:
    if channels == 1:
        return [frames]
    samples = struct.unpack(f"<{len(frames) // 2}h", frames)
    pair = [samples[0::2], samples[1::2]]
    if wanted == 1:
        pair = [tuple((left + right) >> 1 for left, right in zip(*pair, strict=True))]
    return [struct.pack(f"<{len(channel)}h", *channel) for channel in pair]


def resample(data: Bytes, source: AudioFormat, target: AudioFormat, *, quality: Quality = "good") -> bytes:
    """Convert a whole piece of audio; see `Resampler`.

    Raises:
        MissingExtra: ``quality="best"`` and soxr or numpy is not installed.
    """
    resampler = Resampler(source, target, quality=quality)
    return resampler.push(data) + resampler.flush()
