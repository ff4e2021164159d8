"""``live-protocol serve``: the emulator, for any client of the Live API."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import ssl
import sys
import tempfile
from pathlib import Path

from live_protocol.emulator import Emulator, EmulatorOptions
from live_transports import asyncio as live
from live_transports.cli._failure import FAILED, OK, USAGE, CommandFailed

__all__ = ["configure", "run"]

_DESCRIPTION = """\
Run the emulator as a WebSocket server until SIGINT or SIGTERM.

Prints one line, "listening on ws://HOST:PORT", once clients can connect. Text is answered with the same text (spoken
in tones where the session is to speak), speech with the same speech. A text that begins with one of these is a
command: /call NAME JSON, /slow S TEXT, /goaway S, /close CODE TEXT, /drop, /error, /unknown, /stall, /history ...

With --tls a certificate authority is made for this run, and the first line is "ca PATH": the file that clients have
to trust, for example by SSL_CERT_FILE=PATH.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--host", default="127.0.0.1", help="address to bind; default: %(default)s")
    parser.add_argument("--port", type=_port, default=8765, help="port, 0 for any free one; default: %(default)s")
    parser.add_argument("--tls", action="store_true", help="wss:// with a certificate of this run (needs trustme)")
    parser.add_argument("--speed", type=float, metavar="X", help="send audio X times real time; default: at once")
    parser.add_argument(
        "--lifetime", type=float, metavar="S", help="end each connection after S seconds, as goAway says"
    )
    parser.add_argument("--setup-delay", type=float, metavar="S", default=0.0, help="wait S seconds with setupComplete")
    parser.add_argument("--silent", action="store_true", help="answer nothing: only the protocol's rules are emulated")


def run(options: argparse.Namespace) -> int:
    """Serve."""
    try:
        emulated = EmulatorOptions(
            speed=options.speed,
            lifetime=options.lifetime,
            setup_delay=options.setup_delay,
            parrot=not options.silent,
        )
    except ValueError as error:
        raise CommandFailed(str(error), USAGE) from error
    with contextlib.ExitStack() as stack:
        context = None
        if options.tls:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="live-protocol-")))
            context, ca = _certificate(folder, options.host)
            sys.stdout.write(f"ca {ca}\n")
        return asyncio.run(_serve(Emulator(options=emulated), options.host, options.port, context))


async def _serve(emulator: Emulator, host: str, port: int, context: ssl.SSLContext | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for which in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows; there Ctrl-C interrupts
            loop.add_signal_handler(which, stop.set)
    try:
        async with live.serve(None, host, port, ssl=context, connection_factory=emulator.connection) as server:
            name = "localhost" if context else f"[{host}]" if ":" in host else host
            sys.stdout.write(f"listening on {'wss' if context else 'ws'}://{name}:{server.port}\n")
            sys.stdout.flush()
            await stop.wait()
    except OSError as error:
        raise CommandFailed(f"cannot listen on {host}:{port}: {error.strerror or error}", FAILED) from error
    return OK


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"a port is 0 to 65535, not {port}")
    return port


def _certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """A server context for localhost, and the file of the authority that vouches for it."""
    try:
        import trustme  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise CommandFailed("--tls needs trustme: pip install 'live-protocol[tls]'", USAGE) from error
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*dict.fromkeys(("localhost", "127.0.0.1", "::1", host))).configure_cert(context)
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return context, path
