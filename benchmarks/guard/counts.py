"""The counts that need no tool: calls, blocks and bytes kept, garbage in cycles, the most that is held at once."""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path as File
from types import FrameType
from typing import Final

from benchmarks.guard.paths import PATHS, Path, Run

ROOT: Final = File(__file__).parents[2]
OURS: Final = (f"{ROOT}{os.sep}live_protocol{os.sep}", f"{ROOT}{os.sep}transports{os.sep}", "<attrs generated")
Figures = dict[str, float]
WARM_UP: Final = 4
"""Times that a script runs before it is counted: the interpreter adapts its code, and lists grow to their size."""
REPEATS: Final = 4


def _calls(run: Run, count: int) -> int:
    calls = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            calls += 1

    sys.setprofile(profile)
    try:
        run(count)
    finally:
        sys.setprofile(None)
    return calls


def _difference(cost: Callable[[int], float], path: Path) -> float:
    """The cost of one message: what twice as many cost more, over how many they are more."""
    return (cost(2 * path.messages) - cost(path.messages)) / path.messages


def _kept(run: Run, count: int, held: Callable[[], int]) -> int:
    gc.collect()
    before = held()
    run(count)
    gc.collect()
    return held() - before


def _steadily_kept(run: Run, path: Path, held: Callable[[], int]) -> float:
    """What stays each time: the least of a few, since lists of free objects come and go with what ran before."""
    return max(0.0, min(_difference(lambda count: _kept(run, count, held), path) for _ in range(REPEATS)))


def _cycles(run: Run, count: int) -> int:
    gc.collect()
    run(count)
    return gc.collect()


def _traced() -> int:
    return tracemalloc.get_traced_memory()[0]


def _peak(run: Run) -> int:
    gc.collect()
    tracemalloc.reset_peak()
    before = _traced()
    run(2)
    return tracemalloc.get_traced_memory()[1] - before


def figures(name: str) -> Figures:
    """The figures of one path, of a message each:

    - ``calls``: Python functions of ours, and those that attrs makes for us.
    - ``kept``: blocks of memory that are still allocated afterwards, for the paths that open sessions one session's.
    - ``kept_bytes``: their size.
    - ``cycles``: objects that only the garbage collector can free.
    - ``peak``: the most bytes that are held while two messages pass.
    """
    path = PATHS[name]
    enabled = gc.isenabled()
    gc.disable()
    try:
        with path.open() as run:
            for _ in range(WARM_UP):
                run(path.messages)
            blocks = _steadily_kept(run, path, sys.getallocatedblocks)
            cycles = _difference(lambda count: _cycles(run, count), path)
            calls = _difference(lambda count: _calls(run, count), path)
            tracemalloc.start()
            try:
                size = _steadily_kept(run, path, _traced)
                peak = _peak(run)
            finally:
                tracemalloc.stop()
    finally:
        if enabled:
            gc.enable()
    return {"calls": calls, "kept": blocks, "kept_bytes": size, "cycles": cycles, "peak": peak}
