"""Input files by name."""

from __future__ import annotations

import sys
from pathlib import Path

from live_transports.cli.exit import BAD_INPUT, CommandFailed

__all__ = ["read_bytes"]


def read_bytes(name: str) -> bytes:
    """Read a whole file; ``-`` is standard input.

    Raises:
        CommandFailed: The file cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandFailed(f"{name}: {error.strerror}", BAD_INPUT) from error
