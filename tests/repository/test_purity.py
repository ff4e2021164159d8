"""The core does no I/O, reads no clock, draws no random numbers and keeps no global state."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import live_protocol

PACKAGE = Path(live_protocol.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
IO = {
    "asyncio", "trio", "anyio", "curio", "socket", "_socket", "ssl", "_ssl", "select", "selectors", "threading",
    "_thread", "multiprocessing", "concurrent", "queue", "signal", "subprocess", "logging", "socketserver", "ftplib",
    "http.client", "http.server", "urllib.request", "requests", "httpx", "aiohttp", "websockets", "google",
}  # fmt: skip
DEPENDENCIES = "attrs, cattrs, h11, orjson, pybase64, wsproto, wsproto.connection, wsproto.events, wsproto.extensions"
BATTERIES = {"tools", "audio", "conversation", "recording", "emulator", "testing"}
OURS = ", ".join(["live_protocol", *(f"live_protocol.{battery}" for battery in sorted(BATTERIES))])


def imported(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nimport json\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    names: list[str] = json.loads(result.stdout)
    return set(names)


def test_importing_the_package_loads_no_io() -> None:
    ours = imported(f"import {OURS}")
    assert {"live_protocol", "live_protocol.emulator", "live_protocol.websocket"} <= ours
    added = ours - imported(f"import {DEPENDENCIES}") - imported("")
    assert {name for name in added if name.partition(".")[0] in IO or name in IO} == set()


def test_importing_the_front_door_loads_no_battery() -> None:
    rooms = {name.split(".")[1] for name in imported("import live_protocol") if name.startswith("live_protocol.")}
    assert {"codec", "connection", "messages", "reconnect", "session", "websocket"} <= rooms
    assert rooms & BATTERIES == set()


def test_the_dependencies_load_no_io_either() -> None:
    # Otherwise the test above could not fail.
    base = imported(f"import {DEPENDENCIES}")
    assert not {"asyncio", "trio", "anyio", "socket", "ssl", "selectors"} & base
    assert "asyncio" in imported("import asyncio")


# --- by the source ----------------------------------------------------------------------------------------------

FORBIDDEN_MODULES = IO | {"time", "random", "secrets", "warnings", "tempfile", "pathlib", "shutil", "glob", "weakref"}
FORBIDDEN_CALLS = {"print", "open", "input", "eval", "exec", "breakpoint", "globals"}
FORBIDDEN_OF = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "uuid": {"uuid1", "uuid4", "getnode"},
}
# Here the system's random numbers are the default of a parameter: for masks, keys, jitter.
RANDOM = {"options.py", "link.py", "persistent.py", "reconnector.py"}
# The timeline page's script and style are files of the package. Its module reads them while it is imported, as the
# interpreter reads the module itself, by constant names; nothing is read once a function runs.
PAGE = PACKAGE / "recording" / "page" / "render.py"
READING = {"read_text", "read_bytes", "write_text", "write_bytes", "get_data", "open_text", "open_binary"}

# Functions of the hot path are generated from the declarations of message classes, by one function of one module.
GENERATING = PACKAGE / "messages" / "fields.py"


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_io_in_the_source(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        for module in modules_of(node):
            assert module != "importlib.resources" or path == PAGE, "reads files of a package"
            assert not ({module, module.partition(".")[0]} & FORBIDDEN_MODULES), f"imports {module}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "exec" and path == GENERATING:
                continue
            assert node.func.id not in FORBIDDEN_CALLS, f"line {node.lineno}: calls {node.func.id}()"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            where = f"line {node.lineno}: {node.value.id}.{node.attr}"
            assert node.attr not in FORBIDDEN_OF.get(node.value.id, ()), where
            if node.value.id == "os":
                assert node.attr == "strerror" or (node.attr == "urandom" and path.name in RANDOM), where
        assert not isinstance(node, ast.Global), "global state"
        assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)), "async"


def test_source_is_generated_in_one_place_and_from_declarations_alone() -> None:
    found = [
        (path, function.name)
        for path in SOURCES
        for function in ast.walk(tree_of(path))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "exec"
    ]
    assert found == [(GENERATING, "generated")]
    callers = {
        path.relative_to(PACKAGE).as_posix()
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "generated"
    }
    assert callers == {"codec/generated.py", "messages/fields.py"}


def test_files_of_the_package_are_read_by_one_module_and_at_import_alone() -> None:
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and node.attr in READING:
                assert path == PAGE, f"{path.name}, line {node.lineno}: {node.attr}"
    reading = []
    for statement in tree_of(PAGE).body:
        if any(isinstance(node, ast.Attribute) and node.attr in READING for node in ast.walk(statement)):
            assert isinstance(statement, ast.AnnAssign), f"line {statement.lineno}: reads later than at import"
            assert statement.value is not None
            reading.append(ast.unparse(statement.value))
    names = ("page.css", "page.js", "list.js")
    assert reading == [f"files(_ROOM).joinpath({name!r}).read_text(encoding='utf-8')" for name in names]


# A mutable value at the top of a module is never changed. Caches of pure functions (functools.cache) are decorators
# and do not count.
CHANGING = {"append", "extend", "update", "pop", "popitem", "clear", "add", "remove", "setdefault", "insert"}
CONSTANTS = (ast.Constant, ast.Tuple, ast.Name, ast.Attribute, ast.BinOp, ast.UnaryOp, ast.JoinedStr, ast.Subscript)
IMMUTABLE_CALLS = {
    "frozenset", "tuple", "compile", "maketrans", "partial", "bytes", "range", "getattr", "size", "attrgetter",
    "read_text", "constructor",
}  # fmt: skip


def is_immutable(value: ast.expr, *, annotated: str) -> bool:
    if isinstance(value, ast.Call):
        function = value.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        return name in IMMUTABLE_CALLS or name.lstrip("_")[:1].isupper()  # instances there are frozen or stateless
    if isinstance(value, (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)):
        return annotated.startswith(("Final", "Mapping", "Sequence"))  # mypy refuses to rebind; nothing writes into it
    return isinstance(value, CONSTANTS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_state_in_modules(path: Path) -> None:
    tree = tree_of(path)
    constants: set[str] = set()
    for node in tree.body:
        targets: list[ast.expr] = []
        value: ast.expr | None = None
        annotated = ""
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign):
            targets, value, annotated = [node.target], node.value, ast.unparse(node.annotation)
        if value is None:
            continue
        names = {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        constants |= names
        if names == {"__all__"} or names <= {"_HINTS"}:
            continue
        assert is_immutable(value, annotated=annotated), f"line {node.lineno}: {names} could be changed"
    # Nothing changes them later.
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.Delete)):
            changed = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else [node.target]
            for target in changed:
                if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                    assert target.value.id not in constants, f"line {node.lineno}: changes {target.value.id}"
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.attr in CHANGING
        ):
            assert node.func.value.id not in constants, f"line {node.lineno}: changes {node.func.value.id}"


def test_no_behaviour_depends_on_an_assert() -> None:
    found = [
        (path.name, node.lineno) for path in SOURCES for node in ast.walk(tree_of(path)) if isinstance(node, ast.Assert)
    ]
    # One: which of two arguments an internal object was given.
    assert {name for name, _ in found} <= {"events.py"}
    assert len(found) <= 1
