"""From what a test author writes to checked steps."""

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
    MEMBERS,
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

__all__ = [
    "audio_messages",
    "check_order",
    "check_seconds",
    "expectation",
    "kinds_of",
    "raw",
    "server_message",
    "step_name",
]

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
    """A name in snake_case, whatever casing it came in."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[\s-]+", "_", name.strip()).lower()


def _kind(what: object) -> str:
    name = KINDS.get(what) if isinstance(what, type) else step_name(what) if isinstance(what, str) else None
    if name is None or name not in KINDS.values():
        said = what.__name__ if isinstance(what, type) else repr(what)
        raise InvalidMessage("expect", f"{said} is nothing that a client says; {suggest(str(name), KINDS.values())}")
    return name


def kinds_of(kinds: Iterable[object]) -> frozenset[str]:
    """Kinds of client messages by their names or event classes.

    Raises:
        InvalidMessage: One is none.
    """
    return frozenset(_kind(kind) for kind in kinds)


def expectation(what: object, patterns: Mapping[str, Any], **facts: Any) -> Expect:
    """An expectation of one message.

    Raises:
        InvalidMessage: There is no such message, or it has no such field.
    """
    kind = _kind(what)
    if kind in MEMBERS:
        known = {key for field in fields(_CLASSES[kind]) for key in (field.name, field.json)}
        for name in patterns:
            if name not in known and name != "extra":
                advice = suggest(step_name(name), [field.name for field in fields(_CLASSES[kind])])
                raise InvalidMessage(kind, f"has no field {name!r}; {advice}")
    return Expect(kind, dict(patterns), {name: pattern for name, pattern in facts.items() if pattern is not None})


def server_message(message: object) -> LiveServerMessage:
    """A message of the server, of a dict too.

    Raises:
        InvalidMessage: It does not fit.
    """
    if isinstance(message, LiveServerMessage):
        return message
    if isinstance(message, Mapping):
        return from_dict(LiveServerMessage, message, "message")
    raise InvalidMessage("message", f"expected LiveServerMessage or a dict of it, got {type(message).__name__}")


def raw(data: object) -> str | bytes:
    """The payload of a WebSocket message.

    Raises:
        InvalidMessage: It is none.
    """
    if isinstance(data, Mapping):
        try:
            return json.dumps(dict(data), ensure_ascii=False).encode()
        except (TypeError, ValueError):
            failure = InvalidMessage("data", "the dict is no JSON")
        raise failure
    if isinstance(data, (str, bytes)):
        return data
    raise InvalidMessage("data", f"expected str, bytes or a dict, got {type(data).__name__}")


def check_seconds(path: str, seconds: object, *, least: float = 0.0) -> None:
    """Refuse what is no span of time.

    Raises:
        InvalidMessage: It is not.
    """
    number = seconds if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else math.nan
    if not least <= number < math.inf:
        raise InvalidMessage(path, f"must be a {'positive ' if least else ''}number of seconds, not {seconds!r}")


def audio_messages(seconds: float, data: bytes | None, rate: int) -> tuple[list[LiveServerMessage], float]:
    """Audio as the service sends it; gives its length too.

    Raises:
        InvalidMessage: The length or the rate is none.
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
        return [_spoken(audio, chunk) for chunk in chunks], audio.seconds(len(data))
    raise failure


def _spoken(audio: AudioFormat, chunk: bytes) -> LiveServerMessage:
    part = Part(inline_data=Blob(mime_type=audio.mime_type, data=chunk))
    return LiveServerMessage(server_content=LiveServerContent(model_turn=Content(parts=[part])))


def check_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Refuse steps that could never be reached.

    Raises:
        InvalidMessage: There are some.
    """
    doing = [step for step in steps if not isinstance(step, (LabelStep, IgnoreStep))]
    for at, step in enumerate(doing):
        before = doing[at - 1] if at else None
        if isinstance(before, (CloseStep, DropStep, RejectStep)):
            raise InvalidMessage("playbook", f"nothing can follow {before.title!r}, but {step.title!r} does")
        if isinstance(step, ExpectUpgrade) and before is not None:
            raise InvalidMessage("playbook", "expect_upgrade has to be the first step")
        if isinstance(step, RejectStep) and not (before is None or (at == 1 and isinstance(before, ExpectUpgrade))):
            raise InvalidMessage(
                "playbook", "an upgrade can be rejected only as the first step, or after expect_upgrade"
            )
    return tuple(steps)
