"""``live-protocol serve``: the emulator or a playbook, for any client of the Live API."""

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
from live_protocol.events import ConnectionClosed
from live_protocol.recording import Recorder
from live_protocol.testing import Faults, FaultyConnection, InvalidPlaybook, Playbook, PlaybookConnection
from live_protocol.websocket import Observation, Observer
from live_transports import asyncio as live
from live_transports.cli.argument_types import add_path, number, whole
from live_transports.cli.exit import BAD_INPUT, FAILED, OK, USAGE, CommandFailed
from live_transports.shared.certificate import local_certificate
from live_transports.shared.playbook_files import load_playbook

_DESCRIPTION = """\
Run the emulator as a WebSocket server until SIGINT or SIGTERM.

Prints one line, "listening on ws://HOST:PORT", once clients can connect. Text is answered with the same text (spoken
in tones where the session is to speak), speech with the same speech. A text that begins with one of these is a
command: /call NAME JSON, /slow S TEXT, /goaway S, /close CODE TEXT, /drop, /error, /unknown, /stall, /history ...
POST /v1alpha/auth_tokens, of any version, mints an ephemeral token.

With --tls a certificate authority is made for this run, and the first line is "ca PATH": the file that clients have
to trust, for example by SSL_CERT_FILE=PATH.

With --script a playbook answers each client instead of the emulator: what to expect and what to send, step by step,
in YAML or JSON. A client that does something else is closed with 1008, standard error shows the difference, and the
exit status is 1. For example:

  - expect_setup: {tools: ...}
  - send_setup_complete
  - send_audio: 2
  - expect_tool_response: call-1
  - go_away: 5
  - drop

With --fault the server misbehaves: a list such as "cut=120,split=1,delay=0.5,no-pong". cut, mute, corrupt (a byte's
number), split (bytes), drop, delay (seconds), truncate (a message's number), oversize (bytes), seed (of what is
irregular), duplicate, unknown, no-upgrade, no-setup-complete, no-pong, no-close, deaf.
"""

_EMULATOR_ONLY: Final = ("speed", "lifetime", "go_away", "setup_delay", "silent")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--host", default="127.0.0.1", help="address to bind; default: %(default)s")
    parser.add_argument(
        "--port", type=whole(0, 65535), default=8765, help="port, 0 for any free one; default: %(default)s"
    )
    parser.add_argument("--tls", action="store_true", help="wss:// with a certificate of this run (needs trustme)")
    parser.add_argument("--speed", type=number(), metavar="X", help="send audio X times real time; default: at once")
    parser.add_argument(
        "--lifetime", type=number(), metavar="S", help="end each connection after S seconds, as goAway says"
    )
    parser.add_argument(
        "--go-away", type=number(zero=True), metavar="S", help="send goAway S seconds before that end; default: 60"
    )
    parser.add_argument("--setup-delay", type=number(zero=True), metavar="S", help="wait S seconds with setupComplete")
    parser.add_argument("--silent", action="store_true", help="answer nothing: only the protocol's rules are emulated")
    add_path(parser, "--script", type=Path, metavar="FILE", help="play this playbook to each client")
    parser.add_argument("--fault", metavar="SPEC", default="", help="misbehave; see above")
    add_path(
        parser,
        "--record",
        type=Path,
        metavar="DIR",
        help="write a trace of each connection, without secrets, into this folder",
        kind="directory",
    )
    parser.add_argument("--json", action="store_true", help="say where as JSON, one object a line")


def run(options: argparse.Namespace) -> int:
    """Serve."""
    service = _Service(_answering(options), _faults(options.fault), _Traces(options.record) if options.record else None)
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
        with contextlib.suppress(NotImplementedError):  # Windows; there Ctrl-C interrupts
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
    """Makes the machine of each connection, and looks after it."""

    def __init__(self, answering: Callable[..., Any], faults: Faults | None, traces: _Traces | None) -> None:
        self.status = OK
        self._answering = answering
        self._faults = faults
        self._traces = traces

    def connection(self) -> ByteServerConnection:
        machine: Any = self._answering(observer=self._traces.begin() if self._traces is not None else None)
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


def _answering(options: argparse.Namespace) -> Callable[..., Any]:
    """What gives the machine of a connection: an emulator, or a playbook."""
    if options.script is not None:
        for name in _EMULATOR_ONLY:
            if getattr(options, name) not in (None, False):
                raise CommandFailed(
                    f"--{name.replace('_', '-')} is the emulator's, it does not go with --script", USAGE
                )
        return _playbook(options.script).connection
    given = {
        "lifetime": options.lifetime,
        "go_away_notice": options.go_away,
        "setup_delay": options.setup_delay,
        "speed": options.speed,
    }
    if options.go_away is not None and options.lifetime is None:
        raise CommandFailed("--go-away announces the end that --lifetime sets", USAGE)
    try:
        emulated = EmulatorOptions(
            echo=not options.silent, **{name: value for name, value in given.items() if value is not None}
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


@final
class _Traces:
    """A folder of traces, one file a connection; files that are there already stay."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandFailed(f"cannot record into {folder}: {error.strerror or error}", FAILED) from error

    def begin(self) -> Observer:
        """An observer that writes the next trace and closes its file with the connection."""
        while True:
            self._number += 1
            try:
                # Unbuffered: each line is one write, and a run that is killed leaves whole lines.
                sink = (self._folder / f"connection-{self._number:03}.jsonl").open("xb", buffering=0)
                break
            except FileExistsError:
                continue
        recorder = Recorder(sink, info={"recorder": "live-protocol serve"})

        def observer(seen: Observation) -> None:
            recorder(seen)
            if isinstance(seen.what, ConnectionClosed):
                sink.close()

        return observer
