"""Endpoints and credentials for tests."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from live_protocol.endpoint import Endpoint
from live_protocol.errors import InvalidMessage

KEY = "AIzaCANARY-0123456789_abcdefghijklmnopqr"
TOKEN = "auth_tokens/CANARY0123456789abcdef"
OAUTH = "ya29.CANARY-0123456789_abc"
GEMINI = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
VERTEX = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"


def refused(call: Callable[[], object], path: str, part: str = "") -> InvalidMessage:
    """The call raises and names the argument; nothing reachable from the exception contains a canary."""
    with pytest.raises(InvalidMessage) as caught:
        call()
    error = caught.value
    assert error.path == path
    assert part in error.why
    assert error.__context__ is None
    assert error.__cause__ is None
    assert "CANARY" not in repr(error) + str(error) + "".join(traceback.format_exception_only(error))
    return error


def field(endpoint: Endpoint, name: str) -> str | None:
    return dict(endpoint.headers).get(name)


ENDPOINTS = [
    Endpoint.gemini(api_key=KEY),
    Endpoint.gemini(api_key=KEY, key_in_query=True),
    Endpoint.gemini(token=TOKEN),
    Endpoint.gemini(token=TOKEN, key_in_query=True),
    Endpoint.vertex(access_token=OAUTH, project="p"),
    Endpoint.vertex(api_key=KEY),
    Endpoint.custom("wss://h/p?sig=CANARY&CANARY&x=", headers={"cookie": "CANARY"}),
    Endpoint.custom(f"wss://h/{KEY}/{TOKEN}"),
]

MODELS = ["m", "models/m", "tunedModels/m", "google/m", "a/b/c", "publishers/p/models/m", "projects/p/x", "m@1"]
