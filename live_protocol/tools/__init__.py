"""Functions of the application, declared to the model, checked and answered.

Knows messages and the codec, no session: running a tool is the adapters' part. Begin reading in ``declare``.
"""

from live_protocol.tools.declare import DeclaredFunction, InvalidToolCall, ToolRegistry, declare, respond

__all__ = [
    "DeclaredFunction",
    "InvalidToolCall",
    "ToolRegistry",
    "declare",
    "respond",
]
