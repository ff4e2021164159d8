"""What users of the official SDK hand over is taken, or refused with its place and what to write instead."""

from __future__ import annotations

import array
import json
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core import call, ready_client, sent, session_facts, tell

from live_protocol import Codec, Endpoint, InvalidMessage, LiveConnection, LiveSession, LocalProtocolError
from live_protocol.messages import (
    Behavior,
    Blob,
    Content,
    FunctionDeclaration,
    GoogleSearch,
    LiveClientMessage,
    LiveClientToolResponse,
    LiveConnectConfig,
    Modality,
    Part,
    Tool,
)
from live_protocol.session import build_setup
from live_protocol.tools import DeclaredFunction, ToolRegistry

types = pytest.importorskip("google.genai.types")

GEMINI = Endpoint.gemini(api_key="any")


def setup_of(config: Any) -> dict[str, Any]:
    LiveConnection.client(GEMINI, config, model="m")
    setup = build_setup(GEMINI, config, "m")
    value: dict[str, Any] = json.loads(Codec().encode_client(LiveClientMessage(setup=setup)))["setup"]
    assert value.pop("model") == "models/m"
    return value


def refused(config: Any, path: str, why: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        LiveConnection.client(GEMINI, config, model="m")
    assert caught.value.path == path
    assert why in caught.value.why


# --- the SDK's own types ----------------------------------------------------------------------------------------

SPOKEN: dict[str, Any] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}, "languageCode": "en-US"}
VOICE = types.SpeechConfig(
    voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore")),
    language_code="en-US",
)
SDK_CONFIG = types.LiveConnectConfig(
    response_modalities=[types.Modality.AUDIO],
    media_resolution=types.MediaResolution.MEDIA_RESOLUTION_LOW,
    speech_config=VOICE,
    system_instruction=types.Content(parts=[types.Part(text="Be brief.")]),
    tools=[
        types.Tool(
            function_declarations=[
                types.FunctionDeclaration(
                    name="f", parameters=types.Schema(type="OBJECT", properties={"q": types.Schema(type="STRING")})
                )
            ]
        )
    ],
    session_resumption=types.SessionResumptionConfig(handle="h"),
    output_audio_transcription=types.AudioTranscriptionConfig(),
    realtime_input_config=types.RealtimeInputConfig(
        automatic_activity_detection=types.AutomaticActivityDetection(
            disabled=False, start_of_speech_sensitivity=types.StartSensitivity.START_SENSITIVITY_LOW
        )
    ),
    context_window_compression=types.ContextWindowCompressionConfig(
        trigger_tokens=25600, sliding_window=types.SlidingWindow(target_tokens=12800)
    ),
)
SETUP = {
    "generationConfig": {
        "responseModalities": ["AUDIO"],
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "speechConfig": SPOKEN,
    },
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "tools": [
        {
            "functionDeclarations": [
                {"name": "f", "parameters": {"type": "OBJECT", "properties": {"q": {"type": "STRING"}}}}
            ]
        }
    ],
    "sessionResumption": {"handle": "h"},
    "outputAudioTranscription": {},
    "realtimeInputConfig": {
        "automaticActivityDetection": {
            "disabled": False,
            "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
        }
    },
    "contextWindowCompression": {"triggerTokens": "25600", "slidingWindow": {"targetTokens": "12800"}},
}


@pytest.mark.parametrize(
    "config",
    [
        SDK_CONFIG,
        SDK_CONFIG.model_dump(),
        SDK_CONFIG.model_dump(exclude_none=True),
        SDK_CONFIG.model_dump(mode="json", exclude_none=True),
        SDK_CONFIG.model_dump(mode="json", by_alias=True),
        {name: getattr(SDK_CONFIG, name) for name in SDK_CONFIG.model_fields_set},
        MappingProxyType({name: getattr(SDK_CONFIG, name) for name in SDK_CONFIG.model_fields_set}),
    ],
    ids=["object", "dump", "dump-sparse", "json", "camel", "dict-of-objects", "mapping"],
)
def test_the_config_of_the_sdk_in_all_its_forms(config: Any) -> None:
    assert setup_of(config) == SETUP


def test_the_generation_config_of_the_sdk_and_what_overrides_it() -> None:
    config = types.LiveConnectConfig(
        generation_config=types.GenerationConfig(response_modalities=["AUDIO"], temperature=0.5, speech_config=VOICE),
        temperature=0.1,
    )
    assert setup_of(config)["generationConfig"] == {
        "responseModalities": ["AUDIO"],
        "temperature": 0.1,
        "speechConfig": SPOKEN,
    }


def test_types_of_the_sdk_as_arguments() -> None:
    session = ready_client()
    session.send_client_content(types.Content(role="user", parts=[types.Part(text="x")]))
    session.send_client_content([types.UserContent(parts=[types.Part(text="x")])], turn_complete=False)
    session.send_realtime_input(audio=types.Blob(data=b"\xfb\xff", mime_type="audio/pcm;rate=16000"))
    session.send_realtime_input(video=types.Blob(data=b"jpeg", mime_type="image/jpeg"))
    tell(session, call({"id": "1", "name": "f"}, {"id": "2", "name": "f"}))
    answer = types.FunctionResponse(
        id="1", name="f", response={"snake_key": 1}, scheduling=types.FunctionResponseScheduling.SILENT
    )
    session.send_tool_response(answer)
    session.send_tool_response([types.FunctionResponse(id="2", name="f", response={})])
    turn = {"role": "user", "parts": [{"text": "x"}]}
    assert sent(session) == [
        {"clientContent": {"turns": [turn], "turnComplete": True}},
        {"clientContent": {"turns": [turn], "turnComplete": False}},
        {"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "+/8="}}},
        {"realtimeInput": {"video": {"mimeType": "image/jpeg", "data": "anBlZw=="}}},
        {
            "toolResponse": {
                "functionResponses": [
                    {"id": "1", "name": "f", "response": {"snake_key": 1}, "scheduling": "SILENT"},
                ]
            }
        },
        {"toolResponse": {"functionResponses": [{"id": "2", "name": "f", "response": {}}]}},
    ]


class Undumpable:
    def model_dump(self, **_: object) -> object:
        raise RuntimeError("no")


class NoMapping:
    def model_dump(self, **_: object) -> object:
        return 5


@pytest.mark.parametrize("value", [types.SpeechConfig, Undumpable(), NoMapping(), object(), "Kore", 5])
def test_what_is_no_message_and_cannot_become_one(value: Any) -> None:
    refused({"speech_config": value}, "config.speech_config", "expected SpeechConfig or a dict of its fields, got ")
    refused(value, "config", "expected LiveConnectConfig or a dict of its fields, got ")


# --- values -----------------------------------------------------------------------------------------------------


def test_enum_names_in_any_casing_and_of_any_enum() -> None:
    for name in ("audio", "Audio", Modality.AUDIO, types.Modality.AUDIO):
        assert setup_of({"response_modalities": [name]}) == {"generationConfig": {"responseModalities": ["AUDIO"]}}
    parameters = {"type": "object", "properties": {"q": {"type": "string"}}}
    tool = {"function_declarations": [{"name": "f", "parameters": parameters}]}
    (declaration,) = setup_of({"tools": [tool]})["tools"][0]["functionDeclarations"]
    assert declaration["parameters"] == {"type": "OBJECT", "properties": {"q": {"type": "STRING"}}}
    assert setup_of({"response_modalities": ["brand_new"]})["generationConfig"]["responseModalities"] == ["brand_new"]


def test_the_wire_keeps_its_casing() -> None:
    text = '{"setup":{"generationConfig":{"responseModalities":["audio"]}}}'
    message = Codec().decode_client(text, strict=True)
    assert message.setup is not None
    assert message.setup.generation_config is not None
    assert message.setup.generation_config.response_modalities == ["audio"]


def test_bytes_in_dicts_may_be_of_any_kind() -> None:
    session = ready_client()
    for data in (b"ab", bytearray(b"ab"), memoryview(b"ab"), "YWI=", "YWI"):
        session.send_realtime_input(audio={"data": data, "mimeType": "audio/pcm;rate=16000"})
    assert len({json.dumps(message) for message in sent(session)}) == 1


# --- system instruction -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "instruction",
    [
        "a",
        {"text": "a"},
        Part(text="a"),
        types.Part(text="a"),
        ["a"],
        [{"text": "a"}],
        (Part(text="a"),),
        Content(role="user", parts=[Part(text="a")]),
        {"role": "user", "parts": [{"text": "a"}]},
        types.Content(role="user", parts=[types.Part(text="a")]),
    ],
)
def test_forms_of_a_system_instruction(instruction: Any) -> None:
    expected = {"systemInstruction": {"role": "user", "parts": [{"text": "a"}]}}
    assert setup_of({"system_instruction": instruction}) == expected
    assert setup_of({"systemInstruction": instruction}) == expected
    assert setup_of(LiveConnectConfig(system_instruction=instruction)) == expected
    session = ready_client()
    session.send_context_update(system_instruction=instruction)
    assert sent(session) == [{"contextUpdate": expected}]


@pytest.mark.parametrize(
    ("instruction", "path", "why"),
    [
        (5, "config.system_instruction", "expected Content or a dict of its fields, got int"),
        (["a", 5], "config.system_instruction[1]", "expected Part or a dict of its fields, got int"),
        ({"text": 5}, "config.system_instruction.text", "expected a string, got a number"),
        ({"partz": []}, "config.system_instruction", "did you mean 'parts'?"),
        ({"parts": ["a"]}, "config.system_instruction.parts[0]", "expected Part or a dict of its fields"),
    ],
)
def test_no_system_instruction(instruction: Any, path: str, why: str) -> None:
    refused({"system_instruction": instruction}, path, why)


def test_an_empty_system_instruction_is_none() -> None:
    for instruction in ("", None):
        assert setup_of({"system_instruction": instruction}) == {}
        assert setup_of(LiveConnectConfig(system_instruction=instruction)) == {}


# --- tools ------------------------------------------------------------------------------------------------------


def weather(city: str, days: int = 1) -> str:
    """Look up the weather."""
    return f"{city}: {days}"


WEATHER = {
    "name": "weather",
    "description": "Look up the weather.",
    "parameters": {
        "type": "OBJECT",
        "properties": {"city": {"type": "STRING"}, "days": {"type": "INTEGER"}},
        "required": ["city"],
    },
}
REGISTRY = ToolRegistry(weather)


@pytest.mark.parametrize(
    "function",
    [weather, DeclaredFunction(weather), REGISTRY, REGISTRY["weather"].declaration],
    ids=["function", "declared", "registry", "declaration"],
)
def test_functions_as_tools(function: Any) -> None:
    expected = [{"functionDeclarations": [WEATHER]}]
    for tools in (function, [function], (function,), (each for each in [function])):
        assert Codec().to_dict(build_setup(GEMINI, {"tools": tools}, "m"))["tools"] == expected
    assert setup_of(LiveConnectConfig(tools=[function]))["tools"] == expected
    session = ready_client()
    session.send_context_update(tools=[function])
    assert sent(session) == [{"contextUpdate": {"tools": {"tools": expected}}}]


def test_functions_end_in_one_tool_after_the_others() -> None:
    quiet = DeclaredFunction(weather, name="quiet", behavior=Behavior.NON_BLOCKING)
    tools = [weather, {"google_search": {}}, types.Tool(url_context=types.UrlContext()), quiet, Tool()]
    assert setup_of({"tools": tools})["tools"] == [
        {"googleSearch": {}},
        {"urlContext": {}},
        {},
        {"functionDeclarations": [WEATHER, {**WEATHER, "name": "quiet", "behavior": "NON_BLOCKING"}]},
    ]


def test_a_function_in_a_config_of_the_sdk() -> None:
    assert setup_of(types.LiveConnectConfig(tools=[weather]))["tools"] == [{"functionDeclarations": [WEATHER]}]


@pytest.mark.parametrize("key", ["inputSchema", "input_schema"])
def test_tools_of_mcp(key: str) -> None:
    schema = {"type": "object", "properties": {"a_b": {"type": "string"}}, "additionalProperties": False}
    listed = {"name": "f", "title": "F", "description": "d", key: schema, "annotations": {"readOnlyHint": True}}
    expected = [{"functionDeclarations": [{"name": "f", "description": "d", "parametersJsonSchema": schema}]}]
    assert setup_of({"tools": [listed]})["tools"] == expected
    refused({"tools": [{}, {key: schema, "name": 5}]}, "config.tools[1].name", "expected a string")


@pytest.mark.parametrize(
    ("tools", "path", "why"),
    [
        (5, "config.tools", "expected Tool or a dict of its fields, got int"),
        (b"x", "config.tools", "expected Tool or a dict of its fields, got bytes"),
        ([{}, 5], "config.tools[1]", "expected Tool or a dict of its fields, got int"),
        ([int], "config.tools[0]", "expected Tool or a dict of its fields, got type"),
        ([{}, lambda x: x], "config.tools[1].name", "'<lambda>' is not a function name"),
        ([print], "config.tools[0].print.parameters", ""),
        ([{"name": "f"}], "config.tools[0].name", "{'function_declarations': [...]}"),
    ],
)
def test_no_tools(tools: Any, path: str, why: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        LiveConnection.client(GEMINI, {"tools": tools}, model="m")
    assert caught.value.path.startswith(path)
    assert why in caught.value.why


# --- what belongs elsewhere -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "path", "why"),
    [
        ({"http_options": {"api_version": "v1alpha"}}, "config.http_options", "Endpoint.gemini(version="),
        ({"httpOptions": {}}, "config.http_options", "Endpoint.gemini(version="),
        (
            types.LiveConnectConfig(http_options={"api_version": "v1"}),
            "config.http_options",
            "Endpoint.gemini(version=",
        ),
        ({"model": "m"}, "config.model", "model="),
        ({"setup": {}}, "config.setup", "LiveClientSetup"),
        ({"stop_sequences": ["x"]}, "config.stop_sequences", "the Live API does not support it"),
        ({"responseSchema": {}}, "config.response_schema", "the Live API does not support it"),
        ({"candidate_count": 1}, "config.candidate_count", "generation_config"),
    ],
)
def test_options_that_belong_elsewhere(config: Any, path: str, why: str) -> None:
    refused(config, path, why)


def test_null_is_absent_wherever_it_belongs() -> None:
    assert setup_of({"http_options": None, "model": None, "tools": None, "temperature": None}) == {}


def raised(session: LiveSession, command: Callable[[], None]) -> InvalidMessage:
    before = session_facts(session)
    with pytest.raises(InvalidMessage) as caught:
        command()
    assert session_facts(session) == before
    assert session.messages_to_send() == []
    return caught.value


@pytest.mark.parametrize(
    ("turns", "path", "why"),
    [
        ({"turns": [], "turn_complete": True}, "client_content.turns.turns", "turn_complete= by its name"),
        ({"parts": [], "turnComplete": True}, "client_content.turns.turn_complete", "beside the turns"),
        ([{"text": "x"}], "client_content.turns[0].text", "{'role': 'user', 'parts': [{'text': ...}]}"),
        (["x"], "client_content.turns[0]", "expected Content or a dict of its fields, got str"),
        (Part(text="x"), "client_content.turns", "expected Content or a list of it, got Part"),
        (bytearray(b"x"), "client_content.turns", "expected Content or a list of it, got bytearray"),
    ],
)
def test_turns_in_other_shapes(turns: Any, path: str, why: str) -> None:
    session = ready_client()
    error = raised(session, lambda: session.send_client_content(turns))
    assert error.path == path
    assert why in error.why


@pytest.mark.parametrize(
    ("responses", "path", "why"),
    [
        ({"functionResponses": [{"id": "1"}]}, ".function_responses", "give the responses themselves"),
        ({"id": "1", "result": 5}, ".result", "{'output': ...}"),
        ({"id": "1", "output": 5}, ".output", "{'output': ...}"),
        ([{"id": "1", "error": "x"}], "[0].error", "{'error': ...}"),
        (LiveClientToolResponse(), "", "expected FunctionResponse or a list of it, got LiveClientToolResponse"),
    ],
)
def test_responses_in_other_shapes(responses: Any, path: str, why: str) -> None:
    session = ready_client()
    tell(session, call({"id": "1", "name": "f"}))
    error = raised(session, lambda: session.send_tool_response(responses))
    assert error.path == f"tool_response.function_responses{path}"
    assert why in error.why


# --- audio ------------------------------------------------------------------------------------------------------


def test_arrays_of_samples() -> None:
    session = ready_client()
    samples = array.array("h", [1, -2])
    session.send_realtime_input(audio=memoryview(samples), rate=16000)
    session.send_realtime_input(audio=samples.tobytes(), rate=16000)
    first, second = sent(session)
    assert first == second
    error = raised(session, lambda: session.send_realtime_input(audio=samples, rate=16000))  # type: ignore[arg-type]
    assert error.path == "realtime_input.audio"
    assert "got array; call tobytes() on an array of 16-bit integers" in error.why


def blob(data: Any) -> Blob:
    return Blob(data=data, mime_type="audio/pcm;rate=16000")


def test_views_of_floats_are_no_samples() -> None:
    session = ready_client()
    floats = memoryview(array.array("f", [0.5, 0.25]))
    for audio in ({"audio": floats, "rate": 16000}, {"audio": blob(floats)}):
        error = raised(session, lambda given=audio: session.send_realtime_input(**given))  # type: ignore[misc]
        assert error.path == "realtime_input.audio.data"
        assert "items of format 'f'" in error.why


def test_a_rate_beside_what_has_one() -> None:
    session = ready_client()
    for what in ({"audio": blob(b"ab")}, {"audio": {"data": b"ab"}}, {"text": "x"}, {}):
        error = raised(session, lambda given=what: session.send_realtime_input(rate=24000, **given))  # type: ignore[misc]
        assert error.path == "realtime_input.audio"
        assert "rate= is for raw bytes" in error.why


# --- what never ends --------------------------------------------------------------------------------------------


def test_what_contains_itself() -> None:
    schema: dict[str, Any] = {"type": "ARRAY"}
    schema["items"] = schema
    declaration = {"name": "f", "parameters": schema}
    for tools in ([{"function_declarations": [declaration]}], [FunctionDeclaration(name="f", parameters=schema)]):  # type: ignore[arg-type]
        with pytest.raises(InvalidMessage):
            LiveConnection.client(GEMINI, {"tools": tools}, model="m")
    refused({"tools": [{"function_declarations": [declaration]}]}, "config.tools[0]", "contains itself")
    turn: dict[str, Any] = {"role": "user"}
    turn["parts"] = [{"function_response": {"name": "f", "response": turn}}]
    session = ready_client()
    assert "nested deeper" in raised(session, lambda: session.send_client_content(turn)).why


def test_generators_are_read_once_and_in_order() -> None:
    def turns() -> Iterator[Content]:
        yield Content(role="user", parts=[Part(text="a")])
        yield Content(role="model", parts=[Part(text="b")])

    session = ready_client()
    session.send_client_content(turns())
    (message,) = sent(session)
    assert [turn["role"] for turn in message["clientContent"]["turns"]] == ["user", "model"]


def test_tools_stay_what_they_are() -> None:
    search = Tool(google_search=GoogleSearch())
    assert build_setup(GEMINI, LiveConnectConfig(tools=[search]), "m").tools[0] is search


# --- anything ---------------------------------------------------------------------------------------------------

LEAVES: list[Any] = [
    None, True, 0, -1, 2**64, 10**400, 0.5, float("nan"), 1j, "", "text", "\ud800", b"ab", bytearray(b"ab"),
    Content(), Content(parts=5), Content(parts=[5]), Content(extra=5), Content(extra={5: 1}), Part(text=5),  # type: ignore[arg-type,list-item,dict-item]
    Blob(data="x", mime_type=3), Tool(function_declarations=[5]), types.Content(), types.Part, Undumpable(),  # type: ignore[arg-type,list-item]
    Modality.AUDIO, types.Modality.AUDIO, len, int, object(), range(3), {1, 2}, REGISTRY,
]  # fmt: skip
KEYS = ["parts", "role", "text", "inline_data", "inlineData", "data", "mimeType", "id", "name", "response", "tools"]
KEYS += ["function_call", "args", "function_declarations", "inputSchema", "generation_config", "response_modalities"]
KEYS += ["system_instruction", "session_resumption", "handle", "labels", "parameters", "type", "turns", "extra"]
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(range(len(LEAVES))).map(LEAVES.__getitem__),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, 5, None, "zzz"]), inner, max_size=4)
    ),
    max_leaves=8,
)
COMMANDS: dict[str, Callable[[LiveSession, Any, Any], object]] = {
    "content": lambda session, one, two: session.send_client_content(one, turn_complete=two),
    "audio": lambda session, one, two: session.send_realtime_input(audio=one, rate=two),
    "video": lambda session, one, _: session.send_realtime_input(video=one),
    "text": lambda session, one, two: session.send_realtime_input(text=one, activity_start=two),
    "answer": lambda session, one, _: session.send_tool_response(one),
    "context": lambda session, one, two: session.send_context_update(system_instruction=one, tools=two),
    "config": lambda _, one, two: LiveConnection.client(GEMINI, one, model=two),
    "options": lambda _, one, two: build_setup(GEMINI, {"tools": one, "system_instruction": two}, "m"),
}


@given(st.sampled_from(sorted(COMMANDS)), JUNK, JUNK)
def test_anything_is_taken_whole_or_refused(command: str, one: Any, two: Any) -> None:
    session = ready_client()
    tell(session, call({"id": "id", "name": "f"}))
    before = session_facts(session)
    try:
        COMMANDS[command](session, one, two)
    except LocalProtocolError:
        assert session_facts(session) == before
        assert session.messages_to_send() == []
