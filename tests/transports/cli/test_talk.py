"""``live-protocol talk``: speech in and out as WAV files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from transports.cli.sounds import SPEECH, length, loudest, silence, tone, wav
from transports.cli.support import TIMEOUT, call, command, environment, on_terminal, run

KEY = "AIzaSyThisIsNoRealKey0123456789"


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "in.wav"
    path.write_bytes(data)
    return path


def test_the_reply_and_both_transcripts(tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    result = run("talk", SPEECH, "-o", out, "--fast", "--voice", "Kore")
    assert result.status == 0
    lines = result.out.splitlines()
    assert lines[:2] == ["you:   [2.9 s of speech]", "model: [2.9 s of speech]"]
    assert re.fullmatch(r"2\.88 s in, 2\.\d\d s out, the first \d\.\d\d s after the voice", lines[2])
    assert lines[3:] == [str(out)]
    assert re.fullmatch(r"no key in the environment: talking to an emulator at ws://127\.0\.0\.1:\d+\n", result.err)
    reply = out.read_bytes()
    assert 2.5 < length(reply) < 3.0
    assert loudest(reply) > 5000


@pytest.mark.parametrize(("rate", "channels", "width"), [(8_000, 1, 1), (24_000, 1, 2), (44_100, 2, 2), (48_000, 1, 2)])
def test_any_wav_goes_in(tmp_path: Path, rate: int, channels: int, width: int) -> None:
    out = tmp_path / "out.wav"
    samples = tone(0.6, rate) + silence(0.2, rate)
    source = written(tmp_path, wav(samples, rate, channels=channels, width=width))
    assert call("talk", source, "-o", out, "--fast").status == 0
    assert length(out.read_bytes()) == pytest.approx(0.6, abs=0.06)
    assert loudest(out.read_bytes()) == pytest.approx(16_384, rel=0.1)


def test_another_rate_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    result = call("talk", written(tmp_path, wav(tone(0.4, 8_000), 8_000)), "--fast")
    assert (result.status, result.out) == (1, "")
    assert "resampling from 8000 to 16000 Hz needs an optional dependency" in result.err
    assert "live-protocol[audio]" in result.err
    assert call("talk", SPEECH, "--fast").status == 0


def test_through_pipes() -> None:
    done = subprocess.run(
        command("talk", "-", "-o", "-", "--fast"),
        input=wav(tone(0.4)),
        capture_output=True,
        env=environment(),
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0
    assert length(done.stdout) == pytest.approx(0.4, abs=0.05)
    assert "model: [0.4 s of speech]" in done.stderr.decode()  # text makes room for the audio


def test_at_the_speed_of_speech(tmp_path: Path) -> None:
    result = call("talk", written(tmp_path, wav(tone(0.5))), "--json")
    assert result.status == 0
    shown = result.objects()
    types = [event["type"] for event in shown]
    for earlier, later in (
        ("Connected", "SetupComplete"),
        ("SetupComplete", "InputTranscript"),
        ("InputTranscript", "AudioChunk"),
        ("AudioChunk", "TurnComplete"),
        ("TurnComplete", "ConnectionClosed"),
    ):
        assert types.index(earlier) < types.index(later)
    summary = shown[-1]
    assert (summary["type"], summary["seconds_in"], summary["answers"]) == ("Summary", 0.5, 1)
    assert summary["seconds_out"] == pytest.approx(0.5, abs=0.05)
    assert summary["out"] is None
    # Half a second was spoken in half a second, and only then answered.
    assert shown[types.index("AudioChunk")]["at"] >= 0.5


def test_an_interruption_cuts_the_reply(tmp_path: Path) -> None:
    # The pause of 0.7 s ends an utterance after 0.5 s; of its answer 0.3 s can be heard before the next one is noticed.
    source = written(tmp_path, wav(tone(1.4) + silence(0.7) + tone(0.4)))
    out = tmp_path / "out.wav"
    result = call("talk", source, "-o", out, "--json")
    assert result.status == 0
    summary = result.objects()[-1]
    assert (summary["interruptions"], summary["answers"]) == (1, 2)
    assert 0.4 < length(out.read_bytes()) == pytest.approx(summary["seconds_out"], abs=0.001)
    assert summary["seconds_out"] < 1.5  # without the cut it were 1.8


def test_text_before_the_speech_and_every_event(tmp_path: Path) -> None:
    source = written(tmp_path, wav(tone(0.3)))
    result = call("talk", source, "--fast", "--text", "/system", "--system", "Be a parrot.")
    assert result.out.splitlines()[:4] == [
        "you:   /system",
        "model: Be a parrot.",
        "you:   [0.3 s of speech]",
        "model: [0.3 s of speech]",
    ]
    result = call("talk", source, "--fast", "-v")
    assert re.search(r"> microphone +0\.30 s in 3 chunks at 16000 Hz", result.out)
    assert re.search(r"< turn 1 +started", result.out)


def test_the_answer_to_a_pause_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The speech ends long before its file, and its answer before all was sent."""
    monkeypatch.setattr("live_transports.cli.commands.talk._LINGER", 0.05)
    result = call("talk", written(tmp_path, wav(tone(0.2) + silence(1.2))))
    assert result.status == 0
    assert "model: [0.2 s of speech]" in result.out


def test_a_reply_before_a_failure_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    result = call("talk", written(tmp_path, wav(silence(0.2))), "-o", out, "--text", "Hello", "--timeout", "0.6")
    assert result.status == 1
    assert "the speech is nearly silent" in result.err
    assert length(out.read_bytes()) > 0.1


@pytest.mark.parametrize(
    ("columns", "last"),
    [
        (80, b"[##############################] sent 0.4 of 0.4 s, received 0.0 s"),
        (48, b"[###########] sent 0.4 of 0.4 s, received 0.0 s"),
        (24, b"sent 0.4 of 0.4 s, rece"),
    ],
)
def test_the_progress_fits_the_terminal(tmp_path: Path, columns: int, last: bytes) -> None:
    source = written(tmp_path, wav(tone(0.4)))
    status, seen = on_terminal(command("talk", source, "--fast"), columns=columns, stdout=subprocess.DEVNULL)
    assert status == 0
    assert last + b"\x1b[K" in seen
    # What is longer than a line could not be taken back.
    shown = [part.partition(b"\x1b")[0] for part in seen.split(b"\r") if b"sent" in part]
    assert max(map(len, shown)) < columns
    assert seen.endswith(b"\r\x1b[K")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("{folder}/none.wav",), 3, "none.wav: No such file"),
        (("{folder}/text.wav",), 3, "text.wav: invalid WAV: it does not begin with"),
        (("{folder}/empty.wav",), 3, "empty.wav: the file has no audio"),
        ((str(SPEECH), "-o", "{folder}/none/out.wav"), 1, "the folder does not exist"),
        ((str(SPEECH), "-o", "{folder}"), 1, ": this is a folder"),
        ((str(SPEECH), "-o", "-", "--json"), 2, "both write to standard output"),
        ((str(SPEECH), "--fast", "--text", "/drop"), 1, "ended without a close frame"),
        ((str(SPEECH), "--fast", "--model", "missing"), 1, "models/missing is not found"),
        ((str(SPEECH), "--url", "ws://127.0.0.1:1"), 1, "could not connect to 127.0.0.1:1"),
        ((str(SPEECH), "--vertex"), 2, "needs an access token"),
    ],
)
def test_failures(tmp_path: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    (tmp_path / "text.wav").write_text("speech!")
    (tmp_path / "empty.wav").write_bytes(wav([]))
    result = call("talk", *(argument.format(folder=tmp_path) for argument in arguments), "--timeout", "5")
    assert result.status == status
    assert message in result.err


def test_the_emulator_despite_a_key(tmp_path: Path) -> None:
    result = run("talk", written(tmp_path, wav(tone(0.2))), "--fast", "--emulator", GEMINI_API_KEY=KEY)
    assert result.status == 0
    assert result.err.startswith("--emulator: talking to an emulator at ws://127.0.0.1:")
