"""LiveConnection: bytes in, events out, commands in, bytes out. The WebSocket link and the Live session, joined."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Self, final

from live_protocol.codec.codec import Codec
from live_protocol.connection.base import BaseConnection
from live_protocol.endpoint import Endpoint
from live_protocol.limits import Limits
from live_protocol.messages import Backend
from live_protocol.session import requests as commands
from live_protocol.session.live_session import LiveSession
from live_protocol.session.profiles import ModelProfile
from live_protocol.timing import Timeouts
from live_protocol.websocket.handshake import HandshakeRequest
from live_protocol.websocket.link import Observer, WebSocketLink

__all__ = ["LiveConnection"]


@final
class LiveConnection(BaseConnection[WebSocketLink]):
    """One connection as a pure state machine.

    Inputs never raise for what the peer did, outputs are taken by whoever owns the transport, commands check
    everything before they change anything. Build one with `client` or `server`, then for each thing that happens:
    tell the time with `advance`, hand over what arrived with `receive_data` or `receive_eof`, send what
    `data_to_send` gives, take events until None, look at `wants` and at `next_deadline`.

    Every command raises `IllegalInState` while the handshake is under way, `ConnectionClosing` once closing has begun
    and `AlreadyClosed` after the end, besides what the same command of `LiveSession` raises; on raise nothing was
    sent and nothing has changed.
    """

    __slots__ = ()

    @classmethod
    def client(
        cls,
        endpoint: Endpoint,
        config: commands.ConfigInput | None = None,
        *,
        model: str | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        codec: Codec | None = None,
        compression: bool = False,
        strict: bool = False,
        entropy: Callable[[int], bytes] = os.urandom,
        observer: Observer | None = None,
        profile: ModelProfile | None = None,
    ) -> Self:
        """The client's end. The upgrade request waits in `data_to_send`; setup follows the upgrade by itself.

        Args:
            endpoint: Where, with which credentials, in which dialect.
            config: `LiveConnectConfig`, a dict in its shape, or a whole `LiveClientSetup`.
            model: The model; needed unless ``config`` is a setup that names it.
            limits: Bounds; the defaults if left out.
            timeouts: Durations; the defaults if left out.
            codec: Dialect, if not the endpoint's.
            compression: Whether to offer permessage-deflate (RFC 7692).
            strict: End the connection at the first server message that is unknown, undecodable or out of place,
                instead of reporting it; for tests.
            entropy: Source of the handshake's key and the frames' masks.
            observer: Told of everything that passes, for example a `live_protocol.recording.Recorder`.
            profile: What the model is known to refuse, where that shall be refused here; see `live_protocol.session`.

        Raises:
            InvalidMessage: The service would refuse the setup, or a header cannot be sent. Nothing was made.
            MessageTooLarge: The setup is over ``Limits.max_send``.
        """
        limits, timeouts = limits or Limits(), timeouts or Timeouts()
        chosen = codec or Codec(endpoint.backend, max_depth=limits.max_json_depth)
        setup = commands.build_setup(endpoint, config, model)
        request = HandshakeRequest(host=endpoint.host_header, target=endpoint.target, headers=endpoint.headers)
        link = WebSocketLink.client(
            request, limits=limits, timeouts=timeouts, compression=compression, entropy=entropy, observer=observer
        )

        def make_session(_: Backend) -> LiveSession:
            return LiveSession.client(
                setup, codec=chosen, limits=limits, timeouts=timeouts, strict=strict, profile=profile
            )

        return cls(link, make_session, endpoint.backend, client=True)

    @classmethod
    def server(
        cls,
        *,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        codec: Codec | None = None,
        compression: bool = False,
        strict: bool = True,
        observer: Observer | None = None,
    ) -> Self:
        """The server's end. Its first event is `UpgradeRequested`, to be answered with `accept` or `reject`.

        Args:
            limits: Bounds; the defaults if left out.
            timeouts: Durations; the defaults if left out.
            codec: Dialect; the one that the requested path belongs to if left out.
            compression: Whether to accept permessage-deflate.
            strict: End the connection as the service does when a client message is unknown, undecodable or out of
                place; otherwise report it as a flagged event.
            observer: As for `client`.
        """
        limits, timeouts = limits or Limits(), timeouts or Timeouts()
        link = WebSocketLink.server(limits=limits, timeouts=timeouts, compression=compression, observer=observer)

        def make_session(backend: Backend) -> LiveSession:
            chosen = codec or Codec(backend, max_depth=limits.max_json_depth)
            return LiveSession.server(codec=chosen, limits=limits, timeouts=timeouts, strict=strict)

        return cls(link, make_session, Backend.GEMINI, client=False)

    # --- inputs -------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Hand over bytes that arrived. Frames, pings, closes and limits are dealt with at once, messages later."""
        self._link.receive_data(data)
        self._begin()

    def receive_eof(self) -> None:
        """The peer sends no more bytes; idempotent."""
        self._link.receive_eof()

    # --- outputs ------------------------------------------------------------------------------------------------

    def data_to_send(self) -> bytes:
        """All bytes that wait to be written, in order; ``b""`` where none do. They count as written."""
        return self._link.data_to_send()
