"""What trio and anyio share beyond the conformance suite: servers in trouble."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Any, cast

import anyio
import pytest
import trio
import trio.testing
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.kit_anyio import AnyioKit
from transports.runtimes.kit.kit_trio import TrioKit
from transports.runtimes.kit.peer import PONG, Conn, Peer

from live_protocol import Endpoint, IllegalInState, LiveProtocolError, Phase, TransportFailed
from live_protocol.events import SetupReceived
from live_transports import trio as live_trio
from live_transports.structured.driver import StreamPump
from live_transports.trio.runtime import RUNTIME, TrioSocket, TrioStream

KITS: dict[str, Callable[[], Kit]] = {
    "trio": TrioKit,
    "anyio-asyncio": lambda: AnyioKit("asyncio"),
    "anyio-uvloop": lambda: AnyioKit("asyncio", uvloop=True),
    "anyio-trio": lambda: AnyioKit("trio"),
}


@pytest.fixture(params=KITS)
def kit(request: pytest.FixtureRequest) -> Kit:
    return KITS[request.param]()


class Ignored:
    """Stands for the driver of a stream on which nothing arrives."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


async def accepting(session: Any) -> None:
    async for event in session:
        if isinstance(event, SetupReceived):
            await session.send_setup_complete()


def faulty(monkeypatch: pytest.MonkeyPatch, server: Any, code: int) -> None:
    """The next accept() fails."""
    listener = server._listeners._listeners[0]
    accept, left = type(listener).accept, [code]

    async def fails(self: Any) -> Any:
        stream = await accept(self)
        if not left:
            return stream
        await stream.aclose()
        raise OSError(left.pop(), "accept")

    monkeypatch.setattr(type(listener), "accept", fails)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EBADF])
def test_accepting_fails(kit: Kit, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    async def scenario() -> None:
        async with kit.serve(accepting) as server, kit.connect(Endpoint.custom(server.url())) as before:
            faulty(monkeypatch, server, code)
            url = server.url()
            for _ in range(2):  # one may be taken by an accept() that began before
                with contextlib.suppress(LiveProtocolError):
                    async with kit.connect(Endpoint.custom(url)):
                        pass
            if code == errno.EMFILE:
                async with kit.connect(Endpoint.custom(url)) as session:
                    assert session.phase is Phase.READY
            else:
                with pytest.raises(TransportFailed, match="refused"):
                    async with kit.connect(Endpoint.custom(url)):
                        raise AssertionError
                assert server.sockets == ()
                with pytest.raises(IllegalInState):
                    server.url()
            await before.ping()
            assert before.phase is Phase.READY
            (complaint,) = kit.complaints
            assert complaint["exception"].errno == code
            kit.complaints.clear()

    kit.run(scenario)


def test_an_interrupt_in_one_of_our_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    def pong(conn: Conn) -> None:
        conn.open()
        conn.read_frame()
        conn.frame(PONG)
        conn.until_gone()

    armed = False
    receive = TrioSocket.receive

    async def interrupted(self: TrioSocket) -> bytes:
        data = await receive(self)
        if armed:
            raise KeyboardInterrupt
        return data

    monkeypatch.setattr(TrioSocket, "receive", interrupted)

    async def main() -> None:
        nonlocal armed
        with Peer(pong) as peer:
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012
                async with live_trio.connect(peer.endpoint(), model="test") as session:
                    armed = True
                    await session.ping()
                    while True:
                        await session.receive()
            await session.close()
            peer.join()

    trio.run(main)


# --- writing at once --------------------------------------------------------------------------------------------


def test_plain_tcp_needs_no_writer_before_the_end(kit: Kit) -> None:
    async def scenario() -> None:
        with Peer(lambda conn: (conn.open(), conn.farewell())) as peer:
            over = {} if kit.name == "trio" else {"stream": await anyio.connect_tcp("127.0.0.1", peer.port)}
            async with kit.connect(peer.endpoint(), **over) as session:
                for _ in range(10):
                    await session.send_realtime_input(text="x")
                pump = session._driver._pump
                assert pump.pending == 0
                assert pump._has_writer is (kit.name == "anyio-uvloop")  # its sockets do not tell that they are closed
            assert session.close_info.clean
            await kit.join(peer)

    kit.run(scenario)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the writer writes everything")
def test_what_a_socket_takes_at_once() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        stream = TrioStream(trio.SocketStream(trio.socket.from_stdlib_socket(ours)))
        with theirs:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            assert stream.send_now(b"x") == 1
            assert 0 < stream.send_now(bytes(10_000_000)) < 10_000_000
            assert stream.send_now(b"x") == 0
        with pytest.raises(OSError, match="Broken pipe"):
            stream.send_now(b"x")
        await stream.drop()
        with pytest.raises(OSError, match="Bad file descriptor"):
            stream.send_now(b"x")

    trio.run(main)


def test_a_stream_that_has_just_ended_takes_orders() -> None:
    """Its tasks are over and it has not been told yet: an order to close then starts no task."""

    async def scenario() -> None:
        ours, _ = trio.testing.memory_stream_pair()
        pump = StreamPump(TrioStream(ours), cast("Any", Ignored()), RUNTIME)
        over = trio.Event()

        async def watch(_: StreamPump) -> None:
            try:
                await trio.sleep_forever()
            finally:
                over.set()

        async def order() -> None:
            await over.wait()
            pump.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(order)
            nursery.start_soon(pump.run, watch)
            await trio.testing.wait_all_tasks_blocked()
            pump.abort()

    for _ in range(40):  # trio runs the tasks of one step in a random order
        trio.run(scenario)
