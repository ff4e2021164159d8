"""What only trio has: its clock, its cancel scopes, its threads; and streams of the caller's, in memory."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
import trio.testing
from transports.runtimes.kit.memory import (
    ENDPOINT,
    TURN,
    Watched,
    answering,
    deaf,
    in_memory,
    polite,
    server_end,
    virtual,
)
from transports.runtimes.kit.peer import Peer

from live_protocol import (
    ConnectionState,
    DeadlineExpired,
    LiveProtocolError,
    ServerClosed,
    Timeouts,
    TransportFailed,
)
from live_protocol.events import PongReceived
from live_protocol.timing import Deadline
from live_transports.trio import LiveClientSession, connect

# --- the clock --------------------------------------------------------------------------------------------------


def test_ten_minutes_of_keepalive() -> None:
    async def main() -> None:
        ours, theirs = in_memory()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answering, theirs)
            async with connect(ENDPOINT, model="test", stream=ours) as session:
                await trio.sleep(600)
            pongs = [event async for event in session if isinstance(event, PongReceived)]
            assert len(pongs) >= 10, "each end pings after 20 s of silence; either's ping is life for both"
            assert session.close_info is not None
            assert session.close_info.clean
        assert ours.closed.is_set()

    assert 600 <= virtual(main) < 601


def test_a_dead_peer_ends_a_sender_that_is_stuck() -> None:
    async def main() -> None:
        ours, theirs = in_memory()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(answering, theirs, timeouts=Timeouts(ping_interval=None)))
            async with connect(ENDPOINT, model="test", stream=ours) as session:
                ours.sends_until_stuck = 0
                began = trio.current_time()
                with pytest.raises(DeadlineExpired) as caught:  # noqa: PT012
                    while True:
                        await session.send_realtime_input(text="x" * 10_000)
                assert caught.value.which is Deadline.PONG
                assert 60 < trio.current_time() - began < 120
                assert ours.closed.is_set()
            nursery.cancel_scope.cancel()

    virtual(main)


def test_a_server_that_never_sets_up() -> None:
    async def main() -> None:
        ours, theirs = in_memory()
        async with server_end_later(theirs):
            with pytest.raises(DeadlineExpired) as caught:
                async with connect(ENDPOINT, model="test", stream=ours, timeouts=Timeouts(setup=600)):
                    raise AssertionError
            assert caught.value.which is Deadline.SETUP
        assert ours.closed.is_set()

    @asynccontextmanager
    async def server_end_later(stream: trio.abc.Stream) -> AsyncIterator[None]:
        async def silent() -> None:
            async with server_end(stream) as session:
                with suppress(LiveProtocolError):
                    async for _ in session:
                        pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(silent)
            yield

    assert 600 <= virtual(main) < 601


# --- cancellation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sends", [0, 1, 2])
def test_connect_is_cancelled_while_a_write_is_stuck(sends: int) -> None:
    async def main() -> None:
        ours, theirs = in_memory()
        ours.sends_until_stuck = sends
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancelled_peer, theirs)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as inner:
                    inner.start_soon(cancel_when_stuck, ours, scope, sends)
                    async with connect(ENDPOINT, model="test", stream=ours) as session:
                        assert sends == 2
                        await session.send_realtime_input(text="x")
                        await trio.sleep_forever()
            assert scope.cancelled_caught
            assert ours.closed.is_set()
            nursery.cancel_scope.cancel()

    async def cancel_when_stuck(stream: Watched, scope: trio.CancelScope, sends: int) -> None:
        await stream.blocked.wait()
        scope.cancel()

    async def cancelled_peer(stream: trio.abc.Stream) -> None:
        with suppress(LiveProtocolError):
            await answering(stream)

    assert virtual(main) < 1


def test_a_scope_around_receive_loses_nothing() -> None:
    async def main() -> None:
        ours, theirs = in_memory()

        async def peer() -> None:
            async with server_end(theirs) as session:
                await session.receive()
                await session.send_setup_complete()
                for _ in range(50):
                    await trio.sleep(1)
                    await session.send(TURN)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer)
            async with connect(ENDPOINT, model="test", stream=ours) as session:
                got = cancelled = 0
                while got < 50:
                    with trio.move_on_after(0.7) as scope:
                        message = await session.receive()
                        assert message is not None
                        got += 1
                    cancelled += scope.cancelled_caught
                assert cancelled >= 10

    virtual(main)


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_cancelled_sends(seed: int) -> None:
    dice = random.Random(seed)

    async def main() -> None:
        got: list[str] = []
        ours, theirs = trio.testing.lockstep_stream_pair()
        begun: list[str] = []
        async with trio.open_nursery() as peers:
            peers.start_soon(answering, theirs, got)
            async with connect(ENDPOINT, model="test", stream=ours) as session:
                cancelled = 0

                async def send(index: int, size: int, patience: float) -> None:
                    nonlocal cancelled
                    with trio.move_on_after(patience) as scope:
                        text = f"{index} " + "x" * size
                        begun.append(text)
                        await session.send_realtime_input(text=text)
                    cancelled += scope.cancelled_caught

                async with trio.open_nursery() as senders:
                    for index in range(1000):
                        size = dice.choice([1, 100, 30_000, 100_000])
                        senders.start_soon(send, index, size, dice.choice([0, 0, 0, 1]))
                        if dice.random() < 0.3:
                            await trio.lowlevel.checkpoint()
                await session.send_realtime_input(text="end")
        assert got == [*begun, "end"], "whole messages, all that were begun, in order"
        assert 100 < cancelled < 1000

    virtual(main)


def test_a_session_in_a_cancelled_scope_is_over_when_the_scope_is() -> None:
    async def main() -> None:
        with Peer(deaf) as peer:
            with trio.CancelScope() as scope:
                async with connect(peer.endpoint(), model="test") as session:
                    scope.cancel()
                    await session.receive()
            assert scope.cancelled_caught
            assert session.connection.state is ConnectionState.CLOSED
            peer.join()

    trio.run(main)


def test_a_block_that_is_shielded_is_not_disturbed() -> None:
    async def main() -> None:
        ours, theirs = in_memory()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answering, theirs)
            with trio.move_on_after(1):
                async with connect(ENDPOINT, model="test", stream=ours) as session:
                    with trio.CancelScope(shield=True):
                        await trio.sleep(100)
                        await session.send_realtime_input(text="still here")
                        await session.close()
            assert session.close_info is not None
            assert session.close_info.clean

    virtual(main)


# --- writes that fail -------------------------------------------------------------------------------------------


def test_what_the_peer_said_last_is_read_though_a_write_fails() -> None:
    async def main() -> None:
        ours, theirs = in_memory()

        async def peer() -> None:
            async with server_end(theirs) as session:
                await session.receive()
                await session.send_setup_complete()
                await told.wait()
                await session.close(1008, "Requested entity was not found.")

        told = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer)
            async with connect(ENDPOINT, model="test", stream=ours) as session:
                ours.broken = BrokenPipeError(32, "Broken pipe")
                await session.send_realtime_input(text="x")
                told.set()
                with pytest.raises(ServerClosed, match="1008"):
                    await session.receive()

    assert virtual(main) < 6


def test_a_write_that_fails_ends_the_session() -> None:
    async def main() -> None:
        ours, theirs = in_memory()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answering, theirs)
            async with connect(ENDPOINT, model="test", stream=ours) as session:
                ours.broken = BrokenPipeError(32, "Broken pipe")
                await session.send_realtime_input(text="x")
                with pytest.raises(TransportFailed) as caught:
                    await session.receive()
                assert caught.value.__cause__ is ours.broken
                assert ours.closed.is_set()

    assert virtual(main) < 1


# --- other threads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", ["trio", "asyncio"])
def test_close_from_another_thread(runs: str) -> None:
    async def main() -> None:
        with Peer(polite) as peer:
            async with connect(peer.endpoint(), model="test") as session:

                async def close() -> None:
                    await session.close(3000, "from afar")

                def other() -> None:
                    if runs == "trio":
                        trio.run(close)
                    else:
                        asyncio.run(close())

                threads = [threading.Thread(target=other) for _ in range(2)]
                for thread in threads:
                    thread.start()
                assert await session.receive() is None
                for thread in threads:
                    await trio.to_thread.run_sync(thread.join)
                assert session.close_info is not None
                assert session.close_info.reason == "from afar"
            peer.join()
        left.append(session)

    left: list[LiveClientSession] = []
    trio.run(main)
    trio.run(left[0].close)  # whose run has finished
    asyncio.run(left[0].close())
