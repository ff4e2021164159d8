"""The subcommands. To add one: a module here with `configure` and `run`, and its line in `COMMANDS`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Final, Protocol

__all__ = ["COMMANDS", "Command"]

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "a short conversation with the built-in emulator; needs no key and no network",
    "chat": "talk to a model in text; without a key to the built-in emulator",
    "talk": "say a WAV file to a model and get its reply as one; without a key to the built-in emulator",
    "serve": "run the emulator as a WebSocket server, for any client of the Live API",
    "replay": "run a recorded session through the protocol machines and show its events",
    "trace": "measure a recorded session: latencies, audio, gaps, why it ended; as text, JSON or a page",
    "check": "validate a configuration offline and print the setup message it makes",
    "token": "mint an ephemeral token, for a client that must not have the key",
    "completion": "print a completion script for bash, zsh or fish",
}
"""Name and one line of help, in the order of ``--help``."""


class Command(Protocol):
    """What a module here has."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        ...

    def run(self, options: argparse.Namespace) -> int:
        """Do it; gives the exit status."""
        ...
