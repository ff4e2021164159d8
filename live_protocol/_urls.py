"""Checks for everything that goes into a request line or a header, and a URL parser.

An error names the argument and the rule, never the value, which may be a credential. Exceptions that quote the value
are not chained to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address
from typing import Final, TypeAlias, cast

import attrs

from live_protocol.errors import InvalidMessage
from live_protocol.messages.fields import fast_define

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
"""Header fields from a caller; names in any case, each at most once."""

SECURE: Final[Mapping[str, bool]] = {"ws": False, "http": False, "wss": True, "https": True}
"""The schemes of a URL, and whether each uses TLS."""

_MULTI_REGIONS: Final = frozenset({"us", "eu"})
_RESERVED: Final = frozenset({"host", "upgrade", "connection", "content-length", "transfer-encoding"})
_VISIBLE: Final = re.compile(r"[!-~]+")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_VERSION: Final = re.compile(r"v[0-9a-z]+")
_LOCATION: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_PROJECT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9:_-]|\.(?!\.))*")
_HOST: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?")
_TARGET: Final = re.compile(r"/[!\"$-~]*")  # visible ASCII but "#", as a request has no fragment
_UNFIT: Final = re.compile(r"[\x00- \x7f]")
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^/?#@:\[\]]+))(?::(?P<port>[0-9]{0,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?"
)


def _matched(path: str, value: object, pattern: re.Pattern[str], rule: str) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise InvalidMessage(path, f"must be {rule}")
    return value


def credential(path: str, value: object) -> str:
    """Check a credential for a header."""
    return _matched(path, value, _VISIBLE, "a non-empty str of visible ASCII: no spaces, no line breaks")


def version_id(value: object) -> str:
    """Check an API version."""
    return _matched("version", value, _VERSION, "an API version such as v1beta")


def project_id(path: str, value: object) -> str:
    """Check a project id or number."""
    return _matched(path, value, _PROJECT, "a project id or number")


def location_id(value: object) -> str:
    """Check a location, which becomes part of a host name."""
    return _matched("location", value, _LOCATION, "a location such as us-central1, us or global")


def checked_headers(headers: HeadersInput) -> tuple[tuple[str, str], ...]:
    """Check header fields and lower their names. Errors give the position alone: name and value may be swapped."""
    fields: dict[str, str] = {}
    pairs: object = headers.items() if isinstance(headers, Mapping) else headers
    if isinstance(pairs, (str, bytes)) or not isinstance(pairs, Iterable):
        raise InvalidMessage("headers", "must be a mapping, or pairs of name and value")
    for index, pair in enumerate(cast("Iterable[object]", pairs)):
        path = f"headers[{index}]"
        if not isinstance(pair, (tuple, list)) or len(cast("Sequence[object]", pair)) != 2:
            raise InvalidMessage(path, "must be a pair of name and value")
        name, value = cast("Sequence[object]", pair)
        name = _matched(path, name, _HEADER_NAME, "named by an HTTP token (RFC 9110 section 5.1)").lower()
        if name in _RESERVED or name.startswith("sec-websocket-"):
            raise InvalidMessage(path, "is a field of the opening handshake itself")
        if name in fields:
            raise InvalidMessage(path, "repeats a field: join the values with a comma")
        fields[name] = _matched(path, value, _HEADER_VALUE, "visible ASCII, with spaces only between words")
    return tuple(fields.items())


def check_target(value: object) -> None:
    """Check a request target."""
    _matched("target", value, _TARGET, "a path of visible ASCII that begins with '/', no fragment")


def check_port(value: object) -> None:
    """Check a TCP port."""
    if not isinstance(value, int) or not 0 < value < 65536:
        raise InvalidMessage("port", "must be 1 to 65535")


def check_host(value: object) -> None:
    """Check an ASCII name or an address."""
    if isinstance(value, str) and ":" in value:
        _ipv6(value, "host")
    else:
        _matched("host", value, _HOST, "an ASCII name or an address, in lower case")


def _ipv6(host: str, path: str) -> str:
    try:
        # A zone ("%eth0") has a meaning on one machine only and does not belong in a Host field.
        address = "" if "%" in host else str(IPv6Address(host))
    except ValueError:  # quotes the host, so the error is raised below, not chained to it
        address = ""
    if not address:
        raise InvalidMessage(path, "its host is not a valid IPv6 address")
    return address


def _ascii(host: str, path: str) -> str:
    # Of a short name in ASCII the codec would only check the length of the labels, in twenty times the time.
    encoded = host.lower() if host.isascii() and len(host) < 64 else _idna(host)
    if _HOST.fullmatch(encoded) is None:
        raise InvalidMessage(path, "its host is not a valid name, IPv4 address or bracketed IPv6 address")
    return encoded


def _idna(host: str) -> str:
    """A host name as the codec writes it; empty if it cannot."""
    try:
        # The codec takes quadratic time.
        return host.encode("idna").decode("ascii").lower() if len(host) <= 253 else ""
    except UnicodeError:  # quotes the host too
        return ""


@fast_define(kw_only=True)
class Url:
    """The parts of a URL that an endpoint needs.

    Attributes:
        scheme: In lower case, one of `SECURE`.
        host: ASCII in lower case; IPv6 without brackets.
        port: The default of the scheme if the URL has none.
        path: At least ``/``.
        query: With its question mark, or empty; may contain credentials.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str = attrs.field(repr=False)


def split_url(path: str, url: object) -> Url:
    """Parse a URL. ``urlsplit()`` does not do: it drops CR and LF silently, and its errors quote the URL.

    Args:
        path: Name of the argument, for errors.
        url: URL with the scheme ``ws``, ``wss``, ``http`` or ``https``.

    Raises:
        InvalidMessage: The scheme is another one, or the URL has user info, a fragment or characters that a request
            does not allow.
    """
    if not isinstance(url, str) or _UNFIT.search(url):
        raise InvalidMessage(path, "must be a URL without spaces, line breaks or control characters")
    if "@" in url.partition("://")[2].partition("/")[0].partition("?")[0]:
        raise InvalidMessage(path, "has user info: pass credentials as arguments or headers")
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
    """The base URL, by default the host of the service; it may have a path prefix but no query."""
    base = split_url("base_url", f"wss://{host}" if base_url is None else base_url)
    if base.query:
        raise InvalidMessage("base_url", "has a query: pass a complete URL to Endpoint.custom()")
    return base


def mtls_host(host: str) -> str:
    """The mTLS twin of a Google host; ``.rep.`` hosts and other hosts have none (wire.md#urls)."""
    if ".rep." not in host and ".mtls." not in host:
        for domain in ("sandbox.googleapis.com", "googleapis.com"):
            if host.endswith(f".{domain}"):
                return f"{host.removesuffix(domain)}mtls.{domain}"
    return host


def vertex_host(location: str | None) -> str:
    """The host of a location (wire.md#urls); None is express mode."""
    if location is None or location == "global":
        return "aiplatform.googleapis.com"
    location_id(location)
    if location in _MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"
