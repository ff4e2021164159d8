"""Patterns, and the reports of mismatches."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from core.testing.playbook.support import HI, READY, Scene
from live_protocol import Content, InvalidMessage, Part
from live_protocol.messages import (
    Blob,
    FunctionResponse,
    Interval,
    LiveClientContent,
    LiveClientMessage,
    LiveClientRealtimeInput,
    LiveClientSetup,
)
from live_protocol.testing import Playbook

PCM = {"mime_type": "audio/pcm;rate=16000", "data": bytes(320)}


def heard(step: Playbook, turns: Any = HI, **options: Any) -> Scene:
    scene = Scene(READY.then(step))
    scene.say(turns, **options)
    return scene


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"turns": ...},
        {"turns": list},
        {"turns": [{"parts": [{"text": "Hi"}]}]},
        {"turns": ({"role": "user"},)},
        {"turns": [Content(parts=[Part(text="Hi")])]},
        {"turns": [Content(role="user")]},
        {"turns": [{"parts": [{"text": re.compile("^H")}]}]},
        {"turns": [{"parts": [{"text": str, "inlineData": None}]}]},
        {"turns": lambda turns: len(turns) == 1},
        {"turns": [{"parts": [{"thought": False}]}]},
        {"turn_complete": True},
        {"turnComplete": True},
        {"turnComplete": ...},
        {"extra": {}},
    ],
)
def test_matching_patterns(fields: dict[str, Any]) -> None:
    scene = heard(Playbook().expect_client_content(**fields))
    scene.bye()
    scene.server.check()
    assert scene.server.finished


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"turns": None}, 'client_content.turns: expected nothing, got [{"role": "user"'),
        ({"turns": []}, "client_content.turns: expected [], got "),
        ({"turns": dict}, 'client_content.turns: expected "<dict>", got '),
        ({"turns": [{}, {}]}, "client_content.turns: expected [{}, {}], got "),
        ({"turns": {"role": "user"}}, 'client_content.turns: expected {"role": "user"}, got '),
        ({"turns": [{"parts": [{"text": "Ho"}]}]}, 'client_content.turns[0].parts[0].text: expected "Ho", got "Hi"'),
        ({"turns": [{"parts": [{"text": re.compile("x")}]}]}, 'expected "<like \'x\'>", got "Hi"'),
        ({"turns": [{"parts": [{"text": None}]}]}, 'parts[0].text: expected nothing, got "Hi"'),
        ({"turns": [{"parts": [{"inline_data": ...}]}]}, 'parts[0].inline_data: expected "<anything>", got nothing'),
        ({"turns": [{"parts": [{"txt": "Hi"}]}]}, 'parts[0].txt: expected "Hi", got nothing'),
        ({"turns": [{"parts": [{"text": 5}]}]}, 'parts[0].text: expected 5, got "Hi"'),
        ({"turns": [{"parts": [{"text": True}]}]}, 'parts[0].text: expected true, got "Hi"'),
        ({"turns": [{"parts": [{"thought": True}]}]}, "parts[0].thought: expected true, got nothing"),
        ({"turns": [{"parts": {"a": 1}}]}, 'parts: expected {"a": 1}, got [{"text": "Hi"}]'),
        ({"turns": [{"role": {"a": 1}}]}, 'role: expected {"a": 1}, got "user"'),
        ({"turns": [{"role": ["user"]}]}, 'role: expected ["user"], got "user"'),
        ({"turn_complete": False}, "client_content.turn_complete: expected false, got true"),
        ({"turn_complete": "yes"}, 'client_content.turn_complete: expected "yes", got true'),
        ({"turns": lambda _: False}, 'client_content.turns: expected "<predicate>", got '),
        ({"turns": lambda turns: turns.nothing}, "the predicate raised AttributeError: 'list' object has no"),
        ({"turns": [Content(role="model")]}, 'role: expected "model", got "user"'),
    ],
)
def test_patterns_that_do_not_match(fields: dict[str, Any], why: str) -> None:
    mismatch = heard(Playbook().expect_client_content(**fields)).refused()
    assert mismatch.step == 3
    assert why in mismatch.why[0]
    assert why in str(mismatch)


@pytest.mark.parametrize(
    ("kind", "message", "fields"),
    [
        ("realtime_input", {"audio": PCM}, {"audio": {"data": bytes(320)}}),
        ("realtime_input", {"audio": PCM}, {"audio": {"data": "A" * 427 + "="}}),
        ("realtime_input", {"audio": PCM}, {"audio": {"data": bytes}}),
        ("realtime_input", {"audio": PCM}, {"audio": ...}),
        ("realtime_input", {"audio": PCM}, {"audio": True, "activity_start": False}),
        ("realtime_input", {"audio_stream_end": True}, {"audioStreamEnd": True}),
    ],
)
def test_realtime_input(kind: str, message: dict[str, Any], fields: dict[str, Any]) -> None:
    scene = Scene(READY.expect(kind, **fields))
    scene.client.send_realtime_input(**message)
    scene.pair.pump()
    assert scene.server.finished


def test_markers_are_present_or_absent() -> None:
    manual = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
    script = READY.expect_realtime_input(activity_start=True).expect_realtime_input(activity_end={})
    scene = Scene(script, manual)
    scene.client.send_realtime_input(activity_start=True)
    scene.client.send_realtime_input(activity_end=True)
    scene.pair.pump()
    assert scene.server.finished


def test_wire_forms_of_durations_numbers_and_times() -> None:
    """Patterns for messages with every kind of value."""
    setup = {
        "temperature": 0.5,
        "seed": 7,
        "tools": [
            {
                "google_search": {
                    "time_range_filter": {"start_time": datetime(2026, 1, 2, tzinfo=UTC)},
                }
            }
        ],
    }
    wanted = {
        "generation_config": {"temperature": "0.5", "seed": "7"},
        "tools": [{"googleSearch": {"timeRangeFilter": {"startTime": "2026-01-02T00:00:00Z"}}}],
    }
    scene = Scene(Playbook().expect_setup(**wanted), setup)
    assert scene.server.finished, scene.server.mismatch
    wrong = wanted | {"tools": [{"googleSearch": {"timeRangeFilter": {"startTime": "2026-01-03T00:00:00Z"}}}]}
    mismatch = Scene(Playbook().expect_setup(**wrong), setup).mismatch()
    assert 'start_time: expected "2026-01-03T00:00:00Z", got "2026-01-02T00:00:00+00:00"' in mismatch.why[0]
    assert attrs.has(Interval)


def test_free_form_objects_are_data() -> None:
    answer = {"id": "1", "name": "f", "response": {"some_key": {"a": 1, "b": [1, 2]}}}
    playbook = READY.send_tool_call("f", id="1").expect_tool_response(
        function_responses=[{"response": {"some_key": {"b": [1, 2]}}}]
    )
    scene = Scene(playbook)
    scene.client.send_tool_response(answer)
    scene.pair.pump()
    assert scene.server.finished
    other = Scene(READY.send_tool_call("f", id="1").expect_tool_response(functionResponses=[{"response": {"b": 1}}]))
    other.client.send_tool_response(answer)
    other.pair.pump()
    assert other.refused().why == ("tool_response.function_responses[0].response.b: expected 1, got nothing",)


# --- the difference ---------------------------------------------------------------------------------------------


def test_the_whole_report() -> None:
    playbook = READY.label("the greeting").expect_client_content("Hello", turn_complete=True).reply("Hello!")
    scene = Scene(playbook)
    scene.say()
    assert str(scene.refused()) == (
        'step 4: client_content.text: expected "Hello", got "Hi"\n'
        "\n"
        "--- expected\n"
        "+++ received\n"
        "@@ -1,5 +1,5 @@\n"
        " {\n"
        '-  "(text)": "Hello",\n'
        '+  "(text)": "Hi",\n'
        '   "clientContent": {\n'
        '     "turnComplete": true,\n'
        '     "turns": [\n'
        "\n"
        "steps:\n"
        "  ok 1 expect setup\n"
        "  ok 2 send setupComplete\n"
        "  ok 3 # the greeting\n"
        '  >> 4 expect client_content text="Hello" turn_complete=true\n'
        "     5 send text 'Hello!'\n"
        "     6 send generationComplete\n"
        "     7 send turnComplete"
    )


def test_another_message_than_expected() -> None:
    mismatch = heard(
        Playbook().expect_tool_response(functionResponses=[{"id": re.compile("c"), "name": str}])
    ).refused()
    assert mismatch.why == ("expected tool_response, got client_content",)
    removed = [line[1:].strip() for line in mismatch.diff.splitlines() if line.startswith("-  ")]
    assert removed == [
        '"toolResponse": {',
        '"functionResponses": [',
        '"id": "<like \'c\'>",',
        '"name": "<str>"',
    ]
    assert '"clientContent": {' in mismatch.diff


def test_a_report_shows_no_secret_and_no_media() -> None:
    token = "AIzaSyThisIsNoRealKey0123456789"
    words = f"Use {token}. {'x' * 500}"
    resumed = {"session_resumption": {"handle": "very-secret-handle"}, "system_instruction": words}
    wanted = {"handle": "another-handle"}
    mismatch = Scene(Playbook().expect_setup(instruction="x", session_resumption=wanted), resumed).mismatch()
    assert mismatch.why[0] == "setup.session_resumption.handle: is not as expected"
    assert mismatch.why[1].startswith('setup.instruction: expected "x", got "Use REDACTED. xxx')
    assert '"handle": "REDACTED-1"' in mismatch.diff
    assert '"handle": "REDACTED-2"' in mismatch.diff
    for text in (mismatch.diff, *mismatch.why):
        assert token not in text
        assert "very-secret-handle" not in text
        assert len(text) < 1000


def test_many_mismatches_are_cut() -> None:
    parts = [{"text": str(number)} for number in range(20)]
    turns = [{"role": "user", "parts": parts}]
    mismatch = heard(Playbook().expect_client_content(turns=[{"parts": [{"text": "x"}] * 20}]), turns).refused()
    assert len(mismatch.why) == 9
    assert mismatch.why[-1] == "and 12 more"


def test_long_values_are_cut() -> None:
    mismatch = heard(Playbook().expect_client_content("y" * 1000), [{"parts": [{"text": "x" * 1000}]}]).refused()
    assert "xxx... (1000 characters)" in mismatch.diff
    assert len(str(mismatch)) < 1500


# --- facts ------------------------------------------------------------------------------------------------------

TOOLS = {"tools": [{"function_declarations": [{"name": "f"}, {"name": "g"}]}], "system_instruction": "Be brief."}


@pytest.mark.parametrize("functions", ["f", ["f"], ("g", "f")])
def test_setup_by_its_functions_and_instruction(functions: Any) -> None:
    scene = Scene(Playbook().expect_setup(functions=functions, instruction="Be brief.", tools=...), TOOLS)
    assert scene.server.finished


def test_setup_without_a_function_or_with_other_words() -> None:
    scene = Scene(Playbook().expect_setup(functions=["h", "f"], instruction=re.compile("long")), TOOLS)
    mismatch = scene.mismatch()
    assert mismatch.why == (
        'setup.instruction: expected "<like \'long\'>", got "Be brief."',
        'setup.functions: expected ["h"], got ["f", "g"]',
    )


def test_the_expected_message_is_shown_if_another_kind_came() -> None:
    scene = Scene(READY.send_tool_call("f", id="1").expect_tool_response("1", function_responses=...))
    scene.client.send_client_content({"parts": [{"text": "hm"}]})
    scene.pair.pump()
    diff = str(scene.refused())
    assert '-  "(ids)": [\n-    "1"\n-  ],\n' in diff


def test_responses_by_their_ids_in_any_order() -> None:
    calls = READY.send_tool_call("f", id="1").send_tool_call("f", id="2")
    answers = [FunctionResponse(id=number, name="f", response={}) for number in ("2", "1")]
    for ids, right in ((("1", "2"), True), (("1",), False)):
        scene = Scene(calls.expect_tool_response(*ids))
        scene.client.send_tool_response(answers)
        scene.pair.pump()
        assert scene.server.finished is right
    assert scene.refused().why == ('tool_response.ids: expected ["1"], got ["1", "2"]',)


# --- whole messages ---------------------------------------------------------------------------------------------

SPOKEN = LiveClientMessage(realtime_input=LiveClientRealtimeInput(audio=Blob(**PCM)))


def exactly(message: LiveClientMessage, config: dict[str, Any] | None = None) -> Scene:
    scene = Scene(READY.expect_message(message), config)
    scene.client.send_realtime_input(audio=bytes(640), rate=16_000)
    scene.pair.pump()
    return scene


def test_a_whole_message_may_differ_in_its_media() -> None:
    assert exactly(SPOKEN).server.finished
    assert exactly(SPOKEN).server.steps.endswith("expect realtime_input as recorded")


def test_a_whole_message_may_differ_in_nothing_else() -> None:
    said = LiveClientMessage(
        realtime_input=LiveClientRealtimeInput(audio=Blob(mime_type="audio/pcm;rate=8000", data=b""))
    )
    mismatch = exactly(said).refused()
    assert mismatch.why == (
        'realtime_input.audio.mimeType: expected "audio/pcm;rate=8000", got "audio/pcm;rate=16000"',
    )
    text = LiveClientMessage(client_content=LiveClientContent(turns=[Content(parts=[Part(text="x")])]))
    assert exactly(text).refused().why == ("expected client_content, got realtime_input",)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"turns": [{"parts": [{"text": "Hi"}]}], "turn_complete": True}, ('turns[0].role: not expected, got "user"',)),
        ({"turns": [], "turn_complete": True}, ("turns: expected [], got ",)),
        ({"turns": [{"role": "user", "parts": [{"text": "Hi"}]}]}, ("turnComplete: not expected, got true",)),
    ],
)
def test_a_whole_message_has_no_extra_members(message: dict[str, Any], why: tuple[str, ...]) -> None:
    turns = [
        Content(role=turn.get("role"), parts=[Part(**part) for part in turn["parts"]]) for turn in message["turns"]
    ]
    content = LiveClientContent(turns=turns, turn_complete=message.get("turn_complete"))
    mismatch = heard(Playbook().expect_message(LiveClientMessage(client_content=content))).refused()
    assert [line.startswith(f"client_content.{text}") for line, text in zip(mismatch.why, why, strict=True)] == [True]


def test_redacted_values_match_any_text() -> None:
    setup = LiveClientSetup(model="REDACTED", generation_config=None)
    scene = Scene(Playbook().expect_message(LiveClientMessage(setup=setup)))
    assert scene.mismatch().why == ('setup.generationConfig: not expected, got {"responseModalities": ["TEXT"]}',)


def test_unknown_fields_of_a_message() -> None:
    loose = Playbook(strict=False)
    for pattern, right in (({"newThing": {"a": 1}}, True), ({"newThing": {"a": 2}}, False), (None, False)):
        script = loose.expect_setup().send_setup_complete().expect("client_content", extra=pattern)
        scene = Scene(script)
        scene.client._link.send_text(b'{"clientContent": {"newThing": {"a": 1, "b": 2}}}')
        scene.pair.pump()
        assert scene.server.finished is right


def test_an_empty_message_cannot_be_expected() -> None:
    with pytest.raises(InvalidMessage, match="has no member"):
        Playbook().expect_message(LiveClientMessage())
