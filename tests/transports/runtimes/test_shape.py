"""Moving to another runtime changes an import and the ``async`` keywords; and what the adapters may weigh."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import live_protocol
import live_transports
from live_protocol import Endpoint
from live_transports import anyio, asyncio, sync, trio

MODULES = {"asyncio": asyncio, "trio": trio, "anyio": anyio, "sync": sync}
CLASSES = ("LiveClientSession", "LiveServerSession", "LiveServer", "ToolRunner")

# What docs/guide/runtimes.md tells of, and nothing else.
STREAM = {"trio": {"sock": "stream"}, "anyio": {"sock": "stream"}}


def parameters(function: Any) -> dict[str, tuple[Any, Any]]:
    return {p.name: (p.kind, p.default) for p in inspect.signature(function).parameters.values()}


def members(cls: type) -> dict[str, Any]:
    return {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("function", ["connect", "serve"])
def test_functions(name: str, function: str) -> None:
    ours = parameters(getattr(MODULES[name], function))
    if name == "sync":
        ours.pop("timeout", None)
    theirs = {
        STREAM.get(name, {}).get(key, key): value for key, value in parameters(getattr(asyncio, function)).items()
    }
    assert list(ours.items()) == list(theirs.items())


@pytest.mark.parametrize("name", MODULES)
def test_names(name: str) -> None:
    assert set(MODULES[name].__all__) - {"WaitTimeout"} == set(asyncio.__all__)
    assert ("WaitTimeout" in MODULES[name].__all__) is (name == "sync")


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("cls", CLASSES)
def test_classes(name: str, cls: str) -> None:
    ours, theirs = members(getattr(MODULES[name], cls)), members(getattr(asyncio, cls))
    if name == "sync":
        theirs.pop("aclose", None)  # `contextlib.closing` looks for `close`
        ours.pop("next_event", None)
    assert set(ours) == set(theirs)
    for key, member in ours.items():
        assert type(member) is type(theirs[key]), key
        if inspect.isfunction(member):
            mine = parameters(member)
            if name == "sync" and not key.startswith("turn"):
                mine.pop("timeout", None)
            assert mine == parameters(theirs[key]), key
            coloured = inspect.iscoroutinefunction(theirs[key])
            assert inspect.iscoroutinefunction(member) is (coloured and name != "sync"), key


def _has_timeout(function: Any) -> bool:
    return "timeout" in parameters(function)


@pytest.mark.parametrize("cls", [sync.LiveClientSession, sync.LiveServerSession])
def test_every_call_that_waits_takes_a_timeout_on_threads(cls: type) -> None:
    waits = {
        key
        for key, member in members(getattr(asyncio, cls.__name__)).items()
        if inspect.iscoroutinefunction(member) and key not in ("aclose", "drain")  # drain has `within`
    }
    assert {key for key in waits if not _has_timeout(getattr(cls, key))} == set()
    assert _has_timeout(sync.connect)


@pytest.mark.parametrize("name", MODULES)
def test_an_unknown_option_is_refused_at_the_call(name: str) -> None:
    """And not when the call is awaited, or its block entered."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'modal'"):
        MODULES[name].connect(Endpoint.gemini(api_key="any"), modal="test")
    with pytest.raises(TypeError, match="unexpected keyword argument 'sll'"):
        MODULES[name].serve(None, sll=None)


# --- weight -----------------------------------------------------------------------------------------------------

CORE = Path(live_protocol.__file__).parent
ADAPTERS = Path(live_transports.__file__).parent

# In `live_protocol`, but no part of what an adapter drives: the emulator and what plays, shows, hears or stores.
NOT_CORE = ("emulator", "recording")


def lines(paths: Any) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def reached_from(*modules: ModuleType) -> set[Path]:
    """Files of `live_transports` that the modules are made of."""
    files: set[Path] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        path = Path(str(module.__file__))
        if path in files:
            continue
        files.add(path)
        used = [getattr(value, "__module__", None) for value in vars(module).values()]
        names = [value.__name__ for value in vars(module).values() if inspect.ismodule(value)]
        ours = {str(name) for name in [*used, *names] if str(name).startswith("live_transports.")}
        waiting += map(importlib.import_module, ours)
    return files


def test_the_adapters_stay_small() -> None:
    core = [path for path in CORE.rglob("*.py") if not set(path.relative_to(CORE).parts) & set(NOT_CORE)]
    adapters = reached_from(*MODULES.values())
    assert {path.stem for path in adapters} >= {"driver", "runtime", "steps"}
    assert lines(adapters) < 0.4 * lines(core)
