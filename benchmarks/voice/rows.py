"""The rows of the paced tables, and what is divided by what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

LOOPS: Final = ("asyncio", "uvloop")
HARNESSES: Final = (*LOOPS, "trio", "threads")
OURS: Final = "live-protocol"
RUNTIMES: Final = (*LOOPS, "anyio", "trio", "anyio-trio", "threads")
"""Where we run: ``anyio`` is anyio over asyncio, ``anyio-trio`` over trio."""
BENEATH: Final = {"anyio": "asyncio", "anyio-trio": "trio"}


@dataclass(frozen=True, order=True)
class Row:
    """A client on a runtime, with options."""

    client: str
    runtime: str
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As ``--clients`` takes it: ``live-protocol:uvloop:reconnect``."""
        return ":".join((self.client, self.runtime, *self.options))

    @property
    def harness(self) -> Row:
        """The timers alone, on the same runtime."""
        return Row("harness", BENEATH.get(self.runtime, self.runtime))

    @property
    def floor(self) -> Row:
        """Ready-made bytes on the same runtime, with TLS if this row has it."""
        return Row("floor", self.harness.runtime, tuple(option for option in self.options if option == "tls"))


def _with(tls: tuple[str, ...]) -> Iterable[Row]:
    yield from (Row("floor", runtime, tls) for runtime in HARNESSES)
    yield from (Row("picows", loop, tls) for loop in LOOPS)
    yield from (Row("websockets", loop, tls) for loop in LOOPS)
    yield from (Row("google-genai", loop, tls) for loop in LOOPS)
    yield from (Row(OURS, runtime, tls) for runtime in RUNTIMES)


ALL: Final[tuple[Row, ...]] = (
    *(Row("harness", runtime) for runtime in HARNESSES),
    *_with(()),
    *(Row(OURS, runtime, ("reconnect",)) for runtime in RUNTIMES),
    *(Row(OURS, runtime, ("recorder",)) for runtime in RUNTIMES),
    *_with(("tls",)),
    *(Row(OURS, loop, ("reconnect", "tls")) for loop in LOOPS),
)
SLOWER_PACE: Final[tuple[Row, ...]] = tuple(
    row for row in ALL if not set(row.options) & {"tls", "recorder"} and row.runtime != "anyio-trio"
)
"""What the profile 100/200 measures unless ``--clients`` says otherwise."""
QUICK: Final[tuple[Row, ...]] = (
    *(Row("harness", runtime) for runtime in HARNESSES),
    Row("floor", "asyncio"),
    Row("floor", "uvloop"),
    Row("floor", "trio", ("tls",)),
    Row("floor", "threads", ("tls",)),
    Row("picows", "uvloop"),
    Row("websockets", "uvloop", ("tls",)),
    Row("google-genai", "asyncio"),
    Row(OURS, "asyncio"),
    Row(OURS, "uvloop"),
    Row(OURS, "anyio"),
    Row(OURS, "trio", ("tls",)),
    Row(OURS, "threads", ("reconnect",)),
    Row(OURS, "asyncio", ("recorder",)),
)
"""Each client and each option once."""
CAPACITY: Final[tuple[Row, ...]] = (
    Row("floor", "uvloop"),
    Row("picows", "uvloop"),
    Row("websockets", "uvloop"),
    Row("websockets", "asyncio"),
    Row("google-genai", "asyncio"),
    Row(OURS, "asyncio"),
    Row(OURS, "uvloop"),
    Row(OURS, "uvloop", ("reconnect",)),
    Row(OURS, "uvloop", ("tls",)),
    Row(OURS, "trio"),
    Row(OURS, "threads"),
)


def chosen(patterns: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """The rows that match a pattern, with the harness each one needs for its net figures."""
    if not patterns:
        return list(rows)
    wanted = [row for row in ALL if any(fnmatchcase(row.name, pattern) for pattern in patterns)]
    if not wanted:
        raise SystemExit(f"no client matches {', '.join(patterns)}; there are {', '.join(row.name for row in ALL)}")
    return list(dict.fromkeys([*(row.harness for row in wanted), *wanted]))


@dataclass(frozen=True)
class Goal:
    """A ratio of net CPU times and what it has to be."""

    text: str
    above: Row
    below: Row
    at_least: float | None = None
    at_most: float | None = None


def _ours(runtime: str, *options: str) -> Row:
    return Row(OURS, runtime, options)


GOALS: Final[tuple[Goal, ...]] = (
    *(
        Goal(f"sessions a core against {other} by hand, {loop}", Row(other, loop), _ours(loop), at_least=least)
        for other, least in (("websockets", 1.25), ("picows", 0.55))
        for loop in LOOPS
    ),
    *(
        Goal(f"sessions a core against google-genai, {loop}", Row("google-genai", loop), _ours(loop), at_least=least)
        for loop, least in (("asyncio", 3.2), ("uvloop", None))
    ),
    *(
        Goal(f"cost over the floor, {runtime}", _ours(runtime), Row("floor", runtime), at_most=most)
        for runtime, most in (("asyncio", 1.6), ("uvloop", None), ("trio", 1.5), ("threads", 1.5))
    ),
    Goal("cost of anyio over asyncio", _ours("anyio"), _ours("asyncio"), at_most=1.1),
    Goal("cost of anyio over trio", _ours("anyio-trio"), _ours("trio"), at_most=1.1),
    *(
        Goal(f"cost with reconnect= over plain, {runtime}", _ours(runtime, "reconnect"), _ours(runtime), at_most=1.1)
        for runtime in RUNTIMES
    ),
    *(
        Goal(f"cost with a recorder over plain, {runtime}", _ours(runtime, "recorder"), _ours(runtime), at_most=1.3)
        for runtime in RUNTIMES
    ),
    *(
        Goal(f"sessions a core against {other}, {loop}, TLS", Row(other, loop, ("tls",)), _ours(loop, "tls"))
        for other in ("websockets", "picows", "google-genai")
        for loop in LOOPS
    ),
    *(
        Goal(f"cost over the floor, {runtime}, TLS", _ours(runtime, "tls"), Row("floor", runtime, ("tls",)))
        for runtime in HARNESSES
    ),
)
MORE_SYSTEM_CALLS: Final = 0.05
"""A message, above the floor's: what a count of a few seconds is off by."""
MOST_KILOBYTES: Final = 24
"""Of a session with ``reconnect=``."""
