"""What only threads have: timeouts at every wait, closing from elsewhere, interrupts, and what is left at the end."""

from __future__ import annotations

import contextlib
import gc
import inspect
import json
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tls

from adapters.kit_sync import settle
from adapters.peer import BINARY, CLOSE, PING, PONG, TEXT, Conn, Gone, Peer, dialer, make_frame
from live_protocol import (
    AlreadyClosed,
    DeadlineExpired,
    Endpoint,
    IllegalInState,
    InvalidMessage,
    LiveConnection,
    LiveProtocolError,
    ServerClosed,
    StaleOperation,
    Timeouts,
    TransportFailed,
)
from live_protocol.emulator import Emulator
from live_protocol.events import ConnectionClosed, SetupReceived, TextChunk
from live_protocol.timing import Deadline
from live_protocol.verbs import ClientVerbs
from live_transports import _driver, _sockets
from live_transports._sync_sessions import SyncClientSession
from live_transports.sync import LiveClientSession, LiveServer, LiveServerSession, WaitTimeout, connect, serve


def text(value: str) -> dict[str, Any]:
    return {"serverContent": {"modelTurn": {"parts": [{"text": value}]}}}


def polite(conn: Conn) -> None:
    conn.open()
    with contextlib.suppress(Gone):
        conn.farewell()


def deaf(conn: Conn) -> None:
    conn.open()
    conn.until_gone()


def stubborn(conn: Conn) -> None:
    """Reads nothing until our end is gone, or it is told."""
    conn.open()
    release.wait(8)


release = threading.Event()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    release.clear()
    yield
    release.set()


class Running:
    """A function on a thread."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.run, args=(function, args), name="job", daemon=True)
        self.thread.start()

    def run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            self.value = function(*args)
        except BaseException as error:
            self.error = error

    def join(self) -> Running:
        self.thread.join(8)
        assert not self.thread.is_alive(), "it hangs"
        return self


def open_to(peer: Peer, **options: Any) -> LiveClientSession:
    if peer.tls is not None:
        options.setdefault("ssl", tls.client_context())
    return connect(peer.endpoint(), model="test", **options)


def fill(session: LiveClientSession) -> None:
    with pytest.raises(WaitTimeout):
        while True:
            session.send_realtime_input(text="x" * 100_000, timeout=0)


# --- timeouts ---------------------------------------------------------------------------------------------------


def test_receiving_with_a_timeout() -> None:
    def script(conn: Conn) -> None:
        conn.open()
        go.wait(8)
        conn.say(text("late"))
        conn.farewell()

    go = threading.Event()
    with Peer(script) as peer, open_to(peer) as session:
        for timeout in (0, 0.02):
            for verb in (session.receive, session.next_event):
                with pytest.raises(WaitTimeout) as caught:  # noqa: PT012
                    while verb(timeout) is not None:
                        pass
                assert isinstance(caught.value, TimeoutError | LiveProtocolError)
                assert (caught.value.operation, caught.value.queued) == (verb.__name__, False)
                assert "nothing was lost" in str(caught.value)
        go.set()
        message = session.receive(timeout=8)
        assert message is not None
        assert message.server_content is not None


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_sending_with_a_timeout(secure: bool) -> None:
    def script(conn: Conn) -> list[int]:
        conn.open()
        release.wait(8)
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
            session.send_realtime_input(text="x", timeout=8)
        assert peer.join() == [[*sent, 1]]


def test_every_send_takes_a_timeout() -> None:
    for name, verb in inspect.getmembers(ClientVerbs, inspect.isfunction):
        if not name.startswith("_"):
            ours = inspect.signature(getattr(SyncClientSession, name))
            theirs = inspect.signature(verb)
            names = list(theirs.parameters)
            assert list(ours.parameters) == [*names, "timeout"]
            assert [ours.parameters[n] for n in names] == [theirs.parameters[n] for n in names]
    for owner, names in ((SyncClientSession, ["send", "ping"]), (LiveServerSession, ["send", "send_setup_complete"])):
        for name in names:
            assert "timeout" in inspect.signature(getattr(owner, name)).parameters


@pytest.mark.parametrize("cls", [LiveClientSession, LiveServerSession, LiveServer])
def test_nobody_else_makes_them(cls: type) -> None:
    with pytest.raises(TypeError, match="no public constructor"):
        cls()


# --- closing from elsewhere, at every wait ------------------------------------------------------------------------

WAITS: dict[str, Callable[[LiveClientSession], Any]] = {
    "receive": lambda session: session.receive(),
    "receive with a timeout": lambda session: session.receive(timeout=8),
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
        release.wait(8)
        if how in ("reset", "eof"):
            with contextlib.suppress(OSError, Gone):
                getattr(conn, how)()

    timeouts = Timeouts(close=0.2 if how == "close" else 5)
    with Peer(script, rcvbuf=4096, tls=tls.server_context() if secure else None) as peer:
        with open_to(peer, timeouts=timeouts) as session:
            waiting = Running(WAITS[wait], session)
            settle()
            assert waiting.thread.is_alive()
            began = time.monotonic()
            if how in ("close", "abort"):
                getattr(session, how)()
            else:
                release.set()
            waiting.join()
            assert time.monotonic() - began < 2
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
            barrier.wait(8)
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

    with Peer(script, rcvbuf=16384, tls=tls.server_context() if secure else None) as peer:
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
    def script(conn: Conn) -> list[float]:
        conn.open()
        took = []
        for _ in range(20):
            began = time.monotonic()
            conn.frame(PING, b"?")
            while conn.read_frame()[0] != PONG:
                pass
            took.append(time.monotonic() - began)
        done.set()
        conn.farewell()
        return took

    done = threading.Event()
    with Peer(script) as peer:
        with open_to(peer) as session:
            while not done.is_set():
                session.send_realtime_input(text="x")
        (took,) = peer.join()
    assert max(took) < 0.5


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


# --- interrupts -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def interrupted(after: float = 0.05) -> Iterator[None]:
    """Ctrl-C while the main thread waits."""

    def strike() -> None:
        settle()
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(after, strike)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        timer.join()


def test_an_interrupt_leaves_the_session_usable() -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.read_message()
        conn.say(text("still here"))
        conn.farewell()

    with Peer(script) as peer, open_to(peer) as session:
        with interrupted():
            session.receive()
        session.send_realtime_input(text="?")
        assert session.receive() is not None


def test_an_interrupt_while_sending_takes_nothing_back() -> None:
    def script(conn: Conn) -> int:
        conn.open()
        release.wait(8)
        count = 0
        while conn.read_frame()[0] != CLOSE:
            count += 1
        conn.close()
        return count

    with Peer(script, rcvbuf=4096) as peer:
        with open_to(peer) as session:
            count = 0
            with interrupted():
                while True:
                    count += 1
                    session.send_realtime_input(text="x" * 100_000)
            release.set()
            session.ping()
        assert peer.join() == [count + 1]


def test_an_interrupted_block_does_not_wait() -> None:
    with Peer(deaf) as peer:
        began = time.monotonic()
        with interrupted(), open_to(peer) as session:
            session.receive()
        assert time.monotonic() - began < 2
        assert session._wire.gone.is_set()


def test_an_interrupted_close_frees_the_socket() -> None:
    with Peer(deaf) as peer:
        session = open_to(peer)
        with interrupted():
            session.close()
        assert session._wire.gone.is_set()


@pytest.mark.parametrize("secure", [False, True], ids=["upgrade", "tls"])
def test_an_interrupted_dial_frees_the_socket(secure: bool) -> None:
    with Peer(lambda conn: conn.until_gone()) as peer:
        scheme = "wss" if secure else "ws"
        with interrupted():
            connect(Endpoint.custom(f"{scheme}://localhost:{peer.port}/"), model="test")


# --- what is left -----------------------------------------------------------------------------------------------


def test_a_dropped_session_is_complained_of_and_freed() -> None:
    with Peer(deaf) as peer:
        session = open_to(peer)
        with pytest.warns(ResourceWarning, match="unclosed <LiveClientSession OPEN READY>"):
            del session
        gc.collect()
        peer.join()
    for thread in threading.enumerate():
        if thread.name.startswith("live"):
            thread.join(8)


@pytest.mark.parametrize("waits", ["idle", "receiving"])
def test_the_program_ends_although_a_session_is_open(waits: str) -> None:
    program = """
        import sys, threading
        from live_protocol import Endpoint
        from live_transports.sync import connect

        session = connect(Endpoint.custom(sys.argv[1]), model="test")
        if sys.argv[2] == "receiving":
            threading.Thread(target=session.receive, daemon=True).start()
        print("open")
    """
    with Peer(deaf) as peer:
        url = f"ws://127.0.0.1:{peer.port}/"
        command = [sys.executable, "-c", textwrap.dedent(program), url, waits]
        done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
        assert (done.returncode, done.stdout) == (0, "open\n")


def test_a_socket_of_the_callers() -> None:
    with Peer(polite) as peer:
        sock = socket.create_connection(("127.0.0.1", peer.port))
        with open_to(peer, sock=sock):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.fileno() == -1
        for bad in ({"dial_timeout": -1}, {"model": None}):
            sock = socket.socket()
            with pytest.raises(InvalidMessage):
                connect(peer.endpoint(), sock=sock, **{"model": "test", **bad})  # type: ignore[arg-type]
            assert sock.fileno() == -1
        with open_to(peer, local_addr=("127.0.0.1", 0)):
            pass


# --- dialling ---------------------------------------------------------------------------------------------------


def watch(timeout: float | None = None) -> tuple[_sockets.Watch, _sockets.Bell]:
    bell = _sockets.Bell()
    return _sockets.Watch(timeout, bell, lambda: False), bell


@pytest.mark.parametrize("broken", ["refused", "silent", "both"])
def test_the_next_address_is_tried(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_driver, "STAGGER", 0.05)
    with (
        Peer(lambda conn: conn.until_gone()) as peer,
        socket.socket() as refused,
        socket.socket() as full,
        contextlib.ExitStack() as stack,
    ):
        refused.bind(("127.0.0.1", 0))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        good, dead, stuck = ("127.0.0.1", peer.port), refused.getsockname(), full.getsockname()
        addresses = {"refused": [dead, good], "silent": [stuck, good], "both": [stuck, dead, good]}[broken]

        def resolve(*_: object, **__: object) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        waiter, bell = watch()
        sock = _sockets._connect_tcp("name.test", 1, waiter, None)
        assert sock.getpeername() == good
        sock.close()
        addresses[:] = [dead, dead]
        with pytest.raises(ConnectionRefusedError):
            _sockets._connect_tcp("name.test", 1, waiter, None)
        bell.close()
        addresses[:] = [stuck, stuck]
        waiter, bell = watch(0.1)
        with pytest.raises(_sockets.Expired):
            _sockets._connect_tcp("name.test", 1, waiter, None)
        bell.close()


def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> list[Any]:
        release.wait(8)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    began = time.monotonic()
    with pytest.raises(DeadlineExpired) as caught:
        connect(Endpoint.custom("ws://name.test/"), model="test", dial_timeout=0.1)
    assert caught.value.which is Deadline.DIAL
    assert time.monotonic() - began < 1
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("resolver"):
            thread.join(8)


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket is freed where the system refuses the thread."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "live connection":
            raise RuntimeError("can't start new thread")
        start(thread)

    with Peer(lambda conn: conn.until_gone()) as peer:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            open_to(peer)
        monkeypatch.undo()


# --- TLS --------------------------------------------------------------------------------------------------------


def test_large_messages_both_ways_over_tls() -> None:
    size = 3_000_000

    def script(conn: Conn) -> int:
        conn.open()
        for _ in range(3):
            conn.say(text("y" * size))
        got = len(json.dumps(conn.read_message()))
        conn.farewell()
        return got

    with Peer(script, tls=tls.server_context()) as peer:
        with open_to(peer) as session:
            session.send_realtime_input(text="x" * size)
            for _ in range(3):
                message: Any = session.receive()
                assert len(message.server_content.model_turn.parts[0].text) == size
        assert peer.join()[0] > size


def test_the_last_word_reaches_a_peer_that_talks_on_over_tls() -> None:
    def script(conn: Conn) -> int:
        conn.open()
        conn.send(b"\xff\x00" + b"z" * 200_000)
        for _ in range(20):
            conn.send(b"z" * 10_000)
        return conn.read_close()[0]

    with Peer(script, tls=tls.server_context()) as peer:
        with open_to(peer) as session:
            with pytest.raises(LiveProtocolError):
                session.receive()
            assert session._wire.gone.wait(8) or True
        assert peer.join() == [1002]


def test_broken_records() -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.say(text("good"))
        socket.socket.sendall(conn.sock, b"\x17\x03\x03\x00\x20" + b"\0" * 32)
        with contextlib.suppress(Gone, OSError):
            conn.until_gone()

    with Peer(script, tls=tls.server_context()) as peer, open_to(peer) as session:
        assert session.receive() is not None
        with pytest.raises(TransportFailed) as caught:
            session.receive()
        assert "SSL" in type(caught.value.__cause__).__name__


def test_goodbye_of_tls_without_the_end_of_tcp() -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.sock.settimeout(0.5)
        with contextlib.suppress(OSError):
            conn.sock.unwrap()  # type: ignore[attr-defined]

    with Peer(script, tls=tls.server_context()) as peer, open_to(peer) as session:
        began = time.monotonic()
        with pytest.raises(TransportFailed):
            session.receive()
        assert time.monotonic() - began < 0.4


# --- the server's end -------------------------------------------------------------------------------------------


def accepting(session: LiveServerSession) -> None:
    for event in session:
        if type(event) is SetupReceived:
            session.send_setup_complete()


def test_the_emulator() -> None:
    with (
        serve(None, connection_factory=Emulator().connection) as server,
        connect(Endpoint.gemini(api_key="x", base_url=server.url(path="")), model="test") as session,
    ):
        session.send_client_content({"role": "user", "parts": [{"text": "hello"}]})
        kinds = []
        for event in session:
            kinds.append(type(event).__name__)
            if kinds[-1] == "TurnComplete":
                break
        assert {"AudioChunk", "TextChunk"} & set(kinds)


def test_a_handler_that_goes_on() -> None:
    ready = threading.Event()

    def handler(session: LiveServerSession) -> None:
        session.receive()
        session.send_setup_complete()
        ready.set()
        release.wait(8)

    server = serve(handler)
    with connect(Endpoint.custom(server.url()), model="test") as session:
        ready.wait(8)
        began = time.monotonic()
        with pytest.warns(RuntimeWarning, match="1 handlers"):
            server.close(grace=0.1)
        assert time.monotonic() - began < 2
        assert session.receive() is None
    release.set()
    with warnings.catch_warnings():
        server.close(grace=8)


def test_a_handler_that_closes_the_server() -> None:
    def handler(session: LiveServerSession) -> None:
        session.receive()
        session.send_setup_complete()
        session.receive()
        server.close()

    server = serve(handler)
    with connect(Endpoint.custom(server.url()), model="test") as session:
        session.send_realtime_input(text="go")
        session.close()
    server.close()


def test_a_server_that_goes_away_in_the_handshake_of_tls() -> None:
    def script(conn: Conn) -> None:
        tried.set()
        conn.until_gone()

    tried = threading.Event()
    server = serve(accepting, ssl=tls.server_context(), timeouts=Timeouts(open=8))
    with dialer(server.port, script):
        assert tried.wait(8)
        settle()
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_clients_that_say_nothing_at_all(secure: bool) -> None:
    def script(conn: Conn) -> None:
        conn.until_gone()

    timeouts = Timeouts(open=0.1, close=0.1)
    with serve(accepting, ssl=tls.server_context() if secure else None, timeouts=timeouts) as server:
        with dialer(server.port, script):
            began = time.monotonic()
        assert time.monotonic() - began < 2


def test_the_server_closes_once_from_two_threads() -> None:
    server = serve(accepting)
    with connect(Endpoint.custom(server.url()), model="test") as session:
        closers = [Running(server.close) for _ in range(2)]
        assert session.receive() is None
        for closer in closers:
            assert closer.join().error is None
    with pytest.raises(IllegalInState):
        server.url()


def test_several_addresses() -> None:
    with serve(accepting, ["127.0.0.1", "::1"]) as server:
        assert {sock.family for sock in server.sockets} == {socket.AF_INET, socket.AF_INET6}
        for sock in server.sockets:
            host, port = sock.getsockname()[:2]
            url = _driver.ws_url(host, port, secure=False, path=_driver.GEMINI_PATH)
            with connect(Endpoint.custom(url), model="test"):
                pass
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="in use"):
            serve(accepting, port=taken.getsockname()[1])


def test_a_machine_that_fails() -> None:
    """What a machine of the caller's raises leaves nobody waiting."""
    raised: list[Any] = []

    class Broken:
        def __init__(self) -> None:
            self.inner = LiveConnection.server()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def receive_data(self, data: bytes) -> None:
            raise ZeroDivisionError

    before = threading.excepthook
    threading.excepthook = lambda args: raised.append(args.exc_type)
    try:
        with serve(None, connection_factory=Broken) as server:  # type: ignore[arg-type]
            with pytest.raises(LiveProtocolError):
                connect(Endpoint.custom(server.url()), model="test")
    finally:
        threading.excepthook = before
    assert ZeroDivisionError in raised


def test_too_many_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    accept, refused = socket.socket.accept, []

    def overloaded(sock: socket.socket) -> Any:
        if len(refused) < 2:
            refused.append(sock)
            raise OSError(24, "Too many open files")
        return accept(sock)

    with serve(accepting) as server:
        monkeypatch.setattr(socket.socket, "accept", overloaded)
        with connect(Endpoint.custom(server.url()), model="test"):
            assert len(refused) == 2
        monkeypatch.undo()


def test_stale_and_late_sends_of_a_handler() -> None:
    errors: list[BaseException] = []

    def handler(session: LiveServerSession) -> None:
        session.receive()
        session.send_setup_complete()
        assert session.receive() is None
        try:
            session.ping()
        except StaleOperation as error:
            errors.append(error)
            raise

    with serve(handler) as server, connect(Endpoint.custom(server.url()), model="test"):
        pass
    assert errors


def test_the_setup_is_refused_in_time() -> None:
    def handler(session: LiveServerSession) -> None:
        session.receive()
        session.close(1008, "no")

    with serve(handler) as server, pytest.raises(ServerClosed):
        connect(Endpoint.custom(server.url()), model="test")


def test_frames_are_whole_however_small_the_socket() -> None:
    frame = make_frame(BINARY, json.dumps(text("z")).encode())

    def script(conn: Conn) -> None:
        conn.open()
        conn.send(frame * 500, chop=7)
        conn.farewell()

    with Peer(script) as peer, open_to(peer) as session:
        for _ in range(500):
            assert session.receive() is not None
