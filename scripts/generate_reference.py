"""Writes docs/reference/api.md from the docstrings of public names: `python scripts/generate_reference.py`."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "reference" / "api.md"
PACKAGES = {"live_protocol": ROOT / "live_protocol", "live_transports": ROOT / "transports" / "live_transports"}

_SOURCES = re.compile(r" \((?:wire\.md|RFC \d+)[^)]*\)")
"""Where a statement is from: for those who read the docstrings."""

INNER = {"live_protocol.emulator"}
"""Modules inside of packages that have names which the package does not hand on."""

HEAD = """\
# All public names

Generated from the docstrings, which have the rest: arguments, units, errors. A name that its package exports stands
there only. The classes of `live_protocol.messages` have the official names of the wire.
"""


def modules() -> Iterator[str]:
    """Names of all public modules, each package before what is in it."""
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [part for part in path.relative_to(folder).with_suffix("").parts if part != "__init__"]
            name = ".".join((package, *parts))
            if not any(part.startswith("_") for part in parts) and (len(parts) < 2 or name in INNER):
                yield name


def first_sentence(text: str) -> str:
    """The summary of a docstring, on one line of a table."""
    line = " ".join(text.strip().partition("\n\n")[0].split())
    return _SOURCES.sub("", line).replace("|", "\\|")


@cache
def source(module: str) -> list[ast.stmt]:
    """The statements of a module."""
    return ast.parse(inspect.getsource(importlib.import_module(module))).body


@cache
def notes(module: str) -> dict[str, str]:
    """The strings that stand under a module's assignments."""
    found: dict[str, str] = {}
    for statement, after in itertools.pairwise(source(module)):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
        if isinstance(target, ast.Name) and isinstance(text, str):
            found[target.id] = text
    return found


@cache
def origin(module: str, name: str) -> str:
    """The module that defines a name, where ``module`` may only hand it on."""
    for node in source(module):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in PACKAGES:
            for alias in node.names:
                exported = alias.name == "*" and name in importlib.import_module(node.module).__all__
                if (exported or (alias.asname or alias.name) == name) and node.module != module:
                    return origin(node.module, name if exported else alias.name)
    return module


def meaning(module: ModuleType, name: str) -> str:
    """What a name is, in a sentence."""
    value = getattr(module, name)
    if inspect.ismodule(value):
        return first_sentence(value.__doc__ or "")
    home = origin(module.__name__, name)
    if name in notes(home):
        return first_sentence(notes(home)[name])
    if inspect.isclass(value) or inspect.isroutine(value):
        return first_sentence(inspect.getdoc(value) or "")
    return ""


def tables() -> Iterator[str]:
    """One table a module."""
    told: set[tuple[str, str]] = set()
    for path in modules():
        module = importlib.import_module(path)
        rows = []
        for name in sorted(getattr(module, "__all__", ()), key=str.lower):
            where = (origin(path, name), name)
            if where in told:
                continue
            told.add(where)
            rows.append(f"| `{name}` | {meaning(module, name)} |")
        if rows:
            yield "\n".join((f"## {path}\n", f"{first_sentence(module.__doc__ or '')}\n", "| | |", "|---|---|", *rows))


def main() -> int:
    """Write the page, or compare it."""
    text = "\n\n".join((HEAD.rstrip(), *tables())) + "\n"
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{TARGET.name} is not what the docstrings say: python scripts/generate_reference.py\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
