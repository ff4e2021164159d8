"""Through a real HTTP proxy, on every adapter: it opens, refuses, keeps silent, talks nonsense and drops."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import ssl
import sys
import time
from typing import Any

import pytest
from support import tls
from support.patience import PATIENCE, at_once
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import Conn, Gone, Peer, Script

from live_protocol import DeadlineExpired, Endpoint, LiveProtocolError, TransportFailed
from live_protocol.timing import Deadline
from live_transports.shared.proxy import Proxy, ProxyFailed

SECRET = "proxy-pass-word"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def echo(conn: Conn) -> None:
    """The server behind the proxy."""
    conn.open()
    conn.read_message()
    conn.say({"serverContent": {"modelTurn": {"parts": [{"text": "through"}]}}})
    conn.farewell()


def pump(inner: socket.socket, outer: socket.socket) -> None:
    """Copy in both directions until one end leaves; on one thread, because OpenSSL wants it so."""
    others = {inner: outer, outer: inner}
    with contextlib.suppress(OSError):
        while True:
            waiting = [sock for sock in others if isinstance(sock, ssl.SSLSocket) and sock.pending()]
            for sock in waiting or select.select(list(others), [], [], PATIENCE)[0]:
                data = sock.recv(65536)
                if not data:
                    return
                others[sock].sendall(data)


class Forwarder:
    """The script of a proxy that does what it is asked."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.upstream: socket.socket | None = None

    def __call__(self, conn: Conn) -> None:
        request = conn.read_head()
        self.requests.append(request)
        host, _, port = request.split(b" ")[1].decode().rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as upstream:
            self.upstream = upstream
            conn.send(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n", chop=9)
            pump(conn.sock, upstream)


async def fails(kit: Kit, endpoint: Endpoint, proxy: Proxy | str, **options: Any) -> LiveProtocolError:
    with pytest.raises(LiveProtocolError) as caught:
        async with kit.connect(endpoint, proxy=proxy, **options):
            raise AssertionError("connected")
    for error in (caught.value, caught.value.__cause__):
        assert SECRET not in f"{error!r} {error}"
    return caught.value


TARGET = Endpoint.custom("ws://127.0.0.1:9/")


# --- it opens ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outer", ["http", "https"])
@pytest.mark.parametrize("inner", ["ws", "wss"])
def test_sessions_go_through(kit: Kit, inner: str, outer: str) -> None:
    forward = Forwarder()

    async def scenario() -> None:
        with (
            Peer(echo, tls=tls.server_context() if inner == "wss" else None) as server,
            Peer(forward, tls=tls.server_context() if outer == "https" else None) as proxy,
        ):
            via = Proxy.parse(
                f"{outer}://me:{SECRET}@localhost:{proxy.port}", ssl=tls.client_context() if outer == "https" else None
            )
            context = tls.client_context() if inner == "wss" else None
            async with kit.connect(server.endpoint(), ssl=context, proxy=via) as session:
                await session.send_realtime_input(text="hello")
                message = await session.receive()
                assert message.server_content.model_turn.parts[0].text == "through"
            assert session.close_info.clean
            await kit.join(server)
            await kit.join(proxy)
            (request,) = forward.requests
            host = "localhost" if inner == "wss" else "127.0.0.1"
            assert request.startswith(f"CONNECT {host}:{server.port} HTTP/1.1\r\n".encode())
            assert base64.b64encode(f"me:{SECRET}".encode()) in request

    kit.run(scenario)


def test_without_credentials(kit: Kit) -> None:
    forward = Forwarder()

    async def scenario() -> None:
        with Peer(echo) as server, Peer(forward) as proxy:
            async with kit.connect(server.endpoint(), proxy=f"http://127.0.0.1:{proxy.port}") as session:
                await session.send_realtime_input(text="hello")
            await kit.join(server)
            await kit.join(proxy)
            assert b"authorization" not in forward.requests[0].lower()

    kit.run(scenario)


def test_the_environment_is_read_only_if_asked(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Forwarder()

    def short(conn: Conn) -> None:
        conn.open()
        conn.farewell()

    async def scenario() -> None:
        with Peer(short) as server, Peer(forward) as proxy:
            for name in VARIABLES:
                monkeypatch.delenv(name, raising=False)
                monkeypatch.delenv(name.upper(), raising=False)
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
            async with kit.connect(server.endpoint()):
                assert not forward.requests
            async with kit.connect(server.endpoint(), proxy="environment"):
                assert len(forward.requests) == 1
            monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
            async with kit.connect(server.endpoint(), proxy="environment"):
                assert len(forward.requests) == 1
            await kit.join(server)
            await kit.join(proxy)

    kit.run(scenario)


def test_the_tunnel_breaks(kit: Kit) -> None:
    forward = Forwarder()

    def script(conn: Conn) -> None:
        conn.open()
        assert forward.upstream is not None
        conn.reset()

    async def scenario() -> None:
        with Peer(script) as server, Peer(forward) as proxy:
            with pytest.raises(TransportFailed):
                async with kit.connect(server.endpoint(), proxy=f"127.0.0.1:{proxy.port}") as session:
                    await session.receive()
            await kit.join(server)
            await kit.join(proxy)

    kit.run(scenario)


@pytest.mark.parametrize("outer", ["http", "https"])
def test_the_servers_certificate_is_verified_all_the_same(kit: Kit, outer: str) -> None:
    if outer == "https" and kit.name == "asyncio" and sys.version_info < (3, 11, 8):
        pytest.skip("this asyncio raises a TypeError where TLS fails inside of TLS")

    async def scenario() -> None:
        with (
            Peer(echo, tls=tls.wrong_host()) as server,
            Peer(Forwarder(), tls=tls.server_context() if outer == "https" else None) as proxy,
        ):
            via = Proxy.parse(
                f"{outer}://localhost:{proxy.port}", ssl=tls.client_context() if outer == "https" else None
            )
            error = await fails(kit, server.endpoint(), via, ssl=tls.client_context())
            assert isinstance(error, TransportFailed)
            assert not isinstance(error, ProxyFailed)
            assert "for localhost was refused: it is for another host" in str(error)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                server.join()
            await kit.join(proxy)

    kit.run(scenario)


# --- it does not ------------------------------------------------------------------------------------------------


def saying(*pieces: bytes, then: str = "linger") -> Script:
    def script(conn: Conn) -> None:
        conn.read_head()
        with contextlib.suppress(Gone):
            for piece in pieces:
                conn.send(piece)
        if then == "reset":
            conn.reset()
        elif then == "linger":
            conn.until_gone()

    return script


def silent(conn: Conn) -> None:
    conn.until_gone()


def test_it_wants_credentials(kit: Kit) -> None:
    async def scenario() -> None:
        body = b"<h1>Denied</h1>"
        answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: %d\r\n\r\n" % len(body)
        with Peer(saying(answer + body)) as proxy:
            error = await fails(kit, TARGET, f"http://me:{SECRET}@127.0.0.1:{proxy.port}")
            assert isinstance(error, ProxyFailed)
            assert (error.status, error.body) == (407, body)
            assert "credentials" in str(error)
            await kit.join(proxy)

    kit.run(scenario)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (saying(b"HTTP/1.1 403 Forbidden\r\n\r\n"), "does not allow"),
        (saying(b"\x00\x01garbage\r\n\r\n"), "not HTTP"),
        (saying(b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n"), "illegal header line"),
        (saying(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000), "max_handshake"),
        (saying(b"HTTP/1.1 200 OK\r\n\r\nextra"), "more than an answer"),
        (saying(b"HTTP/1.1 200", then="close"), "the tunnel"),
        (saying(b"HTTP/1.1 200", then="reset"), "the tunnel"),
        (saying(then="close"), "the tunnel"),
    ],
    ids=["403", "garbage", "bad header", "too long", "too much", "torn", "reset", "eof"],
)
@pytest.mark.parametrize("inner", ["ws", "wss"])
def test_it_fails(kit: Kit, inner: str, script: Script, says: str) -> None:
    async def scenario() -> None:
        with Peer(script) as proxy:
            target = Endpoint.custom(f"{inner}://localhost:9/")
            error = await fails(kit, target, f"http://me:{SECRET}@127.0.0.1:{proxy.port}")
            assert isinstance(error, ProxyFailed)
            assert says in str(error)
            await kit.join(proxy)

    kit.run(scenario)


@pytest.mark.parametrize("outer", ["http", "https"])
def test_it_never_answers(kit: Kit, outer: str) -> None:
    async def scenario() -> None:
        with Peer(silent) as proxy:
            via = f"{outer}://me:{SECRET}@127.0.0.1:{proxy.port}"
            began = time.monotonic()
            with at_once():
                error = await fails(kit, TARGET, via, dial_timeout=0.2)
                assert isinstance(error, DeadlineExpired)
                assert error.which is Deadline.PROXY
                assert f"127.0.0.1:{proxy.port}" in str(error)
                await kit.join(proxy)
            assert time.monotonic() - began > 0.15

    kit.run(scenario)


def test_cancelled_while_it_is_silent(cancelling: Kit) -> None:
    kit = cancelling

    async def scenario() -> None:
        with Peer(silent) as proxy, at_once():

            async def attempt() -> None:
                async with kit.connect(TARGET, proxy=f"127.0.0.1:{proxy.port}"):
                    raise AssertionError

            with pytest.raises(TimeoutError):
                async with kit.timeout(0.1):
                    await attempt()
            await kit.join(proxy)

    kit.run(scenario)


def test_it_is_not_there(kit: Kit) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        async def scenario() -> None:
            error = await fails(kit, TARGET, f"http://me:{SECRET}@127.0.0.1:{port}")
            assert isinstance(error, TransportFailed)
            assert f"could not connect to the proxy 127.0.0.1:{port}" in str(error)
            error = await fails(kit, TARGET, f"http://me:{SECRET}@no-such-host.invalid:{port}")
            assert "could not resolve the proxy no-such-host.invalid" in str(error)

        kit.run(scenario)


def test_its_certificate_is_verified(kit: Kit) -> None:
    async def scenario() -> None:
        with Peer(silent, tls=tls.server_context()) as proxy:
            error = await fails(kit, TARGET, f"https://me:{SECRET}@localhost:{proxy.port}")
            assert isinstance(error, TransportFailed)
            assert "not trusted" in str(error)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                proxy.join()

    kit.run(scenario)


def test_it_does_not_speak_tls(kit: Kit) -> None:
    async def scenario() -> None:
        with Peer(lambda conn: (conn.read(1), conn.send(b"HTTP/1.1 400 Bad\r\n\r\n"), conn.until_gone())) as proxy:
            error = await fails(kit, TARGET, f"https://localhost:{proxy.port}")
            assert isinstance(error, TransportFailed)
            assert f"the TLS handshake with the proxy localhost:{proxy.port} failed" in str(error)
            await kit.join(proxy)

    kit.run(scenario)
