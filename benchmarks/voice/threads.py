"""The clients in threads: one to send and one to receive for each session."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol
from urllib.parse import urlsplit

from benchmarks import wire
from benchmarks.voice.clients import FrameCounter, ReadyMade, our_arguments, upgrade_request
from benchmarks.voice.measure import Plan, Probe
from benchmarks.voice.server import SETUP_COMPLETE

READ = 65536


class Session(Protocol):
    """An open session of any client; ``send`` and ``listen`` have a thread each."""

    def send(self) -> None:
        """Send one chunk."""

    def listen(self, probe: Probe) -> None:
        """Tell the probe of each chunk that comes."""


Connect = Callable[[Plan, str, ssl.SSLContext | None], AbstractContextManager[Session]]


class FloorTls:
    """TLS for two threads: OpenSSL must not be used by both at once, so neither waits inside of it."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        import threading

        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._lock = threading.Lock()
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._incoming.write(sock.recv(READ))
        self._flush()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._socket.sendall(data)

    def sendall(self, data: bytes) -> None:
        with self._lock:
            self._tls.write(data)
            self._flush()

    def recv(self, size: int) -> bytes:
        while True:
            with self._lock, contextlib.suppress(ssl.SSLWantReadError):
                return self._tls.read(size)
            data = self._socket.recv(READ)
            if not data:
                return b""
            with self._lock:
                self._incoming.write(data)


class FloorSocket:
    """Ready-made bytes out; bytes in are counted."""

    def __init__(self, ready_made: ReadyMade, sock: socket.socket | FloorTls, url: str) -> None:
        self._ready_made = ready_made
        self._up = ready_made.up
        self._socket = sock
        sock.sendall(upgrade_request(url))
        self._read_until(b"\r\n\r\n")
        sock.sendall(ready_made.setup)
        self._read_until(SETUP_COMPLETE)

    def _read_until(self, end: bytes) -> None:
        head = b""
        while not head.endswith(end):
            head += self._socket.recv(READ)

    def send(self) -> None:
        self._socket.sendall(self._up)

    def listen(self, probe: Probe) -> None:
        counter, receive = FrameCounter(self._ready_made, probe), self._socket.recv
        while data := receive(READ):
            counter.add(len(data))


def floor(plan: Plan) -> Connect:
    """Blocking sockets."""
    ready_made = ReadyMade(plan)

    @contextlib.contextmanager
    def connect(plan: Plan, url: str, tls: ssl.SSLContext | None) -> Iterator[Session]:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        sock = socket.create_connection((parts.hostname, parts.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield FloorSocket(ready_made, sock if tls is None else FloorTls(sock, tls, parts.hostname), url)

    return connect


def ours(plan: Plan) -> Connect:
    """Our session in threads."""
    from live_protocol import AudioChunk
    from live_transports import sync

    chunk = wire.pcm(plan.up, wire.INPUT_RATE)

    class Ours:
        def __init__(self, session: sync.LiveClientSession) -> None:
            self._session = session

        def send(self) -> None:
            self._session.send_realtime_input(audio=chunk, rate=wire.INPUT_RATE)

        def listen(self, probe: Probe) -> None:
            for event in self._session:
                if isinstance(event, AudioChunk):
                    probe.arrived(len(event.data))

    @contextlib.contextmanager
    def connect(plan: Plan, url: str, tls: ssl.SSLContext | None) -> Iterator[Session]:
        with contextlib.ExitStack() as stack, sync.connect(**our_arguments(plan, url, tls, stack)) as session:
            yield Ours(session)

    return connect
