"""Dialing with another library, under our errors: what it raises can hold the request, and with it the API key."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Generator
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, final

from live_protocol.endpoint import Endpoint
from live_protocol.errors import DeadlineExpired, HandshakeFailed, LiveProtocolError, TransportFailed
from live_protocol.timing import Deadline, Timeouts
from live_transports.shared.dialing import DialPlan, step_failed

T = TypeVar("T")

_LIBRARIES: Final = ("websockets", "aiohttp", "picows")


def dialing(connecting: Awaitable[T], endpoint: Endpoint, *, timeouts: Timeouts | None = None) -> Dialing[T]:
    """Dial with ``websockets``, ``aiohttp`` or ``picows``, and fail as `live_transports.asyncio.connect` does.

    Use it in ``async with``, which ends the WebSocket too, or ``await`` it. Either gives what the library gives. ::

        async with (
            bridges.dialing(websockets.connect(**bridges.websockets_arguments(endpoint)), endpoint) as connection,
            bridges.over_websockets(connection, endpoint, model="gemini-3.8-live") as session,
        ):
            ...

    The library's own exceptions can hold the whole request, credentials and all (those of ``aiohttp`` show it in their
    ``repr``), so none of them is kept, except an `OSError` as the cause.

    Args:
        connecting: What ``websockets.connect()``, ``ClientSession.ws_connect()`` or ``picows.ws_connect()`` gives;
            nothing has been awaited yet.
        endpoint: Where it leads, for messages.
        timeouts: ``Timeouts.open`` bounds name, TCP, TLS and upgrade together; the defaults if left out.

    Raises:
        HandshakeFailed: The server refused the upgrade, with status, headers and body; or it is no WebSocket server.
            ``aiohttp`` does not show the body, ``picows`` only what came together with the end of the headers.
        TransportFailed: Name, TCP or TLS failed, or the connection ended before there was a WebSocket.
        DeadlineExpired: It took too long. In each case there is no WebSocket, and nothing to close.
    """
    return Dialing(connecting, endpoint, timeouts or Timeouts())


@final
class Dialing(Generic[T]):
    """The dial that `dialing` returns, for one use."""

    __slots__ = ("_after", "_block", "_connecting", "_endpoint", "_opened")

    def __init__(self, connecting: Awaitable[T], endpoint: Endpoint, timeouts: Timeouts) -> None:
        """Use `dialing` instead."""
        self._connecting = connecting
        self._endpoint = endpoint
        self._after = timeouts.open
        self._block: Any = connecting if hasattr(connecting, "__aexit__") else None
        self._opened: Any = None

    def __await__(self) -> Generator[Any, None, T]:
        """Dial."""
        return self._dial(self._connecting).__await__()

    async def __aenter__(self) -> T:
        """Dial, and end the WebSocket at the end of the block."""
        opened: T = await self._dial(self._connecting if self._block is None else self._block.__aenter__())
        self._opened = opened
        return opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the library's own block; ``picows``, which has none, is disconnected."""
        if self._block is not None:
            await self._block.__aexit__(kind, error, trace)
        else:
            transport, _ = self._opened
            transport.disconnect(graceful=False)

    async def _dial(self, connecting: Awaitable[T]) -> T:
        failure: LiveProtocolError | None
        try:
            async with asyncio.timeout(self._after):
                opened = await connecting
        except Exception as error:
            failure = _typed(error, self._endpoint, self._after or 0.0)
            if failure is None:
                raise
        else:
            # picows takes the end of TCP for the end of the upgrade
            if not isinstance(opened, tuple) or opened[0].response is not None:
                return opened
            failure = _ended(self._endpoint)
        raise failure  # here, so that what the library raised is not its context


def _typed(error: Exception, endpoint: Endpoint, after: float) -> LiveProtocolError | None:
    """What a library's exception means; None where it is no failure to connect."""
    cause: BaseException = error
    if type(error).__module__.startswith("aiohttp"):  # it wraps them
        cause = getattr(error, "os_error", None) or (error.__cause__ if isinstance(error.__cause__, OSError) else error)
    name = f"{endpoint.host}:{endpoint.port}"
    if isinstance(cause, ssl.SSLError | ssl.CertificateError):
        return step_failed(Deadline.TLS, cause, _dial(endpoint))
    if isinstance(cause, TimeoutError) and not cause.errno:
        return DeadlineExpired(Deadline.OPEN, after, f"no WebSocket was opened with {name}")
    if isinstance(cause, ConnectionResetError | BrokenPipeError):
        failed = _ended(endpoint)
        failed.__cause__ = cause
        return failed
    if isinstance(cause, OSError):
        return step_failed(Deadline.DIAL, cause, _dial(endpoint))
    library = type(error).__module__.partition(".")[0]
    if library not in _LIBRARIES:
        return None
    if type(error).__name__ == "ServerDisconnectedError" or isinstance(error.__cause__, EOFError):
        return _ended(endpoint)
    return _refusal(error) or HandshakeFailed(f"the other end is not a WebSocket server, according to {library}")


def _ended(endpoint: Endpoint) -> TransportFailed:
    where = "TLS handshake or the upgrade" if endpoint.secure else "opening handshake"
    return TransportFailed(f"the connection to {endpoint.host}:{endpoint.port} ended during the {where}")


def _dial(endpoint: Endpoint) -> DialPlan:
    return DialPlan(host=endpoint.host, port=endpoint.port, tls=None, server_hostname=endpoint.host, timeout=None)


def _refusal(error: Exception) -> HandshakeFailed | None:
    """The HTTP response that refused, as each library shows it."""
    response: Any = getattr(error, "response", None)
    body = getattr(error, "raw_body", None) or getattr(response, "body", None) or b""
    status: int | None
    headers: Any
    if response is None:  # aiohttp; of what is no HTTP it says 400, in an error of another class
        status = getattr(error, "status", None) if type(error).__name__ == "WSServerHandshakeError" else None
        headers = getattr(error, "headers", None) or {}
    else:
        status = getattr(response, "status_code", None) or int(getattr(response, "status", 0) or 0)
        headers = response.headers
    if not status or status == 101:
        return None
    fields = headers.raw_items() if hasattr(headers, "raw_items") else headers.items()
    return HandshakeFailed(
        f"the server refused the upgrade with HTTP {status}",
        status=status,
        headers=[(str(field).lower(), value) for field, value in fields],
        body=bytes(body),
    )
