"""Audio input: detection, manual activity, interruption, transcripts."""

from __future__ import annotations

import random

import pytest

from core.emulator.pair import (
    AUDIO,
    TEXT,
    VERTEX,
    Pair,
    chunks,
    closed,
    connected,
    emulator,
    messages,
    names,
    of,
    pcm,
    said,
    silence,
    speech,
    transcript,
)
from live_protocol import events as ev
from live_protocol.emulator import Emulator
from live_protocol.messages import AudioFormat, MediaModality, VoiceActivityType

MANUAL = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}


def hear(pair: Pair, data: bytes, rate: int = 16_000) -> list[ev.Event]:
    new = []
    for chunk in chunks(data, 2 * (rate // 10)):
        new += pair.audio(chunk, rate)
    return new


def test_speech_comes_back_at_24_khz() -> None:
    with connected(config={**AUDIO, "input_audio_transcription": {}}) as pair:
        assert hear(pair, silence(0.3) + speech(1.2)) == []
        assert hear(pair, silence(0.4)) == []
        new = hear(pair, silence(0.2))
        assert names(new)[0] == "InputTranscript"
        assert of(new, ev.InputTranscript)[0].text == "[1.2 s of speech]"
        assert transcript(new) == "[1.2 s of speech]"
        played = pcm(new)
        assert AudioFormat(24_000).seconds(len(played)) == pytest.approx(1.2, abs=0.021)
        assert names(pair.wait(3)) == ["TurnComplete", "UsageUpdated"]
        usage = pair.client.usage.last
        assert usage is not None
        assert (MediaModality.AUDIO, 30) in [(d.modality, d.token_count) for d in usage.prompt_tokens_details]
        assert transcript(pair.text("/history")).startswith("user: [1.2 s of speech]\nmodel: [1.2 s")


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 24_000, 48_000])
def test_any_rate(rate: int) -> None:
    with connected(config=AUDIO) as pair:
        data = speech(0.5, rate)
        new = hear(pair, data + silence(0.6, rate), rate)
        played = pcm(new)
        assert AudioFormat(24_000).seconds(len(played)) == pytest.approx(0.5, abs=0.03)
        if rate == 24_000:
            assert played == data


def test_resampling_keeps_the_wave() -> None:
    with connected(config=AUDIO) as pair:
        played = pcm(hear(pair, speech(1.0, 16_000) + silence(0.6)))
        wanted = memoryview(speech(1.0, 24_000)).cast("h")
        got = memoryview(played).cast("h")
        # The filter sees silence beyond both ends of the wave.
        assert max(abs(a - b) for a, b in zip(got, wanted, strict=False)) < 80
        assert max(abs(a - b) for a, b in zip(got[10:-10], wanted[10:-10], strict=False)) < 4


def test_text_answer_to_speech() -> None:
    with connected() as pair:
        assert said(hear(pair, speech(0.5) + silence(0.6))) == "[0.5 s of speech]"


def test_another_transcriber() -> None:
    rates = []

    def transcriber(data: bytes, rate: int) -> str:
        rates.append(rate)
        return "good morning"

    with connected(Emulator(transcriber=transcriber)) as pair:
        assert said(hear(pair, speech(0.5, 8000) + silence(0.6, 8000), 8000)) == "good morning"
        assert rates == [8000]


def test_chunk_sizes_do_not_matter() -> None:
    data = silence(0.31) + speech(0.7) + silence(0.2) + speech(0.4) + silence(0.7) + speech(0.3) + silence(0.6)
    answers = []
    for seed in range(6):
        rng = random.Random(seed)
        with connected(config=AUDIO) as pair:
            new = []
            at = 0
            while at < len(data):
                size = 2 * rng.randint(1, 5000)
                new += pair.audio(data[at : at + size])
                at += size
            assert names(new).count("Interrupted") == 1  # by the second utterance
            answers.append((pcm(new), transcript(new)))
    assert len(set(answers)) == 1


def test_speech_in_one_message_is_one_turn() -> None:
    # As recorded: the service answers several utterances in one piece of audio once, and interrupts nothing.
    two = speech(0.5) + silence(0.6) + speech(0.3) + silence(0.6)
    with connected(config={**AUDIO, "input_audio_transcription": {}}) as pair:
        new = pair.audio(two)
        assert [event.text for event in of(new, ev.InputTranscript)] == ["[0.5 s of speech]", "[0.3 s of speech]"]
        assert transcript(new) == "[0.5 s of speech] [0.3 s of speech]"
        assert AudioFormat(24_000).seconds(len(pcm(new))) == pytest.approx(0.8, abs=0.041)
        pair.wait(2)
        # Who goes on at the end of a message is not answered before the end.
        assert names(pair.audio(speech(0.5) + silence(0.6) + speech(0.3))) == ["InputTranscript"]
        new = hear(pair, speech(0.1) + silence(0.6))
        assert transcript(new) == "[0.5 s of speech] [0.4 s of speech]"
        assert "Interrupted" not in names(new)
        lines = transcript(pair.text("/history")).splitlines()
        assert lines[:3] == [
            "user: [0.5 s of speech]",
            "user: [0.3 s of speech]",
            "model: [0.5 s of speech] [0.3 s of speech]",
        ]


def test_configured_silence_and_padding() -> None:
    def config(**detection: object) -> object:
        return {**TEXT, "realtime_input_config": {"automatic_activity_detection": detection}}

    with connected(config=config(silence_duration_ms=100)) as pair:
        assert said(hear(pair, speech(0.5) + silence(0.1))) == "[0.5 s of speech]"
    with connected(config=config(silence_duration_ms=2000)) as pair:
        assert hear(pair, speech(0.5) + silence(1.9)) == []
        assert said(hear(pair, silence(0.1))) == "[0.5 s of speech]"
    with connected(config=config(prefix_padding_ms=300)) as pair:
        assert hear(pair, speech(0.2) + silence(1.0)) == []  # a cough
        assert said(hear(pair, speech(0.2) + silence(0.08) + speech(0.2) + silence(0.6))) == "[0.5 s of speech]"


def test_a_turn_may_include_all_input() -> None:
    config = {**AUDIO, "realtime_input_config": {"turn_coverage": "TURN_INCLUDES_ALL_INPUT"}}
    with connected(emulator(prefix_padding_ms=100), config) as pair:
        new = hear(pair, silence(0.4) + speech(0.02) + silence(0.5) + speech(1.0) + silence(0.6))
        assert transcript(new) == "[1.9 s of speech]"  # the click was no speech, and is heard all the same
        pair.wait(3)
        pair.audio(silence(0.1) + speech(0.02))
        pair.client.send_realtime_input(audio_stream_end=True)
        pair.run()
        new = hear(pair, silence(0.3) + speech(0.5) + silence(0.6))
        assert transcript(new) == "[1.5 s of speech]"  # with the silence that ended the first turn
    with connected(emulator(max_speech=1.0), config) as pair:
        hear(pair, silence(5.0))
        new = hear(pair, speech(0.5) + silence(0.6))
        assert transcript(new) == "[1.5 s of speech]"  # of what is no speech not more than may be speech


def test_sensitivity() -> None:
    quiet = speech(0.5, volume=1000)
    low = {"start_of_speech_sensitivity": "START_SENSITIVITY_LOW"}
    with connected(config={**TEXT, "realtime_input_config": {"automatic_activity_detection": low}}) as pair:
        assert hear(pair, quiet + silence(1)) == []
    low = {"end_of_speech_sensitivity": "END_SENSITIVITY_LOW"}
    with connected(config={**TEXT, "realtime_input_config": {"automatic_activity_detection": low}}) as pair:
        assert hear(pair, quiet + silence(0.9)) == []
        assert said(hear(pair, silence(0.1))) == "[0.5 s of speech]"


def test_barge_in() -> None:
    with connected(emulator(speed=1.0), AUDIO) as pair:
        pair.text("one two three four five six seven eight nine ten")
        pair.wait(0.3)
        new = hear(pair, speech(0.1))
        assert names(new) == ["Interrupted", "TurnComplete", "UsageUpdated"]
        new = hear(pair, speech(0.4) + silence(0.6)) + pair.wait(10)
        assert transcript(new) == "[0.5 s of speech]"
        assert AudioFormat(24_000).seconds(len(pcm(new))) == pytest.approx(0.5)


def test_no_interruption() -> None:
    config = {**AUDIO, "realtime_input_config": {"activity_handling": "NO_INTERRUPTION"}}
    with connected(config=config) as pair:
        pair.text("one two three")
        assert hear(pair, speech(0.5) + silence(0.6)) == []
        new = pair.wait(10)
        assert "Interrupted" not in names(new)
        assert transcript(new) == "[0.5 s of speech]"


def test_audio_stream_end_flushes() -> None:
    with connected() as pair:
        assert hear(pair, speech(0.5)) == []
        pair.client.send_realtime_input(audio_stream_end=True)
        assert said(pair.run()) == "[0.5 s of speech]"
        pair.client.send_realtime_input(audio_stream_end=True)
        assert pair.run() == []
        assert said(hear(pair, speech(0.3) + silence(0.6))) == "[0.3 s of speech]"
    with connected() as pair:
        pair.client.send_realtime_input(audio_stream_end=True)
        assert pair.run() == []


def test_a_paused_stream_ends_speech() -> None:
    with connected() as pair:
        hear(pair, speech(0.5))
        assert pair.wait(0.9) == []
        assert said(pair.wait(0.2)) == "[0.5 s of speech]"
        assert pair.server.next_deadline() is None


def test_a_pause_without_a_clock() -> None:
    pair = Pair(start=None)
    hear(pair, speech(0.5))
    pair.now = 77.0
    pair.server.advance(77.0)
    assert pair.server.next_deadline() == 78.0
    assert said(pair.wait(1.0)) == "[0.5 s of speech]"


def test_endless_speech_is_cut() -> None:
    with connected(emulator(max_speech=1.0)) as pair:
        assert said(hear(pair, speech(2.5) + silence(0.6))).count("[1.0 s of speech]") == 2
    with connected(emulator(max_speech=1.0), {**TEXT, **MANUAL}) as pair:
        pair.client.send_realtime_input(activity_start=True)
        hear(pair, speech(2.5))
        pair.client.send_realtime_input(activity_end=True)
        assert said(pair.run()) == "[1.0 s of speech]"


def test_voice_activity() -> None:
    config = {**TEXT, "explicit_vad_signal": True, "session_resumption": {}}
    server = Emulator()
    with connected(server, config, VERTEX) as pair:
        new = hear(pair, silence(0.5) + speech(0.5) + silence(0.6))
        start, end = of(new, ev.VoiceActivityDetected)
        assert (start.kind, start.audio_offset) == (VoiceActivityType.ACTIVITY_START, 0.5)
        assert (end.kind, end.audio_offset) == (VoiceActivityType.ACTIVITY_END, 1.0)
        assert start.message.server_content is not None
        handle = pair.client.resumption.handle
        pair.client.close()
        pair.run()
    # The offset goes on across resumption: 1.6 s were heard before.
    config = {**config, "session_resumption": {"handle": handle}}
    with connected(server, config, VERTEX) as pair:
        start, _ = of(hear(pair, silence(0.4) + speech(0.5) + silence(0.6)), ev.VoiceActivityDetected)
        assert start.audio_offset == pytest.approx(2.0)


def test_manual_activity() -> None:
    with connected(config={**TEXT, **MANUAL}) as pair:
        pair.client.send_realtime_input(activity_start=True)
        assert pair.run() == []
        assert hear(pair, speech(0.5) + silence(2.0)) == []
        assert pair.wait(30) == []
        pair.client.send_realtime_input(activity_end=True)
        assert said(pair.run()) == "[2.5 s of speech]"


def test_manual_activity_interrupts_and_may_contain_text() -> None:
    with connected(config={**AUDIO, **MANUAL}) as pair:
        pair.text("one two three")
        pair.client.send_realtime_input(activity_start=True)
        assert names(pair.run()) == ["Interrupted", "TurnComplete", "UsageUpdated"]
        assert pair.text("look ") == []
        pair.client.send_realtime_input(video={"mime_type": "image/jpeg", "data": b"jpeg"})
        assert hear(pair, speech(0.2)) == []
        assert pair.text("here") == []
        pair.client.send_realtime_input(activity_end=True)
        assert transcript(pair.run()) == "look here"
        pair.wait(5)
        pair.client.send_realtime_input(activity_start=True)
        pair.client.send_realtime_input(activity_end=True)
        assert pair.run() == []


def test_manual_activity_out_of_order_changes_nothing() -> None:
    with connected(config={**TEXT, **MANUAL}) as pair:
        pair.raw('{"realtimeInput": {"activityEnd": {}}}')
        pair.raw('{"realtimeInput": {"audio": {"mimeType": "audio/pcm", "data": "AAAA"}}}')
        pair.raw('{"realtimeInput": {"audioStreamEnd": true}}')
        pair.raw('{"realtimeInput": {"activityStart": {}}}')
        pair.raw('{"realtimeInput": {"activityStart": {}}}')
        assert said(pair.raw('{"realtimeInput": {"text": "ok", "activityEnd": {}}}')) == "ok"


@pytest.mark.parametrize("member", ["activityStart", "activityEnd"])
def test_activity_with_automatic_detection(member: str) -> None:
    with connected() as pair:
        pair.raw({"realtimeInput": {member: {}}})
        assert closed(pair) == (
            1007,
            "Explicit activity control is not supported when automatic activity detection is enabled.",
        )


def test_the_rate_must_not_change() -> None:
    with connected() as pair:
        hear(pair, silence(0.1, 24_000), 24_000)
        pair.raw('{"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000"}}}')
        assert closed(pair) == (
            1007,
            "Sample rate changed from previously 24000 to 16000, which is not supported.",
        )


@pytest.mark.parametrize("mime_type", ["audio/mp3", "", "audio/pcm;rate=16000;channels=2"])
def test_audio_that_is_not_pcm(mime_type: str) -> None:
    with connected() as pair:
        pair.raw({"realtimeInput": {"audio": {"mimeType": mime_type, "data": "AAAA"}}})
        assert closed(pair) == (1007, "Request contains an invalid argument.")


def test_the_deprecated_form_of_audio_and_several_members() -> None:
    with connected() as pair:
        pair.client.send_realtime_input(audio={"mime_type": "audio/pcm;rate=16000", "data": speech(0.5)})
        pair.raw('{"realtimeInput": {"mediaChunks": [{"mimeType": "audio/pcm", "data": ""}]}}')
        assert said(pair.raw('{"realtimeInput": {"audioStreamEnd": true, "text": "hi"}}')) == "hi[0.5 s of speech]"
        pair.raw('{"realtimeInput": {"mediaChunks": [{"mimeType": "image/png", "data": "AAAA"}]}}')
        assert said(pair.text("seen")) == "seen"
        usage = pair.client.usage.last
        assert usage is not None
        assert (MediaModality.IMAGE, 258) in [(d.modality, d.token_count) for d in usage.prompt_tokens_details]


def test_empty_messages_do_nothing() -> None:
    with connected() as pair:
        assert pair.raw('{"realtimeInput": {}}') == []
        assert messages(pair.text("x"))
