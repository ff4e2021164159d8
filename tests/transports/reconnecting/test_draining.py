"""Leaving so that another process can go on, in every runtime."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.patience import AT_ONCE
from transports.reconnecting.service import QUIET, TEXT, Service, quick, say, until, user
from transports.reconnecting.test_gaps import PHASES, lost, reach
from transports.runtimes.kit.kit import Kit

from live_protocol import (
    ConnectionClosed,
    IllegalInState,
    InvalidMessage,
    Phase,
    Reconnected,
    TurnComplete,
    TurnStarted,
)


def test_a_session_moves_at_the_end_of_its_turn(kit: Kit) -> None:
    async def scenario() -> None:
        options: dict[str, Any] = {"timeouts": QUIET, "reconnect": quick()}
        events: list[Any] = []
        async with kit.connect(service.endpoint(), TEXT, **options) as session, kit.jobs() as jobs:

            async def take() -> None:
                async for event in session:
                    events.append(event)  # noqa: PERF401 - looked at meanwhile

            await session.send_client_content(user("/slow 0.2 one two"))
            await until(session, TurnStarted, events)
            taking = jobs.start(take)
            with pytest.raises(InvalidMessage):
                await session.drain(-1)
            await session.drain(60.0)
            assert (await taking.wait()).error is None
            assert type(events[-1]) is ConnectionClosed
            assert any(isinstance(event, TurnComplete) for event in events)
            snapshot = session.snapshot()
        async with kit.connect(service.endpoint(), TEXT, snapshot=snapshot, **options) as session:
            assert (await until(session, Reconnected)).resumed
            assert "one two" in (await say(session, "/history")).text

    with Service() as service:
        kit.run(scenario)


@pytest.mark.parametrize("phase", PHASES)
def test_between_two_connections_it_ends_at_once(kit: Kit, phase: str) -> None:
    async def scenario() -> None:
        events: list[Any] = []
        async with kit.connect(lambda: ends.pop(0), TEXT, **options) as session, kit.jobs() as jobs:
            job = await reach(kit, session, phase, jobs, events)
            began = time.monotonic()
            await session.drain(3600.0)
            if job is None:
                async for event in session:
                    events.append(event)  # noqa: PERF401 - looked at below
            else:
                assert (await job.wait()).error is None
            assert time.monotonic() - began < AT_ONCE
            assert type(events[-1]) is ConnectionClosed
            assert session.phase is Phase.ENDED
            assert session.snapshot().handle

    with lost(phase) as (_, ends, options):
        kit.run(scenario)


def test_a_session_of_one_connection_has_nowhere_to_go(kit: Kit) -> None:
    async def scenario() -> None:
        async with kit.connect(service.endpoint(), TEXT, timeouts=QUIET) as session:
            with pytest.raises(IllegalInState):
                await session.drain(1.0)
            with pytest.raises(IllegalInState):
                session.snapshot()

    with Service() as service:
        kit.run(scenario)
