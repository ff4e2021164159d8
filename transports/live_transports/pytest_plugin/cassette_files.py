"""Cassettes: files with one trace a connection, without secrets and with little of the media; playbooks of them."""

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

__all__ = ["Recording", "cassette_files", "load_cassette", "save_cassette"]

_TRIMMED: Final = "trimmed"
_CLOSED: Final = "closed"


@final
@attrs.define(kw_only=True)
class Recording:
    """One connection as it was.

    Attributes:
        frames: Clock reading, whether the client said it, and the message.
        code: Code with which the server closed it; 1006 where it was lost; None where the client ended it.
        reason: The server's reason.
    """

    frames: list[tuple[float, bool, bytes | str]] = attrs.field(factory=list)
    code: int | None = None
    reason: str = ""


def cassette_files(folder: Path, name: str) -> list[Path]:
    """The files of a cassette, one for each connection, in their order."""
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
    """Write a cassette in place of an older one.

    Args:
        folder: Where.
        name: Its name.
        recordings: Its connections.
        backend: The dialect.
        secrets: Exact strings to take out, beside what is known to be secret.
        keep: Bytes of each piece of media that are kept.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in cassette_files(folder, name):
        old.unlink()
    files = [_path(folder, name, number) for number in range(1, len(recordings) + 1)]
    for path, recording in zip(files, recordings, strict=True):
        whole = path.with_suffix(".part")
        with whole.open("wb") as sink:
            info = {"cassette": name, "backend": backend.value, "media_bytes_kept": keep}
            _write(TraceWriter(sink, secrets=secrets, info=info), recording, keep)
        whole.replace(path)
    return files


def _write(writer: TraceWriter, recording: Recording, keep: int) -> None:
    start = recording.frames[0][0] if recording.frames else 0.0
    at = 0.0
    for now, sent, data in recording.frames:
        at = round(now - start, 6)
        shown, sizes = _trimmed(data, keep)
        if sizes:
            writer.note(at, _TRIMMED, {"bytes": sizes})
        writer.record(at, sent, shown)
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
    """A JSON message and the name of its layout; None for anything else."""
    try:
        text = data if isinstance(data, str) else data.decode()
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None, ""
    return value, next((form for form, write in JSON_LAYOUTS.items() if write(value) == text), "compact")


def _written(value: Any, form: str, data: bytes | str) -> bytes | str:
    text = JSON_LAYOUTS[form](value)
    return text if isinstance(data, str) else text.encode()


def _trimmed(data: bytes | str, keep: int) -> tuple[bytes | str, list[int]]:
    """A message with no more than so much of each piece of media, and how long the pieces were."""
    value, form = _parsed(data)
    sizes: list[int] = []
    cut = False
    for blob in _blobs(value):
        media = _media(blob["data"]) or b""
        sizes.append(len(media))
        if len(media) > keep:
            cut = True
            blob["data"] = base64.b64encode(media[:keep]).decode()
    return (_written(value, form, data), sizes) if cut else (data, [])


# --- reading ----------------------------------------------------------------------------------------------------


def load_cassette(files: Sequence[Path]) -> tuple[list[Playbook], Backend]:
    """The playbooks of a cassette, and its dialect.

    Args:
        files: Its files.

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
                playbook = _ending(playbook, record.facts)
        elif record.sent:
            playbook, sizes = _said(playbook, record, codec), []
        else:
            text = record.data.decode() if record.kind == "text" else record.data
            playbook, sizes = _answered(playbook, _restored(text, sizes)), []
    return playbook


def _said(playbook: Playbook, frame: TraceFrame, codec: Codec) -> Playbook:
    try:
        message = codec.decode_client(frame.data)
    except RemoteProtocolError:
        return playbook.expect("undecodable")
    return playbook.expect_message(message)


def _answered(playbook: Playbook, data: bytes | str) -> Playbook:
    value, _ = _parsed(data)
    title = f"send {', '.join(value)}" if isinstance(value, dict) else ""
    return playbook.send_raw(data, title=title)


def _restored(data: bytes | str, sizes: Sequence[int]) -> bytes | str:
    """A message with its media at their old lengths: what was cut is silence."""
    if not sizes:
        return data
    value, form = _parsed(data)
    for blob, size in zip(_blobs(value), sizes, strict=False):
        blob["data"] = base64.b64encode((_media(blob["data"]) or b"").ljust(size, b"\0")).decode()
    return _written(value, form, data)


def _ending(playbook: Playbook, facts: Mapping[str, Any]) -> Playbook:
    code, reason = facts["code"], facts.get("reason", "")
    return playbook.drop() if code == 1006 else playbook.close(1000 if code == 1005 else code, reason)
