"""Rounds and rows: a round measures both sides back to back, and only figures of one round are divided."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["peer", "ours"]


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    rounds: int
    iterations: int
    """Calls per sample of the core rows."""
    frames: int
    """Frames per sample of the loopback rows."""
    fresh: int
    """Rounds of the rows that need a new process per sample."""
    idle: int
    """Idle sessions per process."""


FULL = Plan(rounds=15, iterations=3000, frames=2000, fresh=7, idle=200)
QUICK = Plan(rounds=5, iterations=500, frames=400, fresh=3, idle=100)


@dataclass
class Row:
    """One line of the table: a sample of each side per round, smaller is better."""

    group: str
    name: str
    unit: str
    samples: dict[Side, list[float]] = field(default_factory=lambda: {"peer": [], "ours": []})

    @property
    def label(self) -> str:
        return f"{self.group}: {self.name}"

    @property
    def ratios(self) -> list[float]:
        """Peer over ours, round by round."""
        return [peer / ours for peer, ours in zip(self.samples["peer"], self.samples["ours"], strict=True)]

    def median(self, side: Side) -> float:
        return statistics.median(self.samples[side])

    def ratio(self) -> float:
        return statistics.median(self.ratios)


def turns(rounds: int, label: str) -> Iterator[Side]:
    """A B, B A, A B ...: whoever goes second meets warmer caches, so the sides take it in turns."""
    orders: tuple[tuple[Side, Side], ...] = (("peer", "ours"), ("ours", "peer"))
    for index in range(rounds):
        progress(f"{label}: round {index + 1} of {rounds}")
        yield from orders[index % 2]


def settle() -> None:
    """Leave no garbage of the other side to collect, and nobody's imports to walk through while collecting.

    The collector itself stays on: the garbage a side makes is part of its cost.
    """
    gc.collect()
    gc.freeze()


def cpu_microseconds(call: Callable[[bytes], object], argument: bytes, iterations: int) -> float:
    """CPU time of one call."""
    settle()
    repeat = range(iterations)
    start = time.process_time_ns()
    for _ in repeat:
        call(argument)
    return (time.process_time_ns() - start) / iterations / 1000


def progress(text: str) -> None:
    """One line on standard error, overwritten by the next where it is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)
