"""Sessions and connections in a chosen state, frames built by hand, and checks that many tests make."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import attrs
import pytest

from live_protocol import (
    Codec,
    ConnectionClosed,
    ConnectionFailed,
    Endpoint,
    Event,
    LiveClientSetup,
    LiveConnection,
    LiveServerMessage,
    LiveSession,
    Phase,
)
from live_protocol.messages import AutomaticActivityDetection, RealtimeInputConfig
from live_protocol.testing import Pair

CANARY = "AIzaCANARY-0123456789-secret"
MANUAL = RealtimeInputConfig(automatic_activity_detection=AutomaticActivityDetection(disabled=True))
SETUP_COMPLETE = {"setupComplete": {}}
GO_AWAY = {"goAway": {"timeLeft": "50s"}}
TEXT = {"serverContent": {"modelTurn": {"parts": [{"text": "hi"}]}}}
GENERATED = {"serverContent": {"generationComplete": True}}
INTERRUPTED = {"serverContent": {"interrupted": True}}
COMPLETE = {"serverContent": {"turnComplete": True}}


def dumps(value: object) -> bytes:
    return json.dumps(value).encode()


def call(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"toolCall": {"functionCalls": list(calls)}}


def cancel(*ids: str) -> dict[str, Any]:
    return {"toolCallCancellation": {"ids": list(ids)}}


def setup(**fields: Any) -> LiveClientSetup:
    return LiveClientSetup(**{"model": "models/m", **fields})


def new_client(*, fields: dict[str, Any] | None = None, **options: Any) -> LiveSession:
    return LiveSession.client(setup(**(fields or {})), **options)


def ready_client(*, fields: dict[str, Any] | None = None, **options: Any) -> LiveSession:
    session = new_client(fields=fields, **options)
    session.send_setup()
    tell(session, SETUP_COMPLETE)
    session.messages_to_send()
    return session


def ready_server(**options: Any) -> LiveSession:
    session = LiveSession.server(**options)
    tell(session, {"setup": {"model": "models/m"}})
    session.send_setup_complete()
    session.messages_to_send()
    return session


def tell(session: LiveSession, *messages: object) -> list[Any]:
    """Receive messages, as values or as text of the wire; returns all events."""
    for message in messages:
        session.receive_message(message if isinstance(message, (bytes, str)) else dumps(message))
    return list(session.events())


def names(events: Iterable[object]) -> list[str]:
    return [type(event).__name__ for event in events]


def sent(session: LiveSession) -> list[Any]:
    return [json.loads(text) for text in session.messages_to_send()]


def session_facts(session: LiveSession) -> tuple[object, ...]:
    """Everything that a failed command must not change."""
    return (
        session.phase,
        session.last_phase,
        session.turn,
        session.generation,
        session.client_message_index,
        session.pending_tool_calls,
        session.resumption,
        session.usage,
        session.last_frames,
        session.next_deadline(),
        repr(session),
    )


def facts(connection: LiveConnection) -> tuple[object, ...]:
    return (
        connection.state,
        connection.phase,
        connection.turn,
        connection.generation,
        connection.pending_tool_calls,
        connection.resumption,
        connection.usage,
        connection.close_info,
        connection.buffered_in,
        connection.buffered_out,
        connection.latency,
        connection.wants,
        connection.next_deadline(),
        repr(connection),
    )


def refused_by(codec: Codec, text: bytes | str, kind: type[Exception], **options: Any) -> Any:
    """The error, which must not contain the text, nor be chained to an error that does."""
    with pytest.raises(kind) as caught:
        codec.decode_server(text, **options)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert CANARY not in f"{error!r} {error} {vars(error)}"
    return error


def server_message(value: dict[str, Any]) -> LiveServerMessage:
    return Codec().decode_server(dumps(value))


def dial(config: Any = None, **options: Any) -> LiveConnection:
    options = {"model": "m", **options}
    return LiveConnection.client(Endpoint.custom("ws://test/"), config, **options)


def open_pair(client: LiveConnection | None = None, server: LiveConnection | None = None) -> Pair:
    """A pair with a ready session and no events yet."""
    pair = Pair(client or dial(), server or LiveConnection.server())
    pair.pump()
    pair.server.send_setup_complete()
    pair.pump()
    assert pair.client.phase is Phase.READY
    assert pair.server.phase is Phase.READY
    pair.client_events.clear()
    pair.server_events.clear()
    return pair


def say(pair: Pair, *values: dict[str, Any]) -> list[Any]:
    """The server sends; returns the events of the client."""
    before = len(pair.client_events)
    for value in values:
        pair.server.send(server_message(value))
    pair.pump()
    return pair.client_events[before:]


def check_end(events: list[Event], connection: LiveConnection, *, failed: bool) -> Any:
    """Check the one way a connection may end: (ConnectionFailed,) ConnectionClosed, once, last, and then nothing."""
    kinds = names(events)
    assert kinds.count("ConnectionClosed") == 1
    assert kinds.count("ConnectionFailed") == int(failed)
    assert kinds[-1] == "ConnectionClosed"
    if failed:
        assert kinds[-2] == "ConnectionFailed"
    last = events[-1]
    assert isinstance(last, ConnectionClosed)
    assert last.info is connection.close_info
    if failed:
        assert isinstance(events[-2], ConnectionFailed)
        assert last.info.error is events[-2].error
    for _ in range(3):
        assert connection.next_event() is None
        connection.receive_data(b"\x81\x02{}")
        connection.receive_eof()
        connection.advance(1e9)
    return last.info


def frame(payload: bytes, opcode: int = 1, *, masked: bool = False, fin: bool = True) -> bytes:
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if masked else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + size.to_bytes(8, "big")
    return head + (b"\0\0\0\0" if masked else b"") + payload


def close_frame(code: int, reason: str = "", *, masked: bool = False) -> bytes:
    return frame(code.to_bytes(2, "big") + reason.encode(), 8, masked=masked)


def as_dict(event: Any) -> dict[str, Any]:
    """The fields of an event, without its message."""
    return {
        field.name: getattr(event, field.name) for field in attrs.fields(type(event)) if not field.name.startswith("_")
    }
