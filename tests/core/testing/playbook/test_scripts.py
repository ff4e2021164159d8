"""Scripts as values, and sequences of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.testing.playbook.support import READY, Scene, client
from live_protocol import (
    InvalidMessage,
    TextChunk,
)
from live_protocol.errors import LiveProtocolError
from live_protocol.testing import Pair, Playbook, PlaybookMismatch, PlaybookSequence


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
        (lambda: Playbook().expect("setpu"), "'setpu' is not a client message; did you mean 'setup'?"),
        (lambda: Playbook().expect(int), "int is not a client message; there are setup, client_content"),
        (lambda: Playbook().expect(5), "5 is not a client message"),
        (lambda: Playbook().ignore("everything"), "is not a client message"),
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
        (lambda: Playbook().send_raw({"a": object()}), "data: the dict cannot be encoded as JSON"),
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
        (
            lambda: READY.expect_tool_response("call-1", {"price": 3}),  # type: ignore[arg-type]
            'ids[1]: expected the id of a call, got {"price": 3}; to match results, pass function_responses=',
        ),
    ],
)
def test_invalid_scripts(build: Callable[[], Playbook], why: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        build()
    assert why in str(caught.value)


# --- who played what --------------------------------------------------------------------------------------------


def test_an_unplayed_playbook() -> None:
    with pytest.raises(PlaybookMismatch, match="no client made connection 1 of 1"):
        PlaybookSequence(READY).check()


def test_an_unfinished_playbook() -> None:
    scene = Scene(READY.expect_client_content("Hi"))
    mismatch = scene.mismatch()
    assert mismatch.step == 3
    assert mismatch.why == ("'expect client_content text=\"Hi\"' is still to come",)
    assert ">> 3 expect client_content" in str(mismatch)
    scene.say()
    scene.server.check()


def test_a_mismatch_is_an_assertion_error_and_a_library_error() -> None:
    scene = Scene(READY.close())
    scene.server.check()
    for kind in (AssertionError, LiveProtocolError):
        with pytest.raises(kind):
            PlaybookSequence(READY).check()


def test_a_sequence_gives_each_client_its_own_script() -> None:
    first, second = READY.send_text("one"), READY.send_text("two")
    sequence = PlaybookSequence(first, second)
    said = []
    assert not sequence.finished
    for _ in range(2):
        pair = Pair(client(), sequence.connection(step_timeout=5.0))
        pair.pump()
        said += [event.text for event in pair.client_events if isinstance(event, TextChunk)]
    assert said == ["one", "two"]
    assert sequence.finished
    assert len(sequence.connections) == 2
    sequence.check()
    late = Pair(client(), sequence.connection())
    late.pump()
    refused: Any = late.client_events[0]
    assert (refused.status, refused.body) == (503, b"playbook: no further client was expected\n")
    with pytest.raises(PlaybookMismatch, match="clients made 3 connections, there are playbooks for 2"):
        sequence.check()


def test_a_sequence_may_repeat_its_last_script() -> None:
    sequence = PlaybookSequence(READY, repeat=True)
    for _ in range(3):
        Pair(client(), sequence.connection()).pump()
    sequence.check()


def test_a_sequence_that_waits_for_clients() -> None:
    sequence = PlaybookSequence(READY, READY.wait(1))
    with pytest.raises(PlaybookMismatch, match="no client made connection 1 of 2"):
        sequence.check()
    Pair(client(), sequence.connection()).pump()
    with pytest.raises(PlaybookMismatch, match="no client made connection 2 of 2"):
        sequence.check()
    pair = Pair(client(), sequence.connection())
    pair.pump()
    assert not sequence.finished
    pair.wait(1)
    assert sequence.finished
    sequence.check()
