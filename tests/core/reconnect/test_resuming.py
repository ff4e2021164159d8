"""What a further connection asks for, and what becomes of handles that are no good."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from core.reconnect.world import EAGER, GEMINI, ONE, QUIET, TEXT, VERTEX, Scripted, World, accept, kinds, of
from live_protocol import events as ev
from live_protocol.errors import (
    InvalidMessage,
)
from live_protocol.events import LossReason, ReconnectReason
from live_protocol.messages import HistoryConfig, LiveClientSetup, SessionResumptionConfig
from live_protocol.reconnect import NoHandlePolicy, PersistentConnection, ReconnectPolicy


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


def test_a_handle_that_is_not_resumable_replaces_none() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    world.say("hello")
    server.handle("worse", resumable=False)
    world.run()
    assert (world.machine.resumption.handle, world.machine.resumption.resumable) == ("h1", False)
    world.cut()
    world.until_ready()
    assert server.setups[1].session_resumption == SessionResumptionConfig(handle="h1")
    (lost,) = of(world.events, ev.InputLost)  # what only the other handle included
    assert lost.numbers == ((1, 1),)


def test_or_the_end() -> None:
    world = World(attrs.evolve(ONE, no_handle=NoHandlePolicy.GIVE_UP), max_handles=1)
    World(EAGER, emulator=world.emulator, model=world.model).say("somebody else")
    world.cut()
    world.wait(10.0)
    assert kinds(world.events)[-2:] == ["ConnectionFailed", "ConnectionClosed"]
    assert world.machine.close_info is not None
    assert "there is no handle" in world.machine.close_info.hint


def test_a_handle_that_keeps_failing_begins_a_new_session() -> None:
    def script(connection: Any, event: ev.SetupReceived, number: int) -> None:
        accept(connection, event, number)
        assert event.setup.session_resumption is not None
        if event.setup.session_resumption.handle:
            connection.close(1011, "The service is currently unavailable.")

    server = Scripted(script)
    world = World(attrs.evolve(ONE, max_handle_failures=3), emulator=server)
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
