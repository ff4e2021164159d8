"""The client's end over whole messages: what does not fit, and the facts beside the events."""

from __future__ import annotations

from typing import Any

import pytest
from support.core import (
    CANARY,
    GO_AWAY,
    SETUP_COMPLETE,
    TEXT,
    call,
    check_end,
    close_frame,
    names,
    new_client,
    open_pair,
    ready_client,
    tell,
)

from live_protocol import (
    Codec,
    ConnectionFailed,
    InvalidJson,
    InvalidMessage,
    LiveServerMessage,
    OutOfOrder,
    Phase,
    SchemaMismatch,
    ServerError,
    Undecodable,
    UnknownMessage,
)
from live_protocol.messages import Backend, FunctionCall, LiveClientMessage

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


def test_a_server_that_quotes_the_key() -> None:
    quoted = {"error": {"message": f"API key {CANARY} not valid, key={CANARY}", "status": f"BAD {CANARY}"}}
    (event,) = tell(ready_client(), quoted)
    assert CANARY in event.text
    assert CANARY not in repr(event)
    pair = open_pair()
    pair.client.receive_data(close_frame(1008, f"key {CANARY} is unknown"))
    info = check_end(list(pair.client.events()), pair.client, failed=True)
    assert CANARY in info.reason
    assert CANARY not in f"{info!r} {info.error} {info.error!r} {info.error.args}"


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
    assert names(events) == ["TurnStarted", "TextChunk", "ConnectionFailed"]
    assert isinstance(events[-1], ConnectionFailed)
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
    assert (session.resumption.handle, session.resumption.resumable) == (None, False)
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
    # wire.md#handles: keep the latest resumable handle.
    update = {"newHandle": "worse", "resumable": False, "lastConsumedClientMessageIndex": "9"}
    (event,) = tell(session, {"sessionResumptionUpdate": update})
    assert (event.handle, event.resumable, event.last_consumed_client_message_index) == ("worse", False, 9)
    now = session.resumption
    assert (now.handle, now.resumable, now.issued_at, now.updates) == (CANARY, False, 5.0, 4)
    assert now.last_consumed_client_message_index == 7


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
    session.receive_message(b'{"serverContent":{"generationComplete":true,"turnComplete":true}}')
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
