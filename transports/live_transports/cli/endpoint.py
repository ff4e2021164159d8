"""The endpoint that a command connects to, from its flags and the environment."""

from __future__ import annotations

import argparse
import os
from typing import Final
from urllib.parse import urlsplit

from live_protocol.endpoint import Endpoint
from live_protocol.errors import InvalidMessage
from live_protocol.messages import Backend
from live_transports.cli.exit import USAGE, CommandFailed

DEFAULT_MODEL: Final = "gemini-3.8-live"
"""The model if none is named; the emulator accepts any."""

_KEYS: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
_TOKEN: Final = "CLOUDSDK_AUTH_ACCESS_TOKEN"  # noqa: S105 - the name of a variable
NO_KEY: Final = "not-a-key"
"""Sent instead of a key to servers other than Google's."""

_GEMINI_VERSION: Final = "v1beta"
_EPHEMERAL_VERSION: Final = "v1alpha"  # wire.md#ephemeral-tokens
_VERTEX_VERSION: Final = "v1beta1"


def add_target(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that `target` reads."""
    group = parser.add_argument_group(
        "connection", "the default is the Gemini API if the environment has a key, and the built-in emulator otherwise"
    )
    group.add_argument(
        "--url",
        metavar="URL",
        help="connect to this ws:// or wss:// server, without a key; no path means the usual one",
    )
    group.add_argument(
        "--emulator", action="store_true", help="use the built-in emulator, even if the environment has a key"
    )
    group.add_argument("--model", metavar="M", default=DEFAULT_MODEL, help="the model; default: %(default)s")
    group.add_argument(
        "--api-version", metavar="V", help="API version, such as v1alpha; the default depends on the backend"
    )
    group.add_argument("--vertex", action="store_true", help=f"use Vertex AI, with the access token in {_TOKEN}")
    group.add_argument(
        "--token",
        metavar="T",
        help="an ephemeral token instead of a key; see live-protocol token",
    )
    group.add_argument("--project", metavar="P", help="Vertex AI project; default: GOOGLE_CLOUD_PROJECT")
    group.add_argument(
        "--location", metavar="L", help="Vertex AI location; default: GOOGLE_CLOUD_LOCATION, then global"
    )


def target(options: argparse.Namespace) -> Endpoint | None:
    """The endpoint to connect to, or None for the built-in emulator.

    Raises:
        CommandFailed: The flags contradict each other, or a credential is missing or malformed.
    """
    if options.emulator and (options.url or options.vertex):
        raise CommandFailed("--emulator excludes --url and --vertex", USAGE)
    if options.token and (options.emulator or options.vertex):
        raise CommandFailed("--token works with the Gemini API only, not with --vertex or --emulator", USAGE)
    if options.token and not options.token.startswith("auth_tokens/"):
        raise CommandFailed("--token must begin with auth_tokens/; put an API key in GEMINI_API_KEY", USAGE)
    try:
        if options.url:
            return _elsewhere(options)
        if options.emulator:
            return None
        if options.vertex:
            token = os.environ.get(_TOKEN)
            if not token:
                raise CommandFailed(
                    f"--vertex needs an access token: {_TOKEN}=$(gcloud auth print-access-token)", USAGE
                )
            return _vertex(options, token)
        if options.token:
            return Endpoint.gemini(token=options.token, version=options.api_version or _EPHEMERAL_VERSION)
        key = api_key()
        return Endpoint.gemini(api_key=key, version=options.api_version or _GEMINI_VERSION) if key else None
    except InvalidMessage as error:
        raise CommandFailed(f"invalid endpoint: {error}", USAGE) from error


def api_key() -> str | None:
    """The API key in the environment, or None."""
    return next((key for name in _KEYS if (key := os.environ.get(name))), None)


def emulator_endpoint(port: int) -> Endpoint:
    """The endpoint of an emulator on this machine."""
    return Endpoint.gemini(api_key=NO_KEY, base_url=f"ws://127.0.0.1:{port}")


def _vertex(options: argparse.Namespace, token: str, base_url: str | None = None) -> Endpoint:
    environment = os.environ
    if not (options.project or environment.get("GOOGLE_CLOUD_PROJECT")):
        raise CommandFailed("--vertex needs a project: --project P, or GOOGLE_CLOUD_PROJECT", USAGE)
    return Endpoint.vertex(
        access_token=token,
        project=options.project or environment.get("GOOGLE_CLOUD_PROJECT") or None,
        location=options.location or environment.get("GOOGLE_CLOUD_LOCATION") or None,
        version=options.api_version or _VERTEX_VERSION,
        base_url=base_url,
    )


def _elsewhere(options: argparse.Namespace) -> Endpoint:
    # The key in the environment is for Google; this address could be anybody's.
    try:
        bare = urlsplit(options.url).path in {"", "/"}
    except ValueError as error:
        raise CommandFailed("--url is malformed", USAGE) from error
    if options.token:
        if not bare:
            raise CommandFailed("--token sets the path: give --url without one", USAGE)
        return Endpoint.gemini(
            token=options.token, base_url=options.url, version=options.api_version or _EPHEMERAL_VERSION
        )
    if not bare:
        return Endpoint.custom(options.url, backend=Backend.VERTEX if options.vertex else Backend.GEMINI)
    if options.vertex:
        return _vertex(options, NO_KEY, options.url)
    version = options.api_version or _GEMINI_VERSION
    return Endpoint.gemini(api_key=NO_KEY, base_url=options.url, version=version)
