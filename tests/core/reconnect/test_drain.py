"""A session that is to go on in another process: it stops where that hurts least, and nothing is lost on the way."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from core.reconnect.world import (
    GEMINI,
    ONE,
    QUIET,
    TEXT,
    VERTEX,
    Scripted,
    Witness,
    World,
    kinds,
    numbers,
    of,
)
from live_protocol import events as ev
from live_protocol.close_info import Initiator
from live_protocol.emulator import Say, Wait
from live_protocol.errors import ConnectionClosing, InvalidMessage
from live_protocol.events import LossReason
from live_protocol.reconnect import PersistentConnection, Snapshot
from live_protocol.states import ConnectionState


def moved(world: World, policy: Any = ONE, endpoint: Any = GEMINI) -> World:
    """The session in another process."""
    text = world.machine.snapshot().to_json()
    machine = PersistentConnection.restore(
        Snapshot.from_json(text), endpoint, TEXT, model="m", policy=policy, timeouts=QUIET
    )
    return World(emulator=world.emulator, model=world.model, machine=machine, clock=world.clock)


def slow(seconds: float) -> Witness:
    return Witness(lambda _: [Say("well then"), Wait(seconds), Say("yes indeed")])


def test_an_idle_session_leaves_at_once() -> None:
    world = World(ONE)
    world.say("hello")
    world.wait(1.0)
    world.machine.drain(30.0)
    with pytest.raises(ConnectionClosing):
        world.machine.send_realtime_input(text="late")
    assert kinds(world.run()) == ["ConnectionClosed"]
    info = world.machine.close_info
    assert info is not None
    assert (info.code, info.clean, info.initiator) == (1000, True, Initiator.LOCAL)
    world.machine.drain(30.0)  # changes nothing
    second = moved(world)
    assert of(second.events, ev.Reconnected)[0].resumed
    second.say("again")
    assert world.model.heard == ["hello", "again"]
    assert not of(second.events, ev.InputLost)


def test_it_waits_for_the_turn_to_end_and_takes_input_until_then() -> None:
    world = World(ONE, model=slow(20.0))
    world.say("a story")
    world.machine.drain(60.0)
    world.wait(10.0)
    assert world.machine.state is ConnectionState.OPEN
    world.say("another one")
    world.wait(19.0)
    assert world.machine.state is ConnectionState.OPEN
    events = world.wait(2.0)
    assert kinds(events)[-1] == "ConnectionClosed"
    assert "TurnComplete" in kinds(events)
    second = moved(world)
    assert not of(second.events, ev.InputLost)
    second.say("go on")
    assert world.model.heard == ["a story", "another one", "go on"]


def test_at_the_deadline_it_leaves_in_mid_turn() -> None:
    world = World(ONE, model=slow(300.0))
    world.say("an endless story")
    world.machine.drain(60.0)
    world.machine.drain(20.0)  # nearer
    world.machine.drain(90.0)  # not farther
    assert kinds(world.wait(19.9)) == []
    assert kinds(world.wait(0.2))[-1] == "ConnectionClosed"
    second = moved(world)
    (lost,) = of(second.events, ev.InputLost)
    assert (lost.reason, lost.certain, lost.numbers) == (LossReason.UNCONFIRMED, False, ((1, 1),))


def test_between_two_connections_it_ends_at_once_and_what_waits_moves() -> None:
    world = World(ONE)
    world.say("hello")
    world.wait(1.0)
    world.cut()
    world.run()
    world.say("meanwhile")
    world.machine.drain(30.0)
    assert kinds(world.run()) == ["ConnectionClosed"]
    second = moved(world)
    second.until_ready()
    second.wait(1.0)
    assert world.model.heard == ["hello", "meanwhile"]
    assert not of(second.events, ev.InputLost)


def test_while_a_connection_is_set_up_it_ends_at_once() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    world.cut()
    server.script = lambda *_: None
    world.wait(1.0)
    world.say("meanwhile")
    assert kinds(world.events)[-1] == "Connected"
    world.machine.drain(30.0)
    assert kinds(world.run()) == ["ConnectionClosed"]
    assert [entry.number for entry in world.machine.snapshot().outbox] == [1]


@pytest.mark.parametrize("transparent", [False, True])
def test_a_drop_before_the_safe_moment_is_the_moment(transparent: bool) -> None:
    policy = attrs.evolve(ONE, transparent=transparent or None)
    endpoint = VERTEX if transparent else GEMINI
    world = World(policy, model=slow(300.0), endpoint=endpoint)
    world.say("an endless story")
    world.machine.drain(60.0)
    world.cut(reset=True)
    assert kinds(world.run()) == ["ConnectionClosed"]
    info = world.machine.close_info
    assert info is not None
    assert (info.initiator, info.error) == (Initiator.LOCAL, None)
    second = moved(world, policy, endpoint)
    second.until_ready()
    assert numbers(of(second.events, ev.InputLost)) == ([] if transparent else [1])
    second.wait(1.0)
    assert len(of(second.events, ev.TurnStarted)) == transparent


def test_a_server_that_goes_away_is_left_for_good() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    server.tell(go_away={"time_left": 60.0})
    world._down()
    list(world.machine.events())
    assert world.machine.state is ConnectionState.CLOSING  # to come again
    world.machine.drain(30.0)
    world.machine.send_realtime_input(text="meanwhile")
    assert kinds(world.run()) == ["ConnectionClosed"]
    assert [entry.number for entry in world.machine.snapshot().outbox] == [1]


def test_a_verdict_of_the_server_stays_one() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    world.say("what?")
    world.machine.drain(60.0)
    server.now.close(1007, "Request contains an invalid argument.")
    assert kinds(world.run()) == ["InputLost", "ConnectionFailed", "ConnectionClosed"]


def test_close_ends_a_session_that_drains_at_once() -> None:
    world = World(ONE, model=slow(300.0))
    world.say("an endless story")
    world.machine.drain(60.0)
    world.machine.send_realtime_input(text="never leaves")
    world.machine.close()
    world.machine.receive_eof()
    assert "InputLost" not in kinds(world.run())
    assert [entry.number for entry in world.machine.snapshot().outbox] == [2]


@pytest.mark.parametrize("within", [-1, float("inf"), float("nan"), None, "soon"])
def test_a_time_that_is_none(within: Any) -> None:
    world = World(ONE)
    with pytest.raises(InvalidMessage, match="within"):
        world.machine.drain(within)
    world.say("goes on")
    assert world.ready
