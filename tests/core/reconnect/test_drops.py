"""Whole sessions against the emulator on a fake clock: connections that break, and dials that fail."""

from __future__ import annotations

from typing import Any

import pytest

from core.reconnect.world import EAGER, GEMINI, ONE, QUIET, TEXT, VERTEX, Scripted, Witness, World, kinds, of
from live_protocol import events as ev
from live_protocol.emulator import Close, Say, UserTurn, Wait
from live_protocol.endpoint import Endpoint
from live_protocol.errors import (
    AlreadyClosed,
    DeadlineExpired,
    IllegalInState,
    NotConnected,
    TransportFailed,
)
from live_protocol.events import LossReason, ReconnectReason
from live_protocol.reconnect import PersistentConnection, ReconnectPolicy
from live_protocol.states import ConnectionState, Phase, TurnState
from live_protocol.timing import Deadline
from live_protocol.websocket import Wants


@pytest.mark.parametrize("reset", [False, True])
def test_a_drop_is_repaired(reset: bool) -> None:
    world = World(ONE)
    world.say("hello")
    world.cut(reset=reset)
    events = world.run()
    assert kinds(events) == ["Reconnecting"]
    (reconnecting,) = of(events, ev.Reconnecting)
    assert (reconnecting.attempt, reconnecting.delay, reconnecting.epoch) == (1, 0.25, 2)
    assert reconnecting.reason is ReconnectReason.DROPPED
    assert reconnecting.interrupted_generation is None
    assert reconnecting.info.code == 1006
    assert world.machine.next_deadline() == world.clock.now + 0.25
    assert kinds(world.until_ready()) == ["Connected", "SetupComplete", "Reconnected", "ResumptionUpdated"]
    (reconnected,) = of(world.events, ev.Reconnected)
    assert (reconnected.epoch, reconnected.resumed, reconnected.attempts) == (2, True, 1)
    assert reconnected.downtime == pytest.approx(0.25)
    world.say("again")
    assert world.model.heard == ["hello", "again"]
    assert world.machine.epoch == 2


def test_facts_between_two_connections() -> None:
    world = World(ONE)
    assert (world.machine.state, world.machine.phase, world.machine.epoch) == (ConnectionState.OPEN, Phase.READY, 1)
    world.cut()
    machine = world.machine
    world.run()
    assert (machine.state, machine.phase, machine.turn) == (ConnectionState.CONNECTING, Phase.NEW, TurnState.IDLE)
    assert machine.close_info is None
    assert (machine.wants.read, machine.wants.write, machine.wants.close) == (False, False, True)
    assert machine.next_event() is None
    assert (machine.buffered_in, machine.buffered_out, machine.latency) == (0, 0, None)
    assert machine.dial is None
    assert "CONNECTING" in repr(machine)
    with pytest.raises(IllegalInState, match="no dial is due"):
        machine.dial_succeeded()
    with pytest.raises(IllegalInState, match="no dial is due"):
        machine.dial_failed("why")
    with pytest.raises(NotConnected):
        machine.ping()


def test_before_the_first_dial() -> None:
    world = World(ONE, connect=False)
    machine = world.machine
    assert machine.dial is not None
    assert (machine.dial.endpoint, machine.dial.epoch, machine.dial.attempt) == (GEMINI, 1, 0)
    assert machine.dial is machine.dial
    assert (machine.state, machine.phase) == (ConnectionState.CONNECTING, Phase.NEW)
    assert machine.wants == Wants(read=False, write=False, half_close=False, close=False)
    assert machine.data_to_send() == b""
    assert machine.next_deadline() is None
    with pytest.raises(IllegalInState, match="setup_complete"):
        machine.send_realtime_input(text="early")
    machine.dial_succeeded()
    assert machine.dial is None
    assert machine.wants.write
    with pytest.raises(IllegalInState, match="setup_complete"):
        machine.send_realtime_input(text="early")


def test_it_needs_no_clock_before_the_first_dial() -> None:
    machine = PersistentConnection.client(GEMINI, TEXT, model="m", timeouts=QUIET)
    assert machine.dial is not None
    machine.dial_succeeded()
    assert machine.data_to_send()


def test_a_turn_that_is_cut_is_told_and_generations_go_on() -> None:
    def answer(turn: UserTurn) -> list[Any]:
        return [Say("well"), Wait(1.0), Say("yes")] if turn.text == "slow" else [Say("ok then")]

    world = World(ONE, model=Witness(answer))
    world.say("one")
    world.say("slow")
    assert world.machine.turn is TurnState.GENERATING
    world.cut()
    (reconnecting,) = of(world.run(), ev.Reconnecting)
    assert reconnecting.interrupted_generation == 2
    world.until_ready()
    world.say("three")
    assert [event.generation for event in of(world.events, ev.TurnStarted)] == [1, 2, 3]
    assert world.machine.generation == 3


def test_usage_adds_up() -> None:
    world = World(ONE)
    world.say("hello")
    before = world.machine.usage
    assert before.reports == 1
    world.cut()
    world.until_ready()
    assert world.machine.usage == before
    world.say("hello")
    assert world.machine.usage.reports == 2
    reports = of(world.events, ev.UsageUpdated)
    assert world.machine.usage.total_tokens == sum(report.usage.total_token_count or 0 for report in reports)


def test_many_drops_one_stream() -> None:
    world = World(EAGER)
    for number in range(20):
        world.say(f"m{number}")
        world.cut()
        world.until_ready()
    world.say("end")
    assert world.model.heard == [*(f"m{number}" for number in range(20)), "end"]
    assert [event.epoch for event in of(world.events, ev.Reconnected)] == list(range(2, 22))
    assert not of(world.events, ev.ConnectionClosed)


def test_the_old_socket_closes_first() -> None:
    def answer(turn: UserTurn) -> list[Any]:
        return [Close(1011, "The service is currently unavailable.")]

    world = World(ONE, model=Witness(answer))
    server = world.server
    world.machine.send_realtime_input(text="die")
    world._up()
    world.drain()
    world._down()
    (reconnecting,) = of(list(world.machine.events()), ev.Reconnecting)
    assert reconnecting.info.code == 1011
    world.clock.advance(1.0)
    world.machine.advance(world.clock.now)
    # Our answer to the close frame first, then the transport, then the dial.
    assert world.machine.dial is None
    assert world.machine.wants.write
    assert not world.machine.wants.close
    assert world.machine.next_deadline() is not None
    world.server.receive_data(world.machine.data_to_send())
    assert world.machine.wants.close
    assert world.machine.dial is not None
    assert server.close_info is None or server.close_info.code == 1011


def test_a_last_word_that_nobody_takes_does_not_hold_up_the_dial() -> None:
    world = World(ONE, model=Witness(lambda _: [Close(1011, "The service is currently unavailable.")]))
    world.machine.send_realtime_input(text="die")
    world._up()
    world.drain()
    world._down()
    list(world.machine.events())
    for _ in range(3):
        due = world.machine.next_deadline()
        if due is None:
            break
        world.clock.now = due
        world.machine.advance(due)
    assert world.machine.dial is not None


def test_what_did_not_leave_goes_out_on_the_next_connection_and_only_there() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    server.now.close(1011, "The service is currently unavailable.")
    world._down()
    world.machine.send_client_content({"role": "user", "parts": [{"text": "before"}]})  # the close was not read yet
    list(world.machine.events())
    world.run()
    world.until_ready()
    assert server.received[0][0] == 2
    assert server.texts == ["before"]
    assert not of(world.events, ev.InputLost)


def test_a_queued_message_is_not_written_behind_the_close_frame() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    world.machine.send_client_content({"role": "user", "parts": [{"text": "queued"}]})
    server.now.close(1011, "The service is currently unavailable.")
    world.machine.receive_data(world.server.data_to_send())
    assert kinds(list(world.machine.events())) == ["Reconnecting"]
    assert world.machine.data_to_send() == b""
    assert world.machine.buffered_out == 0
    assert world.machine.wants.close
    world.until_ready()
    assert [number for number, _ in server.received] == [2]


def test_dials_that_fail_are_retried_with_growing_delays() -> None:
    world = World(ONE)
    world.cut()
    world.fail_dials = 3
    world.until_ready()
    reconnecting = of(world.events, ev.Reconnecting)
    assert [event.delay for event in reconnecting] == [0.25, 0.5, 1.0, 2.0]
    assert [event.reason for event in reconnecting] == [ReconnectReason.DROPPED] + [ReconnectReason.DIAL_FAILED] * 3
    assert isinstance(reconnecting[1].info.error, TransportFailed)
    assert "ECONNREFUSED" not in str(reconnecting[1].info.error)
    assert [dial.attempt for dial in world.dials] == [0, 1, 2, 3, 4]
    (reconnected,) = of(world.events, ev.Reconnected)
    assert (reconnected.attempts, reconnected.epoch, reconnected.downtime) == (4, 2, 3.75)


def test_an_error_of_ours_is_kept() -> None:
    world = World(ONE, connect=False)
    error = DeadlineExpired(Deadline.DIAL, 10.0, "no TCP connection")
    assert world.machine.dial
    world.machine.dial_failed(error)
    events = list(world.machine.events())
    assert kinds(events) == ["ConnectionFailed", "ConnectionClosed"]
    assert of(events, ev.ConnectionFailed)[0].error is error
    assert world.machine.state is ConnectionState.CLOSED


def test_a_dial_that_cannot_succeed_ends_the_session() -> None:
    world = World(ONE)
    world.say("hello")
    world.cut()
    world.run()
    world.machine.send_realtime_input(text="waits")
    world.clock.advance(1.0)
    world.machine.advance(world.clock.now)
    assert world.machine.dial is not None
    world.machine.dial_failed("the certificate is for another host", retryable=False)
    events = list(world.machine.events())
    assert kinds(events) == ["InputLost", "ConnectionFailed", "ConnectionClosed"]
    (lost,) = of(events, ev.InputLost)
    assert (lost.count, lost.reason, lost.numbers, lost.certain) == (1, LossReason.ENDED, ((2, 2),), True)
    assert world.machine.close_info is not None
    assert world.machine.close_info.hint.startswith("Gave up: dialing again would not help.")
    assert world.machine.state is ConnectionState.CLOSED
    assert world.machine.wants.close
    assert world.machine.dial is None
    assert world.machine.next_deadline() is None
    with pytest.raises(AlreadyClosed):
        world.machine.send_realtime_input(text="late")
    with pytest.raises(AlreadyClosed):
        world.machine.ping()


def test_a_fresh_endpoint_for_each_dial() -> None:
    made: list[Endpoint] = []

    def endpoint() -> Endpoint:
        made.append(VERTEX.with_access_token(f"token-{len(made)}"))
        return made[-1]

    world = World(EAGER, endpoint=endpoint)
    assert len(made) == 1
    world.cut()
    world.until_ready()
    world.cut()
    world.until_ready()
    assert [dial.endpoint for dial in world.dials] == made
    assert len(made) == 3


def test_an_endpoint_that_cannot_be_made_is_a_dial_that_failed() -> None:
    calls = 0

    def endpoint() -> Endpoint:
        nonlocal calls
        calls += 1
        if calls in (2, 3):
            raise RuntimeError("no token: SECRET")
        return GEMINI

    world = World(EAGER, endpoint=endpoint)
    world.cut()
    world.until_ready()
    assert calls == 4
    reasons = [event.reason for event in of(world.events, ev.Reconnecting)]
    assert reasons == [ReconnectReason.DROPPED, ReconnectReason.DIAL_FAILED, ReconnectReason.DIAL_FAILED]
    assert "SECRET" not in repr(world.events)


def test_the_first_connection_fails_at_once_unless_told_otherwise() -> None:
    world = World(ONE, model=Witness(), endpoint=Endpoint.gemini(api_key="invalid"))
    assert kinds(world.events) == ["Connected", "ConnectionFailed", "ConnectionClosed"]
    assert world.machine.close_info is not None
    assert "API key" in world.machine.close_info.hint
    world = World(ONE, connect=False)
    world.fail_dials = 1
    assert kinds(world.run()) == ["ConnectionFailed", "ConnectionClosed"]
    world = World(EAGER, connect=False)
    world.fail_dials = 1
    assert kinds(world.run()) == ["Reconnecting"]
    assert "Reconnected" not in kinds(world.until_ready())


def test_a_refused_upgrade_shows_at_the_end_only() -> None:
    world = World(EAGER, endpoint=Endpoint.custom("ws://test/nowhere"))
    assert kinds(world.events) == ["UpgradeRejected", "ConnectionFailed", "ConnectionClosed"]


def test_a_tick_fires_nothing_and_leaves_what_is_due() -> None:
    world = World(ReconnectPolicy(base_delay=2.0, jitter=0.0))
    world.machine.tick(world.clock.now + 1.0)
    world.cut()
    (left,) = of(world.run(), ev.Reconnecting)
    due = world.machine.next_deadline()
    assert (left.delay, due) == (2.0, world.clock.now + 3.0)
    world.machine.tick(world.clock.now + 10.0)
    assert (world.machine.dial, world.machine.next_deadline()) == (None, due)
    world.machine.advance(world.clock.now + 10.0)
    assert world.machine.dial is not None
    assert world.machine.next_deadline() is None


def test_a_tick_before_the_first_dial_moves_the_clock() -> None:
    machine = PersistentConnection.client(GEMINI, TEXT, model="m")
    machine.tick(5.0)
    assert machine.snapshot().created == 5.0
    machine.tick(4.0)
    assert machine.snapshot().created == 5.0
