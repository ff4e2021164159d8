"""Closing an asyncio session from another thread's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from live_protocol.errors import IllegalInState

__all__ = ["close_threadsafe"]

_GLANCE: Final = 0.1
"""Seconds between two looks at whether the other loop still exists; one that has ended tells nobody."""


async def close_threadsafe(loop: asyncio.AbstractEventLoop, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a session's close in its own loop, and wait for it there; being cancelled cancels it.

    Where that loop ends meanwhile, it has ended the session, or nobody can any more: then there is nothing to wait for.

    Args:
        loop: The session's loop.
        close: What is to be run in it.

    Raises:
        IllegalInState: The loop exists, but does not run.
        InvalidMessage: As ``close`` says.
    """
    if loop.is_closed():
        return
    if not loop.is_running():
        raise IllegalInState("close", "the session's event loop does not run", "run it, or call abort() in it")
    coroutine = close()
    try:
        asked = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))
    except RuntimeError:  # it was closed just now
        coroutine.close()
        return
    try:
        while not asked.done() and not loop.is_closed():
            await asyncio.wait([asked], timeout=_GLANCE)
    except asyncio.CancelledError:
        asked.cancel()
        raise
    # A loop that ends cancels what still runs in it, which is no cancellation of whoever waits here.
    if asked.done() and not asked.cancelled():
        asked.result()
