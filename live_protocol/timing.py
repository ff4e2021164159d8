"""Time as data: how long each phase may take, and the deadlines that follow. Nothing here reads a clock."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, final

import attrs

__all__ = ["Deadline", "Deadlines", "Timeouts"]


def _seconds(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"Timeouts.{attribute.name} must be a positive number of seconds or None, not {value!r}")


@final
@attrs.frozen(kw_only=True)
class Timeouts:
    """How long each phase may take, in seconds; None switches the deadline off.

    Attributes:
        open: From the first ``advance()`` to the end of the opening handshake.
        setup: From the setup frame to ``setupComplete`` (the service takes 0.2 to 0.6 s, wire.md#handshake); in the
            server role from the upgrade to the client's setup.
        ping_interval: Silence after which a ping is sent; any received byte counts as life.
        ping_timeout: From the moment a ping's bytes were taken to the next received byte. Pongs of 8 to 30 s were
            measured on the real service (wire.md#keepalive), so the common 20 s would end healthy sessions.
        close: From our close frame to the end of the transport.
        stall: Silence while output, or a pong, is due, after which `StallSuspected` is reported; off by default.
    """

    open: float | None = attrs.field(default=10.0, validator=_seconds)
    setup: float | None = attrs.field(default=30.0, validator=_seconds)
    ping_interval: float | None = attrs.field(default=20.0, validator=_seconds)
    ping_timeout: float | None = attrs.field(default=60.0, validator=_seconds)
    close: float | None = attrs.field(default=5.0, validator=_seconds)
    stall: float | None = attrs.field(default=None, validator=_seconds)


class Deadline(enum.StrEnum):
    """Which deadline; the name appears in `DeadlineExpired`."""

    DIAL = "dial"
    PROXY = "proxy"
    TLS = "tls"
    OPEN = "open"
    SETUP = "setup"
    PING = "ping"
    PONG = "pong"
    CLOSE = "close"
    STALL = "stall"


class Deadlines:
    """A handful of armed deadlines on a clock that only ``advance()`` moves.

    ``now`` is None until the first `advance`; a deadline armed before that starts counting there.
    """

    __slots__ = ("_armed", "_earliest", "_waiting", "now")

    def __init__(self) -> None:
        self.now: float | None = None
        self._armed: dict[Deadline, float] = {}
        self._waiting: dict[Deadline, float] = {}
        self._earliest: float | None = None  # asked for with every message, so it is kept instead of searched

    def arm(self, which: Deadline, seconds: float | None) -> None:
        """(Re)start a deadline ``seconds`` from the last reading; None disarms it."""
        if seconds is None:
            self.disarm(which)
        elif self.now is None:
            self._waiting[which] = seconds
        else:
            self._armed[which] = self.now + seconds
            self._earliest = min(self._armed.values())

    def disarm(self, which: Deadline) -> None:
        """Forget a deadline; one that is not armed is no error."""
        self._waiting.pop(which, None)
        if self._armed.pop(which, None) is not None:
            self._earliest = min(self._armed.values(), default=None)

    def clear(self) -> None:
        """Forget all of them."""
        self._armed.clear()
        self._waiting.clear()
        self._earliest = None

    def is_armed(self, which: Deadline) -> bool:
        """Whether it will fire some day."""
        return which in self._armed or which in self._waiting

    def tick(self, now: float) -> float:
        """Move the clock and fire nothing; gives the reading.

        A reading before the last one is taken as the last one: a clock that steps back never revives the past.
        """
        if self.now is None or now > self.now:
            self.now = now
        if self._waiting:
            for which, seconds in self._waiting.items():
                self._armed[which] = self.now + seconds
            self._waiting.clear()
            self._earliest = min(self._armed.values())
        return self.now

    def advance(self, now: float) -> Sequence[Deadline]:
        """Move the clock as `tick`; gives the deadlines that are due, earliest first, each of them disarmed."""
        now = self.tick(now)
        if self._earliest is None or self._earliest > now:
            return ()
        due = sorted((at, which) for which, at in self._armed.items() if at <= now)
        for _, which in due:
            del self._armed[which]
        self._earliest = min(self._armed.values(), default=None)
        return [which for _, which in due]

    def next(self) -> float | None:
        """The earliest armed reading, or None."""
        return self._earliest
