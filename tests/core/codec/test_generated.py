"""Readers of the hot path against the general way: they give the same message, or leave it to the general way."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.introspection import MESSAGES, hints, shape
from support.paths import RECORDINGS, SHARED
from support.strategies import CALM, Rules, json_values, messages_of

from live_protocol import Codec, InvalidJson, SchemaMismatch
from live_protocol.codec.decoding import decoder
from live_protocol.codec.generated import message_reader
from live_protocol.codec.schema import Mismatch, snake_case
from live_protocol.messages import Backend, LiveClientMessage, LiveServerMessage

HOT = [cls for cls in MESSAGES.values() if cls.__setattr__ is object.__setattr__]
TRANSCRIPT: Any = {"serverContent": {"outputTranscription": {"text": "well"}}}
AUDIO: Any = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}}
USUAL: list[Any] = [
    TRANSCRIPT,
    {"serverContent": {"modelTurn": {"parts": [AUDIO, {"text": "a", "thought": True}], "role": "model"}}},
    {"serverContent": {"modelTurn": {"parts": [AUDIO]}, "outputTranscription": {"text": "a", "finished": True}}},
    {"serverContent": {"inputTranscription": {"text": "é", "languageCode": "fr"}}},
    {"serverContent": {"generationComplete": True}},
    {"serverContent": {"interrupted": True}},
    {
        "serverContent": {"turnComplete": True, "turnCompleteReason": "NEW_REASON"},
        "usageMetadata": {
            "promptTokenCount": 3,
            "candidatesTokenCount": 4,
            "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}],
        },
    },
    {"serverContent": {}},
    {},
]
CLIENT: list[Any] = [{"realtimeInput": {"audio": AUDIO["inlineData"]}}, {"realtimeInput": {"text": "hi"}}]


def recorded() -> Iterator[tuple[type[Any], Any]]:
    """Every message of the recordings of the real service."""
    for path in sorted(RECORDINGS.glob("*.websocket.log")):
        data = path.read_bytes()
        at = 0
        while at < len(data):
            space = data.index(b" ", at)
            stop = space + int(data[at + 1 : space])
            yield (
                LiveClientMessage if data[at : at + 1] == b">" else LiveServerMessage,
                json.loads(data[space + 1 : stop]),
            )
            at = stop + 1
    for path in sorted((SHARED / "recordings" / "pydantic-ai").glob("*.yaml")):
        for interaction in yaml.safe_load(path.read_bytes())["interactions"]:
            if interaction["kind"] == "message":
                cls = LiveClientMessage if interaction["direction"] == "sent" else LiveServerMessage
                yield cls, interaction["data"]


RECORDED = list(recorded())
WRITTEN = [(LiveServerMessage, value) for value in USUAL] + [(LiveClientMessage, value) for value in CLIENT]


def types_in(value: Any) -> Any:
    """The classes throughout a message, which comparing does not tell apart: a `list` is a `tuple`, an enum a `str`."""
    if attrs.has(type(value)):
        return type(value), [types_in(getattr(value, field.name)) for field in attrs.fields(type(value))]
    if isinstance(value, (list, tuple)):
        return type(value), [types_in(item) for item in value]
    return type(value)


def check(cls: type[Any], value: Any) -> bool:
    """Whether the generated reader takes the value; if so, it must read the same as the general way."""
    before = copy.deepcopy(value)
    try:
        message = message_reader(cls)(value)
    except Mismatch:
        return False
    finally:
        assert value == before
    for strict in (False, True):
        general = decoder(strict=strict, exact_integers=True).structure(value, cls)
        assert message == general
        assert types_in(message) == types_in(general)
    return True


@pytest.mark.parametrize("value", USUAL)
def test_the_hot_messages_of_a_server_are_read_by_it(value: Any) -> None:
    assert check(LiveServerMessage, value)


@pytest.mark.parametrize("value", CLIENT)
def test_the_hot_messages_of_a_client_are_read_by_it(value: Any) -> None:
    assert check(LiveClientMessage, value)


@pytest.mark.skipif(not RECORDED, reason="the recordings lie beside the repository")
def test_recorded_messages_are_read_alike() -> None:
    taken = [check(cls, value) for cls, value in RECORDED]
    hot = {"outputTranscription", "inputTranscription", "turnComplete", "generationComplete"}
    for (_, value), was_taken in zip(RECORDED, taken, strict=True):
        content = value.get("serverContent")
        if content and set(content) <= hot and len(value) == 1:
            assert was_taken, value


@pytest.mark.parametrize("cls", HOT)
@settings(CALM, max_examples=60)
@given(data=st.data())
def test_any_valid_message_is_read_alike(cls: type[Any], data: st.DataObject) -> None:
    backend = data.draw(st.sampled_from(Backend))
    rules = Rules(backend=backend, unknown_enums=True)
    check(cls, Codec(backend).to_dict(data.draw(messages_of(cls, rules, depth=3))))


# --- mutations --------------------------------------------------------------------------------------------------

_ODD = [
    None,
    True,
    0,
    -1,
    2**63,
    2**64 - 1,
    -(2**63),
    1.5,
    1e300,
    "",
    "AAAA",
    "A",
    "_-==",
    "12",
    [],
    [{}],
    {},
    {"x": 1},
]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container with each of its keys or indexes."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[type[Any], Any]:
    cls, value = draw(st.sampled_from(WRITTEN + RECORDED))
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        item = container[key]
        how = draw(st.sampled_from(["replace", "any", "rename", "unknown", "repeat", "drop"]))
        if how == "replace":
            container[key] = copy.deepcopy(draw(st.sampled_from(_ODD)))
        elif how == "any":
            container[key] = draw(json_values)
        elif isinstance(container, list):
            container.append(item)
        elif how == "rename":
            container[draw(st.sampled_from([snake_case(key), key.upper(), "text", "data", "parts"]))] = container.pop(
                key
            )
        elif how == "unknown":
            container[draw(st.text(max_size=5))] = draw(json_values)
        elif how == "repeat":  # in both casings
            container[snake_case(key)] = copy.deepcopy(draw(st.sampled_from(_ODD)))
        else:
            del container[key]
    return cls, value


def outcome(codec: Codec, cls: type[Any], text: bytes, *, strict: bool) -> Any:
    decode: Any = codec.decode_server if cls is LiveServerMessage else codec.decode_client
    try:
        message = decode(text, strict=strict)
    except (InvalidJson, SchemaMismatch) as error:
        return type(error), str(error), error.close_reason
    return message, types_in(message)


@given(mutated())
@settings(CALM, max_examples=600)
def test_mutated_messages_are_read_alike(case: tuple[type[Any], Any]) -> None:
    check(*case)


@given(mutated(), st.booleans())
@settings(CALM, max_examples=300)
def test_what_is_odd_is_told_as_by_the_general_way(case: tuple[type[Any], Any], strict: bool) -> None:
    cls, value = case
    text = json.dumps(value).encode()
    told = outcome(Codec(), cls, text, strict=strict)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("live_protocol.codec.codec.message_reader", lambda _: decline)
        assert outcome(Codec(), cls, text, strict=strict) == told


def decline(_: Any) -> Any:
    raise Mismatch("never")


# --- bounds -----------------------------------------------------------------------------------------------------


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def deepest(cls: type[Any], above: tuple[type[Any], ...] = ()) -> int:
    """Levels of the deepest value that the generated reader of a class takes, by its fields."""
    assert cls not in above, f"{cls.__name__} contains itself: nothing bounds the depth of what its reader takes"
    forms = [shape(hint) for name, hint in hints(cls).items() if name != "extra"]
    return 1 + max((form.repeated + deepest(form.item, (*above, cls)) for form in forms if form.item in HOT), default=0)


@pytest.mark.parametrize("cls", [LiveServerMessage, LiveClientMessage])
def test_the_depth_of_what_a_reader_takes_is_bounded(cls: type[Any]) -> None:
    assert 4 <= deepest(cls) <= 8


@pytest.mark.parametrize("value", USUAL)
@pytest.mark.parametrize("levels", range(1, 10))
def test_a_bound_on_depth_applies_to_hot_messages_too(value: Any, levels: int) -> None:
    codec = Codec(max_depth=levels)
    text = json.dumps(value).encode() + b" " * 1100
    if depth(value) <= levels:
        assert codec.decode_server(text) == Codec().decode_server(text)
    else:
        with pytest.raises(InvalidJson, match=f"deeper than {levels}"):
            codec.decode_server(text)
