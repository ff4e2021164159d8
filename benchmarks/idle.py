"""``python -m benchmarks.idle SIDE URL COUNT``: open that many sessions, leave them idle, print their cost.

The output is a JSON list: microseconds of CPU to open one (dial, handshake, setup), KiB it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import sys
import time
import tracemalloc
from typing import Any

from benchmarks.runner import settle

MODULES = {"peer": "benchmarks.google_genai_side", "ours": "benchmarks.live_protocol_side"}
WARM_UP = 20
"""Sessions opened before counting: lazy imports and caches are no session's cost."""


async def _open(stack: contextlib.AsyncExitStack, module: Any, url: str, count: int) -> None:
    for _ in range(count):
        await stack.enter_async_context(module.connect(url))


async def _main(module: Any, url: str, count: int) -> list[float]:
    async with contextlib.AsyncExitStack() as stack:
        await _open(stack, module, url, WARM_UP)
        settle()
        start = time.process_time()
        await _open(stack, module, url, count)
        cpu = time.process_time() - start
    # Traced, not resident: pages that were free before hide what the first sessions take.
    async with contextlib.AsyncExitStack() as stack:
        gc.collect()
        tracemalloc.start()
        await _open(stack, module, url, count)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return [cpu / count * 1e6, held / count / 1024]


if __name__ == "__main__":
    side, url, count = sys.argv[1:]
    print(json.dumps(asyncio.run(_main(importlib.import_module(MODULES[side]), url, int(count)))))
