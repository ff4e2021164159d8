"""Hypothesis strategies for every message class, derived from its fields.

``messages_of(Part)`` draws valid parts: at most one member of a oneof, all required fields, values of the annotated
types.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar, get_args

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from live_protocol.messages import Backend
from live_protocol.messages.fields import Format
from support.introspection import fields, form, hints, is_enum, is_message, shape

__all__ = ["CALM", "ONEOFS", "Rules", "json_objects", "json_values", "messages_of"]

T = TypeVar("T")

ONEOFS: Mapping[str, tuple[str, ...]] = {
    "FunctionResponsePart": ("inline_data", "file_data"),
    "GenerationConfigRoutingConfig": ("auto_mode", "manual_mode"),
    "GroundingChunk": ("image", "maps", "retrieved_context", "web"),
    "LiveClientMessage": ("setup", "client_content", "realtime_input", "tool_response", "context_update"),
    "LiveMusicClientMessage": ("setup", "client_content", "music_generation_config", "playback_control"),
    "LiveMusicServerMessage": ("setup_complete", "server_content", "filtered_prompt"),
    "LiveServerMessage": (
        "setup_complete",
        "server_content",
        "tool_call",
        "tool_call_cancellation",
        "go_away",
        "session_resumption_update",
    ),
    "Part": (
        "text",
        "inline_data",
        "file_data",
        "executable_code",
        "code_execution_result",
        "function_call",
        "function_response",
        "tool_call",
        "tool_response",
    ),
    "PartialArg": ("bool_value", "null_value", "number_value", "string_value"),
    "RagRetrievalConfigFilter": ("vector_distance_threshold", "vector_similarity_threshold"),
    "RagRetrievalConfigRanking": ("llm_ranker", "rank_service"),
    "ResponseFormat": ("audio", "image", "text", "video"),
    "Retrieval": ("vertex_ai_search", "vertex_rag_store"),
    "VoiceConfig": ("prebuilt_voice_config", "replicated_voice_config", "voice"),
}
"""Members of which at most one is set. A class without other members always has one set."""


@attrs.frozen(kw_only=True, eq=False)
class Rules:
    """What the generated messages may hold.

    Attributes:
        backend: Leave out what only the other backend takes.
        zeros: Whether to draw 0, false, empty and unspecified, which proto3 JSON does not tell from absent.
        unknown_enums: Whether to draw enum names that no version knows.
        leave_out: Fields as ``"Part.text"`` and enum members as ``"Modality.VIDEO"`` that are not drawn.
        overrides: Strategies for single fields, by the same names.
        most_fields: Most optional fields to set in one message.
    """

    backend: Backend | None = None
    zeros: bool = True
    unknown_enums: bool = False
    leave_out: frozenset[str] = frozenset()
    overrides: Mapping[str, st.SearchStrategy[Any]] = MappingProxyType({})
    most_fields: int = 4


DEFAULT = Rules()

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For properties over messages: drawing a large one takes longer than checking it, more so on a busy machine."""

_INTEGERS_THAT_DOUBLES_HOLD = st.integers(-(2**53), 2**53)
_MILLISECONDS = st.integers(-(10**9), 10**9).map(lambda value: value / 1000)
_TIMES = st.datetimes(
    datetime(1970, 1, 1),
    datetime(2100, 1, 1),
    timezones=st.just(UTC),
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | _INTEGERS_THAT_DOUBLES_HOLD
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
json_objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.text(max_size=8), json_values, max_size=3)


def _scalars(item: Any) -> st.SearchStrategy[Any]:
    match form(item):
        case Format.INT64:
            return st.integers(-(2**63), 2**63 - 1)
        case Format.DURATION:
            return _MILLISECONDS
        case Format.TIMESTAMP:
            return _TIMES
        case Format.JSON:
            # A field that is null is absent, and a lone null cannot be told from that.
            free = get_args(item)[0] is Any
            return json_values.filter(lambda value: value is not None) if free else json_objects
        case None:
            pass
    drawn: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=12),
        bool: st.booleans(),
        int: st.integers(-(2**31), 2**31 - 1),
        # The largest of all, written in decimals, is too large for protobuf's own parser.
        float: st.floats(min_value=-(2.0**126), max_value=2.0**126, width=32),
        bytes: st.binary(max_size=24),
    }
    return drawn[item]


def _items(item: Any, rules: Rules, depth: int) -> st.SearchStrategy[Any]:
    if is_enum(item):
        members = [member for member in item if f"{item.__name__}.{member.name}" not in rules.leave_out]
        names: st.SearchStrategy[Any] = st.sampled_from(members if rules.zeros else members[1:] or members)
        return names | st.just("A_NAME_OF_TOMORROW") if rules.unknown_enums else names
    if is_message(item):
        return messages_of(item, rules, depth - 1)
    drawn = _scalars(item)
    return drawn if rules.zeros or form(item) is not None else drawn.filter(bool)


@functools.cache
def _values(cls: Any, name: str, rules: Rules, depth: int) -> st.SearchStrategy[Any]:
    if (override := rules.overrides.get(f"{cls.__name__}.{name}")) is not None:
        return override
    item, repeated, mapped, _ = shape(hints(cls)[name])
    drawn = _items(item, rules, depth)
    if not rules.zeros and form(item) is Format.INT64:
        drawn = drawn.filter(bool)
    if mapped:
        return st.dictionaries(st.text(max_size=8), drawn, min_size=not rules.zeros, max_size=2)
    # Decoding gives lists too.
    return st.lists(drawn, min_size=1, max_size=3) if repeated else drawn


def messages_of(cls: type[T], rules: Rules = DEFAULT, depth: int = 5) -> st.SearchStrategy[T]:
    """Valid messages of one class, with at most ``depth`` levels of optional messages below."""
    key: Any = cls  # for mypy, to which a class is not hashable
    return _messages_of(key, rules, depth)


@functools.cache
def _messages_of(cls: Any, rules: Rules, depth: int) -> st.SearchStrategy[Any]:
    open_fields: list[str] = []
    required: list[str] = []
    known = hints(cls)
    for field in fields(cls):
        if f"{cls.__name__}.{field.name}" in rules.leave_out:
            continue
        if rules.backend is not None and field.metadata.get("only") not in (None, rules.backend):
            continue
        if field.metadata.get("required"):
            required.append(field.name)
        elif depth > 0 or not is_message(shape(known[field.name]).item):
            open_fields.append(field.name)
    choice = [name for name in ONEOFS.get(cls.__name__, ()) if name in open_fields]
    others = [name for name in open_fields if name not in choice]

    @st.composite
    def build(draw: st.DrawFn) -> Any:
        names = list(required)
        if choice and (not others or draw(st.booleans())):
            names.append(draw(st.sampled_from(choice)))
        if others:
            names += draw(st.lists(st.sampled_from(others), max_size=rules.most_fields, unique=True))
        return cls(**{name: draw(_values(cls, name, rules, depth)) for name in names})

    return build()
