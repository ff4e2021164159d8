"""`Reconnector` and what it makes of every known end (wire.md#close-codes)."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from live_protocol import events as ev
from live_protocol.close_info import CloseInfo
from live_protocol.errors import DeadlineExpired, FrameViolation, HandshakeFailed
from live_protocol.events import ReconnectReason
from live_protocol.reconnect import (
    DialAgain,
    GiveUp,
    GoAwayPolicy,
    NoHandlePolicy,
    Reconnector,
    ReconnectPolicy,
    Verdict,
    verdict,
)
from live_protocol.reconnect.reconnector import system_random
from live_protocol.timing import Deadline
from live_protocol.websocket import endings, refusal_hint

RETRY, CONFLICT, BAD_HANDLE, ENDED, FATAL = Verdict
SAME = (None, None)

# Code, reason, and what it means: in mid-session; while resuming, where that differs; while resuming with a setup that
# is known to be good, where that differs again.
ROWS: list[tuple[int, str, Verdict, Verdict | None, Verdict | None]] = [
    (1000, "", ENDED, *SAME),
    (1000, "Closing", ENDED, *SAME),
    (1001, "", RETRY, *SAME),
    (1005, "", ENDED, *SAME),
    (1007, "API key not valid. Please pass a valid API key.", FATAL, *SAME),
    (1007, "API Key not found. Please pass a valid API key.", FATAL, *SAME),
    (1007, "API key expired. Please renew the API key.", FATAL, *SAME),
    (1007, "Request contains an invalid argument.", FATAL, None, BAD_HANDLE),
    (1007, "", FATAL, None, BAD_HANDLE),
    (
        1007,
        "Invalid JSON payload received. Unknown name \"x\" at 'setup.generation_config': Cannot find field.",
        FATAL,
        *SAME,
    ),
    (1007, "Invalid value at 'setup.generation_config.temperature'", FATAL, *SAME),
    (1007, "setup must be the first message and only the first", FATAL, *SAME),
    (
        1007,
        "Explicit activity control is not supported when automatic activity detection is enabled.",
        FATAL,
        *SAME,
    ),
    (1007, "The requested combination of response modalities (TEXT) is not supported by the model.", FATAL, *SAME),
    (1007, "Cannot extract voices from a non-audio request", FATAL, *SAME),
    (1007, "Sample rate changed from previously 24000 to 16000, which is not supported.", FATAL, *SAME),
    (1007, "Thinking level must be specified for this model", FATAL, *SAME),
    (1007, "Function response scheduling is not supported for this model", FATAL, *SAME),
    (1007, "X is not supported in the live api.", FATAL, *SAME),
    (1007, "User location is not supported for the API use.", FATAL, *SAME),
    (1007, "Invalid session handle", FATAL, BAD_HANDLE, BAD_HANDLE),
    (
        1008,
        "models/X is not found for API version v1beta, or is not supported for bidiGenerateContent. Call Li",
        FATAL,
        *SAME,
    ),
    (1008, "Operation is not implemented, or supported, or enabled.", RETRY, FATAL, FATAL),
    (1008, "Requested entity was not found.", RETRY, BAD_HANDLE, BAD_HANDLE),
    (1008, "BidiGenerateContent session not found", FATAL, BAD_HANDLE, BAD_HANDLE),
    (1008, "Your project has been denied access to this model", FATAL, *SAME),
    (1008, "Generative Language API has not been used in project 1 before", FATAL, *SAME),
    (1009, "", FATAL, *SAME),
    (1011, "Internal error occurred.", RETRY, CONFLICT, CONFLICT),
    (1011, "Internal error encountered.", RETRY, CONFLICT, CONFLICT),
    (1011, "The service is currently unavailable.", RETRY, *SAME),
    (1011, "Deadline expired before operation could complete.", RETRY, *SAME),
    (1011, "You exceeded your current quota, please check your plan and billing details.", FATAL, *SAME),
    (1011, "Resource has been exhausted (e.g. check quota).", FATAL, *SAME),
    (1011, "Your prepayment credits are depleted", FATAL, *SAME),
    (1011, "Project 1 exceeded its monthly spending cap", FATAL, *SAME),
    (1011, "Token has been used too many times", FATAL, *SAME),
    (1011, "keepalive ping timeout", RETRY, *SAME),
    (1013, "", RETRY, *SAME),
]


def closed(code: int, reason: str = "") -> CloseInfo:
    return endings.closed_by_frame(code, reason, sent=None, cut=False, client=True)


DROP = endings.closed_by_transport("the stream ended", closing=False)


@pytest.mark.parametrize(("code", "reason", "running", "resuming", "known"), ROWS)
def test_every_known_close(
    code: int, reason: str, running: Verdict, resuming: Verdict | None, known: Verdict | None
) -> None:
    info = closed(code, reason)
    assert verdict(info, resumed=True, ready=True, accepted=True) is running
    assert verdict(info, resumed=False, ready=True) is running
    if resuming is None:
        resuming = running
    assert verdict(info, resumed=True, ready=False) is resuming
    assert verdict(info, resumed=True, ready=False, accepted=True) is (known or resuming)
    first = verdict(info, resumed=False, ready=False)
    assert first in (running, FATAL)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, FATAL), (401, FATAL), (403, FATAL), (404, FATAL), (408, RETRY), (429, RETRY), (500, RETRY), (503, RETRY)],
)
def test_refused_upgrades(status: int, expected: Verdict) -> None:
    info = endings.closed_by_refusal(HandshakeFailed(f"refused with {status}", status=status))
    assert info.retryable == refusal_hint(status)[0] == (expected is RETRY)
    assert verdict(info, resumed=False, ready=False) is expected


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (DROP, RETRY),
        (endings.closed_by_failure(DeadlineExpired(Deadline.OPEN, 10, "x"), 1006, ""), RETRY),
        (endings.closed_by_failure(DeadlineExpired(Deadline.PONG, 60, "x"), 1011, "keepalive ping timeout"), RETRY),
        (
            endings.closed_by_failure(DeadlineExpired(Deadline.SETUP, 30, "x"), 1011, "the setup deadline expired"),
            RETRY,
        ),
        (endings.closed_by_failure(FrameViolation("bad opcode"), 1002, "bad opcode"), FATAL),
    ],
)
def test_ends_of_our_own_making(info: CloseInfo, expected: Verdict) -> None:
    assert verdict(info, resumed=True, ready=True) is expected
    assert verdict(info, resumed=True, ready=False, accepted=True) is expected


# --- the machine ------------------------------------------------------------------------------------------------

READY = ev.SetupComplete()


def machine(
    policy: ReconnectPolicy | None = None, *, handle: str | None = "h", ready: bool = True, **rest: Any
) -> Reconnector:
    made = Reconnector(policy or ReconnectPolicy(jitter=0.0), jitter=lambda: 0.0, **rest)
    made.dial_started(None)
    if ready:
        made.event_received(READY, 0.0)
        if handle is not None:
            made.event_received(ev.ResumptionUpdated(handle=handle, resumable=True), 0.0)
    return made


def again(made: Reconnector, decision: object) -> DialAgain:
    assert isinstance(decision, DialAgain)
    made.dial_started(decision.handle)
    return decision


def test_delays_double_up_to_a_bound_and_then_it_gives_up() -> None:
    made = machine(ReconnectPolicy(jitter=0.0, base_delay=1, max_delay=5, max_attempts=5, give_up_after=None))
    decisions = [again(made, made.connection_lost(DROP, 100.0)) for _ in range(5)]
    assert [decision.delay for decision in decisions] == [1, 2, 4, 5, 5]
    assert [decision.attempt for decision in decisions] == [1, 2, 3, 4, 5]
    assert all(decision.at == 100.0 + decision.delay and decision.handle == "h" for decision in decisions)
    given_up = made.connection_lost(DROP, 100.0)
    assert isinstance(given_up, GiveUp)
    assert "5 tries" in given_up.why


def test_delays_never_overflow() -> None:
    made = machine(ReconnectPolicy(max_attempts=5000, give_up_after=None))
    for _ in range(3000):
        decision = again(made, made.connection_lost(DROP, 0.0))
    assert 0 < decision.delay <= 15


@pytest.mark.parametrize(("random", "delay"), [(0.0, 1.0), (0.5, 0.75), (0.999, 0.5005)])
def test_jitter_only_shortens(random: float, delay: float) -> None:
    made = Reconnector(ReconnectPolicy(base_delay=1, jitter=0.5), jitter=lambda: random)
    made.event_received(READY, 0.0)
    decision = made.connection_lost(DROP, 0.0)
    assert isinstance(decision, DialAgain)
    assert decision.delay == pytest.approx(delay)


def test_the_default_jitter_is_a_share() -> None:
    assert all(0 <= system_random() < 1 for _ in range(100))


def test_a_healthy_connection_resets_the_count() -> None:
    made = machine(ReconnectPolicy(jitter=0.0, stable_after=10, max_attempts=2))
    again(made, made.connection_lost(DROP, 9.0))
    made.event_received(READY, 9.0)
    assert again(made, made.connection_lost(DROP, 18.9)).attempt == 2
    made.event_received(READY, 20.0)
    assert again(made, made.connection_lost(DROP, 30.0)).attempt == 1


def test_it_gives_up_after_a_time_without_health() -> None:
    made = machine(ReconnectPolicy(jitter=0.0, give_up_after=10, max_attempts=1000, base_delay=1, max_delay=1))
    again(made, made.connection_lost(DROP, 100.0))
    again(made, made.connection_lost(DROP, 109.0))
    assert isinstance(made.connection_lost(DROP, 109.1), GiveUp)


def test_the_downtime_is_counted_from_the_loss() -> None:
    made = machine()
    assert made.downtime(5.0) == 0.0
    again(made, made.connection_lost(DROP, 100.0))
    again(made, made.connection_lost(DROP, 103.0))
    assert made.downtime(105.0) == 5.0
    made.event_received(READY, 105.0)
    again(made, made.connection_lost(DROP, 106.0))
    assert made.downtime(107.0) == 1.0


@pytest.mark.parametrize("retry", [False, True])
def test_the_first_connection(retry: bool) -> None:
    policy = ReconnectPolicy(retry_first=retry)
    assert isinstance(machine(policy, ready=False).connection_lost(DROP, 0.0), DialAgain if retry else GiveUp)
    assert isinstance(machine(policy, ready=False).dial_failed(0.0), DialAgain if retry else GiveUp)


def test_a_resumption_from_outside_is_no_first_connection() -> None:
    made = Reconnector(ReconnectPolicy(), handle="h")
    made.dial_started("h")
    decision = made.connection_lost(closed(1011, "Internal error encountered."), 0.0)
    assert isinstance(decision, DialAgain)
    assert (decision.reason, decision.handle, decision.delay >= 1.0) == (ReconnectReason.CONFLICT, "h", True)


def test_dials_that_fail() -> None:
    made = machine()
    decision = made.dial_failed(0.0)
    assert isinstance(decision, DialAgain)
    assert decision.reason is ReconnectReason.DIAL_FAILED
    assert isinstance(made.dial_failed(0.0, retryable=False), GiveUp)


def test_a_peaceful_end_is_the_end_unless_told_otherwise() -> None:
    decision = machine().connection_lost(closed(1000), 0.0)
    assert decision == GiveUp(why="")
    decision = machine(ReconnectPolicy(after_normal_close=True)).connection_lost(closed(1000), 0.0)
    assert isinstance(decision, DialAgain)


def test_a_fatal_end_says_so() -> None:
    decision = machine().connection_lost(closed(1007, "API key expired. Please renew the API key."), 0.0)
    assert isinstance(decision, GiveUp)
    assert decision.why


@pytest.mark.parametrize("rule", list(NoHandlePolicy))
def test_a_dead_handle(rule: NoHandlePolicy) -> None:
    made = machine(ReconnectPolicy(no_handle=rule))
    again(made, made.connection_lost(DROP, 0.0))
    decision = made.connection_lost(closed(1008, "BidiGenerateContent session not found"), 1.0)
    if rule is NoHandlePolicy.GIVE_UP:
        assert isinstance(decision, GiveUp)
    else:
        assert isinstance(decision, DialAgain)
        assert (decision.handle, decision.delay, decision.reason) == (None, 0.0, ReconnectReason.HANDLE_REFUSED)


@pytest.mark.parametrize("rule", list(NoHandlePolicy))
def test_a_session_that_never_had_a_handle(rule: NoHandlePolicy) -> None:
    made = machine(ReconnectPolicy(no_handle=rule), handle=None)
    assert isinstance(made.connection_lost(DROP, 0.0), DialAgain if rule is NoHandlePolicy.FRESH else GiveUp)


def test_a_handle_that_keeps_failing() -> None:
    made = machine(ReconnectPolicy(max_handle_failures=3, max_attempts=100, give_up_after=None))
    decision = again(made, made.connection_lost(DROP, 100.0))
    for _ in range(2):
        made.event_received(READY, 100.0)
        made.event_received(ev.ResumptionUpdated(handle="h2", resumable=True), 100.0)
        decision = again(made, made.connection_lost(closed(1011, "Deadline expired"), 101.0))
        assert decision.handle == "h2"
    made.event_received(READY, 102.0)
    decision = again(made, made.connection_lost(closed(1011, "Deadline expired"), 102.0))
    assert (decision.handle, decision.reason) == (None, ReconnectReason.HANDLE_REFUSED)


def test_a_bad_network_is_not_blamed_on_the_handle() -> None:
    made = machine(ReconnectPolicy(max_handle_failures=3, max_attempts=100, give_up_after=None))
    for _ in range(20):
        assert again(made, made.connection_lost(DROP, 100.0)).handle == "h"


def refused(status: int) -> CloseInfo:
    return endings.closed_by_refusal(HandshakeFailed(f"refused with {status}", status=status))


@pytest.mark.parametrize(
    "info",
    [refused(503), refused(429), closed(1001), closed(1013), closed(1011, "The service is currently unavailable.")],
)
def test_an_outage_is_not_blamed_on_the_handle(info: CloseInfo) -> None:
    made = machine(ReconnectPolicy(max_handle_failures=3, max_attempts=100, give_up_after=None))
    again(made, made.connection_lost(DROP, 100.0))
    for _ in range(20):
        assert again(made, made.connection_lost(info, 100.0)).handle == "h"


CONFLICTED = closed(1011, "Internal error encountered.")


def test_a_conflict_costs_no_try_and_not_the_handle() -> None:
    made = machine(ReconnectPolicy(max_attempts=2, max_handle_failures=2, resume_conflict_window=30.0))
    decision = again(made, made.connection_lost(DROP, 100.0))
    for now in range(100, 130, 3):
        decision = again(made, made.connection_lost(CONFLICTED, float(now)))
        assert (decision.handle, decision.reason) == ("h", ReconnectReason.CONFLICT)
        assert decision.delay >= 1.0
    made.event_received(READY, 131.0)
    decision = again(made, made.connection_lost(DROP, 141.0))
    assert (decision.attempt, decision.handle) == (1, "h")


@pytest.mark.parametrize("rule", list(NoHandlePolicy))
def test_a_conflict_that_never_ends_is_a_dead_handle(rule: NoHandlePolicy) -> None:
    made = machine(ReconnectPolicy(resume_conflict_window=30.0, no_handle=rule))
    again(made, made.connection_lost(DROP, 100.0))
    again(made, made.connection_lost(CONFLICTED, 129.9))
    decision = made.connection_lost(CONFLICTED, 130.0)
    if rule is NoHandlePolicy.GIVE_UP:
        assert isinstance(decision, GiveUp)
    else:
        assert isinstance(decision, DialAgain)
        assert (decision.handle, decision.reason) == (None, ReconnectReason.HANDLE_REFUSED)


def test_an_update_without_a_handle_does_not_void_the_old_one() -> None:
    made = machine()
    made.event_received(ev.ResumptionUpdated(handle=None, resumable=False), 1.0)
    made.event_received("anything else", 1.0)
    assert made.handle == "h"


# --- goAway -----------------------------------------------------------------------------------------------------


def warned(policy: GoAwayPolicy, time_left: float | None) -> Reconnector:
    made = machine(ReconnectPolicy(jitter=0.0, go_away=policy))
    made.event_received(ev.GoAway(time_left=time_left), 1000.0)
    return made


def test_it_waits_for_a_safe_moment_until_the_margin() -> None:
    made = warned(GoAwayPolicy(margin=5), 60.0)
    assert made.next_deadline() == 1055.0
    assert not made.should_leave(1054.9, safe=False)
    assert made.should_leave(1000.0, safe=True)
    assert made.should_leave(1055.0, safe=False)
    made.leaving()
    assert made.next_deadline() is None
    assert not made.should_leave(1056.0, safe=True)
    decision = made.connection_lost(endings.closed_by_frame(1000, "", sent=(1000, ""), cut=False, client=True), 1056.0)
    assert isinstance(decision, DialAgain)
    assert (decision.delay, decision.reason, decision.handle) == (0.0, ReconnectReason.GO_AWAY, "h")


@pytest.mark.parametrize(
    ("policy", "time_left", "at"),
    [
        (GoAwayPolicy(margin=5), 3.0, 1000.0),
        (GoAwayPolicy(margin=5, assumed_time_left=12), None, 1007.0),
        (GoAwayPolicy(wait_for_safe_moment=False), 60.0, 1000.0),
    ],
)
def test_when_it_leaves_at_the_latest(policy: GoAwayPolicy, time_left: float | None, at: float) -> None:
    assert warned(policy, time_left).leave_at == at


def test_without_a_go_away_it_never_leaves() -> None:
    assert not machine().should_leave(1e9, safe=True)


def test_it_does_not_leave_before_the_setup_is_complete() -> None:
    made = machine(ready=False)
    made.event_received(ev.GoAway(time_left=0.0), 0.0)
    assert not made.should_leave(100.0, safe=True)


@pytest.mark.parametrize("info", [closed(1000), closed(1001), closed(1011, "Deadline expired"), DROP])
def test_an_announced_end_is_repaired_at_once(info: CloseInfo) -> None:
    decision = warned(GoAwayPolicy(), 60.0).connection_lost(info, 1020.0)
    assert isinstance(decision, DialAgain)
    assert (decision.reason, decision.delay) == (ReconnectReason.GO_AWAY, 0.0)


def test_a_server_that_keeps_going_away_is_not_hammered() -> None:
    made = machine(ReconnectPolicy(jitter=0.0, base_delay=1))
    delays = []
    for _ in range(4):
        made.event_received(READY, 100.0)
        made.event_received(ev.GoAway(time_left=0.0), 100.0)
        made.leaving()
        delays.append(again(made, made.connection_lost(closed(1000), 100.0)).delay)
    assert delays == [0.0, 2.0, 4.0, 8.0]


def test_a_refusal_is_a_refusal_also_after_a_go_away() -> None:
    decision = warned(GoAwayPolicy(), 60.0).connection_lost(closed(1007, "API key expired."), 1020.0)
    assert isinstance(decision, GiveUp)


# --- texts ------------------------------------------------------------------------------------------------------


def test_no_text_shows_a_handle() -> None:
    made = machine(handle="SECRET")
    decision = made.connection_lost(DROP, 0.0)
    assert "SECRET" not in repr(made) + repr(decision)
    assert "handle=None" in repr(attrs.evolve(decision, handle=None))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"base_delay": -1.0},
        {"jitter": 1.5},
        {"jitter": -0.1},
        {"give_up_after": float("inf")},
        {"offline_bytes": 0},
        {"in_flight_window": float("nan")},
    ],
)
def test_policies_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ReconnectPolicy(**wrong)


def test_go_away_policies_are_checked() -> None:
    with pytest.raises(ValueError, match="margin"):
        GoAwayPolicy(margin=-1.0)
