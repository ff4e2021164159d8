"""``live-protocol check``: a configuration in, the setup message it makes out; nothing is dialed."""

from __future__ import annotations

import argparse
import io
import json
import sys
from typing import Any

from live_protocol.codec import Codec
from live_protocol.endpoint import Endpoint
from live_protocol.errors import InvalidMessage, RemoteProtocolError
from live_protocol.messages import Backend, LiveClientMessage
from live_protocol.recording import TraceWriter
from live_protocol.session import build_setup, profile_for
from live_transports.cli.argument_types import add_path
from live_transports.cli.config_file import config_of, read_object
from live_transports.cli.event_text import one_line, to_json
from live_transports.cli.exit import FAILED, OK, CommandFailed

_DESCRIPTION = """\
Validate a configuration offline, and print the setup message it makes (credentials in it as REDACTED).

FILE holds JSON: a LiveConnectConfig, a whole setup (an object with "model"), or a setup message ({"setup": ...}).
Names may be camelCase or snake_case. A configuration is refused with the path of the first thing in it that the
library, and with it the service, would not take. What a particular model supports only the service knows; where it
is known to refuse something, a warning says so.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_path(parser, "file", metavar="FILE", help="the configuration; - reads standard input")
    parser.add_argument(
        "--json", action="store_true", help="one line: {ok, setup, warnings} or {ok, error}, also where it is refused"
    )
    parser.add_argument("--model", metavar="M", help="the model; needed to dial, a placeholder stands in here")
    parser.add_argument("--vertex", action="store_true", help="check for Vertex AI instead of the Gemini API")
    parser.add_argument("--project", metavar="P", help="Vertex AI: the project for the model's full name")
    parser.add_argument("--location", metavar="L", help="Vertex AI: the location for the model's full name")


def run(options: argparse.Namespace) -> int:
    """Check a file."""
    backend = Backend.VERTEX if options.vertex else Backend.GEMINI
    if not options.vertex and (options.project or options.location):
        raise CommandFailed("--project and --location need --vertex", 2)
    endpoint = Endpoint.custom("ws://check/", backend=backend, project=options.project, location=options.location)
    codec = Codec(backend)
    try:
        config, model = config_of(codec, read_object(options.file))
        built = build_setup(endpoint, config, options.model or model)
        payload = codec.encode_client(LiveClientMessage(setup=built))
    except (InvalidMessage, RemoteProtocolError) as error:
        if not options.json:
            raise CommandFailed(str(error), FAILED) from error
        sys.stdout.write(to_json({"ok": False, "error": {"class": type(error).__name__, "text": str(error)}}) + "\n")
        return FAILED
    setup = _without_secrets(payload)
    # Nothing is said about the model that only stands in for the one to come.
    known = built.model if options.model or model is None else None
    warnings = profile_for(known).warnings(built) if known else []
    if options.json:
        sys.stdout.write(to_json({"ok": True} | setup | {"warnings": warnings}) + "\n")
        return OK
    sys.stdout.write(json.dumps(setup, indent=2) + "\n")
    for warning in warnings:
        sys.stderr.write(f"warning: {one_line(warning)}\n")
    return OK


def _without_secrets(payload: bytes) -> dict[str, Any]:
    sink = io.BytesIO()
    TraceWriter(sink).record(0.0, sent=True, data=payload.decode())
    shown: dict[str, Any] = json.loads(sink.getvalue().splitlines()[-1])["json"]
    return shown
