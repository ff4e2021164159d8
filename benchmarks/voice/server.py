"""The cheap server of the paced rows: ``python -m benchmarks.voice.server CORE FOLDER``, a process of its own.

It prints the port for ``ws://``, the port for ``wss://`` and the file of the throw-away authority, then serves until
its standard input ends. It parses nothing: it answers the upgrade and the setup from ready-made bytes, discards what
comes afterwards, and writes ready-made frames on a schedule that the client knows too.

``GET /RUN/N`` is the session number N of a run. A connection that begins with ``RUN`` and a JSON object starts the
schedule of a run: session n of N gets its frame k at ``start + k * period + n * period / N`` on the monotonic clock,
which all processes of a machine share. ``END`` stops it and gives how late the server was and what CPU it used.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import json
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trustme

from benchmarks import wire
from benchmarks.voice.measure import Lags, many_sockets, new_event_loop, pin

KEY: Final = re.compile(rb"sec-websocket-key: *([^\r\n]+)", re.IGNORECASE)
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
UPGRADE: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
SETUP_COMPLETE: Final = wire.server_frame(wire.server_text(wire.SETUP_COMPLETE))
FINEST: Final = 0.0002
"""Seconds between two ticks at least; with more sessions than that allows, a tick serves several."""


@functools.cache
def one_second() -> bytes:
    """A second of audio, made once: it takes a while."""
    return wire.pcm(1000, wire.OUTPUT_RATE)


def audio_frame(size: int) -> bytes:
    """The frame with this many bytes of audio."""
    second = one_second()
    audio = (second * (size // len(second) + 1))[:size]
    return wire.server_frame(wire.server_text(wire.model_message(audio)))


class Hub:
    """All sessions, and the schedule of the run that is on."""

    def __init__(self) -> None:
        self.scrap = memoryview(bytearray(1 << 18))
        self.sessions: dict[tuple[str, int], asyncio.Transport] = {}
        self.lags = Lags()
        self.owner: Peer | None = None
        self._transports: list[asyncio.Transport] = []
        self._frame = b""
        self._start = self._step = self._cpu = 0.0
        self._turn = 0

    def run(self, owner: Peer, name: str, start: float, period: float, size: int) -> None:
        """Begin the schedule of a run."""
        self.owner = owner
        self._transports = [transport for (run, _), transport in sorted(self.sessions.items()) if run == name]
        self._frame = audio_frame(size)
        self._step = period / len(self._transports)
        self._start, self._turn, self._cpu = start, 0, time.process_time()
        self.lags.clear()
        # A signal, because the timers of the loops know milliseconds only.
        signal.setitimer(signal.ITIMER_REAL, max(start - time.monotonic(), 0.0) + 2e-5, max(self._step, FINEST))

    def tick(self) -> None:
        """Write the frames that are due."""
        transports, frame, late = self._transports, self._frame, self.lags.add
        count, now = len(transports), time.monotonic()
        while count and (due := self._start + self._turn * self._step) <= now:
            late(now - due)
            transports[self._turn % count].write(frame)
            self._turn += 1
            now = time.monotonic()

    def end(self) -> dict[str, float]:
        """Stop the schedule."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._transports, self.owner = [], None
        passed = max(time.monotonic() - self._start, 1e-9)
        cpu = (time.process_time() - self._cpu) / passed
        return {"server_lag_p99": self.lags.quantile(0.99), "server_cpu": cpu}


class Peer(asyncio.BufferedProtocol):
    """One connection: a session, or the control of a run."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._scrap = hub.scrap
        self._head = b""
        self._set_up = False
        self._session: tuple[str, int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._scrap

    def buffer_updated(self, nbytes: int) -> None:
        if not self._set_up:
            self._open(bytes(self._scrap[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._session is not None:
            self._hub.sessions.pop(self._session, None)
        if self._hub.owner is self:  # not the owner of a run that has ended, which the next one may have followed
            self._hub.end()

    def _open(self, data: bytes) -> None:
        if self._session is not None:
            self._set_up = True
            self._transport.write(SETUP_COMPLETE)
            return
        self._head += data
        if self._head.startswith((b"RUN", b"END")):
            self._control()
        elif b"\r\n\r\n" in self._head:
            self._upgrade()

    def _upgrade(self) -> None:
        _, run, number = self._head.split(b" ", 2)[1].split(b"/")
        match = KEY.search(self._head)
        if match is None:
            raise RuntimeError("the client sent no handshake")
        accept = base64.b64encode(hashlib.sha1(match[1] + GUID).digest())
        self._session = (run.decode(), int(number))
        self._hub.sessions[self._session] = self._transport
        self._transport.write(UPGRADE + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    def _control(self) -> None:
        while b"\n" in self._head:
            line, _, self._head = self._head.partition(b"\n")
            if line == b"END":
                self._transport.write(json.dumps(self._hub.end()).encode() + b"\n")
            else:
                self._hub.run(self, **json.loads(line[3:]))
                self._transport.write(b"{}\n")


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    port: int
    tls_port: int
    authority: str


@contextlib.contextmanager
def running(core: int | None) -> Iterator[Address]:
    """A server process on that core."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.voice.server", json.dumps(core), folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield Address(**json.loads(process.stdout.readline()))
            finally:
                process.stdin.close()


async def _main(folder: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    file = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    one_second()
    loop, hub = asyncio.get_running_loop(), Hub()
    loop.add_signal_handler(signal.SIGALRM, hub.tick)
    ports = []
    for tls in (None, context):
        server = await loop.create_server(lambda: Peer(hub), "127.0.0.1", 0, ssl=tls, backlog=1024)
        ports.append(server.sockets[0].getsockname()[1])
    print(json.dumps({"port": ports[0], "tls_port": ports[1], "authority": str(file)}), flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    pin(json.loads(sys.argv[1]))
    many_sockets()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_main(Path(sys.argv[2])))
