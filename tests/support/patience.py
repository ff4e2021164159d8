"""Bounds in real time, which tell a hang from a wait. No test waits that long."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

PATIENCE = 30.0
"""Seconds to wait for something that must come."""

AT_ONCE = 4.0
"""Seconds that a step without waiting may take on a busy machine; the shortest default deadline is 5 s."""


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Fails if the block waits for a deadline or for a silent peer."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < AT_ONCE, f"this waited for {took:.1f} s"
