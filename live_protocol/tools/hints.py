"""Turns type hints into the schema of an argument and a check for its values (wire.md#schemas)."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Annotated, Any, Final, Literal, NamedTuple, NotRequired, Required, get_args, get_origin
from uuid import UUID

import attrs

from live_protocol.codec.decoding import read_bool, read_str
from live_protocol.codec.schema import Hook, Mismatch, at, expected, json_kind, plain
from live_protocol.messages import Schema, Type
from live_protocol.tools.docstrings import read_docstring


class Shape(NamedTuple):
    """The meaning of a type hint.

    Attributes:
        schema: The schema that the model sees.
        check: Validates a JSON value and normalizes it, still as JSON types; raises `Mismatch`.
        note: A constraint that the schema cannot express; every description ends with it.
    """

    schema: Schema
    check: Hook
    note: str = ""


class _Member(NamedTuple):
    name: str
    hint: Any
    required: bool


_LISTS: Final = (
    list,
    tuple,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Set,
    collections.abc.Iterable,
    collections.abc.Collection,
)
_MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def _read_int(value: Any) -> int:
    # The service may send any number as a double, whatever was declared.
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise expected("an integer", value)
    return value


def _read_number(value: Any) -> int | float:
    if type(value) not in (int, float):
        raise expected("a number", value)
    number: int | float = value
    return number


def _read_as(parse: Callable[[str], object], example: str) -> Hook:
    def read(value: Any) -> str:
        text = read_str(value)
        try:
            parse(text)
        except ValueError:
            failure = Mismatch(f"expected the form {example}, got {text[:40]!r}")
        else:
            return text
        raise failure

    return read


def _text_of(parse: Callable[[str], object], what: str, example: str) -> Shape:
    # In words, because date-time is the only string format that every model accepts.
    note = f"{what}, for example {example}."
    return Shape(Schema(type=Type.STRING, description=note), _read_as(parse, example), note)


_MOMENT: Final = "2026-01-31T15:30:00Z"
_PLAIN: Final[Mapping[Any, Shape]] = {
    str: Shape(Schema(type=Type.STRING), read_str),
    bool: Shape(Schema(type=Type.BOOLEAN), read_bool),
    int: Shape(Schema(type=Type.INTEGER), _read_int),
    float: Shape(Schema(type=Type.NUMBER), _read_number),
    datetime: Shape(Schema(type=Type.STRING, format="date-time"), _read_as(datetime.fromisoformat, _MOMENT)),
    date: _text_of(date.fromisoformat, "A date", "2026-01-31"),
    time: _text_of(time.fromisoformat, "A time of day", "15:30:00"),
    UUID: _text_of(UUID, "A UUID", "12345678-1234-5678-1234-567812345678"),
}


def is_alias(hint: Any) -> bool:
    """Whether a ``type`` statement (Python 3.12) or its backport made this hint."""
    return type(hint).__name__ == "TypeAliasType"


def shape_of(hint: Any, within: tuple[Any, ...] = ()) -> Shape:
    """Return schema and check for a hint.

    Args:
        hint: A hint from `typing.get_type_hints` with ``include_extras=True``.
        within: The classes that contain it, outermost first.

    Raises:
        Mismatch: JSON or the service's schemas cannot express it.
    """
    while True:
        if is_alias(hint):
            hint = hint.__value__
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif get_origin(hint) in (Required, NotRequired):
            hint = hint.__args__[0]
        else:
            break
    if get_origin(hint) is Annotated:
        return _with_text(shape_of(hint.__origin__, within), _note(hint))
    options = plain(hint)
    if options != (hint,):
        return _union(options, nullable=type(None) in get_args(hint), within=within)
    return _single(hint, within)


def _single(hint: Any, within: tuple[Any, ...]) -> Shape:
    origin = get_origin(hint) or hint
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Literal:
        return _literal(get_args(hint))
    if origin in _LISTS:
        return _list(hint, origin, within)
    if origin in _MAPPINGS:
        return _mapping(hint, within)
    if isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            return _choice([member.value for member in hint])
        members = _members(hint)
        if members is not None:
            return _object(hint, members, within)
    raise Mismatch(
        f"{getattr(hint, '__name__', hint)!s} cannot be described to the model; use str, int, float, bool, date, "
        "datetime, time, UUID, Literal, Enum, list, dict, TypedDict, a dataclass or an attrs class, each with its types"
    )


def _note(hint: Any) -> str:
    """The description inside ``Annotated``, if there is one."""
    notes = getattr(hint, "__metadata__", ()) if get_origin(hint) is Annotated else ()
    return next((note for note in notes if isinstance(note, str)), "")


def described(hint: Any, shape: Shape, text: str) -> Shape:
    """Add the docstring's text as description, unless the hint has its own."""
    return shape if any(_note(option) for option in (hint, *plain(hint))) else _with_text(shape, text)


def _with_text(shape: Shape, text: str) -> Shape:
    if not text:
        return shape
    description = f"{text} {shape.note}" if shape.note else text
    return shape._replace(schema=attrs.evolve(shape.schema, description=description))


def _nullable(shape: Shape) -> Shape:
    check = shape.check
    schema = attrs.evolve(shape.schema, nullable=True)
    return Shape(schema, lambda value: None if value is None else check(value), shape.note)


def _union(options: tuple[Any, ...], *, nullable: bool, within: tuple[Any, ...]) -> Shape:
    shapes = [shape_of(option, within) for option in options]
    if len(shapes) == 1:
        return _nullable(shapes[0])

    def check_any(value: Any) -> Any:
        if value is None and nullable:
            return None
        for shape in shapes:
            try:
                return shape.check(value)
            except Mismatch:
                continue
        raise Mismatch(f"{json_kind(value)} fits none of the alternatives")

    return Shape(Schema(any_of=tuple(shape.schema for shape in shapes), nullable=nullable or None), check_any)


def _literal(values: tuple[Any, ...]) -> Shape:
    if None not in values:
        return _choice(values)
    return _nullable(_choice([value for value in values if value is not None]))


def _choice(values: collections.abc.Sequence[Any]) -> Shape:
    kinds = {type(value) for value in values}
    kind = kinds.pop() if len(kinds) == 1 else None
    note = ""
    if kind is str:
        schema = Schema(type=Type.STRING, enum=tuple(values))
    elif kind is int:
        note = f"One of {', '.join(map(str, values))}."  # the schema's enum has only strings
        schema = Schema(type=Type.INTEGER, description=note)
    else:
        raise Mismatch("the values of a Literal or Enum must be all strings, or all integers")
    check = _PLAIN[kind].check

    def check_choice(value: Any) -> Any:
        checked = check(value)
        if checked not in values:
            raise Mismatch(f"expected one of {', '.join(map(repr, values))}")
        return checked

    return Shape(schema, check_choice, note)


def _list(hint: Any, origin: Any, within: tuple[Any, ...]) -> Shape:
    options: list[Any] = list(get_args(hint))
    length: int | None = None
    if origin is tuple and options[-1:] == [Ellipsis]:
        options.pop()
    elif origin is tuple:
        length = len(options)
    if not options or any(option != options[0] for option in options):
        raise Mismatch("name one type for all items: list[str], tuple[float, float]")
    try:
        item = shape_of(options[0], within)
    except Mismatch as mismatch:
        raise at("items", mismatch) from None

    def check(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise expected("a list", value)
        if length is not None and len(value) != length:
            raise Mismatch(f"expected {length} items, got {len(value)}")
        return [_step(item.check, index, each) for index, each in enumerate(value)]

    return Shape(Schema(type=Type.ARRAY, items=item.schema, min_items=length, max_items=length), check)


def _mapping(hint: Any, within: tuple[Any, ...]) -> Shape:
    key, value = get_args(hint) or (str, Any)
    if key is not str:
        raise Mismatch("the keys of a JSON object are strings: dict[str, ...]")
    # The values' type is checked but not declared: additionalProperties makes 2.x models end the session.
    check = (lambda each: each) if value in (Any, object) else shape_of(value, within).check
    return Shape(
        Schema(type=Type.OBJECT),
        lambda value: {name: _step(check, name, each) for name, each in _read_object(value).items()},
    )


def _members(cls: type[Any]) -> list[_Member] | None:
    """The fields of a dataclass, attrs class or TypedDict, or None for another class."""
    required: dict[str, bool]
    if attrs.has(cls):
        required = {field.name: field.default is attrs.NOTHING for field in attrs.fields(cls) if field.init}
    elif dataclasses.is_dataclass(cls):
        # If a field has neither, both attributes are the same marker.
        required = {
            field.name: field.default is field.default_factory for field in dataclasses.fields(cls) if field.init
        }
    elif typing.is_typeddict(cls):
        required = dict.fromkeys(_hints(cls), False) | dict.fromkeys(cls.__required_keys__, True)
    else:
        return None
    hints = _hints(cls)
    # With postponed annotations, __required_keys__ ignores Required and NotRequired.
    wrappers = {name: get_origin(hint) for name, hint in hints.items()}
    return [
        _Member(name, hints[name], wrappers[name] is Required or (needed and wrappers[name] is not NotRequired))
        for name, needed in required.items()
    ]


def _hints(cls: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError) as error:
        why = f"the type hints of {cls.__name__} cannot be resolved: {error}"
    raise Mismatch(why)


def _object(cls: Any, members: list[_Member], within: tuple[Any, ...]) -> Shape:
    if cls in within:
        raise Mismatch(f"{cls.__name__} contains itself; the service does not accept recursive schemas")
    generated = (cls.__doc__ or "").startswith(f"{cls.__name__}(")  # by dataclass
    description, items = read_docstring(None if generated else cls.__doc__)
    shapes: dict[str, Shape] = {}
    for name, hint, _ in members:
        try:
            shapes[name] = described(hint, shape_of(hint, (*within, cls)), items.get(name, ""))
        except Mismatch as mismatch:
            raise at(name, mismatch) from None
    required = frozenset(name for name, _, needed in members if needed)
    schema = Schema(
        type=Type.OBJECT,
        description=description or None,
        properties={name: shape.schema for name, shape in shapes.items()} or None,
        required=tuple(name for name, _, needed in members if needed),
    )
    return Shape(schema, object_check({name: shape.check for name, shape in shapes.items()}, required))


def object_check(checks: Mapping[str, Hook], required: frozenset[str]) -> Callable[[Any], dict[str, Any]]:
    """Return a check for an object with these members and no others."""

    def check(value: Any) -> dict[str, Any]:
        members = dict(_read_object(value))
        for name in members:
            if name not in checks:
                raise at(name, Mismatch(f"unknown name; known names are {', '.join(checks) or 'none'}"))
        for name in checks:
            if name in required and name not in members:
                raise at(name, Mismatch("it is required"))
        return {name: _step(checks[name], name, each) for name, each in members.items()}

    return check


def _read_object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise expected("an object", value)
    return value


def _step(check: Hook, step: str | int, value: Any) -> Any:
    try:
        return check(value)
    except Mismatch as mismatch:
        raise at(step, mismatch) from None
