"""JSON objects and the layouts in which the known writers put them on the wire."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, cast

__all__ = ["JSON_LAYOUTS", "MAX_DEPTH", "compact", "decode_text", "encode_text", "parse_object"]

MAX_DEPTH: Final = 128
# The closing quote is optional, or a text of unclosed strings would take quadratic time.
_BRACKETS: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)

compact = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))


def _indented(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


# How the known writers lay out their JSON: this library and the JavaScript SDK, the same in ASCII, the Python SDK,
# the service. Keeping the form instead of a second copy keeps traces exact, small and legible at once.
JSON_LAYOUTS: Final[Mapping[str, Callable[[object], str]]] = {
    "compact": compact,
    "ascii": partial(json.dumps, separators=(",", ":")),
    "spaced": json.dumps,
    "indented": _indented,
}


def _shallow(text: str, limit: int) -> bool:
    """Whether JSON nests within bounds: the parser's own bound depends on the caller's stack."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += bool(match[1]) - bool(match[2])
        if depth > limit:
            return False
    return True


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits)


def parse_object(text: str, limit: int = MAX_DEPTH) -> tuple[dict[str, Any] | None, bool]:
    """A JSON object, or None for anything else, and whether keys repeat, which a dict cannot show."""
    repeats = False

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        value = dict(pairs)
        repeats = repeats or len(value) < len(pairs)
        return value

    value: object = None
    if _shallow(text, limit):
        with contextlib.suppress(ValueError):
            value = json.loads(text, object_pairs_hook=build, parse_constant=_refuse, parse_float=_finite)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None, repeats


def decode_text(data: bytes) -> str | None:
    """The text, or None where it is not UTF-8; an exception would hold the data."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def encode_text(text: str) -> bytes | None:
    """The bytes, or None for a lone surrogate; an exception would hold the text."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None
