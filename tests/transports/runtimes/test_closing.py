"""Closing: bounded, idempotent, from anywhere, and the socket is always freed."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import Any

import pytest
from support import tls
from support.patience import PATIENCE, at_once
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import BINARY, CLOSE, Conn, Gone, Peer, make_frame

from live_protocol import (
    AlreadyClosed,
    ConnectionClosing,
    ConnectionState,
    DeadlineExpired,
    Limits,
    LiveProtocolError,
    Timeouts,
    TransportFailed,
)
from live_protocol.close_info import Initiator
from live_protocol.events import ConnectionClosed, SetupComplete, TextChunk
from live_protocol.timing import Deadline

MESSAGE = {"serverContent": {"modelTurn": {"parts": [{"text": "x"}]}}}


def polite(conn: Conn) -> None:
    conn.open()
    conn.farewell()


def deaf(conn: Conn) -> None:
    """Never answers a close frame."""
    conn.open()
    conn.until_gone()


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_in_order(kit: Kit, secure: bool) -> None:
    def script(conn: Conn) -> tuple[int, str]:
        conn.open()
        code, reason = conn.read_close()
        conn.close(code, reason)
        return code, reason

    async def scenario() -> None:
        with Peer(script, tls=tls.server_context() if secure else None) as peer:
            async with kit.connect(peer.endpoint(), ssl=tls.client_context() if secure else None) as session:
                await session.close(3001, "enough")
                assert session.close_info.code == 3001
                assert session.close_info.initiator is Initiator.LOCAL
                await session.close()
                await session.aclose()
            assert (await kit.join(peer)) == [(3001, "enough")]

    kit.run(scenario)


def test_from_both_sides_at_once(kit: Kit) -> None:
    def script(conn: Conn) -> tuple[int, str]:
        conn.open()
        conn.read_message()
        held_up.wait(PATIENCE)
        conn.close(1000, "server")  # before it reads the client's
        return conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                await session.send_realtime_input(text="now")
                held_up.set()
                kit.hold_up(0.05)  # so that both close frames are on their way
                await session.close(1000, "client")
                assert session.close_info.clean
            (said,) = await kit.join(peer)
            # Where a thread of its own reads, it may have answered the server's close frame before.
            assert said == (1000, "client") or (kit.threaded and said == (1000, "server"))

    held_up = threading.Event()
    kit.run(scenario)


def test_while_another_task_receives(kit: Kit) -> None:
    async def scenario() -> None:
        for verb in ("receive", "iterate"):
            with Peer(polite) as peer:
                async with kit.connect(peer.endpoint()) as session, kit.jobs() as jobs:

                    async def iterate() -> list[type]:
                        return [type(event) async for event in session]

                    job = jobs.start(session.receive if verb == "receive" else iterate)
                    for _ in range(3):
                        await kit.pass_on()
                    await session.close()
                    await job.wait()
                    assert job.error is None
                    assert job.value is None if verb == "receive" else job.value[-1] is ConnectionClosed
                await kit.join(peer)

    kit.run(scenario)


def test_inside_the_loop(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.send(2 * make_frame(BINARY, json.dumps(MESSAGE).encode()))  # at once: both have arrived, or none has
        conn.farewell()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                kinds = []
                async for event in session:
                    kinds.append(type(event))
                    if kinds.count(TextChunk) == 1 and kinds[-1] is TextChunk:
                        await session.close()
                assert kinds.count(TextChunk) == 2, "what had arrived is still given"
                assert kinds[-1] is ConnectionClosed
            await kit.join(peer)

    kit.run(scenario)


def test_by_several_tasks(kit: Kit) -> None:
    async def scenario() -> None:
        with Peer(polite) as peer:
            async with kit.connect(peer.endpoint()) as session, kit.jobs() as jobs:
                closers = [jobs.start(session.close) for _ in range(5)]
                for job in closers:
                    await job.wait()
                    assert job.error is None
                    assert not job.cancelled
            assert session.close_info.clean
            await kit.join(peer)

    kit.run(scenario)


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_a_peer_that_never_answers(kit: Kit, secure: bool) -> None:
    async def scenario() -> None:
        with Peer(deaf, tls=tls.server_context() if secure else None) as peer:
            async with kit.connect(
                peer.endpoint(), ssl=tls.client_context() if secure else None, timeouts=Timeouts(close=0.2)
            ) as session:
                began = time.monotonic()
                with at_once():
                    await session.close()
                assert time.monotonic() - began > 0.15
                error = session.close_info.error
                assert isinstance(error, DeadlineExpired)
                assert error.which is Deadline.CLOSE
                assert type(await anext(session)) is not None
            await kit.join(peer)

    kit.run(scenario)


def test_a_peer_that_reads_nothing(cancelling: Kit) -> None:
    kit = cancelling
    release = threading.Event()

    def script(conn: Conn) -> None:
        conn.open()
        release.wait(PATIENCE)

    async def scenario() -> None:
        with Peer(script, rcvbuf=4096) as peer:
            async with kit.connect(peer.endpoint(), timeouts=Timeouts(close=0.2)) as session, kit.jobs() as jobs:

                async def fill() -> None:
                    while True:
                        await session.send_realtime_input(text="x" * 50_000)

                sender = jobs.start(fill)
                await kit.sleep(0.05)
                assert not sender.done
                with at_once():
                    await session.close()
            release.set()
            await kit.join(peer)

    kit.run(scenario)


def test_the_peer_leaves_its_connection_open(kit: Kit) -> None:
    """It answers the close frame, but does not close TCP, as the server has to."""

    def script(conn: Conn) -> None:
        conn.open()
        conn.farewell()
        conn.until_gone()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint(), timeouts=Timeouts(close=0.2)) as session:
                await session.close()
                assert session.close_info.clean
            await kit.join(peer)

    kit.run(scenario)


@pytest.mark.parametrize("flood", ["stops", "goes on"])
def test_with_unread_messages_beyond_the_budget(kit: Kit, flood: str) -> None:
    """Reading has stopped; closing must see the peer's answer all the same, at a bounded cost."""
    message = make_frame(BINARY, json.dumps(MESSAGE).encode() + b" " * 5000)

    def script(conn: Conn) -> None:
        conn.open()
        signal.set()
        for _ in range(2000):
            conn.send(message)
        if flood == "stops":
            conn.farewell()
        else:
            while True:
                conn.send(message)

    async def scenario() -> None:
        nonlocal signal
        signal = kit.signal()
        timeouts = Timeouts(close=5 if flood == "stops" else 0.3)
        with Peer(script) as peer:
            async with kit.connect(
                peer.endpoint(), limits=Limits(max_buffered_in=64 * 1024), timeouts=timeouts
            ) as session:
                await signal.wait()
                while session.connection.wants.read:
                    await kit.sleep(0.001)
                await session.close()
                assert session.close_info.clean is (flood == "stops")
                kept = 0
                with contextlib.suppress(LiveProtocolError):
                    async for event in session:
                        kept += type(event) is TextChunk
                assert 10 < kept < 500, "what was read is still there, what came after is not"
            await kit.join(peer)

    signal: Any = None
    kit.run(scenario)


# --- cancellation and abort -------------------------------------------------------------------------------------


def test_cancelled(cancelling: Kit) -> None:
    kit = cancelling

    async def scenario() -> None:
        with Peer(deaf) as peer, at_once():
            async with kit.connect(peer.endpoint()) as session, kit.jobs() as jobs:
                job = jobs.start(session.close)
                for _ in range(3):
                    await kit.pass_on()
                job.cancel()
                await job.wait()
                assert job.cancelled
                with pytest.raises(LiveProtocolError):
                    await session.receive()
            await kit.join(peer)

    kit.run(scenario)


def test_a_cancelled_block_does_not_wait(cancelling: Kit) -> None:
    kit = cancelling

    def script(conn: Conn) -> tuple[int, str]:
        conn.open()
        return conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            with at_once():

                async def block() -> None:
                    async with kit.connect(peer.endpoint()) as session:
                        while True:
                            await session.receive()

                with pytest.raises(TimeoutError):
                    async with kit.timeout(0.1):
                        await block()
            assert (await kit.join(peer)) == [(1000, "")], "a close frame went out all the same"

    kit.run(scenario)


def test_a_failed_block_closes_in_order(kit: Kit) -> None:
    async def scenario() -> None:
        with Peer(polite) as peer:
            with pytest.raises(ZeroDivisionError):
                async with kit.connect(peer.endpoint()) as session:
                    raise ZeroDivisionError
            assert session.close_info.clean
            await kit.join(peer)

    kit.run(scenario)


def test_abort(kit: Kit) -> None:
    async def scenario() -> None:
        with Peer(deaf) as peer, at_once():
            async with kit.connect(peer.endpoint()) as session, kit.jobs() as jobs:
                job = jobs.start(session.receive)
                await kit.pass_on()
                session.abort()
                session.abort()
                with pytest.raises((ConnectionClosing, AlreadyClosed)):
                    await session.send_realtime_input(text="x")
                await job.wait()
                assert isinstance(job.error, TransportFailed)
                await session.close()
                session.abort()
            await kit.join(peer)

    kit.run(scenario)


def test_after_the_peers_end(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.reset()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                assert type(await anext(session)) is not SetupComplete
                while session.connection.state is not ConnectionState.CLOSED:
                    await kit.sleep(0.001)
                await session.close()
                assert isinstance(session.close_info.error, TransportFailed)
            await kit.join(peer)

    kit.run(scenario)


def test_nobody_reads_the_last_word(kit: Kit) -> None:
    """A violation: our close frame must reach a peer that is still sending, not be lost in a reset."""

    def script(conn: Conn) -> tuple[int, str] | type[Gone]:
        conn.open()
        conn.send(b"\xff\x00" + b"z" * 200_000)
        signal.set()
        for _ in range(100):
            conn.send(b"z" * 10_000)
            time.sleep(0.001)
        return conn.read_close()

    async def scenario() -> None:
        nonlocal signal
        signal = kit.signal()
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                await signal.wait()
                with pytest.raises(LiveProtocolError):
                    await session.receive()
            assert (await kit.join(peer))[0][0] == 1002

    signal: Any = None
    kit.run(scenario)


def test_close_frames_are_one(kit: Kit) -> None:
    def script(conn: Conn) -> int:
        conn.open()
        conn.farewell()
        conn.until_gone()
        return [opcode for opcode, _ in conn.seen].count(CLOSE)

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint(), timeouts=Timeouts(close=0.1)) as session:
                await session.close(1000)
                await session.close(3000)
                session.abort()
            assert (await kit.join(peer)) == [1]

    kit.run(scenario)
