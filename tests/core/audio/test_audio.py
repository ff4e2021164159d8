"""Outgoing audio: equal chunks, no lost byte, no shifted sample."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live_protocol.audio import Chunker, PreRoll
from live_protocol.messages import AudioFormat

FORMATS = st.builds(AudioFormat, st.integers(4_000, 192_000), st.sampled_from((1, 2)))
PIECES = st.lists(st.binary(max_size=200), max_size=30)


class TestFormat:
    @given(FORMATS, st.integers(0, 10**7))
    def test_size_undoes_seconds(self, audio: AudioFormat, frames: int) -> None:
        size = frames * audio.frame_size
        assert audio.size(audio.seconds(size)) == size

    def test_size_rounds_down_to_whole_frames(self) -> None:
        assert AudioFormat(16_000).size(0.0001) == 2
        assert AudioFormat(16_000).size(0.00012) == 2
        assert AudioFormat(16_000, 2).size(0.1) == 6400

    def test_size_survives_binary_fractions(self) -> None:
        assert AudioFormat(4_100).size(0.29) == 2 * 1189

    @pytest.mark.parametrize("rate", [3_999, 192_001, 16_000.0, True, "16000"])
    def test_rate_is_bounded(self, rate: Any) -> None:
        with pytest.raises(ValueError, match="4000 to 192000 Hz"):
            AudioFormat(rate)

    def test_channels_are_bounded(self) -> None:
        with pytest.raises(ValueError, match="1 or 2 channels"):
            AudioFormat(16_000, 3)

    @pytest.mark.parametrize(
        ("mime_type", "expected"),
        [
            ("audio/pcm;rate=16000", AudioFormat(16_000)),
            (' Audio/PCM ; channels=2 ; Rate = "8000" ; codec=x', AudioFormat(8_000, 2)),
            ("audio/pcm", None),
            ("audio/pcm;rate=1", None),
            ("audio/pcm;rate=", None),
            ("audio/pcm;rate=-16000", None),
            ("audio/pcm;rate=24000.0", None),
            ("audio/pcm;rate=16k", None),
            ("audio/pcm;rate=\uff11\uff16000", None),
            ('audio/pcm;rate="16000', None),
            ("audio/pcm;rate=16000;channels=two", None),
            ("audio/pcm;bitrate=9;rate=16000", AudioFormat(16_000)),
            ("audio/pcm;rate=16000;channels=9", None),
            ("audio/mpeg;rate=16000", None),
        ],
    )
    def test_mime_types_from_the_wire(self, mime_type: str, expected: AudioFormat | None) -> None:
        assert AudioFormat.parse(mime_type) == expected
        # What cannot be read is not taken for the default: it would play at a wrong speed.
        assert AudioFormat.parse(mime_type, default_rate=24_000) == (
            AudioFormat(24_000) if mime_type == "audio/pcm" else expected
        )

    @given(FORMATS)
    def test_mime_type_and_back(self, audio: AudioFormat) -> None:
        assert AudioFormat.parse(audio.mime_type) == audio
        assert AudioFormat.parse("audio/pcm", default_rate=audio.rate) == AudioFormat(audio.rate)

    def test_silence(self) -> None:
        assert AudioFormat(16_000).silence(0.1) == bytes(3200)
        assert AudioFormat(16_000).silence(-1) == b""


class TestChunker:
    @pytest.mark.parametrize("seconds", [0.019, 0.101, -1, math.nan, math.inf])
    def test_length_is_bounded(self, seconds: float) -> None:
        with pytest.raises(ValueError, match=r"a chunk is 0\.02 to 0\.1 seconds"):
            Chunker(AudioFormat(16_000), seconds)

    @pytest.mark.parametrize(("seconds", "size"), [(0.02, 640), (0.04, 1280), (0.1, 3200)])
    def test_size(self, seconds: float, size: int) -> None:
        assert Chunker(AudioFormat(16_000), seconds).size == size

    @given(PIECES, st.sampled_from((AudioFormat(4_000), AudioFormat(8_000, 2))))
    def test_nothing_is_lost_whatever_the_pieces(self, pieces: list[bytes], audio: AudioFormat) -> None:
        chunker = Chunker(audio, 0.02)
        out: list[bytes] = []
        for piece in pieces:
            chunks = chunker.push(piece)
            assert all(len(chunk) == chunker.size for chunk in chunks)
            assert chunker.pending < chunker.size
            out += chunks
        rest = chunker.flush()
        assert len(rest) % audio.frame_size == 0
        whole = b"".join(pieces)
        assert b"".join(out) + rest == whole[: len(whole) - len(whole) % audio.frame_size]
        assert chunker.pending == len(whole) % audio.frame_size

    def test_a_torn_frame_waits_over_a_flush(self) -> None:
        chunker = Chunker(AudioFormat(16_000))
        assert chunker.push(b"\1\2\3") == []
        assert chunker.flush() == b"\1\2"
        assert chunker.flush() == b""
        chunker.push(memoryview(b"\4\5\6"))
        assert chunker.flush() == b"\3\4\5\6"

    def test_padding_fills_the_chunk_with_silence(self) -> None:
        chunker = Chunker(AudioFormat(16_000), 0.02)
        chunker.push(bytearray(b"\1\2\3"))
        assert chunker.flush(pad=True) == b"\1\2\3" + bytes(637)
        assert chunker.flush(pad=True) == b""
        assert chunker.pending == 0

    def test_reset_forgets(self) -> None:
        chunker = Chunker(AudioFormat(16_000))
        chunker.push(b"\1\2\3")
        assert chunker.reset() == 3
        assert chunker.pending == 0


class TestPreRoll:
    @pytest.mark.parametrize("seconds", [-0.1, 60.1, math.nan])
    def test_length_is_bounded(self, seconds: float) -> None:
        with pytest.raises(ValueError, match="a pre-roll is 0 to 60 seconds"):
            PreRoll(AudioFormat(16_000), seconds)

    @given(PIECES, st.sampled_from((1, 2)), st.integers(0, 40))
    def test_keeps_the_newest_whole_frames(self, pieces: list[bytes], channels: int, frames: int) -> None:
        audio = AudioFormat(4_000, channels)
        roll = PreRoll(audio, frames / 4_000)
        for piece in pieces:
            roll.push(piece)
        whole = b"".join(pieces)
        aligned = whole[: len(whole) - len(whole) % audio.frame_size]
        expected = aligned[max(0, len(aligned) - roll.size) :]
        assert roll.seconds == pytest.approx(len(expected) / (4_000 * audio.frame_size))
        assert roll.take() == expected
        assert roll.take() == b""

    def test_a_torn_frame_stays_for_its_rest(self) -> None:
        roll = PreRoll(AudioFormat(16_000))
        roll.push(b"\1\2\3")
        assert roll.take() == b"\1\2"
        roll.push(b"\4")
        assert roll.take() == b"\3\4"

    def test_clear(self) -> None:
        roll = PreRoll(AudioFormat(16_000))
        roll.push(b"\1\2\3")
        roll.clear()
        roll.push(b"\4\5")
        assert roll.take() == b"\4\5"
