"""``python -m benchmarks --only voice``: what it does."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.runner import progress
from benchmarks.voice import growth, report, rows, syscalls
from benchmarks.voice.measure import cores
from benchmarks.voice.options import FULL, PARTS, PROFILES, QUICK, Amount
from benchmarks.voice.results import Results, Table
from benchmarks.voice.rows import OURS, Row
from benchmarks.voice.samples import TOO_LATE, Client, carried, fill
from benchmarks.voice.server import running


@dataclass(frozen=True)
class Point:
    """So many sessions at one pace, and what has to hold then."""

    row: Row
    up: int
    down: int
    sessions: int
    core: float | None
    """Share of the core at most."""

    @property
    def goal(self) -> str:
        lag = f"lag p99 under {TOO_LATE:.0f} ms"
        return lag if self.core is None else f"core under {self.core:.0%}, {lag}"

    def reached(self, core: float, lag: float) -> bool:
        return lag < TOO_LATE and (self.core is None or core < self.core)


POINTS: Final = (
    Point(Row(OURS, "uvloop"), 100, 200, 1000, 0.9),
    Point(Row(OURS, "uvloop"), 20, 40, 400, None),
)


def _points(client: Client, rounds: int) -> Iterator[dict[str, Any]]:
    for point in POINTS:
        samples = []
        for number in range(rounds):
            progress(f"{point.row.name}: {point.sessions} sessions: round {number + 1} of {rounds}")
            samples.append(client.sample(point.row, up=point.up, down=point.down, sessions=point.sessions))
        core, lag = (statistics.median(sample[figure] for sample in samples) for figure in ("core", "lag_p99"))
        yield {
            "client": point.row.client,
            "runtime": point.row.runtime,
            "options": list(point.row.options),
            "up": point.up,
            "down": point.down,
            "sessions": point.sessions,
            **{figure: [sample[figure] for sample in samples] for figure in samples[0]},
            "goal": point.goal,
            "reached": point.reached(core, lag),
        }


def _guess(table: Table | None, client: Client, row: Row, up: int, down: int) -> int:
    """Where to begin the search, from what a session costs."""
    if table is not None and row in table.samples:
        cost = table.median(row, "cpu")
    else:
        progress(f"sessions a core: {row.name}: cost of a session")
        cost = client.sample(row, up=up, down=down)["cpu"]
    return int(0.8e6 / cost)


class _Run:
    """One run of the command."""

    def __init__(self, arguments: argparse.Namespace, results: Results, client: Client, amount: Amount) -> None:
        self.arguments = arguments
        self.results = results
        self.client = client
        self.amount = amount

    def save(self) -> None:
        """Write what there is so far: a run is long."""
        if hasattr(os, "getloadavg"):
            self.results.environment["load_after"] = list(os.getloadavg())
        if self.arguments.json is not None:
            self.arguments.json.write_text(json.dumps(self.results.as_json(), indent=1) + "\n", encoding="utf-8")

    def rows(self, profile: str) -> list[Row]:
        """The rows of a profile."""
        if self.arguments.quick:
            return rows.chosen(self.arguments.clients, rows.QUICK)
        return rows.chosen(self.arguments.clients, rows.ALL if profile == "20/40" else rows.SLOWER_PACE)

    def matching(self, candidates: Sequence[Row]) -> list[Row]:
        """Those that ``--clients`` asks for."""
        wanted = rows.chosen(self.arguments.clients, candidates)
        return [row for row in candidates if row in wanted]

    def paced(self, profiles: Sequence[str]) -> None:
        for profile in profiles:
            up, down = PROFILES[profile]
            table = Table(up, down, self.amount.sessions)
            self.results.tables.append(table)
            fill(table, self.client, self.rows(profile), self.amount.rounds, self.save)

    def capacity(self, profile: str) -> None:
        up, down = PROFILES[profile]
        tables = [table for table in self.results.tables if (table.up, table.down) == (up, down)]
        for row in self.matching(rows.CAPACITY):
            guess = _guess(tables[0] if tables else None, self.client, row, up, down)
            self.results.capacity.append(carried(self.client, row, guess, up=up, down=down))
            self.save()

    def growth(self) -> None:
        if self.arguments.quick:
            self.results.growth += growth.by_pieces(1, growth.SPAN / 10)
            return
        many = self.matching((Row("floor", "uvloop"), Row(OURS, "asyncio"), Row(OURS, "uvloop")))
        self.results.growth += growth.by_sessions(self.client, many, growth.SESSIONS)
        large = self.matching(
            [Row(client, "asyncio") for client in ("floor", "websockets", OURS)] + [Row(OURS, "trio")]
        )
        self.results.growth += growth.by_size(self.client, large, growth.SIZES)
        self.results.growth += growth.by_pieces(self.amount.rounds)
        self.save()

    def syscalls(self, profile: str) -> None:
        if not syscalls.available():
            raise SystemExit("--syscalls needs strace")
        up, down = PROFILES[profile]
        clients = ("harness", "floor", "websockets", "picows", "google-genai", OURS)
        candidates = [Row(client, loop) for loop in rows.LOOPS for client in clients]
        candidates += [Row(OURS, loop, ("reconnect",)) for loop in rows.LOOPS]
        candidates += [Row(client, runtime) for runtime in ("trio", "threads") for client in ("harness", "floor", OURS)]
        for row in self.matching(candidates):
            self.results.syscalls.append(syscalls.count(self.client, row, up=up, down=down))


def _measured(arguments: argparse.Namespace) -> Results:
    default = QUICK if arguments.quick else FULL
    amount = Amount(
        sessions=arguments.sessions or default.sessions,
        seconds=arguments.seconds or default.seconds,
        warm=default.warm,
        rounds=arguments.rounds or default.rounds,
    )
    profiles = arguments.profile or (["20/40"] if arguments.quick else list(PROFILES))
    parts = (["paced", "growth"] if arguments.quick else PARTS) if arguments.parts is None else arguments.parts
    server_core, client_core = cores()
    plan = {**vars(amount), "server_core": server_core, "client_core": client_core}
    results = Results(report.environment(), plan)
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(running(server_core))
        client = Client(address, sessions=amount.sessions, seconds=amount.seconds, warm=amount.warm)
        run = _Run(arguments, results, client, amount)
        if "paced" in parts:
            run.paced(profiles)
        if arguments.syscalls or (arguments.parts is None and not arguments.quick and syscalls.available()):
            run.syscalls(profiles[0])
        if "points" in parts and not arguments.clients:
            results.points += _points(client, amount.rounds)
            run.save()
        if "growth" in parts:
            run.growth()
        if "capacity" in parts:
            run.capacity(profiles[0])
        run.save()
    return results


def main(arguments: argparse.Namespace) -> None:
    """Measure, print, draw."""
    if arguments.from_json is not None:
        results = Results.from_json(json.loads(arguments.from_json.read_text(encoding="utf-8")))
    else:
        results = _measured(arguments)
        progress("")
    print("\n".join(report.lines(results)), flush=True)
    if arguments.page:
        from benchmarks.voice import page

        page.write(results)
    if arguments.plot is not None:
        from benchmarks.voice import plot

        plot.draw(results, arguments.plot)
