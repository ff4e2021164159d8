"""Nothing that the official SDK can say in a live session is missing, and every difference is a known one."""

from __future__ import annotations

import enum
import inspect
import typing
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from support.introspection import ENUMS, MESSAGES, fields

from live_protocol.messages import LiveConnectConfig

with warnings.catch_warnings():
    # The SDK is not ours to keep free of deprecated calls; only its import is forgiven.
    warnings.simplefilter("ignore", DeprecationWarning)
    types = pytest.importorskip("google.genai.types")

# The SDK types lists of tools as bare lists, so nothing leads there.
ROOTS = ("LiveServerMessage", "LiveClientMessage", "LiveConnectConfig", "Tool")
MUSIC_ROOTS = ("LiveMusicServerMessage", "LiveMusicClientMessage")

MISSING_CLASSES: Mapping[str, str] = {
    "File": "an uploaded file given as a part: a convenience of the SDK, on the wire it is FileData",
    "FileSource": "only in File",
    "FileState": "only in File",
    "FileStatus": "only in File",
    "HttpOptions": "transport settings belong to the endpoint, they never reach the wire",
    "HttpRetryOptions": "only in HttpOptions",
    "ResourceScope": "only in HttpOptions",
}
MISSING_FIELDS: Mapping[str, str] = {
    "LiveConnectConfig.http_options": "transport settings belong to the endpoint, they never reach the wire",
    "TextResponseFormat.jsonSchema": "json_schema here; the SDK has it under its camelCase spelling",
}
MISSING_MEMBERS: Mapping[str, str] = {}
NOT_IN_SDK: Mapping[str, str] = {
    "AuthTokenCreateRequest": "the SDK builds this body without a type of its own",
    "ModelRoutingPreference": "a plain list of literals in the SDK",
    "NullValue": "a plain literal in the SDK",
}

OURS: Mapping[str, type[Any]] = {**MESSAGES, **ENUMS, "LiveConnectConfig": LiveConnectConfig}


def reachable(*roots: str) -> dict[str, type[Any]]:
    """SDK classes that can occur in the fields of the roots."""
    found: dict[str, type[Any]] = {}

    def visit(hint: Any) -> None:
        if not inspect.isclass(hint):
            for argument in typing.get_args(hint):
                visit(argument)
        elif hint.__module__ == types.__name__ and hint.__name__ not in found:
            found[hint.__name__] = hint
            for field in getattr(hint, "model_fields", {}).values():
                visit(field.annotation)

    for root in roots:
        visit(getattr(types, root))
    return found


def missing_fields() -> Iterator[str]:
    for name, cls in OURS.items():
        theirs = getattr(types, name, None)
        ours: set[str] = set() if name in ENUMS else {field.name for field in fields(cls)}
        for field in getattr(theirs, "model_fields", {}):
            if field not in ours:
                yield f"{name}.{field}"


def missing_members() -> Iterator[str]:
    for name, cls in ENUMS.items():
        theirs = getattr(types, name, None)
        if theirs is not None:
            assert issubclass(theirs, enum.Enum)
            ours = {member.name: member.value for member in cls}
            for member in theirs:
                if ours.get(member.name) != member.value:
                    yield f"{name}.{member.name}"


def test_every_class_that_a_live_session_can_reach_is_here() -> None:
    assert reachable(*ROOTS, *MUSIC_ROOTS, "AuthToken").keys() - OURS.keys() == MISSING_CLASSES.keys()


def test_reachability_finds_the_depths() -> None:
    found = reachable(*ROOTS)
    assert {"Blob", "GroundingChunkMapsRoute", "RagRetrievalConfigRankingLlmRanker", "Type"} <= found.keys()


def test_every_field_is_here() -> None:
    assert set(missing_fields()) == MISSING_FIELDS.keys()


def test_every_enum_member_is_here_with_its_value() -> None:
    assert set(missing_members()) == MISSING_MEMBERS.keys()


def test_names_are_the_official_ones() -> None:
    assert {name for name in OURS if not hasattr(types, name)} == NOT_IN_SDK.keys()


def test_every_difference_has_a_reason() -> None:
    for allowed in (MISSING_CLASSES, MISSING_FIELDS, MISSING_MEMBERS, NOT_IN_SDK):
        assert all(allowed.values())
