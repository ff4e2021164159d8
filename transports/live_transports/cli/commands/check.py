"""``live-protocol check``: a configuration in, the setup message it makes out; nothing is dialled."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from live_protocol.codec import Codec
from live_protocol.commands import ConfigInput, build_setup
from live_protocol.endpoint import Endpoint
from live_protocol.errors import InvalidJson, InvalidMessage, RemoteProtocolError
from live_protocol.messages import Backend, LiveClientMessage
from live_protocol.trace import TraceWriter
from live_transports.cli._failure import BAD_INPUT, FAILED, OK, CommandFailed
from live_transports.cli._target import DEFAULT_MODEL

__all__ = ["configure", "run"]

_DESCRIPTION = """\
Validate a configuration offline, and print the setup message it makes (credentials in it as REDACTED).

FILE holds JSON: a LiveConnectConfig, a whole setup (an object with "model"), or a setup message ({"setup": ...}).
Names may be camelCase or snake_case. A configuration is refused with the path of the first thing in it that the
library, and with it the service, would not take. What a particular model supports only the service knows.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", metavar="FILE", help="the configuration; - reads standard input")
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
        config, model = _config(codec, _object(options.file))
        setup = build_setup(endpoint, config, options.model or model)
        payload = codec.encode_client(LiveClientMessage(setup=setup))
    except (InvalidMessage, RemoteProtocolError) as error:
        raise CommandFailed(str(error), FAILED) from error
    sys.stdout.write(json.dumps(_without_secrets(payload), indent=2) + "\n")
    return OK


def _object(name: str) -> dict[str, Any]:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandFailed(f"{name}: {error.strerror}", BAD_INPUT) from error
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}, column {error.colno}: " if isinstance(error, json.JSONDecodeError) else ""
        why = error.msg if isinstance(error, json.JSONDecodeError) else "not text in UTF-8, or nested too deeply"
        raise CommandFailed(f"{name}: no JSON: {where}{why}", BAD_INPUT) from error
    if not isinstance(value, dict):
        raise CommandFailed(f"{name}: the top must be a JSON object", BAD_INPUT)
    return cast("dict[str, Any]", value)


def _config(codec: Codec, value: Mapping[str, Any]) -> tuple[ConfigInput, str | None]:
    """What to build the setup from, and the model where the file has none."""
    if "setup" in value or "model" in value:
        message = value if "setup" in value else {"setup": value}
        setup = codec.decode_client(json.dumps(message).encode(), strict=True).setup
        if setup is None:
            raise InvalidJson("setup must be an object")
        return setup, None
    return value, DEFAULT_MODEL


def _without_secrets(payload: bytes) -> object:
    sink = io.BytesIO()
    TraceWriter(sink).record(0.0, sent=True, data=payload.decode())
    return json.loads(sink.getvalue().splitlines()[-1])["json"]
