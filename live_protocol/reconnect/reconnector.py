"""When to dial again, with which handle, and when to give up: decisions only, no I/O and no clock (wire.md#handles)."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from typing import Final, TypeAlias, final

import attrs

from live_protocol.close_info import CloseInfo, Initiator
from live_protocol.events import GoAway, ReconnectReason, ResumptionUpdated, SetupComplete
from live_protocol.reconnect.policy import NoHandlePolicy, ReconnectPolicy


class Verdict(enum.StrEnum):
    """The meaning of a connection's end for the next one."""

    RETRY = "RETRY"
    """Another connection can help."""
    CONFLICT = "CONFLICT"
    """The old connection still seems to live: the same again, a little later."""
    BAD_HANDLE = "BAD_HANDLE"
    """The handle cannot be used."""
    ENDED = "ENDED"
    """The server closed normally."""
    FATAL = "FATAL"
    """Dialing again would fail in the same way."""


_DEAD_HANDLE: Final = ("invalid session handle", "session not found", "requested entity was not found")
_TRANSIENT: Final = ("requested entity was not found", "operation is not implemented")
_CONFLICT: Final = "internal error"
_OUTAGE: Final = "currently unavailable"
_UNSPECIFIC: Final = ("", "request contains an invalid argument")


def verdict(info: CloseInfo, *, resumed: bool, ready: bool, accepted: bool = False) -> Verdict:
    """Classify the end of a connection (wire.md#close-codes).

    Args:
        info: The end.
        resumed: Whether the setup had a handle.
        ready: Whether ``setupComplete`` came.
        accepted: Whether the same setup was accepted before, so that a refusal without a reason is the handle's fault.
    """
    text = info.reason.lower()
    if resumed and not ready and info.initiator is Initiator.REMOTE:
        if any(part in text for part in _DEAD_HANDLE):
            return Verdict.BAD_HANDLE
        if info.code == 1011 and _CONFLICT in text:
            return Verdict.CONFLICT
        if accepted and info.code in (1007, 1008) and text.rstrip(".") in _UNSPECIFIC:
            return Verdict.BAD_HANDLE
    if ready and any(part in text for part in _TRANSIENT):
        return Verdict.RETRY  # on 2.5 models also a passing fault around tool calls
    if info.retryable:
        return Verdict.RETRY
    return Verdict.ENDED if info.clean else Verdict.FATAL


def _blames_handle(info: CloseInfo, *, ready: bool) -> bool:
    """Whether the handle can be the cause: the server closed the connection, and not because of a fault of its own.

    A refused upgrade does not count: the handle is only sent after it.
    """
    outage = not ready and _OUTAGE in info.reason.lower()
    return info.initiator is Initiator.REMOTE and info.code in (1007, 1008, 1011) and not outage


@final
@attrs.frozen(kw_only=True)
class DialAgain:
    """A decision to open another connection.

    Attributes:
        at: Clock reading at which to do it.
        delay: The same as seconds from now.
        handle: Handle to resume from; None begins a new session.
        attempt: Number of tries in a row, this one included.
        reason: The cause.
    """

    at: float
    delay: float
    handle: str | None = attrs.field(repr=lambda handle: "None" if handle is None else "<hidden>")
    attempt: int
    reason: ReconnectReason


@final
@attrs.frozen(kw_only=True)
class GiveUp:
    """A decision to open no other connection.

    Attributes:
        why: The reason, for a person; empty if the server closed normally.
    """

    why: str


Decision: TypeAlias = DialAgain | GiveUp


def system_random() -> float:
    """A random number from 0 to 1, below 1."""
    return int.from_bytes(os.urandom(4)) / 2**32


class Reconnector:
    """Decides when and how to make the next connection, from events, drops and the clock. It does nothing itself.

    Args:
        policy: The rules.
        jitter: Gives a random number from 0 to 1, below 1.
        handle: Handle of an earlier session to resume from.
        accepted: Whether that session's setup is known to be accepted.

    Attributes:
        policy: The rules.
        handle: Newest handle; None if there is none to resume from.
        attempt: Tries in a row so far; 0 while the connection is healthy.
        ready: Whether the present connection has completed its setup.
        leave_at: Clock reading at which to leave the present connection at the latest; None while there is no need.
    """

    __slots__ = (
        "_accepted",
        "_conflicts",
        "_dialed_handle",
        "_failing_since",
        "_had_session",
        "_handle_failures",
        "_jitter",
        "_left",
        "_lost_at",
        "_ready_at",
        "attempt",
        "handle",
        "leave_at",
        "policy",
        "ready",
    )

    def __init__(
        self,
        policy: ReconnectPolicy,
        *,
        jitter: Callable[[], float] = system_random,
        handle: str | None = None,
        accepted: bool = False,
    ) -> None:
        self.policy: ReconnectPolicy = policy
        self.handle: str | None = handle
        self.attempt: int = 0
        self.ready: bool = False
        self.leave_at: float | None = None
        self._jitter = jitter
        self._dialed_handle = handle
        self._accepted = accepted
        self._had_session = handle is not None
        self._failing_since: float | None = None
        self._lost_at: float | None = None
        self._ready_at = 0.0
        self._handle_failures = 0
        self._conflicts = 0  # tries among ``attempt`` that met the old connection alive
        self._left = False

    def __repr__(self) -> str:
        return f"<Reconnector attempt={self.attempt} ready={self.ready}>"

    # --- inputs -------------------------------------------------------------------------------------------------

    def dial_started(self, handle: str | None) -> None:
        """A connection is being made, with this handle in its setup."""
        self._dialed_handle = handle
        self.ready = self._left = False
        self.leave_at = None

    def event_received(self, event: object, now: float) -> None:
        """Something happened on the present connection.

        Args:
            event: Any event; most are ignored.
            now: Clock reading.
        """
        if isinstance(event, SetupComplete):
            self.ready = self._had_session = self._accepted = True
            self._ready_at = now
        elif isinstance(event, ResumptionUpdated):
            if event.resumable:  # one that comes without it is no better than the one at hand
                self.handle = event.handle or self.handle
        elif isinstance(event, GoAway):
            rules = self.policy.go_away
            left = rules.assumed_time_left if event.time_left is None else event.time_left
            self.leave_by(now + max(0.0, left - rules.margin) if rules.wait_for_safe_moment else now)

    def leave_by(self, at: float) -> None:
        """Leave the present connection at the first safe moment, and by ``at`` at the latest.

        Args:
            at: Clock reading; of several, the earliest counts.
        """
        self.leave_at = at if self.leave_at is None else min(at, self.leave_at)

    def leaving(self) -> None:
        """We have begun to leave the present connection."""
        self._left = True

    # --- outputs ------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `should_leave` may change its mind because of the time alone."""
        return None if self._left else self.leave_at

    def should_leave(self, now: float, *, safe: bool) -> bool:
        """Whether to leave the present connection now.

        Args:
            now: Clock reading.
            safe: Whether the moment is safe, see `GoAwayPolicy`.
        """
        if self.leave_at is None or self._left or not self.ready:
            return False
        return safe or now >= self.leave_at

    def connection_lost(self, info: CloseInfo, now: float) -> Decision:
        """The present connection ended.

        Args:
            info: The end.
            now: Clock reading.
        """
        policy, ready = self.policy, self.ready
        if ready and now - self._ready_at >= policy.stable_after:
            self.attempt = self._handle_failures = self._conflicts = 0
            self._failing_since = None
        self._lost(now)
        if self.leave_at is not None and (self._left or info.clean or info.retryable):
            return self._dial(now, ReconnectReason.GO_AWAY, None if self.attempt else 0.0)
        outcome = verdict(info, resumed=self._dialed_handle is not None, ready=ready, accepted=self._accepted)
        if outcome is Verdict.ENDED and policy.after_normal_close:
            outcome = Verdict.RETRY
        if outcome in (Verdict.ENDED, Verdict.FATAL):
            return GiveUp(why="" if outcome is Verdict.ENDED else "dialing again would not help")
        if not self._had_session and not policy.retry_first:
            return GiveUp(why="the first connection failed, and ReconnectPolicy.retry_first is off")
        if outcome is Verdict.CONFLICT:
            if self.downtime(now) < policy.resume_conflict_window:
                self._conflicts += 1
                return self._dial(now, ReconnectReason.CONFLICT, policy.resume_conflict_delay)
            outcome = Verdict.BAD_HANDLE
        if self._dialed_handle is not None and _blames_handle(info, ready=ready):
            self._handle_failures += 1
        if outcome is Verdict.BAD_HANDLE or self._handle_failures >= policy.max_handle_failures:
            self.handle, self._handle_failures = None, 0
            return self._dial(now, ReconnectReason.HANDLE_REFUSED, 0.0)
        return self._dial(now, ReconnectReason.DROPPED)

    def dial_failed(self, now: float, *, retryable: bool = True) -> Decision:
        """No transport could be opened.

        Args:
            now: Clock reading.
            retryable: False if another try is bound to fail in the same way.
        """
        self._lost(now)
        if not retryable:
            return GiveUp(why="dialing again would not help")
        if not self._had_session and not self.policy.retry_first:
            return GiveUp(why="the first connection failed, and ReconnectPolicy.retry_first is off")
        return self._dial(now, ReconnectReason.DIAL_FAILED)

    def downtime(self, now: float) -> float:
        """Seconds since the last good connection was lost."""
        return 0.0 if self._lost_at is None else now - self._lost_at

    # --- inside -------------------------------------------------------------------------------------------------

    def _lost(self, now: float) -> None:
        if self.ready or self._lost_at is None:
            self._lost_at = now
        if self._failing_since is None:
            self._failing_since = now
        self.ready = False

    def _dial(self, now: float, reason: ReconnectReason, least: float | None = None) -> Decision:
        """The next try: after the usual delay or ``least``, whichever is longer; at once if ``least`` is 0."""
        policy = self.policy
        if self.handle is None and self._had_session and policy.no_handle is NoHandlePolicy.GIVE_UP:
            return GiveUp(why="there is no handle to resume from, and ReconnectPolicy.no_handle says so")
        self.attempt += 1
        if self.attempt - self._conflicts > policy.max_attempts:
            return GiveUp(why=f"{policy.max_attempts} tries in a row failed")
        delay = 0.0
        if least != 0.0:
            delay = min(policy.max_delay, policy.base_delay * 2.0 ** min(self.attempt - 1, 64))
            delay = max(least or 0.0, delay * (1.0 - policy.jitter * self._jitter()))
        failing = now - (now if self._failing_since is None else self._failing_since)
        if policy.give_up_after is not None and failing + delay > policy.give_up_after:
            return GiveUp(why=f"there was no stable connection for {policy.give_up_after:g} s")
        return DialAgain(at=now + delay, delay=delay, handle=self.handle, attempt=self.attempt, reason=reason)
