"""Numbers on the command line, refused in words that say which ones are taken; and paths, which shells complete."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, Literal


def number(*, zero: bool = False, unit: float = 1.0, most: float = math.inf) -> Callable[[str], float]:
    """The type of an argument that is a finite number above 0.

    Args:
        zero: Whether 0 will do too.
        unit: What the number is multiplied by.
        most: The highest value after that.
    """
    wanted = f"a number {'from' if zero else 'above'} 0{f', {most / unit:g} at most' if math.isfinite(most) else ''}"

    def parse(text: str) -> float:
        try:
            value = float(text) * unit
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and 0 <= value <= most and (zero or value)):
            raise argparse.ArgumentTypeError(f"must be {wanted}, not {text!r}")
        return value

    return parse


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an argument that is a whole number within bounds."""
    wanted = f"a whole number from {least}{'' if most is None else f' to {most}'}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"must be {wanted}, not {text!r}")
        return value

    return parse


def add_path(
    parser: argparse.ArgumentParser, *names: str, kind: Literal["file", "directory"] = "file", **options: Any
) -> None:
    """Declare an argument that is a path. The completion scripts of shtab complete it by its attribute ``complete``."""
    parser.add_argument(*names, **options).complete = kind  # type: ignore[attr-defined]
