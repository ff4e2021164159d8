"""An emulator in this process, on a TCP port of the loopback interface."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from live_protocol.emulator import Emulator, EmulatorOptions
from live_protocol.endpoint import Endpoint
from live_transports import asyncio as live
from live_transports.cli.endpoint import api_key, emulator_endpoint


@asynccontextmanager
async def loopback(options: EmulatorOptions | None = None) -> AsyncIterator[Endpoint]:
    """Run an emulator for the duration of the block; yields its endpoint."""
    factory = Emulator(options=options).connection
    async with live.serve(None, "127.0.0.1", 0, connection_factory=factory) as server:
        yield emulator_endpoint(server.port)


@asynccontextmanager
async def reachable(endpoint: Endpoint | None, options: EmulatorOptions | None = None) -> AsyncIterator[Endpoint]:
    """Yield the endpoint, or that of a new emulator if there is none; standard error says so."""
    if endpoint is not None:
        yield endpoint
        return
    async with loopback(options) as emulated:
        why = "--emulator" if api_key() else "no key in the environment"
        sys.stderr.write(f"{why}: talking to an emulator at {emulated.url.split('/ws/')[0]}\n")
        yield emulated
