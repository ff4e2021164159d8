"""One session over many connections: when to leave, what to send again, what was lost.

Knows connections and drives them one after the other; it dials nothing and waits for nothing. Begin reading in
``persistent``.
"""

from live_protocol.reconnect.memory_store import MemoryStore
from live_protocol.reconnect.outbox import Entry, Outbox, Tally
from live_protocol.reconnect.persistent import ConnectOptions, DialRequest, EndpointSource, PersistentConnection
from live_protocol.reconnect.policy import Gap, GoAwayPolicy, LateResults, ReconnectPolicy, WithoutHandle
from live_protocol.reconnect.reconnector import Dial, GiveUp, Reconnector, Verdict, verdict
from live_protocol.reconnect.snapshot import VERSION, Snapshot, setup_digest
from live_protocol.reconnect.store import HANDLE_TTL, HandleClaimed, HandleStore, StaleSnapshot

__all__ = [
    "HANDLE_TTL",
    "VERSION",
    "ConnectOptions",
    "Dial",
    "DialRequest",
    "EndpointSource",
    "Entry",
    "Gap",
    "GiveUp",
    "GoAwayPolicy",
    "HandleClaimed",
    "HandleStore",
    "LateResults",
    "MemoryStore",
    "Outbox",
    "PersistentConnection",
    "ReconnectPolicy",
    "Reconnector",
    "Snapshot",
    "StaleSnapshot",
    "Tally",
    "Verdict",
    "WithoutHandle",
    "setup_digest",
    "verdict",
]
