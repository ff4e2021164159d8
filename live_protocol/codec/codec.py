"""JSON text to typed messages and back, stateless (wire.md#framing).

Decoding takes camelCase and snake_case, both base64 alphabets and unknown fields; encoding writes what the service
writes: camelCase, standard base64, int64 as strings, nothing that is absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar, cast, final

import orjson

from live_protocol.codec import wire_base64
from live_protocol.codec.decoding import InexactInteger, decoder
from live_protocol.codec.encoding import converter
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

__all__ = ["Codec"]

T = TypeVar("T")


_SHORT: Final = 1024  # bytes
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)

_AUDIO_HEAD: Final = b'{"realtimeInput":{"audio":{"mimeType":"'
_AUDIO_MIDDLE: Final = b'","data":"'
_AUDIO_TAIL: Final = b'"}}}'

AudioPart = tuple[str, bytes, str | None]
"""MIME type, data and role of a message that is nothing but one piece of inline data."""


@final
class Codec:
    """Text of one message to typed message and back; holds no state, so one may serve any number of sessions.

    Args:
        backend: Whose dialect is written; both are read.
        max_depth: Nesting allowed in JSON, in levels, whatever the caller's stack.
    """

    __slots__ = ("_encoders", "backend", "max_depth")

    def __init__(self, backend: Backend = Backend.GEMINI, *, max_depth: int = 128) -> None:
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
            SchemaMismatch: JSON that does not fit, with the path of the first mismatch.
        """
        raw = _raw(data)
        return self._message(LiveServerMessage, raw, _parse(raw), strict=strict)

    def decode_server_part(self, data: bytes | str, *, strict: bool = False) -> AudioPart | LiveServerMessage:
        """Like `decode_server`, but a message that is one piece of inline data and nothing else comes as just that.

        `audio_message` makes the whole message of it. Nearly all messages are of this kind, and few read more of them.
        """
        raw = _raw(data)
        value = _parse(raw)
        if len(value) == 1 and (found := _inline_data(value)) is not None:
            return found
        return self._message(LiveServerMessage, raw, value, strict=strict)

    def decode_client(self, data: bytes | str, *, strict: bool = False) -> LiveClientMessage:
        """Decode a message from a client.

        Args:
            data: JSON text.
            strict: Refuse unknown fields in the service's words, as the service does, instead of keeping them.

        Raises:
            InvalidJson: Not strict JSON with an object at the top. The error does not hold the text.
            SchemaMismatch: JSON that does not fit, with the path of the first mismatch.
        """
        raw = _raw(data)
        return self._message(LiveClientMessage, raw, _parse(raw), strict=strict)

    def _message(self, cls: type[T], raw: bytes, value: dict[str, Any], *, strict: bool) -> T:
        # The parser has a bound of its own (1,024 levels); this one also keeps our recursion within any caller's stack.
        # A short one seldom has as many brackets as there may be levels, and counting them costs less than looking.
        suspect = len(raw) > _SHORT or raw.count(b"{") + raw.count(b"[") > self.max_depth
        if suspect and _deeper(value, self.max_depth):
            raise InvalidJson(f"nested deeper than {self.max_depth} levels", _position(raw, self.max_depth))
        try:
            try:
                return decoder(strict=strict, exact_integers=True).structure(value, cls)
            except InexactInteger:
                # orjson turns integers beyond 64 bits into floats; it has vouched for the text, so json may read it.
                return decoder(strict=strict, exact_integers=False).structure(json.loads(raw), cls)
        except Mismatch as mismatch:
            path = mismatch.path()
            failure = SchemaMismatch(path, mismatch.why, close_reason=mismatch.service_text(path))
        raise failure

    # --- values to text -----------------------------------------------------------------------------------------

    def encode_client(self, message: LiveClientMessage) -> bytes:
        """Encode a message as clients write it: compact.

        Raises:
            InvalidMessage: A required field is missing, a value has the wrong type or cannot be JSON, or a field is
                for the other backend only; with its path. Or the whole is nested too deeply.
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
        if _deeper(value, self.max_depth):
            raise self._nested_too_deeply()
        try:
            return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE if indent else None)
        except orjson.JSONEncodeError:
            pass
        # Integers beyond 64 bits are legal JSON and end up here; so do lone surrogates, which are not.
        try:
            if indent:
                return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            pass
        found = cast("Mismatch", _lone_surrogate(value))
        raise InvalidMessage(found.path(), found.why)

    # --- the two messages that make up a call -------------------------------------------------------------------

    @staticmethod
    def encode_audio(mime_type: str, data: bytes | bytearray | memoryview) -> bytes:
        """A ``realtimeInput.audio`` message; ``mime_type`` must need no JSON escapes."""
        return b"".join((_AUDIO_HEAD, mime_type.encode(), _AUDIO_MIDDLE, wire_base64.encode(data), _AUDIO_TAIL))

    @staticmethod
    def audio_message(part: AudioPart) -> LiveServerMessage:
        """The whole message that `decode_server_part` has read."""
        mime_type, data, role = part
        blob = Blob(mime_type=mime_type, data=data)
        return LiveServerMessage(
            server_content=LiveServerContent(model_turn=Content(role=role, parts=[Part(inline_data=blob)]))
        )


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
        if found := _lone_surrogate("".join(value)):
            return found
        members = ((snake_case(key), item) for key, item in value.items())
    else:
        members = enumerate(value) if isinstance(value, list) else ()
    for step, item in members:
        if found := _lone_surrogate(item):
            return at(step, found)
    return None


def _deeper(value: dict[str, Any], levels: int) -> bool:
    """Whether a JSON value is nested deeper than that; level by level, so without recursion."""
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


def _position(raw: bytes, levels: int) -> int:
    """Where a JSON text that is known to go deeper than that does so; slower than `_deeper`."""
    marks = _BRACKETS.finditer(raw)
    depth = position = 0
    while depth <= levels:
        mark = next(marks)
        depth += (mark[0] in b"[{") - (mark[0] in b"]}")
        position = mark.start()
    return position


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        failure = InvalidJson(error.msg.partition(":")[0], error.pos)
    else:
        if isinstance(value, dict):
            return value
        failure = InvalidJson("the top of a message must be an object")
    # Raised out here so that the parser's error, which holds the whole text, is not chained to it.
    raise failure


def _inline_data(value: dict[str, Any]) -> AudioPart | None:
    # The exact shape, or nothing: whatever else a message holds must not be lost.
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
