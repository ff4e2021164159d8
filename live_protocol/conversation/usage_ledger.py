"""Adds up token usage (wire.md#usage: reports are per turn, not totals)."""

from __future__ import annotations

from collections import deque
from typing import final

import attrs

from live_protocol.events import Event, Interrupted, SetupComplete, TurnComplete, TurnStarted, UsageUpdated
from live_protocol.messages import UsageMetadata
from live_protocol.session.usage import ByModality, Usage, summed


@final
@attrs.frozen(kw_only=True)
class ModalityUsage:
    """Tokens by kind of content, as far as the service itemised them. Kinds that it did not name are absent.

    Attributes:
        prompt: Input.
        response: Output.
        cached: Cached part of the input.
        tool_use_prompt: Tool results fed back.
    """

    prompt: ByModality = attrs.field(factory=dict)
    response: ByModality = attrs.field(factory=dict)
    cached: ByModality = attrs.field(factory=dict)
    tool_use_prompt: ByModality = attrs.field(factory=dict)

    def added(self, report: UsageMetadata) -> ModalityUsage:
        """Return the sums after one more report."""
        return ModalityUsage(
            prompt=summed(self.prompt, report.prompt_tokens_details),
            response=summed(self.response, report.response_tokens_details),
            cached=summed(self.cached, report.cache_tokens_details),
            tool_use_prompt=summed(self.tool_use_prompt, report.tool_use_prompt_tokens_details),
        )


@final
@attrs.frozen(kw_only=True)
class TurnUsage:
    """Tokens of one turn.

    Attributes:
        generation: Number of its generation; 0 for reports before the first.
        usage: The sum of its reports.
        by_modality: The same by kind of content.
        complete: Whether the turn is over. A report that comes alone may still follow.
        interrupted: Whether the turn was cut.
    """

    generation: int
    usage: Usage = Usage()
    by_modality: ModalityUsage = ModalityUsage()
    complete: bool = False
    interrupted: bool = False


@final
class UsageLedger:
    """Keeps totals and a record of each turn: feed it every event.

    A report usually comes in the message that ends the turn, sometimes in a message of its own before or after it.
    During a turn a report counts for that turn, and between two turns for the one that has ended.

    Args:
        keep: How many of the newest turns keep their records; the totals lose nothing.

    Raises:
        ValueError: ``keep`` is less than 1.

    Attributes:
        total: The sum of all reports.
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
        """The kept records, oldest first. A turn without a report has one with zeros."""
        return tuple(self._turns)

    def feed(self, event: Event) -> TurnUsage | None:
        """Take in an event; events without turns or usage pass by.

        Returns:
            The record that this report went into; None for any other event.
        """
        match event:
            case TurnStarted():
                self._turns.append(TurnUsage(generation=event.generation))
            case Interrupted() if self._runs():
                self._turns[-1] = attrs.evolve(self._turns[-1], interrupted=True)
            case TurnComplete() if self._runs():
                self._turns[-1] = attrs.evolve(self._turns[-1], complete=True)
            case SetupComplete() if self._runs():
                # The turn ended with its connection.
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
