"""Threads: the server's end."""

from __future__ import annotations

import json
import socket
import threading
import warnings
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
from transports.runtimes.kit.kit_sync import settle
from transports.runtimes.kit.peer import BINARY, Conn, Peer, dialer, make_frame

from live_protocol import (
    Endpoint,
    IllegalInState,
    LiveConnection,
    LiveProtocolError,
    ServerClosed,
    StaleOperation,
    Timeouts,
)
from live_protocol.emulator import Emulator
from live_protocol.events import SetupReceived
from live_transports.shared import steps
from live_transports.sync import LiveServerSession, connect, serve

pytestmark = pytest.mark.usefixtures("fresh")


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
        release.wait(PATIENCE)

    server = serve(handler)
    with connect(Endpoint.custom(server.url()), model="test") as session:
        ready.wait(PATIENCE)
        with at_once(), pytest.warns(RuntimeWarning, match="1 handlers"):
            server.close(grace=0.1)
        assert session.receive() is None
    release.set()
    with warnings.catch_warnings():
        server.close(grace=PATIENCE)


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
    server = serve(accepting, ssl=tls.server_context(), timeouts=Timeouts(open=PATIENCE))
    with dialer(server.port, script):
        assert tried.wait(PATIENCE)
        settle()
        with at_once():
            server.close()


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_clients_that_say_nothing_at_all(secure: bool) -> None:
    def script(conn: Conn) -> None:
        conn.until_gone()

    timeouts = Timeouts(open=0.1, close=0.1)
    certificate = tls.server_context() if secure else None
    with serve(accepting, ssl=certificate, timeouts=timeouts) as server, at_once(), dialer(server.port, script):
        pass


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
            url = steps.ws_url(host, port, secure=False, path=steps.GEMINI_PATH)
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
        with serve(None, connection_factory=Broken) as server, pytest.raises(LiveProtocolError):
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
