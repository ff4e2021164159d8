"""The message classes, enums and fields of the vocabulary, by introspection."""

from __future__ import annotations

import enum
import importlib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import attrs

from live_protocol import messages
from live_protocol.messages import OpenEnum
from live_protocol.messages.fields import Format

_NAMES = (
    "client", "config", "connect", "content", "credentials", "enums", "grounding", "music", "retrieval", "schema",
    "server", "tokens", "tools", "usage",
)  # fmt: skip
MODULES: tuple[types.ModuleType, ...] = tuple(
    importlib.import_module(f"live_protocol.messages.{name}") for name in _NAMES
)


def _defined() -> Iterator[tuple[str, Any]]:
    for module in MODULES:
        for name in module.__all__:
            yield name, getattr(module, name)


MESSAGES: Mapping[str, type[Any]] = {
    name: cls
    for name, cls in _defined()
    if isinstance(cls, type) and attrs.has(cls) and cls is not messages.LiveConnectConfig
}
"""Every message class by name, without ``LiveConnectConfig``, which never goes over the wire."""

ENUMS: Mapping[str, type[OpenEnum]] = {
    name: cls for name, cls in _defined() if isinstance(cls, type) and issubclass(cls, OpenEnum)
}


class Shape(NamedTuple):
    """The meaning of an annotation: ``repeated`` or ``mapped`` items of ``item``."""

    item: Any
    repeated: bool = False
    mapped: bool = False
    open: bool = False
    """Whether plain text is allowed too."""


def _alternatives(hint: Any) -> list[Any]:
    if get_origin(hint) in (typing.Union, types.UnionType):
        return [option for option in get_args(hint) if option is not type(None)]
    return [hint]


def shape(hint: Any) -> Shape:
    options = _alternatives(hint)
    if len(options) == 2:
        options.remove(str)
        return Shape(options[0], open=True)
    (option,) = options
    if get_origin(option) is Sequence:
        return shape(get_args(option)[0])._replace(repeated=True)
    if get_origin(option) is Mapping:
        return Shape(get_args(option)[1], mapped=True)
    return Shape(option)


def is_message(item: Any) -> bool:
    return isinstance(item, type) and bool(attrs.has(item))  # pyright: ignore[reportUnknownArgumentType]


def is_enum(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, enum.Enum)


def form(item: Any) -> Format | None:
    """The proto3 JSON form of an item's annotation, if it has one."""
    return get_args(item)[1] if get_origin(item) is Annotated else None


def category(hint: Any) -> str:
    """The kind of a field in words: ``repeated message:Part``, ``int64``, ``map<any>``."""
    item, repeated, mapped, _ = shape(hint)
    if form(item) is Format.JSON:
        word = "any" if get_args(item)[0] is Any else "map<any>"
    elif (annotated := form(item)) is not None:
        word = annotated.value
    elif is_enum(item):
        word = f"enum:{item.__name__}"
    elif is_message(item):
        word = f"message:{item.__name__}"
    else:
        word = item.__name__
    if mapped:
        return f"map<{word}>"
    return f"repeated {word}" if repeated else word


def hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def fields(cls: type[Any]) -> tuple[attrs.Attribute[Any], ...]:
    """The wire fields of a message, that is, all but ``extra``."""
    return tuple(field for field in attrs.fields(cls) if field.name != "extra")


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in tail)


_SAMPLES: Mapping[Any, Any] = {
    str: "text",
    bool: True,
    int: 7,
    float: 0.5,
    bytes: b"bytes",
    Format.INT64: 2**40,
    Format.DURATION: 1.5,
    Format.TIMESTAMP: datetime(2026, 11, 22, 10, tzinfo=UTC),
    Format.JSON: {"Some_key": [1, None, "text"]},
}


def sample(hint: Any, depth: int = 3) -> Any:
    """A value for a field, with everything set down to ``depth`` messages."""
    item, repeated, mapped, _ = shape(hint)
    if is_enum(item):
        value: Any = list(item)[-1]
    elif is_message(item):
        value = filled(item, depth - 1)
    else:
        value = _SAMPLES[form(item) or item]
    if mapped:
        return {"Some_key": value}
    return (value,) if repeated else value


def filled(cls: type[Any], depth: int = 3) -> Any:
    """A message with every field set, which is more than the service accepts."""
    if not depth:
        return cls()
    types_of = hints(cls)
    return cls(**{field.name: sample(types_of[field.name], depth) for field in fields(cls)})
