"""The MIME type of PCM audio, and sizes and durations computed from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live_protocol.messages import AudioFormat
from live_protocol.messages.audio_format import INPUT_RATE, OUTPUT_RATE


@pytest.mark.parametrize(
    ("mime", "rate", "channels"),
    [
        ("audio/pcm;rate=16000", 16000, 1),
        (" Audio/PCM ; RATE = 16000 ", 16000, 1),
        ('audio/pcm;rate="8000"', 8000, 1),
        ("audio/pcm;rate=48000;channels=2", 48000, 2),
        ("audio/pcm;codec=x;rate=4000;y", 4000, 1),
        ("audio/pcm;rate=192000", 192000, 1),
        ("audio/pcm;rate=8000;rate=16000", 16000, 1),
    ],
)
def test_a_pcm_mime_type_is_parsed(mime: str, rate: int, channels: int) -> None:
    audio = AudioFormat.parse(mime)
    assert audio == AudioFormat(rate, channels)
    assert AudioFormat.parse(audio.mime_type) == audio
    assert audio.frame_size == 2 * channels


@pytest.mark.parametrize(
    "mime",
    ["", "audio/pcm", "audio/pcm;", "audio/pcmu;rate=8000", "audio/wav;rate=8000", "audio/pcm;rate=3999",
     "audio/pcm;rate=-1",
     "audio/pcm;rate=192001", "audio/pcm;rate=1", "audio/pcm;rate=9999999999", "audio/pcm;rate=8000;channels=3",
     "audio/pcm;rate=8000;channels=0", "audio/pcm;rate=8e3", "xaudio/pcm;rate=8000", "audio/pcm rate=8000"],
)  # fmt: skip
def test_other_mime_types_are_not_pcm(mime: str) -> None:
    assert AudioFormat.parse(mime) is None


def test_pcm_without_a_rate_takes_the_default() -> None:
    assert AudioFormat.parse("audio/pcm", default_rate=INPUT_RATE) == AudioFormat(16000)
    assert AudioFormat.parse("audio/pcm;x=y", default_rate=OUTPUT_RATE) == AudioFormat(24000)
    assert AudioFormat.parse("audio/pcm;rate=8000", default_rate=OUTPUT_RATE) == AudioFormat(8000)


@given(st.integers(4000, 192_000), st.sampled_from([1, 2]), st.floats(0, 1000))
def test_sizes_and_durations_convert_both_ways(rate: int, channels: int, seconds: float) -> None:
    audio = AudioFormat(rate, channels)
    size = audio.size(seconds)
    assert size % audio.frame_size == 0
    assert -1e-5 / rate <= seconds - audio.seconds(size) < 1.00001 / rate
    assert audio.size(audio.seconds(size)) == size


def test_rates_and_channels_have_bounds() -> None:
    assert AudioFormat(16000).size(0.1) == 3200
    assert AudioFormat(24000).seconds(9600) == 0.2
    for rate in (3999, 192_001, 0, True, 16000.0, "16000", None):
        with pytest.raises(ValueError, match="an audio rate is 4000 to 192000 Hz"):
            AudioFormat(rate)  # type: ignore[arg-type]
    for channels in (0, 3, "1", None):
        with pytest.raises(ValueError, match="1 or 2 channels"):
            AudioFormat(16000, channels)  # type: ignore[arg-type]
