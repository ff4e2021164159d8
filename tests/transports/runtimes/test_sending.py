"""Sending: whole messages in the order of the calls, whatever the transport and the canceller do."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
from support import tls
from support.patience import PATIENCE
from transports.runtimes.kit.kit import Job, Kit
from transports.runtimes.kit.peer import CLOSE, TEXT, Conn, Peer

from live_protocol import (
    AlreadyClosed,
    IllegalInState,
    InvalidMessage,
    Limits,
    LiveProtocolError,
    MessageTooLarge,
    StaleOperation,
    Timeouts,
    TransportFailed,
)


def reader(go: threading.Event) -> Any:
    """A peer that reads nothing until told, then everything; gives the texts it got."""

    def script(conn: Conn) -> list[str]:
        conn.open()
        go.wait(PATIENCE)
        got: list[str] = []
        while True:
            opcode, payload = conn.read_frame()
            if opcode == CLOSE:
                conn.frame(CLOSE, payload)
                return got
            if opcode == TEXT:
                got.append(payload.decode())

    return script


def number(message: str) -> int:
    return int(message.partition('"text":"')[2].partition(" ")[0])


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_a_slow_peer_and_a_hundred_senders(kit: Kit, secure: bool) -> None:
    go = threading.Event()

    async def scenario() -> None:
        with Peer(reader(go), rcvbuf=4096, tls=tls.server_context() if secure else None) as peer:
            async with kit.connect(peer.endpoint(), ssl=tls.client_context() if secure else None) as session:
                finished: list[int] = []

                async def send(index: int) -> None:
                    await session.send_realtime_input(text=f"{index} " + "x" * 120_000)
                    finished.append(index)

                async with kit.jobs() as jobs:
                    running = [jobs.start(send, index) for index in range(100)]
                    for _ in range(3):
                        await kit.pass_on()
                    waiting = sum(not job.done for job in running)
                    assert waiting > 50, "nobody was held back"
                    go.set()
                    for job in running:
                        await job.wait()
                        assert job.error is None
                assert kit.threaded or finished == sorted(finished), "first come, first served"
            (got,) = await kit.join(peer)
            assert [number(message) for message in got] == list(range(100))

    kit.run(scenario)


@pytest.mark.parametrize("seed", range(4))
def test_cancelled_sends_leave_whole_messages(cancelling: Kit, seed: int) -> None:
    secure = seed == 3
    kit = cancelling
    dice = random.Random(seed)
    go = threading.Event()

    async def scenario() -> None:
        with Peer(reader(go), rcvbuf=4096, tls=tls.server_context() if secure else None) as peer:
            async with kit.connect(peer.endpoint(), ssl=tls.client_context() if secure else None) as session:
                begun: list[int] = []

                async def send(index: int, size: int) -> None:
                    begun.append(index)
                    await session.send_realtime_input(text=f"{index} " + "x" * size)

                async with kit.jobs() as jobs:
                    sure: list[int] = []
                    running: list[tuple[int, Job]] = []
                    for index in range(350):
                        running.append((index, jobs.start(send, index, dice.choice([10, 1000, 30_000, 100_000]))))
                        if dice.random() < 0.7:
                            await kit.pass_on()
                        if dice.random() < 0.75:
                            dice.choice(running)[1].cancel()
                        if index == 175:
                            go.set()
                    for index, job in running:
                        await job.wait()
                        assert job.error is None
                        if not job.cancelled:
                            sure.append(index)
                await session.send_realtime_input(text="9999 end")
            (got,) = await kit.join(peer)
            numbers = [number(message) for message in got]
            assert numbers == [*begun, 9999], "what was called was sent, whole, in order"
            assert set(sure) <= set(numbers)
            assert len(sure) < 350

    kit.run(scenario)


@pytest.mark.parametrize("how", ["reset", "abort", "close"])
def test_a_waiting_sender_when_the_connection_ends(kit: Kit, how: str) -> None:
    leave = threading.Event()

    def script(conn: Conn) -> None:
        conn.open()
        leave.wait(PATIENCE)
        if how == "reset":
            conn.reset()

    async def scenario() -> None:
        with Peer(script, rcvbuf=4096) as peer:
            async with kit.connect(peer.endpoint(), timeouts=Timeouts(close=0.2)) as session, kit.jobs() as jobs:

                async def fill() -> None:
                    while True:
                        await session.send_realtime_input(text="x" * 100_000)

                senders = [jobs.start(fill) for _ in range(3)]
                for _ in range(5):
                    await kit.pass_on()
                assert not any(job.done for job in senders)
                if how == "abort":
                    session.abort()
                elif how == "close":
                    await session.close()
                else:
                    leave.set()
                for job in senders:
                    await job.wait()
                    assert isinstance(job.error, LiveProtocolError)
                    if how != "close":
                        assert isinstance(job.error, TransportFailed | StaleOperation)
                leave.set()
            await kit.join(peer)

    kit.run(scenario)


def test_sends_after_the_end(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.close(1011, "Internal error encountered.")
        conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                with pytest.raises(LiveProtocolError):
                    await session.receive()
                with pytest.raises(StaleOperation):
                    await session.send_client_content(turn_complete=True)
            for verb in (
                session.send_client_content,
                lambda: session.send_realtime_input(text="x"),
                lambda: session.send_context_update(system_instruction="x"),
                session.ping,
            ):
                with pytest.raises(AlreadyClosed):
                    await verb()
            peer.join()

    kit.run(scenario)


def test_a_refused_send_changes_nothing(kit: Kit) -> None:
    go = threading.Event()
    go.set()

    async def scenario() -> None:
        with Peer(reader(go)) as peer:
            async with kit.connect(peer.endpoint(), limits=Limits(max_send=1000)) as session:
                with pytest.raises(InvalidMessage):
                    await session.send_realtime_input(text="x", audio=b"xx", rate=16000)
                with pytest.raises(InvalidMessage):
                    await session.send_tool_response({"id": "never issued", "response": {}})
                with pytest.raises(MessageTooLarge):
                    await session.send_realtime_input(text="x" * 2000)
                with pytest.raises(InvalidMessage if kit.pings else IllegalInState):
                    await session.ping(b"x" * 126)
                with pytest.raises(InvalidMessage):
                    await session.close(1005)
                await session.send_realtime_input(text="7 fine")
            (got,) = peer.join()
            assert [number(message) for message in got] == [7]

    kit.run(scenario)


def test_a_sender_that_never_waits_lets_others_run(cancelling: Kit) -> None:
    kit = cancelling
    go = threading.Event()
    go.set()

    async def scenario() -> None:
        with Peer(reader(go)) as peer:
            async with kit.connect(peer.endpoint()) as session, kit.jobs() as jobs:
                turns = 0

                async def other() -> None:
                    nonlocal turns
                    while True:
                        turns += 1
                        await kit.pass_on()

                jobs.start(other)
                for index in range(1000):
                    await session.send_realtime_input(text=f"{index} x")
                assert turns > 5
            await kit.join(peer)

    kit.run(scenario)
