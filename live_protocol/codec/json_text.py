"""Strict JSON, its depth, and the layouts in which the known writers put it on the wire."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, cast

MAX_DEPTH: Final = 128
"""Levels of nesting allowed by default."""

# The closing quote is optional, or a text of unclosed strings would take quadratic time.
_BRACKETS: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)

compact: partial[str] = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))


def _indented(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


# The known writers: this library and the JavaScript SDK, the same in ASCII, the Python SDK, the service. A trace names
# the layout instead of keeping the text as well, which keeps it exact, small and legible.
JSON_LAYOUTS: Final[Mapping[str, Callable[[object], str]]] = {
    "compact": compact,
    "ascii": partial(json.dumps, separators=(",", ":")),
    "spaced": json.dumps,
    "indented": _indented,
}


def too_deep_at(text: str, levels: int) -> int | None:
    """The offset of the first bracket that nests deeper than allowed, in characters; None if there is none."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += bool(match[1]) - bool(match[2])
        if depth > levels:
            return match.start()
    return None


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits)


def parse_object(text: str, levels: int = MAX_DEPTH) -> tuple[dict[str, Any] | None, bool]:
    """The JSON object, or None for anything else, and whether a key repeats, which a dict cannot show."""
    repeats = False

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        value = dict(pairs)
        repeats = repeats or len(value) < len(pairs)
        return value

    value: object = None
    if too_deep_at(text, levels) is None:  # the parser's own bound depends on the caller's stack
        with contextlib.suppress(ValueError):
            value = json.loads(text, object_pairs_hook=build, parse_constant=_refuse, parse_float=_finite)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None, repeats


def decode_text(data: bytes) -> str | None:
    """The text, or None if it is not UTF-8; an exception would hold the data."""
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
