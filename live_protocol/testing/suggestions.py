"""Suggestions for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(name: str, names: Iterable[str]) -> str:
    """Return the names most like this one, or all of them, as a sentence."""
    options = list(names)
    close = difflib.get_close_matches(name, options, n=2)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"there are {', '.join(options)}"
