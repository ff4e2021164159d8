"""Deadlines on a clock that the test moves."""

from __future__ import annotations

import pytest

from core.websocket.harness import (
    BINARY,
    GOOD_REQUEST,
    PONG,
    close_frame,
    new_client,
    open_client,
    open_link,
    open_server,
    outcome,
    parse,
    pull,
    raw,
)
from live_protocol.close_info import Initiator
from live_protocol.errors import DeadlineExpired
from live_protocol.events import PongReceived
from live_protocol.limits import Limits
from live_protocol.states import ConnectionState
from live_protocol.timing import Deadline, Timeouts
from live_protocol.websocket import HandshakeRequest, WebSocketLink

ROLES = pytest.mark.parametrize("role", ["client", "server"])
T = Timeouts(open=10, ping_interval=20, ping_timeout=60, close=5)


def pings(link: WebSocketLink) -> list[bytes]:
    return [payload for first, payload in parse(link.data_to_send()) if first == 0x89]


def test_a_handshake_without_an_answer_expires() -> None:
    link = new_client(timeouts=T)
    assert link.next_deadline() is None
    link.advance(100)
    assert link.next_deadline() == 110
    link.advance(109.999)
    assert not link.pending
    link.advance(110)
    _, error, info = outcome(link)
    assert isinstance(error, DeadlineExpired)
    assert (error.which, error.after) == (Deadline.OPEN, 10)
    assert (info.code, info.initiator, info.retryable) == (1006, Initiator.LOCAL, True)
    assert link.wants.close
    assert link.next_deadline() == 115
    link.advance(115)
    assert link.state is ConnectionState.CLOSED
    assert link.next_deadline() is None


def test_a_request_that_was_never_taken_is_not_sent_after_the_deadline() -> None:
    link = WebSocketLink.client(HandshakeRequest(host="h", target="/"), timeouts=T)
    link.advance(0)
    link.advance(10)
    assert (link.data_to_send(), link.wants.close) == (b"", True)


def test_an_ssh_banner_that_drips_or_a_mute_server_runs_into_the_deadline() -> None:
    """W36."""
    link = new_client(timeouts=T)
    link.advance(0)
    link.receive_data(b"HTTP/1")
    link.advance(10)
    assert isinstance(outcome(link)[1], DeadlineExpired)


@ROLES
def test_once_open_the_open_deadline_is_gone(role: str) -> None:
    link = open_link(role, timeouts=T, now=0)
    assert link.next_deadline() == 20


@ROLES
def test_silence_is_asked_about_and_any_byte_is_an_answer(role: str) -> None:
    link = open_link(role, timeouts=T, now=0)
    link.advance(20)
    assert pings(link) == [b"\0\0\0\1"]
    assert link.next_deadline() == 40  # 80 for the pong
    link.advance(30)
    link.receive_data(b"\x82")  # half a header is life enough
    link.advance(40)
    assert pings(link) == []
    assert link.next_deadline() == 50
    link.advance(50)
    assert pings(link) == [b"\0\0\0\2"]
    assert link.state is ConnectionState.OPEN


def test_received_bytes_push_the_ping_back_without_touching_the_deadline() -> None:
    link = open_client(timeouts=T, now=0)
    for second in range(1, 200):
        link.advance(second)
        link.receive_data(raw(BINARY, b"x"))
        assert link.buffered_out == 0
    assert link.next_deadline() <= 219  # never too late
    link.advance(218)
    assert pings(link) == []
    link.advance(219)
    assert pings(link) == [b"\0\0\0\1"]


@ROLES
def test_a_ping_without_an_answer_ends_the_connection(role: str) -> None:
    link = open_link(role, timeouts=T, now=0)
    link.advance(20)
    link.data_to_send()
    link.advance(79)
    assert link.state is ConnectionState.OPEN
    assert link.data_to_send() == b""  # one question at a time
    link.advance(80)
    _, error, info = outcome(link)
    assert isinstance(error, DeadlineExpired)
    assert (error.which, error.after) == (Deadline.PONG, 60)
    assert (info.code, info.reason, info.initiator) == (1011, "keepalive ping timeout", Initiator.LOCAL)
    assert info.retryable
    assert parse(link.data_to_send()) == [(0x88, b"\x03\xf3keepalive ping timeout")]
    assert link.wants.close


def test_both_deadlines_at_once_end_the_connection_once() -> None:
    link = open_client(timeouts=Timeouts(ping_interval=20, ping_timeout=20), now=0)
    link.advance(20)
    link.data_to_send()
    link.advance(1000)
    assert isinstance(outcome(link)[1], DeadlineExpired)
    assert [first for first, _ in parse(link.data_to_send())] == [0x88]


def test_pong_before_ping_in_one_step_asks_nothing_more() -> None:
    link = open_client(timeouts=Timeouts(ping_interval=20, ping_timeout=5), now=0)
    link.advance(20)
    link.data_to_send()
    link.advance(45)  # the pong was due at 25, the next look at the silence at 40
    assert isinstance(outcome(link)[1], DeadlineExpired)
    assert link.next_deadline() == 50


def test_the_clock_of_a_pong_starts_when_the_ping_is_taken() -> None:
    link = open_client(timeouts=T, now=0)
    link.advance(20)
    link.advance(1000)  # the transport did not take it
    assert link.state is ConnectionState.OPEN
    assert pings(link) == [b"\0\0\0\1"]
    link.advance(1059)
    assert link.state is ConnectionState.OPEN
    link.advance(1060)
    assert link.state is ConnectionState.CLOSING


def test_any_byte_stops_the_clock_of_a_pong() -> None:
    link = open_client(timeouts=T, now=0)
    link.ping(b"mine")
    link.data_to_send()
    link.advance(15)
    link.receive_data(raw(BINARY, b"audio"))
    link.advance(19)
    assert link.next_deadline() == 20
    link.advance(61)
    assert link.state is ConnectionState.OPEN


@ROLES
def test_the_round_trip_counts_from_the_taking(role: str) -> None:
    link = open_link(role, timeouts=T, now=0)
    link.ping(b"a")
    link.advance(5)
    link.data_to_send()
    link.advance(5.25)
    link.receive_data(raw(PONG, b"a", to=role))
    assert pull(link) == [PongReceived(payload=b"a", rtt=0.25)]
    assert link.latency == 0.25
    link.receive_data(raw(PONG, b"a", to=role))
    assert pull(link) == [PongReceived(payload=b"a")]
    assert link.latency == 0.25


def test_a_pong_answers_every_ping_before_it() -> None:
    link = open_client(timeouts=T, now=0)
    for second, payload in enumerate((b"a", b"b", b"c")):
        link.advance(second)
        link.ping(payload)
        link.data_to_send()
    link.advance(10)
    link.receive_data(raw(PONG, b"b") + raw(PONG, b"a") + raw(PONG, b"c"))
    assert [event.rtt for event in pull(link)] == [9, None, 8]


def test_of_very_many_pings_the_oldest_are_forgotten() -> None:
    link = open_client(timeouts=T, now=0)
    for number in range(100):
        link.ping(str(number).encode())
    link.data_to_send()
    link.receive_data(raw(PONG, b"0") + raw(PONG, b"99"))
    assert [event.rtt for event in pull(link)] == [None, 0]


def test_without_a_clock_there_is_no_round_trip_and_no_deadline() -> None:
    link = open_client(timeouts=T)
    link.ping(b"a")
    link.data_to_send()
    assert link.next_deadline() is None
    link.receive_data(raw(PONG, b"a"))
    assert pull(link) == [PongReceived(payload=b"a")]
    link.advance(7)
    assert link.next_deadline() == 27
    link.advance(27)
    assert pings(link) == [b"\0\0\0\1"]


def test_a_clock_that_steps_back_revives_nothing() -> None:
    link = open_client(timeouts=T, now=100)
    link.advance(50)
    link.receive_data(raw(BINARY, b"x"))
    link.advance(119.9)
    assert pings(link) == []
    link.advance(120)
    assert pings(link) == [b"\0\0\0\1"]


def test_while_nothing_is_read_no_pong_is_waited_for() -> None:
    link = open_client(timeouts=T, now=0, limits=Limits(max_buffered_in=100))
    link.receive_data(raw(BINARY, bytes(101)))
    assert not link.wants.read
    link.advance(20)
    assert pings(link) == [b"\0\0\0\1"]
    link.advance(500)
    assert link.state is ConnectionState.OPEN
    link.next_event()
    assert link.wants.read
    link.advance(559)
    assert link.state is ConnectionState.OPEN
    link.advance(560)
    _, error, _ = outcome(link)
    assert isinstance(error, DeadlineExpired)
    assert error.which is Deadline.PONG


def test_reading_that_goes_on_without_a_ping_under_way_waits_for_nothing() -> None:
    link = open_client(timeouts=T, now=0, limits=Limits(max_buffered_in=100))
    link.receive_data(raw(BINARY, bytes(101)))
    link.next_event()
    assert link.next_deadline() == 20


def test_reading_that_goes_on_while_closing_waits_for_no_pong() -> None:
    link = open_client(timeouts=T, now=0, limits=Limits(max_buffered_in=100))
    link.receive_data(raw(BINARY, bytes(101)))
    link.ping(b"x")
    link.close()
    link.data_to_send()
    link.next_event()
    assert link.next_deadline() == 5


@ROLES
def test_deadlines_can_be_switched_off(role: str) -> None:
    never = Timeouts(open=None, ping_interval=None, ping_timeout=None, close=None)
    link = open_link(role, timeouts=never, now=0)
    link.ping(b"x")
    link.data_to_send()
    assert link.next_deadline() is None
    link.close()
    assert link.next_deadline() is None
    link.advance(1e9)
    assert link.state is ConnectionState.CLOSING


@ROLES
def test_a_close_that_is_never_answered_ends_by_itself(role: str) -> None:
    link = open_link(role, timeouts=T, now=0)
    link.close(1000, "bye")
    link.data_to_send()
    assert link.next_deadline() == 5
    link.receive_data(raw(BINARY, b"chatter", to=role))
    link.advance(5)
    events, error, info = outcome(link)
    assert events == [b"chatter"]
    assert isinstance(error, DeadlineExpired)
    assert error.which is Deadline.CLOSE
    assert (info.code, info.clean, info.initiator) == (1006, False, Initiator.LOCAL)
    assert (link.state, link.wants.close, link.wants.read) == (ConnectionState.CLOSED, True, False)
    assert link.next_deadline() is None


def test_a_server_that_does_not_hang_up_is_hung_up_on() -> None:
    link = open_client(timeouts=T, now=0)
    link.receive_data(close_frame(1000))
    link.data_to_send()
    assert outcome(link)[1] is None
    assert (link.wants.read, link.wants.close) == (True, False)
    link.advance(5)
    assert (link.state, link.wants.read, link.wants.close) == (ConnectionState.CLOSED, False, True)
    assert not link.pending


def test_last_words_that_nobody_takes_are_dropped_at_the_close_deadline() -> None:
    link = open_server(timeouts=T, now=0)
    link.send_binary(bytes(1000))
    link.receive_data(close_frame(1000, to="server"))
    link.receive_eof()
    assert (link.state, link.wants.write) == (ConnectionState.CLOSED, True)
    assert link.next_deadline() == 5
    link.advance(5)
    assert (link.wants.write, link.wants.close, link.next_deadline()) == (False, True, None)


def test_last_words_that_were_taken_leave_no_deadline() -> None:
    link = open_server(timeouts=T, now=0)
    link.receive_data(close_frame(1000, to="server"))
    link.receive_eof()
    link.data_to_send()
    assert link.next_deadline() is None


def test_a_server_times_the_answer_of_its_application_too() -> None:
    link = WebSocketLink.server(timeouts=T)
    link.advance(0)
    link.receive_data(GOOD_REQUEST)
    link.advance(9)
    link.accept()
    assert link.state is ConnectionState.OPEN
    link.advance(10)
    assert link.state is ConnectionState.OPEN
    assert link.next_deadline() == 29


def test_rounding_on_a_large_clock_ends_in_a_ping_not_in_a_loop() -> None:
    now = 1_763_000_000.123456
    link = open_client(timeouts=Timeouts(ping_interval=0.1), now=now)
    for _ in range(50):
        link.advance(now)
        link.receive_data(raw(BINARY, b"x"))
        now += 0.0137
    sent: list[bytes] = []
    for _ in range(5):
        link.advance(link.next_deadline() or 0)
        sent += pings(link)
        if sent:
            break
    assert sent == [b"\0\0\0\1"]
