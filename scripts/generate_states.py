"""Writes docs/reference/states.md from the transition tables: `python scripts/generate_states.py [--check]`."""

from __future__ import annotations

import enum
import inspect
import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from live_protocol import states as tables

TARGET = Path(__file__).parents[1] / "docs" / "reference" / "states.md"

Machine: TypeAlias = tuple[str, str, Mapping[Any, Any], type[enum.StrEnum], type[enum.StrEnum], enum.StrEnum]

MACHINES: tuple[Machine, ...] = (
    (
        "Connection",
        "The WebSocket connection.",
        tables.CONNECTION_TRANSITIONS,
        tables.ConnectionState,
        tables.ConnectionInput,
        tables.ConnectionState.CONNECTING,
    ),
    (
        "Phase",
        "The session, in both roles.",
        tables.PHASE_TRANSITIONS,
        tables.Phase,
        tables.PhaseInput,
        tables.Phase.NEW,
    ),
    ("Turn", "The model's turn.", tables.TURN_TRANSITIONS, tables.TurnState, tables.TurnInput, tables.TurnState.IDLE),
    (
        "Tool call",
        "One function call, by its id.",
        tables.TOOL_CALL_TRANSITIONS,
        tables.ToolCallState,
        tables.ToolCallInput,
        tables.ToolCallState.PENDING,
    ),
    (
        "Activity window",
        "The user's speech. AUTOMATIC if the server detects it; otherwise the client marks it, and begins OUTSIDE.",
        tables.ACTIVITY_TRANSITIONS,
        tables.ActivityState,
        tables.ActivityInput,
        tables.ActivityState.OUTSIDE,
    ),
)


def member_docs(cls: type[enum.StrEnum]) -> Iterator[tuple[str, str]]:
    """The names of an enum, each with the docstring under it."""
    lines = inspect.getsource(cls).splitlines()
    for line, following in itertools.pairwise(lines):
        name = line.strip().partition(" = ")[0]
        if name in cls.__members__:
            yield name, following.strip().strip('"')


def section(machine: Machine) -> Iterator[str]:
    """One machine: diagram, table and the meaning of each name."""
    title, text, table, states, inputs, initial = machine
    yield f"## {title}\n\n{text}\n"
    yield "```mermaid\nstateDiagram-v2"
    yield f"    [*] --> {initial}"
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, signal), after in table.items():
        arrows.setdefault((state, after), []).append(signal)
    for (state, after), signals in arrows.items():
        yield f"    {state} --> {after}: {', '.join(signals)}"
    yield "```\n"
    yield f"| | {' | '.join(inputs)} |"
    yield f"|---|{'---|' * len(inputs)}"
    for state in states:
        cells = [table.get((state, signal), "-") for signal in inputs]
        yield f"| **{state}** | {' | '.join(cells)} |"
    yield ""
    for cls in (states, inputs):
        for name, doc in member_docs(cls):
            yield f"- `{name}`: {doc}"
        yield ""


def page() -> str:
    """The whole page."""
    lines = [
        "# States\n",
        "For readers of the code, and for everyone who wonders why a command is refused. Generated from",
        "`live_protocol/states.py` by `python scripts/generate_states.py`; do not edit.\n",
        "Rows are states, columns are inputs, cells are the next state. A dash is a move that the protocol does not",
        "allow: the sender gets `IllegalInState`, the receiver an event with `unexpected=True`, or a failed connection",
        "if it is strict.\n",
    ]
    for machine in MACHINES:
        lines.extend(section(machine))
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    text = page()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() == text:
            return 0
        print("docs/reference/states.md is out of date; run python scripts/generate_states.py", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
