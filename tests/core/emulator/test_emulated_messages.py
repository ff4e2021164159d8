"""The emulator over whole messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from live_protocol import (
    AlreadyClosed,
    ConnectionState,
    Endpoint,
    IllegalInState,
    LiveProtocolError,
    LiveServerMessage,
    Phase,
    TurnComplete,
    TurnState,
)
from live_protocol.connection import AcceptUpgrade, CloseWebSocket, MessageConnection, RefuseUpgrade
from live_protocol.emulator import (
    Drop,
    EmulatedMessageConnection,
    Emulator,
    EmulatorOptions,
    ModelAction,
    Say,
    UserTurn,
)
from live_protocol.errors import FrameViolation

ENDPOINT = Endpoint.gemini(api_key="key")
TEXT = {"response_modalities": ["TEXT"]}


class Pair:
    """A client and a server, joined by their actions."""

    def __init__(self, emulator: Emulator, endpoint: Endpoint = ENDPOINT) -> None:
        self.client = MessageConnection.client(endpoint, TEXT, model="m")
        self.server: EmulatedMessageConnection = emulator.message_connection()
        self.events: list[Any] = []
        self.refusal: RefuseUpgrade | None = None
        self.client.advance(0)
        self.server.advance(0)
        self.server.requested(endpoint.target, endpoint.headers)
        self.run()

    def run(self) -> None:
        moved = True
        while moved:
            moved = self._carry()

    def _carry(self) -> bool:
        moved = any([self.server.next_event() is not None])
        fresh = list(self.client.events())
        self.events += fresh
        moved |= bool(fresh)
        while (action := self.server.next_action()) is not None:
            moved = True
            match action:
                case bytes():
                    self.client.receive_message(action)
                case AcceptUpgrade():
                    self.client.connected(action.headers)
                case RefuseUpgrade():
                    self.refusal = action
                case CloseWebSocket():
                    self.client.closed(action.code, action.reason)
                    self.server.closed(action.code)
        while (action := self.client.next_action()) is not None:
            moved = True
            if isinstance(action, bytes):
                self.server.receive_message(action.decode())
            elif isinstance(action, CloseWebSocket):
                self.server.closed(action.code, action.reason)
                self.client.closed(action.code)
        return moved

    def names(self) -> list[str]:
        found = [type(event).__name__ for event in self.events]
        self.events.clear()
        return found


def test_a_turn() -> None:
    pair = Pair(Emulator())
    assert pair.names() == ["Connected", "SetupComplete"]
    assert (pair.server.state, pair.server.phase, pair.server.turn) == (
        ConnectionState.OPEN,
        Phase.READY,
        TurnState.IDLE,
    )
    pair.client.send_realtime_input(text="hello")
    pair.run()
    assert any(type(event) is TurnComplete for event in pair.events)
    pair.client.close()
    pair.run()
    assert pair.names()[-1] == "ConnectionClosed"
    assert pair.server.close_info is not None
    assert pair.server.close_info.clean
    assert repr(pair.server) == "<EmulatedMessageConnection CLOSED ENDED turn=IDLE>"


def test_refused() -> None:
    pair = Pair(Emulator(), Endpoint.custom("ws://test/nowhere"))
    assert pair.refusal is not None
    assert pair.refusal.status == 404
    assert json.loads(pair.refusal.body)["error"]["code"] == 404
    with pytest.raises(AlreadyClosed):
        pair.server.reject(403)


def test_a_key_that_is_not_valid() -> None:
    pair = Pair(Emulator(options=EmulatorOptions(api_keys=())))
    assert pair.names() == ["Connected", "ConnectionFailed", "ConnectionClosed"]
    assert pair.client.close_info is not None
    assert pair.client.close_info.code == 1007


class Dropping:
    """Says something, then drops the connection."""

    def on_text(self, turn: UserTurn) -> Iterator[ModelAction]:
        yield Say("going")
        yield Drop()

    on_speech = on_tool_response = on_text


def dropped() -> EmulatedMessageConnection:
    pair = Pair(Emulator(Dropping()))
    pair.client.send_realtime_input(text="x")
    for action in iter(pair.client.next_action, None):
        assert isinstance(action, bytes)
        pair.server.receive_message(action)
    assert pair.server.buffered_in > 0
    while pair.server.next_event() is not None:
        pass
    return pair.server


def test_a_drop_on_purpose() -> None:
    server = dropped()
    assert server.state is ConnectionState.CLOSED
    assert (server.wants.read, server.wants.write, server.wants.close) == (False, True, False)
    waiting = server.buffered_out
    assert waiting > 0
    sent = list(iter(server.next_action, None))
    assert sum(len(action) for action in sent if isinstance(action, bytes)) == waiting
    assert b"goi" in b"".join(action for action in sent if isinstance(action, bytes))
    assert not any(isinstance(action, CloseWebSocket) for action in sent)
    assert server.wants.close


@pytest.mark.parametrize("how", ["closed", "failed"])
def test_messages_before_a_drop_may_be_too_late(how: str) -> None:
    server = dropped()
    if how == "closed":
        server.closed()
    else:
        server.transport_failed("gone")
    assert server.next_action() is None
    assert server.buffered_out == 0


def test_commands_are_forwarded() -> None:
    pair = Pair(Emulator())
    pair.server.send(LiveServerMessage())
    pair.server.accept()
    with pytest.raises(IllegalInState):
        pair.server.reject(404)
    pair.run()
    pair.server.fail(FrameViolation("x"))
    pair.run()
    assert pair.client.close_info is not None
    assert pair.client.close_info.code == 1002
    with pytest.raises(LiveProtocolError):
        pair.server.send(LiveServerMessage())
    pair.server.close()
    assert pair.server.pending_tool_calls == ()
    assert pair.server.next_deadline() is None
