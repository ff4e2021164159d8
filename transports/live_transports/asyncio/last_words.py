"""Read what the peer said last, after a write has failed.

A peer that refuses us sends a close frame and resets the connection. A write that comes before we have read that frame
fails, and a transport whose write has failed reads no more: the frame, which says why the peer left, would be lost. The
kernel still holds it, and a transport calls ``connection_lost`` while its socket is open, so the rest is read there.
This costs nothing as long as writes succeed.

TLS sits between: its protocol tells ours of the end after the socket is closed. So `LastWords` stands below it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final, cast, final

_CHUNK: Final = 64 * 1024


def unread(transport: asyncio.BaseTransport, error: Exception | None) -> Iterator[bytes]:
    """The bytes that the kernel holds for a transport which ends with this error.

    To be called in ``connection_lost`` of the transport that owns the socket.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or not isinstance(error, OSError):
        return
    with contextlib.suppress(OSError), sock.dup() as rest:
        while data := rest.recv(_CHUNK):
            yield data


@final
class LastWords(asyncio.BufferedProtocol):
    """Between a transport and its TLS protocol: hands the unread bytes up before the end.

    Everything but the end goes to the TLS protocol without passing through here.

    Args:
        transport: The one that owns the socket; TLS has been started on it.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        tls = cast("asyncio.BufferedProtocol", transport.get_protocol())
        self._transport = transport
        self._tls = tls
        passed_on: dict[str, Any] = {
            name: getattr(tls, name)
            for name in ("get_buffer", "buffer_updated", "eof_received", "pause_writing", "resume_writing")
        }
        vars(self).update(passed_on)
        transport.set_protocol(self)

    def connection_lost(self, exc: Exception | None) -> None:
        for data in unread(self._transport, exc):
            memoryview(self._tls.get_buffer(len(data)))[: len(data)] = data
            self._tls.buffer_updated(len(data))
        self._tls.connection_lost(exc)
