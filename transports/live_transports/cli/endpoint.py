"""Where a command dials: from its flags and, here alone in the project, from the environment."""

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
"""The model where none is named; the emulator takes any."""

_KEYS: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
_TOKEN: Final = "CLOUDSDK_AUTH_ACCESS_TOKEN"  # noqa: S105 - the name of a variable
NO_KEY: Final = "not-a-key"
"""Goes to servers that are not Google's in place of a key."""

_GEMINI_VERSION: Final = "v1beta"
_EPHEMERAL_VERSION: Final = "v1alpha"  # wire.md#ephemeral-tokens
_VERTEX_VERSION: Final = "v1beta1"


def add_target(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that `target` reads."""
    group = parser.add_argument_group("where", "without --url, --vertex and a key in the environment: an emulator")
    group.add_argument(
        "--url", metavar="URL", help="another server, ws:// or wss://; no key is sent there; / means the usual path"
    )
    group.add_argument("--emulator", action="store_true", help="the built-in emulator, even with a key at hand")
    group.add_argument("--model", metavar="M", default=DEFAULT_MODEL, help="default: %(default)s")
    group.add_argument("--api-version", metavar="V", help="v1beta, v1alpha ...; default: the backend's usual one")
    group.add_argument("--vertex", action="store_true", help=f"Vertex AI; access token in {_TOKEN}")
    group.add_argument(
        "--token",
        metavar="T",
        help="an ephemeral token, from live-protocol token, in place of a key",
    )
    group.add_argument("--project", metavar="P", help="Vertex AI; default: GOOGLE_CLOUD_PROJECT")
    group.add_argument("--location", metavar="L", help="Vertex AI; default: GOOGLE_CLOUD_LOCATION, then global")


def target(options: argparse.Namespace) -> Endpoint | None:
    """The endpoint to dial; None for an emulator of one's own.

    Raises:
        CommandFailed: The flags contradict each other, or a credential is missing or malformed.
    """
    if options.emulator and (options.url or options.vertex):
        raise CommandFailed("--emulator goes with neither --url nor --vertex", USAGE)
    if options.token and (options.emulator or options.vertex):
        raise CommandFailed("--token is the Gemini API's: it goes with neither --vertex nor --emulator", USAGE)
    if options.token and not options.token.startswith("auth_tokens/"):
        raise CommandFailed("a --token begins with auth_tokens/; an API key belongs in GEMINI_API_KEY", USAGE)
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
        raise CommandFailed(f"where to dial: {error}", USAGE) from error


def api_key() -> str | None:
    """The key in the environment."""
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
    # A key in the environment is meant for Google; an address from the command line could be anybody's.
    try:
        bare = urlsplit(options.url).path in {"", "/"}
    except ValueError as error:
        raise CommandFailed("--url is no URL", USAGE) from error
    if options.token:
        if not bare:
            raise CommandFailed("--token chooses the path itself: give --url without one", USAGE)
        return Endpoint.gemini(
            token=options.token, base_url=options.url, version=options.api_version or _EPHEMERAL_VERSION
        )
    if not bare:
        return Endpoint.custom(options.url, backend=Backend.VERTEX if options.vertex else Backend.GEMINI)
    if options.vertex:
        return _vertex(options, NO_KEY, options.url)
    version = options.api_version or _GEMINI_VERSION
    return Endpoint.gemini(api_key=NO_KEY, base_url=options.url, version=version)
