"""Where to dial: URL, headers, dialect and model names (wire.md#endpoints).

Nothing here reads the environment, resolves a name or fetches a token. The second half is for servers: the route that a
request names, and the credentials that it brings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal, NoReturn, Self, TypeAlias, cast, final
from urllib.parse import quote, unquote

import attrs

from live_protocol._redaction import REDACTED, redact, redact_credentials, redact_query, redact_tokens
from live_protocol._urls import (
    SECURE,
    HeadersInput,
    base_of,
    check_host,
    check_port,
    check_target,
    checked_headers,
    credential,
    location_id,
    mtls_host,
    project_id,
    split_url,
    version_id,
    vertex_host,
)
from live_protocol._version import __version__
from live_protocol.errors import InvalidMessage
from live_protocol.messages.fields import Backend

__all__ = [
    "REDACTED",
    "CredentialKind",
    "Credentials",
    "Endpoint",
    "HeadersInput",
    "Method",
    "Route",
    "credentials",
    "match_target",
    "redact",
    "redact_credentials",
    "redact_tokens",
]

Method: TypeAlias = Literal["BidiGenerateContent", "BidiGenerateContentConstrained", "BidiGenerateMusic"]
"""The methods that a WebSocket can reach (wire.md#urls)."""

_Fields: TypeAlias = tuple[tuple[str, str], ...]

_EPHEMERAL: Final = "auth_tokens/"
_GEMINI_HOST: Final = "generativelanguage.googleapis.com"

_GEMINI_PATH: Final = re.compile(
    r"(?P<prefix>.*)/ws/google\.ai\.generativelanguage\.(?P<version>v[0-9a-z]+)\.GenerativeService\."
    r"(?P<method>BidiGenerateContent(?:Constrained)?|BidiGenerateMusic)"
)
_VERTEX_PATH: Final = re.compile(
    r"(?P<prefix>.*)/ws/google\.cloud\.aiplatform\.(?P<version>v[0-9a-z]+)\.LlmBidiService/"
    r"(?P<method>BidiGenerateContent)"
)


def _with(headers: _Fields, name: str, value: str, *, path: str) -> _Fields:
    if any(name == present for present, _ in headers):
        raise InvalidMessage(path, f"the headers have {name} too: pass one of them")
    return ((name, value), *headers)


def _with_user_agent(headers: _Fields) -> _Fields:
    if "user-agent" in dict(headers):
        return headers
    return (*headers, ("user-agent", f"live-protocol/{__version__}"))


def _show_headers(headers: _Fields) -> str:
    return f"<{len(headers)} hidden>"


def _show_target(target: str) -> str:
    return repr(redact_query(target))


@final
@attrs.frozen(kw_only=True)
class Endpoint:
    """Address, headers and dialect of a service. Immutable; its text forms show no credential.

    A plain ``ws://`` URL stays one, since emulators and gateways on the same machine often have no certificate; the
    Python SDK turns every base URL into ``wss://``. Over a network use ``wss://`` or ``https://``: credentials travel
    in the first request.

    An endpoint refuses to be pickled, since a pickle would show its credentials; copying returns the same object. Its
    fields and ``attrs.asdict()`` contain them.

    Attributes:
        backend: Dialect of the service.
        secure: Whether to use TLS.
        host: Name, IPv4 or IPv6 address (no brackets), ASCII, in lower case.
        port: TCP port.
        target: Request target, path and query; the query may contain credentials.
        headers: Header fields of the upgrade request besides those of the handshake, names in lower case; they may
            contain credentials.
        project: Google Cloud project, Vertex only.
        location: Google Cloud location, Vertex only.
    """

    backend: Backend
    secure: bool
    host: str
    port: int
    target: str = attrs.field(repr=_show_target)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=_show_headers)
    project: str | None = None
    location: str | None = None

    def __attrs_post_init__(self) -> None:
        check_host(self.host)
        check_port(self.port)
        check_target(self.target)
        if checked_headers(self.headers) != self.headers:
            raise InvalidMessage("headers", "must be a tuple of pairs with names in lower case")
        if self.project is not None:
            project_id("project", self.project)
        if self.location is not None:
            location_id(self.location)

    @classmethod
    def gemini(
        cls,
        *,
        api_key: str | None = None,
        token: str | None = None,
        version: str = "v1beta",
        base_url: str | None = None,
        headers: HeadersInput = (),
        key_in_query: bool = False,
    ) -> Self:
        """The Gemini API (wire.md#urls and wire.md#credentials).

        Args:
            api_key: API key. An ephemeral token is recognised by its prefix and treated as ``token``.
            token: Name of an ephemeral token, ``auth_tokens/...``; it selects the method
                ``BidiGenerateContentConstrained``.
            version: API version; ``v1alpha`` has previews.
            base_url: Another origin, with or without a path prefix; ``/ws/...`` is appended. ``http`` means ``ws``,
                ``https`` means ``wss``.
            headers: More header fields. With ``authorization`` or ``x-goog-api-key`` among them no other credential is
                needed.
            key_in_query: Put the credential into the query, as browsers must, instead of a header. Proxies log URLs.

        Raises:
            InvalidMessage: There is no credential or more than one, or an argument is not valid in a request. The text
                never contains the value.
        """
        if api_key is not None and token is not None:
            raise InvalidMessage("token", "got api_key= too: pass one of them")
        fields = checked_headers(headers)
        secret: str | None = None
        if token is not None:
            secret = credential("token", token)
            if not secret.startswith(_EPHEMERAL):
                raise InvalidMessage("token", f"must begin with {_EPHEMERAL}; an API key goes to api_key=")
        elif api_key is not None:
            secret = credential("api_key", api_key)
        kind = _kind("api_key", secret) if secret else credentials("/", fields).kind
        if kind is None:
            raise InvalidMessage("api_key", "pass api_key= or token=; without either use Endpoint.custom()")
        ephemeral = kind == "ephemeral_token"
        query = ""
        if key_in_query:
            if secret is None:
                raise InvalidMessage("key_in_query", "needs api_key= or token=")
            query = f"?{'access_token' if ephemeral else 'key'}={quote(secret)}"
        elif secret:
            field = ("authorization", f"Token {secret}") if ephemeral else ("x-goog-api-key", secret)
            fields = _with(fields, *field, path="token" if ephemeral else "api_key")
        method = "BidiGenerateContentConstrained" if ephemeral else "BidiGenerateContent"
        base = base_of(base_url, _GEMINI_HOST)
        service = f"google.ai.generativelanguage.{version_id(version)}.GenerativeService.{method}"
        return cls(
            backend=Backend.GEMINI,
            secure=SECURE[base.scheme],
            host=base.host,
            port=base.port,
            target=f"{base.path.rstrip('/')}/ws/{service}{query}",
            headers=_with_user_agent(fields),
        )

    @classmethod
    def vertex(
        cls,
        *,
        access_token: str | None = None,
        project: str | None = None,
        location: str | None = None,
        api_key: str | None = None,
        quota_project: str | None = None,
        version: str = "v1beta1",
        base_url: str | None = None,
        headers: HeadersInput = (),
        mtls: bool = False,
    ) -> Self:
        """Vertex AI, with an OAuth2 access token or in express mode (wire.md#urls and wire.md#credentials).

        Args:
            access_token: OAuth2 access token of scope cloud-platform. It expires after about an hour: renew it for
                each reconnect by `with_access_token()`.
            project: Project id or number; required except in express mode.
            location: A region, a multi-region (``us``, ``eu``) or ``global``, which is the default.
            api_key: API key of express mode, instead of ``access_token`` and ``project``.
            quota_project: Project to bill, sent as ``x-goog-user-project``.
            version: API version.
            base_url: As in `gemini()`.
            headers: More header fields. ``authorization`` and ``x-goog-user-project`` among them take precedence over
                ``access_token`` and ``quota_project``.
            mtls: Dial the mTLS twin of a ``googleapis.com`` host, if it has one.

        Raises:
            InvalidMessage: As for `gemini()`, and without a project outside express mode.
        """
        fields = checked_headers(headers)
        names = {name for name, _ in fields}
        token = None if access_token is None else credential("access_token", access_token)
        if api_key is not None:
            if token is not None or project is not None:
                raise InvalidMessage("api_key", "express mode takes neither access_token= nor project=")
            fields = _with(fields, "x-goog-api-key", credential("api_key", api_key), path="api_key")
        elif project is None:
            raise InvalidMessage(
                "project",
                "pass project=, or api_key= for express mode; for a gateway without them Endpoint.custom()",
            )
        elif "authorization" not in names:
            if token is None:
                raise InvalidMessage("access_token", "pass access_token= or an authorization header")
            fields = _with(fields, "authorization", f"Bearer {token}", path="access_token")
        if api_key is None and location is None:
            location = "global"
        if quota_project is not None:
            project_id("quota_project", quota_project)
            if "x-goog-user-project" not in names:
                fields = _with(fields, "x-goog-user-project", quota_project, path="quota_project")
        base = base_of(base_url, vertex_host(location))
        service = f"google.cloud.aiplatform.{version_id(version)}.LlmBidiService/BidiGenerateContent"
        return cls(
            backend=Backend.VERTEX,
            secure=SECURE[base.scheme],
            host=mtls_host(base.host) if mtls else base.host,
            port=base.port,
            target=f"{base.path.rstrip('/')}/ws/{service}",
            headers=_with_user_agent(fields),
            project=project,
            location=location,
        )

    @classmethod
    def custom(
        cls,
        url: str,
        *,
        backend: Backend = Backend.GEMINI,
        headers: HeadersInput = (),
        project: str | None = None,
        location: str | None = None,
    ) -> Self:
        """Any server of this protocol: a gateway, an emulator, a method that has no constructor here.

        Args:
            url: The complete ``ws://`` or ``wss://`` URL; nothing is appended.
            backend: Dialect of the server.
            headers: All header fields, with credentials; only ``user-agent`` is added if missing.
            project: Project for `model_path()`, Vertex only.
            location: Location for `model_path()`, Vertex only.

        Raises:
            InvalidMessage: An argument is not valid in a request. The text never contains the value.
        """
        parts = split_url("url", url)
        if parts.scheme not in {"ws", "wss"}:
            raise InvalidMessage("url", "must be ws:// or wss://")
        return cls(
            backend=backend,
            secure=SECURE[parts.scheme],
            host=parts.host,
            port=parts.port,
            target=parts.path + parts.query,
            headers=_with_user_agent(checked_headers(headers)),
            project=project,
            location=location,
        )

    @property
    def host_header(self) -> str:
        """Value of the ``Host`` field: IPv6 in brackets, the port unless it is the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL for logs: without the values of its query, which may be credentials."""
        return f"{'wss' if self.secure else 'ws'}://{self.host_header}{redact_query(self.target)}"

    def model_path(self, model: str) -> str:
        """The resource name of a model, for ``setup.model`` (wire.md#model-names).

        Args:
            model: Short or full name; on Vertex also ``publisher/model``.

        Returns:
            The full name. On Vertex it begins with project and location if both are known, so not in express mode.

        Raises:
            InvalidMessage: The name is empty or contains ``..``, ``?``, ``&``, spaces or control characters.
        """
        if not model:
            raise InvalidMessage("setup.model", "is required")
        if ".." in model or "?" in model or "&" in model:
            raise InvalidMessage("setup.model", "must not contain '..', '?' or '&'")
        if not model.isprintable() or " " in model:
            why = "must not contain spaces or control characters; a name read from a file often ends in a newline"
            raise InvalidMessage("setup.model", why)
        if self.backend is Backend.GEMINI:
            return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"
        if not model.startswith(("projects/", "models/", "publishers/")):
            publisher, slash, name = model.partition("/")
            model = f"publishers/{publisher}/models/{name}" if slash else f"publishers/google/models/{model}"
        if model.startswith("publishers/") and self.project and self.location:
            return f"projects/{self.project}/locations/{self.location}/{model}"
        return model

    def with_access_token(self, token: str) -> Self:
        """The same endpoint with a fresh OAuth2 access token, for the next dial (wire.md#credentials).

        Args:
            token: The token; it replaces any ``authorization`` field.

        Raises:
            InvalidMessage: The token is not valid in a header, or this endpoint does not use OAuth2 tokens.
        """
        if self.backend is not Backend.VERTEX or any(name == "x-goog-api-key" for name, _ in self.headers):
            raise InvalidMessage("token", "only Vertex AI outside express mode uses access tokens")
        others = tuple(field for field in self.headers if field[0] != "authorization")
        bearer = f"Bearer {credential('token', token)}"
        return attrs.evolve(self, headers=(("authorization", bearer), *others))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise InvalidMessage("endpoint", "contains credentials and refuses to be pickled: build it where it is needed")


# --- for servers --------------------------------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Route:
    """The method that the path of an upgrade request names (wire.md#urls).

    Attributes:
        backend: Its dialect.
        version: API version, for example ``v1beta``.
        method: Its name.
        prefix: The path before ``/ws/``: empty, or for example ``/gateway``.
    """

    backend: Backend
    version: str
    method: Method
    prefix: str


def match_target(target: str) -> Route | None:
    """Parse a request target (wire.md#urls). Never raises.

    Repeated slashes count as one, since the Python SDK sends ``//ws/...``. Any version matches.

    Args:
        target: Path and query as they came.

    Returns:
        The route, or None if the path names no method.
    """
    path = re.sub("/{2,}", "/", target.partition("?")[0])
    match = _GEMINI_PATH.fullmatch(path)
    backend = Backend.VERTEX if match is None else Backend.GEMINI
    match = match or _VERTEX_PATH.fullmatch(path)
    if match is None:
        return None
    return Route(
        backend=backend,
        version=match["version"],
        method=cast("Method", match["method"]),
        prefix=match["prefix"],
    )


CredentialKind: TypeAlias = Literal["api_key", "ephemeral_token", "oauth"]
"""An API key, an ephemeral token, an OAuth2 access token (wire.md#credentials)."""


@final
@attrs.frozen(kw_only=True)
class Credentials:
    """The credential of a request.

    Attributes:
        kind: Its kind; None if there is no credential.
        value: The key or token, without its scheme; out of ``repr``.
    """

    kind: CredentialKind | None = None
    value: str | None = attrs.field(default=None, repr=False)


def _kind(kind: CredentialKind, value: str) -> CredentialKind:
    return "ephemeral_token" if value.startswith(_EPHEMERAL) else kind


def credentials(target: str, headers: Iterable[tuple[str, str]]) -> Credentials:
    """The credential of an upgrade request (wire.md#credentials). Never raises.

    The order is ``Authorization`` (``Bearer`` or ``Token``), ``x-goog-api-key``, then ``access_token`` and ``key`` of
    the query. The Python SDK repeats an ephemeral token in the second place.

    Args:
        target: Path and query as they came.
        headers: Header fields as they came, names in any case; the first of repeated ones counts.

    Returns:
        The first credential; its ``kind`` is None if there is none.
    """
    fields: dict[str, str] = {}
    for name, value in headers:
        fields.setdefault(name.lower(), value.strip())
    query: dict[str, str] = {}
    for part in target.partition("?")[2].split("&"):
        name, _, value = part.partition("=")
        query.setdefault(name, unquote(value))
    scheme, _, token = fields.get("authorization", "").partition(" ")
    places: tuple[tuple[CredentialKind, str], ...] = (
        ("oauth", token.strip() if scheme.lower() == "bearer" else ""),
        ("ephemeral_token", token.strip() if scheme.lower() == "token" else ""),
        ("api_key", fields.get("x-goog-api-key", "")),
        ("oauth", query.get("access_token", "")),
        ("api_key", query.get("key", "")),
    )
    for kind, value in places:
        if value:
            return Credentials(kind=_kind(kind, value), value=value)
    return Credentials()
