"""Configurations from JSON files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from live_protocol.codec import Codec
from live_protocol.errors import InvalidJson
from live_protocol.session import ConfigInput
from live_transports.cli.endpoint import DEFAULT_MODEL
from live_transports.cli.exit import BAD_INPUT, CommandFailed
from live_transports.cli.input_file import read_bytes


def read_object(name: str) -> dict[str, Any]:
    """Read the JSON object in a file; ``-`` is standard input.

    Raises:
        CommandFailed: The file cannot be read, or is not a JSON object.
    """
    try:
        value: object = json.loads(read_bytes(name))
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}, column {error.colno}: " if isinstance(error, json.JSONDecodeError) else ""
        why = error.msg if isinstance(error, json.JSONDecodeError) else "not UTF-8, or nested too deeply"
        raise CommandFailed(f"{name}: not JSON: {where}{why}", BAD_INPUT) from error
    if not isinstance(value, dict):
        raise CommandFailed(f"{name}: not a JSON object", BAD_INPUT)
    return cast("dict[str, Any]", value)


def config_of(codec: Codec, value: Mapping[str, Any]) -> tuple[ConfigInput, str | None]:
    """Split a file into configuration and default model; the model is None if the file names one.

    Args:
        codec: The dialect.
        value: A `LiveConnectConfig`, a whole setup, or a setup message.

    Raises:
        RemoteProtocolError: The setup does not fit the schema.
    """
    if "setup" in value or "model" in value:
        message = value if "setup" in value else {"setup": value}
        setup = codec.decode_client(json.dumps(message).encode(), strict=True).setup
        if setup is None:
            raise InvalidJson("setup must be an object")
        return setup, None
    return value, DEFAULT_MODEL
