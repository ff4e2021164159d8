"""The Live protocol over whole messages: phases, turns, tool calls, resumption.

Knows messages and the codec, and no WebSocket. Begin reading in ``live_session``, then ``receiving`` and ``sending``.
"""

from live_protocol.session.activity import ActivityWindow
from live_protocol.session.carried import CarriedState
from live_protocol.session.commands import ClientCommands
from live_protocol.session.live_session import LiveSession
from live_protocol.session.profiles import PROFILES, ModelProfile, audio_gate, profile_for, supports_scheduling
from live_protocol.session.requests import (
    AudioInput,
    ConfigInput,
    ContentInput,
    InstructionInput,
    MarkerInput,
    ResponseInput,
    ResponsesInput,
    ToolInput,
    TurnsInput,
    build_setup,
    check_realtime_input,
    check_setup,
    client_content,
    context_update,
    realtime_input,
    tool_responses,
)
from live_protocol.session.resumption import Resumption
from live_protocol.session.tool_calls import ToolCallTracker, TrackedToolCall, key_of
from live_protocol.session.turns import TurnStep
from live_protocol.session.usage import ByModality, Usage

__all__ = [
    "PROFILES",
    "ActivityWindow",
    "AudioInput",
    "ByModality",
    "CarriedState",
    "ClientCommands",
    "ConfigInput",
    "ContentInput",
    "InstructionInput",
    "LiveSession",
    "MarkerInput",
    "ModelProfile",
    "ResponseInput",
    "ResponsesInput",
    "Resumption",
    "ToolCallTracker",
    "ToolInput",
    "TrackedToolCall",
    "TurnStep",
    "TurnsInput",
    "Usage",
    "audio_gate",
    "build_setup",
    "check_realtime_input",
    "check_setup",
    "client_content",
    "context_update",
    "key_of",
    "profile_for",
    "realtime_input",
    "supports_scheduling",
    "tool_responses",
]
