"""What outlives a connection, and messages that are encoded already."""

from __future__ import annotations

import json
from typing import Any

import pytest

from live_protocol import Endpoint, IllegalInState, LiveConnection
from live_protocol import events as ev
from live_protocol.codec import Codec
from live_protocol.messages import Backend
from live_protocol.session import CarriedState, Resumption, ToolCallTracker, Usage

TEXT: Any = {"response_modalities": ["TEXT"], "session_resumption": {}}


def move(one: LiveConnection, other: LiveConnection) -> list[ev.Event]:
    """Carry bytes until there are none; gives the events of both ends."""
    events: list[ev.Event] = []
    while True:
        seen = len(events)
        for source, target in ((one, other), (other, one)):
            if data := source.data_to_send():
                target.receive_data(data)
            for event in target.events():
                events.append(event)
                if type(event) is ev.UpgradeRequested:
                    target.accept()
                elif type(event) is ev.SetupReceived:
                    target.send_setup_complete()
        if len(events) == seen:
            return events


def connected(**options: Any) -> tuple[LiveConnection, LiveConnection]:
    client = LiveConnection.client(Endpoint.gemini(api_key="any"), TEXT, model="m", **options)
    server = LiveConnection.server()
    move(client, server)
    return client, server


def say(server: LiveConnection, message: dict[str, Any]) -> None:
    server.send_raw(json.dumps(message).encode())


def test_the_next_session_continues_where_the_last_one_was() -> None:
    client, server = connected()
    call = {"id": "c1", "name": "look"}
    say(server, {"toolCall": {"functionCalls": [call]}, "usageMetadata": {"totalTokenCount": 7}})
    say(server, {"sessionResumptionUpdate": {"newHandle": "h1", "resumable": True}})
    move(client, server)

    after, service = connected(carry=client.carried)
    assert (after.generation, after.usage.total_tokens, after.resumption.handle) == (client.generation, 7, "h1")
    after.send_tool_response({"id": "c1", "name": "look", "response": {}})
    assert type(move(after, service)[-1]) is ev.ToolResponseReceived
    assert client.pending_tool_calls == ()  # the table is shared


def test_a_session_begins_with_nothing_carried() -> None:
    client, _ = connected()
    carried = client.carried
    assert carried == CarriedState(calls=client.tool_calls)
    assert (carried.generation, carried.usage, carried.resumption) == (0, Usage(), Resumption())
    assert isinstance(carried.calls, ToolCallTracker)


def test_an_encoded_message_counts_like_any_other() -> None:
    client, server = connected()
    payload = b'{"clientContent":{"turns":[{"role":"user","parts":[{"text":"Hi"}]}],"turnComplete":true}}'
    assert not client.awaiting_answer
    assert client.send_encoded("client_content", payload, awaiting=True) == 1
    assert client.awaiting_answer
    (event,) = move(client, server)
    assert isinstance(event, ev.ClientContentReceived)
    assert event.message == Codec(Backend.GEMINI).decode_client(payload)
    assert client.send_encoded("realtime_input", b'{"realtimeInput":{"text":"and"}}') == 2
    assert client.awaiting_answer


def test_only_a_client_that_is_set_up_sends_what_is_encoded() -> None:
    client = LiveConnection.client(Endpoint.gemini(api_key="any"), TEXT, model="m")
    with pytest.raises(IllegalInState, match="handshake"):
        client.send_encoded("client_content", b"{}")
    _, server = connected()
    with pytest.raises(IllegalInState, match="server's end"):
        server.send_encoded("client_content", b"{}")


@pytest.mark.parametrize("data", ['{"setupComplete": 3}', b'{"setupComplete": 3}'])
def test_a_raw_message_passes_no_check(data: str | bytes) -> None:
    client, server = connected()
    server.send_raw(data)
    (event,) = move(client, server)
    assert isinstance(event, ev.Undecodable)
    assert event.data == data
