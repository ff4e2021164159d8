"""Live sessions on blocking sockets and threads: `connect` for the client's end, `serve` for the server's.

Iterate in one thread, send from any others, close from anywhere. Each socket has a thread that looks after it while
nobody receives, so pings are answered and deadlines kept however long the application takes. A thread that receives
reads the socket itself, unless it is the main thread; to have many sessions on a core, receive in other threads.
"""

from live_transports.shared.proxy import Proxy, ProxyFailed
from live_transports.shared.timeouts import WaitTimeout
from live_transports.sync.client import LiveClientSession, connect
from live_transports.sync.server import LiveServer, LiveServerSession, serve
from live_transports.sync.tools import ToolRunner

__all__ = [
    "LiveClientSession",
    "LiveServer",
    "LiveServerSession",
    "Proxy",
    "ProxyFailed",
    "ToolRunner",
    "WaitTimeout",
    "connect",
    "serve",
]
