"""The subcommands. To add one, write a module that fits `Command`, and add a line to `COMMANDS`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Final, Protocol

__all__ = ["COMMANDS", "Command"]

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "play a conversation with the built-in emulator and draw its timeline; needs no key and no network",
    "chat": "talk to a model, or to the built-in emulator, in text",
    "talk": "send a WAV file to a model, or to the built-in emulator, and write the reply as a WAV file",
    "serve": "run the emulator, or a playbook, as a server for any client of the Live API",
    "replay": "run a recorded session through the state machines and print its events",
    "trace": "measure a recorded session: latencies, audio, gaps, why it ended; as text, JSON or a page",
    "check": "validate a configuration offline and print the setup message it makes",
    "token": "mint an ephemeral token for a client that must not have the key",
    "completion": "print a completion script for bash, zsh or fish",
}
"""Each name and its line of help, in the order of ``--help``."""


class Command(Protocol):
    """The functions of a command's module."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        ...

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; returns the exit status."""
        ...
