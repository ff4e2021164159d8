"""When to dial again, with which handle, and when to give up: decisions only, no I/O and no clock (wire.md 10, 11)."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from typing import Any, Final, TypeAlias, final

import attrs

from live_protocol.closing import CloseInfo, Initiator
from live_protocol.events import GoAway, ReconnectReason, ResumptionUpdated, SetupComplete

__all__ = [
    "Dial",
    "Gap",
    "GiveUp",
    "GoAwayPolicy",
    "LateResults",
    "ReconnectPolicy",
    "Reconnector",
    "Verdict",
    "WithoutHandle",
    "verdict",
]


class Gap(enum.StrEnum):
    """What becomes of input while there is no connection.

    Audio and video are worth nothing when they come late, so outside transparent mode they always give way to other
    input, are dropped when they are too old (``ReconnectPolicy.media_max_age``), and never make a command raise in
    `BUFFER`.
    """

    BUFFER = "BUFFER"
    """Keep it up to the bound, then raise `NotConnected`."""
    DROP_OLDEST = "DROP_OLDEST"
    """Keep it up to the bound, then drop the oldest, which `InputLost` reports."""
    RAISE = "RAISE"
    """Keep none: every command raises `NotConnected`."""


class WithoutHandle(enum.StrEnum):
    """What to do where the session cannot be resumed: no handle ever came, it is dead, or it is poisoned."""

    FRESH = "FRESH"
    """Begin a new session, which knows nothing of the old one; `Reconnected` says so."""
    GIVE_UP = "GIVE_UP"
    """Give up."""


class LateResults(enum.StrEnum):
    """What becomes of the response to a tool call that was made on an earlier connection.

    On a new session that did not resume, it is always refused with `ToolCallOrphaned`.
    """

    DELIVER = "DELIVER"
    """It is sent, because a resumed session still waits for it (wire.md section 10); a model whose call is never
    answered can stay "in progress" for ever. `Reconnected.open_calls` names the calls."""
    REFUSE = "REFUSE"
    """It is refused with `ToolCallOrphaned`."""


def _at_least(least: float) -> Callable[[object, attrs.Attribute[Any], float | None], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
        if value is not None and not least <= value < float("inf"):
            raise ValueError(f"{attribute.name} must be at least {least:g} and finite, not {value!r}")

    return check


def _share(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} must be from 0 to 1, not {value!r}")


@final
@attrs.frozen(kw_only=True)
class GoAwayPolicy:
    """When to leave a connection whose end the server has announced (wire.md section 10).

    A moment is safe where no turn is running or awaited, no tool call awaits a response, no activity window is open,
    and the newest update says that the session is resumable.

    Attributes:
        margin: Seconds before the announced end at which to leave at the latest, safe or not.
        unknown: Seconds to assume where the server does not say how much time is left.
        wait: Whether to wait for a safe moment at all; False leaves at once.
    """

    margin: float = attrs.field(default=5.0, validator=_at_least(0))
    unknown: float = attrs.field(default=10.0, validator=_at_least(0))
    wait: bool = True


@final
@attrs.frozen(kw_only=True)
class ReconnectPolicy:
    """How a session is kept alive across connections. All times are in seconds.

    Attributes:
        max_attempts: Tries in a row before giving up.
        give_up_after: Time without a healthy connection before giving up; None for no bound.
        base_delay: Delay before the first try; it doubles with each further one.
        max_delay: Bound of that.
        jitter: Part of a delay that is random, from 0 to 1; it only shortens.
        healthy_after: How long a connection must have been ready for the count of tries to start anew.
        resume_conflict_delay: Delay at least after a resumption that was refused while the old connection still seemed
            to live (wire.md section 10).
        resume_conflict_for: Time after the loss of the connection for which such refusals are put down to that, and do
            not count as tries; after it they mean that the handle is no good.
        poisoned_after: Resumed connections in a row which the server ends before they are healthy, after which the
            handle counts as poisoned. Refused upgrades, and ends that the service puts down to
            itself (it restarts, it is overloaded), do not count.
        without_handle: What to do where the session cannot be resumed.
        retry_first: Whether the very first connection is retried too; otherwise its failure is final, so that a wrong
            address or setup shows at once.
        after_normal_close: Whether to reconnect after the server closed normally (1000, or no code) without having
            announced it.
        go_away: When to leave a connection whose end was announced.
        resumption: Switch resumption on where the setup does not say; without it nothing can be resumed.
        transparent: Transparent mode, Vertex only: every message reaches the session exactly once, in order. None: as
            the setup says.
        gap: What becomes of input while there is no connection.
        gap_bytes: Bound on that input, in bytes of JSON.
        media_max_age: Age beyond which audio and video from such a time is dropped; not in transparent mode.
        outbox_bytes: Transparent mode: bound on messages kept until the server has them, in bytes of JSON. The oldest
            beyond it cannot be sent again; `InputLost` reports them if the connection breaks before the server has
            them.
        in_flight: Without transparent mode: how long a message may be on its way. One that left later than this before
            a handle came does not count as included in it.
        late_results: What becomes of responses to tool calls of earlier connections.
    """

    max_attempts: int = attrs.field(default=8, validator=_at_least(1))
    give_up_after: float | None = attrs.field(default=120.0, validator=_at_least(0))
    base_delay: float = attrs.field(default=0.25, validator=_at_least(0))
    max_delay: float = attrs.field(default=15.0, validator=_at_least(0))
    jitter: float = attrs.field(default=0.5, validator=_share)
    healthy_after: float = attrs.field(default=10.0, validator=_at_least(0))
    resume_conflict_delay: float = attrs.field(default=1.0, validator=_at_least(0))
    resume_conflict_for: float = attrs.field(default=30.0, validator=_at_least(0))
    poisoned_after: int = attrs.field(default=5, validator=_at_least(1))
    without_handle: WithoutHandle = WithoutHandle.FRESH
    retry_first: bool = False
    after_normal_close: bool = False
    go_away: GoAwayPolicy = GoAwayPolicy()
    resumption: bool = True
    transparent: bool | None = None
    gap: Gap = Gap.BUFFER
    gap_bytes: int = attrs.field(default=1024 * 1024, validator=_at_least(1))
    media_max_age: float = attrs.field(default=2.0, validator=_at_least(0))
    outbox_bytes: int = attrs.field(default=4 * 1024 * 1024, validator=_at_least(1))
    in_flight: float = attrs.field(default=1.0, validator=_at_least(0))
    late_results: LateResults = LateResults.DELIVER


# --- what an end means ------------------------------------------------------------------------------------------


class Verdict(enum.StrEnum):
    """What the end of a connection means for the next one."""

    RETRY = "RETRY"
    """Another connection can help."""
    CONFLICT = "CONFLICT"
    """The old connection still seems to live: the same again, a little later."""
    HANDLE = "HANDLE"
    """The handle is no good."""
    OVER = "OVER"
    """The server ended it in peace."""
    FATAL = "FATAL"
    """Dialling again would fail in the same way."""


_DEAD_HANDLE: Final = ("invalid session handle", "session not found", "requested entity was not found")
_PASSING: Final = ("requested entity was not found", "operation is not implemented")
_CONFLICT: Final = "internal error"
_OUTAGE: Final = "currently unavailable"
_UNSPECIFIC: Final = ("", "request contains an invalid argument")


def verdict(info: CloseInfo, *, resumed: bool, ready: bool, accepted: bool = False) -> Verdict:
    """What the end of a connection means (wire.md section 11).

    Args:
        info: How it ended.
        resumed: Whether its setup had a handle.
        ready: Whether it got as far as ``setupComplete``.
        accepted: Whether the same setup was accepted before, so that a refusal without a reason is the handle's fault.
    """
    text = info.reason.lower()
    if resumed and not ready and info.initiator is Initiator.REMOTE:
        if any(part in text for part in _DEAD_HANDLE):
            return Verdict.HANDLE
        if info.code == 1011 and _CONFLICT in text:
            return Verdict.CONFLICT
        if accepted and info.code in (1007, 1008) and text.rstrip(".") in _UNSPECIFIC:
            return Verdict.HANDLE
    if ready and any(part in text for part in _PASSING):
        return Verdict.RETRY  # on 2.5 models also a passing fault around tool calls
    if info.retryable:
        return Verdict.RETRY
    return Verdict.OVER if info.clean else Verdict.FATAL


def _blames_handle(info: CloseInfo, *, ready: bool) -> bool:
    """Whether such an end of a resumed connection can be the handle's fault: the server closed it, and not for itself.

    A refused upgrade cannot be, for the handle only comes after it.
    """
    outage = not ready and _OUTAGE in info.reason.lower()
    return info.initiator is Initiator.REMOTE and info.code in (1007, 1008, 1011) and not outage


# --- decisions --------------------------------------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Dial:
    """Open another connection.

    Attributes:
        at: Clock reading at which to do it.
        delay: The same as seconds from now.
        handle: What to resume from; None begins a new session.
        attempt: Which try in a row it is, from 1.
        reason: Why.
    """

    at: float
    delay: float
    handle: str | None = attrs.field(repr=lambda handle: "None" if handle is None else "<hidden>")
    attempt: int
    reason: ReconnectReason


@final
@attrs.frozen(kw_only=True)
class GiveUp:
    """There is to be no other connection.

    Attributes:
        why: Why, for a person; empty where the server ended the session in peace.
    """

    why: str


Decision: TypeAlias = Dial | GiveUp


def system_random() -> float:
    """A random number from 0 to 1, below 1."""
    return int.from_bytes(os.urandom(4)) / 2**32


class Reconnector:
    """Decides, from events, drops and the clock, what happens between two connections. Does nothing itself.

    Args:
        policy: The rules.
        jitter: Gives a random number from 0 to 1, below 1.
        handle: Handle of an earlier session to resume from.
        accepted: Whether that session's setup is known to be accepted.

    Attributes:
        policy: The rules.
        handle: Newest handle; None where there is nothing to resume from.
        attempt: Tries in a row so far; 0 while all is well.
        ready: Whether the present connection has completed its setup.
        leave_at: Clock reading at which to leave the present connection at the latest; None while there is no need.
    """

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
        self._used = handle
        self._accepted = accepted
        self._ever = handle is not None  # there is, or was, a session worth going on with
        self._failing_since: float | None = None
        self._lost_at: float | None = None
        self._ready_at = 0.0
        self._strikes = 0
        self._conflicts = 0  # tries among ``attempt`` that only found the old connection alive
        self._left = False

    def __repr__(self) -> str:
        return f"<Reconnector attempt={self.attempt} ready={self.ready}>"

    # --- inputs -------------------------------------------------------------------------------------------------

    def dialled(self, handle: str | None) -> None:
        """A connection is being made, with this handle in its setup."""
        self._used = handle
        self.ready = self._left = False
        self.leave_at = None

    def observed(self, event: object, now: float) -> None:
        """Something happened on the present connection; what does not matter here is ignored.

        Args:
            event: Any event.
            now: Clock reading.
        """
        if isinstance(event, SetupComplete):
            self.ready = self._ever = self._accepted = True
            self._ready_at = now
        elif isinstance(event, ResumptionUpdated):
            if event.resumable:  # one that comes without it is no better than the one at hand
                self.handle = event.handle or self.handle
        elif isinstance(event, GoAway):
            rules = self.policy.go_away
            left = rules.unknown if event.time_left is None else event.time_left
            self.leave_by(now + max(0.0, left - rules.margin) if rules.wait else now)

    def leave_by(self, at: float) -> None:
        """The present connection is to be left by then, before that at the first safe moment; the earliest time counts.

        Args:
            at: Clock reading.
        """
        self.leave_at = at if self.leave_at is None else min(at, self.leave_at)

    def left(self) -> None:
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

    def dropped(self, info: CloseInfo, now: float) -> Decision:
        """The present connection ended.

        Args:
            info: How.
            now: Clock reading.
        """
        policy, ready = self.policy, self.ready
        if ready and now - self._ready_at >= policy.healthy_after:
            self.attempt = self._strikes = self._conflicts = 0
            self._failing_since = None
        self._lost(now)
        if self.leave_at is not None and (self._left or info.clean or info.retryable):
            return self._dial(now, ReconnectReason.GO_AWAY, None if self.attempt else 0.0)
        found = verdict(info, resumed=self._used is not None, ready=ready, accepted=self._accepted)
        if found is Verdict.OVER and policy.after_normal_close:
            found = Verdict.RETRY
        if found in (Verdict.OVER, Verdict.FATAL):
            return GiveUp(why="" if found is Verdict.OVER else "dialling again would not help")
        if not self._ever and not policy.retry_first:
            return GiveUp(why="the first connection failed, and ReconnectPolicy.retry_first is off")
        if found is Verdict.CONFLICT:
            if self.gap(now) < policy.resume_conflict_for:
                self._conflicts += 1
                return self._dial(now, ReconnectReason.CONFLICT, policy.resume_conflict_delay)
            found = Verdict.HANDLE
        if self._used is not None and _blames_handle(info, ready=ready):
            self._strikes += 1
        if found is Verdict.HANDLE or self._strikes >= policy.poisoned_after:
            self.handle, self._strikes = None, 0
            return self._dial(now, ReconnectReason.HANDLE_REFUSED, 0.0)
        return self._dial(now, ReconnectReason.DROPPED)

    def dial_failed(self, now: float, *, retryable: bool = True) -> Decision:
        """No transport could be opened.

        Args:
            now: Clock reading.
            retryable: False where another try must fail in the same way.
        """
        self._lost(now)
        if not retryable:
            return GiveUp(why="dialling again would not help")
        if not self._ever and not self.policy.retry_first:
            return GiveUp(why="the first connection failed, and ReconnectPolicy.retry_first is off")
        return self._dial(now, ReconnectReason.DIAL_FAILED)

    def gap(self, now: float) -> float:
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
        """The next try; without ``least`` after the usual delay, with 0 at once, otherwise after the longer one."""
        policy = self.policy
        if self.handle is None and self._ever and policy.without_handle is WithoutHandle.GIVE_UP:
            return GiveUp(why="there is no handle to resume from, and ReconnectPolicy.without_handle says so")
        self.attempt += 1
        if self.attempt - self._conflicts > policy.max_attempts:
            return GiveUp(why=f"{policy.max_attempts} tries in a row failed")
        delay = 0.0
        if least != 0.0:
            delay = min(policy.max_delay, policy.base_delay * 2.0 ** min(self.attempt - 1, 64))
            delay = max(least or 0.0, delay * (1.0 - policy.jitter * self._jitter()))
        failing = now - (now if self._failing_since is None else self._failing_since)
        if policy.give_up_after is not None and failing + delay > policy.give_up_after:
            return GiveUp(why=f"there was no healthy connection for {policy.give_up_after:g} s")
        return Dial(at=now + delay, delay=delay, handle=self.handle, attempt=self.attempt, reason=reason)
