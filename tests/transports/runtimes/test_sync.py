"""Threads: timeouts and closing at every wait, many senders, races."""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support import tls
from support.patience import PATIENCE, at_once
from transports.runtimes.kit.blocking import (
    Running,
    deaf,
    fresh,  # noqa: F401 - a fixture
    open_to,
    polite,
    release,
    text,
)
from transports.runtimes.kit.kit_sync import settle
from transports.runtimes.kit.peer import CLOSE, PING, PONG, TEXT, Conn, Gone, Peer

from live_protocol import (
    AlreadyClosed,
    DeadlineExpired,
    Endpoint,
    InvalidMessage,
    LiveProtocolError,
    Timeouts,
)
from live_protocol.events import ConnectionClosed, TextChunk
from live_protocol.reconnect import PersistentConnection
from live_protocol.session import ClientCommands
from live_protocol.timing import Deadline
from live_transports.sync import LiveClientSession, LiveServer, LiveServerSession, WaitTimeout, connect

pytestmark = pytest.mark.usefixtures("fresh")


# --- timeouts ---------------------------------------------------------------------------------------------------


def test_receiving_with_a_timeout() -> None:
    def script(conn: Conn) -> None:
        conn.open()
        go.wait(PATIENCE)
        conn.say(text("late"))
        conn.farewell()

    go = threading.Event()
    with Peer(script) as peer, open_to(peer) as session:
        for timeout in (0, 0.02):
            for verb in (session.receive, session.next_event):
                with pytest.raises(WaitTimeout) as caught:  # noqa: PT012
                    while verb(timeout) is not None:
                        pass
                assert isinstance(caught.value, TimeoutError)
                assert isinstance(caught.value, LiveProtocolError)
                assert (caught.value.operation, caught.value.queued) == (verb.__name__, False)
                assert "nothing was lost" in str(caught.value)
        go.set()
        message = session.receive(timeout=PATIENCE)
        assert message is not None
        assert message.server_content is not None


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_sending_with_a_timeout(secure: bool) -> None:
    def script(conn: Conn) -> list[int]:
        conn.open()
        release.wait(PATIENCE)
        sizes = []
        while (frame := conn.read_frame())[0] != CLOSE:
            if frame[0] == TEXT:
                sizes.append(len(json.loads(frame[1])["realtimeInput"]["text"]))
        conn.frame(CLOSE, frame[1])
        return sizes

    with Peer(script, rcvbuf=4096, tls=tls.server_context() if secure else None) as peer:
        sent = []
        with open_to(peer) as session:
            queued: list[WaitTimeout] = []
            for size in range(50_000, 50_100):
                sent.append(size)
                try:
                    session.send_realtime_input(text="x" * size, timeout=0.001)
                except WaitTimeout as error:
                    queued.append(error)
            assert len(queued) > 20
            assert queued[0].queued
            assert "do not send it again" in str(queued[0])
            with pytest.raises(WaitTimeout):
                session.ping(b"x", timeout=0)
            release.set()
            session.send_realtime_input(text="x", timeout=PATIENCE)
        assert peer.join() == [[*sent, 1]]


def test_every_send_takes_a_timeout() -> None:
    for name, _ in inspect.getmembers(ClientCommands, inspect.isfunction):
        if not name.startswith("_"):
            ours = inspect.signature(getattr(LiveClientSession, name))
            theirs = inspect.signature(getattr(PersistentConnection, name))
            names = list(theirs.parameters)
            assert list(ours.parameters) == [*names, "timeout"]
            assert [ours.parameters[n] for n in names] == [theirs.parameters[n] for n in names]
    for owner, names in ((LiveClientSession, ["send", "ping"]), (LiveServerSession, ["send", "send_setup_complete"])):
        for name in names:
            assert "timeout" in inspect.signature(getattr(owner, name)).parameters


def upgrade_only(conn: Conn) -> None:
    conn.upgrade()
    conn.read_message()
    conn.until_gone()


@pytest.mark.parametrize(
    ("script", "secure", "says"),
    [
        (lambda conn: conn.until_gone(), True, "NEW"),
        (lambda conn: conn.until_gone(), False, "NEW"),
        (upgrade_only, False, "SETUP_SENT"),
    ],
    ids=["tls", "upgrade", "setup"],
)
def test_connecting_with_a_timeout(script: Any, secure: bool, says: str) -> None:
    """Whatever the bounds of the steps; the text and the cause say how far it has come."""
    with Peer(script) as peer:
        endpoint = Endpoint.custom(f"wss://localhost:{peer.port}/") if secure else peer.endpoint()
        took = math.inf
        for _ in range(5):  # a busy machine may hold up one of them
            began = time.monotonic()
            with pytest.raises(WaitTimeout, match=says) as caught:
                connect(endpoint, model="test", ssl=tls.client_context() if secure else None, timeout=0.3)
            took = min(took, time.monotonic() - began)
            if took < 0.5:
                break
        assert 0.25 < took < 0.5
        assert isinstance(caught.value, TimeoutError)
        if secure:
            assert isinstance(caught.value.__cause__, DeadlineExpired)
            assert caught.value.__cause__.which is Deadline.TLS
            assert caught.value.__cause__.after == 0.3
        peer.join()


def test_closing_with_a_timeout() -> None:
    with Peer(deaf) as peer, at_once():
        session = open_to(peer)
        with pytest.raises(WaitTimeout, match="cut off"):
            session.close(timeout=0.05)
        peer.join()
        session.close()
        session.close(timeout=0)


def test_finishing_a_turn_with_a_timeout() -> None:
    go = threading.Event()

    def script(conn: Conn) -> None:
        conn.open()
        conn.say(text("one "))
        go.wait(PATIENCE)
        conn.say(text("two"))
        conn.say({"serverContent": {"turnComplete": True}})
        conn.farewell()

    with Peer(script) as peer, open_to(peer) as session:
        turn = session.turn()
        while not turn.view.answer:
            with pytest.raises(WaitTimeout):
                turn.finish(timeout=0.01)
        assert turn.view.answer == "one "
        go.set()
        assert turn.finish(timeout=PATIENCE).answer == "one two"


@pytest.mark.parametrize("cls", [LiveClientSession, LiveServerSession, LiveServer])
def test_nobody_else_makes_them(cls: type) -> None:
    with pytest.raises(TypeError, match="no public constructor"):
        cls()


# --- closing from elsewhere, at every wait ------------------------------------------------------------------------

WAITS: dict[str, Callable[[LiveClientSession], Any]] = {
    "receive": lambda session: session.receive(),
    "receive with a timeout": lambda session: session.receive(timeout=PATIENCE),
    "iterate": lambda session: [type(event) for event in session][-1],
    "send": lambda session: [session.send_realtime_input(text="x" * 100_000) for _ in range(10_000)],
    "close": lambda session: session.close(),
}


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("how", ["close", "abort", "reset", "eof"])
@pytest.mark.parametrize("wait", WAITS)
def test_the_end_at_every_wait(wait: str, how: str, secure: bool) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        release.wait(PATIENCE)
        if how in ("reset", "eof"):
            with contextlib.suppress(OSError, Gone):
                getattr(conn, how)()

    timeouts = Timeouts(close=0.2 if how == "close" else 5)
    with Peer(script, rcvbuf=4096, tls=tls.server_context() if secure else None) as peer:
        with open_to(peer, timeouts=timeouts) as session:
            waiting = Running(WAITS[wait], session)
            settle()
            assert waiting.thread.is_alive()
            with at_once():
                if how in ("close", "abort"):
                    getattr(session, how)()
                else:
                    release.set()
                waiting.join()
            assert wait == "close" or isinstance(waiting.error, LiveProtocolError) or waiting.value is ConnectionClosed
            assert wait != "close" or waiting.error is None
        release.set()


def test_everybody_waits_and_everybody_closes() -> None:
    with Peer(polite) as peer:
        session = open_to(peer)
        receiver = Running(session.receive)
        settle()
        barrier = threading.Barrier(8)

        def close(index: int) -> None:
            barrier.wait(PATIENCE)
            session.close(3000 + index)

        closers = [Running(close, index) for index in range(8)]
        for closer in closers:
            assert closer.join().error is None
        assert receiver.join().value is None
        assert session.close_info is not None
        assert session.close_info.clean or 3000 <= session.close_info.code <= 3007
        session.close()
        session.abort()
        with pytest.raises(AlreadyClosed):
            session.ping()


def test_close_with_a_bad_code_changes_nothing() -> None:
    with Peer(polite) as peer, open_to(peer) as session:
        for code in (1005, 7):
            with pytest.raises(InvalidMessage):
                session.close(code)
        session.ping()


# --- many threads -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_a_hundred_senders_keep_their_order(secure: bool) -> None:
    """W26: a frame is made and queued under one lock."""

    each = 20

    def script(conn: Conn) -> list[tuple[int, int, int]]:
        conn.open()
        got = []
        while (frame := conn.read_frame())[0] != CLOSE:
            if frame[0] == TEXT:
                said = json.loads(frame[1])["realtimeInput"]["text"]
                sender, index, rest = said.split(" ")
                got.append((int(sender), int(index), len(rest)))
        conn.frame(CLOSE, frame[1])
        return got

    def send(session: LiveClientSession, sender: int) -> None:
        dice = random.Random(sender)
        for index in range(each):
            session.send_realtime_input(text=f"{sender} {index} " + "x" * dice.choice([1, 100, 5000]))

    with Peer(script, tls=tls.server_context() if secure else None) as peer:
        with open_to(peer) as session:
            for running in [Running(send, session, sender) for sender in range(100)]:
                assert running.join().error is None
        (got,) = peer.join()
    assert len(got) == 100 * each
    for sender in range(100):
        dice = random.Random(sender)
        mine = [(index, size) for who, index, size in got if who == sender]
        assert mine == [(index, dice.choice([1, 100, 5000])) for index in range(each)]


def test_a_busy_sender_does_not_keep_pongs_from_leaving() -> None:
    def script(conn: Conn) -> None:
        conn.open()
        for _ in range(20):
            conn.frame(PING, b"?")
            while conn.read_frame()[0] != PONG:
                pass
        done.set()
        conn.farewell()

    done = threading.Event()
    with Peer(script) as peer, open_to(peer) as session:
        patience = time.monotonic() + PATIENCE
        while not done.is_set():
            assert time.monotonic() < patience, "no pong has come through"
            session.send_realtime_input(text="x")


def test_nobody_holds_the_lock_while_an_event_is_in_hand() -> None:
    def script(conn: Conn) -> None:
        conn.open()
        for index in range(3):
            conn.say(text(str(index)))
        conn.farewell()

    with Peer(script) as peer, open_to(peer) as session:
        for event in session:
            assert Running(session.ping).join().error is None
            if type(event) is TextChunk and event.text == "2":
                break


def test_thousands_of_timeouts_lose_nothing(length: Callable[[int, int], int]) -> None:
    count = length(1000, 5000)

    def script(conn: Conn) -> None:
        conn.open()
        dice = random.Random(1)
        for index in range(count):
            conn.say(text(str(index)), chop=dice.choice([0, 0, 0, 30]))
        conn.farewell()

    dice = random.Random(2)
    with Peer(script) as peer, open_to(peer) as session:
        got: list[int] = []
        while len(got) < count:
            with contextlib.suppress(WaitTimeout):
                timeout = dice.choice([0, 1e-6, 1e-5, 1e-4, 1e-3])
                if dice.random() < 0.5:
                    message: Any = session.receive(timeout)
                    got.append(int(message.server_content.model_turn.parts[0].text))
                else:
                    event = session.next_event(timeout)
                    if type(event) is TextChunk:
                        got.append(int(event.text))
    assert got == list(range(count))


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_races_of_sending_receiving_and_leaving(secure: bool, length: Callable[[int, int], int]) -> None:
    def script(conn: Conn) -> None:
        dice = random.Random(conn.sock.getpeername()[1])
        with contextlib.suppress(Gone, OSError):
            conn.open()
            for _ in range(dice.randrange(30)):
                conn.say(text("x" * dice.choice([1, 1000])))
            way = dice.choice(["farewell", "reset", "eof", "close"])
            getattr(conn, way)()
            if way in ("eof", "close"):
                conn.until_gone()

    def receive(session: LiveClientSession, seed: int) -> None:
        dice = random.Random(seed)
        while True:
            with contextlib.suppress(WaitTimeout):
                if session.receive(dice.choice([0.0001, 0.001, None])) is None:
                    return

    def send(session: LiveClientSession, seed: int) -> None:
        dice = random.Random(seed)
        while True:
            with contextlib.suppress(WaitTimeout):
                session.send_realtime_input(text="x" * dice.choice([1, 20_000]), timeout=dice.choice([0, 0.001, None]))

    def leave(session: LiveClientSession, seed: int) -> None:
        dice = random.Random(seed)
        time.sleep(dice.random() * 0.01)
        (session.close if dice.random() < 0.6 else session.abort)()

    with Peer(script, tls=tls.server_context() if secure else None) as peer:
        for seed in range(length(40, 1000)):
            try:
                session = open_to(peer, timeouts=Timeouts(close=0.3))
            except LiveProtocolError:
                continue
            jobs = [Running(function, session, seed) for function in (receive, send, send, leave, leave)]
            for job in jobs:
                assert isinstance(job.join().error, LiveProtocolError | None)
            assert session.close_info is not None
            assert not any(thread.name.startswith("live") for thread in threading.enumerate())
