"""Exit statuses, and the one exception that carries one."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
BAD_INPUT: Final = 3
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE


class CommandFailed(Exception):
    """A command cannot go on; its text is for the person at the terminal.

    Attributes:
        status: The exit status.
    """

    def __init__(self, text: str, status: int = FAILED) -> None:
        super().__init__(text)
        self.status = status
