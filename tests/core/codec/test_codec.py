"""Text to messages: the codec reads valid forms, refuses others, and no error shows the text."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core import CANARY, dumps, refused_by, server_message

from live_protocol import Codec, InvalidJson, LiveServerMessage, SchemaMismatch
from live_protocol.messages import (
    LiveClientMessage,
    Modality,
)

CODEC = Codec()


def server(text: bytes | str, **options: Any) -> LiveServerMessage:
    return CODEC.decode_server(text, **options)


def client(value: object, **options: Any) -> LiveClientMessage:
    return CODEC.decode_client(dumps(value), **options)


def refused(text: bytes | str, kind: type[Exception] = InvalidJson) -> Any:
    return refused_by(CODEC, text, kind)


# --- keys -------------------------------------------------------------------------------------------------------


def test_both_casings_are_read_at_any_depth() -> None:
    camel = {
        "setup": {
            "model": "m",
            "generationConfig": {
                "responseModalities": ["AUDIO"],
                "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
            },
            "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"a_b": {"cD": 1}}}]}],
            "realtimeInputConfig": {"automaticActivityDetection": {"silenceDurationMs": 5}},
        }
    }
    snake = {
        "setup": {
            "model": "m",
            "generation_config": {
                "response_modalities": ["AUDIO"],
                "speech_config": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}},
            },
            "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": {"a_b": {"cD": 1}}}]}],
            "realtime_input_config": {"automatic_activity_detection": {"silence_duration_ms": 5}},
        }
    }
    mixed = {"setup": {**camel["setup"], "generation_config": snake["setup"]["generation_config"]}}
    del mixed["setup"]["generationConfig"]
    decoded = client(camel, strict=True)
    assert client(snake, strict=True) == client(mixed, strict=True) == decoded
    assert decoded.setup is not None
    assert decoded.setup.generation_config is not None
    assert decoded.setup.generation_config.response_modalities == [Modality.AUDIO]


FREE = {"camelKey": {"snake_key": [{"mimeType": 1, "mime_type": 2}]}, "": None, "data": "AAA", "serverContent": {}}


@pytest.mark.parametrize(
    "value",
    [
        {"toolCall": {"functionCalls": [{"id": "1", "name": "f", "args": FREE}]}},
        {"serverContent": {"modelTurn": {"parts": [{"partMetadata": FREE}]}}},
        {"serverContent": {"modelTurn": {"parts": [{"functionResponse": {"name": "f", "response": FREE}}]}}},
    ],
)
def test_free_form_keys_keep_their_case(value: dict[str, Any]) -> None:
    assert json.loads(CODEC.encode_server(server_message(value))) == value


def test_free_form_keys_of_clients_keep_their_case() -> None:
    labels = {"a_b": "x", "cD": "y"}
    properties = {"snake_key": {"type": "STRING"}, "camelKey": {"type": "OBJECT", "properties": {"x_y": {}}}}
    declaration = {
        "name": "f",
        "parameters": {"type": "OBJECT", "properties": properties},
        "responseJsonSchema": {"any_of": [{"minLength": 1}], "additionalProperties": False},
    }
    value = {"setup": {"model": "m", "labels": labels, "tools": [{"functionDeclarations": [declaration]}]}}
    assert json.loads(CODEC.encode_client(client(value, strict=True))) == value


def test_the_last_of_duplicate_keys_counts() -> None:
    assert server(b'{"toolCall":{"functionCalls":[{"id":"a","id":"b"}]}}').tool_call is not None
    message = server(b'{"x":1,"x":2,"goAway":{"timeLeft":"1s"},"go_away":{"time_left":"2s"}}')
    assert message.extra == {"x": 2}
    assert message.go_away is not None
    assert message.go_away.time_left == 2
    # The parser for big integers must agree.
    assert server(b'{"x":{"a":1,"a":123456789012345678901234567890}}').extra["x"] == {
        "a": 123456789012345678901234567890
    }


@pytest.mark.parametrize("empty", [b"{}", "{}", b" \n{ }\t", b'{"serverContent":null,"server_content":null}'])
def test_an_empty_text_is_refused(empty: bytes | str) -> None:
    assert server(empty) == LiveServerMessage()


# --- base64 -----------------------------------------------------------------------------------------------------


def blob_of(text: str) -> bytes | None:
    value = {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "a/b", "data": text}}]}}}
    content = server(dumps(value)).server_content
    assert content is not None
    assert content.model_turn is not None
    blob = content.model_turn.parts[0].inline_data
    assert blob is not None
    part = CODEC.decode_server_part(dumps(value))
    assert isinstance(part, tuple)
    assert part[1] == blob.data
    return blob.data


@given(st.binary(max_size=64))
def test_base64_is_read_in_its_four_forms(data: bytes) -> None:
    for text in (base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()):
        assert blob_of(text) == data
        assert blob_of(text.rstrip("=")) == data


def test_base64_may_contain_json_escapes() -> None:
    text = b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"a/b","data":"\\u002B\\/8="}}]}}}'
    assert CODEC.decode_server_part(text) == ("a/b", b"\xfb\xff", None)


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AAAAA",
        "=",
        "==",
        "A===",
        "AA=",
        "AAA==",
        "AAAA=",
        "AA==AA==",
        "AA=A",
        "AA\n==",
        "AAAA\n",
        " AAAA",
        "AA AA",
        "AA.A",
        "AAA*",
        "AAÄA",
        "\u0660AAA",
        "AAAA====",
        "=AAA",
        "AA==\n",
        "%2B8=",
    ],
)
def test_anything_but_base64_is_refused(text: str) -> None:
    value = {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": CANARY, "data": text}}]}}}
    error = refused(dumps(value), SchemaMismatch)
    assert error.path == "server_content.model_turn.parts[0].inline_data.data"
    with pytest.raises(SchemaMismatch):
        CODEC.decode_server_part(dumps(value))


# --- numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['"7"', "7", "7.0", "7e0"])
def test_an_int64_is_read_from_a_number_or_a_string(text: str) -> None:
    message = server(f'{{"sessionResumptionUpdate":{{"lastConsumedClientMessageIndex":{text}}}}}')
    assert message.session_resumption_update is not None
    index = message.session_resumption_update.last_consumed_client_message_index
    assert index == 7
    assert type(index) is int


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0, -1, 2**53 + 1])
def test_an_int64_is_read_exactly(number: int) -> None:
    for text in (f'"{number}"', str(number)):
        message = server(f'{{"sessionResumptionUpdate":{{"lastConsumedClientMessageIndex":{text}}}}}')
        assert message.session_resumption_update is not None
        assert message.session_resumption_update.last_consumed_client_message_index == number


@pytest.mark.parametrize(
    "text",
    [
        '""',
        '"x"',
        '" 7"',
        '"7 "',
        '"+7"',
        '"0x7"',
        '"7.0"',
        '"1e3"',
        '"\u0667"',
        "7.5",
        "true",
        "[]",
        "{}",
        '"1_0"',
        str(2**63),
        f'"{2**63}"',
        str(-(2**63) - 1),
        f'"{-(2**63) - 1}"',
        "1e19",
        '"' + "9" * 5000 + '"',
        str(10**30),
    ],
)
def test_anything_but_an_int64_is_refused(text: str) -> None:
    value = f'{{"sessionResumptionUpdate":{{"lastConsumedClientMessageIndex":{text}}}}}'
    assert refused(value, SchemaMismatch).path.endswith("update.last_consumed_client_message_index")


BIG = [2**63, 2**64 - 1, 2**64, -(2**63) - 1, -(2**64), 10**30, -(10**30), 10**300, 2**53 + 1]


@pytest.mark.parametrize("number", BIG)
def test_a_huge_integer_stays_exact(number: int) -> None:
    args = {"n": number, "deep": [{"x": [number, 1.5, 1e300, 1e20]}]}
    value = {"toolCall": {"functionCalls": [{"id": "1", "name": "f", "args": args}]}, "new": [number]}
    message = server_message(value)
    assert message.tool_call is not None
    assert message.tool_call.function_calls[0].args == args
    assert type(message.tool_call.function_calls[0].args["n"]) is int
    assert type(message.tool_call.function_calls[0].args["deep"][0]["x"][3]) is float
    assert message.extra == {"new": [number]}
    for text in (CODEC.encode_server(message), dumps(value)):
        assert json.loads(text) == value
        assert server(text) == message


@pytest.mark.parametrize("text", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1" * 5000, "-" + "9" * 400])
def test_anything_but_a_number_is_refused(text: str) -> None:
    refused(f'{{"key":"{CANARY}","x":{text}}}')


@pytest.mark.parametrize(("text", "value"), [("40.0", 40), ("40", 40), ('"40.5"', 40.5), ("4e1", 40)])
def test_a_float_is_read_from_a_number_or_a_string(text: str, value: float) -> None:
    message = CODEC.decode_client(f'{{"setup":{{"model":"m","generationConfig":{{"topK":{text}}}}}}}')
    assert message.setup is not None
    assert message.setup.generation_config is not None
    assert message.setup.generation_config.top_k == value


@pytest.mark.parametrize("text", ['"x"', "true", "[]", '"NaN"', '"Infinity"', '"1e999"', "1" + "0" * 308 + "0"])
def test_anything_but_a_finite_float_is_refused(text: str) -> None:
    with pytest.raises((SchemaMismatch, InvalidJson)):
        CODEC.decode_client(f'{{"setup":{{"model":"m","generationConfig":{{"topK":{text}}}}}}}')


# --- durations and timestamps -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [('"9.5s"', 9.5), ('"0s"', 0), ('"-1.000000001s"', -1.000000001), ('"50s"', 50), ("9.5", 9.5), ("9", 9)],
)
def test_durations_are_read_in_seconds(text: str, seconds: float) -> None:
    message = server(f'{{"goAway":{{"timeLeft":{text}}}}}')
    assert message.go_away is not None
    assert message.go_away.time_left == seconds


@pytest.mark.parametrize(
    "text", ['"9.5"', '"s"', '"1e3s"', '".5s"', '"1.s"', '"+1s"', '" 1s"', '"1s\\n"', '"1.0000000001s"', "true", '""']
)
def test_anything_but_a_duration_is_refused(text: str) -> None:
    assert refused(f'{{"goAway":{{"timeLeft":{text}}}}}', SchemaMismatch).path == "go_away.time_left"


def time_of(text: str) -> datetime | None:
    search = {"googleSearch": {"timeRangeFilter": {"startTime": text}}}
    message = client({"setup": {"model": "m", "tools": [search]}})
    assert message.setup is not None
    google_search = message.setup.tools[0].google_search
    assert google_search is not None
    assert google_search.time_range_filter is not None
    return google_search.time_range_filter.start_time


@pytest.mark.parametrize(
    ("text", "micros", "hours"),
    [
        ("2026-11-22T10:00:00Z", 0, 0),
        ("2026-11-22t10:00:00z", 0, 0),
        ("2026-11-22T10:00:00.5Z", 500_000, 0),
        ("2026-11-22T10:00:00.123456789Z", 123_456, 0),
        ("2026-11-22T10:00:00+02:00", 0, 2),
        ("2026-11-22T10:00:00.000001-02:00", 1, -2),
    ],
)
def test_timestamps_are_read_to_the_microsecond(text: str, micros: int, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    assert time_of(text) == datetime(2026, 11, 22, 10, microsecond=micros, tzinfo=zone)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22",
        "2026-11-22T10:00:00",
        "2026-11-22 10:00:00Z",
        "2026-13-22T10:00:00Z",
        "2026-11-22T10:00:00+2500",
        "2026-11-22T10:00:00.Z",
        "2026-11-22T25:00:00Z",
        "2026-11-22T10:00:00+99:00",
        "0000-01-01T00:00:00Z",
        "",
    ],
)
def test_anything_but_a_timestamp_is_refused(text: str) -> None:
    with pytest.raises(SchemaMismatch, match="RFC 3339"):
        time_of(text)


# --- the text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-32-be"),
        b'{"a":"\xed\xa0\xbd\xed\xb8\x80"}',
        b'{"a":"\xff"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\\ud83d"}',
        b'{"a":"\\ude00\\ud83d"}',
        '{"a":"\ud800"}',
        b'{"a":"\x00"}',
        b"{} {}",
        b"{},",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":.5}',
        b'{"a":+1}',
        b'{"a":1}//',
        b"{a:1}",
        b'{"a":"\t"}',
        b'{"a":tru}',
    ],
)
def test_anything_but_strict_json_is_refused(text: bytes | str) -> None:
    refused(text)
    with pytest.raises(InvalidJson):
        CODEC.decode_client(text)
    with pytest.raises(InvalidJson):
        CODEC.decode_server_part(text)


@pytest.mark.parametrize("text", [b"null", b"[]", b'"x"', b"1", b"true", b'[{"serverContent":{}}]'])
def test_the_top_must_be_an_object(text: bytes) -> None:
    assert refused(text).why == "the top of a message must be an object"


def test_strings_keep_every_character() -> None:
    text = 'a"\\\u0000\u2028\U0001f600\x7f'
    assert server(json.dumps({"x": text})).extra == {"x": text}
    assert server(json.dumps({"x": text}, ensure_ascii=False)).extra == {"x": text}


# --- nesting ----------------------------------------------------------------------------------------------------


def nested(levels: int, kind: str = "[]") -> bytes:
    """JSON with ``levels`` levels, including the object at the top; brackets in strings do not count."""
    left, right = ("[", "]") if kind == "[]" else ('{"a":', "}")
    bottom = '"[[[{{{\\"[["' if kind == "[]" else "null"
    return f'{{"x":{left * (levels - 1)}{bottom}{right * (levels - 1)}}}'.encode()


@pytest.mark.parametrize("kind", ["[]", "{}"])
@pytest.mark.parametrize("limit", [1, 2, 7, 128])
def test_depth_is_bounded(limit: int, kind: str) -> None:
    codec = Codec(max_depth=limit)
    for levels in range(max(1, limit - 1), limit + 1):
        assert "x" in codec.decode_server(nested(levels, kind)).extra
    for levels in (limit + 1, limit + 2, 1000, 2000, 100_000):
        with pytest.raises(InvalidJson) as caught:
            codec.decode_server(nested(levels, kind))
        if levels < 1000:  # beyond that the parser refuses
            assert caught.value.why == f"nested deeper than {limit} levels"
            assert caught.value.position == len(b'{"x":') + (limit - 1) * (1 if kind == "[]" else 5)


def test_width_is_not_bounded() -> None:
    assert len(server(dumps({"x": [[] for _ in range(1000)]})).extra["x"]) == 1000


def deep_down(frames: int, work: Any) -> Any:
    return work() if not frames else deep_down(frames - 1, work)


def schema(levels: int) -> bytes:
    text = '{"type":"STRING"}'
    for _ in range(levels - 1):
        text = f'{{"items":{text}}}'
    return f'{{"setup":{{"model":"m","generationConfig":{{"responseSchema":{text}}}}}}}'.encode()


def test_the_bound_does_not_depend_on_the_callers_stack() -> None:
    # 600 of the 1,000 frames that Python allows by default.
    for text, decode in (
        (nested(128), CODEC.decode_server),
        (nested(128, "{}"), CODEC.decode_server),
        (schema(125), CODEC.decode_client),
    ):
        assert deep_down(600, lambda text=text, decode=decode: decode(text)) == decode(text)
    for text in (nested(129), schema(126), nested(100_000)):
        with pytest.raises(InvalidJson):
            deep_down(900, lambda text=text: CODEC.decode_client(text))
