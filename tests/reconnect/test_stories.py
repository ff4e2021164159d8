"""Whole sessions against the emulator on a fake clock: drops, goAway, conflicts, dead handles, closing."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from live_protocol import events as ev
from live_protocol._tables import LinkState, Phase, TurnState
from live_protocol.closing import Initiator
from live_protocol.emulator.actions import Close, Drop, Say, Turn, Wait
from live_protocol.endpoint import Endpoint
from live_protocol.errors import (
    AlreadyClosed,
    ConnectionClosing,
    DeadlineExpired,
    IllegalInState,
    InvalidMessage,
    NotConnected,
    TransportFailed,
)
from live_protocol.events import LossReason, Need, ReconnectReason
from live_protocol.link import Wants
from live_protocol.messages import HistoryConfig, LiveClientSetup, LiveServerMessage, SessionResumptionConfig
from live_protocol.persistent import PersistentConnection
from live_protocol.reconnect import GoAwayPolicy, ReconnectPolicy, WithoutHandle
from live_protocol.timing import Deadline
from reconnect.world import EAGER, GEMINI, QUIET, TEXT, VERTEX, Scripted, Witness, World, accept, numbers, of

ONE = ReconnectPolicy(jitter=0.0, in_flight=0.0)


def kinds(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


# --- drops ------------------------------------------------------------------------------------------------------


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
    assert reconnecting.cut is None
    assert reconnecting.info.code == 1006
    assert world.machine.next_deadline() == world.clock.now + 0.25
    assert kinds(world.until_ready()) == ["Connected", "SetupComplete", "Reconnected", "ResumptionUpdated"]
    (reconnected,) = of(world.events, ev.Reconnected)
    assert (reconnected.epoch, reconnected.resumed, reconnected.attempts) == (2, True, 1)
    assert reconnected.gap == pytest.approx(0.25)
    world.say("again")
    assert world.model.heard == ["hello", "again"]
    assert world.machine.epoch == 2


def test_facts_between_two_connections() -> None:
    world = World(ONE)
    assert (world.machine.state, world.machine.phase, world.machine.epoch) == (LinkState.OPEN, Phase.READY, 1)
    world.cut()
    machine = world.machine
    world.run()
    assert (machine.state, machine.phase, machine.turn) == (LinkState.CONNECTING, Phase.NEW, TurnState.IDLE)
    assert machine.close_info is None
    assert (machine.wants.read, machine.wants.write, machine.wants.close) == (False, False, True)
    assert machine.next_event() is Need.DATA
    assert (machine.buffered_in, machine.buffered_out, machine.latency) == (0, 0, None)
    assert machine.dial is None
    assert "CONNECTING" in repr(machine)
    with pytest.raises(IllegalInState, match="nothing is to be dialled"):
        machine.dialled()
    with pytest.raises(IllegalInState, match="nothing is to be dialled"):
        machine.dial_failed("why")
    with pytest.raises(NotConnected):
        machine.ping()


def test_before_the_first_dial() -> None:
    world = World(ONE, connect=False)
    machine = world.machine
    assert machine.dial is not None
    assert (machine.dial.endpoint, machine.dial.epoch, machine.dial.attempt) == (GEMINI, 1, 0)
    assert machine.dial is machine.dial
    assert (machine.state, machine.phase) == (LinkState.CONNECTING, Phase.NEW)
    assert machine.wants == Wants(read=False, write=False, half_close=False, close=False)
    assert machine.data_to_send() == b""
    assert machine.next_deadline() is None
    with pytest.raises(IllegalInState, match="setup_complete"):
        machine.send_realtime_input(text="early")
    machine.dialled()
    assert machine.dial is None
    assert machine.wants.write
    with pytest.raises(IllegalInState, match="setup_complete"):
        machine.send_realtime_input(text="early")


def test_it_needs_no_clock_before_the_first_dial() -> None:
    machine = PersistentConnection.client(GEMINI, TEXT, model="m", timeouts=QUIET)
    assert machine.dial is not None
    machine.dialled()
    assert machine.data_to_send()


def test_a_turn_that_is_cut_is_told_and_generations_go_on() -> None:
    def answer(turn: Turn) -> list[Any]:
        return [Say("well"), Wait(1.0), Say("yes")] if turn.text == "slow" else [Say("ok then")]

    world = World(ONE, model=Witness(answer))
    world.say("one")
    world.say("slow")
    assert world.machine.turn is TurnState.GENERATING
    world.cut()
    (reconnecting,) = of(world.run(), ev.Reconnecting)
    assert reconnecting.cut == 2
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
    def answer(turn: Turn) -> list[Any]:
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


# --- dialling ---------------------------------------------------------------------------------------------------


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
    assert (reconnected.attempts, reconnected.epoch, reconnected.gap) == (4, 2, 3.75)


def test_an_error_of_ours_is_kept() -> None:
    world = World(ONE, connect=False)
    error = DeadlineExpired(Deadline.DIAL, 10.0, "no TCP connection")
    assert world.machine.dial
    world.machine.dial_failed(error)
    events = list(world.machine.events())
    assert kinds(events) == ["Failed", "ConnectionClosed"]
    assert of(events, ev.Failed)[0].error is error
    assert world.machine.state is LinkState.CLOSED


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
    assert kinds(events) == ["InputLost", "Failed", "ConnectionClosed"]
    (lost,) = of(events, ev.InputLost)
    assert (lost.count, lost.reason, lost.numbers, lost.certain) == (1, LossReason.ENDED, ((2, 2),), True)
    assert world.machine.close_info is not None
    assert world.machine.close_info.hint.startswith("Gave up: dialling again would not help.")
    assert world.machine.state is LinkState.CLOSED
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
    assert kinds(world.events) == ["Connected", "Failed", "ConnectionClosed"]
    assert world.machine.close_info is not None
    assert "API key" in world.machine.close_info.hint
    world = World(ONE, connect=False)
    world.fail_dials = 1
    assert kinds(world.run()) == ["Failed", "ConnectionClosed"]
    world = World(EAGER, connect=False)
    world.fail_dials = 1
    assert kinds(world.run()) == ["Reconnecting"]
    assert "Reconnected" not in kinds(world.until_ready())


def test_a_refused_upgrade_shows_at_the_end_only() -> None:
    world = World(EAGER, endpoint=Endpoint.custom("ws://test/nowhere"))
    assert kinds(world.events) == ["Rejected", "Failed", "ConnectionClosed"]


# --- goAway -----------------------------------------------------------------------------------------------------


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
    assert reconnected.gap == 0.0
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
    assert reconnecting.cut == 1
    (lost,) = of(world.events, ev.InputLost)
    assert (lost.reason, lost.certain, lost.kinds) == (LossReason.UNCONFIRMED, False, {"client_content": 1})


def test_without_waiting_it_leaves_at_once() -> None:
    policy = attrs.evolve(ONE, go_away=GoAwayPolicy(wait=False))
    world = World(policy, model=slow(30.0), lifetime=600.0, go_away_notice=60.0)
    world.wait(539.0)
    world.say("a long story")
    world.wait(1.0)
    assert of(world.events, ev.Reconnecting)[0].cut == 1


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
    assert world.machine.state is LinkState.CLOSING
    world.machine.send_realtime_input(text="hello")
    world.until_ready()
    assert [number for number, _ in server.received] == [2]
    assert not of(world.events, ev.InputLost)


# --- resuming ---------------------------------------------------------------------------------------------------


def test_a_conflict_is_retried_until_the_old_connection_is_gone() -> None:
    world = World(ONE)
    world.say("hello")
    old = world.server
    world.server = None  # the server does not notice
    world.machine.receive_eof()
    world.wait(3.0)
    refused = of(world.events, ev.Reconnecting)[1:]
    assert [event.reason for event in refused] == [ReconnectReason.CONFLICT] * len(refused)
    assert all(event.delay >= 1.0 for event in refused)
    assert refused
    old.transport_failed("gone")
    world.until_ready()
    world.say("again")
    assert world.model.heard == ["hello", "again"]


def test_a_dead_handle_begins_a_new_session() -> None:
    world = World(ONE, max_handles=1)
    world.say("hello")
    other = World(EAGER, emulator=world.emulator, model=world.model)
    other.say("somebody else")
    world.cut()
    world.until_ready()
    reasons = [event.reason for event in of(world.events, ev.Reconnecting)]
    assert reasons == [ReconnectReason.DROPPED, ReconnectReason.HANDLE_REFUSED]
    (reconnected,) = of(world.events, ev.Reconnected)
    assert (reconnected.resumed, reconnected.epoch) == (False, 3)
    (lost,) = of(world.events, ev.InputLost)
    assert (lost.reason, lost.certain, lost.numbers) == (LossReason.NEW_SESSION, True, ((1, 1),))
    world.say("who are you?")
    assert world.model.heard == ["who are you?"]


def test_or_the_end() -> None:
    world = World(attrs.evolve(ONE, without_handle=WithoutHandle.GIVE_UP), max_handles=1)
    World(EAGER, emulator=world.emulator, model=world.model).say("somebody else")
    world.cut()
    world.wait(10.0)
    assert kinds(world.events)[-2:] == ["Failed", "ConnectionClosed"]
    assert world.machine.close_info is not None
    assert "there is no handle" in world.machine.close_info.hint


def test_a_poisoned_handle_begins_a_new_session() -> None:
    def script(connection: Any, event: ev.SetupReceived, number: int) -> None:
        accept(connection, event, number)
        assert event.setup.session_resumption is not None
        if event.setup.session_resumption.handle:
            connection.close(1011, "The service is currently unavailable.")

    server = Scripted(script)
    world = World(attrs.evolve(ONE, poisoned_after=3), emulator=server)
    world.cut()
    world.wait(30.0)
    handles = [setup.session_resumption.handle for setup in server.setups if setup.session_resumption]
    assert handles == [None, "h1", "h2", "h3", None]
    assert of(world.events, ev.Reconnected)[-1].resumed is False


def test_resuming_sends_the_same_setup_and_never_a_history() -> None:
    server = Scripted()
    config = {**TEXT, "system_instruction": "be brief", "history_config": {"initial_history_in_client_content": True}}
    world = World(ONE, emulator=server, config=config)
    world.cut()
    world.until_ready()
    first, second = server.setups
    assert first.history_config == HistoryConfig(initial_history_in_client_content=True)
    assert first.session_resumption == SessionResumptionConfig()
    assert second == attrs.evolve(first, history_config=None, session_resumption=SessionResumptionConfig(handle="h1"))


def test_context_updates_outlive_the_connection() -> None:
    server = Scripted()
    world = World(
        ONE, emulator=server, config={**TEXT, "system_instruction": "be brief", "tools": [{"google_search": {}}]}
    )
    world.machine.send_context_update(system_instruction="be long")
    world.machine.send_context_update(tools=[])
    world.run()
    world.cut()
    world.until_ready()
    setup = server.setups[1]
    assert setup.system_instruction is not None
    assert setup.system_instruction.parts[0].text == "be long"
    assert not setup.tools


def test_resumption_is_switched_on_unless_the_policy_says_no() -> None:
    server = Scripted()
    World(ONE, emulator=server)
    assert server.setups[0].session_resumption == SessionResumptionConfig()
    world = World(attrs.evolve(ONE, resumption=False), emulator=server)
    assert server.setups[1].session_resumption is None
    world.say("hello")
    world.cut()
    world.until_ready()
    (reconnected,) = of(world.events, ev.Reconnected)
    assert not reconnected.resumed
    losses = of(world.events, ev.InputLost)
    assert [(lost.reason, lost.numbers) for lost in losses] == [(LossReason.UNCONFIRMED, ((1, 1),))]


def test_a_handle_in_the_config_is_resumed_from() -> None:
    server = Scripted()
    config = {**TEXT, "session_resumption": {"handle": "theirs"}}
    world = World(ONE, emulator=server, config=config)
    assert server.setups[0].session_resumption == SessionResumptionConfig(handle="theirs")
    assert not of(world.events, ev.Reconnected)
    world.machine.send_tool_response({"id": "of-an-earlier-life", "name": "f", "response": {}})
    assert "theirs" not in repr(world.machine) + repr(world.events)


@pytest.mark.parametrize("given", [True, False, None])
def test_transparent_mode_follows_the_policy(given: bool | None) -> None:
    server = Scripted()
    config = {**TEXT, "session_resumption": {"transparent": True}}
    World(attrs.evolve(ONE, transparent=given), emulator=server, config=config, endpoint=VERTEX)
    resumption = server.setups[0].session_resumption
    assert resumption is not None
    assert resumption.transparent is (None if given is False else True)


def test_transparent_mode_is_vertex_only() -> None:
    with pytest.raises(InvalidMessage, match="transparent"):
        PersistentConnection.client(GEMINI, TEXT, model="m", policy=ReconnectPolicy(transparent=True))


def test_a_whole_setup_will_do() -> None:
    server = Scripted()
    world = World(
        ONE,
        emulator=server,
        machine=PersistentConnection.client(GEMINI, LiveClientSetup(model="models/x"), policy=ONE, timeouts=QUIET),
    )
    assert world.ready
    assert server.setups[0].model == "models/x"


# --- ends -------------------------------------------------------------------------------------------------------


def test_close() -> None:
    world = World(ONE)
    world.say("hello")
    world.machine.close(1001, "bye")
    with pytest.raises(ConnectionClosing):
        world.machine.send_realtime_input(text="late")
    world.machine.close()
    events = world.run()
    assert kinds(events) == ["ConnectionClosed"]
    info = world.machine.close_info
    assert info is not None
    assert (info.code, info.clean, info.initiator) == (1001, True, Initiator.LOCAL)
    assert world.machine.phase is Phase.ENDED
    assert world.machine.state is LinkState.CLOSED
    assert world.machine.next_event() is Need.DATA
    world.machine.close()
    with pytest.raises(AlreadyClosed):
        world.machine.send_realtime_input(text="late")
    with pytest.raises(InvalidMessage):
        world.machine.close(99)


def test_close_does_not_count_what_left_as_lost_but_what_did_not() -> None:
    world = World(ONE)
    world.machine.send_realtime_input(text="left")
    world._up()
    world.machine.send_realtime_input(text="queued")
    world.machine.close()
    world.machine.transport_failed(ConnectionResetError(104, "reset"))
    events = list(world.machine.events())
    assert kinds(events) == ["InputLost", "Failed", "ConnectionClosed"]
    assert of(events, ev.InputLost)[0].numbers == ((2, 2),)


def test_close_between_two_connections() -> None:
    world = World(ONE)
    world.cut()
    world.run()
    world.machine.send_realtime_input(text="waits")
    with pytest.raises(InvalidMessage):
        world.machine.close(99)
    world.machine.close()
    events = world.run()
    assert kinds(events) == ["InputLost", "ConnectionClosed"]
    assert world.machine.state is LinkState.CLOSED
    assert world.machine.close_info is not None
    assert world.machine.close_info.initiator is Initiator.LOCAL
    world.wait(10.0)
    assert len(world.dials) == 1


def test_close_before_the_first_dial() -> None:
    world = World(ONE, connect=False)
    world.machine.close()
    assert kinds(world.run()) == ["ConnectionClosed"]
    assert world.machine.dial is None
    assert world.machine.state is LinkState.CLOSED


def test_close_while_the_handshake_is_under_way() -> None:
    world = World(ONE, connect=False)
    assert world.machine.dial
    world.machine.dialled()
    world.machine.close()
    assert kinds(list(world.machine.events())) == ["ConnectionClosed"]
    assert world.machine.wants.close


def test_the_server_may_close_in_peace() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    server.now.close(1000, "done")
    events = world.run()
    assert kinds(events) == ["ConnectionClosed"]
    assert world.machine.close_info is not None
    assert world.machine.close_info.hint == ""


def test_a_fatal_close_is_final_and_says_what_may_be_lost() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    world.say("hello")
    server.now.close(1007, "API key expired. Please renew the API key.")
    events = world.run()
    assert kinds(events) == ["InputLost", "Failed", "ConnectionClosed"]
    assert of(events, ev.InputLost)[0].reason is LossReason.UNCONFIRMED
    assert world.machine.close_info is not None
    assert "renew it" in world.machine.close_info.hint


def test_giving_up_after_too_many_tries() -> None:
    world = World(attrs.evolve(ONE, max_attempts=3))
    world.cut()
    world.fail_dials = 100
    world.wait(60.0)
    assert kinds(world.events)[-2:] == ["Failed", "ConnectionClosed"]
    assert len(of(world.events, ev.Reconnecting)) == 3
    assert len(world.dials) == 4
    assert world.machine.close_info is not None
    assert "3 tries" in world.machine.close_info.hint


def test_an_end_that_was_not_read_yet() -> None:
    world = World(ONE, model=Witness(lambda turn: [Say("bye then"), Drop()] if turn.text == "go" else []))
    world.machine.send_realtime_input(text="go")
    world._up()
    world.drain()
    world._down()
    world.server = None
    world.machine.receive_eof()
    world.machine.send_realtime_input(text="who is there?")  # waits, though nobody has read the end
    assert "Reconnecting" not in kinds(world.events)
    assert world.machine.state is LinkState.CLOSING
    world.run()
    world.until_ready()
    names = kinds(world.events)
    assert names.index("TextChunk") < names.index("Reconnecting")
    assert numbers(of(world.events, ev.InputLost)) == [1]


def test_a_connection_that_is_over_before_its_setup_is_read() -> None:
    server = Scripted()

    def script(connection: Any, event: ev.SetupReceived, number: int) -> None:
        accept(connection, event, number)
        if number == 2:
            connection.close(1011, "The service is currently unavailable.")

    server.script = script
    world = World(ONE, emulator=server)
    world.cut()
    world.run()
    world.machine.send_realtime_input(text="hello")
    world.wait(5.0)
    assert [number for number, _ in server.received] == [3]
    assert [event.epoch for event in of(world.events, ev.Reconnected)] == [2, 3]
    assert not of(world.events, ev.InputLost)


def test_strictness_ends_it() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    server.now.send(LiveServerMessage(extra={"news": 1}))
    assert kinds(world.run())[-2:] == ["Failed", "ConnectionClosed"]


def test_only_client_messages_are_sent() -> None:
    world = World(ONE)
    with pytest.raises(InvalidMessage, match="LiveServerMessage"):
        world.machine.send(LiveServerMessage())  # type: ignore[arg-type]


def test_setup_is_not_sent_by_hand() -> None:
    from live_protocol.messages import LiveClientMessage

    world = World(ONE)
    with pytest.raises(IllegalInState, match="by itself"):
        world.machine.send(LiveClientMessage(setup=LiveClientSetup(model="models/x")))


def test_pings_and_latency() -> None:
    world = World(ONE)
    world.machine.ping(b"x")
    world.run()
    assert of(world.events, ev.PongReceived)
    assert world.machine.latency == 0.0
    assert world.machine.resumption.handle is not None
