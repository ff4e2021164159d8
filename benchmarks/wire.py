"""Seeded audio and the WebSocket frames around it: what both sides are fed, built by neither of them."""

from __future__ import annotations

import base64
import json
import math
import random
import struct
from typing import Any, Final

MODEL: Final = "models/benchmark"
INPUT_RATE: Final = 16_000
OUTPUT_RATE: Final = 24_000
SEED: Final = 20_261_122

TEXT: Final = 0x1
BINARY: Final = 0x2

Seen = tuple[bytes | None, str | None]
"""What both sides read out of a server message: its audio and its transcript."""

SETUP_COMPLETE: Final[dict[str, Any]] = {"setupComplete": {}}
TURN_COMPLETE: Final[dict[str, Any]] = {"serverContent": {"turnComplete": True}}


def pcm(milliseconds: int, rate: int) -> bytes:
    """Mono 16-bit audio: a tone under noise, the same on every call."""
    noise = random.Random(SEED + milliseconds + rate)
    samples = (
        int(9_000 * math.sin(2 * math.pi * 220 * index / rate)) + noise.randint(-3_000, 3_000)
        for index in range(rate * milliseconds // 1000)
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)


def model_message(audio: bytes | None = None, transcript: str | None = None) -> dict[str, Any]:
    """A chunk of model audio, a piece of its transcript, or both in one message, as newer models send it."""
    content: dict[str, Any] = {}
    if audio is not None:
        blob = {"mimeType": f"audio/pcm;rate={OUTPUT_RATE}", "data": base64.b64encode(audio).decode()}
        content["modelTurn"] = {"parts": [{"inlineData": blob}]}
    if transcript is not None:
        content["outputTranscription"] = {"text": transcript}
    return {"serverContent": content}


def server_text(message: dict[str, Any]) -> bytes:
    """JSON as the service writes it: indented by two spaces, one newline at the end."""
    return (json.dumps(message, indent=2, ensure_ascii=False) + "\n").encode()


def server_frame(payload: bytes, opcode: int = BINARY) -> bytes:
    """One whole unmasked frame, RFC 6455 section 5.2; the service sends binary ones."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + payload


def audio_frame(milliseconds: int) -> bytes:
    """The wire bytes of one server frame that carries this much audio and nothing else."""
    return server_frame(server_text(model_message(pcm(milliseconds, OUTPUT_RATE))))


def open_client_frame(frame: bytes) -> bytes:
    """Payload of one whole masked text frame; raises ``ValueError`` on anything else."""
    opcode, size, at = frame[0] & 0x0F, frame[1] & 0x7F, 2
    if not frame[0] & 0x80 or opcode != TEXT or not frame[1] & 0x80:
        raise ValueError("not a whole masked text frame")
    if size >= 126:
        width = 2 if size == 126 else 8
        size, at = int.from_bytes(frame[at : at + width], "big"), at + width
    key, payload = frame[at : at + 4], frame[at + 4 :]
    if len(payload) != size:
        raise ValueError(f"the frame holds {len(payload)} bytes, its head says {size}")
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def audio_of_client_frame(frame: bytes) -> bytes:
    """The audio of a client's realtime input frame, whichever casing and base64 alphabet it uses."""
    message = json.loads(open_client_frame(frame))
    blob = (message.get("realtimeInput") or message["realtime_input"])["audio"]
    if (blob.get("mimeType") or blob["mime_type"]) != f"audio/pcm;rate={INPUT_RATE}":
        raise ValueError("the frame declares another sample format")
    return base64.b64decode(blob["data"].replace("-", "+").replace("_", "/"), validate=True)
