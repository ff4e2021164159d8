"""Holds what a client sent against what a playbook asks for, and shows both as JSON."""

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

__all__ = ["Comparison", "Exactly", "brief", "diff", "shown"]

_MAX_TEXT: Final = 200  # characters of a string that a report shows
_MAX_BRIEF: Final = 60
_MAX_MISMATCHES: Final = 8
_ABSENT: Final = (None, ())


@attrs.frozen
class Exactly:
    """The whole of a recorded message: nothing may be missing or more; media and what was redacted may differ.

    Attributes:
        value: The message, as `shown` gives it.
    """

    value: Any


def _fields(message: Any) -> tuple[Field, ...]:
    cls: type = type(message)
    return fields(cls)


def _is_secret(message: Any, name: str) -> bool:
    """Whether a field is one that no report may show."""
    cls: type = type(message)
    return attrs.fields_dict(cls)[name].repr is False


# --- showing ----------------------------------------------------------------------------------------------------


def shown(value: Any) -> Any:
    """A value as JSON for people: wire keys, media by their size, long strings cut."""
    if attrs.has(type(value)):
        made = {
            field.json: shown(member)
            for field in _fields(value)
            if (member := getattr(value, field.name)) not in _ABSENT
        }
        return made | shown(getattr(value, "extra", {}))
    if isinstance(value, Mapping):
        return {str(key): shown(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
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


def _wanted(pattern: Any) -> Any:
    """What is asked for, as JSON for people."""
    if isinstance(pattern, EllipsisType):
        return "<anything>"
    if isinstance(pattern, re.Pattern):
        return f"<like {pattern.pattern!r}>"
    if isinstance(pattern, type):
        return f"<{pattern.__name__}>"
    if isinstance(pattern, Mapping):
        return {str(key): _wanted(member) for key, member in pattern.items() if member is not None}
    if isinstance(pattern, (list, tuple)):
        return [_wanted(item) for item in pattern]
    if callable(pattern):
        return f"<{getattr(pattern, '__qualname__', 'predicate').replace('<lambda>', 'predicate').rpartition('.')[2]}>"
    return shown(pattern)


def brief(pattern: Any) -> str:
    """A pattern in a few words."""
    text = redact_tokens(json.dumps(_wanted(pattern), ensure_ascii=False, default=repr))
    return text if len(text) <= _MAX_BRIEF else f"{text[:_MAX_BRIEF]}..."


def diff(expected: Mapping[str, Any], received: Mapping[str, Any]) -> str:
    """A unified diff of two JSON objects, without secrets; empty where they look the same."""
    scrubber = Scrubber(())  # one for both, so that different handles stay different

    def lines(side: Mapping[str, Any]) -> list[str]:
        value = scrubber.message(dict(side))
        return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=repr).splitlines()

    return "\n".join(difflib.unified_diff(lines(expected), lines(received), "expected", "received", lineterm=""))


# --- comparing --------------------------------------------------------------------------------------------------


class Comparison:
    """One attempt to match; `expected` gives what would have matched, as JSON for people.

    Patterns: ``...`` is anything but absence, None is absence, a type is an instance, a compiled expression is
    searched for in text, a mapping or message is matched member by member (members it does not name may be anything),
    a list item by item, any other callable is asked, everything else has to be equal.

    Attributes:
        mismatches: What did not match, with paths.
    """

    def __init__(self) -> None:
        self.mismatches: list[str] = []

    @property
    def report(self) -> list[str]:
        """The first misfits, and how many more there are."""
        more = len(self.mismatches) - _MAX_MISMATCHES
        return self.mismatches[:_MAX_MISMATCHES] + ([f"and {more} more"] if more > 0 else [])

    def expected(self, pattern: Any, value: Any, path: str) -> Any:
        """Compare; gives the JSON of the value where it matches, and of the pattern where it does not."""
        if isinstance(pattern, Exactly):
            return self._exactly(pattern.value, shown(value), path)
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
        if fits:
            return shown(value)
        wanted = _wanted(pattern)
        self.mismatches.append(f"{path}: {problem or f'expected {_said(wanted)}, got {_said(shown(value))}'}")
        return wanted

    def _members(self, pattern: Mapping[Any, Any], value: Any, path: str) -> Any:
        if attrs.has(type(value)):
            known = {key: field for field in _fields(value) for key in (field.json, field.json_vertex, field.name)}
            extra: Mapping[str, Any] = getattr(value, "extra", {})
        elif isinstance(value, Mapping):
            known, extra = {}, value
        else:
            return self._other(pattern, value, path)
        result: dict[str, Any] = shown(value)
        for key, wanted in pattern.items():
            if key == "extra" and extra is not value:  # unknown fields, which stand beside the others on the wire
                made = self.expected(wanted, extra, f"{path}.extra")
                result |= made if isinstance(made, dict) else {}
                continue
            field = known.get(key)
            name, member = (field.json, getattr(value, field.name)) if field else (str(key), extra.get(key))
            where = f"{path}.{field.name if field else key}"
            seen = len(self.mismatches)
            made = self.expected(wanted, member, where)
            if len(self.mismatches) > seen and field is not None and _is_secret(value, field.name):
                self.mismatches[seen:] = [f"{where}: is not as expected"]
            if made in _ABSENT or wanted is None:
                result.pop(name, None)
            else:
                result[name] = made
        return result

    def _items(self, pattern: Sequence[Any], value: Any, path: str) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(pattern):
            return self._other(pattern, value, path)
        return [
            self.expected(wanted, item, f"{path}[{at}]")
            for at, (wanted, item) in enumerate(zip(pattern, value, strict=True))
        ]

    def _other(self, pattern: Any, value: Any, path: str) -> Any:
        wanted = _wanted(pattern)
        self.mismatches.append(f"{path}: expected {_said(wanted)}, got {_said(shown(value))}")
        return wanted

    def _exactly(self, wanted: Any, value: Any, path: str) -> Any:
        if isinstance(wanted, dict) and isinstance(value, dict):
            result: dict[str, Any] = {}
            for key in [*wanted, *(key for key in value if key not in wanted)]:
                if key not in wanted:
                    self.mismatches.append(f"{path}.{key}: not expected, got {_said(value[key])}")
                else:
                    result[key] = self._exactly(wanted[key], value.get(key), f"{path}.{key}")
            return result
        if isinstance(wanted, list) and isinstance(value, list) and len(wanted) == len(value):
            return [self._exactly(*pair, f"{path}[{at}]") for at, pair in enumerate(zip(wanted, value, strict=True))]
        if wanted == value or _is_media(wanted, value) or _is_redacted(wanted, value):
            return value
        self.mismatches.append(f"{path}: expected {_said(wanted)}, got {_said(value)}")
        return wanted


def _said(value: Any) -> str:
    if value is None:
        return "nothing"
    text = redact_tokens(json.dumps(value, ensure_ascii=False, default=repr))
    return text if len(text) <= 2 * _MAX_BRIEF else f"{text[: 2 * _MAX_BRIEF]}..."


def _is_media(wanted: Any, value: Any) -> bool:
    return all(isinstance(side, str) and re.fullmatch(r"<[0-9]+ bytes>", side) for side in (wanted, value))


def _is_redacted(wanted: Any, value: Any) -> bool:
    return isinstance(wanted, str) and isinstance(value, str) and wanted.startswith(REDACTED)


def _fits(pattern: Any, value: Any) -> tuple[bool, str]:
    """Whether a single value is what was asked for, and what to say where that is not obvious."""
    absent = value in _ABSENT if not isinstance(value, (bytes, bytearray, memoryview)) else False
    if pattern is None or isinstance(pattern, EllipsisType):
        return absent is (pattern is None), ""
    if isinstance(pattern, bool):
        if attrs.has(type(value)) or isinstance(value, (Mapping, list, tuple)):
            return pattern is not absent, ""  # markers such as activityStart are empty objects
        return pattern is bool(value) and isinstance(value, (bool, type(None))), ""
    if isinstance(pattern, type):
        return isinstance(value, pattern), ""
    if isinstance(pattern, re.Pattern):
        return isinstance(value, str) and pattern.search(value) is not None, ""
    if isinstance(pattern, str) and not isinstance(value, str):
        return _means(pattern, value), ""
    if not callable(pattern):
        return bool(pattern == value), ""
    try:
        return bool(pattern(value)), ""
    except Exception as error:
        return False, f"the predicate raised {type(error).__name__}: {error}"


def _means(pattern: str, value: Any) -> bool:
    """Whether a text is the wire form of a value: base64, a duration, an integer, a time."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return wire_base64.decode(pattern) == value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return pattern in (str(value), f"{value:g}", f"{value:g}s")
    return isinstance(value, datetime) and value.isoformat() == pattern.replace("Z", "+00:00")
