"""The server's end over whole messages: what it reports, what it refuses, in which words."""

from __future__ import annotations

from typing import Any

import pytest
from support.core import (
    GENERATED,
    GO_AWAY,
    TEXT,
    as_dict,
    call,
    cancel,
    names,
    new_client,
    ready_server,
    sent,
    server_message,
    session_facts,
    setup,
    tell,
)

from live_protocol import (
    AlreadyClosed,
    Codec,
    ConnectionFailed,
    IllegalInState,
    InvalidJson,
    InvalidMessage,
    Limits,
    LiveServerMessage,
    LiveSession,
    MessageTooLarge,
    OutOfOrder,
    Phase,
    SchemaMismatch,
    SetupReceived,
    TurnState,
    Undecodable,
    UnknownMessage,
)
from live_protocol.messages import Backend, LiveClientMessage, LiveServerContent

SETUP = {"setup": {"model": "models/m"}}
CONTENT = {"clientContent": {"turns": [{"parts": [{"text": "Hi"}]}], "turnComplete": True}}
REALTIME = {"realtimeInput": {"text": "Hi"}}
RESPONSE = {"toolResponse": {"functionResponses": [{"id": "c", "name": "f", "response": {}}]}}
UPDATE = {"contextUpdate": {"systemInstruction": {"parts": [{"text": "x"}]}}}
FIRST = "setup must be the first message and only the first"


def test_a_session() -> None:
    session = LiveSession.server()
    assert session.client_message_index == -1
    (event,) = tell(session, SETUP)
    assert isinstance(event, SetupReceived)
    assert event.setup.model == "models/m"
    assert event.message.setup is event.setup
    assert (event.index, event.last, event.unexpected) == (0, True, False)
    assert session.phase is Phase.SETUP_SENT
    session.send_setup_complete("s-1")
    assert sent(session) == [{"setupComplete": {"sessionId": "s-1"}}]
    events = tell(session, CONTENT, REALTIME, RESPONSE, UPDATE)
    assert names(events) == [
        "ClientContentReceived",
        "RealtimeInputReceived",
        "ToolResponseReceived",
        "ContextUpdateReceived",
    ]
    assert [event.index for event in events] == [1, 2, 3, 4]
    assert session.client_message_index == 4
    assert all(event.last and not event.unexpected for event in events)
    assert events[0].content.turns[0].parts[0].text == "Hi"
    assert events[1].input.text == "Hi"
    assert events[2].responses[0].id == "c"
    assert events[3].update.system_instruction.parts[0].text == "x"
    assert repr(session) == "<LiveSession server READY turn=IDLE>"


def test_messages_before_setup_complete_are_early_not_wrong() -> None:
    session = LiveSession.server()
    events = tell(session, SETUP, CONTENT, REALTIME)
    assert [event.unexpected for event in events] == [False, False, False]
    assert session.phase is Phase.SETUP_SENT
    assert session.client_message_index == 2


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("before", [[], [SETUP, SETUP], [SETUP, CONTENT, SETUP]])
def test_setup_first_and_only_first(before: list[Any], strict: bool) -> None:
    session = LiveSession.server(strict=strict)
    events = tell(session, *(before or [CONTENT]))
    if strict:
        error = events[-1].error
        assert isinstance(error, OutOfOrder)
        assert (error.close_code, error.close_reason) == (1007, FIRST)
        assert session.phase is Phase.ENDED
        assert [frame.kind for frame in session.last_frames][-1] in ("setup", "client_content")
    else:
        assert events[-1].unexpected
        assert session.client_message_index == len(before or [CONTENT]) - 1


def test_setup_again_when_ready() -> None:
    (event,) = tell(ready_server(), SETUP)
    assert isinstance(event, ConnectionFailed)
    assert isinstance(event.error, OutOfOrder)


@pytest.mark.parametrize(
    ("text", "kind", "code", "reason"),
    [
        (b"nonsense", InvalidJson, 1007, "Request contains an invalid argument."),
        (b"null", InvalidJson, 1007, "Request contains an invalid argument."),
        (b"{}", SchemaMismatch, 1007, "Request contains an invalid argument."),
        (b'{"setup":null}', SchemaMismatch, 1007, "Request contains an invalid argument."),
        (
            b'{"clientContent":{"x":1}}',
            SchemaMismatch,
            1007,
            "Invalid JSON payload received. Unknown name \"x\" at 'client_content': Cannot find field.",
        ),
        (b'{"clientContent":{"turns":5}}', SchemaMismatch, 1007, "Invalid value at 'client_content.turns'"),
    ],
)
def test_refused_in_the_services_words(text: bytes, kind: type[Exception], code: int, reason: str) -> None:
    (event,) = tell(ready_server(), text)
    assert isinstance(event, ConnectionFailed)
    assert type(event.error) is kind
    assert (event.error.close_code, event.error.close_reason) == (code, reason)  # type: ignore[attr-defined]


def test_tolerant() -> None:
    session = ready_server(strict=False)
    events = tell(session, b"nonsense", b"{}", {"brandNew": 1}, {"clientContent": {"x": 1}}, CONTENT)
    assert names(events) == [
        "Undecodable",
        "Undecodable",
        "UnknownMessage",
        "ClientContentReceived",
        "ClientContentReceived",
    ]
    assert isinstance(events[0], Undecodable)
    assert events[0].data == b"nonsense"
    assert isinstance(events[2], UnknownMessage)
    assert events[2].fields == {"brandNew": 1}
    assert isinstance(events[2].message, LiveClientMessage)
    assert events[2].message.extra == {"brandNew": 1}
    assert session.client_message_index == 3  # what cannot be read has no number


def test_several_members_in_one_frame() -> None:
    session = ready_server(strict=False)
    events = tell(session, {**UPDATE, **RESPONSE, **REALTIME, **CONTENT, "new": 1})
    assert names(events) == [
        "ClientContentReceived",
        "RealtimeInputReceived",
        "ToolResponseReceived",
        "ContextUpdateReceived",
        "UnknownMessage",
    ]
    assert [event.last for event in events] == [False] * 4 + [True]
    assert len({id(event.message) for event in events}) == 1
    assert {event.index for event in events[:4]} == {1}
    both = {"audio": {"mimeType": "audio/pcm", "data": "AAA="}, "text": "x", "mediaChunks": []}
    (event,) = tell(session, {"realtimeInput": both})
    assert event.input.text == "x"
    assert event.input.audio.data == b"\0\0"


def test_snake_case_as_the_python_sdk_writes() -> None:
    events = tell(ready_server(), {"realtime_input": {"audio": {"data": "-_8=", "mime_type": "audio/pcm;rate=16000"}}})
    assert events[0].input.audio.data == b"\xfb\xff"


# --- sending ----------------------------------------------------------------------------------------------------


def test_calls_of_the_server() -> None:
    session = ready_server()
    session.send(server_message(call({"id": "a", "name": "f"}, {"name": "g"})))
    assert [entry.name for entry in session.pending_tool_calls] == ["f", "g"]
    assert session.turn is TurnState.GENERATING
    tell(session, {"toolResponse": {"functionResponses": [{"id": "zzz", "name": "?", "response": {}}]}})
    assert len(session.pending_tool_calls) == 2
    tell(session, {"toolResponse": {"functionResponses": [{"name": "g", "response": {}}]}})
    tell(
        session,
        {"toolResponse": {"functionResponses": [{"id": "a", "name": "f", "response": {}, "willContinue": True}]}},
    )
    assert [entry.name for entry in session.pending_tool_calls] == ["f"]
    session.send(server_message(cancel("a")))
    assert session.pending_tool_calls == ()
    session.send(server_message(call({"id": "b", "name": "f"})))
    tell(session, {"toolResponse": {"functionResponses": [{"name": "f", "response": {}}]}})
    assert session.pending_tool_calls == ()


def test_both_ends_agree_on_a_call_cancelled_and_made_in_one_message() -> None:
    session, client = ready_server(), new_client()
    client.send_setup()
    message = server_message({**call({"id": "a", "name": "f"}), **cancel("a")})
    session.send(message)
    (text,) = session.messages_to_send()
    assert names(tell(client, {"setupComplete": {}}, text))[1:] == [
        "ToolCallCancelled",
        "TurnStarted",
        "ToolCallRequested",
    ]
    assert client.pending_tool_calls == session.pending_tool_calls
    assert len(client.pending_tool_calls) == 1


def test_texts_are_as_the_service_writes_them() -> None:
    session = ready_server()
    session.send(server_message(GENERATED))
    assert session.messages_to_send() == [b'{\n  "serverContent": {\n    "generationComplete": true\n  }\n}\n']
    assert session.messages_to_send() == []


@pytest.mark.parametrize("message", [LiveClientMessage(setup=setup()), {"serverContent": {}}, None])
def test_servers_send_server_messages(message: Any) -> None:
    session = ready_server()
    before = session_facts(session)
    with pytest.raises(InvalidMessage, match="the server's end sends LiveServerMessage"):
        session.send(message)
    with pytest.raises(InvalidMessage):
        session.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=5)))  # type: ignore[arg-type]
    assert session_facts(session) == before
    assert session.messages_to_send() == []


def test_client_commands_are_refused() -> None:
    session = ready_server()
    before = session_facts(session)
    for command in (
        session.send_setup,
        session.send_client_content,
        lambda: session.send_realtime_input(text="x"),
        lambda: session.send_realtime_input(audio=b"\0\0", rate=16000),
        lambda: session.send_tool_response({"id": "1", "name": "f", "response": {}}),
        lambda: session.send_context_update(tools=[]),
    ):
        with pytest.raises(IllegalInState, match="server's end"):
            command()
    assert session_facts(session) == before


def test_too_large() -> None:
    size = len(Codec().encode_server(server_message(TEXT)))
    for limit in (size, size + 1):
        session = ready_server(limits=Limits(max_send=limit))
        session.send(server_message(TEXT))
    session = ready_server(limits=Limits(max_send=size - 1))
    before = session_facts(session)
    with pytest.raises(MessageTooLarge) as caught:
        session.send(server_message(TEXT))
    assert (caught.value.size, caught.value.limit) == (size, size - 1)
    assert session_facts(session) == before


def test_the_end() -> None:
    session = ready_server()
    session.receive_message(b'{"clientContent":{}}')
    session.send(server_message(GO_AWAY))
    session.end()
    session.end()
    (event,) = session.events()
    assert not event.unexpected
    assert session.phase is Phase.ENDED
    assert session.last_phase is Phase.DRAINING
    with pytest.raises(AlreadyClosed):
        session.send_setup_complete()
    assert tell(session, CONTENT) == []


def test_a_setup_read_after_the_end() -> None:
    session = LiveSession.server()
    for text in (b'{"setup":{"model":"m"}}', b'{"clientContent":{}}'):
        session.receive_message(text)
    session.end()
    assert names(session.events()) == ["SetupReceived", "ClientContentReceived"]
    assert session.last_phase is Phase.SETUP_SENT


def test_limits_reach_the_codec() -> None:
    session = ready_server(strict=False, limits=Limits(max_json_depth=5))
    assert names(tell(session, b'{"x":[[[[1]]]]}', b'{"x":[[[[[1]]]]]}')) == ["UnknownMessage", "Undecodable"]


def test_dialect() -> None:
    session = LiveSession.server(codec=Codec(Backend.VERTEX))
    tell(session, SETUP)
    session.send(server_message({"setupComplete": {}, "usageMetadata": {"responseTokenCount": 1}}))
    assert sent(session) == [{"setupComplete": {}, "usageMetadata": {"candidatesTokenCount": 1}}]


def test_deadlines_are_the_clients_business() -> None:
    session = LiveSession.server()
    session.advance(0.0)
    tell(session, SETUP)
    session.advance(1e9)
    assert session.next_deadline() is None
    assert tell(session) == []


def test_as_dict_shows_fields() -> None:
    (event,) = tell(ready_server(), CONTENT)
    assert set(as_dict(event)) == {"content", "index", "last", "unexpected"}
