"""An emulated service on a thread of its own, and a wire to it that can be cut; they serve every runtime alike."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any, Self

import attrs
from support.patience import PATIENCE

from live_protocol import Endpoint, ReconnectPolicy, Timeouts
from live_protocol.emulator import Emulator, EmulatorOptions
from live_protocol.reconnect import GoAwayPolicy
from live_transports import asyncio as live_asyncio

TEXT = {"response_modalities": ["TEXT"]}
EAGER = ReconnectPolicy(
    base_delay=0.005,
    max_delay=0.02,
    max_attempts=10_000,
    stable_after=0.0,
    give_up_after=None,
    in_flight_window=0.001,
    go_away=GoAwayPolicy(margin=0.01),
)
QUIET = Timeouts(ping_interval=None, close=2.0)


class Service:
    """The emulator behind a listening socket, in an event loop on a thread.

    Attributes:
        emulator: To look at from the test once everything has been said.
        port: Where it listens.
    """

    def __init__(self, model: Any = None, **options: Any) -> None:
        self.emulator = Emulator(model, options=EmulatorOptions(**options))
        self.port = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="service", daemon=True)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with live_asyncio.serve(None, connection_factory=self.emulator.connection) as server:
            self.port = server.port
            self._ready.set()
            await self._stop.wait()

    def endpoint(self, port: int | None = None, *, vertex: bool = False) -> Endpoint:
        base = f"ws://127.0.0.1:{port or self.port}"
        if vertex:
            return Endpoint.vertex(access_token="t", project="p", location="us-central1", base_url=base)
        return Endpoint.gemini(api_key="key", base_url=base)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


class Cutter:
    """A TCP proxy that breaks each connection after so many bytes, in a direction and a manner of chance.

    Args:
        port: Where it leads.
        cuts: How many connections are to be cut; those after them last.
        seed: Of the dice.

    Attributes:
        port: Where it listens.
        cut: How many were cut.
    """

    def __init__(self, port: int, *, cuts: int, seed: int) -> None:
        self._target = port
        self._cuts = cuts
        self._dice = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut = 0
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, name="cutter", daemon=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                doomed = self.cut < self._cuts
                where = self._dice.choice((300, 800, 1600)) * self._dice.random() if doomed else None
                up, reset = self._dice.random() < 0.5, self._dice.random() < 0.5
            thread = threading.Thread(target=self._carry, args=(client, where, up, reset), name="cutter", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket, where: float | None, up: bool, reset: bool) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        for sock in (client, server):
            sock.settimeout(PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limits = [int(where) if where is not None and up is way else None for way in (True, False)]

        def pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    if limit is not None and len(data) >= limit:
                        sink.sendall(data[:limit])
                        if reset:
                            sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        with self._lock:
                            self.cut += 1
                        break
                    limit = None if limit is None else limit - len(data)
                    sink.sendall(data)
            for sock in (client, server):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

        back = threading.Thread(target=pump, args=(server, client, limits[1]), name="cutter", daemon=True)
        back.start()
        pump(client, server, limits[0])
        back.join()
        client.close()
        server.close()

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(PATIENCE)
        self._listener.close()
        for thread in self._threads:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive()


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "parts": [{"text": text}]}


async def until(session: Any, kind: Any, events: list[Any] | None = None, *, most: int = 10_000) -> Any:
    """The next event of a kind; those before it are kept."""
    async for event in session:
        if events is not None:
            events.append(event)
        if isinstance(event, kind):
            return event
        most -= 1
        assert most, "it does not come"
    raise AssertionError(f"the stream ended before {kind}")


async def say(session: Any, text: str) -> Any:
    """Say something and give the view of the turn that answers it."""
    await session.send_client_content(user(text))
    turn = session.turn()
    return turn.finish() if not hasattr(turn, "__aiter__") else await turn.finish()


def quick(**changes: Any) -> ReconnectPolicy:
    return attrs.evolve(EAGER, **changes)


@contextlib.contextmanager
def hole() -> Iterator[int]:
    """A port where connections are made and nothing is ever said."""
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
