"""What trio and anyio share beyond the conformance suite: servers in trouble."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest
import tls
import trio
from patience import at_once

from adapters.kit import Kit
from adapters.kit_anyio import AnyioKit
from adapters.kit_trio import TrioKit
from adapters.peer import PONG, Conn, Peer
from live_protocol import Endpoint, IllegalInState, LiveProtocolError, Phase, Timeouts, TransportFailed
from live_protocol.events import SetupReceived
from live_transports import trio as live_trio
from live_transports._trio import TrioLink

KITS: dict[str, Callable[[], Kit]] = {
    "trio": TrioKit,
    "anyio-asyncio": lambda: AnyioKit("asyncio"),
    "anyio-uvloop": lambda: AnyioKit("asyncio", uvloop=True),
    "anyio-trio": lambda: AnyioKit("trio"),
}


@pytest.fixture(params=KITS)
def kit(request: pytest.FixtureRequest) -> Kit:
    return KITS[request.param]()


async def accepting(session: Any) -> None:
    async for event in session:
        if isinstance(event, SetupReceived):
            await session.send_setup_complete()


async def ended(kit: Kit, sock: socket.socket) -> bytes:
    """What a socket still gives, up to its end."""
    sock.setblocking(False)
    got = b""
    while True:
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            await kit.sleep(0.01)
            continue
        except ConnectionError:
            return got
        if not data:
            return got
        got += data


@pytest.mark.parametrize("says", [b"", b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "no TLS"])
def test_a_client_that_never_gets_through_tls(kit: Kit, says: bytes) -> None:
    async def scenario() -> None:
        timeouts = Timeouts(open=0.2) if not says else None
        async with kit.serve(accepting, ssl=tls.server_context(), timeouts=timeouts) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as sock, at_once():
                sock.sendall(says)
                await ended(kit, sock)
            endpoint = Endpoint.custom(server.url())
            assert endpoint.secure
            async with kit.connect(endpoint, ssl=tls.client_context()) as session:
                assert session.phase is Phase.READY

    kit.run(scenario)


def test_closing_while_a_client_is_in_tls(kit: Kit) -> None:
    async def scenario() -> None:
        async with kit.serve(accepting, ssl=tls.server_context()) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                await kit.sleep(0.05)
                with at_once():
                    await server.close()
                await ended(kit, sock)

    kit.run(scenario)


def test_a_handler_closes_the_server(kit: Kit) -> None:
    async def scenario() -> None:
        async def handler(session: Any) -> None:
            await session.receive()
            await session.send_setup_complete()
            await server.close()
            closed.set()

        closed = kit.signal()
        async with kit.serve(handler) as server:
            async with kit.connect(Endpoint.custom(server.url())) as session:
                assert await session.receive() is None
                assert session.close_info.code == 1000, "its own connection is left to its end"
            await closed.wait()
            assert server.sockets == ()

    kit.run(scenario)


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

    async def interrupted(self: object) -> bytes:
        raise KeyboardInterrupt

    async def main() -> None:
        with Peer(pong) as peer:
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012
                async with live_trio.connect(peer.endpoint(), model="test") as session:
                    monkeypatch.setattr(TrioLink, "receive", interrupted)
                    await session.ping()
                    while True:
                        await session.receive()
            await session.close()
            peer.join()

    trio.run(main)
