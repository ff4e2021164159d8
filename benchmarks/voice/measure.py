"""What both processes of the paced rows need: cores, clocks, quantiles, the plan of a sample."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.memory import resident

RESOLUTION: Final = 10_000
"""Buckets a second: lags are counted in tenths of a millisecond."""
LONGEST: Final = 10
"""Seconds; what is later counts as this."""
BALLAST: Final = 1 << 17
"""Bytes taken at a time to fill what is free, and growth that shows that nothing is."""
MOST_BALLAST: Final = 1 << 24
_ZEROS: Final = array("Q", bytes(8 * LONGEST * RESOLUTION))


def pin(core: int | None) -> None:
    """Keep this process on one core; None leaves it where it is."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def many_sockets() -> None:
    """Let this process open as many sockets as the system allows it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def waited() -> float:
    """Seconds that this process was ready to run and another one had the core; 0 where the system does not tell."""
    try:
        tasks = list(Path("/proc/self/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[1]) for task in tasks) / 1e9
    except (OSError, IndexError):
        return 0.0


def cores() -> tuple[int | None, int | None]:
    """A core for the server and one for the client; two None where there is one core or no way to choose it."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[-1]) if len(allowed) > 1 else (None, None)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Lags:
    """How late things were, in constant memory."""

    __slots__ = ("_counts", "_top")

    def __init__(self) -> None:
        self._counts = array("Q", _ZEROS)
        self._top = len(self._counts) - 1

    def add(self, seconds: float) -> None:
        """Count one; a timer that fires early is not late."""
        bucket = int(seconds * RESOLUTION)
        if not 0 <= bucket < self._top:
            bucket = 0 if bucket < 0 else self._top
        self._counts[bucket] += 1

    def clear(self) -> None:
        """Forget all, in place: new memory would be put down to the sessions."""
        self._counts[:] = _ZEROS

    def __len__(self) -> int:
        return sum(self._counts)

    def quantile(self, share: float) -> float:
        """Milliseconds within which this share of them lies."""
        left = share * len(self)
        for bucket, count in enumerate(self._counts):
            left -= count
            if left <= 0:
                return bucket * 1000 / RESOLUTION
        return 0.0


def fill_holes() -> list[bytes]:
    """Take the free memory that this process holds, so that what is needed from now on makes it grow."""
    taken: list[bytes] = []
    for size in (65536, 16384, 4096, 1024, 480, 240, 112, 48):
        before = resident()
        for _ in range(MOST_BALLAST // BALLAST):
            taken += [b"\1" * size for _ in range(BALLAST // size)]
            if resident() > before + BALLAST:
                break
    return taken


def run_name() -> str:
    """A name that no other run has: the server may still be closing the sessions of the last one."""
    return str(os.getpid())


@dataclass(frozen=True)
class Plan:
    """One sample: which client, how many sessions, at which pace, for how long."""

    client: str
    runtime: str
    options: tuple[str, ...] = ()
    """Of ``tls``, ``reconnect``, ``recorder``."""
    sessions: int = 100
    up: int = 20
    """Milliseconds of audio in a chunk to the server, and between two of them; 0 for none."""
    down: int = 40
    """Milliseconds between two chunks from the server, and of audio in one unless ``size`` says otherwise."""
    size: int | None = None
    """Bytes of audio in a chunk from the server."""
    seconds: float = 5.0
    warm: float = 1.0
    """Seconds of traffic before the measured ones."""
    port: int = 0
    tls_port: int = 0
    authority: str = ""
    core: int | None = None

    def url(self, number: int, run: str = "") -> str:
        """URL of a session; the name of the run is that of this process."""
        run = run or run_name()
        if "tls" in self.options:
            return f"wss://localhost:{self.tls_port}/{run}/{number}"
        return f"ws://127.0.0.1:{self.port}/{run}/{number}"


class Probe:
    """What the application does with the chunks that come to one session: it notes how late each is, and its bytes."""

    __slots__ = ("_add", "_due", "_meter", "_period")

    def __init__(self, meter: Meter, due: float, period: float) -> None:
        self._add = meter.delays.add
        self._meter = meter
        self._due = due
        self._period = period

    def arrived(self, size: int) -> None:
        """A chunk has been decoded to this many bytes; a client that decodes on demand is asked to do so too."""
        self._add(time.monotonic() - self._due)
        self._meter.audio += size
        self._due += self._period


@dataclass
class Meter:
    """The CPU time of this process between two moments, and what the collector took of it."""

    lags: Lags = field(default_factory=Lags)
    delays: Lags = field(default_factory=Lags)
    audio: int = 0
    """Bytes of decoded audio that the applications had."""
    empty: int = 0
    """Bytes resident before the sessions were opened."""
    _ballast: list[bytes] = field(default_factory=list)
    _collecting: float = 0.0
    _collected: float = 0.0
    _begin: Any = None

    def mark_empty(self) -> None:
        """The sessions that are opened from now on are counted."""
        gc.collect()
        self._ballast = fill_holes()
        self.empty = resident()

    def begin(self) -> None:
        """Start measuring, and say so on standard output."""
        print("measuring", flush=True)
        gc.callbacks.append(self._on_collector)
        self.lags.clear()
        self.delays.clear()
        self.audio = 0
        self._begin = (waited(), time.monotonic(), resource.getrusage(resource.RUSAGE_SELF))

    def _on_collector(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self._collected += time.perf_counter() - self._collecting

    def end(self, plan: Plan) -> dict[str, float]:
        """The figures of the sample."""
        passed, usage = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        waited_before, began, before = self._begin
        gc.callbacks.remove(self._on_collector)
        passed -= began
        user, system = usage.ru_utime - before.ru_utime, usage.ru_stime - before.ru_stime
        session_seconds = plan.sessions * passed
        due = session_seconds * 1000 / plan.down
        return {
            "cpu": (user + system) / session_seconds * 1e6,
            "system": system / session_seconds * 1e6,
            "core": (user + system) / passed,
            "wakeups": (usage.ru_nvcsw - before.ru_nvcsw) / session_seconds,
            "waited": (waited() - waited_before) / passed,
            "collector": self._collected / (user + system) if user + system else 0.0,
            "lag_p50": self.lags.quantile(0.50),
            "lag_p99": self.lags.quantile(0.99),
            "delay_p50": self.delays.quantile(0.50),
            "delay_p99": self.delays.quantile(0.99),
            "arrived": len(self.delays) / due,
            "chunk": self.audio / max(len(self.delays), 1),
            "kilobytes": (resident() - self.empty) / plan.sessions / 1000,
        }
