"""One name means one thing in everything the two packages export."""

from __future__ import annotations

import collections
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import live_protocol
import live_transports
from live_protocol.connection import ConnectOptions

# What every runtime has under the same name, so that a program changes its runtime in one import, and what every
# command of the command line has.
PER_RUNTIME = {
    "LiveClientSession",
    "LiveServer",
    "LiveServerSession",
    "ToolRunner",
    "connect",
    "serve",
}
PER_COMMAND = {"configure", "run"}


def walk(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


# Lyria RealTime is a protocol of its own with the official names of its own; nobody needs both in one namespace.
ANOTHER_PROTOCOL = "live_protocol.messages.music"

MODULES = [
    module
    for package in (live_protocol, live_transports)
    for module in walk(package)
    if module.__name__ != ANOTHER_PROTOCOL
]


def public(module: ModuleType) -> list[str]:
    """What a room's face exports, or what a module inside a room defines."""
    defined = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__ and callable(value)
    ]
    return list(getattr(module, "__all__", defined))


def meanings() -> dict[str, list[tuple[Any, list[str]]]]:
    """The objects that each exported name is bound to, with the modules that export them."""
    names: dict[str, list[tuple[Any, list[str]]]] = collections.defaultdict(list)
    for module in MODULES:
        for name in public(module):
            value = getattr(module, name)
            for known, where in names[name]:
                if value is known or (not inspect.isclass(value) and not callable(value) and value == known):
                    where.append(module.__name__)
                    break
            else:
                names[name].append((value, [module.__name__]))
    return names


def test_an_exported_name_means_one_thing() -> None:
    ambiguous = {name: [where for _, where in found] for name, found in meanings().items() if len(found) > 1}
    expected = PER_RUNTIME | PER_COMMAND
    assert not {name: where for name, where in ambiguous.items() if name not in expected}
    assert expected <= ambiguous.keys(), "an exception that is none any more"


def test_exceptions_stay_within_their_family() -> None:
    for name, found in meanings().items():
        for _, where in found if len(found) > 1 else ():
            rooms = {module.split(".")[1] for module in where}
            if name in PER_COMMAND:
                assert rooms == {"cli"}
            else:
                assert rooms <= {"anyio", "asyncio", "bridges", "sync", "trio"}, name


def plain(annotation: Any) -> str:
    """An annotation without None and without the module in front of a name."""
    text = str(getattr(annotation, "__forward_arg__", annotation))
    return re.sub(r"\b\w+\.", "", text).removesuffix(" | None")


def keywords() -> Iterator[tuple[str, str, str]]:
    """Every keyword-only parameter of a public callable: where, its name, its type."""
    for module in MODULES:
        for name in getattr(module, "__all__", ()) if module.__name__.count(".") < 2 else ():
            value = getattr(module, name)
            members = vars(value).values() if inspect.isclass(value) else [value]
            for member in members:
                function = getattr(member, "__func__", member)
                if not inspect.isfunction(function) or not function.__module__.startswith("live_"):
                    continue
                for parameter in inspect.signature(function).parameters.values():
                    if parameter.kind is parameter.KEYWORD_ONLY:
                        yield name, parameter.name, plain(parameter.annotation)


# Elsewhere an option is the source of randomness; a policy says how much of a delay is random.
EXCEPTIONS = {("jitter", "ReconnectPolicy")}


@pytest.mark.parametrize("option", sorted(ConnectOptions.__annotations__))
def test_an_option_has_one_type(option: str) -> None:
    expected = plain(ConnectOptions.__annotations__[option])
    places = [(where, kind) for where, name, kind in keywords() if name == option and (name, where) not in EXCEPTIONS]
    assert places
    assert not [(where, kind) for where, kind in places if kind != expected]
