"""A folder of traces, one file per connection."""

from __future__ import annotations

from pathlib import Path
from typing import final

from live_protocol.events import ConnectionClosed
from live_protocol.recording import Recorder
from live_protocol.websocket import Observation, Observer
from live_transports.cli.exit import FAILED, CommandFailed

__all__ = ["Traces"]


@final
class Traces:
    """Records connections into a folder; existing files are kept.

    Args:
        folder: The folder, created if it does not exist.

    Raises:
        CommandFailed: The folder cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandFailed(f"cannot write to {folder}: {error.strerror or error}", FAILED) from error

    def begin(self) -> Observer:
        """An observer that writes the next trace, and closes the file when the connection ends."""
        while True:
            self._number += 1
            try:
                # Unbuffered: each line is one write, so a killed run leaves whole lines.
                sink = (self._folder / f"connection-{self._number:03}.jsonl").open("xb", buffering=0)
                break
            except FileExistsError:
                continue
        recorder = Recorder(sink, info={"recorder": "live-protocol serve"})

        def observer(seen: Observation) -> None:
            recorder(seen)
            if isinstance(seen.what, ConnectionClosed):
                sink.close()

        return observer
