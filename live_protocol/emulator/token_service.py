"""The REST call beside the emulated service: minting ephemeral tokens (wire.md#ephemeral-tokens)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from live_protocol.codec.codec import Codec
from live_protocol.codec.decoding import from_dict
from live_protocol.codec.json_text import parse_object
from live_protocol.connection.http_fallback import HttpHandler, HttpRequest, HttpResponse
from live_protocol.emulator.emulator import Emulator
from live_protocol.emulator.validation import check_key
from live_protocol.endpoint import credentials
from live_protocol.errors import InvalidMessage
from live_protocol.messages import AuthTokenCreateRequest

__all__ = ["token_service"]

_PATH: Final = re.compile(r".*/v[0-9a-z]+/auth_tokens")
_JSON: Final = (("Content-Type", "application/json; charset=UTF-8"),)


def token_service(emulator: Emulator, wall: Callable[[], datetime]) -> HttpHandler:
    """What mints tokens of an emulator: for `live_protocol.connection.HttpFallback`, or an ASGI application.

    Args:
        emulator: The emulator.
        wall: Tells what time it is, with its zone: requests name times of day.

    Returns:
        An answer to ``POST /{version}/auth_tokens``; to anything else it is 404.
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
            asked = from_dict(AuthTokenCreateRequest, value)
            token = emulator.mint_token(asked, now or 0.0, wall=wall())
        except InvalidMessage as error:
            return _error(400, "INVALID_ARGUMENT", f"Invalid value at '{error.path}': {error.why}")
        return _reply(200, Codec().to_dict(token))

    return answer


def _reply(status: int, value: dict[str, Any]) -> HttpResponse:
    return HttpResponse(status=status, headers=_JSON, body=(json.dumps(value, indent=2) + "\n").encode())


def _error(status: int, name: str, text: str) -> HttpResponse:
    return _reply(status, {"error": {"code": status, "message": text, "status": name}})
