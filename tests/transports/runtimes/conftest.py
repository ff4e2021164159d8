from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import threading
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from transports.runtimes.kit.kit import AsyncioKit, Kit
from transports.runtimes.kit.kit_anyio import AnyioKit
from transports.runtimes.kit.kit_sync import SyncKit
from transports.runtimes.kit.kit_trio import TrioKit


@functools.cache
def _warm_up(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """libuv keeps the pipe for signals of its first loop for good."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.sleep(0))


def _uvloop() -> Kit:
    uvloop = pytest.importorskip("uvloop")
    return AsyncioKit("uvloop", uvloop.new_event_loop)


KITS: Final[dict[str, Callable[[], Kit]]] = {
    "asyncio": lambda: AsyncioKit("asyncio"),
    "uvloop": _uvloop,
    "trio": TrioKit,
    "anyio-asyncio": lambda: AnyioKit("asyncio"),
    "anyio-trio": lambda: AnyioKit("trio"),
    "sync": SyncKit,
}


@pytest.fixture(params=sorted(KITS))
def kit(request: pytest.FixtureRequest) -> Kit:
    return KITS[request.param]()


@pytest.fixture
def cancelling(kit: Kit) -> Kit:
    assert kit.can_cancel
    return kit


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Threads cannot be cancelled, so for them there are no tests of that; they have tests of timeouts."""

    def senseless(item: pytest.Item) -> bool:
        callspec = getattr(item, "callspec", None)
        return callspec is not None and "cancelling" in item.fixturenames and callspec.params.get("kit") == SyncKit.name  # type: ignore[attr-defined]

    if senseless_ones := [item for item in items if senseless(item)]:
        config.hook.pytest_deselected(items=senseless_ones)
        items[:] = [item for item in items if not senseless(item)]


# Threads of the runtimes, which outlive a run for a while.
_POOLS: Final = ("Trio thread", "AnyIO worker thread")


def _open_files() -> dict[str, str]:
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:  # the one that lists the folder
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No file descriptor, no thread, no unclosed transport stays behind; tasks are counted by `Kit.run`."""
    with contextlib.suppress(ImportError):
        import uvloop

        _warm_up(uvloop.new_event_loop)
    gc.collect()
    gc.freeze()  # what was there before the test need not be looked through after it
    files, threads = _open_files(), set(threading.enumerate())
    yield
    gc.collect()  # a ResourceWarning of what the test left is the test's error
    left = {fd: what for fd, what in _open_files().items() if files.get(fd) != what}
    assert not left
    left_over = {thread for thread in threading.enumerate() if not thread.name.startswith(_POOLS)}
    assert left_over <= threads
