"""Real ASGI servers, in the loop of the test. They get a socket that listens already, so nobody waits for them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

Running = Callable[..., AbstractAsyncContextManager[int]]
"""Runs an application, ``run(app, tls=context)`` over TLS; gives the port."""


def _uvicorn(websocket: str) -> Running:
    uvicorn = pytest.importorskip("uvicorn")
    pytest.importorskip("wsproto" if websocket == "wsproto" else "websockets")

    @asynccontextmanager
    async def run(app: Any, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the older implementation, about itself
                config = uvicorn.Config(app, ws=websocket, log_config=None, lifespan="on", timeout_graceful_shutdown=2)
                config.load()
                config.ssl = tls
            server = uvicorn.Server(config)
            task = asyncio.create_task(server.serve([sock]))
            try:
                yield sock.getsockname()[1]
            finally:
                server.should_exit = True
                await task

    return run


def _hypercorn() -> Running:
    serving = pytest.importorskip("hypercorn.asyncio")
    configuring = pytest.importorskip("hypercorn.config")

    @asynccontextmanager
    async def run(app: Any, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        sock = socket.create_server(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        config = configuring.Config()
        config.bind = [f"fd://{sock.detach()}"]
        if tls is not None:
            config.certfile = config.keyfile = "of the context"
            config.create_ssl_context = lambda: tls
        config.accesslog = config.errorlog = None
        config.graceful_timeout = 2
        over = asyncio.Event()
        task = asyncio.create_task(serving.serve(app, config, shutdown_trigger=over.wait))
        try:
            yield port
        finally:
            over.set()
            await task

    return run


SERVERS: dict[str, Callable[[], Running]] = {
    "uvicorn-websockets": lambda: _uvicorn("websockets-sansio"),
    "uvicorn-legacy": lambda: _uvicorn("websockets"),
    "uvicorn-wsproto": lambda: _uvicorn("wsproto"),
    "hypercorn": _hypercorn,
}
