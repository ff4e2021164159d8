"""Token usage added up (wire.md#usage: reports are per turn, not totals)."""

from __future__ import annotations

from collections import deque
from typing import final

import attrs

from live_protocol.events import Event, Interrupted, SetupComplete, TurnComplete, TurnStarted, UsageUpdated
from live_protocol.messages import UsageMetadata
from live_protocol.session.usage import ByModality, Usage, summed

__all__ = ["ModalityUsage", "TurnUsage", "UsageLedger"]


@final
@attrs.frozen(kw_only=True)
class ModalityUsage:
    """The same tokens by kind of content, as far as the service itemised them; a kind it did not name is absent.

    Attributes:
        prompt: Input.
        response: Output.
        cached: The part of the input that was cached.
        tool_use_prompt: Tool results fed back.
    """

    prompt: ByModality = attrs.field(factory=dict)
    response: ByModality = attrs.field(factory=dict)
    cached: ByModality = attrs.field(factory=dict)
    tool_use_prompt: ByModality = attrs.field(factory=dict)

    def added(self, report: UsageMetadata) -> ModalityUsage:
        """The sums after one more report."""
        return ModalityUsage(
            prompt=summed(self.prompt, report.prompt_tokens_details),
            response=summed(self.response, report.response_tokens_details),
            cached=summed(self.cached, report.cache_tokens_details),
            tool_use_prompt=summed(self.tool_use_prompt, report.tool_use_prompt_tokens_details),
        )


@final
@attrs.frozen(kw_only=True)
class TurnUsage:
    """What one turn cost.

    Attributes:
        generation: Number of its generation; 0 for what was reported before the first.
        usage: All reports of the turn, added up.
        by_modality: The same by kind of content.
        complete: Whether the turn is over. A report that comes alone may still be added afterwards.
        interrupted: Whether the turn was cut.
    """

    generation: int
    usage: Usage = Usage()
    by_modality: ModalityUsage = ModalityUsage()
    complete: bool = False
    interrupted: bool = False


@final
class UsageLedger:
    """Feed it every event; it keeps totals, and a record of each turn.

    A report usually comes in the message that ends the turn, sometimes in one of its own, before or after. While a
    turn runs, a report belongs to it; between two turns, to the one that has ended.

    Args:
        keep: Newest turns whose records are kept (a count); the totals lose nothing.

    Raises:
        ValueError: ``keep`` is less than 1.

    Attributes:
        total: All reports, added up.
        by_modality: The same by kind of content.
    """

    __slots__ = ("_turns", "by_modality", "total")

    def __init__(self, keep: int = 1000) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, not {keep!r}")
        self.total: Usage = Usage()
        self.by_modality: ModalityUsage = ModalityUsage()
        self._turns: deque[TurnUsage] = deque(maxlen=keep)

    @property
    def turns(self) -> tuple[TurnUsage, ...]:
        """The records kept, oldest first; a turn without a report has one too, with zeros."""
        return tuple(self._turns)

    def feed(self, event: Event) -> TurnUsage | None:
        """Take in an event; those that say nothing about turns or usage pass by.

        Returns:
            The record that a report was added to; None for everything else.
        """
        match event:
            case TurnStarted():
                self._turns.append(TurnUsage(generation=event.generation))
            case Interrupted() if self._runs():
                self._turns[-1] = attrs.evolve(self._turns[-1], interrupted=True)
            case TurnComplete() if self._runs():
                self._turns[-1] = attrs.evolve(self._turns[-1], complete=True)
            case SetupComplete() if self._runs():
                # Its connection is gone, and the turn with it.
                self._turns[-1] = attrs.evolve(self._turns[-1], complete=True, interrupted=True)
            case UsageUpdated():
                return self._report(event.usage)
            case _:
                pass
        return None

    def _runs(self) -> bool:
        return bool(self._turns) and not self._turns[-1].complete

    def _report(self, report: UsageMetadata) -> TurnUsage:
        self.total = self.total.added(report)
        self.by_modality = self.by_modality.added(report)
        if not self._turns:
            self._turns.append(TurnUsage(generation=0, complete=True))
        turn = self._turns[-1]
        turn = attrs.evolve(turn, usage=turn.usage.added(report), by_modality=turn.by_modality.added(report))
        self._turns[-1] = turn
        return turn
