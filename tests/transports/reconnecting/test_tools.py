"""Functions run beside the stream: bounded, cancelled, answered once, and never on the wrong connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from support.patience import PATIENCE
from transports.reconnecting.bench import RUNNERS, Bench, answers, call, leave, over, rest
from transports.reconnecting.service import EAGER, QUIET, TEXT, until
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import Conn, Peer

from live_protocol import Reconnected, TextChunk, ToolCallCancelled, ToolCallRequested
from live_protocol.messages import Behavior, FunctionResponseScheduling
from live_protocol.tools import ToolRegistry
from live_transports import asyncio as live_asyncio
from live_transports.tools import ToolEnd, ToolOutcome, ToolResult


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def multiply(a: int, b: int) -> dict[str, int]:
    """Multiply."""
    return {"product": a * b}


def fail() -> None:
    """Fail."""
    raise ZeroDivisionError("by nought")


def opaque() -> object:
    """Give what has no form in JSON."""
    return object()


async def count(to: int) -> AsyncIterator[int]:
    """Count."""
    for number in range(to):
        yield number


def letters(word: str) -> Iterator[Any]:
    """Spell."""
    for letter in word:
        yield ToolResult(letter, scheduling=FunctionResponseScheduling.INTERRUPT)


def test_results_errors_and_streams(kit: Kit) -> None:
    calls = [
        ("1", "add", {"a": 1, "b": 2}),
        ("2", "multiply", {"a": 3, "b": 4}),
        ("3", "fail", {}),
        ("4", "unknown", {}),
        ("5", "add", {"a": "one"}),
        ("6", "opaque", {}),
        ("7", "count", {"to": 2}),
        ("8", "letters", {"word": "ab"}),
    ]
    total = 6 + 1 + 3

    def script(conn: Conn) -> list[dict[str, Any]]:
        conn.open()
        call(conn, *calls)
        found = answers(conn, total)
        leave(conn)
        return found

    async def scenario() -> None:
        async with kit.connect(peer.endpoint(), bench.config, timeouts=QUIET) as session:
            async with over(bench.runner, session) as stream, kit.jobs() as jobs:

                async def take() -> None:
                    async for _ in stream:
                        pass

                taking = jobs.start(take)
                while len(bench.outcomes) < len(calls):
                    await kit.sleep(0.002)
                await session.close()
                await taking.wait()
            assert stream.running == 0
        (found,) = await kit.join(peer)
        by_id: dict[str, list[dict[str, Any]]] = {}
        for answer in found:
            by_id.setdefault(answer["id"], []).append(answer)
        assert by_id["1"] == [{"id": "1", "name": "add", "response": {"output": 3}}]
        assert by_id["2"][0]["response"] == {"product": 12}
        assert by_id["3"][0]["response"] == {"error": "ZeroDivisionError: by nought"}
        assert "there is no function 'unknown'" in by_id["4"][0]["response"]["error"]
        assert "args" in by_id["5"][0]["response"]["error"]
        assert "error" in by_id["6"][0]["response"]
        assert [answer["response"] for answer in by_id["7"]] == [{"output": [0, 1]}]  # the model waits
        assert [answer["response"] for answer in by_id["8"]] == [{"output": "a"}, {"output": "b"}, {}]
        assert [answer.get("willContinue") for answer in by_id["8"]] == [True, True, False]
        assert [answer["scheduling"] for answer in by_id["8"]] == ["INTERRUPT", "INTERRUPT", "SILENT"]
        good, bad = ToolEnd.ANSWERED, ToolEnd.FAILED
        assert bench.ends == {"1": good, "2": good, "3": bad, "4": bad, "5": bad, "6": bad, "7": good, "8": good}
        assert {outcome.call.id: outcome.responses for outcome in bench.outcomes}["8"] == 3

    registry = ToolRegistry(add, multiply, fail, opaque, count)
    registry.add(letters, behavior=Behavior.NON_BLOCKING)
    bench = Bench(kit, registry)
    with Peer(script) as peer:
        kit.run(scenario)


def test_scheduling_is_for_functions_that_do_not_block(kit: Kit) -> None:
    def script(conn: Conn) -> list[dict[str, Any]]:
        conn.open()
        call(conn, ("1", "add", {"a": 1, "b": 2}), ("2", "multiply", {"a": 1, "b": 2}))
        found = answers(conn, 2)
        leave(conn)
        return found

    async def scenario() -> None:
        async with (
            kit.connect(peer.endpoint(), bench.config, timeouts=QUIET) as session,
            over(bench.runner, session) as stream,
        ):
            await until(stream, ToolCallRequested)
            await until(stream, ToolCallRequested)
            while len(bench.outcomes) < 2:
                await kit.sleep(0.002)
        (found,) = await kit.join(peer)
        assert {answer["id"]: answer.get("scheduling") for answer in found} == {"1": None, "2": "WHEN_IDLE"}

    registry = ToolRegistry(add)
    registry.add(multiply, behavior=Behavior.NON_BLOCKING)
    bench = Bench(kit, registry, scheduling="WHEN_IDLE")
    with Peer(script) as peer:
        kit.run(scenario)


def test_reading_goes_on_and_so_many_run_at_a_time(kit: Kit) -> None:
    running, most = [0], [0]
    lock, release = threading.Lock(), threading.Event()

    def slow() -> str:
        """Take its time."""
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        assert release.wait(PATIENCE)
        with lock:
            running[0] -= 1
        return "done"

    def script(conn: Conn) -> int:
        conn.open()
        call(conn, *[(str(number), "slow", {}) for number in range(6)])
        conn.say({"serverContent": {"modelTurn": {"parts": [{"text": "meanwhile"}]}}})
        found = answers(conn, 6)
        leave(conn)
        return len(found)

    async def scenario() -> None:
        async with (
            kit.connect(peer.endpoint(), bench.config, timeouts=QUIET) as session,
            over(bench.runner, session) as stream,
        ):
            assert (await until(stream, TextChunk)).text == "meanwhile"
            assert stream.running == 6
            assert not bench.outcomes
            release.set()
            while len(bench.outcomes) < 6:
                await kit.sleep(0.002)
        assert await kit.join(peer) == [6]
        assert most[0] <= 2

    bench = Bench(kit, slow, concurrency=2)
    with Peer(script) as peer:
        kit.run(scenario)


def test_one_turn_with_its_calls(kit: Kit) -> None:
    """The turn that waits for a result gets it, and the stream goes on behind the turn."""

    def script(conn: Conn) -> None:
        conn.open()
        call(conn, ("1", "add", {"a": 1, "b": 2}))
        (answer,) = answers(conn, 1)
        for text in (str(answer["response"]["output"]), "next"):
            conn.say({"serverContent": {"modelTurn": {"parts": [{"text": text}]}}})
            conn.say({"serverContent": {"turnComplete": True}})
        leave(conn)

    async def scenario() -> None:
        async with (
            kit.connect(peer.endpoint(), bench.config, timeouts=QUIET) as session,
            over(bench.runner, session) as stream,
        ):
            turn = stream.turn()
            view = turn.finish() if kit.name == "sync" else await turn.finish()
            assert (view.text, [one.name for one in view.tool_calls], view.complete) == ("3", ["add"], True)
            assert (await until(stream, TextChunk)).text == "next"
        await kit.join(peer)

    bench = Bench(kit, add)
    with Peer(script) as peer:
        kit.run(scenario)


@pytest.mark.parametrize("where", ["thread", "loop"])
def test_what_is_cancelled_is_never_answered(kit: Kit, where: str) -> None:
    release = threading.Event()
    cancelled = []

    def blocking() -> str:
        """Take its time."""
        assert release.wait(PATIENCE)
        return "late"

    async def waiting() -> str:
        """Wait."""
        try:
            while not release.is_set():
                await kit.sleep(0.002)
        except BaseException:
            cancelled.append(1)
            raise
        return "late"

    name = "blocking" if where == "thread" or kit.name == "sync" else "waiting"

    def script(conn: Conn) -> list[Any]:
        conn.open()
        call(conn, ("1", name, {}), ("2", name, {}))
        conn.say({"toolCallCancellation": {"ids": ["1", "2"]}})
        call(conn, ("3", "add", {"a": 1, "b": 1}))
        return rest(conn)

    async def scenario() -> None:
        async with (
            kit.connect(peer.endpoint(), bench.config, timeouts=QUIET) as session,
            over(bench.runner, session) as stream,
        ):
            await until(stream, ToolCallCancelled)
            await until(stream, ToolCallCancelled)
            release.set()
            await until(stream, ToolCallRequested)
            while len(bench.outcomes) < 3:
                await kit.sleep(0.002)
        (found,) = await kit.join(peer)
        ids = [answer["id"] for message in found for answer in message.get("toolResponse", {})["functionResponses"]]
        assert ids == ["3"]
        assert bench.ends == {"1": ToolEnd.CANCELLED, "2": ToolEnd.CANCELLED, "3": ToolEnd.ANSWERED}

    bench = Bench(kit, blocking, waiting, add, concurrency=1)
    with Peer(script) as peer:
        kit.run(scenario)
    assert len(cancelled) <= 1  # the second had not begun


def test_leaving_stops_everything(kit: Kit) -> None:
    started = threading.Event()
    release = threading.Event()

    def blocking() -> str:
        """Take its time."""
        started.set()
        assert release.wait(PATIENCE)
        return "late"

    def script(conn: Conn) -> None:
        conn.open()
        call(conn, ("1", "blocking", {}), ("2", "blocking", {}))
        assert rest(conn) == []

    async def scenario() -> None:
        async with (
            kit.connect(peer.endpoint(), bench.config, timeouts=QUIET) as session,
            over(bench.runner, session) as stream,
        ):
            await until(stream, ToolCallRequested)
            while not started.is_set():
                await kit.sleep(0.002)
            threading.Timer(0.05, release.set).start()
        assert bench.ends == {"1": ToolEnd.ABANDONED}
        await kit.join(peer)

    bench = Bench(kit, blocking, concurrency=1)
    with Peer(script) as peer:
        kit.run(scenario)


def test_results_stay_with_their_connection(kit: Kit) -> None:
    """The same id comes again in a new session; the old result must not answer it."""
    release = threading.Event()

    def slow(word: str) -> str:
        """Say a word; the first one late."""
        if word == "old":
            assert release.wait(PATIENCE)
        return word

    def script(conn: Conn) -> Any:
        setup = conn.open()
        if not peer.results:
            call(conn, ("1", "slow", {"word": "old"}))
            conn.reset()
            return setup
        call(conn, ("1", "slow", {"word": "new"}))
        conn.say({"serverContent": {"modelTurn": {"parts": [{"text": "go"}]}}})
        return answers(conn, 1) + rest(conn)

    async def scenario() -> None:
        async with (
            kit.connect(peer.endpoint(), bench.config, timeouts=QUIET, reconnect=EAGER) as session,
            over(bench.runner, session) as stream,
        ):
            assert (await until(stream, ToolCallRequested)).epoch == 1
            again = await until(stream, Reconnected)
            assert (again.resumed, again.orphaned_calls) == (False, ("1",))
            await until(stream, TextChunk)
            while not bench.outcomes:
                await kit.sleep(0.002)
            release.set()
            while len(bench.outcomes) < 2:
                await kit.sleep(0.002)
        found = (await kit.join(peer))[1]
        assert [message["response"] for message in found] == [{"output": "new"}]
        ends = {outcome.epoch: outcome.end for outcome in bench.outcomes}
        assert ends == {1: ToolEnd.ORPHANED, 2: ToolEnd.ANSWERED}

    bench = Bench(kit, slow)
    with Peer(script) as peer:
        kit.run(scenario)


def test_a_result_goes_to_the_session_that_was_resumed(kit: Kit) -> None:
    """The connection ends while a function runs, and its answer goes out on the next one."""
    release = threading.Event()

    def slow() -> str:
        """Take its time."""
        assert release.wait(PATIENCE)
        return "at last"

    def script(conn: Conn) -> Any:
        setup = conn.open()["setup"]
        if "handle" not in setup["sessionResumption"]:
            call(conn, ("1", "slow", {}))
            conn.say({"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}})
            conn.eof()
            conn.until_gone()
            return None
        found = answers(conn, 1)
        leave(conn)
        return found[0]["response"]

    async def scenario() -> None:
        async with (
            kit.connect(peer.endpoint(), bench.config, timeouts=QUIET, reconnect=EAGER) as session,
            over(bench.runner, session) as stream,
        ):
            again = await until(stream, Reconnected)
            assert (again.resumed, again.open_calls) == (True, ("1",))
            release.set()
            while not bench.outcomes:
                await kit.sleep(0.002)
        assert (await kit.join(peer))[1] == {"output": "at last"}
        assert bench.ends == {"1": ToolEnd.ANSWERED}

    bench = Bench(kit, slow)
    with Peer(script) as peer:
        kit.run(scenario)


def test_a_mapping_will_do(kit: Kit) -> None:
    runner = RUNNERS[kit.name]({"plus": add, "times": multiply})
    assert list(runner.registry) == ["plus", "times"]
    assert repr(runner) == "<ToolRunner plus, times>"
    with pytest.raises(ValueError, match="concurrency"):
        RUNNERS[kit.name]({}, concurrency=0)


def test_a_function_that_cancels_itself_is_answered() -> None:
    async def odd() -> None:
        """Be cancelled, but not by us."""
        raise asyncio.CancelledError

    def script(conn: Conn) -> Any:
        conn.open()
        call(conn, ("1", "odd", {}))
        found = answers(conn, 1)
        leave(conn)
        return found[0]["response"]

    async def main() -> None:
        runner = live_asyncio.ToolRunner({"odd": odd}, on_outcome=outcomes.append)
        async with (
            live_asyncio.connect(peer.endpoint(), TEXT, model="test", timeouts=QUIET) as session,
            runner.attach(session) as stream,
        ):
            await until(stream, ToolCallRequested)
            while not outcomes:  # noqa: ASYNC110 - told by a callback
                await asyncio.sleep(0.002)

    outcomes: list[ToolOutcome] = []
    with Peer(script) as peer:
        asyncio.run(main())
        assert peer.join() == [{"error": "RuntimeError: it was cancelled"}]
    assert outcomes[0].end is ToolEnd.FAILED
