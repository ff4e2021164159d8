"""ROOM"""

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
