"""The rooms stay few, and each has a face that tells a stranger where to begin."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import live_protocol
import live_transports

PACKAGE = Path(live_protocol.__file__).parent
ADAPTERS = Path(live_transports.__file__).parent
FACES = sorted(PACKAGE.glob("*/**/__init__.py"))


def room_of(face: Path) -> str:
    return face.parent.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize(("folder", "most"), [(PACKAGE, 26), (ADAPTERS, 14)], ids=["live_protocol", "live_transports"])
def test_a_package_fits_on_one_screen(folder: Path, most: int) -> None:
    entries = [entry.name for entry in folder.iterdir() if entry.name != "__pycache__"]
    assert len(entries) <= most


def test_no_module_inside_a_room_begins_with_an_underscore() -> None:
    modules = [path for package in (PACKAGE, ADAPTERS) for path in package.glob("*/**/*.py")]
    assert len(modules) > 100
    assert [path for path in modules if path.name.startswith("_") and not path.name.startswith("__")] == []


@pytest.mark.parametrize("face", FACES, ids=room_of)
def test_the_face_of_a_room_holds_names_and_nothing_else(face: Path) -> None:
    docstring, *statements = ast.parse(face.read_text("utf-8")).body
    assert isinstance(docstring, ast.Expr)
    imports = [statement for statement in statements if isinstance(statement, ast.ImportFrom)]
    exports = [statement for statement in statements if not isinstance(statement, ast.ImportFrom)]
    assert {ast.unparse(getattr(each, "target", None) or each.targets[0]) for each in exports} == {"__all__"}
    imported = {alias.asname or alias.name for statement in imports for alias in statement.names}
    listed = set(ast.literal_eval(exports[0].value))
    whole = {ast.unparse(each.value).removesuffix(".__all__") for each in exports[1:]}  # modules exported as they are
    assert imported - {"*"} == listed | whole
    assert [alias.name for statement in imports for alias in statement.names].count("*") == len(whole)


@pytest.mark.parametrize("face", FACES, ids=room_of)
def test_the_face_of_a_room_says_where_to_begin(face: Path) -> None:
    text = ast.get_docstring(ast.parse(face.read_text("utf-8")))
    assert text is not None
    assert len(text.splitlines()) <= 6
    assert re.search(r"\b(?:Knows|May know)\b", text)
    begin = re.search(r"Begin\s+reading\s+in\s+``(\w+)``", text)
    assert begin is not None
    module = face.parent / begin[1]
    assert module.with_suffix(".py").exists() or (module / "__init__.py").exists()
