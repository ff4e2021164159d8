"""The interface of a store of snapshots, and its errors."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from live_protocol.errors import StaleOperation
from live_protocol.reconnect.snapshot import Snapshot

SNAPSHOT_TTL: Final = 2 * 3600.0
"""Seconds for which a handle can be used after the end of its connection on Gemini (wire.md#handles)."""


class StaleSnapshot(StaleOperation):
    """Another worker has saved or deleted the snapshot meanwhile; nothing was saved.

    Attributes:
        key: Key of the snapshot.
        expected: Version to replace; None if none was expected.
        found: Version in the store; None if there is none.
    """

    def __init__(self, key: str, expected: int | None, found: int | None) -> None:
        super().__init__(f"snapshot {key!r}: expected version {expected}, found {found}; load it again")
        self.key = key
        self.expected = expected
        self.found = found


class SnapshotClaimed(StaleOperation):
    """Another worker has claimed the session; nothing was done.

    Attributes:
        key: Key of the snapshot.
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"snapshot {key!r} is claimed by another worker; it goes on with the session")
        self.key = key


@runtime_checkable
class SnapshotStore(Protocol):
    """Stores snapshots by key. Only one worker at a time may turn a snapshot into a session.

    The order of a worker: `claim`, `load`, `PersistentConnection.restore`, `save` with the version it has loaded
    whenever there is something new, and finally `release`, or `delete` if the session is over. Every operation is
    atomic; all times are in seconds. A store that does I/O also raises its own errors.
    """

    def load(self, key: str) -> tuple[Snapshot, int] | None:
        """The snapshot and its version; None if there is none, or if it has expired.

        Raises:
            InvalidMessage: This version of the library cannot read the stored snapshot.
        """
        ...

    def save(
        self, key: str, snapshot: Snapshot, *, expected: int | None, owner: str | None = None, ttl: float = SNAPSHOT_TTL
    ) -> int:
        """Replace the snapshot; gives its new version.

        Args:
            key: Key of the snapshot.
            snapshot: The new one.
            expected: Version that it replaces; None if there is none yet.
            owner: Name of the worker; needed if the session is claimed.
            ttl: Time until it expires.

        Raises:
            StaleSnapshot: There is another version. Nothing was saved.
            SnapshotClaimed: Another owner has a claim. Nothing was saved.
        """
        ...

    def claim(self, key: str, owner: str, *, ttl: float) -> None:
        """Claim the session, or renew the claim; it works without a snapshot too.

        Args:
            key: Key of the snapshot.
            owner: Name of the worker, different for each.
            ttl: Time until the claim expires, unless it is renewed.

        Raises:
            SnapshotClaimed: Another owner has a claim. Nothing has changed.
        """
        ...

    def release(self, key: str, owner: str) -> None:
        """Give up the claim; does nothing if it is another worker's, or if there is none."""
        ...

    def delete(self, key: str) -> None:
        """Forget snapshot and claim; does nothing if there is none."""
        ...
