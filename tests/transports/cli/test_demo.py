"""``live-protocol demo``: its story and its files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from transports.cli.sounds import length, loudest
from transports.cli.support import Result, call, run


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("demo") / "new"
    return run("demo", "--out", folder), folder


def test_the_story(demo_run: tuple[Result, Path]) -> None:
    result, _ = demo_run
    assert (result.status, result.err) == (0, "")
    position = 0
    for event in (
        r"An emulator of the Live API listens at ws://127\.0\.0\.1:\d+",
        r"> microphone +2\.88 s in 29 chunks at 16000 Hz",
        r"< heard ",
        r"< audio +2\.\d\d s in \d+ chunks at 24000 Hz",
        r"< tool call +get_weather\(\{\"city\": \"Oslo\"\}\)",
        r"< said .*snow",
        r"< said +Let me tell you",
        r"> microphone +\d",
        r"< interrupted +turn 4 was cut",
        r"> audio stream end",
        r"< audio +2\.\d\d s in \d+ chunks at 24000 Hz",
        r"< go away +10 s left",
        r"< turn complete",
        r"< reconnecting .*GO_AWAY",
        r"< reconnected +connection 2 .* the session continues",
        r"< said .*Good morning! Is anybody there\?",
        r"< interrupted +turn 7 was cut",
        r"< said +Thank you, goodbye\.",
        r"< closed +1000",
    ):
        match = re.compile(event).search(result.out, position)
        assert match, event
        position = match.end()
    assert "input lost" not in result.out


def test_the_reply(demo_run: tuple[Result, Path]) -> None:
    reply = (demo_run[1] / "reply.wav").read_bytes()
    assert 2.0 < length(reply) < 4.0
    assert loudest(reply) > 5000


def test_the_files_are_named_at_the_end(demo_run: tuple[Result, Path]) -> None:
    result, folder = demo_run
    named = [folder / name for name in ("reply.wav", "session.jsonl", "timeline.html")]
    assert [Path(line) for line in result.out.splitlines()[-7::3]] == named
    assert all(path.is_file() for path in named)


def test_the_recording_and_its_page(demo_run: tuple[Result, Path]) -> None:
    _, folder = demo_run
    measured = call("trace", folder / "session.jsonl")
    assert measured.status == 0
    assert re.search(r"^duration .*\(2 connections\)$", measured.out, re.MULTILINE)
    assert re.search(r"^turns +8 +\(2 interrupted\)$", measured.out, re.MULTILINE)
    # In the time that the audio would have taken: the reply to the speech could be heard to its end.
    assert re.search(r"^ +1 .* 2\.86 s +2\.\d+ s +complete$", measured.out, re.MULTILINE)
    page = (folder / "timeline.html").read_text("utf-8")
    assert page.startswith("<!")
    assert "get_weather" in page
    replayed = call("replay", folder / "session.jsonl")
    assert replayed.status == 0
    assert "undecodable" not in replayed.err


def test_json_output_and_a_given_folder(tmp_path: Path) -> None:
    result = run("demo", "--json", TMPDIR=str(tmp_path))
    assert (result.status, result.err) == (0, "")
    shown = result.objects()
    assert [event["text"][0] for event in shown if event["type"] == "Chapter"][1:] == ["1", "2", "3", "4", "5", "6"]
    assert {"AudioChunk", "Interrupted", "GoAway", "Reconnected", "ToolCallRequested"} < {e["type"] for e in shown}
    assert shown[-1]["type"] == "Files"
    assert set(shown[-1]["files"]) == {"reply", "session", "timeline"}
    assert all(Path(path).is_relative_to(tmp_path) for path in shown[-1]["files"].values())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text(json.dumps(None))
    result = call("demo", "--out", blocker / "below")
    assert result.status == 1
    assert result.err.startswith("error: ")
    (tmp_path / "session.jsonl").mkdir()
    result = call("demo", "--out", tmp_path)
    assert result.status == 1
    assert result.err.startswith(f"error: {tmp_path / 'session.jsonl'}: ")
