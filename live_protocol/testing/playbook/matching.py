"""Compares messages with the patterns of a playbook, and shows both as JSON.

Theory of operation. A comparison has two results. One is a list of mismatches, each with its path. The other is the
`expected` JSON: the received value wherever it matches, and the pattern wherever it does not. A unified diff of
`expected` and received therefore shows the mismatches and nothing else, however little of the message the pattern
names. `Comparison.expected` walks pattern and value together and builds both.

Values are compared as Python objects: fields under any of their spellings, times, bytes, enums. Reports use `readable`,
a JSON form without media, with long strings cut. `Exactly` compares two such forms, since a recording
has lost its media and its secrets. Nothing secret reaches a report: mismatches of fields without a repr name only
their path, and `diff` scrubs both sides.
"""

from __future__ import annotations

import difflib
import enum
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import EllipsisType
from typing import Any, Final

import attrs

from live_protocol._redaction import REDACTED, redact_tokens
from live_protocol.codec import wire_base64
from live_protocol.codec.schema import Field, fields
from live_protocol.recording.scrubber import Scrubber

_MAX_TEXT: Final = 200  # characters of a string that a report shows
_MAX_BRIEF: Final = 60
_MAX_MISMATCHES: Final = 8
_ABSENT: Final = (None, ())


@attrs.frozen
class Exactly:
    """Matches a whole recorded message: no member may be missing or extra. Media and redacted values may differ.

    Attributes:
        value: The message, as `readable` returns it.
    """

    value: Any


def _fields(message: Any) -> tuple[Field, ...]:
    cls: type = type(message)
    return fields(cls)


def _is_secret(message: Any, name: str) -> bool:
    """Whether reports must not show this field."""
    cls: type = type(message)
    return attrs.fields_dict(cls)[name].repr is False


# --- showing ----------------------------------------------------------------------------------------------------


def readable(value: Any) -> Any:
    """A value as JSON for people: with wire keys, media as their size, long strings cut."""
    if attrs.has(type(value)):
        members = {
            field.json: readable(member)
            for field in _fields(value)
            if (member := getattr(value, field.name)) not in _ABSENT
        }
        return members | readable(getattr(value, "extra", {}))
    if isinstance(value, Mapping):
        return {str(key): readable(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [readable(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        return f"{value[:_MAX_TEXT]}... ({len(value)} characters)"
    return value


def _readable_pattern(pattern: Any) -> Any:
    """A pattern as JSON for people."""
    if isinstance(pattern, EllipsisType):
        return "<anything>"
    if isinstance(pattern, re.Pattern):
        return f"<like {pattern.pattern!r}>"
    if isinstance(pattern, type):
        return f"<{pattern.__name__}>"
    if isinstance(pattern, Mapping):
        return {str(key): _readable_pattern(member) for key, member in pattern.items() if member is not None}
    if isinstance(pattern, (list, tuple)):
        return [_readable_pattern(item) for item in pattern]
    if callable(pattern):
        return f"<{getattr(pattern, '__qualname__', 'predicate').replace('<lambda>', 'predicate').rpartition('.')[2]}>"
    return readable(pattern)


def brief(pattern: Any) -> str:
    """A pattern as one short line."""
    text = redact_tokens(json.dumps(_readable_pattern(pattern), ensure_ascii=False, default=repr))
    return text if len(text) <= _MAX_BRIEF else f"{text[:_MAX_BRIEF]}..."


def diff(expected: Mapping[str, Any], received: Mapping[str, Any]) -> str:
    """A unified diff of two JSON objects, without secrets; empty if they look the same."""
    scrubber = Scrubber(())  # shared, so that two different handles still differ

    def lines(side: Mapping[str, Any]) -> list[str]:
        value = scrubber.message(dict(side))
        return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=repr).splitlines()

    return "\n".join(difflib.unified_diff(lines(expected), lines(received), "expected", "received", lineterm=""))


# --- comparing --------------------------------------------------------------------------------------------------


class Comparison:
    """One comparison. The package's docstring lists the patterns.

    Attributes:
        mismatches: The mismatches, each with its path.
    """

    def __init__(self) -> None:
        self.mismatches: list[str] = []

    @property
    def report(self) -> list[str]:
        """The first mismatches, and the number of the others."""
        more = len(self.mismatches) - _MAX_MISMATCHES
        return self.mismatches[:_MAX_MISMATCHES] + ([f"and {more} more"] if more > 0 else [])

    def expected(self, pattern: Any, value: Any, path: str) -> Any:
        """Compare, and return a JSON value that would have matched."""
        if isinstance(pattern, Exactly):
            return self._exactly(pattern.value, readable(value), path)
        if attrs.has(type(pattern)):
            pattern = {
                field.name: member
                for field in _fields(pattern)
                if (member := getattr(pattern, field.name)) not in _ABSENT
            }
        if isinstance(pattern, Mapping):
            return self._members(pattern, value, path)
        if isinstance(pattern, (list, tuple)):
            return self._items(pattern, value, path)
        fits, problem = _fits(pattern, value)
        return readable(value) if fits else self._mismatch(pattern, value, path, problem)

    def _members(self, pattern: Mapping[Any, Any], value: Any, path: str) -> Any:
        if attrs.has(type(value)):
            spellings = {key: field for field in _fields(value) for key in (field.json, field.json_vertex, field.name)}
            extra: Mapping[str, Any] = getattr(value, "extra", {})
        elif isinstance(value, Mapping):
            spellings, extra = {}, value
        else:
            return self._mismatch(pattern, value, path)
        result: dict[str, Any] = readable(value)
        for key, wanted in pattern.items():
            if key == "extra" and extra is not value:  # unknown fields; on the wire they are members like the others
                unknown = self.expected(wanted, extra, f"{path}.extra")
                result |= unknown if isinstance(unknown, dict) else {}
                continue
            field = spellings.get(key)
            name, member = (field.json, getattr(value, field.name)) if field else (str(key), extra.get(key))
            where = f"{path}.{field.name if field else key}"
            before = len(self.mismatches)
            matching = self.expected(wanted, member, where)
            if len(self.mismatches) > before and field is not None and _is_secret(value, field.name):
                self.mismatches[before:] = [f"{where}: is not as expected"]
            if matching in _ABSENT or wanted is None:
                result.pop(name, None)
            else:
                result[name] = matching
        return result

    def _items(self, pattern: Sequence[Any], value: Any, path: str) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(pattern):
            return self._mismatch(pattern, value, path)
        return [
            self.expected(wanted, item, f"{path}[{at}]")
            for at, (wanted, item) in enumerate(zip(pattern, value, strict=True))
        ]

    def _mismatch(self, pattern: Any, value: Any, path: str, problem: str = "") -> Any:
        wanted = _readable_pattern(pattern)
        problem = problem or f"expected {_in_words(wanted)}, got {_in_words(readable(value))}"
        self.mismatches.append(f"{path}: {problem}")
        return wanted

    def _exactly(self, wanted: Any, value: Any, path: str) -> Any:
        if isinstance(wanted, dict) and isinstance(value, dict):
            result: dict[str, Any] = {}
            for key in [*wanted, *(key for key in value if key not in wanted)]:
                if key not in wanted:
                    self.mismatches.append(f"{path}.{key}: not expected, got {_in_words(value[key])}")
                else:
                    result[key] = self._exactly(wanted[key], value.get(key), f"{path}.{key}")
            return result
        if isinstance(wanted, list) and isinstance(value, list) and len(wanted) == len(value):
            return [self._exactly(*pair, f"{path}[{at}]") for at, pair in enumerate(zip(wanted, value, strict=True))]
        if wanted == value or _is_media(wanted, value) or _is_redacted(wanted, value):
            return value
        self.mismatches.append(f"{path}: expected {_in_words(wanted)}, got {_in_words(value)}")
        return wanted


def _in_words(value: Any) -> str:
    if value is None:
        return "nothing"
    text = redact_tokens(json.dumps(value, ensure_ascii=False, default=repr))
    return text if len(text) <= 2 * _MAX_BRIEF else f"{text[: 2 * _MAX_BRIEF]}..."


def _is_media(wanted: Any, value: Any) -> bool:
    return all(isinstance(side, str) and re.fullmatch(r"<[0-9]+ bytes>", side) for side in (wanted, value))


def _is_redacted(wanted: Any, value: Any) -> bool:
    return isinstance(wanted, str) and isinstance(value, str) and wanted.startswith(REDACTED)


def _fits(pattern: Any, value: Any) -> tuple[bool, str]:
    """Whether a value matches a pattern for one value, and the problem if "expected, got" does not say it."""
    absent = value in _ABSENT if not isinstance(value, (bytes, bytearray, memoryview)) else False
    if pattern is None or isinstance(pattern, EllipsisType):
        return absent is (pattern is None), ""
    if isinstance(pattern, bool):
        if attrs.has(type(value)) or isinstance(value, (Mapping, list, tuple)):
            return pattern is not absent, ""  # a marker such as activityStart is an empty object
        return pattern is bool(value) and isinstance(value, (bool, type(None))), ""
    if isinstance(pattern, type):
        return isinstance(value, pattern), ""
    if isinstance(pattern, re.Pattern):
        return isinstance(value, str) and pattern.search(value) is not None, ""
    if isinstance(pattern, str) and not isinstance(value, str):
        return _is_wire_form(pattern, value), ""
    if not callable(pattern):
        return bool(pattern == value), ""
    try:
        return bool(pattern(value)), ""
    except Exception as error:
        return False, f"the predicate raised {type(error).__name__}: {error}"


def _is_wire_form(pattern: str, value: Any) -> bool:
    """Whether a text is the wire form of a value: base64, a duration, an integer or a time."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return wire_base64.decode(pattern) == value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return pattern in (str(value), f"{value:g}", f"{value:g}s")
    return isinstance(value, datetime) and value.isoformat() == pattern.replace("Z", "+00:00")
