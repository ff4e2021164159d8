"""Time as data: how long each phase may take, and the deadlines that follow. Nothing here reads a clock."""

from __future__ import annotations

import enum
from collections.abc import Sequence, Sized
from typing import Any, Final, final

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
    SILENT_LINK = "silent link"


_OF_SESSION: Final = frozenset({Deadline.SETUP, Deadline.STALL})


class Deadlines:
    """The armed deadlines of one connection, on a clock that moves only when it is told the time.

    One table serves the link and the session of a connection; each takes only its own entries when they are due. A
    deadline armed before the first reading starts counting there.

    The session's entries are on hold while messages wait to be read: what they miss may be among those.

    Attributes:
        now: The newest reading, None before the first.
        started: The first reading.
        messages: What waits to be read. Its owner, the link or a session that stands alone, shares it.
        earliest: The reading at which the first entry is due, or None.
        earliest_of_link: The same for the entries of the link.
    """

    __slots__ = ("_armed", "_session_over", "earliest", "earliest_of_link", "messages", "now", "started")

    def __init__(self, messages: Sized = ()) -> None:
        self.now: float | None = None
        self.started: float | None = None
        self.messages: Sized = messages
        self._armed: dict[Deadline, float] = {}  # readings; before the first one seconds
        # Asked for with every message, so they are kept instead of searched.
        self.earliest: float | None = None
        self.earliest_of_link: float | None = None
        self._session_over = False

    def arm(self, which: Deadline, seconds: float | None) -> None:
        """(Re)start a deadline ``seconds`` from the last reading; None disarms it."""
        if seconds is None:
            self.disarm(which)
        elif not (self._session_over and which in _OF_SESSION):
            self._armed[which] = seconds + (self.now or 0.0)
            if self.now is not None:
                self._update()

    def disarm(self, which: Deadline) -> None:
        """Forget a deadline; one that is not armed is no error."""
        if self._armed.pop(which, None) is not None and self.now is not None:
            self._update()

    def end_session(self) -> None:
        """Forget the session's entries; they cannot be armed again."""
        self._session_over = True
        for which in _OF_SESSION:
            self.disarm(which)

    def clear(self) -> None:
        """Forget all of them, because the connection closes; only the link's can be armed again."""
        self._session_over = True
        self._armed.clear()
        self._update()

    def is_armed(self, which: Deadline) -> bool:
        """Whether it will fire some day."""
        return which in self._armed

    def tick(self, now: float) -> None:
        """Move the clock and fire nothing.

        A reading before the last one is taken as the last one: a clock that steps back never revives the past.
        """
        if self.now is None:
            self.now = self.started = now
            for which in self._armed:
                self._armed[which] += now
            self._update()
        elif now > self.now:
            self.now = now

    def expired(self, *, session: bool) -> Sequence[Deadline]:
        """Disarm the entries of the session, or those of the link, that are due; gives them, earliest first."""
        now = self.now
        if now is None or self.earliest is None or self.earliest > now or (session and self.messages):
            return ()
        due = sorted(
            (at, which) for which, at in self._armed.items() if at <= now and (which in _OF_SESSION) is session
        )
        for _, which in due:
            del self._armed[which]
        self._update()
        return [which for _, which in due]

    def next(self) -> float | None:
        """The earliest reading at which something is due that is not on hold, or None."""
        return self.earliest_of_link if self.messages else self.earliest

    def _update(self) -> None:
        earliest = earliest_of_link = None
        for which, at in self._armed.items():
            if earliest is None or at < earliest:
                earliest = at
            if which not in _OF_SESSION and (earliest_of_link is None or at < earliest_of_link):
                earliest_of_link = at
        self.earliest, self.earliest_of_link = earliest, earliest_of_link
