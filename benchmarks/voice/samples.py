"""Taking samples: a client process each, against one server process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Final

from benchmarks.runner import progress
from benchmarks.voice.measure import Plan, cores
from benchmarks.voice.results import Sample, Table
from benchmarks.voice.rows import Row
from benchmarks.voice.server import Address
from benchmarks.wire import OUTPUT_RATE

TOO_LATE: Final = 20.0
"""Milliseconds of p99 delay above which a core carries too many sessions."""
CLOSE: Final = 1.06
"""The search ends when the bounds are this close."""
MOST: Final = 6000
"""Sessions, for sockets and memory are bounded too."""


class Client:
    """Starts client processes."""

    def __init__(self, address: Address, **plan: Any) -> None:
        self._plan = Plan(
            "harness",
            "asyncio",
            port=address.port,
            tls_port=address.tls_port,
            authority=address.authority,
            core=cores()[1],
            **plan,
        )

    def plan(self, row: Row, **changes: Any) -> Plan:
        return replace(self._plan, client=row.client, runtime=row.runtime, options=row.options, **changes)

    def start(self, plan: Plan) -> subprocess.Popen[bytes]:
        """The process of a sample."""
        command = [sys.executable, "-m", "benchmarks.voice.client", json.dumps(asdict(plan))]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def sample(self, row: Row, **changes: Any) -> Sample:
        """One sample of a row."""
        plan = self.plan(row, **changes)
        with self.start(plan) as process:
            output, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{row.name} failed with {plan}")
        figures: Sample = json.loads(output.splitlines()[-1])
        chunk = plan.down * OUTPUT_RATE // 1000 * 2 if plan.size is None else plan.size
        if row.client != "harness" and figures["arrived"] and figures.pop("chunk") != chunk:
            raise RuntimeError(f"{row.name} did not decode all of the audio")
        if hasattr(os, "getloadavg"):
            figures["load"] = os.getloadavg()[0]
        return figures


def fill(table: Table, client: Client, rows: list[Row], rounds: int, saved: Callable[[], None]) -> None:
    """Interleaved rounds, each beginning with another row so that none always comes first."""
    for round_number in range(rounds):
        shift = round_number * len(rows) // max(rounds, 1)
        for number, row in enumerate(rows[shift:] + rows[:shift]):
            where = f"round {round_number + 1} of {rounds}, {number + 1} of {len(rows)}"
            progress(f"{table.title}: {where}: {row.name}")
            sample = client.sample(row, up=table.up, down=table.down, sessions=table.sessions)
            table.samples.setdefault(row, []).append(sample)
        saved()


def carried(client: Client, row: Row, guess: int, *, up: int, down: int) -> dict[str, Any]:
    """How many sessions a core carries before the p99 delay of an event passes `TOO_LATE`, by bisection."""
    steps: list[dict[str, Any]] = []

    def is_carried(sessions: int) -> bool:
        # A second try: one interruption by another process is enough to spoil a p99.
        for attempt in ("", ", again"):
            progress(f"sessions a core: {row.name}: {sessions}{attempt}")
            sample = client.sample(row, up=up, down=down, sessions=sessions)
            steps.append({"sessions": sessions, **sample})
            if sample["delay_p99"] <= TOO_LATE and sample["arrived"] > 0.9:
                return True
        return False

    low, high = 0, MOST
    sessions = max(min(guess, MOST), 2)
    while high / max(low, 1) > CLOSE and high - low > 1:
        if is_carried(sessions):
            low = sessions
        else:
            high = sessions
        if not low:
            sessions = high * 2 // 3
        elif high == MOST:
            sessions = min(low * 5 // 4, MOST - 1)
        else:
            sessions = (low + high) // 2
        if sessions in {low, high} or sessions < 1:
            break
    return {
        "client": row.client,
        "runtime": row.runtime,
        "options": list(row.options),
        "up": up,
        "down": down,
        "sessions": low,
        "server_busy": any(step["sessions"] <= high and step.get("server_cpu", 0) > 0.8 for step in steps),
        "steps": steps,
    }
