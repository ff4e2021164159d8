"""An endpoint that sends back what it gets: `WebSocketLink` over a blocking socket and nothing more."""

from __future__ import annotations

import contextlib
import socket

from live_protocol.events import UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.states import ConnectionState
from live_protocol.websocket import HandshakeRequest, WebSocketLink

LIMITS = Limits(max_fragments=1_000_000)
"""Cases 9.3 and 9.4 cut 4 MiB into fragments of 64 bytes."""

PATIENCE = 60.0
"""Seconds without a byte after which something hangs."""

_READ = 64 * 1024
_SMALL = 2048


def client(port: int, target: str) -> list[str]:
    """Connect, echo until the server ends it; gives the text messages."""
    request = HandshakeRequest(host=f"127.0.0.1:{port}", target=target)
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        return serve(WebSocketLink.client(request, limits=LIMITS, compression=True), sock)


def server(sock: socket.socket) -> None:
    """Echo on a connection that was accepted."""
    with sock:
        sock.settimeout(PATIENCE)
        serve(WebSocketLink.server(limits=LIMITS, compression=True), sock)


def serve(link: WebSocketLink, sock: socket.socket) -> list[str]:
    """Drive one link to its end."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    texts: list[str] = []
    while True:
        try:
            if data := link.data_to_send():
                sock.sendall(data)
            if link.wants.close:
                break
            received = sock.recv(_READ)
        except ConnectionError as error:  # cases of broken frames may end in a reset
            link.transport_failed(error)
            continue
        if not received:
            link.receive_eof()
        # The link frames at once all that it is given, and after a fault no echo leaves any more. The suite calls it
        # strict to answer, before the fault, what came ahead of it in the same segment: so feed it bytes.
        step = 1 if len(received) <= _SMALL else _READ
        for at in range(0, len(received), step):
            link.receive_data(received[at : at + step])
            texts += echo(link)
    if link.wants.half_close:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(_READ):
                pass
    return texts


def echo(link: WebSocketLink) -> list[str]:
    """Answer all events there are; gives the text messages among them."""
    texts: list[str] = []
    while (event := link.next_event()) is not None:
        if isinstance(event, UpgradeRequested):
            link.accept()
        elif isinstance(event, str):
            texts.append(event)
            if link.state is ConnectionState.OPEN:
                link.send_text(event.encode())
        elif isinstance(event, bytes) and link.state is ConnectionState.OPEN:
            link.send_binary(event)
    return texts
