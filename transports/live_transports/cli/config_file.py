"""Configurations in JSON files."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from live_protocol.codec import Codec
from live_protocol.errors import InvalidJson
from live_protocol.session import ConfigInput
from live_transports.cli.endpoint import DEFAULT_MODEL
from live_transports.cli.exit import BAD_INPUT, CommandFailed


def read_object(name: str) -> dict[str, Any]:
    """The JSON object in a file; ``-`` is standard input.

    Raises:
        CommandFailed: It cannot be read, or holds something else.
    """
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


def config_of(codec: Codec, value: Mapping[str, Any]) -> tuple[ConfigInput, str | None]:
    """What to build the setup from, and the model where the file has none.

    Args:
        codec: The dialect.
        value: A `LiveConnectConfig`, a whole setup, or a setup message.

    Raises:
        RemoteProtocolError: A setup that does not fit.
    """
    if "setup" in value or "model" in value:
        message = value if "setup" in value else {"setup": value}
        setup = codec.decode_client(json.dumps(message).encode(), strict=True).setup
        if setup is None:
            raise InvalidJson("setup must be an object")
        return setup, None
    return value, DEFAULT_MODEL
