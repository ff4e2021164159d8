"""``live-protocol check``: a configuration in, its setup message out, offline."""

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
from live_transports.cli.exit import FAILED, OK, USAGE, CommandFailed

_DESCRIPTION = """\
Validate a configuration offline and print its setup message. Credentials are printed as REDACTED.

FILE holds JSON: a LiveConnectConfig, a setup (an object with "model"), or a setup message ({"setup": ...}), in
camelCase or snake_case. An error names the path of the first invalid value. A warning says what the model is known to
refuse; only the service knows all that a model supports.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_path(parser, "file", metavar="FILE", help="configuration; - for standard input")
    parser.add_argument("--json", action="store_true", help="print one line: {ok, setup, warnings} or {ok, error}")
    parser.add_argument("--model", metavar="M", help="the model; a placeholder if left out")
    parser.add_argument("--vertex", action="store_true", help="check for Vertex AI instead of the Gemini API")
    parser.add_argument("--project", metavar="P", help="Vertex AI project, for the model's full name")
    parser.add_argument("--location", metavar="L", help="Vertex AI location, for the model's full name")


def run(options: argparse.Namespace) -> int:
    """Check the file."""
    backend = Backend.VERTEX if options.vertex else Backend.GEMINI
    if not options.vertex and (options.project or options.location):
        raise CommandFailed("--project and --location need --vertex", USAGE)
    endpoint = Endpoint.custom("ws://check/", backend=backend, project=options.project, location=options.location)
    codec = Codec(backend)
    try:
        config, model = config_of(codec, read_object(options.file))
        setup = build_setup(endpoint, config, options.model or model)
        payload = codec.encode_client(LiveClientMessage(setup=setup))
    except (InvalidMessage, RemoteProtocolError) as error:
        if not options.json:
            raise CommandFailed(str(error), FAILED) from error
        sys.stdout.write(to_json({"ok": False, "error": {"class": type(error).__name__, "text": str(error)}}) + "\n")
        return FAILED
    message = _without_secrets(payload)
    is_placeholder = model is not None and not options.model
    warnings = profile_for(setup.model).warnings(setup) if setup.model and not is_placeholder else []
    if options.json:
        sys.stdout.write(to_json({"ok": True} | message | {"warnings": warnings}) + "\n")
        return OK
    sys.stdout.write(json.dumps(message, indent=2) + "\n")
    for warning in warnings:
        sys.stderr.write(f"warning: {one_line(warning)}\n")
    return OK


def _without_secrets(payload: bytes) -> dict[str, Any]:
    sink = io.BytesIO()
    TraceWriter(sink).record(0.0, sent=True, data=payload.decode())
    message: dict[str, Any] = json.loads(sink.getvalue().splitlines()[-1])["json"]
    return message
