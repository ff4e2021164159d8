"""How connections end: the closing handshake, its codes and reasons, and every way around it (RFC 6455 section 7)."""

from __future__ import annotations

import errno
import ssl

import pytest

from core.websocket.harness import (
    TEXT,
    close_frame,
    new_client,
    new_server,
    open_client,
    open_link,
    open_server,
    outcome,
    parse,
    pull,
    raw,
)
from live_protocol.close_info import CloseInfo, Initiator
from live_protocol.errors import (
    ClientClosed,
    ConnectionClosing,
    DeadlineExpired,
    FrameViolation,
    InvalidJson,
    InvalidMessage,
    LiveProtocolError,
    RemoteProtocolError,
    ServerClosed,
    TransportFailed,
)
from live_protocol.events import ConnectionClosed, ConnectionFailed
from live_protocol.states import ConnectionState
from live_protocol.timing import Deadline
from live_protocol.websocket import HandshakeRequest, WebSocketLink

REQUEST = HandshakeRequest(host="h", target="/")
ROLES = pytest.mark.parametrize("role", ["client", "server"])


@ROLES
def test_a_close_that_the_peer_answers(role: str) -> None:
    link = open_link(role)
    link.close(1001, "bye")
    assert (link.state, link.pending) == (ConnectionState.CLOSING, False)
    assert parse(link.data_to_send()) == [(0x88, b"\x03\xe9bye")]
    assert link.wants.read
    assert not link.wants.half_close
    link.receive_data(raw(TEXT, b"still coming", to=role) + close_frame(1001, to=role))
    events, error, info = outcome(link)
    assert events == ["still coming"]
    assert error is None
    assert info == CloseInfo(code=1001, reason="bye", clean=True, initiator=Initiator.LOCAL)
    assert link.state is ConnectionState.CLOSING
    # RFC 6455 section 7.1.1: the server closes the TCP connection, the client waits for that
    assert (link.wants.close, link.wants.read) == ((False, True) if role == "client" else (True, False))
    link.receive_eof()
    assert (link.state, link.wants.close, link.wants.read, link.pending) == (ConnectionState.CLOSED, True, False, False)


@ROLES
def test_a_close_of_the_peer_is_echoed(role: str) -> None:
    link = open_link(role)
    link.receive_data(close_frame(1000, "ok", to=role))
    _, error, info = outcome(link)
    assert error is None
    assert info == CloseInfo(code=1000, reason="ok", clean=True, initiator=Initiator.REMOTE)
    assert (link.wants.write, link.wants.close) == (True, False)
    assert parse(link.data_to_send()) == [(0x88, b"\x03\xe8ok")]
    assert link.wants.close is (role == "server")


@ROLES
@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999])
def test_a_close_with_another_code_is_the_peers_verdict(role: str, code: int) -> None:
    link = open_link(role)
    link.receive_data(raw(TEXT, b"before", to=role) + close_frame(code, "You exceeded your current quota", to=role))
    events, error, info = outcome(link)
    assert events == ["before"]
    assert isinstance(error, ServerClosed if role == "client" else ClientClosed)
    assert (error.code, error.reason) == (info.code, info.reason) == (code, "You exceeded your current quota")
    assert (info.clean, info.retryable, info.initiator) == (False, False, Initiator.REMOTE)
    assert "quota" in info.hint
    assert error.hint == info.hint


@pytest.mark.parametrize(("code", "clean"), [(1000, True), (1001, True), (4000, False), (1011, False)])
def test_an_echo_of_our_own_code_is_no_verdict(code: int, clean: bool) -> None:
    link = open_client()
    link.close(code, "because")
    link.receive_data(close_frame(code))
    _, error, info = outcome(link)
    assert error is None
    assert info == CloseInfo(code=code, reason="because", clean=clean, initiator=Initiator.LOCAL)


def test_closes_that_cross_each_other_keep_the_peers_verdict() -> None:
    link = open_client()
    link.close(1000, "bye")
    link.receive_data(close_frame(1011, "Internal error"))
    _, error, info = outcome(link)
    assert isinstance(error, ServerClosed)
    assert (info.code, info.reason, info.clean, info.initiator) == (1011, "Internal error", False, Initiator.LOCAL)
    assert info.retryable
    assert [first for first, _ in parse(link.data_to_send())] == [0x88]


def test_closes_that_cross_each_other_in_peace_are_clean() -> None:
    link = open_client()
    link.close(1000, "bye")
    link.receive_data(close_frame(1001, "restart"))
    _, error, info = outcome(link)
    assert (error, info.code, info.reason, info.clean, info.hint) == (None, 1001, "restart", True, "")


@ROLES
@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
)
def test_codes_that_may_be_sent(role: str, code: int) -> None:
    link = open_link(role)
    link.close(code)
    assert parse(link.data_to_send()) == [(0x88, code.to_bytes(2, "big"))]


@pytest.mark.parametrize(
    "code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535, 99999, True, 1000.0, "1000", None]
)
def test_codes_that_may_not(code: object) -> None:
    """W22, W23, A6."""
    for link in (open_client(), new_client(), new_server()):
        state = link.state
        with pytest.raises(InvalidMessage):
            link.close(code)  # type: ignore[arg-type]
        assert (link.state, link.buffered_out) == (state, 0)


@pytest.mark.parametrize("reason", ["x" * 124, "€" * 42, "\ud800", b"bytes", None])
def test_reasons_that_cannot_be_sent(reason: object) -> None:
    """W22, W23."""
    link = open_client()
    with pytest.raises(InvalidMessage):
        link.close(1000, reason)  # type: ignore[arg-type]
    assert (link.state, link.buffered_out) == (ConnectionState.OPEN, 0)


@pytest.mark.parametrize("reason", ["", "x" * 122, "x" * 123, "€" * 41])
def test_reasons_up_to_123_bytes_are_sent_whole(reason: str) -> None:
    link = open_client()
    link.close(1000, reason)
    assert parse(link.data_to_send()) == [(0x88, b"\x03\xe8" + reason.encode())]


@ROLES
def test_closing_again_changes_nothing(role: str) -> None:
    link = open_link(role)
    link.close(1000, "first")
    link.close(1001, "second")
    assert parse(link.data_to_send()) == [(0x88, b"\x03\xe8first")]
    link.receive_data(close_frame(1000, to=role))
    link.close()
    link.receive_eof()
    link.close()
    assert [type(event) for event in pull(link)] == [ConnectionClosed]
    assert link.data_to_send() == b""


def test_giving_up_while_connecting_sends_nothing_and_is_no_failure() -> None:
    link = WebSocketLink.client(REQUEST)
    link.close()
    assert link.data_to_send() == b""
    events, error, info = outcome(link)
    assert (events, error) == ([], None)
    assert info == CloseInfo(code=1006, clean=False, initiator=Initiator.LOCAL)
    assert (link.state, link.wants.close, link.wants.half_close) == (ConnectionState.CLOSING, True, False)


def test_a_server_that_gives_up_while_connecting_says_503() -> None:
    link = new_server()
    link.close()
    assert link.data_to_send().startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    _, error, info = outcome(link)
    assert error is None
    assert info.initiator is Initiator.LOCAL
    assert link.wants.close


@ROLES
def test_the_end_of_the_stream_without_a_close_frame(role: str) -> None:
    link = open_link(role)
    link.send_text(b"never taken")
    link.receive_eof()
    _, error, info = outcome(link)
    assert isinstance(error, TransportFailed)
    assert str(error) == "the stream ended without a close frame"
    assert (info.code, info.clean, info.initiator, info.retryable) == (1006, False, Initiator.TRANSPORT, True)
    assert (link.state, link.wants.close, link.buffered_out) == (ConnectionState.CLOSED, True, 0)


@ROLES
def test_the_end_of_the_stream_before_the_answer_to_our_close(role: str) -> None:
    link = open_link(role)
    link.close(1000, "bye")
    link.data_to_send()
    link.receive_eof()
    _, error, info = outcome(link)
    assert str(error) == "the stream ended before the peer answered our close frame"
    assert (info.code, info.clean, info.initiator) == (1006, False, Initiator.LOCAL)


@ROLES
def test_the_answer_to_a_close_is_still_written_after_the_end_of_the_stream(role: str) -> None:
    link = open_link(role)
    link.receive_data(close_frame(1000, to=role))
    link.receive_eof()
    assert link.state is ConnectionState.CLOSED
    assert (link.wants.write, link.wants.close) == (True, False)
    assert parse(link.data_to_send()) == [(0x88, b"\x03\xe8")]
    assert (link.wants.write, link.wants.close) == (False, True)


@ROLES
def test_a_broken_transport_takes_nothing_any_more(role: str) -> None:
    link = open_link(role)
    link.receive_data(close_frame(1000, to=role))
    link.transport_failed("reset")
    assert (link.state, link.buffered_out, link.wants.close) == (ConnectionState.CLOSED, 0, True)
    assert outcome(link)[1] is None


def test_a_broken_transport_after_the_end_drops_what_was_to_be_written() -> None:
    link = open_client()
    link.receive_data(close_frame(1000))
    link.receive_eof()
    link.transport_failed(BrokenPipeError())
    assert (link.buffered_out, link.wants.close) == (0, True)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionResetError(errno.ECONNRESET, "SECRET"), "ConnectionResetError: Connection reset by peer"),
        (OSError("SECRET"), "OSError"),
        (OSError(-2, "SECRET"), "OSError"),
        (ssl.SSLCertVerificationError(1, "SECRET"), "SSLCertVerificationError"),
        (ssl.SSLError(1, "SECRET"), "SSLError"),
        (ValueError("SECRET"), "ValueError"),
        ("the cable was cut", "the cable was cut"),
    ],
)
def test_of_a_transport_error_only_its_kind_is_kept(error: BaseException | str, text: str) -> None:
    link = open_client()
    link.transport_failed(error)
    _, failed, info = outcome(link)
    assert isinstance(failed, TransportFailed)
    assert str(failed) == f"the transport failed ({text}) without a close frame"
    assert info.initiator is Initiator.TRANSPORT
    assert "SECRET" not in repr(info)
    assert failed.__cause__ is None


FAULTS: list[tuple[LiveProtocolError, int, str]] = [
    (FrameViolation("why"), 1002, "why"),
    (InvalidJson("why"), 1007, "Request contains an invalid argument."),
    (RemoteProtocolError("x" * 200), 1002, "x" * 123),
    (RemoteProtocolError("x" * 121 + "€", close_code=1008), 1008, "x" * 121),
    (RemoteProtocolError("x" * 120 + "€", close_code=1008), 1008, "x" * 120 + "€"),
    (RemoteProtocolError("\ud800"), 1002, "?"),
    (DeadlineExpired(Deadline.SETUP, 30, "nothing came"), 1011, "the setup deadline expired after 30 s: nothing came"),
    (LiveProtocolError("internal"), 1011, ""),
]


@ROLES
@pytest.mark.parametrize(("error", "code", "reason"), FAULTS, ids=lambda value: str(value)[:20])
def test_a_fault_found_above_is_said_to_the_peer(role: str, error: LiveProtocolError, code: int, reason: str) -> None:
    link = open_link(role)
    link.receive_data(raw(TEXT, b"bad", to=role) + raw(TEXT, b"behind it", to=role))
    assert link.next_event() == "bad"
    link.fail(error)
    events, failed, info = outcome(link)
    assert (events, failed) == ([], error)
    assert (info.code, info.reason, info.clean, info.initiator) == (code, reason, False, Initiator.LOCAL)
    assert link.buffered_in == 0
    assert parse(link.data_to_send()) == [(0x88, code.to_bytes(2, "big") + reason.encode())]
    assert (link.wants.close, link.wants.half_close, link.state) == (True, True, ConnectionState.CLOSING)


def test_a_fault_found_above_after_our_close_sends_no_second_frame() -> None:
    link = open_client()
    link.close(1000)
    link.receive_data(raw(TEXT, b"bad"))
    link.fail(InvalidJson("why"))
    _, _, info = outcome(link)
    assert (info.code, info.initiator) == (1006, Initiator.LOCAL)
    assert parse(link.data_to_send()) == [(0x88, b"\x03\xe8")]
    assert link.wants.close


def test_a_fault_found_above_after_the_peers_close_keeps_the_facts_of_the_wire() -> None:
    link = open_client()
    link.receive_data(raw(TEXT, b"bad") + raw(TEXT, b"more") + close_frame(1001, "bye"))
    assert link.next_event() == "bad"
    error = InvalidJson("why")
    link.fail(error)
    events, failed, info = outcome(link)
    assert (events, failed) == ([], error)
    assert (info.code, info.reason, info.clean, info.initiator) == (1001, "bye", False, Initiator.REMOTE)


def test_a_fault_in_the_very_last_message_still_counts() -> None:
    link = open_client()
    link.receive_data(raw(TEXT, b"bad") + close_frame(1000))
    assert link.next_event() == "bad"
    link.fail(InvalidJson("why"))
    assert isinstance(outcome(link)[1], InvalidJson)


def test_a_fault_found_above_replaces_a_later_one_of_the_wire() -> None:
    link = open_client()
    link.receive_data(raw(TEXT, b"bad") + raw(3))
    assert link.next_event() == "bad"
    link.fail(InvalidJson("why"))
    _, failed, info = outcome(link)
    assert isinstance(failed, InvalidJson)
    assert info.code == 1002


def test_a_fault_found_above_comes_too_late_once_the_end_was_told() -> None:
    link = open_client()
    link.receive_data(raw(3))
    failed = link.next_event()
    assert isinstance(failed, ConnectionFailed)
    link.fail(InvalidJson("late"))
    closed = link.next_event()
    assert isinstance(closed, ConnectionClosed)
    assert closed.info.error is failed.error
    link.fail(InvalidJson("late"))
    assert link.next_event() is None


def test_a_fault_found_above_while_connecting() -> None:
    client = WebSocketLink.client(REQUEST)
    client.fail(LiveProtocolError("no"))
    assert client.data_to_send() == b""
    server = new_server()
    server.fail(LiveProtocolError("no"))
    assert server.data_to_send().startswith(b"HTTP/1.1 500 ")
    for link in (client, server):
        _, error, info = outcome(link)
        assert str(error) == "no"
        assert info.code == 1006


def test_the_state_right_after_a_close_frame_was_read_refuses_to_send() -> None:
    """A5."""
    link = open_client()
    link.receive_data(close_frame(1000))
    with pytest.raises(ConnectionClosing):
        link.send_text(b"x")


def test_who_we_are_is_all_that_repr_tells() -> None:
    assert repr(new_client()) == "<WebSocketLink client CONNECTING>"
    assert repr(open_server()) == "<WebSocketLink server OPEN>"
