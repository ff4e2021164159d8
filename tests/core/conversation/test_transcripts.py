"""Fragments to utterances, rule by rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.speech import guessed, heard, spoken, written

from live_protocol.close_info import CloseInfo, Initiator
from live_protocol.conversation import Role, TranscriptAssembler, Utterance
from live_protocol.errors import TransportFailed
from live_protocol.events import (
    ConnectionClosed,
    ConnectionFailed,
    Event,
    GenerationComplete,
    GoAway,
    Interrupted,
    SetupComplete,
    TurnComplete,
    TurnStarted,
    VoiceActivityDetected,
)
from live_protocol.messages import VadSignalType, VoiceActivityType, WordInfo

STARTED = TurnStarted(generation=1)
SPEAKS = VoiceActivityDetected(kind=VoiceActivityType.ACTIVITY_START)


def feed(assembler: TranscriptAssembler, *events: Event) -> list[Utterance]:
    return [update for event in events for update in assembler.feed(event)]


def brief(updates: list[Utterance]) -> list[tuple[int, str, bool]]:
    return [(said.number, said.text, said.final) for said in updates]


def finals(updates: list[Utterance]) -> list[str]:
    return [said.text for said in updates if said.final]


class TestModel:
    def test_pieces_append_and_the_generation_closes(self) -> None:
        updates = feed(TranscriptAssembler(), STARTED, spoken("We"), spoken(" go."), GenerationComplete(generation=1))
        assert brief(updates) == [(1, "We", False), (1, "We go.", False), (1, "We go.", True)]
        assert {(said.role, said.generation, said.interrupted) for said in updates} == {(Role.MODEL, 1, False)}

    @pytest.mark.parametrize(
        ("end", "interrupted"),
        [(GenerationComplete(), False), (TurnComplete(), False), (Interrupted(), True)],
    )
    def test_what_closes(self, end: Event, interrupted: bool) -> None:
        updates = feed(TranscriptAssembler(), spoken("We"), end)
        assert (updates[-1].final, updates[-1].interrupted) == (True, interrupted)

    def test_finished_closes_with_and_without_text(self) -> None:
        assembler = TranscriptAssembler()
        assert brief(feed(assembler, spoken("Yes.", finished=True))) == [(1, "Yes.", True)]
        assert brief(feed(assembler, spoken("No"), spoken("", finished=True))) == [(2, "No", False), (2, "No", True)]
        assert feed(assembler, spoken("", finished=True)) == []

    def test_empty_pieces_change_nothing(self) -> None:
        assert feed(TranscriptAssembler(), spoken(""), spoken("", 2), heard(""), guessed(""), written("")) == []

    def test_another_generation_opens_another(self) -> None:
        updates = feed(TranscriptAssembler(), spoken("We", 1), spoken("", 2), spoken("You", 2))
        assert brief(updates) == [(1, "We", False), (1, "We", True), (2, "You", False)]

    def test_the_last_words_come_with_the_interruption(self) -> None:
        updates = feed(
            TranscriptAssembler(), spoken("We"), Interrupted(generation=1), spoken(" go", stale=True), TurnComplete()
        )
        assert brief(updates) == [(1, "We", False), (1, "We", True), (1, "We go", True)]
        assert updates[-1].interrupted

    def test_what_is_stale_without_a_cut_utterance_stands_alone(self) -> None:
        updates = feed(TranscriptAssembler(), spoken("We", 3), Interrupted(generation=3), spoken("x", 2, stale=True))
        assert brief(updates) == [(1, "We", False), (1, "We", True), (2, "x", False)]

    def test_interrupted_while_it_was_played(self) -> None:
        updates = feed(
            TranscriptAssembler(), spoken("We go."), GenerationComplete(generation=1), Interrupted(generation=1)
        )
        assert brief(updates) == [(1, "We go.", False), (1, "We go.", True), (1, "We go.", True)]
        assert [said.interrupted for said in updates] == [False, False, True]

    def test_not_interrupted_once_the_turn_is_over(self) -> None:
        assert feed(TranscriptAssembler(), spoken("We"), TurnComplete(), Interrupted())[-1].interrupted is False

    def test_output_after_the_generation_is_another_utterance(self) -> None:
        updates = feed(TranscriptAssembler(), spoken("One."), GenerationComplete(), spoken("Two."), Interrupted())
        assert brief(updates) == [(1, "One.", False), (1, "One.", True), (2, "Two.", False), (2, "Two.", True)]
        assert [said.interrupted for said in updates if said.final] == [False, True]

    def test_text_counts_and_thoughts_are_apart(self) -> None:
        updates = feed(
            TranscriptAssembler(), written("Hm", thought=True), written("Yes"), written("!"), GenerationComplete()
        )
        assert [(said.role, said.text) for said in updates if said.final] == [
            (Role.THOUGHT, "Hm"),
            (Role.MODEL, "Yes!"),
        ]

    def test_late_text_amends_too(self) -> None:
        updates = feed(TranscriptAssembler(), written("Ye"), Interrupted(), written("s", stale=True))
        assert updates[-1].text == "Yes"


class TestUser:
    def test_piecewise_models(self) -> None:
        updates = feed(TranscriptAssembler(), heard("What"), heard(" is it?"), STARTED)
        assert brief(updates) == [(1, "What", False), (1, "What is it?", False), (1, "What is it?", True)]
        assert updates[-1].role is Role.USER
        assert updates[-1].generation == 0

    def test_whole_sentence_models(self) -> None:
        updates = feed(TranscriptAssembler(), heard("Hello."), heard("How are you?"), STARTED)
        assert finals(updates) == ["Hello. How are you?"]

    @pytest.mark.parametrize(
        ("pieces", "text"),
        [
            (("Hello.", " How"), "Hello. How"),
            (("example.", "com"), "example.com"),
            (("3.", "5"), "3.5"),
            (("Hel", "Lo"), "HelLo"),
            (("Hello! ", "How"), "Hello! How"),
        ],
    )
    def test_the_space_between_sentences(self, pieces: tuple[str, str], text: str) -> None:
        assert feed(TranscriptAssembler(), *map(heard, pieces))[-1].text == text

    def test_guesses_replace_each_other_and_the_piece_replaces_them(self) -> None:
        updates = feed(TranscriptAssembler(), guessed("Hel"), guessed("Hello what"), heard("Hello, world."), STARTED)
        assert [said.text for said in updates] == ["Hel", "Hello what", "Hello, world.", "Hello, world."]
        assert finals(updates) == ["Hello, world."]

    def test_a_guess_stands_after_what_is_settled(self) -> None:
        updates = feed(TranscriptAssembler(), heard("One"), guessed("two"), guessed(" two"), heard(" 2"), guessed("x"))
        assert [said.text for said in updates] == ["One", "One two", "One two", "One 2", "One 2 x"]

    def test_a_guess_closed_as_one_is_amended(self) -> None:
        updates = feed(TranscriptAssembler(), guessed("Hel"), STARTED, guessed("Hello"), heard("Hello."))
        assert brief(updates) == [(1, "Hel", False), (1, "Hel", True), (1, "Hello", True), (1, "Hello.", True)]

    def test_a_late_piece_amends_what_the_answer_closed(self) -> None:
        assembler = TranscriptAssembler()
        updates = feed(assembler, heard("What is"), STARTED, heard(" it?"), spoken("That."))
        assert brief(updates) == [
            (1, "What is", False),
            (1, "What is", True),
            (1, "What is it?", True),
            (2, "That.", False),
        ]

    def test_a_late_last_piece_ends_amending(self) -> None:
        updates = feed(TranscriptAssembler(), heard("a"), STARTED, heard("b", finished=True), heard("c"))
        assert brief(updates)[2:] == [(1, "ab", True), (2, "c", False)]

    @pytest.mark.parametrize("sign", [Interrupted(), TurnComplete(), SPEAKS])
    def test_what_ends_amending(self, sign: Event) -> None:
        updates = feed(TranscriptAssembler(), heard("One"), STARTED, sign, heard("Two"))
        assert brief(updates)[-1] == (2, "Two", False)
        assert updates[-1].generation == 1

    def test_a_new_guess_ends_amending(self) -> None:
        updates = feed(TranscriptAssembler(), heard("One"), STARTED, guessed("Two"), guessed("Three"), heard("Three."))
        assert brief(updates)[2:] == [(2, "Two", False), (2, "Three", False), (2, "Three.", False)]

    def test_the_end_of_the_turn_does_not_close_what_the_user_says_over_it(self) -> None:
        updates = feed(
            TranscriptAssembler(), STARTED, Interrupted(), heard("Stop"), TurnComplete(), heard(" it"), TurnStarted()
        )
        assert finals(updates) == ["Stop it"]

    @pytest.mark.parametrize(
        ("activity", "closes"),
        [
            (SPEAKS, True),
            (VoiceActivityDetected(signal=VadSignalType.VAD_SIGNAL_TYPE_SOS), True),
            (VoiceActivityDetected(kind=VoiceActivityType.ACTIVITY_END), False),
            (VoiceActivityDetected(signal=VadSignalType.VAD_SIGNAL_TYPE_EOS), False),
        ],
    )
    def test_only_a_start_of_activity_closes(self, activity: Event, closes: bool) -> None:
        assert brief(feed(TranscriptAssembler(), heard("One"), activity))[1:] == [(1, "One", True)] * closes

    def test_finished_closes(self) -> None:
        assert brief(feed(TranscriptAssembler(), heard("One", finished=True))) == [(1, "One", True)]

    def test_speakers_are_kept_apart(self) -> None:
        updates = feed(
            TranscriptAssembler(),
            heard("One", speaker_label="a"),
            heard(" more"),
            heard("Two", speaker_label="b"),
            STARTED,
            heard("!", speaker_label="b"),
            heard("Three", speaker_label="a"),
        )
        assert [(said.number, said.text, said.speaker) for said in updates if said.final] == [
            (1, "One more", "a"),
            (2, "Two", "b"),
            (2, "Two!", "b"),
        ]
        assert (updates[-1].number, updates[-1].text) == (3, "Three")

    def test_details(self) -> None:
        words = [WordInfo(word=word) for word in ("a", "b", "c")]
        updates = feed(
            TranscriptAssembler(),
            guessed("x", words=words[:1]),
            heard("a", language_code="en", words=words[:1]),
            heard(" b c", words=words[1:]),
        )
        assert updates[0].words == ()
        assert updates[-1].language == "en"
        assert list(updates[-1].words) == words


class TestEnd:
    @pytest.mark.parametrize(
        "end",
        [
            ConnectionFailed(error=TransportFailed("gone")),
            ConnectionClosed(info=CloseInfo(code=1006, clean=False, initiator=Initiator.TRANSPORT)),
            SetupComplete(),
        ],
    )
    def test_everything_closes(self, end: Event) -> None:
        assembler = TranscriptAssembler()
        feed(assembler, STARTED, written("Hm", thought=True), spoken("We"), heard("Wait"))
        assert [said.text for said in assembler.open] == ["Hm", "We", "Wait"]
        updates = feed(assembler, end)
        assert [(said.text, said.interrupted) for said in updates] == [("Wait", False), ("Hm", True), ("We", True)]
        assert assembler.open == ()
        assert assembler.close() == ()

    def test_other_events_pass_by(self) -> None:
        assert TranscriptAssembler().feed(GoAway()) == ()


PIECES = st.text("ab .", max_size=4)
EVENTS = st.one_of(
    st.builds(spoken, PIECES, st.integers(1, 2), stale=st.booleans(), finished=st.booleans()),
    st.builds(written, PIECES, st.integers(1, 2), thought=st.booleans(), stale=st.booleans()),
    st.builds(heard, PIECES, finished=st.booleans(), speaker_label=st.sampled_from([None, "a", "b"])),
    st.builds(guessed, PIECES),
    st.sampled_from([STARTED, SPEAKS, Interrupted(), GenerationComplete(), TurnComplete(), SetupComplete()]),
)


@given(st.lists(EVENTS, max_size=30))
def test_no_settled_word_is_lost_and_every_utterance_ends(events: list[Event]) -> None:
    assembler = TranscriptAssembler()
    latest: dict[int, Utterance] = {}
    for event in events:
        for said in assembler.feed(event):
            before = latest.get(said.number)
            assert before is None or (before.role, before.generation) == (said.role, said.generation)
            assert before is None or said.final >= before.final
            latest[said.number] = said
        assert {said.number for said in assembler.open} == {n for n, said in latest.items() if not said.final}
    for said in assembler.close():
        latest[said.number] = said
    assert all(said.final for said in latest.values())
    for role, sources in ((Role.MODEL, "OutputTranscript TextChunk"), (Role.USER, "InputTranscript")):
        fed = "".join(
            event.text  # type: ignore[union-attr]
            for event in events
            if type(event).__name__ in sources.split() and not getattr(event, "thought", False)
        )
        got = "".join(said.text for said in latest.values() if said.role is role)
        if role is Role.MODEL:
            assert sorted(got.replace(" ", "")) == sorted(fed.replace(" ", ""))
        elif not any(type(event).__name__ == "InterimInputTranscript" for event in events):
            assert got.replace(" ", "") == fed.replace(" ", "")
