"""What only anyio has: its backends, its cancel scopes beside asyncio's own cancellation, its streams and threads."""

from __future__ import annotations

import asyncio
import inspect
import threading
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread
import pytest
from support import tls
from transports.runtimes.kit.peer import Conn, Peer

from live_protocol import Endpoint, LiveProtocolError, ServerClosed, TransportFailed
from live_protocol.events import SetupReceived
from live_transports import anyio as live_anyio
from live_transports import trio as live_trio
from live_transports.anyio import LiveClientSession, LiveServer, LiveServerSession, connect, serve

BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}

Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=BACKENDS)
def run(request: pytest.FixtureRequest) -> Run:
    backend, options = BACKENDS[request.param]

    def limited(main: Callable[[], Awaitable[None]]) -> None:
        async def under_a_limit() -> None:
            with anyio.fail_after(15):
                await main()

        anyio.run(under_a_limit, backend=backend, backend_options=options)

    return limited


def polite(conn: Conn) -> None:
    conn.open()
    conn.farewell()


def deaf(conn: Conn) -> None:
    conn.open()
    conn.until_gone()


async def accepting(session: LiveServerSession) -> None:
    async for event in session:
        if isinstance(event, SetupReceived):
            await session.send_setup_complete()


# --- streams ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_a_stream_of_the_callers(run: Run, secure: bool) -> None:
    async def main() -> None:
        with Peer(polite, tls=tls.server_context() if secure else None) as peer:
            stream = await anyio.connect_tcp("127.0.0.1", peer.port)
            context = tls.client_context() if secure else None
            async with connect(peer.endpoint(), model="test", stream=stream, ssl=context) as session:
                raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                await session.send_realtime_input(text="x")
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            assert raw.fileno() == -1
            assert session.close_info is not None
            assert session.close_info.clean

    run(main)


def test_the_local_address(run: Run) -> None:
    async def main() -> None:
        with Peer(polite) as peer:
            async with connect(peer.endpoint(), model="test", local_addr=("127.0.0.1", 0)):
                pass

    run(main)


# --- what does not show -----------------------------------------------------------------------------------------


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("mine"), Odd()])
def test_what_the_block_raises_leaves_as_it_is(run: Run, error: BaseException) -> None:
    async def main() -> None:
        with Peer(polite if isinstance(error, Exception) else deaf) as peer:
            with pytest.raises(type(error)) as caught:
                async with connect(peer.endpoint(), model="test"):
                    raise error
            assert caught.value is error
            assert {frame.filename for frame in traceback.extract_tb(error.__traceback__)} == {__file__}
            assert error.__context__ is None

    error.__traceback__ = None  # of the backend before
    run(main)


@pytest.mark.parametrize("moment", [0, 1, 2, 3, 5, 8, 13, 21])
def test_the_cancellation_of_a_dial_is_bare(run: Run, moment: int) -> None:
    seen: list[bool] = []

    async def dial() -> None:
        try:
            async with connect(peer.endpoint(), model="test"):
                await anyio.sleep_forever()
        except BaseException as error:
            seen.append(type(error) is anyio.get_cancelled_exc_class())
            raise

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(dial)
            for _ in range(moment):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

    with Peer(lambda conn: conn.until_gone()) as peer:
        run(main)
    assert all(seen)


@pytest.mark.parametrize("uvloop", [False, True])
def test_asyncios_own_cancellation(uvloop: bool) -> None:
    async def main() -> None:
        with Peer(deaf) as peer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await block(peer)

            task = asyncio.create_task(block(peer))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

            async with connect(peer.endpoint(), model="test") as session:
                closing = asyncio.create_task(session.close())
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                closing.cancel()
                with pytest.raises(TransportFailed):
                    await session.receive()
                await asyncio.wait([closing])

    async def block(peer: Peer) -> None:
        async with connect(peer.endpoint(), model="test") as session:
            await session.receive()

    anyio.run(main, backend_options={"use_uvloop": uvloop})


def test_errors_of_the_session_are_single(run: Run) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.close(1011, "Internal error encountered.")
        conn.read_close()

    async def main() -> None:
        with Peer(script) as peer, pytest.raises(ServerClosed):
            async with connect(peer.endpoint(), model="test") as session:
                await session.receive()

    run(main)


# --- other threads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["asyncio", "trio", "plain"])
def test_close_from_another_thread(run: Run, other: str) -> None:
    async def main() -> None:
        with Peer(polite) as peer:
            async with connect(peer.endpoint(), model="test") as session:

                async def close() -> None:
                    await session.close(3000, "from afar")

                def elsewhere() -> None:
                    if other == "plain":
                        with pytest.raises(StopIteration):
                            close().send(None)
                    else:
                        anyio.run(close, backend=other)

                threads = [threading.Thread(target=elsewhere) for _ in range(2)]
                for thread in threads:
                    thread.start()
                assert await session.receive() is None
                for thread in threads:
                    await anyio.to_thread.run_sync(thread.join)
                assert session.close_info is not None
                assert session.close_info.reason == "from afar"
            left.append(session)

    left: list[LiveClientSession] = []
    run(main)
    anyio.run(left[0].close, backend="trio" if other == "trio" else "asyncio")  # whose run has finished


# --- servers ----------------------------------------------------------------------------------------------------


def test_a_server_is_started_in_a_task_group(run: Run) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            server = await group.start(serve(accepting))
            assert isinstance(server, LiveServer)
            async with connect(Endpoint.custom(server.url()), model="test"):
                assert server.port == server.sockets[0].getsockname()[1]
            group.cancel_scope.cancel()
        with pytest.raises(LiveProtocolError):
            server.url()
        async with anyio.create_task_group() as group:
            server = await group.start(serve(accepting))
            await server.close()  # ends its task

    run(main)


def test_listening_on_several_addresses_or_none(run: Run) -> None:
    async def main() -> None:
        async with serve(accepting, ["127.0.0.1", "localhost"]) as server:
            assert len(server.sockets) >= 2
            with pytest.raises(OSError, match="in use"):
                async with serve(accepting, ["127.0.0.2", "127.0.0.1"], server.port):
                    raise AssertionError

    run(main)


def test_it_is_called_as_on_trio() -> None:
    for name in ("connect", "serve"):
        ours = inspect.signature(getattr(live_anyio, name)).parameters
        theirs = inspect.signature(getattr(live_trio, name)).parameters
        assert list(ours) == list(theirs)
        assert [parameter.default for parameter in ours.values()] == [each.default for each in theirs.values()]
