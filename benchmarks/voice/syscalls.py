"""System calls of a client for each message, counted by strace."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.runner import progress
from benchmarks.voice.rows import Row
from benchmarks.voice.samples import Client

SECONDS: Final = 4.0
SESSIONS: Final = 10
LINE: Final = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+)(?: +\d+)? +(\w+)$", re.MULTILINE)
"""Share, seconds, microseconds a call, calls, perhaps errors, name."""


def available() -> bool:
    """Whether strace is installed."""
    return shutil.which("strace") is not None


def count(client: Client, row: Row, *, up: int, down: int) -> dict[str, Any]:
    """Calls for each message, up and down counted alike; strace watches while the paced traffic runs."""
    progress(f"system calls: {row.name}")
    plan = client.plan(row, up=up, down=down, sessions=SESSIONS, seconds=SECONDS + 2)
    with tempfile.TemporaryDirectory() as folder, client.start(plan) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it measures from here
        file = Path(folder, "calls")
        command = ["strace", "-f", "-c", "-qq", "-p", str(process.pid), "-o", str(file)]
        with subprocess.Popen(command) as strace:
            try:
                strace.wait(SECONDS)
            except subprocess.TimeoutExpired:
                strace.send_signal(signal.SIGINT)
        process.communicate()
        calls = {name: int(number) for number, name in LINE.findall(file.read_text()) if name != "total"}
    messages = SESSIONS * SECONDS * (1000 / up + 1000 / down)
    figures = {name: number / messages for name, number in calls.items() if number / messages >= 0.01}
    return {
        "client": row.client,
        "runtime": row.runtime,
        "options": list(row.options),
        "total": sum(calls.values()) / messages,
        "calls": figures,
    }
