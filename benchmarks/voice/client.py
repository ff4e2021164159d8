"""One sample: ``python -m benchmarks.voice.client PLAN``, a process of its own; prints its figures as JSON.

All sessions are opened, then the server's schedule begins. The senders are spread over the period as the server's
frames are. After the warm-up the CPU time of this process is taken, and again at the end. Nothing is closed.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Final, NoReturn

from benchmarks.voice import clients, threads
from benchmarks.voice.measure import Lags, Meter, Plan, Probe, many_sockets, pin, run_name

ASYNC_CLIENTS: Final[dict[str, Callable[[Plan], clients.Connect]]] = {
    "google-genai": clients.google_genai,
    "websockets": clients.websockets_by_hand,
    "picows": clients.picows_by_hand,
    "live-protocol": clients.ours,
}
THREAD_CLIENTS: Final[dict[str, Callable[[Plan], threads.Connect]]] = {
    "floor": threads.floor,
    "live-protocol": threads.ours,
}
LEAD: Final = 0.2
"""Seconds before the schedule begins, for tasks and threads to start; and one more millisecond a session."""


def tls_context(plan: Plan) -> ssl.SSLContext | None:
    """One context for all sessions, which trusts the throw-away authority."""
    return ssl.create_default_context(cafile=plan.authority) if "tls" in plan.options else None


class Schedule:
    """When each session sends, and when the server sends to it."""

    def __init__(self, plan: Plan, meter: Meter) -> None:
        self.plan = plan
        self.meter = meter
        self.up, self.down = plan.up / 1000, plan.down / 1000
        self.start = time.monotonic() + LEAD + plan.sessions / 1000
        self.begin = self.start + plan.warm
        self._control: socket.socket | None = None

    def probe(self, number: int) -> Probe:
        """The probe of a session."""
        return Probe(self.meter, self.start + number * self.down / self.plan.sessions, self.down)

    def first(self, number: int) -> float:
        """When a session sends its first chunk."""
        return self.start + number * self.up / self.plan.sessions

    def announce(self) -> None:
        """Tell the server."""
        self._control = socket.create_connection(("127.0.0.1", self.plan.port))
        size = clients.audio_bytes(self.plan)
        run = {"name": run_name(), "start": self.start, "period": self.down, "size": size}
        self._control.sendall(b"RUN" + json.dumps(run).encode() + b"\n")

    def finish(self) -> NoReturn:
        """Print the figures and leave: what closing costs is another matter."""
        figures = self.meter.end(self.plan)
        if self._control is not None:
            self._control.sendall(b"END\n")
            with self._control.makefile("rb") as answers:
                answers.readline()
                figures |= json.loads(answers.readline())
        print(json.dumps(figures), flush=True)
        os._exit(0)


# --- asyncio, uvloop, anyio over asyncio --------------------------------------------------------------------------


async def _send_on_asyncio(send: Any, due: float, period: float, lags: Lags) -> None:
    add, monotonic, sleep = lags.add, time.monotonic, asyncio.sleep
    while True:
        delay = due - monotonic()
        if delay > 0:
            await sleep(delay)
        add(monotonic() - due)
        await send()
        due += period


async def run_on_asyncio(plan: Plan, connect: clients.Connect | None) -> NoReturn:
    """The sample, on the running loop."""
    tls, meter, sessions = tls_context(plan), Meter(), {}
    gate, opened, go = asyncio.Lock(), asyncio.Event(), asyncio.Event()

    async def hold(number: int) -> None:
        assert connect is not None
        async with AsyncExitStack() as stack:
            async with gate:
                sessions[number] = session = await stack.enter_async_context(connect(plan, plan.url(number), tls))
            if len(sessions) == plan.sessions:
                opened.set()
            await go.wait()
            await session.listen(schedule.probe(number))
        raise RuntimeError("the session ended")

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        if connect is not None:
            await stack.enter_async_context(connect(plan, plan.url(0, "warm"), tls))
        meter.mark_empty()
        if connect is not None:
            for number in range(plan.sessions):
                group.create_task(hold(number))
            await opened.wait()
        schedule = Schedule(plan, meter)
        if connect is not None:
            go.set()
            schedule.announce()
        for number in range(plan.sessions if plan.up else 0):
            send = sessions[number].send if connect is not None else _nothing
            group.create_task(_send_on_asyncio(send, schedule.first(number), schedule.up, meter.lags))
        await asyncio.sleep(schedule.begin - time.monotonic())
        meter.begin()
        await asyncio.sleep(plan.seconds)
        schedule.finish()
    raise RuntimeError("unreachable: the process has ended")


async def _nothing() -> None:
    """Send in the harness alone."""


# --- trio, anyio over trio ----------------------------------------------------------------------------------------


async def run_on_trio(plan: Plan, connect: clients.Connect | None) -> NoReturn:
    """The sample, in this run of trio."""
    import trio

    tls, meter, sessions = tls_context(plan), Meter(), {}
    gate, opened, go = trio.Lock(), trio.Event(), trio.Event()

    async def hold(number: int) -> None:
        assert connect is not None
        async with AsyncExitStack() as stack:
            async with gate:
                sessions[number] = session = await stack.enter_async_context(connect(plan, plan.url(number), tls))
            if len(sessions) == plan.sessions:
                opened.set()
            await go.wait()
            await session.listen(schedule.probe(number))
        raise RuntimeError("the session ended")

    async def send_each(send: Any, due: float) -> None:
        add, monotonic, sleep, period = meter.lags.add, time.monotonic, trio.sleep, schedule.up
        while True:
            delay = due - monotonic()
            if delay > 0:
                await sleep(delay)
            add(monotonic() - due)
            await send()
            due += period

    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        if connect is not None:
            await stack.enter_async_context(connect(plan, plan.url(0, "warm"), tls))
        meter.mark_empty()
        if connect is not None:
            for number in range(plan.sessions):
                nursery.start_soon(hold, number)
            await opened.wait()
        schedule = Schedule(plan, meter)
        if connect is not None:
            go.set()
            schedule.announce()
        for number in range(plan.sessions if plan.up else 0):
            nursery.start_soon(
                send_each, sessions[number].send if connect is not None else _nothing, schedule.first(number)
            )
        await trio.sleep(schedule.begin - time.monotonic())
        meter.begin()
        await trio.sleep(plan.seconds)
        schedule.finish()
    raise RuntimeError("unreachable: the process has ended")


# --- threads ------------------------------------------------------------------------------------------------------


def _send_in_thread(send: Callable[[], None], due: float, period: float, lags: Lags) -> None:
    add, monotonic, sleep = lags.add, time.monotonic, time.sleep
    while True:
        delay = due - monotonic()
        if delay > 0:
            sleep(delay)
        add(monotonic() - due)
        send()
        due += period


def _fail(hook: threading.ExceptHookArgs) -> None:
    threading.__excepthook__(hook)
    os._exit(1)


def run_in_threads(plan: Plan, connect: threads.Connect | None) -> NoReturn:
    """The sample, in threads."""
    threading.excepthook = _fail
    tls, meter = tls_context(plan), Meter()
    with ExitStack() as stack:
        if connect is not None:
            stack.enter_context(connect(plan, plan.url(0, "warm"), tls))
        meter.mark_empty()
        sessions = []
        if connect is not None:
            sessions = [stack.enter_context(connect(plan, plan.url(n), tls)) for n in range(plan.sessions)]
        schedule = Schedule(plan, meter)
        if sessions:
            schedule.announce()  # first: once they send, the threads leave this one little of the core
        for number, session in enumerate(sessions):
            threading.Thread(target=session.listen, args=(schedule.probe(number),), daemon=True).start()
        for number in range(plan.sessions if plan.up else 0):
            send = sessions[number].send if sessions else _nothing_in_thread
            arguments = (send, schedule.first(number), schedule.up, meter.lags)
            threading.Thread(target=_send_in_thread, args=arguments, daemon=True).start()
        time.sleep(max(schedule.begin - time.monotonic(), 0))
        meter.begin()
        time.sleep(plan.seconds)
        schedule.finish()


def _nothing_in_thread() -> None:
    """Send in the harness alone."""


# --- one process --------------------------------------------------------------------------------------------------


def _async_client(plan: Plan) -> clients.Connect | None:
    if plan.client == "harness":
        return None
    if plan.client == "floor":
        return (clients.floor_on_trio if plan.runtime == "trio" else clients.floor)(plan)
    return ASYNC_CLIENTS[plan.client](plan)


def main(plan: Plan) -> None:
    """Run the sample on its runtime."""
    pin(plan.core)
    many_sockets()
    if plan.runtime == "threads":
        run_in_threads(plan, None if plan.client == "harness" else THREAD_CLIENTS[plan.client](plan))
    elif plan.runtime in {"trio", "anyio-trio"}:
        import trio

        trio.run(run_on_trio, plan, _async_client(plan))
    elif plan.runtime == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_on_asyncio(plan, _async_client(plan)))
    else:
        asyncio.run(run_on_asyncio(plan, _async_client(plan)))


if __name__ == "__main__":
    plan = json.loads(sys.argv[1])
    main(Plan(**{**plan, "options": tuple(plan["options"])}))
