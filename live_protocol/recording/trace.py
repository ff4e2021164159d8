"""Recorded sessions as files: Google's ``.websocket.log`` and our own JSON lines.

Both work over binary file-like objects; nothing here opens a file or reads a clock. A trace has one header line, then
one object per line::

    {"format": "live-protocol-trace", "version": 1, "redacted": true, "info": {...}}
    {"t": 0.25, "dir": ">", "kind": "text", "json": {"setup": {"model": "models/m"}}}
    {"t": 0.5, "dir": "<", "kind": "binary", "json": {"setupComplete": {}}, "form": "indented"}

``t`` is in seconds on the recorder's clock, ``dir`` is ``>`` from client to server and ``<`` back, ``kind`` is the type
of the WebSocket message. The payload is one of ``json``, an object laid out in ``form`` (compact if there is none),
``text``, exact UTF-8 that no form reproduces, or ``data``, base64 of anything else. Readers ignore unknown members.
Reading returns the recorded bytes, except for redacted parts.

A line of any other ``kind`` is a note: a fact about the connection, with members of its own and no ``dir``. `Recorder`
writes ``connected`` (``compression``), ``rejected`` (``status``), ``ping``, ``pong`` (``rtt``, seconds) and ``closed``
(facts of `CloseInfo`). A reader that wants only messages skips notes::

    {"t": 0.75, "kind": "closed", "code": 1000, "reason": "", "clean": true, "initiator": "remote"}
"""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, Protocol, TypeAlias, cast, final

import attrs

from live_protocol.codec.json_text import JSON_LAYOUTS, MAX_DEPTH, compact, decode_text, encode_text, parse_object
from live_protocol.errors import InvalidMessage, LocalProtocolError
from live_protocol.recording.media_lines import HEADS, MediaLines
from live_protocol.recording.scrubber import Scrubber

FORMAT: Final = "live-protocol-trace"
"""First member of the header line."""

VERSION: Final = 1
"""The only version that is written and read."""

FrameKind: TypeAlias = Literal["text", "binary"]
"""Type of a WebSocket message (RFC 6455 section 5.6)."""

_MESSAGES: Final = ("text", "binary")


class SupportsRead(Protocol):
    """A binary source: ``read(n)`` returns at most ``n`` bytes, none at its end."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes."""
        ...


class SupportsWrite(Protocol):
    """A binary sink whose ``write`` takes all its bytes, as buffered files do."""

    def write(self, data: bytes, /) -> object:
        """Take all of ``data``."""
        ...


Source: TypeAlias = bytes | bytearray | memoryview | SupportsRead
"""The content of a recording, or a binary file."""


class InvalidTrace(LocalProtocolError):
    """The source is not a trace, or it is damaged. The reader has returned every record before the damage.

    The message never quotes the source.

    Attributes:
        offset: Byte at which the reader gave up.
        expected: The element that should stand there.
    """

    def __init__(self, offset: int, expected: str) -> None:
        super().__init__(f"invalid trace at byte {offset}: expected {expected}")
        self.offset = offset
        self.expected = expected


def _size(data: bytes) -> str:
    return f"<{len(data)} bytes>"


@final
@attrs.frozen(kw_only=True)
class TraceFrame:
    """One recorded WebSocket message.

    Attributes:
        sent: True from client to server, False from server to client.
        data: The whole message; ``repr`` shows only its size.
        at: Seconds on the recorder's clock, or None if the format has no times.
        kind: Type of the message, or None if the format does not record it.
    """

    sent: bool
    data: bytes = attrs.field(repr=_size)
    at: float | None = None
    kind: FrameKind | None = None


@final
@attrs.frozen(kw_only=True)
class TraceNote:
    """One recorded fact that is not a message.

    Attributes:
        at: Seconds on the recorder's clock.
        kind: Its kind, for example ``connected``; never ``text`` or ``binary``.
        facts: Its members; not shown in ``repr``.
    """

    at: float
    kind: str
    facts: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


TraceRecord: TypeAlias = TraceFrame | TraceNote
"""One line of a trace."""


class _Reader:
    """Bytes of a source by position. Reads in slices: a length in a file is a claim, not a reason to allocate."""

    def __init__(self, source: Source) -> None:
        self.offset = 0
        self._source = io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source
        self._buffer = bytearray()

    def _fill(self) -> bool:
        data = cast("object", self._source.read(65536))  # a file in text mode returns str
        if not isinstance(data, bytes):
            raise InvalidTrace(self.offset + len(self._buffer), "bytes: open the file in binary mode")
        self._buffer += data
        return bool(data)

    def peek(self, size: int) -> bytes:
        """Return the next bytes, fewer only at the end."""
        while len(self._buffer) < size and self._fill():
            pass
        return bytes(self._buffer[:size])

    def take(self, size: int) -> bytes:
        """Consume and return the next bytes, fewer only at the end."""
        data = self.peek(size)
        del self._buffer[: len(data)]
        self.offset += len(data)
        return data

    def line(self) -> bytes:
        """Consume and return a line with its newline, which only the last one may lack."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if not self._fill():
                return self.take(searched)
        return self.take(end + 1)


# --- Google's recordings ----------------------------------------------------------------------------------------

_HEAD: Final = re.compile(rb"([<>])([1-9][0-9]{0,15}) ")
_HEAD_SIZE: Final = 18


def read_websocket_log(source: Source) -> Iterator[TraceFrame]:
    """Read the format in which Google's SDKs record their test sessions.

    A record is ``>`` (client to server) or ``<``, a decimal length, one space, and that many bytes. The last of them
    is a newline that the recorder added. Records follow one another directly, without times or types.

    Args:
        source: Bytes, or a binary file-like object. It is read lazily, as the caller iterates.

    Yields:
        The messages, without the recorder's newline.

    Raises:
        InvalidTrace: The source breaks the format or ends inside a record. Every whole record before that was
            returned.
    """
    reader = _Reader(source)
    while head := reader.peek(_HEAD_SIZE):
        match = _HEAD.match(head)
        if match is None:
            raise InvalidTrace(reader.offset, "a record: '>' or '<', a length without leading zeros, a space")
        size = int(match[2])
        reader.take(match.end())
        body = reader.take(size)
        if len(body) < size:
            raise InvalidTrace(reader.offset, f"{size - len(body)} more bytes, the source ends inside a record")
        if not body.endswith(b"\n"):
            raise InvalidTrace(reader.offset - 1, "the newline that ends a record")
        yield TraceFrame(sent=match[1] == b">", data=body[:-1])


def write_websocket_log(frames: Iterable[TraceFrame], sink: SupportsWrite) -> None:
    """Write frames in Google's format, see `read_websocket_log()`. Times and message types are lost.

    Args:
        frames: The messages. Nothing is redacted.
        sink: A binary file-like object; each frame is one call of ``write``.
    """
    for frame in frames:
        sink.write(b"%c%d %b\n" % (b">" if frame.sent else b"<", len(frame.data) + 1, frame.data))


# --- our own ----------------------------------------------------------------------------------------------------


def _seconds(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value) if math.isfinite(value) else None
    return None


@final
class TraceWriter:
    """Writes a trace as JSON lines. Each line is one call of ``write``, so a torn file loses at most its last line.

    With ``redact``, session handles become ``REDACTED-1``, ``REDACTED-2`` ... by first appearance. Credentials that the
    setup passes to tools become ``REDACTED``, and so does every part of a string that looks like a key or token.
    Speech, text, media and tool arguments stay: a trace is still private data.
    """

    def __init__(
        self,
        sink: SupportsWrite,
        *,
        redact: bool = True,
        secrets: Iterable[str] = (),
        info: Mapping[str, object] | None = None,
    ) -> None:
        """Write the header line.

        Args:
            sink: A binary file-like object; the caller flushes and closes it.
            redact: Take secrets out.
            secrets: Further exact strings to take out, such as the key in use; only with ``redact``.
            info: A JSON object that describes the recording, for example its model and start; redacted too.

        Raises:
            InvalidMessage: ``info`` is not JSON, or ``secrets`` is a single string; nothing was written.
        """
        if isinstance(secrets, str):
            raise InvalidMessage("secrets", "must be a collection of strings, not one string")
        self._sink = sink
        self._scrubber = Scrubber(secrets) if redact else None
        self._media_lines = MediaLines(self._settled_members)
        header: dict[str, Any] = {"format": FORMAT, "version": VERSION, "redacted": redact}
        if info is not None:
            header["info"] = self._json_object("info", info)
        self._write(header)

    def record(self, t: float, sent: bool, data: str | bytes | bytearray | memoryview) -> None:
        """Write one message.

        Args:
            t: Seconds on the caller's clock.
            sent: True from client to server.
            data: The whole message; ``str`` for a text message, bytes for a binary one.

        Raises:
            InvalidMessage: ``t`` is not finite, or ``data`` is neither bytes nor encodable text; nothing was written.
        """
        at, payload = _seconds(t), _payload(data)
        if at is None:
            raise InvalidMessage("t", "must be a finite number of seconds")
        if payload is None:
            raise InvalidMessage("data", "must be bytes, or a str that UTF-8 can encode")
        self._sink.write(self._line(at, bool(sent), payload, isinstance(data, str)))

    def _record_all(self, messages: Iterable[tuple[float, bool, bytes, bool]]) -> None:
        """Write many messages in one call of ``write``: time, whether sent, data, whether text."""
        self._sink.write(b"".join(itertools.starmap(self._line, messages)))

    def _line(self, at: float, sent: bool, payload: bytes, text: bool) -> bytes:
        if not math.isfinite(at):
            raise InvalidMessage("t", "must be a finite number of seconds")
        kind = sent * 2 + text
        line = self._media_lines.line(at, kind, payload)
        return line or b'{"t":%a%b%b}\n' % (at, HEADS[kind], _inner(self._members(payload)))

    def note(self, t: float, kind: str, facts: Mapping[str, object] | None = None) -> None:
        """Write a fact that is not a message; redacted like ``info``.

        Args:
            t: Seconds on the caller's clock.
            kind: Its kind; readers skip kinds that they do not know.
            facts: Its members, as JSON, without ``t`` and ``kind``.

        Raises:
            InvalidMessage: ``t`` is not finite, ``kind`` is ``text`` or ``binary``, or ``facts`` is not JSON; nothing
                was written.
        """
        at = _seconds(t)
        if at is None:
            raise InvalidMessage("t", "must be a finite number of seconds")
        if kind in _MESSAGES:
            raise InvalidMessage("kind", "is the kind of a message: use record()")
        self._write({"t": at, "kind": kind} | self._json_object("facts", facts or {}))

    def _json_object(self, name: str, value: Mapping[str, object]) -> dict[str, Any]:
        text = None
        with contextlib.suppress(TypeError, ValueError, RecursionError):
            text = json.dumps(dict(value), allow_nan=False)
        members = parse_object(text, MAX_DEPTH - 1)[0] if text is not None else None
        if members is None:
            raise InvalidMessage(name, f"must be a JSON object, at most {MAX_DEPTH - 1} levels deep")
        return cast("dict[str, Any]", self._scrubber.info(members)) if self._scrubber else members

    def _settled_members(self, payload: bytes) -> bytes | None:
        labels = self._scrubber.labels if self._scrubber else 0
        members = _inner(self._members(payload))
        return members if self._scrubber is None or self._scrubber.labels == labels else None

    def _members(self, payload: bytes) -> dict[str, Any]:
        text = decode_text(payload)
        if text is None:
            if self._scrubber:
                payload = self._scrubber.opaque(payload.decode("latin-1")).encode("latin-1")
            return {"data": base64.b64encode(payload).decode()}
        value, repeats = parse_object(text)
        if value is None:
            return {"text": self._scrubber.opaque(text) if self._scrubber else text}
        shown = self._scrubber.message(value) if self._scrubber else value
        for form, write in JSON_LAYOUTS.items():
            if write(value) == text:
                return {"json": shown} if form == "compact" else {"json": shown, "form": form}
        if shown == value and not (repeats and self._scrubber):
            return {"text": text}
        # The exact text would show the redacted part, or the hidden one of two equal keys.
        return {"json": shown, "form": "ascii"}

    def _write(self, line: dict[str, Any]) -> None:
        self._sink.write(b"{%b}\n" % _inner(line))


def _inner(members: dict[str, Any]) -> bytes:
    """The JSON of an object, without its braces."""
    data = encode_text(compact(members))
    if data is None:  # a lone surrogate: JSON can escape it, UTF-8 cannot encode it
        data = json.dumps(members, separators=(",", ":")).encode()
    return data[1:-1]


def _payload(data: object) -> bytes | None:
    if isinstance(data, str):
        return encode_text(data)
    return bytes(cast("bytes", data)) if isinstance(data, bytes | bytearray | memoryview) else None


def _payload_of(line: Mapping[str, Any]) -> bytes | None:
    """The payload of a line, or None if it has none of the three shapes."""
    shapes = [name for name in ("json", "text", "data") if name in line]
    if len(shapes) != 1:
        return None
    shape, value, form = shapes[0], line[shapes[0]], line.get("form", "compact")
    if shape == "json":
        readable = isinstance(value, dict) and isinstance(form, str) and form in JSON_LAYOUTS
        return encode_text(JSON_LAYOUTS[form](cast("object", value))) if readable else None
    if not isinstance(value, str):
        return None
    if shape == "text":
        return encode_text(value)
    with contextlib.suppress(ValueError):
        return base64.b64decode(value, validate=True)
    return None


@final
class TraceReader:
    """Reads a trace of JSON lines once: iterate for its messages, or use `records` for its notes too.

    Attributes:
        redacted: Whether the writer took secrets out.
        info: The recorder's description of the recording.
    """

    def __init__(self, source: Source) -> None:
        """Read the header line.

        Args:
            source: Bytes, or a binary file-like object. It is read lazily, as the caller iterates.

        Raises:
            InvalidTrace: The source does not begin with the header of a trace of this version.
        """
        self._reader = _Reader(source)
        header = self._object() or {}
        if header.get("format") != FORMAT:
            raise InvalidTrace(0, f"the header line of a {FORMAT}")
        if header.get("version") != VERSION:
            raise InvalidTrace(0, f"version {VERSION} of the format")
        self.redacted: bool = header.get("redacted") is True
        info: object = header.get("info")
        self.info: Mapping[str, Any] = cast("dict[str, Any]", info) if isinstance(info, dict) else {}
        self._records = self._read()

    def __iter__(self) -> Iterator[TraceFrame]:
        """The messages in the order of the file.

        Yields:
            The messages.

        Raises:
            InvalidTrace: A line is damaged or cut; every whole line before it has been given.
        """
        return (record for record in self._records if isinstance(record, TraceFrame))

    def records(self) -> Iterator[TraceRecord]:
        """Messages and notes, in the order of the file.

        Yields:
            Each message and each note, of any kind.

        Raises:
            InvalidTrace: A line is damaged or cut; every whole line before it has been given.
        """
        return self._records

    def _object(self) -> dict[str, Any] | None:
        """The next line as an object; empty at the end, None for a line that is not a JSON object."""
        offset = self._reader.offset
        line = self._reader.line()
        if not line:
            return {}
        text = decode_text(line)
        # One level more than a message may have, for the line around it.
        value = None if text is None else parse_object(text, MAX_DEPTH + 1)[0]
        if value is None and not line.endswith(b"\n"):
            raise InvalidTrace(offset, "a whole line, the source ends inside it")
        return value

    def _read(self) -> Iterator[TraceRecord]:
        while True:
            offset = self._reader.offset
            line = self._object()
            if self._reader.offset == offset:
                return
            if line is None:
                raise InvalidTrace(offset, "one JSON object per line")
            at, kind = _seconds(line.pop("t", None)), line.pop("kind", None)
            if at is None:
                raise InvalidTrace(offset, "a line with 't' in seconds")
            if isinstance(kind, str) and kind not in _MESSAGES:
                yield TraceNote(at=at, kind=kind, facts=line)
                continue
            direction, data = line.get("dir"), _payload_of(line)
            if direction not in (">", "<"):
                raise InvalidTrace(offset, "a line with 'dir' '>' or '<'")
            if kind not in _MESSAGES:
                raise InvalidTrace(offset, "a line with 'kind' in text")
            if data is None:
                raise InvalidTrace(offset, "a line with one of 'json' (in a known 'form'), 'text' and 'data'")
            yield TraceFrame(sent=direction == ">", data=data, at=at, kind=cast("FrameKind", kind))


def read_trace(source: Source) -> TraceReader:
    """Read a trace of JSON lines.

    Args:
        source: Bytes, or a binary file-like object. It is read lazily, as the caller iterates.

    Returns:
        An iterable over the messages, with the facts of the header as attributes.

    Raises:
        InvalidTrace: The header is bad. A bad line raises while iterating.
    """
    return TraceReader(source)


def open_trace(data: bytes | bytearray | memoryview) -> list[TraceFrame]:
    """Read a whole recording in either format.

    Args:
        data: The content of the file; empty means no messages.

    Returns:
        All messages.

    Raises:
        InvalidTrace: It is in neither format, damaged or cut. `read_trace()` and `read_websocket_log()` return the
            records before the damage.
    """
    first = bytes(data[:1])
    if first == b"{":
        return list(read_trace(data))
    if first in {b"", b">", b"<"}:
        return list(read_websocket_log(data))
    raise InvalidTrace(0, "'{' of a JSON-lines trace, or '>' or '<' of a websocket log")
