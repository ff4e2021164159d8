"""Our side, live-protocol: the pure connection without I/O, the asyncio adapter over TCP."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Callable

from benchmarks import wire
from live_protocol import (
    AudioChunk,
    Content,
    Endpoint,
    LiveConnectConfig,
    LiveConnection,
    OutputTranscript,
    Part,
    TurnComplete,
)
from live_transports import asyncio as live_asyncio

KEY = re.compile(rb"sec-websocket-key: *([^\r\n]+)", re.IGNORECASE)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
SETUP_COMPLETE = wire.server_frame(wire.server_text(wire.SETUP_COMPLETE))


def switching_protocols(request: bytes) -> bytes:
    """The server's half of the opening handshake, RFC 6455 section 4.2.2."""
    found = KEY.search(request)
    if found is None:
        raise RuntimeError("the client sent no handshake")
    accept = base64.b64encode(hashlib.sha1(found[1] + GUID).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"


def ready_connection() -> LiveConnection:
    """A client connection after its handshake and setup."""
    connection = LiveConnection.client(Endpoint.custom("ws://127.0.0.1:1/"), LiveConnectConfig(), model=wire.MODEL)
    connection.advance(0.0)
    connection.receive_data(switching_protocols(connection.data_to_send()))
    for _ in connection.events():
        pass
    connection.data_to_send()  # the setup
    connection.receive_data(SETUP_COMPLETE)
    for _ in connection.events():
        pass
    return connection


def decoder() -> Callable[[bytes], wire.Seen]:
    """Bytes of one server frame -> what the application reads of it; every event is pulled."""
    connection = ready_connection()
    receive_data, next_event, nothing = connection.receive_data, connection.next_event, None

    def decode(data: bytes) -> wire.Seen:
        receive_data(data)
        audio = transcript = None
        while (event := next_event()) is not nothing:
            if isinstance(event, AudioChunk):
                audio = event.data
            elif isinstance(event, OutputTranscript):
                transcript = event.text
        return audio, transcript

    return decode


def message_decoder() -> Callable[[bytes], wire.Seen]:
    """Bytes of one server frame -> the whole typed message, which an event builds when it is asked for it."""
    connection = ready_connection()
    receive_data, next_event, nothing = connection.receive_data, connection.next_event, None

    def decode(data: bytes) -> wire.Seen:
        receive_data(data)
        blob = None
        while (event := next_event()) is not nothing:
            if isinstance(event, AudioChunk):
                content = event.message.server_content
                turn = content and content.model_turn
                blob = turn and turn.parts[0].inline_data
        return blob and blob.data, None

    return decode


def encoder() -> Callable[[bytes], bytes]:
    """Audio -> bytes of one client frame."""
    connection = ready_connection()
    send, data_to_send = connection.send_realtime_input, connection.data_to_send

    def encode(audio: bytes) -> bytes:
        send(audio=audio, rate=wire.INPUT_RATE)
        return data_to_send()

    return encode


class LoopbackClient:
    """A session of the asyncio adapter."""

    def __init__(self, session: live_asyncio.LiveClientSession) -> None:
        self.session = session

    async def command(self, text: str) -> None:
        await self.session.send_client_content(Content(role="user", parts=[Part(text=text)]))

    async def listen(self) -> int:
        total = 0
        async for event in self.session:
            if isinstance(event, AudioChunk):
                total += len(event.data)
            elif isinstance(event, TurnComplete):
                break
        return total

    async def upload(self, chunk: bytes, count: int) -> None:
        send = self.session.send_realtime_input
        for _ in range(count):
            await send(audio=chunk, rate=wire.INPUT_RATE)

    async def converse(self, chunk: bytes, count: int) -> int:
        total = 0
        left = count
        await self.upload(chunk, 1)
        async for event in self.session:
            if isinstance(event, AudioChunk):
                total += len(event.data)
                left -= 1
                if left:
                    await self.upload(chunk, 1)
            elif isinstance(event, TurnComplete):
                break
        return total


@contextlib.asynccontextmanager
async def connect(url: str) -> AsyncIterator[LoopbackClient]:
    """A session after its setup."""
    async with live_asyncio.connect(Endpoint.custom(url), LiveConnectConfig(), model=wire.MODEL) as session:
        yield LoopbackClient(session)
