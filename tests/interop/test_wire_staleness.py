"""wire.json is up to date: it has every name that the installed google-genai uses in a live session.

The test walks the SDK's classes for fields and enum values, and its converters for the keys that they write and read.
`test_vocabulary_google_genai` compares the SDK with the classes of this package; this test compares it with the data
behind them. A failure names what the SDK has gained: describe it in wire.json, or list it below with the reason why it
is not on the wire.
"""

from __future__ import annotations

import ast
import copy
import enum
import inspect
import json
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pytest

with warnings.catch_warnings():
    # The SDK's own deprecations are not ours to fix, so its import must not fail because of them.
    warnings.simplefilter("ignore", DeprecationWarning)
    types = pytest.importorskip("google.genai.types")
    CONVERTERS = tuple(map(import_module, ("google.genai._live_converters", "google.genai._tokens_converters")))

TESTS = next(folder for folder in Path(__file__).resolve().parents if folder.name == "tests")
WIRE_JSON = TESTS / "interop" / "data" / "wire.json"

Wire = dict[str, Any]

# Tools are bare lists in the SDK's annotations, so no class that begins with "Live" leads to them.
MORE_ROOTS = ("AuthToken", "CreateAuthTokenConfig", "Tool")

WRITTEN_AS: Mapping[str, str] = {
    "CreateAuthTokenConfig": "AuthTokenCreateRequest",
    "CreateAuthTokenParameters": "AuthTokenCreateRequest",
    "LiveConnectConfig": "LiveClientMessage",
    "LiveConnectConstraints": "LiveClientMessage",
    "LiveConnectParameters": "LiveClientMessage",
    "LiveMusicConnectParameters": "LiveMusicClientMessage",
    "LiveMusicSetConfigParameters": "LiveMusicClientMessage",
    "LiveMusicSetWeightedPromptsParameters": "LiveMusicClientContent",
    "LiveSendRealtimeInputParameters": "LiveClientRealtimeInput",
}
"""Arguments of SDK functions, and the message that their converters fill."""

CLASSES_NOT_ON_THE_WIRE: Mapping[str, str] = {
    **dict.fromkeys(WRITTEN_AS.keys() - {"CreateAuthTokenParameters"}, "arguments of an SDK function"),
    "File": "an uploaded file given as a part, which the SDK converts to FileData",
    "FileSource": "only in File",
    "FileState": "only in File",
    "FileStatus": "only in File",
    "HttpOptions": "transport settings",
    "HttpRetryOptions": "only in HttpOptions",
    "ResourceScope": "only in HttpOptions",
}
FIELDS_NOT_ON_THE_WIRE: Mapping[str, str] = {
    "LiveConnectConfig.http_options": "transport settings",
    "TextResponseFormat.jsonSchema": "the SDK declares json_schema under its wire key",
}
VALUES_NOT_ON_THE_WIRE: Mapping[str, str] = {}
KEYS_NOT_ON_THE_WIRE: Mapping[str, str] = {
    "CreateAuthTokenParameters.config": "the converter's slot for the converted config, which the SDK unwraps",
    "LiveConnectConstraints.config": "the converter's slot for the converted config, which the SDK unwraps",
    "LiveConnectParameters.config": "the converter's slot for the converted config, which the SDK unwraps",
}


@pytest.fixture(scope="module")
def wire() -> Wire:
    description: Wire = json.loads(WIRE_JSON.read_text(encoding="utf-8"))
    return description


def classes_in(annotation: Any) -> Iterator[type[Any]]:
    if inspect.isclass(annotation) and annotation.__module__ == types.__name__:
        yield annotation
    for argument in typing.get_args(annotation):
        yield from classes_in(argument)


def literals_in(annotation: Any) -> Iterator[str]:
    if typing.get_origin(annotation) is Literal:
        yield from typing.get_args(annotation)
    else:
        for argument in typing.get_args(annotation):
            yield from literals_in(argument)


def sdk_fields(cls: type[Any]) -> Mapping[str, Any]:
    members: Mapping[str, Any] = getattr(cls, "model_fields", {})
    return members


def live_classes() -> dict[str, type[Any]]:
    """Classes of the SDK that a live session can use, by name."""
    roots = [name for name, cls in vars(types).items() if name.startswith("Live") and hasattr(cls, "model_fields")]
    reached: dict[str, type[Any]] = {}
    waiting = [getattr(types, name) for name in (*roots, *MORE_ROOTS)]
    while waiting:
        cls = waiting.pop()
        if cls.__name__ not in reached:
            reached[cls.__name__] = cls
            for field in sdk_fields(cls).values():
                waiting.extend(classes_in(field.annotation))
    return reached


def unknown_classes(wire: Wire) -> set[str]:
    return set(live_classes()) - set(wire["messages"]) - set(wire["enums"])


def unknown_fields(wire: Wire) -> set[str]:
    described = {name: {field["name"] for field in message["fields"]} for name, message in wire["messages"].items()}
    described["LiveConnectConfig"] = set(wire["connect_config_to_setup"])
    return {
        f"{name}.{field}"
        for name, cls in live_classes().items()
        if name in described
        for field in sdk_fields(cls).keys() - described[name]
    }


def unknown_values(wire: Wire) -> set[str]:
    """Values of enums, also of those that the SDK writes as a literal in the annotation of a field."""
    classes = live_classes()
    sdk = [
        (name, member.value)
        for name, cls in classes.items()
        if issubclass(cls, enum.Enum) and name in wire["enums"]
        for member in cls
    ]
    for name, cls in classes.items():
        for field in wire["messages"].get(name, {}).get("fields", ()):
            if field["name"] in sdk_fields(cls):
                enum_name = field["type"].rpartition("enum:")[2]
                annotation = sdk_fields(cls)[field["name"]].annotation
                sdk += [(enum_name, value) for value in literals_in(annotation)]
    return {f"{name}.{value}" for name, value in sdk if value not in wire["enums"].get(name, ())}


def converted_paths() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Class and path of keys for everything that the converters write to the wire, or read from it."""
    for module in CONVERTERS:
        for function in ast.parse(inspect.getsource(module)).body:
            if isinstance(function, ast.FunctionDef):
                name, direction, _backend = function.name.strip("_").rsplit("_", 2)
                for node in ast.walk(function):
                    match node:
                        case ast.Call(func=ast.Name(id=call), args=[_, ast.List(elts=keys), *_]) if call == (
                            "setv" if direction == "to" else "getv"
                        ):
                            yield name, tuple(ast.literal_eval(key) for key in keys)


def unknown_keys(wire: Wire) -> set[str]:
    unknown = set()
    for name, path in converted_paths():
        message = WRITTEN_AS.get(name, name)
        for key in path:
            fields = {
                spelling: field
                for field in wire["messages"].get(message, {}).get("fields", ())
                for spelling in (field["json"], field.get("json_vertex"))
            }
            if key not in fields:
                unknown.add(".".join((name, *path)))
                break
            message = fields[key]["type"].rpartition("message:")[2]
    return unknown


CHECKS: tuple[tuple[Callable[[Wire], set[str]], Mapping[str, str]], ...] = (
    (unknown_classes, CLASSES_NOT_ON_THE_WIRE),
    (unknown_fields, FIELDS_NOT_ON_THE_WIRE),
    (unknown_values, VALUES_NOT_ON_THE_WIRE),
    (unknown_keys, KEYS_NOT_ON_THE_WIRE),
)
each_check = pytest.mark.parametrize(("unknown", "allowed"), CHECKS, ids=[check.__name__ for check, _ in CHECKS])


@each_check
def test_the_sdk_has_nothing_new(wire: Wire, unknown: Callable[[Wire], set[str]], allowed: Mapping[str, str]) -> None:
    new = unknown(wire) - allowed.keys()
    assert not new, f"new in the SDK, missing from wire.json: {sorted(new)}"


@each_check
def test_every_exception_is_still_needed(
    wire: Wire, unknown: Callable[[Wire], set[str]], allowed: Mapping[str, str]
) -> None:
    assert all(allowed.values())
    stale = allowed.keys() - unknown(wire)
    assert not stale, f"no longer in the SDK, or now in wire.json: {sorted(stale)}"


def test_converters_of_unknown_classes_do_not_exist(wire: Wire) -> None:
    names = {name for name, _ in converted_paths()}
    assert names <= wire["messages"].keys() | WRITTEN_AS.keys()
    assert WRITTEN_AS.keys() <= names


def without_field(wire: Wire, message: str, name: str) -> Wire:
    changed = copy.deepcopy(wire)
    fields = changed["messages"][message]["fields"]
    fields.remove(next(field for field in fields if field["name"] == name))
    return changed


def test_a_new_field_is_noticed(wire: Wire) -> None:
    for message, name in (("Blob", "data"), ("LiveServerContent", "interrupted"), ("RagRetrievalConfig", "top_k")):
        assert f"{message}.{name}" in unknown_fields(without_field(wire, message, name))


def test_a_new_connect_option_is_noticed(wire: Wire) -> None:
    options = {option: path for option, path in wire["connect_config_to_setup"].items() if option != "labels"}
    assert "LiveConnectConfig.labels" in unknown_fields(wire | {"connect_config_to_setup": options})


def test_a_new_class_is_noticed(wire: Wire) -> None:
    messages = {name: message for name, message in wire["messages"].items() if name != "LiveServerGoAway"}
    assert "LiveServerGoAway" in unknown_classes(wire | {"messages": messages})


@pytest.mark.parametrize("value", ["Modality.AUDIO", "ServiceTier.flex", "ModelRoutingPreference.BALANCED"])
def test_a_new_enum_value_is_noticed(wire: Wire, value: str) -> None:
    changed = copy.deepcopy(wire)
    name, _, member = value.partition(".")
    changed["enums"][name].remove(member)
    assert value in unknown_values(changed)


def test_a_new_key_is_noticed(wire: Wire) -> None:
    assert unknown_keys(without_field(wire, "GenerationConfig", "seed")) >= {
        "GenerationConfig.seed",
        "LiveConnectConfig.setup.generationConfig.seed",
    }
    assert "VoiceActivity.type" in unknown_keys(without_field(wire, "VoiceActivity", "voice_activity_type"))
