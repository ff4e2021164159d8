"""The loopback rows: real sessions over real TCP, both in one event loop, against `loopback_server`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from benchmarks import google_genai_side, live_protocol_side, wire
from benchmarks.loopback_server import running
from benchmarks.runner import Plan, Row, Side, settle, turns


class Client(Protocol):
    """What either side does here, through its public session and nothing else."""

    async def command(self, text: str) -> None:
        """Send one turn of client content."""

    async def listen(self) -> int:
        """Read until the turn is complete; gives the bytes of audio that came."""

    async def upload(self, chunk: bytes, count: int) -> None:
        """Send a chunk of audio this many times."""

    async def converse(self, chunk: bytes, count: int) -> int:
        """Send a chunk and wait for the audio it causes, this many times; then read to the turn's end."""


Sessions = dict[Side, Client]
Exercise = Callable[[Client], Awaitable[object]]


@contextlib.asynccontextmanager
async def _sessions(url: str) -> AsyncIterator[Sessions]:
    dial: dict[Side, Callable[[str], AbstractAsyncContextManager[Client]]]
    dial = {"peer": google_genai_side.connect, "ours": live_protocol_side.connect}
    async with contextlib.AsyncExitStack() as stack:
        yield {side: await stack.enter_async_context(connect(url)) for side, connect in dial.items()}


async def _measure(plan: Plan, name: str, sessions: Sessions, exercise: Exercise) -> list[Row]:
    cpu, wall = Row("loopback", f"{name}, CPU", "us/frame"), Row("loopback", f"{name}, wall", "us/frame")
    for session in sessions.values():
        await exercise(session)
    for side in turns(plan.rounds, f"loopback: {name}"):
        settle()
        wall_start, cpu_start = time.perf_counter_ns(), time.process_time_ns()
        await exercise(sessions[side])
        spent, passed = time.process_time_ns() - cpu_start, time.perf_counter_ns() - wall_start
        cpu.samples[side].append(spent / plan.frames / 1000)
        wall.samples[side].append(passed / plan.frames / 1000)
    return [cpu, wall]


def _expect(got: int, frames: int, milliseconds: int) -> None:
    wanted = frames * milliseconds * wire.OUTPUT_RATE // 1000 * 2
    if got != wanted:
        raise RuntimeError(f"{got} bytes of audio came, {wanted} were sent")


async def _rows(plan: Plan, url: str) -> list[Row]:
    frames, chunk = plan.frames, wire.pcm(20, wire.INPUT_RATE)

    def down(milliseconds: int) -> Exercise:
        async def exercise(client: Client) -> None:
            await client.command(f"down {milliseconds} {frames}")
            _expect(await client.listen(), frames, milliseconds)

        return exercise

    async def up(client: Client) -> None:
        await client.command(f"up {frames}")
        await client.upload(chunk, frames)
        await client.listen()

    async def echo(client: Client) -> None:
        await client.command(f"echo 40 {frames}")
        _expect(await client.converse(chunk, frames), frames, 40)

    result: list[Row] = []
    async with _sessions(url) as sessions:
        result += await _measure(plan, "down 40 ms", sessions, down(40))
        result += await _measure(plan, "down 200 ms", sessions, down(200))
        result += await _measure(plan, "up 20 ms", sessions, up)
        result += await _measure(plan, "echo 20 ms up, 40 ms down", sessions, echo)
    return result


def rows(plan: Plan) -> list[Row]:
    with running() as url:
        return asyncio.run(_rows(plan, url))
