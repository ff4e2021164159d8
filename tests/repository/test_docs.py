"""What README.md and docs/ show is run: every Python block, every command, every link."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from support.paths import ROOT

import live_protocol
from live_protocol import errors, events
from live_transports.cli.commands import COMMANDS

README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SLOW = re.compile(r"Executing <.* took \d+\.\d+ seconds")
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def blocks(page: Path, language: str) -> list[str]:
    return [body for name, body in _FENCE.findall(page.read_text("utf-8")) if name == language]


SCRIPTS = [pytest.param(body, id=f"{page.name}-{n}") for page in PAGES for n, body in enumerate(blocks(page, "python"))]


@pytest.mark.parametrize("script", SCRIPTS)
def test_python_blocks_run(script: str) -> None:
    """In an interpreter of its own, where a warning is an error and a forgotten socket a warning."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    # How long a step took is a matter of the machine, and asyncio tells it where it debugs.
    told = [line for line in done.stderr.splitlines() if not _SLOW.fullmatch(line)]
    assert (done.returncode, told) == (0, [])


def test_there_are_python_blocks() -> None:
    assert len(blocks(README, "python")) == 5


def test_the_quick_start_prints_what_was_said() -> None:
    done = subprocess.run(
        [sys.executable, "-c", blocks(README, "python")[0]],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert re.fullmatch(r"Hello, who is there\? \(\d\.\d s of audio\)\n", done.stdout)


def test_the_first_test_passes_and_fits_in_ten_lines(tmp_path: Path) -> None:
    (source,) = [body for body in blocks(README, "python") if "def test_" in body]
    assert len(source.splitlines()) <= 10
    for text, status in ((source, 0), (source.replace('"text": "Hi"', '"text": "Ho"'), 1)):
        (tmp_path / "test_first.py").write_text(text, "utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_first.py"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stdout
    assert 'step 3: client_content.text: expected "Hi", got "Ho"' in done.stdout


def test_the_two_commands_of_the_first_five_minutes() -> None:
    assert [block.strip() for block in blocks(README, "sh")] == [
        "pip install uv && uv run --no-dev live-protocol demo",
        "pip install uv && uv run pytest",
    ]


def test_every_command_named_exists_and_every_command_is_named() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = set(re.findall(r"live-protocol ([a-z]+)\b", text))
    listed = set(re.findall(r"^\| `live-protocol ([a-z]+)`", README.read_text("utf-8"), re.MULTILINE))
    assert listed == set(COMMANDS)
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in _LINK.findall(page.read_text("utf-8")) if "://" not in target]
    assert not [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_hold_no_path_of_a_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.:/])/(home|work|root|Users|tmp)/", page.read_text("utf-8"))


def test_the_table_of_events_is_complete() -> None:
    text = (ROOT / "docs" / "reference" / "events.md").read_text("utf-8")
    named = set(re.findall(r"`([A-Z]\w+)`", text))
    classes = {name for name in events.__all__ if attrs.has(getattr(events, name))}
    assert classes <= named
    assert named <= set(dir(live_protocol)) | classes | {"PersistentConnection"}


def test_the_taxonomy_of_errors_is_complete() -> None:
    text = (ROOT / "docs" / "reference" / "errors.md").read_text("utf-8")
    named = set(re.findall(r"`([A-Z]\w+)[`.(]", text))
    assert set(errors.__all__) <= named
    assert named <= set(dir(live_protocol)) | set(errors.__all__)


def test_the_table_for_users_of_the_sdk_knows_all_that_its_session_does() -> None:
    live = pytest.importorskip("google.genai.live")
    text = (ROOT / "docs" / "guide" / "from-google-genai.md").read_text("utf-8")
    there = {name for name in vars(live.AsyncSession) if not name.startswith("_")}
    assert there == {name for name in there if re.search(rf"\bsession\.{name}\(", text)}
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)[`.(]", text))
    assert named <= set(dir(live_protocol)) | {"ToolRegistry", "ToolRunner", "TypeError"}


def test_the_reference_is_what_the_docstrings_say() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "generate_reference.py"), "--check"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    reference = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")
    assert set(live_protocol.__all__) <= set(re.findall(r"^\| `(\w+)` \| \S", reference, re.MULTILINE))
