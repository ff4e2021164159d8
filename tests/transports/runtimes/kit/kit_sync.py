"""Threads under the conformance suite: scenarios are coroutines that never suspend, jobs are threads."""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Self

from transports.runtimes.kit.kit import LIMIT, Job, Jobs, Kit, Scenario, Signal

from live_protocol import Endpoint
from live_transports import sync as live_sync

BLOCKING: Final = frozenset(
    {
        "close",
        "drain",
        "ping",
        "receive",
        "send",
        "send_client_content",
        "send_context_update",
        "send_realtime_input",
        "send_setup_complete",
        "send_tool_response",
    }
)


def drive(coroutine: Awaitable[Any]) -> Any:
    """Run a coroutine that never suspends."""
    assert inspect.iscoroutine(coroutine)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a scenario suspended")


class Coloured:
    """Something with blocking methods, as if they were coroutine functions."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.plain, "close" if name == "aclose" else name)
        if name not in BLOCKING and name != "aclose":
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            return value(*args, **kwargs)

        return call

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        for event in self.plain:
            return event
        raise StopAsyncIteration


def settle(*more: threading.Thread) -> None:
    """Until all of our threads, and those given, wait for something, as far as can be seen from here."""
    quiet = 0
    for _ in range(500):
        frames = sys._current_frames()
        busy = False
        for thread in threading.enumerate():
            frame = frames.get(thread.ident or 0)
            if frame is None or thread is threading.current_thread():
                continue
            if thread in more or thread.name.startswith(("live", "job")):
                where = (frame.f_code.co_filename.rpartition("/")[2], frame.f_code.co_name)
                busy = busy or where not in WAITING
        quiet = 0 if busy else quiet + 1
        if quiet == 2:
            return
        time.sleep(0.001)


WAITING: Final = {("threading.py", "wait"), ("selectors.py", "select"), ("sockets.py", "wait"), ("kit_sync.py", "nap")}


def nap(seconds: float) -> None:
    time.sleep(seconds)


class _Job(Job):
    def __init__(self, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        self.thread = threading.Thread(target=self.run, args=(function, args), name="job", daemon=True)
        self.thread.start()

    def run(self, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        try:
            self.value = drive(function(*args))
        except BaseException as error:
            self.error = error

    @property
    def done(self) -> bool:
        return not self.thread.is_alive()

    def cancel(self) -> None:
        raise NotImplementedError

    async def wait(self) -> Job:
        self.thread.join(LIMIT)
        assert self.done, "a job hangs"
        return self


class _Jobs(Jobs):
    def __init__(self) -> None:
        self.all: list[_Job] = []

    def start(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Job:
        job = _Job(function, args)
        self.all.append(job)
        settle()
        return job


class _Signal(Signal):
    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        assert self._event.wait(LIMIT)


@contextlib.contextmanager
def uncaught(complaints: list[Any]) -> Iterator[None]:
    """Take what threads raise as complaints."""
    before = threading.excepthook
    threading.excepthook = lambda args: complaints.append({"exception": args.exc_value, "thread": args.thread})
    try:
        yield
    finally:
        threading.excepthook = before


class SyncKit(Kit):
    name = "sync"
    can_cancel = False
    threaded = True

    def __init__(self) -> None:
        super().__init__()
        self.sessions: list[Any] = []

    def run(self, scenario: Scenario) -> None:
        failure: list[BaseException] = []

        def main() -> None:
            try:
                drive(scenario())
            except BaseException as error:
                failure.append(error)

        self.complaints.clear()
        with uncaught(self.complaints):
            thread = threading.Thread(target=main, name="scenario", daemon=True)
            thread.start()
            thread.join(LIMIT)
            if thread.is_alive():
                stacks = ["".join(traceback.format_stack(frame)) for frame in sys._current_frames().values()]
                raise AssertionError("\n---\n".join(["the scenario hangs", *stacks]))
        if failure:
            raise failure[0]
        left = [thread for thread in threading.enumerate() if thread.name.startswith(("live", "job"))]
        assert not left, f"threads left behind: {left}"
        assert not self.complaints, self.complaints

    @asynccontextmanager
    async def connect(self, endpoint: Endpoint, config: Any = None, **options: Any) -> AsyncIterator[Any]:
        options.setdefault("model", "test")
        with live_sync.connect(endpoint, config, **options) as session:
            self.sessions.append(session)
            try:
                yield Coloured(session)
            finally:
                self.sessions.remove(session)

    @asynccontextmanager
    async def serve(self, handler: Any, **options: Any) -> AsyncIterator[Any]:
        process = options.get("process_request")
        if process is not None:

            def answer(request: Any) -> Any:
                found = process(request)
                return drive(found) if isinstance(found, Coroutine) else found

            options["process_request"] = answer
        plain = None if handler is None else (lambda session: drive(handler(Coloured(session))))
        with live_sync.serve(plain, **options) as server:
            yield Coloured(server)

    @asynccontextmanager
    async def jobs(self) -> AsyncIterator[Jobs]:
        jobs = _Jobs()
        try:
            yield jobs
        finally:
            for job in jobs.all:
                await job.wait()

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        raise NotImplementedError

    def signal(self) -> Signal:
        return _Signal()

    def hold_up(self, seconds: float) -> None:
        with contextlib.ExitStack() as stack:
            for session in self.sessions:
                stack.enter_context(session._driver.lock)
            nap(seconds)

    async def sleep(self, seconds: float) -> None:
        nap(seconds)

    async def pass_on(self) -> None:
        settle()
