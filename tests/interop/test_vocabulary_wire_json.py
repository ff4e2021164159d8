"""The classes say exactly what the description of the wire says, field by field, in both directions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from support.introspection import ENUMS, MESSAGES, camel, category, fields, hints
from support.paths import TESTS
from support.strategies import ONEOFS

from live_protocol.messages import CONNECT_CONFIG_TO_SETUP, Backend

WIRE_JSON = TESTS / "interop" / "data" / "wire.json"

SCALARS = {
    "string": "str",
    "int32": "int",
    "double": "float",
    "int64-string": "int64",
    "duration-string": "duration",
    "timestamp-string": "timestamp",
    "bytes(base64)": "bytes",
    "map<string,any>": "map<any>",
    "map<string,string>": "map<str>",
    "map<string,message:Schema>": "map<message:Schema>",
}


@pytest.fixture(scope="module")
def wire() -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(WIRE_JSON.read_text(encoding="utf-8"))
    return document


def described(field: Mapping[str, Any]) -> dict[str, Any]:
    kind: str = field["type"]
    repeated = "repeated " if kind.startswith("repeated ") else ""
    kind = kind.removeprefix("repeated ")
    return {
        "json": field["json"],
        "json_vertex": field.get("json_vertex"),
        "only": Backend(field["backends"][0]) if len(field["backends"]) == 1 else None,
        "required": field["required"],
        "type": repeated + SCALARS.get(kind, kind),
    }


def test_every_message_and_field(wire: Mapping[str, Any]) -> None:
    expected = {
        name: {field["name"]: described(field) for field in message["fields"]}
        for name, message in wire["messages"].items()
    }
    declared = {
        name: {
            field.name: {
                "json": field.metadata.get("json", camel(field.name)),
                "json_vertex": field.metadata.get("json_vertex"),
                "only": field.metadata.get("only"),
                "required": field.metadata.get("required", False),
                "type": category(hints(cls)[field.name]),
            }
            for field in fields(cls)
        }
        for name, cls in MESSAGES.items()
    }
    assert declared.keys() == expected.keys()
    for name, members in expected.items():
        assert declared[name] == members, name


def test_every_enum_value(wire: Mapping[str, Any]) -> None:
    expected = {name: set(values) for name, values in wire["enums"].items()}
    assert {name: {member.value for member in cls} for name, cls in ENUMS.items()} == expected


def test_every_connect_option(wire: Mapping[str, Any]) -> None:
    expected = {option: path.partition(" ")[0] for option, path in wire["connect_config_to_setup"].items()}
    declared = {option: ".".join(["setup", *map(camel, path)]) for option, path in CONNECT_CONFIG_TO_SETUP.items()}
    assert declared == expected


def test_every_oneof(wire: Mapping[str, Any]) -> None:
    expected: dict[str, set[str]] = {}
    for name, message in wire["messages"].items():
        for group in {field["oneof"] for field in message["fields"]} - {None}:
            members = {field["name"] for field in message["fields"] if field["oneof"] == group}
            if len(members) > 1:
                assert expected.setdefault(name, members) is members
    assert {name: set(members) for name, members in ONEOFS.items()} == expected


def test_what_is_unverified_stays_out(wire: Mapping[str, Any]) -> None:
    names = {field["where"] for field in wire["uncertain"]}
    for name, cls in MESSAGES.items():
        for field in fields(cls):
            unverified = {f"{name}.{field.name}", f"{name}.{camel(field.name)}"} & names
            listed = {member["name"] for member in wire["messages"][name]["fields"]}
            assert not unverified or field.name in listed
