"""Whole conversations of a client and a server over a wire in memory."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from support.core import (
    COMPLETE,
    GENERATED,
    GO_AWAY,
    MANUAL,
    TEXT,
    call,
    cancel,
    check_end,
    dial,
    dumps,
    facts,
    frame,
    names,
    open_pair,
    say,
    server_message,
)

from live_protocol import (
    AlreadyClosed,
    AudioChunk,
    ClientContentReceived,
    Connected,
    ConnectionClosing,
    ConnectionState,
    Endpoint,
    IllegalInState,
    InvalidMessage,
    Limits,
    LiveClientMessage,
    LiveConnection,
    LiveServerMessage,
    MessageTooLarge,
    Phase,
    PongReceived,
    SetupComplete,
    SetupReceived,
    StaleOperation,
    Timeouts,
    ToolResponseReceived,
    TurnState,
    UpgradeRequested,
)
from live_protocol.close_info import Initiator
from live_protocol.messages import Backend, LiveClientContent
from live_protocol.testing import Pair, chunks


def test_from_the_upgrade_to_the_end() -> None:
    pair = Pair(dial({"system_instruction": "Be brief."}))
    client, server = pair.client, pair.server
    assert isinstance(client, LiveConnection)
    assert isinstance(server, LiveConnection)
    assert (client.state, client.phase) == (ConnectionState.CONNECTING, Phase.NEW)
    assert repr(client) == "<LiveConnection client CONNECTING NEW turn=IDLE>"
    assert repr(server) == "<LiveConnection server CONNECTING NEW turn=IDLE>"
    pair.pump()
    assert names(pair.client_events) == ["Connected"]
    assert names(pair.server_events) == ["UpgradeRequested", "Connected", "SetupReceived"]
    assert (client.phase, server.phase) == (Phase.SETUP_SENT, Phase.SETUP_SENT)
    received = pair.server_events[-1]
    assert isinstance(received, SetupReceived)
    assert received.setup.model == "models/m"
    server.send_setup_complete("s")
    pair.pump()
    complete = pair.client_events[-1]
    assert isinstance(complete, SetupComplete)
    assert complete.session_id == "s"
    assert (client.phase, server.phase) == (Phase.READY, Phase.READY)

    client.send_client_content({"role": "user", "parts": [{"text": "Hi"}]})
    client.send_realtime_input(text="there")
    pair.pump()
    content = pair.server_events[-2]
    assert isinstance(content, ClientContentReceived)
    assert (content.index, content.content.turns[0].parts[0].text) == (1, "Hi")
    assert names(say(pair, TEXT, GENERATED, {**COMPLETE, "usageMetadata": {"totalTokenCount": 5}})) == [
        "TurnStarted",
        "TextChunk",
        "GenerationComplete",
        "TurnComplete",
        "UsageUpdated",
    ]
    assert client.usage.total_tokens == 5
    assert client.generation == server.generation == 1

    assert names(say(pair, GO_AWAY, {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}})) == [
        "GoAway",
        "ResumptionUpdated",
    ]
    assert client.phase is server.phase is Phase.DRAINING
    assert client.resumption.handle == "h"
    client.send_client_content()
    pair.wait(3.0)
    client.close(reason="done")
    client.close(1001, "later")  # changes nothing
    pair.pump()
    for events, end, initiator in (
        (pair.client_events, client, Initiator.LOCAL),
        (pair.server_events, server, Initiator.REMOTE),
    ):
        info = check_end(events, end, failed=False)
        assert (info.code, info.reason, info.clean, info.initiator) == (1000, "done", True, initiator)
        assert (info.phase, info.age, info.error, info.retryable, info.hint) == (Phase.DRAINING, 3.0, None, False, "")
        assert (end.state, end.phase) == (ConnectionState.CLOSED, Phase.ENDED)
    assert client.close_info is not None
    assert client.close_info.last_frames[0].kind == "setup"


def test_the_server_closes() -> None:
    pair = open_pair()
    pair.server.close(1001)
    pair.pump()
    for events, end, initiator in (
        (pair.client_events, pair.client, Initiator.REMOTE),
        (pair.server_events, pair.server, Initiator.LOCAL),
    ):
        info = check_end(events, end, failed=False)
        assert (info.code, info.clean, info.initiator) == (1001, True, initiator)


def test_audio_both_ways() -> None:
    pair = open_pair()
    pcm = bytes(range(256)) * 50
    for start in range(0, len(pcm), 3200):
        pair.client.send_realtime_input(audio=pcm[start : start + 3200], rate=16000)
    pair.pump()
    assert b"".join(event.input.audio.data for event in pair.server_events) == pcm
    assert [event.index for event in pair.server_events] == [1, 2, 3, 4]
    data = base64.b64encode(pcm).decode()
    blob = {"mimeType": "audio/pcm;rate=24000", "data": data}
    events = say(pair, *[{"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}]}}}] * 3)
    assert names(events) == ["TurnStarted", "AudioChunk", "AudioChunk", "AudioChunk"]
    assert all(event.data == pcm and event.format.rate == 24000 for event in events if type(event) is AudioChunk)


def test_tool_calls() -> None:
    pair = open_pair()
    events = say(pair, call({"id": "1", "name": "f", "args": {"a_b": 1}}, {"id": "2", "name": "g"}))
    assert names(events) == ["TurnStarted", "ToolCallRequested", "ToolCallRequested"]
    pair.client.send_tool_response({"id": "1", "response": {"output": 1}})
    pair.pump()
    answer = pair.server_events[-1]
    assert isinstance(answer, ToolResponseReceived)
    assert answer.responses[0].name == "f"
    assert names(say(pair, cancel("2"))) == ["ToolCallCancelled"]
    assert pair.client.pending_tool_calls == pair.server.pending_tool_calls == ()


def test_context_update_and_manual_activity() -> None:
    pair = open_pair(dial({"realtime_input_config": MANUAL}))
    pair.client.send_context_update(system_instruction="x", tools=[])
    pair.client.send_realtime_input(activity_start=True)
    pair.client.send_realtime_input(activity_end=True)
    pair.pump()
    assert names(pair.server_events) == ["ContextUpdateReceived", "RealtimeInputReceived", "RealtimeInputReceived"]


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_any_chunking(step: int) -> None:
    client, server = dial(), LiveConnection.server()
    heard: list[object] = []
    told: list[object] = []

    def carry() -> None:
        for _ in range(4):
            for source, target, into in ((client, server, told), (server, client, heard)):
                for piece in chunks(source.data_to_send(), [step]):
                    target.receive_data(piece)
                    for event in target.events():
                        into.append(event)
                        if isinstance(event, UpgradeRequested):
                            target.accept()
                        elif isinstance(event, SetupReceived):
                            target.send_setup_complete()

    carry()
    client.send_client_content({"parts": [{"text": "x" * 70_000}]})
    server.send(server_message(TEXT))
    carry()
    assert names(told) == ["UpgradeRequested", "Connected", "SetupReceived", "ClientContentReceived"]
    assert names(heard) == ["Connected", "SetupComplete", "TurnStarted", "TextChunk"]


def test_fragmented_messages() -> None:
    pair = open_pair()
    text = dumps({"serverContent": {"modelTurn": {"parts": [{"text": "äöü" * 10}]}}})
    pieces = list(chunks(text, [3]))
    for index, piece in enumerate(pieces):
        last = index == len(pieces) - 1
        pair.client.receive_data(frame(piece, 1 if index == 0 else 0, fin=last))
        if index == 1:
            pair.client.receive_data(frame(b"p", 9))
    pair.pump()
    assert names(pair.client_events) == ["PingReceived", "TurnStarted", "TextChunk"]


@pytest.mark.parametrize("opcode", [1, 2])
def test_text_and_binary_frames_are_the_same(opcode: int) -> None:
    pair = open_pair()
    pair.client.receive_data(frame(dumps(TEXT), opcode))
    pair.server.receive_data(frame(b'{"clientContent":{}}', opcode, masked=True))
    pair.pump()
    assert names(pair.client_events) == ["TurnStarted", "TextChunk"]
    assert names(pair.server_events) == ["ClientContentReceived"]


def test_clients_write_text_and_servers_binary() -> None:
    pair = open_pair()
    pair.client.send_client_content()
    pair.server.send(server_message(COMPLETE))
    assert pair.client.data_to_send()[0] == 0x81
    assert pair.server.data_to_send()[0] == 0x82


def test_events_abandoned_and_taken_up() -> None:
    pair = open_pair()
    pair.server.send(server_message({"serverContent": {**TEXT["serverContent"], "turnComplete": True}}))
    pair.server.send(server_message(TEXT))
    pair.client.receive_data(pair.server.data_to_send())
    for event in pair.client.events():
        assert type(event).__name__ == "TurnStarted"
        break
    assert pair.client.turn is TurnState.IDLE  # facts belong to the whole message in hand, not to the next one
    generator = pair.client.events()
    assert type(next(generator)).__name__ == "TextChunk"
    assert names(pair.client.events()) == ["TurnComplete", "TurnStarted", "TextChunk"]
    assert list(generator) == []
    assert pair.client.next_event() is None


def test_pings() -> None:
    pair = open_pair()
    pair.client.ping(b"x")
    pair.client.data_to_send()
    pair.clock.advance(0.25)
    pair.client.advance(pair.clock.now)
    pair.client.receive_data(frame(b"x", 10))
    assert list(pair.client.events()) == [PongReceived(payload=b"x", rtt=0.25)]
    assert pair.client.latency == 0.25
    with pytest.raises(InvalidMessage):
        pair.client.ping(b"x" * 126)


# --- dialects ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("explicit", [None, Backend.GEMINI, Backend.VERTEX])
@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint.gemini(api_key="k", base_url="ws://test/"),
        Endpoint.vertex(api_key="k", base_url="ws://test/p"),
        Endpoint.custom("ws://test/somewhere"),
    ],
)
def test_the_server_speaks_the_dialect_of_the_path(endpoint: Endpoint, explicit: Backend | None) -> None:
    client, server = LiveConnection.client(endpoint, model="m"), LiveConnection.server()
    server.receive_data(client.data_to_send())
    next(server.events())
    server.advance(5.0)
    server.accept([("x-extra", "1")], backend=explicit)
    client.receive_data(server.data_to_send())
    server.receive_data(client.data_to_send())
    list(server.events())
    server.send_setup_complete()
    server.data_to_send()
    server.send(server_message({"usageMetadata": {"responseTokenCount": 1}}))
    text = server.data_to_send()
    vertex = explicit is Backend.VERTEX or (explicit is None and endpoint.backend is Backend.VERTEX)
    assert (b"candidatesTokenCount" in text) == vertex
    connected = next(client.events())
    assert ("x-extra", "1") in connected.headers  # type: ignore[union-attr]


def test_a_refused_upgrade() -> None:
    pair = Pair(dial())
    pair.server.receive_data(pair.client.data_to_send())
    (request,) = pair.server.events()
    assert isinstance(request, UpgradeRequested)
    with pytest.raises(InvalidMessage):
        pair.server.reject(99)
    pair.server.reject(403, [("x-why", "no")], b"not you")
    pair.pump()
    assert names(pair.client_events) == ["UpgradeRejected", "ConnectionFailed", "ConnectionClosed"]
    info = check_end(pair.client_events, pair.client, failed=True)
    assert (info.code, info.phase, info.initiator, info.clean) == (1006, Phase.NEW, Initiator.REMOTE, False)
    check_end(pair.server_events, pair.server, failed=False)
    for command in (lambda: pair.server.reject(403), pair.server.accept):
        with pytest.raises((IllegalInState, StaleOperation)):
            command()


# --- commands in every state of the link ------------------------------------------------------------------------

COMMANDS: dict[str, Any] = {
    "send_client_content": lambda end: end.send_client_content(),
    "audio": lambda end: end.send_realtime_input(audio=b"\0\0", rate=16000),
    "text": lambda end: end.send_realtime_input(text="x"),
    "send_tool_response": lambda end: end.send_tool_response({"id": "1", "response": {}}),
    "send_context_update": lambda end: end.send_context_update(tools=[]),
    "send client": lambda end: end.send(LiveClientMessage(client_content=LiveClientContent())),
    "send server": lambda end: end.send(LiveServerMessage()),
    "send_setup_complete": lambda end: end.send_setup_complete(),
    "ping": lambda end: end.ping(),
}
STATES = {
    ConnectionState.CONNECTING: IllegalInState,
    ConnectionState.CLOSING: ConnectionClosing,
    ConnectionState.CLOSED: AlreadyClosed,
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("role", ["client", "server"])
def test_commands_out_of_their_time(role: str, state: ConnectionState, name: str) -> None:
    pair = Pair(dial()) if state is ConnectionState.CONNECTING else open_pair()
    end = pair.client if role == "client" else pair.server
    if state is not ConnectionState.CONNECTING:
        end.close()
    if state is ConnectionState.CLOSED:
        pair.pump()
    assert end.state is state
    before = facts(end)
    with pytest.raises(STATES[state]) as caught:
        COMMANDS[name](end)
    assert type(caught.value) is STATES[state]
    assert facts(end) == before


@pytest.mark.parametrize("role", ["client", "server"])
def test_commands_of_the_other_role(role: str) -> None:
    pair = open_pair()
    end = pair.client if role == "client" else pair.server
    wrong = ["send_setup_complete", "send server"] if role == "client" else list(COMMANDS)[:6]
    for name in wrong:
        before = facts(end)
        with pytest.raises((IllegalInState, InvalidMessage)):
            COMMANDS[name](end)
        assert facts(end) == before
    with pytest.raises(IllegalInState):
        pair.client.accept()
    with pytest.raises(IllegalInState):
        pair.client.reject(400)


@pytest.mark.parametrize(
    ("code", "reason"), [(1005, ""), (1006, ""), (999, ""), (5000, ""), (1000, "x" * 124), (1000, "\ud800")]
)
def test_closes_that_cannot_be_sent(code: int, reason: str) -> None:
    pair = open_pair()
    before = facts(pair.client)
    with pytest.raises(InvalidMessage):
        pair.client.close(code, reason)
    assert facts(pair.client) == before


def test_closing_during_the_handshake() -> None:
    for role in ("client", "server"):
        pair = Pair(dial())
        end = pair.client if role == "client" else pair.server
        end.close()
        info = check_end(list(end.events()), end, failed=False)
        assert (info.code, info.clean, info.phase) == (1006, False, Phase.NEW)


def test_too_large() -> None:
    pair = open_pair()
    pair.client.send_realtime_input(text="x" * 500)
    size = len(dumps({"realtimeInput": {"text": "x" * 500}}).replace(b": ", b":"))
    for limit in (size, size + 1):
        open_pair(dial(limits=Limits(max_send=limit))).client.send_realtime_input(text="x" * 500)
    client = open_pair(dial(limits=Limits(max_send=size - 1))).client
    before = facts(client)
    with pytest.raises(MessageTooLarge) as caught:
        client.send_realtime_input(text="x" * 500)
    assert (caught.value.size, caught.value.limit) == (size, size - 1)
    assert facts(client) == before


def test_compression() -> None:
    pair = open_pair(dial(compression=True), LiveConnection.server(compression=True))
    pair.client.send_realtime_input(text="x" * 5000)
    assert pair.client.buffered_out < 1000
    pair.pump()
    assert pair.server_events[-1].input.text == "x" * 5000
    assert names(say(pair, TEXT)) == ["TurnStarted", "TextChunk"]


def test_deadlines_of_both_layers() -> None:
    timeouts = Timeouts(setup=15.0, ping_interval=20.0)
    client = dial(timeouts=timeouts)
    assert client.next_deadline() is None
    pair = Pair(client)
    assert client.next_deadline() == pair.clock.now + 10.0
    pair.pump()
    assert client.next_deadline() == pair.clock.now + 15.0
    pair.server.send_setup_complete()
    pair.pump()
    assert client.next_deadline() == pair.clock.now + 20.0
    off = Pair(dial(timeouts=Timeouts(open=None, setup=3.0, ping_interval=None)))
    off.pump()
    assert off.client.next_deadline() == off.clock.now + 3.0


def test_no_setup_is_due_before_the_upgrade_is_accepted() -> None:
    client = dial()
    server = LiveConnection.server(timeouts=Timeouts(open=60.0, setup=5.0, ping_interval=None))
    server.advance(0.0)
    server.advance(20.0)
    assert (server.next_deadline(), server.phase) == (60.0, Phase.NEW)
    server.receive_data(client.data_to_send())
    server.advance(40.0)
    assert names(server.events()) == ["UpgradeRequested"]
    server.accept()
    assert names(server.events()) == ["Connected"]
    assert (server.next_deadline(), server.phase) == (45.0, Phase.NEW)
    server.advance(45.0)
    assert names(server.events()) == ["ConnectionFailed", "ConnectionClosed"]


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("server", [True, False])
def test_compression_is_used_only_where_both_want_it(client: bool, server: bool) -> None:
    pair = Pair(
        dial(compression=True) if client else dial(),
        LiveConnection.server(compression=True) if server else LiveConnection.server(),
    )
    pair.pump()
    connected = pair.client_events[0]
    assert isinstance(connected, Connected)
    assert connected.compression == (client and server)
