"""The peer, google-genai: its real session class over websockets, without I/O and over TCP."""

from __future__ import annotations

import contextlib
import functools
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar, cast

from google import genai
from google.genai import live, types
from google.genai.live import AsyncSession
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.protocol import State
from websockets.uri import parse_uri

from benchmarks import wire

T = TypeVar("T")

MIME_TYPE = f"audio/pcm;rate={wire.INPUT_RATE}"


@functools.cache
def client() -> genai.Client:
    """A real client for the Gemini backend; it dials nobody. All sessions share it, as in an application."""
    return genai.Client(api_key="benchmark")


def session_over(websocket: object) -> AsyncSession:
    """The real session class over any object that has the two methods it calls."""
    return AsyncSession(api_client=client()._api_client, websocket=cast("ClientConnection", websocket))


def audio_of(message: types.LiveServerMessage) -> bytes | None:
    """The shortest way to the audio; ``LiveServerMessage.data`` costs the peer a model_dump more."""
    content = message.server_content
    if content is None or content.model_turn is None or not content.model_turn.parts:
        return None
    blob = content.model_turn.parts[0].inline_data
    return None if blob is None else blob.data


def transcript_of(message: types.LiveServerMessage) -> str | None:
    """The piece of output transcript in a message."""
    content = message.server_content
    if content is None or content.output_transcription is None:
        return None
    return content.output_transcription.text


def _result(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return cast("T", finished.value)
    raise RuntimeError("the coroutine waited for something")


class _Wire:
    """Stands where the session expects a connection; ``send`` and ``recv`` are the frame engine alone."""

    def __init__(self) -> None:
        self.protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"), state=State.OPEN)

    async def recv(self, decode: bool | None = None) -> bytes:
        (frame,) = self.protocol.events_received()
        assert isinstance(frame, Frame)
        return bytes(frame.data)  # websockets copies it here too, in Assembler.get

    async def send(self, text: str) -> None:
        self.protocol.send_text(text.encode())


def decoder() -> Callable[[bytes], wire.Seen]:
    """Bytes of one server frame -> what the application reads of it."""
    transport = _Wire()
    session = session_over(transport)
    receive_data, receive = transport.protocol.receive_data, session._receive

    def decode(data: bytes) -> wire.Seen:
        receive_data(data)
        message = _result(receive())
        return audio_of(message), transcript_of(message)

    return decode


def encoder() -> Callable[[bytes], bytes]:
    """Audio -> bytes of one client frame."""
    transport = _Wire()
    session = session_over(transport)
    send, data_to_send = session.send_realtime_input, transport.protocol.data_to_send

    def encode(audio: bytes) -> bytes:
        _result(send(audio=types.Blob(data=audio, mime_type=MIME_TYPE)))
        return b"".join(data_to_send())

    return encode


class LoopbackClient:
    """The real session over a real connection of websockets."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def command(self, text: str) -> None:
        await self.session.send_client_content(turns=types.Content(role="user", parts=[types.Part(text=text)]))

    async def listen(self) -> int:
        total = 0
        async for message in self.session.receive():  # ends with the turn
            if audio := audio_of(message):
                total += len(audio)
        return total

    async def upload(self, chunk: bytes, count: int) -> None:
        send = self.session.send_realtime_input
        for _ in range(count):
            await send(audio=types.Blob(data=chunk, mime_type=MIME_TYPE))

    async def converse(self, chunk: bytes, count: int) -> int:
        total = 0
        left = count
        await self.upload(chunk, 1)
        async for message in self.session.receive():
            if audio := audio_of(message):
                total += len(audio)
                left -= 1
                if left:
                    await self.upload(chunk, 1)
        return total


@contextlib.asynccontextmanager
async def connect(url: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[LoopbackClient]:
    """The real ``client.aio.live.connect``, with its dial sent to another URL: it would insist on wss here."""

    def dial(uri: str, *, additional_headers: dict[str, str], **_: object) -> websockets_connect:
        return websockets_connect(url, additional_headers=additional_headers, proxy=None, ssl=tls)

    async with contextlib.AsyncExitStack() as stack:
        names = vars(live)
        theirs, names["ws_connect"] = names["ws_connect"], dial
        try:
            session = await stack.enter_async_context(client().aio.live.connect(model=wire.MODEL))
        finally:
            names["ws_connect"] = theirs
        if session.setup_complete is None:
            raise RuntimeError("the server did not complete the setup")
        yield LoopbackClient(session)
