"""ROOM"""

from live_protocol.codec.codec import Codec

__all__ = [
    "Codec",
]
