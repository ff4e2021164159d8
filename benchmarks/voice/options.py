"""The options of ``python -m benchmarks --only voice``; imports nothing that the other parts would pay for."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROFILES: Final = {"20/40": (20, 40), "100/200": (100, 200)}
PARTS: Final = ("paced", "points", "capacity", "growth")


@dataclass(frozen=True)
class Amount:
    """How much to measure."""

    sessions: int
    seconds: float
    warm: float
    rounds: int


FULL: Final = Amount(sessions=100, seconds=5.0, warm=1.0, rounds=5)
QUICK: Final = Amount(sessions=20, seconds=0.8, warm=0.2, rounds=1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that only this part has."""
    group = parser.add_argument_group("--only voice")
    group.add_argument(
        "--clients",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="rows such as live-protocol:uvloop:tls, or patterns such as 'live-protocol:*' 'floor:*'",
    )
    group.add_argument("--profile", nargs="+", choices=PROFILES, help="ms up/ms down; both by default")
    group.add_argument("--sessions", type=int, metavar="N", help=f"sessions of the paced rows ({FULL.sessions})")
    group.add_argument("--seconds", type=float, metavar="S", help=f"measured seconds a sample ({FULL.seconds:g})")
    group.add_argument("--rounds", type=int, metavar="N", help=f"interleaved rounds ({FULL.rounds})")
    group.add_argument("--parts", nargs="*", choices=PARTS, help="parts of the report; all by default")
    group.add_argument(
        "--syscalls",
        action="store_true",
        help="also count system calls a message (needs strace)",
    )
    group.add_argument("--page", action="store_true", help="also write the figures into docs/guide/sessions-a-core.md")
    group.add_argument("--plot", type=Path, metavar="FILE", help="also draw the results to FILE, SVG or PNG")
    group.add_argument(
        "--from-json", type=Path, metavar="FILE", help="measure nothing: print and draw what --json wrote"
    )
