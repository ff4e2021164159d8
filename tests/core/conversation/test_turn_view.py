"""One turn in one place, and the three boundaries kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.speech import ReadyClient, content, heard, spoken, voice, written

from live_protocol.close_info import CloseInfo, Initiator
from live_protocol.conversation import TurnCollector, TurnView
from live_protocol.events import (
    AudioChunk,
    ConnectionClosed,
    Event,
    GenerationComplete,
    GoAway,
    Interrupted,
    SetupComplete,
    ToolCallCancelled,
    ToolCallRequested,
    TurnComplete,
    TurnStarted,
    UsageUpdated,
)
from live_protocol.messages import AudioFormat, FunctionCall, InteractionStatus, TurnCompleteReason, UsageMetadata

CLOSED = ConnectionClosed(info=CloseInfo(code=1006, clean=False, initiator=Initiator.TRANSPORT))
STARTED = TurnStarted(generation=1)


def collect(collector: TurnCollector, *events: Event) -> list[TurnView]:
    return [view for event in events if (view := collector.feed(event)) is not None]


def chunk(data: bytes, rate: int = 24_000, *, stale: bool = False) -> AudioChunk:
    return AudioChunk(data=data, format=AudioFormat(rate), generation=1, stale=stale)


def usage(total: int) -> UsageUpdated:
    return UsageUpdated(usage=UsageMetadata(total_token_count=total))


class TestContents:
    def test_a_whole_turn(self) -> None:
        server, collector = ReadyClient(), TurnCollector(keep_audio=True)
        call = {"id": "call-1", "name": "f", "args": {"q": 1}}
        events = server.receive(
            content(inputTranscription={"text": "Hello"}),
            content(modelTurn={"parts": [{"text": "think", "thought": True}]}),
            content(**voice(b"\1\2" * 1200), outputTranscription={"text": "He"}),
            content(**voice(b"\3\4" * 1200), outputTranscription={"text": "y"}),
            {"toolCall": {"functionCalls": [call]}},
            {"toolCallCancellation": {"ids": ["call-1"]}},
            content(generationComplete=True),
            {
                **content(turnComplete=True, interactionStatus="IDLE"),
                "usageMetadata": {"totalTokenCount": 7},
            },
        )
        (view,) = collect(collector, *events)
        assert view is collector.last
        assert (view.input_transcript, view.output_transcript, view.answer) == ("Hello", "Hey", "Hey")
        assert (view.text, view.thoughts) == ("", "think")
        assert view.audio == b"\1\2" * 1200 + b"\3\4" * 1200
        assert view.audio_format == AudioFormat(24_000)
        assert view.audio_seconds == pytest.approx(0.1)
        assert [found.name for found in view.tool_calls] == ["f"]
        assert view.cancelled == ["call-1"]
        assert view.usage.total_tokens == 7
        assert (view.generation, view.started, view.generated, view.complete) == (1, True, True, True)
        assert (view.interaction_complete, view.interaction_status) == (True, InteractionStatus.IDLE)
        assert not view.interrupted

    def test_text_is_the_answer_where_nothing_is_spoken(self) -> None:
        (view,) = collect(TurnCollector(), STARTED, written("Y"), written("es"), TurnComplete())
        assert (view.text, view.answer) == ("Yes", "Yes")

    def test_the_reason_of_an_abnormal_end(self) -> None:
        reason = TurnCompleteReason.MALFORMED_FUNCTION_CALL
        (view,) = collect(TurnCollector(), STARTED, TurnComplete(reason=reason))
        assert view.reason is reason


class TestAudio:
    def test_is_only_measured_unless_asked_for(self) -> None:
        collector = TurnCollector()
        collect(collector, STARTED, chunk(bytes(4800)))
        assert (collector.current.audio, collector.current.audio_seconds) == (b"", 0.1)
        assert collector.current.audio_dropped == 0

    def test_stale_audio_stays_out(self) -> None:
        collector = TurnCollector(keep_audio=True)
        collect(collector, STARTED, chunk(b"\1\2"), chunk(b"\3\4", stale=True))
        assert collector.current.audio == b"\1\2"

    def test_is_bounded(self) -> None:
        collector = TurnCollector(keep_audio=True, max_audio=5)
        collect(collector, STARTED, chunk(b"\1\2"), chunk(b"\3\4\5\6"), chunk(b"\7\7"))
        assert (collector.current.audio, collector.current.audio_dropped) == (b"\1\2\7\7", 4)

    def test_another_format_does_not_mix(self) -> None:
        collector = TurnCollector(keep_audio=True)
        collect(collector, STARTED, chunk(b"\1\2"), chunk(b"\3\4", 16_000))
        assert (collector.current.audio, collector.current.audio_dropped) == (b"\1\2", 2)

    def test_the_bound_is_positive(self) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            TurnCollector(max_audio=0)


class TestBoundaries:
    def test_the_end_waits_for_the_rest_of_its_message(self) -> None:
        collector = TurnCollector()
        collect(collector, STARTED)
        assert collector.feed(TurnComplete(last=False)) is None
        assert collector.current.complete
        view = collector.feed(usage(3))
        assert view is not None
        assert view.usage.total_tokens == 3

    def test_usage_that_comes_alone_belongs_to_the_turn_before(self) -> None:
        collector = TurnCollector()
        (view,) = collect(collector, STARTED, TurnComplete(), usage(3), heard("next"), usage(4))
        assert view.usage.total_tokens == 7
        assert collector.current.usage.reports == 0

    def test_usage_before_any_turn(self) -> None:
        collector = TurnCollector()
        collect(collector, usage(3))
        assert collector.current.usage.total_tokens == 3

    def test_more_turns_follow_by_themselves(self) -> None:
        progress = TurnComplete(interaction_status=InteractionStatus.IN_PROGRESS, interaction_complete=False)
        views = collect(TurnCollector(), STARTED, progress, TurnStarted(generation=2), TurnComplete())
        assert [(view.generation, view.complete, view.interaction_complete) for view in views] == [
            (1, True, False),
            (2, True, True),
        ]

    def test_an_interrupted_turn(self) -> None:
        (view,) = collect(TurnCollector(), STARTED, spoken("We"), Interrupted(), TurnComplete())
        assert (view.interrupted, view.generated, view.complete) == (True, False, True)

    def test_an_interruption_of_nothing_ends_nothing(self) -> None:
        collector = TurnCollector()
        assert collect(collector, heard("Hi"), Interrupted(), TurnComplete()) == []
        (view,) = collect(collector, STARTED, spoken("Hello"), GenerationComplete(), TurnComplete())
        assert (view.interrupted, view.input_transcript, view.output_transcript) == (False, "Hi", "Hello")

    def test_what_was_under_way_and_is_cut_does_not_mix_with_the_answer(self) -> None:
        collector = TurnCollector(keep_audio=True)
        call = ToolCallRequested(call=FunctionCall(id="1", name="f"), generation=1)
        old = [spoken("old"), written("old"), written("old", thought=True), chunk(b"\1\2"), call]
        assert collect(collector, heard("Stop"), *old, ToolCallCancelled(call_id="1")) == []
        assert (collector.current.started, collector.current.generation) == (True, 1)
        cut = [Interrupted(generation=1), spoken("er", stale=True), TurnComplete(generation=1)]
        answer = [TurnStarted(generation=2), spoken("new", 2), TurnComplete(generation=2)]
        (view,) = collect(collector, *cut, *answer)
        assert (view.generation, view.input_transcript, view.answer, view.interrupted) == (2, "Stop", "new", False)
        assert (view.text, view.thoughts, view.tool_calls, view.cancelled) == ("", "", [], [])
        assert (view.audio, view.audio_seconds, view.audio_format) == (b"", 0.0, None)

    def test_what_was_under_way_and_ends_is_a_turn(self) -> None:
        (view,) = collect(TurnCollector(), spoken("rest", 7), GenerationComplete(generation=7), TurnComplete())
        assert (view.started, view.generation, view.output_transcript, view.complete) == (True, 7, "rest", True)

    def test_a_cut_before_the_collector(self) -> None:
        collector = TurnCollector(interrupted=True)
        late = [spoken("old", stale=True), TurnComplete(generation=1)]
        (view,) = collect(collector, *late, TurnStarted(generation=2), spoken("new", 2), TurnComplete(generation=2))
        assert (view.answer, view.interrupted) == ("new", False)

    def test_a_cut_whose_end_got_lost(self) -> None:
        collector = TurnCollector(interrupted=True)
        (view,) = collect(collector, SetupComplete(), TurnStarted(generation=2), spoken("new", 2), TurnComplete())
        assert (view.answer, view.interrupted) == ("new", False)

    def test_a_turn_without_output_is_a_turn(self) -> None:
        (view,) = collect(TurnCollector(), TurnComplete())
        assert (view.started, view.complete) == (False, True)

    def test_a_turn_that_never_ended(self) -> None:
        views = collect(TurnCollector(), STARTED, TurnStarted(generation=2), SetupComplete(), SetupComplete())
        assert [(view.generation, view.complete, view.interrupted) for view in views] == [
            (1, False, True),
            (2, False, True),
        ]

    def test_the_end_of_the_connection(self) -> None:
        (view,) = collect(TurnCollector(), STARTED, spoken("We"), CLOSED)
        assert (view.complete, view.interaction_complete, view.interrupted) == (False, False, True)
        (view,) = collect(TurnCollector(), GoAway(), CLOSED)
        assert (view.complete, view.interrupted, view.started) == (False, False, False)


MESSAGES: list[dict[str, Any]] = [
    content(outputTranscription={"text": "a"}),
    content(modelTurn={"parts": [{"text": "b"}]}),
    content(inputTranscription={"text": "c"}),
    content(interrupted=True),
    content(generationComplete=True),
    content(turnComplete=True),
    content(turnComplete=True, interactionStatus="IN_PROGRESS"),
    {**content(interrupted=True, turnComplete=True), "usageMetadata": {"totalTokenCount": 1}},
    {"usageMetadata": {"totalTokenCount": 1}},
    content(**voice(b"\1\2"), generationComplete=True, turnComplete=True, outputTranscription={"text": "d"}),
]


@given(st.lists(st.sampled_from(MESSAGES), max_size=25))
def test_every_word_and_token_is_in_one_turn(messages: list[dict[str, Any]]) -> None:
    server, collector = ReadyClient(), TurnCollector(keep_audio=True)
    events = server.receive(*messages)
    views = collect(collector, *events, CLOSED)
    assert all(view.complete for view in views[:-1])
    told = within(events)
    for name, kind in (
        ("output_transcript", "OutputTranscript"),
        ("text", "TextChunk"),
        ("input_transcript", "InputT"),
    ):
        expected = "".join(event.text for event in told if type(event).__name__.startswith(kind))  # type: ignore[union-attr]
        assert "".join(getattr(view, name) for view in views) == expected
    assert sum(view.usage.total_tokens for view in views) == server.session.usage.total_tokens
    assert sum(view.audio_seconds for view in views) == pytest.approx(
        sum(event.format.seconds(2) for event in told if type(event) is AudioChunk and not event.stale)
    )


def within(events: Sequence[Event]) -> list[Event]:
    """Without the leftovers of a turn that was cut before it could begin, up to where that ends."""
    told: list[Event] = []
    begun = False
    for event in events:
        begun = (begun or isinstance(event, TurnStarted)) and not isinstance(event, TurnComplete)
        if begun or not getattr(event, "stale", False):
            told.append(event)
    return told
