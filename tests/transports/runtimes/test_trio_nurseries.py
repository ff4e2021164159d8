"""trio's nurseries: the one behind a session never shows, servers live in one; and the shape of the module."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
import trio.testing
from transports.runtimes.kit.memory import ENDPOINT, accepting, answering, deaf, in_memory, polite, virtual
from transports.runtimes.kit.peer import Conn, Peer, dialer

from live_protocol import (
    AlreadyClosed,
    Endpoint,
    InvalidMessage,
    LiveConnection,
    LiveProtocolError,
    ServerClosed,
    TransportFailed,
)
from live_protocol.events import ConnectionClosed
from live_protocol.session import ClientCommands
from live_transports import asyncio as live_asyncio
from live_transports import trio as live_trio
from live_transports.shared.async_sessions import AsyncClientSession
from live_transports.trio import LiveClientSession, LiveServer, LiveServerSession, connect, serve

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
            assert ours.closed.is_set()
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


class Faulty:
    """A machine with a bug."""

    def __init__(self, inner: LiveConnection, where: str) -> None:
        self.inner = inner
        self.where = where

    def __getattr__(self, name: str) -> Any:
        return self.explode if name == self.where else getattr(self.inner, name)

    def explode(self, *args: object) -> None:
        self.where = ""
        raise ZeroDivisionError


@pytest.mark.parametrize("where", ["receive_data", "receive_eof", "advance"])
def test_a_fault_of_our_own_is_reported_like_a_broken_transport(where: str) -> None:
    async def main() -> None:
        ours, theirs = in_memory()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answering, theirs)
            async with connect(ENDPOINT, model="test", stream=ours) as session:
                session._driver.machine = Faulty(session.connection, where)  # type: ignore[attr-defined]
                if where == "receive_eof":
                    await theirs.send_eof()
                await ours.closed.wait()  # nobody but our tasks calls the machine meanwhile
                with pytest.raises(TransportFailed) as caught:
                    await session.receive()
                assert isinstance(caught.value.__cause__, ZeroDivisionError)
            nursery.cancel_scope.cancel()

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


# --- servers ----------------------------------------------------------------------------------------------------


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
        assert set(ours) - set(theirs) <= {"stream"}
        for parameter in set(ours) & set(theirs):
            assert ours[parameter].default == theirs[parameter].default
            assert ours[parameter].kind == theirs[parameter].kind
    for name, _ in inspect.getmembers(ClientCommands, inspect.isfunction):
        if not name.startswith("_"):
            assert getattr(LiveClientSession, name) is getattr(AsyncClientSession, name)


@pytest.mark.parametrize("cls", [LiveClientSession, LiveServerSession, LiveServer])
def test_nobody_else_makes_them(cls: type) -> None:
    with pytest.raises(TypeError, match="no public constructor"):
        cls()
