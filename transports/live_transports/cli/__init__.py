"""The ``live-protocol`` command.

Each subcommand is a module of ``commands``, imported only when it runs. Knows every room; nothing imports it. Begin
reading here, then in ``commands`` and ``conversation``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import cast

from live_transports.cli.commands import COMMANDS, Command
from live_transports.cli.exit import FAILED, INTERRUPTED, OK, PIPE_CLOSED, USAGE, CommandFailed

__all__ = ["build_parser", "main"]

_EPILOG = """\
exit status: 0 success, 1 the session or the check failed, 2 wrong usage, 3 unusable input file, 130 interrupted

environment: commands that connect to the Gemini API take the key from GEMINI_API_KEY (or GOOGLE_API_KEY). --vertex
takes the access token from CLOUDSDK_AUTH_ACCESS_TOKEN. No other part of the library reads the environment.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; the default is `sys.argv`.

    Returns:
        The exit status.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    _open_streams()
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            sys.stderr.write("\n")  # so that the shell's prompt begins a line
        return INTERRUPTED
    except BrokenPipeError:
        _abandon_output()  # the reader is gone
        return PIPE_CLOSED
    except CommandFailed as failure:
        return _report(failure, failure.status, debug=debug)
    except OSError as error:
        _abandon_output()  # for example, the disk is full
        return _report(CommandFailed(error.strerror or str(error)), FAILED, debug=debug, cause=error)
    except Exception as error:
        from live_protocol.errors import LiveProtocolError  # noqa: PLC0415 - only needed after a failure

        if not isinstance(error, LiveProtocolError):
            raise
        return _report(error, FAILED, debug=debug)
    return status


def _open_streams() -> None:
    """Open the null device for standard streams that are closed."""
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 - open until the process ends
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _abandon_output() -> None:
    """Drop unwritten output, so that the interpreter does not fail again when it flushes at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        # A peer's text may hold characters that the terminal's encoding lacks.
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")
    name = next((argument for argument in arguments if argument in COMMANDS), None)
    options = build_parser([name] if name else []).parse_args(arguments)  # exits unless a command is named
    return _command(name).run(options) if name else OK


def build_parser(names: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The parser of the whole command line.

    Args:
        names: Commands to configure; only their modules are imported.
    """
    parser = argparse.ArgumentParser(
        prog="live-protocol",
        description="Tools for the Gemini Live API. Only token needs a key. To begin: live-protocol demo",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_line in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=help_line, description=help_line)
        # Accepted before and after the command; SUPPRESS keeps the later one from resetting the earlier.
        subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")
        if name in names:
            _command(name).configure(subparser)
    return parser


def _command(name: str) -> Command:
    return cast("Command", import_module(f"{__name__}.commands.{name}"))


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from live_protocol._version import __version__  # noqa: PLC0415

        sys.stdout.write(f"live-protocol {__version__}\n")
        parser.exit()


def _report(error: Exception, status: int, *, debug: bool, cause: Exception | None = None) -> int:
    from live_transports.cli.event_text import one_line  # noqa: PLC0415

    if debug:
        import traceback  # noqa: PLC0415

        traceback.print_exception(cause or error)
    sys.stderr.write(f"error: {one_line(str(error))}\n")
    if status == USAGE:
        sys.stderr.write("see live-protocol COMMAND --help\n")
    return status
