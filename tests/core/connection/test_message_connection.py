"""MessageConnection: the protocol over messages, driven by hand. No library, no clock, no loop."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from transports.bridges.messages import GEMINI, READY, VERTEX, actions, client, end, names, opened, serving

from live_protocol import (
    AlreadyClosed,
    ClientClosed,
    Connected,
    ConnectionClosed,
    ConnectionClosing,
    ConnectionFailed,
    ConnectionState,
    FrameViolation,
    HandshakeFailed,
    IllegalInState,
    InvalidMessage,
    Limits,
    LiveProtocolError,
    LiveServerMessage,
    MessageTooLarge,
    Phase,
    RealtimeInputReceived,
    SchemaMismatch,
    ServerClosed,
    SetupComplete,
    SetupReceived,
    TransportFailed,
    Undecodable,
    UpgradeRejected,
    UpgradeRequested,
)
from live_protocol.close_info import Initiator
from live_protocol.connection import AcceptUpgrade, CloseWebSocket, MessageConnection, RefuseUpgrade
from live_protocol.messages import Backend

# --- the way a session goes -------------------------------------------------------------------------------------


def test_client() -> None:
    machine = client()
    assert (machine.state, machine.phase) == (ConnectionState.CONNECTING, Phase.NEW)
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
    assert one.next_event() is None


# --- how it ends ------------------------------------------------------------------------------------------------


def test_the_server_says_why() -> None:
    machine = opened()
    machine.receive_message('{"serverContent":{"modelTurn":{"parts":[{"text":"x"}]}}}')
    machine.closed(1008, "API key not valid")
    machine.closed(1000)
    assert names(machine) == ["TurnStarted", "TextChunk", "ConnectionFailed", "ConnectionClosed"]
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
    assert machine.state is ConnectionState.CLOSED
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
    assert names(machine) == ["TurnStarted", "TextChunk", "ConnectionFailed", "ConnectionClosed"], (
        "what came before comes first"
    )
    info = machine.close_info
    assert info is not None
    assert (info.code, info.error, info.initiator) == (1002, error, Initiator.LOCAL)


def test_the_session_finds_a_fault() -> None:
    machine = opened(strict=True)
    machine.receive_message(b"nonsense")
    machine.receive_message(b'{"serverContent":{"turnComplete":true}}')
    assert isinstance(machine.next_event(), ConnectionFailed)
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
    assert isinstance(machine.next_event(), ConnectionFailed)
    info = end(machine).info
    assert (info.code, info.clean) == (1000, False)
    assert not isinstance(info.error, ServerClosed)
    both = opened(strict=True)
    both.receive_message(b"nonsense")
    both.closed(1008, "first")
    assert names(both) == ["ConnectionFailed", "ConnectionClosed"]


def test_a_fault_that_is_no_news() -> None:
    """Once `ConnectionFailed` was given, a fault of the layer above changes nothing."""
    machine = opened(strict=True)
    machine.closed(1008)
    assert isinstance(machine.next_event(), ConnectionFailed)
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
    assert machine.next_event() is None


@pytest.mark.parametrize(("status", "again"), [(429, True), (401, False)])
def test_the_server_refused_the_upgrade(status: int, again: bool) -> None:
    machine = client(limits=Limits(max_body=4))
    machine.advance(0)
    machine.rejected(status, [("Retry-After", "7")], b"too long")
    rejected, failed, closed = machine.events()
    assert rejected == UpgradeRejected(status=status, headers=(("retry-after", "7"),), body=b"too ")
    assert isinstance(failed, ConnectionFailed)
    assert isinstance(failed.error, HandshakeFailed)
    assert (failed.error.status, failed.error.body) == (status, b"too ")
    assert isinstance(closed, ConnectionClosed)
    assert (closed.info.initiator, closed.info.code, closed.info.retryable) == (Initiator.REMOTE, 1006, again)
    assert (machine.state, machine.wants.close, actions(machine)) == (ConnectionState.CLOSED, True, [])
    for late in (machine.connected, lambda: machine.rejected(400)):
        with pytest.raises(AlreadyClosed):
            late()


def test_a_refusal_that_cannot_be() -> None:
    with pytest.raises(IllegalInState):
        opened().rejected(400)
    with pytest.raises(IllegalInState):
        MessageConnection.server().rejected(400)


def test_what_was_agreed_on_is_told() -> None:
    machine = client()
    machine.connected([("X-One", "1")], compression=True)
    assert next(machine.events()) == Connected(headers=(("x-one", "1"),), compression=True)


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
    dialing = client()
    dialing.close()
    assert dialing.wants.close
    with pytest.raises(AlreadyClosed):
        dialing.connected()


def test_a_fault_before_the_answer() -> None:
    machine = MessageConnection.server()
    machine.requested("/")
    machine.fail(FrameViolation("bytes before the answer"))
    assert actions(machine) == [RefuseUpgrade(status=500)]
    assert machine.state is ConnectionState.CLOSED
    assert names(machine) == ["UpgradeRequested", "ConnectionFailed", "ConnectionClosed"]


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
