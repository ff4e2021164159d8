"""The picture of a run: what a session costs, and how many a core carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from benchmarks.voice.report import machine
from benchmarks.voice.results import Results, Table
from benchmarks.voice.rows import OURS, RUNTIMES, Row

COLOURS: Final = {
    "floor": "#8a8f98",
    "picows": "#7b9acc",
    "websockets": "#4f77b3",
    "google-genai": "#d98c3f",
    OURS: "#2a8c62",
}
NAMES: Final = {
    "floor": "floor: ready-made bytes",
    "picows": "picows by hand",
    "websockets": "websockets by hand",
    "google-genai": "google-genai",
    OURS: "live-protocol",
}


def label(row: Row) -> str:
    """What stands beside a bar."""
    options = "".join(f", {'TLS' if option == 'tls' else option}" for option in row.options)
    return f"{NAMES[row.client]}{options} · {row.runtime}"


def _bars(axes: Any, rows: list[Row], values: list[float], errors: list[tuple[float, float]] | None, unit: str) -> None:
    places, place = [], 0.0
    for row, before in zip(rows, (None, *rows), strict=False):
        place -= 1.0 if before is None or row.runtime == before.runtime else 1.5
        places.append(place)
    spread = None if errors is None else [[low for low, _ in errors], [high for _, high in errors]]
    style = {"ecolor": "#333333", "elinewidth": 0.8, "capsize": 1.5}
    axes.barh(places, values, xerr=spread, color=[COLOURS[row.client] for row in rows], height=0.72, error_kw=style)
    axes.set_yticks(places, [label(row) for row in rows], fontsize=8)
    axes.set_ylim(places[-1] - 0.6, places[0] + 0.6)
    axes.set_xlabel(unit, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    end = max((value + (errors[index][1] if errors else 0) for index, value in enumerate(values)), default=1.0)
    axes.set_xlim(0, end * 1.13)
    for index, value in enumerate(values):
        at = value + (errors[index][1] if errors else 0)
        axes.text(at + end * 0.01, places[index], f"{value:,.0f}", va="center", fontsize=7.5, color="#333333")


def _cost(axes: Any, table: Table, tls: bool) -> None:
    rows = [
        row
        for row in table.samples
        if row.client != "harness" and ("tls" in row.options) == tls and "recorder" not in row.options
    ]
    rows.sort(key=lambda row: (_runtime_rank(row), list(COLOURS).index(row.client), row.options))
    nets = {row: sorted(table.nets(row)) for row in rows}
    rows = [row for row in rows if nets[row]]
    values = [max(table.net(row) or 0.0, 0.0) for row in rows]
    errors = [
        (max(value - nets[row][0], 0.0), max(nets[row][-1] - value, 0.0))
        for row, value in zip(rows, values, strict=True)
    ]
    _bars(axes, rows, values, errors, "microseconds of CPU a session second, net of the timers; median, min to max")
    scheme = "wss://" if tls else "ws://"
    axes.set_title(f"{table.title}, {scheme}", fontsize=9, loc="left")


def _runtime_rank(row: Row) -> int:
    return RUNTIMES.index(row.runtime)


def draw(results: Results, file: Path) -> None:
    """Write the picture; the suffix of the file says in which format."""
    panels: list[tuple[int, Any]] = []
    for table in results.tables:
        for tls in (False, True):
            count = sum(row.client != "harness" and ("tls" in row.options) == tls for row in table.samples)
            if count:
                panels.append((count, lambda axes, table=table, tls=tls: _cost(axes, table, tls)))
    if results.capacity:
        lines = results.capacity
        rows = [Row(line["client"], line["runtime"], tuple(line["options"])) for line in lines]

        def capacity(axes: Any) -> None:
            _bars(axes, rows, [float(line["sessions"]) for line in lines], None, "sessions on one core")
            pace = f"{lines[0]['up']} ms up, {lines[0]['down']} ms down"
            axes.set_title(f"Sessions before the p99 delay of an event passes 20 ms, {pace}", fontsize=9, loc="left")

        panels.append((len(lines), capacity))
    heights = [count * 0.22 + 0.9 for count, _ in panels]
    with mpl.rc_context({"svg.hashsalt": "voice", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(9, sum(heights) + 0.9), layout=ConstrainedLayoutEngine(rect=(0, 0.02, 1, 0.98)))
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for (_, paint), (one,) in zip(panels, axes, strict=True):
            paint(one)
        figure.suptitle("Paced voice sessions on one core", fontsize=11, fontweight="bold", x=0.02, ha="left")
        figure.text(0.02, 0.004, machine(results.environment), fontsize=7, color="#555555")
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=150)
