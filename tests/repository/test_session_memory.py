"""What an idle session holds stays within a limit, and a closed one leaves nothing to the garbage collector."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LIMIT: Final = 11.5 if sys.version_info < (3, 12) else 12.5
"""KiB a session, with what asyncio holds for it (2.3): a tenth more than measured."""

CLOSED: Final = """
import asyncio, gc, json, sys

from benchmarks.live_protocol_side import connect

async def use(url):
    async with connect(url) as client:
        await client.command("echo 40 2")
        await client.converse(bytes(640), 2)

async def main(url):
    await use(url)
    await asyncio.sleep(0.1)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    await use(url)
    await asyncio.sleep(0.1)
    gc.collect()
    print(json.dumps(sorted({f"{type(left).__module__}.{type(left).__qualname__}" for left in gc.garbage})))

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.loopback_server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"ws://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.stdin.close()


def run(*arguments: str) -> Any:
    """What a process of its own prints, as coverage and other tests hold memory too."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


def test_an_idle_session(url: str) -> None:
    _, kibibytes = run("-m", "benchmarks.idle", "ours", url, "100")
    assert kibibytes < LIMIT


def test_a_closed_session(url: str) -> None:
    left = run("-c", CLOSED, url)
    assert "asyncio.selector_events._SelectorSocketTransport" in left, "the transport holds a method of itself"
    assert [name for name in left if name.startswith("live_")] == []
