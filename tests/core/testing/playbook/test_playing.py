"""Playing a script, step by step and by the clock."""

from __future__ import annotations

from typing import Any

import pytest

from core.testing.playbook.support import QUIET, READY, Scene, client
from live_protocol import (
    AudioChunk,
    ConnectionClosing,
    ConnectionState,
    Endpoint,
    GoAway,
    IllegalInState,
    Limits,
    LiveConnection,
    OutputTranscript,
    Phase,
    ResumptionUpdated,
    SetupComplete,
    TextChunk,
    ToolCallRequested,
    TurnState,
    Undecodable,
)
from live_protocol.close_info import Initiator
from live_protocol.errors import LiveProtocolError
from live_protocol.messages import InteractionStatus, LiveServerContent, LiveServerMessage
from live_protocol.testing import Pair, Playbook


def test_the_story_of_the_issue() -> None:
    """Expect setup with tools; send 2 s of audio; expect a response to call 1; goAway 5 s; drop."""
    playbook = (
        Playbook()
        .expect_setup(tools=...)
        .send_setup_complete()
        .send_audio(seconds=2)
        .send_tool_call("f", {"q": "x"})
        .expect_tool_response("call-1")
        .go_away(5)
        .wait(5)
        .drop()
    )
    scene = Scene(playbook, {"tools": [{"function_declarations": [{"name": "f"}]}]})
    chunks = [event for event in scene.events if isinstance(event, AudioChunk)]
    assert sum(chunk.format.seconds(len(chunk.data)) for chunk in chunks) == pytest.approx(2)
    assert {len(chunk.data) for chunk in chunks[:-1]} == {11_520}
    (call,) = [event.call for event in scene.events if isinstance(event, ToolCallRequested)]
    assert (call.id, call.name, call.args) == ("call-1", "f", {"q": "x"})
    scene.client.send_tool_response({"id": call.id, "response": {}})
    scene.pair.pump()
    assert isinstance(scene.events[-1], GoAway)
    assert not scene.server.finished
    scene.pair.wait(4.9)
    assert scene.client.state is ConnectionState.OPEN
    scene.pair.wait(0.1)
    assert (scene.closed.code, scene.closed.initiator) == (1006, Initiator.TRANSPORT)
    scene.server.check()


def test_everything_that_can_be_sent() -> None:
    playbook = (
        READY.send_text("thinking", thought=True)
        .send_text("said")
        .send_transcript("heard", user=True)
        .send_transcript("said")
        .send_tool_call("f", id=None)
        .send_tool_call_cancellation("call-1")
        .send_interrupted()
        .send_generation_complete()
        .send_turn_complete(InteractionStatus.IDLE)
        .send_resumption("handle", consumed=3)
        .send_resumption(None)
        .send_audio(data=bytes(100), rate=16_000)
        .send({"serverContent": {"turnComplete": True}})
        .send(LiveServerMessage(), title="nothing in particular")
        .send(LiveServerMessage())
        .reply("whole")
    )
    scene = Scene(playbook)
    assert scene.server.finished
    assert scene.names == [
        "Connected", "SetupComplete", "TurnStarted", "TextChunk", "TextChunk", "InputTranscript",
        "OutputTranscript",
        "ToolCallRequested", "ToolCallCancelled", "Interrupted", "GenerationComplete", "TurnComplete",
        "InteractionStatusChanged", "ResumptionUpdated", "ResumptionUpdated", "TurnStarted", "AudioChunk",
        "TurnComplete", "TurnStarted", "TextChunk", "GenerationComplete", "TurnComplete",
    ]  # fmt: skip
    texts = [(event.text, event.thought) for event in scene.events if isinstance(event, TextChunk)]
    assert texts == [("thinking", True), ("said", False), ("whole", False)]
    assert [event.text for event in scene.events if isinstance(event, OutputTranscript)] == ["said"]
    assert [event.handle for event in scene.events if isinstance(event, ResumptionUpdated)] == ["handle", None]
    titles = playbook.titles
    assert len(playbook) == len(titles)
    assert titles[2] == "send text 'thinking'"
    assert "send nothing in particular" not in titles
    assert "nothing in particular" in titles
    assert "send nothing" in titles
    assert "send 0.003125 s of audio" in titles
    assert repr(playbook) == f"<Playbook of {len(titles)} steps>"


def test_misplaced_messages_are_sent() -> None:
    early = Playbook().send_text("early").send_setup_complete().expect_setup().send_setup_complete()
    scene = Scene(early.send_setup_complete("once more"))
    assert scene.names == [
        "Connected",
        "TurnStarted",
        "TextChunk",
        "SetupComplete",
        "SetupComplete",
        "SetupComplete",
    ]
    flagged = [event.unexpected for event in scene.events if isinstance(event, SetupComplete)]
    assert flagged == [False, True, True]


def test_raw_messages() -> None:
    playbook = READY.send_raw("{").send_raw(b"\xff").send_raw({"newThing": {}}).send_raw("[]", title="a list")
    scene = Scene(playbook)
    assert scene.names[2:] == ["Undecodable", "Undecodable", "UnknownMessage", "Undecodable"]
    assert [event.data for event in scene.events if isinstance(event, Undecodable)] == ["{", b"\xff", "[]"]
    assert playbook.titles[2:] == (
        "send 1 characters as they are",
        "send 1 bytes as they are",
        "send 16 bytes as they are",
        "a list",
    )


def test_a_message_beyond_all_limits() -> None:
    scene = Scene(READY.send_text("x" * 17_000_000))
    assert scene.closed.code == 1009
    assert isinstance(scene.closed.error, LiveProtocolError)


@pytest.mark.parametrize("code", [1000, 1011, 4000])
def test_close(code: int) -> None:
    scene = Scene(READY.close(code, "so be it"))
    assert (scene.closed.code, scene.closed.reason) == (code, "so be it")
    scene.server.check()


def test_reject() -> None:
    scene = Scene(Playbook().label("first").reject(429, headers={"Retry-After": "1"}, body="slow down"))
    assert scene.names == ["UpgradeRejected", "ConnectionFailed", "ConnectionClosed"]
    assert scene.server.steps.endswith("reject with 429")
    rejected: Any = scene.events[0]
    assert (rejected.status, rejected.body) == (429, b"slow down")
    assert ("retry-after", "1") in rejected.headers
    scene.server.check()


# --- the upgrade ------------------------------------------------------------------------------------------------


def test_expecting_the_upgrade() -> None:
    path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
    playbook = Playbook().expect_upgrade(path=path, headers={"X-Goog-Api-Key": "secret-key", "cookie": None})
    scene = Scene(playbook.expect_setup().send_setup_complete())
    assert scene.server.finished
    assert playbook.titles == ("expect upgrade with path, x-goog-api-key, cookie",)
    assert Playbook().expect_upgrade().titles == ("expect upgrade",)


def test_an_unexpected_upgrade_is_refused_without_showing_credentials() -> None:
    playbook = (
        Playbook()
        .ignore("realtime_input")
        .expect_upgrade(path="/elsewhere", headers={"x-goog-api-key": "another-key", "cookie": ...})
    )
    scene = Scene(playbook.expect_setup())
    mismatch = scene.mismatch()
    assert mismatch.why == (
        "upgrade.path: is not as expected",
        "upgrade.x-goog-api-key: is not as expected",
        "upgrade.cookie: is missing",
    )
    assert mismatch.step == 2
    assert "secret-key" not in str(mismatch)
    rejected: Any = scene.events[0]
    assert (rejected.status, rejected.body) == (400, b"playbook: step 2: upgrade.path: is not as expected\n")


def test_an_expected_upgrade_may_be_rejected() -> None:
    scene = Scene(Playbook().expect_upgrade(headers={"x-goog-api-key": ...}).label("no").reject(401))
    assert scene.names[0] == "UpgradeRejected"
    scene.server.check()


def test_the_path_sets_the_dialect() -> None:
    vertex = Endpoint.vertex(access_token="t", project="p", location="us-central1")
    playbook = Playbook().send_setup_complete("early").expect_setup().send_setup_complete("an-id")
    scene = Scene(playbook, endpoint=vertex)
    assert [event.session_id for event in scene.events if isinstance(event, SetupComplete)] == ["early", "an-id"]
    other = Scene(READY, endpoint=Endpoint.custom("ws://test/another/path"))
    assert other.server.finished


def test_accept_and_reject_come_too_late() -> None:
    scene = Scene(READY)
    scene.server.accept()
    with pytest.raises(IllegalInState):
        scene.server.reject(404)
    with pytest.raises(IllegalInState):
        READY.connection().accept()


# --- time -------------------------------------------------------------------------------------------------------


def test_messages_during_a_wait_are_kept() -> None:
    scene = Scene(READY.wait(2).expect_client_content("Hi").wait(0.5).send_text("there").wait(0).reply("now"))
    scene.say()
    assert scene.names[-1] == "SetupComplete"
    scene.pair.wait(2.4)
    assert scene.names[-1] == "SetupComplete"
    scene.pair.wait(0.1)
    assert scene.names[-1] == "TurnComplete"
    assert scene.server.finished


def test_consecutive_waits_do_not_depend_on_clock_steps() -> None:
    server = READY.wait(1).send_text("a").wait(1).send_text("b").wait(10).send_text("c").connection()
    pair = Pair(client(), server)
    pair.pump()
    pair.clock.advance(2.0)
    server.advance(pair.clock.now)
    pair.pump()
    assert [event.text for event in pair.client_events if isinstance(event, TextChunk)] == ["a", "b"]
    assert server.next_deadline() == pytest.approx(1012.0)


def test_a_script_waits_for_a_clock() -> None:
    ours, server = client(), READY.wait(1).send_text("late").connection()

    def pump() -> None:
        for _ in range(6):
            server.receive_data(ours.data_to_send())
            list(server.events())
            ours.receive_data(server.data_to_send())

    pump()
    assert server.next_deadline() is None
    server.advance(50.0)
    assert server.next_deadline() == 51.0
    server.advance(49.0)
    assert not server.finished
    server.advance(51.0)
    assert server.finished


def test_step_timeout() -> None:
    scene = Scene(READY.expect_client_content("Hi"), step_timeout=3.0)
    scene.pair.wait(2.9)
    assert scene.client.state is ConnectionState.OPEN
    scene.pair.wait(0.2)
    mismatch = scene.refused()
    assert mismatch.why == ("nothing came within 3 s, expected 'expect client_content text=\"Hi\"'",)
    assert mismatch.diff == ""


def test_step_timeout_counts_silence_only() -> None:
    scene = Scene(READY.expect_audio(0.3).expect_close(), step_timeout=3.0)
    for _ in range(3):
        scene.pair.wait(2.5)
        scene.client.send_realtime_input(audio=bytes(3200), rate=16_000)
    scene.pair.wait(2.5)
    scene.bye()
    scene.server.check()
    assert Scene(READY, step_timeout=3.0).server.next_deadline() is None


# --- the machine ------------------------------------------------------------------------------------------------


def test_facts_and_commands() -> None:
    observed: list[object] = []
    server = READY.send_tool_call("f").connection(
        limits=Limits(), timeouts=QUIET, compression=True, observer=observed.append
    )
    ours = LiveConnection.client(Endpoint.gemini(api_key="k"), {}, model="m", timeouts=QUIET, compression=True)
    pair = Pair(ours, server)
    pair.pump()
    assert repr(server) == "<PlaybookConnection OPEN step 4 of 3>"
    assert (server.state, server.phase, server.turn) == (ConnectionState.OPEN, Phase.READY, TurnState.GENERATING)
    assert [call.name for call in server.pending_tool_calls] == ["f"]
    assert (server.buffered_in, server.buffered_out, server.latency, server.close_info) == (0, 0, None, None)
    server.ping(b"x")
    server.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=True)))
    assert server.buffered_out > 0
    pair.pump()
    assert server.latency == 0.0
    assert len(observed) > 5
    server.close(1001, "enough")
    with pytest.raises(ConnectionClosing):
        server.send(LiveServerMessage())
    pair.pump()
    assert server.close_info is not None
    assert server.close_info.code == 1001


def test_messages_before_a_drop_still_leave() -> None:
    server = READY.send_text("last words").drop().connection()
    ours = client()
    for _ in range(3):
        server.receive_data(ours.data_to_send())
        list(server.events())
        if server.buffered_out and server.state is ConnectionState.CLOSED:
            break
        ours.receive_data(server.data_to_send())
    assert (server.wants.write, server.wants.close) == (True, False)
    ours.receive_data(server.data_to_send())
    assert (server.wants.write, server.wants.close) == (False, True)
    assert "TextChunk" in [type(event).__name__ for event in ours.events()]


def test_a_failed_transport_discards_the_final_bytes() -> None:
    scene = Scene(READY.wait(1).drop())
    scene.server.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=True)))
    scene.server.advance(scene.pair.clock.now + 1)
    assert scene.server.buffered_out > 0
    scene.server.transport_failed("gone")
    assert scene.server.data_to_send() == b""
