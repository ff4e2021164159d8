"""Writes the figures of a run into the page "How many sessions does a core carry?", and its picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.voice import plot
from benchmarks.voice.report import machine, markdown
from benchmarks.voice.results import Results, Table
from benchmarks.voice.rows import Row

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "guide" / "sessions-a-core.md"
PICTURE: Final = ROOT / "docs" / "pictures" / "sessions-a-core.svg"
FIGURES: Final = Path(__file__).with_name("figures.json")
BEGIN: Final = "<!-- figures: written by `python -m benchmarks --only voice --from-json FILE --page` -->\n"
END: Final = "<!-- end of figures -->\n"


def _name(line: dict[str, Any]) -> str:
    return plot.label(Row(line["client"], line["runtime"], tuple(line["options"])))


def _table(table: Table) -> Iterator[str]:
    yield f"**{table.title}**, medians of {max(map(len, table.samples.values()))} round(s):\n"
    body = []
    for row in table.samples:
        if row.client == "harness" or (net := table.net(row)) is None:
            continue
        floor = table.ratios(row, row.floor)
        cpu = table.median(row, "cpu")
        cells = (plot.label(row), f"{cpu:,.0f}", f"{net:,.0f}")
        above = f"{statistics.median(floor):.2f}" if floor else ""
        body.append((*cells, above, f"{1e6 / cpu:,.0f}", f"{table.median(row, 'kilobytes'):.0f}"))
    headings = ("client", "us a session second", "net of timers", "times the floor", "sessions a core", "kB a session")
    yield from markdown(headings, body)
    yield ""


def section(results: Results) -> str:
    """What stands between the marks."""
    lines = [f"Measured on: {machine(results.environment)}.", ""]
    for table in results.tables:
        lines += _table(table)
    if results.capacity:
        lines += ["**Sessions before the p99 delay of an event passes 20 ms:**", ""]
        body = [(_name(line), f"{line['up']}/{line['down']} ms", f"{line['sessions']:,}") for line in results.capacity]
        lines += [*markdown(("client", "up/down", "sessions on one core"), body, 2), ""]
    if results.syscalls:
        lines += ["**System calls a message**, both directions together:", ""]
        lines += [*markdown(("client", "calls"), [(_named(line), f"{line['total']:.2f}") for line in results.syscalls])]
        lines += [""]
    return "\n".join(lines)


def _named(line: dict[str, Any]) -> str:
    return f"timers alone · {line['runtime']}" if line["client"] == "harness" else _name(line)


def text(results: Results) -> str:
    """The page with these figures."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{section(results)}\n{END}{after}"


def committed() -> Results:
    """The run that the page shows."""
    return Results.from_json(json.loads(FIGURES.read_text(encoding="utf-8")))


def write(results: Results) -> None:
    """Write page and picture, and keep the run for those who compare."""
    FIGURES.write_text(json.dumps(results.as_json(), separators=(",", ":")) + "\n", encoding="utf-8")
    PAGE.write_text(text(results), encoding="utf-8")
    plot.draw(results, PICTURE)
