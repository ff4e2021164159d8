"""Snapshot stores with I/O: files for one machine, Redis for many. Both implement `SnapshotStore` and block.

In an event loop, call them in a thread. Stored snapshots contain resumption handles; protect them like conversations.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, Self, cast, final

from live_protocol.errors import InvalidMessage
from live_protocol.reconnect import SNAPSHOT_TTL, Snapshot, SnapshotClaimed, StaleSnapshot

__all__ = ["FileStore", "RedisClient", "RedisStore"]


# --- files ------------------------------------------------------------------------------------------------------


@final
class FileStore:
    """A `SnapshotStore` with one file for each key, for workers on one machine that share a directory.

    Files are replaced atomically, and only their owner can read them. A lock file for each key serializes processes;
    it stays after `delete`. Every method raises OSError if a file cannot be read or written; nothing has changed then.

    Args:
        directory: The directory; created if missing.
        clock: Returns the time of day in seconds, the same for all workers.

    Raises:
        OSError: The directory cannot be created.
    """

    def __init__(self, directory: str | os.PathLike[str], *, clock: Callable[[], float] = time.time) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clock = clock

    def __repr__(self) -> str:
        return f"FileStore({str(self._directory)!r})"

    def load(self, key: str) -> tuple[Snapshot, int] | None:
        """See `SnapshotStore.load`.

        Raises:
            InvalidMessage: This version cannot read the stored snapshot.
        """
        with self._locked(key):
            state = self._read(key)
        if state.get("snapshot") is None:
            return None
        return Snapshot.from_json(state["snapshot"]), int(state["version"])

    def save(
        self, key: str, snapshot: Snapshot, *, expected: int | None, owner: str | None = None, ttl: float = SNAPSHOT_TTL
    ) -> int:
        """See `SnapshotStore.save`.

        Raises:
            StaleSnapshot: The stored version is not ``expected``. Nothing was saved.
            SnapshotClaimed: Another owner has a claim. Nothing was saved.
        """
        with self._locked(key):
            state = self._read(key)
            self._check_claim(key, state, owner)
            current = state["version"] if state.get("snapshot") is not None else None
            if current != expected:
                raise StaleSnapshot(key, expected, current)
            state["version"] = version = int(state.get("version", 0)) + 1
            state["snapshot"] = snapshot.to_json()
            state["expires"] = self._clock() + ttl
            self._write(key, state)
        return version

    def claim(self, key: str, owner: str, *, ttl: float) -> None:
        """See `SnapshotStore.claim`.

        Raises:
            SnapshotClaimed: Another owner has a claim. Nothing changed.
        """
        with self._locked(key):
            state = self._read(key)
            self._check_claim(key, state, owner)
            state["claim"] = [owner, self._clock() + ttl]
            self._write(key, state)

    def release(self, key: str, owner: str) -> None:
        """See `SnapshotStore.release`."""
        with self._locked(key):
            state = self._read(key)
            if state.get("claim") is not None and state["claim"][0] == owner:
                state["claim"] = None
                self._write(key, state)

    def delete(self, key: str) -> None:
        """See `SnapshotStore.delete`. Versions continue to count, so a late `save` fails."""
        with self._locked(key):
            state = self._read(key)
            if state:
                self._write(key, {"version": state.get("version", 0)})

    # --- inside -------------------------------------------------------------------------------------------------

    def _path(self, key: str) -> Path:
        # A key is any text, but file names may be limited in length or ignore case.
        return self._directory / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        descriptor = os.open(self._path(key).with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)  # also unlocks

    def _read(self, key: str) -> dict[str, Any]:
        try:
            state = json.loads(self._path(key).read_text(encoding="ascii"))
        except FileNotFoundError:
            return {}
        except ValueError:
            state = None
        if not isinstance(state, dict):
            raise InvalidMessage("snapshot", f"the file for {key!r} is damaged")
        if state.get("expires", 0.0) <= self._clock():
            state["snapshot"] = None
        return state

    def _write(self, key: str, state: dict[str, Any]) -> None:
        path = self._path(key)
        name = path.with_suffix(".tmp")  # a fixed name, so that crashes leave one file at most
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(state, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise

    def _check_claim(self, key: str, state: dict[str, Any], owner: str | None) -> None:
        claim = state.get("claim")
        if claim is not None and claim[0] != owner and claim[1] > self._clock():
            raise SnapshotClaimed(key)


def _lock(descriptor: int) -> None:
    try:
        import fcntl  # noqa: PLC0415 - not on every system
    except ImportError:
        import msvcrt  # noqa: PLC0415

        locking: Any = msvcrt
        locking.locking(descriptor, locking.LK_LOCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


# --- Redis ------------------------------------------------------------------------------------------------------


class RedisClient(Protocol):
    """The part of a redis-py client that `RedisStore` uses, with or without ``decode_responses``."""

    def eval(self, script: str, numkeys: int, /, *keys_and_args: Any) -> Any:
        """Run a Lua script."""
        ...


# KEYS: state, claim, counter of versions. Scripts are atomic. Times are in milliseconds, by Redis's clock. The counter
# outlives the state by a day: a worker that slept meanwhile must not meet its old version number again.
_LOAD: Final = "return redis.call('HMGET', KEYS[1], 'version', 'snapshot')"
_SAVE: Final = """
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return {'claimed', ''} end
local current = redis.call('HGET', KEYS[1], 'version') or ''
if current ~= ARGV[2] then return {'stale', current} end
local version = redis.call('INCR', KEYS[3])
redis.call('PEXPIRE', KEYS[3], ARGV[4] + 86400000)
redis.call('HSET', KEYS[1], 'version', version, 'snapshot', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'saved', tostring(version)}
"""
_CLAIM: Final = """
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE: Final = "if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end return 1"
_DELETE: Final = "redis.call('DEL', KEYS[1], KEYS[2]) return 1"


@final
class RedisStore:
    """A `SnapshotStore` in Redis. Operations are atomic scripts, also in a cluster; errors of the client propagate.

    Args:
        client: A redis-py client, or any object with its ``eval``.
        prefix: Prefix of all keys.
    """

    def __init__(self, client: RedisClient, *, prefix: str = "live:") -> None:
        self._client = client
        self._prefix = prefix
        self._close: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"RedisStore(prefix={self._prefix!r})"

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "live:", **options: Any) -> Self:
        """Return a store for a URL; needs the extra ``redis``.

        Args:
            url: A URL of redis-py, for example ``redis://localhost:6379/0``.
            prefix: Prefix of all keys.
            **options: Arguments for ``redis.Redis.from_url``.

        Raises:
            ImportError: redis-py is not installed.
            ValueError: The URL is not a Redis URL.
        """
        try:
            import redis  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ImportError("RedisStore.from_url needs redis-py: install live-protocol[redis]") from error
        client = redis.Redis.from_url(url, **options)
        store = cls(cast("RedisClient", client), prefix=prefix)
        store._close = client.close
        return store

    def close(self) -> None:
        """Close the connections that `from_url` opened; a client from outside stays open."""
        if self._close is not None:
            self._close()

    def load(self, key: str) -> tuple[Snapshot, int] | None:
        """See `SnapshotStore.load`.

        Raises:
            InvalidMessage: This version cannot read the stored snapshot.
        """
        version, snapshot = self._run(_LOAD, key)
        return None if version is None else (Snapshot.from_json(snapshot), int(version))

    def save(
        self, key: str, snapshot: Snapshot, *, expected: int | None, owner: str | None = None, ttl: float = SNAPSHOT_TTL
    ) -> int:
        """See `SnapshotStore.save`.

        Raises:
            StaleSnapshot: The stored version is not ``expected``. Nothing was saved.
            SnapshotClaimed: Another owner has a claim. Nothing was saved.
        """
        wanted = "" if expected is None else str(expected)
        outcome, version = map(_text, self._run(_SAVE, key, owner or "", wanted, snapshot.to_json(), _ms(ttl)))
        if outcome == "claimed":
            raise SnapshotClaimed(key)
        if outcome == "stale":
            raise StaleSnapshot(key, expected, int(version) if version else None)
        return int(version)

    def claim(self, key: str, owner: str, *, ttl: float) -> None:
        """See `SnapshotStore.claim`.

        Raises:
            SnapshotClaimed: Another owner has a claim. Nothing changed.
        """
        if not self._run(_CLAIM, key, owner, _ms(ttl)):
            raise SnapshotClaimed(key)

    def release(self, key: str, owner: str) -> None:
        """See `SnapshotStore.release`."""
        self._run(_RELEASE, key, owner)

    def delete(self, key: str) -> None:
        """See `SnapshotStore.delete`."""
        self._run(_DELETE, key)

    def _run(self, script: str, key: str, *arguments: str) -> Any:
        # The braces put the three keys of a session on one node of a cluster.
        base = f"{self._prefix}{{{key}}}"
        return self._client.eval(script, 3, f"{base}:state", f"{base}:claim", f"{base}:version", *arguments)


def _ms(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
