"""The way of the data stays short: calls, memory and garbage of each path stay within the file of allowed figures."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from typing import Any, Final

import pytest
from support.paths import ROOT

from benchmarks.guard import allowed
from benchmarks.guard.paths import PATHS

MORE_FOR_RECONNECTING: Final = 16  # calls a message
FILE: Final[dict[str, Any]] = tomllib.loads(allowed.FILE.read_text("utf-8"))


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, float]]:
    """The figures of now, from a process of its own: the tracer of coverage would count other things."""
    command = [sys.executable, "-m", "benchmarks.guard", "--no-valgrind", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    figures: dict[str, dict[str, float]] = json.loads(done.stdout)
    return figures


@pytest.mark.parametrize("path", FILE["paths"])
def test_each_path(found: dict[str, dict[str, float]], path: str) -> None:
    assert list(map(str, allowed.Allowed(FILE).excesses({path: found[path]}))) == []


def test_the_file_knows_every_path_and_every_figure(found: dict[str, dict[str, float]]) -> None:
    assert list(FILE["paths"]) == list(found)
    assert all(set(found[path]) <= set(figures) for path, figures in FILE["paths"].items())
    assert all(set(FILE["paths"][path]) == set(allowed.FIGURES) for path in PATHS)


def test_reconnecting_costs_little_more() -> None:
    for way in ("in", "out"):
        plain, persistent = (FILE["paths"][f"{name} {way}"]["calls"] for name in ("asyncio", "reconnect"))
        assert persistent <= plain + MORE_FOR_RECONNECTING


@pytest.mark.parametrize(("figure", "more"), [("calls", 1), ("cycles", 1), ("kept", 2), ("peak", 40_000)])
def test_a_figure_that_is_too_high_is_noticed(figure: str, more: float) -> None:
    limits = allowed.Allowed({**FILE, "taken": {**FILE["taken"], "on": allowed.here()}})
    figures = FILE["paths"]["asyncio in"]
    assert list(limits.excesses({"asyncio in": figures})) == []
    (excess,) = limits.excesses({"asyncio in": {**figures, figure: figures[figure] + more}})
    assert (excess.path, excess.figure) == ("asyncio in", figure)


def test_instructions_are_held_against_the_yardstick() -> None:
    limits = allowed.Allowed({**FILE, "taken": {**FILE["taken"], "on": allowed.here()}})
    dearer = {"asyncio in": {"instructions": FILE["paths"]["asyncio in"]["instructions"] * 1.3}}
    assert len(list(limits.excesses(dearer))) == 1
    assert list(limits.excesses(dearer, limits.yardstick * 1.3)) == []  # an interpreter that needs more for everything


def test_elsewhere_only_counts_of_ours_are_compared() -> None:
    limits = allowed.Allowed({**FILE, "taken": {**FILE["taken"], "on": "CPython 2.7, BeOS"}})
    assert list(limits.excesses({"asyncio in": {"peak": 1e9, "kept": 1e9, "instructions": 1e9}})) == []
    (excess,) = limits.excesses({"asyncio in": {"calls": 1e9}})
    assert str(excess).startswith("asyncio in: 1,000,000,000.00 calls, ")


def test_the_file_is_as_the_command_writes_it() -> None:
    assert allowed.text(allowed.Allowed.read()) == allowed.FILE.read_text("utf-8")
