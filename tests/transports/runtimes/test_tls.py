"""TLS without I/O, in memory; and what a peer said last over TLS, before it reset the connection."""

from __future__ import annotations

import json
import ssl
import threading
from typing import Any, cast

import pytest
import trio
from support import tls
from support.patience import PATIENCE
from transports.runtimes.kit.peer import BINARY, Conn, Peer, make_frame

from live_protocol import ServerClosed
from live_transports.shared.tls import Tls
from live_transports.trio import connect


def carry(sender: Tls, receiver: Tls) -> bytes:
    """Carry the ciphertext over in pieces; gives the plaintext."""
    data, plain = sender.data_to_send(), b""
    for start in range(0, len(data), 1000):
        receiver.receive_data(data[start : start + 1000])
        while piece := receiver.read():
            plain += piece
    return plain


def pair(client: Tls | None = None, server: Tls | None = None) -> tuple[Tls, Tls]:
    """Both ends after the handshake."""
    client = client or Tls(tls.client_context(), "localhost")
    server = server or Tls(tls.server_context(), None)
    done = [False, False]
    while not all(done):
        for index, (one, other) in enumerate(((client, server), (server, client))):
            done[index] = one.shake_hands()
            if data := one.data_to_send():
                other.receive_data(data)
    return client, server


@pytest.mark.parametrize("size", [1, 16 * 1024, 100_000])
def test_both_ways(size: int) -> None:
    client, server = pair()
    for one, other in ((client, server), (server, client)):
        one.write(bytes(size))
        assert carry(one, other) == bytes(size)
        assert other.read() == b""


def test_the_end_of_one_side() -> None:
    client, server = pair()
    server.write(b"bye")
    server.close()
    assert carry(server, client) == b"bye"
    assert client.ended
    client.write(b"after")
    assert carry(client, server) == b"after"


def test_tls_in_tls() -> None:
    outer_client, outer_server = pair()
    client, server = pair(
        Tls(tls.client_context(), "localhost", outer_client), Tls(tls.server_context(), None, outer_server)
    )
    client.write(bytes(50_000))
    assert carry(client, server) == bytes(50_000)
    server.close()
    assert carry(server, client) == b""
    assert client.ended


def test_a_handshake_that_fails_leaves_an_alert() -> None:
    client, server = Tls(tls.client_context(), "localhost"), Tls(tls.wrong_host(), None)
    client.shake_hands()
    server.receive_data(client.data_to_send())
    server.shake_hands()
    client.receive_data(server.data_to_send())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.shake_hands()
    assert client.data_to_send()


def test_a_peer_that_leaves_in_the_handshake() -> None:
    client = Tls(tls.client_context(), "localhost")
    client.shake_hands()
    client.receive_data(b"")
    with pytest.raises(ssl.SSLError):
        client.shake_hands()


def test_what_is_written_while_the_peer_renegotiates() -> None:
    """OpenSSL refuses to write then; the bytes wait and leave in order."""
    client, server = pair()
    below = client._object

    class Renegotiating:
        busy = True

        def write(self, data: Any) -> int:
            if self.busy:
                raise ssl.SSLWantReadError
            return below.write(data)

        def read(self, size: int) -> bytes:
            return below.read(size)

    client._object = renegotiating = cast("Any", Renegotiating())
    client.write(b"first ")
    client.write(b"second")
    assert client.held
    assert client.data_to_send() == b""
    renegotiating.busy = False
    server.write(b"done")
    assert carry(server, client) == b"done"
    assert not client.held
    assert carry(client, server) == b"first second"


def test_the_reason_of_a_close_survives_a_reset() -> None:
    message = make_frame(
        BINARY, json.dumps({"serverContent": {"modelTurn": {"parts": [{"text": "x" * 20_000}]}}}).encode()
    )
    gone = threading.Event()

    def script(conn: Conn) -> None:
        conn.open()
        conn.send(5 * message)
        conn.close(1008, "Requested entity was not found.")
        conn.reset()
        gone.set()

    async def main() -> None:
        with Peer(script, tls=tls.server_context()) as peer:
            async with connect(peer.endpoint(), model="test", ssl=tls.client_context()) as session:
                assert gone.wait(PATIENCE)  # the whole program is held up, so nothing has been read
                await session.send_realtime_input(text="x")  # into a connection that has been reset
                with pytest.raises(ServerClosed, match="1008"):  # noqa: PT012
                    while True:
                        await session.receive()

    trio.run(main)
