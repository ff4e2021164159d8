"""MessageConnection: one connection over a WebSocket that another library runs: facts in, events and actions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, Unpack, final

from live_protocol.connection.base import BaseConnection, client_session
from live_protocol.connection.options import ConnectionOptions, ConnectionSettings, SessionOptions
from live_protocol.endpoint import Endpoint
from live_protocol.errors import LiveProtocolError
from live_protocol.session.requests import ConfigInput, build_setup
from live_protocol.websocket.external_link import (
    MessageLink,
    WebSocketAction,
)


@final
class MessageConnection(BaseConnection[MessageLink]):
    """One connection as a pure state machine over whole messages, for a WebSocket that another library runs.

    It is `LiveConnection` without the frames: the same requests, facts, events, deadlines of opening, setup, stall and
    close, and the same `CloseInfo`. Pings, their deadlines and compression are the WebSocket library's.

    Build one with `client` or `server`, then for each thing that happens: tell the time with `advance`, report it with
    `connected`, `rejected` or `requested`, `receive_message` and `closed`, do what `next_action` says until it says
    nothing, take events until there are none, look at `wants` and at `next_deadline`. ``wants.read`` means that there
    is room for messages, ``wants.close`` that the WebSocket is over, in order or not, and is to be dropped.
    """

    __slots__ = ()

    @classmethod
    def client(
        cls,
        endpoint: Endpoint,
        config: ConfigInput | None = None,
        **options: Unpack[SessionOptions],
    ) -> Self:
        """The client's end. Setup follows `connected` by itself.

        Args:
            endpoint: Where the WebSocket leads, for the dialect and the names of models; nothing is dialed.
            config: `LiveConnectConfig`, a dict in its shape, or a whole `LiveClientSetup`.
            **options: See `SessionOptions`.

        Raises:
            InvalidMessage: The service would refuse the setup. Nothing was made.
            MessageTooLarge: The setup is over ``Limits.max_send``. Nothing was made.
        """
        settings = ConnectionSettings.read(SessionOptions, options)
        setup = build_setup(endpoint, config, settings.model)
        link = _link(settings, client=True)
        return cls(link, client_session(settings, setup, endpoint.backend, link.core.deadlines))

    @classmethod
    def server(cls, **options: Unpack[ConnectionOptions]) -> Self:
        """The server's end. `requested` makes its first event, `UpgradeRequested`; answer with `accept` or `reject`.

        Args:
            **options: See `ConnectionOptions`.
        """
        settings = ConnectionSettings.read(ConnectionOptions, options, strict=True)
        return cls(_link(settings, client=False), settings)

    # --- inputs -------------------------------------------------------------------------------------------------

    def connected(self, headers: Sequence[tuple[str, str]] = (), *, compression: bool = False) -> None:
        """Client role: the WebSocket is open. Setup is the first message that `next_action` gives.

        Args:
            headers: Header fields of the server's response, if they are known.
            compression: Whether permessage-deflate was agreed on, for the `Connected` event.

        Raises:
            IllegalInState: It was reported before, or this is the server's end. Nothing has changed.
            AlreadyClosed: The attempt was given up meanwhile: drop the WebSocket. Nothing has changed.
        """
        self._link.connected(headers, compression=compression)
        self._begin()

    def rejected(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None:
        """Client role: the server refused the upgrade, and the connection has ended.

        `UpgradeRejected`, `ConnectionFailed` with a `HandshakeFailed`, and `ConnectionClosed` follow, which says
        whether to try again. Where there was no answer at all, report `transport_failed`.

        Args:
            status: HTTP status of the response.
            headers: Its header fields, if they are known.
            body: Its body; cut at ``Limits.max_body``.

        Raises:
            IllegalInState: The WebSocket was reported as open, or this is the server's end. Nothing has changed.
            AlreadyClosed: The attempt was given up or has failed before. Nothing has changed.
        """
        self._link.rejected(status, headers, body)

    def requested(self, target: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Server role: a client asks for a WebSocket.

        Args:
            target: Path and query.
            headers: Header fields of the request.

        Raises:
            IllegalInState: It was reported before, or this is the client's end. Nothing has changed.
            AlreadyClosed: The attempt was given up meanwhile. Nothing has changed.
        """
        self._link.requested(target, headers)

    def receive_message(self, data: bytes | bytearray | memoryview | str) -> None:
        """Hand over one whole message, text or binary; limits are dealt with at once, the message itself later.

        Raises:
            IllegalInState: There is no WebSocket yet. Nothing has changed.
            TypeError: It is neither text nor a buffer of bytes.
        """
        if not isinstance(data, (bytes, str)):
            data = bytes(memoryview(data))
        self._link.receive_message(data)

    def closed(self, code: int = 1006, reason: str = "") -> None:
        """The WebSocket is over; idempotent.

        Args:
            code: Code of the peer's close frame, also where it only answered ours; 1005 for a close frame without a
                code, 1006 without a close frame.
            reason: Its reason.
        """
        self._link.closed(code, reason)

    def fail(self, error: LiveProtocolError) -> None:
        """The WebSocket library found a fault of the peer, or its pings were not answered; `closed` is to follow.

        What came before is delivered first. Once the end is known, the call changes nothing.

        Args:
            error: The fault. Until `closed` is called, `next_action` returns the close frame for it.
        """
        self._link.broken(error)

    # --- outputs ------------------------------------------------------------------------------------------------

    def next_action(self) -> WebSocketAction | None:
        """The next thing to do with the WebSocket, in order; it counts as done.

        Returns:
            A message to send (a client sends it as text, a server as binary), `AcceptUpgrade`, `RefuseUpgrade`,
            `CloseWebSocket`, or None if there is nothing to do.
        """
        return self._link.next_action()


def _link(settings: ConnectionSettings, *, client: bool) -> MessageLink:
    return MessageLink(client=client, limits=settings.limits, timeouts=settings.timeouts, observer=settings.observer)
