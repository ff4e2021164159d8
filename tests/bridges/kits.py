"""The kits of the conformance suite for WebSockets of other libraries: they dial with the library, then bridge."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from adapters.kit import AsyncioKit

from live_protocol import Endpoint
from live_transports import bridges
from live_transports.bridges import LiveClientSession

_FOR_THE_SESSION = ("model", "limits", "timeouts", "strict", "codec")


class BridgeKit(AsyncioKit):
    """One library."""

    library = ""

    def __init__(self) -> None:
        pytest.importorskip(self.library)
        super().__init__(self.library)

    def connect(self, endpoint: Endpoint, config: Any = None, **options: Any) -> AbstractAsyncContextManager[Any]:
        options.setdefault("model", "test")
        session = {name: options.pop(name) for name in _FOR_THE_SESSION if name in options}
        bounds = {name: session[name] for name in ("limits", "timeouts") if name in session}
        if not options.get("compression"):
            options.pop("compression", None)
        if set(options) - {"ssl"}:
            pytest.skip(f"the library dials: {sorted(options)}")
        return self._connect(endpoint, config, options.get("ssl"), bounds, session)

    def _connect(
        self, endpoint: Endpoint, config: Any, tls: Any, bounds: dict[str, Any], session: dict[str, Any]
    ) -> AbstractAsyncContextManager[LiveClientSession]:
        raise NotImplementedError


class WebsocketsKit(BridgeKit):
    library = "websockets"

    @asynccontextmanager
    async def _connect(
        self, endpoint: Endpoint, config: Any, tls: Any, bounds: dict[str, Any], session: dict[str, Any]
    ) -> AsyncIterator[LiveClientSession]:
        from websockets.asyncio.client import connect

        more = {} if tls is None else {"ssl": tls}
        async with (
            connect(**bridges.websockets_arguments(endpoint, **bounds), **more) as connection,
            bridges.over_websockets(connection, endpoint, config, **session) as opened,
        ):
            yield opened


class AiohttpKit(BridgeKit):
    library = "aiohttp"

    @asynccontextmanager
    async def _connect(
        self, endpoint: Endpoint, config: Any, tls: Any, bounds: dict[str, Any], session: dict[str, Any]
    ) -> AsyncIterator[LiveClientSession]:
        import aiohttp

        more = {} if tls is None else {"ssl": tls}
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(**bridges.aiohttp_arguments(endpoint, **bounds), **more) as websocket,
            bridges.over_aiohttp(websocket, endpoint, config, **session) as opened,
        ):
            yield opened


class PicowsKit(BridgeKit):
    library = "picows"

    @asynccontextmanager
    async def _connect(
        self, endpoint: Endpoint, config: Any, tls: Any, bounds: dict[str, Any], session: dict[str, Any]
    ) -> AsyncIterator[LiveClientSession]:
        import picows

        more = {} if tls is None else {"ssl_context": tls}
        arguments = bridges.picows_arguments(endpoint, **bounds)
        transport, listener = await picows.ws_connect(**arguments, **more)
        try:
            async with bridges.over_picows(transport, listener, endpoint, config, **session) as opened:
                yield opened
        finally:
            transport.disconnect(graceful=False)
            with contextlib.suppress(picows.WSError):
                await transport.wait_disconnected()


KITS = {kit.library: kit for kit in (WebsocketsKit, AiohttpKit, PicowsKit)}
