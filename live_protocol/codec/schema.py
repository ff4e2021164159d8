"""What both directions of conversion share: the fields of a class, and how a value that does not fit is reported."""

from __future__ import annotations

import enum
import functools
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args, get_origin

import attrs

from live_protocol.messages.fields import Backend

__all__ = [
    "Field",
    "Hook",
    "Mismatch",
    "at",
    "enum_of",
    "expected",
    "fields",
    "is_enum",
    "json_kind",
    "plain",
    "snake_case",
]

Hook = Callable[[Any], Any]


class Mismatch(Exception):
    """A value that does not fit; collects its path on the way up."""

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
        """What the service says about it in its close frame (wire.md#close-reasons)."""
        if self.unknown is None:
            return f"Invalid value at '{path}'"
        where = f" at '{path}'" if path else ""
        return f'Invalid JSON payload received. Unknown name "{self.unknown}"{where}: Cannot find field.'


def json_kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null" if value is None else f"a {type(value).__name__}")


def expected(what: str, value: object) -> Mismatch:
    return Mismatch(f"expected {what}, got {json_kind(value)}")


# --- what an annotation means -----------------------------------------------------------------------------------


def plain(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a hint without None."""
    if get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(option for option in get_args(hint) if option is not type(None))
    return (hint,)


def is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


def enum_of(hint: Any) -> type[enum.Enum] | None:
    """The enum in a hint, also where it stands beside other alternatives or in a list."""
    for option in plain(hint):
        inner = get_args(option)[0] if get_origin(option) is Sequence else option
        if inner is not option:
            return enum_of(inner)
        if is_enum(option):
            found: type[enum.Enum] = option
            return found
    return None


class Field(NamedTuple):
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
    """A wire name as our fields are called; cut where no name is so long."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in str(key)[:100])


@functools.cache
def fields(cls: type) -> tuple[Field, ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    found = []
    for field in attrs.fields(cls):
        if field.name == "extra":
            continue
        key = field.metadata.get("json") or _camel(field.name)
        found.append(
            Field(
                field.name,
                key,
                field.metadata.get("json_vertex", key),
                hints[field.name],
                field.metadata.get("required", False),
                field.metadata.get("only"),
            )
        )
    return tuple(found)


def at(step: str | int, mismatch: Mismatch) -> Mismatch:
    mismatch.steps.append(step)
    return mismatch
