"""ROOM"""

from live_protocol.tools.declare import BadToolCall, Declared, ToolRegistry, declare, respond

__all__ = [
    "BadToolCall",
    "Declared",
    "ToolRegistry",
    "declare",
    "respond",
]
