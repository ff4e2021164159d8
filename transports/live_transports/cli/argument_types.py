"""Types of arguments: numbers within bounds, and paths that shells complete."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, Literal


def number(*, zero: bool = False, unit: float = 1.0, most: float = math.inf) -> Callable[[str], float]:
    """The type of an argument that is a finite number above 0.

    Args:
        zero: Whether 0 is allowed.
        unit: The number is multiplied by this.
        most: The largest result.
    """
    expected = f"a number {'from' if zero else 'above'} 0{f', at most {most / unit:g}' if math.isfinite(most) else ''}"

    def parse(text: str) -> float:
        try:
            value = float(text) * unit
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and 0 <= value <= most and (zero or value)):
            raise argparse.ArgumentTypeError(f"must be {expected}, not {text!r}")
        return value

    return parse


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an argument that is a whole number within bounds."""
    expected = f"a whole number from {least}{'' if most is None else f' to {most}'}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"must be {expected}, not {text!r}")
        return value

    return parse


def add_path(
    parser: argparse.ArgumentParser, *names: str, kind: Literal["file", "directory"] = "file", **options: Any
) -> None:
    """Declare an argument that is a path; shtab reads its attribute ``complete``."""
    parser.add_argument(*names, **options).complete = kind  # type: ignore[attr-defined]
