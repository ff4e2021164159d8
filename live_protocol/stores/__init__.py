"""Where snapshots are kept between processes: the interface, and a store in memory. ``live_transports`` has others."""

from live_protocol.stores.base import HANDLE_TTL, HandleClaimed, HandleStore, StaleSnapshot
from live_protocol.stores.memory import MemoryStore

__all__ = ["HANDLE_TTL", "HandleClaimed", "HandleStore", "MemoryStore", "StaleSnapshot"]
