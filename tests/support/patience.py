"""How long things may take in real time. Nothing waits for as long as this; the bounds only tell a hang from a wait."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

PATIENCE = 30.0
"""Seconds after which what comes in any case is given up for lost."""

AT_ONCE = 4.0
"""Seconds that a busy machine may take over what waits for nothing; the shortest deadline by default is 5 s."""


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Fails where the block has waited for a deadline, or for a peer that has long gone silent."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < AT_ONCE, f"this waited for {took:.1f} s"
