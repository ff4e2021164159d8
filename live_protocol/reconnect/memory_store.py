"""Snapshots in memory, for one process and for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from live_protocol.reconnect.snapshot import Snapshot
from live_protocol.reconnect.store import SNAPSHOT_TTL, SnapshotClaimed, StaleSnapshot


@final
class MemoryStore:
    """A `SnapshotStore` that keeps the JSON of snapshots in a dictionary. For one thread.

    Args:
        clock: Gives the reading of any monotonic clock, in seconds.
        max_snapshots: Number of snapshots that are kept. Beyond it the one that was saved longest ago is forgotten.
    """

    def __init__(self, clock: Callable[[], float], *, max_snapshots: int = 10_000) -> None:
        self._clock = clock
        self._max_snapshots = max_snapshots
        self._version = 0
        self._entries: dict[str, tuple[int, str, float]] = {}
        self._claims: dict[str, tuple[str, float]] = {}

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._entries)}>"

    def load(self, key: str) -> tuple[Snapshot, int] | None:
        """See `SnapshotStore.load`."""
        version = self._current(key)
        return None if version is None else (Snapshot.from_json(self._entries[key][1]), version)

    def save(
        self, key: str, snapshot: Snapshot, *, expected: int | None, owner: str | None = None, ttl: float = SNAPSHOT_TTL
    ) -> int:
        """See `SnapshotStore.save`."""
        self._check_claim(key, owner)
        version = self._current(key)
        if version != expected:
            raise StaleSnapshot(key, expected, version)
        self._version += 1
        self._entries.pop(key, None)
        self._entries[key] = (self._version, snapshot.to_json(), self._clock() + ttl)
        while len(self._entries) > self._max_snapshots:
            del self._entries[next(iter(self._entries))]
        return self._version

    def claim(self, key: str, owner: str, *, ttl: float) -> None:
        """See `SnapshotStore.claim`."""
        self._check_claim(key, owner)
        now = self._clock()
        self._claims = {name: claim for name, claim in self._claims.items() if claim[1] > now}
        self._claims[key] = (owner, now + ttl)

    def release(self, key: str, owner: str) -> None:
        """See `SnapshotStore.release`."""
        if self._claims.get(key, ("", 0.0))[0] == owner:
            del self._claims[key]

    def delete(self, key: str) -> None:
        """See `SnapshotStore.delete`."""
        self._entries.pop(key, None)
        self._claims.pop(key, None)

    def _current(self, key: str) -> int | None:
        entry = self._entries.get(key)
        if entry is not None and entry[2] <= self._clock():
            del self._entries[key]
            entry = None
        return None if entry is None else entry[0]

    def _check_claim(self, key: str, owner: str | None) -> None:
        claim = self._claims.get(key)
        if claim is not None and claim[0] != owner and claim[1] > self._clock():
            raise SnapshotClaimed(key)
