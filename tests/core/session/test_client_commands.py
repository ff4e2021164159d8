"""Commands of the client's end: what is sent, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import pytest
from support.core import (
    MANUAL,
    TEXT,
    call,
    cancel,
    new_client,
    ready_client,
    sent,
    session_facts,
    setup,
    tell,
)

from live_protocol import (
    AlreadyClosed,
    Blob,
    Codec,
    Content,
    FunctionResponse,
    IllegalInState,
    InvalidMessage,
    Limits,
    LiveClientMessage,
    LiveProtocolError,
    LiveSession,
    MessageTooLarge,
    Part,
    ToolCallWasCancelled,
)
from live_protocol.messages import (
    ActivityEnd,
    ActivityStart,
    Backend,
    LiveClientContent,
    LiveClientContextUpdate,
    LiveClientContextUpdateTools,
    LiveClientRealtimeInput,
    LiveClientToolResponse,
    SessionResumptionConfig,
    Tool,
)
from live_protocol.session import profile_for

PCM = b"\0\0"
STEREO = "audio/pcm;rate=16000;channels=2"
RESPONSES = "tool_response.function_responses"


def refused(
    session: LiveSession, command: Callable[[], object], kind: type[LiveProtocolError], text: str = "", path: str = ""
) -> None:
    session.messages_to_send()
    before = session_facts(session)
    with pytest.raises(kind) as caught:
        command()
    assert text in str(caught.value)
    if path:
        assert getattr(caught.value, "path", None) == path
    assert session_facts(session) == before
    assert session.messages_to_send() == []


# --- content ----------------------------------------------------------------------------------------------------

TURN = {"role": "user", "parts": [{"text": "Hi"}]}


@pytest.mark.parametrize(
    ("turns", "wire"),
    [
        (None, None),
        (TURN, [TURN]),
        ([TURN, TURN], [TURN, TURN]),
        (Content(role="user", parts=[Part(text="Hi")]), [TURN]),
        ((Content(role="user", parts=[Part(text="Hi")]), TURN), [TURN, TURN]),
        (iter([TURN]), [TURN]),
        ([], []),
    ],
)
def test_client_content(turns: Any, wire: Any) -> None:
    session = ready_client()
    session.send_client_content(turns)
    expected = {"turnComplete": True} if wire is None else {"turns": wire, "turnComplete": True}
    assert sent(session) == [{"clientContent": expected}]
    session.send_client_content(turn_complete=False)
    assert sent(session) == [{"clientContent": {"turnComplete": False}}]
    assert session.client_message_index == 2


@pytest.mark.parametrize(
    ("turns", "path"),
    [
        ("Hi", "client_content.turns"),
        (b"Hi", "client_content.turns"),
        (5, "client_content.turns"),
        ([TURN, "Hi"], "client_content.turns[1]"),
        ({"rolle": "user"}, "client_content.turns"),
        ([TURN, {"parts": [{"txt": 1}]}], "client_content.turns[1].parts[0]"),
        (Content(role=5), "client_content.turns[0].role"),  # type: ignore[arg-type]
    ],
)
def test_content_that_is_none(turns: Any, path: str) -> None:
    session = ready_client()
    refused(session, lambda: session.send_client_content(turns), InvalidMessage, path=path)


def test_turn_complete_is_a_boolean() -> None:
    session = ready_client()
    command = lambda: session.send_client_content(turn_complete="yes")  # type: ignore[arg-type]  # noqa: E731
    refused(session, command, InvalidMessage, path="client_content.turn_complete")


# --- realtime input ---------------------------------------------------------------------------------------------

WIRE_PCM = {"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "AAA="}}}


@pytest.mark.parametrize(
    ("what", "wire"),
    [
        ({"audio": PCM, "rate": 16000}, WIRE_PCM),
        ({"audio": bytearray(PCM), "rate": 16000}, WIRE_PCM),
        ({"audio": memoryview(PCM), "rate": 16000}, WIRE_PCM),
        ({"audio": memoryview(array("h", [0])), "rate": 16000}, WIRE_PCM),
        ({"audio": memoryview(b"\0\1\0\1")[::2], "rate": 16000}, WIRE_PCM),
        ({"audio": PCM, "rate": 16000, "text": None, "audio_stream_end": False}, WIRE_PCM),
        ({"audio": Blob(data=PCM, mime_type="audio/pcm;rate=16000")}, WIRE_PCM),
        ({"audio": Blob(data=memoryview(array("h", [0])), mime_type="audio/pcm;rate=16000")}, WIRE_PCM),  # type: ignore[arg-type]
        ({"audio": {"data": PCM, "mimeType": "audio/pcm;rate=16000"}}, WIRE_PCM),
        ({"video": Blob(data=b"x", mime_type="Image/JPEG")}, {"video": {"mimeType": "Image/JPEG", "data": "eA=="}}),
        ({"text": "Hi"}, {"text": "Hi"}),
        ({"audio_stream_end": True}, {"audioStreamEnd": True}),
    ],
)
def test_realtime_input(what: dict[str, Any], wire: dict[str, Any]) -> None:
    session = ready_client()
    session.send_realtime_input(**what)
    assert sent(session) == [wire if "realtimeInput" in wire else {"realtimeInput": wire}]
    assert session.last_frames[-1].kind == "realtime_input"


def test_markers() -> None:
    session = ready_client(fields={"realtime_input_config": MANUAL})
    for start, end in (
        (True, True),
        (ActivityStart(), ActivityEnd()),
        ({}, {}),
    ):
        session.send_realtime_input(activity_start=start)
        session.send_realtime_input(activity_end=end, activity_start=False)
        assert sent(session) == [{"realtimeInput": {"activityStart": {}}}, {"realtimeInput": {"activityEnd": {}}}]
    session.send_realtime_input(activity_start=ActivityStart(extra={"new": 1}))
    assert sent(session) == [{"realtimeInput": {"activityStart": {"new": 1}}}]


BLOB = Blob(data=PCM, mime_type="audio/pcm;rate=16000")
IMAGE = Blob(data=b"x", mime_type="image/png")


@pytest.mark.parametrize(
    ("what", "path", "why"),
    [
        ({}, "realtime_input", "got none"),
        ({"activity_start": False}, "realtime_input", "got none"),
        ({"text": "x", "audio_stream_end": True}, "realtime_input", "got 2: text, audio_stream_end"),
        ({"audio": PCM, "rate": 16000, "text": "x"}, "realtime_input", "got 2: audio, text"),
        ({"text": ""}, "realtime_input.text", "empty"),
        ({"text": 5}, "realtime_input.text", "expected a string"),
        ({"audio": PCM}, "realtime_input.audio", "pass rate=16000"),
        ({"audio": PCM, "rate": 3999}, "realtime_input.audio", "4000 to 192000 Hz"),
        ({"audio": PCM, "rate": 192001}, "realtime_input.audio", "4000 to 192000 Hz"),
        ({"audio": PCM, "rate": "16000"}, "realtime_input.audio", "not '16000'"),
        ({"audio": PCM, "rate": 16000.0}, "realtime_input.audio", "not 16000.0"),
        ({"audio": PCM, "rate": True}, "realtime_input.audio", "not True"),
        ({"audio": b"", "rate": 16000}, "realtime_input.audio.data", "empty"),
        ({"audio": b"\0\0\0", "rate": 16000}, "realtime_input.audio.data", "3 bytes are not whole samples"),
        ({"audio": "AAA=", "rate": 16000}, "realtime_input.audio", "expected bytes with rate=, or a Blob"),
        ({"audio": Blob(data=b"", mime_type="audio/pcm;rate=16000")}, "realtime_input.audio.data", "empty"),
        ({"audio": Blob(data=b"x", mime_type="audio/pcm;rate=16000")}, "realtime_input.audio.data", "1 bytes"),
        ({"audio": Blob(data="AAA=", mime_type="audio/pcm;rate=16000")}, "realtime_input.audio.data", "got str"),
        ({"audio": Blob(data=5, mime_type="audio/pcm;rate=16000")}, "realtime_input.audio.data", "got int"),
        (
            {"audio": Blob(data=PCM, mime_type="audio/pcm;rate=16000;channels=2")},
            "realtime_input.audio.data",
            "4 bytes",
        ),
        ({"audio": Blob(data=PCM, mime_type="audio/pcm")}, "realtime_input.audio.mime_type", "with its rate"),
        ({"audio": Blob(data=PCM, mime_type="audio/wav")}, "realtime_input.audio.mime_type", "'audio/wav'"),
        ({"audio": Blob(data=PCM)}, "realtime_input.audio.mime_type", "with its rate"),
        ({"audio": Blob(data=PCM, mime_type=5)}, "realtime_input.audio.mime_type", "not 5"),
        ({"audio": {"data": "AAA=", "mime": "x"}}, "realtime_input.audio", "did you mean 'mime_type'?"),
        ({"video": BLOB}, "realtime_input.video.mime_type", "still images"),
        ({"video": Blob(data=b"x")}, "realtime_input.video.mime_type", "still images"),
        ({"video": Blob(data=b"x", mime_type=5)}, "realtime_input.video.mime_type", "still images"),
        ({"video": Blob(mime_type="image/png")}, "realtime_input.video.data", "empty"),
        ({"video": b"x"}, "realtime_input.video", "expected Blob"),
        ({"audio_stream_end": "no"}, "realtime_input.audio_stream_end", "expected true or false"),
        ({"activity_start": 0}, "realtime_input.activity_start", "expected ActivityStart"),
        ({"activity_end": "now"}, "realtime_input.activity_end", "expected ActivityEnd"),
    ],
)
def test_realtime_input_that_is_refused(what: dict[str, Any], path: str, why: str) -> None:
    session = ready_client()
    refused(session, lambda: session.send_realtime_input(**what), InvalidMessage, why, path)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (LiveClientMessage(realtime_input=LiveClientRealtimeInput()), "realtime_input"),
        (LiveClientMessage(realtime_input=LiveClientRealtimeInput(audio=BLOB, video=IMAGE)), "realtime_input"),
        (LiveClientMessage(realtime_input=LiveClientRealtimeInput(audio=5)), "realtime_input.audio"),
        (LiveClientMessage(realtime_input=LiveClientRealtimeInput(video="x")), "realtime_input.video"),
        (LiveClientMessage(realtime_input=LiveClientRealtimeInput(media_chunks=[5])), "realtime_input.media_chunks[0]"),
        (LiveClientMessage(realtime_input=LiveClientRealtimeInput(media_chunks=5)), "realtime_input.media_chunks"),
        (LiveClientMessage(realtime_input="x"), "realtime_input"),
        (LiveClientMessage(tool_response="x"), "tool_response"),
        (LiveClientMessage(context_update=5), "context_update"),
        (LiveClientMessage(client_content=5), "client_content"),
        (LiveClientMessage(context_update=LiveClientContextUpdate()), "context_update"),
        (LiveClientMessage(tool_response=LiveClientToolResponse()), RESPONSES),
        (
            LiveClientMessage(tool_response=LiveClientToolResponse(function_responses=5)),
            RESPONSES,
        ),
        (
            LiveClientMessage(tool_response=LiveClientToolResponse(function_responses=["x"])),
            "tool_response.function_responses[0]",
        ),
        (LiveClientMessage(), ""),
        (LiveClientMessage(extra={"new": 1}), ""),
        (LiveClientMessage(client_content=LiveClientContent(), realtime_input=LiveClientRealtimeInput(text="x")), ""),
    ],
)
def test_whole_messages_are_held_to_the_same_rules(message: Any, path: str) -> None:
    session = ready_client()
    refused(session, lambda: session.send(message), InvalidMessage, path=path)


def test_whole_messages() -> None:
    session = ready_client()
    session.send(LiveClientMessage(realtime_input=LiveClientRealtimeInput(audio=BLOB, audio_stream_end=False)))
    session.send(LiveClientMessage(realtime_input=LiveClientRealtimeInput(media_chunks=[BLOB]), extra={"new": 1}))
    assert sent(session) == [
        {"realtimeInput": {**WIRE_PCM["realtimeInput"], "audioStreamEnd": False}},
        {"realtimeInput": {"mediaChunks": [WIRE_PCM["realtimeInput"]["audio"]]}, "new": 1},
    ]


@pytest.mark.parametrize("first", [{"audio": PCM, "rate": 16000}, {"audio": BLOB}])
def test_one_format_a_session(first: dict[str, Any]) -> None:
    session = ready_client()
    session.send_realtime_input(**first)
    session.messages_to_send()
    others: list[dict[str, Any]] = [
        {"audio": PCM, "rate": 24000},
        {"audio": Blob(data=PCM, mime_type="audio/pcm;rate=8000")},
        {"audio": PCM * 2, "rate": 16001},
        {"audio": Blob(data=PCM * 2, mime_type="audio/pcm;rate=16000;channels=2")},
    ]
    for other in others:
        command = lambda other=other: session.send_realtime_input(**other)  # noqa: E731
        refused(session, command, InvalidMessage, "one format a session", "realtime_input.audio.mime_type")
    session.send_realtime_input(**first)
    session.send_realtime_input(audio=PCM, rate=16000)
    assert sent(session) == [WIRE_PCM, WIRE_PCM]


def test_a_refused_chunk_fixes_no_format() -> None:
    session = ready_client(fields={"realtime_input_config": MANUAL})
    refused(session, lambda: session.send_realtime_input(audio=PCM, rate=8000), IllegalInState, "activity_start first")
    refused(session, lambda: session.send_realtime_input(audio=BLOB), IllegalInState)
    session.send_realtime_input(activity_start=True)
    session.send_realtime_input(text="x")
    session.send_realtime_input(audio=PCM, rate=24000)


# --- tool responses ---------------------------------------------------------------------------------------------


def with_calls(*calls: dict[str, Any], **options: Any) -> LiveSession:
    session = ready_client(**options)
    tell(session, call(*(calls or ({"id": "a", "name": "f"}, {"id": "b", "name": "g"}))))
    return session


def test_answers() -> None:
    session = with_calls()
    session.send_tool_response({"id": "b", "response": {"output": 1}})  # the name comes from the call
    assert [entry.id for entry in session.pending_tool_calls] == ["a"]
    session.send_tool_response([FunctionResponse(id="a", name="other", response={}, will_continue=True)])
    assert [entry.id for entry in session.pending_tool_calls] == ["a"]
    session.send_tool_response(FunctionResponse(id="a", response={}))
    assert session.pending_tool_calls == ()
    assert [text["toolResponse"]["functionResponses"] for text in sent(session)] == [
        [{"id": "b", "name": "g", "response": {"output": 1}}],
        [{"id": "a", "name": "other", "response": {}, "willContinue": True}],
        [{"id": "a", "name": "f", "response": {}}],
    ]
    refused(session, lambda: session.send_tool_response({"id": "a", "response": {}}), IllegalInState, "ANSWERED")


def test_parallel_answers() -> None:
    session = with_calls()
    session.send_tool_response([{"id": "b", "response": {}}, {"id": "a", "response": {}}])
    assert session.pending_tool_calls == ()
    session = with_calls()
    series = [{"id": "a", "response": {}, "will_continue": True}, {"id": "a", "response": {}}]
    session.send_tool_response(series)
    assert [entry.id for entry in session.pending_tool_calls] == ["b"]
    twice = [{"id": "b", "response": {}}, {"id": "b", "response": {}}]
    refused(session, lambda: session.send_tool_response(twice), IllegalInState)


@pytest.mark.parametrize(
    ("responses", "kind", "path"),
    [
        ([], InvalidMessage, RESPONSES),
        ({}, InvalidMessage, "tool_response.function_responses[0].id"),
        ({"name": "f", "response": {}}, InvalidMessage, "tool_response.function_responses[0].id"),
        ({"id": "", "name": "f", "response": {}}, InvalidMessage, "tool_response.function_responses[0].id"),
        ({"id": "zzz", "name": "f", "response": {}}, InvalidMessage, "tool_response.function_responses[0].id"),
        ({"id": 5, "name": "f", "response": {}}, InvalidMessage, "tool_response.function_responses.id"),
        (FunctionResponse(id=["a"], response={}), InvalidMessage, "tool_response.function_responses[0].id"),  # type: ignore[arg-type]
        (FunctionResponse(name=["f"], response={}), InvalidMessage, "tool_response.function_responses[0].name"),  # type: ignore[arg-type]
        ({"id": "a"}, InvalidMessage, "tool_response.function_responses[0].response"),
        ([{"id": "a", "response": {}}, {"id": "a"}], IllegalInState, ""),
        ([{"id": "a", "response": {}}, {"id": "b"}], InvalidMessage, "tool_response.function_responses[1].response"),
        ([{"id": "a", "response": {}}, {"id": "x"}], InvalidMessage, "tool_response.function_responses[1].id"),
        ("text", InvalidMessage, RESPONSES),
        (None, InvalidMessage, RESPONSES),
        ([None], InvalidMessage, "tool_response.function_responses[0]"),
    ],
)
def test_answers_that_are_refused(responses: Any, kind: Any, path: str) -> None:
    session = with_calls()
    refused(session, lambda: session.send_tool_response(responses), kind, path=path)
    assert len(session.pending_tool_calls) == 2


def test_cancelled_calls() -> None:
    session = with_calls()
    (event, unknown) = tell(session, cancel("a", "never"))
    assert (event.call_id, event.known, unknown.call_id, unknown.known) == ("a", True, "never", False)
    (again,) = tell(session, cancel("a"))
    assert not again.known
    for call_id in ("a", "never"):
        command = lambda call_id=call_id: session.send_tool_response(  # noqa: E731
            [{"id": "b", "response": {}}, {"id": call_id, "name": "f", "response": {}}]
        )
        refused(session, command, ToolCallWasCancelled, call_id)
    assert [entry.id for entry in session.pending_tool_calls] == ["b"]
    session.send_tool_response({"id": "b", "response": {}})
    (late,) = tell(session, cancel("b"))
    assert not late.known


def test_an_id_used_again() -> None:
    session = with_calls()
    (event,) = tell(session, call({"id": "a", "name": "new"}))
    assert event.unexpected
    assert [entry.name for entry in session.pending_tool_calls] == ["g", "new"]
    tell(session, cancel("a"))
    (event,) = tell(session, call({"id": "a", "name": "third"}))
    assert not event.unexpected
    session.send_tool_response({"id": "a", "response": {}})
    assert sent(session)[0]["toolResponse"]["functionResponses"][0]["name"] == "third"


def test_calls_without_id() -> None:
    session = with_calls({"name": "f"}, {"name": "g"}, {"name": "f"}, codec=Codec(Backend.VERTEX))
    assert [entry.name for entry in session.pending_tool_calls] == ["f", "g", "f"]
    session.send_tool_response({"name": "f", "response": {}})
    assert [entry.name for entry in session.pending_tool_calls] == ["g", "f"]
    session.send_tool_response({"name": "g", "response": {}})
    assert [entry.name for entry in session.pending_tool_calls] == ["f"]
    refused(session, lambda: session.send_tool_response({"response": {}}), InvalidMessage, "required")
    session.send_tool_response({"name": "unasked", "response": {}})  # as in a recording
    twice = [{"name": "f", "response": {}}] * 2
    refused(session, lambda: session.send_tool_response(twice), IllegalInState, "ANSWERED")
    assert [entry.name for entry in session.pending_tool_calls] == ["f"]
    session.send_tool_response(twice[:1])
    refused(session, lambda: session.send_tool_response(twice[:1]), IllegalInState, "ANSWERED")
    tell(session, call(*({"name": f"f{index}"} for index in range(1024))))
    session.send_tool_response([{"name": f"f{index}", "response": {}} for index in range(1024)])
    session.send_tool_response(twice[:1])  # no memory is endless


def test_calls_that_are_answered_by_name_although_they_have_an_id() -> None:
    calls = [{"id": "1", "name": "f"}, {"id": "2", "name": "f"}, {"id": "3", "name": "g"}]
    session = with_calls(*calls, codec=Codec(Backend.VERTEX))
    answer = {"name": "f", "response": {}}
    session.send_tool_response([answer, answer])
    assert [one["id"] for one in sent(session)[0]["toolResponse"]["functionResponses"]] == ["1", "2"]
    assert [entry.id for entry in session.pending_tool_calls] == ["3"]
    refused(session, lambda: session.send_tool_response(answer), IllegalInState, "'2'")
    tell(session, cancel("3"))
    refused(session, lambda: session.send_tool_response({"name": "g", "response": {}}), ToolCallWasCancelled, "3")


def test_a_name_is_enough_after_a_resumption_that_may_have_left_calls() -> None:
    fields = {"session_resumption": SessionResumptionConfig(handle="h")}
    session = with_calls({"id": "1", "name": "f"}, codec=Codec(Backend.VERTEX), fields=fields)
    for _ in range(2):
        session.send_tool_response({"name": "f", "response": {}})
    assert [one["toolResponse"]["functionResponses"][0].get("id") for one in sent(session)] == ["1", None]


@pytest.mark.parametrize("backend", Backend)
def test_calls_of_an_earlier_connection(backend: Backend) -> None:
    fields = {"session_resumption": SessionResumptionConfig(handle="h")}
    session = ready_client(fields=fields, codec=Codec(backend))
    session.send_tool_response({"id": "old", "name": "f", "response": {}})
    assert len(sent(session)) == 1


def test_a_model_that_takes_no_scheduling() -> None:
    session = with_calls(profile=profile_for("models/gemini-3.8-live-extended-thinking"))
    answer = {"id": "a", "response": {}, "scheduling": "SILENT"}
    path = "tool_response.function_responses[0].scheduling"
    refused(session, lambda: session.send_tool_response(answer), InvalidMessage, "accepts none", path)
    session = with_calls()
    session.send_tool_response(answer)
    assert [entry.id for entry in session.pending_tool_calls] == ["b"]


def test_finished_calls_are_forgotten_some_day_and_open_ones_never() -> None:
    session = with_calls()
    tell(session, *(cancel(*(f"x{index}" for index in range(start, start + 100))) for start in range(0, 1024, 100)))
    assert session.tool_calls.get("x1023") is not None
    assert session.tool_calls.get("x75") is None
    assert session.tool_calls.get("x76") is not None  # 1,024 are kept
    assert len(session.pending_tool_calls) == 2
    tell(session, call(*({"id": f"y{index}", "name": "f"} for index in range(20_000))))  # in no time
    assert len(session.pending_tool_calls) == 20_002


# --- context ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "wire"),
    [
        ({"tools": []}, {"tools": {"tools": []}}),
        ({"tools": [{"google_search": {}}]}, {"tools": {"tools": [{"googleSearch": {}}]}}),
        ({"tools": Tool()}, {"tools": {"tools": [{}]}}),
        ({"system_instruction": "x"}, {"systemInstruction": {"role": "user", "parts": [{"text": "x"}]}}),
        ({"system_instruction": {"parts": [{"text": "x"}]}}, {"systemInstruction": {"parts": [{"text": "x"}]}}),
        (
            {"system_instruction": Content(parts=[Part(text="x")]), "tools": ()},
            {"systemInstruction": {"parts": [{"text": "x"}]}, "tools": {"tools": []}},
        ),
    ],
)
def test_context_update(what: dict[str, Any], wire: dict[str, Any]) -> None:
    session = ready_client()
    session.send_context_update(**what)
    assert sent(session) == [{"contextUpdate": wire}]


@pytest.mark.parametrize(
    ("what", "path"),
    [
        ({}, "context_update"),
        ({"tools": "x"}, "context_update.tools.tools"),
        ({"tools": [{}, {"x": 1}]}, "context_update.tools.tools[1]"),
        ({"system_instruction": 5}, "context_update.system_instruction"),
    ],
)
def test_context_update_that_is_refused(what: dict[str, Any], path: str) -> None:
    session = ready_client()
    refused(session, lambda: session.send_context_update(**what), InvalidMessage, path=path)


def test_context_update_as_a_message() -> None:
    session = ready_client()
    update = LiveClientContextUpdate(tools=LiveClientContextUpdateTools(tools=[]))
    session.send(LiveClientMessage(context_update=update))
    assert sent(session) == [{"contextUpdate": {"tools": {"tools": []}}}]


# --- setup, phase and size --------------------------------------------------------------------------------------


def test_setup_is_the_one_the_session_was_made_with() -> None:
    session = new_client()
    refused(
        session,
        lambda: session.send(LiveClientMessage(setup=setup(model="models/other"))),
        InvalidMessage,
        path="setup",
    )
    refused(session, session.send_client_content, IllegalInState, "setup comes first")
    session.advance(0.0)
    session.send(LiveClientMessage(setup=setup()))
    assert session.next_deadline() == 30.0
    assert sent(session) == [{"setup": {"model": "models/m"}}]
    refused(session, session.send_setup, IllegalInState, "wait for setup_complete")
    refused(session, lambda: session.send_realtime_input(audio=PCM, rate=16000), IllegalInState, "wait for")
    tell(session, {"setupComplete": {}})
    refused(session, session.send_setup, IllegalInState, "setup is over")
    refused(session, session.send_setup_complete, InvalidMessage)
    session.end()
    refused(session, session.send_setup, AlreadyClosed)
    refused(session, lambda: session.send_realtime_input(audio=PCM, rate=16000), AlreadyClosed)


def test_too_large() -> None:
    session = ready_client()
    session.send_realtime_input(audio=PCM * 100, rate=16000)
    session.send_realtime_input(text="x" * 300)
    sizes = [len(text) for text in session.messages_to_send()]
    for size, what in zip(sizes, ({"audio": PCM * 100, "rate": 16000}, {"text": "x" * 300}), strict=True):
        for limit in (size, size + 1):
            ready_client(limits=Limits(max_send=limit)).send_realtime_input(**what)  # type: ignore[arg-type]
        session = ready_client(limits=Limits(max_send=size - 1))
        command = lambda what=what, session=session: session.send_realtime_input(**what)  # noqa: E731
        refused(session, command, MessageTooLarge, f"{size} bytes")
    tell(session, TEXT)


def test_what_is_encoded_already_waits_for_the_setup_too() -> None:
    session = new_client()
    with pytest.raises(IllegalInState, match="NEW"):
        session.send_encoded("client_content", b"{}")
    session.end()
    with pytest.raises(AlreadyClosed):
        session.send_encoded("client_content", b"{}")
    assert session.messages_to_send() == []
    assert session.client_message_index == -1
