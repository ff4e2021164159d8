"""Why a connection ended, and what to do about it (wire.md#close-codes)."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Final, final

import attrs

from live_protocol._redaction import redact_credentials
from live_protocol.errors import LiveProtocolError
from live_protocol.states import Phase

__all__ = ["CLEAN_CODES", "CloseInfo", "FrameSummary", "Initiator", "diagnose"]

CLEAN_CODES: Final = frozenset({1000, 1001, 1005})
"""Codes of a clean end: normal, going away, no code."""


class Initiator(enum.StrEnum):
    """Who ended the connection."""

    LOCAL = "local"
    """This end, by ``close()``, for a violation of the peer, or at a deadline."""
    REMOTE = "remote"
    """The peer, by its close frame or by refusing the upgrade."""
    TRANSPORT = "transport"
    """Neither: the byte stream ended."""


@final
@attrs.frozen(kw_only=True)
class FrameSummary:
    """One message in a close report: its kind and size, never its content.

    Attributes:
        sent: Whether this end sent it.
        kind: Wire key of its main member, for example ``realtimeInput.audio``.
        size: Bytes of JSON.
        at: Clock reading when it was encoded or decoded; None before the first ``advance()``.
    """

    sent: bool
    kind: str
    size: int
    at: float | None = None


@final
@attrs.frozen(kw_only=True)
class CloseInfo:
    """How and why a connection ended.

    Attributes:
        code: Close code (RFC 6455 section 7.4); 1006 without a close frame, 1005 for a close frame without a code.
        reason: Text of the close frame, from either end.
        clean: Whether the closing handshake completed with 1000, 1001 or no code.
        initiator: Who ended it.
        error: The error that the `ConnectionFailed` event carries; None after a clean end.
        phase: Phase of the session at the end.
        age: Seconds since the first ``advance()``; None without a clock.
        retryable: Whether dialing again can help.
        hint: What to do about it; empty if unknown.
        last_frames: The newest messages of both directions, oldest first.
        pending_tool_calls: Ids of calls that wait for a response.
    """

    code: int
    reason: str = attrs.field(default="", repr=lambda reason: repr(redact_credentials(reason)))
    clean: bool
    initiator: Initiator
    error: LiveProtocolError | None = None
    phase: Phase = Phase.NEW
    age: float | None = None
    retryable: bool = False
    hint: str = ""
    last_frames: Sequence[FrameSummary] = ()
    pending_tool_calls: Sequence[str] = ()


_RETRYABLE_CODES: Final = frozenset({1001, 1006, 1011, 1012, 1013, 1014})

_QUOTA: Final = "The quota is used up: wait for its window or raise it; retrying at once does not help."

# Parts of reasons, in lower case, since the service truncates reasons to 123 bytes; the first match wins. Dialing again
# does not help with any of these, whatever the code.
_FINAL_REASONS: Final[Mapping[str, str]] = {
    "api key not valid": "The service refused the API key: check the key, and that it belongs to this service.",
    "api key not found": "The request had no API key: pass one to Endpoint.gemini().",
    "api key expired": "The API key has expired: renew it.",
    "invalid session handle": "The resumption handle is not valid here: start a new session.",
    "session not found": "The service no longer knows the resumption handle: start a new session.",
    "requested entity was not found": (
        "A resumption handle or a resource is gone: start a new session. On 2.5 models this also happens around tool "
        "calls, as a temporary fault."
    ),
    "setup must be the first": "A gateway or a second writer sent setup twice, or another message before it.",
    "explicit activity control": (
        "activity_start and activity_end need realtime_input_config.automatic_activity_detection.disabled = True."
    ),
    "response modalities": (
        "The model does not serve this modality: set response_modalities to the one that the reason names, AUDIO for "
        "native-audio models."
    ),
    "cannot extract voices": "speech_config needs response_modalities = ['AUDIO'].",
    "sample rate changed": "A session has one sample rate: resample before sending.",
    "thinking level must be": "This model requires thinking_config.thinking_level.",
    "function response scheduling": "This model does not accept FunctionResponse.scheduling: leave it out.",
    "user location is not supported": "The service is not available at the location of this client.",
    # Its end, "Cannot find field", is often cut off.
    "payload received. unknown name": (
        "This API version does not know the named setup field: check where it belongs, or try v1alpha."
    ),
    "invalid value at": "The service does not accept the value of the named field.",
    "is not supported in the live api": "Remove the named option.",
    "is not found for api version": (
        "The model is unknown, or does not support bidiGenerateContent in this API version."
    ),
    "operation is not implemented": (
        "The model does not support an option in the setup. On 2.5 models this also happens around tool calls, as a "
        "temporary fault."
    ),
    "denied access": "The project has no access: see its console.",
    "has not been used in project": "Enable the API in the console of the project.",
    "exceeded your current quota": _QUOTA,
    "resource has been exhausted": _QUOTA,
    "prepayment credits": "The prepaid credit is used up: top it up.",
    "spending cap": "The project has reached its spending cap.",
    "token has been used too many times": "The ephemeral token is used up: mint a new one.",
}

# These mean something under one code only.
_REASONS_BY_CODE: Final[Mapping[tuple[int, str], str]] = {
    (1011, "keepalive ping timeout"): "A WebSocket library in between got no pong in time: resume.",
    (1011, "deadline expired"): "The service gave up on a stalled turn or an old connection: resume.",
    (1011, "internal error"): (
        "The service failed, or the session was resumed while its old connection was alive: retry after about a second."
    ),
    (1007, "request contains an invalid argument"): (
        "The service refused a message but does not say which: see last_frames for the candidates."
    ),
}

_BY_CODE: Final[Mapping[int, str]] = {
    1001: "The peer is going away: reconnect.",
    1002: "The peer reports a protocol error.",
    1003: "The peer does not accept this kind of data.",
    1006: "The network failed, or a process in between died: resume.",
    1007: "The service refused the content of a message.",
    1008: "The service refused the request.",
    1009: "A message was too large for the peer: send smaller ones.",
    1011: "The service failed: retry with backoff.",
    1012: "The service restarts: reconnect.",
    1013: "The service is overloaded: retry later.",
    1014: "A gateway got a bad response: retry.",
}


def diagnose(code: int, reason: str) -> tuple[bool, str]:
    """Explain a close code and reason.

    Args:
        code: Close code.
        reason: Close reason, possibly truncated to 123 bytes.

    Returns:
        Whether dialing again can help, and a hint for a person, which is empty for a normal close.
    """
    text = reason.lower()
    for part, hint in _FINAL_REASONS.items():
        if part in text:
            return False, hint
    retryable = code in _RETRYABLE_CODES
    for (expected, part), hint in _REASONS_BY_CODE.items():
        if code == expected and part in text:
            return retryable, hint
    return retryable, _BY_CODE.get(code, "")
