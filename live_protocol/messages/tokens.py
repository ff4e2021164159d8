"""Ephemeral tokens: the body and the reply of the REST call that mints one (wire.md#ephemeral-tokens)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import attrs

from live_protocol.messages.client import LiveClientSetup
from live_protocol.messages.fields import NO_EXTRA, Backend, Timestamp, wire

__all__ = [
    "AuthToken",
    "AuthTokenCreateRequest",
]


@final
@attrs.frozen(kw_only=True)
class AuthTokenCreateRequest:
    """Body of ``POST auth_tokens``, which mints an ephemeral token (wire.md#ephemeral-tokens).

    Attributes:
        expire_time: Messages are refused after this; 30 minutes ahead by default, at most 20 hours.
        new_session_expire_time: No session starts after this; 60 seconds ahead by default, at most 20 hours.
        uses: Sessions that it may start; 1 by default, 0 means any number. Resuming costs none.
        bidi_generate_content_setup: The setup that its sessions are tied to; replaces the client's own.
        field_mask: Comma-separated paths that are locked; without it everything in the setup is.
    """

    expire_time: Timestamp | None = wire(only=Backend.GEMINI)
    new_session_expire_time: Timestamp | None = wire(only=Backend.GEMINI)
    uses: int | None = wire(only=Backend.GEMINI)
    bidi_generate_content_setup: LiveClientSetup | None = wire(only=Backend.GEMINI)
    field_mask: str | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AuthToken:
    """An ephemeral token, the reply of ``POST auth_tokens`` (wire.md#ephemeral-tokens).

    Attributes:
        name: The token itself, ``auth_tokens/...``; takes the place of an API key.
        expire_time: As in the request.
        new_session_expire_time: As in the request.
        uses: As in the request.
    """

    name: str | None = wire(only=Backend.GEMINI, secret=True)
    expire_time: Timestamp | None = wire(only=Backend.GEMINI)
    new_session_expire_time: Timestamp | None = wire(only=Backend.GEMINI)
    uses: int | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA
