"""Stores of snapshots: in memory, in files, and in a real Redis that the tests start."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT

from core.reconnect.world import EAGER, Witness, World, text_of
from live_protocol.emulator import Emulator, Say, UserTurn
from live_protocol.errors import InvalidMessage, StaleOperation
from live_protocol.reconnect import SNAPSHOT_TTL, MemoryStore, Snapshot, SnapshotClaimed, SnapshotStore, StaleSnapshot
from live_protocol.testing import FakeClock
from live_transports.stores import FileStore, RedisStore

Expire = Callable[[], None]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "redis.sock"
    # A socket in the folder instead of a port: no two runs can meet.
    command = [
        program,
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--dir",
        str(folder),
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if "ready to accept connections" in line.lower():
                    break
            yield f"unix://{path}"
        finally:
            server.terminate()
            server.stdout.read()


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[Any]:
    redis = pytest.importorskip("redis")
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(params=["memory", "file", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[SnapshotStore, Expire]:
    clock = FakeClock(1_000_000.0)
    if request.param == "memory":
        return MemoryStore(clock), lambda: void(clock.advance(61.0))
    if request.param == "file":
        return FileStore(tmp_path / "a" / "b", clock=clock), lambda: void(clock.advance(61.0))
    client = request.getfixturevalue("redis_client")

    def expire() -> None:
        for key in client.scan_iter():
            if 0 <= client.pttl(key) <= 61_000:
                client.pexpire(key, 0)

    return RedisStore(client), expire


def void(_: object) -> None:
    return None


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    world = World(EAGER)
    world.say("hello")
    return world.machine.snapshot()


def handle_of(snapshot: Snapshot, handle: str) -> Snapshot:
    value = json.loads(snapshot.to_json())
    return Snapshot.from_json(json.dumps({**value, "handle": handle}))


def test_every_store_is_one(store: tuple[SnapshotStore, Expire]) -> None:
    assert isinstance(store[0], SnapshotStore)
    assert "handle-" not in repr(store[0])


def test_save_and_load(store: tuple[SnapshotStore, Expire], snapshot: Snapshot) -> None:
    kept, _ = store
    assert kept.load("k") is None
    version = kept.save("k", snapshot, expected=None)
    loaded = kept.load("k")
    assert loaded is not None
    assert loaded[1] == version
    assert loaded[0].to_json() == snapshot.to_json()
    assert kept.load("other") is None
    assert kept.load("K") is None


def test_only_who_knows_the_newest_version_saves(store: tuple[SnapshotStore, Expire], snapshot: Snapshot) -> None:
    kept, _ = store
    with pytest.raises(StaleSnapshot) as caught:
        kept.save("k", snapshot, expected=1)
    assert (caught.value.key, caught.value.expected, caught.value.found) == ("k", 1, None)
    first = kept.save("k", snapshot, expected=None)
    with pytest.raises(StaleSnapshot) as caught:
        kept.save("k", snapshot, expected=None)
    assert (caught.value.expected, caught.value.found) == (None, first)
    second = kept.save("k", handle_of(snapshot, "newer"), expected=first)
    assert second > first
    with pytest.raises(StaleSnapshot):
        kept.save("k", snapshot, expected=first)
    loaded = kept.load("k")
    assert loaded is not None
    assert loaded[0].handle == "newer"


def test_claims(store: tuple[SnapshotStore, Expire], snapshot: Snapshot) -> None:
    kept, _ = store
    kept.claim("k", "a", ttl=30)
    kept.claim("k", "a", ttl=30)
    with pytest.raises(SnapshotClaimed) as caught:
        kept.claim("k", "b", ttl=30)
    assert caught.value.key == "k"
    assert isinstance(caught.value, StaleOperation)
    for owner in ("b", None):
        with pytest.raises(SnapshotClaimed):
            kept.save("k", snapshot, expected=None, owner=owner)
    kept.release("k", "b")
    with pytest.raises(SnapshotClaimed):
        kept.claim("k", "b", ttl=30)
    kept.save("k", snapshot, expected=None, owner="a")
    kept.release("k", "a")
    kept.release("k", "a")
    kept.claim("k", "b", ttl=30)
    kept.claim("other", "a", ttl=30)


def test_delete(store: tuple[SnapshotStore, Expire], snapshot: Snapshot) -> None:
    kept, _ = store
    kept.delete("k")
    version = kept.save("k", snapshot, expected=None)
    kept.claim("k", "a", ttl=30)
    kept.delete("k")
    assert kept.load("k") is None
    kept.claim("k", "b", ttl=30)
    kept.release("k", "b")
    assert kept.save("k", snapshot, expected=None) > version


def test_time_runs_out(store: tuple[SnapshotStore, Expire], snapshot: Snapshot) -> None:
    kept, expire = store
    version = kept.save("k", snapshot, expected=None, ttl=60)
    kept.save("lasting", snapshot, expected=None)
    kept.claim("k", "a", ttl=60)
    expire()
    assert kept.load("k") is None
    assert kept.load("lasting") is not None
    kept.claim("k", "b", ttl=60)
    with pytest.raises(StaleSnapshot):
        kept.save("k", snapshot, expected=version, owner="b")
    assert kept.save("k", snapshot, expected=None, owner="b") > version


def test_two_workers_cannot_resume_the_same_session(store: tuple[SnapshotStore, Expire], snapshot: Snapshot) -> None:
    kept, _ = store
    kept.save("k", snapshot, expected=None)
    won = []
    for worker in ("a", "b", "c"):
        with contextlib.suppress(SnapshotClaimed):
            kept.claim("k", worker, ttl=30)
            won.append(worker)
    assert won == ["a"]


# --- memory -----------------------------------------------------------------------------------------------------


def test_memory_is_bounded(snapshot: Snapshot) -> None:
    clock = FakeClock()
    kept = MemoryStore(clock, max_snapshots=2)
    for key in "abc":
        kept.save(key, snapshot, expected=None)
        kept.claim(key, "w", ttl=1)
    assert kept.load("a") is None
    assert kept.load("b") is not None
    clock.advance(2)
    kept.claim("z", "w", ttl=1)
    assert repr(kept) == "<MemoryStore of 2>"


# --- files ------------------------------------------------------------------------------------------------------


def test_files_are_private_and_whole(tmp_path: Path, snapshot: Snapshot) -> None:
    kept = FileStore(tmp_path / "store")
    kept.save("../../etc/passwd", snapshot, expected=None)
    files = sorted((tmp_path / "store").iterdir())
    assert [path.suffix for path in files] == [".json", ".lock"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == [tmp_path / "store"]


def test_a_file_of_somebody_else(tmp_path: Path, snapshot: Snapshot) -> None:
    kept = FileStore(tmp_path)
    kept.save("k", snapshot, expected=None)
    (path,) = tmp_path.glob("*.json")
    for text in ("nonsense", "[]"):
        path.write_text(text)
        with pytest.raises(InvalidMessage):
            kept.load("k")


def test_a_save_that_fails_leaves_the_old_one(
    tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = FileStore(tmp_path)
    version = kept.save("k", snapshot, expected=None)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            kept.save("k", handle_of(snapshot, "newer"), expected=version)
    loaded = kept.load("k")
    assert loaded is not None
    assert loaded[0].handle == snapshot.handle
    assert not list(tmp_path.glob("*.tmp"))


def test_a_crash_in_the_middle_of_a_save_leaves_the_old_one_and_no_litter(tmp_path: Path, snapshot: Snapshot) -> None:
    kept = FileStore(tmp_path)
    version = kept.save("k", snapshot, expected=None)
    crash = (
        "import os, signal, sys\n"
        "from live_protocol.reconnect import Snapshot\n"
        "from live_transports.stores import FileStore\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "FileStore(sys.argv[1]).save('k', Snapshot.from_json(sys.stdin.read()), expected=int(sys.argv[2]))\n"
    )
    for _ in range(2):
        died = subprocess.run(
            [sys.executable, "-c", crash, str(tmp_path), str(version)],
            input=handle_of(snapshot, "newer").to_json(),
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "transports")))},
        )
        assert died.returncode == -signal.SIGKILL
        loaded = kept.load("k")  # the lock died with its holder
        assert loaded is not None
        assert (loaded[0].handle, loaded[1]) == (snapshot.handle, version)
        assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".lock", ".tmp"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    kept.save("k", snapshot, expected=version)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".lock"]


def test_many_threads_one_winner_each_time(tmp_path: Path, snapshot: Snapshot) -> None:
    stores = [FileStore(tmp_path) for _ in range(4)]
    wins: list[int] = []

    def work(kept: FileStore) -> None:
        for _ in range(25):
            loaded = kept.load("k")
            with contextlib.suppress(StaleSnapshot):
                wins.append(kept.save("k", snapshot, expected=loaded[1] if loaded else None))

    threads = [threading.Thread(target=work, args=(kept,)) for kept in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == list(range(1, len(wins) + 1))


# --- Redis ------------------------------------------------------------------------------------------------------


def test_redis_keeps_no_key_for_ever(redis_client: Any, snapshot: Snapshot) -> None:
    kept = RedisStore(redis_client, prefix="app:")
    kept.save("k", snapshot, expected=None)
    kept.claim("k", "w", ttl=30)
    lives = {key.decode(): redis_client.pttl(key) / 1000 for key in redis_client.scan_iter()}
    assert set(lives) == {"app:{k}:state", "app:{k}:claim", "app:{k}:version"}
    assert lives["app:{k}:state"] == pytest.approx(SNAPSHOT_TTL, abs=5)
    assert lives["app:{k}:claim"] == pytest.approx(30, abs=5)
    assert lives["app:{k}:version"] == pytest.approx(SNAPSHOT_TTL + 86_400, abs=5)


def test_redis_with_decoded_responses(redis_url: str, snapshot: Snapshot, redis_client: Any) -> None:
    kept = RedisStore.from_url(redis_url, decode_responses=True)
    version = kept.save("k", snapshot, expected=None)
    loaded = kept.load("k")
    assert loaded is not None
    assert loaded[1] == version
    with pytest.raises(StaleSnapshot) as caught:
        kept.save("k", snapshot, expected=None)
    assert caught.value.found == version
    kept.close()
    RedisStore(redis_client).close()
    assert redis_client.ping()


def test_redis_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "redis":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"live-protocol\[redis\]"):
        RedisStore.from_url("redis://localhost")


class TcpEmulator:
    """An emulated server on a port, one connection after the other."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            with sock:
                if not self._serve(sock):
                    return

    def _serve(self, sock: socket.socket) -> bool:
        connection = self._emulator.connection()
        sock.settimeout(10)
        connection.advance(0.0)
        some = False
        while True:
            for _ in connection.events():
                pass
            if data := connection.data_to_send():
                sock.sendall(data)
            elif connection.wants.close:
                connection.receive_eof()
                return True
            elif received := sock.recv(65536):
                some = True
                connection.receive_data(received)
            else:
                connection.receive_eof()
                return some

    def stop(self) -> None:
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()


def test_a_session_moves_between_two_processes(redis_url: str, redis_client: Any) -> None:
    def answer(turn: UserTurn) -> list[Say]:
        known = [text_of(content) for content in turn.history if content.role == "user"]
        return [Say(f"before {turn.text} you said {known}")]

    model = Witness(answer)
    server = TcpEmulator(Emulator(model))
    try:
        said = [
            subprocess.run(
                [sys.executable, str(Path(__file__).with_name("worker.py")), redis_url, str(server.port), name, text],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
                env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "transports")))},
            )
            for name, text in (("a", "hello"), ("b", "again"), ("c", "bye"))
        ]
    finally:
        server.stop()
    assert [result.stdout.strip() or result.stderr for result in said] == [
        "[] before hello you said []",
        "[True] before again you said ['hello']",
        "[True] before bye you said ['hello', 'again']",
    ]
    assert model.heard == ["hello", "again", "bye"]
    loaded = RedisStore(redis_client).load("conversation")
    assert loaded is not None
    assert (loaded[1], loaded[0].accepted, loaded[0].epoch, loaded[0].usage.reports) == (3, 3, 3, 3)
