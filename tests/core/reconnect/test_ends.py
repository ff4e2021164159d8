"""How a session ends for good."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from core.reconnect.world import ONE, Scripted, Witness, World, accept, kinds, numbers, of
from live_protocol import events as ev
from live_protocol.close_info import Initiator
from live_protocol.emulator import Drop, Say
from live_protocol.errors import (
    AlreadyClosed,
    ConnectionClosing,
    IllegalInState,
    InvalidMessage,
)
from live_protocol.events import LossReason
from live_protocol.messages import LiveClientSetup, LiveServerMessage
from live_protocol.states import ConnectionState, Phase


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
    assert world.machine.state is ConnectionState.CLOSED
    assert world.machine.next_event() is None
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
    assert kinds(events) == ["InputLost", "ConnectionFailed", "ConnectionClosed"]
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
    assert world.machine.state is ConnectionState.CLOSED
    assert world.machine.close_info is not None
    assert world.machine.close_info.initiator is Initiator.LOCAL
    world.wait(10.0)
    assert len(world.dials) == 1


def test_close_before_the_first_dial() -> None:
    world = World(ONE, connect=False)
    world.machine.close()
    assert kinds(world.run()) == ["ConnectionClosed"]
    assert world.machine.dial is None
    assert world.machine.state is ConnectionState.CLOSED


def test_close_while_the_handshake_is_under_way() -> None:
    world = World(ONE, connect=False)
    assert world.machine.dial
    world.machine.dial_succeeded()
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
    assert kinds(events) == ["InputLost", "ConnectionFailed", "ConnectionClosed"]
    assert of(events, ev.InputLost)[0].reason is LossReason.UNCONFIRMED
    assert world.machine.close_info is not None
    assert "renew it" in world.machine.close_info.hint


def test_giving_up_after_too_many_tries() -> None:
    world = World(attrs.evolve(ONE, max_attempts=3))
    world.cut()
    world.fail_dials = 100
    world.wait(60.0)
    assert kinds(world.events)[-2:] == ["ConnectionFailed", "ConnectionClosed"]
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
    assert world.machine.state is ConnectionState.CLOSING
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
    assert kinds(world.run())[-2:] == ["ConnectionFailed", "ConnectionClosed"]


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
