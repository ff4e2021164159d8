"""The other end on a thread: blocking sockets and a script, so that it serves the tests of every runtime alike.

A script that has nothing more to say calls `Conn.until_gone`, which ends when our end lets go of its socket. So a
peer that is joined proves that the socket was freed, and nobody sleeps.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from support.patience import PATIENCE

from live_protocol import Endpoint

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def make_frame(opcode: int, payload: bytes = b"", *, mask: bool = False, fin: bool = True) -> bytes:
    size = len(payload)
    bit = 0x80 if mask else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += struct.pack("!BH", bit | 126, size)
    else:
        head += struct.pack("!BQ", bit | 127, size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def _unmask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


class Gone(Exception):
    """Our end has closed or reset the connection."""


class Conn:
    """One connection of the script's end."""

    def __init__(self, sock: socket.socket, *, client: bool = False) -> None:
        self.sock = sock
        self.client = client
        self.buffer = bytearray()
        self.seen: list[tuple[int, bytes]] = []

    # --- bytes --------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError) as error:
            raise Gone from error
        if not data:
            raise Gone
        self.buffer += data

    def read(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._fill()
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def send(self, data: bytes, *, chop: int = 0) -> None:
        step = chop or len(data) or 1
        try:
            for at in range(0, len(data), step):
                self.sock.sendall(data[at : at + step])
        except (ConnectionError, ssl.SSLError) as error:
            raise Gone from error

    def until_gone(self) -> None:
        """Read and forget until our end is gone."""
        with contextlib.suppress(Gone):
            while True:
                self.buffer.clear()
                self._fill()

    # --- ways to leave ------------------------------------------------------------------------------------------

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw = self.sock.detach()  # past TLS, which would say goodbye
        socket.close(raw)

    def eof(self) -> None:
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock = self.sock.unwrap()  # type: ignore[assignment]
        self.sock.shutdown(socket.SHUT_WR)

    # --- handshake ----------------------------------------------------------------------------------------------

    def read_head(self) -> bytes:
        while b"\r\n\r\n" not in self.buffer:
            self._fill()
        return self.read(self.buffer.index(b"\r\n\r\n") + 4)

    def upgrade(self, *, chop: int = 0, extra: bytes = b"", extensions: str = "") -> bytes:
        """Server role: answer the request with 101; gives the request."""
        request = self.read_head()
        key = next(
            line[19:].strip() for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        if extensions:
            head += b"Sec-WebSocket-Extensions: " + extensions.encode() + b"\r\n"
        self.send(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + extra, chop=chop)
        return request

    def request(self, path: str) -> bytes:
        """Client role: ask for the upgrade; gives the response's head."""
        self.send(
            f"GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        return self.read_head()

    def open(self, **kwargs: Any) -> dict[str, Any]:
        """Server role: upgrade, read the setup, accept it; gives the setup."""
        self.upgrade(**kwargs)
        setup = self.read_message()
        self.say({"setupComplete": {}})
        return setup

    # --- frames -------------------------------------------------------------------------------------------------

    def frame(self, opcode: int, payload: bytes = b"", *, chop: int = 0) -> None:
        self.send(make_frame(opcode, payload, mask=self.client), chop=chop)

    def say(self, message: Any, *, chop: int = 0) -> None:
        self.frame(TEXT if self.client else BINARY, json.dumps(message).encode(), chop=chop)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.frame(CLOSE, struct.pack("!H", code) + reason.encode())

    def read_frame(self) -> tuple[int, bytes]:
        """The next frame; only whole unfragmented ones, properly masked, pass."""
        first, second = self.read(2)
        assert first & 0xF0 == 0x80, f"first byte {first:#x}"
        assert bool(second & 0x80) is not self.client, "masked the wrong way"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.read(8))
        key = b"" if self.client else self.read(4)
        payload = self.read(size)
        found = (first & 0x0F, _unmask(payload, key) if key else payload)
        self.seen.append(found)
        return found

    def read_message(self) -> dict[str, Any]:
        """The next message; control frames on the way are passed over."""
        while True:
            opcode, payload = self.read_frame()
            if opcode in (TEXT, BINARY):
                message: dict[str, Any] = json.loads(payload)
                return message
            if opcode == CLOSE:
                raise Gone(f"close frame {payload!r}")

    def read_close(self) -> tuple[int, str]:
        """Skip to the close frame."""
        while True:
            opcode, payload = self.read_frame()
            if opcode == CLOSE:
                return (int.from_bytes(payload[:2], "big"), payload[2:].decode()) if payload else (1005, "")

    def farewell(self) -> None:
        """Server role: wait for the close frame, answer it, hang up."""
        code, reason = self.read_close()
        self.close(code if code != 1005 else 1000, reason)


Script = Callable[[Conn], object]


class Peer:
    """A server that runs ``script`` against every connection; `join` re-raises what went wrong in it.

    A script that met the end of our connection counts as having returned `Gone`.

    Args:
        script: Run on a thread of its own per connection, which is closed when it returns.
        tls: Its certificate.
        rcvbuf: Size of the kernel's receive buffer, to make it slow of hearing.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, rcvbuf: int = 0) -> None:
        self.script = script
        self.tls = tls
        self.results: list[Any] = []
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()
        if rcvbuf:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def endpoint(self, path: str = "/ws/test", headers: Any = ()) -> Endpoint:
        scheme, host = ("wss", "localhost") if self.tls else ("ws", "127.0.0.1")
        return Endpoint.custom(f"{scheme}://{host}:{self.port}{path}", headers=headers)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            conn = Conn(sock)
            self.results.append(self.script(conn))
            sock = conn.sock
        except Gone:
            self.results.append(Gone)
        except BaseException as error:
            self.errors.append(error)
        finally:
            sock.close()

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    @property
    def busy(self) -> bool:
        """Whether a script is still running."""
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> list[Any]:
        """Wait for all scripts; gives what they returned."""
        # shutdown() wakes accept(), which close() does not
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(PATIENCE)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the peer's script hangs: was the socket freed?"
        if self.errors:
            raise self.errors[0]
        return self.results

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if self._listener.fileno() >= 0:
                self.join()
        else:
            with contextlib.suppress(BaseException):
                self.join()


@contextlib.contextmanager
def dialer(port: int, script: Script, *, tls: ssl.SSLContext | None = None) -> Iterator[list[Any]]:
    """A client on a thread that runs ``script`` against a server of ours; joined at the end of the block."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        sock: socket.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if tls is not None:
                sock = tls.wrap_socket(sock, server_hostname="localhost")
            conn = Conn(sock, client=True)
            results.append(script(conn))
            sock = conn.sock
        except BaseException as error:
            errors.append(error)
        finally:
            sock.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield results
    finally:
        thread.join(PATIENCE)
    assert not thread.is_alive(), "the dialer's script hangs"
    if errors:
        raise errors[0]
