"""Threads: interrupts, what is left at the end, dialing, TLS."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest
from support import tls
from support.patience import PATIENCE, at_once
from transports.runtimes.kit.blocking import (
    deaf,
    fresh,  # noqa: F401 - a fixture
    interrupted,
    open_to,
    polite,
    release,
    text,
)
from transports.runtimes.kit.peer import CLOSE, Conn, Gone, Peer

from live_protocol import (
    DeadlineExpired,
    Endpoint,
    InvalidMessage,
    LiveProtocolError,
    TransportFailed,
)
from live_protocol.timing import Deadline
from live_transports.shared import steps
from live_transports.sync import connect
from live_transports.sync import dialing as _dialing
from live_transports.sync import sockets as _sockets

pytestmark = pytest.mark.usefixtures("fresh")


# --- interrupts -------------------------------------------------------------------------------------------------


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
        release.wait(PATIENCE)
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
        with at_once(), interrupted(), open_to(peer) as session:
            session.receive()
        assert session._driver.closed.is_set()


def test_an_interrupted_close_frees_the_socket() -> None:
    with Peer(deaf) as peer:
        session = open_to(peer)
        with interrupted():
            session.close()
        assert session._driver.closed.is_set()


@pytest.mark.parametrize("secure", [False, True], ids=["upgrade", "tls"])
def test_an_interrupted_dial_frees_the_socket(secure: bool) -> None:
    with Peer(lambda conn: conn.until_gone()) as peer:
        scheme = "wss" if secure else "ws"
        with interrupted():
            connect(Endpoint.custom(f"{scheme}://127.0.0.1:{peer.port}/"), model="test")


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
            thread.join(PATIENCE)


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


# --- dialing ----------------------------------------------------------------------------------------------------


def watch(timeout: float | None = None) -> tuple[_sockets.SocketWaiter, _sockets.SelectorWaker]:
    bell = _sockets.SelectorWaker()
    return _sockets.SocketWaiter(timeout, bell, lambda: False), bell


@pytest.mark.parametrize("broken", ["refused", "silent", "both"])
def test_the_next_address_is_tried(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "ATTEMPT_DELAY", 0.05)
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
        sock = _dialing._connect_tcp("name.test", 1, waiter, None)
        assert sock.getpeername() == good
        sock.close()
        addresses[:] = [dead, dead]
        with pytest.raises(ConnectionRefusedError):
            _dialing._connect_tcp("name.test", 1, waiter, None)
        bell.close()
        addresses[:] = [stuck, stuck]
        waiter, bell = watch(0.1)
        with pytest.raises(_sockets.WaitExpired):
            _dialing._connect_tcp("name.test", 1, waiter, None)
        bell.close()


def test_addresses_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    found = [(family, 1, 6, "", (str(index), 1)) for index, family in enumerate((six, six, six, four, four))]
    assert [address[4][0] for address in _dialing._interleave_families(found)] == ["0", "3", "1", "4", "2"]


def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> list[Any]:
        release.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with at_once():
        with pytest.raises(DeadlineExpired) as caught:
            connect(Endpoint.custom("ws://name.test/"), model="test", dial_timeout=0.1)
        assert caught.value.which is Deadline.DIAL
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("resolver"):
            thread.join(PATIENCE)


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
            assert session._driver.closed.wait(PATIENCE)
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
        conn.sock.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            conn.sock.unwrap()  # type: ignore[attr-defined]

    with (
        Peer(script, tls=tls.server_context()) as peer,
        open_to(peer) as session,
        at_once(),
        pytest.raises(TransportFailed),
    ):
        session.receive()
