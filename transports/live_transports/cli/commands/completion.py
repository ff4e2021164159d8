"""``live-protocol completion``: a completion script for a shell."""

from __future__ import annotations

import argparse
import sys

from live_transports.cli.exit import OK, USAGE, CommandFailed

_DESCRIPTION = """\
Print a completion script for this version's commands. Needs shtab: pip install 'live-protocol[completion]'

  in ~/.bashrc:                  eval "$(live-protocol completion bash)"
  in ~/.zshrc, after compinit:   eval "$(live-protocol completion zsh)"
  in ~/.config/fish/config.fish: live-protocol completion fish | source
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    from live_transports.cli import build_parser  # noqa: PLC0415 - the package imports this module

    try:
        import shtab  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise CommandFailed("this command needs shtab: pip install 'live-protocol[completion]'", USAGE) from error
    sys.stdout.write(shtab.complete(build_parser(), options.shell) + "\n")
    return OK
