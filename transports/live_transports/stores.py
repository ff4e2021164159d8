"""Stores of snapshots that do I/O: files on one machine, and Redis for many. Both are `SnapshotStore`s and block.

From an event loop call them in a thread. Both keep the resumption handle, so keep both as private as the conversations.
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

    Files are replaced whole and readable by their owner only; a lock file keeps two processes from interleaving. A
    small file stays of each key that was ever used.

    Args:
        directory: Where; made if missing.
        clock: Gives the time of day in seconds; all workers have to agree about it.

    Raises:
        OSError: The directory cannot be made.
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
            InvalidMessage: What is stored is no snapshot that this version reads.
            OSError: The file cannot be read.
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
            StaleSnapshot: There is another version. Nothing was saved.
            SnapshotClaimed: Another owner has a claim. Nothing was saved.
            OSError: The file cannot be written. Nothing was saved.
        """
        with self._locked(key):
            state = self._read(key)
            self._check_claim(key, state, owner)
            found = state["version"] if state.get("snapshot") is not None else None
            if found != expected:
                raise StaleSnapshot(key, expected, found)
            state["version"] = version = int(state.get("version", 0)) + 1
            state["snapshot"] = snapshot.to_json()
            state["expires"] = self._clock() + ttl
            self._write(key, state)
        return version

    def claim(self, key: str, owner: str, *, ttl: float) -> None:
        """See `SnapshotStore.claim`.

        Raises:
            SnapshotClaimed: Another owner has a claim. Nothing has changed.
            OSError: The file cannot be written. Nothing has changed.
        """
        with self._locked(key):
            state = self._read(key)
            self._check_claim(key, state, owner)
            state["claim"] = [owner, self._clock() + ttl]
            self._write(key, state)

    def release(self, key: str, owner: str) -> None:
        """See `SnapshotStore.release`.

        Raises:
            OSError: The file cannot be written. Nothing has changed.
        """
        with self._locked(key):
            state = self._read(key)
            if state.get("claim") is not None and state["claim"][0] == owner:
                state["claim"] = None
                self._write(key, state)

    def delete(self, key: str) -> None:
        """See `SnapshotStore.delete`. The version goes on counting, so that a late `save` is noticed.

        Raises:
            OSError: The file cannot be written. Nothing has changed.
        """
        with self._locked(key):
            state = self._read(key)
            if state:
                self._write(key, {"version": state.get("version", 0)})

    # --- inside -------------------------------------------------------------------------------------------------

    def _path(self, key: str) -> Path:
        # Any text is a key, and on some systems names have a bound, or their case does not count.
        return self._directory / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        descriptor = os.open(self._path(key).with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)  # which also unlocks

    def _read(self, key: str) -> dict[str, Any]:
        try:
            state = json.loads(self._path(key).read_text(encoding="ascii"))
        except FileNotFoundError:
            return {}
        except ValueError:
            state = None
        if not isinstance(state, dict):
            raise InvalidMessage("snapshot", f"the file of {key!r} is not one of this store")
        if state.get("expires", 0.0) <= self._clock():
            state["snapshot"] = None
        return state

    def _write(self, key: str, state: dict[str, Any]) -> None:
        path = self._path(key)
        name = path.with_suffix(".tmp")  # one for each key, so that a crash here leaves no more than one behind
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
    """What `RedisStore` needs of a client of redis-py, with or without ``decode_responses``."""

    def eval(self, script: str, numkeys: int, /, *keys_and_args: Any) -> Any:
        """Run a Lua script."""
        ...


# KEYS: state, claim, counter of versions. A script is atomic. Times are Redis's own, in milliseconds. The counter
# outlives the state by a day, so that a worker that was asleep does not find its version again.
_LOAD: Final = "return redis.call('HMGET', KEYS[1], 'version', 'snapshot')"
_SAVE: Final = """
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return {'claimed', ''} end
local found = redis.call('HGET', KEYS[1], 'version') or ''
if found ~= ARGV[2] then return {'stale', found} end
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
    """A `SnapshotStore` in Redis; every operation is one script, so it is atomic, in a cluster too.

    Args:
        client: A client of redis-py, or anything with its ``eval``.
        prefix: What all keys begin with.
    """

    def __init__(self, client: RedisClient, *, prefix: str = "live:") -> None:
        self._client = client
        self._prefix = prefix
        self._close: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"RedisStore(prefix={self._prefix!r})"

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "live:", **options: Any) -> Self:
        """A store behind a URL; needs the extra ``redis``.

        Args:
            url: As redis-py takes it, for example ``redis://localhost:6379/0``.
            prefix: What all keys begin with.
            **options: Of ``redis.Redis.from_url``.

        Raises:
            ImportError: redis-py is not installed.
            ValueError: The URL is none of Redis.
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
        """Close the connections of `from_url`; a client that was handed in stays as it is."""
        if self._close is not None:
            self._close()

    def load(self, key: str) -> tuple[Snapshot, int] | None:
        """See `SnapshotStore.load`; errors of the client come as they are.

        Raises:
            InvalidMessage: What is stored is no snapshot that this version reads.
        """
        version, snapshot = self._run(_LOAD, key)
        return None if version is None else (Snapshot.from_json(snapshot), int(version))

    def save(
        self, key: str, snapshot: Snapshot, *, expected: int | None, owner: str | None = None, ttl: float = SNAPSHOT_TTL
    ) -> int:
        """See `SnapshotStore.save`; errors of the client come as they are.

        Raises:
            StaleSnapshot: There is another version. Nothing was saved.
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
        """See `SnapshotStore.claim`; errors of the client come as they are.

        Raises:
            SnapshotClaimed: Another owner has a claim. Nothing has changed.
        """
        if not self._run(_CLAIM, key, owner, _ms(ttl)):
            raise SnapshotClaimed(key)

    def release(self, key: str, owner: str) -> None:
        """See `SnapshotStore.release`; errors of the client come as they are."""
        self._run(_RELEASE, key, owner)

    def delete(self, key: str) -> None:
        """See `SnapshotStore.delete`; errors of the client come as they are."""
        self._run(_DELETE, key)

    def _run(self, script: str, key: str, *arguments: str) -> Any:
        # The braces put the three keys of a session on one node of a cluster.
        base = f"{self._prefix}{{{key}}}"
        return self._client.eval(script, 3, f"{base}:state", f"{base}:claim", f"{base}:version", *arguments)


def _ms(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
