"""A session as JSON, and going on from it."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from core.reconnect.world import EAGER, GEMINI, QUIET, TEXT, VERTEX, Scripted, World, of
from live_protocol import events as ev
from live_protocol.errors import InvalidMessage
from live_protocol.reconnect import PersistentConnection, ReconnectPolicy, Snapshot

POLICY = attrs.evolve(EAGER, retry_first=False)


def restored(world: World, text: str, **rest: Any) -> World:
    machine = PersistentConnection.restore(
        Snapshot.from_json(text), rest.pop("endpoint", GEMINI), TEXT, model="m", policy=POLICY, timeouts=QUIET
    )
    return World(emulator=world.emulator, model=world.model, machine=machine, clock=world.clock, **rest)


def test_a_session_goes_on_elsewhere() -> None:
    first = World(POLICY)
    first.say("hello")
    first.machine.close()
    first.run()
    second = restored(first, first.machine.snapshot().to_json())
    (reconnected,) = of(second.events, ev.Reconnected)
    assert (reconnected.epoch, reconnected.resumed) == (2, True)
    second.say("again")
    assert first.model.heard == ["hello", "again"]
    assert second.machine.accepted == 2
    assert second.machine.usage.reports == 2
    assert [event.generation for event in of(second.events, ev.TurnStarted)] == [2]


def test_while_the_old_connection_lives_it_waits() -> None:
    first = World(POLICY)
    first.say("hello")
    second = restored(first, first.machine.snapshot().to_json())
    second.wait(2.0)
    assert not second.ready
    assert not of(second.events, ev.ConnectionClosed)
    first.machine.close()
    first.run()
    second.until_ready()
    second.say("again")
    assert first.model.heard == ["hello", "again"]


def test_messages_and_calls_move_too() -> None:
    server = Scripted()
    first = World(attrs.evolve(POLICY, transparent=True), emulator=server, endpoint=VERTEX)
    for number in range(3):
        first.machine.send_realtime_input(text=f"text{number}")
    server.tell(tool_call={"function_calls": [{"id": "c1", "name": "f", "args": {"x_y": 1}}, {"name": "anonymous"}]})
    first.run()
    server.handle("h", index=1)
    first.run()
    first.machine.send_context_update(system_instruction="be long")
    first.run()
    first.machine.close()
    first.run()
    text = first.machine.snapshot().to_json()
    policy = attrs.evolve(POLICY, transparent=True)
    machine = PersistentConnection.restore(
        Snapshot.from_json(text), VERTEX, TEXT, model="m", policy=policy, timeouts=QUIET
    )
    assert machine.snapshot().to_json() == attrs.evolve(Snapshot.from_json(text), created=None).to_json()
    second = World(emulator=server, machine=machine)
    (reconnected,) = of(second.events, ev.Reconnected)
    assert reconnected.replayed == 3
    assert reconnected.open_calls == ("c1", "anonymous")
    assert server.texts[-3:] == ["text1", "text2", "context_update"]
    assert server.setups[-1].system_instruction is not None
    second.machine.send_tool_response({"id": "c1", "response": {}}, epoch=1)
    second.run()
    message = server.received[-1][1].tool_response
    assert message is not None
    assert (message.function_responses[0].id, message.function_responses[0].name) == ("c1", "f")


def test_a_snapshot_without_a_handle_begins_a_new_session() -> None:
    first = World(POLICY, connect=False)
    second = restored(first, first.machine.snapshot().to_json())
    assert second.ready
    assert not of(second.events, ev.Reconnected)


def test_what_a_dead_handle_costs_is_known_there_too() -> None:
    first = World(POLICY, max_handles=1)
    first.say("hello")
    first.machine.close()
    first.run()
    text = first.machine.snapshot().to_json()
    World(EAGER, emulator=first.emulator, model=first.model)
    second = restored(first, text)
    (lost,) = of(second.events, ev.InputLost)
    assert (lost.reason, lost.numbers) == (ev.LossReason.NEW_SESSION, ((1, 1),))
    assert of(second.events, ev.Reconnected)[0].resumed is False


@pytest.mark.parametrize("closed", [False, True])
def test_what_left_after_the_handle_is_reported_where_the_session_goes_on(closed: bool) -> None:
    server = Scripted()
    first = World(POLICY, emulator=server)
    first.machine.send_realtime_input(text="one")
    first.run()
    server.handle("h")
    first.run()
    first.machine.send_realtime_input(text="two")
    first.run()
    if closed:
        first.machine.close()
        first.run()
    assert not of(first.events, ev.InputLost)
    second = restored(first, first.machine.snapshot().to_json())
    (lost,) = of(second.events, ev.InputLost)
    assert (lost.reason, lost.certain, lost.numbers) == (ev.LossReason.UNCONFIRMED, False, ((2, 2),))


def test_no_credential_is_in_it() -> None:
    world = World(POLICY)
    world.say("hello")
    snapshot = world.machine.snapshot()
    text = snapshot.to_json()
    assert snapshot.handle is not None
    assert snapshot.handle in text
    assert snapshot.handle not in repr(snapshot)
    assert "key" not in text
    assert text.isascii()
    assert "\n" not in text


def test_it_reads_what_it_writes() -> None:
    world = World(POLICY)
    world.say("hellö")
    world.cut()
    world.run()
    world.machine.send_realtime_input(text="wäits")
    snapshot = world.machine.snapshot()
    again = Snapshot.from_json(snapshot.to_json().encode())
    assert again.to_json() == snapshot.to_json()
    assert again.outbox[0].payload == snapshot.outbox[0].payload


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "snapshot"),
        ("nonsense", "snapshot"),
        ("[]", "snapshot"),
        ("{}", "snapshot"),
        ('{"version": 2}', "snapshot.version"),
        ('{"version": 1}', "snapshot"),
        ("[" * 100_000, "snapshot"),
    ],
)
def test_what_is_no_snapshot(text: str, path: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        Snapshot.from_json(text)
    assert caught.value.path == path


def test_a_context_that_is_no_message() -> None:
    snapshot = attrs.evolve(World(POLICY).machine.snapshot(), context="nonsense")
    with pytest.raises(InvalidMessage) as caught:
        PersistentConnection.restore(snapshot, GEMINI, TEXT, model="m", policy=POLICY)
    assert caught.value.path == "snapshot.context"


@pytest.mark.parametrize(
    "change",
    [
        {"handle": 1},
        {"backend": "other"},
        {"outbox": [1]},
        {"outbox": [{"number": 1, "kind": "x", "media": False, "again": False, "text": "no JSON"}]},
        {"outbox": [{"number": 1, "kind": "x", "media": False, "again": False, "text": "[]"}]},
        {"kept": None},
        {"calls": [{"call": {"id": 1}, "state": "PENDING", "epoch": 1}]},
        {"calls": [{"call": {"id": "c"}, "state": "ANSWERED", "epoch": 1}]},
        {"usage": {}},
        {"epoch": "x"},
        {"epoch": float("inf")},
        {"created": "x"},
    ],
)
def test_members_of_another_type(change: dict[str, Any]) -> None:
    world = World(POLICY)
    value = json.loads(world.machine.snapshot().to_json())
    value["handle"] = "SECRET"
    with pytest.raises(InvalidMessage) as caught:
        Snapshot.from_json(json.dumps({**value, **change}))
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("endpoint", "config", "model", "policy", "path"),
    [
        (GEMINI, {**TEXT, "temperature": 0.5}, "m", POLICY, "snapshot.setup_digest"),
        (GEMINI, TEXT, "other", POLICY, "snapshot.setup_digest"),
        (GEMINI, TEXT, "m", ReconnectPolicy(resumption=False), "snapshot.setup_digest"),
        (VERTEX, TEXT, "m", POLICY, "snapshot.backend"),
    ],
)
def test_another_setup_is_refused(endpoint: Any, config: Any, model: str, policy: ReconnectPolicy, path: str) -> None:
    snapshot = World(POLICY).machine.snapshot()
    with pytest.raises(InvalidMessage) as caught:
        PersistentConnection.restore(snapshot, endpoint, config, model=model, policy=policy)
    assert caught.value.path == path


def test_a_handle_in_the_config_does_not_matter() -> None:
    snapshot = World(POLICY).machine.snapshot()
    config = {**TEXT, "session_resumption": {"handle": "older"}}
    machine = PersistentConnection.restore(snapshot, GEMINI, config, model="m", policy=POLICY)
    assert machine.resumption.handle == snapshot.handle
