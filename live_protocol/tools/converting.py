"""Converts between JSON values and Python objects with cattrs, and explains its errors."""

from __future__ import annotations

import collections.abc
import functools
from datetime import date, datetime, time
from decimal import Decimal
from uuid import UUID

import cattrs
from cattrs.strategies import configure_union_passthrough

from live_protocol.codec.schema import Mismatch, at
from live_protocol.tools.hints import is_alias


@functools.cache
def value_converter() -> cattrs.Converter:
    """The value_converter for arguments and results; made on first use, since importing it must cost nothing."""
    new = cattrs.Converter(
        unstruct_collection_overrides={collections.abc.Set: list, frozenset: list, set: list, tuple: list},
    )
    configure_union_passthrough(str | bool | int | float | None, new)
    new.register_structure_hook_factory(is_alias, lambda alias: lambda value, _: new.structure(value, alias.__value__))
    for kind in (datetime, date, time):
        new.register_structure_hook(kind, lambda value, cls: cls.fromisoformat(value))
        new.register_unstructure_hook(kind, lambda moment: moment.isoformat())
    new.register_structure_hook(UUID, lambda value, _: UUID(value))
    new.register_unstructure_hook(UUID, str)
    new.register_unstructure_hook(Decimal, str)
    return new


def first_cause(error: Exception) -> Mismatch:
    """The first error inside an error of cattrs, with its path."""
    if not isinstance(error, cattrs.BaseValidationError):
        return Mismatch(error_text(error))
    first = error.exceptions[0]
    mismatch = first_cause(first)
    for note in getattr(first, "__notes__", ()):
        if isinstance(note, cattrs.AttributeValidationNote):
            mismatch = at(note.name, mismatch)
        elif isinstance(note, cattrs.IterableValidationNote):
            mismatch = at(note.index, mismatch)
    return mismatch


def error_text(error: BaseException) -> str:
    """Class and text of an exception."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # __str__ of an application's class may raise anything
        text = ""
    return f"{name}: {text}" if text else name
