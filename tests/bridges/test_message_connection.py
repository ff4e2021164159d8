"""MessageConnection: the protocol over messages, driven by hand. No library, no clock, no loop."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from live_protocol import (
    AlreadyClosed,
    AudioChunk,
    ClientClosed,
    Connected,
    ConnectionClosed,
    ConnectionClosing,
    DeadlineExpired,
    Endpoint,
    Failed,
    FrameViolation,
    IllegalInState,
    Initiator,
    InvalidMessage,
    LimitExceeded,
    Limits,
    LinkState,
    LiveProtocolError,
    LiveServerMessage,
    MessageTooLarge,
    Need,
    Phase,
    RealtimeInputReceived,
    SchemaMismatch,
    ServerClosed,
    SetupComplete,
    SetupReceived,
    Timeouts,
    TransportFailed,
    Undecodable,
    UpgradeRequested,
)
from live_protocol.message_connection import (
    AcceptUpgrade,
    Action,
    CloseWebSocket,
    MessageConnection,
    RefuseUpgrade,
)
from live_protocol.messages import Backend
from live_protocol.timing import Deadline

ENDPOINT = Endpoint.custom("ws://test/")
GEMINI = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
VERTEX = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
READY = b'{"setupComplete":{}}'


def client(**options: Any) -> MessageConnection:
    return MessageConnection.client(ENDPOINT, model="test", **options)


def actions(machine: MessageConnection) -> list[Action]:
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
    assert machine.next_event() is Need.DATA
    assert machine.close_info is last.info
    return last


# --- the way a session goes -------------------------------------------------------------------------------------


def test_client() -> None:
    machine = client()
    assert (machine.state, machine.phase) == (LinkState.CONNECTING, Phase.NEW)
    with pytest.raises(IllegalInState, match="handshake"):
        machine.send_realtime_input(text="x")
    machine.connected([("Server", "x")])
    event = machine.next_event()
    assert isinstance(event, Connected)
    assert event.headers == (("server", "x"),)
    assert not event.compression
    assert machine.buffered_out == len(b'{"setup":{"model":"models/test"}}')
    (setup,) = actions(machine)
    assert isinstance(setup, bytes)
    assert json.loads(setup) == {"setup": {"model": "models/test"}}
    assert machine.buffered_out == 0
    machine.receive_message(memoryview(READY))
    assert machine.buffered_in == len(READY)
    assert isinstance(machine.next_event(), SetupComplete)
    assert machine.buffered_in == 0
    machine.send_realtime_input(text="hé")
    assert actions(machine) == ['{"realtimeInput":{"text":"hé"}}'.encode()]
    machine.receive_message('{"serverContent":{"modelTurn":{"parts":[{"text":"é"}]}}}')
    assert names(machine) == ["TurnStarted", "TextChunk"]
    assert machine.latency is None
    assert repr(machine) == "<MessageConnection client OPEN READY turn=GENERATING>"
    machine.close(1000, "bye")
    assert machine.wants.write
    assert actions(machine) == [CloseWebSocket(code=1000, reason="bye")]
    assert not machine.wants.close, "the library has yet to tell that it is over"
    machine.receive_message(b'{"serverContent":{"generationComplete":true}}')
    machine.closed(1000, "bye")
    assert machine.wants.close
    assert names(machine) == ["GenerationComplete", "ConnectionClosed"]
    info = machine.close_info
    assert info is not None
    assert (info.code, info.clean, info.initiator, info.error) == (1000, True, Initiator.LOCAL, None)
    assert info.phase is Phase.READY
    assert [frame.kind for frame in info.last_frames][:2] == ["setup", "setup_complete"]


def test_server() -> None:
    machine = MessageConnection.server()
    machine.requested(VERTEX, [("Host", "x")])
    event = machine.next_event()
    assert isinstance(event, UpgradeRequested)
    assert (event.target, event.headers) == (VERTEX, (("host", "x"),))
    machine.accept([("X-One", "1")])
    assert actions(machine) == [AcceptUpgrade(headers=(("X-One", "1"),))]
    assert isinstance(machine.next_event(), Connected)
    machine.receive_message('{"setup":{"model":"m"}}')
    assert isinstance(machine.next_event(), SetupReceived)
    machine.send_setup_complete("id")
    machine.send(LiveServerMessage())
    sent = [json.loads(action) for action in actions(machine) if isinstance(action, bytes)]
    assert sent == [{"setupComplete": {"sessionId": "id"}}, {}]
    machine.receive_message('{"realtimeInput":{"text":"x"}}')
    assert isinstance(machine.next_event(), RealtimeInputReceived)
    machine.closed(1001)
    info = end(machine).info
    assert (info.code, info.clean, info.initiator) == (1001, True, Initiator.REMOTE)


def test_the_dialect_can_be_said() -> None:
    machine = MessageConnection.server()
    machine.advance(5)
    machine.requested("/live")
    machine.accept(backend=Backend.VERTEX)
    machine.receive_message('{"setup":{"model":"m"}}')
    assert names(machine) == ["UpgradeRequested", "Connected", "SetupReceived"]


def test_the_pair() -> None:
    """Both ends, wired by their actions."""
    one, other = client(), serving()
    one.connected()
    for message in actions(one):
        assert isinstance(message, bytes)
        other.receive_message(message.decode())
    assert names(other) == ["SetupReceived"]
    other.send_setup_complete()
    for message in actions(other):
        assert isinstance(message, bytes)
        one.receive_message(message)
    assert names(one) == ["Connected", "SetupComplete"]
    assert isinstance(one.next_event(), Need)


# --- how it ends ------------------------------------------------------------------------------------------------


def test_the_server_says_why() -> None:
    machine = opened()
    machine.receive_message('{"serverContent":{"modelTurn":{"parts":[{"text":"x"}]}}}')
    machine.closed(1008, "API key not valid")
    machine.closed(1000)
    assert names(machine) == ["TurnStarted", "TextChunk", "Failed", "ConnectionClosed"]
    info = machine.close_info
    assert info is not None
    assert isinstance(info.error, ServerClosed)
    assert (info.code, info.reason, info.clean, info.retryable) == (1008, "API key not valid", False, False)
    assert info.hint


def test_the_client_says_why() -> None:
    machine = serving()
    machine.closed(1011, "oops")
    assert isinstance(end(machine).info.error, ClientClosed)


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (lambda machine: machine.closed(), "the WebSocket ended without a close frame"),
        (lambda machine: machine.transport_failed("snap"), "(snap) without a close frame"),
        (lambda machine: machine.transport_failed(ConnectionResetError(104, "x")), "Connection reset by peer"),
    ],
    ids=["lost", "text", "error"],
)
def test_lost(report: Callable[[MessageConnection], None], says: str) -> None:
    machine = opened()
    report(machine)
    report(machine)
    assert machine.state is LinkState.CLOSED
    info = end(machine).info
    assert isinstance(info.error, TransportFailed)
    assert says in str(info.error)
    assert (info.code, info.initiator, info.retryable) == (1006, Initiator.TRANSPORT, True)
    with pytest.raises(AlreadyClosed):
        machine.send_realtime_input(text="x")
    with pytest.raises(AlreadyClosed):
        machine.ping()


def test_lost_while_closing() -> None:
    machine = opened()
    machine.close()
    machine.close(3000)
    with pytest.raises(ConnectionClosing):
        machine.send_realtime_input(text="x")
    with pytest.raises(ConnectionClosing):
        machine.ping()
    machine.closed()
    info = end(machine).info
    assert "before the peer answered" in str(info.error)
    assert info.initiator is Initiator.LOCAL
    assert actions(machine) == [], "nothing is left to do with what is over"


def test_lost_before_it_was_open() -> None:
    machine = MessageConnection.server()
    machine.requested(GEMINI)
    machine.closed(1001)
    assert "during the opening handshake" in str(end(machine).info.error)
    with pytest.raises(AlreadyClosed):
        machine.accept()


def test_the_library_finds_a_fault() -> None:
    machine = opened()
    machine.receive_message('{"serverContent":{"modelTurn":{"parts":[{"text":"x"}]}}}')
    error = FrameViolation("nonsense")
    machine.fail(error)
    machine.fail(FrameViolation("more"))
    assert actions(machine) == [CloseWebSocket(code=1002, reason="nonsense")]
    machine.receive_message(b"{}")
    machine.closed()
    assert names(machine) == ["TurnStarted", "TextChunk", "Failed", "ConnectionClosed"], "what came before comes first"
    info = machine.close_info
    assert info is not None
    assert (info.code, info.error, info.initiator) == (1002, error, Initiator.LOCAL)


def test_the_session_finds_a_fault() -> None:
    machine = opened(strict=True)
    machine.receive_message(b"nonsense")
    machine.receive_message(b'{"serverContent":{"turnComplete":true}}')
    assert isinstance(machine.next_event(), Failed)
    assert isinstance(end(machine).info.error, LiveProtocolError)
    assert actions(machine) == [CloseWebSocket(code=1007, reason="Request contains an invalid argument.")]
    assert machine.wants.read, "to see the end"
    assert not machine.wants.close
    machine.closed(1007)
    assert machine.wants.close


def test_the_session_finds_a_fault_after_the_end() -> None:
    machine = opened(strict=True)
    machine.receive_message(b"nonsense")
    machine.closed(1000)
    assert isinstance(machine.next_event(), Failed)
    info = end(machine).info
    assert (info.code, info.clean) == (1000, False)
    assert not isinstance(info.error, ServerClosed)
    both = opened(strict=True)
    both.receive_message(b"nonsense")
    both.closed(1008, "first")
    assert names(both) == ["Failed", "ConnectionClosed"]


def test_a_fault_that_is_no_news() -> None:
    """Once Failed was given, a fault of the layer above changes nothing."""
    machine = opened(strict=True)
    machine.closed(1008)
    assert isinstance(machine.next_event(), Failed)
    machine._link.fail(FrameViolation("late"))
    info = end(machine).info
    assert info.code == 1008
    assert isinstance(info.error, ServerClosed)


def test_a_lenient_server() -> None:
    machine = serving(strict=False)
    machine.receive_message("nonsense")
    event = machine.next_event()
    assert isinstance(event, Undecodable)
    strict = serving()
    strict.receive_message('{"setup":{"model":"m"},"other":1}')
    *_, last = strict.events()
    assert isinstance(last, ConnectionClosed)
    assert isinstance(last.info.error, SchemaMismatch)


# --- the upgrade, server role -----------------------------------------------------------------------------------


def test_refused() -> None:
    machine = MessageConnection.server()
    machine.requested("/")
    with pytest.raises(InvalidMessage):
        machine.reject(99)
    machine.reject(403, [("X-One", "1")], b"no")
    assert actions(machine) == [RefuseUpgrade(status=403, headers=(("X-One", "1"),), body=b"no")]
    assert machine.wants.close
    assert names(machine) == ["UpgradeRequested", "ConnectionClosed"]
    with pytest.raises(AlreadyClosed):
        machine.reject(403)
    machine.closed()
    assert machine.next_event() is Need.DATA


def test_given_up() -> None:
    machine = MessageConnection.server()
    machine.requested("/")
    machine.close()
    assert actions(machine) == [RefuseUpgrade(status=503)]
    assert end(machine).info.error is None
    early = MessageConnection.server()
    early.close()
    assert actions(early) == []
    with pytest.raises(AlreadyClosed):
        early.requested("/")
    dialling = client()
    dialling.close()
    assert dialling.wants.close
    with pytest.raises(AlreadyClosed):
        dialling.connected()


def test_a_fault_before_the_answer() -> None:
    machine = MessageConnection.server()
    machine.requested("/")
    machine.fail(FrameViolation("bytes before the answer"))
    assert actions(machine) == [RefuseUpgrade(status=500)]
    assert machine.state is LinkState.CLOSED
    assert names(machine) == ["UpgradeRequested", "Failed", "ConnectionClosed"]


# --- misuse -----------------------------------------------------------------------------------------------------


def test_facts_that_cannot_be() -> None:
    one, other = client(), MessageConnection.server()
    with pytest.raises(IllegalInState, match="role"):
        one.requested("/")
    with pytest.raises(IllegalInState, match="role"):
        other.connected()
    with pytest.raises(IllegalInState, match="connected"):
        one.receive_message(READY)
    with pytest.raises(IllegalInState, match="client role"):
        one.accept()
    with pytest.raises(IllegalInState, match="UpgradeRequested"):
        other.accept()
    one.connected()
    other.requested("/")
    with pytest.raises(IllegalInState, match="once"):
        one.connected()
    with pytest.raises(IllegalInState, match="once"):
        other.requested("/")
    with pytest.raises(InvalidMessage):
        other.accept([("Connection", "close")])
    other.accept()
    with pytest.raises(IllegalInState, match="accepted"):
        other.reject(403)
    with pytest.raises(IllegalInState, match="pings"):
        other.ping()
    with pytest.raises(TypeError):
        one.receive_message(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidMessage):
        one.close(1005)
    other.close()
    with pytest.raises(ConnectionClosing):
        other.accept()


def test_a_setup_that_is_refused_here() -> None:
    with pytest.raises(MessageTooLarge):
        client(limits=Limits(max_send=4))


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
    assert (error.which, machine.state) == (Deadline.OPEN, LinkState.CLOSED)
    assert machine.next_deadline() is None


def test_nobody_answers_a_request() -> None:
    machine = MessageConnection.server(timeouts=Timeouts(open=3))
    machine.requested("/")
    machine.advance(10)
    machine.advance(13)
    assert actions(machine) == [RefuseUpgrade(status=503)]
    assert names(machine) == ["UpgradeRequested", "Failed", "ConnectionClosed"]


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
    assert machine.next_event() is Need.DATA


# --- the tap ----------------------------------------------------------------------------------------------------


def test_a_tap_sees_everything() -> None:
    seen: list[Any] = []

    def tap(at: float | None, of_client: bool, what: object) -> None:
        seen.append((of_client, what if isinstance(what, (bytes, str)) else type(what).__name__))

    machine = client(tap=tap)
    machine.connected()
    machine.receive_message(READY)
    list(machine.events())
    assert seen == [
        (True, '{"setup":{"model":"models/test"}}'),
        (False, "Connected"),
        (False, READY),
    ]
    seen.clear()
    server = serving(tap=tap)
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
