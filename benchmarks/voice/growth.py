"""How the cost grows: with sessions, with the size of a message, with the pieces that it arrives in."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks import live_protocol_side
from benchmarks.runner import progress, settle
from benchmarks.voice.rows import OURS, Row
from benchmarks.voice.samples import Client
from benchmarks.voice.server import audio_frame

DOUBLING: Final = 2.2
"""What doubling may cost."""
SESSIONS: Final = (1, 10, 100, 1000)
SIZES: Final = tuple(1024 * 4**power for power in range(7))
"""Bytes of base64 in one message, 1 KiB to 4 MiB."""
PIECES: Final[tuple[tuple[str, int, tuple[int, ...]], ...]] = (
    ("1-byte drip", 1, tuple(1024 * 2**power for power in range(6))),
    ("4 KiB reads", 4096, SIZES[2:]),
    ("whole", 1 << 30, SIZES),
)
SPAN: Final = 0.05
"""Seconds of CPU time in each measurement of a message in pieces, at least."""


def doublings(sizes: Sequence[int], costs: Sequence[float]) -> list[float]:
    """By what the cost is multiplied where the size doubles, from each step to the next."""
    steps = zip(sizes, costs, sizes[1:], costs[1:], strict=False)
    return [(cost / before) ** (1 / math.log2(size / smaller)) for smaller, before, size, cost in steps]


def _line(what: str, who: str, unit: str, sizes: Sequence[int], costs: Sequence[float]) -> dict[str, Any]:
    factors = doublings(sizes, costs)
    return {"what": what, "who": who, "unit": unit, "sizes": list(sizes), "costs": list(costs), "doublings": factors}


def by_sessions(client: Client, rows: Sequence[Row], counts: Sequence[int]) -> list[dict[str, Any]]:
    """CPU of all sessions together, at 100 ms up and 200 ms down."""
    lines = []
    for row in rows:
        costs = []
        for count in counts:
            progress(f"growth: {row.name}: {count} sessions")
            sample = client.sample(row, up=100, down=200, sessions=count)
            costs.append(sample["cpu"] * count / 1000)
        lines.append(_line("sessions", row.name, "ms of CPU a second", counts, costs))
    return lines


def by_size(client: Client, rows: Sequence[Row], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """CPU of one message, over TCP."""
    lines = []
    for row in rows:
        costs = []
        for size in sizes:
            progress(f"growth: {row.name}: messages of {size} bytes")
            sample = client.sample(row, up=0, down=200, sessions=4, size=size * 3 // 4)
            costs.append(sample["cpu"] * 200 / 1000)
        lines.append(_line("message size", row.name, "us of CPU a message", sizes, costs))
    return lines


def _receiver(frame: bytes, piece: int) -> Callable[[], None]:
    connection = live_protocol_side.ready_connection()
    pieces = [frame[at : at + piece] for at in range(0, len(frame), piece)]
    receive_data, events = connection.receive_data, connection.events

    def receive() -> None:
        came = 0
        for data in pieces:
            receive_data(data)
            for _ in events():
                came += 1
        if not came:
            raise RuntimeError("the message did not arrive")

    return receive


def by_pieces(rounds: int, span: float = SPAN) -> list[dict[str, Any]]:
    """CPU of one message that arrives in pieces, in the core, without I/O."""
    lines = []
    for name, piece, sizes in PIECES:
        costs = []
        for size in sizes:
            progress(f"growth: {name}: messages of {size} bytes")
            receive = _receiver(audio_frame(size * 3 // 4), piece)
            receive()
            receive()
            samples = []
            for _ in range(rounds):
                settle()
                done, start = 0, time.process_time()
                while (spent := time.process_time() - start) < span or not done:
                    receive()
                    done += 1
                samples.append(spent / done * 1e6)
            costs.append(statistics.median(samples))
        lines.append(_line("message in pieces", f"{OURS}, core: {name}", "us of CPU a message", sizes, costs))
    return lines
