"""Streams in memory under trio, with our server at their other end, on a clock that jumps."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
import trio.testing
from transports.runtimes.kit.peer import Conn

from live_protocol import (
    Endpoint,
    LiveConnection,
    LiveProtocolError,
)
from live_protocol.events import RealtimeInputReceived, SetupReceived
from live_protocol.messages import LiveServerContent, LiveServerMessage
from live_transports.structured.driver import StreamDriver
from live_transports.structured.nursery import hosted
from live_transports.trio import LiveServerSession
from live_transports.trio.runtime import RUNTIME, TrioStream

ENDPOINT = Endpoint.custom("ws://memory.test/")
TURN = LiveServerMessage(server_content=LiveServerContent(turn_complete=True))


def polite(conn: Conn) -> None:
    conn.open()
    conn.farewell()


def deaf(conn: Conn) -> None:
    conn.open()
    conn.until_gone()


def virtual(main: Callable[[], Awaitable[None]]) -> float:
    """Run on a clock that jumps whenever nothing else can happen; gives the seconds that passed on it."""
    clock = trio.testing.MockClock(autojump_threshold=0)

    async def timed() -> float:
        began = trio.current_time()
        with trio.fail_after(100_000):
            await main()
        return trio.current_time() - began

    return trio.run(timed, clock=clock)


@asynccontextmanager
async def server_end(stream: trio.abc.Stream, **options: Any) -> AsyncIterator[LiveServerSession]:
    """The other end of a stream in memory."""
    machine = LiveConnection.server(**options)
    wire = StreamDriver(machine, RUNTIME)
    session = LiveServerSession._create(machine, wire)
    async with hosted(RUNTIME, wire, TrioStream(stream)):
        await session._admit(lambda _: None)
        yield session


async def accepting(session: LiveServerSession) -> None:
    async for event in session:
        if isinstance(event, SetupReceived):
            await session.send_setup_complete()


async def answering(stream: trio.abc.Stream, got: list[str] | None = None, **options: Any) -> None:
    async with server_end(stream, **options) as session:
        with suppress(LiveProtocolError):
            async for event in session:
                if isinstance(event, SetupReceived):
                    await session.send_setup_complete()
                elif isinstance(event, RealtimeInputReceived) and got is not None and event.input.text is not None:
                    got.append(event.input.text)


class Watched(trio.abc.HalfCloseableStream):
    """A stream that tells whether it was closed, and blocks or breaks on request."""

    def __init__(self, below: trio.abc.HalfCloseableStream) -> None:
        self.below = below
        self.closed = trio.Event()
        self.blocked = trio.Event()
        self.sends_until_stuck = math.inf
        self.broken: Exception | None = None

    async def send_all(self, data: Any) -> None:
        if self.broken is not None:
            raise trio.BrokenResourceError from self.broken
        self.sends_until_stuck -= 1
        if self.sends_until_stuck < 0:
            self.blocked.set()
            await trio.sleep_forever()
        await self.below.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self.below.receive_some(max_bytes))

    async def wait_send_all_might_not_block(self) -> None:
        await self.below.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.below.send_eof()

    async def aclose(self) -> None:
        self.closed.set()
        await self.below.aclose()


def in_memory() -> tuple[Watched, trio.abc.HalfCloseableStream]:
    ours, theirs = trio.testing.memory_stream_pair()
    return Watched(ours), theirs
