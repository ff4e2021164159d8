"""``python -m benchmarks.guard``: hold every path against its allowed figures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from benchmarks import calls
from benchmarks.guard import allowed, counts, valgrind
from benchmarks.guard.paths import PATHS
from benchmarks.guard.yardstick import YARDSTICK
from benchmarks.runner import progress

OTHER_RUNTIMES: Final = ("trio", "threads")
"""Runtimes whose calls alone are counted: their scripts need threads, so nothing else of them is the same twice."""


def _wanted(patterns: Sequence[str]) -> list[str]:
    known = [*PATHS, *(f"{runtime} {way}" for runtime in OTHER_RUNTIMES for way in ("in", "out"))]
    return [name for name in known if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)]


def _counts(names: Sequence[str]) -> dict[str, counts.Figures]:
    found: dict[str, counts.Figures] = {}
    for name in names:
        if name in PATHS:
            progress(f"counting: {name}")
            found[name] = counts.figures(name)
    for runtime in OTHER_RUNTIMES:
        if any(name.startswith(f"{runtime} ") for name in names):
            progress(f"counting: {runtime}")
            both = zip(("in", "out"), calls.count(runtime), strict=True)
            found |= {f"{runtime} {way}": {"calls": float(number)} for way, number in both}
    return {name: found[name] for name in names}


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.3g}"


def _table(found: dict[str, counts.Figures], limits: allowed.Allowed, excesses: Sequence[allowed.Excess]) -> None:
    """One line a path; a cell has the figure now and the allowed one, and ``!`` where it is too high."""
    too_high = {(excess.path, excess.figure) for excess in excesses}
    columns = [name for name in allowed.FIGURES if any(name in figures for figures in found.values())]
    body = []
    for path, figures in found.items():
        cells = [path]
        for name in columns:
            limit = limits.paths.get(path, {}).get(name)
            of = "" if limit is None else f" of {_short(limit)}"
            mark = " !" if (path, name) in too_high else ""
            cells.append(f"{_short(figures[name])}{of}{mark}" if name in figures else "")
        body.append(cells)
    rows = [["path", *columns], *body]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns) + 1)]
    for index, row in enumerate(rows):
        print("| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + " |")
        if not index:
            print("|" + "|".join(":" + "-" * (width + 1) for width in widths) + "|")


def main() -> None:
    """Count, print, and fail where a figure is too high."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("paths", nargs="*", help="paths such as 'decode 40 ms', or patterns such as 'asyncio *'")
    parser.add_argument("--no-valgrind", action="store_true", help="count only what needs no valgrind")
    parser.add_argument("--only-valgrind", action="store_true", help="count only what needs valgrind")
    parser.add_argument("--update", action="store_true", help="make the figures of now the allowed ones")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, and hold them against nothing")
    arguments = parser.parse_args()
    limits = allowed.Allowed.read()
    names = _wanted(arguments.paths)
    if not names:
        parser.error(f"no such path; there are {', '.join(_wanted(()))}")
    watching = valgrind.available() and not arguments.no_valgrind
    if arguments.only_valgrind and not watching:
        raise SystemExit("valgrind is not installed")
    found = {name: counts.Figures() for name in names} if arguments.only_valgrind else _counts(names)
    yardstick = None
    if watching:
        progress("counting under valgrind: some minutes")
        watched = valgrind.figures([*YARDSTICK, *(name for name in names if name in PATHS)])
        (measure,) = (watched.pop(name) for name in YARDSTICK)
        yardstick = measure["instructions"]
        for name, figures in watched.items():
            found[name] |= figures
    progress("")
    if arguments.json:
        print(json.dumps(found))
        return
    excesses = list(limits.excesses(found, yardstick)) if not arguments.update else []
    if arguments.update:
        limits.update(found, yardstick)
    _table(found, limits, excesses)
    sys.stdout.flush()
    if arguments.update:
        print(f"\nThese are the allowed figures now: {allowed.FILE.relative_to(counts.ROOT)}")
    elif limits.taken_on != allowed.here():
        print(f"\nThe figures were taken on {limits.taken_on}, this is {allowed.here()}: of them only", end=" ")
        print(f"{' and '.join(limits.compared())} are compared.")
    if not watching and not arguments.no_valgrind:
        print("\nvalgrind is not installed: instructions, allocations and copies were not counted.")
    if excesses:
        raise SystemExit("\n".join(["", "Too high:", *map(str, excesses)]))


if __name__ == "__main__":
    main()
