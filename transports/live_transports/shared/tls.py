"""TLS without I/O: ciphertext in, plaintext out, and back. The owner of the socket moves the bytes.

Plaintext and ciphertext wait in memory only, so a write needs neither a lock nor a task, and a write that fails leaves
everything readable that has arrived.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Final, final

_RECORD: Final = 16 * 1024
"""The most plaintext in one record (RFC 8446 section 5.1)."""


@final
class Tls:
    """One end of a TLS connection.

    Args:
        context: The context.
        hostname: Name of the server, for its client; None makes the server's end.
        below: TLS that this one is spoken through, as it is to a server behind a proxy that speaks TLS itself.

    Attributes:
        ended: Whether the peer has ended its side with a close_notify.
    """

    __slots__ = ("_below", "_held", "_incoming", "_object", "_outgoing", "ended")

    def __init__(self, context: ssl.SSLContext, hostname: str | None, below: Tls | None = None) -> None:
        self.ended: bool = False
        self._below = below
        self._held = bytearray()  # while the peer renegotiates
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=hostname is None, server_hostname=hostname
        )

    def shake_hands(self) -> bool:
        """Go on with the handshake. Returns whether it is complete; send `data_to_send` in any case.

        Raises:
            ssl.SSLError: It failed, or the peer has left. There may be an alert to send.
        """
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    # --- in -----------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take ciphertext; none says that the peer has left. Then call `read` until it gives nothing."""
        below = self._below
        if below is None:
            self._feed(data)
            return
        below.receive_data(data)
        while piece := below.read():
            self._feed(piece)
        if not data or below.ended:
            self._feed(b"")

    def _feed(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def read(self) -> bytes:
        """The plaintext of the next record; none if it has not arrived whole, or at the end.

        Raises:
            ssl.SSLError: The peer broke the protocol. There may be an alert to send.
        """
        if not self._incoming.pending:  # cheaper than the exception that OpenSSL would become
            return b""
        try:
            data: bytes = self._object.read(_RECORD)
        except ssl.SSLWantReadError:
            data = b""
        except ssl.SSLZeroReturnError:  # which it is after our own close_notify; before, there is nothing to read
            data, self.ended = b"", True
        else:
            self.ended = not data
        if self._held:
            held, self._held = self._held, bytearray()
            self.write(held)
        return data

    # --- out ----------------------------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """Whether plaintext waits for the peer to end a renegotiation (TLS 1.2)."""
        return bool(self._held)

    def write(self, data: bytes | bytearray) -> None:
        """Encrypt; take the ciphertext with `data_to_send`.

        Raises:
            ssl.SSLError: The connection is broken.
        """
        if self._held:
            self._held += data
            return
        sent, size, write = 0, len(data), self._object.write
        try:
            while sent < size:
                sent += write(memoryview(data)[sent:] if sent else data)
        except ssl.SSLWantReadError:
            self._held += memoryview(data)[sent:]

    def data_to_send(self) -> bytes:
        """Ciphertext to send."""
        data, below = self._outgoing.read(), self._below
        if below is None:
            return data
        below.write(data)
        return below.data_to_send()

    def close(self) -> None:
        """End our side with a close_notify, which waits in `data_to_send`."""
        with contextlib.suppress(ssl.SSLError):  # there is no answer yet, and none is waited for
            self._object.unwrap()
        if self._below is not None:
            self._below.write(self._outgoing.read())
            self._below.close()
