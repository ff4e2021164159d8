"""A MessageConnection in a given state, and what is to be taken from it."""

from __future__ import annotations

from typing import Any

from live_protocol import (
    ConnectionClosed,
    Endpoint,
)
from live_protocol.connection import AcceptUpgrade, MessageConnection, WebSocketAction

ENDPOINT = Endpoint.custom("ws://test/")
GEMINI = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
VERTEX = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
READY = b'{"setupComplete":{}}'


def client(**options: Any) -> MessageConnection:
    return MessageConnection.client(ENDPOINT, model="test", **options)


def actions(machine: MessageConnection) -> list[WebSocketAction]:
    return list(iter(machine.next_action, None))


def names(machine: MessageConnection) -> list[str]:
    return [type(event).__name__ for event in machine.events()]


def opened(**options: Any) -> MessageConnection:
    """A client whose setup was accepted, with nothing left to take."""
    machine = client(**options)
    machine.advance(0)
    machine.connected()
    machine.receive_message(READY)
    assert names(machine) == ["Connected", "SetupComplete"]
    assert len(actions(machine)) == 1
    return machine


def serving(target: str = GEMINI, **options: Any) -> MessageConnection:
    """A server that has accepted, with nothing left to take."""
    machine = MessageConnection.server(**options)
    machine.advance(0)
    machine.requested(target)
    assert names(machine) == ["UpgradeRequested"]
    machine.accept()
    assert names(machine) == ["Connected"]
    assert actions(machine) == [AcceptUpgrade()]
    return machine


def end(machine: MessageConnection) -> ConnectionClosed:
    """The last event, which nothing follows."""
    *_, last = machine.events()
    assert isinstance(last, ConnectionClosed)
    assert machine.next_event() is None
    assert machine.close_info is last.info
    return last
