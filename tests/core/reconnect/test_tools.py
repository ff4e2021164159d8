"""Tool calls and the connections they were made on (wire.md#tool-calls and wire.md#resuming)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import attrs
import pytest

from core.reconnect.world import EAGER, GEMINI, TEXT, VERTEX, Scripted, Witness, World, of
from live_protocol import events as ev
from live_protocol.emulator import Call, ModelAction, Say, UserTurn, Wait
from live_protocol.errors import (
    IllegalInState,
    InvalidMessage,
    StaleOperation,
    ToolCallOrphaned,
    ToolCallWasCancelled,
)
from live_protocol.events import LossReason
from live_protocol.messages import Backend, FunctionCall, FunctionResponse
from live_protocol.reconnect import LateToolResults
from live_protocol.session import ToolCallTracker

TOOLS = {**TEXT, "tools": [{"function_declarations": [{"name": "f"}, {"name": "g"}]}]}


def called(world: World, server: Scripted, *ids: str | None, name: str = "f") -> list[ev.ToolCallRequested]:
    calls = [{"name": name} if call_id is None else {"id": call_id, "name": name} for call_id in ids]
    server.tell(tool_call={"function_calls": calls})
    return of(world.run(), ev.ToolCallRequested)


def cut_with_calls(*ids: str | None, **rest: Any) -> tuple[World, Scripted]:
    server = Scripted()
    world = World(attrs.evolve(EAGER, **rest), emulator=server, endpoint=VERTEX)
    called(world, server, *ids)
    server.handle("h")
    world.run()
    world.cut()
    world.run()
    return world, server


def responses(server: Scripted) -> list[tuple[int, str | None]]:
    return [
        (number, response.id)
        for number, message in server.received
        if message.tool_response is not None
        for response in message.tool_response.function_responses
    ]


def test_a_call_knows_its_connection() -> None:
    server = Scripted()
    world = World(EAGER, emulator=server)
    (first,) = called(world, server, "c1")
    world.cut()
    world.until_ready()
    (second,) = called(world, server, "c2")
    assert (first.epoch, second.epoch) == (1, 2)
    assert [call.id for call in world.machine.pending_tool_calls] == ["c1", "c2"]
    assert [(entry.call.id, entry.epoch) for entry in world.machine.tool_calls.open()] == [("c1", 1), ("c2", 2)]


def test_a_resumed_session_still_waits_for_the_answer() -> None:
    world, server = cut_with_calls("c1")
    world.until_ready()
    (reconnected,) = of(world.events, ev.Reconnected)
    assert (reconnected.open_calls, reconnected.orphaned_calls) == (("c1",), ())
    world.machine.send_tool_response({"id": "c1", "response": {}}, epoch=1)
    world.run()
    assert responses(server) == [(2, "c1")]
    assert world.machine.pending_tool_calls == ()
    with pytest.raises(IllegalInState):
        world.machine.send_tool_response({"id": "c1", "response": {}})


def test_an_answer_between_two_connections_waits() -> None:
    world, server = cut_with_calls("c1")
    world.machine.send_tool_response({"id": "c1", "response": {}})
    world.until_ready()
    assert responses(server) == [(2, "c1")]


def test_unless_the_policy_refuses_it() -> None:
    world, server = cut_with_calls("c1", None, late_tool_results=LateToolResults.REFUSE)
    assert world.machine.pending_tool_calls == ()
    with pytest.raises(ToolCallOrphaned) as caught:
        world.machine.send_tool_response({"id": "c1", "response": {}})
    assert isinstance(caught.value, StaleOperation)
    assert (caught.value.call_id, caught.value.epoch, caught.value.current) == ("c1", 1, 1)
    world.until_ready()
    with pytest.raises(ToolCallOrphaned):
        world.machine.send_tool_response({"id": "c1", "response": {}})
    with pytest.raises(ToolCallOrphaned):
        world.machine.send_tool_response({"name": "f", "response": {}})
    world.run()
    assert responses(server) == []
    (reconnected,) = of(world.events, ev.Reconnected)
    assert (reconnected.open_calls, reconnected.orphaned_calls) == ((), ("c1", "f"))


def test_a_new_session_waits_for_nothing() -> None:
    world, server = cut_with_calls("c1", "c2", resumption=False)
    world.machine.send_tool_response({"id": "c1", "response": {}})  # nobody knows yet that it comes too late
    world.until_ready()
    (reconnected,) = of(world.events, ev.Reconnected)
    assert not reconnected.resumed
    assert reconnected.orphaned_calls == ("c2",)
    losses = {lost.reason: lost.kinds for lost in of(world.events, ev.InputLost)}
    assert losses == {LossReason.ORPHANED: {"tool_response": 1}}
    for epoch in (None, 1):
        with pytest.raises(ToolCallOrphaned):
            world.machine.send_tool_response({"id": "c2", "response": {}}, epoch=epoch)
    world.run()
    assert responses(server) == []


def test_ids_that_come_again_in_a_new_session() -> None:
    world, server = cut_with_calls("c1", resumption=False)
    world.until_ready()
    (event,) = called(world, server, "c1")
    assert event.epoch == 2
    with pytest.raises(ToolCallOrphaned) as caught:
        world.machine.send_tool_response({"id": "c1", "response": {}}, epoch=1)
    assert (caught.value.epoch, caught.value.current) == (1, 2)
    world.run()
    assert responses(server) == []
    world.machine.send_tool_response({"id": "c1", "response": {}}, epoch=event.epoch)
    world.run()
    assert responses(server) == [(2, "c1")]


def test_calls_without_an_id_are_bound_to_their_connection_too() -> None:
    world, server = cut_with_calls(None)
    world.until_ready()
    with pytest.raises(ToolCallOrphaned):
        world.machine.send_tool_response({"name": "f", "response": {}}, epoch=2)
    world.machine.send_tool_response({"name": "f", "response": {}}, epoch=1)
    world.run()
    assert responses(server) == [(2, None)]


def test_calls_without_an_id_end_with_their_session() -> None:
    world, server = cut_with_calls(None, resumption=False)
    world.until_ready()
    assert world.machine.pending_tool_calls == ()
    with pytest.raises(ToolCallOrphaned):
        world.machine.send_tool_response({"name": "f", "response": {}})
    called(world, server, None)
    world.machine.send_tool_response({"name": "f", "response": {}})
    world.run()
    assert responses(server) == [(2, None)]


def test_a_cancellation_is_remembered_across_connections() -> None:
    world, server = cut_with_calls("c1")
    world.until_ready()
    server.tell(tool_call_cancellation={"ids": ["c1"]})
    world.run()
    with pytest.raises(ToolCallWasCancelled):
        world.machine.send_tool_response({"id": "c1", "response": {}}, epoch=1)
    world.cut()
    world.until_ready()
    with pytest.raises(ToolCallWasCancelled):
        world.machine.send_tool_response({"id": "c1", "response": {}})
    assert responses(server) == []


def test_unknown_ids_are_still_wrong() -> None:
    world, _ = cut_with_calls("c1")
    world.until_ready()
    with pytest.raises(InvalidMessage, match="no call with id"):
        world.machine.send_tool_response({"id": "c9", "response": {}})


def test_orphans_are_forgotten_at_some_time() -> None:
    calls = ToolCallTracker(Backend.VERTEX)
    for number in range(1100):
        calls.requested(FunctionCall(id=f"c{number}", name="f"))
        calls.orphan()
    with pytest.raises(InvalidMessage):
        calls.check([FunctionResponse(id="c0", response={})])
    with pytest.raises(ToolCallOrphaned):
        calls.check([FunctionResponse(id="c1099", response={})])


def transparent_with_calls() -> tuple[World, Scripted]:
    """A call that the handle includes, one that it does not, and answers to both."""
    server = Scripted()
    world = World(attrs.evolve(EAGER, transparent=True), emulator=server, endpoint=VERTEX)
    world.machine.send_realtime_input(text="go")
    called(world, server, "old", "old2")
    server.handle("h", index=0)
    called(world, server, "new", "new2")
    for call_id in ("old", "new"):
        world.machine.send_tool_response({"id": call_id, "response": {}})
    world.run()
    return world, server


def test_answers_are_not_sent_again_to_a_session_that_does_not_know_the_call() -> None:
    world, server = transparent_with_calls()
    world.cut()
    world.until_ready()
    assert responses(server) == [(1, "old"), (1, "new"), (2, "old")]
    (reconnected,) = of(world.events, ev.Reconnected)
    assert (reconnected.replayed, reconnected.open_calls, reconnected.orphaned_calls) == (2, ("old2",), ("new2",))
    (lost,) = of(world.events, ev.InputLost)
    assert (lost.reason, lost.certain, lost.numbers) == (LossReason.ORPHANED, True, ((3, 3),))
    with pytest.raises(ToolCallOrphaned):
        world.machine.send_tool_response({"id": "new2", "response": {}}, epoch=1)


@pytest.mark.parametrize("closed", [False, True])
def test_nor_where_another_process_goes_on(closed: bool) -> None:
    world, _ = transparent_with_calls()
    if closed:
        world.machine.close()
        world.run()
    snapshot = world.machine.snapshot()
    assert [entry.number for entry in snapshot.outbox] == [1, 2]
    assert [entry.call.id for entry in snapshot.calls] == ["old2"]
    assert snapshot.unconfirmed.ranges == ((3, 3),)


def test_recent_calls_are_forgotten_at_some_time() -> None:
    calls = ToolCallTracker(Backend.VERTEX)
    for number in range(1100):
        calls.requested(FunctionCall(id=f"c{number}"))
    assert len(calls.recent) == 1024
    calls.forget_recent()
    assert not calls.recent


# --- against the emulator ---------------------------------------------------------------------------------------


def answer(turn: UserTurn) -> Iterable[ModelAction]:
    if turn.response is not None:
        return (Say(f"so it is {turn.response.response}"),)
    return (Wait(0.01), Call(name="f", args={"text": turn.text}), Wait(0.01))


def results(world: World) -> list[tuple[str | None, Any]]:
    return [(turn.response.id, turn.call) for turn in world.model.turns if turn.response is not None]


def test_an_answer_on_the_next_connection_goes_on_with_the_turn() -> None:
    world = World(EAGER, model=Witness(answer), config=TOOLS)
    world.say("hello")
    world.wait(1.0)
    (event,) = of(world.events, ev.ToolCallRequested)
    world.cut()
    world.until_ready()
    world.machine.send_tool_response({"id": event.call.id, "response": {"x": 1}}, epoch=event.epoch)
    world.wait(1.0)
    assert "so it is" in "".join(chunk.text for chunk in of(world.events, ev.TextChunk))


@pytest.mark.slow
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("late", list(LateToolResults))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_results_never_reach_the_wrong_connection(
    seed: int, late: LateToolResults, transparent: bool, length: Callable[[int, int], int]
) -> None:
    """Handles die all the time, so new sessions begin; a result that reached one would end it with 1007."""
    print(f"seed={seed}")
    rng = random.Random(seed)
    policy = attrs.evolve(EAGER, late_tool_results=late, transparent=transparent or None)
    endpoint = VERTEX if transparent else GEMINI
    world = World(policy, model=Witness(answer), config=TOOLS, endpoint=endpoint, max_handles=1)
    todo: list[tuple[str, int, int]] = []
    session, outcomes, sent = 1, set[str](), 0
    seen = 0
    while world.cuts < length(400, 2000):
        if rng.random() < 0.3:
            world.cut_up = rng.randint(1, 600)
        elif rng.random() < 0.3:
            world.cut_down = rng.randint(1, 1000)
        if rng.random() < 0.3:
            world.machine.send_realtime_input(text=f"text {rng.random()}")
        world.wait(rng.choice((0.0, 0.02, 0.3)))
        for event in world.events[seen:]:
            if isinstance(event, ev.Reconnected) and not event.resumed:
                session += 1
            if isinstance(event, ev.ToolCallRequested):
                todo.append((event.call.id or "", event.epoch, session))
            assert not isinstance(event, ev.ConnectionClosed), event
            if isinstance(event, ev.Reconnecting):
                assert event.info.code != 1007
        seen = len(world.events)
        if todo and rng.random() < 0.3:
            call_id, epoch, made_in = todo.pop(rng.randrange(len(todo)))
            try:
                world.machine.send_tool_response({"id": call_id, "response": {"by": epoch}}, epoch=epoch)
            except (ToolCallOrphaned, ToolCallWasCancelled) as error:
                outcomes.add(type(error).__name__)
            else:
                sent += 1
                assert made_in == session
                if late is LateToolResults.REFUSE:
                    assert epoch == world.machine.epoch
    assert sent
    assert outcomes == {"ToolCallOrphaned", "ToolCallWasCancelled"}
