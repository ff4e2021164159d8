"""WAV files: every encoding that is claimed, headers nobody finished, and errors that say what to do."""

from __future__ import annotations

import contextlib
import io
import math
import struct
import wave
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.signals import pcm, samples

from live_protocol.audio import InvalidWav, WavReader, WavWriter, read_wav, write_wav
from live_protocol.errors import LocalProtocolError
from live_protocol.messages import AudioFormat


def chunk(kind: bytes, data: bytes, size: int | None = None) -> bytes:
    return kind + struct.pack("<I", len(data) if size is None else size) + data + bytes(len(data) % 2)


def fmt(code: int = 1, channels: int = 1, rate: int = 16_000, bits: int = 16, extra: bytes = b"") -> bytes:
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", code, channels, rate, rate * frame, frame, bits) + extra)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def read(data: bytes) -> tuple[AudioFormat, tuple[int, ...]]:
    audio, found = read_wav(io.BytesIO(data))
    return audio, samples(found)


class Pipe:
    """A source that gives few bytes at a time, or a sink that cannot go back."""

    def __init__(self, data: bytes = b"", step: int = 3) -> None:
        self.data, self.step = io.BytesIO(data), step

    def read(self, size: int) -> bytes:
        return self.data.read(min(size, self.step))

    def write(self, data: bytes) -> int:
        return self.data.write(data)


class TestReading:
    def test_8_bit(self) -> None:
        assert read(riff(fmt(bits=8), chunk(b"data", b"\x00\x80\xff")))[1] == (-32768, 0, 0x7F00)

    def test_16_bit(self) -> None:
        assert read(riff(fmt(channels=2, rate=44_100), chunk(b"data", pcm([1, -2])))) == (
            AudioFormat(44_100, 2),
            (1, -2),
        )

    @pytest.mark.parametrize("bits", [24, 32])
    def test_wide_samples_lose_their_low_bits(self, bits: int) -> None:
        width, shift = bits // 8, bits - 16
        values = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 5 << shift, (5 << shift) + 1, -1]
        data = b"".join(value.to_bytes(width, "little", signed=True) for value in values)
        assert read(riff(fmt(bits=bits), chunk(b"data", data)))[1] == (-32768, 32767, 5, 5, -1)

    @pytest.mark.parametrize(("bits", "code"), [(32, "f"), (64, "d")])
    def test_float_is_clipped(self, bits: int, code: str) -> None:
        values = [0.0, 0.5, -1.0, 1.0, 7.0, -7.0, math.inf, -math.inf, math.nan, 0.99999]
        data = struct.pack(f"<{len(values)}{code}", *values)
        found = read(riff(fmt(code=3, bits=bits), chunk(b"data", data)))[1]
        assert found == (0, 16384, -32768, 32767, 32767, -32768, 32767, -32768, 0, 32767)

    def test_extensible(self) -> None:
        extra = struct.pack("<HHIH", 22, 24, 4, 1) + bytes(14)
        assert read(riff(fmt(code=0xFFFE, bits=24, extra=extra), chunk(b"data", b"\0\1\0")))[1] == (1,)

    @pytest.mark.parametrize(("bits", "container"), [(12, 2), (20, 3), (24, 4)])
    def test_samples_in_more_bytes_than_they_need(self, bits: int, container: int) -> None:
        head = struct.pack("<HHIIHH", 1, 1, 16_000, 16_000 * container, container, bits)
        data = bytes(container - 2) + b"\1\2" + bytes(container - 2) + b"\xff\xff"
        assert read(riff(chunk(b"fmt ", head), chunk(b"data", data)))[1] == (0x201, -1)

    def test_other_chunks_are_skipped_with_their_padding(self) -> None:
        data = riff(
            chunk(b"LIST", b"odd"), fmt(), chunk(b"fact", b"1234"), chunk(b"data", pcm([1])), chunk(b"id3 ", b"x")
        )
        assert read(data)[1] == (1,)

    @pytest.mark.parametrize("whole", [0, 36, 0xFFFFFFFF])
    @pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
    def test_sizes_nobody_filled_in_mean_up_to_the_end(self, whole: int, size: int) -> None:
        assert read(riff(fmt(), chunk(b"data", pcm([1, 2, 3]), size=size), size=whole))[1] == (1, 2, 3)

    def test_no_data_is_no_data_where_more_chunks_follow(self) -> None:
        assert read(riff(fmt(), chunk(b"data", b""), chunk(b"LIST", b"what comes after")))[1] == ()
        assert read(riff(fmt(), chunk(b"data", b"")))[1] == ()

    def test_a_torn_frame_at_the_end_is_dropped(self) -> None:
        assert read(riff(fmt(channels=2), chunk(b"data", b"\1\0\2\0\3\0", size=4000)))[1] == (1, 2)

    def test_a_pipe_gives_few_bytes_at_a_time(self) -> None:
        data = riff(chunk(b"LIST", bytes(100)), fmt(), chunk(b"data", pcm(range(50))))
        assert samples(read_wav(Pipe(data))[1]) == tuple(range(50))

    def test_piece_by_piece(self) -> None:
        reader = WavReader(io.BytesIO(riff(fmt(channels=2), chunk(b"data", pcm(range(10))), chunk(b"LIST", b"xx"))))
        assert [samples(reader.read(2)) for _ in range(4)] == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9), ()]
        with pytest.raises(ValueError, match="at least 1"):
            reader.read(0)

    def test_length_is_bounded(self) -> None:
        data = riff(fmt(rate=8_000), chunk(b"data", bytes(16_000)))
        assert len(read_wav(io.BytesIO(data), max_seconds=1)[1]) == 16_000
        with pytest.raises(InvalidWav, match=r"more than 0\.9 seconds"):
            read_wav(io.BytesIO(data), max_seconds=0.9)

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"", "RIFF header"),
            (b"RIFX" + bytes(8), "RIFF header"),
            (b"RIFF\0\0\0\0AVI ", "RIFF header"),
            (riff(), "ends before its data"),
            (riff(fmt()), "ends before its data"),
            (riff(chunk(b"LIST", b"cut", size=1000)), "ends before its data"),
            (riff(chunk(b"data", b"")), "no fmt chunk"),
            (riff(chunk(b"fmt ", b"short")), "fmt chunk is cut"),
            (riff(chunk(b"fmt ", b"", size=2**31)), "claims 2147483648 bytes"),
            (riff(fmt(code=7, bits=8)), "mu-law, not PCM or float; convert"),
            (riff(fmt(code=0x1234)), "format 0x1234"),
            (riff(fmt(code=0xFFFE)), "format 0xfffe"),
            (riff(fmt(bits=12)), "12-bit PCM"),
            (riff(fmt(bits=64)), "64-bit PCM"),
            (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 0))), "0-bit PCM"),
            (riff(fmt(code=3, bits=16)), "16-bit float"),
            (riff(fmt(channels=6)), "1 or 2 channels"),
            (riff(fmt(rate=1)), "4000 to 192000 Hz"),
        ],
    )
    def test_errors_say_what_is_wrong(self, data: bytes, why: str) -> None:
        with pytest.raises(InvalidWav, match=why) as caught:
            read_wav(io.BytesIO(data))
        assert isinstance(caught.value, LocalProtocolError)
        assert caught.value.why in str(caught.value)
        assert caught.value.__context__ is None

    @given(st.binary(max_size=300), st.booleans())
    def test_garbage_is_an_error_or_audio(self, data: bytes, headed: bool) -> None:
        with contextlib.suppress(InvalidWav):
            read_wav(io.BytesIO(b"RIFF\0\0\0\0WAVE" + data if headed else data))


class TestWriting:
    @given(st.lists(st.binary(max_size=50), max_size=8), st.sampled_from((1, 2)))
    def test_round_trip_and_agreement_with_the_standard_library(self, pieces: list[bytes], channels: int) -> None:
        sink = io.BytesIO()
        audio = AudioFormat(16_000, channels)
        with WavWriter(sink, audio) as writer:
            for piece in pieces:
                writer.write(piece)
        whole = b"".join(pieces)
        whole = whole[: len(whole) - len(whole) % audio.frame_size]
        assert writer.size == len(whole)
        sink.seek(0)
        assert read_wav(sink) == (audio, whole)
        sink.seek(0)
        with wave.open(sink, "rb") as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (channels, 2, 16_000)
            assert file.readframes(file.getnframes()) == whole

    def test_before_it_is_closed_the_file_can_be_read(self) -> None:
        sink = io.BytesIO()
        WavWriter(sink, AudioFormat(24_000)).write(pcm([1, 2]))
        assert read(sink.getvalue())[1] == (1, 2)

    def test_a_sink_that_cannot_go_back_keeps_the_streaming_header(self) -> None:
        sink = Pipe()
        write_wav(sink, AudioFormat(24_000), pcm([1, 2]))
        assert read(sink.data.getvalue())[1] == (1, 2)

    def test_unseekable(self) -> None:
        class Socket(io.BytesIO):
            def seekable(self) -> bool:
                return False

            def seek(self, *_: Any) -> int:
                raise OSError

        sink = Socket()
        write_wav(sink, AudioFormat(24_000), pcm([1, 2]))
        assert read(sink.getvalue())[1] == (1, 2)

    def test_in_the_middle_of_a_file(self) -> None:
        sink = io.BytesIO(b"head")
        sink.seek(4)
        write_wav(sink, AudioFormat(24_000), pcm([1]))
        assert sink.tell() == len(sink.getvalue())
        assert sink.getvalue()[:8] == b"headRIFF"
        assert int.from_bytes(sink.getvalue()[8:12], "little") == len(sink.getvalue()) - 12

    def test_closed(self) -> None:
        sink = io.BytesIO()
        writer = WavWriter(sink, AudioFormat(24_000))
        writer.close()
        writer.close()
        assert len(sink.getvalue()) == 44
        with pytest.raises(ValueError, match="closed"):
            writer.write(b"")
