"""``live-protocol trace`` as a process of its own."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from transports.cli.support import run

from core.recording import scenes
from core.recording.scenes import HANDLE_CANARY
from core.recording.support import RECORDINGS
from live_protocol.recording import TraceReader, write_websocket_log


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "session.jsonl"
    path.write_bytes(scenes.recorded())
    return path


def test_a_summary(trace: Path) -> None:
    done = run("trace", trace)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == ["model", "models/gemini-3.8-live"]
    for expected in (
        "duration",
        "turns",
        "time to first audio",
        "user audio",
        "model audio",
        "tool calls",
        "gaps",
        "ping",
    ):
        assert any(line.startswith(expected) for line in lines), expected
    assert "end                  closed with 1000 'bye' by this end, clean" in lines
    table = lines[lines.index("") + 1 :]
    assert table[0].split()[:2] == ["turn", "at"]
    assert len(table) == 7
    assert [line.split()[-1] for line in table[1:]].count("interrupted") == 1


def test_json(trace: Path) -> None:
    done = run("trace", trace, "--json", "--gap", "0.8")
    assert (done.status, done.err) == (0, "")
    (shown,) = done.objects()
    assert shown["summary"]["turns"] == 6
    assert shown["summary"]["silences"] > 1
    assert shown["turns"][1]["time_to_first_audio"] == pytest.approx(0.42, abs=0.03)


def test_a_page(trace: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run("trace", trace, "--html", page)
    assert done.status == 0
    assert done.out.splitlines()[-1] == str(page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "session.jsonl" in text
    both = run("trace", trace, "--json", "--html", page)
    assert len(both.out.splitlines()) == 1
    assert both.err.strip() == str(page)
    piped = run("trace", "-", "--html", "-", stdin=trace.read_bytes(), PYTHONUTF8="0", LC_ALL="C")
    assert (piped.status, piped.err) == (0, "")
    assert piped.out == text.replace("session.jsonl", "standard input")


def test_a_websocket_log(trace: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.websocket.log"
    sink = io.BytesIO()
    write_websocket_log(TraceReader(trace.read_bytes()), sink)
    path.write_bytes(sink.getvalue())
    done = run("trace", path)
    assert done.status == 0
    assert "not recorded" in done.out
    assert "no end was recorded" in done.out
    assert done.out.splitlines()[-1].split()[:5] == ["6", "-", "-", "-", "1.87"]


def test_a_bad_end(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    head = '{"format":"live-protocol-trace","version":1,"redacted":true}\n'
    facts = {"t": 1, "kind": "closed", "code": 1008, "reason": f"no session {HANDLE_CANARY} \x1b[2J", "clean": False}
    setup = {"setup": {"model": "m", "sessionResumption": {"handle": HANDLE_CANARY}}}
    message = {"t": 0, "dir": ">", "kind": "text", "json": setup}
    turn = {"t": 0.5, "dir": "<", "kind": "text", "json": {"serverContent": {"generationComplete": True}}}
    path.write_text(head + "".join(json.dumps(line) + "\n" for line in (message, turn, facts)), encoding="utf-8")
    done = run("trace", path)
    assert done.status == 0
    assert "CANARY" not in done.out
    assert "\x1b" not in done.out
    assert "The service refused the request." in done.out
    assert "interrupted" in done.out


def test_what_is_whole_of_a_damaged_file(trace: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_bytes(trace.read_bytes()[:-10])
    done = run("trace", path)
    assert done.status == 3
    assert "turns                6" in done.out
    assert "a whole line" in done.err


def test_an_export_for_other_viewers(trace: Path, tmp_path: Path) -> None:
    exported, page = tmp_path / "trace.json", tmp_path / "page.html"
    done = run("trace", trace, "--chrome-trace", exported, "--html", page)
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith(f"\n\n{page}\n\n{exported}\n")
    events = json.loads(exported.read_text(encoding="utf-8"))["traceEvents"]
    assert events[0]["args"]["name"] == "Gemini Live session · models/gemini-3.8-live · session.jsonl"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    piped = run("trace", "-", "--chrome-trace", "-", "--html", page, stdin=trace.read_bytes())
    assert (piped.status, piped.err) == (0, f"\n{page}\n")
    assert json.loads(piped.out)["traceEvents"][1:] == events[1:]


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["no-such-file"], 3, "No such file"),
        (["-"], 3, "empty"),
        (["-", "--gap", "0"], 2, "--gap"),
        (["-", "--gap", "x"], 2, "--gap"),
        (["-", "--html", "-", "--chrome-trace", "-"], 2, "both write to standard output"),
        ([], 2, "FILE"),
    ],
)
def test_wrong_use(arguments: list[str], status: int, text: str) -> None:
    done = run("trace", *arguments)
    assert (done.status, done.out) == (status, "")
    assert text in done.err
    assert "Traceback" not in done.err


def test_a_page_that_cannot_be_written(trace: Path, tmp_path: Path) -> None:
    done = run("trace", trace, "--html", tmp_path)
    assert done.status == 1
    assert "directory" in done.err


def test_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"PNG")
    done = run("trace", path)
    assert done.status == 3
    assert "invalid trace" in done.err


@pytest.mark.skipif(not RECORDINGS, reason="the recordings lie beside the repository")
def test_a_recording_of_google() -> None:
    done = run("trace", RECORDINGS[0])
    assert (done.status, done.err) == (0, "")
    assert "still running" in done.out or "turns                0" in done.out
