"""The other end: an emulated Live service, pure like the rest, for tests, demos and gateways.

`Emulator` is the server, `Emulator.connection` gives the machine for one client. An own model is a class with three
methods that give actions, see `Model`; without one an `EchoModel` answers.
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
