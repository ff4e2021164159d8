"""Cassette files: one trace for each connection, without secrets and with shortened media."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

import attrs

from live_protocol.codec import Codec
from live_protocol.codec.json_text import JSON_LAYOUTS
from live_protocol.errors import RemoteProtocolError
from live_protocol.messages import Backend
from live_protocol.recording import TraceFrame, TraceReader, TraceWriter
from live_protocol.testing import Playbook

_TRIMMED: Final = "trimmed"
_CLOSED: Final = "closed"


@final
@attrs.define(kw_only=True)
class Recording:
    """A recorded connection.

    Attributes:
        frames: Clock reading, whether the client sent it, and the message.
        code: The server's close code; 1006 if the connection was lost; None if the client ended it.
        reason: The server's reason.
    """

    frames: list[tuple[float, bool, bytes | str]] = attrs.field(factory=list)
    code: int | None = None
    reason: str = ""


def cassette_files(folder: Path, name: str) -> list[Path]:
    """The files of a cassette, one for each connection, in order."""
    files: list[Path] = []
    while (path := _path(folder, name, len(files) + 1)).exists():
        files.append(path)
    return files


def _path(folder: Path, name: str, number: int) -> Path:
    safe = "".join(char if char.isalnum() or char in "-_." else "-" for char in name)
    return folder / f"{safe}{'' if number == 1 else f'.{number}'}.jsonl"


# --- writing ----------------------------------------------------------------------------------------------------


def save_cassette(
    folder: Path,
    name: str,
    recordings: Sequence[Recording],
    *,
    backend: Backend,
    secrets: Iterable[str] = (),
    keep: int,
) -> list[Path]:
    """Write a cassette, replacing an older one.

    Args:
        folder: Its folder.
        name: Its name.
        recordings: Its connections.
        backend: The dialect.
        secrets: More exact strings to remove.
        keep: Bytes to keep of each piece of media.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in cassette_files(folder, name):
        old.unlink()
    files = [_path(folder, name, number) for number in range(1, len(recordings) + 1)]
    for path, recording in zip(files, recordings, strict=True):
        part = path.with_suffix(".part")
        with part.open("wb") as sink:
            info = {"cassette": name, "backend": backend.value, "media_bytes_kept": keep}
            _write(TraceWriter(sink, secrets=secrets, info=info), recording, keep)
        part.replace(path)
    return files


def _write(writer: TraceWriter, recording: Recording, keep: int) -> None:
    start = recording.frames[0][0] if recording.frames else 0.0
    at = 0.0
    for now, sent, data in recording.frames:
        at = round(now - start, 6)
        trimmed, sizes = _trimmed(data, keep)
        if sizes:
            writer.note(at, _TRIMMED, {"bytes": sizes})
        writer.record(at, sent, trimmed)
    if recording.code is not None:
        writer.note(at, _CLOSED, {"code": recording.code, "reason": recording.reason, "initiator": "server"})


def _blobs(value: Any) -> Iterator[dict[str, Any]]:
    """Every piece of inline media in a JSON value."""
    if isinstance(value, dict):
        if isinstance(value.get("data"), str) and ("mimeType" in value or "mime_type" in value):
            yield value
        for member in value.values():
            yield from _blobs(member)
    elif isinstance(value, list):
        for item in value:
            yield from _blobs(item)


def _media(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _parsed(data: bytes | str) -> tuple[Any, str]:
    """A JSON message and the name of its layout; None if it is not JSON."""
    try:
        text = data if isinstance(data, str) else data.decode()
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None, ""
    return value, next((layout for layout, write in JSON_LAYOUTS.items() if write(value) == text), "compact")


def _encoded(value: Any, layout: str, data: bytes | str) -> bytes | str:
    """JSON in a layout, with the type of the original message."""
    text = JSON_LAYOUTS[layout](value)
    return text if isinstance(data, str) else text.encode()


def _trimmed(data: bytes | str, keep: int) -> tuple[bytes | str, list[int]]:
    """A message with shortened media, and the original size of each piece."""
    value, layout = _parsed(data)
    sizes: list[int] = []
    cut = False
    for blob in _blobs(value):
        media = _media(blob["data"]) or b""
        sizes.append(len(media))
        if len(media) > keep:
            cut = True
            blob["data"] = base64.b64encode(media[:keep]).decode()
    return (_encoded(value, layout, data), sizes) if cut else (data, [])


# --- reading ----------------------------------------------------------------------------------------------------


def load_cassette(files: Sequence[Path]) -> tuple[list[Playbook], Backend]:
    """Return the playbooks of a cassette, and its dialect.

    Raises:
        InvalidTrace: A file is damaged.
        OSError: A file cannot be read.
    """
    playbooks: list[Playbook] = []
    backend = Backend.GEMINI
    for path in files:
        reader = TraceReader(path.read_bytes())
        backend = Backend(reader.info.get("backend", backend))
        playbooks.append(_playbook(reader, Codec(backend)))
    return playbooks, backend


def _playbook(reader: TraceReader, codec: Codec) -> Playbook:
    playbook = Playbook(strict=False)
    sizes: list[int] = []
    for record in reader.records():
        if not isinstance(record, TraceFrame):
            if record.kind == _TRIMMED:
                sizes = record.facts["bytes"]
            elif record.kind == _CLOSED:
                playbook = _with_end(playbook, record.facts)
        elif record.sent:
            playbook, sizes = _with_expectation(playbook, record, codec), []
        else:
            data = _restored(record.data.decode() if record.kind == "text" else record.data, sizes)
            value, _ = _parsed(data)
            title = f"send {', '.join(value)}" if isinstance(value, dict) else ""
            playbook, sizes = playbook.send_raw(data, title=title), []
    return playbook


def _with_expectation(playbook: Playbook, frame: TraceFrame, codec: Codec) -> Playbook:
    try:
        message = codec.decode_client(frame.data)
    except RemoteProtocolError:
        return playbook.expect("undecodable")
    return playbook.expect_message(message)


def _restored(data: bytes | str, sizes: Sequence[int]) -> bytes | str:
    """A message with its media at their original sizes, padded with silence."""
    if not sizes:
        return data
    value, layout = _parsed(data)
    for blob, size in zip(_blobs(value), sizes, strict=False):
        blob["data"] = base64.b64encode((_media(blob["data"]) or b"").ljust(size, b"\0")).decode()
    return _encoded(value, layout, data)


def _with_end(playbook: Playbook, facts: Mapping[str, Any]) -> Playbook:
    code, reason = facts["code"], facts.get("reason", "")
    return playbook.drop() if code == 1006 else playbook.close(1000 if code == 1005 else code, reason)
