"""Tokens of a session so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, final

import attrs

from live_protocol.messages import MediaModality, ModalityTokenCount, UsageMetadata

ByModality: TypeAlias = Mapping[MediaModality | str, int]
"""Tokens by kind of content."""


@final
@attrs.frozen(kw_only=True)
class Usage:
    """Tokens of all reports so far.

    Prompt counts grow from turn to turn because the history is counted again each time; the totals are what is
    billed, not the size of the context.

    Attributes:
        reports: How many reports came.
        prompt_tokens: Input.
        response_tokens: Output.
        thoughts_tokens: Thinking.
        tool_use_prompt_tokens: Tool results fed back.
        cached_tokens: The part of the input that was cached.
        total_tokens: The service's own totals, added up.
        last: The newest report.
    """

    reports: int = 0
    prompt_tokens: int = 0
    response_tokens: int = 0
    thoughts_tokens: int = 0
    tool_use_prompt_tokens: int = 0
    cached_tokens: int = 0
    total_tokens: int = 0
    last: UsageMetadata | None = None

    def added(self, report: UsageMetadata) -> Usage:
        """The totals after one more report."""
        return Usage(
            reports=self.reports + 1,
            prompt_tokens=self.prompt_tokens + (report.prompt_token_count or 0),
            response_tokens=self.response_tokens + (report.response_token_count or 0),
            thoughts_tokens=self.thoughts_tokens + (report.thoughts_token_count or 0),
            tool_use_prompt_tokens=self.tool_use_prompt_tokens + (report.tool_use_prompt_token_count or 0),
            cached_tokens=self.cached_tokens + (report.cached_content_token_count or 0),
            total_tokens=self.total_tokens + (report.total_token_count or 0),
            last=report,
        )


def summed(sums: ByModality, details: Sequence[ModalityTokenCount]) -> ByModality:
    """Add a report to sums by modality."""
    added = dict(sums)
    for detail in details:
        modality = detail.modality or MediaModality.MODALITY_UNSPECIFIED
        added[modality] = added.get(modality, 0) + (detail.token_count or 0)
    return added
