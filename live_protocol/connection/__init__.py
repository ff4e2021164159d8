"""A WebSocket link and a Live session, joined: bytes and commands in, events and bytes out.

Knows ``websocket`` and ``session``; it holds no rule of either. Begin reading in ``base``.
"""

from live_protocol.connection.http_fallback import HttpFallback, HttpHandler, HttpRequest, HttpResponse
from live_protocol.connection.live_connection import LiveConnection
from live_protocol.connection.message_connection import (
    AcceptUpgrade,
    CloseWebSocket,
    MessageConnection,
    RefuseUpgrade,
    WebSocketAction,
)

__all__ = [
    "AcceptUpgrade",
    "CloseWebSocket",
    "HttpFallback",
    "HttpHandler",
    "HttpRequest",
    "HttpResponse",
    "LiveConnection",
    "MessageConnection",
    "RefuseUpgrade",
    "WebSocketAction",
]
