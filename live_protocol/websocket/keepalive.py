"""Whether the other end still lives: the ping and the pong deadline, and what a round trip takes."""

from __future__ import annotations

from typing import cast

from live_protocol.timing import Deadline, Deadlines, Timeouts

__all__ = ["Keepalive"]

_REMEMBERED = 64
_ROUNDING = 0.001  # seconds; a deadline set anew for less than this would be lost in the digits of a large reading


class Keepalive:
    """Watches over one open link.

    Attributes:
        latency: Seconds the newest answered ping took, None before the first.
    """

    __slots__ = ("_count", "_deadlines", "_last_received", "_queued", "_taken", "_timeouts", "_unanswered", "latency")

    def __init__(self, deadlines: Deadlines, timeouts: Timeouts) -> None:
        self.latency: float | None = None
        self._deadlines = deadlines
        self._timeouts = timeouts
        self._last_received: float | None = None  # reading at which the newest byte came
        self._unanswered = False  # nothing came since a ping of ours was taken
        self._queued: list[bytes] = []  # payloads of pings that wait to be taken
        self._taken: dict[bytes, float | None] = {}  # and when they were, oldest first
        self._count = 0

    def start(self) -> None:
        """The link is open."""
        self._last_received = self._deadlines.now
        self._deadlines.arm(Deadline.PING, self._timeouts.ping_interval)

    def data_received(self) -> None:
        """Something came, whatever it was. On the hot path: the ping deadline learns of it only when it fires."""
        self._last_received = self._deadlines.now
        if self._unanswered:
            self._unanswered = False
            self._deadlines.disarm(Deadline.PONG)
            self._deadlines.disarm(Deadline.SILENT_LINK)

    def ping_due(self) -> bytes | None:
        """The ping deadline fired; gives the payload of the ping to send, if the silence has lasted that long."""
        interval = cast("float", self._timeouts.ping_interval)
        rest = 0.0
        if self._last_received is not None:
            rest = self._last_received + interval - cast("float", self._deadlines.now)
        if rest > _ROUNDING:
            self._deadlines.arm(Deadline.PING, rest)
            return None
        self._deadlines.arm(Deadline.PING, interval)
        if self._unanswered or self._queued:
            return None
        self._count = self._count + 1 & 0xFFFFFFFF
        return self._count.to_bytes(4, "big")

    def queue(self, payload: bytes) -> None:
        """A ping waits to be taken."""
        self._queued.append(payload)

    def take(self, *, watch: bool) -> None:
        """What was queued is on its way.

        Args:
            watch: Whether a pong could be seen: the link is open and being read.
        """
        if not self._queued:
            return
        taken = self._taken
        for payload in self._queued:
            taken.pop(payload, None)
            taken[payload] = self._deadlines.now
        self._queued.clear()
        while len(taken) > _REMEMBERED:
            del taken[next(iter(taken))]
        if not self._unanswered:
            self._unanswered = True
            if watch:
                self.watch()

    def watch(self) -> None:
        """Reading goes on: the wait for a pong that could not have been seen meanwhile begins anew."""
        if self._unanswered:
            self._deadlines.arm(Deadline.PONG, self._timeouts.ping_timeout)
            self._deadlines.arm(Deadline.SILENT_LINK, self._timeouts.stall)

    def idle_time(self) -> float:
        """Seconds since the newest byte came, when the stall deadline fires."""
        if self._last_received is None:  # before the clock ran
            return cast("float", self._timeouts.stall)
        return cast("float", self._deadlines.now) - self._last_received

    def pong(self, payload: bytes) -> float | None:
        """A pong came; gives the seconds since its ping was taken, None if it answers none of ours."""
        taken = self._taken
        if payload not in taken:
            return None
        at = taken[payload]
        while payload in taken:  # it answers every earlier ping too (RFC 6455 section 5.5.3)
            del taken[next(iter(taken))]
        if at is None:
            return None
        self.latency = cast("float", self._deadlines.now) - at
        return self.latency
