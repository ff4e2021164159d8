"""A fixed script that uses nothing of ours: what it costs shows how this interpreter was built."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Final

import orjson
import pybase64

from benchmarks.guard.paths import Path, Run

TEXT: Final = orjson.dumps({"content": {"parts": [{"blob": {"type": "audio/pcm", "data": "A" * 2560}}]}})
KEY: Final = b"\x12\x34\x56\x78"


class _Machine:
    __slots__ = ("_queue", "_size", "open")

    def __init__(self) -> None:
        self.open = True
        self._queue: deque[bytes] = deque()
        self._size = 0

    def put(self, data: bytes) -> None:
        if not self.open:
            raise RuntimeError
        self._queue.append(data)
        self._size += len(data)

    def take(self) -> bytes | None:
        if not self._queue:
            return None
        data = self._queue.popleft()
        self._size -= len(data)
        return data


class _Event:
    __slots__ = ("data", "kind", "odd")

    def __init__(self, *, data: bytes, kind: str, odd: bool) -> None:
        self.data = data
        self.kind = kind
        self.odd = odd


@contextlib.contextmanager
def _open() -> Iterator[Run]:
    machine = _Machine()
    mask = int.from_bytes(KEY * (len(TEXT) // 4 + 1), "little") & ((1 << 8 * len(TEXT)) - 1)

    def run(count: int) -> None:
        for _ in range(count):
            machine.put(TEXT[:2] + TEXT[2:])
            while (data := machine.take()) is not None:
                part = orjson.loads(data)["content"]["parts"][0]["blob"]
                event = _Event(data=pybase64.b64decode(part["data"], validate=True), kind=part["type"], odd=False)
                if isinstance(event.data, bytes) and not event.odd and len(event.data) % 2 == 0:
                    machine._size += (int.from_bytes(data, "little") ^ mask).to_bytes(len(data), "little")[0] & 0

    yield run


YARDSTICK: Final = {"yardstick": Path(_open)}
