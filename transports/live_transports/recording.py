"""Recording a session to a file, under whatever runtime."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from live_protocol.recording import Recorder

__all__ = ["record_to"]


@contextlib.contextmanager
def record_to(
    path: str | os.PathLike[str],
    *,
    redact: bool = True,
    secrets: Iterable[str] = (),
    info: Mapping[str, object] | None = None,
) -> Iterator[Recorder]:
    """Record to a file: put it around the session, and give what it yields as ``observer=``.

    One recorder serves one session, however many connections that takes. Writing is buffered; a slow disk holds the
    session up for as long as the write takes, a full one ends the recording and nothing else.

    Args:
        path: The file; one that exists is replaced.
        redact: Take secrets out.
        secrets: Further exact strings to take out.
        info: Anything JSON that describes the recording.

    Yields:
        The observer; its ``error`` tells afterwards whether the recording is whole.

    Raises:
        OSError: The file cannot be opened.
        InvalidMessage: ``info`` is not JSON, or ``secrets`` is a single str.
    """
    recorder = None
    file = Path(path).open("wb")  # noqa: SIM115 - closing it may fail, and that must not fail the session
    try:
        recorder = Recorder(file, redact=redact, secrets=secrets, info=info)
        yield recorder
    finally:
        try:
            file.close()
        except OSError as error:
            if recorder is not None:
                recorder.error = recorder.error or error
