"""Waiting on threads with a bound."""

from __future__ import annotations

import math
import threading
import time
from typing import final

from live_protocol.errors import LiveProtocolError


class WaitTimeout(LiveProtocolError, TimeoutError):
    """The ``timeout`` of a blocking call has passed. Except after ``connect`` and ``close``, the session continues.

    Attributes:
        operation: The call.
        queued: Whether it had changed something: the message is queued and leaves in its order, so it must not be sent
            again. A receive has lost nothing.
    """

    def __init__(self, operation: str, *, queued: bool = False, cost: str = "nothing was lost") -> None:
        rest = "the message is queued, do not send it again" if queued else cost
        super().__init__(f"{operation} did not finish in time; {rest}")
        self.operation = operation
        self.queued = queued


@final
class Countdown:
    """The rest of a timeout."""

    __slots__ = ("_until",)

    def __init__(self, timeout: float | None) -> None:
        self._until = None if timeout is None else time.monotonic() + min(timeout, threading.TIMEOUT_MAX)

    @property
    def left(self) -> float | None:
        """Seconds left, or None without a bound."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def wait(self, condition: threading.Condition, due: float = math.inf) -> bool:
        """Wait for a notification, or until something is due; False if no time is left."""
        now = time.monotonic()
        if self._until is not None and self._until <= now:
            return False
        limit = min(due, math.inf if self._until is None else self._until) - now
        condition.wait(None if limit == math.inf else max(0.0, limit))
        return True
