"""Checks of everything that reaches a request line or a header, and URLs taken apart.

Every error names the argument and the rule, none the value, nor does an exception that holds the value stay
reachable from it (reliability.md W41, W42, W44).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address
from typing import Final, TypeAlias, cast

import attrs

from live_protocol.errors import InvalidMessage

__all__ = [
    "SECURE",
    "HeadersInput",
    "Url",
    "base_of",
    "check_host",
    "check_port",
    "check_target",
    "checked_headers",
    "credential",
    "location_id",
    "mtls_host",
    "project_id",
    "split_url",
    "version_id",
    "vertex_host",
]

HeadersInput: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
"""Header fields as a caller gives them; names in any case, each at most once."""

SECURE: Final[Mapping[str, bool]] = {"ws": False, "http": False, "wss": True, "https": True}
"""The schemes of a URL, and whether they mean TLS."""

_MULTI_REGIONS: Final = frozenset({"us", "eu"})
_RESERVED: Final = frozenset({"host", "upgrade", "connection", "content-length", "transfer-encoding"})
_VISIBLE: Final = re.compile(r"[!-~]+")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_VERSION: Final = re.compile(r"v[0-9a-z]+")
_LOCATION: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_PROJECT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9:_-]|\.(?!\.))*")
_HOST: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?")
_TARGET: Final = re.compile(r"/[!\"$-~]*")  # visible ASCII but "#": a fragment is not part of a request
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^/?#@:\[\]]+))(?::(?P<port>[0-9]{0,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?"
)


def _matched(path: str, value: object, pattern: re.Pattern[str], rule: str) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise InvalidMessage(path, f"must be {rule}")
    return value


def credential(path: str, value: object) -> str:
    """The value, where it can stand in a header."""
    return _matched(path, value, _VISIBLE, "a non-empty str of visible ASCII: no spaces, no line breaks")


def version_id(value: object) -> str:
    """The value, where it is an API version."""
    return _matched("version", value, _VERSION, "an API version such as v1beta")


def project_id(path: str, value: object) -> str:
    """The value, where it is a project's id or number."""
    return _matched(path, value, _PROJECT, "a project id or number")


def location_id(value: object) -> str:
    """The value, where it is a location; it becomes part of a host name."""
    return _matched("location", value, _LOCATION, "a location such as us-central1, us or global")


def checked_headers(headers: HeadersInput) -> tuple[tuple[str, str], ...]:
    """The fields, names in lower case. Errors name the position only: name and value may be swapped."""
    fields: dict[str, str] = {}
    pairs: object = headers.items() if isinstance(headers, Mapping) else headers
    if isinstance(pairs, (str, bytes)) or not isinstance(pairs, Iterable):
        raise InvalidMessage("headers", "must be a mapping, or pairs of name and value")
    for index, pair in enumerate(cast("Iterable[object]", pairs)):
        path = f"headers[{index}]"
        if not isinstance(pair, (tuple, list)) or len(cast("Sequence[object]", pair)) != 2:
            raise InvalidMessage(path, "must be a pair of name and value")
        given, value = cast("Sequence[object]", pair)
        name = _matched(path, given, _HEADER_NAME, "named by an HTTP token (RFC 9110 section 5.1)").lower()
        if name in _RESERVED or name.startswith("sec-websocket-"):
            raise InvalidMessage(path, "is a field that the opening handshake writes itself")
        if name in fields:
            raise InvalidMessage(path, "repeats a field: join the values with a comma")
        fields[name] = _matched(path, value, _HEADER_VALUE, "visible ASCII, with spaces only between words")
    return tuple(fields.items())


def check_target(value: object) -> None:
    """Refuse what cannot stand in a request line."""
    _matched("target", value, _TARGET, "a path of visible ASCII that begins with '/', no fragment")


def check_port(value: object) -> None:
    """Refuse what is no TCP port."""
    if not isinstance(value, int) or not 0 < value < 65536:
        raise InvalidMessage("port", "must be 1 to 65535")


def check_host(value: object) -> None:
    """Refuse what is neither an ASCII name nor an address."""
    if isinstance(value, str) and ":" in value:
        _ipv6(value, "host")
    else:
        _matched("host", value, _HOST, "an ASCII name or an address, in lower case")


def _ipv6(host: str, path: str) -> str:
    try:
        # A zone ("%eth0") means something on one machine only and has no place in a Host field.
        address = "" if "%" in host else str(IPv6Address(host))
    except ValueError:
        # Raised below instead: this exception quotes the host and would stay reachable as __context__.
        address = ""
    if not address:
        raise InvalidMessage(path, "its host is not a valid IPv6 address")
    return address


def _ascii(host: str, path: str) -> str:
    try:
        # The codec is quadratic in the length of its input.
        encoded = host.encode("idna").decode("ascii").lower() if len(host) <= 253 else ""
    except UnicodeError:  # holds the host, see above
        encoded = ""
    if _HOST.fullmatch(encoded) is None:
        raise InvalidMessage(path, "its host is not a valid name, IPv4 address or bracketed IPv6 address")
    return encoded


@attrs.frozen(kw_only=True)
class Url:
    """A URL in the parts that an endpoint needs.

    Attributes:
        scheme: In lower case, one of `SECURE`.
        host: ASCII in lower case; IPv6 without brackets.
        port: As given, or the default of the scheme.
        path: At least ``/``.
        query: With its question mark, or empty; may hold credentials.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str = attrs.field(repr=False)


def split_url(path: str, url: object) -> Url:
    """Take a URL apart. Not by urlsplit(), which drops CR and LF in silence and quotes the URL in its errors.

    Args:
        path: Name of the argument, for errors.
        url: ``ws``, ``wss``, ``http`` or ``https``.

    Returns:
        Its parts.

    Raises:
        InvalidMessage: It is not one of these, holds user info or a fragment, or cannot stand in a request.
    """
    if not isinstance(url, str) or any(c <= " " or c == "\x7f" for c in url):
        raise InvalidMessage(path, "must be a URL without spaces, line breaks or control characters")
    if "@" in url.partition("://")[2].partition("/")[0].partition("?")[0]:
        raise InvalidMessage(path, "holds user info: pass credentials as arguments or headers")
    match = _URL.fullmatch(url)
    if match is None or (scheme := match["scheme"].lower()) not in SECURE:
        raise InvalidMessage(path, "must be scheme://host[:port][/path] with ws, wss, http or https, no fragment")
    return Url(
        scheme=scheme,
        host=_ascii(match["host"], path) if match["v6"] is None else _ipv6(match["v6"], path),
        port=int(match["port"] or (443 if SECURE[scheme] else 80)),
        path=match["path"] or "/",
        query=match["query"] or "",
    )


def base_of(base_url: str | None, host: str) -> Url:
    """The base URL, or the host of the service; a path prefix is kept, a query refused."""
    base = split_url("base_url", f"wss://{host}" if base_url is None else base_url)
    if base.query:
        raise InvalidMessage("base_url", "has a query: pass a complete URL to Endpoint.custom()")
    return base


def mtls_host(host: str) -> str:
    """The mTLS twin of a Google host; the ``.rep.`` hosts and all others have none (wire.md#urls)."""
    if ".rep." not in host and ".mtls." not in host:
        for domain in ("sandbox.googleapis.com", "googleapis.com"):
            if host.endswith(f".{domain}"):
                return f"{host.removesuffix(domain)}mtls.{domain}"
    return host


def vertex_host(location: str | None) -> str:
    """The host that serves a location (wire.md#urls); None is express mode."""
    if location is None or location == "global":
        return "aiplatform.googleapis.com"
    location_id(location)
    if location in _MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"
