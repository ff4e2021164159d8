"""JSON text to messages and back, without state.

Knows the classes of ``messages`` and the two dialects, and nothing of sessions. Begin reading in ``codec``.
"""

from live_protocol.codec.codec import Codec

__all__ = [
    "Codec",
]
