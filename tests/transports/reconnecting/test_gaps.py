"""Closing, aborting and cancelling in every phase between two connections."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.patience import AT_ONCE, PATIENCE
from transports.reconnecting.service import QUIET, TEXT, Service, hole, quick, say, until, user
from transports.runtimes.kit.kit import AsyncioKit, Kit
from transports.runtimes.kit.peer import Conn, Peer

from live_protocol import (
    AlreadyClosed,
    ConnectionClosed,
    ConnectionClosing,
    Endpoint,
    Phase,
    Reconnected,
    Reconnecting,
    SetupComplete,
    TransportFailed,
)
from live_transports import sync as live_sync

PHASES = ["unread", "delay", "tls", "upgrade"]


@contextmanager
def lost(phase: str) -> Iterator[tuple[Service, list[Endpoint], dict[str, Any]]]:
    """A service, what is to be dialed one after the other, and options that hold the session in a phase."""
    with Service() as service, hole() as port:
        delay = 30.0 if phase == "delay" else 0.0
        policy = quick(base_delay=delay, max_delay=delay, jitter=0.0)
        scheme = "wss" if phase == "tls" else "ws"
        nothing = Endpoint.gemini(api_key="key", base_url=f"{scheme}://127.0.0.1:{port}")
        ends = [service.endpoint(), nothing, nothing, nothing, nothing]
        yield service, ends, {"reconnect": policy, "timeouts": QUIET}


async def reach(kit: Kit, session: Any, phase: str, jobs: Any, events: list[Any]) -> Any:
    """Lose the connection, and have a job take events up to that phase and on."""
    begun = kit.signal()

    async def take() -> None:
        async for event in session:
            events.append(event)
            if isinstance(event, Reconnecting):
                begun.set()

    await session.send_client_content(user("/drop"))
    if phase == "unread":
        while session.connection.state.value == "OPEN":
            await kit.sleep(0.001)
        return None
    job = jobs.start(take)
    await begun.wait()
    for _ in range(5):
        await kit.pass_on()
    if phase in ("tls", "upgrade"):
        await kit.sleep(0.05)  # the dial is under way, or the upgrade sent; what follows holds in any case
    return job


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("how", ["close", "abort", "leave"])
def test_it_ends_at_once(kit: Kit, phase: str, how: str) -> None:
    async def scenario() -> None:
        events: list[Any] = []
        began = 0.0
        async with kit.jobs() as jobs:
            async with kit.connect(lambda: ends.pop(0), TEXT, **options) as session:
                job = await reach(kit, session, phase, jobs, events)
                began = time.monotonic()
                if how == "close":
                    await session.close()
                    await session.close()
                    assert session.close_info is not None
                elif how == "abort":
                    session.abort()
                    session.abort()
            if job is not None:
                done = await job.wait()
                assert done.error is None
            assert time.monotonic() - began < AT_ONCE
            with contextlib.suppress(TransportFailed):  # the drop itself, where it was not read before
                async for event in session:
                    events.append(event)  # noqa: PERF401 - kept where it raises
            assert type(events[-1]) is ConnectionClosed
            assert sum(isinstance(event, ConnectionClosed) for event in events) == 1
            assert session.phase is Phase.ENDED
            with pytest.raises(AlreadyClosed):
                await session.send_client_content(user("too late"))

    with lost(phase) as (_, ends, options):
        kit.run(scenario)


@pytest.mark.parametrize("phase", ["delay", "tls", "upgrade"])
def test_whoever_takes_events_may_be_cancelled(cancelling: Kit, phase: str) -> None:
    """A dial under way is freed with it; the next one who takes events dials again."""
    kit = cancelling

    async def scenario() -> None:
        events: list[Any] = []
        async with kit.connect(lambda: ends.pop(0), TEXT, **options) as session, kit.jobs() as jobs:
            assert (await say(session, "one")).text == "one"
            job = await reach(kit, session, phase, jobs, events)
            job.cancel()
            done = await job.wait()
            assert done.cancelled
            if phase == "tls":  # the same endpoint as before, now it answers
                with pytest.raises(TimeoutError):
                    async with kit.timeout(0.05):
                        await until(session, SetupComplete)
            assert session.close_info is None
            await session.close()
            assert session.close_info is not None

    with lost(phase) as (_, ends, options):
        kit.run(scenario)


def test_a_dial_that_was_cancelled_is_made_again(cancelling: Kit) -> None:
    kit = cancelling
    served = []

    def endpoint() -> Endpoint:
        served.append(1)
        return service.endpoint()

    async def scenario() -> None:
        async with kit.connect(endpoint, TEXT, timeouts=QUIET, reconnect=quick()) as session:
            assert (await say(session, "one")).text == "one"
            await session.send_client_content(user("/drop"))
            again = None
            attempts = 0
            while again is None:
                attempts += 1
                try:
                    async with kit.timeout(0.0005 * attempts):
                        again = await until(session, Reconnected)
                except TimeoutError:
                    continue
            assert again.resumed
            assert "user: one" in (await say(session, "/history")).text
            assert len(served) == session.epoch + (again.attempts - 1)

    with Service() as service:
        kit.run(scenario)


def test_closing_while_others_send_and_take(kit: Kit) -> None:
    async def scenario() -> None:
        async with (
            kit.jobs() as jobs,
            kit.connect(service.endpoint(), TEXT, timeouts=QUIET, reconnect=quick()) as session,
        ):

            async def take() -> None:
                async for _ in session:
                    pass

            async def talk() -> None:
                while True:
                    try:
                        await session.send_client_content(user("/drop"))
                    except AlreadyClosed:
                        return
                    await kit.sleep(0.002)

            taking, talking = jobs.start(take), jobs.start(talk)
            await kit.sleep(0.1)
            await session.close()
            for job in (taking, talking):  # the last drop may be what ended it
                assert isinstance((await job.wait()).error, TransportFailed | ConnectionClosing | None)

    with Service() as service:
        kit.run(scenario)


def test_closing_while_the_old_transport_ends_dials_nothing(cancelling: Kit) -> None:
    kit, policy = cancelling, quick(base_delay=0.0, max_delay=0.0)

    def script(conn: Conn) -> None:
        conn.open()
        conn.say({"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}})
        conn.close(1011, "Internal error encountered.")
        conn.until_gone()

    async def scenario() -> None:
        closing = []

        def endpoint() -> Endpoint:
            if sessions:
                closing.append(jobs.start(sessions[0].close))
            return peer.endpoint()

        sessions: list[Any] = []
        async with kit.jobs() as jobs, kit.connect(endpoint, TEXT, timeouts=QUIET, reconnect=policy) as session:
            sessions.append(session)
            assert type([event async for event in session][-1]) is ConnectionClosed
            assert (await closing[0].wait()).error is None
        assert len(await kit.join(peer)) == 1

    with Peer(script) as peer:
        kit.run(scenario)


@pytest.mark.parametrize("phase", PHASES)
def test_closing_from_another_thread(phase: str) -> None:
    """What `sync` is made for, asyncio does from another loop."""

    async def scenario() -> None:
        events: list[Any] = []
        async with kit.jobs() as jobs, kit.connect(lambda: ends.pop(0), TEXT, **options) as session:
            await reach(kit, session, phase, jobs, events)
            await asyncio.to_thread(lambda: asyncio.run(session.close()))
            assert session.close_info is not None

    with lost(phase) as (_, ends, options):
        kit = AsyncioKit("asyncio")
        kit.run(scenario)


@pytest.mark.parametrize("fails", [False, True])
def test_threads_close_while_an_endpoint_is_made(fails: bool) -> None:
    """The caller's code may take its time: nobody waits for it, whatever comes of it."""
    asked, go_on = threading.Event(), threading.Event()

    def endpoint() -> Endpoint:
        if len(calls) == 1:
            asked.set()
            assert go_on.wait(PATIENCE)
            if fails:
                raise ConnectionError("no token")
        calls.append(1)
        return service.endpoint()

    def take() -> None:
        with contextlib.suppress(TransportFailed):
            events.extend(session)

    calls: list[int] = []
    events: list[Any] = []
    with Service() as service:
        session = live_sync.connect(endpoint, TEXT, model="test", timeouts=QUIET, reconnect=quick())
        session.send_client_content(user("/drop"))
        taking = threading.Thread(target=take)
        taking.start()
        assert asked.wait(PATIENCE)
        session.close()
        assert session.close_info is not None
        go_on.set()
        taking.join(PATIENCE)
        assert not taking.is_alive()
    assert type(events[-1]) is ConnectionClosed
    assert sum(isinstance(event, Reconnecting) for event in events) == 1
