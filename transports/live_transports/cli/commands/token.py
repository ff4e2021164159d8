"""``live-protocol token``: an ephemeral token for a client that must not have the key."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import ssl
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import urlsplit

from live_protocol.codec import Codec
from live_protocol.endpoint import Endpoint
from live_protocol.errors import InvalidMessage, RemoteProtocolError
from live_protocol.messages import AuthTokenCreateRequest, LiveClientSetup
from live_protocol.session import build_setup
from live_transports.cli.argument_types import add_path, number, whole
from live_transports.cli.config_file import config_of, read_object
from live_transports.cli.endpoint import DEFAULT_MODEL, NO_KEY, api_key
from live_transports.cli.event_text import to_json
from live_transports.cli.exit import FAILED, OK, USAGE, CommandFailed

_DESCRIPTION = """\
Mint an ephemeral token of the Gemini API and print it. A token opens a limited number of sessions for a limited time.
With --model or --config it opens only sessions with that setup. Use it with live-protocol chat --token, or with
Endpoint.gemini(token=...).

The key comes from GEMINI_API_KEY (or GOOGLE_API_KEY). It is sent to Google only, never to --base-url.
"""

_GOOGLE: Final = "https://generativelanguage.googleapis.com"
_TIMEOUT: Final = 30.0
_MOST: Final = 1_000_000
"""Bytes of a reply to read; a token has a few hundred."""

_LONGEST: Final = 20 * 3600.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--uses", metavar="N", type=whole(0), help="sessions it may open, 0 for no limit; default: 1")
    parser.add_argument(
        "--expire-minutes",
        metavar="M",
        type=number(unit=60.0, most=_LONGEST),
        help="the token expires after M minutes; default: 30",
    )
    parser.add_argument(
        "--new-session-seconds",
        metavar="S",
        type=number(most=_LONGEST),
        help="it opens no new session after S seconds; default: 60",
    )
    parser.add_argument("--model", metavar="M", help="allow only this model")
    add_path(
        parser, "--config", metavar="FILE", help="allow only this configuration, as for check; - for standard input"
    )
    parser.add_argument(
        "--api-version", "--version", metavar="V", default="v1alpha", help="API version; default: %(default)s"
    )
    parser.add_argument("--base-url", metavar="URL", help="another http:// or https:// server, such as the emulator")
    parser.add_argument("--json", action="store_true", help="print the whole reply as JSON")


def run(options: argparse.Namespace) -> int:
    """Mint a token."""
    key = api_key()
    if options.base_url:
        key = NO_KEY
    elif key is None:
        raise CommandFailed(
            "no key: set GEMINI_API_KEY, or use the emulator: live-protocol serve, then --base-url http://127.0.0.1:8765",
            USAGE,
        )
    body = _body(options)
    try:
        # Checks URL and key with the same errors as other commands.
        Endpoint.gemini(api_key=key, base_url=options.base_url, version=options.api_version)
    except InvalidMessage as error:
        raise CommandFailed(f"invalid endpoint: {error}", USAGE) from error
    reply = _post(options.base_url or _GOOGLE, f"/{options.api_version}/auth_tokens", body, key)
    name = reply.get("name")
    if not isinstance(name, str):
        raise CommandFailed("the reply has no token")
    # Not redacted: printing the token is the purpose.
    sys.stdout.write(f"{to_json(reply) if options.json else name}\n")
    return OK


def _body(options: argparse.Namespace) -> bytes:
    now = datetime.now(UTC)
    request = AuthTokenCreateRequest(
        uses=options.uses,
        expire_time=_time(now, options.expire_minutes),
        new_session_expire_time=_time(now, options.new_session_seconds),
        bidi_generate_content_setup=_setup(options),
        # Without a mask the whole setup is locked, absent fields included.
        field_mask="model" if options.model and not options.config else None,
    )
    return json.dumps(Codec().to_dict(request)).encode()


def _time(now: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=seconds)


def _setup(options: argparse.Namespace) -> LiveClientSetup | None:
    """The setup that the token allows."""
    if options.config is None and options.model is None:
        return None
    codec = Codec()
    try:
        config, model = config_of(codec, read_object(options.config) if options.config else {})
        return build_setup(Endpoint.custom("ws://token/"), config, options.model or model or DEFAULT_MODEL)
    except (InvalidMessage, RemoteProtocolError) as error:
        raise CommandFailed(str(error), FAILED) from error


def _post(base_url: str, path: str, body: bytes, key: str) -> dict[str, Any]:
    """Call the REST API and return its reply.

    Ignores redirects and the environment's proxies, because both would get the key.

    Raises:
        CommandFailed: There is no reply, or it is an error.
    """
    url = urlsplit(base_url)
    host = url.hostname or ""
    if url.scheme in ("https", "wss"):
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, url.port, timeout=_TIMEOUT, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, url.port, timeout=_TIMEOUT)
    headers = {"content-type": "application/json", "x-goog-api-key": key}
    try:
        connection.request("POST", f"{url.path.rstrip('/')}{path}", body, headers)
        response = connection.getresponse()
        status, data = response.status, response.read(_MOST)
    except ssl.SSLCertVerificationError as error:
        why = f"its certificate is not trusted: {error.verify_message}; SSL_CERT_FILE names further authorities"
        raise CommandFailed(f"no reply from {host}: {why}") from error
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CommandFailed(f"no reply from {host}: {why}") from error
    finally:
        connection.close()
    value: object = None
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(data)
    if status != http.HTTPStatus.OK or not isinstance(value, dict):
        raise CommandFailed(f"{host} answered HTTP {status}{_reason(value)}")
    return cast("dict[str, Any]", value)


def _reason(value: object) -> str:
    """The message in Google's error object."""
    error: object = cast("dict[str, object]", value).get("error") if isinstance(value, dict) else None
    text: object = cast("dict[str, object]", error).get("message") if isinstance(error, dict) else None
    return f": {text}" if isinstance(text, str) else ""
