"""How many of our own functions run for one chunk of audio, on each runtime: `python -m benchmarks.calls`.

Counts, not times: they are the same on every machine. Each runtime talks to a bare socket, whose thread is not counted.
One message arrives per wake-up, as in a live session: the counted step begins with the loop asleep and ends when the
application has the event, or when its send has returned.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import statistics
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from live_protocol import AudioChunk, Endpoint, LiveConnection, ReconnectPolicy

__all__ = ["COUNTERS", "count", "main"]

ROOT: Final = Path(__file__).parents[1]
OURS: Final = (f"{ROOT}{os.sep}live_protocol{os.sep}", f"{ROOT}{os.sep}transports{os.sep}")
CHUNK_IN: Final = 1920  # bytes: 40 ms at 24 kHz
CHUNK_OUT: Final = bytes(640)  # 20 ms at 16 kHz
WARM_UP: Final = 5
SAMPLES: Final = 21
CONFIG: Final[Any] = {"response_modalities": ["AUDIO"]}
MODEL: Final = "gemini-3.8-live"

Calls = Counter[str]


def _frame(message: object) -> bytes:
    payload = json.dumps(message, indent=2).encode() + b"\n"
    size = len(payload)
    head = bytes([0x82, size]) if size < 126 else b"\x82\x7e" + size.to_bytes(2, "big")
    return head + payload


def _chunk() -> bytes:
    data = base64.b64encode(bytes(CHUNK_IN)).decode()
    blob = {"mimeType": "audio/pcm;rate=24000", "data": data}
    return _frame({"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}]}}})


class Peer:
    """The service's end on a bare socket, in a thread of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._socket: socket.socket | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.gemini(api_key="any", base_url=f"ws://127.0.0.1:{self._listener.getsockname()[1]}")

    def _run(self) -> None:
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(4096)
        server = LiveConnection.server(strict=False)
        server.advance(0)
        server.receive_data(request)
        list(server.events())
        server.accept()
        connection.sendall(server.data_to_send())
        connection.recv(65536)  # the setup
        connection.sendall(_frame({"setupComplete": {}}))
        self._ready.set()
        with contextlib.suppress(OSError), connection:
            while connection.recv(65536):
                pass

    def say(self, data: bytes) -> None:
        self._ready.wait()
        assert self._socket is not None
        self._socket.sendall(data)

    def close(self) -> None:
        self._listener.close()
        self._thread.join()  # the client's end is closed by now


def _profiler(calls: Calls, counting: Callable[[], bool] = lambda: True) -> Callable[[FrameType, str, object], None]:
    """A profile function that counts calls of our own functions while ``counting()``."""

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and counting() and (path := frame.f_code.co_filename).startswith(OURS):
            calls[f"{Path(path).relative_to(ROOT)}:{frame.f_code.co_qualname}"] += 1

    return profile


@contextmanager
def counted(calls: Calls) -> Iterator[None]:
    """Count calls of our functions in this thread."""
    profile = _profiler(calls)
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def _typical(samples: list[Calls]) -> Calls:
    """The sample with the median count; a timer that fires in one of them does not matter."""
    median = statistics.median_low([sample.total() for sample in samples])
    return next(sample for sample in samples if sample.total() == median)


async def _async_counts(session: Any, peer: Peer, nap: Callable[[float], Awaitable[None]]) -> tuple[Calls, Calls]:
    chunk = _chunk()
    ins: list[Calls] = []
    outs: list[Calls] = []
    peer.say(_frame({"serverContent": {"modelTurn": {"parts": [{"text": "Well."}]}}}))
    while True:
        if type(await session.__anext__()).__name__ == "TextChunk":
            break
    for n in range(WARM_UP + SAMPLES):
        calls: Calls = Counter()
        timer = threading.Timer(0.005, peer.say, (chunk,))
        timer.start()
        with counted(calls):
            event = await session.__anext__()
        timer.join()
        assert isinstance(event, AudioChunk)
        sent: Calls = Counter()
        with counted(sent):
            await session.send_realtime_input(audio=CHUNK_OUT, rate=16_000)
        await nap(0)
        if n >= WARM_UP:
            ins.append(calls)
            outs.append(sent)
    return _typical(ins), _typical(outs)


@asynccontextmanager
async def _peer() -> AsyncIterator[Peer]:
    peer = Peer()
    try:
        yield peer
    finally:
        peer.close()


def on_core() -> tuple[Calls, Calls]:
    """The state machine alone, driven by hand."""
    client = LiveConnection.client(Endpoint.gemini(api_key="any"), CONFIG, model=MODEL)
    server = LiveConnection.server(strict=False)
    client.advance(0.0)
    server.advance(0.0)
    server.receive_data(client.data_to_send())
    list(server.events())
    server.accept()
    client.receive_data(server.data_to_send())
    list(client.events())
    client.data_to_send()
    client.receive_data(_frame({"setupComplete": {}}))
    list(client.events())
    chunk = _chunk()
    client.receive_data(chunk)
    list(client.events())
    client.send_realtime_input(audio=CHUNK_OUT, rate=16_000)
    client.data_to_send()
    calls: Calls = Counter()
    with counted(calls):
        client.receive_data(chunk)
        client.next_event()
    sent: Calls = Counter()
    with counted(sent):
        client.send_realtime_input(audio=CHUNK_OUT, rate=16_000)
        client.data_to_send()
    return calls, sent


def on_asyncio(policy: ReconnectPolicy | None = None) -> tuple[Calls, Calls]:
    """asyncio."""
    import asyncio

    from live_transports.asyncio import connect

    async def run() -> tuple[Calls, Calls]:
        async with _peer() as peer, connect(peer.endpoint, CONFIG, model=MODEL, reconnect=policy) as session:
            counts = await _async_counts(session, peer, asyncio.sleep)
            session.abort()
            return counts

    return asyncio.run(run())


def on_trio() -> tuple[Calls, Calls]:
    """trio."""
    import trio

    from live_transports.trio import connect

    async def run() -> tuple[Calls, Calls]:
        async with _peer() as peer, connect(peer.endpoint, CONFIG, model=MODEL) as session:
            counts = await _async_counts(session, peer, trio.sleep)
            session.abort()
            return counts

    return trio.run(run)


def on_threads() -> tuple[Calls, Calls]:
    """Blocking sockets: the calls of the application's thread and of the thread that owns the socket."""
    from live_transports.sync import connect

    calls: Calls = Counter()
    counting = threading.Event()

    profile = _profiler(calls, counting.is_set)
    peer = Peer()
    threading.setprofile(profile)
    sys.setprofile(profile)
    ins: list[Calls] = []
    outs: list[Calls] = []
    try:
        with connect(peer.endpoint, CONFIG, model=MODEL) as session:
            chunk = _chunk()
            pause = threading.Event()
            for n in range(WARM_UP + SAMPLES):
                timer = threading.Timer(0.005, peer.say, (chunk,))
                timer.start()
                pause.wait(0.001)
                counting.set()
                while not isinstance(next(session), AudioChunk):
                    pass
                pause.wait(0.002)  # until the owner of the socket sleeps again
                counting.clear()
                timer.join()
                got = Counter(calls)
                calls.clear()
                counting.set()
                session.send_realtime_input(audio=CHUNK_OUT, rate=16_000)
                pause.wait(0.002)
                counting.clear()
                if n >= WARM_UP:
                    ins.append(got)
                    outs.append(Counter(calls))
                calls.clear()
            session.abort()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        peer.close()
    return _typical(ins), _typical(outs)


COUNTERS: Final[dict[str, Callable[[], tuple[Calls, Calls]]]] = {
    "core": on_core,
    "asyncio": on_asyncio,
    "trio": on_trio,
    "threads": on_threads,
    "persistent on asyncio": lambda: on_asyncio(ReconnectPolicy()),
}


def count(name: str) -> tuple[int, int]:
    """Calls for one chunk in and one out."""
    inward, outward = COUNTERS[name]()
    return inward.total(), outward.total()


def main() -> None:
    """Print the table; with names as arguments, print the calls of each."""
    names = [name for name in COUNTERS if name in sys.argv[1:]]
    for name in names or COUNTERS:
        inward, outward = COUNTERS[name]()
        print(f"{name:24} in {inward.total():4} out {outward.total():4}")
        if names:
            for way, calls in (("in", inward), ("out", outward)):
                for what, times in sorted(calls.items(), key=lambda item: (-item[1], item[0])):
                    print(f"    {way:4}{times:4}  {what}")


if __name__ == "__main__":
    main()
