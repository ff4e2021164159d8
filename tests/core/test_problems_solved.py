"""Problems of programs on the Live API, one test each: whole messages in, assembled answers out."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import pytest
from support.signals import level, sine
from support.speech import ReadyClient, content, voice

from live_protocol.audio import Chunker, DropReason, PlaybackBuffer, PreRoll, Resampler
from live_protocol.codec import Codec
from live_protocol.conversation import Role, TranscriptAssembler, TurnCollector, TurnView, UsageLedger, Utterance
from live_protocol.errors import IllegalInState, InvalidMessage, ToolCallWasCancelled
from live_protocol.events import AudioChunk, InlineDataChunk, ToolCallRequested
from live_protocol.messages import (
    AudioFormat,
    AutomaticActivityDetection,
    Backend,
    LiveClientSetup,
    MediaModality,
    RealtimeInputConfig,
)
from live_protocol.session import LiveSession
from live_protocol.tools import InvalidToolCall, ToolRegistry, respond

TENTH = bytes(4800)
"""A tenth of a second at 24 kHz."""


def said(assembler: TranscriptAssembler, server: ReadyClient, *messages: dict[str, Any]) -> list[Utterance]:
    return [update for event in server.receive(*messages) for update in assembler.feed(event)]


def turns(collector: TurnCollector, server: ReadyClient, *messages: dict[str, Any]) -> list[TurnView]:
    return [view for event in server.receive(*messages) if (view := collector.feed(event)) is not None]


def test_p17_nothing_bundled_in_one_message_is_lost() -> None:
    server, collector, buffer = ReadyClient(), TurnCollector(keep_audio=True), PlaybackBuffer(AudioFormat(24_000))
    assembler, ledger = TranscriptAssembler(), UsageLedger()
    bundle = {
        **content(
            **voice(TENTH),
            inputTranscription={"text": "Hello."},
            outputTranscription={"text": "Hi."},
            generationComplete=True,
            turnComplete=True,
        ),
        "toolCall": {"functionCalls": [{"id": "1", "name": "f", "args": {}}, {"id": "2", "name": "f", "args": {}}]},
        "usageMetadata": {"totalTokenCount": 9},
    }
    events = server.receive(bundle)
    (view,) = [view for event in events if (view := collector.feed(event)) is not None]
    assert (view.input_transcript, view.output_transcript, view.audio) == ("Hello.", "Hi.", TENTH)
    assert [call.id for call in view.tool_calls] == ["1", "2"]
    assert (view.generated, view.complete, view.usage.total_tokens) == (True, True, 9)
    updates = [update for event in events for update in assembler.feed(event)]
    assert {update.text for update in updates if update.final} == {"Hello.", "Hi."}
    for event in events:
        buffer.feed(event)
        ledger.feed(event)
    assert buffer.queued == pytest.approx(0.1)
    assert ledger.turns[0].usage.total_tokens == 9


def test_p18_after_barge_in_no_stale_audio_plays_and_the_position_is_known() -> None:
    server, buffer = ReadyClient(), PlaybackBuffer(AudioFormat(24_000))
    for event in server.receive(content(**voice(TENTH)), content(**voice(TENTH))):
        buffer.feed(event)
    buffer.read_seconds(0.05)
    cut = content(interrupted=True, **voice(b"\1" * 4800))  # the flush comes first, whatever shares its message
    dropped = [drop for event in server.receive(cut) if (drop := buffer.feed(event)) is not None]
    assert [drop.reason for drop in dropped] == [DropReason.INTERRUPTED, DropReason.STALE]
    assert [drop.seconds for drop in dropped] == [pytest.approx(0.15), pytest.approx(0.1)]
    assert dropped[0].played == pytest.approx(0.05)
    assert buffer.read_seconds(0.1) == TENTH
    assert buffer.queued == 0
    for event in server.receive(content(turnComplete=True), content(**voice(b"\2" * 4800))):
        buffer.feed(event)
    assert buffer.read_seconds(0.1) == b"\2" * 4800


def test_p18_a_long_answer_overflows_by_the_stated_policy() -> None:
    server, buffer = ReadyClient(), PlaybackBuffer(AudioFormat(24_000), max_seconds=0.25)
    drops = [buffer.feed(event) for event in server.receive(*[content(**voice(TENTH))] * 3)]
    assert [drop.seconds for drop in drops if drop is not None] == [pytest.approx(0.05)]
    assert buffer.dropped == pytest.approx(0.05)


def test_p18_an_interruption_of_nothing_does_not_end_the_next_turn() -> None:
    server, collector = ReadyClient(), TurnCollector()
    assert turns(collector, server, content(interrupted=True), content(turnComplete=True)) == []
    (view,) = turns(collector, server, content(outputTranscription={"text": "Yes"}), content(turnComplete=True))
    assert (view.output_transcript, view.interrupted) == ("Yes", False)


def test_p19_generation_turn_and_interaction_end_apart() -> None:
    server, collector = ReadyClient(), TurnCollector()
    seen: list[tuple[bool, bool, bool]] = []
    views: list[TurnView] = []
    for message in (
        content(**voice(TENTH)),
        content(generationComplete=True),
        content(turnComplete=True, interactionStatus="IN_PROGRESS"),
        content(**voice(TENTH), generationComplete=True),
        content(turnComplete=True, interactionStatus="IDLE"),
    ):
        view = collector.current
        views += turns(collector, server, message)
        seen.append((view.generated, view.complete, view.interaction_complete))
    assert seen == [
        (False, False, False),
        (True, False, False),  # stop reading: no need to wait for the playback the service assumes
        (True, True, False),  # more turns follow by themselves
        (True, False, False),
        (True, True, True),
    ]
    assert [view.generation for view in views] == [1, 2]


def test_p20_the_service_accepts_audio_of_any_microphone() -> None:
    server, chunker = ReadyClient(), Chunker(AudioFormat(16_000))
    sent = 0
    for size in (1, 3, 1279, 2000, 5001):
        for chunk in chunker.push(bytes(size)):
            server.session.send_realtime_input(audio=chunk, rate=16_000)
            sent += len(chunk)
    server.session.send_realtime_input(audio=chunker.flush(), rate=16_000)
    assert chunker.pending == 0
    with pytest.raises(InvalidMessage, match="whole samples"):
        server.session.send_realtime_input(audio=bytes(3), rate=16_000)
    with pytest.raises(InvalidMessage, match="sample rate"):
        server.session.send_realtime_input(audio=bytes(4))


def test_p20_a_bad_rate_from_the_wire_does_no_harm() -> None:
    server, buffer = ReadyClient(), PlaybackBuffer(AudioFormat(48_000))
    hostile, extreme = server.receive(content(**voice(TENTH, rate=1)), content(**voice(TENTH, rate=4_000)))[-2:]
    assert isinstance(hostile, InlineDataChunk)
    assert buffer.feed(hostile) is None
    assert isinstance(extreme, AudioChunk)
    buffer.feed(extreme)
    assert buffer.queued < 0.61  # 0.6 seconds at 4 kHz stay 0.6 seconds


def test_p20_telephone_audio_at_8_khz_is_resampled() -> None:
    to_service = Resampler(AudioFormat(8_000), AudioFormat(16_000))
    to_phone = Resampler(AudioFormat(24_000), AudioFormat(8_000))
    up = to_service.push(sine(8_000, 1_000, 1_600)) + to_service.flush()
    down = to_phone.push(sine(24_000, 1_000, 4_800)) + to_phone.flush()
    assert (len(up), len(down)) == (6_400, 3_200)
    assert level(up, 16_000, 1_000) == pytest.approx(20_000, rel=0.01)
    assert level(down, 8_000, 1_000) == pytest.approx(20_000, rel=0.01)


def test_p21_pre_roll_keeps_the_onset_and_the_legal_order() -> None:
    manual = RealtimeInputConfig(automatic_activity_detection=AutomaticActivityDetection(disabled=True))
    session = ReadyClient(LiveClientSetup(model="models/test", realtime_input_config=manual)).session
    roll = PreRoll(AudioFormat(16_000), 0.3)
    for number in range(100):  # silence at first; speech is noticed a little after it began
        roll.push(bytes([number]) * 320)
    with pytest.raises(IllegalInState, match="activity_start first"):
        session.send_realtime_input(audio=bytes(320), rate=16_000)
    session.messages_to_send()
    session.send_realtime_input(activity_start=True)
    onset = roll.take()
    assert onset == b"".join(bytes([number]) * 320 for number in range(70, 100))
    session.send_realtime_input(audio=onset, rate=16_000)
    session.send_realtime_input(activity_end=True)
    codec = Codec()
    sent = [codec.decode_client(message).realtime_input for message in session.messages_to_send()]
    assert [one is not None and one.audio is not None for one in sent] == [False, True, False]


def test_p23_fragments_become_utterances_on_piecewise_models() -> None:
    updates = said(
        TranscriptAssembler(),
        ReadyClient(),
        content(inputTranscription={"text": "What's"}),
        content(inputTranscription={"text": " up?"}),
        content(outputTranscription={}),
        content(**voice(TENTH)),
        content(outputTranscription={"text": "Not"}),
        content(outputTranscription={"text": " much."}),
        content(generationComplete=True),
        content(turnComplete=True),
    )
    assert [(one.role, one.text) for one in updates if one.final] == [
        (Role.USER, "What's up?"),
        (Role.MODEL, "Not much."),
    ]


def test_p23_interim_transcripts_precede_one_final_sentence() -> None:
    updates = said(
        TranscriptAssembler(),
        ReadyClient(),
        content(interimInputTranscription={"text": "What"}),
        content(interimInputTranscription={"text": "What sub"}),
        content(inputTranscription={"text": "What's up?", "finished": True}),
        content(**voice(TENTH)),
        content(outputTranscription={"text": "Not mu"}),
        content(interrupted=True, outputTranscription={"text": "ch."}),
        content(turnComplete=True),
    )
    assert [one.text for one in updates if one.role is Role.USER] == ["What", "What sub", "What's up?"]
    assert [one.final for one in updates if one.role is Role.USER] == [False, False, True]
    assert (updates[-1].text, updates[-1].final, updates[-1].interrupted) == ("Not much.", True, True)


def test_p23_the_transcription_model_is_assembled_too() -> None:
    updates = said(
        TranscriptAssembler(),
        ReadyClient(),
        content(inputTranscription={"text": "One sentence."}),
        content(generationComplete=True),
        {**content(), "voiceActivity": {"type": "ACTIVITY_END"}},
    )
    assert [(one.text, one.final) for one in updates] == [("One sentence.", False), ("One sentence.", True)]


def weather(city: Annotated[str, "Name of the city."], days: int = 1) -> dict[str, Any]:
    """Tell the weather."""
    return {"city": city, "days": days}


def test_p24_tools_are_declared_called_and_answered_in_parallel() -> None:
    server, tools = ReadyClient(), ToolRegistry(weather)
    properties = (tools["weather"].declaration.parameters or pytest.fail("no parameters")).properties or {}
    assert list(properties) == ["city", "days"]  # in the plain schema, which every model reads
    calls = [
        {"id": "1", "name": "weather", "args": {"city": "Rome", "days": 2.0}},
        {"id": "2", "name": "weather", "args": {"town": "Oslo"}},
        {"id": "3", "name": "wether", "args": {}},
        {"id": "4", "name": "weather", "args": {"city": "Bern"}},
    ]
    requested = [
        event.call
        for event in server.receive({"toolCall": {"functionCalls": calls}}, {"toolCallCancellation": {"ids": ["4"]}})
        if isinstance(event, ToolCallRequested)
    ]
    answers = []
    for call in requested:
        try:
            args, kwargs = tools.find(call).bind(call)
            answers.append(respond(call, weather(*args, **kwargs)))
        except InvalidToolCall as error:
            answers.append(respond(call, error))
    server.session.send_tool_response(answers[:3])
    assert [(answer.id, answer.name, answer.response) for answer in answers[:3]] == [
        ("1", "weather", {"city": "Rome", "days": 2}),
        ("2", "weather", {"error": "args.town: unknown name; known names are city, days"}),
        ("3", "wether", {"error": "there is no function 'wether'; known are weather"}),
    ]
    with pytest.raises(ToolCallWasCancelled):
        server.session.send_tool_response(answers[3])


def test_p24_calls_without_an_id_are_answered_by_name() -> None:
    session = LiveSession.client(LiveClientSetup(model="models/test"), codec=Codec(Backend.VERTEX))
    session.send_setup()
    session.receive_message('{"setupComplete": {"sessionId": "x"}}')
    session.receive_message('{"toolCall": {"functionCalls": [{"name": "weather", "args": {"city": "Rome"}}]}}')
    (call,) = [event.call for event in session.events() if isinstance(event, ToolCallRequested)]
    session.send_tool_response(ToolRegistry(weather).find(call).respond(call, "sunny"))
    assert session.pending_tool_calls == ()
    assert b'"name":"weather"' in session.messages_to_send()[-1]


def test_p26_usage_is_per_turn_wherever_the_report_comes() -> None:
    server, ledger = ReadyClient(), UsageLedger()

    def report(prompt: int, response: int) -> dict[str, Any]:
        detail = [{"modality": "AUDIO", "tokenCount": response}]
        return {
            "promptTokenCount": prompt,
            "responseTokenCount": response,
            "totalTokenCount": prompt + response,
            "responseTokensDetails": detail,
        }

    for event in server.receive(
        content(**voice(TENTH)),
        {**content(turnComplete=True), "usageMetadata": report(100, 10)},
        content(**voice(TENTH)),
        content(turnComplete=True),
        {"usageMetadata": report(120, 20)},
        content(**voice(TENTH)),
        {"usageMetadata": report(150, 30)},
        content(turnComplete=True),
    ):
        ledger.feed(event)
    assert [(turn.usage.prompt_tokens, turn.usage.response_tokens) for turn in ledger.turns] == [
        (100, 10),
        (120, 20),
        (150, 30),
    ]
    assert all(turn.complete for turn in ledger.turns)
    assert ledger.by_modality.response == {MediaModality.AUDIO: 60}
    assert ledger.total.total_tokens == 430


@pytest.mark.parametrize(
    "message", [content(outputTranscription={"text": "Yes."}), content(modelTurn={"parts": [{"text": "Yes."}]})]
)
def test_p40_the_answer_is_text_in_any_modality(message: dict[str, Any]) -> None:
    (view,) = turns(TurnCollector(), ReadyClient(), message, content(turnComplete=True))
    assert view.answer == "Yes."


def test_p42_audio_needs_no_audioop() -> None:
    assert "audioop" not in sys.modules
