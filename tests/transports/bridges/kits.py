"""The kits of the conformance suite for WebSockets of other libraries: they dial with the library, then bridge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from transports.bridges.servers import SERVERS
from transports.runtimes.kit.kit import AsyncioKit

from live_protocol import Endpoint
from live_protocol.connection import MessageConnection
from live_transports import bridges
from live_transports.bridges import AsgiApp, LiveClientSession
from live_transports.shared.steps import GEMINI_PATH

_FOR_THE_SESSION = ("model", "limits", "timeouts", "strict", "codec")


class BridgeKit(AsyncioKit):
    """One library."""

    library = ""
    dials: frozenset[str] = frozenset({"ssl", "compression"})
    pings = False

    def __init__(self) -> None:
        pytest.importorskip(self.library)
        super().__init__(self.library)

    def connect(self, endpoint: Endpoint, config: Any = None, **options: Any) -> AbstractAsyncContextManager[Any]:
        options.setdefault("model", "test")
        session = {name: options.pop(name) for name in _FOR_THE_SESSION if name in options}
        bounds = {name: session[name] for name in ("limits", "timeouts") if name in session}
        if options.pop("compression", False):
            options["compression"] = True
        if set(options) - self.dials:
            pytest.skip(f"the library dials: {sorted(options)}")
        return self._connect(endpoint, config, options, bounds, session)

    def _connect(
        self, endpoint: Endpoint, config: Any, dial: dict[str, Any], bounds: dict[str, Any], session: dict[str, Any]
    ) -> AbstractAsyncContextManager[LiveClientSession]:
        raise NotImplementedError


class WebsocketsKit(BridgeKit):
    library = "websockets"

    @asynccontextmanager
    async def _connect(
        self, endpoint: Endpoint, config: Any, dial: dict[str, Any], bounds: dict[str, Any], session: dict[str, Any]
    ) -> AsyncIterator[LiveClientSession]:
        from websockets.asyncio.client import connect

        arguments = bridges.websockets_arguments(endpoint, **bounds)
        if dial.get("ssl"):
            arguments["ssl"] = dial["ssl"]
        if "compression" in dial:
            arguments["compression"] = "deflate"
        async with (
            bridges.dialing(connect(**arguments), endpoint, timeouts=bounds.get("timeouts")) as connection,
            bridges.over_websockets(connection, endpoint, config, **session) as opened,
        ):
            yield opened


class AiohttpKit(BridgeKit):
    library = "aiohttp"

    @asynccontextmanager
    async def _connect(
        self, endpoint: Endpoint, config: Any, dial: dict[str, Any], bounds: dict[str, Any], session: dict[str, Any]
    ) -> AsyncIterator[LiveClientSession]:
        import aiohttp

        arguments = bridges.aiohttp_arguments(endpoint, **bounds)
        if dial.get("ssl"):
            arguments["ssl"] = dial["ssl"]
        if "compression" in dial:
            arguments["compress"] = 15
        async with (
            aiohttp.ClientSession() as http,
            bridges.dialing(http.ws_connect(**arguments), endpoint, timeouts=bounds.get("timeouts")) as websocket,
            bridges.over_aiohttp(websocket, endpoint, config, **session) as opened,
        ):
            yield opened


class PicowsKit(BridgeKit):
    library = "picows"
    dials = frozenset({"ssl"})

    @asynccontextmanager
    async def _connect(
        self, endpoint: Endpoint, config: Any, dial: dict[str, Any], bounds: dict[str, Any], session: dict[str, Any]
    ) -> AsyncIterator[LiveClientSession]:
        import picows

        arguments = bridges.picows_arguments(endpoint, **bounds)
        if dial.get("ssl"):
            arguments["ssl_context"] = dial["ssl"]
        async with (
            bridges.dialing(picows.ws_connect(**arguments), endpoint, timeouts=bounds.get("timeouts")) as (
                transport,
                listener,
            ),
            bridges.over_picows(transport, listener, endpoint, config, **session) as opened,
        ):
            yield opened


class AsgiServer:
    """What a kit's ``serve`` gives, as far as an ASGI server has it."""

    def __init__(self, app: AsgiApp, port: int, secure: bool) -> None:
        self.port = port
        self._app = app
        self._host = f"{'wss://localhost' if secure else 'ws://127.0.0.1'}:{port}"

    def url(self, *, path: str = GEMINI_PATH) -> str:
        return self._host + path

    async def close(self, code: int = 1001, reason: str = "") -> None:
        await self._app.aclose(code, reason)


class AsgiKit(AsyncioKit):
    """One ASGI server; the clients are ours."""

    pings = False
    machine = staticmethod(MessageConnection.server)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._run = SERVERS[name]()

    @asynccontextmanager
    async def serve(self, handler: Any, **options: Any) -> AsyncIterator[Any]:
        tls, compression = options.pop("ssl", None), options.pop("compression", False)
        if compression:
            pytest.skip("compression is the server's")
        app = bridges.asgi_app(handler, **options)

        async def server_hears(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
            except Exception as error:
                self.complaints.append({"exception": error})

        async with self._run(server_hears, tls=tls) as port:
            yield AsgiServer(app, port, tls is not None)


KITS = {kit.library: kit for kit in (WebsocketsKit, AiohttpKit, PicowsKit)}
