"""Usage by turn and by modality, in both backends' spellings."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.speech import ReadyClient, content

from live_protocol.conversation import ModalityUsage, TurnUsage, UsageLedger
from live_protocol.events import Event, GoAway, Interrupted, SetupComplete, TurnComplete, TurnStarted, UsageUpdated
from live_protocol.messages import MediaModality, ModalityTokenCount, UsageMetadata
from live_protocol.session import Usage

GEMINI = {
    "promptTokenCount": 515,
    "responseTokenCount": 31,
    "totalTokenCount": 546,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 500}, {"modality": "AUDIO", "tokenCount": 15}],
    "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 31}],
}
VERTEX = {
    "promptTokenCount": 600,
    "candidatesTokenCount": 9,
    "totalTokenCount": 609,
    "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 9}],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 4}],
    "toolUsePromptTokensDetails": [{"tokenCount": 2}, {}],
}


def report(total: int = 1) -> UsageUpdated:
    return UsageUpdated(usage=UsageMetadata(total_token_count=total))


def fed(*events: Event) -> UsageLedger:
    ledger = UsageLedger()
    for event in events:
        ledger.feed(event)
    return ledger


def totals(ledger: UsageLedger) -> list[tuple[int, int]]:
    return [(turn.generation, turn.usage.total_tokens) for turn in ledger.turns]


def start(generation: int) -> Event:
    return TurnStarted(generation=generation)


def test_both_spellings_by_modality() -> None:
    server, ledger = ReadyClient(), UsageLedger()
    messages = (
        content(outputTranscription={"text": "a"}),
        {**content(turnComplete=True), "usageMetadata": GEMINI},
        content(outputTranscription={"text": "b"}),
        {**content(turnComplete=True), "usageMetadata": VERTEX},
    )
    for event in server.receive(*messages):
        ledger.feed(event)
    assert ledger.total == server.session.usage
    assert ledger.by_modality == ModalityUsage(
        prompt={MediaModality.TEXT: 500, MediaModality.AUDIO: 15},
        response={MediaModality.AUDIO: 40},
        cached={MediaModality.TEXT: 4},
        tool_use_prompt={MediaModality.MODALITY_UNSPECIFIED: 2},
    )
    first, second = ledger.turns
    assert (first.usage.response_tokens, second.usage.response_tokens) == (31, 9)
    assert first.by_modality.response == {MediaModality.AUDIO: 31}
    assert second.by_modality.prompt == {}


def test_an_unknown_modality_is_kept() -> None:
    metadata = UsageMetadata(response_tokens_details=[ModalityTokenCount(modality="SMELL", token_count=3)])
    assert ModalityUsage().added(metadata).response == {"SMELL": 3}


def test_values_never_change() -> None:
    usage, modalities = Usage(), ModalityUsage()
    usage.added(UsageMetadata(total_token_count=1))
    modalities.added(UsageMetadata(prompt_tokens_details=[ModalityTokenCount(modality="TEXT", token_count=1)]))
    assert (usage, modalities) == (Usage(), ModalityUsage())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        usage.reports = 1  # type: ignore[misc]


class TestAttribution:
    def test_before_the_end_of_the_turn(self) -> None:
        assert totals(fed(start(1), report(5), TurnComplete(), start(2), report(7))) == [(1, 5), (2, 7)]

    def test_after_the_end_of_the_turn(self) -> None:
        assert totals(fed(start(1), TurnComplete(), report(5), start(2), TurnComplete(), report(7))) == [(1, 5), (2, 7)]

    def test_several_in_one_turn_add_up(self) -> None:
        assert totals(fed(start(1), report(5), report(6), TurnComplete(), report(7))) == [(1, 18)]

    def test_before_the_first_turn(self) -> None:
        assert totals(fed(report(5), report(6), start(1))) == [(0, 11), (1, 0)]

    def test_a_report_gives_its_record(self) -> None:
        ledger = fed(start(1))
        assert ledger.feed(GoAway()) is None
        updated = ledger.feed(report(5))
        assert updated == ledger.turns[0]
        assert isinstance(updated, TurnUsage)

    def test_state_of_the_turn(self) -> None:
        ledger = fed(start(1), Interrupted(), TurnComplete(), Interrupted(), start(2))
        assert [(turn.interrupted, turn.complete) for turn in ledger.turns] == [(True, True), (False, False)]

    def test_another_connection_ends_the_turn(self) -> None:
        ledger = fed(SetupComplete(), TurnComplete(), Interrupted(), start(1), SetupComplete(), report(3), start(1))
        assert [(turn.usage.total_tokens, turn.interrupted) for turn in ledger.turns] == [(3, True), (0, False)]


@given(
    st.integers(1, 4),
    st.lists(st.one_of(st.integers(0, 9).map(report), st.sampled_from([start(1), TurnComplete()])), max_size=30),
)
def test_totals_lose_nothing(keep: int, events: list[Event]) -> None:
    ledger = UsageLedger(keep)
    for event in events:
        ledger.feed(event)
    reports = [event.usage.total_token_count or 0 for event in events if isinstance(event, UsageUpdated)]
    assert ledger.total.total_tokens == sum(reports)
    assert ledger.total.reports == len(reports)
    assert len(ledger.turns) <= keep
    if events.count(start(1)) < keep:
        assert sum(turn.usage.total_tokens for turn in ledger.turns) == sum(reports)


def test_one_record_at_least() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        UsageLedger(0)
