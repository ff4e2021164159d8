"""``live-protocol replay``: a recording in, events out."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from live_protocol.events import ConnectionFailed, Undecodable, UnknownMessage
from live_protocol.messages import Backend
from live_protocol.recording import InvalidTrace, TraceFrame, TraceReader, read_websocket_log
from live_transports.cli.argument_types import add_path
from live_transports.cli.exit import BAD_INPUT, FAILED, OK, CommandFailed
from live_transports.cli.input_file import read_bytes
from live_transports.cli.replay import Replay, ReplayError
from live_transports.cli.reporter import Reporter

_DESCRIPTION = """\
Run a recorded session through the state machines and print its events.

Server messages travel as WebSocket bytes into a client connection with the recorded setup. Client messages are decoded
in the server role. Recordings have no close frame, so the replay adds one. Reads this project's JSON-lines traces and
Google's .websocket.log.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_path(parser, "file", metavar="FILE", help="recording; - for standard input")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per line: from, type and the event's fields"
    )
    parser.add_argument(
        "--full", action="store_true", help="with --json, print payloads as base64 instead of their size"
    )
    parser.add_argument("--only", choices=("server", "client"), help="print one side only")
    parser.add_argument("--strict", action="store_true", help="fail at the first message that is unknown or malformed")
    parser.add_argument(
        "--backend",
        choices=[backend.value for backend in Backend],
        help="dialect; the default follows from the model's name",
    )


def run(options: argparse.Namespace) -> int:
    """Replay the file."""
    frames, damage = _load(options.file)
    if not frames:
        raise CommandFailed(f"{options.file}: {damage or 'the recording is empty'}", BAD_INPUT)
    backend = Backend(options.backend) if options.backend else None
    reporter = Reporter(sys.stdout, as_json=options.json, full=options.full, live=False)
    counts: Counter[str] = Counter()
    for step in Replay(frames, backend=backend, strict=options.strict):
        what = step.what
        counts.update(refused=isinstance(what, ReplayError), failed=isinstance(what, ConnectionFailed))
        counts.update(undecodable=isinstance(what, Undecodable), unknown=isinstance(what, UnknownMessage))
        if options.only and (options.only == "client") is not step.sent:
            continue
        if isinstance(what, ReplayError):
            reporter.note(
                "ReplayError" if options.json else "refused here",
                f"{what.what}: {what.error}",
                step.at,
                sent=True,
                command=what.what,
                error={"class": type(what.error).__name__, "text": str(what.error)},
            )
        else:
            reporter.event(what, step.at, sent=step.sent)
    reporter.flush()
    sent = sum(frame.sent for frame in frames)
    summary = f"{len(frames) - sent} server and {sent} client messages"
    summary += "".join(f", {counts[name]} {name}" for name in ("undecodable", "unknown", "refused") if counts[name])
    sys.stderr.write(summary + "\n")
    if damage is not None:
        raise CommandFailed(f"{options.file}: {damage}", BAD_INPUT)
    return FAILED if counts["failed"] else OK


def _load(name: str) -> tuple[list[TraceFrame], InvalidTrace | None]:
    """All whole messages, and the error in the rest."""
    data = read_bytes(name)
    frames: list[TraceFrame] = []
    try:
        frames.extend(TraceReader(data) if data[:1] == b"{" else read_websocket_log(data))
    except InvalidTrace as damage:
        return frames, damage
    return frames, None
