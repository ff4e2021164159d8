"""Refusals of a setup in the service's words, and the time of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from core.emulator.pair import (
    GEMINI,
    GEMINI_ALPHA,
    TEXT,
    VERTEX,
    Pair,
    Raw,
    closed,
    emulator,
    names,
    of,
    pcm,
    said,
)
from live_protocol import events as ev
from live_protocol.emulator import Emulator
from live_protocol.endpoint import Endpoint
from live_protocol.messages import (
    GenerationConfig,
    LiveClientSetup,
    Modality,
    SessionResumptionConfig,
    SpeechConfig,
    ThinkingConfig,
)
from live_protocol.states import Phase
from live_protocol.timing import Deadline

INVALID = (1007, "Request contains an invalid argument.")


def unknown(name: str, path: str) -> tuple[int, str]:
    return 1007, f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."[:123]


def refused(setup: str, endpoint: Endpoint = GEMINI, server: Emulator | None = None) -> tuple[int, str]:
    """The answer to a setup that a `LiveConnection` would refuse to send."""
    raw = Raw(server, endpoint)
    assert raw.send(setup) == []
    return raw.code, raw.reason


def setup(members: str, model: str = "models/m") -> str:
    name = f'"model": "{model}"'
    return '{"setup": {' + (f"{name}, {members}" if members else name) + "}}"


@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ('"x": 1', unknown("x", "setup")),
        ('"responseModalities": ["TEXT"]', unknown("responseModalities", "setup")),
        ('"generationConfig": {"tempo": 1}', unknown("tempo", "setup.generation_config")),
        ('"generation_config": {"speechConfig": {"x": 1}}', unknown("x", "setup.generation_config.speech_config")),
        ('"tools": [{}, {"x": 1}]', unknown("x", "setup.tools[1]")),
        ('"sessionResumption": {"transparent": true}', unknown("transparent", "setup.session_resumption")),
        ('"explicitVadSignal": true', unknown("explicitVadSignal", "setup")),
        ('"proactivity": {"proactiveAudio": true}', unknown("proactivity", "setup")),
        ('"safetySettings": [{"category": "X", "threshold": "Y"}]', unknown("safetySettings", "setup")),
        (
            '"generationConfig": {"enableAffectiveDialog": true}',
            unknown("enableAffectiveDialog", "setup.generation_config"),
        ),
        (
            '"tools": [{}, {"googleSearch": {"excludeDomains": ["a"]}}]',
            unknown("excludeDomains", "setup.tools[1].google_search"),
        ),
        (f'"{"ä" * 60}": 1', (1007, 'Invalid JSON payload received. Unknown name "' + "ä" * 39)),
        (
            '"realtimeInputConfig": {"activityHandling": "INTERRUPTS"}',
            (1007, "Invalid value at 'setup.realtime_input_config.activity_handling', \"INTERRUPTS\""),
        ),
        (
            '"generationConfig": {"responseModalities": ["TEXT", "SMELL"]}',
            (1007, "Invalid value at 'setup.generation_config.response_modalities[1]', \"SMELL\""),
        ),
        ('"model": 7', (1007, "Invalid value at 'setup.model'")),
        (
            '"generationConfig": {"responseLogprobs": true}',
            (1007, "responseLogprobs is not supported in the live api."),
        ),
        ('"generationConfig": {"stopSequences": ["x"]}', (1007, "stopSequences is not supported in the live api.")),
    ],
)
def test_fields(members: str, answer: tuple[int, str]) -> None:
    assert refused(setup(members)) == answer


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [
        ('"TEXT", "AUDIO"', "TEXT, AUDIO"),
        ('"VIDEO"', "VIDEO"),
    ],
)
def test_modalities(wanted: str, listed: str) -> None:
    code, reason = refused(setup('"generationConfig": {"responseModalities": [' + wanted + "]}"))
    assert code == 1007
    text = (
        f"The requested combination of response modalities ({listed}) is not supported by the model. models/m accepts"
    )
    assert reason.startswith(text)


def test_native_audio_models_do_not_answer_with_text() -> None:
    code, reason = closed(Pair(config=TEXT, model="gemini-2.5-flash-native-audio-preview"))
    assert code == 1007
    assert "(TEXT) is not supported by the model." in reason


def test_voices_need_audio() -> None:
    config = {**TEXT, "speech_config": SpeechConfig(language_code="de-DE")}
    assert closed(Pair(config=config)) == (1007, "Cannot extract voices from a non-audio request")


def test_thinking_level() -> None:
    model = "models/gemini-3.8-live-extended-thinking"
    answer = (1007, "Thinking level must be specified for this model")
    assert closed(Pair(model=model)) == answer
    assert (
        closed(Pair(config={**TEXT, "thinking_config": ThinkingConfig(include_thoughts=True)}, model=model)) == answer
    )
    assert Pair(config={**TEXT, "thinking_config": {"thinking_level": "LOW"}}, model=model).text("hi")


def test_previews() -> None:
    config = {**TEXT, "proactivity": {"proactive_audio": True}, "enable_affective_dialog": True}
    assert said(Pair(config=config, endpoint=GEMINI_ALPHA).text("hi")) == "hi"
    assert said(Pair(config=config, endpoint=VERTEX).text("hi")) == "hi"


@pytest.mark.parametrize(
    ("endpoint", "model", "answer"),
    [
        (GEMINI, "m", INVALID),
        (GEMINI, "", INVALID),
        (GEMINI, "publishers/google/models/m", INVALID),
        (VERTEX, "m", INVALID),
        (VERTEX, "tunedModels/m", INVALID),
        (VERTEX, "publishers/google/models/missing", (1008, "Requested entity was not found.")),
        (
            GEMINI,
            "models/missing-x",
            (
                1008,
                "models/missing-x is not found for API version v1beta, or is not supported for "
                "bidiGenerateContent. Call ListModels to see t",
            ),
        ),
        (
            GEMINI_ALPHA,
            "models/missing-model-with-a-name-of-its-own-and-more",
            (
                1008,
                "models/missing-model-with-a-name-of-its-own-and-more is not found for API version v1alpha, or is not "
                "supported for bidiGene",
            ),
        ),
    ],
)
def test_models(endpoint: Endpoint, model: str, answer: tuple[int, str]) -> None:
    assert refused(setup("", model), endpoint) == answer


def test_a_setup_without_a_model() -> None:
    assert refused('{"setup": {}}') == INVALID


def test_names_of_missing_models_are_an_option() -> None:
    assert said(Pair(emulator(missing_models="gone"), model="missing").text("hi")) == "hi"
    assert closed(Pair(emulator(missing_models="gone"), model="gone-by"))[0] == 1008
    assert said(Pair(model="tunedModels/m").text("hi")) == "hi"


def test_setup_comes_first_and_only_first() -> None:
    answer = (1007, "setup must be the first message and only the first")
    assert refused('{"clientContent": {"turnComplete": true}}') == answer
    pair = Pair()
    pair.raw(setup(""))
    assert closed(pair) == answer


def test_not_json() -> None:
    assert refused("{") == INVALID


def test_both_spellings() -> None:
    raw = Raw()
    (answer,) = raw.send('{"setup": {"model": "models/m", "generation_config": {"responseModalities": ["TEXT"]}}}')
    assert answer == {"setupComplete": {}}
    first, *_ = raw.send('{"client_content": {"turns": [{"parts": [{"text": "hi"}]}], "turnComplete": true}}')
    assert first == {"serverContent": {"modelTurn": {"parts": [{"text": "h"}]}}}


def test_messages_sent_before_the_answer() -> None:
    # As .NET does (wire.md#handshake).
    pair = Pair(emulator(setup_delay=0.4), connect=False)
    pair.run()
    pair.raw('{"clientContent": {"turns": [{"parts": [{"text": "hi"}]}], "turnComplete": true}}')
    pair.raw('{"realtimeInput": {"text": "ho"}}')
    assert pair.client.phase is Phase.SETUP_SENT
    assert pair.server.next_deadline() == pytest.approx((pair.now or 0) + 0.4)
    new = pair.wait(1)
    assert names(new)[0] == "SetupComplete"
    assert said(new) == "hiho"


def test_the_answer_may_be_late_or_missing() -> None:
    pair = Pair(emulator(setup_delay=0.4), start=None)
    assert not of(pair.events, ev.SetupComplete)
    pair.now = 50.0
    pair.server.advance(50.0)
    assert pair.server.next_deadline() == pytest.approx(50.4)
    pair.wait(0.5)
    assert of(pair.events, ev.SetupComplete)
    pair = Pair(emulator(setup_delay=None))
    pair.raw('{"realtimeInput": {"text": "ho"}}')
    pair.wait(31)
    (failed,) = of(pair.events, ev.ConnectionFailed)
    assert getattr(failed.error, "which", None) is Deadline.SETUP


def test_a_delayed_answer_after_the_client_left() -> None:
    pair = Pair(emulator(setup_delay=5.0))
    pair.client.close()
    pair.run()
    pair.wait(10)
    assert not of(pair.events, ev.SetupComplete)


def test_what_else_is_accepted() -> None:
    config = LiveClientSetup(
        model="models/m",
        generation_config=GenerationConfig(response_modalities=[Modality.AUDIO], temperature=0.5),
        session_resumption=SessionResumptionConfig(),
    )
    assert pcm(Pair(config=config).text("hi"))
    full: dict[str, Any] = {
        **TEXT,
        "context_window_compression": {"trigger_tokens": 1000, "sliding_window": {}},
        "input_audio_transcription": {},
        "tools": [{"google_search": {}}, {"code_execution": {}}],
    }
    assert said(Pair(config=full).text("hi")) == "hi"


def test_enum_names_have_either_case_and_numbers_pass() -> None:
    declared = '"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "object"}}]}]'
    coverage = '"realtimeInputConfig": {"turnCoverage": 2, "activityHandling": "no_interruption"}'
    assert Raw().send(setup(f"{declared}, {coverage}")) == [{"setupComplete": {}}]


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        (
            "models/gemini-live-2.5-flash-preview",
            unknown("additionalProperties", "setup.tools[0].function_declarations[0].parameters"),
        ),
        ("models/gemini-3.8-live", None),
    ],
)
def test_schemas_of_older_models(model: str, answer: tuple[int, str] | None) -> None:
    function = '{"name": "f", "parameters": {"type": "OBJECT", "additionalProperties": false}}'
    raw = Raw()
    got = raw.send(setup(f'"tools": [{{"functionDeclarations": [{function}]}}]', model))
    assert (bool(got), (raw.code, raw.reason)) == (answer is None, answer or (0, ""))


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("{}", INVALID),
        (
            '{"clientContent": {"turns": [{"parts": [{"functionCall": {"name": "f", "willContinue": true}}]}]}}',
            unknown("willContinue", "client_content.turns[0].parts[0].function_call"),
        ),
        (
            '{"toolResponse": {"functionResponses": [{"id": "x", "scheduling": "LATER"}]}}',
            (1007, "Invalid value at 'tool_response.function_responses[0].scheduling', \"LATER\""),
        ),
    ],
)
def test_later_messages_are_checked_too(message: str, answer: tuple[int, str]) -> None:
    pair = Pair()
    pair.raw(message)
    assert closed(pair) == answer


def test_context_updates_are_checked() -> None:
    for update, answer in (
        ("{}", INVALID),
        (
            '{"tools": {"tools": [{"googleSearch": {"excludeDomains": ["a"]}}]}}',
            unknown("excludeDomains", "context_update.tools.tools[0].google_search"),
        ),
    ):
        pair = Pair()
        pair.raw('{"contextUpdate": ' + update + "}")
        assert closed(pair) == answer
