"""The table and the JSON file."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.runner import Plan, Row, Side

PACKAGES = (
    "live-protocol",
    "google-genai",
    "websockets",
    "pydantic",
    "wsproto",
    "orjson",
    "pybase64",
    "attrs",
    "cattrs",
)
HEADINGS = ("case", "unit", "google-genai", "live-protocol", "ratio", "min..max")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "packages": {package: _version(package) for package in PACKAGES},
    }


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.label,
        row.unit,
        f"{row.median('peer'):.1f}",
        f"{row.median('ours'):.1f}",
        f"{row.ratio():.2f}x",
        f"{min(row.ratios):.2f}..{max(row.ratios):.2f}",
    )


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Lines of a Markdown table, aligned for a terminal."""
    body = [HEADINGS, *map(_cells, rows)]
    widths = [max(len(cells[column]) for cells in body) for column in range(len(HEADINGS))]
    for index, cells in enumerate(body):
        first = f"{cells[0]:<{widths[0]}} | {cells[1]:<{widths[1]}}"
        rest = (f"{cell:>{width}}" for cell, width in zip(cells[2:], widths[2:], strict=True))
        yield f"| {' | '.join((first, *rest))} |"
        if index == 0:
            dashes = ["-" * (width - 1) for width in widths]
            rule = [":" + dash for dash in dashes[:2]] + [dash + ":" for dash in dashes[2:]]
            yield f"| {' | '.join(rule)} |"


def print_table(rows: Sequence[Row]) -> None:
    facts = environment()
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    print(f"{facts['implementation']} {facts['python']}, {facts['system']} {facts['machine']}; {versions}\n")
    for line in table(rows):
        print(line)
    sys.stdout.flush()


def as_json(rows: Sequence[Row], plan: Plan) -> dict[str, Any]:
    sides: tuple[Side, ...] = ("peer", "ours")
    return {
        "environment": environment(),
        "plan": vars(plan),
        "rows": [
            {
                "group": row.group,
                "name": row.name,
                "unit": row.unit,
                **{side: {"median": row.median(side), "samples": row.samples[side]} for side in sides},
                "ratio": {"median": row.ratio(), "min": min(row.ratios), "max": max(row.ratios)},
            }
            for row in rows
        ],
    }
