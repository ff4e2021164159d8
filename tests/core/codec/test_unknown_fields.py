"""The codec keeps unknown fields, and refuses values that do not fit with their path."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.core import CANARY, dumps, refused_by, server_message

from live_protocol import Codec, LiveServerMessage, SchemaMismatch
from live_protocol.messages import Backend, InteractionStatus, LiveClientMessage, LiveServerContent, MediaModality

CODEC = Codec()


def server(text: bytes | str) -> LiveServerMessage:
    return CODEC.decode_server(text)


def client(value: object, **options: Any) -> LiveClientMessage:
    return CODEC.decode_client(dumps(value), **options)


def refused(text: bytes | str, **options: Any) -> Any:
    return refused_by(CODEC, text, SchemaMismatch, **options)


def test_unknown_fields_are_kept_at_every_level() -> None:
    new = {"newThing": {"a_b": [1, None, "x"]}, "other_thing": 2}
    value = {
        **new,
        "serverContent": {
            "modelTurn": {"parts": [{"text": "t", **new}, {"inlineData": {"data": "AAAA", **new}}], **new},
            "outputTranscription": new,
            "groundingMetadata": {"groundingChunks": [{"web": {"uri": "u", **new}}], **new},
            **new,
        },
        "usageMetadata": {"promptTokensDetails": [{"modality": "TEXT", **new}], **new},
    }
    message = server_message(value)
    assert message.extra == new
    assert message.server_content is not None
    assert message.server_content.extra == new
    assert json.loads(CODEC.encode_server(message)) == value
    assert "newThing" in repr(message)
    assert refused(dumps(value), strict=True).why.startswith("unknown field 'newThing'")


def test_extra_never_overrides_a_known_field() -> None:
    message = LiveServerMessage(server_content=LiveServerContent(turn_complete=True, extra={"turnComplete": False}))
    assert json.loads(CODEC.encode_server(message)) == {"serverContent": {"turnComplete": True}}


def test_extra_shows_its_keys_but_not_its_values() -> None:
    assert CANARY not in repr(server_message({"new": CANARY, "serverContent": {"newer": {"a": CANARY}}}))


def test_an_unknown_enum_name_is_kept_as_text() -> None:
    message = server_message(
        {
            "serverContent": {"turnCompleteReason": "BRAND_NEW", "interactionStatus": "IDLE"},
            "usageMetadata": {"promptTokensDetails": [{"modality": "TEXT"}, {"modality": "SMELL"}]},
        }
    )
    assert message.server_content is not None
    assert message.server_content.turn_complete_reason == "BRAND_NEW"
    assert type(message.server_content.turn_complete_reason) is str
    assert message.server_content.interaction_status is InteractionStatus.IDLE
    assert message.usage_metadata is not None
    assert [entry.modality for entry in message.usage_metadata.prompt_tokens_details] == [MediaModality.TEXT, "SMELL"]
    assert b"BRAND_NEW" in CODEC.encode_server(message)
    for text in (b"1.5", b"true", b"[]", b"1e30"):
        error = refused(b'{"serverContent":{"interactionStatus":%s}}' % text)
        assert error.path == "server_content.interaction_status"
    numbered = server(b'{"serverContent":{"interactionStatus":1}}').server_content
    assert numbered is not None
    assert numbered.interaction_status == "1"  # proto3 JSON allows numbers, but the service does not publish them


def test_an_unknown_name_is_refused_in_the_services_words() -> None:
    def closes(value: object) -> str:
        with pytest.raises(SchemaMismatch) as caught:
            client(value, strict=True)
        assert caught.value.close_code == 1007
        assert caught.value.__context__ is None
        return caught.value.close_reason

    text = "Invalid JSON payload received. Unknown name"
    assert closes({"nonsense": 1}) == f'{text} "nonsense": Cannot find field.'
    assert (
        closes({"setup": {"generationConfig": {"temprature": 1}}})
        == f"{text} \"temprature\" at 'setup.generation_config': Cannot find field."
    )
    assert closes({"setup": {"tools": [{"x": 1}]}}) == f"{text} \"x\" at 'setup.tools[0]': Cannot find field."
    assert closes({"setup": {"labels": {"a.b": 5}}}) == "Invalid value at 'setup.labels.a.b'"
    assert len(closes({"x" * 1_000_000: 1})) < 300


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        ({"serverContent": 5}, "server_content", "expected an object, got a number"),
        ({"serverContent": []}, "server_content", "expected an object, got a list"),
        (
            {"serverContent": {"turnComplete": 1}},
            "server_content.turn_complete",
            "expected true or false, got a number",
        ),
        ({"serverContent": {"modelTurn": {"parts": {}}}}, "server_content.model_turn.parts", "expected a list"),
        ({"serverContent": {"modelTurn": {"parts": [None]}}}, "server_content.model_turn.parts[0]", "got null"),
        (
            {"serverContent": {"modelTurn": {"parts": [{}, {"text": 1}]}}},
            "server_content.model_turn.parts[1].text",
            "expected a string, got a number",
        ),
        ({"toolCall": {"functionCalls": [{"args": []}]}}, "tool_call.function_calls[0].args", "expected an object"),
        ({"toolCallCancellation": {"ids": "x"}}, "tool_call_cancellation.ids", "expected a list, got a string"),
        ({"usageMetadata": {"promptTokenCount": True}}, "usage_metadata.prompt_token_count", "got a boolean"),
    ],
)
def test_a_mismatch_has_its_path(value: Any, path: str, why: str) -> None:
    error = refused(dumps({**value, "key": CANARY}))
    assert error.path == path
    assert why in error.why


@pytest.mark.parametrize("backend", Backend)
def test_usage_is_read_from_the_keys_of_both_backends(backend: Backend) -> None:
    for key in ("responseTokenCount", "candidatesTokenCount", "response_token_count"):
        message = Codec(backend).decode_server(dumps({"usageMetadata": {key: 5}}), strict=True)
        assert message.usage_metadata is not None
        assert message.usage_metadata.response_token_count == 5


def outcome(decode: Callable[[bytes], object], value: object) -> object:
    try:
        return decode(dumps(value))
    except SchemaMismatch as error:
        return str(error)


def test_a_message_with_one_part_is_read_as_that_part() -> None:
    blob = {"mimeType": "audio/pcm", "data": "AAAA"}

    def turn(**fields: Any) -> dict[str, Any]:
        return {"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}], **fields}}}

    for value in (turn(), turn(role="model")):
        part = CODEC.decode_server_part(dumps(value))
        assert isinstance(part, tuple)
        assert Codec.audio_message(part) == server_message(value)
    others: list[Any] = [
        turn(role=None),
        turn(role=5),
        turn(extra=1),
        {**turn(), "usageMetadata": {}},
        {"serverContent": {**turn()["serverContent"], "turnComplete": True}},
        {"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}, {"text": "x"}]}}},
        {"serverContent": {"modelTurn": {"parts": [{"inlineData": blob, "thought": True}]}}},
        {"serverContent": {"modelTurn": {"parts": [{"inlineData": {**blob, "displayName": "x"}}]}}},
        {"serverContent": {"modelTurn": {"parts": [{"inlineData": {**blob, "data": "!"}}]}}},
        {"serverContent": {"modelTurn": {"parts": [{"inlineData": {**blob, "data": 5}}]}}},
        {"serverContent": {"modelTurn": {"parts": [{"inlineData": {**blob, "mimeType": None}}]}}},
        {"serverContent": {"modelTurn": {"parts": []}}},
        {"serverContent": "modelTurn"},
        {"serverContent": {"modelTurn": ["parts"]}},
    ]
    for value in others:
        assert outcome(CODEC.decode_server_part, value) == outcome(CODEC.decode_server, value)
