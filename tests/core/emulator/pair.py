"""A client and an emulated server in memory, on one fake clock."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections.abc import Iterator
from typing import Any, TypeVar

from live_protocol import events as ev
from live_protocol.connection import LiveConnection
from live_protocol.emulator import EmulatedConnection, Emulator, EmulatorOptions, Model
from live_protocol.endpoint import Endpoint
from live_protocol.messages import LiveServerMessage
from live_protocol.states import ConnectionState
from live_protocol.timing import Timeouts
from live_protocol.websocket import HandshakeRequest, WebSocketLink

E = TypeVar("E")

QUIET = Timeouts(ping_interval=None)
GEMINI = Endpoint.gemini(api_key="key")
GEMINI_ALPHA = Endpoint.gemini(api_key="key", version="v1alpha")
VERTEX = Endpoint.vertex(access_token="token", project="p", location="us-central1")
TEXT = {"response_modalities": ["TEXT"]}
AUDIO = {"response_modalities": ["AUDIO"], "output_audio_transcription": {}}


def emulator(model: Model | None = None, **options: Any) -> Emulator:
    return Emulator(model, options=EmulatorOptions(**options))


class Pair:
    """Both ends. `run` moves bytes until nothing moves, `wait` moves the clock as well."""

    def __init__(
        self,
        server: Emulator | None = None,
        config: Any = TEXT,
        endpoint: Endpoint = GEMINI,
        *,
        model: str = "m",
        start: float | None = 1000.0,
        connect: bool = True,
        strict: bool = True,
    ) -> None:
        self.emulator = server or Emulator()
        self.client = LiveConnection.client(endpoint, config, model=model, timeouts=QUIET, strict=strict)
        self.server: EmulatedConnection = self.emulator.connection()
        self.events: list[ev.Event] = []
        self.seen: list[ev.Event] = []
        self.now = start
        if start is not None:
            self.client.advance(start)
            self.server.advance(start)
        if connect:
            self.run()

    def run(self) -> list[ev.Event]:
        """Move bytes until nothing moves; return the client's new events."""
        new: list[ev.Event] = []
        moved = True
        while moved:
            moved = False
            if data := self.client.data_to_send():
                self.server.receive_data(data)
                moved = True
            for event in self.server.events():
                self.seen.append(event)
                moved = True
            if data := self.server.data_to_send():
                self.client.receive_data(data)
                moved = True
            if self.server.wants.close or self.client.wants.close:
                moved = (
                    moved
                    or self.client.state is not ConnectionState.CLOSED
                    or self.server.state is not ConnectionState.CLOSED
                )
                self.client.receive_eof()
                self.server.receive_eof()
            for event in self.client.events():
                new.append(event)
                moved = True
        self.events += new
        return new

    def wait(self, seconds: float) -> list[ev.Event]:
        """Let time pass, stopping at every deadline of both ends."""
        assert self.now is not None
        end = self.now + seconds
        new: list[ev.Event] = []
        stuck = 0
        while True:
            deadlines = [at for at in (self.server.next_deadline(), self.client.next_deadline()) if at is not None]
            step = min([end, *deadlines])
            stuck = stuck + 1 if step <= self.now else 0
            assert stuck < 5, "a deadline that advance() does not move"
            self.now = max(self.now, step)
            self.server.advance(self.now)
            self.client.advance(self.now)
            new += self.run()
            if self.now >= end:
                return new

    # --- what a client does -------------------------------------------------------------------------------------

    def content(self, text: str, *, turn_complete: bool = True) -> list[ev.Event]:
        self.client.send_client_content({"role": "user", "parts": [{"text": text}]}, turn_complete=turn_complete)
        return self.run()

    def text(self, text: str) -> list[ev.Event]:
        self.client.send_realtime_input(text=text)
        return self.run()

    def audio(self, pcm: bytes, rate: int = 16_000) -> list[ev.Event]:
        self.client.send_realtime_input(audio=pcm, rate=rate)
        return self.run()

    def raw(self, message: str | dict[str, Any]) -> list[ev.Event]:
        """Send a message that the client would refuse to send."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.client._link.send_text(text.encode())
        return self.run()


class Raw:
    """A client without protocol rules: a WebSocket with JSON in and out."""

    def __init__(self, server: Emulator | None = None, endpoint: Endpoint = GEMINI) -> None:
        request = HandshakeRequest(host="localhost", target=endpoint.target, headers=endpoint.headers)
        self.link = WebSocketLink.client(request, timeouts=QUIET)
        self.server = (server or Emulator()).connection()
        self.now = 1000.0
        self.code, self.reason = 0, ""
        self.texts: list[bytes] = []
        self.run()

    def run(self) -> list[dict[str, Any]]:
        got: list[dict[str, Any]] = []
        for _ in range(3):
            self.server.advance(self.now)
            self.server.receive_data(self.link.data_to_send())
            list(self.server.events())
            self.link.receive_data(self.server.data_to_send())
            if self.server.wants.close:
                self.link.receive_eof()
            while (item := self.link.next_event()) is not None:
                if isinstance(item, bytes):
                    self.texts.append(item)
                    got.append(json.loads(item))
                elif isinstance(item, ev.ConnectionClosed):
                    self.code, self.reason = item.info.code, item.info.reason
        return got

    def send(self, message: str | bytes | dict[str, Any]) -> list[dict[str, Any]]:
        text = json.dumps(message, ensure_ascii=False) if isinstance(message, dict) else message
        if self.link.state is ConnectionState.OPEN:
            self.link.send_text(text if isinstance(text, bytes) else text.encode())
        return self.run()

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        self.now += seconds
        return self.run()


def of(events: list[ev.Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def said(events: list[ev.Event]) -> str:
    return "".join(event.text for event in of(events, ev.TextChunk) if not event.thought)


def transcript(events: list[ev.Event]) -> str:
    return "".join(event.text for event in of(events, ev.OutputTranscript))


def pcm(events: list[ev.Event]) -> bytes:
    return b"".join(event.data for event in of(events, ev.AudioChunk))


def messages(events: list[ev.Event]) -> list[LiveServerMessage]:
    return [event.message for event in events if hasattr(event, "message") and event.last]  # type: ignore[attr-defined]


def names(events: list[ev.Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def closed(pair: Pair) -> tuple[int, str]:
    info = pair.client.close_info
    assert info is not None, names(pair.events)
    return info.code, info.reason


def speech(seconds: float, rate: int = 16_000, volume: int = 8000) -> bytes:
    count = int(seconds * rate)
    return struct.pack(f"<{count}h", *(int(volume * math.sin(2 * math.pi * 300 * at / rate)) for at in range(count)))


def silence(seconds: float, rate: int = 16_000) -> bytes:
    return bytes(2 * int(seconds * rate))


def chunks(data: bytes, size: int = 3200) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@contextlib.contextmanager
def connected(*args: Any, **kwargs: Any) -> Iterator[Pair]:
    pair = Pair(*args, **kwargs)
    assert of(pair.events, ev.SetupComplete), names(pair.events)
    yield pair
