"""Live sessions over the WebSocket of ``websockets``, ``aiohttp``, ``picows``, or an ASGI server.

Client role: dial with the library and put a session on top. Each library is needed only where it is used. `dialing` is
for errors of ours in place of the library's, which can show the API key. ::

    endpoint = Endpoint.gemini(api_key=key)
    dial = websockets.connect(**bridges.websockets_arguments(endpoint))
    async with (
        bridges.dialing(dial, endpoint) as connection,
        bridges.over_websockets(connection, endpoint, model="gemini-3.8-live") as session,
    ):
        ...

Server role: `asgi_app` makes an application that a server runs or a framework mounts. ::

    app = bridges.asgi_app(connection_factory=Emulator().message_connection)

A session is used exactly as one of `live_transports.asyncio`: one stream of events, typed errors, `CloseInfo`, sends
that put a message on the wire whole. What the layer below makes of it is another library's, and that much is weaker:

- Pings, their deadlines and latency are the library's; `PingReceived` and `PongReceived` do not occur.
- Bounds on frames and on the opening handshake are the library's; ``Limits`` sees only whole messages.
- A close frame is the library's to write and to wait for; `Timeouts.close` bounds it, then the connection is dropped.
- Compression is agreed on by the library. There is no reconnecting.
- Under ASGI the client's answer to our close frame is not told, hypercorn reports every end of a client as a lost
  connection (1006), an abrupt end is what the server makes of an application that returns, and a refused upgrade
  carries status and body only where the server offers ``websocket.http.response``; otherwise it is a 403.

Back-pressure: a send returns at once while at most 64 KiB wait for the library; above that it waits until no more than
16 KiB do. The session's writing task waits in the library's own send, so a slow peer is felt as soon as the library's
buffers are full (``picows``: the transport's); the ``websockets-sansio`` of older uvicorn takes in everything. In the
other direction the session asks for messages until more than ``Limits.max_buffered_in`` bytes are unread; then the
library keeps what its own bounds allow, and stops reading.

A request's query can hold credentials, and uvicorn logs it with the path: clients do better to send them in headers.
"""

from live_transports.bridges.aiohttp import aiohttp_arguments, over_aiohttp
from live_transports.bridges.asgi import AsgiApp, LiveServerSession, asgi_app
from live_transports.bridges.client import LiveClientSession
from live_transports.bridges.dialing import Dialing, dialing
from live_transports.bridges.picows import over_picows, picows_arguments, picows_listener
from live_transports.bridges.websockets import over_websockets, websockets_arguments

__all__ = [
    "AsgiApp",
    "Dialing",
    "LiveClientSession",
    "LiveServerSession",
    "aiohttp_arguments",
    "asgi_app",
    "dialing",
    "over_aiohttp",
    "over_picows",
    "over_websockets",
    "picows_arguments",
    "picows_listener",
    "websockets_arguments",
]
