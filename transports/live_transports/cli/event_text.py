"""Events as JSON objects and as lines for people, without secrets and control characters."""

from __future__ import annotations

import base64
import enum
import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never, cast

import attrs

from live_protocol import events as ev
from live_protocol._redaction import REDACTED, redact_tokens
from live_protocol.close_info import CloseInfo
from live_protocol.errors import LiveProtocolError
from live_protocol.messages import LiveClientRealtimeInput, UsageMetadata

Headline: TypeAlias = tuple[str, str]
"""What happened, and the details."""

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """A peer's text without control characters and without anything that looks like a key."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", redact_tokens(text))


def one_line(text: str) -> str:
    """The same, on a single line."""
    return printable(text).replace("\n", "\\n").replace("\t", " ")


# --- JSON -------------------------------------------------------------------------------------------------------


def describe(event: ev.Event, *, full: bool = False) -> dict[str, Any]:
    """An event as plain JSON values: its class name under ``type``, then its fields.

    Secrets are always left out.

    Args:
        event: Any event.
        full: Include payloads as base64 or text, instead of their size in bytes.
    """
    shown: dict[str, Any] = {"type": type(event).__name__}
    for field in attrs.fields(type(event)):
        if field.name.startswith("_"):
            continue
        value = getattr(event, field.name)
        if isinstance(event, ev.Undecodable) and field.name == "data":
            value = value.encode(errors="surrogatepass") if isinstance(value, str) else value
        elif isinstance(event, ev.UpgradeRequested) and field.name == "target":
            value = value.partition("?")[0]
        shown[field.name] = REDACTED if field.repr is False and value else _plain(value, full=full)
    return shown


def to_json(value: Mapping[str, Any]) -> str:
    """One line of ASCII JSON."""
    return json.dumps(value, separators=(",", ":"))


def _plain(value: Any, *, full: bool) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return redact_tokens(value)
    if isinstance(value, bytes | bytearray | memoryview):
        size = {"size": len(value)}
        return size | {"base64": base64.b64encode(value).decode()} if full else size
    if isinstance(value, BaseException):
        return {"class": type(value).__name__, "text": redact_tokens(str(value))}
    if isinstance(value, datetime):
        return value.isoformat()
    if attrs.has(type(value)):
        return _fields(value, full=full)
    if isinstance(value, Mapping):
        members = cast("Mapping[object, Any]", value)
        return {str(key): _plain(member, full=full) for key, member in members.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, full=full) for item in cast("list[Any]", value)]
    return str(value)


def _fields(value: Any, *, full: bool) -> dict[str, Any]:
    """The fields of a message that are present."""
    shown: dict[str, Any] = {}
    for field in attrs.fields(type(value)):
        member = getattr(value, field.name)
        if member is None or member == () or (field.name == "extra" and not member):
            continue
        shown[field.name] = REDACTED if field.repr is False and member else _plain(member, full=full)
    return shown


# --- lines for people -------------------------------------------------------------------------------------------


def headline(event: ev.Event) -> Headline:
    """What happened in two or three words, and the details in one line."""
    if isinstance(event, _LINK):
        label, detail = _link(event)
    else:
        label, detail = _reconnect(event) if isinstance(event, _RECONNECT) else _session(event)
    if getattr(event, "unexpected", False):
        detail = f"{detail} [unexpected here]".strip()
    if getattr(event, "stale", False):
        detail = f"{detail} [stale]".strip()
    return label, one_line(detail)


_LINK: Final = (
    ev.UpgradeRequested,
    ev.Connected,
    ev.UpgradeRejected,
    ev.PingReceived,
    ev.PongReceived,
    ev.ConnectionClosed,
)
_ConnectionEvent: TypeAlias = (
    ev.UpgradeRequested | ev.Connected | ev.UpgradeRejected | ev.PingReceived | ev.PongReceived | ev.ConnectionClosed
)
_RECONNECT: Final = (ev.Reconnecting, ev.Reconnected, ev.InputLost)


def _link(event: _ConnectionEvent) -> Headline:
    match event:
        case ev.UpgradeRequested():
            return "upgrade requested", event.target.partition("?")[0]
        case ev.Connected():
            return "connected", "compressed" if event.compression else ""
        case ev.UpgradeRejected():
            return "rejected", f"HTTP {event.status}"
        case ev.PingReceived():
            return "ping", ""
        case ev.PongReceived():
            return "pong", "" if event.rtt is None else f"after {1000 * event.rtt:.0f} ms"
        case ev.ConnectionClosed():
            return "closed", _closed(event.info)
        case _:
            assert_never(event)


def _reconnect(event: ev.Reconnecting | ev.Reconnected | ev.InputLost) -> Headline:
    match event:
        case ev.Reconnecting():
            return "reconnecting", f"try {event.attempt} in {event.delay:g} s: {event.reason}; {_closed(event.info)}"
        case ev.Reconnected():
            how = "the session continues" if event.resumed else "a new session"
            return "reconnected", f"connection {event.epoch} after {event.downtime:.1f} s, {how}"
        case ev.InputLost():
            certain = "" if event.certain else " perhaps"
            return "input lost", f"{event.count} messages{certain}: {event.reason}"
        case _:
            assert_never(event)


def _session(event: ev.SessionEvent) -> Headline:
    match event:
        case ev.ConnectionFailed():
            return "failed", _error(event.error)
        case ev.SetupComplete():
            return "setup complete", f"session {event.session_id}" if event.session_id else ""
        case ev.GoAway():
            return "go away", "" if event.time_left is None else f"{event.time_left:g} s left"
        case ev.ResumptionUpdated():
            return "resumption", ("new handle" if event.handle else "") if event.resumable else "not possible now"
        case ev.TurnStarted():
            return f"turn {event.generation}", "started"
        case ev.Interrupted():
            return "interrupted", f"turn {event.generation} was cut off"
        case ev.GenerationComplete():
            return "generation complete", ""
        case ev.WaitingForInput():
            return "waiting for input", ""
        case ev.TurnComplete():
            more = "" if event.interaction_complete else "more turns follow"
            return "turn complete", "; ".join(filter(None, (str(event.reason or ""), more)))
        case ev.InteractionStatusChanged():
            return "interaction", str(event.status)
        case ev.UsageUpdated():
            return "usage", _usage(event.usage)
        case ev.VoiceActivityDetected():
            at = "" if event.audio_offset is None else f" at {event.audio_offset:g} s"
            return "voice activity", f"{event.kind or event.signal}{at}"
        case ev.StallSuspected():
            return "stall suspected", f"{event.kind} for {event.silence:.1f} s"
        case ev.AudioChunk():
            return "audio", f"{event.format.seconds(len(event.data)):.2f} s"
        case ev.TextChunk():
            return "thought" if event.thought else "text", event.text
        case ev.InlineDataChunk():
            return "data", f"{event.blob.mime_type}, {len(event.blob.data or b'')} bytes"
        case ev.ExecutableCodeReceived():
            return "code", event.code.code or ""
        case ev.CodeExecutionResultReceived():
            return "code result", f"{event.result.outcome}: {event.result.output or ''}"
        case ev.PartReceived():
            return "part", ", ".join(_fields(event.part, full=False))
        case ev.InputTranscript():
            return "heard", event.text
        case ev.InterimInputTranscript():
            return "hearing", event.text
        case ev.OutputTranscript():
            return "said", event.text
        case ev.ToolCallRequested():
            arguments = json.dumps(event.call.args or {}, ensure_ascii=False)
            return "tool call", f"{event.call.name}({arguments}) id={event.call.id or '-'}"
        case ev.ToolCallCancelled():
            return "tool cancelled", f"id={event.call_id}" + ("" if event.known else " (not open here)")
        case ev.Grounding():
            return "grounding", f"{len(event.metadata.grounding_chunks)} sources"
        case ev.UrlContextRetrieved():
            return "url context", f"{len(event.metadata.url_metadata)} pages"
        case ev.UnknownMessage():
            return "unknown message", ", ".join(event.fields)
        case ev.Undecodable():
            return "undecodable", f"{len(event.data)} bytes: {_error(event.error)}"
        case ev.ServerError():
            return "server error", " ".join(filter(None, (str(event.code or ""), event.status, event.text)))
        case ev.SetupReceived():
            return "setup", event.setup.model or ""
        case ev.ClientContentReceived():
            texts = [part.text or "..." for turn in event.content.turns for part in turn.parts]
            return "client content", " | ".join(texts) or "(go on)"
        case ev.RealtimeInputReceived():
            return "realtime input", _realtime(event.input)
        case ev.ToolResponseReceived():
            answers = [f"{r.name or '?'} id={r.id or '-'} {json.dumps(r.response or {})}" for r in event.responses]
            return "tool response", "; ".join(answers)
        case ev.ContextUpdateReceived():
            return "context update", ", ".join(_fields(event.update, full=False))
        case _:
            assert_never(event)


def _realtime(message: LiveClientRealtimeInput) -> str:
    if message.text is not None:
        return f"text {message.text}"
    blobs = [blob for blob in (message.audio, message.video, *message.media_chunks) if blob is not None]
    media = [f"{blob.mime_type}, {len(blob.data or b'')} bytes" for blob in blobs]
    return "; ".join(media) or ", ".join(_fields(message, full=False))


def _usage(usage: UsageMetadata) -> str:
    counts = (
        ("prompt", usage.prompt_token_count),
        ("response", usage.response_token_count),
        ("total", usage.total_token_count),
    )
    return ", ".join(f"{name} {count}" for name, count in counts if count is not None) + " tokens"


def _error(error: LiveProtocolError) -> str:
    return f"{type(error).__name__}: {error}"


def _closed(info: CloseInfo) -> str:
    parts = [f"{info.code}{f' {info.reason!r}' if info.reason else ''}", f"by {info.initiator}"]
    if info.pending_tool_calls:
        parts.append(f"{len(info.pending_tool_calls)} tool calls open")
    if info.hint and not info.clean:
        parts.append(info.hint)
    return ", ".join(parts)
