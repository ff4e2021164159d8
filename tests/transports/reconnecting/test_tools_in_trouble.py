"""Functions that take too long or misbehave, and models that take less than others."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from support.patience import PATIENCE
from transports.reconnecting.bench import RUNNERS, Bench, answers, call, leave, over, rest
from transports.reconnecting.service import QUIET, until
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import Conn, Peer

from live_protocol import Endpoint, ToolCallCancelled, ToolCallRequested
from live_protocol.messages import Behavior, FunctionResponsePart, FunctionResponseScheduling
from live_protocol.session import profile_for
from live_protocol.tools import ToolRegistry
from live_transports.tools import ToolEnd, ToolResult


async def all_over(kit: Kit, bench: Bench, session: Any, count: int) -> None:
    async with over(bench.runner, session) as stream:
        for _ in range(count):
            await until(stream, ToolCallRequested)
        while len(bench.outcomes) < count:
            await kit.sleep(0.002)


def asks(count: int, *calls: tuple[str, str, dict[str, Any]]) -> Any:
    def script(conn: Conn) -> list[dict[str, Any]]:
        conn.open()
        call(conn, *calls)
        found = answers(conn, count)
        leave(conn)
        return found

    return script


async def quick() -> str:
    """Be quick."""
    return "here"


@pytest.mark.parametrize("where", ["thread", "loop"])
def test_a_function_that_takes_too_long(kit: Kit, where: str) -> None:
    """The model is told at once, whatever the function still does; and its place is another's in the end."""
    release = threading.Event()

    def blocking() -> str:
        """Take its time."""
        assert release.wait(PATIENCE)
        return "late"

    async def waiting() -> str:
        """Wait."""
        await kit.sleep(PATIENCE)
        return "late"

    hangs = "blocking" if where == "thread" or kit.name == "sync" else "waiting"

    def script(conn: Conn) -> list[dict[str, Any]]:
        conn.open()
        call(conn, ("1", hangs, {}), ("2", "quick", {}))
        found = answers(conn, 1)
        release.set()
        found += answers(conn, 1)
        leave(conn)
        return found

    async def scenario() -> None:
        async with kit.connect(peer.endpoint(), bench.config, timeouts=QUIET) as session:
            await all_over(kit, bench, session, 2)
        (found,) = await kit.join(peer)
        assert [(one["id"], one["response"]) for one in found] == [
            ("1", {"error": "TimeoutError: no result within 0.02 seconds"}),
            ("2", {"output": "here"}),
        ]
        assert bench.ends == {"1": ToolEnd.TIMED_OUT, "2": ToolEnd.ANSWERED}
        assert isinstance(bench.outcomes[0].error, TimeoutError)
        assert bench.outcomes[0].responses == 1

    timeout = {hangs: 0.02, "quick": PATIENCE}
    bench = Bench(kit, blocking, waiting, quick, concurrency=1, timeout=timeout)
    with Peer(script) as peer:
        kit.run(scenario)


def test_a_function_that_answers_for_itself(kit: Kit) -> None:
    """Its time is up when the call is answered already: nothing is told, nothing is cancelled."""
    release = threading.Event()
    sessions: list[Any] = []

    async def waiting() -> None:
        """Answer, then go on."""
        await sessions[0].send_tool_response({"id": "1", "response": {"output": "mine"}})
        while not release.is_set():
            await kit.sleep(0.002)

    def blocking() -> None:
        """Answer, then go on."""
        sessions[0].plain.send_tool_response({"id": "1", "response": {"output": "mine"}})
        assert release.wait(PATIENCE)

    name = "blocking" if kit.name == "sync" else "waiting"

    async def scenario() -> None:
        async with kit.connect(peer.endpoint(), bench.config, timeouts=QUIET) as session:
            sessions.append(session)
            async with over(bench.runner, session) as stream:
                await until(stream, ToolCallRequested)
                await kit.sleep(0.05)  # lets the deadline pass
                release.set()
                while not bench.outcomes:
                    await kit.sleep(0.002)
        (found,) = await kit.join(peer)
        assert [one["response"] for one in found] == [{"output": "mine"}]
        assert bench.ends == {"1": ToolEnd.UNSENT}

    bench = Bench(kit, blocking, waiting, timeout=0.02)
    with Peer(asks(1, ("1", name, {}))) as peer:
        kit.run(scenario)


def test_nobody_is_there_any_more_to_be_told(kit: Kit) -> None:
    release = threading.Event()

    def blocking() -> None:
        """Take its time."""
        assert release.wait(PATIENCE)

    def script(conn: Conn) -> None:
        conn.open()
        call(conn, ("1", "blocking", {}))
        conn.close(1000, "")
        conn.read_close()

    async def scenario() -> None:
        async with (
            kit.connect(peer.endpoint(), bench.config, timeouts=QUIET) as session,
            over(bench.runner, session) as stream,
        ):
            await until(stream, ToolCallRequested)
            await session.close()
            await kit.sleep(0.05)  # lets the deadline pass
            release.set()
            while not bench.outcomes:
                await kit.sleep(0.002)
        await kit.join(peer)
        assert bench.ends == {"1": ToolEnd.UNSENT}

    bench = Bench(kit, blocking, timeout=0.02)
    with Peer(script) as peer:
        kit.run(scenario)


def test_a_timeout_is_positive(kit: Kit) -> None:
    for timeout in (0, -1.0, float("nan"), {"f": 0}):
        with pytest.raises(ValueError, match="positive"):
            RUNNERS[kit.name]({}, timeout=timeout)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def mute() -> None:
    """Fail without a word."""
    raise Mute


def circular() -> list[Any]:
    """Give what contains itself."""
    found: list[Any] = []
    found.append(found)
    return found


async def untidy() -> AsyncIterator[int]:
    """Clean up badly."""
    try:
        yield 1
        yield object()  # type: ignore[misc]
    finally:
        raise OSError("while cleaning up")


def untidy_here() -> Iterator[Any]:
    """Clean up badly."""
    try:
        yield 1
        yield object()
    finally:
        raise OSError("while cleaning up")


def test_functions_that_misbehave(kit: Kit) -> None:
    names = ["mute", "circular", "untidy", "untidy_here"]

    async def scenario() -> None:
        async with kit.connect(peer.endpoint(), bench.config, timeouts=QUIET) as session:
            await all_over(kit, bench, session, len(names))
        (found,) = await kit.join(peer)
        by_id = {one["id"]: one for one in found}
        assert by_id["mute"]["response"] == {"error": "Mute"}
        assert "cannot be converted to JSON: RecursionError" in by_id["circular"]["response"]["error"]
        assert set(bench.ends.values()) == {ToolEnd.FAILED}
        for name in ("untidy", "untidy_here"):
            assert "error" in by_id[name]["response"]
            assert "willContinue" not in by_id[name]

    registry = ToolRegistry(mute, circular)
    for function in (untidy, untidy_here):
        registry.add(function, behavior=Behavior.NON_BLOCKING)
    bench = Bench(kit, registry)
    with Peer(asks(len(names) + 2, *[(name, name, {}) for name in names])) as peer:
        kit.run(scenario)


def test_a_generator_that_is_cancelled_cleans_up(kit: Kit) -> None:
    cleaned = threading.Event()
    begun = threading.Event()

    def endless() -> Iterator[int]:
        """Go on for ever."""
        try:
            while True:
                begun.set()
                yield 1
        finally:
            cleaned.set()

    def script(conn: Conn) -> None:
        conn.open()
        call(conn, ("1", "endless", {}))
        assert begun.wait(PATIENCE)
        conn.say({"toolCallCancellation": {"ids": ["1"]}})
        rest(conn)

    async def scenario() -> None:
        async with (
            kit.connect(peer.endpoint(), bench.config, timeouts=QUIET) as session,
            over(bench.runner, session) as stream,
        ):
            await until(stream, ToolCallCancelled)
            while not bench.outcomes:
                await kit.sleep(0.002)
            assert cleaned.is_set()
        await kit.join(peer)
        assert bench.ends == {"1": ToolEnd.CANCELLED}

    registry = ToolRegistry()
    registry.add(endless, behavior=Behavior.NON_BLOCKING)
    bench = Bench(kit, registry)
    with Peer(script) as peer:
        kit.run(scenario)


async def steps() -> AsyncIterator[Any]:
    """Go step by step."""
    yield "one"
    yield ToolResult("two", scheduling=FunctionResponseScheduling.INTERRUPT, parts=[FunctionResponsePart()])


def stepwise() -> ToolRegistry:
    registry = ToolRegistry()
    registry.add(steps, behavior=Behavior.NON_BLOCKING)
    return registry


def test_vertex_takes_no_series(kit: Kit) -> None:
    async def scenario() -> None:
        port = peer.port
        endpoint = Endpoint.vertex(access_token="t", project="p", location="l", base_url=f"ws://127.0.0.1:{port}")
        async with kit.connect(endpoint, bench.config, timeouts=QUIET) as session:
            await all_over(kit, bench, session, 1)
        (found,) = await kit.join(peer)
        assert [(one["response"], one["scheduling"]) for one in found] == [({"output": ["one", "two"]}, "INTERRUPT")]
        assert "willContinue" not in found[0]
        assert len(found[0]["parts"]) == 1

    bench = Bench(kit, stepwise())
    with Peer(asks(1, ("1", "steps", {}))) as peer:
        kit.run(scenario)


def test_extended_thinking_takes_no_scheduling(kit: Kit) -> None:
    async def scenario() -> None:
        profile = profile_for("models/gemini-3.8-live-extended-thinking")
        async with kit.connect(peer.endpoint(), bench.config, timeouts=QUIET, profile=profile) as session:
            await all_over(kit, bench, session, 1)
        (found,) = await kit.join(peer)
        assert [one["response"] for one in found] == [{"output": "one"}, {"output": "two"}, {}]
        assert [one.get("willContinue") for one in found] == [True, True, False]
        assert all("scheduling" not in one for one in found)

    bench = Bench(kit, stepwise(), scheduling="WHEN_IDLE")
    with Peer(asks(3, ("1", "steps", {}))) as peer:
        kit.run(scenario)
