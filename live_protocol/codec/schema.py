"""Shared by decoding and encoding: the fields of a message class, and the error for a value that does not fit."""

from __future__ import annotations

import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast, get_args, get_origin

import attrs

from live_protocol.messages.fields import Backend

Hook = Callable[[Any], Any]
"""Converts one value; raises `Mismatch` if it does not fit."""


class Mismatch(Exception):
    """A value that does not fit. It collects its path on the way up.

    Attributes:
        why: What is wrong.
        unknown: Name of the unknown field, if that is what is wrong.
        steps: Field names and indexes of the path, innermost first.
    """

    def __init__(self, why: str, *, unknown: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.unknown = unknown
        self.steps: list[str | int] = []

    def path(self, root: str = "") -> str:
        """The path in snake_case, for example ``setup.tools[0].name``."""
        text = root
        for step in reversed(self.steps):
            text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
        return text

    def service_text(self, path: str) -> str:
        """The close reason that the service would send (wire.md#close-reasons)."""
        if self.unknown is None:
            return f"Invalid value at '{path}'"
        where = f" at '{path}'" if path else ""
        return f'Invalid JSON payload received. Unknown name "{self.unknown}"{where}: Cannot find field.'


_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def json_kind(value: object) -> str:
    """The kind of a value in the terms of JSON, or else its class, with an article."""
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def expected(what: str, value: object) -> Mismatch:
    """The error for a value of the wrong kind."""
    return Mismatch(f"expected {what}, got {json_kind(value)}")


def at(step: str | int, mismatch: Mismatch) -> Mismatch:
    """The same error one step further up its path."""
    mismatch.steps.append(step)
    return mismatch


# --- annotations and fields -------------------------------------------------------------------------------------


def plain(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a hint without None."""
    if get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(option for option in get_args(hint) if option is not type(None))
    return (hint,)


def or_text(convert_message: Hook) -> Hook:
    """A hook that leaves text as it is and converts the message that it is a shorthand for."""
    return lambda value: value if type(value) is str else convert_message(value)


def is_enum(hint: Any) -> bool:
    """Whether a hint is an enum class."""
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


def enum_of(hint: Any) -> type[enum.Enum] | None:
    """The enum in a hint, if there is one: bare, among other alternatives, or in a list."""
    for alternative in plain(hint):
        if get_origin(alternative) is Sequence:
            return enum_of(get_args(alternative)[0])
        if is_enum(alternative):
            return cast("type[enum.Enum]", alternative)
    return None


class Field(NamedTuple):
    """A field of a message class.

    Attributes:
        name: Its name in Python.
        json: Its key on the wire.
        json_vertex: Its key on Vertex.
        hint: Its annotation.
        required: Whether it must be present.
        only: The one backend that takes it, None for both.
    """

    name: str
    json: str
    json_vertex: str
    hint: Any
    required: bool
    only: Backend | None


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in tail)


def snake_case(key: object) -> str:
    """A wire name as our fields spell it; of a name longer than any of ours the beginning."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in str(key)[:100])


@functools.cache
def fields(cls: type) -> tuple[Field, ...]:
    """The fields of a message class, without ``extra``."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return tuple(
        Field(
            field.name,
            key := field.metadata.get("json") or _camel(field.name),
            field.metadata.get("json_vertex", key),
            hints[field.name],
            field.metadata.get("required", False),
            field.metadata.get("only"),
        )
        for field in attrs.fields(cls)
        if field.name != "extra"
    )
