"""Closing an asyncio session from another thread's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from live_protocol.errors import IllegalInState

_GLANCE: Final = 0.1
"""Seconds between two looks at whether the other loop still exists; a loop does not report its end."""


async def close_threadsafe(loop: asyncio.AbstractEventLoop, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a session's close in its own loop, and wait for it there; being cancelled cancels it.

    A loop that ends meanwhile has ended the session, or nothing can any more, so the wait is over.

    Args:
        loop: The session's loop.
        close: Makes the coroutine to run there.

    Raises:
        IllegalInState: The loop is neither running nor closed.
        InvalidMessage: From ``close``.
    """
    if loop.is_closed():
        return
    if not loop.is_running():
        raise IllegalInState("close", "the session's event loop is not running", "run it, or call abort() in it")
    coroutine = close()
    try:
        closing = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))
    except RuntimeError:  # it was closed just now
        coroutine.close()
        return
    try:
        while not closing.done() and not loop.is_closed():
            await asyncio.wait([closing], timeout=_GLANCE)
    except asyncio.CancelledError:
        closing.cancel()
        raise
    # A loop that ends cancels its tasks; that does not cancel the task that waits here.
    if closing.done() and not closing.cancelled():
        closing.result()
