"""What only asyncio has: loops in threads, tasks, sockets; and the shape of the classes."""

from __future__ import annotations

import asyncio
import errno
import inspect
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.patience import PATIENCE, at_once
from transports.runtimes.kit.peer import Conn, Peer, dialer

from live_protocol import ConnectionState, Endpoint, IllegalInState, Timeouts, TransportFailed
from live_protocol.events import UpgradeRequested
from live_protocol.messages import Content, LiveServerContent, LiveServerMessage, Part
from live_protocol.reconnect import PersistentConnection
from live_protocol.session import ClientCommands
from live_transports.asyncio import LiveClientSession, LiveServer, LiveServerSession, connect, serve
from live_transports.asyncio import dialing as _asyncio_dial
from live_transports.asyncio import driver as _asyncio
from live_transports.shared import steps
from live_transports.shared.async_sessions import AsyncClientSession
from live_transports.shared.dialing import ip_address
from live_transports.shared.flag import Flag

REQUEST = (
    f"GET {steps.GEMINI_PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


async def polite_handler(session: LiveServerSession) -> None:
    await session.receive()


def polite(conn: Conn) -> None:
    conn.open()
    conn.farewell()


def in_thread(make: Callable[[], Awaitable[Any]]) -> Any:
    """Run in a loop of another thread; gives what came of it."""
    outcome: list[Any] = []

    async def main() -> None:
        outcome.append(await make())

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    return outcome[0]


def test_close_from_two_other_threads() -> None:
    async def main(peer: Peer) -> None:
        session = await connect(peer.endpoint(), model="test")
        threads = [threading.Thread(target=in_thread, args=(session.close,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert await session.receive() is None
        await session.close()
        for thread in threads:
            await asyncio.to_thread(thread.join, PATIENCE)
        assert session.close_info is not None
        assert session.close_info.clean

    with Peer(polite) as peer:
        asyncio.run(main(peer))


def test_close_from_another_thread_when_the_loop_is_gone() -> None:
    loop = asyncio.new_event_loop()
    with Peer(polite) as peer:
        session = loop.run_until_complete(connect(peer.endpoint(), model="test")._open())

        async def attempt() -> None:
            with pytest.raises(IllegalInState, match="loop"):
                await session.close()

        asyncio.run(attempt())
        loop.run_until_complete(session.close())
        loop.close()
        asyncio.run(session.close())


@pytest.mark.parametrize("held_up", [False, True], ids=["while it waits", "before it begins"])
def test_close_from_another_thread_while_the_loop_ends(held_up: bool) -> None:
    """Which cancels what runs in it; the caller, whom nobody has cancelled, just learns that the session is over."""
    opened, called = threading.Event(), threading.Event()
    sessions: list[LiveClientSession] = []

    def deaf(conn: Conn) -> None:
        conn.open()
        conn.until_gone()

    async def main() -> None:
        sessions.append(await connect(peer.endpoint(), model="test"))
        opened.set()
        if held_up:
            await asyncio.to_thread(called.wait, PATIENCE)
            time.sleep(0.1)  # noqa: ASYNC251 - a careless program
        else:
            while sessions[0].connection.state is not ConnectionState.CLOSING:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def close() -> None:
        called.set()
        with at_once():
            await sessions[0].close()

    with Peer(deaf) as peer:
        owner = threading.Thread(target=asyncio.run, args=(main(),))
        owner.start()
        opened.wait(PATIENCE)
        asyncio.run(close())
        owner.join(PATIENCE)


def test_a_close_from_afar_can_be_cancelled() -> None:
    def deaf(conn: Conn) -> None:
        conn.open()
        conn.until_gone()

    async def main(peer: Peer) -> None:
        session = await connect(peer.endpoint(), model="test")

        async def impatient() -> None:
            with at_once(), pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await session.close()

        await asyncio.to_thread(in_thread, impatient)
        with pytest.raises(TransportFailed):
            await session.receive()

    with Peer(deaf) as peer:
        asyncio.run(main(peer))


@pytest.mark.parametrize("protocol", [0, socket.IPPROTO_TCP])
def test_nodelay_also_on_a_socket_of_the_callers(protocol: int) -> None:
    async def main(peer: Peer) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
        sock.connect(("127.0.0.1", peer.port))
        sock.setblocking(False)
        async with connect(peer.endpoint(), model="test", sock=sock):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.fileno() == -1

    with Peer(polite) as peer:
        asyncio.run(main(peer))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
def test_local_address(host: str) -> None:
    async def main(peer: Peer) -> None:
        async with connect(peer.endpoint(), model="test", local_addr=(host, 0)):
            pass

    with Peer(polite) as peer:
        asyncio.run(main(peer))


def test_no_task_of_ours() -> None:
    async def main(peer: Peer) -> None:
        async with connect(peer.endpoint(), model="test"):
            assert asyncio.all_tasks() == {asyncio.current_task()}

    with Peer(polite) as peer:
        asyncio.run(main(peer))


@pytest.mark.parametrize("broken", ["refused", "silent", "both"])
def test_the_next_address_is_tried(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "ATTEMPT_DELAY", 0.05)

    async def main() -> None:
        good, dead = ("127.0.0.1", peer.port), ("127.0.0.1", refused.getsockname()[1])
        stuck = full.getsockname()
        addresses = {"refused": [dead, good], "silent": [stuck, good], "both": [stuck, dead, good]}[broken]

        async def resolve(*_: object, **__: object) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        sock = await _asyncio_dial.connect_tcp("name.test", 1, None)
        assert sock.getpeername() == good
        sock.close()
        addresses[:] = [dead, dead]
        with pytest.raises(ConnectionRefusedError):
            await _asyncio_dial.connect_tcp("name.test", 1, None)
        addresses[:] = [stuck, stuck]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await _asyncio_dial.connect_tcp("name.test", 1, None)
        for moment in range(30):  # whoever wins, if nobody waits for it any more
            addresses[:] = [good, good]
            racing = asyncio.create_task(_asyncio_dial.connect_tcp("name.test", 1, None))
            for _ in range(moment):
                await asyncio.sleep(0)
            if not racing.cancel():
                racing.result().close()
                break
            await asyncio.wait([racing])
        await asyncio.sleep(0.01)

    with (
        Peer(lambda conn: conn.until_gone()) as peer,
        socket.socket() as refused,
        socket.socket() as full,
    ):
        refused.bind(("127.0.0.1", 0))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        try:
            asyncio.run(main())
        finally:
            for filler in fillers:
                filler.close()


def test_a_failure_tells_of_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(*addresses: tuple[str, int]) -> str:
        async def resolve(*_: object, **__: object) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        with pytest.raises(TransportFailed) as caught:
            await connect(Endpoint.custom("ws://name.test/"), model="test")
        assert isinstance(caught.value.__cause__, OSError)
        return str(caught.value)

    with socket.socket() as refused:
        refused.bind(("127.0.0.1", 0))
        dead = refused.getsockname()
        text = asyncio.run(main(dead, dead))
        assert text == f"could not connect to name.test:80: {os.strerror(errno.ECONNREFUSED)}"
        text = asyncio.run(main(dead, ("255.255.255.255", 9)))
        assert f"[Errno {errno.ECONNREFUSED}]" in text
        assert text.count("Errno") == 2


def test_cancelled_at_the_moment_of_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the cancellation is lost nor the socket, whichever of them is first."""
    monkeypatch.setattr(steps, "ATTEMPT_DELAY", 0.001)

    async def main(moment: int) -> bool:
        loop = asyncio.get_running_loop()
        tried: list[tuple[str, int]] = []
        both, success = loop.create_future(), loop.create_future()

        async def resolve(*_: object, **__: object) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (1, 2)]

        async def sock_connect(_: socket.socket, address: tuple[str, int]) -> None:
            tried.append(address)
            if len(tried) == 1:
                await loop.create_future()
            both.set_result(None)
            await success

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        racing = asyncio.create_task(_asyncio_dial.connect_tcp("name.test", 1, None))
        await both
        success.set_result(None)
        for _ in range(moment):
            await asyncio.sleep(0)
        cancelled = racing.cancel()
        await asyncio.wait([racing])
        assert racing.cancelled() is cancelled
        if not cancelled:
            racing.result().close()
        return cancelled

    outcomes = [asyncio.run(main(moment)) for moment in range(10)]
    assert outcomes == sorted(outcomes, reverse=True)
    assert outcomes[0]
    assert not outcomes[-1]


def test_a_literal_address_needs_no_resolver() -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        assert ip_address(host, 5) == [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, 5))]
    assert ip_address("localhost", 5) == []


def test_a_server_that_closes_on_a_client_that_has_just_left() -> None:
    """Its refusal is met by a reset, and closing the sending side of the socket then fails."""

    async def main() -> None:
        asked, never = asyncio.Event(), asyncio.Event()

        async def answer(_: UpgradeRequested) -> None:
            asked.set()
            await never.wait()

        server = await serve(polite_handler, process_request=answer)
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(REQUEST)
            await asked.wait()
        await server.close()  # before the loop has seen that the client is gone

    asyncio.run(main())


def test_a_peer_that_does_not_read_our_last_words() -> None:
    """They wait in the transport, below the high-water mark; the close deadline bounds that too."""

    def script(conn: Conn) -> None:
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.request(steps.GEMINI_PATH)
        conn.say({"setup": {"model": "models/test"}})
        stuck.wait(PATIENCE)
        conn.close()
        gone.wait(PATIENCE)

    async def handler(session: LiveServerSession) -> None:
        await session.receive()
        await session.send_setup_complete()
        driver = session._driver
        assert isinstance(driver, _asyncio.AsyncioDriver)
        transport = driver._transport
        assert transport is not None
        parts = [Part(text="x" * 20_000)]
        while not transport.get_write_buffer_size():
            await session.send(LiveServerMessage(server_content=LiveServerContent(model_turn=Content(parts=parts))))
        stuck.set()
        began = time.monotonic()
        with at_once():
            assert await session.receive() is None
            await session.close()
        took.append(time.monotonic() - began)
        gone.set()

    async def main() -> None:
        async with serve(handler, timeouts=Timeouts(close=0.3)) as server:
            with dialer(server.port, script):
                await asyncio.to_thread(gone.wait, PATIENCE)

    stuck, gone = threading.Event(), threading.Event()
    took: list[float] = []
    asyncio.run(main())
    assert took[0] > 0.2


# --- the shape of the classes -----------------------------------------------------------------------------------


def test_the_verbs_are_those_of_the_core() -> None:
    for name, _ in inspect.getmembers(ClientCommands, inspect.isfunction):
        if not name.startswith("_"):
            ours, verb = getattr(AsyncClientSession, name), getattr(PersistentConnection, name)
            assert inspect.iscoroutinefunction(ours)
            assert inspect.signature(ours) == inspect.signature(verb)


@pytest.mark.parametrize("cls", [LiveClientSession, LiveServerSession, LiveServer])
def test_nobody_else_makes_them(cls: type) -> None:
    with pytest.raises(TypeError, match="no public constructor"):
        cls()


def test_a_flag_is_an_event() -> None:
    """`Flag` stands for `asyncio.Event`; those who wait are woken once, and a cancelled one is forgotten."""

    async def use(flag: Flag | asyncio.Event) -> list[object]:
        seen: list[object] = [flag.is_set()]
        waiting = [asyncio.create_task(flag.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        waiting[2].cancel()
        await asyncio.sleep(0)
        flag.set()
        await asyncio.wait_for(flag.wait(), PATIENCE)
        seen += [flag.is_set(), *[task.cancelled() for task in waiting]]
        await asyncio.wait(waiting)
        flag.clear()
        again = asyncio.create_task(flag.wait())
        await asyncio.sleep(0)
        seen += [flag.is_set(), again.done(), waiting[0].done()]
        flag.set()
        again.cancel()
        await asyncio.wait([again])
        return [*seen, again.cancelled()]

    async def both() -> tuple[list[object], list[object]]:
        return await use(Flag()), await use(asyncio.Event())

    flag, event = asyncio.run(both())
    assert flag == event
