"""Where a session is dialed: URL, headers, dialect and model names (wire.md#endpoints). Pure.

Nothing here reads the environment, resolves a name or fetches a token. The second half is the server's view:
which route a request names and which credentials it brings.
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
"""The methods that are served over a WebSocket (wire.md#urls)."""

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
    if any(name == given for given, _ in headers):
        raise InvalidMessage(path, f"the headers hold {name} too: pass one of them")
    return ((name, value), *headers)


def _with_user_agent(headers: _Fields) -> _Fields:
    if any(name == "user-agent" for name, _ in headers):
        return headers
    return (*headers, ("user-agent", f"live-protocol/{__version__}"))


def _show_headers(headers: _Fields) -> str:
    return f"<{len(headers)} hidden>"


def _show_target(target: str) -> str:
    return repr(redact_query(target))


@final
@attrs.frozen(kw_only=True)
class Endpoint:
    """Where to dial, with which headers, in which dialect. Immutable; shows no credential in any text form.

    Plain ``ws://`` is taken at its word, where the Python SDK turns every base URL into ``wss://``: emulators
    and gateways on the same machine often have no certificate. Over any network use ``wss://`` or ``https://``,
    for credentials travel in the first request.

    An endpoint cannot be pickled, since a pickle would hold its credentials in clear; copying gives the same
    object. ``attrs.asdict()`` and the fields themselves hold them too.

    Attributes:
        backend: The dialect that is spoken there.
        secure: Whether TLS is used.
        host: Name, IPv4 or IPv6 address (no brackets), ASCII, in lower case.
        port: TCP port.
        target: Request target, path and query; the query may hold credentials.
        headers: Header fields of the upgrade request beside those of the handshake, names in lower case; they
            may hold credentials.
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
            base_url: Another origin, with or without a path prefix, before which ``/ws/...`` is appended.
                ``http`` means ``ws``, ``https`` means ``wss``.
            headers: More header fields; with ``authorization`` or ``x-goog-api-key`` among them no other
                credential is needed.
            key_in_query: Put the credential into the query, as browsers must, instead of a header. URLs end
                up in logs of proxies.

        Returns:
            The endpoint.

        Raises:
            InvalidMessage: No credential, more than one, or an argument that cannot stand in a request. The
                text never holds the value.
        """
        if api_key is not None and token is not None:
            raise InvalidMessage("token", "api_key is given too: pass one of them")
        given = checked_headers(headers)
        secret: str | None = None
        if token is not None:
            secret = credential("token", token)
            if not secret.startswith(_EPHEMERAL):
                raise InvalidMessage("token", f"must begin with {_EPHEMERAL}; an API key goes to api_key=")
        elif api_key is not None:
            secret = credential("api_key", api_key)
        kind = _kind("api_key", secret) if secret else credentials("/", given).kind
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
            given = _with(given, *field, path="token" if ephemeral else "api_key")
        method = "BidiGenerateContentConstrained" if ephemeral else "BidiGenerateContent"
        base = base_of(base_url, _GEMINI_HOST)
        service = f"google.ai.generativelanguage.{version_id(version)}.GenerativeService.{method}"
        return cls(
            backend=Backend.GEMINI,
            secure=SECURE[base.scheme],
            host=base.host,
            port=base.port,
            target=f"{base.path.rstrip('/')}/ws/{service}{query}",
            headers=_with_user_agent(given),
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
            access_token: OAuth2 access token of scope cloud-platform. It lives about an hour: give every
                reconnect a fresh one by `with_access_token()`.
            project: Project id or number; required except in express mode.
            location: A region, a multi-region (``us``, ``eu``) or ``global``, which is the default.
            api_key: API key of express mode, instead of ``access_token`` and ``project``.
            quota_project: Project that is billed, sent as ``x-goog-user-project``.
            version: API version.
            base_url: As in `gemini()`.
            headers: More header fields. An ``authorization`` or ``x-goog-user-project`` among them wins over
                ``access_token`` and ``quota_project``.
            mtls: Dial the mTLS twin of a ``googleapis.com`` host, where there is one.

        Returns:
            The endpoint.

        Raises:
            InvalidMessage: As for `gemini()`; also without a project outside express mode.
        """
        given = checked_headers(headers)
        names = {name for name, _ in given}
        token = None if access_token is None else credential("access_token", access_token)
        if api_key is not None:
            if token is not None or project is not None:
                raise InvalidMessage("api_key", "express mode takes neither access_token= nor project=")
            given = _with(given, "x-goog-api-key", credential("api_key", api_key), path="api_key")
        elif project is None:
            raise InvalidMessage(
                "project",
                "pass project=, or api_key= for express mode; for a gateway without them Endpoint.custom()",
            )
        elif "authorization" not in names:
            if token is None:
                raise InvalidMessage("access_token", "pass access_token= or an authorization header")
            given = _with(given, "authorization", f"Bearer {token}", path="access_token")
        if api_key is None and location is None:
            location = "global"
        if quota_project is not None:
            project_id("quota_project", quota_project)
            if "x-goog-user-project" not in names:
                given = _with(given, "x-goog-user-project", quota_project, path="quota_project")
        base = base_of(base_url, vertex_host(location))
        service = f"google.cloud.aiplatform.{version_id(version)}.LlmBidiService/BidiGenerateContent"
        return cls(
            backend=Backend.VERTEX,
            secure=SECURE[base.scheme],
            host=mtls_host(base.host) if mtls else base.host,
            port=base.port,
            target=f"{base.path.rstrip('/')}/ws/{service}",
            headers=_with_user_agent(given),
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
            url: The complete ``ws://`` or ``wss://`` URL, used exactly as given; nothing is appended.
            backend: The dialect spoken there.
            headers: All header fields, credentials included; only ``user-agent`` is added if missing.
            project: Project for `model_path()`, Vertex only.
            location: Location for `model_path()`, Vertex only.

        Returns:
            The endpoint.

        Raises:
            InvalidMessage: An argument cannot stand in a request. The text never holds the value.
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
        """The URL without credentials, for logs: every value of its query is left out."""
        return f"{'wss' if self.secure else 'ws'}://{self.host_header}{redact_query(self.target)}"

    def model_path(self, model: str) -> str:
        """Name of a model as ``setup.model`` has it (wire.md#model-names).

        Args:
            model: Short or full name. On Vertex ``publisher/model`` is understood too.

        Returns:
            The full name. On Vertex project and location stand in front where both are known, so not in
            express mode.

        Raises:
            InvalidMessage: The name is empty, or holds ``..``, ``?``, ``&``, blanks or control characters.
        """
        if not model:
            raise InvalidMessage("setup.model", "is required")
        if any(part in model for part in ("..", "?", "&")):
            raise InvalidMessage("setup.model", "must not hold '..', '?' or '&'")
        if not model.isprintable() or " " in model:
            why = "must not hold blanks or control characters; a name read from a file often ends in a newline"
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

        Returns:
            A new endpoint; this one is unchanged.

        Raises:
            InvalidMessage: The token cannot stand in a header, or this endpoint does not take OAuth2 tokens.
        """
        if self.backend is not Backend.VERTEX or any(name == "x-goog-api-key" for name, _ in self.headers):
            raise InvalidMessage("token", "only Vertex AI outside express mode takes access tokens")
        others = tuple(field for field in self.headers if field[0] != "authorization")
        bearer = f"Bearer {credential('token', token)}"
        return attrs.evolve(self, headers=(("authorization", bearer), *others))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise InvalidMessage("endpoint", "holds credentials and is not pickled: build it where it is needed")


# --- the server's view --------------------------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Route:
    """What the path of an upgrade request asks for (wire.md#urls).

    Attributes:
        backend: The dialect.
        version: API version, for example ``v1beta``.
        method: The method.
        prefix: What stands before ``/ws/``: empty, or a path such as ``/gateway``.
    """

    backend: Backend
    version: str
    method: Method
    prefix: str


def match_target(target: str) -> Route | None:
    """Which method of which service a request target names (wire.md#urls). Never raises.

    Repeated slashes count as one, since the Python SDK really sends ``//ws/...``; any version is taken.

    Args:
        target: Path and query as they came.

    Returns:
        The route, or None for a path that is none of them.
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
    """The credential that a request brings.

    Attributes:
        kind: What it is; None for none.
        value: The key or token, without its scheme; out of ``repr``.
    """

    kind: CredentialKind | None = None
    value: str | None = attrs.field(default=None, repr=False)


def _kind(kind: CredentialKind, value: str) -> CredentialKind:
    return "ephemeral_token" if value.startswith(_EPHEMERAL) else kind


def credentials(target: str, headers: Iterable[tuple[str, str]]) -> Credentials:
    """The credential of an upgrade request (wire.md#credentials). Never raises.

    Looked for in this order: ``Authorization`` (``Bearer`` or ``Token``), ``x-goog-api-key``, then
    ``access_token`` and ``key`` of the query. The Python SDK repeats an ephemeral token in the second place.

    Args:
        target: Path and query as they came.
        headers: Header fields as they came, names in any case; of a repeated one the first counts.

    Returns:
        The first credential found; its ``kind`` is None where there is none.
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
