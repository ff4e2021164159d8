"""Every state and every transition, as data. This module does not know which role we play.

Each table maps (state, input) to the next state; a missing pair is a move the protocol does not have. The sender of a
message must stay inside the table, its receiver decides what an illegal move costs. The diagrams in docs/ are generated
from here.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

__all__ = [
    "ACTIVITY_TRANSITIONS",
    "CONNECTION_TRANSITIONS",
    "PHASE_TRANSITIONS",
    "TOOL_CALL_TRANSITIONS",
    "TURN_TRANSITIONS",
    "ActivityInput",
    "ActivityState",
    "ConnectionInput",
    "ConnectionState",
    "Phase",
    "PhaseInput",
    "ToolCallInput",
    "ToolCallState",
    "TurnInput",
    "TurnState",
]


# --- link: RFC 6455 sections 4 and 7 ----------------------------------------------------------------------------


class ConnectionState(enum.StrEnum):
    """Life of the WebSocket connection."""

    CONNECTING = "CONNECTING"
    """The opening handshake is in progress."""
    OPEN = "OPEN"
    """Messages flow."""
    CLOSING = "CLOSING"
    """A close frame went or came, or the link failed; nothing but closing is left."""
    CLOSED = "CLOSED"
    """The transport has ended."""


class ConnectionInput(enum.StrEnum):
    """Inputs that move the link."""

    UPGRADED = "UPGRADED"
    """The opening handshake succeeded."""
    LOCAL_CLOSE = "LOCAL_CLOSE"
    """We began the closing handshake."""
    REMOTE_CLOSE = "REMOTE_CLOSE"
    """The peer's close frame arrived."""
    FAIL = "FAIL"
    """The peer broke a rule or a deadline; we say why and stop reading."""
    END = "END"
    """The transport ended, or the close deadline passed."""


CONNECTION_TRANSITIONS: Final[Mapping[tuple[ConnectionState, ConnectionInput], ConnectionState]] = {
    (ConnectionState.CONNECTING, ConnectionInput.UPGRADED): ConnectionState.OPEN,
    (ConnectionState.CONNECTING, ConnectionInput.LOCAL_CLOSE): ConnectionState.CLOSING,
    (ConnectionState.CONNECTING, ConnectionInput.FAIL): ConnectionState.CLOSING,
    (ConnectionState.CONNECTING, ConnectionInput.END): ConnectionState.CLOSED,
    (ConnectionState.OPEN, ConnectionInput.LOCAL_CLOSE): ConnectionState.CLOSING,
    (ConnectionState.OPEN, ConnectionInput.REMOTE_CLOSE): ConnectionState.CLOSING,
    (ConnectionState.OPEN, ConnectionInput.FAIL): ConnectionState.CLOSING,
    (ConnectionState.OPEN, ConnectionInput.END): ConnectionState.CLOSED,
    (ConnectionState.CLOSING, ConnectionInput.REMOTE_CLOSE): ConnectionState.CLOSING,
    (ConnectionState.CLOSING, ConnectionInput.FAIL): ConnectionState.CLOSING,
    (ConnectionState.CLOSING, ConnectionInput.END): ConnectionState.CLOSED,
}
"""Moves of the WebSocket connection."""


# --- phase of the session: wire.md#handshake and wire.md#session-lifetime ---------------------------------------


class Phase(enum.StrEnum):
    """How far the session has come."""

    NEW = "NEW"
    """Nothing was sent yet; ``setup`` comes first."""
    SETUP_SENT = "SETUP_SENT"
    """``setup`` is on its way; ``setupComplete`` is awaited."""
    READY = "READY"
    """Both ends may speak."""
    DRAINING = "DRAINING"
    """``goAway`` was announced; everything still works until the connection ends."""
    ENDED = "ENDED"
    """The connection is over."""


class PhaseInput(enum.StrEnum):
    """Messages that matter to the phase, and the end."""

    SETUP = "SETUP"
    """Client: ``setup``."""
    CLIENT_MESSAGE = "CLIENT_MESSAGE"
    """Client: anything else."""
    SETUP_COMPLETE = "SETUP_COMPLETE"
    """Server: ``setupComplete``."""
    SERVER_MESSAGE = "SERVER_MESSAGE"
    """Server: anything but ``setupComplete`` and ``goAway``."""
    GO_AWAY = "GO_AWAY"
    """Server: ``goAway``."""
    END = "END"
    """The connection ended."""


PHASE_TRANSITIONS: Final[Mapping[tuple[Phase, PhaseInput], Phase]] = {
    (Phase.NEW, PhaseInput.SETUP): Phase.SETUP_SENT,
    (Phase.NEW, PhaseInput.END): Phase.ENDED,
    (Phase.SETUP_SENT, PhaseInput.SETUP_COMPLETE): Phase.READY,
    (Phase.SETUP_SENT, PhaseInput.GO_AWAY): Phase.SETUP_SENT,
    (Phase.SETUP_SENT, PhaseInput.END): Phase.ENDED,
    (Phase.READY, PhaseInput.CLIENT_MESSAGE): Phase.READY,
    (Phase.READY, PhaseInput.SERVER_MESSAGE): Phase.READY,
    (Phase.READY, PhaseInput.GO_AWAY): Phase.DRAINING,
    (Phase.READY, PhaseInput.END): Phase.ENDED,
    (Phase.DRAINING, PhaseInput.CLIENT_MESSAGE): Phase.DRAINING,
    (Phase.DRAINING, PhaseInput.SERVER_MESSAGE): Phase.DRAINING,
    (Phase.DRAINING, PhaseInput.GO_AWAY): Phase.DRAINING,
    (Phase.DRAINING, PhaseInput.END): Phase.ENDED,
    (Phase.ENDED, PhaseInput.END): Phase.ENDED,
}
"""Moves of the session."""


# --- turn of the model: wire.md#turn-state ----------------------------------------------------------------------


class TurnState(enum.StrEnum):
    """Where the model is in its turn."""

    IDLE = "IDLE"
    """No turn is running."""
    GENERATING = "GENERATING"
    """Output of the turn is arriving."""
    GENERATED = "GENERATED"
    """All output was sent; the turn ends when it would have been played."""
    INTERRUPTED = "INTERRUPTED"
    """Generation was cut; what still arrives of it is stale until the turn ends."""


class TurnInput(enum.StrEnum):
    """Signals of the server about its turn."""

    OUTPUT = "OUTPUT"
    """Model output: parts, output transcription, grounding or a tool call."""
    GENERATION_COMPLETE = "GENERATION_COMPLETE"
    """``generationComplete``."""
    INTERRUPTED = "INTERRUPTED"
    """``interrupted``."""
    TURN_COMPLETE = "TURN_COMPLETE"
    """``turnComplete``."""


TURN_TRANSITIONS: Final[Mapping[tuple[TurnState, TurnInput], TurnState]] = {
    (TurnState.IDLE, TurnInput.OUTPUT): TurnState.GENERATING,
    (TurnState.IDLE, TurnInput.GENERATION_COMPLETE): TurnState.GENERATED,
    (TurnState.IDLE, TurnInput.INTERRUPTED): TurnState.INTERRUPTED,
    (TurnState.IDLE, TurnInput.TURN_COMPLETE): TurnState.IDLE,
    (TurnState.GENERATING, TurnInput.OUTPUT): TurnState.GENERATING,
    (TurnState.GENERATING, TurnInput.GENERATION_COMPLETE): TurnState.GENERATED,
    (TurnState.GENERATING, TurnInput.INTERRUPTED): TurnState.INTERRUPTED,
    (TurnState.GENERATING, TurnInput.TURN_COMPLETE): TurnState.IDLE,
    (TurnState.GENERATED, TurnInput.INTERRUPTED): TurnState.INTERRUPTED,
    (TurnState.GENERATED, TurnInput.TURN_COMPLETE): TurnState.IDLE,
    (TurnState.INTERRUPTED, TurnInput.TURN_COMPLETE): TurnState.IDLE,
}
"""Moves of the model's turn."""


# --- one tool call, by id: wire.md#function-calling -------------------------------------------------------------


class ToolCallState(enum.StrEnum):
    """State of one tool call."""

    PENDING = "PENDING"
    """Requested; a response is owed."""
    STREAMING = "STREAMING"
    """Answered with ``willContinue``; more responses are owed."""
    ANSWERED = "ANSWERED"
    """The final response was sent."""
    CANCELLED = "CANCELLED"
    """Cancelled by the server; no response may be sent."""


class ToolCallInput(enum.StrEnum):
    """Inputs that move a call after it was requested."""

    RESPOND = "RESPOND"
    """A final response."""
    RESPOND_MORE = "RESPOND_MORE"
    """A response with ``willContinue``."""
    CANCEL = "CANCEL"
    """``toolCallCancellation``."""


TOOL_CALL_TRANSITIONS: Final[Mapping[tuple[ToolCallState, ToolCallInput], ToolCallState]] = {
    (ToolCallState.PENDING, ToolCallInput.RESPOND): ToolCallState.ANSWERED,
    (ToolCallState.PENDING, ToolCallInput.RESPOND_MORE): ToolCallState.STREAMING,
    (ToolCallState.PENDING, ToolCallInput.CANCEL): ToolCallState.CANCELLED,
    (ToolCallState.STREAMING, ToolCallInput.RESPOND): ToolCallState.ANSWERED,
    (ToolCallState.STREAMING, ToolCallInput.RESPOND_MORE): ToolCallState.STREAMING,
    (ToolCallState.STREAMING, ToolCallInput.CANCEL): ToolCallState.CANCELLED,
    (ToolCallState.CANCELLED, ToolCallInput.CANCEL): ToolCallState.CANCELLED,
}
"""Moves of one tool call."""


# --- activity window, when automatic detection is off: wire.md#activity -----------------------------------------


class ActivityState(enum.StrEnum):
    """Whether the user's activity window is open."""

    AUTOMATIC = "AUTOMATIC"
    """The server detects activity; explicit control is refused with 1007."""
    OUTSIDE = "OUTSIDE"
    """No window is open."""
    INSIDE = "INSIDE"
    """Between ``activityStart`` and ``activityEnd``."""


class ActivityInput(enum.StrEnum):
    """Realtime input that matters to the window."""

    START = "START"
    """``activityStart``."""
    END = "END"
    """``activityEnd``."""
    MEDIA = "MEDIA"
    """Audio or video."""
    STREAM_END = "STREAM_END"
    """``audioStreamEnd``."""


ACTIVITY_TRANSITIONS: Final[Mapping[tuple[ActivityState, ActivityInput], ActivityState]] = {
    (ActivityState.AUTOMATIC, ActivityInput.MEDIA): ActivityState.AUTOMATIC,
    (ActivityState.AUTOMATIC, ActivityInput.STREAM_END): ActivityState.AUTOMATIC,
    (ActivityState.OUTSIDE, ActivityInput.START): ActivityState.INSIDE,
    (ActivityState.INSIDE, ActivityInput.MEDIA): ActivityState.INSIDE,
    (ActivityState.INSIDE, ActivityInput.END): ActivityState.OUTSIDE,
}
"""Moves of the user's activity window."""
