"""Public names: which there are, that they are documented, and that they change on purpose only."""

from __future__ import annotations

import doctest
import enum
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import attrs
import pytest
from support.paths import ROOT

import live_protocol
from live_protocol import Event, errors, events, messages

HERE = Path(__file__).parent
SNAPSHOT = HERE / "exports.txt"
ROOMS = [
    importlib.import_module(f"live_protocol.{module.name}")
    for module in pkgutil.iter_modules(live_protocol.__path__)
    if not module.name.startswith("_")
]
FACES = [live_protocol, *(room for room in ROOMS if hasattr(room, "__path__"))]


def current() -> str:
    lines = []
    for module in (live_protocol, *ROOMS):
        lines.append(f"[{module.__name__}]")
        lines += sorted(module.__all__)
        lines.append("")
    return "\n".join(lines)


def test_public_names_match_the_snapshot() -> None:
    expected = SNAPSHOT.read_text(encoding="utf-8")
    if current() != expected:
        now, then = set(current().splitlines()), set(expected.splitlines())
        pytest.fail(
            f"public names changed: added {sorted(now - then)}, removed {sorted(then - now)}. If this is intended, "
            "say so in the changelog and run: PYTHONPATH=tests uv run python tests/repository/test_exports.py"
        )


def test_the_front_door_is_small_and_complete() -> None:
    assert len(live_protocol.__all__) <= 100
    assert set(errors.__all__) <= set(live_protocol.__all__)


def test_the_example_at_the_front_door_runs() -> None:
    failed, tried = doctest.testmod(live_protocol)
    assert (failed, tried > 4) == (0, True)


@pytest.mark.parametrize("module", [live_protocol, *ROOMS], ids=lambda module: module.__name__)
def test_exported_names_exist(module: ModuleType) -> None:
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)


@pytest.mark.parametrize("module", FACES, ids=lambda module: module.__name__)
def test_a_face_exports_everything_it_shows(module: ModuleType) -> None:
    # An import from inside the package is either public or a module.
    visible = {name for name, value in vars(module).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert visible - set(module.__all__) == set()


PUBLIC = {name: getattr(module, name) for module in (*ROOMS, live_protocol) for name in module.__all__}
CLASSES = {
    name: PUBLIC[name]
    for name in (*messages.__all__, *live_protocol.__all__)
    if inspect.isclass(PUBLIC[name]) and PUBLIC[name].__module__ != "typing"
}
# Families: to be caught by the name of the family, or implemented by enums.
ABSTRACT = {
    "LiveProtocolError", "LocalProtocolError", "StaleOperation", "RemoteProtocolError", "PeerClosed", "OpenEnum",
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_final(name: str) -> None:
    cls = CLASSES[name]
    if issubclass(cls, enum.Enum) and list(cls):
        return  # an enum with members cannot be derived from
    if issubclass(cls, BaseException):
        leaf = not any(child.__module__.startswith("live_protocol.") for child in cls.__subclasses__())
        assert leaf == (name not in ABSTRACT)
        return
    assert getattr(cls, "__final__", False) or name in ABSTRACT, f"{name} is not final"


@pytest.mark.parametrize("name", PUBLIC)
def test_names_are_documented(name: str) -> None:
    value = PUBLIC[name]
    if not (inspect.isclass(value) or inspect.isroutine(value)) or value.__module__ in ("typing", "types"):
        return  # constants and aliases have their text beside them
    assert inspect.getdoc(value), name
    if inspect.isclass(value) and value.__module__.startswith("live_protocol"):
        assert value.__doc__, name
        if getattr(value, "_is_protocol", False):
            return  # its members are documented where they are implemented
        for member, what in vars(value).items():
            if not member.startswith("_") and (inspect.isroutine(what) or isinstance(what, (property, classmethod))):
                assert inspect.getdoc(what), f"{name}.{member}"


def test_the_union_of_events_is_closed() -> None:
    members = set(get_args(Event))
    classes = {value for name in events.__all__ if attrs.has(value := getattr(events, name))}
    assert members == classes
    for cls in members:
        assert cls.__final__
        assert "__slots__" in vars(cls)
        assert all(field.kw_only for field in attrs.fields(cls))
        assert cls.__name__ in live_protocol.__all__


def test_an_error_belongs_to_at_most_one_family() -> None:
    roots = [errors.LocalProtocolError, errors.StaleOperation, errors.RemoteProtocolError]
    for name in errors.__all__:
        cls = getattr(errors, name)
        assert issubclass(cls, live_protocol.LiveProtocolError)
        assert sum(issubclass(cls, root) for root in roots) <= 1


EXHAUSTIVE = """
from typing import assert_never
from live_protocol import *

def name(event: Event) -> str:
    match event:
{cases}
        case _:
            assert_never(event)
"""


def snippet(leave_out: str | None = None) -> str:
    names = [cls.__name__ for cls in get_args(Event) if cls.__name__ != leave_out]
    cases = "\n".join(f"        case {name}():\n            return {name!r}" for name in names)
    return EXHAUSTIVE.format(cases=cases)


def check(tool: list[str], path: Path) -> tuple[int, str]:
    result = subprocess.run(
        [sys.executable, "-m", *tool, str(path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return result.returncode, result.stdout + result.stderr


TOOLS = {"mypy": ["mypy", "--strict"], "pyright": ["pyright"]}


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_a_match_over_events_is_exhaustive(tool: str, tmp_path: Path, length: Any) -> None:
    whole = tmp_path / "whole.py"
    whole.write_text(snippet(), encoding="utf-8")
    command = [*TOOLS[tool], "--cache-dir", str(tmp_path / "cache")] if tool == "mypy" else TOOLS[tool]
    code, output = check(command, whole)
    assert code == 0, output
    if length(0, 1):
        part = tmp_path / "part.py"
        part.write_text(snippet(leave_out="GoAway"), encoding="utf-8")
        code, output = check(command, part)
        assert code == 1
        assert "GoAway" in output


if __name__ == "__main__":
    SNAPSHOT.write_text(current(), encoding="utf-8")
