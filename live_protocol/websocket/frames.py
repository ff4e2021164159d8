"""Frames (RFC 6455 section 5): a serializer for the way out, and a reader for the way in.

The serializer is ours because masking keys come from an injected source of randomness.

How the reader works. It takes bytes in any pieces and puts whole messages on the queue of its link. Each byte takes one
of three ways:

1. *Whole frames.* At a frame boundary, with no message in progress and no compression (``plain``), a complete binary,
   text, ping, pong or close frame is cut out of the data at once. Nearly all frames come this way; wsproto never sees
   them. Whatever is odd about a header (reserved bits, a length in the wrong form, wrong masking) sends the frame the
   third way, so that there is one place that says what is wrong.
2. *Gathering.* A plain binary frame whose header has passed the same checks but whose payload is still arriving. Its
   pieces are collected and joined once; nothing in it can be wrong any more.
3. *wsproto.* Everything else: fragments, compressed messages, split headers, text that arrives in pieces. The reader
   collects the header, checks it against the bounds before any payload is waited for, and feeds wsproto in slices small
   enough that a deflate bomb cannot grow past the limit between two checks. Close frames are collected and checked by
   the reader itself, because wsproto reports a close frame and a failure of its parser as the same event.

Receiving a message needs at most three times the limit that applies to it, compressed or fragmented or not. The first
fault is raised; every message before it is on the queue, and nothing may be fed after it. No error quotes a payload.
"""

from __future__ import annotations

import codecs
import functools
import struct
from collections.abc import Callable
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from live_protocol.errors import FrameViolation, LimitExceeded
from live_protocol.limits import Limits
from live_protocol.websocket.compression import Decompressor
from live_protocol.websocket.link_core import LinkCore, Text

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_FIN: Final = 0x80
_CONTROL: Final = 0x88
_RSV1: Final = 0x40
_MASKED: Final = 0x80
_WHOLE_TEXT: Final = _FIN | TEXT
_WHOLE_BINARY: Final = _FIN | BINARY
_WHOLE_PING: Final = _FIN | PING
_WHOLE_PONG: Final = _FIN | PONG
_WHOLE_CLOSE: Final = _FIN | CLOSE
_WHOLE: Final = frozenset({_WHOLE_TEXT, _WHOLE_BINARY, _WHOLE_PING, _WHOLE_PONG, _WHOLE_CLOSE})

_SHORT: Final = struct.Struct("!BB").pack
_MEDIUM: Final = struct.Struct("!BBH").pack
_LONG: Final = struct.Struct("!BBQ").pack

# Measured on CPython 3.11: one integer is fastest up to here, slices that stay in the cache above.
MASK_SLICE: Final = 8192
_DIGIT: Final = 30  # bits of a digit of CPython's integers
_LOW: Final = (1 << _DIGIT) - 1

# Fed to wsproto in slices, so that one of its events stays small: a deflate bomb grows a slice by 1,030 at most, which
# makes it a quarter of the largest message.
_SLICE: Final = 64 * 1024
_COMPRESSED_SLICE: Final = 4 * 1024
_GROWTH: Final = 4 * 1024
_PIECES: Final = 1024
_SMALL_PIECE: Final = 256  # bytes; an object of CPython takes 33 more


@functools.lru_cache(maxsize=32)
def unit_mask(words: int) -> tuple[int, tuple[int, int, int, int]]:
    """The mask of key 1 over this many words of four bytes, and those of the keys with only the two highest bits."""
    unit = int.from_bytes(b"\1\0\0\0" * words, "little")
    high = unit << _DIGIT
    return unit, (0, high, high << 1, high * 3)


def apply_mask(payload: bytes | memoryview, key: bytes) -> bytes:
    """Mask or unmask (RFC 6455 section 5.3), by arithmetic on big integers: 0.5 GB/s without an extension module."""
    size = len(payload)
    if size > MASK_SLICE:
        return b"".join(_masked_slices(payload, key))
    # The mask is a product: reading it from repeated bytes takes as long as reading the payload. A factor of a single
    # digit halves that again, so the two bits beyond it come from a table (11.1 -> 9.2 us for 4 kB in all).
    words = (size + 3) >> 2
    unit, high = unit_mask(words)
    number = int.from_bytes(key, "little")
    mask = unit * (number & _LOW) ^ high[number >> _DIGIT]
    masked = (int.from_bytes(payload, "little") ^ mask).to_bytes(words << 2, "little")
    return masked if len(masked) == size else masked[:size]


def _masked_slices(payload: bytes | memoryview, key: bytes) -> list[bytes]:
    size = len(payload)
    mask = int.from_bytes(key * (MASK_SLICE // 4), "little")
    whole = size - size % MASK_SLICE
    view = memoryview(payload)
    slices = [
        (int.from_bytes(view[at : at + MASK_SLICE], "little") ^ mask).to_bytes(MASK_SLICE, "little")
        for at in range(0, whole, MASK_SLICE)
    ]
    slices.append(apply_mask(view[whole:], key))
    return slices


def frame(opcode: int, payload: bytes, mask: bytes | None, *, rsv1: bool = False) -> bytes:
    """Serialise one final frame (RFC 6455 section 5.2).

    Args:
        opcode: One of the constants of this module.
        payload: Up to 2^63-1 bytes; 125 for a control frame, which the caller has checked.
        mask: Four unpredictable bytes in the client role, None in the server role.
        rsv1: Set the bit that marks a compressed message (RFC 7692 section 6).

    Returns:
        The bytes for the wire.
    """
    first = _FIN | opcode | _RSV1 if rsv1 else _FIN | opcode
    size = len(payload)
    bit = 0 if mask is None else _MASKED
    if size < 126:
        head = _SHORT(first, bit | size)
    elif size < 65536:
        head = _MEDIUM(first, bit | 126, size)
    else:
        head = _LONG(first, bit | 127, size)
    if mask is None:
        return head + payload
    if size > MASK_SLICE:
        return b"".join([head, mask, *_masked_slices(payload, mask)])
    return head + mask + apply_mask(payload, mask)


def peer_may_send(code: int) -> bool:
    """Whether a close code may stand in a frame (RFC 6455 section 7.4 and the IANA registry, 1014 included)."""
    return 3000 <= code <= 4999 or 1000 <= code <= 1003 or 1007 <= code <= 1014


def _header_size(head: bytes | bytearray) -> int:
    """Bytes of the header that begins with ``head``; 2 until both of those are there."""
    if len(head) < 2:
        return 2
    length = head[1] & 0x7F
    return 2 + (8 if length == 127 else 2 if length == 126 else 0) + (4 if head[1] & _MASKED else 0)


def _payload_size(head: bytes | bytearray) -> int:
    length = head[1] & 0x7F
    if length < 126:
        return length
    return int.from_bytes(head[2:10] if length == 127 else head[2:4], "big")


class FrameReader:
    """Bytes in, whole messages out: onto the queue of a link, in the order of the wire.

    Attributes:
        plain: At a frame boundary, without compression, and with no message in progress.
    """

    __slots__ = (
        "_chunks",
        "_compressed",
        "_control",
        "_decompressor",
        "_engine",
        "_first",
        "_fragmented",
        "_fragments",
        "_gathering",
        "_head",
        "_in_frame",
        "_inbox",
        "_key",
        "_key_size",
        "_left",
        "_limits",
        "_mask_bit",
        "_max_message",
        "_on_close",
        "_on_ping",
        "_on_pong",
        "_partial",
        "_pieces",
        "_slice",
        "plain",
    )

    def __init__(
        self,
        *,
        client: bool,
        limits: Limits,
        decompressor: Decompressor | None,
        inbox: LinkCore,
        on_ping: Callable[[bytes], None],
        on_pong: Callable[[bytes], None],
        on_close: Callable[[int, str, bool], None],
    ) -> None:
        """Set up a reader.

        Args:
            client: Our role; it decides which way masking must be.
            limits: The bounds.
            decompressor: The inbound half of permessage-deflate, if it was agreed on.
            inbox: Has the queue where messages go, binary ones as `bytes`, others as `Text`, and counts their bytes.
            on_ping: Called with each ping's payload.
            on_pong: Called with each pong's payload.
            on_close: Called with code, reason and whether a message was left unfinished; nothing follows.
        """
        self._limits = limits
        self._max_message = limits.max_message
        self._decompressor = decompressor
        self._inbox = inbox
        self._on_ping = on_ping
        self._on_pong = on_pong
        self._on_close = on_close
        self._mask_bit = 0 if client else _MASKED
        self._key_size = 0 if client else 4
        self._slice = _SLICE if decompressor is None else max(16, min(_COMPRESSED_SLICE, limits.max_message // _GROWTH))
        self._engine: Connection | None = None  # few sessions need one, and it takes 2 KB
        self.plain: bool = decompressor is None
        self._head = bytearray()  # of the frame in hand, while incomplete
        self._in_frame = False
        self._first = 0  # first byte of the frame in hand
        self._key: bytes | None = None
        self._left = 0  # payload bytes of the frame in hand still to come
        self._control = bytearray()  # payload of a close frame
        self._gathering = False  # a simple binary frame is arriving
        self._fragmented = False
        self._compressed = False
        self._fragments = 0
        self._partial = 0  # bytes of the message in hand as they came on the wire
        self._pieces: list[bytes] = []  # of the message in hand
        self._chunks: list[bytes] = []  # earlier small pieces, joined once: linear time, and little memory

    @property
    def partial(self) -> int:
        """Bytes held of a message that is not complete."""
        return self._partial if self._decompressor is None else self._decompressor.total

    @property
    def idle(self) -> bool:
        """Whether the newest byte that came was the last one of a message or a control frame."""
        return not (self._head or self._in_frame or self._gathering or self._fragmented)

    def discard(self) -> None:
        """Forget the message that is not complete, and the link; nothing may be fed any more. To be called once."""
        del self._on_ping, self._on_pong, self._on_close  # a cycle, which would leave the connection to the collector
        self._engine = None
        self._gathering = False
        self._chunks.clear()
        self._pieces.clear()
        self._partial = 0
        if self._decompressor is not None:
            self._decompressor.total = 0

    def lone_message(self, data: bytes) -> bytes | None:
        """The message that is the whole of ``data``: one unmasked binary frame with a length of two bytes.

        Returns:
            The message; None for anything else, and then nothing has changed.
        """
        size = len(data) - 4
        if (
            125 < size <= self._max_message
            and self.plain
            and not self._key_size
            and data[0] == _WHOLE_BINARY
            and data[1] == 126
            and data[2] << 8 | data[3] == size
        ):
            return data[4:]
        return None

    def feed(self, data: bytes) -> None:
        """Take what the peer sent.

        Args:
            data: At least one byte.

        Raises:
            FrameViolation: A frame breaks RFC 6455 or 7692; every message before it is on the queue.
            LimitExceeded: A bound is broken; likewise. After either, and after ``on_close``, feed nothing more.
        """
        inbox = self._inbox
        pos = 0
        end = len(data)
        while pos < end:
            if self.plain and end - pos > 1:
                first = data[pos]
                if first in _WHOLE:
                    size = data[pos + 1] ^ self._mask_bit
                    # A start beyond the end sends whatever is odd the slow way; so does a header that is incomplete.
                    if size < 126:
                        start = pos + 2
                    elif size == 126:
                        start = pos + 4
                        size = data[pos + 2] << 8 | data[pos + 3] if start <= end else 0
                        if size < 126:
                            start = end + 1
                    elif size == 127:
                        start = pos + 10
                        size = int.from_bytes(data[pos + 2 : start], "big")
                        if size < 65536:
                            start = end + 1
                    else:
                        start = end + 1  # wrong masking
                    start += self._key_size
                    stop = start + size
                    if size <= self._max_message and (first < _CONTROL or size < 126):
                        if stop <= end:
                            if not self._key_size:
                                payload = data[start:stop]
                            else:
                                payload = apply_mask(memoryview(data)[start:stop], data[start - 4 : start])
                            pos = stop
                            if first == _WHOLE_BINARY:
                                inbox.queue.append(payload)
                                inbox.queued += size
                            elif first == _WHOLE_TEXT:
                                _check_utf8(payload)
                                inbox.queue.append(Text(payload))
                                inbox.queued += size
                            elif first == _WHOLE_PING:
                                self._on_ping(payload)
                            elif first == _WHOLE_PONG:
                                self._on_pong(payload)
                            else:
                                self._close(payload)
                                return
                            continue
                        if first == _WHOLE_BINARY and start <= end:
                            self._key = data[start - 4 : start] if self._key_size else None
                            self._partial = 0
                            self._left = size
                            self._gathering = True
                            self.plain = False
                            pos = start
            pos = self._gather(data, pos) if self._gathering else self._parse(data, pos, end)

    def _gather(self, data: bytes, pos: int) -> int:
        """Take more of a simple binary frame; nothing in it can be wrong any more."""
        part = data[pos : pos + self._left]
        size = len(part)
        key = self._key
        if key is not None:
            part = apply_mask(part, key)
            self._key = key[size & 3 :] + key[: size & 3]
        self._left -= size
        self._partial += size
        self._add(part)
        if not self._left:
            self._gathering = False
            self.plain = True
            self._complete(text=False)
        return pos + size

    def _parse(self, data: bytes, pos: int, end: int) -> int:
        """Feed wsproto with one frame, or the part of it that has arrived; return the position after it."""
        if not self._in_frame:
            pos = self._parse_header(data, pos, end)
            if not self._in_frame:
                return pos
        if self._first & 0x0F == CLOSE:
            part = data[pos : pos + self._left]
            self._control += part
            self._left -= len(part)
            if not self._left:
                payload = bytes(self._control)
                self._close(payload if self._key is None else apply_mask(payload, self._key))
                return end
            return pos + len(part)
        while self._left and pos < end:
            part = data[pos : pos + min(self._left, self._slice)]
            pos += len(part)
            self._left -= len(part)
            if not self._first & 0x08:
                self._partial += len(part)
            self._deliver(self._advance(part))
        if not self._left:
            self._in_frame = False
            self.plain = self._decompressor is None and not self._fragmented
        return pos

    def _parse_header(self, data: bytes, pos: int, end: int) -> int:
        """Collect a header, let wsproto check it byte by byte as it comes, then hold it against the bounds."""
        head = self._head
        if not head:
            self.plain = False
            self._first = data[pos]
            opcode = self._first & 0x0F
            if opcode in (TEXT, BINARY) and self._fragmented:
                raise FrameViolation("a new message began inside a fragmented one")
            if opcode == 0 and not self._fragmented:
                raise FrameViolation("a continuation frame has no message to continue")
        events: list[Event] = []
        while len(head) < (size := _header_size(head)):
            if pos == end:
                return pos
            part = data[pos : pos + size - len(head)]
            head += part
            pos += len(part)
            events = self._advance(part)
        self._in_frame = True
        self._left = _payload_size(head)
        self._key = bytes(head[-4:]) if head[1] & _MASKED else None
        if not self._first & 0x08:
            self._check_bounds()
        head.clear()
        self._deliver(events)  # of a frame without payload
        return pos

    def _check_bounds(self) -> None:
        """Refuse a frame by its header: neither its payload nor an endless one is waited for."""
        if self._first & 0x0F:
            self._compressed = bool(self._first & _RSV1)
            self._fragments = 0
            self._partial = 0
        self._fragmented = not self._first & _FIN
        self._fragments += 1
        if self._fragments > self._limits.max_fragments:
            raise LimitExceeded("max_fragments", self._limits.max_fragments)
        limit = self._max_message
        # What counts is the inflated size, which Inflate watches; DEFLATE grows no data by more than this.
        room = limit + limit // 4 + 64 if self._compressed else limit
        if self._partial + self._left > room:
            raise LimitExceeded("max_message", limit)

    def _advance(self, data: bytes) -> list[Event]:
        """Feed wsproto and drain it; a failure of its parser becomes ours."""
        engine = self._engine
        if engine is None:
            role = ConnectionType.SERVER if self._key_size else ConnectionType.CLIENT
            self._engine = engine = Connection(role, [] if self._decompressor is None else [self._decompressor])
        engine.receive_data(data)
        events = list(engine.events())
        for event in events:
            # wsproto reports a close frame and a failure as the same event; only its state differs.
            if isinstance(event, CloseConnection) and engine.state is ConnectionState.OPEN:
                raise self._violation(event.code, event.reason)
        if self._decompressor is not None and self._decompressor.fault is not None:
            raise self._decompressor.fault
        return events

    def _violation(self, code: int, reason: str | None) -> FrameViolation:
        if code == 1007 and self._compressed:
            # Which of the two shows first depends on how the bytes were cut.
            return FrameViolation("a compressed message has broken DEFLATE or is not UTF-8", close_code=1007)
        if code == 1007:
            return _not_utf8("a text message")
        return FrameViolation(f"{reason}")  # wsproto's own texts about header bits; they quote no payload

    def _deliver(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Ping):
                self._on_ping(bytes(event.payload))
            elif isinstance(event, Pong):
                self._on_pong(bytes(event.payload))
            elif isinstance(event, TextMessage):
                self._add(event.data.encode())
                if event.message_finished:
                    self._complete(text=True)
            elif isinstance(event, BytesMessage):
                self._add(bytes(event.data))
                if event.message_finished:
                    self._complete(text=False)

    def _add(self, piece: bytes) -> None:
        pieces = self._pieces
        pieces.append(piece)
        # Joining takes a copy, so pieces wait for the end unless their objects take more memory than the bytes in them.
        if len(pieces) >= _PIECES and len(pieces) * _SMALL_PIECE > self._partial:
            self._chunks.append(b"".join(pieces))
            pieces.clear()

    def _complete(self, *, text: bool) -> None:
        message = b"".join(self._chunks + self._pieces)
        self._chunks.clear()
        self._pieces.clear()
        self._inbox.queue.append(Text(message) if text else message)
        self._inbox.queued += len(message)
        self._partial = 0
        if self._decompressor is not None:
            self._decompressor.total = 0

    def _close(self, payload: bytes) -> None:
        if not payload:
            self._on_close(1005, "", self._fragmented)  # RFC 6455 section 7.1.5: none was given
            return
        code = int.from_bytes(payload[:2], "big")
        if len(payload) < 2:
            raise FrameViolation("a close frame has one byte of payload")
        if not peer_may_send(code):
            raise FrameViolation(f"a close frame has the code {code}")
        self._on_close(code, _decode(payload[2:], "the reason of a close frame"), self._fragmented)


def _not_utf8(what: str) -> FrameViolation:
    return FrameViolation(f"{what} is not UTF-8", close_code=1007)


def _check_utf8(payload: bytes) -> None:
    """Refuse a text message that is not UTF-8, in slices: decoded, it may take four times its size."""
    if payload.isascii():
        return
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        for at in range(0, len(payload), _SLICE):
            decode(payload[at : at + _SLICE], at + _SLICE >= len(payload))
    except UnicodeDecodeError:
        pass  # as below
    else:
        return
    raise _not_utf8("a text message")


def _decode(payload: bytes, what: str) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        pass  # raised here, our error would carry this one, and this one the payload
    raise _not_utf8(what)
