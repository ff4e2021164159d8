"""Why a connection ended, and what to do about it (wire.md#close-codes)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, final

import attrs

from live_protocol._redaction import redact_credentials
from live_protocol.errors import LiveProtocolError
from live_protocol.states import Phase

__all__ = ["CLEAN_CODES", "CloseInfo", "FrameSummary", "Initiator", "diagnose"]

CLEAN_CODES: Final = frozenset({1000, 1001, 1005})
"""Codes of an end in peace: normal, going away, none given."""


class Initiator(enum.StrEnum):
    """Who ended the connection."""

    LOCAL = "local"
    """We did: `close()`, a broken rule of the peer, or a deadline."""
    REMOTE = "remote"
    """The peer's close frame, or its refusal of the upgrade, came first."""
    TRANSPORT = "transport"
    """The byte stream ended under both."""


@final
@attrs.frozen(kw_only=True)
class FrameSummary:
    """One message as a close report shows it: what it was, never what it said.

    Attributes:
        sent: True if we sent it, False if it came.
        kind: Wire key of its main member, for example ``realtimeInput.audio``.
        size: Bytes of JSON.
        at: Clock reading when it was encoded or decoded, None before the first ``advance()``.
    """

    sent: bool
    kind: str
    size: int
    at: float | None = None


@final
@attrs.frozen(kw_only=True)
class CloseInfo:
    """Everything known about the end of one connection.

    Attributes:
        code: Close code (RFC 6455 section 7.4); 1006 without a close frame, 1005 for a close frame without a code.
        reason: Text of the close frame, ours or the peer's.
        clean: Whether the closing handshake completed with 1000, 1001 or no code.
        initiator: Who ended it.
        error: What went wrong, the one carried by the `ConnectionFailed` event; None after a clean end.
        phase: Phase of the session at that moment.
        age: Seconds since the first ``advance()``, None without a clock.
        retryable: Whether dialing again can help.
        hint: What to do about it; empty where nothing is known.
        last_frames: The newest messages of both directions, oldest first.
        pending_tool_calls: Ids of calls that still await a response.
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

# (code or None for any, substring in lower case, retryable, hint); the first match wins. Substrings, because the
# service cuts reasons at 123 bytes.
_KNOWN: Final[Sequence[tuple[int | None, str, bool, str]]] = (
    (
        None,
        "api key not valid",
        False,
        "The API key was refused: check the key and that it belongs to this service.",
    ),
    (None, "api key not found", False, "No API key arrived: pass one to Endpoint.gemini()."),
    (None, "api key expired", False, "The API key has expired: renew it."),
    (None, "invalid session handle", False, "The resumption handle is not valid here: start a new session."),
    (None, "session not found", False, "The resumption handle is no longer known: start a new session."),
    (
        None,
        "requested entity was not found",
        False,
        "A resumption handle or a resource is gone, or (2.5 models, around tool calls) a passing fault: "
        "start a new session.",
    ),
    (
        None,
        "setup must be the first",
        False,
        "A gateway or a second writer sent setup twice, or something before it.",
    ),
    (
        None,
        "explicit activity control",
        False,
        "activity_start and activity_end need realtime_input_config.automatic_activity_detection.disabled = True.",
    ),
    (
        None,
        "response modalities",
        False,
        "The model does not serve this modality: set response_modalities to the "
        "one it names, AUDIO for native-audio models.",
    ),
    (None, "cannot extract voices", False, "speech_config needs response_modalities = ['AUDIO']."),
    (None, "sample rate changed", False, "One sample rate per session: resample before sending."),
    (None, "thinking level must be", False, "This model requires thinking_config.thinking_level."),
    (
        None,
        "function response scheduling",
        False,
        "This model does not take FunctionResponse.scheduling: leave it out.",
    ),
    (
        None,
        "user location is not supported",
        False,
        "The service is not offered where this request came from.",
    ),
    (
        None,
        "payload received. unknown name",  # the end, "Cannot find field", is often cut off
        False,
        "The API version does not know this setup field: check its place, or try v1alpha.",
    ),
    (None, "invalid value at", False, "The named field has a value that the service does not take."),
    (None, "is not supported in the live api", False, "Remove the named option."),
    (
        None,
        "is not found for api version",
        False,
        "The model is unknown, or does not do bidiGenerateContent in this version.",
    ),
    (
        None,
        "operation is not implemented",
        False,
        "The model does not support something in the setup; on 2.5 models also a passing fault around tool calls.",
    ),
    (None, "denied access", False, "The project has been denied access: see the project's console."),
    (None, "has not been used in project", False, "Enable the API in the project's console."),
    (
        None,
        "exceeded your current quota",
        False,
        "Quota is used up: wait for its window or raise it, do not hammer.",
    ),
    (
        None,
        "resource has been exhausted",
        False,
        "Quota is used up: wait for its window or raise it, do not hammer.",
    ),
    (None, "prepayment credits", False, "Prepaid credit is used up: top it up."),
    (None, "spending cap", False, "The project's spending cap was reached."),
    (None, "token has been used too many times", False, "The ephemeral token is spent: mint a new one."),
    (
        1011,
        "keepalive ping timeout",
        True,
        "A WebSocket library on the way gave up waiting for a pong: resume.",
    ),
    (1011, "deadline expired", True, "The service gave up on a stalled turn or an old connection: resume."),
    (
        1011,
        "internal error",
        True,
        "A fault of the service, or a resume while the old connection still lives: retry after about a second.",
    ),
    (
        1007,
        "request contains an invalid argument",
        False,
        "The service refused a message without saying which: see last_frames for the candidates.",
    ),
)

_BY_CODE: Final = {
    1001: "The other end is going away: reconnect.",
    1002: "The other end saw a protocol error.",
    1003: "The other end does not take this kind of data.",
    1006: "The network was lost, or a process on the way died: resume.",
    1007: "The service refused the content of a message.",
    1008: "The service refused the request.",
    1009: "A message was too big for the other end: send smaller ones.",
    1011: "A fault of the service: retry with backoff.",
    1012: "The service restarts: reconnect.",
    1013: "The service is overloaded: retry later.",
    1014: "A gateway got a bad answer: retry.",
}


def diagnose(code: int, reason: str) -> tuple[bool, str]:
    """What a close code and reason mean.

    Args:
        code: Close code.
        reason: Close reason, possibly cut at 123 bytes.

    Returns:
        Whether dialing again can help, and a hint for a person; the hint is empty for a normal close.
    """
    text = reason.lower()
    for known, part, retryable, hint in _KNOWN:
        if part in text and known in (None, code):
            return retryable, hint
    return code in _RETRYABLE_CODES, _BY_CODE.get(code, "")
