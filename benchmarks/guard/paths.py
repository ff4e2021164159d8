"""The fixed scripts: one for each path that a message takes.

Each opens what it needs and gives a function that lets so many messages pass. Its cost is the difference between twice
as many messages and as many, so that what happens once cancels out.

On asyncio the peer is a blocking socket in the same thread. A message is there before the loop looks for it, and each
has a wake-up of its own: `select`, one read, one callback, one task that goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import live_protocol_side, wire
from live_protocol import (
    AudioChunk,
    Endpoint,
    LiveConnectConfig,
    LiveConnection,
    OutputTranscript,
    ReconnectPolicy,
    SetupComplete,
)
from live_transports import asyncio as live_asyncio
from live_transports.recording import record_to

Run = Callable[[int], None]
"""Lets so many messages pass."""

CHUNK: Final = wire.pcm(20, wire.INPUT_RATE)
WORDS: Final = "and then the two of them"
LARGE: Final = 1 << 20
"""Bytes of audio in a large message."""


@dataclass(frozen=True)
class Path:
    """A path: how it is opened, how many messages pass in a measurement, and what has to have passed."""

    open: Callable[[], AbstractContextManager[Run]]
    messages: int = 128


def audio_frame(audio: bytes) -> bytes:
    """A frame from the server with a chunk of audio."""
    return wire.server_frame(wire.server_text(wire.model_message(audio)))


# --- the core, without I/O ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def core_in(frame: bytes, piece: int = 1 << 30) -> Iterator[Run]:
    """Frames in, their events out; the application reads what they hold."""
    connection = live_protocol_side.ready_connection()
    pieces = [frame[at : at + piece] for at in range(0, len(frame), piece)]
    receive_data, next_event = connection.receive_data, connection.next_event

    def run(count: int) -> None:
        heard = 0
        for _ in range(count):
            for data in pieces:
                receive_data(data)
                while (event := next_event()) is not None:
                    if (isinstance(event, AudioChunk) and event.data) or (
                        isinstance(event, OutputTranscript) and event.text
                    ):
                        heard += 1
        if heard != count:
            raise RuntimeError(f"{heard} of {count} messages came")

    yield run


@contextlib.contextmanager
def core_out(audio: bytes) -> Iterator[Run]:
    """Chunks of audio in, frames out."""
    connection = live_protocol_side.ready_connection()
    send, data_to_send = connection.send_realtime_input, connection.data_to_send

    def run(count: int) -> None:
        for _ in range(count):
            send(audio=audio, rate=wire.INPUT_RATE)
            if not data_to_send():
                raise RuntimeError("nothing was sent")

    yield run


@contextlib.contextmanager
def core_open() -> Iterator[Run]:
    """Sessions that are opened and stay: handshake and setup without I/O."""
    sessions: list[LiveConnection] = []

    def run(count: int) -> None:
        for _ in range(count):
            sessions.append(live_protocol_side.ready_connection())  # noqa: PERF401 - one at a time, as dials come

    yield run


# --- asyncio, over TCP --------------------------------------------------------------------------------------------


class Peer:
    """The service's end. It is asynchronous while a session opens, and blocks afterwards."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self._sockets: list[socket.socket] = []
        port = self._listener.getsockname()[1]
        self.endpoint = Endpoint.custom(f"ws://127.0.0.1:{port}/")

    async def _answer(self) -> socket.socket:
        connection, _ = await self._loop.sock_accept(self._listener)
        self._sockets.append(connection)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += await self._loop.sock_recv(connection, 65536)
        await self._loop.sock_sendall(connection, live_protocol_side.switching_protocols(request))
        await self._loop.sock_recv(connection, 65536)  # the setup
        await self._loop.sock_sendall(connection, live_protocol_side.SETUP_COMPLETE)
        return connection

    async def open(self, options: dict[str, Any]) -> tuple[Any, socket.socket]:
        """A session after its setup, and the peer's end of its connection."""
        session, connection = await asyncio.gather(
            live_asyncio.connect(self.endpoint, LiveConnectConfig(), model=wire.MODEL, **options), self._answer()
        )
        while not isinstance(await session.__anext__(), SetupComplete):
            pass
        return session, connection

    def close(self) -> None:
        """Free the sockets."""
        for connection in (*self._sockets, self._listener):
            connection.close()


@contextlib.contextmanager
def _session(options: dict[str, Any]) -> Iterator[tuple[asyncio.AbstractEventLoop, Any, socket.socket]]:
    """A loop, a session on it, and the peer's socket, which blocks."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        peer = Peer(loop)
        try:
            session, connection = runner.run(peer.open(options))
            connection.setblocking(True)
            yield loop, session, connection
            runner.run(_abort(session))
        finally:
            peer.close()


async def _abort(session: Any) -> None:
    session.abort()
    await asyncio.sleep(0)


def _again(loop: asyncio.AbstractEventLoop, script: Callable[[int], Coroutine[Any, Any, None]]) -> Run:
    return lambda count: loop.run_until_complete(script(count))


@contextlib.contextmanager
def asyncio_in(**options: Any) -> Iterator[Run]:
    """A chunk arrives, and the application has its audio."""
    frame = audio_frame(wire.pcm(40, wire.OUTPUT_RATE))
    with _session(options) as (loop, session, connection):

        async def script(count: int) -> None:
            heard = 0
            while heard < count:
                connection.sendall(frame)
                event = await session.__anext__()
                if not isinstance(event, AudioChunk):  # the first one begins a turn
                    event = await session.__anext__()
                heard += bool(event.data)

        yield _again(loop, script)


@contextlib.contextmanager
def asyncio_out(**options: Any) -> Iterator[Run]:
    """A chunk is sent, and has left."""
    with _session(options) as (loop, session, connection):
        scrap = bytearray(65536)

        async def script(count: int) -> None:
            for _ in range(count):
                await session.send_realtime_input(audio=CHUNK, rate=wire.INPUT_RATE)
                connection.recv_into(scrap)

        yield _again(loop, script)


@contextlib.contextmanager
def recorded(path: Callable[..., AbstractContextManager[Run]]) -> Iterator[Run]:
    """A path with a recorder attached."""
    with record_to(os.devnull) as recorder, path(observer=recorder) as run:
        yield run
        if recorder.error is not None:
            raise recorder.error


@contextlib.contextmanager
def asyncio_open() -> Iterator[Run]:
    """Sessions that are opened and stay, the peer's work included."""
    with asyncio.Runner() as runner:
        peer = Peer(runner.get_loop())
        sessions = []

        async def script(count: int) -> None:
            for _ in range(count):
                sessions.append(await peer.open({}))  # noqa: PERF401 - one at a time, as dials come

        yield _again(runner.get_loop(), script)
        for session, _ in sessions:
            runner.run(_abort(session))
        peer.close()


@contextlib.contextmanager
def asyncio_open_and_leave() -> Iterator[Run]:
    """Sessions that are opened and aborted; what they leave behind is for the collector."""
    with asyncio.Runner() as runner:
        peer = Peer(runner.get_loop())

        async def script(count: int) -> None:
            for _ in range(count):
                session, connection = await peer.open({})
                await _abort(session)
                connection.close()

        yield _again(runner.get_loop(), script)
        peer.close()


class _Bare(asyncio.Protocol):
    """The floor: it counts what comes."""

    def __init__(self) -> None:
        self.came: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if self.came is not None:
            self.came.set_result(None)


@contextlib.contextmanager
def floor(*, inward: bool) -> Iterator[Run]:
    """Ready-made bytes over a bare `asyncio.Protocol`: what the loop costs whatever is above it."""
    frame, chunk = audio_frame(wire.pcm(40, wire.OUTPUT_RATE)), bytes(940)
    with asyncio.Runner() as runner, socket.create_server(("127.0.0.1", 0)) as listener:
        loop = runner.get_loop()
        dial = loop.create_connection(_Bare, *listener.getsockname())
        _, bare = loop.run_until_complete(dial)
        connection, _ = listener.accept()
        scrap = bytearray(65536)

        async def come(count: int) -> None:
            for _ in range(count):
                connection.sendall(frame)
                bare.came = loop.create_future()
                await bare.came

        async def go(count: int) -> None:
            for _ in range(count):
                bare.transport.write(chunk)
                connection.recv_into(scrap)

        yield _again(loop, come if inward else go)
        bare.transport.abort()
        loop.run_until_complete(asyncio.sleep(0))
        connection.close()


PATHS: Final[dict[str, Path]] = {
    "floor in": Path(lambda: floor(inward=True)),
    "floor out": Path(lambda: floor(inward=False)),
    "decode 40 ms": Path(lambda: core_in(audio_frame(wire.pcm(40, wire.OUTPUT_RATE)))),
    "decode 200 ms": Path(lambda: core_in(audio_frame(wire.pcm(200, wire.OUTPUT_RATE)))),
    "decode 1 MiB": Path(lambda: core_in(audio_frame(bytes(LARGE))), 4),
    "decode transcript": Path(
        lambda: core_in(wire.server_frame(wire.server_text(wire.model_message(transcript=WORDS))))
    ),
    "decode 1-byte drip": Path(lambda: core_in(audio_frame(wire.pcm(5, wire.OUTPUT_RATE)), 1), 1),
    "encode 20 ms": Path(lambda: core_out(CHUNK)),
    "encode 100 ms": Path(lambda: core_out(wire.pcm(100, wire.INPUT_RATE))),
    "encode 1 MiB": Path(lambda: core_out(bytes(LARGE)), 4),
    "open, core": Path(core_open, 16),
    "asyncio in": Path(asyncio_in),
    "asyncio out": Path(asyncio_out),
    "reconnect in": Path(lambda: asyncio_in(reconnect=ReconnectPolicy())),
    "reconnect out": Path(lambda: asyncio_out(reconnect=ReconnectPolicy())),
    "recorder in": Path(lambda: recorded(asyncio_in)),
    "recorder out": Path(lambda: recorded(asyncio_out)),
    "open, asyncio": Path(asyncio_open, 16),
    "open and abort, asyncio": Path(asyncio_open_and_leave, 16),
}
"""Every path, by the name that it has in the file of allowed figures."""
