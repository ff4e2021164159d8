"""The clients on an event loop: the floor, by hand, google-genai, ours. Each sends a chunk and notes what comes.

``connect(plan, url, tls)`` gives a session after its setup; the session's ``listen`` waits for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import orjson
import pybase64

from benchmarks import wire
from benchmarks.voice.measure import Plan, Probe
from benchmarks.voice.server import SETUP_COMPLETE, audio_frame

SETUP: Final = orjson.dumps({"setup": {"model": wire.MODEL}})
MIME_TYPE: Final = f"audio/pcm;rate={wire.INPUT_RATE}"


class Session(Protocol):
    """An open session of any client."""

    async def send(self) -> None:
        """Send one chunk."""

    async def listen(self, probe: Probe) -> None:
        """Tell the probe of each chunk that comes."""


Connect = Callable[[Plan, str, ssl.SSLContext | None], AbstractAsyncContextManager[Session]]


async def for_ever() -> None:
    """Wait for nothing, on asyncio."""
    await asyncio.get_running_loop().create_future()


def realtime_input(chunk: bytes) -> bytes:
    """The JSON of a chunk to the server, as one writes it by hand."""
    blob = {"data": pybase64.b64encode_as_string(chunk), "mimeType": MIME_TYPE}
    return orjson.dumps({"realtimeInput": {"audio": blob}})


def audio_in(payload: bytes | memoryview) -> list[bytes]:
    """The audio in the JSON of the server, as one reads it by hand."""
    content = orjson.loads(payload).get("serverContent") or {}
    parts = content.get("modelTurn", {}).get("parts", ())
    return [pybase64.b64decode(part["inlineData"]["data"], validate=True) for part in parts if "inlineData" in part]


# --- the floor: ready-made bytes ----------------------------------------------------------------------------------


def client_frame(payload: bytes) -> bytes:
    """One text frame, masked with zeros."""
    head = bytearray(wire.server_frame(payload, wire.TEXT))[: -len(payload)]
    head[1] |= 0x80
    return bytes(head) + bytes(4) + payload


def upgrade_request(url: str) -> bytes:
    """What opens a connection."""
    parts = urlsplit(url)
    head = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head.encode() + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"


class ReadyMade:
    """The bytes of a session, made once for all of them."""

    def __init__(self, plan: Plan) -> None:
        self.up = client_frame(realtime_input(wire.pcm(plan.up, wire.INPUT_RATE)))
        self.setup = client_frame(SETUP)
        self.audio = audio_bytes(plan)
        self.down = len(audio_frame(self.audio))


def audio_bytes(plan: Plan) -> int:
    """Bytes of audio in a chunk from the server."""
    return plan.down * wire.OUTPUT_RATE // 1000 * 2 if plan.size is None else plan.size


class FrameCounter:
    """Counts the frames in a stream of frames of one size."""

    __slots__ = ("_audio", "_probe", "_received", "_size")

    def __init__(self, ready_made: ReadyMade, probe: Probe) -> None:
        self._size = ready_made.down
        self._audio = ready_made.audio  # not decoded: this is the floor
        self._probe = probe
        self._received = 0

    def add(self, count: int) -> None:
        """Count the bytes that arrived."""
        self._received += count
        while self._received >= self._size:
            self._received -= self._size
            self._probe.arrived(self._audio)


class FloorProtocol(asyncio.Protocol):
    """Ready-made bytes out; bytes in are counted."""

    def __init__(self, ready_made: ReadyMade) -> None:
        self._ready_made = ready_made
        self._up = ready_made.up
        self._head = b""
        self._counter: FrameCounter | None = None
        self.opened = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if self._counter is not None:
            self._counter.add(len(data))
            return
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            self.transport.write(self._ready_made.setup)
        elif self._head.endswith(SETUP_COMPLETE):
            self.opened.set_result(None)

    async def send(self) -> None:
        self.transport.write(self._up)

    async def listen(self, probe: Probe) -> None:
        self._counter = FrameCounter(self._ready_made, probe)
        await for_ever()


def floor(plan: Plan) -> Connect:
    """A bare `asyncio.Protocol`."""
    ready_made = ReadyMade(plan)

    @contextlib.asynccontextmanager
    async def connect(plan: Plan, url: str, tls: ssl.SSLContext | None) -> AsyncIterator[Session]:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(
            lambda: FloorProtocol(ready_made), parts.hostname, parts.port, ssl=tls
        )
        protocol.transport.write(upgrade_request(url))
        await protocol.opened
        yield protocol

    return connect


class FloorStream:
    """The floor on trio: a bare stream."""

    def __init__(self, ready_made: ReadyMade, stream: Any) -> None:
        self._ready_made = ready_made
        self._up = ready_made.up
        self._stream = stream

    async def open(self, url: str) -> None:
        await self._stream.send_all(upgrade_request(url))
        await self._read_until(b"\r\n\r\n")
        await self._stream.send_all(self._ready_made.setup)
        await self._read_until(SETUP_COMPLETE)

    async def _read_until(self, end: bytes) -> None:
        head = b""
        while not head.endswith(end):
            head += await self._stream.receive_some(65536)

    async def send(self) -> None:
        await self._stream.send_all(self._up)

    async def listen(self, probe: Probe) -> None:
        counter, receive = FrameCounter(self._ready_made, probe), self._stream.receive_some
        while data := await receive(65536):
            counter.add(len(data))


def floor_on_trio(plan: Plan) -> Connect:
    """A bare `trio.SocketStream`."""
    import trio

    ready_made = ReadyMade(plan)

    @contextlib.asynccontextmanager
    async def connect(plan: Plan, url: str, tls: ssl.SSLContext | None) -> AsyncIterator[Session]:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        stream: Any = await trio.open_tcp_stream(parts.hostname, parts.port)
        if tls is not None:
            stream = trio.SSLStream(stream, tls, server_hostname=parts.hostname)
        session = FloorStream(ready_made, stream)
        await session.open(url)
        yield session

    return connect


# --- by hand: what an expert writes for one purpose ---------------------------------------------------------------


def websockets_by_hand(plan: Plan) -> Connect:
    """Over the library ``websockets``, with orjson and pybase64."""
    from websockets.asyncio.client import connect as dial

    chunk = wire.pcm(plan.up, wire.INPUT_RATE)

    class ByHand:
        def __init__(self, websocket: Any) -> None:
            self._websocket = websocket

        async def send(self) -> None:
            await self._websocket.send(realtime_input(chunk), text=True)

        async def listen(self, probe: Probe) -> None:
            receive = self._websocket.recv
            while True:
                for audio in audio_in(await receive(decode=False)):
                    probe.arrived(len(audio))

    @contextlib.asynccontextmanager
    async def connect(plan: Plan, url: str, tls: ssl.SSLContext | None) -> AsyncIterator[Session]:
        async with dial(url, ssl=tls, proxy=None, compression=None, max_size=None) as websocket:
            await websocket.send(SETUP, text=True)
            assert "setupComplete" in orjson.loads(await websocket.recv(decode=False))
            yield ByHand(websocket)

    return connect


def picows_by_hand(plan: Plan) -> Connect:
    """Over the library ``picows``, which is Cython, with orjson and pybase64, in its callback."""
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    chunk = wire.pcm(plan.up, wire.INPUT_RATE)

    class ByHand(WSListener):
        probe: Probe | None = None

        def on_ws_connected(self, transport: WSTransport) -> None:
            self.transport = transport
            self.opened = asyncio.get_running_loop().create_future()
            transport.send(WSMsgType.TEXT, SETUP)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            payload = frame.get_payload_as_memoryview()
            if self.probe is None:
                assert "setupComplete" in orjson.loads(payload)
                self.opened.set_result(None)
                return
            for audio in audio_in(payload):
                self.probe.arrived(len(audio))

        async def send(self) -> None:
            self.transport.send(WSMsgType.TEXT, realtime_input(chunk))

        async def listen(self, probe: Probe) -> None:
            self.probe = probe
            await for_ever()

    @contextlib.asynccontextmanager
    async def connect(plan: Plan, url: str, tls: ssl.SSLContext | None) -> AsyncIterator[Session]:
        _, listener = await ws_connect(ByHand, url, ssl_context=tls)
        assert isinstance(listener, ByHand)
        await listener.opened
        yield listener

    return connect


# --- the libraries ------------------------------------------------------------------------------------------------


def google_genai(plan: Plan) -> Connect:
    """The real SDK."""
    from google.genai import types

    from benchmarks import google_genai_side as side

    chunk = wire.pcm(plan.up, wire.INPUT_RATE)

    class Sdk:
        def __init__(self, session: Any) -> None:
            self._session = session

        async def send(self) -> None:
            await self._session.send_realtime_input(audio=types.Blob(data=chunk, mime_type=side.MIME_TYPE))

        async def listen(self, probe: Probe) -> None:
            while True:
                async for message in self._session.receive():
                    if audio := side.audio_of(message):
                        probe.arrived(len(audio))

    @contextlib.asynccontextmanager
    async def connect(plan: Plan, url: str, tls: ssl.SSLContext | None) -> AsyncIterator[Session]:
        async with side.connect(url, tls) as client:
            yield Sdk(client.session)

    return connect


def our_arguments(plan: Plan, url: str, tls: ssl.SSLContext | None, stack: Any) -> dict[str, Any]:
    """Arguments of our ``connect()``, the same on every runtime."""
    from live_protocol import Endpoint, LiveConnectConfig, ReconnectPolicy
    from live_transports.recording import record_to

    arguments: dict[str, Any] = {
        "endpoint": Endpoint.custom(url),
        "config": LiveConnectConfig(),
        "model": wire.MODEL,
        "ssl": tls,
    }
    if "reconnect" in plan.options:
        arguments["reconnect"] = ReconnectPolicy()
    if "recorder" in plan.options:
        arguments["observer"] = stack.enter_context(record_to(os.devnull))
    return arguments


def ours(plan: Plan) -> Connect:
    """Our session, on asyncio, trio or anyio."""
    from live_protocol import AudioChunk

    dial: Any
    if plan.runtime in {"asyncio", "uvloop"}:
        from live_transports.asyncio import connect as dial
    elif plan.runtime == "trio":
        from live_transports.trio import connect as dial
    else:
        from live_transports.anyio import connect as dial
    chunk = wire.pcm(plan.up, wire.INPUT_RATE)

    class Ours:
        def __init__(self, session: Any) -> None:
            self._session = session

        async def send(self) -> None:
            await self._session.send_realtime_input(audio=chunk, rate=wire.INPUT_RATE)

        async def listen(self, probe: Probe) -> None:
            async for event in self._session:
                if isinstance(event, AudioChunk):
                    probe.arrived(len(event.data))

    @contextlib.asynccontextmanager
    async def connect(plan: Plan, url: str, tls: ssl.SSLContext | None) -> AsyncIterator[Session]:
        with contextlib.ExitStack() as stack:
            async with dial(**our_arguments(plan, url, tls, stack)) as session:
                yield Ours(session)

    return connect
