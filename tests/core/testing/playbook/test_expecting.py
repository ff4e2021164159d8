"""Every kind of expectation, met and not met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.testing.playbook.support import HI, READY, Scene, client
from live_protocol import (
    ClientContentReceived,
    RealtimeInputReceived,
    ServerClosed,
    Undecodable,
    UnknownMessage,
)
from live_protocol.testing import Playbook


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


def test_any_order_reports_an_expectation_of_the_same_kind() -> None:
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


def test_ignored_messages_still_meet_expectations() -> None:
    scene = Scene(READY.ignore("context_update", "realtime_input").then(Playbook().any_order(ANY_TEXT, ANY_CONTENT)))
    scene.client.send_context_update(tools=[])
    scene.client.send_realtime_input(text="x")
    scene.say()
    scene.server.check()


def test_an_upgrade_abandoned_meanwhile() -> None:
    server = READY.connection()
    server.advance(0.0)
    server.receive_data(client().data_to_send())
    server.advance(11.0)
    list(server.events())
    assert server.mismatch is not None
    assert "the connection ended (1006" in server.mismatch.why[0]


def test_messages_after_the_last_step_are_mismatches() -> None:
    scene = Scene(READY)
    assert scene.server.finished
    scene.say()
    mismatch = scene.refused()
    assert mismatch.step == 3
    assert mismatch.why == ("got client_content instead of the end of the playbook",)
    assert '+  "clientContent": {' in mismatch.diff
    assert not scene.server.finished


def test_expecting_the_end() -> None:
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


def test_expecting_the_end_by_the_network() -> None:
    scene = Scene(READY.expect_close(1006))
    scene.server.receive_eof()
    scene.pair.pump()
    scene.server.check()
    lost = Scene(READY.expect_close())
    lost.server.transport_failed("gone")
    lost.pair.pump()
    lost.server.check()


def test_a_close_by_the_server_is_not_the_clients() -> None:
    scene = Scene(READY.expect_close())
    scene.server.close(1001)
    scene.pair.pump()
    assert scene.mismatch().why == ("close: this end closed the connection, not the client",)


def test_a_message_instead_of_the_end() -> None:
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


def test_a_client_that_breaks_the_protocol_with_strict_off() -> None:
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


def test_nothing_counts_after_a_mismatch() -> None:
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
