"""Small HTTP/1.1 tools of the opening handshake: header fields that are safe to send, heads within bounds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias, cast

import h11

from live_protocol.errors import InvalidMessage, LimitExceeded
from live_protocol.limits import Limits

Headers: TypeAlias = Sequence[tuple[str, str]]

TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_HEAD_END: Final = re.compile(rb"\n\r?\n")
# A response as every server writes it: one blank after the colon, ASCII, nothing folded. h11 reads the others.
_SWITCHING: Final = re.compile(
    rb"HTTP/1\.1 101 [ -~]*\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [!-~](?:[ -~]*[!-~])?\r\n)*)\r\n"
)
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})

RESERVED: Final = frozenset(
    {"host", "upgrade", "connection", "content-length", "transfer-encoding", "te", "trailer", "keep-alive"}
)
RESERVED_IN_REFUSAL: Final = frozenset({"connection", "content-length", "transfer-encoding", "trailer", "keep-alive"})

# What h11 says before it quotes the peer's bytes, which may hold a credential; nothing else of its texts is passed on.
_H11_TEXTS: Final = (
    "illegal status line",
    "illegal request line",
    "illegal header line",
    "continuation line at start of headers",
    "Illegal target characters",
    "Missing mandatory Host: header",
    "Found multiple Host: headers",
    "conflicting Content-Length headers",
    "bad Content-Length",
    "multiple Transfer-Encoding headers",
    "Only Transfer-Encoding: chunked is supported",
)


def check_headers(headers: Headers, reserved: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Refuse what would not arrive as it was meant, without ever quoting a value.

    Args:
        headers: Pairs of name and value, as a caller gave them.
        reserved: Names in lower case that are not the caller's to set; with `RESERVED` also those of RFC 6455.

    Returns:
        The same pairs.

    Raises:
        InvalidMessage: A name or a value cannot stand in a header field, or the name is reserved.
    """
    fields: list[tuple[str, str]] = []
    for pair in cast("Iterable[object]", headers):
        match pair:
            case (str(name), str(value)):
                fields.append((name, value))
            case _:
                raise InvalidMessage("headers", "must be pairs of strings")
        if not TOKEN.fullmatch(name):
            raise InvalidMessage("headers", "a name must be a token of RFC 9110 section 5.6.2")
        lower = name.lower()
        if lower in reserved or (reserved is RESERVED and lower.startswith("sec-websocket-")):
            raise InvalidMessage(f"headers[{name!r}]", "this field belongs to the handshake; leave it out")
        if not _VALUE.fullmatch(value):
            raise InvalidMessage(
                f"headers[{name!r}]",
                "the value holds a line break, another control character, a character beyond Latin-1, or blanks at "
                "an end (a key read from a file often ends in a newline)",
            )
    return tuple(fields)


def check_refusal(status: int, headers: Headers, body: bytes) -> tuple[tuple[str, str], ...]:
    """Refuse what cannot stand in the answer that turns an upgrade down.

    Returns:
        The same header fields.

    Raises:
        InvalidMessage: The status is out of range, a header field cannot be sent, or the body has no place.
    """
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise InvalidMessage("status", "must be an HTTP status from 200 to 599")
    if not isinstance(body, bytes):
        raise InvalidMessage("body", "must be bytes")
    if body and status in (204, 304):
        raise InvalidMessage("body", "RFC 9110 allows none with status 204 and 304")
    return check_headers(headers, RESERVED_IN_REFUSAL)


def read_switching(head: bytes) -> tuple[tuple[str, str], ...] | None:
    """The header fields of a plain 101 response, names in lower case; None if h11 has to look at the head.

    It costs a tenth of what h11 does, and finds the same fields.
    """
    match = _SWITCHING.fullmatch(head)
    if match is None:
        return None
    headers: list[tuple[str, str]] = []
    for line in match[1].decode("ascii").split("\r\n")[:-1]:
        name, _, value = line.partition(": ")
        name = name.lower()
        if name in _FRAMING:
            return None
        headers.append((name, value))
    return tuple(headers)


class HeadReader:
    """Collects an HTTP head and hands it out whole, so that h11 never waits and the bounds are exact.

    h11 looks at its own bound only when a head is incomplete, which makes it depend on how the bytes were cut.

    Attributes:
        buffer: Bytes that arrived and are not taken yet.
    """

    __slots__ = ("_limits", "_searched", "_taken", "buffer")

    def __init__(self, limits: Limits) -> None:
        self.buffer: bytearray = bytearray()
        self._limits = limits
        self._taken = 0
        self._searched = 0

    def take(self) -> bytes | None:
        """The next complete head, removed from the buffer, or None.

        Raises:
            LimitExceeded: It is too long, or has too many lines; heads of a series count together.
        """
        end = _HEAD_END.search(self.buffer, self._searched)
        size = len(self.buffer) if end is None else end.end()
        if self._taken + size > self._limits.max_handshake:
            raise LimitExceeded("max_handshake", self._limits.max_handshake)
        if end is None:
            self._searched = max(0, size - 2)
            return None
        head = bytes(self.buffer[:size])
        if head.count(b"\n") - 2 > self._limits.max_headers:  # without the first line and the empty one
            raise LimitExceeded("max_headers", self._limits.max_headers)
        del self.buffer[:size]
        self._taken += size
        self._searched = 0
        return head


def decode_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """From h11, whose names are in lower case."""
    return tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in headers)


def encode_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """For h11."""
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]


def header_values(headers: Headers, name: str) -> list[str]:
    """The values of a field, one for each line; the name is in lower case."""
    return [value for key, value in headers if key == name]


def header_tokens(headers: Headers, name: str) -> set[str]:
    """The members of a list-valued field over all its lines, in lower case (RFC 9110 section 5.6.1)."""
    return {token for value in header_values(headers, name) for token in tokens_of(value)}


def tokens_of(value: str) -> set[str]:
    """The members of one list, in lower case."""
    return {token.strip(" \t").lower() for token in value.split(",")}


def scrubbed(error: h11.ProtocolError, otherwise: str) -> str:
    """What h11 found wrong, without the bytes of the peer that it quotes."""
    text = str(error)
    return next((safe for safe in _H11_TEXTS if text.startswith(safe)), otherwise)


def not_http(first: int, what: str) -> str:
    """Why bytes that begin like this cannot be HTTP."""
    if first in (0x15, 0x16):  # RFC 8446 section 5.1: alert, handshake
        return f"TLS came as the {what} on a plain-text connection"
    return f"the {what} is not HTTP"
