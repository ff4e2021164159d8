"""Declares Python functions to the model, checks its calls against them, and builds the answers.

Knows messages and the codec, but no session: running a function is the adapters' part. Begin reading in ``declare``.
"""

from live_protocol.tools.declare import DeclaredFunction, declare
from live_protocol.tools.registry import ToolRegistry
from live_protocol.tools.respond import InvalidToolCall, respond

__all__ = [
    "DeclaredFunction",
    "InvalidToolCall",
    "ToolRegistry",
    "declare",
    "respond",
]
