"""MessageConnection: limits, deadlines and the observer."""

from __future__ import annotations

import json
from typing import Any

from transports.bridges.messages import READY, actions, client, end, names, opened, serving

from live_protocol import (
    AudioChunk,
    ConnectionClosed,
    ConnectionState,
    DeadlineExpired,
    FrameViolation,
    LimitExceeded,
    Limits,
    Timeouts,
)
from live_protocol.connection import CloseWebSocket, MessageConnection, RefuseUpgrade
from live_protocol.timing import Deadline
from live_protocol.websocket import Observation

# --- limits -----------------------------------------------------------------------------------------------------


def test_messages_are_bounded() -> None:
    machine = opened(limits=Limits(max_message=40))
    text = '{"x":"' + "é" * 16 + '"}'
    assert len(text.encode()) == 40
    machine.receive_message(text)
    machine.receive_message(text + " ")
    *_, last = machine.events()
    assert isinstance(last, ConnectionClosed)
    error = last.info.error
    assert isinstance(error, LimitExceeded)
    assert (error.which, error.limit) == ("max_message", 40)
    assert actions(machine) == [CloseWebSocket(code=1009, reason=str(error))]


def test_messages_are_bounded_while_closing_too() -> None:
    machine = opened(limits=Limits(max_message=40))
    machine.close()
    machine.receive_message(b"x" * 41)
    info = end(machine).info
    assert isinstance(info.error, LimitExceeded)
    assert info.code == 1006, "our close frame had said something else"
    assert actions(machine) == [CloseWebSocket(code=1000)]


def test_room() -> None:
    machine = opened(limits=Limits(max_buffered_in=100))
    message = b'{"x":"' + b"y" * 42 + b'"}'
    assert len(message) == 50
    for expected in (True, True, False):
        machine.receive_message(message)
        assert machine.wants.read is expected
    machine.next_event()
    assert machine.wants.read
    for _ in range(1100):
        machine.receive_message(b"{}")
    assert not machine.wants.read, "small messages cost too"
    assert len(list(machine.events())) == 2
    assert machine.wants.read
    assert machine.buffered_in == 0


def test_room_while_the_end_is_near() -> None:
    machine = opened(limits=Limits(max_buffered_in=1))
    machine.receive_message(b"{}")
    assert not machine.wants.read
    machine.closed(1000)
    assert names(machine) == ["ConnectionClosed"]


# --- time -------------------------------------------------------------------------------------------------------


def test_nobody_reports_a_websocket() -> None:
    machine = client(timeouts=Timeouts(open=3))
    machine.advance(10)
    assert machine.next_deadline() == 13
    machine.advance(13)
    error = end(machine).info.error
    assert isinstance(error, DeadlineExpired)
    assert (error.which, machine.state) == (Deadline.OPEN, ConnectionState.CLOSED)
    assert machine.next_deadline() is None


def test_nobody_answers_a_request() -> None:
    machine = MessageConnection.server(timeouts=Timeouts(open=3))
    machine.requested("/")
    machine.advance(10)
    machine.advance(13)
    assert actions(machine) == [RefuseUpgrade(status=503)]
    assert names(machine) == ["UpgradeRequested", "ConnectionFailed", "ConnectionClosed"]


def test_setup_takes_too_long() -> None:
    machine = client(timeouts=Timeouts(setup=3))
    machine.advance(10)
    machine.connected()
    assert names(machine) == ["Connected"]
    assert machine.next_deadline() == 13
    machine.advance(13)
    *_, last = machine.events()
    assert isinstance(last, ConnectionClosed)
    assert isinstance(last.info.error, DeadlineExpired)
    assert last.info.age == 3
    assert isinstance(actions(machine)[-1], CloseWebSocket)


def test_the_close_takes_too_long() -> None:
    machine = opened(timeouts=Timeouts(close=2))
    assert machine.next_deadline() is None, "no pings of ours"
    machine.advance(10)
    machine.close()
    machine.advance(12)
    error = end(machine).info.error
    assert isinstance(error, DeadlineExpired)
    assert error.which is Deadline.CLOSE
    assert machine.wants.close


def test_the_close_after_a_fault_takes_too_long() -> None:
    machine = opened(timeouts=Timeouts(close=2))
    machine.fail(FrameViolation("x"))
    info = end(machine).info
    assert not machine.wants.close
    machine.advance(2)
    assert machine.wants.close
    assert isinstance(info.error, FrameViolation)
    assert machine.next_event() is None


# --- the observer -----------------------------------------------------------------------------------------------


def test_an_observer_sees_everything() -> None:
    seen: list[Any] = []

    def observer(one: Observation) -> None:
        what = one.what
        seen.append((one.from_client, what if isinstance(what, (bytes, str)) else type(what).__name__))

    machine = client(observer=observer)
    machine.connected()
    machine.receive_message(READY)
    list(machine.events())
    assert seen == [
        (True, '{"setup":{"model":"models/test"}}'),
        (False, "Connected"),
        (False, READY),
    ]
    seen.clear()
    server = serving(observer=observer)
    server.receive_message('{"setup":{}}')
    assert names(server) == ["SetupReceived"]
    server.send_setup_complete()
    *before, (of_client, sent) = seen
    assert before == [(True, "UpgradeRequested"), (True, "Connected"), (True, '{"setup":{}}')]
    assert (of_client, json.loads(sent)) == (False, {"setupComplete": {}})


def test_audio_comes_through() -> None:
    machine = opened()
    machine.receive_message(
        '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAAA"}}]}}}'
    )
    assert any(isinstance(event, AudioChunk) for event in machine.events())
