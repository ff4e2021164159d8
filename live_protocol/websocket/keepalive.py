"""Whether the other end still lives: the ping and the pong deadline, and what a round trip takes."""

from __future__ import annotations

from typing import cast

from live_protocol.timing import Deadline, Deadlines, Timeouts

_REMEMBERED = 64
_ROUNDING = 0.001  # seconds; a deadline set anew for less than this would be lost in the digits of a large reading


class Keepalive:
    """Watches over one open link.

    Attributes:
        latency: Seconds the newest answered ping took, None before the first.
        last_received: Reading at which the newest byte arrived. The ping deadline looks at it only when it fires, so
            that a byte costs one assignment.
        unanswered: A ping was taken, and nothing has arrived since.
        queued: Payloads of pings that wait to be taken.
    """

    __slots__ = ("_count", "_deadlines", "_sent", "_timeouts", "last_received", "latency", "queued", "unanswered")

    def __init__(self, deadlines: Deadlines, timeouts: Timeouts) -> None:
        self.latency: float | None = None
        self._deadlines = deadlines
        self._timeouts = timeouts
        self.last_received: float | None = None
        self.unanswered: bool = False
        self.queued: list[bytes] = []
        self._sent: dict[bytes, float | None] = {}  # and when they were, oldest first
        self._count = 0

    def start(self) -> None:
        """The link is open."""
        self.last_received = self._deadlines.now
        self._deadlines.arm(Deadline.PING, self._timeouts.ping_interval)

    def answered(self) -> None:
        """Something arrived after a ping; any byte counts as life."""
        self.unanswered = False
        self._deadlines.disarm(Deadline.PONG)
        self._deadlines.disarm(Deadline.SILENT_LINK)

    def ping_due(self) -> bytes | None:
        """The ping deadline fired: return the payload of the ping to send, or None if bytes arrived meanwhile."""
        interval = cast("float", self._timeouts.ping_interval)
        rest = 0.0
        if self.last_received is not None:
            rest = self.last_received + interval - cast("float", self._deadlines.now)
        if rest > _ROUNDING:
            self._deadlines.arm(Deadline.PING, rest)
            return None
        self._deadlines.arm(Deadline.PING, interval)
        if self.unanswered or self.queued:
            return None
        self._count = self._count + 1 & 0xFFFFFFFF
        return self._count.to_bytes(4, "big")

    def taken(self, *, watch: bool) -> None:
        """What was queued is on its way.

        Args:
            watch: Whether a pong could be seen: the link is open and being read.
        """
        sent = self._sent
        for payload in self.queued:
            sent.pop(payload, None)
            sent[payload] = self._deadlines.now
        self.queued.clear()
        while len(sent) > _REMEMBERED:
            del sent[next(iter(sent))]
        if not self.unanswered:
            self.unanswered = True
            if watch:
                self.watch()

    def watch(self) -> None:
        """Reading goes on: the wait for a pong that could not have been seen meanwhile begins anew."""
        if self.unanswered:
            self._deadlines.arm(Deadline.PONG, self._timeouts.ping_timeout)
            self._deadlines.arm(Deadline.SILENT_LINK, self._timeouts.stall)

    def idle_time(self) -> float:
        """Seconds since the newest byte came, when the stall deadline fires."""
        if self.last_received is None:  # before the clock ran
            return cast("float", self._timeouts.stall)
        return cast("float", self._deadlines.now) - self.last_received

    def pong(self, payload: bytes) -> float | None:
        """A pong arrived: return the seconds since its ping was taken, or None if the ping was not ours."""
        sent = self._sent
        if payload not in sent:
            return None
        at = sent[payload]
        while payload in sent:  # it answers every earlier ping too (RFC 6455 section 5.5.3)
            del sent[next(iter(sent))]
        if at is None:
            return None
        self.latency = cast("float", self._deadlines.now) - at
        return self.latency
