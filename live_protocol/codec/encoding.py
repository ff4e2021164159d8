"""Messages to JSON objects: cattrs hooks that write each message class by a table, compiled on first use."""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, get_args, get_origin

import attrs
import cattrs

from live_protocol.codec import wire_base64
from live_protocol.codec.decoding import read_bool, read_float, read_int, read_json_object, read_str
from live_protocol.codec.schema import Hook, Mismatch, at, expected, fields, json_kind, or_text, plain
from live_protocol.messages.fields import Backend, Format

_MAX_BITS: Final = 1024  # of an integer; parsers that read numbers as doubles see infinity beyond
_MAX_DURATION: Final = 315_576_000_000  # seconds, about 10,000 years: the bound of proto3 JSON


def _write_str(value: Any) -> str:
    return str(read_str(value.value if isinstance(value, enum.Enum) else value))


def _write_int64(value: Any) -> str:
    return str(_write_int(value))


def _write_int(value: Any) -> int:
    if type(value) is not int:
        raise expected("an integer", value)
    return read_int(value)


def _write_float(value: Any) -> float:
    if type(value) is str:
        raise expected("a number", value)
    read_float(value)
    return value  # type: ignore[no-any-return]  # an int stays an int, as the caller wrote it


def _write_bytes(value: Any) -> str:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise expected("bytes", value)
    return wire_base64.encode(value).decode()


def _write_duration(value: Any) -> str:
    if abs(_write_float(value)) > _MAX_DURATION:
        raise Mismatch(f"a duration is {_MAX_DURATION} s at most")
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return f"{text}s"


def _write_timestamp(value: Any) -> str:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise expected("a datetime with a time zone", value)
    try:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise Mismatch("in UTC this is outside the years 1 to 9999") from None


_WRITE_ANNOTATED: Final[Mapping[Format, Hook]] = {
    Format.INT64: _write_int64,
    Format.DURATION: _write_duration,
    Format.TIMESTAMP: _write_timestamp,
}
_WRITE_PLAIN: Final[Mapping[Any, Hook]] = {
    str: _write_str,
    bool: read_bool,
    int: _write_int,
    float: _write_float,
    bytes: _write_bytes,
}


def _json_writer(max_depth: int) -> Hook:
    def write(value: Any, levels_left: int = max_depth) -> Any:
        if value is None or type(value) in (str, bool):
            return value
        if type(value) is int:
            if value.bit_length() > _MAX_BITS:
                raise Mismatch("the integer is larger than any parser accepts")
            return value
        if isinstance(value, str):
            return str.__str__(value)  # a string enum has a str() of its own
        if type(value) is float:
            if math.isfinite(value):
                return value
            raise Mismatch("JSON has no NaN and no infinity")
        if not levels_left:
            raise Mismatch(f"nested deeper than {max_depth} levels")
        if isinstance(value, Mapping):
            members: dict[str, Any] = {}
            for key, item in value.items():
                if type(key) is not str:
                    raise Mismatch(f"a JSON key must be a string, not {json_kind(key)}")
                members[key] = _step(write, key, item, levels_left - 1)
            return members
        if isinstance(value, (list, tuple)):
            return [_step(write, index, item, levels_left - 1) for index, item in enumerate(value)]
        raise expected("a JSON value", value)

    return write


def _step(write: Callable[..., Any], step: str | int, item: Any, *args: int) -> Any:
    try:
        return write(item, *args)
    except Mismatch as mismatch:
        raise at(step, mismatch) from None


def _writer(hint: Any, conv: cattrs.Converter, json_value: Hook) -> Hook:
    alternatives = plain(hint)
    if str in alternatives:  # text, an open enum, or text as a shorthand for a message
        messages = [alternative for alternative in alternatives if attrs.has(alternative)]
        return or_text(_writer(messages[0], conv, json_value)) if messages else _write_str
    hint = alternatives[0]
    if get_origin(hint) is Annotated:
        base, form = get_args(hint)
        if form is Format.JSON:
            return json_value if base is Any else lambda value: json_value(read_json_object(value))
        return _WRITE_ANNOTATED[form]
    if get_origin(hint) is Sequence:
        return _list_writer(_writer(get_args(hint)[0], conv, json_value))
    if get_origin(hint) is Mapping:
        return _map_writer(_writer(get_args(hint)[1], conv, json_value))
    if hint in _WRITE_PLAIN:
        return _WRITE_PLAIN[hint]
    return conv.get_unstructure_hook(hint)


def _list_writer(write: Hook) -> Hook:
    def write_list(value: Any) -> Any:
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray)):
            raise expected("a list", value)
        return [_step(write, index, item) for index, item in enumerate(value)]

    return write_list


def _map_writer(write: Hook) -> Hook:
    def write_map(value: Any) -> Any:
        return {_write_str(key): _step(write, str(key), item) for key, item in read_json_object(value).items()}

    return write_map


def _message_writer(cls: type, conv: cattrs.Converter, backend: Backend, sender: str, json_value: Hook) -> Hook:
    table: list[tuple[str, str, Hook, bool]] = []

    def refuse(_: Any) -> Any:
        other = Backend.VERTEX if backend is Backend.GEMINI else Backend.GEMINI
        raise Mismatch(f"only the {other.value} backend takes this field; leave it out on {backend.value}")

    def compile_table() -> None:  # on first use, since messages may contain themselves
        for field in fields(cls):
            key = field.json_vertex if backend is Backend.VERTEX else field.json
            refused = sender == "client" and field.only not in (None, backend)
            write = refuse if refused else _writer(field.hint, conv, json_value)
            table.append((field.name, key, write, field.required))

    def write_message(value: Any) -> Any:
        if not isinstance(value, cls):
            raise Mismatch(f"expected {cls.__name__}, got {json_kind(value)}")
        if not table:
            compile_table()
        members: dict[str, Any] = {}
        for name, key, write, required in table:
            item = getattr(value, name)
            if item is None or (type(item) is tuple and not item):
                if required:
                    raise at(name, Mismatch("this field is required"))
                continue
            try:
                members[key] = write(item)
            except Mismatch as mismatch:
                raise at(name, mismatch) from None
        if extra := value.extra:  # type: ignore[attr-defined]  # every message class has it
            for key, item in json_value(read_json_object(extra)).items():
                members.setdefault(key, item)
        return members

    return write_message


@functools.cache
def converter(backend: Backend, sender: str, max_depth: int) -> cattrs.Converter:
    """The converter from messages to JSON objects in the dialect of a backend.

    Args:
        backend: Whose dialect; a client's message with a field of the other backend is refused.
        sender: ``"client"`` or ``"server"``.
        max_depth: Nesting allowed in free-form values, in levels.
    """
    conv = cattrs.Converter()
    json_value = _json_writer(max_depth)
    conv.register_unstructure_hook_factory(
        attrs.has, lambda cls: _message_writer(cls, conv, backend, sender, json_value)
    )
    return conv
