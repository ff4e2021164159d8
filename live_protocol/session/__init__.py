"""The Live protocol over whole messages: phases, turns, tool calls, resumption.

Knows messages and the codec, and no WebSocket. Begin reading in ``live_session``, then ``receiving`` and ``sending``.
"""

from live_protocol.session.activity import ActivityWindow
from live_protocol.session.commands import ClientVerbs
from live_protocol.session.live_session import LiveSession
from live_protocol.session.profiles import PROFILES, ModelProfile, audio_gate, profile_for, takes_scheduling
from live_protocol.session.requests import (
    AudioInput,
    ConfigInput,
    ContentInput,
    InstructionInput,
    Marker,
    ResponseInput,
    Responses,
    ToolInput,
    Turns,
    build_setup,
    check_realtime_input,
    check_setup,
    client_content,
    context_update,
    realtime_input,
    tool_responses,
)
from live_protocol.session.resumption import Resumption
from live_protocol.session.tool_calls import ToolCall, ToolCalls, key_of
from live_protocol.session.turns import TurnStep
from live_protocol.session.usage import ByModality, Usage

__all__ = [
    "PROFILES",
    "ActivityWindow",
    "AudioInput",
    "ByModality",
    "ClientVerbs",
    "ConfigInput",
    "ContentInput",
    "InstructionInput",
    "LiveSession",
    "Marker",
    "ModelProfile",
    "ResponseInput",
    "Responses",
    "Resumption",
    "ToolCall",
    "ToolCalls",
    "ToolInput",
    "TurnStep",
    "Turns",
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
    "takes_scheduling",
    "tool_responses",
]
