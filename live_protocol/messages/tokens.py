"""Ephemeral tokens: request and response of the REST call that mints one (wire.md#ephemeral-tokens)."""

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
        expire_time: End of messages; 30 minutes ahead by default, at most 20 hours.
        new_session_expire_time: End of new sessions; 60 seconds ahead by default, at most 20 hours.
        uses: Number of sessions; 1 by default, 0 means any number. Resuming does not count.
        bidi_generate_content_setup: Setup of its sessions; replaces the setup of the client.
        field_mask: Comma-separated paths of locked fields; by default the whole setup is locked.
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
    """An ephemeral token, the response of ``POST auth_tokens`` (wire.md#ephemeral-tokens).

    Attributes:
        name: The token itself, ``auth_tokens/...``; replaces an API key.
        expire_time: As in the request.
        new_session_expire_time: As in the request.
        uses: As in the request.
    """

    name: str | None = wire(only=Backend.GEMINI, secret=True)
    expire_time: Timestamp | None = wire(only=Backend.GEMINI)
    new_session_expire_time: Timestamp | None = wire(only=Backend.GEMINI)
    uses: int | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA
