"""What a playbook does, step by step and on the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from live_protocol import (
    AudioChunk,
    ClientContentReceived,
    ConnectionClosing,
    Endpoint,
    GoAway,
    IllegalInState,
    InvalidMessage,
    Limits,
    LinkState,
    LiveConnection,
    OutputTranscript,
    Phase,
    RealtimeInputReceived,
    ResumptionUpdated,
    ServerClosed,
    SetupComplete,
    TextChunk,
    ToolCallRequested,
    TurnState,
    Undecodable,
    UnknownMessage,
)
from live_protocol.closing import Initiator
from live_protocol.errors import LiveProtocolError
from live_protocol.messages import InteractionStatus, LiveServerContent, LiveServerMessage
from live_protocol.playbook import Playbook, PlaybookMismatch, Stage
from live_protocol.testing import Pair
from playbook.support import HI, QUIET, READY, Scene, client


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
    assert scene.client.state is LinkState.OPEN
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
        "Connected", "SetupComplete", "TurnStarted", "TextChunk", "TextChunk", "InputTranscript", "OutputTranscript",
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


def test_what_has_no_place_is_sent_all_the_same() -> None:
    early = Playbook().send_text("early").send_setup_complete().expect_setup().send_setup_complete()
    scene = Scene(early.send_setup_complete("once more"))
    assert scene.names == ["Connected", "TurnStarted", "TextChunk", "SetupComplete", "SetupComplete", "SetupComplete"]
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


def test_a_message_beyond_all_bounds() -> None:
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
    assert scene.names == ["Rejected", "Failed", "ConnectionClosed"]
    assert scene.server.steps.endswith("reject with 429")
    rejected: Any = scene.events[0]
    assert (rejected.status, rejected.body) == (429, b"slow down")
    assert ("retry-after", "1") in rejected.headers
    scene.server.check()


# --- the upgrade ------------------------------------------------------------------------------------------------


def test_the_upgrade_may_be_expected() -> None:
    path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
    playbook = Playbook().expect_upgrade(path=path, headers={"X-Goog-Api-Key": "secret-key", "cookie": None})
    scene = Scene(playbook.expect_setup().send_setup_complete())
    assert scene.server.finished
    assert playbook.titles == ("expect upgrade with path, x-goog-api-key, cookie",)
    assert Playbook().expect_upgrade().titles == ("expect upgrade",)


def test_another_upgrade_than_expected_is_refused_and_shows_no_credential() -> None:
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


def test_an_upgrade_may_be_expected_and_rejected() -> None:
    scene = Scene(Playbook().expect_upgrade(headers={"x-goog-api-key": ...}).label("no").reject(401))
    assert scene.names[0] == "Rejected"
    scene.server.check()


def test_the_dialect_is_that_of_the_path() -> None:
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


def test_what_comes_while_waiting_is_kept() -> None:
    scene = Scene(READY.wait(2).expect_client_content("Hi").wait(0.5).send_text("there").wait(0).reply("now"))
    scene.say()
    assert scene.names[-1] == "SetupComplete"
    scene.pair.wait(2.4)
    assert scene.names[-1] == "SetupComplete"
    scene.pair.wait(0.1)
    assert scene.names[-1] == "TurnComplete"
    assert scene.server.finished


def test_waits_follow_one_another_however_the_clock_ticks() -> None:
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


def test_patience() -> None:
    scene = Scene(READY.expect_client_content("Hi"), patience=3.0)
    scene.pair.wait(2.9)
    assert scene.client.state is LinkState.OPEN
    scene.pair.wait(0.2)
    mismatch = scene.refused()
    assert mismatch.why == ("nothing came within 3 s, expected 'expect client_content text=\"Hi\"'",)
    assert mismatch.diff == ""


def test_patience_is_for_silence_alone() -> None:
    scene = Scene(READY.expect_audio(0.3).expect_close(), patience=3.0)
    for _ in range(3):
        scene.pair.wait(2.5)
        scene.client.send_realtime_input(audio=bytes(3200), rate=16_000)
    scene.pair.wait(2.5)
    scene.bye()
    scene.server.check()
    assert Scene(READY, patience=3.0).server.next_deadline() is None


# --- expectations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (ClientContentReceived, "client_content"),
        ("clientContent", "client_content"),
        ("client-content", "client_content"),
    ],
)
def test_expect_by_event_or_name(what: Any, kind: str) -> None:
    assert READY.expect(what, turns=...).titles[-1] == f'expect {kind} turns="<anything>"'


def test_context_updates() -> None:
    scene = Scene(READY.expect_context_update(system_instruction={"parts": [{"text": "new"}]}))
    scene.client.send_context_update(system_instruction="new")
    scene.pair.pump()
    assert scene.server.finished


def test_audio_in_any_number_of_messages() -> None:
    scene = Scene(READY.expect_audio(0.25).expect_realtime_input(audio_stream_end=True))
    for size in (3200, 3200, 1600):
        scene.client.send_realtime_input(audio=bytes(size), rate=16_000)
    scene.client.send_realtime_input(audio_stream_end=True)
    scene.pair.pump()
    assert scene.server.finished
    chunked = Scene(READY.expect_audio(0.1))
    chunked.client._link.send_text(
        b'{"realtime_input": {"media_chunks": [{"mime_type": "audio/pcm", "data": "%b"}]}}' % (b"AAAA" * 1200)
    )
    chunked.pair.pump()
    assert chunked.server.finished


def test_too_little_audio() -> None:
    scene = Scene(READY.expect_audio(1))
    scene.client.send_realtime_input(audio=bytes(16_000), rate=16_000)
    scene.client.send_realtime_input(audio_stream_end=True)
    scene.pair.pump()
    assert scene.refused().why == ("1 s of audio did not come: 0.5 s are missing, got realtime_input",)
    other = Scene(READY.expect_audio(1))
    other.say()
    assert "got client_content" in other.refused().why[0]


ANY = READY.any_order(
    Playbook().expect_client_content("Hi"), Playbook().expect_audio(0.1).expect_realtime_input(text="x")
)


ANY_TEXT = Playbook().expect_realtime_input(text="x")
ANY_CONTENT = Playbook().expect_client_content("Hi")


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 3, 2, 0), (3, 0, 1, 2)])
def test_any_order(order: tuple[int, ...]) -> None:
    scene = Scene(ANY)
    says: list[Callable[[], None]] = [
        lambda: scene.client.send_client_content(HI),
        lambda: scene.client.send_realtime_input(audio=bytes(1600), rate=16_000),
        lambda: scene.client.send_realtime_input(audio=bytes(1600), rate=16_000),
        lambda: scene.client.send_realtime_input(text="x"),
    ]
    for number in order:
        assert not scene.server.finished
        says[number]()
        scene.pair.pump()
    assert scene.server.finished, scene.server.mismatch


def test_any_order_shows_what_was_most_likely_meant() -> None:
    scene = Scene(ANY)
    scene.client.send_realtime_input(text="y")
    scene.pair.pump()
    assert "realtime_input" in scene.refused().why[0]
    scene = Scene(ANY)
    scene.say([{"parts": [{"text": "Ho"}]}])
    assert scene.refused().why == ('client_content.text: expected "Hi", got "Ho"',)
    scene = Scene(ANY)
    scene.client.send_context_update(tools=[])
    scene.pair.pump()
    assert scene.refused().why == ("expected client_content, got context_update",)
    assert "expect in any order: client_content" in ANY.titles[-1]


def test_ignored_messages() -> None:
    scene = Scene(READY.ignore(RealtimeInputReceived).expect_client_content("Hi").expect_audio(0.1))
    scene.client.send_realtime_input(text="never mind")
    scene.say()
    scene.client.send_realtime_input(audio=bytes(3200), rate=16_000)
    scene.client.send_realtime_input(audio=bytes(3200), rate=16_000)
    scene.pair.pump()
    scene.bye()
    scene.server.check()
    assert READY.ignore("realtime_input").titles[-1] == "ignore realtime_input"


def test_what_is_ignored_counts_where_it_is_expected_in_any_order() -> None:
    scene = Scene(READY.ignore("context_update", "realtime_input").then(Playbook().any_order(ANY_TEXT, ANY_CONTENT)))
    scene.client.send_context_update(tools=[])
    scene.client.send_realtime_input(text="x")
    scene.say()
    scene.server.check()


def test_an_upgrade_that_was_given_up_meanwhile() -> None:
    server = READY.connection()
    server.advance(0.0)
    server.receive_data(client().data_to_send())
    server.advance(11.0)
    list(server.events())
    assert server.mismatch is not None
    assert "the connection ended (1006" in server.mismatch.why[0]


def test_after_the_last_step_nothing_more_may_come() -> None:
    scene = Scene(READY)
    assert scene.server.finished
    scene.say()
    mismatch = scene.refused()
    assert mismatch.step == 3
    assert mismatch.why == ("got client_content instead of the end of the playbook",)
    assert '+  "clientContent": {' in mismatch.diff
    assert not scene.server.finished


def test_the_end_may_be_expected() -> None:
    playbook = READY.expect_close(code=lambda code: code < 1002, reason="bye").label("the end")
    scene = Scene(playbook)
    scene.bye(1000, "bye")
    scene.server.check()
    for code, reason in ((1002, "bye"), (1000, "oh")):
        other = Scene(READY.expect_close(1000, "bye"))
        other.bye(code, reason)
        assert other.mismatch().why[0].startswith("close.")
    assert READY.expect_close(1006).titles[-1] == "expect close with 1006"
    assert READY.expect_close().titles[-1] == "expect close"


def test_the_network_may_be_the_one_to_end() -> None:
    scene = Scene(READY.expect_close(1006))
    scene.server.receive_eof()
    scene.pair.pump()
    scene.server.check()
    lost = Scene(READY.expect_close())
    lost.server.transport_failed("gone")
    lost.pair.pump()
    lost.server.check()


def test_the_end_by_our_own_hand_is_not_the_clients() -> None:
    scene = Scene(READY.expect_close())
    scene.server.close(1001)
    scene.pair.pump()
    assert scene.mismatch().why == ("close: this end closed the connection, not the client",)


def test_something_else_than_the_end() -> None:
    scene = Scene(READY.expect_close())
    scene.say()
    assert scene.refused().why == ("got client_content instead of 'expect close'",)


def test_an_end_too_early() -> None:
    scene = Scene(READY.expect_client_content("Hi").reply("Ho"))
    scene.bye(1000, "enough")
    mismatch = scene.mismatch()
    assert mismatch.step == 3
    assert mismatch.why == (
        "the connection ended (1000 enough) while 'expect client_content text=\"Hi\"' was still to come",
    )
    assert scene.server.mismatch is mismatch


def test_a_client_that_breaks_the_protocol() -> None:
    scene = Scene(READY.expect_client_content())
    scene.client._link.send_text(b'{"clientContent": {"tuns": []}}')
    scene.pair.pump()
    assert scene.closed.code == 1007
    assert scene.mismatch().why[0].startswith("the client broke the protocol at 'expect client_content': ")
    server = READY.connection()
    server.receive_data(b"\x16\x03\x01")
    list(server.events())
    assert server.mismatch is not None
    assert "TLS came" in server.mismatch.why[0]


def test_a_client_that_may_break_it() -> None:
    loose = Playbook(strict=False).expect_setup().send_setup_complete()
    scene = Scene(loose.expect(UnknownMessage).expect(Undecodable).expect("unknown", newThing={"a": 1}))
    for text in (b'{"newThing": {}}', b"[]", b'{"newThing": {"a": 1}}'):
        scene.client._link.send_text(text)
    scene.pair.pump()
    assert scene.server.finished, scene.server.mismatch
    for text, shown in ((b'{"newThing": {}}', '"newThing": {}'), (b"[]", '"undecodable": {')):
        other = Scene(loose.expect_client_content())
        other.client._link.send_text(text)
        other.pair.pump()
        assert shown in other.refused().diff


def test_after_a_mismatch_nothing_counts_any_more() -> None:
    scene = Scene(READY.expect_close().label("end"))
    scene.client.send_client_content(HI)
    scene.client.send_client_content(HI)
    scene.pair.pump()
    first = scene.refused()
    scene.pair.wait(10)
    assert scene.mismatch() is first


def test_the_close_reason_is_cut() -> None:
    scene = Scene(READY.expect_client_content("é" * 200))
    scene.say()
    assert len(scene.closed.reason.encode()) <= 123
    assert isinstance(scene.closed.error, ServerClosed)


# --- the machine ------------------------------------------------------------------------------------------------


def test_facts_and_commands() -> None:
    tapped: list[object] = []
    server = READY.send_tool_call("f").connection(
        limits=Limits(), timeouts=QUIET, compression=True, tap=lambda *what: tapped.append(what)
    )
    ours = LiveConnection.client(Endpoint.gemini(api_key="k"), {}, model="m", timeouts=QUIET, compression=True)
    pair = Pair(ours, server)
    pair.pump()
    assert repr(server) == "<PlaybookConnection OPEN step 4 of 3>"
    assert (server.state, server.phase, server.turn) == (LinkState.OPEN, Phase.READY, TurnState.GENERATING)
    assert [call.name for call in server.pending_tool_calls] == ["f"]
    assert (server.buffered_in, server.buffered_out, server.latency, server.close_info) == (0, 0, None, None)
    server.ping(b"x")
    server.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=True)))
    assert server.buffered_out > 0
    pair.pump()
    assert server.latency == 0.0
    assert len(tapped) > 5
    server.close(1001, "enough")
    with pytest.raises(ConnectionClosing):
        server.send(LiveServerMessage())
    pair.pump()
    assert server.close_info is not None
    assert server.close_info.code == 1001


def test_what_was_written_before_a_drop_still_leaves() -> None:
    server = READY.send_text("last words").drop().connection()
    ours = client()
    for _ in range(3):
        server.receive_data(ours.data_to_send())
        list(server.events())
        if server.buffered_out and server.state is LinkState.CLOSED:
            break
        ours.receive_data(server.data_to_send())
    assert (server.wants.write, server.wants.close) == (True, False)
    ours.receive_data(server.data_to_send())
    assert (server.wants.write, server.wants.close) == (False, True)
    assert "TextChunk" in [type(event).__name__ for event in ours.events()]


def test_a_transport_that_fails_takes_the_last_words_along() -> None:
    scene = Scene(READY.wait(1).drop())
    scene.server.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=True)))
    scene.server.advance(scene.pair.clock.now + 1)
    assert scene.server.buffered_out > 0
    scene.server.transport_failed("gone")
    assert scene.server.data_to_send() == b""


# --- building ---------------------------------------------------------------------------------------------------


def test_scripts_are_values() -> None:
    base = Playbook().expect_setup()
    longer = base.send_setup_complete()
    assert (len(base), len(longer)) == (1, 2)
    assert len(base.then(longer)) == 3
    assert len(base.repeat(3, Playbook().send_text("x").wait(1))) == 7
    scene = Scene(READY.repeat(2, Playbook().expect_client_content().reply("Ho")))
    scene.say()
    scene.say()
    assert scene.server.finished


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: Playbook().expect("setpu"), "'setpu' is nothing that a client says; did you mean 'setup'?"),
        (lambda: Playbook().expect(int), "int is nothing that a client says; there are setup, client_content"),
        (lambda: Playbook().expect(5), "5 is nothing that a client says"),
        (lambda: Playbook().ignore("everything"), "is nothing that a client says"),
        (lambda: Playbook().expect_setup(tool=...), "setup: has no field 'tool'; did you mean 'tools'?"),
        (lambda: Playbook().expect_audio(0), "seconds: must be a positive number of seconds, not 0"),
        (lambda: Playbook().wait(-1), "seconds: must be a number of seconds, not -1"),
        (lambda: Playbook().wait(True), "seconds: must be a number"),
        (lambda: Playbook().go_away(float("nan")), "seconds: must be a number"),
        (lambda: Playbook().send_audio(0), "seconds: must be a positive number"),
        (lambda: Playbook().send_audio(1, rate=1), "rate: an audio rate is"),
        (lambda: Playbook().send({"serverContnt": {}}), "unknown field 'serverContnt'; did you mean 'server_content'?"),
        (lambda: Playbook().send(5), "message: expected LiveServerMessage or a dict of it, got int"),
        (lambda: Playbook().send_raw(5), "data: expected str, bytes or a dict, got int"),
        (lambda: Playbook().send_raw({"a": object()}), "data: the dict is no JSON"),
        (lambda: Playbook().close(1005), "code: must be"),
        (lambda: Playbook().reject(99), "status: must be"),
        (lambda: READY.reject(404), "an upgrade can be rejected only as the first step, or after expect_upgrade"),
        (READY.expect_upgrade, "expect_upgrade has to be the first step"),
        (lambda: READY.drop().wait(1), "nothing can follow 'drop', but 'wait 1 s' does"),
        (lambda: READY.close().label("x").drop(), "nothing can follow 'close with 1000', but 'drop' does"),
        (READY.any_order, "any_order: takes playbooks that expect messages, and nothing else"),
        (lambda: READY.any_order(Playbook().expect_setup(), Playbook().wait(1)), "any_order: takes"),
        (lambda: READY.repeat(-1, READY), "times: must be a number of times"),
        (lambda: READY.repeat("x", READY), "times: must be"),  # type: ignore[arg-type]
    ],
)
def test_senseless_scripts(build: Callable[[], Playbook], why: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        build()
    assert why in str(caught.value)


# --- who played what --------------------------------------------------------------------------------------------


def test_a_playbook_that_nobody_played() -> None:
    with pytest.raises(PlaybookMismatch, match="connection 1 of 1 was never made: nobody connected"):
        Stage(READY).check()


def test_a_playbook_that_is_still_being_played() -> None:
    scene = Scene(READY.expect_client_content("Hi"))
    mismatch = scene.mismatch()
    assert mismatch.step == 3
    assert mismatch.why == ("'expect client_content text=\"Hi\"' is still to come",)
    assert ">> 3 expect client_content" in str(mismatch)
    scene.say()
    scene.server.check()


def test_a_mismatch_is_an_assertion_and_one_of_our_errors() -> None:
    scene = Scene(READY.close())
    scene.server.check()
    for kind in (AssertionError, LiveProtocolError):
        with pytest.raises(kind):
            Stage(READY).check()


def test_a_stage_gives_each_client_its_own_script() -> None:
    first, second = READY.send_text("one"), READY.send_text("two")
    stage = Stage(first, second)
    said = []
    assert not stage.settled
    for _ in range(2):
        pair = Pair(client(), stage.connection(patience=5.0))
        pair.pump()
        said += [event.text for event in pair.client_events if isinstance(event, TextChunk)]
    assert said == ["one", "two"]
    assert stage.settled
    assert len(stage.connections) == 2
    stage.check()
    late = Pair(client(), stage.connection())
    late.pump()
    refused: Any = late.client_events[0]
    assert (refused.status, refused.body) == (503, b"playbook: no further client was expected\n")
    with pytest.raises(PlaybookMismatch, match="3 connections were made, there are playbooks for 2"):
        stage.check()


def test_a_stage_may_repeat_its_last_script() -> None:
    stage = Stage(READY, repeat=True)
    for _ in range(3):
        Pair(client(), stage.connection()).pump()
    stage.check()


def test_a_stage_that_waits_for_clients() -> None:
    stage = Stage(READY, READY.wait(1))
    with pytest.raises(PlaybookMismatch, match="connection 1 of 2 was never made"):
        stage.check()
    Pair(client(), stage.connection()).pump()
    with pytest.raises(PlaybookMismatch, match="connection 2 of 2 was never made"):
        stage.check()
    pair = Pair(client(), stage.connection())
    pair.pump()
    assert not stage.settled
    pair.wait(1)
    assert stage.settled
    stage.check()
