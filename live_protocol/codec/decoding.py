"""JSON objects to messages: cattrs hooks that read each message class by a table, compiled on first use."""

from __future__ import annotations

import difflib
import enum
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, TypeVar, cast, get_args, get_origin

import attrs
import cattrs

from live_protocol.codec import wire_base64
from live_protocol.codec.schema import Hook, Mismatch, expected, fields, is_enum, json_kind, or_text, plain
from live_protocol.errors import InvalidMessage
from live_protocol.messages.fields import Extra, Format

T = TypeVar("T")

AsMapping: TypeAlias = Callable[[object], Mapping[str, Any] | None]
"""Turns an object of a caller into the fields of a message; None for anything that has none."""

_DURATION: Final = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,9})?)s")
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
INT64: Final = 2**63
_MAX_NAME: Final = 100  # characters of an unknown name that an error shows


class InexactInteger(Exception):
    """A free-form value has a float so large that the text may have had an integer in its place."""


def read_str(value: Any) -> str:
    """A string; of a subclass its plain text."""
    if type(value) is str:
        return value
    if isinstance(value, str):  # such as an enum of another library, whose own str() may say more than its value
        return str.__str__(value)
    raise expected("a string", value)


def read_bool(value: Any) -> bool:
    """True or false."""
    if value is True or value is False:
        return value
    raise expected("true or false", value)


def read_int(value: Any) -> int:
    """An integer of 64 bits, from a number or from a string of digits."""
    # A float as large as 2**63 may have been an integer that the parser could not hold.
    whole = type(value) is float and value.is_integer() and abs(value) < INT64
    if whole or (type(value) is str and re.fullmatch(r"-?[0-9]{1,19}", value)):
        value = int(value)
    if type(value) is not int:
        raise expected("an integer", value)
    if not -INT64 <= value < INT64:
        raise Mismatch("the integer does not fit 64 bits")
    return value


def read_float(value: Any) -> float:
    """A finite number, from a number or from a string."""
    if type(value) is str:
        try:
            value = float(value)
        except ValueError:
            raise expected("a number", value) from None
    if type(value) not in (int, float):
        raise expected("a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Mismatch("the number is not finite")
    return number


def _read_bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    data = wire_base64.decode(read_str(value))
    if data is None:
        raise Mismatch("the string is not base64")
    return data


def _read_duration(value: Any) -> float:
    if type(value) in (int, float):  # seconds, as our own classes have them
        return read_float(value)
    match = _DURATION.fullmatch(read_str(value))
    if match is None:
        raise Mismatch('expected a duration such as "9.5s"')
    return float(match[1])


def _read_timestamp(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    match = _TIMESTAMP.fullmatch(read_str(value))
    if match is not None:
        day, clock, fraction, zone = match.groups()
        try:
            return datetime.fromisoformat(f"{day}T{clock}{(fraction or '')[:7]}{zone.upper()}")
        except ValueError:
            pass
    raise Mismatch('expected an RFC 3339 timestamp such as "2026-11-22T10:00:00Z"')


def _read_json(value: Any) -> Any:
    return value


def _read_json_exactly(value: Any) -> Any:
    if type(value) is float:
        if abs(value) >= INT64 and value.is_integer():
            raise InexactInteger
    elif type(value) is dict:
        for item in value.values():
            _read_json_exactly(item)
    elif type(value) is list:
        for item in value:
            _read_json_exactly(item)
    return value


def read_json_object(value: Any) -> Any:
    """An object, without a look at its members."""
    if isinstance(value, Mapping):
        return value
    raise expected("an object", value)


_READ_ANNOTATED: Final[Mapping[Format, Hook]] = {
    Format.INT64: read_int,
    Format.DURATION: _read_duration,
    Format.TIMESTAMP: _read_timestamp,
}
_READ_PLAIN: Final[Mapping[Any, Hook]] = {
    str: read_str,
    bool: read_bool,
    int: read_int,
    float: read_float,
    bytes: _read_bytes,
}


class _Options(NamedTuple):
    """How a converter reads; see `decoder`."""

    conv: cattrs.Converter
    json_value: Hook
    strict: bool
    as_mapping: AsMapping | None


def leaf_reader(hint: Any) -> Hook | None:
    """The reader of a value that holds no other, as the service writes it; None for messages, lists and free JSON."""
    alternatives = plain(hint)
    kind = alternatives[0]
    if is_enum(kind):
        return _enum_reader(kind)
    if get_origin(kind) is Annotated:
        return _READ_ANNOTATED.get(get_args(kind)[1])
    return _READ_PLAIN.get(kind)


def _reader(hint: Any, options: _Options) -> Hook:
    alternatives = plain(hint)
    if len(alternatives) == 2 and str in alternatives:  # an open enum, or text as a shorthand for a message
        other = alternatives[0] if alternatives[1] is str else alternatives[1]
        any_case = options.as_mapping is not None
        return _enum_reader(other, any_case=any_case) if is_enum(other) else or_text(_reader(other, options))
    hint = alternatives[0]
    if get_origin(hint) is Annotated:
        base, form = get_args(hint)
        if form is Format.JSON:
            json_value = options.json_value
            return json_value if base is Any else lambda value: json_value(read_json_object(value))
        return _READ_ANNOTATED[form]
    if get_origin(hint) is Sequence:
        return _list_reader(_reader(get_args(hint)[0], options), options)
    if get_origin(hint) is Mapping:
        return _map_reader(_reader(get_args(hint)[1], options))
    if hint in _READ_PLAIN:
        return _READ_PLAIN[hint]
    return cast("Hook", options.conv.get_structure_hook(hint))  # a `_message_reader`, which ignores the class


def _enum_reader(cls: type[enum.Enum], *, any_case: bool = False) -> Hook:
    members: dict[str, Any] = {member.value: member for member in cls}
    in_capitals = {name.upper(): member for name, member in members.items()} if any_case else {}

    def read(value: Any) -> Any:
        # Numbers are legal in proto3 JSON, but the service's are not published: keep them like unknown names.
        if type(value) is int and abs(value) < INT64:
            return str(value)
        text = read_str(value)
        return members.get(text) or in_capitals.get(text.upper(), text)

    return read


def _list_reader(read_item: Hook, options: _Options) -> Hook:
    advice = "; put it into one: [...]" if options.as_mapping else ""

    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise Mismatch(f"expected a list, got {json_kind(value)}{advice}")
        items: list[Any] = []
        try:
            for item in value:
                items.append(read_item(item))  # noqa: PERF401 - the length is the index of a bad item
        except Mismatch as mismatch:
            mismatch.steps.append(len(items))
            raise
        return items

    return read


def _map_reader(read_item: Hook) -> Hook:
    def read(value: Any) -> Any:
        items: dict[str, Any] = {}
        key: Any = ""
        try:
            for key, item in read_json_object(value).items():
                items[read_str(key)] = read_item(item)
        except Mismatch as mismatch:
            if key != "":
                mismatch.steps.append(str(key))
            raise
        return items

    return read


def _message_reader(cls: type, options: _Options) -> Callable[..., Any]:
    table: dict[str, tuple[str, Hook]] = {}
    strict, json_value = options.strict, options.json_value

    def compile_table() -> None:  # on first use, since messages may contain themselves
        for field in fields(cls):
            entry = (field.name, _reader(field.hint, options))
            for key in (field.json, field.json_vertex, field.name):
                table.setdefault(key, entry)

    def read(value: Any, _: Any = cls) -> Any:
        if type(value) is not dict and not isinstance(value, Mapping):  # nearly every value is a dict, a cheap test
            if isinstance(value, cls):
                return value
            if options.as_mapping is None:
                raise expected("an object", value)
            mapping = options.as_mapping(value)
            if mapping is None:
                raise expected(f"{cls.__name__} or a dict of its fields", value)
            value = mapping
        if not table:
            compile_table()
        members: dict[str, Any] = {}
        extra: Extra | None = None
        for key, item in value.items():
            entry = table.get(key)
            if entry is not None:
                if item is not None:
                    name, read_item = entry
                    try:
                        members[name] = read_item(item)
                    except Mismatch as mismatch:
                        mismatch.steps.append(name)
                        raise
            elif strict:
                raise _unknown(cls, str(key))
            elif extra is None:
                extra = Extra({key: json_value(item)})
            else:
                extra[key] = json_value(item)
        if extra is not None:
            members["extra"] = extra
        return cls(**members)

    return read


def _unknown(cls: type, key: str) -> Mismatch:
    names = [field.name for field in fields(cls)]
    key = key[:_MAX_NAME]  # a peer may send a name of many megabytes
    near = difflib.get_close_matches(re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower(), names, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"{cls.__name__} has no such field"
    return Mismatch(f"unknown field {key!r}; {advice}", unknown=key)


@functools.cache
def decoder(*, strict: bool, exact_integers: bool, as_mapping: AsMapping | None = None) -> cattrs.Converter:
    """The converter from JSON objects to messages.

    Args:
        strict: Refuse unknown fields.
        exact_integers: Raise `InexactInteger` if the parser may have lost digits of an integer in a free-form value.
        as_mapping: The values come from a caller: read its objects by this function, and enum names in any case.
    """
    conv = cattrs.Converter()
    options = _Options(conv, _read_json_exactly if exact_integers else _read_json, strict, as_mapping)
    conv.register_structure_hook_factory(attrs.has, lambda cls: _message_reader(cls, options))
    return conv


def from_dict(cls: type[T], value: Mapping[str, Any], path: str = "", *, as_mapping: AsMapping | None = None) -> T:
    """Build a message from a dict in snake_case or camelCase; unknown keys are refused.

    Args:
        cls: Class to build.
        value: The dict; it may contain messages.
        path: Path of the dict, for the error.
        as_mapping: As for `decoder`.

    Raises:
        InvalidMessage: A value does not fit; the error has its path.
    """
    try:
        return decoder(strict=True, exact_integers=False, as_mapping=as_mapping).structure(value, cls)
    except Mismatch as mismatch:
        failure = InvalidMessage(mismatch.path(path), mismatch.why)
    except RecursionError:
        failure = InvalidMessage(path, "it is nested too deeply, or contains itself")
    raise failure
