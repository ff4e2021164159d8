"""Threads: a receiver that reads the socket itself, and how the I/O thread gets the socket back."""

from __future__ import annotations

import contextlib
import gc
import json
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support import tls
from support.patience import PATIENCE, at_once
from transports.runtimes.kit.blocking import (
    Running,
    fresh,  # noqa: F401 - a fixture
    open_to,
    release,
    text,
)
from transports.runtimes.kit.kit_sync import uncaught
from transports.runtimes.kit.peer import CLOSE, PING, PONG, TEXT, Conn, Gone, Peer

from live_protocol import LiveProtocolError, Timeouts, TransportFailed
from live_protocol.events import ConnectionClosed, PingReceived, StallKind, StallSuspected, TextChunk
from live_transports.sync import LiveClientSession, WaitTimeout
from live_transports.sync.sockets import READ, WOKEN, WRITE, SelectorWaker, Stream, Watch

pytestmark = pytest.mark.usefixtures("fresh")

both = pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])


def server_tls(secure: bool) -> Any:
    return tls.server_context() if secure else None


def until(condition: Callable[[], object]) -> None:
    patience = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.001)


def lent(session: LiveClientSession) -> bool:
    """Whether a receiver waits for the socket that it was lent."""
    return session._driver._polling and session._driver._borrower != 0


class Readers:
    """The threads that read the sockets of sessions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.idents: list[int] = []
        receive_now = Stream.receive_now

        def receive(stream: Stream) -> bytes:
            self.idents.append(threading.get_ident())
            return receive_now(stream)

        monkeypatch.setattr(Stream, "receive_now", receive)


def chatty(conn: Conn) -> None:
    """Says something, and then what it is asked for, one by one."""
    conn.open()
    conn.say(text("begin"))
    with contextlib.suppress(Gone):
        while (frame := conn.read_frame())[0] != CLOSE:
            if frame[0] == TEXT:
                conn.say(text(json.loads(frame[1])["realtimeInput"]["text"]))
        conn.frame(CLOSE, frame[1])


def begin(conn: Conn) -> None:
    conn.say(text("begin"))
    assert conn.read_frame()[0] == TEXT
    conn.say(text("more"))


def says(session: LiveClientSession, timeout: float | None = None) -> str:
    while True:
        event = session.next_event(timeout)
        if type(event) is TextChunk:
            return event.text


def begun(session: LiveClientSession, then: Callable[[], Any]) -> Running:
    """A thread that has received the first message, and is lent the socket while it waits for the next."""

    def receive() -> Any:
        assert says(session) == "begin"
        return then()

    running = Running(receive)
    until(lambda: session._driver._candidate or lent(session))
    session.send_realtime_input(text="more")
    return running


# --- who reads --------------------------------------------------------------------------------------------------


@both
def test_a_receiver_reads_the_socket_itself(secure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(chatty, tls=server_tls(secure)) as peer, open_to(peer) as session:

        def receive() -> None:
            assert says(session) == "begin"
            for number in range(50):
                session.send_realtime_input(text=str(number))
                assert says(session) == str(number)
                if number == 9:
                    readers.idents.clear()

        readers = Readers(monkeypatch)
        receiver = Running(receive).join()
        assert receiver.error is None
        # Rarely the I/O thread looks just when this thread has an event in hand, and takes the socket for one message.
        assert readers.idents.count(receiver.thread.ident or 0) > 30


def test_the_main_thread_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler that raises there would lose what was read."""
    readers = Readers(monkeypatch)
    with Peer(chatty) as peer, open_to(peer) as session:
        assert says(session) == "begin"
        for number in range(20):
            session.send_realtime_input(text=str(number))
            assert says(session) == str(number)
        assert threading.get_ident() not in readers.idents
        receiver = Running(says, session)
        session.send_realtime_input(text="other")
        assert receiver.join().value == "other"
        assert threading.get_ident() not in readers.idents


@both
def test_receivers_take_turns(secure: bool) -> None:
    with Peer(chatty, tls=server_tls(secure)) as peer, open_to(peer) as session:
        assert says(session) == "begin"
        for number in range(30):
            receiver = Running(says, session) if number % 3 else None
            session.send_realtime_input(text=str(number))
            assert (receiver.join().value if receiver else says(session)) == str(number)


# --- the I/O thread takes the socket back -----------------------------------------------------------------------


@both
def test_pings_are_answered_although_the_receiver_has_gone(secure: bool) -> None:
    def script(conn: Conn) -> float:
        conn.open()
        begin(conn)
        release.wait(PATIENCE)
        began = time.monotonic()
        conn.frame(PING, b"?")
        while conn.read_frame()[0] != PONG:
            pass
        took = time.monotonic() - began
        conn.farewell()
        return took

    with Peer(script, tls=server_tls(secure)) as peer:
        with open_to(peer) as session:
            assert begun(session, lambda: says(session)).join().value == "more"
            release.set()
            while type(session.next_event(PATIENCE)) is not PingReceived:
                pass
        assert peer.join()[0] < 5


@both
@pytest.mark.parametrize("how", ["close", "abort", "reset", "eof"])
def test_the_end_while_the_socket_is_lent(how: str, secure: bool) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        begin(conn)
        release.wait(PATIENCE)
        if how in ("reset", "eof"):
            with contextlib.suppress(OSError, Gone):
                getattr(conn, how)()
        with contextlib.suppress(OSError, Gone):
            conn.until_gone()

    timeouts = Timeouts(close=0.2 if how == "close" else 5)
    with Peer(script, tls=server_tls(secure)) as peer:
        with open_to(peer, timeouts=timeouts) as session:
            receiver = begun(session, lambda: [type(event) for event in session][-1])
            until(lambda: lent(session))
            with at_once():
                if how in ("close", "abort"):
                    getattr(session, how)()
                else:
                    release.set()
                receiver.join()
            assert isinstance(receiver.error, LiveProtocolError) or receiver.value is ConnectionClosed
        release.set()


def test_a_clean_close_while_the_socket_is_lent() -> None:
    with Peer(chatty) as peer:
        session = open_to(peer)
        receiver = begun(session, lambda: list(session))
        until(lambda: lent(session))
        with at_once():
            session.close()
        assert type(receiver.join().value[-1]) is ConnectionClosed
        assert session.close_info is not None
        assert session.close_info.clean


@both
def test_a_full_transport_while_the_socket_is_lent(secure: bool) -> None:
    count = 40

    def script(conn: Conn) -> int:
        conn.open()
        begin(conn)
        release.wait(PATIENCE)
        size = 0
        while (frame := conn.read_frame())[0] != CLOSE:
            size += len(frame[1])
            if size > count * 100_000:
                conn.say(text("enough"))
        conn.frame(CLOSE, frame[1])
        return size

    with Peer(script, rcvbuf=4096, tls=server_tls(secure)) as peer:
        with open_to(peer) as session:
            receiver = begun(session, lambda: (says(session), says(session)))
            until(lambda: lent(session))
            sender = Running(lambda: [session.send_realtime_input(text="x" * 100_000) for _ in range(count)])
            until(lambda: session._driver.full)
            release.set()
            assert sender.join().error is None
            assert receiver.join().value == ("more", "enough")
        assert peer.join()[0] > count * 100_000


def test_deadlines_while_the_socket_is_lent() -> None:
    def script(conn: Conn) -> None:
        conn.open()
        begin(conn)
        assert conn.read_frame()[0] == PING
        conn.until_gone()

    timeouts = Timeouts(ping_interval=0.3, ping_timeout=0.6, stall=0.2)
    with Peer(script) as peer, open_to(peer, timeouts=timeouts) as session:

        def wait() -> list[Any]:
            events = []
            with contextlib.suppress(LiveProtocolError):
                events.extend(session)
            return events

        receiver = begun(session, wait)
        until(lambda: lent(session))
        found = receiver.join().value
        assert [event.kind for event in found if type(event) is StallSuspected][-1] is StallKind.SILENT_LINK
        assert type(found[-1]) is ConnectionClosed
        assert "ping" in str(found[-1].info.error) or "pong" in str(found[-1].info.error)


def test_timeouts_while_the_socket_is_lent() -> None:
    with Peer(chatty) as peer, open_to(peer) as session:

        def receive() -> list[str]:
            said = [says(session)]
            for timeout in (0, 0.01, 0.05):
                began = time.monotonic()
                with pytest.raises(WaitTimeout, match="next_event"):
                    says(session, timeout)
                assert time.monotonic() - began >= timeout
            session.send_realtime_input(text="late")
            patience = time.monotonic() + PATIENCE
            while len(said) < 2:
                assert time.monotonic() < patience
                with contextlib.suppress(WaitTimeout):
                    said.append(says(session, 0))
            return said

        receiver = begun(session, receive)
        assert receiver.join().error is None
        assert receiver.value == ["more", "late"]


def test_a_machine_that_crashes_in_the_receivers_hands(monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[Any] = []
    with Peer(chatty) as peer, uncaught(complaints):
        session = open_to(peer)
        receiver = begun(session, lambda: (says(session), says(session)))
        until(lambda: lent(session))
        bug = ZeroDivisionError("a bug")

        def crash(*_: object) -> None:
            raise bug

        monkeypatch.setattr(type(session.connection), "receive_data", crash)
        session.send_realtime_input(text="?")
        receiver.join()
        monkeypatch.undo()
        assert isinstance(receiver.error, TransportFailed)
        assert session._driver.closed.wait(PATIENCE)
        session._driver.join(PATIENCE)
        assert [one["exception"] for one in complaints] == [bug]
        session.close()


def test_a_session_dropped_while_the_socket_is_lent() -> None:
    def script(conn: Conn) -> None:
        conn.open()
        begin(conn)
        conn.until_gone()

    with Peer(script) as peer:
        session = open_to(peer)
        assert begun(session, session.receive).join().error is None
        driver = session._driver
        with pytest.warns(ResourceWarning, match="unclosed"):
            del session
        gc.collect()
        with at_once():
            assert driver.closed.wait(PATIENCE)
        peer.join()


# --- waiting for one socket -------------------------------------------------------------------------------------


@pytest.mark.parametrize("poll", ["poll", "select"])
def test_what_a_watch_sees(poll: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if poll == "select":
        monkeypatch.delattr(select, "poll", raising=False)
    waker = SelectorWaker()
    near, far = socket.socketpair()
    near.setblocking(False)
    watch = Watch(near, waker)
    assert watch.wait(READ, 0) == 0
    assert watch.wait(READ | WRITE, 0) == WRITE
    far.send(b"x")
    assert watch.wait(READ | WRITE, None) == READ | WRITE
    assert watch.wait(WRITE, None) == WRITE
    assert watch.wait(0, 0.01) == 0
    waker.wake()
    assert watch.wait(0, None) == WOKEN
    assert watch.wait(READ, None) == READ | WOKEN
    waker.clear()
    assert watch.wait(READ, None) == READ
    near.recv(1)
    with contextlib.suppress(BlockingIOError):
        while True:
            near.send(bytes(65536))
    began = time.monotonic()
    assert watch.wait(READ | WRITE, 0.05) == 0
    assert time.monotonic() - began >= 0.05
    far.close()
    assert watch.wait(READ, None) == READ
    assert watch.wait(WRITE, None) == WRITE
    near.close()
    waker.close()
    waker.wake()
    waker.clear()


@both
def test_a_session_where_there_is_no_poll(secure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll", raising=False)
    with Peer(chatty, tls=server_tls(secure)) as peer, open_to(peer) as session:
        assert begun(session, lambda: says(session)).join().value == "more"
        size = 300_000
        receiver = Running(says, session)
        session.send_realtime_input(text="x" * size)
        assert len(receiver.join().value) == size
