"""The client's end over whole messages: what each message becomes, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from support.core import (
    COMPLETE,
    GENERATED,
    INTERRUPTED,
    TEXT,
    as_dict,
    cancel,
    dumps,
    names,
    new_client,
    ready_client,
    tell,
)

from live_protocol import (
    AudioChunk,
    AudioFormat,
    Codec,
    InlineDataChunk,
    Phase,
    TurnComplete,
    TurnState,
)

AUDIO = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}}


def audio(mime_type: str = "audio/pcm;rate=24000", **turn: Any) -> dict[str, Any]:
    blob = {"mimeType": mime_type, "data": "AAAA"}
    return {"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}], **turn}}}


# --- one message, several meanings ------------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "usageMetadata": {"totalTokenCount": 3},
    "error": {"code": 13, "message": "oops", "status": "INTERNAL"},
    "brandNew": {"a": 1},
    "goAway": {"timeLeft": "9s"},
    "sessionResumptionUpdate": {"newHandle": "h", "resumable": True},
    "voiceActivity": {"type": "ACTIVITY_START", "audioOffset": "0.5s"},
    "voiceActivityDetectionSignal": {"vadSignalType": "VAD_SIGNAL_TYPE_SOS"},
    "toolCallCancellation": {"ids": ["x", "y"]},
    "toolCall": {"functionCalls": [{"id": "a", "name": "f"}, {"id": "b", "name": "g"}]},
    "serverContent": {
        "turnComplete": True,
        "interactionStatus": "IN_PROGRESS",
        "turnCompleteReason": "NEED_MORE_INPUT",
        "waitingForInput": True,
        "generationComplete": True,
        "urlContextMetadata": {"urlMetadata": []},
        "groundingMetadata": {"webSearchQueries": ["q"]},
        "modelTurn": {
            "parts": [
                AUDIO,
                {"text": "t"},
                {"text": "u", "thought": True},
                {"executableCode": {"language": "PYTHON", "code": "1"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
                {"fileData": {"fileUri": "f"}},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"newKind": 1},
            ]
        },
        "outputTranscription": {"text": "said"},
        "inputTranscription": {"text": "heard", "finished": True},
        "interimInputTranscription": {"text": "hea"},
    },
}
ORDER = [
    "VoiceActivityDetected",
    "VoiceActivityDetected",
    "ToolCallCancelled",
    "ToolCallCancelled",
    "InterimInputTranscript",
    "InputTranscript",
    "TurnStarted",
    "OutputTranscript",
    "AudioChunk",
    "TextChunk",
    "TextChunk",
    "ExecutableCodeReceived",
    "CodeExecutionResultReceived",
    "PartReceived",
    "InlineDataChunk",
    "PartReceived",
    "Grounding",
    "UrlContextRetrieved",
    "ToolCallRequested",
    "ToolCallRequested",
    "GenerationComplete",
    "WaitingForInput",
    "TurnComplete",
    "InteractionStatusChanged",
    "UsageUpdated",
    "GoAway",
    "ResumptionUpdated",
    "ServerError",
    "UnknownMessage",
]


def test_nothing_bundled_is_dropped() -> None:
    session = ready_client()
    events = tell(session, EVERYTHING)
    assert names(events) == ORDER
    assert [event.last for event in events] == [False] * (len(events) - 1) + [True]
    assert not any(event.unexpected for event in events)
    (message,) = {id(event.message): event.message for event in events}.values()
    assert message == Codec().decode_server(Codec().encode_server(message))
    assert session.phase is Phase.DRAINING
    assert session.turn is TurnState.IDLE
    generations = {event.generation for event in events if hasattr(event, "generation")}
    assert generations == {1}


def test_what_the_events_hold() -> None:
    session = ready_client()
    by_name = {type(event).__name__: as_dict(event) for event in tell(session, EVERYTHING)}
    common = {"last": False, "unexpected": False}
    output = {**common, "generation": 1, "stale": False}
    assert by_name["AudioChunk"] == {**output, "data": b"\0\0\0", "format": AudioFormat(24000)}
    assert by_name["TextChunk"] == {**output, "text": "u", "thought": True}
    assert by_name["GoAway"] == {**common, "time_left": 9.0}
    assert by_name["TurnComplete"] == {
        **output,
        "reason": "NEED_MORE_INPUT",
        "interaction_status": "IN_PROGRESS",
        "interaction_complete": False,
    }
    assert by_name["ServerError"] == {**common, "code": 13, "text": "oops", "status": "INTERNAL"}
    assert by_name["UnknownMessage"] == {"fields": {"brandNew": {"a": 1}}, "last": True, "unexpected": False}
    assert by_name["ResumptionUpdated"]["handle"] == "h"
    assert by_name["VoiceActivityDetected"]["signal"] == "VAD_SIGNAL_TYPE_SOS"
    assert by_name["InputTranscript"]["finished"] is True
    assert by_name["InputTranscript"]["text"] == "heard"
    assert by_name["InterimInputTranscript"]["text"] == "hea"
    assert by_name["OutputTranscript"]["text"] == "said"
    assert by_name["OutputTranscript"]["finished"] is False


def test_interrupted_comes_first_and_what_comes_with_it_is_stale() -> None:
    session = ready_client()
    tell(session, TEXT)
    bundle = {"interrupted": True, "turnComplete": True, "outputTranscription": {}, **TEXT["serverContent"]}
    events = tell(session, {"serverContent": bundle, **cancel("x")})
    assert names(events) == ["Interrupted", "ToolCallCancelled", "OutputTranscript", "TextChunk", "TurnComplete"]
    assert [event.stale for event in events if hasattr(event, "stale")] == [False, True, True, False]


@pytest.mark.parametrize("order", [1, -1])
def test_setup_complete_with_others(order: int) -> None:
    session = new_client()
    session.send_setup()
    members = [("setupComplete", {"sessionId": "s"}), ("sessionResumptionUpdate", {"newHandle": "h"})]
    events = tell(session, dict(members[::order]))
    assert names(events) == ["SetupComplete", "ResumptionUpdated"]
    assert events[0].session_id == "s"
    assert session.phase is Phase.READY


@pytest.mark.parametrize(
    "message",
    [{}, {"serverContent": {}}, {"serverContent": None}, {"toolCallCancellation": {}}, {"error": None}],
)
def test_messages_without_news(message: dict[str, Any]) -> None:
    session = ready_client(strict=message != {"error": None})
    assert tell(session, message) == []
    assert session.turn is TurnState.IDLE
    assert session.last_frames[-1].size > 0
    assert names(tell(session, message, COMPLETE)) == ["TurnComplete"]


# --- turns ------------------------------------------------------------------------------------------------------


def test_generations() -> None:
    session = ready_client()
    events = tell(
        session, TEXT, TEXT, GENERATED, COMPLETE, audio(), INTERRUPTED, audio(), COMPLETE, GENERATED, COMPLETE
    )
    assert [(type(event).__name__, event.generation) for event in events] == [
        ("TurnStarted", 1),
        ("TextChunk", 1),
        ("TextChunk", 1),
        ("GenerationComplete", 1),
        ("TurnComplete", 1),
        ("TurnStarted", 2),
        ("AudioChunk", 2),
        ("Interrupted", 2),
        ("AudioChunk", 2),
        ("TurnComplete", 2),
        ("TurnStarted", 3),
        ("GenerationComplete", 3),
        ("TurnComplete", 3),
    ]
    assert [event.stale for event in events].index(True) == 8
    assert session.generation == 3


def test_facts_belong_to_the_event_in_hand() -> None:
    session = ready_client()
    for message in (TEXT, GENERATED, COMPLETE):
        session.receive_message(dumps(message))
    assert session.turn is TurnState.IDLE
    seen = []
    while (event := session.next_event()) is not None:
        seen.append((type(event).__name__, session.turn))
    assert seen == [
        ("TurnStarted", TurnState.GENERATING),
        ("TextChunk", TurnState.GENERATING),
        ("GenerationComplete", TurnState.GENERATED),
        ("TurnComplete", TurnState.IDLE),
    ]


@pytest.mark.parametrize(
    ("status", "complete"),
    [
        (None, True),
        ("IDLE", True),
        ("REQUIRES_ACTION", True),
        ("IN_PROGRESS", False),
        ("NEW", False),
        ("INTERACTION_STATUS_UNSPECIFIED", True),
    ],
)
def test_interaction_status(status: str | None, complete: bool) -> None:
    events = tell(ready_client(), {"serverContent": {"turnComplete": True, "interactionStatus": status}})
    assert isinstance(events[0], TurnComplete)
    assert events[0].interaction_complete is complete
    assert names(events[1:]) == (["InteractionStatusChanged"] if status else [])
    (alone,) = tell(ready_client(), {"serverContent": {"interactionStatus": status or "IDLE"}})
    assert alone.status == (status or "IDLE")


def test_transcripts() -> None:
    session = ready_client()
    events = tell(
        session,
        {"serverContent": {"inputTranscription": {"text": "Hello", "languageCode": "en"}}},
        {"serverContent": {"interimInputTranscription": {}}},
        {"serverContent": {"outputTranscription": {}}},
        {"serverContent": {"outputTranscription": {"text": "We", "finished": True}}},
    )
    assert names(events) == [
        "InputTranscript",
        "InterimInputTranscript",
        "TurnStarted",
        "OutputTranscript",
        "OutputTranscript",
    ]
    assert events[0].transcription.language_code == "en"
    assert [event.text for event in events if hasattr(event, "text")] == ["Hello", "", "", "We"]
    assert events[-1].finished


# --- audio ------------------------------------------------------------------------------------------------------


def test_audio_on_both_paths_is_the_same() -> None:
    first, second = tell(ready_client(), audio(), audio())[1:]  # in mid-turn a chunk takes a path of its own
    assert type(first) is type(second) is AudioChunk
    assert as_dict(first) == as_dict(second)
    assert first.message == second.message
    assert second.message is second.message
    assert second.last
    by_role = tell(ready_client(), audio(role="model"), audio(role="model"))[-1]
    assert by_role.message.server_content.model_turn.role == "model"


def test_a_bare_pcm_type_is_24_khz() -> None:
    (_, event) = tell(ready_client(), audio("audio/pcm"))
    assert event.format == AudioFormat(24000)


@pytest.mark.parametrize(
    "mime", ["image/png", "audio/wav", "audio/pcm;rate=1", "audio/pcm;rate=999999999", "", "audio/pcm" + " " * 300]
)
def test_other_data_is_not_audio(mime: str) -> None:
    session = ready_client()
    for event in tell(session, audio(mime), audio(mime))[1:]:
        assert isinstance(event, InlineDataChunk)
        assert event.blob.data == b"\0\0\0"
        assert event.part.inline_data is event.blob


def test_a_blob_without_anything() -> None:
    message = {
        "serverContent": {"modelTurn": {"parts": [{"inlineData": {}}, {"inlineData": {"mimeType": "audio/pcm"}}]}}
    }
    events = tell(ready_client(), message)
    assert names(events) == ["TurnStarted", "InlineDataChunk", "AudioChunk"]
    assert events[2].data == b""


def test_made_up_audio_types_are_not_kept() -> None:
    session = ready_client()
    for rate in range(8000, 8100):
        (*_, event) = tell(session, audio(f"audio/pcm;rate={rate}"))
        assert event.format == AudioFormat(rate)
    for rate in range(8000, 8100):
        (event,) = tell(session, audio(f"audio/pcm;rate={rate}"))
        assert event.format == AudioFormat(rate)


def test_audio_out_of_turn_is_flagged() -> None:
    session = new_client()
    events = tell(session, audio())
    assert [event.unexpected for event in events] == [True, True]
    session.send_setup()
    assert [event.unexpected for event in tell(session, audio())] == [True]
