"""Options and profiles for all tests."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator

import pytest
from hypothesis import settings

settings.register_profile("default", print_blob=True, derandomize=False, deadline=None)
settings.register_profile("ci", settings.get_profile("default"), max_examples=300)
settings.register_profile("slow", settings.get_profile("default"), max_examples=3000)
settings.load_profile("default")


UNTRACED = {
    "cli",
    "interop",
    "pytest_plugin",
    "reconnecting",
    "runtimes",
    "test_asgi_conformance",
    "test_bounds",
    "test_chaos",
    "test_conformance",
    "test_strategies",
}
"""Folders and files of tests that cover nothing of the core that others do not, and take several times as long so."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run tests marked slow, and Hypothesis, in full length")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The whole suite runs on several processors, what was picked out of it runs here and now."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not hasattr(config, "workerinput")
    # coverage has chosen how to measure by now: with it, -n has to be said
    bound = config.option.usepdb or config.pluginmanager.hasplugin("_cov")
    if whole and getattr(config.option, "numprocesses", 0) is None and not bound:
        config.option.numprocesses = min(4, os.cpu_count() or 1)
        config.option.dist = "worksteal"


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--slow") and not config.getoption("--hypothesis-profile", None):
        settings.load_profile("slow")
    # A shell has what it starts in the background ignore Ctrl-C, which some tests press.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Not by pytest-cov's own mark, which has no effect where there are several processes."""
    if not item.config.pluginmanager.hasplugin("_cov") or UNTRACED.isdisjoint((item.path.parent.name, item.path.stem)):
        return (yield)
    here, in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(here)
        threading.settrace(in_threads)


@pytest.fixture
def length(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Choose a length: ``length(short, full)`` gives the short one unless ``--slow`` is on."""
    slow = bool(request.config.getoption("--slow"))
    return lambda short, full: full if slow else short


@pytest.fixture(scope="session", autouse=True)
def options_of_this_run() -> None:
    """They are not for what tests start, pytest itself among it."""
    os.environ.pop("PYTEST_ADDOPTS", None)
