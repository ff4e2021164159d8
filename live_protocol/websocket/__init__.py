"""RFC 6455 and RFC 7692 without I/O: handshake, frames, keepalive, close.

Knows nothing of Live. Begin reading in ``link``; ``frames`` has the reader.
"""

from live_protocol.websocket.handshake import (
    ClientHandshake,
    HandshakeRequest,
    Refusal,
    ServerHandshake,
    Upgraded,
    refusal_hint,
)
from live_protocol.websocket.link import WebSocketLink
from live_protocol.websocket.link_core import Observation, Observer, Wants

__all__ = [
    "ClientHandshake",
    "HandshakeRequest",
    "Observation",
    "Observer",
    "Refusal",
    "ServerHandshake",
    "Upgraded",
    "Wants",
    "WebSocketLink",
    "refusal_hint",
]
