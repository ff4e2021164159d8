"""Ends that the server announces (wire.md#go-away), on a fake clock."""

from __future__ import annotations

import attrs

from core.reconnect.world import ONE, Scripted, Witness, World, kinds, of
from live_protocol import events as ev
from live_protocol.close_info import Initiator
from live_protocol.emulator import Say, Wait
from live_protocol.events import LossReason, ReconnectReason
from live_protocol.messages import SessionResumptionConfig
from live_protocol.reconnect import GoAwayPolicy
from live_protocol.states import ConnectionState


def test_ten_minutes_of_go_away() -> None:
    world = World(ONE, lifetime=600.0, go_away_notice=60.0)
    for minute in range(10):
        world.say(f"minute {minute}")
        world.wait(60.0)
    (go_away,) = of(world.events, ev.GoAway)
    assert go_away.time_left == 60.0
    (reconnecting,) = of(world.events, ev.Reconnecting)
    assert (reconnecting.reason, reconnecting.delay) == (ReconnectReason.GO_AWAY, 0.0)
    assert reconnecting.info.initiator is Initiator.LOCAL
    (reconnected,) = of(world.events, ev.Reconnected)
    assert reconnected.downtime == 0.0
    assert not of(world.events, ev.InputLost)
    world.say("end")
    assert world.model.heard == [*(f"minute {minute}" for minute in range(10)), "end"]


def test_a_day_of_go_aways() -> None:
    world = World(ONE, lifetime=600.0, go_away_notice=60.0)
    for hour in range(24):
        world.say(f"hour {hour}")
        world.wait(3600.0)
    assert len(of(world.events, ev.Reconnected)) == 24 * 3600 // 540
    assert not of(world.events, ev.InputLost)
    world.say("end")
    assert len(world.model.heard) == 25


def slow(seconds: float) -> Witness:
    return Witness(lambda _: [Say("well then"), Wait(seconds), Say("yes indeed")])


def test_it_waits_for_the_turn_to_end() -> None:
    world = World(ONE, model=slow(30.0), lifetime=600.0, go_away_notice=60.0)
    world.wait(530.0)
    world.say("a long story")
    world.wait(15.0)
    assert of(world.events, ev.GoAway)
    assert not of(world.events, ev.Reconnecting)
    world.wait(20.0)
    assert len(of(world.events, ev.Reconnected)) == 1
    names = kinds(world.events)
    assert names.index("TurnComplete") < names.index("Reconnecting")
    assert not of(world.events, ev.InputLost)


def test_it_leaves_in_mid_turn_at_the_margin() -> None:
    world = World(ONE, model=slow(300.0), lifetime=600.0, go_away_notice=60.0)
    world.wait(500.0)
    world.say("an endless story")
    world.wait(94.9)
    assert not of(world.events, ev.Reconnecting)
    world.wait(0.2)
    (reconnecting,) = of(world.events, ev.Reconnecting)
    assert reconnecting.interrupted_generation == 1
    (lost,) = of(world.events, ev.InputLost)
    assert (lost.reason, lost.certain, lost.kinds) == (LossReason.UNCONFIRMED, False, {"client_content": 1})


def test_without_waiting_it_leaves_at_once() -> None:
    policy = attrs.evolve(ONE, go_away=GoAwayPolicy(wait_for_safe_moment=False))
    world = World(policy, model=slow(30.0), lifetime=600.0, go_away_notice=60.0)
    world.wait(539.0)
    world.say("a long story")
    world.wait(1.0)
    assert of(world.events, ev.Reconnecting)[0].interrupted_generation == 1


def test_it_does_not_leave_while_the_session_cannot_be_resumed() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    server.tell(session_resumption_update={})
    server.tell(go_away={"time_left": 60.0})
    world.wait(20.0)
    assert not of(world.events, ev.Reconnecting)
    server.handle("better")
    world.run()
    assert of(world.events, ev.Reconnecting)
    world.until_ready()
    assert server.setups[1].session_resumption == SessionResumptionConfig(handle="better")


def test_it_does_not_leave_while_a_call_is_open() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    server.tell(tool_call={"function_calls": [{"id": "c1", "name": "f"}, {"id": "c2", "name": "f"}]})
    server.tell(server_content={"turn_complete": True})
    server.tell(go_away={"time_left": 60.0})
    world.wait(20.0)
    assert not of(world.events, ev.Reconnecting)
    server.tell(tool_call_cancellation={"ids": ["c1"]})
    world.wait(5.0)
    assert not of(world.events, ev.Reconnecting)
    world.machine.send_tool_response({"id": "c2", "response": {}})
    world.run()
    assert of(world.events, ev.Reconnecting)


def test_input_during_the_switch_waits() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    server.tell(go_away={"time_left": 60.0})
    world._down()
    list(world.machine.events())
    assert world.machine.state is ConnectionState.CLOSING
    world.machine.send_realtime_input(text="hello")
    world.until_ready()
    assert [number for number, _ in server.received] == [2]
    assert not of(world.events, ev.InputLost)


def test_a_question_that_nobody_has_answered_yet_is_no_safe_moment() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    world.say("what is the time?")
    server.tell(go_away={"time_left": 60.0})
    world.run()
    assert len(world.dials) == 1
    server.tell(server_content={"model_turn": {"parts": [{"text": "late"}]}, "turn_complete": True})
    server.handle("later")
    world.run()
    world.wait(5.0)
    assert len(world.dials) == 2
    assert not of(world.events, ev.InputLost)
