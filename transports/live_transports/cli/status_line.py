"""A line on a terminal that is written over as things go on."""

from __future__ import annotations

import os
from typing import Final, TextIO, final

_CLEAR: Final = "\r\x1b[K"
_USUAL: Final = 80  # where a terminal does not tell its width


@final
class StatusLine:
    """One changing line; nothing at all where the stream is no terminal, or one that cannot erase.

    Args:
        stream: Where to.
        wanted: False for nothing at all.
    """

    def __init__(self, stream: TextIO, *, wanted: bool = True) -> None:
        self._stream = stream
        self._able = wanted and stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False

    def __bool__(self) -> bool:
        return self._able

    @property
    def room(self) -> int:
        """Characters that fit; the last column stays free, where some terminals break the line."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return (columns or _USUAL) - 1

    def show(self, text: str) -> None:
        """Put this in place of what is there; what does not fit is cut, since a broken line cannot be taken back."""
        if self._able:
            self._stream.write(f"\r{text[: self.room]}\x1b[K")
            self._stream.flush()
            self._shown = True

    def clear(self) -> None:
        """Leave an empty line to write on."""
        if self._shown:
            self._stream.write(_CLEAR)
            self._shown = False
