"""The service's end, emulated: for tests, demos and gateways, without I/O like the rest.

Knows the protocol's rooms but ``reconnect``; only ``testing`` knows this one. Begin reading in ``emulator``; a model of
your own is a class with the three methods of `Model` in ``actions``.
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
