"""``live-protocol serve``: the emulator or a playbook, as a server for any client."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import ssl
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, final

from live_protocol.connection import ByteServerConnection, HttpFallback
from live_protocol.emulator import EmulatedConnection, Emulator, EmulatorOptions
from live_protocol.emulator.token_service import token_service
from live_protocol.errors import InvalidMessage
from live_protocol.testing import Faults, FaultyConnection, InvalidPlaybook, Playbook, PlaybookConnection
from live_protocol.websocket import Observer
from live_transports import asyncio as live
from live_transports.cli.argument_types import add_path, number, whole
from live_transports.cli.exit import BAD_INPUT, FAILED, OK, USAGE, CommandFailed
from live_transports.cli.traces import Traces
from live_transports.shared.certificate import local_certificate
from live_transports.shared.playbook_files import load_playbook

_DESCRIPTION = """\
Run the emulator as a WebSocket server until SIGINT or SIGTERM.

Prints "listening on ws://HOST:PORT" when clients can connect. The emulator repeats text (spoken as tones in audio
sessions) and speech. A text that begins with a slash is a command: /call NAME JSON, /slow S TEXT, /goaway S,
/close CODE TEXT, /drop, /error, /unknown, /stall, /history. POST /v1alpha/auth_tokens mints an ephemeral token.

With --tls the server makes a certificate authority for this run. The first line is then "ca PATH", the file that
clients must trust, for example with SSL_CERT_FILE=PATH.

With --script a playbook in YAML or JSON answers each client: it lists what to expect and what to send. A client that
deviates is closed with 1008, standard error shows the difference, and the exit status is 1. For example:

  - expect_setup: {tools: ...}
  - send_setup_complete
  - send_audio: 2
  - expect_tool_response: call-1
  - go_away: 5
  - drop

With --fault the server misbehaves. SPEC is a list such as "cut=120,split=1,delay=0.5,no-pong" of: cut, mute, corrupt
(byte number); split, oversize (bytes); drop, delay (seconds); truncate (message number); seed (makes the others
irregular); duplicate, unknown, no-upgrade, no-setup-complete, no-pong, no-close, deaf.
"""

_EMULATOR_ONLY: Final = ("speed", "lifetime", "go_away", "setup_delay", "silent")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--host", default="127.0.0.1", help="address to bind; default: %(default)s")
    parser.add_argument(
        "--port", type=whole(0, 65535), default=8765, help="port, 0 for any free port; default: %(default)s"
    )
    parser.add_argument(
        "--tls", action="store_true", help="serve wss:// with a certificate for this run (needs trustme)"
    )
    parser.add_argument("--speed", type=number(), metavar="X", help="send audio at X times real time; default: at once")
    parser.add_argument(
        "--lifetime", type=number(), metavar="S", help="end each connection after S seconds, with a goAway before"
    )
    parser.add_argument(
        "--go-away", type=number(zero=True), metavar="S", help="send goAway S seconds before the end; default: 60"
    )
    parser.add_argument("--setup-delay", type=number(zero=True), metavar="S", help="delay setupComplete by S seconds")
    parser.add_argument("--silent", action="store_true", help="follow the protocol, but never answer")
    add_path(parser, "--script", type=Path, metavar="FILE", help="play this playbook to each client")
    parser.add_argument("--fault", metavar="SPEC", default="", help="inject faults; see above")
    add_path(
        parser,
        "--record",
        type=Path,
        metavar="DIR",
        help="write a trace of each connection, without secrets, to this folder",
        kind="directory",
    )
    parser.add_argument("--json", action="store_true", help="print addresses as JSON, one object per line")


def run(options: argparse.Namespace) -> int:
    """Run the server."""
    service = _Service(
        _machine_factory(options), _faults(options.fault), Traces(options.record) if options.record else None
    )
    with contextlib.ExitStack() as stack:
        context = None
        if options.tls:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="live-protocol-")))
            try:
                context, ca = local_certificate(folder, options.host)
            except ImportError as error:
                raise CommandFailed(str(error), USAGE) from error
            _say(options.json, "ca", f"ca {ca}", path=str(ca))
        return asyncio.run(_serve(service, options, context))


def _say(as_json: bool, kind: str, line: str, **facts: str) -> None:
    sys.stdout.write(f"{json.dumps({'type': kind, **facts}) if as_json else line}\n")
    sys.stdout.flush()


async def _serve(service: _Service, options: argparse.Namespace, context: ssl.SSLContext | None) -> int:
    host, port = options.host, options.port
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for which in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # on Windows Ctrl-C interrupts
            loop.add_signal_handler(which, stop.set)
    try:
        serving = live.serve(service.handle, host, port, ssl=context, connection_factory=service.connection)
        async with serving as server:
            name = "localhost" if context else f"[{host}]" if ":" in host else host
            url = f"{'wss' if context else 'ws'}://{name}:{server.port}"
            _say(options.json, "listening", f"listening on {url}", url=url)
            await stop.wait()
    except OSError as error:
        raise CommandFailed(f"cannot listen on {host}:{port}: {error.strerror or error}", FAILED) from error
    return service.status


@final
class _Service:
    """Makes the machine of each connection and checks playbooks at its end."""

    def __init__(self, make: Callable[..., Any], faults: Faults | None, traces: Traces | None) -> None:
        self.status = OK
        self._make = make
        self._faults = faults
        self._traces = traces

    def connection(self) -> ByteServerConnection:
        machine: Any = self._make(observer=self._traces.begin() if self._traces is not None else None)
        return machine if self._faults is None else FaultyConnection(machine, self._faults)

    async def handle(self, session: live.LiveServerSession) -> None:
        try:
            async for _ in session:
                pass
        finally:
            machine: object = session.connection
            while isinstance(machine, (FaultyConnection, HttpFallback)):
                machine = machine.machine
            if isinstance(machine, PlaybookConnection):
                self._judge(machine)

    def _judge(self, run: PlaybookConnection) -> None:
        try:
            run.check()
        except AssertionError as mismatch:
            self.status = FAILED
            sys.stderr.write(f"playbook mismatch: {mismatch}\n")
            sys.stderr.flush()


def _machine_factory(options: argparse.Namespace) -> Callable[..., Any]:
    """The function that makes the machine of a connection: an emulator's or a playbook's."""
    if options.script is not None:
        for name in _EMULATOR_ONLY:
            if getattr(options, name) not in (None, False):
                raise CommandFailed(f"--{name.replace('_', '-')} is for the emulator and excludes --script", USAGE)
        return _playbook(options.script).connection
    values = {
        "lifetime": options.lifetime,
        "go_away_notice": options.go_away,
        "setup_delay": options.setup_delay,
        "speed": options.speed,
    }
    if options.go_away is not None and options.lifetime is None:
        raise CommandFailed("--go-away needs --lifetime", USAGE)
    try:
        emulated = EmulatorOptions(
            echo=not options.silent, **{name: value for name, value in values.items() if value is not None}
        )
    except ValueError as error:
        raise CommandFailed(str(error), USAGE) from error
    emulator = Emulator(options=emulated)
    tokens = token_service(emulator, lambda: datetime.now(UTC))

    def emulate(observer: Observer | None) -> HttpFallback[EmulatedConnection]:
        return HttpFallback(emulator.connection(observer=observer), tokens)

    return emulate


def _playbook(path: Path) -> Playbook:
    try:
        return load_playbook(path)
    except InvalidPlaybook as error:
        raise CommandFailed(f"{path}: {error}", BAD_INPUT) from error
    except OSError as error:
        raise CommandFailed(f"cannot read {path}: {error.strerror or error}", BAD_INPUT) from error
    except ImportError as error:
        raise CommandFailed(str(error), USAGE) from error


def _faults(text: str) -> Faults | None:
    try:
        faults = Faults.from_string(text)
    except InvalidMessage as error:
        raise CommandFailed(f"--fault: {error}", USAGE) from error
    return None if faults == Faults() else faults
