"""The opening handshake (RFC 6455 section 4), both roles, within bounds; nothing of h11 leaves this module.

h11 reads and writes everything but two heads of a client: its request, and the plain 101 that nearly every server
answers with. Those take a tenth of the time without it.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, cast

import attrs
import h11

from live_protocol.errors import HandshakeFailed, InvalidMessage, LimitExceeded, RemoteProtocolError
from live_protocol.events import UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.websocket.compression import OFFER, DeflateParameters, accept_offer, read_response
from live_protocol.websocket.http11 import (
    RESERVED,
    TOKEN,
    Headers,
    HeadReader,
    check_headers,
    check_refusal,
    decode_headers,
    encode_headers,
    header_tokens,
    header_values,
    not_http,
    read_switching,
    scrubbed,
    tokens_of,
)

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_TARGET: Final = re.compile(r"/[!-~]*")
_HOST: Final = re.compile(r"[!-~]+")
_NOT_IN_HOST: Final = frozenset("/?#@\\")
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==")
_BODY_SLICE: Final = 64 * 1024
_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}

_HINTS: Final = {
    401: "The credential is missing, invalid or expired: renew it.",
    403: "The credential has no permission for this service or project.",
    404: "The path, the API version or the region's host is wrong.",
    426: "The other end wants another protocol than this WebSocket.",
    429: "Too many requests or connections: retry with backoff.",
    503: "The service is overloaded or restarting: retry with backoff.",
}


def refusal_hint(status: int) -> tuple[bool, str]:
    """Whether dialing again can help after a refused upgrade, and what to do about it (wire.md#http-failures)."""
    retryable = status in (408, 429) or status >= 500
    if 300 <= status <= 399:
        return retryable, "Redirects are not followed: connect to where the service lives."
    return retryable, _HINTS.get(status, "The service has a passing fault: retry with backoff." if retryable else "")


def _checked(headers: Headers) -> tuple[tuple[str, str], ...]:
    return check_headers(headers, RESERVED)


@attrs.frozen(kw_only=True)
class HandshakeRequest:
    """What a client asks for.

    Neither ``repr`` nor an error shows the query of the target or the value of a header: both carry credentials
    (wire.md#credentials).

    Attributes:
        host: Value of the Host field, with the port unless it is the scheme's own.
        target: Path and query, ASCII, percent-encoded, without a fragment.
        headers: More header fields, names in any case.

    Raises:
        InvalidMessage: From the constructor: a member cannot be sent as it is.
    """

    host: str
    target: str = attrs.field(repr=lambda target: repr(target.partition("?")[0]))
    headers: Headers = attrs.field(
        default=(), converter=_checked, repr=lambda headers: repr([name for name, _ in headers])
    )

    def __attrs_post_init__(self) -> None:
        host, target = cast("object", self.host), cast("object", self.target)
        if not isinstance(host, str) or not _HOST.fullmatch(host) or not _NOT_IN_HOST.isdisjoint(host):
            raise InvalidMessage("host", "must be a host name or address in ASCII, with an optional port")
        if not isinstance(target, str) or not _TARGET.fullmatch(target):
            raise InvalidMessage("target", "must begin with '/' and be printable ASCII; percent-encode the rest")
        if "#" in target:
            raise InvalidMessage("target", "must not have a fragment (RFC 6455 section 3)")


@attrs.frozen(kw_only=True)
class Upgraded:
    """The handshake succeeded.

    Attributes:
        headers: Header fields of the response, names in lower case.
        deflate_parameters: What was agreed on about compression.
        trailing: Bytes behind the handshake: the first frames.
    """

    headers: Headers
    deflate_parameters: DeflateParameters | None
    trailing: bytes


@attrs.frozen(kw_only=True)
class Refusal:
    """Server role: the request cannot be accepted.

    Attributes:
        status: HTTP status to answer with.
        error: What was wrong.
        headers: Header fields that belong to the status.
    """

    status: int
    error: RemoteProtocolError
    headers: Headers = ()


def _accept_token(key: str) -> str:
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


class ClientHandshake:
    """The client's side: one request, one outcome.

    h11 is needed only for a response that is no plain 101, so it is made when one comes.

    Attributes:
        request: The bytes to send.
    """

    __slots__ = ("_body", "_expected", "_head", "_http", "_limits", "_offered", "_refused", "request")

    def __init__(
        self, request: HandshakeRequest, *, limits: Limits, compression: bool, entropy: Callable[[int], bytes]
    ) -> None:
        key = binascii.b2a_base64(entropy(16), newline=False).decode("ascii")
        lines = [
            f"GET {request.target} HTTP/1.1",
            f"Host: {request.host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        if compression:
            lines.append(f"Sec-WebSocket-Extensions: {OFFER}")
        lines += [f"{name}: {value}" for name, value in request.headers]
        self.request: bytes = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self._offered = compression
        self._expected = _accept_token(key)
        self._limits = limits
        self._head = HeadReader(limits)
        self._body = bytearray()
        self._refused: h11.Response | None = None
        self._http: h11.Connection | None = None

    def receive(self, data: bytes) -> Upgraded | RemoteProtocolError | None:
        """Take bytes of the response.

        Args:
            data: At least one byte.

        Returns:
            The outcome, once; None while more bytes are needed. A refusal is a `HandshakeFailed` with its status.
        """
        if self._refused is not None:
            return self._receive_body(data)
        buffer = self._head.buffer
        buffer += data
        try:
            while buffer:
                if not buffer.startswith(b"HTTP/"[: len(buffer)]):
                    return HandshakeFailed(not_http(buffer[0], "answer"))
                head = self._head.take()
                if head is None:
                    return None
                headers = read_switching(head)
                if headers is not None:
                    return self._upgraded(headers, bytes(buffer))
                if self._http is None:
                    self._http = _requested()
                self._http.receive_data(head)
                event = self._http.next_event()
                if isinstance(event, h11.Response):
                    self._refused = event
                    return self._receive_body(bytes(buffer))
                if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                    if event.http_version != b"1.1":
                        return HandshakeFailed("the 101 response is not HTTP/1.1")
                    return self._upgraded(decode_headers(event.headers), bytes(buffer))
        except LimitExceeded as error:
            return error.with_traceback(None)  # which would keep the data alive
        except h11.RemoteProtocolError as error:
            return HandshakeFailed(scrubbed(error, "the response is not valid HTTP"))
        return None

    @property
    def waits(self) -> bool:
        """Whether the peer has to wait for us: never."""
        return False

    @property
    def held(self) -> int:
        """Bytes received and not yet used."""
        return len(self._head.buffer) + len(self._body)

    def eof_received(self) -> HandshakeFailed | None:
        """What is known when nothing more will come or be waited for: a refusal whose body is incomplete, or None."""
        refused = self._refused
        if refused is None:
            return None
        with memoryview(self._body) as body:
            content = bytes(body[: self._limits.max_body])
        return HandshakeFailed(
            f"the server refused the upgrade with HTTP {refused.status_code}",
            status=refused.status_code,
            headers=decode_headers(refused.headers),
            body=content,
        )

    def _receive_body(self, data: bytes) -> HandshakeFailed | None:
        """Keep the body of a refusal up to the bound; an endless or a broken one is cut, never an error of its own."""
        http = cast("h11.Connection", self._http)  # it has read the head
        try:
            for at in range(0, max(len(data), 1), _BODY_SLICE):
                if data:
                    http.receive_data(data[at : at + _BODY_SLICE])
                while isinstance(event := http.next_event(), h11.Data):
                    self._body += event.data
                if event is not h11.NEED_DATA or len(self._body) >= self._limits.max_body:
                    return self.eof_received()
        except h11.RemoteProtocolError:
            return self.eof_received()
        return None

    def _upgraded(self, headers: Headers, trailing: bytes) -> Upgraded | HandshakeFailed:
        """Hold a 101 against RFC 6455 section 4.1."""
        fields: dict[str, str] = {}
        for name, value in headers:
            fields[name] = f"{fields[name]},{value}" if name in fields else value
        if tokens_of(fields.get("upgrade", "")) != {"websocket"}:
            return HandshakeFailed("the 101 response does not upgrade to websocket")
        if "upgrade" not in tokens_of(fields.get("connection", "")):
            return HandshakeFailed("the 101 response lacks Connection: Upgrade")
        if fields.get("sec-websocket-accept") != self._expected:
            return HandshakeFailed("Sec-WebSocket-Accept is missing, given twice or does not match the key")
        if "sec-websocket-protocol" in fields:
            return HandshakeFailed("the server chose a subprotocol that was not offered")
        deflate_parameters = read_response(header_values(headers, "sec-websocket-extensions"), offered=self._offered)
        if isinstance(deflate_parameters, str):
            return HandshakeFailed(deflate_parameters)
        return Upgraded(headers=headers, deflate_parameters=deflate_parameters, trailing=trailing)


def _requested() -> h11.Connection:
    """A client's h11 that waits for the answer to an upgrade; all that it remembers of ours is that it was one."""
    http = h11.Connection(h11.CLIENT)
    headers = [("Host", "localhost"), ("Upgrade", "websocket"), ("Connection", "Upgrade")]
    http.send(h11.Request(method=b"GET", target="/", headers=encode_headers(headers)))
    http.send(h11.EndOfMessage())
    return http


class ServerHandshake:
    """The server's side: one request, one answer."""

    __slots__ = ("_compression", "_head", "_http", "_limits", "_pending")

    def __init__(self, *, limits: Limits, compression: bool) -> None:
        self._pending: UpgradeRequested | None = None
        self._limits = limits
        self._compression = compression
        self._head = HeadReader(limits)
        self._http = h11.Connection(h11.SERVER)

    @property
    def waits(self) -> bool:
        """Whether a request awaits `accept` or `refuse`."""
        return self._pending is not None

    @property
    def held(self) -> int:
        """Bytes received and not yet used."""
        return len(self._head.buffer)

    def receive(self, data: bytes) -> UpgradeRequested | Refusal | None:
        """Take bytes of the request, or, before the answer, of what follows it.

        Args:
            data: At least one byte.

        Returns:
            The request, once, or why it cannot be accepted; None while more bytes are needed.
        """
        buffer = self._head.buffer
        buffer += data
        if self._pending is not None:
            return self.overflow()
        if not TOKEN.fullmatch(chr(buffer[0])):
            return Refusal(status=400, error=HandshakeFailed(not_http(buffer[0], "request")))
        try:
            head = self._head.take()
            if head is None:
                return None
            self._http.receive_data(head)
            request = cast("h11.Request", self._http.next_event())  # a whole head is a request or an error
        except LimitExceeded as error:
            return Refusal(status=431, error=error.with_traceback(None))
        except h11.RemoteProtocolError as error:
            return Refusal(status=400, error=HandshakeFailed(scrubbed(error, "the request is not valid HTTP")))
        headers = decode_headers(request.headers)
        refusal = _check_request(request, headers)
        if refusal is not None:
            return refusal
        self._pending = UpgradeRequested(target=request.target.decode("ascii"), headers=headers)
        return self._pending

    def overflow(self) -> Refusal | None:
        """Whether too much came behind the request: a client waits for the answer first (RFC 6455 section 4.1)."""
        if len(self._head.buffer) <= self._limits.max_handshake:
            return None
        return Refusal(status=400, error=LimitExceeded("max_handshake", self._limits.max_handshake))

    def accept(self, headers: Headers = ()) -> tuple[bytes, Upgraded]:
        """Answer the request that waits with 101 (RFC 6455 section 4.2.2).

        Args:
            headers: More header fields of the response.

        Returns:
            The bytes to send, and what was agreed on.

        Raises:
            InvalidMessage: A header field cannot be sent; nothing has changed.
        """
        headers = check_headers(headers, RESERVED)
        request = cast("UpgradeRequested", self._pending)
        key = header_values(request.headers, "sec-websocket-key")[0]
        fields = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", _accept_token(key)),
        ]
        deflate_parameters = None
        if self._compression:
            deflate_parameters = accept_offer(header_values(request.headers, "sec-websocket-extensions"))
        if deflate_parameters is not None:
            fields.append(("Sec-WebSocket-Extensions", deflate_parameters.response()))
        fields += headers
        data = self._http.send(
            h11.InformationalResponse(status_code=101, reason=b"Switching Protocols", headers=encode_headers(fields))
        )
        trailing = bytes(self._head.buffer)
        self.discard()
        lower = tuple((name.lower(), value) for name, value in fields)
        return data or b"", Upgraded(headers=lower, deflate_parameters=deflate_parameters, trailing=trailing)

    def refuse(self, status: int, headers: Headers = (), body: bytes = b"") -> bytes:
        """Answer with anything but 101; possible at any time before `accept`, once.

        Args:
            status: HTTP status, 200 to 599.
            headers: Header fields; Connection and Content-Length are set here.
            body: The body; none goes with 204 and 304.

        Returns:
            The bytes to send.

        Raises:
            InvalidMessage: An argument cannot be sent; nothing has changed.
        """
        headers = check_refusal(status, headers, body)
        # RFC 9110 section 7.8: Upgrade is named in Connection wherever it is sent.
        upgrade = any(name.lower() == "upgrade" for name, _ in headers)
        fields = [("Connection", "close, Upgrade" if upgrade else "close"), *headers]
        if status not in (204, 304):
            fields.append(("Content-Length", str(len(body))))
        reason = _PHRASES.get(status, "").encode("ascii")
        head = self._http.send(h11.Response(status_code=status, reason=reason, headers=encode_headers(fields)))
        self.discard()
        return (head or b"") + body

    def discard(self) -> None:
        """Forget what was received and not used."""
        self._head.buffer.clear()


def _check_request(request: h11.Request, headers: Headers) -> Refusal | None:
    """Hold a request against RFC 6455 section 4.2.1; None if it may be accepted."""
    version = header_values(headers, "sec-websocket-version")
    keys = header_values(headers, "sec-websocket-key")
    status = 400
    more: Headers = ()
    if request.http_version != b"1.1":
        why = "the request is not HTTP/1.1"
    elif "websocket" not in header_tokens(headers, "upgrade"):
        status, more = 426, (("Upgrade", "websocket"),)
        why = "the request does not ask for a WebSocket"
    elif request.method != b"GET":
        status, more = 405, (("Allow", "GET"),)
        why = "the method of an upgrade must be GET"
    elif len(header_values(headers, "upgrade")) > 1:
        why = "Upgrade is given twice"
    elif "upgrade" not in header_tokens(headers, "connection"):
        why = "Connection: Upgrade is missing"
    elif not all(_HOST.fullmatch(host) for host in header_values(headers, "host")):
        why = "Host is empty or not ASCII"
    elif header_values(headers, "transfer-encoding") or any(
        length.strip("0") for length in header_values(headers, "content-length")
    ):
        why = "an upgrade must not have a body"
    elif len(version) != 1:
        why = "Sec-WebSocket-Version is missing or given twice"
    elif version[0] != "13":
        status, more = 426, (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))
        why = "the version of the WebSocket protocol is not 13"
    elif len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        why = "Sec-WebSocket-Key is missing, given twice or not 16 bytes of base64"
    else:
        return None
    return Refusal(status=status, error=HandshakeFailed(why), headers=more)
