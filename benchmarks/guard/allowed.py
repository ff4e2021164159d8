"""The file of allowed figures: what it says, what holds against it, how it is written."""

from __future__ import annotations

import platform
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, Final

FILE: Final = File(__file__).with_name("allowed.toml")
FIGURES: Final = ("calls", "cycles", "kept", "kept_bytes", "peak", "instructions", "allocations", "copied")
"""All figures, in the order of the file."""
SCALED: Final = "instructions"
"""The figure that depends on how the interpreter was built; the yardstick shows by how much."""

HEAD: Final = """\
# What each path may cost: a message of it, or a session where the path opens sessions.
# `python -m benchmarks.guard` holds the code against this file, and `--update` rewrites it; see benchmarks/README.md.
#
#   calls         Python functions of ours, and those that attrs makes for us
#   cycles        objects that only the garbage collector can free
#   kept          blocks of memory that are still allocated afterwards
#   kept_bytes    their size
#   peak          the most bytes that are held while two messages pass
#   instructions  of the processor, counted by callgrind
#   allocations   blocks of memory taken, freed again or not, counted by callgrind
#   copied        bytes that memcpy and its like moved, counted by dhat
"""


@dataclass(frozen=True)
class Tolerance:
    """How far above the allowed figure still passes: a share of it, and a number."""

    share: float
    more: float

    def most(self, allowed: float) -> float:
        """The largest figure that passes; half a hundredth is lost by rounding."""
        return allowed * (1 + self.share) + self.more + 0.005


@dataclass(frozen=True)
class Excess:
    """A figure that is too high."""

    path: str
    figure: str
    allowed: float
    now: float

    def __str__(self) -> str:
        return f"{self.path}: {self.now:,.2f} {self.figure}, {self.allowed:,.2f} allowed"


def here() -> str:
    """The interpreter and the system that figures are comparable on."""
    return f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]}, {platform.system()}"


class Allowed:
    """The file."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.taken_on: str = data["taken"]["on"]
        self.yardstick: float = data["taken"]["yardstick"]
        self.tolerances = {
            where: {name: Tolerance(share, more) for name, (share, more) in data["tolerance"][where].items()}
            for where in ("here", "elsewhere")
        }
        self.paths: dict[str, dict[str, float]] = data["paths"]

    @classmethod
    def read(cls) -> Allowed:
        """The file as it is."""
        return cls(tomllib.loads(FILE.read_text(encoding="utf-8")))

    def compared(self) -> dict[str, Tolerance]:
        """The figures that can be compared here, and how closely."""
        return self.tolerances["here" if self.taken_on == here() else "elsewhere"]

    def excesses(self, found: Mapping[str, Mapping[str, float]], yardstick: float | None = None) -> Iterator[Excess]:
        """The figures that are too high.

        Args:
            found: Figures by path.
            yardstick: Instructions of the fixed script now.
        """
        tolerances = self.compared()
        for path, figures in found.items():
            for figure, now in figures.items():
                allowed = self.paths[path].get(figure)
                if allowed is None or figure not in tolerances:
                    continue
                if figure == SCALED and yardstick is not None:
                    now *= self.yardstick / yardstick  # noqa: PLW2901 - as it would be on the machine of the file
                if now > tolerances[figure].most(allowed):
                    yield Excess(path, figure, allowed, now)

    def update(self, found: Mapping[str, Mapping[str, float]], yardstick: float | None) -> None:
        """Make the figures of now the allowed ones, and write the file; what was not counted stays.

        Raises:
            SystemExit: The figures that stay are those of another interpreter or system.
        """
        if self.taken_on != here() and (yardstick is None or set(self.paths) - set(found)):
            raise SystemExit(f"the figures were taken on {self.taken_on}: take all of them anew, valgrind's included")
        self.taken_on = here()
        for path, figures in found.items():
            scale = 1.0 if yardstick is None or set(self.paths) <= set(found) else self.yardstick / yardstick
            scaled = {name: value * scale if name == SCALED else value for name, value in figures.items()}
            self.paths[path] = {**self.paths.get(path, {}), **scaled}
        if yardstick is not None and set(self.paths) <= set(found):
            self.yardstick = yardstick
        FILE.write_text(text(self), encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"


def _tolerances(table: Mapping[str, Tolerance]) -> list[str]:
    return [f"{name} = [{_number(one.share)}, {_number(one.more)}]" for name, one in table.items()]


def text(allowed: Allowed) -> str:
    """What the file says."""
    lines = [HEAD, "[taken]", f'on = "{allowed.taken_on}"']
    lines.append(
        f"yardstick = {_number(allowed.yardstick)}  # instructions of a fixed script that uses nothing of ours"
    )
    lines += ["", "# How far above the allowed figure still passes: a share of it, and a number.", "[tolerance.here]"]
    lines += _tolerances(allowed.tolerances["here"])
    lines += [
        "",
        "# On another version of Python or another system, where only these are compared.",
        "[tolerance.elsewhere]",
    ]
    lines += _tolerances(allowed.tolerances["elsewhere"])
    lines += ["", "[paths]"]
    for path, figures in allowed.paths.items():
        cells = ", ".join(f"{name} = {_number(figures[name])}" for name in FIGURES if name in figures)
        lines.append(f'"{path}" = {{ {cells} }}')
    return "\n".join(lines) + "\n"
