"""The client's end over whole messages: what each message becomes, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from core.support import (
    CANARY,
    COMPLETE,
    GENERATED,
    GO_AWAY,
    INTERRUPTED,
    SETUP_COMPLETE,
    TEXT,
    as_dict,
    call,
    cancel,
    names,
    new_client,
    ready_client,
    tell,
)
from live_protocol import (
    AudioChunk,
    AudioFormat,
    Codec,
    Failed,
    InlineDataChunk,
    InvalidJson,
    InvalidMessage,
    LiveServerMessage,
    Need,
    OutOfOrder,
    Phase,
    SchemaMismatch,
    ServerError,
    TurnComplete,
    TurnState,
    Undecodable,
    UnknownMessage,
)
from live_protocol.messages import Backend, FunctionCall, LiveClientMessage

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
    events = tell(session, {"serverContent": {**TEXT["serverContent"], "interrupted": True}, **cancel("x"), **COMPLETE})
    assert names(events)[0] == "ToolCallCancelled"  # the dict literal above lets turnComplete win; see below
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
        session.receive_message(
            Codec().encode_server(Codec().decode_server(str(message).replace("'", '"').replace("True", "true")))
        )
    assert session.turn is TurnState.IDLE
    seen = []
    while (event := session.next_event()) is not Need.DATA:
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


# --- what does not fit ------------------------------------------------------------------------------------------


def test_unknown_undecodable_and_errors() -> None:
    session = ready_client()
    events = tell(
        session, {"newServerThing": {"key": CANARY}}, "no json", b"[]", {"serverContent": 5}, {"error": CANARY}
    )
    assert names(events) == ["UnknownMessage", "Undecodable", "Undecodable", "Undecodable", "ServerError"]
    assert isinstance(events[0], UnknownMessage)
    assert events[0].fields == {"newServerThing": {"key": CANARY}}
    assert isinstance(events[0].message, LiveServerMessage)
    assert isinstance(events[1], Undecodable)
    assert isinstance(events[1].error, InvalidJson)
    assert events[1].data == "no json"
    assert isinstance(events[3].error, SchemaMismatch)
    assert CANARY not in repr(events[:4])
    assert isinstance(events[4], ServerError)
    assert (events[4].code, events[4].text, events[4].status) == (None, CANARY, "")
    assert session.phase is Phase.READY
    assert CANARY not in repr(session.last_frames)


@pytest.mark.parametrize(
    ("error", "code", "text", "status"),
    [
        ({}, None, "", ""),
        ({"code": "5", "message": None, "status": None}, None, "", ""),
        ({"code": True, "message": 5, "status": ["x"]}, None, "5", "['x']"),
        ([1], None, "[1]", ""),
        (False, None, "False", ""),
    ],
)
def test_in_band_errors_of_any_shape(error: Any, code: int | None, text: str, status: str) -> None:
    (event,) = tell(ready_client(), {"error": error})
    assert (event.code, event.text, event.status) == (code, text, status)


@pytest.mark.parametrize("size", [1, 10])
def test_summaries_of_unknown_members_are_short(size: int) -> None:
    session = ready_client()
    tell(session, {f"{index}{'x' * 1000 * size}": 1 for index in range(100 * size)})
    assert len(session.last_frames[-1].kind) < 400


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ({"new": 1}, SchemaMismatch),
        ({"serverContent": {"new": 1}}, SchemaMismatch),
        (b"{", InvalidJson),
        ('{"a":"\ud800"}', InvalidJson),
        (SETUP_COMPLETE, OutOfOrder),
    ],
)
def test_strict(text: Any, kind: type[Exception]) -> None:
    session = ready_client(strict=True)
    events = tell(session, TEXT, text, TEXT)
    assert names(events) == ["TurnStarted", "TextChunk", "Failed"]
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, kind)
    assert session.phase is Phase.ENDED
    assert session.last_phase is Phase.READY
    assert session.next_deadline() is None
    assert tell(session, TEXT) == []
    # One frame, one summary.
    assert [frame.sent for frame in session.last_frames] == [True, False, False, False]
    assert session.last_frames[-1].kind == ("setup_complete" if kind is OutOfOrder else "undecodable")


# --- the rest of the facts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["response", "candidates"])
@pytest.mark.parametrize("backend", Backend)
def test_usage(spelling: str, backend: Backend) -> None:
    session = ready_client(codec=Codec(backend))
    report = {
        "promptTokenCount": 515,
        f"{spelling}TokenCount": 31,
        f"{spelling}TokensDetails": [{"modality": "AUDIO", "tokenCount": 31}],
        "thoughtsTokenCount": 1,
        "toolUsePromptTokenCount": 2,
        "cachedContentTokenCount": 3,
        "totalTokenCount": 546,
    }
    (event,) = tell(session, {"usageMetadata": report})
    assert event.usage.response_token_count == 31
    assert event.usage.response_tokens_details[0].token_count == 31
    tell(session, {"usageMetadata": report}, {"usageMetadata": {}})
    usage = session.usage
    assert (usage.reports, usage.prompt_tokens, usage.response_tokens, usage.total_tokens) == (3, 1030, 62, 1092)
    assert (usage.thoughts_tokens, usage.tool_use_prompt_tokens, usage.cached_tokens) == (2, 4, 6)
    assert usage.last is not None
    assert usage.last.total_token_count is None


def test_resumption() -> None:
    session = ready_client(codec=Codec(Backend.VERTEX))
    assert session.resumption.handle is None
    session.advance(5.0)
    update = {"newHandle": CANARY, "resumable": True, "lastConsumedClientMessageIndex": "7"}
    (event,) = tell(session, {"sessionResumptionUpdate": update})
    assert (event.handle, event.resumable, event.last_consumed_client_message_index) == (CANARY, True, 7)
    assert CANARY not in repr(event) + repr(session.resumption)
    first = session.resumption
    assert (first.handle, first.resumable, first.issued_at, first.updates) == (CANARY, True, 5.0, 1)
    session.advance(9.0)
    (event,) = tell(session, {"sessionResumptionUpdate": {}})
    assert (event.handle, event.resumable) == (None, False)
    now = session.resumption
    assert (now.handle, now.resumable, now.issued_at, now.updates) == (CANARY, False, 5.0, 2)
    assert now.last_consumed_client_message_index == 7
    tell(session, {"sessionResumptionUpdate": {"newHandle": "", "resumable": True}})
    assert (session.resumption.handle, session.resumption.resumable) == (CANARY, False)


def test_go_away() -> None:
    session = ready_client()
    events = tell(session, GO_AWAY, {"goAway": {}}, TEXT)
    assert [event.time_left for event in events[:2]] == [50.0, None]
    assert session.phase is Phase.DRAINING
    session.send_client_content()
    assert not any(event.unexpected for event in events)
    session = new_client()
    session.send_setup()
    (event,) = tell(session, GO_AWAY)
    assert not event.unexpected
    assert session.phase is Phase.SETUP_SENT


def test_last_frames() -> None:
    session = new_client()
    session.send_setup()
    session.advance(7.0)
    tell(session, SETUP_COMPLETE, "no jsön", {"usageMetadata": {}, **call({"id": "1", "name": CANARY}), "neu": 1})
    session.send_realtime_input(audio=b"\0\0", rate=16000)
    assert [(frame.sent, frame.kind, frame.at) for frame in session.last_frames] == [
        (True, "setup", None),
        (False, "setup_complete", 7.0),
        (False, "undecodable", 7.0),
        (False, "tool_call,usage_metadata,neu", 7.0),
        (True, "realtime_input", 7.0),
    ]
    assert session.last_frames[2].size == 8  # bytes, not characters
    for _ in range(20):
        tell(session, "\u00e4\ud800", TEXT)
    assert len(session.last_frames) == 12
    assert CANARY not in repr(session.last_frames)


def test_reading_after_the_end() -> None:
    session = ready_client(strict=True)
    for message in (
        b'{"serverContent":{"turnComplete":true}}',
        b'{"goAway":{}}',
        b'{"serverContent":{"turnComplete":true}}',
    ):
        session.receive_message(message)
    session.end()
    assert session.phase is Phase.ENDED
    assert [event.unexpected for event in session.events()] == [False, False, False]  # type: ignore[union-attr]
    assert session.phase is Phase.ENDED
    assert session.last_phase is Phase.DRAINING


def test_events_may_be_abandoned() -> None:
    session = ready_client()
    session.receive_message(
        Codec().encode_server(
            Codec().decode_server('{"serverContent":{"generationComplete":true,"turnComplete":true}}')
        )
    )
    for event in session.events():
        assert type(event).__name__ == "TurnStarted"
        break
    assert names(session.events()) == ["GenerationComplete", "TurnComplete"]


@pytest.mark.parametrize("message", [LiveServerMessage(), {"clientContent": {}}, None, LiveClientMessage()])
def test_clients_send_client_messages(message: Any) -> None:
    session = ready_client()
    with pytest.raises(InvalidMessage):
        session.send(message)
    assert session.messages_to_send() == []
    assert repr(session) == "<LiveSession client READY turn=IDLE>"


def test_calls_are_facts() -> None:
    session = ready_client()
    (_, event) = tell(session, call({"id": "1", "name": "f", "args": {"q": "x"}}))
    assert event.call == FunctionCall(id="1", name="f", args={"q": "x"})
    assert session.pending_tool_calls == (event.call,)
