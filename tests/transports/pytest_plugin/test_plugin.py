"""The installed plugin, as test authors use it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from transports.pytest_plugin.support import TEXT, environment, run_pytest

from live_protocol import InvalidMessage, TextChunk, Timeouts, TurnComplete
from live_protocol.emulator import Emulator, EmulatorOptions
from live_protocol.testing import Playbook, PlaybookMismatch
from live_transports import pytest_plugin
from live_transports.pytest_plugin.pairs import Pairs

HI = {"role": "user", "parts": [{"text": "Hi"}]}


def test_pytest_finds_it() -> None:
    (found,) = entry_points(group="pytest11", name="live-protocol")
    assert found.value == "live_transports.pytest_plugin"
    assert found.load() is pytest_plugin


def test_it_costs_nothing_before_a_fixture_is_used() -> None:
    code = (
        "import pytest, sys\nbefore = set(sys.modules)\nimport live_transports.pytest_plugin\n"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "['live_transports', 'live_transports.pytest_plugin']\n"


STORY = """
from live_protocol.testing import Playbook
from live_transports.sync import connect

TEXT = {"response_modalities": ["TEXT"]}
GREETING = Playbook().expect_setup().send_setup_complete().expect_client_content("Hi").reply("Hello!")


def say(server, text):
    answer = ""
    with connect(server.endpoint, TEXT, model="m") as session:
        session.send_client_content({"role": "user", "parts": [{"text": text}]})
        for event in session:
            answer += getattr(event, "text", "")
            if type(event).__name__ == "TurnComplete":
                return answer


def test_right(live_server):
    assert say(live_server(GREETING), "Hi") == "Hello!"


def test_wrong(live_server):
    say(live_server(GREETING), "Ho")


def test_never_used(live_pair):
    live_pair(["expect_upgrade", "expect_setup", {"expect_client_content": "Hi"}])


def test_recorded(live_server, live_cassette):
    with live_cassette("hi", endpoint=live_server().endpoint) as server:
        assert say(server, "Hi") == "Hi"
"""


def test_a_session_of_tests(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, STORY)
    assert done.returncode == 1, done.stderr
    out = done.stdout
    assert "1 failed, 3 passed, 2 errors" in out
    for shown in (
        "FAILED test_it.py::test_wrong - live_protocol.errors.ServerClosed",
        "ERROR test_it.py::test_wrong - live_protocol.testing.PlaybookMismatch",
        "ERROR test_it.py::test_never_used - live_protocol.testing.PlaybookMismatch",
        'PlaybookMismatch: step 3: client_content.text: expected "Hi", got "Ho"',
        "+++ received",
        "  >> 3 expect client_content",
    ):
        assert shown in out
    cassette = tmp_path / "cassettes" / "hi.jsonl"
    first = cassette.read_bytes()
    assert run_pytest(tmp_path, STORY, "-k", "recorded").returncode == 0
    assert cassette.read_bytes() == first
    assert run_pytest(tmp_path, STORY, "-k", "recorded", "--live-record").returncode == 0
    assert cassette.read_bytes() != first  # its times are new


# --- pairs ------------------------------------------------------------------------------------------------------


def test_a_pair_with_an_emulator(live_pair: Pairs) -> None:
    pair = live_pair(config=TEXT)
    pair.client.send_client_content(HI)
    events = pair.pump()
    assert "".join(event.text for event in events if isinstance(event, TextChunk)) == "Hi"
    assert events == pair.client_events[-len(events) :]
    assert [type(event).__name__ for event in pair.server_events][-1] == "ClientContentReceived"


def test_ten_minutes_take_no_time(live_pair: Pairs) -> None:
    pair = live_pair(emulator=Emulator(options=EmulatorOptions(lifetime=600)))
    start = pair.clock.now
    told = [(type(event).__name__, pair.clock.now - start) for event in pair.wait(541)]
    assert told == [("GoAway", 541)]
    assert [type(event).__name__ for event in pair.wait(60)] == ["ConnectionFailed", "ConnectionClosed"]


def test_a_pair_with_a_playbook(live_pair: Pairs) -> None:
    pair = live_pair(
        Playbook().expect_setup(functions="f").send_setup_complete().reply("Ho").wait(5).close(),
        {"tools": [{"function_declarations": [{"name": "f"}]}]},
    )
    assert isinstance(pair.client_events[-1], TurnComplete)
    assert [type(event).__name__ for event in pair.wait(5)] == ["ConnectionClosed"]


def test_a_pair_with_faults(live_pair: Pairs) -> None:
    pair = live_pair(faults="no-pong", timeouts=Timeouts(ping_interval=10, ping_timeout=5))
    assert [type(event).__name__ for event in pair.wait(20)] == ["ConnectionFailed", "ConnectionClosed"]
    with pytest.raises(InvalidMessage):
        live_pair(faults="no-pnog")


def test_a_strict_pair(live_pair: Pairs) -> None:
    pair = live_pair(["expect setup", "send setup complete", "send setup complete"], strict=True)
    assert [type(event).__name__ for event in pair.client_events][-2:] == ["ConnectionFailed", "ConnectionClosed"]


def test_a_mismatch_fails_the_test() -> None:
    pairs = Pairs()
    pair = pairs(["expect setup", "send setup complete"])
    pair.client.send_client_content(HI)
    pair.pump()
    with pytest.raises(PlaybookMismatch, match="got client_content instead of the end"), pairs:
        pass
