"""Records a session to a file, in any runtime."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from live_protocol.recording import Recorder

__all__ = ["record_to"]

_BATCH: Final = 12 * 1024
"""Bytes; the file object's own buffer holds 4 or 8 KiB more."""


@contextlib.contextmanager
def record_to(
    path: str | os.PathLike[str],
    *,
    redact: bool = True,
    secrets: Iterable[str] = (),
    info: Mapping[str, object] | None = None,
) -> Iterator[Recorder]:
    """Record to a file: enter this around the session, and pass the recorder as ``observer=``.

    A recorder serves one session, over any number of connections. Writes are buffered, and a program that is killed
    loses some 20 KiB at most. A slow disk blocks the session during the write; a full disk ends the recording, but
    not the session.

    Args:
        path: The file; an existing one is replaced.
        redact: Whether to remove secrets.
        secrets: More exact strings to remove.
        info: JSON data that describes the recording.

    Yields:
        The recorder. If its ``error`` is None at the end, the recording is complete.

    Raises:
        OSError: The file cannot be opened.
        InvalidMessage: ``info`` is not JSON, or ``secrets`` is a single str.
    """
    recorder = None
    file = Path(path).open("wb")  # noqa: SIM115 - a failing close must not fail the session
    try:
        recorder = Recorder(file, redact=redact, secrets=secrets, info=info, batch=_BATCH)
        yield recorder
    finally:
        if recorder is not None:
            recorder.flush()
        try:
            file.close()
        except OSError as error:
            if recorder is not None:
                recorder.error = recorder.error or error
