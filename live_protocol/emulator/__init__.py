"""An emulated Live service for tests, demos and gateways.

Knows connections and everything below them; only test tools and adapters know it. Begin reading in ``emulator``, then
``session``. Models are in ``actions``: a model is a class with three methods that return actions.
"""

from live_protocol.emulator.actions import (
    Call,
    Cancel,
    Close,
    Drop,
    EndTurn,
    Model,
    ModelAction,
    Say,
    Send,
    SendGoAway,
    Show,
    Speak,
    Stall,
    UserTurn,
    Wait,
)
from live_protocol.emulator.echo_model import EchoModel
from live_protocol.emulator.emulator import (
    EmulatedConnection,
    EmulatedMessageConnection,
    Emulator,
    describe_speech,
)
from live_protocol.emulator.options import EmulatorOptions, VoiceOptions

__all__ = [
    "Call",
    "Cancel",
    "Close",
    "Drop",
    "EchoModel",
    "EmulatedConnection",
    "EmulatedMessageConnection",
    "Emulator",
    "EmulatorOptions",
    "EndTurn",
    "Model",
    "ModelAction",
    "Say",
    "Send",
    "SendGoAway",
    "Show",
    "Speak",
    "Stall",
    "UserTurn",
    "VoiceOptions",
    "Wait",
    "describe_speech",
]
