"""From what callers pass to messages: everything that the official SDK takes.

That is dicts in either casing, messages inside them, the SDK's own types, text for a system instruction, functions for
tools (wire.md#client-messages and wire.md#sdk-checks). Anything else is refused, with its path and what to write
instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

import attrs

from live_protocol.codec.decoding import from_dict, read_str
from live_protocol.codec.schema import fields, snake_case
from live_protocol.errors import InvalidMessage
from live_protocol.messages import (
    Content,
    FunctionDeclaration,
    FunctionResponse,
    LiveConnectConfig,
    Part,
    Tool,
)

T = TypeVar("T")

_NOT_LIVE: Final = "the Live API does not support it; leave it out"
_ELSEWHERE: Final[Mapping[type, Mapping[str, str]]] = {
    LiveConnectConfig: {
        "http_options": "these belong to the endpoint: Endpoint.gemini(version=, base_url=, headers=), or .vertex()",
        "model": "it is an argument beside the options: model=",
        "setup": "give what is inside it as LiveClientSetup, or flat options",
        "response_mime_type": _NOT_LIVE,
        "response_schema": _NOT_LIVE,
        "response_json_schema": _NOT_LIVE,
        "stop_sequences": _NOT_LIVE,
        "candidate_count": "it goes into generation_config",
        "presence_penalty": "it goes into generation_config",
        "frequency_penalty": "it goes into generation_config",
    },
    Content: {
        "turns": "give the turns themselves, and turn_complete= by its name",
        "turn_complete": "it is an argument beside the turns: turn_complete=",
        "text": "a part is not a turn; put it into one: {'role': 'user', 'parts': [{'text': ...}]}",
    },
    FunctionResponse: {
        "function_responses": "give the responses themselves",
        "result": "the result goes into response: {'output': ...}",
        "output": "the result goes into response: {'output': ...}",
        "error": "it goes into response: {'error': ...}",
    },
    Tool: {
        "name": "a declaration is not a tool; put it into one: {'function_declarations': [...]}",
    },
}
"""Names that belong elsewhere, by the class that callers put them in, and what to do instead."""


def as_mapping(value: object) -> Mapping[str, Any] | None:
    """The fields of a dict, or of a pydantic model such as the official SDK's types; None for anything else."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    if isinstance(value, type):
        return None
    try:
        members = value.model_dump(exclude_none=True)  # type: ignore[attr-defined]
    except Exception:  # the object may be of any class and raise anything
        return None
    return cast("Mapping[str, Any]", members) if isinstance(members, Mapping) else None


def message_from(cls: type[T], value: Any, path: str) -> T:
    """A message of this class, from one or from what would make one.

    Raises:
        InvalidMessage: With the path of what does not fit and what to do instead.
    """
    if isinstance(value, cls):
        return value
    members = as_mapping(value)
    if members is None:
        raise InvalidMessage(path, f"expected {cls.__name__} or a dict of its fields, got {type(value).__name__}")
    elsewhere = _ELSEWHERE.get(cls, {})
    fitting: dict[str, Any] = {}
    for key, member in members.items():
        name = snake_case(key)
        if name in elsewhere:
            if member is None:
                continue
            raise InvalidMessage(f"{path}.{name}", elsewhere[name])
        fitting[key] = member
    return from_dict(cls, fitting, path, as_mapping=as_mapping)


def messages_from(cls: type[T], value: Any, path: str) -> list[T]:
    """Messages of this class, from one or several.

    Raises:
        InvalidMessage: As for `message_from`.
    """
    if isinstance(value, cls) or as_mapping(value) is not None:
        return [message_from(cls, value, path)]
    if isinstance(value, (str, bytes, bytearray, memoryview)) or not isinstance(value, Iterable):
        raise InvalidMessage(path, f"expected {cls.__name__} or a list of it, got {type(value).__name__}")
    items: Iterable[Any] = value
    return [message_from(cls, item, f"{path}[{index}]") for index, item in enumerate(items)]


# --- options ----------------------------------------------------------------------------------------------------


def connect_config(value: Any, path: str = "config") -> LiveConnectConfig:
    """The options of a session.

    Raises:
        InvalidMessage: As for `message_from`.
    """
    if isinstance(value, LiveConnectConfig):
        if value.system_instruction is None and type(value.tools) is tuple and not value.tools:
            return value
        return attrs.evolve(
            value,
            tools=tools_of(value.tools, f"{path}.tools"),
            system_instruction=_instruction(value.system_instruction, path),
        )
    options = as_mapping(value)
    if options is not None:
        value = dict(options)
        for key in ("system_instruction", "systemInstruction"):
            value[key] = _instruction(value.get(key), path)
        if value.get("tools") is not None:
            value["tools"] = tools_of(value["tools"], f"{path}.tools")
    return message_from(LiveConnectConfig, value, path)


def _instruction(value: Any, path: str) -> Any:
    return value if value is None or value == "" else content_of(value, f"{path}.system_instruction")


# --- content ----------------------------------------------------------------------------------------------------


def content_of(value: Any, path: str) -> Content:
    """Content of the user, from text, a part, a list of either, or content.

    Raises:
        InvalidMessage: As for `message_from`.
    """
    if isinstance(value, (list, tuple)):
        items: Sequence[Any] = value
        return Content(role="user", parts=[_part(item, f"{path}[{index}]") for index, item in enumerate(items)])
    if isinstance(value, (str, Part)) or _names_any(_PART_KEYS, value):
        return Content(role="user", parts=[_part(value, path)])
    return message_from(Content, value, path)


def _part(value: Any, path: str) -> Part:
    return Part(text=read_str(value)) if isinstance(value, str) else message_from(Part, value, path)


_PART_KEYS: Final = frozenset(key for field in fields(Part) for key in (field.name, field.json))


def _names_any(keys: frozenset[str], value: object) -> bool:
    return not keys.isdisjoint(as_mapping(value) or ())


# --- tools ------------------------------------------------------------------------------------------------------


def tools_of(value: Any, path: str) -> Sequence[Tool]:
    """Tools, from one or several tools, functions, what `live_protocol.tools` makes of functions, and tools of MCP.

    All functions end in one tool, the last.

    Raises:
        InvalidMessage: As for `message_from`, or a function cannot be declared.
    """
    is_list = isinstance(value, Iterable) and not isinstance(value, (str, bytes)) and as_mapping(value) is None
    items: Iterable[Any] = value if is_list else [value]
    tools: list[Tool] = []
    declarations: list[FunctionDeclaration] = []
    for index, item in enumerate(items):
        place = f"{path}[{index}]" if is_list else path
        functions = None if isinstance(item, Tool) else _declarations(item, place)
        if functions is None:
            tools.append(message_from(Tool, item, place))
        else:
            declarations += functions
    return [*tools, Tool(function_declarations=declarations)] if declarations else tools


def _declarations(item: Any, path: str) -> Sequence[FunctionDeclaration] | None:
    """Function declarations in this item, or None if there are none."""
    if isinstance(item, FunctionDeclaration):
        return [item]
    if _names_any(_MCP_KEYS, item):
        return [_from_mcp(item, path)]
    if type(item) is dict:
        return None
    # Few need it, and it takes longer to import than most of the rest.
    from live_protocol.tools import DeclaredFunction, ToolRegistry, declare  # noqa: PLC0415

    if isinstance(item, ToolRegistry):
        return item.tool().function_declarations
    if isinstance(item, DeclaredFunction):
        return [item.declaration]
    if isinstance(item, type) or not callable(item):
        return None
    try:
        return [declare(item)]
    except InvalidMessage as error:
        failure = InvalidMessage(f"{path}.{error.path}", error.why)
    raise failure


_MCP_KEYS: Final = frozenset({"inputSchema", "input_schema"})


def _from_mcp(value: Any, path: str) -> FunctionDeclaration:
    members = as_mapping(value) or {}
    schema = next(members[key] for key in members if key in _MCP_KEYS)
    declaration = {
        "name": members.get("name"),
        "description": members.get("description"),
        "parameters_json_schema": schema,
    }
    return from_dict(FunctionDeclaration, declaration, path)
