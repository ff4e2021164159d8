"""The documentation is true: its code runs, its commands exist, its links and names resolve."""

from __future__ import annotations

import argparse
import ast
import asyncio
import builtins
import functools
import importlib
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.paths import ROOT

import live_protocol
from live_protocol import Endpoint, emulator, errors, events, testing
from live_transports.asyncio import serve
from live_transports.cli import build_parser
from live_transports.cli.commands import COMMANDS

from .test_wire_citations import slug

README = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PICTURES = sorted((ROOT / "docs" / "pictures").iterdir())
PACKAGES = {"live_protocol": ROOT, "live_transports": ROOT / "transports"}

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SLOW = re.compile(r"Executing <.* took \d+\.\d+ seconds")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    return page.read_text("utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return [body for _, name, body in _FENCE.findall(read(page)) if name == language]


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run Python as a reader would, where a warning is an error and a forgotten socket is a warning."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": path},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- code -------------------------------------------------------------------------------------------------------

PYTHON = [
    pytest.param(body, id=f"{relative(page)}-{number}")
    for page in PAGES
    for number, body in enumerate(blocks(page, "python"))
]


@pytest.mark.parametrize("source", PYTHON)
def test_python_blocks_run(source: str, tmp_path: Path) -> None:
    if "def test_" in source:
        (tmp_path / "test_block.py").write_text(source, "utf-8")
        done = run("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_block.py", cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        return
    done = run("-X", "dev", "-W", "error", "-c", source)
    # asyncio's debug mode reports slow steps, and how long a step takes depends on the machine.
    errors = [line for line in done.stderr.splitlines() if not _SLOW.fullmatch(line)]
    assert (done.returncode, errors) == (0, [])


def test_the_client_of_the_readme_prints_the_transcript() -> None:
    source = blocks(README, "python")[0]
    assert run("-c", source).stdout.strip() == "Hello, who is there?"


def test_the_test_of_the_readme_shows_how_a_client_deviates(tmp_path: Path) -> None:
    (source,) = [body for body in blocks(README, "python") if "def test_" in body]
    assert len(source.splitlines()) <= 10
    (tmp_path / "test_first.py").write_text(source.replace('"text": "Hi"', '"text": "Ho"'), "utf-8")
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_first.py", cwd=tmp_path)
    assert done.returncode == 1
    assert 'step 3: client_content.text: expected "Hi", got "Ho"' in done.stdout


# --- commands ---------------------------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[list[str]]:
    """The commands of a page's shell blocks, as words."""
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            for command in re.split(r"&&|\|", line.partition(" #")[0]):
                if words := shlex.split(command.replace("<", "").replace(">", "")):
                    yield words


def check_command(words: list[str]) -> None:
    """Fail where a command, or a file that it runs, does not exist."""
    program, *rest = words
    if program in {"uv", "uvx"} and rest[:1] == ["run"]:
        options = rest[1:]
        check_command([word for word in options if word != "--no-dev"])
    elif program == "live-protocol":
        with redirect_stderr(StringIO()) as refusal:
            try:
                build_parser().parse_args(rest)
            except SystemExit:
                pytest.fail(f"{shlex.join(words)}: {refusal.getvalue()}")
    elif program == "python":
        assert (ROOT / rest[0]).is_file()
    elif program == "git":
        assert rest[0] == "clone"
    elif program == "pip":
        assert rest[0] == "install"
    else:
        assert program in {"cd", "uv", "uvx"} or (ROOT / program).is_file() or shutil.which(program)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=relative)
def test_commands_exist(page: Path) -> None:
    for words in commands(page):
        check_command(words)


@pytest.mark.parametrize(
    "words", [["live-protocol", "sing"], ["live-protocol", "demo", "--loud"], ["uv", "run", "python", "none.py"]]
)
def test_commands_that_do_not_exist_are_noticed(words: list[str]) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check_command(words)


def test_every_subcommand_is_documented() -> None:
    guide = read(ROOT / "docs" / "guide" / "command-line.md")
    assert re.findall(r"^\| `live-protocol ([a-z]+)`", guide, re.MULTILINE) == list(COMMANDS)
    mentioned = {name for page in PAGES for name in re.findall(r"`live-protocol ([a-z]+)\b", read(page))}
    assert mentioned <= set(COMMANDS)


def test_every_option_in_the_command_line_guide_exists() -> None:
    guide = read(ROOT / "docs" / "guide" / "command-line.md")
    parser = build_parser()
    (subparsers,) = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    known = {option for each in (parser, *subparsers.choices.values()) for option in each._option_string_actions}
    assert {option for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", guide) if option != "--help"} <= known


def test_ci_runs_the_tests_as_the_readme_does() -> None:
    script = read(ROOT / ".ci" / "run").replace("pip install -q", "pip install")
    command = next(line for line in "\n".join(blocks(README, "sh")).splitlines() if "pytest" in line)
    assert command.partition(" #")[0].strip() in script.splitlines()


# --- links and pictures -----------------------------------------------------------------------------------------


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    text = _FENCE.sub("", read(page))
    return frozenset(map(slug, re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)))


def broken(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    missing = []
    for link in _LINK.findall(_CODE.sub("", _FENCE.sub("", read(page)))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    return missing


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_and_anchors_resolve(page: Path) -> None:
    assert broken(page) == []


def test_broken_links_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A b\n[x](#a-b) [y](#c) [z](none.md) [w](https://example.com) `[v](no.md)`\n", "utf-8")
    assert broken(page) == ["#c", "none.md"]


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_pages_hold_no_path_of_a_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.:/])/(home|work|root|Users|tmp)/", read(page))


@pytest.mark.parametrize("picture", PICTURES, ids=relative)
def test_every_picture_is_shown(picture: Path) -> None:
    shown = [page.parent / name for page in PAGES for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", read(page))]
    assert picture in [path.resolve() for path in shown]
    assert picture.stat().st_size > 1000


def test_the_figures_of_sessions_a_core_are_those_of_the_committed_run() -> None:
    pytest.importorskip("resource")  # the benchmark needs it; Windows has none
    sessions_a_core = importlib.import_module("benchmarks.voice.page")
    assert sessions_a_core.text(sessions_a_core.committed()) == read(sessions_a_core.PAGE)


@pytest.mark.parametrize(("page", "most"), [(README, 150), (ROOT / "docs" / "architecture.md", 110)])
def test_pages_that_introduce_are_short(page: Path, most: int) -> None:
    assert len(read(page).splitlines()) <= most


# --- reference pages --------------------------------------------------------------------------------------------


def test_the_table_of_events_is_complete() -> None:
    text = read(ROOT / "docs" / "reference" / "events.md")
    named = set(re.findall(r"`([A-Z]\w+)`", text))
    classes = {name for name in events.__all__ if attrs.has(getattr(events, name))}
    assert classes <= named
    assert named <= set(dir(live_protocol)) | classes


def test_the_table_of_events_lists_their_attributes() -> None:
    shared = {"last", "unexpected", "generation", "stale", "index"}
    rows = re.findall(
        r"^\| `([A-Z]\w+)`(?:, `\w+`)* \| (.*?) \|", read(ROOT / "docs/reference/events.md"), re.MULTILINE
    )
    assert len(rows) > 30
    for name, cell in rows:
        fields = [field.name for field in attrs.fields(getattr(events, name)) if not field.name.startswith("_")]
        assert re.findall(r"`(\w+)`", cell) == [field for field in fields if field not in shared], name


def test_the_taxonomy_of_errors_is_complete() -> None:
    text = read(ROOT / "docs" / "reference" / "errors.md")
    named = set(re.findall(r"`([A-Z]\w+)[`.(]", text))
    assert set(errors.__all__) <= named
    assert named <= set(dir(live_protocol)) | set(errors.__all__)


def test_the_page_for_users_of_the_sdk_has_every_method_of_its_session() -> None:
    live = pytest.importorskip("google.genai.live")
    text = read(ROOT / "docs" / "guide" / "from-google-genai.md")
    methods = {name for name in vars(live.AsyncSession) if not name.startswith("_")}
    assert methods == {name for name in methods if re.search(rf"\bsession\.{name}\(", text)}
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)[`.(]", text))
    assert named <= set(dir(live_protocol)) | {"ToolRegistry", "ToolRunner", "TypeError"}


@pytest.mark.parametrize("script", ["generate_reference.py", "generate_states.py"])
def test_generated_pages_are_current(script: str) -> None:
    done = run(str(ROOT / "scripts" / script), "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_reference_explains_every_public_name() -> None:
    reference = read(ROOT / "docs" / "reference" / "api.md")
    assert set(live_protocol.__all__) <= set(re.findall(r"^\| `(\w+)` \| \S", reference, re.MULTILINE))
    assert re.findall(r"^\| `\w+` \|\s*\|$", reference, re.MULTILINE) == []


# --- docstrings -------------------------------------------------------------------------------------------------


@attrs.frozen
class Docstring:
    """A docstring, and the objects that contain it: the module first."""

    place: str
    text: str
    scope: tuple[Any, ...]
    names: frozenset[str]
    """Parameters of the function that it describes."""


def _parameters(node: ast.AST) -> frozenset[str]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return frozenset()
    return frozenset(argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg))


def _docstrings(node: ast.AST, scope: tuple[object, ...], names: frozenset[str], place: str) -> Iterator[Docstring]:
    body = getattr(node, "body", [])
    for index, statement in enumerate(body):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            if isinstance(statement.value.value, str):  # the docstring, or one under an assignment
                where = f"{place}:{statement.lineno}"
                yield Docstring(where, inspect.cleandoc(statement.value.value), scope, names)
        elif isinstance(statement, ast.ClassDef):
            inner = getattr(scope[-1], statement.name, None)
            yield from _docstrings(statement, (*scope, inner), names, place)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(statement, scope, names | _parameters(statement), place)
        elif index and isinstance(statement, ast.If):
            yield from _docstrings(statement, scope, names, place)


@functools.cache
def docstrings() -> tuple[Docstring, ...]:
    """Every docstring of the two packages."""
    found: list[Docstring] = []
    for package, parent in PACKAGES.items():
        for path in sorted((parent / package).rglob("*.py")):
            name = ".".join(path.relative_to(parent).with_suffix("").parts).removesuffix(".__init__")
            if not name.endswith("__main__"):
                tree = ast.parse(path.read_text("utf-8"))
                found += _docstrings(tree, (importlib.import_module(name),), frozenset(), relative(path))
    return tuple(found)


@functools.cache
def public_names() -> types.SimpleNamespace:
    """Every name that a room or an adapter exports."""
    names: dict[str, object] = {}
    for package, parent in PACKAGES.items():
        for path in sorted((parent / package).glob("*")):
            if path.suffix in {".py", ""} and path.stem not in {"__init__", "__pycache__", "cli"}:
                module = importlib.import_module(f"{package}.{path.stem}")
                names |= {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    return types.SimpleNamespace(**names, live_protocol=live_protocol)


_ABSENT = object()


def member(value: Any, name: str) -> object:
    """An attribute of an object, or one that instances of a class have."""
    if (attribute := getattr(value, name, _ABSENT)) is not _ABSENT:
        return attribute
    if inspect.ismodule(value):
        try:
            return importlib.import_module(f"{value.__name__}.{name}")
        except ImportError:
            return _ABSENT
    if inspect.isclass(value):
        fields = {key for base in value.__mro__ for key in vars(base).get("__annotations__", {})}
        documented = "".join(base.__doc__ or "" for base in value.__mro__ if base is not object)
        assigned = re.search(rf"\bself\.{name}(?:: [^=\n]+)? = ", _source(value))
        if name in fields or assigned or re.search(rf"^ *{name}: ", documented, re.MULTILINE):
            return None
    return _ABSENT


@functools.cache
def _source(cls: type) -> str:
    modules = {base.__module__ for base in cls.__mro__ if base.__module__.partition(".")[0] in PACKAGES}
    return "\n".join(inspect.getsource(sys.modules[name]) for name in modules)


def resolves(reference: str, docstring: Docstring) -> bool:
    """Whether a reference names something: in its module or a class there, exported, importable, or built in."""
    first, *rest = reference.removesuffix("()").split(".")
    if first in docstring.names:
        return True
    module = docstring.scope[0]
    classes = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__]
    roots: list[object] = [*reversed(docstring.scope), *classes, public_names(), builtins, typing]
    for root in roots:
        value = member(root, first)
        for name in rest:
            value = member(value, name) if value is not _ABSENT else _ABSENT
        if value is not _ABSENT:
            return True
    try:
        value = importlib.import_module(first)
    except ImportError:
        return False
    for name in rest:
        value = member(value, name)
    return value is not _ABSENT


_REFERENCE = re.compile(r"(?<!`)`([A-Za-z_][\w.]*(?:\(\))?)`(?!`)")


def test_references_in_docstrings_resolve() -> None:
    dangling = [
        f"{docstring.place}: {reference}"
        for docstring in docstrings()
        for reference in _REFERENCE.findall(docstring.text)
        if not resolves(reference, docstring)
    ]
    assert dangling == [], "\n".join(dangling)


def test_dangling_references_are_noticed() -> None:
    here = Docstring("", "", (live_protocol.session, live_protocol.LiveSession), frozenset({"audio"}))
    assert all(resolves(name, here) for name in ("audio", "send", "LiveSession.send", "CloseInfo.code", "ValueError"))
    assert not any(resolves(name, here) for name in ("sing", "LiveSession.sing", "CloseInfo.tune", "no_module.x"))


def test_paths_in_docstrings_exist() -> None:
    missing = [
        f"{docstring.place}: {path}"
        for docstring in docstrings()
        for path in re.findall(r"\bdocs/[\w./-]*\w", docstring.text)
        if not (ROOT / path).exists()
    ]
    assert missing == []


def examples() -> Iterator[tuple[str, str]]:
    """Literal blocks in docstrings that hold Python, each with its place."""
    for docstring in docstrings():
        for block in re.findall(r"::\n\n((?:(?: {4}.*)?\n)+)", docstring.text + "\n"):
            source = inspect.cleandoc(block)
            if not source.startswith("{"):
                yield docstring.place, source


async def run_example(source: str) -> None:
    """Run code that may await, with the names that a reader has, against an emulator."""
    code = compile(source, "docstring", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    async with serve(None, connection_factory=emulator.Emulator().connection) as server:
        local = functools.partial(Endpoint.gemini, base_url=server.url(path=""))
        namespace = {
            **vars(testing),
            **vars(emulator),
            "bridges": importlib.import_module("live_transports.bridges"),
            "websockets": importlib.import_module("websockets"),
            "Endpoint": types.SimpleNamespace(gemini=local),
            "endpoint": local(api_key="any"),
            "key": "any",
        }
        result = eval(code, namespace)
        if inspect.isawaitable(result):
            async with asyncio.timeout(10):
                await result


def test_examples_in_docstrings_run() -> None:
    ran = []
    for place, source in examples():
        try:
            asyncio.run(run_example(source))
        except Exception as error:
            pytest.fail(f"{place}: {error!r}\n{source}")
        ran.append(place)
    assert len(ran) >= 4
