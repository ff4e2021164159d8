"""``session.turn()``: one turn of the stream, and the stream before, within and behind it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import Conn, Gone, Peer

from live_protocol import Endpoint
from live_protocol.events import GoAway, Interrupted, TextChunk, TurnComplete, TurnStarted
from live_protocol.messages import Content, LiveServerContent, LiveServerMessage, Part


def content(**members: Any) -> dict[str, Any]:
    return {"serverContent": members}


def text(words: str) -> dict[str, Any]:
    return content(modelTurn={"parts": [{"text": words}]})


GENERATED = content(generationComplete=True)
COMPLETE = content(turnComplete=True)
INTERRUPTED = content(interrupted=True)
GO_AWAY = {"goAway": {"timeLeft": "50s"}}


def saying(*messages: dict[str, Any]) -> Any:
    """A peer that says these, then waits for the end."""

    def script(conn: Conn) -> None:
        conn.open()
        for message in messages:
            conn.say(message)
        with contextlib.suppress(Gone):
            conn.farewell()

    return script


async def take(turn: Any) -> Any:
    """The next event of a turn, None behind its end."""
    if hasattr(turn, "__aiter__"):
        return await anext(turn, None)
    return next(turn, None)


async def finish(turn: Any) -> Any:
    return await turn.finish() if hasattr(turn, "__aiter__") else turn.finish()


async def until(stream: Any, kind: type) -> Any:
    async for event in stream:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the stream ended before {kind}")


def test_left_early_and_entered_again(kit: Kit) -> None:
    async def scenario() -> None:
        async with kit.connect(peer.endpoint()) as session:
            turn = session.turn()
            while type(await take(turn)) is not TextChunk:
                pass
            assert (turn.view.text, turn.view.complete) == ("a", False)
            # The session's own stream goes on at the same place; what is taken there, the turn does not see.
            assert (await until(session, TextChunk)).text == "b"
            assert (await take(turn)).text == "c"
            assert (await finish(turn)).text == "ac"
            assert await take(turn) is None
            assert type(await anext(session)) is GoAway

    with Peer(saying(text("a"), text("b"), text("c"), GENERATED, COMPLETE, GO_AWAY)) as peer:
        kit.run(scenario)


def test_one_within_another(kit: Kit) -> None:
    async def scenario() -> None:
        async with kit.connect(peer.endpoint()) as session:
            outer = session.turn()
            while type(await take(outer)) is not TextChunk:
                pass
            inner = await finish(session.turn())
            assert (inner.generation, inner.text, inner.complete) == (1, "b", True)
            # The end of its turn was taken by the other one; the next turn is not this one's.
            found = await finish(outer)
            assert (found.generation, found.text, found.complete) == (1, "a", False)
            assert type(await anext(session)) is TurnStarted
            assert (await finish(session.turn())).text == "c"

    with Peer(saying(text("a"), text("b"), COMPLETE, text("c"), COMPLETE)) as peer:
        kit.run(scenario)


@pytest.mark.parametrize("seen", ["output", "interruption"])
def test_after_an_interruption_it_is_the_answer(kit: Kit, seen: str) -> None:
    """What was under way when the user cut in, and what still comes of it, is no part of the turn."""

    async def scenario() -> None:
        async with kit.connect(peer.endpoint()) as session:
            await until(session, TextChunk if seen == "output" else Interrupted)
            view = await finish(session.turn())
            assert (view.generation, view.text, view.interrupted) == (2, "new", False)
            assert view.complete
            assert type(await anext(session)) is GoAway

    old = [text("old"), text("more"), INTERRUPTED, text("late"), COMPLETE]
    with Peer(saying(*old, text("new"), GENERATED, COMPLETE, GO_AWAY)) as peer:
        kit.run(scenario)


def test_several_turns_answer_one_request(kit: Kit) -> None:
    async def scenario() -> None:
        async with kit.connect(peer.endpoint()) as session:
            views = [await finish(session.turn())]
            while not views[-1].interaction_complete:
                views.append(await finish(session.turn()))
            assert [view.text for view in views] == ["let me see", "", "here it is"]
            assert views[1].generated

    progress = content(turnComplete=True, interactionStatus="IN_PROGRESS")
    done = content(turnComplete=True, interactionStatus="IDLE")
    with Peer(saying(text("let me see"), progress, GENERATED, progress, text("here it is"), done)) as peer:
        kit.run(scenario)


def test_cancelled_while_it_waits(cancelling: Kit) -> None:
    kit = cancelling

    async def scenario() -> None:
        go = kit.signal()

        async def handler(session: Any) -> None:
            await session.receive()
            await session.send_setup_complete()
            await go.wait()
            said = Content(parts=[Part(text="one")])
            await session.send(LiveServerMessage(server_content=LiveServerContent(model_turn=said)))
            await session.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=True)))
            await session.receive()

        async with kit.serve(handler) as server, kit.connect(Endpoint.custom(server.url())) as session:
            turn = session.turn()
            async with kit.jobs() as jobs:
                job = jobs.start(finish, turn)
                await kit.pass_on()
                job.cancel()
                await job.wait()
                assert job.cancelled
            go.set()
            events = [event async for event in turn]
            assert type(events[-1]) is TurnComplete
            assert (turn.view.text, turn.view.complete) == ("one", True)

    kit.run(scenario)
