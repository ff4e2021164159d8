"""What only trio has: its clock, its cancel scopes, its nurseries; and streams of the caller's, in memory."""

from __future__ import annotations

import asyncio
import inspect
import math
import random
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from adapters.peer import Conn, Peer
from live_protocol import (
    AlreadyClosed,
    DeadlineExpired,
    Endpoint,
    InvalidMessage,
    LinkState,
    LiveConnection,
    LiveProtocolError,
    ServerClosed,
    Timeouts,
    TransportFailed,
)
from live_protocol.events import ConnectionClosed, PongReceived, RealtimeInputReceived, SetupReceived
from live_protocol.messages import LiveServerContent, LiveServerMessage
from live_protocol.timing import Deadline
from live_protocol.verbs import ClientVerbs
from live_transports import asyncio as live_asyncio
from live_transports import trio as live_trio
from live_transports._sessions import AsyncClientSession
from live_transports._streams import StreamWire
from live_transports._structured import hosted
from live_transports._trio import RUNTIME, TrioLink
from live_transports.trio import LiveClientSession, LiveServer, LiveServerSession, connect, serve

ENDPOINT = Endpoint.custom("ws://memory.test/")
TURN = LiveServerMessage(server_content=LiveServerContent(turn_complete=True))


def polite(conn: Conn) -> None:
    conn.open()
    conn.farewell()


def deaf(conn: Conn) -> None:
    conn.open()
    conn.until_gone()


def virtual(main: Callable[[], Awaitable[None]]) -> float:
    """Run on a clock that jumps whenever nothing else can happen; gives the seconds that passed on it."""
    clock = trio.testing.MockClock(autojump_threshold=0)

    async def timed() -> float:
        began = trio.current_time()
        with trio.fail_after(100_000):
            await main()
        return trio.current_time() - began

    return trio.run(timed, clock=clock)


@asynccontextmanager
async def server_end(stream: trio.abc.Stream, **options: Any) -> AsyncIterator[LiveServerSession]:
    """The other end of a stream in memory."""
    machine = LiveConnection.server(**options)
    wire = StreamWire(machine, RUNTIME)
    session = LiveServerSession._create(machine, wire)
    async with hosted(RUNTIME, wire, TrioLink(stream)):
        await session._requested()
        await session._answer(None)
        yield session


async def answering(stream: trio.abc.Stream, got: list[str] | None = None, **options: Any) -> None:
    async with server_end(stream, **options) as session:
        with suppress(LiveProtocolError):
            async for event in session:
                if isinstance(event, SetupReceived):
                    await session.send_setup_complete()
                elif isinstance(event, RealtimeInputReceived) and got is not None and event.input.text is not None:
                    got.append(event.input.text)


class Watched(trio.abc.HalfCloseableStream):
    """A stream that tells whether it was closed, and blocks or breaks on request."""

    def __init__(self, below: trio.abc.HalfCloseableStream) -> None:
        self.below = below
        self.closed = False
        self.blocked = trio.Event()
        self.sends_until_stuck = math.inf
        self.broken: Exception | None = None

    async def send_all(self, data: Any) -> None:
        if self.broken is not None:
            raise trio.BrokenResourceError from self.broken
        self.sends_until_stuck -= 1
        if self.sends_until_stuck < 0:
            self.blocked.set()
            await trio.sleep_forever()
        await self.below.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self.below.receive_some(max_bytes))

    async def wait_send_all_might_not_block(self) -> None:
        await self.below.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.below.send_eof()

    async def aclose(self) -> None:
        self.closed = True
        await self.below.aclose()


def in_memory() -> tuple[Watched, trio.abc.HalfCloseableStream]:
    ours, theirs = trio.testing.memory_stream_pair()
    return Watched(ours), theirs


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
        assert ours.closed

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
                assert ours.closed
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
        assert ours.closed

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
            assert ours.closed
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
            assert session.connection.state is LinkState.CLOSED
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


# --- what does not show -----------------------------------------------------------------------------------------


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("mine"), Odd(), KeyboardInterrupt(), StopAsyncIteration(), SystemExit(3)])
def test_what_the_block_raises_leaves_as_it_is(error: BaseException) -> None:
    async def main() -> None:
        ours, theirs = in_memory()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answering, theirs)
            with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it is
                async with connect(ENDPOINT, model="test", stream=ours):
                    raise error
            assert caught.value is error
            frames = traceback.extract_tb(error.__traceback__)
            assert {frame.filename for frame in frames} == {__file__}
            assert error.__context__ is None
            assert ours.closed
            nursery.cancel_scope.cancel()

    virtual(main)


@contextmanager
def bare_cancellation() -> Iterator[None]:
    seen: type[BaseException] | None = None
    try:
        yield
    except BaseException as error:
        seen = type(error)
        raise
    finally:
        assert seen is trio.Cancelled


def test_the_cancellation_of_a_block_is_bare() -> None:
    async def main() -> None:
        with trio.CancelScope() as scope, Peer(deaf) as peer, bare_cancellation():
            async with connect(peer.endpoint(), model="test") as session:
                scope.cancel()
                await session.receive()

    trio.run(main)


@pytest.mark.parametrize("moment", range(12))
def test_the_cancellation_of_a_dial_is_bare(moment: int) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:

            async def dial() -> None:
                with bare_cancellation():
                    async with connect(peer.endpoint(), model="test"):
                        await trio.sleep_forever()

            nursery.start_soon(dial)
            for _ in range(moment):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    with Peer(lambda conn: conn.until_gone()) as peer:
        trio.run(main)


def test_errors_of_the_session_are_single() -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.close(1011, "Internal error encountered.")
        conn.read_close()

    async def main() -> None:
        with Peer(script) as peer:
            with pytest.raises(ServerClosed) as caught:
                async with connect(peer.endpoint(), model="test") as session:
                    await session.receive()
            names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
            assert "run" not in names

    trio.run(main)


def test_a_fault_of_our_own_is_reported_like_a_broken_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        ours, theirs = in_memory()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answering, theirs)
            async with connect(ENDPOINT, model="test", stream=ours) as session:
                monkeypatch.setattr(TrioLink, "receive", explode)
                with pytest.raises(TransportFailed) as caught:  # noqa: PT012
                    await trio.sleep(25)
                    while True:
                        await session.receive()
                assert isinstance(caught.value.__cause__, ZeroDivisionError)
            nursery.cancel_scope.cancel()

    async def explode(self: object) -> bytes:
        raise ZeroDivisionError

    virtual(main)


def test_the_block_may_hold_a_nursery() -> None:
    async def main() -> None:
        ours, theirs = in_memory()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answering, theirs)
            async with connect(ENDPOINT, model="test", stream=ours) as session, trio.open_nursery() as tasks:

                async def receive() -> None:
                    ended.extend([event async for event in session if isinstance(event, ConnectionClosed)])

                tasks.start_soon(receive)
                await session.send_realtime_input(text="x")
                await session.close()

    ended: list[ConnectionClosed] = []
    virtual(main)
    assert len(ended) == 1


def test_it_cannot_be_awaited_nor_used_twice() -> None:
    async def main() -> None:
        with Peer(polite) as peer:
            opening = connect(peer.endpoint(), model="test")
            async with opening as session:
                pass
            with pytest.raises(AlreadyClosed):
                await session.send_realtime_input(text="x")
            with pytest.raises((RuntimeError, AttributeError)):
                async with opening:
                    raise AssertionError
            with pytest.raises(TypeError):
                await connect(peer.endpoint(), model="test")  # type: ignore[misc]

    trio.run(main)


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
                assert ours.closed

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


# --- servers ----------------------------------------------------------------------------------------------------


async def accepting(session: LiveServerSession) -> None:
    async for event in session:
        if isinstance(event, SetupReceived):
            await session.send_setup_complete()


def test_a_server_is_started_in_a_nursery() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve(accepting))
            assert isinstance(server, LiveServer)
            async with connect(Endpoint.custom(server.url()), model="test"):
                assert server.port == server.sockets[0].getsockname()[1]
            nursery.cancel_scope.cancel()
        with pytest.raises(LiveProtocolError):
            server.url()
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve(accepting))
            await server.close()  # ends its task

    trio.run(main)


def test_a_cancelled_server_cancels_its_handlers() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                async with serve(stubborn) as server:
                    nursery.start_soon(client, server.url())
                    await started.wait()
                    scope.cancel()
                    await trio.sleep_forever()
            assert over == ["handler"]

    async def stubborn(session: LiveServerSession) -> None:
        await session.receive()
        await session.send_setup_complete()
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            over.append("handler")

    async def client(url: str) -> None:
        with pytest.raises(LiveProtocolError):  # noqa: PT012
            async with connect(Endpoint.custom(url), model="test") as session:
                while await session.receive() is not None:
                    pass
                raise AlreadyClosed("it left in order")

    over: list[str] = []
    started = trio.Event()
    trio.run(main)


def test_a_server_leaves_the_blocks_error_as_it_is() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with serve(accepting) as server, connect(Endpoint.custom(server.url()), model="test"):
                raise ZeroDivisionError

    trio.run(main)


def test_a_handlers_group_of_its_own_ends_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(session: LiveServerSession) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accepting, session)
            nursery.start_soon(trio.sleep_forever)

    def rude(conn: Conn) -> None:
        conn.request("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent")
        conn.say({"setup": {"model": "models/test"}})
        conn.read_frame()
        conn.reset()

    from adapters.peer import dialer

    async def main() -> None:
        async with serve(handler) as server:
            with dialer(server.port, rude):
                await trio.sleep(0.2)

    trio.run(main)
    assert not caplog.records


def test_listening_on_several_addresses_or_none() -> None:
    async def main() -> None:
        async with serve(accepting, ["127.0.0.1", "localhost"]) as server:
            assert len(server.sockets) >= 2
            taken = server.port
            with pytest.raises(OSError, match="in use"):
                async with serve(accepting, ["localhost", "127.0.0.1"], taken):
                    raise AssertionError

    trio.run(main)


# --- the shape --------------------------------------------------------------------------------------------------


def test_the_local_address_has_no_port() -> None:
    async def main() -> None:
        with Peer(polite) as peer:
            with pytest.raises(InvalidMessage, match="port 0"):
                async with connect(peer.endpoint(), model="test", local_addr=("127.0.0.1", 1)):
                    raise AssertionError
            async with connect(peer.endpoint(), model="test", local_addr=("127.0.0.1", 0)):
                pass

    trio.run(main)


def test_it_is_called_as_on_asyncio() -> None:
    for name in ("connect", "serve"):
        ours = inspect.signature(getattr(live_trio, name)).parameters
        theirs = inspect.signature(getattr(live_asyncio, name)).parameters
        assert set(ours) ^ set(theirs) <= {"sock", "stream"}
        for parameter in set(ours) & set(theirs):
            assert ours[parameter].default == theirs[parameter].default
            assert ours[parameter].kind == theirs[parameter].kind
    for name, _ in inspect.getmembers(ClientVerbs, inspect.isfunction):
        if not name.startswith("_"):
            assert getattr(LiveClientSession, name) is getattr(AsyncClientSession, name)


@pytest.mark.parametrize("cls", [LiveClientSession, LiveServerSession, LiveServer])
def test_nobody_else_makes_them(cls: type) -> None:
    with pytest.raises(TypeError, match="no public constructor"):
        cls()
