"""A WebSocket link and a Live session, joined: bytes and commands in, events and bytes out.

Knows ``websocket`` and ``session``; it holds no rule of either. Begin reading in ``base``.
"""

from live_protocol.connection.http_fallback import Answer, HttpFront, HttpRequest, HttpResponse
from live_protocol.connection.live_connection import LiveConnection
from live_protocol.connection.message_connection import (
    AcceptUpgrade,
    Action,
    CloseWebSocket,
    MessageConnection,
    RefuseUpgrade,
)

__all__ = [
    "AcceptUpgrade",
    "Action",
    "Answer",
    "CloseWebSocket",
    "HttpFront",
    "HttpRequest",
    "HttpResponse",
    "LiveConnection",
    "MessageConnection",
    "RefuseUpgrade",
]
