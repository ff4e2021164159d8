"""One session over many connections: when to leave one, what to send again, what was lost.

Knows connections and drives them one after the other; it opens no transport and waits for nothing. Begin reading in
``persistent``, then the theory of operation in ``lifecycle`` and ``outbox``.
"""

from live_protocol.reconnect.lifecycle import DialRequest, EndpointSource
from live_protocol.reconnect.memory_store import MemoryStore
from live_protocol.reconnect.outbox import MessageCounts, Outbox, OutboxEntry
from live_protocol.reconnect.persistent import PersistentConnection, PersistentOptions
from live_protocol.reconnect.policy import GoAwayPolicy, LateToolResults, NoHandlePolicy, OfflinePolicy, ReconnectPolicy
from live_protocol.reconnect.reconnector import DialAgain, GiveUp, Reconnector, Verdict, verdict
from live_protocol.reconnect.snapshot import VERSION, Snapshot, setup_digest
from live_protocol.reconnect.store import SNAPSHOT_TTL, SnapshotClaimed, SnapshotStore, StaleSnapshot

__all__ = [
    "SNAPSHOT_TTL",
    "VERSION",
    "DialAgain",
    "DialRequest",
    "EndpointSource",
    "GiveUp",
    "GoAwayPolicy",
    "LateToolResults",
    "MemoryStore",
    "MessageCounts",
    "NoHandlePolicy",
    "OfflinePolicy",
    "Outbox",
    "OutboxEntry",
    "PersistentConnection",
    "PersistentOptions",
    "ReconnectPolicy",
    "Reconnector",
    "Snapshot",
    "SnapshotClaimed",
    "SnapshotStore",
    "StaleSnapshot",
    "Verdict",
    "setup_digest",
    "verdict",
]
