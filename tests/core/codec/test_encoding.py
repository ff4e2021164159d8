"""Messages to text: the codec writes the forms of the service, refuses bad values, and reads its own text back."""

from __future__ import annotations

import enum
import json
import math
from array import array
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import attrs
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.core import CANARY, server_message

from live_protocol import Codec, InvalidMessage, LiveServerMessage
from live_protocol.messages import (
    AuthToken,
    Backend,
    Blob,
    Content,
    ContextWindowCompressionConfig,
    FunctionCall,
    FunctionDeclaration,
    FunctionResponse,
    GenerationConfig,
    GoogleSearch,
    Interval,
    LiveClientContent,
    LiveClientContextUpdate,
    LiveClientContextUpdateTools,
    LiveClientMessage,
    LiveClientSetup,
    LiveClientToolResponse,
    LiveConnectConfig,
    LiveServerContent,
    LiveServerGoAway,
    LiveServerSessionResumptionUpdate,
    LiveServerSetupComplete,
    LiveServerToolCall,
    Modality,
    ModelSelectionConfig,
    Part,
    Schema,
    SessionResumptionConfig,
    SlidingWindow,
    SpeechConfig,
    Tool,
    UsageMetadata,
)

GEMINI = Codec()
VERTEX = Codec(Backend.VERTEX)


def refused(message: object, path: str, why: str = "", *, codec: Codec = GEMINI) -> None:
    with pytest.raises(InvalidMessage) as caught:
        codec.to_dict(message)
    error = caught.value
    assert error.path == path
    assert why in error.why
    assert error.__cause__ is None
    assert error.__context__ is None
    assert CANARY not in f"{error} {error!r} {vars(error)}"


def test_a_client_writes_compact_json() -> None:
    message = LiveClientMessage(
        setup=LiveClientSetup(
            model="models/m",
            generation_config=GenerationConfig(response_modalities=[Modality.AUDIO, "NEW"], temperature=1, top_p=0.5),
            context_window_compression=ContextWindowCompressionConfig(
                trigger_tokens=2**40, sliding_window=SlidingWindow(target_tokens=1)
            ),
            session_resumption=SessionResumptionConfig(),
            tools=[Tool(google_search=GoogleSearch())],
            extra={"brandNew": {"a_b": 1}},
        )
    )
    assert GEMINI.encode_client(message) == (
        b'{"setup":{"model":"models/m","generationConfig":{"responseModalities":["AUDIO","NEW"],"temperature":1,"topP":0.5},'
        b'"tools":[{"googleSearch":{}}],"sessionResumption":{},"contextWindowCompression":{"triggerTokens":"1099511627776",'
        b'"slidingWindow":{"targetTokens":"1"}},"brandNew":{"a_b":1}}}'
    )


def test_an_empty_list_differs_from_an_absent_one() -> None:
    update = LiveClientContextUpdate(tools=LiveClientContextUpdateTools(tools=[]))
    assert GEMINI.to_dict(LiveClientMessage(context_update=update)) == {"contextUpdate": {"tools": {"tools": []}}}
    update = LiveClientContextUpdate(tools=LiveClientContextUpdateTools())
    assert GEMINI.to_dict(LiveClientMessage(context_update=update)) == {"contextUpdate": {"tools": {}}}


@pytest.mark.parametrize(
    "data", [b"\xfb\xff", bytearray(b"\xfb\xff"), memoryview(b"\xfb\xff"), memoryview(b"\xfb\0\xff")[::2]]
)
def test_bytes_become_standard_base64(data: Any) -> None:
    assert GEMINI.to_dict(Blob(mime_type="a/b", data=data)) == {"mimeType": "a/b", "data": "+/8="}
    text = Codec.encode_audio("audio/pcm;rate=16000", data)
    assert json.loads(text) == {"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "+/8="}}}


def test_a_memoryview_of_any_item_size_is_encoded() -> None:
    assert GEMINI.to_dict(Blob(data=memoryview(array("H", [1, 2]))))["data"] in ("AQACAA==", "AAEAAg==")


def test_vertex_has_its_own_keys() -> None:
    usage = LiveServerMessage(usage_metadata=UsageMetadata(response_token_count=1, response_tokens_details=[]))
    assert json.loads(VERTEX.encode_server(usage)) == {
        "usageMetadata": {"candidatesTokenCount": 1, "candidatesTokensDetails": []}
    }
    assert json.loads(GEMINI.encode_server(usage)) == {
        "usageMetadata": {"responseTokenCount": 1, "responseTokensDetails": []}
    }
    choice = GenerationConfig(model_selection_config=ModelSelectionConfig(feature_selection_preference="BALANCED"))
    assert VERTEX.to_dict(choice) == {"modelConfig": {"featureSelectionPreference": "BALANCED"}}


@pytest.mark.parametrize(
    ("message", "path", "codec"),
    [
        (LiveClientSetup(model="m", explicit_vad_signal=True), "setup.explicit_vad_signal", GEMINI),
        (
            LiveClientSetup(model="m", session_resumption=SessionResumptionConfig(transparent=False)),
            "setup.session_resumption.transparent",
            GEMINI,
        ),
        (
            LiveClientSetup(model="m", generation_config=GenerationConfig(enable_enhanced_civic_answers=True)),
            "setup.generation_config.enable_enhanced_civic_answers",
            VERTEX,
        ),
    ],
)
def test_a_field_of_the_other_backend_is_refused(message: LiveClientSetup, path: str, codec: Codec) -> None:
    other = Backend.VERTEX if codec is GEMINI else Backend.GEMINI
    why = f"only the {other} backend takes this field"
    refused(LiveClientMessage(setup=message), path, why, codec=codec)
    Codec(other).encode_client(LiveClientMessage(setup=message))


def test_a_server_may_write_any_field() -> None:
    message = LiveServerMessage(setup_complete=LiveServerSetupComplete(session_id="s"))
    assert json.loads(GEMINI.encode_server(message)) == {"setupComplete": {"sessionId": "s"}}
    refused(message, "setup_complete.session_id", "vertex")


def generation(**fields: Any) -> GenerationConfig:
    return GenerationConfig(**fields)


NAN = float("nan")


@pytest.mark.parametrize(
    ("message", "path", "why"),
    [
        (LiveClientMessage(setup=LiveClientSetup()), "setup.model", "required"),
        (FunctionResponse(id="1", response={}), "name", "required"),
        (FunctionResponse(id="1", name="f"), "response", "required"),
        (LiveClientMessage(setup=CANARY), "setup", "expected LiveClientSetup, got a string"),
        (LiveClientMessage(client_content=LiveClientContent(turns=CANARY)), "client_content.turns", "expected a list"),
        (LiveClientMessage(client_content=LiveClientContent(turns=5)), "client_content.turns", "got a number"),
        (LiveClientMessage(client_content=LiveClientContent(turns=[CANARY])), "client_content.turns[0]", "Content"),
        (LiveClientMessage(client_content=LiveClientContent(turn_complete=1)), "client_content.turn_complete", "true"),
        (Content(role=5), "role", "expected a string, got a number"),
        (Content(role=b"user"), "role", "expected a string, got a bytes"),
        (Content(parts=[Part(text="x"), Part(thought="yes")]), "parts[1].thought", "expected true or false"),
        (Blob(data=CANARY), "data", "expected bytes, got a string"),
        (generation(temperature=CANARY), "temperature", "expected a number, got a string"),
        (generation(temperature=True), "temperature", "expected a number, got a boolean"),
        (generation(temperature=NAN), "temperature", "not finite"),
        (generation(temperature=math.inf), "temperature", "not finite"),
        (generation(temperature=10**400), "temperature", "not finite"),
        (generation(seed=1.0), "seed", "expected an integer"),
        (generation(seed="1"), "seed", "expected an integer"),
        (generation(seed=True), "seed", "expected an integer"),
        (generation(seed=2**63), "seed", "64 bits"),
        (generation(seed=-(2**63) - 1), "seed", "64 bits"),
        (generation(response_modalities=[5]), "response_modalities[0]", "expected a string"),
        (generation(response_modalities={"AUDIO"}), "response_modalities", "expected a list, got a set"),
        (generation(image_config=[]), "image_config", "expected an object"),
        (generation(response_json_schema={"a": {1, 2}}), "response_json_schema.a", "expected a JSON value"),
        (SlidingWindow(target_tokens="5"), "target_tokens", "expected an integer"),
        (SlidingWindow(target_tokens=2**63), "target_tokens", "64 bits"),
        (LiveServerGoAway(time_left="5s"), "time_left", "expected a number"),
        (LiveServerGoAway(time_left=NAN), "time_left", "not finite"),
        (LiveServerGoAway(time_left=315_576_000_001), "time_left", "at most"),
        (AuthToken(expire_time="2026-01-01T00:00:00Z"), "expire_time", "expected a datetime with a time zone"),
        (AuthToken(expire_time=datetime(2026, 1, 1)), "expire_time", "with a time zone"),
        (AuthToken(expire_time=datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))), "expire_time", "years"),
        (LiveClientSetup(model="m", labels={"a": 5}), "labels.a", "expected a string"),
        (LiveClientSetup(model="m", labels=[1]), "labels", "expected an object"),
        (LiveClientSetup(model="m", labels={5: "a"}), "labels", "expected a string"),
        (Schema(properties={"p_q": Schema(items="x")}), "properties.p_q.items", "expected Schema, got a string"),
        (FunctionCall(args={"a": [0, {"b": NAN}]}), "args.a[1].b", "no NaN and no infinity"),
        (FunctionCall(args={"a": -math.inf}), "args.a", "no NaN and no infinity"),
        (FunctionCall(args={5: 1}), "args", "a JSON key must be a string, not a number"),
        (FunctionCall(args={"a": {None: 1}}), "args.a", "a JSON key must be a string, not null"),
        (FunctionCall(args={"a": object()}), "args.a", "expected a JSON value, got a object"),
        (FunctionCall(args={"a": b"x"}), "args.a", "expected a JSON value, got a bytes"),
        (FunctionCall(args={"a": 2**1024}), "args.a", "larger than any parser accepts"),
        (FunctionCall(args={"a": [-(10**5000)]}), "args.a[0]", "larger than any parser accepts"),
        (FunctionCall(extra={"a": {"b": NAN}}), "a.b", "no NaN and no infinity"),
        (FunctionCall(extra={5: 1}), "", "a JSON key must be a string"),
        (FunctionCall(extra=[1]), "", "expected an object, got a list"),
    ],
)
def test_an_invalid_message_is_refused_with_its_path(message: Any, path: str, why: str) -> None:
    refused(message, path, why)


class Mood(str, enum.Enum):  # noqa: UP042 - the old form has another str()
    GOOD = "good"


class Text(str):
    pass


def test_free_form_values_are_written_unchanged() -> None:
    args = {"a": (1, 2.5, None, True), "b": Mood.GOOD, "c": Text("x"), "d": [], "e": {}, "n": 2**1023, "f": [10**30]}
    assert GEMINI.to_dict(FunctionCall(args=args))["args"] == {
        **args,
        "a": [1, 2.5, None, True],
        "b": "good",
        "c": "x",
    }
    assert GEMINI.to_dict(generation(response_json_schema=True, temperature=1)) == {
        "responseJsonSchema": True,
        "temperature": 1,
    }
    for value in (None, 0, "", [], False):
        assert GEMINI.to_dict(FunctionCall(args={"a": value})) == {"args": {"a": value}}


def test_text_is_a_shorthand_for_a_message() -> None:
    text = LiveConnectConfig(system_instruction="be brief")
    assert GEMINI.to_dict(text) == {"systemInstruction": "be brief"}
    whole = LiveConnectConfig(system_instruction=Content(parts=[Part(text="be brief")]))
    assert GEMINI.to_dict(whole) == {"systemInstruction": {"parts": [{"text": "be brief"}]}}
    refused(LiveConnectConfig(system_instruction=5), "system_instruction", "expected Content")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (9.5, "9.5s"),
        (50, "50s"),
        (0, "0s"),
        (1e-9, "0.000000001s"),
        (100.0, "100s"),
        (-1.25, "-1.25s"),
        (1e11, "1" + "0" * 11 + "s"),
    ],
)
def test_durations_are_written_with_nine_digits_at_most(seconds: float, text: str) -> None:
    message = LiveServerMessage(go_away=LiveServerGoAway(time_left=seconds))
    encoded = GEMINI.encode_server(message)
    assert json.loads(encoded) == {"goAway": {"timeLeft": text}}
    assert GEMINI.decode_server(encoded) == message


class Nowhere(tzinfo):
    def utcoffset(self, _: object) -> None:
        return None


def test_timestamps_are_written_in_utc() -> None:
    zone = timezone(timedelta(hours=2))
    token = AuthToken(
        expire_time=datetime(2026, 1, 1, 2, tzinfo=zone), new_session_expire_time=datetime(2026, 1, 1, 0, 0, 0, 5, UTC)
    )
    assert GEMINI.to_dict(token) == {
        "expireTime": "2026-01-01T00:00:00Z",
        "newSessionExpireTime": "2026-01-01T00:00:00.000005Z",
    }
    refused(AuthToken(expire_time=datetime(2026, 1, 1, tzinfo=Nowhere())), "expire_time", "with a time zone")
    again = LiveClientMessage(
        setup=LiveClientSetup(
            model="m",
            tools=[
                Tool(
                    google_search=GoogleSearch(time_range_filter=Interval(start_time=datetime(2026, 1, 1, tzinfo=UTC)))
                )
            ],
        )
    )
    assert GEMINI.decode_client(GEMINI.encode_client(again)) == again


# --- nesting and size -------------------------------------------------------------------------------------------


def nested(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


def test_the_deepest_message_is_accepted_by_the_other_end() -> None:
    for limit in (8, 20, 128):
        codec = Codec(max_depth=limit)
        # {"toolCall": {"functionCalls": [{"args": {"a": ...}}]}} are five levels.
        for levels in (limit - 6, limit - 5):
            message = LiveServerMessage(
                tool_call=LiveServerToolCall(function_calls=[FunctionCall(args={"a": nested(levels)})])
            )
            assert codec.decode_server(codec.encode_server(message)) == message
        for levels in (limit - 4, limit - 3, limit - 2, limit - 1, limit, limit + 1, 5000):
            message = LiveServerMessage(
                tool_call=LiveServerToolCall(function_calls=[FunctionCall(args={"a": nested(levels)})])
            )
            with pytest.raises(InvalidMessage, match=f"nested deeper than {limit} levels"):
                codec.encode_server(message)


def test_nested_messages_count_towards_the_depth() -> None:
    schema = Schema()
    for _ in range(5000):
        schema = Schema(items=schema)
    with pytest.raises(InvalidMessage, match="nested deeper than 128 levels") as caught:
        GEMINI.to_dict(schema)
    assert caught.value.__context__ is None


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidMessage, match="nested deeper"):
        GEMINI.to_dict(FunctionCall(args={"a": loop}))


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udc00\ud800"])
@pytest.mark.parametrize("codec", [GEMINI, VERTEX])
def test_a_lone_surrogate_is_refused_with_its_path(text: str, codec: Codec) -> None:
    content = LiveClientContent(turns=[Content(parts=[Part(text="good"), Part(text=CANARY + text)])])
    server = LiveServerMessage(server_content=LiveServerContent(model_turn=Content(parts=[Part(text=CANARY + text)])))
    key = LiveClientContent(turns=[Content(parts=[Part(function_call=FunctionCall(name="f", args={"a": {text: 1}}))])])
    for encode, message, path in (
        (codec.encode_client, LiveClientMessage(client_content=content), "client_content.turns[0].parts[1].text"),
        (codec.encode_server, server, "server_content.model_turn.parts[0].text"),
        (
            codec.encode_client,
            LiveClientMessage(client_content=key),
            "client_content.turns[0].parts[0].function_call.args.a",
        ),
    ):
        with pytest.raises(InvalidMessage, match="surrogate") as caught:
            encode(message)  # type: ignore[operator]
        assert caught.value.path == path
        assert caught.value.__context__ is None
        assert CANARY not in repr(caught.value)


def test_integers_over_64_bits_are_written_exactly() -> None:
    responses = [FunctionResponse(id="1", name="f", response={"n": 2**64, "é": 10**30})]
    message = LiveClientMessage(tool_response=LiveClientToolResponse(function_responses=responses))
    text = GEMINI.encode_client(message)
    assert '18446744073709551616,"é":1000000000000000000000000000000}' in text.decode()
    assert GEMINI.decode_client(text, strict=True) == message


# --- the form of the service ------------------------------------------------------------------------------------

# The two write very small numbers differently, but with the same value.
plain_floats = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x == 0 or abs(x) >= 1e-4)
surrogates = st.characters(codec="utf-8")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | plain_floats | st.text(surrogates),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(surrogates), inner),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(surrogates), json_values)


@given(json_objects)
@example({"a": {}, "b": [], "c": [[]], "d": "\u2028\x7f\x00é\U0001f600", "e": -0.0, "f": 2**64})
def test_a_server_writes_indented_json_like_the_service(args: dict[str, Any]) -> None:
    value = {"toolCall": {"functionCalls": [{"id": "1", "name": "f", "args": args}]}}
    text = GEMINI.encode_server(server_message(value))
    assert text == (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


@given(json_objects)
def test_free_form_values_survive_a_round_trip(args: dict[str, Any]) -> None:
    message = LiveServerMessage(
        tool_call=LiveServerToolCall(function_calls=[FunctionCall(name="f", args=args)]), extra={"x": args}
    )
    assume("toolCall" not in args)
    back = GEMINI.decode_server(GEMINI.encode_server(message))
    assert back == message
    assert repr(back.tool_call) == repr(message.tool_call)  # 1, 1.0 and True are equal but different


@given(
    st.binary(max_size=100),
    st.text(surrogates),
    st.floats(-1e9, 1e9).map(lambda x: round(x, 6)),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(Backend),
)
def test_each_kind_of_value_survives_a_round_trip(
    data: bytes, text: str, seconds: float, number: int, backend: Backend
) -> None:
    codec = Codec(backend)
    part = Part(text=text, inline_data=Blob(mime_type=text, data=data), thought=bool(number % 2))
    update = LiveServerSessionResumptionUpdate(new_handle=text, last_consumed_client_message_index=number)
    message = LiveServerMessage(
        server_content=LiveServerContent(model_turn=Content(parts=[part]), turn_complete_reason=text),
        go_away=LiveServerGoAway(time_left=seconds),
        session_resumption_update=update,
        usage_metadata=UsageMetadata(prompt_token_count=number % 2**31),
    )
    back = codec.decode_server(codec.encode_server(message), strict=True)
    assert back.go_away is not None
    assert back.go_away.time_left == pytest.approx(seconds, abs=1e-6)
    assert attrs.evolve(back, go_away=None) == attrs.evolve(message, go_away=None)


def test_declarations_survive_a_round_trip() -> None:
    tool = Tool(
        function_declarations=[
            FunctionDeclaration(name="f", parameters=Schema(type="OBJECT", properties={"a_B": Schema(type="STRING")}))
        ]
    )
    setup = LiveClientSetup(
        model="m", tools=[tool], generation_config=GenerationConfig(speech_config=SpeechConfig(language_code="de"))
    )
    message = LiveClientMessage(setup=setup)
    assert GEMINI.decode_client(GEMINI.encode_client(message), strict=True) == message


def test_repr() -> None:
    assert repr(VERTEX) == "Codec('vertex')"
