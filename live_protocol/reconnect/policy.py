"""The choices: when to reconnect, and what happens to input meanwhile."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, final

import attrs


class OfflinePolicy(enum.StrEnum):
    """What happens to input while there is no connection.

    Late audio and video are worthless. So outside transparent mode they always give way to other input, are dropped
    when they are too old (``ReconnectPolicy.media_max_age``), and never make a command raise in `BUFFER`.
    """

    BUFFER = "BUFFER"
    """Keep it up to the bound, then raise `NotConnected`."""
    DROP_OLDEST = "DROP_OLDEST"
    """Keep it up to the bound, then drop the oldest, which `InputLost` reports."""
    RAISE = "RAISE"
    """Keep none: every command raises `NotConnected`."""


class NoHandlePolicy(enum.StrEnum):
    """What to do if the session cannot be resumed: no handle ever came, it is dead, or it keeps failing."""

    FRESH = "FRESH"
    """Begin a new session, which knows nothing of the old one; `Reconnected` says so."""
    GIVE_UP = "GIVE_UP"
    """Give up."""


class LateToolResults(enum.StrEnum):
    """What happens to the response to a tool call of an earlier connection.

    A new session that did not resume always refuses it with `ToolCallOrphaned`.
    """

    DELIVER = "DELIVER"
    """Send it: a resumed session still waits for it (wire.md#resuming), and a model whose call is never answered can
    stay "in progress" forever. `Reconnected.open_calls` names the calls."""
    REFUSE = "REFUSE"
    """Refuse it with `ToolCallOrphaned`."""


def _at_least(least: float) -> Callable[[object, attrs.Attribute[Any], float | None], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
        if value is not None and not least <= value < float("inf"):
            raise ValueError(f"{attribute.name} must be at least {least:g} and finite, not {value!r}")

    return check


def _fraction(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} must be from 0 to 1, not {value!r}")


@final
@attrs.frozen(kw_only=True)
class GoAwayPolicy:
    """When to leave a connection whose end the server has announced (wire.md#go-away).

    A moment is safe if no turn is running or awaited, no tool call awaits a response, no activity window is open,
    and the newest update says that the session is resumable.

    Attributes:
        margin: Seconds before the announced end at which to leave at the latest, safe or not.
        assumed_time_left: Seconds to assume if the server does not say how much time is left.
        wait_for_safe_moment: Whether to wait for a safe moment at all; False leaves at once.
    """

    margin: float = attrs.field(default=5.0, validator=_at_least(0))
    assumed_time_left: float = attrs.field(default=10.0, validator=_at_least(0))
    wait_for_safe_moment: bool = True


@final
@attrs.frozen(kw_only=True)
class ReconnectPolicy:
    """How a session is kept alive across connections. All times are in seconds.

    Attributes:
        max_attempts: Tries in a row before giving up.
        give_up_after: Time without a stable connection before giving up; None for no bound.
        base_delay: Delay before the first try; it doubles with each further one.
        max_delay: Bound of that.
        jitter: Part of a delay that is random, from 0 to 1; it only shortens.
        stable_after: How long a connection must have been ready for the count of tries to start anew.
        resume_conflict_delay: Delay at least after a resumption that was refused while the old connection still seemed
            to live (wire.md#resuming).
        resume_conflict_window: Time after the loss of the connection in which such refusals are expected and do not
            count as tries; after it they mean that the handle cannot be used.
        max_handle_failures: Number of resumed connections in a row that the server ends before they are stable, after
            which the handle is given up. Refused upgrades do not count, nor do ends for which the service blames
            itself (it restarts, it is overloaded).
        no_handle: What to do if the session cannot be resumed.
        retry_first: Whether the very first connection is retried too. If not, its failure is final, so that a wrong
            address or setup shows at once.
        after_normal_close: Whether to reconnect after the server closed normally (1000, or no code) without having
            announced it.
        go_away: When to leave a connection whose end was announced.
        resumption: Whether to switch resumption on if the setup says nothing; without it nothing can be resumed.
        transparent: Transparent mode, Vertex only: every message reaches the session exactly once, in order. None
            leaves it to the setup.
        offline: What happens to input while there is no connection.
        offline_bytes: Bound on that input, in bytes of JSON.
        media_max_age: Age beyond which audio and video that waits is dropped; not in transparent mode.
        outbox_bytes: Transparent mode: bound on messages kept until the server has them, in bytes of JSON. The oldest
            beyond it cannot be sent again; `InputLost` reports them if the connection breaks before the server has
            them.
        in_flight_window: Without transparent mode: how long a message may be on its way. A handle includes only
            messages that left earlier than this before it came.
        late_tool_results: What happens to responses to tool calls of earlier connections.
    """

    max_attempts: int = attrs.field(default=8, validator=_at_least(1))
    give_up_after: float | None = attrs.field(default=120.0, validator=_at_least(0))
    base_delay: float = attrs.field(default=0.25, validator=_at_least(0))
    max_delay: float = attrs.field(default=15.0, validator=_at_least(0))
    jitter: float = attrs.field(default=0.5, validator=_fraction)
    stable_after: float = attrs.field(default=10.0, validator=_at_least(0))
    resume_conflict_delay: float = attrs.field(default=1.0, validator=_at_least(0))
    resume_conflict_window: float = attrs.field(default=30.0, validator=_at_least(0))
    max_handle_failures: int = attrs.field(default=5, validator=_at_least(1))
    no_handle: NoHandlePolicy = NoHandlePolicy.FRESH
    retry_first: bool = False
    after_normal_close: bool = False
    go_away: GoAwayPolicy = GoAwayPolicy()
    resumption: bool = True
    transparent: bool | None = None
    offline: OfflinePolicy = OfflinePolicy.BUFFER
    offline_bytes: int = attrs.field(default=1024 * 1024, validator=_at_least(1))
    media_max_age: float = attrs.field(default=2.0, validator=_at_least(0))
    outbox_bytes: int = attrs.field(default=4 * 1024 * 1024, validator=_at_least(1))
    in_flight_window: float = attrs.field(default=1.0, validator=_at_least(0))
    late_tool_results: LateToolResults = LateToolResults.DELIVER
