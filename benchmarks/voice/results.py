"""What a run has measured: samples by row, medians, net figures, ratios."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from benchmarks.voice.rows import Goal, Row

Sample = dict[str, float]


@dataclass
class Table:
    """One profile: the samples of each row, one a round."""

    up: int
    down: int
    sessions: int
    samples: dict[Row, list[Sample]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.up} ms up, {self.down} ms down, {self.sessions} sessions"

    def values(self, row: Row, figure: str) -> list[float]:
        """A figure of each round."""
        return [sample[figure] for sample in self.samples[row]]

    def median(self, row: Row, figure: str) -> float:
        return statistics.median(self.values(row, figure))

    def nets(self, row: Row, figure: str = "cpu") -> list[float]:
        """The figure without the harness, of each round; empty where the harness was not measured."""
        if row.harness not in self.samples:
            return []
        pairs = zip(self.values(row, figure), self.values(row.harness, figure), strict=False)
        return [gross - harness for gross, harness in pairs]

    def net(self, row: Row, figure: str = "cpu") -> float | None:
        nets = self.nets(row, figure)
        return statistics.median(nets) if nets else None

    def ratios(self, above: Row, below: Row) -> list[float]:
        """Net CPU of one row over that of another, round by round."""
        if above not in self.samples or below not in self.samples:
            return []
        return [a / b for a, b in zip(self.nets(above), self.nets(below), strict=False) if a > 0 and b > 0]

    def goals(self, goals: tuple[Goal, ...]) -> list[tuple[Goal, list[float]]]:
        """The goals whose rows are here, with their ratios."""
        return [(goal, ratios) for goal in goals if (ratios := self.ratios(goal.above, goal.below))]


@dataclass
class Results:
    """All that a run has measured."""

    environment: dict[str, Any]
    plan: dict[str, Any]
    tables: list[Table] = field(default_factory=list)
    points: list[dict[str, Any]] = field(default_factory=list)
    """Many sessions on one core."""
    capacity: list[dict[str, Any]] = field(default_factory=list)
    growth: list[dict[str, Any]] = field(default_factory=list)
    syscalls: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "plan": self.plan,
            "tables": [
                {
                    "up": table.up,
                    "down": table.down,
                    "sessions": table.sessions,
                    "rows": [
                        {
                            "client": row.client,
                            "runtime": row.runtime,
                            "options": list(row.options),
                            "median": {figure: table.median(row, figure) for figure in samples[0]},
                            "net_cpu": table.net(row),
                            "samples": samples,
                        }
                        for row, samples in table.samples.items()
                        if samples
                    ],
                }
                for table in self.tables
            ],
            "points": self.points,
            "capacity": self.capacity,
            "growth": self.growth,
            "syscalls": self.syscalls,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Results:
        """What `as_json` gave."""
        tables = [
            Table(
                table["up"],
                table["down"],
                table["sessions"],
                {Row(row["client"], row["runtime"], tuple(row["options"])): row["samples"] for row in table["rows"]},
            )
            for table in data["tables"]
        ]
        rest = {name: data[name] for name in ("environment", "plan", "points", "capacity", "growth", "syscalls")}
        return cls(tables=tables, **rest)
