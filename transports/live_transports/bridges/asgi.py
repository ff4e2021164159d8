"""The server's end under an ASGI server: an application for uvicorn, hypercorn, Starlette, FastAPI and their like."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias, Unpack, final
from urllib.parse import quote

from live_protocol.connection import (
    AcceptUpgrade,
    CloseWebSocket,
    ConnectionOptions,
    HttpHandler,
    HttpRequest,
    HttpResponse,
    MessageConnection,
    MessageServerConnection,
    RefuseUpgrade,
)
from live_protocol.errors import IllegalInState, InvalidMessage
from live_protocol.limits import Limits
from live_transports.bridges.client import start_close
from live_transports.bridges.driver import LOST, TaskDriver, WebSocket, WebSocketEnd
from live_transports.shared.async_sessions import AsyncServerSession, Handler, ProcessRequest, drain
from live_transports.shared.options import check_options
from live_transports.shared.steps import ServePlan, close_arguments

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HttpApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_REFUSAL: Final = "websocket.http.response"
_PATH_SAFE: Final = "/:@!$&'()*+,;=~-._"


@final
class LiveServerSession(AsyncServerSession):
    """The server's end of a live session under an ASGI server; `asgi_app` hands it to the handler.

    It is the session of `live_transports.asyncio`, except that `ping` raises `IllegalInState`: pings are the server's.
    """

    __slots__ = ("_scope",)

    def __init__(self, machine: MessageServerConnection, driver: TaskDriver, scope: Scope) -> None:
        super().__init__(machine, driver)
        self._scope = scope

    @property
    def scope(self) -> Mapping[str, Any]:
        """The ASGI connection scope: what middleware has left, the client's address. It holds credentials."""
        return self._scope


def asgi_app(
    handler: Handler[LiveServerSession] | None = None,
    *,
    process_request: ProcessRequest | None = None,
    connection_factory: Callable[[], MessageServerConnection] | None = None,
    http: HttpHandler | None = None,
    **options: Unpack[ConnectionOptions],
) -> AsgiApp:
    """An ASGI application that serves live sessions, under any server and inside any framework that runs on asyncio.

    Each connection runs ``handler(session)`` in the server's task for it, once the upgrade is accepted. When the
    handler returns, the connection is closed with 1000. When it raises, with 1011, and the exception goes on to the
    server and its middleware, unless it is only the connection's own end (the stream's error, or `StaleOperation`).

    Args:
        handler: Called with each `LiveServerSession`; None drains the events of a machine that drives itself.
        process_request: Called with each `UpgradeRequested`, whose target is relative to where the application is
            mounted; gives None to accept, or status, header fields and body to refuse with; may be a coroutine
            function. By default the paths of the service are accepted and others refused with 404.
        connection_factory: Makes the state machine of each connection in place of `MessageConnection.server`, for
            example ``Emulator().message_connection``; the options have no effect then. Unless ``process_request`` is
            given, that machine answers the upgrade itself, and the handler is called as soon as there is a connection;
            it must drain the events.
        http: Answers plain HTTP requests, as `live_protocol.connection.HttpFallback` has it, for example
            `live_protocol.emulator.token_service`; ``Limits.max_body`` bounds what they carry. What it raises goes
            on to the server. Without it they get 426.
        **options: See `ConnectionOptions`. The server has its own bounds for messages and requests, and its own pings.

    Raises:
        TypeError: There is no such option.
        InvalidMessage: Neither ``handler`` nor ``connection_factory`` was given.
    """
    check_options(ConnectionOptions, options)
    plan = ServePlan.make(
        handler,
        process_request,
        connection_factory,
        drain=drain,
        default_connection=lambda: MessageConnection.server(**options),
        timeouts=None,
    )
    return AsgiApp(plan, _upgrade_required if http is None else _http_app(http, options.get("limits") or Limits()))


@final
class AsgiApp:
    """The ASGI 3 application that `asgi_app` returns, for the scopes ``websocket``, ``http`` and ``lifespan``."""

    def __init__(self, plan: ServePlan, http: HttpApp) -> None:
        """Use `asgi_app` instead."""
        self._plan = plan
        self._http = http
        self._wires: set[TaskDriver] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the life of the server.

        Raises:
            IllegalInState: The server does not run on asyncio.
            InvalidMessage: The scope is of another type.
            Exception: What a handler raised.
        """
        match scope["type"]:
            case "websocket":
                await self._serve(scope, receive, send)
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._live(receive, send)
            case other:
                raise InvalidMessage("scope", f"must be websocket, http or lifespan, not {other}")

    async def aclose(self, code: int = 1001, reason: str = "") -> None:
        """Close every connection; the server's shutdown does so where it tells of it.

        Args:
            code: Close code; 1001 is "going away".
            reason: Close reason.

        Raises:
            InvalidMessage: Code or reason may not be sent.
        """
        await asyncio.gather(*(driver.close(code, reason) for driver in self._wires))

    # --- inside -------------------------------------------------------------------------------------------------

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            what = (await receive())["type"]
            if what == "lifespan.shutdown":
                await self.aclose()
            await send({"type": f"{what}.complete"})
            if what == "lifespan.shutdown":
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        machine = self._plan.connection_factory()
        try:
            driver = TaskDriver(machine, _WebSocket(scope, receive, send))
        except RuntimeError:
            raise IllegalInState("asgi_app", "no asyncio loop runs", "configure the server for asyncio") from None
        if (await receive())["type"] != "websocket.connect":
            return  # gone before it began
        session = LiveServerSession._create(machine, driver, scope)
        machine.requested(_target(scope), _headers(scope))
        self._wires.add(driver)
        driver.start()
        try:
            fault = await session._serve(self._plan)
        except asyncio.CancelledError:
            driver.abort()
            await driver.closed.wait()
            raise
        finally:
            self._wires.discard(driver)
        await driver.close(*close_arguments(fault))
        if fault is not None:
            raise fault


# --- plain HTTP ---------------------------------------------------------------------------------------------------


async def _upgrade_required(scope: Scope, receive: Receive, send: Send) -> None:
    headers = (("content-type", "text/plain; charset=utf-8"), ("upgrade", "websocket"))
    await _respond(HttpResponse(status=426, headers=headers, body=b"this is a WebSocket\n"), scope, send)


def _http_app(answer: HttpHandler, limits: Limits) -> HttpApp:
    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            body += message.get("body", b"")
            if len(body) > limits.max_body:
                await _respond(HttpResponse(status=413), scope, send)
                return
            more = message.get("more_body", False)
        request = HttpRequest(
            method=scope["method"], target=_target(scope), headers=tuple(_headers(scope)), body=bytes(body)
        )
        await _respond(answer(request, asyncio.get_running_loop().time()), scope, send)

    return front


async def _respond(response: HttpResponse, scope: Scope, send: Send) -> None:
    headers = [*_encoded(response.headers), (b"content-length", str(len(response.body)).encode())]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})


# --- the scope ----------------------------------------------------------------------------------------------------


def _headers(scope: Scope) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]


def _target(scope: Scope) -> str:
    """Path and query, without the path that the application is mounted at: some servers tell it, some strip it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    raw: bytes = scope.get("raw_path") or b""
    if root and (path + "/").startswith(root + "/"):
        path, raw = path[len(root) :], b""
    shown = raw.decode("latin-1") if raw else quote(path or "/", safe=_PATH_SAFE)
    query: str = scope.get("query_string", b"").decode("latin-1")
    return f"{shown}?{query}" if query else shown


class _WebSocket(WebSocket):
    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._can_refuse = _REFUSAL in (scope.get("extensions") or {})
        self._receive = receive
        self._send = send

    async def receive(self) -> bytes | str | WebSocketEnd:
        message = await self._receive()
        if message["type"] == "websocket.receive":
            data: bytes | None = message.get("bytes")
            text: str = message.get("text") or ""
            return text if data is None else data
        code = message.get("code", 1005)
        if code == 1005 and "reason" not in message:
            return LOST  # so says uvicorn where it lost the connection; of a close frame it tells the reason
        return WebSocketEnd(code=code, reason=message.get("reason") or "")

    async def send(self, message: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": message})

    async def close(self, code: int, reason: str) -> WebSocketEnd:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
        return WebSocketEnd(code=code)  # the server does not tell what the peer answered

    async def drop(self, close_frame: CloseWebSocket | None) -> None:
        await start_close(
            self.close, close_frame
        )  # without one, the server ends the WebSocket when the application returns

    async def accept(self, action: AcceptUpgrade) -> None:
        await self._send({"type": "websocket.accept", "headers": _encoded(action.headers)})

    async def refuse(self, action: RefuseUpgrade) -> None:
        if not self._can_refuse:
            await self._send({"type": "websocket.close"})  # the server makes a 403 of it
            return
        headers = [*_encoded(action.headers), (b"content-length", str(len(action.body)).encode())]
        await self._send({"type": f"{_REFUSAL}.start", "status": action.status, "headers": headers})
        await self._send({"type": f"{_REFUSAL}.body", "body": action.body})


def _encoded(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers]
