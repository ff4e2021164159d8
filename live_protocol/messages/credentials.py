"""Credentials of tools for external services; no ``repr`` shows one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import attrs

from live_protocol.messages.enums import AuthType, HttpElementLocation
from live_protocol.messages.fields import NO_EXTRA, Backend, wire

__all__ = [
    "ApiAuth",
    "ApiAuthApiKeyConfig",
    "ApiKeyConfig",
    "AuthConfig",
    "AuthConfigGoogleServiceAccountConfig",
    "AuthConfigHttpBasicAuthConfig",
    "AuthConfigOauthConfig",
    "AuthConfigOidcConfig",
]


@final
@attrs.frozen(kw_only=True)
class ApiAuthApiKeyConfig:
    """An API key, in the deprecated form (wire.md#tool-credentials).

    Attributes:
        api_key_secret_version: Resource name of the key in Secret Manager. Required.
        api_key_string: The key itself.
    """

    api_key_secret_version: str | None = wire(only=Backend.VERTEX, required=True, secret=True)
    api_key_string: str | None = wire(only=Backend.VERTEX, secret=True)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ApiAuth:
    """Credentials of an external search API, in the deprecated form (wire.md#tool-credentials).

    Attributes:
        api_key_config: The API key.
    """

    api_key_config: ApiAuthApiKeyConfig | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ApiKeyConfig:
    """An API key and its place in the request (wire.md#tool-credentials).

    Attributes:
        api_key_secret: Resource name of the key in Secret Manager.
        api_key_string: The key itself.
        http_element_location: Part of the request that carries the key.
        name: Name of the parameter that carries the key.
    """

    api_key_secret: str | None = wire(only=Backend.VERTEX, secret=True)
    api_key_string: str | None = wire(only=Backend.VERTEX, secret=True)
    http_element_location: HttpElementLocation | str | None = wire(only=Backend.VERTEX)
    name: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AuthConfigGoogleServiceAccountConfig:
    """Authentication as a service account (wire.md#tool-credentials).

    Attributes:
        service_account: E-mail address of the account.
    """

    service_account: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AuthConfigHttpBasicAuthConfig:
    """HTTP basic authentication (wire.md#tool-credentials).

    Attributes:
        credential_secret: Resource name of the credentials in Secret Manager.
    """

    credential_secret: str | None = wire(only=Backend.VERTEX, secret=True)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AuthConfigOauthConfig:
    """OAuth authentication (wire.md#tool-credentials).

    Attributes:
        access_token: The token itself.
        service_account: Account of the token.
    """

    access_token: str | None = wire(only=Backend.VERTEX, secret=True)
    service_account: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AuthConfigOidcConfig:
    """OpenID Connect authentication (wire.md#tool-credentials).

    Attributes:
        id_token: The token itself.
        service_account: Account of the token.
    """

    id_token: str | None = wire(only=Backend.VERTEX, secret=True)
    service_account: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AuthConfig:
    """Credentials of an external service; ``auth_type`` selects the field (wire.md#tool-credentials).

    Attributes:
        api_key: The key itself, on Gemini.
        api_key_config: API key. Vertex only.
        auth_type: Kind of authentication. Vertex only.
        google_service_account_config: Service account. Vertex only.
        http_basic_auth_config: HTTP basic. Vertex only.
        oauth_config: OAuth. Vertex only.
        oidc_config: OpenID Connect. Vertex only.
    """

    api_key: str | None = wire(secret=True)
    api_key_config: ApiKeyConfig | None = wire(only=Backend.VERTEX)
    auth_type: AuthType | str | None = wire(only=Backend.VERTEX)
    google_service_account_config: AuthConfigGoogleServiceAccountConfig | None = wire(only=Backend.VERTEX)
    http_basic_auth_config: AuthConfigHttpBasicAuthConfig | None = wire(only=Backend.VERTEX)
    oauth_config: AuthConfigOauthConfig | None = wire(only=Backend.VERTEX)
    oidc_config: AuthConfigOidcConfig | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA
