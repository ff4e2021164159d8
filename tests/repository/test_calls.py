"""How many of our own functions run for one chunk of audio stays within limits: the way of the data stays short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]

# A chunk in, a chunk out.
LIMITS: Final = {"asyncio": (55, 45), "trio": (70, 60), "threads": (70, 50)}
MORE_FOR_RECONNECTING: Final = 2


@pytest.fixture(scope="module")
def counts() -> dict[str, tuple[int, int]]:
    """What `python -m benchmarks.calls` prints; a process of its own, as coverage would count other things."""
    command = [sys.executable, "-m", "benchmarks.calls"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    rows = re.findall(r"^(.*?) +in +(\d+) out +(\d+)$", done.stdout, re.MULTILINE)
    return {name: (int(inward), int(outward)) for name, inward, outward in rows}


@pytest.mark.parametrize("runtime", LIMITS)
def test_each_runtime(counts: dict[str, tuple[int, int]], runtime: str) -> None:
    inward, outward = counts[runtime]
    most_in, most_out = LIMITS[runtime]
    assert inward <= most_in
    assert outward <= most_out


def test_reconnecting_costs_little_more(counts: dict[str, tuple[int, int]]) -> None:
    plain, persistent = counts["asyncio"], counts["persistent on asyncio"]
    assert persistent[0] <= plain[0] + MORE_FOR_RECONNECTING
    assert persistent[1] <= plain[1] + MORE_FOR_RECONNECTING
