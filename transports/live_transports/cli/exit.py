"""Exit statuses, and the exception that carries one."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
BAD_INPUT: Final = 3
INTERRUPTED: Final = 130  # 128 + SIGINT, as in shells
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE


class CommandFailed(Exception):
    """The command failed; the text is for the user.

    Attributes:
        status: The exit status.
    """

    def __init__(self, text: str, status: int = FAILED) -> None:
        super().__init__(text)
        self.status = status
