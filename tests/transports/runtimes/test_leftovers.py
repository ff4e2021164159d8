"""The check for what a test leaves behind, which all tests of the adapters rely on, does find it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from support.paths import ROOT

SOURCE = """
import asyncio, socket, threading
from transports.runtimes.conftest import nothing_left
from transports.runtimes.kit.kit import AsyncioKit

KEPT = []

def test_socket():
    KEPT.append(socket.socket())

def test_unclosed():
    socket.socket().bind(("127.0.0.1", 0))

def test_thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()

def test_task():
    async def task():
        KEPT.append(asyncio.create_task(asyncio.sleep(60)))
    AsyncioKit("asyncio").run(task)

def test_nothing():
    pass
"""


def test_it_is_found(tmp_path: Path) -> None:
    path = tmp_path / "test_leaving.py"
    path.write_text(SOURCE, encoding="utf-8")
    options = ["-q", "-c", "pyproject.toml", "--rootdir", ".", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = set(re.findall(r"^(FAILED|ERROR) \S*::test_(\w+)", run.stdout, re.MULTILINE))
    assert complaints == {
        ("ERROR", "socket"),
        ("FAILED", "unclosed"),
        ("ERROR", "thread"),
        ("FAILED", "task"),
    }, run.stdout + run.stderr
    assert "ResourceWarning" in run.stdout
