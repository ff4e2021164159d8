"""What hurts those who keep Live sessions alive, one test each, against the emulated service."""

from __future__ import annotations

import json

import pytest

from core.reconnect.world import EAGER, ONE, TEXT, VERTEX, Scripted, World, of
from live_protocol import ToolCallState
from live_protocol import events as ev
from live_protocol.codec import Codec
from live_protocol.connection import LiveConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import IllegalInState, InvalidMessage, NotConnected, ToolCallOrphaned
from live_protocol.events import InputLost, Reconnected, Reconnecting, ToolCallRequested
from live_protocol.messages import (
    FunctionDeclaration,
    GenerationConfig,
    LiveClientSetup,
    LiveServerMessage,
    Modality,
    ThinkingConfig,
    ThinkingLevel,
    Tool,
)
from live_protocol.reconnect import GoAwayPolicy, OfflinePolicy, ReconnectPolicy
from live_protocol.session import PROFILES, LiveSession, ModelProfile, profile_for
from live_protocol.testing import Pair

CALLS = Tool(function_declarations=[FunctionDeclaration(name="look", behavior="BLOCKING")])


def test_p10_ten_minute_go_aways_and_drops_lose_no_history() -> None:
    world = World(ONE, lifetime=600.0)
    for round_ in range(5):
        world.say(f"round {round_}")
        world.wait(590.0)
    world.cut()
    world.until_ready()
    world.say("after the drop")
    assert world.model.heard == [*(f"round {round_}" for round_ in range(5)), "after the drop"]
    assert len(of(world.events, Reconnected)) >= 5
    assert all(event.resumed for event in of(world.events, Reconnected))
    assert not of(world.events, ev.ConnectionClosed)


@pytest.mark.parametrize("offline", list(OfflinePolicy))
def test_p11_input_while_away_is_kept_or_reported_never_lost_in_silence(offline: OfflinePolicy) -> None:
    world = World(ReconnectPolicy(jitter=0.0, in_flight_window=0.0, offline=offline, offline_bytes=200))
    world.say("before")
    world.wait(1.0)
    world.cut()
    world.run()
    sent = refused = 0
    for number in range(5):
        try:
            world.say(f"away {number}")
            sent += 1
        except NotConnected:
            refused += 1
    world.until_ready()
    world.run()
    heard = [text for text in world.model.heard if text.startswith("away")]
    lost = sum(event.count for event in of(world.events, InputLost) if event.certain)
    assert sent + refused == 5
    assert len(heard) + lost == sent


def test_p12_a_result_is_bound_to_the_session_that_asked() -> None:
    server = Scripted()
    policy = ReconnectPolicy(jitter=0.0, in_flight_window=0.0, resumption=False)  # so that a new session begins
    world = World(policy, config={**TEXT, "tools": [CALLS]}, emulator=server)
    server.tell(tool_call={"function_calls": [{"id": "c1", "name": "look", "args": {}}]})
    (asked,) = of(world.run(), ToolCallRequested)
    world.cut()
    world.until_ready()
    (again,) = of(world.events, Reconnected)
    assert (again.resumed, list(again.orphaned_calls)) == (False, ["c1"])
    with pytest.raises(ToolCallOrphaned):
        world.machine.send_tool_response({"id": asked.call.id, "response": {"output": 1}}, epoch=asked.epoch)
    world.run()
    assert "tool_response" not in server.texts


def test_p13_the_old_connection_is_closed_before_the_new_one_is_dialed() -> None:
    world = World(ONE)
    world.say("first")
    world.wait(1.0)
    world.say("/goaway 20")
    world.wait(60.0)
    world.say("second")
    assert world.model.heard[-1] == "second"
    assert "first" in world.model.heard
    refused = [event for event in of(world.events, Reconnecting) if event.reason is ev.ReconnectReason.CONFLICT]
    assert not refused


def test_p14_a_handle_that_keeps_failing_is_given_up_and_its_state_is_told() -> None:
    def script(connection: LiveConnection, event: ev.SetupReceived, number: int) -> None:
        resumption = event.setup.session_resumption
        connection.send_setup_complete()
        if resumption is not None and resumption.handle == "bad":
            connection.close(1011, "Internal error encountered.")

    server = Scripted(script)
    world = World(ReconnectPolicy(jitter=0.0, in_flight_window=0.0, max_handle_failures=3), emulator=server)
    server.handle("bad")
    world.run()
    assert (world.machine.resumption.handle, world.machine.resumption.resumable) == ("bad", True)
    assert "bad" not in repr(world.machine.resumption)
    world.cut()
    world.wait(60.0)
    handles = [setup.session_resumption and setup.session_resumption.handle for setup in server.setups]
    assert handles == [None, "bad", "bad", "bad", None]
    assert of(world.events, Reconnected)[-1].resumed is False


def test_p15_what_the_server_has_not_consumed_is_sent_again_once() -> None:
    world = World(ReconnectPolicy(jitter=0.0, in_flight_window=0.0, transparent=True), endpoint=VERTEX)
    for number in range(6):
        world.cut_up = 40
        world.say(f"message {number}")
        world.until_ready()
    world.run()
    assert world.model.heard == [f"message {number}" for number in range(6)]
    assert world.cuts == 6
    assert not of(world.events, InputLost)


def test_p16_the_limits_of_connection_and_session_are_told_apart() -> None:
    world = World(ReconnectPolicy(jitter=0.0, in_flight_window=0.0, go_away=GoAwayPolicy(margin=5.0)), lifetime=600.0)
    world.say("hello")
    world.wait(590.0)
    (warned,) = of(world.events, ev.GoAway)[:1]
    assert warned.time_left is not None
    assert warned.time_left > 0
    (first,) = of(world.events, Reconnecting)[:1]
    assert first.reason is ev.ReconnectReason.GO_AWAY  # the connection ends; the session goes on
    assert first.info.age is not None
    assert first.info.age < 600.0
    assert world.ready


def test_p22_audio_during_a_blocking_call_is_held_back_where_the_model_wants_it() -> None:
    picky = ModelProfile(audio_during_calls=False)
    setup = LiveClientSetup(model="models/m", tools=[CALLS])
    for profile, refused in ((None, False), (picky, True)):
        session = LiveSession.client(setup, profile=profile)
        session.send_setup()
        session.receive_message(b'{"setupComplete": {}}')
        session.receive_message(b'{"toolCall": {"functionCalls": [{"id": "c1", "name": "look"}]}}')
        list(session.events())
        session.messages_to_send()
        for audio in (bytes(640), {"data": bytes(640), "mime_type": "audio/pcm;rate=16000"}):
            rate = 16_000 if isinstance(audio, bytes) else None
            if refused:
                with pytest.raises(IllegalInState, match="call 'c1' blocks the model"):
                    session.send_realtime_input(audio=audio, rate=rate)
                assert session.messages_to_send() == []
            else:
                session.send_realtime_input(audio=audio, rate=rate)
        session.send_tool_response({"id": "c1", "response": {}})
        session.send_realtime_input(audio=bytes(640), rate=16_000)


def test_p22_over_connections_too() -> None:
    picky = ModelProfile(audio_during_calls=False, blocking_calls=True)
    endpoint = Endpoint.custom("ws://test/")
    config = {"tools": [{"function_declarations": [{"name": "look"}, {"name": "later", "behavior": "NON_BLOCKING"}]}]}
    client = LiveConnection.client(endpoint, config, model="m", profile=picky)
    pair = Pair(client)
    pair.pump()
    assert isinstance(pair.server, LiveConnection)
    pair.server.send_setup_complete()
    pair.pump()
    call = {"toolCall": {"functionCalls": [{"id": "c2", "name": "later"}]}}
    pair.server.send(_server_message(call))
    pair.pump()
    client.send_realtime_input(audio=bytes(2), rate=16_000)  # a call that does not block
    entry = client.tool_calls.get("c2")
    assert entry is not None
    assert (entry.call.name, entry.state) == ("later", ToolCallState.PENDING)
    pair.server.send(_server_message({"toolCall": {"functionCalls": [{"id": "c3", "name": "look"}]}}))
    pair.pump()
    with pytest.raises(IllegalInState):
        client.send_realtime_input(audio=bytes(2), rate=16_000)


def _server_message(value: dict[str, object]) -> LiveServerMessage:
    return Codec().decode_server(json.dumps(value))


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("models/gemini-3.8-live-extended-thinking", "3.8 extended thinking"),
        ("models/gemini-3.8-live", "3.8"),
        ("gemini-3.5-transcribe-live", "3.5 transcribe"),
        ("gemini-3.1-flash-live-preview", "3.1"),
        ("models/gemini-2.5-flash-native-audio-preview-09-2025", "2.5 native audio"),
        ("publishers/google/models/gemini-live-2.5-flash", "2.5"),
        ("gemini-2.0-flash-live-001", "2.0"),
        ("something-new", "unknown"),
    ],
)
def test_p25_quirks_of_models_are_data(model: str, family: str) -> None:
    assert profile_for(model).family == family
    assert profile_for(model, profiles=()).family == "unknown"


def test_p25_a_profile_warns_and_changes_nothing() -> None:
    def setup(**generation: object) -> LiveClientSetup:
        return LiveClientSetup(model="models/m", generation_config=GenerationConfig(**generation))  # type: ignore[arg-type]

    thinking = ThinkingConfig(thinking_level=ThinkingLevel.HIGH)
    extended, plain, old = (profile_for(f"gemini-{name}") for name in (
        "3.8-live-extended-thinking", "3.8-live", "2.0-flash-live-001",
    ))  # fmt: skip
    text = setup(response_modalities=[Modality.TEXT])
    assert ["serves AUDIO" in line for line in extended.warnings(text)] == [True, False]
    assert "requires a thinking_level" in extended.warnings(text)[1]
    assert extended.warnings(setup(thinking_config=thinking)) == []
    assert "refuses it" in plain.warnings(setup(thinking_config=thinking))[0]
    assert "does not have it" in plain.warnings(setup(enable_affective_dialog=True))[0]
    assert old.warnings(setup(response_modalities=[Modality.TEXT], thinking_config=thinking)) == []
    assert plain.warnings(LiveClientSetup(model="models/m")) == []
    # A warning is no refusal: the session can be made all the same.
    LiveSession.client(text)
    assert len({profile.family for profile in PROFILES}) == len(PROFILES)


def test_a_bad_gap_is_still_checked() -> None:
    world = World(EAGER)
    world.cut()
    world.run()
    with pytest.raises(InvalidMessage):
        world.machine.send_client_content("a plain string")
