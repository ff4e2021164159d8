"""The interface of a store of snapshots, and what it refuses."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from live_protocol.errors import StaleOperation
from live_protocol.reconnect.snapshot import Snapshot

__all__ = ["SNAPSHOT_TTL", "SnapshotClaimed", "SnapshotStore", "StaleSnapshot"]

SNAPSHOT_TTL: Final = 2 * 3600.0
"""Seconds for which a handle stays good after the end of its connection on Gemini (wire.md#handles)."""


class StaleSnapshot(StaleOperation):
    """Somebody else has saved or deleted the snapshot meanwhile; nothing was saved.

    Attributes:
        key: Which.
        expected: The version that was to be replaced; None: there was to be none.
        found: The version there is; None: there is none.
    """

    def __init__(self, key: str, expected: int | None, found: int | None) -> None:
        super().__init__(f"snapshot {key!r}: expected version {expected}, found {found}; load it again")
        self.key = key
        self.expected = expected
        self.found = found


class SnapshotClaimed(StaleOperation):
    """Another worker has claimed the session; nothing was done.

    Attributes:
        key: Which.
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"snapshot {key!r} is claimed by another worker; it goes on with the session")
        self.key = key


@runtime_checkable
class SnapshotStore(Protocol):
    """Snapshots by key, of which only one worker at a time may make a session.

    The order of a worker: `claim`, `load`, `PersistentConnection.restore`, `save` with the version it has loaded
    whenever there is something new, and finally `release`, or `delete` where the session is over. Every operation is
    atomic; all times are in seconds. A store that does I/O raises its own errors besides.
    """

    def load(self, key: str) -> tuple[Snapshot, int] | None:
        """The snapshot and its version; None where there is none, or it has expired.

        Raises:
            InvalidMessage: What is stored is no snapshot that this version reads.
        """
        ...

    def save(
        self, key: str, snapshot: Snapshot, *, expected: int | None, owner: str | None = None, ttl: float = SNAPSHOT_TTL
    ) -> int:
        """Replace the snapshot; gives its new version.

        Args:
            key: Which.
            snapshot: The new one.
            expected: Version that it replaces; None where there is to be none.
            owner: Who saves; needed where the session is claimed.
            ttl: Until it expires.

        Raises:
            StaleSnapshot: There is another version. Nothing was saved.
            SnapshotClaimed: Another owner has a claim. Nothing was saved.
        """
        ...

    def claim(self, key: str, owner: str, *, ttl: float) -> None:
        """Take the session, or go on holding it; there need be no snapshot.

        Args:
            key: Which.
            owner: Name of the worker, different for each.
            ttl: Until the claim expires, unless it is renewed.

        Raises:
            SnapshotClaimed: Another owner has a claim. Nothing has changed.
        """
        ...

    def release(self, key: str, owner: str) -> None:
        """Let go of the session; where the claim is another's, or there is none, nothing happens."""
        ...

    def delete(self, key: str) -> None:
        """Forget snapshot and claim; where there is none, nothing happens."""
        ...
