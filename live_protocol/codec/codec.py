"""JSON text to typed messages and back, stateless (wire.md#framing).

Decoding accepts camelCase and snake_case, both base64 alphabets and unknown fields. Encoding writes what the service
writes: camelCase, standard base64, int64 as strings, no absent fields.

Theory of operation. A text takes three steps. orjson parses it, since it is strict and fast. A walk bounds its depth;
short texts with few brackets skip the walk. Then ``decoding`` reads the tree by tables that it compiles from the
annotations of each message class; ``encoding`` does the reverse, and ``schema`` serves both.

The messages that make up a call have faster ways. `Codec.encode_audio` joins a message of microphone audio from bytes,
without a tree. `Codec.decode_server_part` looks for the one shape in which the model's audio comes: a turn with one
part that has inline data and nothing else. It returns MIME type, data and role; the session learns the layout of such a
text (``audio_layout``), by which it finds the audio of the next one without a parser. Transcripts, ends of turns and
the like are read by functions that ``generated`` makes from the same annotations. Each of these ways takes only what
fits it exactly and leaves the rest to the general way, so none of them can lose a field or change an error.

Errors never hold the text of a message. An exception of a parser does, so ours are raised outside its ``except`` block,
where Python does not chain the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, TypeVar, cast, final

import orjson

from live_protocol.codec import wire_base64
from live_protocol.codec.decoding import InexactInteger, decoder
from live_protocol.codec.encoding import converter
from live_protocol.codec.generated import message_reader
from live_protocol.codec.json_text import MAX_DEPTH, too_deep_at
from live_protocol.codec.schema import Mismatch, at, snake_case
from live_protocol.errors import InvalidJson, InvalidMessage, SchemaMismatch
from live_protocol.messages import (
    Blob,
    Content,
    LiveClientMessage,
    LiveServerContent,
    LiveServerMessage,
    Part,
)
from live_protocol.messages.fields import Backend

T = TypeVar("T")


_SHORT: Final = 1024  # bytes
_HOT_DEPTH: Final = 8  # levels that generated readers never exceed

AUDIO_TAIL: Final = b'"}}}'
"""What follows the base64 of microphone audio."""

AudioPart = tuple[str, bytes, str | None]
"""MIME type, data and role of a message that consists of one piece of inline data."""


@final
class Codec:
    """Converts one message between JSON text and its class. Stateless: one codec may serve any number of sessions.

    Args:
        backend: Whose dialect is written; both are read.
        max_depth: Nesting allowed in JSON, in levels; it does not depend on the caller's stack.
    """

    __slots__ = ("_encoders", "backend", "max_depth")

    def __init__(self, backend: Backend = Backend.GEMINI, *, max_depth: int = MAX_DEPTH) -> None:
        self.backend: Backend = backend
        self.max_depth: int = max_depth
        self._encoders = {sender: converter(backend, sender, max_depth) for sender in ("client", "server")}

    def __repr__(self) -> str:
        return f"Codec({self.backend.value!r})"

    # --- text to values -----------------------------------------------------------------------------------------

    def decode_server(self, data: bytes | str, *, strict: bool = False) -> LiveServerMessage:
        """Decode a message from the server; unknown fields and enum names are kept.

        Args:
            data: JSON text.
            strict: Refuse unknown fields instead of keeping them; for tests.

        Raises:
            InvalidJson: Not strict JSON with an object at the top. The error does not hold the text.
            SchemaMismatch: A value does not fit; the error has the path of the first one.
        """
        raw = _raw(data)
        return self._message(LiveServerMessage, raw, _parse(raw), strict=strict)

    def decode_server_part(self, data: bytes | str, *, strict: bool = False) -> AudioPart | LiveServerMessage:
        """Like `decode_server`, but return just the part if the message is one piece of inline data and nothing else.

        `audio_message` makes the whole message of it.
        """
        raw = _raw(data)
        value = _parse(raw)
        if len(value) == 1 and (part := _inline_data(value)) is not None:
            return part
        return self._message(LiveServerMessage, raw, value, strict=strict)

    def decode_client(self, data: bytes | str, *, strict: bool = False) -> LiveClientMessage:
        """Decode a message from a client.

        Args:
            data: JSON text.
            strict: Refuse unknown fields as the service does, and in its words, instead of keeping them.

        Raises:
            InvalidJson: As for `decode_server`.
            SchemaMismatch: As for `decode_server`.
        """
        raw = _raw(data)
        return self._message(LiveClientMessage, raw, _parse(raw), strict=strict)

    def _message(self, cls: type[T], raw: bytes, value: dict[str, Any], *, strict: bool) -> T:
        if self.max_depth >= _HOT_DEPTH:
            try:
                return cast("T", message_reader(cls)(value))  # type: ignore[arg-type]  # a class is hashable
            except Mismatch:
                pass  # not of the hot path, or wrong: the general way tells
        # orjson stops at 1,024 levels, too late for our recursion in a caller's deep stack. A short text seldom has as
        # many brackets as there may be levels, and counting them costs less than a walk.
        suspect = len(raw) > _SHORT or raw.count(b"{") + raw.count(b"[") > self.max_depth
        if suspect and _is_deeper(value, self.max_depth):
            position = too_deep_at(raw.decode(), self.max_depth)
            raise InvalidJson(f"nested deeper than {self.max_depth} levels", position)
        try:
            try:
                return decoder(strict=strict, exact_integers=True).structure(value, cls)
            except InexactInteger:
                # orjson turns integers beyond 64 bits into floats, json does not. The text is known to be valid.
                return decoder(strict=strict, exact_integers=False).structure(json.loads(raw), cls)
        except Mismatch as mismatch:
            path = mismatch.path()
            failure = SchemaMismatch(path, mismatch.why, close_reason=mismatch.service_text(path))
        raise failure

    # --- values to text -----------------------------------------------------------------------------------------

    def encode_client(self, message: LiveClientMessage) -> bytes:
        """Encode a message as clients write it: compact.

        Raises:
            InvalidMessage: A required field is missing, a value has the wrong type or no form in JSON, a field belongs
                to the other backend, or the message is nested too deeply. The error has the path.
        """
        return self._dumps(self._values("client", message), indent=False)

    def encode_server(self, message: LiveServerMessage) -> bytes:
        """Encode a message as the service writes it: indented by two spaces, with a newline at the end.

        Raises:
            InvalidMessage: As for `encode_client`.
        """
        return self._dumps(self._values("server", message), indent=True)

    def to_dict(self, message: object) -> dict[str, Any]:
        """The JSON object of any message class, as a client would write it.

        Raises:
            InvalidMessage: As for `encode_client`.
        """
        return self._values("client", message)

    def _values(self, sender: str, message: object) -> dict[str, Any]:
        try:
            return cast("dict[str, Any]", self._encoders[sender].unstructure(message))
        except Mismatch as mismatch:
            failure = InvalidMessage(mismatch.path(), mismatch.why)
        except RecursionError:
            failure = self._nested_too_deeply()
        raise failure

    def _nested_too_deeply(self) -> InvalidMessage:
        return InvalidMessage("", f"nested deeper than {self.max_depth} levels")

    def _dumps(self, value: dict[str, Any], *, indent: bool) -> bytes:
        if _is_deeper(value, self.max_depth):
            raise self._nested_too_deeply()
        try:
            return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE if indent else None)
        except orjson.JSONEncodeError:
            pass
        # orjson refuses integers beyond 64 bits, which are legal JSON, and lone surrogates, which are not.
        try:
            if indent:
                return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            pass
        mismatch = cast("Mismatch", _lone_surrogate(value))
        raise InvalidMessage(mismatch.path(), mismatch.why)

    # --- the fast path ------------------------------------------------------------------------------------------

    @staticmethod
    def encode_audio(mime_type: str, data: bytes | bytearray | memoryview) -> bytes:
        """Encode a ``realtimeInput.audio`` message; ``mime_type`` must need no JSON escapes."""
        return b"".join((audio_head(mime_type), wire_base64.encode(data), AUDIO_TAIL))

    @staticmethod
    def audio_message(part: AudioPart) -> LiveServerMessage:
        """The whole message behind a part that `decode_server_part` returned."""
        mime_type, data, role = part
        blob = Blob(mime_type=mime_type, data=data)
        return LiveServerMessage(
            server_content=LiveServerContent(model_turn=Content(role=role, parts=[Part(inline_data=blob)]))
        )


def audio_head(mime_type: str) -> bytes:
    """What precedes the base64 of microphone audio; ``mime_type`` must need no JSON escapes."""
    return b'{"realtimeInput":{"audio":{"mimeType":"%s","data":"' % mime_type.encode()


def _raw(data: bytes | str) -> bytes:
    if isinstance(data, bytes):
        return data
    try:
        return data.encode()
    except UnicodeEncodeError as error:
        failure = InvalidJson("a lone surrogate, which UTF-8 cannot carry", error.start)
    raise failure


def _lone_surrogate(value: Any) -> Mismatch | None:
    """The first text that UTF-8 cannot carry, with the path to it."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return Mismatch("a string holds a lone surrogate, which UTF-8 cannot carry")
        return None
    members: Iterable[tuple[str | int, Any]]
    if isinstance(value, dict):
        if mismatch := _lone_surrogate("".join(value)):
            return mismatch
        members = ((snake_case(key), item) for key, item in value.items())
    else:
        members = enumerate(value) if isinstance(value, list) else ()
    for step, item in members:
        if mismatch := _lone_surrogate(item):
            return at(step, mismatch)
    return None


def _is_deeper(value: dict[str, Any], levels: int) -> bool:
    """Whether a JSON value nests deeper than allowed; level by level, without recursion."""
    containers: list[Any] = [value]
    for _ in range(levels):
        containers = [
            item
            for container in containers
            for item in (container.values() if type(container) is dict else container)
            if type(item) is dict or type(item) is list
        ]
        if not containers:
            return False
    return True


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        failure = InvalidJson(error.msg.partition(":")[0], error.pos)
    else:
        if isinstance(value, dict):
            return value
        failure = InvalidJson("the top of a message must be an object")
    raise failure  # out here, not chained to the parser's error, which holds the text


def _inline_data(value: dict[str, Any]) -> AudioPart | None:
    content = value.get("serverContent")
    if type(content) is not dict or "modelTurn" not in content:
        return None
    try:
        turn = content["modelTurn"]
        parts = turn["parts"]
        part = parts[0]
        blob = part["inlineData"]
        mime_type = blob["mimeType"]
        text = blob["data"]
        role = turn.get("role")
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    if (
        len(content) == 1
        and len(parts) == 1
        and len(part) == 1
        and len(blob) == 2
        and len(turn) == (1 if role is None else 2)
        and type(parts) is list
        and type(mime_type) is str
        and type(text) is str
        and (role is None or type(role) is str)
    ):
        data = wire_base64.decode(text)
        if data is not None:
            return mime_type, data, role
    return None
