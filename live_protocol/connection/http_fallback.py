"""Plain HTTP on the port of a WebSocket server: for the few REST calls around the Live API (wire.md#authentication)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, TypeVar, final

import attrs
import h11

from live_protocol.connection.protocols import ByteServerConnection
from live_protocol.connection.wrappers import ByteConnectionWrapper
from live_protocol.errors import LimitExceeded
from live_protocol.limits import Limits
from live_protocol.states import ConnectionState
from live_protocol.websocket.http11 import HeadReader, check_refusal, decode_headers, encode_headers

_UPGRADE: Final = b"GET "  # RFC 6455 section 4.1: the method of an upgrade


@final
@attrs.frozen(kw_only=True)
class HttpRequest:
    """A request that asks for no WebSocket.

    Attributes:
        method: Its method; `HttpFallback` takes a GET for an upgrade.
        target: Path and query; the query may hold credentials and stays out of ``repr``.
        headers: Header fields, names in lower case; out of ``repr`` for the same reason.
        body: Its whole body.
    """

    method: str
    target: str = attrs.field(repr=lambda target: repr(target.partition("?")[0]))
    headers: Sequence[tuple[str, str]] = attrs.field(default=(), repr=False)
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")


@final
@attrs.frozen(kw_only=True)
class HttpResponse:
    """The answer.

    Attributes:
        status: 200 to 599.
        headers: Header fields; Connection and Content-Length are added.
        body: The body; it may hold a credential.

    Raises:
        InvalidMessage: From the constructor: it cannot be sent.
    """

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")

    def __attrs_post_init__(self) -> None:
        check_refusal(self.status, self.headers, self.body)


HttpHandler: TypeAlias = Callable[[HttpRequest, float | None], HttpResponse]
"""Answers a request. Its second argument is the reading of the clock, None before the first one."""

M = TypeVar("M", bound=ByteServerConnection)


@final
class HttpFallback(ByteConnectionWrapper[M]):
    """Answers HTTP requests other than GET, and leaves all other connections to the machine inside.

    One request a connection. The machine inside sees a connection that was closed early: its `ConnectionClosed` comes
    without a `ConnectionFailed`.

    Args:
        machine: The server's machine.
        answer: Answers the requests; what it raises comes out of `receive_data`.
        limits: ``max_handshake`` and ``max_headers`` bound the head of a request, ``max_body`` its body.
    """

    def __init__(self, machine: M, answer: HttpHandler, *, limits: Limits | None = None) -> None:
        super().__init__(machine)
        self._answer = answer
        self._limits = limits or Limits()
        self._now: float | None = None
        self._begun = b""  # too little yet to tell what it is
        self._decided = False
        self._http: h11.Connection | None = None
        self._head = HeadReader(self._limits)
        self._request: h11.Request | None = None
        self._body = bytearray()

    def advance(self, now: float) -> None:
        """See `LiveConnection.advance`."""
        self._now = now
        super().advance(now)

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """See `LiveConnection.receive_data`."""
        if not self._decided:
            data = self._begun + data
            self._begun = b""
            if data != _UPGRADE and _UPGRADE.startswith(data):
                self._begun = data
                return
            self._decided = True
            # What begins otherwise, TLS for one, is no HTTP; the machine inside says so.
            if data[:1].isalpha() and not data.startswith(_UPGRADE):
                self._http = h11.Connection(h11.SERVER)
        if self._http is None:
            super().receive_data(data)
        elif self.machine.state is ConnectionState.CONNECTING:  # otherwise it was answered, or took too long
            self._receive(self._http, bytes(data))

    def _receive(self, http: h11.Connection, data: bytes) -> None:
        try:
            if self._request is None:
                self._head.buffer += data
                head = self._head.take()
                if head is None:
                    return
                data = head + self._head.buffer
                self._head.buffer.clear()
            http.receive_data(data)
            while True:
                event = http.next_event()
                if isinstance(event, h11.Request):
                    self._request = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > self._limits.max_body:
                        self._respond(http, HttpResponse(status=413))
                        return
                elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                    request = HttpRequest(
                        method=self._request.method.decode("ascii"),
                        target=self._request.target.decode("ascii"),
                        headers=decode_headers(self._request.headers),
                        body=bytes(self._body),
                    )
                    self._respond(http, self._answer(request, self._now))
                    return
                else:
                    return
        except LimitExceeded:
            self._head.buffer.clear()
            self._respond(http, HttpResponse(status=431))
        except h11.RemoteProtocolError:
            self._respond(http, HttpResponse(status=400))

    def _respond(self, http: h11.Connection, response: HttpResponse) -> None:
        fields = [("Connection", "close"), *response.headers, ("Content-Length", str(len(response.body)))]
        head = http.send(h11.Response(status_code=response.status, headers=encode_headers(fields)))
        bodiless = self._request is not None and self._request.method == b"HEAD"
        self._final_bytes = (head or b"") + (b"" if bodiless else response.body)
        self.machine.close()
        self.machine.data_to_send()  # its own answer, to a request that never came
