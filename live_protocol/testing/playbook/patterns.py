"""Checks what the author of a playbook writes, and turns it into steps and messages."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from live_protocol.codec.decoding import from_dict
from live_protocol.codec.schema import fields
from live_protocol.errors import InvalidMessage
from live_protocol.messages import (
    Blob,
    Content,
    LiveClientContent,
    LiveClientContextUpdate,
    LiveClientRealtimeInput,
    LiveClientSetup,
    LiveClientToolResponse,
    LiveServerContent,
    LiveServerMessage,
    Part,
)
from live_protocol.messages.audio_format import AudioFormat
from live_protocol.testing.playbook.steps import (
    KINDS,
    CloseStep,
    DropStep,
    Expect,
    ExpectUpgrade,
    IgnoreStep,
    LabelStep,
    RejectStep,
    Step,
)
from live_protocol.testing.suggestions import suggest

_CHUNK: Final = 0.24  # seconds, as recorded (wire.md#audio)
_TONE: Final = 440.0
_CLASSES: Final[Mapping[str, type]] = {
    "setup": LiveClientSetup,
    "client_content": LiveClientContent,
    "realtime_input": LiveClientRealtimeInput,
    "tool_response": LiveClientToolResponse,
    "context_update": LiveClientContextUpdate,
}


def step_name(name: str) -> str:
    """Convert a name in any casing to snake_case."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[\s-]+", "_", name.strip()).lower()


def _kind(what: object) -> str:
    name = KINDS.get(what) if isinstance(what, type) else step_name(what) if isinstance(what, str) else None
    if name is None or name not in KINDS.values():
        label = what.__name__ if isinstance(what, type) else repr(what)
        raise InvalidMessage("expect", f"{label} is not a client message; {suggest(str(name), KINDS.values())}")
    return name


def kinds_of(kinds: Iterable[object]) -> frozenset[str]:
    """Return the kinds of client messages for names or event classes.

    Raises:
        InvalidMessage: One is not a client message.
    """
    return frozenset(_kind(kind) for kind in kinds)


def expectation(what: object, patterns: Mapping[str, Any], **facts: Any) -> Expect:
    """Return an expectation of one message.

    Raises:
        InvalidMessage: There is no such message, or it has no such field.
    """
    kind = _kind(what)
    if kind in _CLASSES:
        keys = {key for field in fields(_CLASSES[kind]) for key in (field.name, field.json)}
        for name in patterns:
            if name not in keys and name != "extra":
                advice = suggest(step_name(name), [field.name for field in fields(_CLASSES[kind])])
                raise InvalidMessage(kind, f"has no field {name!r}; {advice}")
    return Expect(kind, dict(patterns), {name: pattern for name, pattern in facts.items() if pattern is not None})


def server_message(message: object) -> LiveServerMessage:
    """Return a server message; a dict is converted.

    Raises:
        InvalidMessage: A field is unknown or has the wrong type.
    """
    if isinstance(message, LiveServerMessage):
        return message
    if isinstance(message, Mapping):
        return from_dict(LiveServerMessage, message, "message")
    raise InvalidMessage("message", f"expected LiveServerMessage or a dict of it, got {type(message).__name__}")


def raw(data: object) -> str | bytes:
    """Return the payload of a WebSocket message.

    Raises:
        InvalidMessage: The type is wrong, or the dict cannot be encoded as JSON.
    """
    if isinstance(data, Mapping):
        try:
            return json.dumps(dict(data), ensure_ascii=False).encode()
        except (TypeError, ValueError):
            failure = InvalidMessage("data", "the dict cannot be encoded as JSON")
        raise failure
    if isinstance(data, (str, bytes)):
        return data
    raise InvalidMessage("data", f"expected str, bytes or a dict, got {type(data).__name__}")


def check_seconds(path: str, seconds: object, *, least: float = 0.0) -> None:
    """Check a number of seconds.

    Raises:
        InvalidMessage: It is not a finite number of at least ``least``.
    """
    number = seconds if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else math.nan
    if not least <= number < math.inf:
        raise InvalidMessage(path, f"must be a {'positive ' if least else ''}number of seconds, not {seconds!r}")


def audio_messages(seconds: float, data: bytes | None, rate: int) -> tuple[list[LiveServerMessage], float]:
    """Split audio into messages as the service does; return them and the audio's length in seconds.

    Raises:
        InvalidMessage: The length is not positive, or the rate is not supported.
    """
    try:
        audio = AudioFormat(rate)
    except ValueError as error:
        failure = InvalidMessage("rate", str(error))
    else:
        if data is None:
            check_seconds("seconds", seconds, least=1e-9)
            count = round(seconds * rate)
            turn = 2 * math.pi * _TONE / rate
            data = struct.pack(f"<{count}h", *(int(3000 * math.sin(turn * at)) for at in range(count)))
        size = audio.size(_CHUNK)
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        return [_audio_message(audio, chunk) for chunk in chunks], audio.seconds(len(data))
    raise failure


def _audio_message(audio: AudioFormat, chunk: bytes) -> LiveServerMessage:
    part = Part(inline_data=Blob(mime_type=audio.mime_type, data=chunk))
    return LiveServerMessage(server_content=LiveServerContent(model_turn=Content(parts=[part])))


def check_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Check that every step can be reached.

    Raises:
        InvalidMessage: One cannot.
    """
    ordered = [step for step in steps if not isinstance(step, (LabelStep, IgnoreStep))]
    for at, step in enumerate(ordered):
        before = ordered[at - 1] if at else None
        if isinstance(before, (CloseStep, DropStep, RejectStep)):
            raise InvalidMessage("playbook", f"nothing can follow {before.title!r}, but {step.title!r} does")
        if isinstance(step, ExpectUpgrade) and before is not None:
            raise InvalidMessage("playbook", "expect_upgrade has to be the first step")
        if isinstance(step, RejectStep) and not (before is None or (at == 1 and isinstance(before, ExpectUpgrade))):
            raise InvalidMessage(
                "playbook", "an upgrade can be rejected only as the first step, or after expect_upgrade"
            )
    return tuple(steps)
