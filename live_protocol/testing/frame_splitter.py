"""Splits a server's byte stream into the HTTP response and frames (RFC 6455 section 5.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import attrs

_END_OF_HEAD: Final = b"\r\n\r\n"
_UPGRADED: Final = b"HTTP/1.1 101 "


@attrs.frozen
class HttpBytes:
    """The response to the upgrade, or a piece of it if it refuses."""

    data: bytes


@attrs.frozen
class Frame:
    """One frame; ``data`` is the whole frame."""

    opcode: int
    payload: bytes
    data: bytes


Item: TypeAlias = HttpBytes | Frame


class FrameSplitter:
    """Splits bytes into items. A server's frames have no mask."""

    def __init__(self) -> None:
        self._buffer = b""
        self._framing = False
        self._refused = False

    def feed(self, data: bytes) -> Iterator[Item]:
        """Add bytes, and yield every item that is complete."""
        self._buffer += data
        if not self._framing:
            yield from self._http()
        while self._framing and (frame := self._frame()) is not None:
            yield frame

    def _http(self) -> Iterator[Item]:
        head, end, rest = self._buffer.partition(_END_OF_HEAD)
        if self._refused or (end and not head.startswith(_UPGRADED)):
            self._refused = True
            head, end, rest = self._buffer, b"", b""
        elif not end:
            return
        else:
            self._framing = True
        self._buffer = rest
        yield HttpBytes(head + end)

    def _frame(self) -> Frame | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1] & 0x7F, 2
        if size > 125:
            start += 2 if size == 126 else 8
            size = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + size:
            return None
        self._buffer = buffer[start + size :]
        return Frame(buffer[0] & 0x0F, buffer[start : start + size], buffer[: start + size])
