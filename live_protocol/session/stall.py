"""When output is due and missing: facts for `StallSuspected`, which leaves the decision to the application."""

from __future__ import annotations

from collections.abc import Iterable

from live_protocol.events import StallKind, StallSuspected
from live_protocol.states import Phase, TurnInput, TurnState
from live_protocol.timing import Deadline, Deadlines


class StallDetector:
    """Watches for progress of the client's session.

    Args:
        deadlines: Where the suspicion is armed.
        seconds: ``Timeouts.stall``; None watches nothing.
        seeding: Whether the client content begins with history, which gets no answer (wire.md#initial-history).

    Attributes:
        seconds: As given.
        awaiting: Whether an answer was requested and has not started yet.
    """

    __slots__ = ("_deadlines", "_last", "_seeding", "awaiting", "seconds")

    def __init__(self, deadlines: Deadlines, seconds: float | None, *, seeding: bool) -> None:
        self._deadlines = deadlines
        self.seconds: float | None = seconds
        self._seeding = seeding
        self._last = 0.0
        self.awaiting: bool = False

    def answer_requested(self, *, complete: bool) -> None:
        """Client content went out; ``complete`` is its ``turn_complete``."""
        self.awaiting = complete and not self._seeding
        self._seeding = self._seeding and not complete

    def answered(self, before: TurnState, signals: Iterable[TurnInput], after: TurnState) -> None:
        """A message came that moved the turn. The end of a turn that was cut is not the answer to what cut it."""
        if after in (TurnState.GENERATING, TurnState.GENERATED):
            self.awaiting = False
        elif self.awaiting:
            kinds = set(signals)
            cut = before is TurnState.INTERRUPTED or TurnInput.INTERRUPTED in kinds
            self.awaiting = cut or TurnInput.TURN_COMPLETE not in kinds

    def progress(self, phase: Phase, turn: TurnState, *, calls_open: bool) -> None:
        """Something went or came: what is due now is due from now on."""
        if phase is not Phase.ENDED:
            self._last = self._deadlines.now or 0.0
            missing = self._missing(phase, turn, calls_open=calls_open)
            self._deadlines.arm(Deadline.STALL, None if missing is None else self.seconds)

    def suspect(self, phase: Phase, turn: TurnState, *, calls_open: bool) -> StallSuspected | None:
        """The deadline passed: what is missing, if something still is."""
        kind = self._missing(phase, turn, calls_open=calls_open)
        now = self._deadlines.now or 0.0
        return None if kind is None else StallSuspected(kind=kind, silence=now - self._last)

    def _missing(self, phase: Phase, turn: TurnState, *, calls_open: bool) -> StallKind | None:
        if phase is Phase.SETUP_SENT:
            return StallKind.NO_SETUP_COMPLETE
        if turn is TurnState.GENERATING and not calls_open:
            return StallKind.NO_GENERATION_COMPLETE
        return StallKind.NO_OUTPUT if self.awaiting else None
