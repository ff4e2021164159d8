"""What is asked of TCP and of the upgrade arrives there."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import Any

import pytest
from support import tls
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import Conn, Peer

from live_protocol import Endpoint
from live_protocol.events import SetupReceived


def connected_sockets() -> list[socket.socket]:
    """Copies of all TCP sockets of this process that have a peer, each once."""
    found: dict[Any, socket.socket] = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            sock = socket.socket(fileno=os.dup(int(name)))
            try:
                ends = (sock.getsockname(), sock.getpeername()) if sock.family == socket.AF_INET else None
            except OSError:
                ends = None
            if ends is None or found.setdefault(ends, sock) is not sock:
                sock.close()
    return list(found.values())


async def accepting(session: Any) -> None:
    async for event in session:
        if isinstance(event, SetupReceived):
            await session.send_setup_complete()


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_nothing_waits_for_a_full_packet(kit: Kit, secure: bool) -> None:
    """Both ends: TCP_NODELAY."""

    async def scenario() -> None:
        server_tls, client_tls = (tls.server_context(), tls.client_context()) if secure else (None, None)
        async with (
            kit.serve(accepting, ssl=server_tls) as server,
            kit.connect(Endpoint.custom(server.url()), ssl=client_tls),
        ):
            with contextlib.ExitStack() as stack:
                sockets = [stack.enter_context(sock) for sock in connected_sockets()]
                ours = [sock for sock in sockets if server.port in (sock.getsockname()[1], sock.getpeername()[1])]
                assert len(ours) == 2
                for sock in ours:
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    kit.run(scenario)


@pytest.mark.parametrize("offered", [False, True], ids=["not offered", "offered"])
def test_compressed_frames_leave_where_the_server_takes_them(kit: Kit, offered: bool) -> None:
    def script(conn: Conn) -> tuple[bool, int]:
        request = conn.upgrade(extensions="permessage-deflate" if offered else "")
        first, second = conn.read(2)
        size = second & 0x7F
        conn.read(4 + (size if size < 126 else int.from_bytes(conn.read(2), "big")))
        conn.reset()
        return b"permessage-deflate" in request, first

    async def scenario() -> None:
        with Peer(script) as peer:
            with contextlib.suppress(Exception):
                async with kit.connect(peer.endpoint(), compression=offered):
                    raise AssertionError
            ((asked, first),) = await kit.join(peer)
            assert asked is offered
            assert bool(first & 0x40) is offered, "RSV1 marks what is compressed (RFC 7692 section 6)"

    kit.run(scenario)
