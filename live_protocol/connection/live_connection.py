"""LiveConnection: bytes in, events out, commands in, bytes out. The WebSocket link and the Live session, joined."""

from __future__ import annotations

from typing import Self, Unpack, final

from live_protocol.connection.base import BaseConnection, client_session
from live_protocol.connection.options import ConnectionSettings, ConnectOptions, ServeOptions
from live_protocol.endpoint import Endpoint
from live_protocol.events import Event
from live_protocol.session.carried import CarriedState
from live_protocol.session.requests import ConfigInput, build_setup
from live_protocol.states import ConnectionState
from live_protocol.websocket.handshake import HandshakeRequest
from live_protocol.websocket.link import WebSocketLink


@final
class LiveConnection(BaseConnection[WebSocketLink]):
    """One connection as a pure state machine.

    Inputs never raise for what the peer did, the owner of the transport takes outputs, commands check
    everything before they change anything. Build one with `client` or `server`, then for each thing that happens:
    tell the time with `advance`, hand over what arrived with `receive_data` or `receive_eof`, send what
    `data_to_send` gives, take events until there are none, look at `wants` and at `next_deadline`.

    Every command raises `IllegalInState` while the handshake is under way, `ConnectionClosing` once closing has begun
    and `AlreadyClosed` after the end, besides what the same command of `LiveSession` raises; on raise nothing was
    sent and nothing has changed.
    """

    __slots__ = ()

    @classmethod
    def client(
        cls,
        endpoint: Endpoint,
        config: ConfigInput | None = None,
        *,
        carry: CarriedState | None = None,
        **options: Unpack[ConnectOptions],
    ) -> Self:
        """The client's end. The upgrade request waits in `data_to_send`; setup follows the upgrade by itself.

        Args:
            endpoint: Where, with which credentials, in which dialect.
            config: `LiveConnectConfig`, a dict in its shape, or a whole `LiveClientSetup`.
            carry: See `LiveSession.client`.
            **options: See `ConnectOptions`.

        Raises:
            InvalidMessage: The service would refuse the setup, or a header cannot be sent. Nothing was made.
            MessageTooLarge: The setup is over ``Limits.max_send``. Nothing was made.
        """
        settings = ConnectionSettings.read(ConnectOptions, options)
        setup = build_setup(endpoint, config, settings.model)
        link = WebSocketLink.client(
            HandshakeRequest(host=endpoint.host_header, target=endpoint.target, headers=endpoint.headers),
            limits=settings.limits,
            timeouts=settings.timeouts,
            compression=settings.compression,
            entropy=settings.entropy,
            observer=settings.observer,
        )
        return cls(link, client_session(settings, setup, endpoint.backend, link.core.deadlines, carry))

    @classmethod
    def server(cls, **options: Unpack[ServeOptions]) -> Self:
        """The server's end. Its first event is `UpgradeRequested`, to be answered with `accept` or `reject`.

        Args:
            **options: See `ServeOptions`.
        """
        settings = ConnectionSettings.read(ServeOptions, options, strict=True)
        link = WebSocketLink.server(
            limits=settings.limits,
            timeouts=settings.timeouts,
            compression=settings.compression,
            observer=settings.observer,
        )
        return cls(link, settings)

    # --- inputs -------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Hand over bytes that arrived. Frames, pings, closes and limits are dealt with at once, messages later."""
        self._link.receive_data(data)
        if self._unbegun:
            self._begin()

    def receive_eof(self) -> None:
        """The peer sends no more bytes; idempotent."""
        self._link.receive_eof()

    def receive_event(self, data: bytes) -> Event | None:
        """`receive_data` and `next_event` in one, for a driver whose application waits for an event.

        A message that comes alone, as each does in real time, does not pass the queue.

        Returns:
            What `next_event` would return. There may be more.
        """
        session = self._session
        if session.ready or (payload := self._link.lone_message(data)) is None:
            self.receive_data(data)
        elif (chunk := session.read(payload)) is not None:
            return chunk
        return self.next_event()

    # --- outputs ------------------------------------------------------------------------------------------------

    def data_to_send(self) -> bytes:
        """All bytes that wait to be written, in order, or ``b""``. They count as written."""
        return self._link.data_to_send()

    def pcm_to_send(self, audio: bytes, rate: int) -> bytes:
        """`send_realtime_input` and `data_to_send` in one, for a driver whose transport has room.

        Args:
            audio: As for `send_realtime_input`.
            rate: Likewise, in Hz.

        Returns:
            All bytes that wait to be written, in order. They count as written.

        Raises:
            InvalidMessage, IllegalInState, MessageTooLarge, AlreadyClosed: As for `send_realtime_input`; nothing was
                taken either.
        """
        if self._core.state is not ConnectionState.OPEN:
            self._check_open("send_realtime_input")
        return self._link.text_to_send(self._session.encode_pcm(audio, rate))
