"""WAV files in and out over file-like objects.

This module parses the two chunks that matter, because the standard library's ``wave`` reads neither float samples nor
the headers that recorders write to pipes, and no extensible headers before Python 3.12.
"""

from __future__ import annotations

import struct
from types import TracebackType
from typing import Final, Protocol, Self, final

from live_protocol.audio.chunking import Bytes
from live_protocol.errors import LocalProtocolError
from live_protocol.messages.audio_format import AudioFormat

_PCM: Final = 1
_FLOAT: Final = 3
_EXTENSIBLE: Final = 0xFFFE
_NAMES: Final = {2: "Microsoft ADPCM", 6: "A-law", 7: "mu-law", 17: "IMA ADPCM", 49: "GSM 6.10", 85: "MP3"}
_UNTOLD: Final = 0xFFFFFFFF
"""Size that recorders write before they know it."""

_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_BLOCK: Final = 64 * 1024


class WavSource(Protocol):
    """The part of a blocking binary file that reading needs."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        ...


class WavSink(Protocol):
    """The part of a binary file that writing needs. ``seekable``, ``tell`` and ``seek`` are used if it has them."""

    def write(self, data: bytes, /) -> object:
        """Take all of ``data``."""
        ...


class InvalidWav(LocalProtocolError):
    """The source is not a readable WAV file. How much of it was read is undefined.

    Attributes:
        why: The fault, and what to do about it.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"invalid WAV: {why}")
        self.why: str = why


def _exactly(source: WavSource, size: int) -> bytes:
    # A pipe may return fewer bytes than asked; only an empty read means the end.
    pieces: list[bytes] = []
    while size > 0 and (piece := source.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _skip(source: WavSource, size: int) -> None:
    while size > 0 and (piece := _exactly(source, min(size, _BLOCK))):
        size -= len(piece)


def _from_8(data: bytes) -> bytes:
    # Unsigned with silence at 128: flipped, it is the high byte of a 16-bit sample.
    out = bytearray(2 * len(data))
    out[1::2] = bytes(byte ^ 0x80 for byte in data)
    return bytes(out)


def _from_wide(data: bytes, width: int) -> bytes:
    # Little-endian: the two highest bytes are the last two.
    out = bytearray(2 * (len(data) // width))
    out[0::2] = data[width - 2 :: width]
    out[1::2] = data[width - 1 :: width]
    return bytes(out)


def _from_float(data: bytes, width: int) -> bytes:
    values = struct.unpack(f"<{len(data) // width}{'f' if width == 4 else 'd'}", data)
    # Comparisons with NaN are false, so it becomes silence; infinities are clipped.
    samples = [
        32767 if value >= 1 else -32768 if value <= -1 else min(32767, round(value * 32768)) if value == value else 0  # noqa: PLR0124
        for value in values
    ]
    return struct.pack(f"<{len(samples)}h", *samples)


@final
class WavReader:
    """Reads a WAV file from its start, piece by piece, as 16-bit samples.

    It understands PCM of up to 32 bits and float samples of 32 and 64 bits, mono and stereo. Wider integers lose their
    low bits, floats are clipped to -1..1. Unknown chunks are skipped. A data size of 0 or 0xFFFFFFFF, or one beyond the
    end of the file, means "up to the end": a recorder that could not seek back leaves such sizes.

    Args:
        source: Blocking binary file, at its first byte. It is neither rewound nor closed.

    Raises:
        InvalidWav: The source is not a WAV file, or has another encoding. Errors of ``source`` pass through.

    Attributes:
        format: Format of the audio that `read` returns.
    """

    __slots__ = ("_float", "_left", "_source", "_width", "format")

    def __init__(self, source: WavSource) -> None:
        self._source = source
        self.format: AudioFormat
        self._float: bool
        self._width: int
        self._left: int = self._find_data()

    def _find_data(self) -> int:
        head = _exactly(self._source, 12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            raise InvalidWav("it does not begin with a RIFF header of type WAVE")
        whole = int.from_bytes(head[4:8], "little")
        position, described = 12, False
        while True:
            head = _exactly(self._source, 8)
            if len(head) < 8:
                raise InvalidWav("the file ends before its data chunk")
            kind, size = head[:4], int.from_bytes(head[4:], "little")
            position += 8
            if kind == b"data":
                break
            padded = size + size % 2
            if kind == b"fmt ":
                if size > _BLOCK:
                    raise InvalidWav(f"the fmt chunk claims {size} bytes")
                self._describe(_exactly(self._source, padded))
                described = True
            else:
                _skip(self._source, padded)
            position += padded
        if not described:
            raise InvalidWav("there is no fmt chunk before the data")
        # A size of 0 means an empty file only if the header counts further chunks. Otherwise it was never filled in.
        more_follows = position - 8 < whole < _UNTOLD
        return _UNTOLD if size == 0 and not more_follows else size

    def _describe(self, chunk: bytes) -> None:
        if len(chunk) < 16:
            raise InvalidWav("the fmt chunk is cut")
        code, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", chunk)
        if code == _EXTENSIBLE and len(chunk) >= 26:
            code = int.from_bytes(chunk[24:26], "little")
        if code not in (_PCM, _FLOAT):
            name = _NAMES.get(code, f"format {code:#06x}")
            raise InvalidWav(f"the samples are {name}, not PCM or float; convert the file to 16-bit PCM first")
        # A sample may take up more bytes than its bits need; then its bits are the highest.
        width = align // channels if code == _PCM and channels and not align % channels else bits // 8
        width = width if (bits + 7) // 8 <= width <= 4 else bits // 8
        if width not in ((1, 2, 3, 4) if code == _PCM else (4, 8)) or not 8 <= bits <= 8 * width:
            raise InvalidWav(f"{bits}-bit {'PCM' if code == _PCM else 'float'} samples; convert the file to 16-bit PCM")
        try:
            self.format = AudioFormat(rate, channels)
        except ValueError as error:
            why = str(error)
        else:
            self._float = code == _FLOAT
            self._width = width
            return
        raise InvalidWav(why)

    def read(self, frames: int) -> bytes:
        """Return the next ``frames`` frames as 16-bit samples; fewer at the end, then none.

        A torn frame at the end of a cut file is dropped. Errors of the source pass through.

        Raises:
            ValueError: ``frames`` is less than 1.
        """
        if frames < 1:
            raise ValueError(f"frames must be at least 1, not {frames!r}")
        wide = self._width * self.format.channels
        unlimited = self._left == _UNTOLD
        data = _exactly(self._source, frames * wide if unlimited else min(frames * wide, self._left))
        if not unlimited:
            self._left -= len(data)
        data = data[: len(data) - len(data) % wide]
        if self._float:
            return _from_float(data, self._width)
        if self._width == 2:
            return data
        return _from_8(data) if self._width == 1 else _from_wide(data, self._width)


def read_wav(source: WavSource, *, max_seconds: float = 3600.0) -> tuple[AudioFormat, bytes]:
    """Read a whole WAV file as 16-bit samples; see `WavReader`.

    Args:
        source: Blocking binary file, at the first byte.
        max_seconds: Most audio to take into memory, in seconds.

    Raises:
        InvalidWav: As for `WavReader`, or the file is longer than ``max_seconds``.
    """
    reader = WavReader(source)
    limit = reader.format.size(max_seconds)
    pieces: list[bytes] = []
    size = 0
    while piece := reader.read(_BLOCK):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise InvalidWav(f"it holds more than {max_seconds:g} seconds; pass max_seconds, or use WavReader")
    return reader.format, b"".join(pieces)


@final
class WavWriter:
    """Writes a WAV file of 16-bit PCM piece by piece.

    Until `close` the header says "up to the end of the file". It keeps saying so if the sink cannot seek, and most
    programs read such files without complaint.

    Args:
        sink: Binary file; the caller closes it. Its errors pass through.
        format: Format of the audio.

    Attributes:
        format: Format of the audio.
        size: Bytes of samples written so far.
    """

    __slots__ = ("_closed", "_sink", "_start", "_torn", "format", "size")

    def __init__(self, sink: WavSink, format: AudioFormat) -> None:  # noqa: A002
        self._sink = sink
        self.format: AudioFormat = format
        self.size: int = 0
        self._torn = b""
        self._closed = False
        seekable = getattr(sink, "seekable", None)
        self._start: int | None = sink.tell() if seekable is not None and seekable() else None  # type: ignore[attr-defined]
        sink.write(self._header(_UNTOLD))

    def _header(self, size: int) -> bytes:
        audio = self.format
        whole = min(36 + size + size % 2, _UNTOLD)
        per_second = audio.rate * audio.frame_size
        return _HEADER.pack(
            b"RIFF", whole, b"WAVE", b"fmt ", 16, _PCM, audio.channels, audio.rate, per_second, audio.frame_size, 16,
            b"data", min(size, _UNTOLD),
        )  # fmt: skip

    def write(self, data: Bytes) -> None:
        """Write any number of bytes; those of a torn frame wait for the rest of it.

        Raises:
            ValueError: The writer is closed; nothing was written.
        """
        if self._closed:
            raise ValueError("this WavWriter is closed")
        whole = self._torn + bytes(data)
        end = len(whole) - len(whole) % self.format.frame_size
        self._torn = whole[end:]
        self._sink.write(whole[:end])
        self.size += end

    def close(self) -> None:
        """Fill in the sizes if the sink can seek, and leave it at its end. A torn frame is dropped.

        Further calls do nothing.
        """
        if self._closed:
            return
        self._closed = True
        if self._start is not None:
            sink = self._sink
            sink.seek(self._start)  # type: ignore[attr-defined]
            sink.write(self._header(self.size))
            sink.seek(0, 2)  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def write_wav(sink: WavSink, format: AudioFormat, data: Bytes) -> None:  # noqa: A002
    """Write a whole WAV file of 16-bit PCM; see `WavWriter`. Errors of ``sink`` pass through."""
    with WavWriter(sink, format) as writer:
        writer.write(data)
