"""Live sessions on asyncio and uvloop: `connect` for the client's end, `serve` for the server's.

The transport calls the state machine directly: no task, no queue and no second buffer stand between them. Begin reading
in `live_transports.asyncio.driver`.
"""

from live_transports.asyncio.client import LiveClientSession, connect
from live_transports.asyncio.server import LiveServer, LiveServerSession, serve
from live_transports.asyncio.tools import ToolRunner
from live_transports.shared.proxy import Proxy, ProxyFailed

__all__ = [
    "LiveClientSession",
    "LiveServer",
    "LiveServerSession",
    "Proxy",
    "ProxyFailed",
    "ToolRunner",
    "connect",
    "serve",
]
