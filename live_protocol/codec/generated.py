"""Readers of the messages of the hot path, generated from their fields on first use.

A generated reader makes a message of the parsed JSON as the service usually writes it: camelCase, known fields, none of
them null, values of the usual kind. For anything else it raises `Mismatch`, and the general way (``decoding``) reads
the same value from the beginning; it alone keeps unknown fields, knows free-form values and says what is wrong. So a
generated reader either gives what the general way gives, or nothing.

Readers exist for the classes that are declared with ``fast_define``. A field of another class is left to the general
way, and so is one that holds free-form JSON: a generated reader therefore needs no bound on depth.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args, get_origin

import attrs

from live_protocol.codec.decoding import INT64, leaf_reader
from live_protocol.codec.schema import Hook, Mismatch, fields, plain
from live_protocol.messages.fields import NO_EXTRA, generated

_TESTS: Final[Mapping[Any, str]] = {
    str: "type(item) is not str",
    bool: "item is not True and item is not False",
    int: f"type(item) is not int or not -{INT64} <= item < {INT64}",
}
"""What is unusual about an item that stays as it is."""


@functools.cache
def message_reader(cls: type) -> Hook:
    """The reader of a class that is declared with ``fast_define``."""
    names: dict[str, Any] = {"cls": cls, "new": object.__new__, "NO_EXTRA": NO_EXTRA, "Mismatch": Mismatch}
    defaults = [
        f"    message.{field.name} = {'NO_EXTRA' if field.name == 'extra' else repr(field.default)}"
        for field in attrs.fields(cls)
    ]
    cases: list[str] = []
    for field in fields(cls):
        hook = f"read_{field.name}"
        case = _case(field.hint, hook, names)
        if case is not None:
            unusual, value = case
            keys = " or ".join(f"key == {key!r}" for key in dict.fromkeys((field.json, field.json_vertex)))
            cases += [
                f"        {'elif' if cases else 'if'} {keys}:",
                f"            if {unusual}: raise Mismatch('unusual')",
                f"            message.{field.name} = {value}",
            ]
    lines = [
        "def read(value):",
        "    if type(value) is not dict: raise Mismatch('unusual')",
        "    message = new(cls)",
        *defaults,
        "    for key, item in value.items():",
        *cases,
        "        else: raise Mismatch('unusual')",
        "    return message",
    ]
    return generated("read", lines, names, f"reader of {cls.__name__}")


def _case(hint: Any, hook: str, names: dict[str, Any]) -> tuple[str, str] | None:
    """When an item of this type is unusual, and the expression for its value; None leaves the field to the general way.

    Args:
        hint: The type.
        hook: A free name for a function that the expression needs.
        names: Where it is added.
    """
    kind = plain(hint)[0]
    if kind in _TESTS:
        return _TESTS[kind], "item"
    several = get_origin(kind) is Sequence
    cls = get_args(kind)[0] if several else kind
    if attrs.has(cls) and cls.__setattr__ is object.__setattr__:  # no frozen class: declared with ``fast_define``

        def read_first(item: Any) -> Any:  # which takes the place of this function
            names[hook] = message_reader(cls)
            return names[hook](item)

        names[hook] = read_first
        return (
            ("type(item) is not list", f"[{hook}(one) for one in item]")
            if several
            else ("item is None", f"{hook}(item)")
        )
    names[hook] = leaf_reader(hint)
    return None if names[hook] is None else ("item is None", f"{hook}(item)")
