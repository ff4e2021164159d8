"""Text turns: answers, order of signals, interruption, history."""

from __future__ import annotations

import pytest

from core.emulator.pair import (
    AUDIO,
    GEMINI,
    TEXT,
    VERTEX,
    Pair,
    Raw,
    connected,
    emulator,
    messages,
    names,
    of,
    pcm,
    said,
    transcript,
)
from live_protocol import events as ev
from live_protocol.messages import AudioFormat, MediaModality, TrafficType
from live_protocol.states import TurnState


def test_text_comes_back_in_fragments() -> None:
    with connected() as pair:
        new = pair.content("one two three four five six seven eight")
        assert names(new) == [
            "TurnStarted",
            *["TextChunk"] * 4,
            "GenerationComplete",
            "TurnComplete",
            "UsageUpdated",
        ]
        assert [chunk.text for chunk in of(new, ev.TextChunk)] == [
            "one ",
            "two three ",
            "four five six seven ",
            "eight",
        ]
        # In text mode nothing is to be played: the turn ends at once, and usage rides with its end.
        assert messages(new)[-1].usage_metadata is not None
        assert pair.server.turn is TurnState.IDLE


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a", ["a"]),
        ("abc", ["ab", "c"]),
        ("  two words ", ["  ", "two words "]),
        ("a\nb", ["a\n", "b"]),
        ("x" * 5000, ["x" * 4096, "x" * 904]),
        ("a " + "b " * 9000, None),
    ],
)
def test_fragments_join_to_the_text(text: str, pieces: list[str] | None) -> None:
    with connected() as pair:
        new = pair.text(text)
        got = [chunk.text for chunk in of(new, ev.TextChunk)]
        assert "".join(got) == text
        assert max(map(len, got)) <= 4096
        if pieces is not None:
            assert got == pieces


def test_an_empty_text_asks_to_go_on() -> None:
    with connected() as pair:
        pair.client.send_client_content(None)
        assert said(pair.run()) == "Go on."


@pytest.mark.parametrize("endpoint", [GEMINI, VERTEX], ids=["gemini", "vertex"])
def test_an_audio_answer_has_voice_and_transcript_and_ends_when_played(endpoint: object) -> None:
    with connected(config=AUDIO, endpoint=endpoint) as pair:
        start = pair.now or 0.0
        new = pair.content("hello brave new world")
        assert transcript(new) == "hello brave new world"
        audio = pcm(new)
        assert max(audio) > 0
        assert {chunk.format for chunk in of(new, ev.AudioChunk)} == {AudioFormat(24_000)}
        assert [len(chunk.data) for chunk in of(new, ev.AudioChunk)][:2] == [9600, 11520]
        assert names(new)[-1] == "GenerationComplete"
        assert pair.server.turn is TurnState.GENERATED
        seconds = AudioFormat(24_000).seconds(len(audio))
        assert pair.server.next_deadline() == pytest.approx(start + seconds)
        assert pair.wait(seconds - 0.01) == []
        assert names(pair.wait(0.02)) == ["TurnComplete", "UsageUpdated"]
        # The same words sound the same.
        assert pcm(pair.content("hello brave new world")) == audio


def test_dialects() -> None:
    with connected(config=AUDIO) as pair:
        made = messages(pair.content("hi there"))
        gemini = [m.server_content for m in made if m.server_content]
        turns = [content.model_turn for content in gemini if content.model_turn]
        assert {turn.role for turn in turns} == {None}
        blobs = [turn.parts[0].inline_data for turn in turns]
        assert {blob.mime_type for blob in blobs if blob} == {"audio/pcm;rate=24000"}
        pair.wait(5)
        assert pair.client.usage.last is not None
        assert pair.client.usage.last.traffic_type is None
    with connected(config=AUDIO, endpoint=VERTEX) as pair:
        (complete,) = of(pair.events, ev.SetupComplete)
        assert complete.session_id is not None
        assert len(complete.session_id) == 36
        made = messages(pair.content("hi there"))
        contents = [m.server_content for m in made if m.server_content]
        turns = [content.model_turn for content in contents if content.model_turn]
        assert {turn.role for turn in turns} == {"model"}
        blobs = [turn.parts[0].inline_data for turn in turns]
        assert {blob.mime_type for blob in blobs if blob} == {"audio/pcm"}
        spoken = [c.output_transcription for c in contents if c.output_transcription]
        assert spoken[0].text is None  # an empty object comes first, as recorded
        pair.wait(5)
        assert pair.client.usage.last is not None
        assert pair.client.usage.last.traffic_type == TrafficType.ON_DEMAND
        assert pair.client.usage.last.response_token_count


def test_audio_is_the_default_without_transcripts() -> None:
    with connected(config=None) as pair:
        new = pair.text("hi")
        assert pcm(new)
        assert not of(new, ev.OutputTranscript)
        pair.wait(5)
        assert said(pair.text("/history")) == ""  # spoken, of course
        pair.wait(10)


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_paced_audio(speed: float) -> None:
    with connected(emulator(speed=speed), AUDIO) as pair:
        new = pair.content("one two three four five six seven")
        assert len(of(new, ev.AudioChunk)) == 1
        whole = new + pair.wait(30)
        audio = pcm(whole)
        assert len(audio) > 24_000
        assert names(whole)[-2:] == ["TurnComplete", "UsageUpdated"]
        with connected(config=AUDIO) as at_once:
            assert pcm(at_once.content("one two three four five six seven")) == audio


def test_turns_may_end_before_playback() -> None:
    with connected(emulator(hold_turn_complete=False), AUDIO) as pair:
        assert names(pair.text("hi"))[-3:] == ["GenerationComplete", "TurnComplete", "UsageUpdated"]


def test_an_interruption_keeps_only_what_was_sent() -> None:
    with connected(emulator(speed=1.0), AUDIO) as pair:
        pair.content("alpha beta gamma delta epsilon zeta eta theta iota kappa")
        pair.wait(0.5)
        new = pair.content("stop")
        assert names(new)[:3] == ["Interrupted", "TurnComplete", "UsageUpdated"]
        assert transcript(new) == "stop"
        pair.wait(10)
        new = pair.text("/history")
        text = transcript(new + pair.wait(60))
        assert "model: alpha beta" in text
        assert "model: alpha beta gamma delta epsilon zeta eta theta iota kappa" not in text
        assert "GenerationComplete" not in names(pair.events)[: names(pair.events).index("Interrupted")]


def test_interruption_during_playback() -> None:
    with connected(config=AUDIO) as pair:
        assert names(pair.content("one two three"))[-1] == "GenerationComplete"
        new = pair.text("no")
        assert names(new)[:3] == ["Interrupted", "TurnComplete", "UsageUpdated"]


def test_answers_queue_without_interruption() -> None:
    config = {**AUDIO, "realtime_input_config": {"activity_handling": "NO_INTERRUPTION"}}
    with connected(config=config) as pair:
        pair.text("first")
        assert pair.text("second") == []
        new = pair.wait(20)
        assert names(new)[:2] == ["TurnComplete", "UsageUpdated"]
        assert transcript(new) == "second"
        # Client content interrupts all the same.
        pair.text("third")
        assert names(pair.content("fourth"))[0] == "Interrupted"


def test_turn_complete_false_waits() -> None:
    with connected() as pair:
        assert pair.content("one ", turn_complete=False) == []
        assert pair.text("ignored ") == []
        assert pair.content("two ", turn_complete=False) == []
        assert said(pair.content("three")) == "one two three"
        history = said(pair.text("/history"))
        assert history == "user: one \nuser: ignored \nuser: two \nuser: three\nmodel: one two three"


def test_turn_complete_false_interrupts_too() -> None:
    with connected(config=AUDIO) as pair:
        pair.content("one two three")
        assert names(pair.content("but ", turn_complete=False)) == ["Interrupted", "TurnComplete", "UsageUpdated"]


def test_initial_history_is_not_answered() -> None:
    config = {**TEXT, "history_config": {"initial_history_in_client_content": True}}
    with connected(config=config) as pair:
        assert pair.content("I was here", turn_complete=False) == []
        pair.client.send_client_content({"role": "model", "parts": [{"text": "I remember"}]})
        assert pair.run() == []
        assert said(pair.content("now")) == "now"
        assert said(pair.text("/history")).startswith("user: I was here\nmodel: I remember\nuser: now\n")


def test_history_shows_other_parts() -> None:
    with connected() as pair:
        pair.client.send_client_content(
            [
                {"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": b"x"}}]},
                {"parts": [{"inline_data": {"mime_type": "audio/pcm", "data": b"xx"}}, {"text": "hm"}]},
                {"role": "model", "parts": [{"function_call": {"name": "f", "args": {}}}]},
                {"role": "user", "parts": [{"function_response": {"name": "f", "response": {}}}]},
                {"role": "user"},
            ]
        )
        pair.run()
        assert said(pair.text("/history")).splitlines()[:5] == [
            "user: data image/png",
            "user: hm data audio/pcm",
            "model: call f",
            "user: response f",
            "user: ",
        ]


def test_history_before_anything() -> None:
    with connected() as pair:
        assert said(pair.text("/history")) == "Nothing was said."


def test_prompt_tokens_grow() -> None:
    with connected() as pair:
        pair.text("a" * 40)
        first = pair.client.usage.last
        pair.text("b" * 40)
        second = pair.client.usage.last
        assert first is not None
        assert second is not None
        assert (first.prompt_token_count, first.response_token_count, first.total_token_count) == (10, 10, 20)
        assert second.prompt_token_count == 30
        assert [(d.modality, d.token_count) for d in second.prompt_tokens_details] == [(MediaModality.TEXT, 30)]


def test_thoughts_are_sent_on_request() -> None:
    with connected(config={**TEXT, "thinking_config": {"include_thoughts": True}}) as pair:
        new = pair.text("hi there")
        assert "".join(chunk.text for chunk in of(new, ev.TextChunk) if chunk.thought)
        assert said(new) == "hi there"
        usage = of(new, ev.UsageUpdated)[0].usage
        assert (usage.prompt_token_count, usage.response_token_count) == (2, 2)
        assert usage.thoughts_token_count
        assert usage.total_token_count == 4 + usage.thoughts_token_count
    with connected(config={**TEXT, "thinking_config": {"thinking_budget": 0}}) as pair:
        new = pair.text("hi there")
        assert not [chunk for chunk in of(new, ev.TextChunk) if chunk.thought]
        assert of(new, ev.UsageUpdated)[0].usage.thoughts_token_count is None


def test_empty_counts_are_left_out() -> None:
    raw = Raw()
    raw.send('{"setup": {"model": "models/m"}}')
    *_, last = raw.send('{"clientContent": {"turns": [{"parts": [{"text": "/wait 0"}]}], "turnComplete": true}}')
    assert last["usageMetadata"] == {
        "promptTokenCount": 2,
        "responseTokenCount": 0,
        "totalTokenCount": 2,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2}],
    }


def test_interaction_status() -> None:
    with connected(emulator(interaction_status=True)) as pair:
        (over,) = of(pair.text("hi"), ev.TurnComplete)
        assert over.interaction_complete
        assert over.interaction_status == "IDLE"


def test_system_instruction() -> None:
    with connected(config={**TEXT, "system_instruction": "Be brief."}) as pair:
        assert said(pair.text("/system")) == "Be brief."
        pair.client.send_context_update(system_instruction="Be long.")
        pair.run()
        assert said(pair.text("/system")) == "Be long."
    with connected() as pair:
        assert said(pair.text("/system")) == "There is no system instruction."
    with connected(config=TEXT, endpoint=VERTEX) as pair:
        pair.client.send_client_content({"role": "system", "parts": [{"text": "Quiet."}]}, turn_complete=False)
        assert said(pair.content("/system")) == "Quiet."


def test_the_echo_model_may_be_off() -> None:
    with connected(emulator(echo=False)) as pair:
        assert pair.content("anyone?") == []
        message = messages(Pair().text("hi"))[0]
        pair.server.send(message)
        assert names(pair.run()) == ["TurnStarted", "TextChunk"]


def test_the_audio_of_a_long_text_is_bounded() -> None:
    with connected(emulator(max_speech=2.0), AUDIO) as pair:
        new = pair.text("word " * 200)
        assert transcript(new) == "word " * 200
        assert len(pcm(new)) == AudioFormat(24_000).size(2.0)


def test_no_clock_before_the_first_advance() -> None:
    # Whatever was planned without a clock is planned from its first reading on.
    pair = Pair(emulator(lifetime=100.0), AUDIO, start=None)
    pair.text("one two three")
    assert pair.server.turn is TurnState.GENERATED
    assert pair.server.next_deadline() is None
    pair.now = 5000.0
    pair.client.advance(5000.0)
    pair.server.advance(5000.0)
    deadline = pair.server.next_deadline()
    assert deadline is not None
    assert 5000.0 < deadline < 5005.0
    assert names(pair.wait(10)) == ["TurnComplete", "UsageUpdated"]
    assert pair.server.next_deadline() == pytest.approx(5040.0)


def test_paced_audio_before_the_first_advance() -> None:
    pair = Pair(emulator(speed=1.0, lifetime=100.0), AUDIO, start=None)
    assert len(of(pair.text("one two three"), ev.AudioChunk)) == 1
    pair.now = 5000.0
    pair.client.advance(5000.0)
    pair.server.advance(5000.0)
    assert pair.server.next_deadline() == pytest.approx(5000.2)
    assert names(pair.wait(3))[-2:] == ["TurnComplete", "UsageUpdated"]
