"""A peer that calls functions, and a runner that answers, on every runtime."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from transports.reconnecting.service import TEXT
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import Conn, Gone

from live_protocol.tools import ToolRegistry
from live_transports import anyio as live_anyio
from live_transports import asyncio as live_asyncio
from live_transports import sync as live_sync
from live_transports import trio as live_trio
from live_transports.tools import ToolEnd, ToolOutcome

RUNNERS: dict[str, Any] = {
    "asyncio": live_asyncio.ToolRunner,
    "uvloop": live_asyncio.ToolRunner,
    "trio": live_trio.ToolRunner,
    "anyio-asyncio": live_anyio.ToolRunner,
    "anyio-trio": live_anyio.ToolRunner,
    "sync": live_sync.ToolRunner,
}


class Coloured:
    """A stream on threads, as if it were asynchronous."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain

    def __aiter__(self) -> Coloured:
        return self

    async def __anext__(self) -> Any:
        for event in self.plain:
            return event
        raise StopAsyncIteration

    def turn(self) -> Any:
        return self.plain.turn()

    @property
    def running(self) -> int:
        return int(self.plain.running)


@contextlib.asynccontextmanager
async def over(runner: Any, session: Any) -> AsyncIterator[Any]:
    if isinstance(runner, live_sync.ToolRunner):
        with runner.attach(session.plain) as stream:
            yield Coloured(stream)
    else:
        async with runner.attach(session) as stream:
            yield stream


class Bench:
    """A peer that calls and keeps the answers, a runner, and its outcomes."""

    def __init__(self, kit: Kit, *functions: Any, **options: Any) -> None:
        self.outcomes: list[ToolOutcome] = []
        registry = functions[0] if functions and isinstance(functions[0], ToolRegistry) else ToolRegistry(*functions)
        self.runner = RUNNERS[kit.name](registry, on_outcome=self.outcomes.append, **options)
        self.registry = registry
        self.config = {**TEXT, "tools": [registry.tool()]} if len(registry) else TEXT

    @property
    def ends(self) -> dict[str, ToolEnd]:
        return {outcome.call.id or "": outcome.end for outcome in self.outcomes}


def call(conn: Conn, *calls: tuple[str, str, dict[str, Any]]) -> None:
    conn.say({"toolCall": {"functionCalls": [{"id": key, "name": name, "args": args} for key, name, args in calls]}})


def answers(conn: Conn, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        found += conn.read_message().get("toolResponse", {}).get("functionResponses", [])
    return found


def leave(conn: Conn) -> None:
    with contextlib.suppress(Gone):
        conn.farewell()


def rest(conn: Conn) -> list[dict[str, Any]]:
    """Every message up to our close frame, which is answered."""
    found: list[dict[str, Any]] = []
    with contextlib.suppress(Gone):
        while True:
            found.append(conn.read_message())
    with contextlib.suppress(Gone):
        conn.close()
    return found
