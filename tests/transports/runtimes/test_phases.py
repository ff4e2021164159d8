"""The end of the transport in the phases of an open session, over TCP and over TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable

import pytest
from support import tls
from support.patience import PATIENCE, at_once
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import Conn, Peer

from live_protocol import LiveProtocolError, TransportFailed
from live_protocol.close_info import Initiator
from live_protocol.events import ConnectionClosed, ConnectionFailed


def _reset(conn: Conn) -> None:
    conn.reset()


def _eof(conn: Conn) -> None:
    with contextlib.suppress(ssl.SSLError):  # nobody has to answer a goodbye of TLS
        conn.eof()
        conn.until_gone()


def _cut(conn: Conn) -> None:
    """No goodbye of TLS, as many servers do it."""
    raw = socket.socket(fileno=conn.sock.detach())
    raw.settimeout(PATIENCE)
    raw.shutdown(socket.SHUT_WR)
    with raw, contextlib.suppress(ConnectionError):
        while raw.recv(65536):
            pass


WAYS = pytest.mark.parametrize("leave", [_reset, _eof, _cut], ids=["reset", "eof", "cut"])
SECURE = pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])


@SECURE
@WAYS
def test_ready(kit: Kit, leave: Callable[[Conn], None], secure: bool) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.read_message()
        leave(conn)

    async def scenario() -> None:
        with Peer(script, tls=tls.server_context() if secure else None) as peer, at_once():
            async with kit.connect(peer.endpoint(), ssl=tls.client_context() if secure else None) as session:
                await session.send_realtime_input(text="go")
                events = []
                with pytest.raises(TransportFailed) as caught:  # noqa: PT012
                    async for event in session:
                        events.append(event)  # noqa: PERF401
                assert [type(event) for event in events[-2:]] == [ConnectionFailed, ConnectionClosed]
                if leave is _reset:
                    assert isinstance(caught.value.__cause__, ConnectionResetError)
                assert session.close_info.initiator is Initiator.TRANSPORT
            await kit.join(peer)

    kit.run(scenario)


@SECURE
@WAYS
def test_closing(kit: Kit, leave: Callable[[Conn], None], secure: bool) -> None:
    """We have said goodbye, and the peer just goes: nobody waits for its answer then."""

    def script(conn: Conn) -> None:
        conn.open()
        conn.read_close()
        leave(conn)

    async def scenario() -> None:
        with Peer(script, tls=tls.server_context() if secure else None) as peer, at_once():
            async with kit.connect(peer.endpoint(), ssl=tls.client_context() if secure else None) as session:
                await session.close()
                assert not session.close_info.clean
                assert isinstance(session.close_info.error, TransportFailed)
                with pytest.raises(LiveProtocolError) as caught:  # noqa: PT012
                    while await session.receive() is not None:
                        pass
                assert caught.value is session.close_info.error
            await kit.join(peer)

    kit.run(scenario)


@SECURE
def test_closing_and_answered(kit: Kit, secure: bool) -> None:
    """Once the peer has answered our goodbye, however it leaves is fine."""

    def script(conn: Conn) -> None:
        conn.open()
        code, reason = conn.read_close()
        conn.close(code, reason)
        conn.reset()

    async def scenario() -> None:
        with Peer(script, tls=tls.server_context() if secure else None) as peer, at_once():
            async with kit.connect(peer.endpoint(), ssl=tls.client_context() if secure else None) as session:
                await session.close()
            assert session.close_info is not None
            await kit.join(peer)

    kit.run(scenario)
