"""Every way in which connect() can end, by phase; each frees the socket, which the peer's script sees."""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest
from support import tls
from support.patience import at_once
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import Conn, Gone, Peer, Script

from live_protocol import (
    DeadlineExpired,
    Endpoint,
    HandshakeFailed,
    InvalidMessage,
    Limits,
    LiveProtocolError,
    ServerClosed,
    Timeouts,
    TransportFailed,
)
from live_protocol.timing import Deadline

SECRET = "AIza-this-is-a-secret"


async def fails(kit: Kit, endpoint: Endpoint, **options: Any) -> LiveProtocolError:
    with pytest.raises(LiveProtocolError) as caught:
        async with kit.connect(endpoint, **options):
            raise AssertionError("connected")
    for error in (caught.value, caught.value.__cause__):
        assert SECRET not in f"{error!r} {error}"
    return caught.value


def silent(conn: Conn) -> None:
    conn.until_gone()


def upgrade_only(conn: Conn) -> None:
    conn.upgrade()
    conn.read_message()
    conn.until_gone()


def setup_only(conn: Conn) -> None:
    conn.open()
    conn.until_gone()


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chop", [0, 1], ids=["whole", "bytewise"])
def test_upgrade_refused(kit: Kit, chop: int) -> None:
    body = b'{"error":{"code":429,"message":"Quota exceeded"}}'

    def script(conn: Conn) -> None:
        assert SECRET.encode() in conn.read_head()
        head = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: %d\r\n\r\n" % len(body)
        conn.send(head + body, chop=chop)
        conn.until_gone()

    async def scenario() -> None:
        with Peer(script) as peer:
            error = await fails(kit, peer.endpoint(f"/ws/test?key={SECRET}"))
            assert isinstance(error, HandshakeFailed)
            assert error.status == 429
            assert dict(error.headers)["retry-after"] == "7"
            assert error.body == body

    kit.run(scenario)


def test_refusal_is_told_at_once_though_the_peer_lingers(kit: Kit) -> None:
    async def scenario() -> None:
        def script(conn: Conn) -> None:
            conn.read_head()
            conn.send(b"HTTP/1.1 101 No\r\n\r\n")
            conn.until_gone()

        with Peer(script) as peer, at_once():
            error = await fails(kit, peer.endpoint(), timeouts=Timeouts(close=15))
            assert isinstance(error, HandshakeFailed)
            assert error.status is None
            peer.join()

    kit.run(scenario)


def test_setup_refused(kit: Kit) -> None:
    reason = "API key not valid. Please pass a valid API key."

    def script(conn: Conn) -> None:
        conn.upgrade()
        conn.read_message()
        conn.close(1007, reason)
        conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            error = await fails(kit, peer.endpoint())
            assert isinstance(error, ServerClosed)
            assert (error.code, error.reason) == (1007, reason)
            assert "check the key" in error.hint

    kit.run(scenario)


def test_closed_in_peace_before_the_setup_was_accepted(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.upgrade()
        conn.read_message()
        conn.close(1000, "no")
        conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            error = await fails(kit, peer.endpoint())
            assert isinstance(error, ServerClosed)
            assert error.code == 1000

    kit.run(scenario)


def test_a_flood_instead_of_the_setups_acceptance(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.upgrade()
        conn.read_message()
        for _ in range(400):
            conn.say({"serverContent": {"modelTurn": {"parts": [{"text": "x"}]}}})
        conn.until_gone()

    async def scenario() -> None:
        with Peer(script) as peer:
            assert "but none that begins" in str(await fails(kit, peer.endpoint()))

    kit.run(scenario)


def test_bad_arguments_dial_nothing(kit: Kit) -> None:
    async def scenario() -> None:
        with Peer(silent) as peer:
            for options in ({"ssl": tls.client_context()}, {"dial_timeout": 0}, {"config": {"nonsense": 1}}):
                with pytest.raises(InvalidMessage):
                    async with kit.connect(peer.endpoint(), **options):
                        raise AssertionError
            assert peer.join() == []

    kit.run(scenario)


# --- the transport ----------------------------------------------------------------------------------------------


def test_nobody_listens(kit: Kit) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        async def scenario() -> None:
            error = await fails(kit, Endpoint.custom(f"ws://127.0.0.1:{port}/?key={SECRET}"))
            assert isinstance(error, TransportFailed)
            assert isinstance(error.__cause__, ConnectionRefusedError)
            assert f"127.0.0.1:{port}" in str(error)

        kit.run(scenario)


def test_no_such_name(kit: Kit) -> None:
    async def scenario() -> None:
        error = await fails(kit, Endpoint.custom("ws://no-such-host.invalid/"))
        assert isinstance(error, TransportFailed)
        assert isinstance(error.__cause__, socket.gaierror)
        assert "could not resolve no-such-host.invalid" in str(error)

    kit.run(scenario)


def reset_in(phase: str) -> Script:
    def script(conn: Conn) -> None:
        if phase != "accepted":
            conn.read_head() if phase == "requested" else conn.upgrade()
        if phase == "setup":
            conn.read_message()
        conn.reset()

    return script


def eof_in(phase: str) -> Script:
    def script(conn: Conn) -> None:
        if phase != "accepted":
            conn.read_head() if phase == "requested" else conn.upgrade()
        if phase == "setup":
            conn.read_message()
        conn.eof()
        conn.until_gone()

    return script


@pytest.mark.parametrize("phase", ["accepted", "requested", "upgraded", "setup"])
@pytest.mark.parametrize("how", [reset_in, eof_in], ids=["reset", "eof"])
def test_the_transport_ends(kit: Kit, how: Callable[[str], Script], phase: str) -> None:
    async def scenario() -> None:
        with Peer(how(phase)) as peer:
            error = await fails(kit, peer.endpoint())
            assert isinstance(error, TransportFailed)
            if how is reset_in and phase in ("requested", "setup"):  # elsewhere our bytes may meet the closed socket
                assert isinstance(error.__cause__, ConnectionResetError)

    kit.run(scenario)


# --- deadlines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "timeouts", "which"),
    [
        (silent, Timeouts(open=0.2), Deadline.OPEN),
        (upgrade_only, Timeouts(setup=0.2), Deadline.SETUP),
    ],
    ids=["upgrade", "setup"],
)
def test_the_server_never_answers(kit: Kit, script: Script, timeouts: Timeouts, which: Deadline) -> None:
    async def scenario() -> None:
        with Peer(script) as peer:
            began = time.monotonic()
            with at_once():
                error = await fails(kit, peer.endpoint(), timeouts=timeouts)
                assert isinstance(error, DeadlineExpired)
                assert error.which is which
                await kit.join(peer)
            assert time.monotonic() - began > 0.15

    kit.run(scenario)


def test_the_server_never_speaks_tls(kit: Kit) -> None:
    async def scenario() -> None:
        with Peer(silent) as peer:
            endpoint = Endpoint.custom(f"wss://localhost:{peer.port}/")
            error = await fails(kit, endpoint, ssl=tls.client_context(), dial_timeout=0.2)
            assert isinstance(error, DeadlineExpired)
            assert error.which is Deadline.TLS
            assert "TLS handshake" in str(error)

    kit.run(scenario)


def test_tcp_never_connects(kit: Kit) -> None:
    # A listener whose queue is full drops what else comes; so does a firewall.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(8)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())

            async def scenario() -> None:
                endpoint = Endpoint.custom(f"ws://127.0.0.1:{full.getsockname()[1]}/")
                error = await fails(kit, endpoint, dial_timeout=0.2)
                assert isinstance(error, DeadlineExpired)
                assert error.which is Deadline.DIAL

            kit.run(scenario)
        finally:
            for filler in fillers:
                filler.close()


# --- cancellation -----------------------------------------------------------------------------------------------

PHASES: dict[str, tuple[Script, bool]] = {
    "tls": (silent, True),
    "upgrade": (silent, False),
    "setup": (upgrade_only, False),
    "session": (setup_only, False),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_silent_peer_under_a_timeout(cancelling: Kit, phase: str) -> None:
    script, secure = PHASES[phase]
    kit = cancelling

    async def scenario() -> None:
        with Peer(script) as peer:
            endpoint = Endpoint.custom(f"wss://localhost:{peer.port}/") if secure else peer.endpoint()

            async def silence() -> None:
                context = tls.client_context() if secure else None
                # picows keeps the socket of a dial that was cancelled as long as that
                async with kit.connect(endpoint, ssl=context, timeouts=Timeouts(open=1.0)) as session:
                    assert phase == "session"
                    await session.receive()

            took = math.inf
            for _ in range(5):  # a busy machine may hold up one of them
                began = time.monotonic()
                with pytest.raises(TimeoutError):
                    async with kit.timeout(0.3):
                        await silence()
                took = min(took, time.monotonic() - began)
                if took < 0.5:
                    break
            assert took < 0.5
            await kit.join(peer)

    kit.run(scenario)


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_cancelled_anywhere(cancelling: Kit, secure: bool) -> None:
    kit = cancelling

    def script(conn: Conn) -> None:
        with contextlib.suppress(Gone):
            conn.open()
            conn.farewell()

    async def whole() -> None:
        async with kit.connect(peer.endpoint(), ssl=tls.client_context() if secure else None) as session:
            await session.send_client_content({"role": "user", "parts": [{"text": "x"}]})

    async def scenario() -> None:
        finished = 0
        for moment in range(400):
            async with kit.jobs() as jobs:
                job = jobs.start(whole)
                if moment < 20:
                    for _ in range(moment):
                        await kit.pass_on()
                else:
                    await kit.sleep((moment - 20) * 0.0002)
                job.cancel()
                await job.wait()
                assert job.error is None
                finished += not job.cancelled
            if finished == 3:
                return
        raise AssertionError("never quick enough")

    with Peer(script, tls=tls.server_context() if secure else None) as peer:
        kit.run(scenario)
        with contextlib.suppress(OSError):  # the peer's, of a TLS handshake that was cut
            peer.join()


# --- TLS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (tls.self_signed, "self-signed"),
        (tls.unknown_authority, "not trusted"),
        (tls.wrong_host, "another host"),
        (tls.expired, "expired"),
    ],
    ids=["self-signed", "unknown-authority", "wrong-host", "expired"],
)
def test_a_certificate_is_refused(kit: Kit, server: Callable[[], ssl.SSLContext], says: str) -> None:
    async def scenario() -> None:
        with Peer(silent, tls=server()) as peer:
            error = await fails(kit, peer.endpoint(f"/?key={SECRET}"), ssl=tls.client_context())
            assert isinstance(error, TransportFailed)
            assert says in str(error)
            assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                peer.join()

    kit.run(scenario)


def test_certificates_are_verified_by_default(kit: Kit) -> None:
    async def scenario() -> None:
        with Peer(silent, tls=tls.server_context()) as peer:
            error = await fails(kit, peer.endpoint())
            assert "not trusted" in str(error)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                peer.join()

    kit.run(scenario)


def test_the_other_end_does_not_speak_tls(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.read(1)
        conn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        conn.until_gone()

    async def scenario() -> None:
        with Peer(script) as peer:
            error = await fails(kit, Endpoint.custom(f"wss://localhost:{peer.port}/"), ssl=tls.client_context())
            assert isinstance(error, TransportFailed)
            assert "not to speak TLS" in str(error)
            assert isinstance(error.__cause__, ssl.SSLError)

    kit.run(scenario)


@pytest.mark.parametrize("how", ["reset", "eof"])
def test_the_transport_ends_in_tls(kit: Kit, how: str) -> None:
    def script(conn: Conn) -> None:
        conn.read(1)
        getattr(conn, how)()
        if how == "eof":
            conn.until_gone()

    async def scenario() -> None:
        with Peer(script) as peer:
            error = await fails(kit, Endpoint.custom(f"wss://localhost:{peer.port}/"), ssl=tls.client_context())
            assert isinstance(error, TransportFailed)
            assert "TLS handshake" in str(error)

    kit.run(scenario)


def test_a_limit_broken_in_the_handshake(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.read_head()
        conn.send(b"HTTP/1.1 101 X\r\n" + b"X-Long: y\r\n" * 100)
        conn.until_gone()

    async def scenario() -> None:
        with Peer(script) as peer:
            error = await fails(kit, peer.endpoint(), limits=Limits(max_handshake=512))
            assert "max_handshake" in str(error)

    kit.run(scenario)
