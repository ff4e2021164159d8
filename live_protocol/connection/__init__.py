"""A WebSocket link and a Live session, joined: bytes and commands in, events and bytes out.

Knows ``websocket`` and ``session``; it holds no rule of either. Begin reading in ``base``.
"""

from live_protocol.connection.http_fallback import HttpFallback, HttpHandler, HttpRequest, HttpResponse
from live_protocol.connection.live_connection import LiveConnection
from live_protocol.connection.message_connection import MessageConnection
from live_protocol.connection.options import ConnectionOptions, ConnectOptions, ServeOptions, SessionOptions
from live_protocol.connection.protocols import (
    ByteConnection,
    ByteServerConnection,
    Connection,
    MessageServerConnection,
    ServerConnection,
)
from live_protocol.websocket.external_link import AcceptUpgrade, CloseWebSocket, RefuseUpgrade, WebSocketAction

__all__ = [
    "AcceptUpgrade",
    "ByteConnection",
    "ByteServerConnection",
    "CloseWebSocket",
    "ConnectOptions",
    "Connection",
    "ConnectionOptions",
    "HttpFallback",
    "HttpHandler",
    "HttpRequest",
    "HttpResponse",
    "LiveConnection",
    "MessageConnection",
    "MessageServerConnection",
    "RefuseUpgrade",
    "ServeOptions",
    "ServerConnection",
    "SessionOptions",
    "WebSocketAction",
]
