"""The other end: an emulated Live service, pure like the rest, for tests, demos and gateways.

`Emulator` is the server, `Emulator.connection` gives the machine for one client. An own model is a class with three
methods that give actions, see `Model`; without one a `Parrot` answers.
"""

from live_protocol.emulator.actions import (
    Action,
    Call,
    Cancel,
    Close,
    Drop,
    End,
    GoAway,
    Model,
    Say,
    Send,
    Show,
    Speak,
    Stall,
    Turn,
    Wait,
)
from live_protocol.emulator.echo_model import Parrot
from live_protocol.emulator.emulator import (
    EmulatedConnection,
    EmulatedMessageConnection,
    Emulator,
    describe_speech,
)
from live_protocol.emulator.options import EmulatorOptions, VoiceOptions

__all__ = [
    "Action",
    "Call",
    "Cancel",
    "Close",
    "Drop",
    "EmulatedConnection",
    "EmulatedMessageConnection",
    "Emulator",
    "EmulatorOptions",
    "End",
    "GoAway",
    "Model",
    "Parrot",
    "Say",
    "Send",
    "Show",
    "Speak",
    "Stall",
    "Turn",
    "VoiceOptions",
    "Wait",
    "describe_speech",
]
