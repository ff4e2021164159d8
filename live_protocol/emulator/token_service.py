"""The emulated REST method that mints ephemeral tokens (wire.md#ephemeral-tokens)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from live_protocol.codec.codec import Codec
from live_protocol.codec.decoding import from_dict
from live_protocol.codec.json_text import parse_object
from live_protocol.connection.http_fallback import HttpHandler, HttpRequest, HttpResponse
from live_protocol.emulator.emulator import Emulator
from live_protocol.emulator.validation import check_key, error_body
from live_protocol.endpoint import credentials
from live_protocol.errors import InvalidMessage
from live_protocol.messages import AuthTokenCreateRequest

_PATH: Final = re.compile(r".*/v[0-9a-z]+/auth_tokens")
_JSON: Final = (("Content-Type", "application/json; charset=UTF-8"),)


def token_service(emulator: Emulator, wall: Callable[[], datetime]) -> HttpHandler:
    """Return an HTTP handler that mints tokens, for `live_protocol.connection.HttpFallback` or an ASGI application.

    It answers ``POST /{version}/auth_tokens``, and everything else with 404.

    Args:
        emulator: The emulator.
        wall: Returns the time of day with its zone; requests contain times of day.
    """

    def answer(request: HttpRequest, now: float | None) -> HttpResponse:
        path = re.sub("/{2,}", "/", request.target.partition("?")[0])
        if request.method != "POST" or not _PATH.fullmatch(path):
            return _error(404, "NOT_FOUND", "Requested entity was not found.")
        refused = check_key(credentials(request.target, request.headers), emulator.options)
        if refused is not None:
            return _error(400, "INVALID_ARGUMENT", refused.reason)
        value, _ = parse_object(request.body.decode(errors="replace") or "{}")
        if value is None:
            return _error(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
        try:
            body = from_dict(AuthTokenCreateRequest, value)
            token = emulator.mint_token(body, now or 0.0, wall=wall())
        except InvalidMessage as error:
            return _error(400, "INVALID_ARGUMENT", f"Invalid value at '{error.path}': {error.why}")
        return _reply(200, (json.dumps(Codec().to_dict(token), indent=2) + "\n").encode())

    return answer


def _reply(status: int, body: bytes) -> HttpResponse:
    return HttpResponse(status=status, headers=_JSON, body=body)


def _error(status: int, name: str, text: str) -> HttpResponse:
    return _reply(status, error_body(status, name, text))
