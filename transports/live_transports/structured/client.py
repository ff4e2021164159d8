"""The client's end under structured concurrency: one dial, and a session from its first dial to its end."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from live_protocol.reconnect import EndpointSource
from live_protocol.session import ConfigInput
from live_protocol.timing import Deadline
from live_transports.shared.async_sessions import AsyncClientSession
from live_transports.shared.dialing import DialPlan, dial_expired, step_failed
from live_transports.shared.options import DialOptions, check_options
from live_transports.shared.reconnecting import Redialer, make_client
from live_transports.structured.driver import StreamDriver
from live_transports.structured.nursery import hosted
from live_transports.structured.runtime import ByteStream, Runtime, unwrapped

S = TypeVar("S", bound=AsyncClientSession)


async def _dial(
    runtime: Runtime, dial: DialPlan, local_addr: tuple[str, int] | None, stream: object | None
) -> ByteStream:
    """Connect, go through the proxy and shake hands, under one deadline. Errors name the step."""
    step, byte_stream = Deadline.DIAL, None
    with runtime.scope(deadline=math.inf if dial.timeout is None else runtime.now() + dial.timeout):
        try:
            hop = dial.hop
            byte_stream = (
                await runtime.connect(hop.host, hop.port, local_addr) if stream is None else runtime.wrap_stream(stream)
            )
            if dial.proxy is not None:
                step = Deadline.PROXY
                if hop.tls is not None:
                    await byte_stream.secure(hop.tls, hostname=hop.server_hostname)
                tunnel = dial.tunnel()
                await byte_stream.send_plain(tunnel.data_to_send())
                while not tunnel.receive_data(await byte_stream.receive_plain()):
                    pass
            if dial.tls is not None:
                step = Deadline.TLS
                await byte_stream.secure(dial.tls, hostname=dial.server_hostname)
        except BaseException as error:
            if byte_stream is not None:
                await byte_stream.drop()
            if isinstance(error, (OSError, ValueError, *runtime.broken)):
                cause = unwrapped(error)
                if not isinstance(cause, OSError | ValueError):
                    cause = ConnectionResetError()
                raise step_failed(step, cause, dial) from cause
            raise
        return byte_stream
    raise dial_expired(step, dial)


def connected(
    runtime: Runtime,
    cls: type[S],
    endpoint: EndpointSource,
    config: ConfigInput | None,
    options: DialOptions,
    *,
    stream: object | None,
) -> AbstractAsyncContextManager[S]:
    """The block of a ``connect()``: a client's session from its first dial to its end."""
    check_options(DialOptions, options)
    return _connected(runtime, cls, endpoint, config, options, stream=stream)


@asynccontextmanager
async def _connected(
    runtime: Runtime,
    cls: type[S],
    endpoint: EndpointSource,
    config: ConfigInput | None,
    options: DialOptions,
    *,
    stream: object | None,
) -> AsyncIterator[S]:
    client = make_client(endpoint, config, options, open_transport=None if stream is None else "stream")
    local_addr = options.get("local_addr")
    byte_stream: ByteStream | None = None
    if isinstance(client, Redialer):
        driver = StreamDriver(
            client.machine, runtime, redialer=client, open=lambda dial: _dial(runtime, dial, local_addr, None)
        )
    else:
        machine, dial = client
        driver = StreamDriver(machine, runtime)
        byte_stream = await _dial(runtime, dial, local_addr, stream)
    session = cls._create(driver.machine, driver)
    async with hosted(runtime, driver, byte_stream):
        await session._open()
        async with session:
            yield session
