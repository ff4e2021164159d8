"""The tables of the paced rows, as Markdown that is aligned for a terminal."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import report
from benchmarks.voice.growth import DOUBLING
from benchmarks.voice.results import Results, Table
from benchmarks.voice.rows import GOALS, MORE_SYSTEM_CALLS, MOST_KILOBYTES, OURS, Goal, Row

PACKAGES: Final = ("uvloop", "trio", "anyio", "picows", "aiofastnet")
COLUMNS: Final = (
    "client",
    "us a session second",
    "min..max",
    "net",
    "floor",
    "sessions a core",
    "lag p50",
    "lag p99",
    "delay p99",
    "kB a session",
    "collector",
    "waited",
)


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def environment() -> dict[str, Any]:
    """The machine, the versions and the date."""
    facts = report.environment()
    facts["packages"] |= {package: report._version(package) for package in PACKAGES}
    facts["processor"] = processor()
    facts["kernel"] = platform.release()
    facts["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
    if hasattr(os, "getloadavg"):
        facts["load_before"] = list(os.getloadavg())
    return facts


def machine(facts: dict[str, Any]) -> str:
    """One line about where and when."""
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['system']} {facts['kernel']}, "
        f"{facts['implementation']} {facts['python']}, {facts['date']}"
    )


def markdown(headings: Sequence[str], body: Sequence[Sequence[str]], left: int = 1) -> Iterator[str]:
    """Lines of a table; so many columns from the left are text."""
    widths = [max(len(cells[column]) for cells in (headings, *body)) for column in range(len(headings))]
    for index, cells in enumerate((headings, *body)):
        padded = (
            f"{cell:<{width}}" if column < left else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        yield f"| {' | '.join(padded)} |"
        if index == 0:
            rules = (":" + "-" * (w - 1) if column < left else "-" * (w - 1) + ":" for column, w in enumerate(widths))
            yield f"| {' | '.join(rules)} |"


def _cells(table: Table, row: Row) -> tuple[str, ...]:
    cpu = table.values(row, "cpu")
    net, floor = table.net(row), table.ratios(row, row.floor)
    talks = row.client != "harness"
    return (
        row.name,
        f"{statistics.median(cpu):,.0f}",
        f"{min(cpu):,.0f}..{max(cpu):,.0f}",
        "" if net is None else f"{net:,.0f}",
        f"{statistics.median(floor):.2f}x" if floor and talks else "",
        f"{1e6 / statistics.median(cpu):,.0f}",
        f"{table.median(row, 'lag_p50'):.1f}",
        f"{table.median(row, 'lag_p99'):.1f}",
        f"{table.median(row, 'delay_p99'):.1f}" if talks else "",
        f"{table.median(row, 'kilobytes'):.1f}",
        f"{table.median(row, 'collector'):.1%}",
        f"{table.median(row, 'waited'):.1%}",
    )


def _bound(goal: Goal, value: float) -> tuple[str, str]:
    if goal.at_least is not None:
        return f"at least {goal.at_least:.2f}", "yes" if value >= goal.at_least else "no"
    if goal.at_most is not None:
        return f"at most {goal.at_most:.2f}", "yes" if value <= goal.at_most else "no"
    return "", ""


def _ratios(table: Table) -> list[tuple[str, ...]]:
    body: list[tuple[str, ...]] = []
    for goal, ratios in table.goals(GOALS):
        ratio = statistics.median(ratios)
        body.append((goal.text, f"{ratio:.2f}", f"{min(ratios):.2f}..{max(ratios):.2f}", *_bound(goal, ratio)))
    for row in table.samples:
        if row.options == ("reconnect",) and (nets := table.nets(row, "kilobytes")):
            size = statistics.median(nets)
            verdict = "yes" if size <= MOST_KILOBYTES else "no"
            spread = f"{min(nets):.1f}..{max(nets):.1f}"
            name = f"kB a session with reconnect=, net, {row.runtime}"
            body.append((name, f"{size:.1f}", spread, f"at most {MOST_KILOBYTES}", verdict))
    return body


def _sized(number: int) -> str:
    for unit, size in (("Mi", 1 << 20), ("Ki", 1 << 10)):
        if number >= size and number % size == 0:
            return f"{number // size} {unit}"
    return str(number)


def _paced(table: Table) -> Iterator[str]:
    yield f"\n### {table.title}\n"
    yield from markdown(COLUMNS, [_cells(table, row) for row in table.samples])
    body = _ratios(table)
    if body:
        yield "\nNet of the harness, round by round:\n"
        yield from markdown(("ratio", "median", "min..max", "goal", "reached"), body)


def _name(line: dict[str, Any]) -> str:
    return Row(line["client"], line["runtime"], tuple(line["options"])).name


def _beside_floor(line: dict[str, Any], totals: dict[str, float]) -> tuple[str, str]:
    """How many system calls a row makes above its floor, and whether one of ours may."""
    row = Row(line["client"], line["runtime"], tuple(line["options"]))
    if row.client in {"harness", "floor"} or row.floor.name not in totals:
        return "", ""
    more = line["total"] - totals[row.floor.name]
    return f"{more:+.2f}", "" if row.client != OURS else "yes" if more <= MORE_SYSTEM_CALLS else "no"


def lines(results: Results) -> Iterator[str]:
    """The whole report."""
    facts = results.environment
    yield machine(facts)
    yield ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    if "load_before" in facts:
        yield f"load average before {facts['load_before'][0]:.2f}, after {facts['load_after'][0]:.2f}"
    for table in results.tables:
        yield from _paced(table)
    body: list[tuple[str, ...]]
    if results.points:
        yield "\n### Many sessions on one core\n"
        body = [
            (
                _name(point),
                f"{point['up']}/{point['down']} ms",
                str(point["sessions"]),
                f"{statistics.median(point['core']):.0%}",
                f"{statistics.median(point['lag_p99']):.1f}",
                f"{statistics.median(point['delay_p99']):.1f}",
                point["goal"],
                "yes" if point["reached"] else "no",
            )
            for point in results.points
        ]
        yield from markdown(("client", "pace", "sessions", "core", "lag p99", "delay p99", "goal", "reached"), body, 2)
    if results.capacity:
        yield "\n### Sessions at which the p99 delay of an event passes 20 ms\n"
        body = [
            (
                _name(line),
                f"{line['up']}/{line['down']} ms",
                f"{line['sessions']:,}" + (" (server busy)" if line["server_busy"] else ""),
            )
            for line in results.capacity
        ]
        yield from markdown(("client", "pace", "sessions"), body, 2)
    if results.growth:
        yield f"\n### Growth: doubling may cost {DOUBLING} times\n"
        body = [
            (
                f"{line['what']}: {line['who']}",
                line["unit"],
                ", ".join(
                    f"{_sized(size)}: {cost:,.1f}" for size, cost in zip(line["sizes"], line["costs"], strict=True)
                ),
                f"{max(line['doublings']):.2f}" if line["doublings"] else "",
                "" if not line["doublings"] else "yes" if max(line["doublings"]) <= DOUBLING else "no",
            )
            for line in results.growth
        ]
        yield from markdown(("what", "unit", "cost", "worst doubling", "reached"), body, 3)
    if results.syscalls:
        yield "\n### System calls a message, both directions together; ours make no more than the floor\n"
        totals = {_name(line): line["total"] for line in results.syscalls}
        body = [
            (
                _name(line),
                f"{line['total']:.2f}",
                *_beside_floor(line, totals),
                ", ".join(
                    f"{name} {number:.2f}" for name, number in sorted(line["calls"].items(), key=lambda item: -item[1])
                ),
            )
            for line in results.syscalls
        ]
        yield from markdown(("client", "all", "above the floor", "reached", "of which"), body)
