"""The model's turn and its generations (wire.md#turn-state)."""

from __future__ import annotations

from typing import NamedTuple

from live_protocol.states import TURN_TRANSITIONS, TurnInput, TurnState


class TurnStep(NamedTuple):
    """The effect of one server signal on the turn.

    Attributes:
        started: A new turn began with it.
        stale: It belongs to a generation that was interrupted.
        unexpected: The protocol does not have it at this point.
    """

    started: bool
    stale: bool
    unexpected: bool


class TurnTracker:
    """Follows the turn; tolerant, since a model that surprises is no reason to end a session.

    Attributes:
        state: Where the model is.
        generation: Number of the newest generation, from 1; 0 before the first.
    """

    __slots__ = ("generation", "state")

    def __init__(self) -> None:
        self.state: TurnState = TurnState.IDLE
        self.generation: int = 0

    def apply(self, signal: TurnInput) -> TurnStep:
        """Take in one signal.

        An illegal one leaves the state, except that output after the generation was declared complete is output: the
        turn is generating again.
        """
        before = self.state
        after = TURN_TRANSITIONS.get((before, signal))
        started = before is TurnState.IDLE and signal in (TurnInput.OUTPUT, TurnInput.GENERATION_COMPLETE)
        if started:
            self.generation += 1
        if after is not None:
            self.state = after
        elif before is TurnState.GENERATED and signal is TurnInput.OUTPUT:
            self.state = TurnState.GENERATING
        stale = before is TurnState.INTERRUPTED and signal is TurnInput.OUTPUT
        return TurnStep(started, stale, after is None)
