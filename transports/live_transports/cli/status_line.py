"""A line on a terminal that is overwritten."""

from __future__ import annotations

import os
from typing import Final, TextIO, final

_CLEAR: Final = "\r\x1b[K"
_USUAL: Final = 80  # if the terminal does not report its width


@final
class StatusLine:
    """One changing line. Does nothing unless the stream is a terminal that can erase.

    Args:
        stream: The stream to write to.
        enabled: False to do nothing.
    """

    def __init__(self, stream: TextIO, *, enabled: bool = True) -> None:
        self._stream = stream
        self._able = enabled and stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False

    def __bool__(self) -> bool:
        return self._able

    @property
    def room(self) -> int:
        """Characters that fit. The last column stays free: some terminals wrap there."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return (columns or _USUAL) - 1

    def show(self, text: str) -> None:
        """Replace the line. Text that does not fit is cut, because a wrapped line cannot be erased."""
        if self._able:
            self._stream.write(f"\r{text[: self.room]}\x1b[K")
            self._stream.flush()
            self._shown = True

    def clear(self) -> None:
        """Erase the line."""
        if self._shown:
            self._stream.write(_CLEAR)
            self._shown = False
