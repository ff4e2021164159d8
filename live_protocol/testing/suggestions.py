"""Advice for people who mistyped a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["suggest"]


def suggest(name: str, names: Iterable[str]) -> str:
    """Advice for a name that is not one of these."""
    known = list(names)
    close = difflib.get_close_matches(name, known, n=2)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"there are {', '.join(known)}"
