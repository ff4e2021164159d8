"""HTTP CONNECT (RFC 9110 section 9.3.6): which proxy, and the tunnel as a pure machine. No I/O in here."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import re
import ssl as tls
from typing import Final, final
from urllib.parse import unquote

import attrs
import h11

from live_protocol._urls import SECURE, check_host, check_port, credential, split_url
from live_protocol._version import __version__
from live_protocol.endpoint import Endpoint
from live_protocol.errors import InvalidMessage, LimitExceeded, TransportFailed
from live_protocol.limits import Limits
from live_protocol.websocket.http11 import HeadReader, decode_headers, encode_headers, not_http, scrubbed

ENVIRONMENT: Final = "environment"
"""The value of ``proxy=`` that asks for the variables of the environment."""

_LIMITS: Final = Limits(max_handshake=32 * 1024, max_body=16 * 1024)
_UNSENDABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_DELIMITERS: Final = frozenset("/?#")
_HINTS: Final = {
    403: "it does not allow this destination",
    407: "it wants other credentials: pass http://user:password@host:port",
    502: "it could not reach the destination",
    503: "it could not reach the destination",
    504: "it could not reach the destination",
}


class ProxyFailed(TransportFailed):
    """The proxy did not open the tunnel.

    Attributes:
        status: HTTP status of its refusal, None where it broke off or broke HTTP instead.
        headers: Header fields of the refusal, names in lower case.
        body: As much of the refusal's body as came along with its head.
    """

    def __init__(
        self, why: str, *, status: int | None = None, headers: tuple[tuple[str, str], ...] = (), body: bytes = b""
    ) -> None:
        super().__init__(f"the proxy did not open the tunnel: {why}")
        self.status = status
        self.headers = headers
        self.body = body


def authority(host: str, port: int) -> str:
    """Host and port, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# --- which proxy ------------------------------------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class Proxy:
    """An HTTP proxy that opens tunnels with CONNECT. Immutable; no text form of it shows credentials.

    Attributes:
        host: Name or address (no brackets), in lower case.
        port: TCP port.
        secure: Whether the proxy itself is spoken to over TLS.
        authorization: Value of ``Proxy-Authorization``.
        ssl: TLS context for a secure proxy; the default one if None.
    """

    host: str
    port: int
    secure: bool = False
    authorization: str | None = attrs.field(default=None, repr=lambda value: "None" if value is None else "<hidden>")
    ssl: tls.SSLContext | None = attrs.field(default=None, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        check_host(self.host)
        check_port(self.port)
        if self.authorization is not None:
            for word in self.authorization.split(" "):
                credential("authorization", word)
        if self.ssl is not None and not self.secure:
            raise InvalidMessage("ssl", "the proxy is http://; dial https:// or leave ssl out")

    @classmethod
    def parse(cls, url: str, *, ssl: tls.SSLContext | None = None) -> Proxy:
        """Take the usual notation.

        Args:
            url: ``http://user:password@host:port`` or ``https://...``; user and password percent-encoded, or left out.
                Without a scheme it is ``http://``.
            ssl: TLS context for an ``https://`` proxy.

        Raises:
            InvalidMessage: The URL is not a proxy's. The text never holds it.
        """
        if not isinstance(url, str):
            raise InvalidMessage("proxy", "must be a URL")
        scheme, sep, rest = url.partition("://")
        if not sep:
            scheme, rest = "http", url
        if scheme.lower() not in ("http", "https"):
            raise InvalidMessage("proxy", "must be http:// or https://; SOCKS and other schemes are not supported")
        user, at, rest = rest.rpartition("@")
        parts = split_url("proxy", f"{scheme}://{rest}")
        if parts.path != "/" or parts.query:
            raise InvalidMessage("proxy", "must end with the port; percent-encode user and password")
        return cls(
            host=parts.host,
            port=parts.port,
            secure=SECURE[parts.scheme],
            authorization=_basic(user) if at else None,
            ssl=ssl,
        )

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return authority(self.host, self.port)


def _basic(user_info: str) -> str:
    user, _, password = (unquote(part) for part in user_info.partition(":"))
    if not _DELIMITERS.isdisjoint(user_info):
        raise InvalidMessage("proxy", "percent-encode what delimits the parts of a URL in user and password")
    if ":" in user or _UNSENDABLE.search(user + password):
        raise InvalidMessage("proxy", "user and password must hold no control characters, the user no colon")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def from_environment(endpoint: Endpoint) -> Proxy | None:
    """The proxy that the environment names for an endpoint.

    ``https_proxy`` is for ``wss://``, ``http_proxy`` for ``ws://``, ``all_proxy`` for both, each also in upper case;
    ``no_proxy`` lists exceptions: hosts with all below them, addresses, networks, each with or without a port; or
    ``*`` for all.

    Raises:
        InvalidMessage: What is named there is no HTTP proxy.
    """
    # 20 ms, and few need it. getproxies() is not used: it asks the settings of macOS and Windows too.
    from urllib.request import getproxies_environment  # noqa: PLC0415

    proxies = {kind: value.strip() for kind, value in getproxies_environment().items()}
    url = proxies.get("https" if endpoint.secure else "http") or proxies.get("all")
    if not url or _is_excepted(endpoint.host, endpoint.port, proxies.get("no", "")):
        return None
    return Proxy.parse(url)


def _is_excepted(host: str, port: int, exceptions: str) -> bool:
    """Whether ``no_proxy`` names the host. urllib's ``proxy_bypass()`` knows no networks, no ``*.`` and no ``::1``."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    for entry in (part.strip().lower() for part in exceptions.split(",")):
        has_port = "]" in entry or entry.count(":") == 1  # an IPv6 address without brackets has none
        name = (entry.removesuffix(f":{port}") if has_port else entry).strip("[]")
        if name == "*":
            return True
        if address is not None:
            with contextlib.suppress(ValueError):
                if address in ipaddress.ip_network(name, strict=False):
                    return True
        elif (suffix := name.removeprefix("*").strip(".")) and f".{host.rstrip('.')}".endswith(f".{suffix}"):
            return True
    return False


def choose(proxy: Proxy | str | None, endpoint: Endpoint) -> Proxy | None:
    """What the parameter ``proxy`` of a ``connect()`` stands for.

    Raises:
        InvalidMessage: It stands for nothing that is spoken.
    """
    if proxy is None or isinstance(proxy, Proxy):
        return proxy
    return from_environment(endpoint) if proxy == ENVIRONMENT else Proxy.parse(proxy)


# --- the tunnel -------------------------------------------------------------------------------------------------


@final
class ConnectTunnel:
    """One CONNECT request and its answer, as a pure machine.

    Write what `data_to_send` gives, then hand over what arrives until `receive_data` says that the tunnel is open; what
    arrives from there on comes through it.

    Args:
        proxy: The proxy, for its credentials.
        host: Where the tunnel leads to.
        port: Its port.
    """

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        target = authority(host, port)
        fields = [("Host", target), ("User-Agent", f"live-protocol/{__version__}")]
        if proxy.authorization is not None:
            fields.append(("Proxy-Authorization", proxy.authorization))
        self._http = h11.Connection(h11.CLIENT)
        request = self._http.send(h11.Request(method=b"CONNECT", target=target, headers=encode_headers(fields)))
        self._http.send(h11.EndOfMessage())
        self._request = request or b""
        self._head = HeadReader(_LIMITS)

    def data_to_send(self) -> bytes:
        """The request, once."""
        request, self._request = self._request, b""
        return request

    def receive_data(self, data: bytes) -> bool:
        """Take bytes of the answer, or ``b""`` for its end.

        Returns:
            Whether the tunnel is open.

        Raises:
            ProxyFailed: It will not be.
        """
        buffer = self._head.buffer
        buffer += data
        if not data:
            raise ProxyFailed("it closed the connection")
        try:
            while buffer:
                if not buffer.startswith(b"HTTP/"[: len(buffer)]):
                    raise ProxyFailed(not_http(buffer[0], "answer"))
                head = self._head.take()
                if head is None:
                    return False
                self._http.receive_data(head)
                event = self._http.next_event()
                if isinstance(event, h11.Response):
                    return self._answered(event)
        except LimitExceeded as error:
            raise ProxyFailed(f"its answer exceeds the {error.which} of {error.limit}") from None
        except h11.RemoteProtocolError as error:
            raise ProxyFailed(scrubbed(error, "its answer is not valid HTTP")) from None
        return False

    def _answered(self, response: h11.Response) -> bool:
        status = response.status_code
        if 200 <= status <= 299:
            if self._head.buffer:
                # In TLS and in WebSocket the client speaks first, so these are not the server's.
                raise ProxyFailed("it sent more than an answer")
            return True
        hint = _HINTS.get(status)
        raise ProxyFailed(
            f"HTTP {status}" + (f"; {hint}" if hint else ""),
            status=status,
            headers=decode_headers(response.headers),
            body=bytes(self._head.buffer[: _LIMITS.max_body]),
        )
