"""Reads descriptions from docstrings in Google, NumPy and reStructuredText style."""

from __future__ import annotations

import inspect
import re
from typing import Final, NamedTuple

# fmt: off
_ITEMS: Final = frozenset({
    "args", "arguments", "attributes", "keyword args", "keyword arguments", "other parameters", "parameters", "params",
})
_OTHERS: Final = frozenset({
    "example", "examples", "methods", "note", "notes", "raises", "references", "return", "returns", "see also", "todo",
    "warning", "warnings", "warns", "yield", "yields",
})
# fmt: on
_RULE: Final = re.compile(r"-{3,}")
_FIELD: Final = re.compile(r":(\w+)(?:\s+([^:]*))?:\s*(.*)")
_FIELD_ITEMS: Final = frozenset({"param", "parameter", "arg", "argument", "key", "keyword", "ivar", "var", "attribute"})
_GOOGLE_ITEM: Final = re.compile(r"\*{0,2}(\w+)\s*(?:\(.*?\))?\s*:\s*(.*)")
_NUMPY_ITEM: Final = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")


class Docstring(NamedTuple):
    """The parts of a docstring.

    Attributes:
        description: The text before the first section; may be empty.
        items: Description of each argument or attribute, by name.
    """

    description: str
    items: dict[str, str]


class _Reader:
    """Reads line by line and skips what it does not recognize: a docstring is prose and cannot be wrong."""

    def __init__(self) -> None:
        self.description: list[str] = []
        self.items: dict[str, list[str]] = {}
        self._mode = self._text
        self._current: list[str] = []
        self._indent = 0

    def line(self, line: str, following: str) -> None:
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if indent == 0 and text and self._begins(text, following.strip()):
            return
        self._mode(text, indent)

    def _begins(self, text: str, following: str) -> bool:
        title = text.removesuffix(":").lower()
        numpy = bool(_RULE.fullmatch(following))
        if _RULE.fullmatch(text) and self._mode in (self._numpy, self._skip):
            return True
        if (numpy or text.endswith(":")) and title in _ITEMS:
            self._mode = self._numpy if numpy else self._google
            self._current, self._indent = [], 0
            return True
        if (numpy or text.endswith(":")) and title in _OTHERS:
            self._mode = self._skip
            return True
        if field := _FIELD.fullmatch(text):
            kind, name, rest = field.groups()
            self._mode = self._field if kind in _FIELD_ITEMS and name else self._skip
            if self._mode == self._field:
                self._current = self.items[name.split()[-1].lstrip("*")] = [rest]
            return True
        return False

    def _text(self, text: str, indent: int) -> None:
        self.description.append(" " * indent + text if text else "")

    def _skip(self, text: str, indent: int) -> None:
        pass

    def _google(self, text: str, indent: int) -> None:
        if not text:
            return
        if indent == 0:
            self._mode = self._text
            self._text(text, indent)
            return
        self._indent = self._indent or indent
        item = _GOOGLE_ITEM.fullmatch(text) if indent <= self._indent else None
        if item:
            self._current = self.items[item[1]] = [item[2]]
        else:
            self._current.append(text)

    def _numpy(self, text: str, indent: int) -> None:
        if indent:
            self._current.append(text)
        elif item := _NUMPY_ITEM.fullmatch(text):
            self._current = []
            for name in item[1].split(","):
                self.items[name.strip().lstrip("*")] = self._current

    def _field(self, text: str, indent: int) -> None:
        if indent:
            self._current.append(text)
        elif text:
            self._mode = self._text
            self._text(text, indent)


def read_docstring(docstring: object) -> Docstring:
    """Read a docstring; the styles may be mixed."""
    lines = inspect.cleandoc(docstring if isinstance(docstring, str) else "").splitlines()
    reader = _Reader()
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        reader.line(line, following)
    items = {name: " ".join(piece for piece in pieces if piece) for name, pieces in reader.items.items()}
    return Docstring("\n".join(reader.description).strip(), items)
