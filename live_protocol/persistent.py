"""PersistentConnection: one session over as many connections as it takes, with the surface of `LiveConnection`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, Self, TypeAlias, final

import attrs

from live_protocol import _endings, commands
from live_protocol import events as ev
from live_protocol._continuation import send_encoded, take_over
from live_protocol._outbound import ClientOutbound
from live_protocol._shape import activity_signal, client_member, is_manual
from live_protocol._tables import ActivityInput, LinkState, Phase, TurnState
from live_protocol.closing import CloseInfo
from live_protocol.codec import Codec
from live_protocol.connection import LiveConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import (
    AlreadyClosed,
    ConnectionClosing,
    IllegalInState,
    InvalidMessage,
    LiveProtocolError,
    NotConnected,
    TransportFailed,
)
from live_protocol.events import Event, LossReason, Need, ReconnectReason
from live_protocol.handshake import HandshakeRequest
from live_protocol.limits import Limits
from live_protocol.link import Wants, WebSocketLink
from live_protocol.messages import (
    ActivityStart,
    Backend,
    FunctionCall,
    LiveClientContextUpdate,
    LiveClientMessage,
    LiveClientRealtimeInput,
    LiveClientSetup,
    LiveClientToolResponse,
    SessionResumptionConfig,
)
from live_protocol.outbox import Entry, Outbox, Tally
from live_protocol.reconnect import (
    Dial,
    Gap,
    GiveUp,
    LateResults,
    ReconnectPolicy,
    Reconnector,
    system_random,
)
from live_protocol.resumption import Resumption
from live_protocol.session import LiveSession
from live_protocol.snapshot import Snapshot, setup_digest
from live_protocol.timing import Timeouts
from live_protocol.toolcalls import ToolCalls
from live_protocol.usage import Usage
from live_protocol.verbs import ClientVerbs

__all__ = ["DialRequest", "EndpointSource", "PersistentConnection"]

EndpointSource: TypeAlias = Endpoint | Callable[[], Endpoint]
"""An endpoint, or what makes one for each dial, for example with a fresh access token."""

_IDLE: Final = Wants(read=False, write=False, half_close=False, close=False)
_WRITE: Final = Wants(read=False, write=True, half_close=False, close=False)
_CLOSE: Final = Wants(read=False, write=False, half_close=False, close=True)
_HELD: Final = (ev.Failed, ev.Rejected)
_ACTIVITY_START: Final = LiveClientMessage(realtime_input=LiveClientRealtimeInput(activity_start=ActivityStart()))


@final
@attrs.frozen(kw_only=True)
class DialRequest:
    """Open a transport now.

    Attributes:
        endpoint: Where.
        epoch: Number that the connection will have, from 1.
        attempt: Which try in a row it is; 0 for the first connection of all.
    """

    endpoint: Endpoint
    epoch: int
    attempt: int


@attrs.frozen(kw_only=True)
class _Settings:
    """What every connection of the session is made with."""

    codec: Codec
    limits: Limits
    timeouts: Timeouts
    compression: bool
    strict: bool
    entropy: Callable[[int], bytes]


@final
class PersistentConnection(ClientVerbs):
    """One session as a pure state machine that outlives its connections (wire.md section 10).

    It has the surface of `LiveConnection` and is driven in the same way, with one thing more: where `dial` is not
    None, close the transport in hand, if there is one, open another one to that endpoint, and call `dialled` or
    `dial_failed`; the first connection is made in the same way. ``wants.close`` between two connections means the
    transport in hand; the session is over when ``state`` is CLOSED.

    Where a connection ends, `Reconnecting` stands in place of `Failed` and `ConnectionClosed`, which come once, at the
    very end. Each further `SetupComplete` is followed by `Reconnected`, and every loss of input is an `InputLost`.
    Generations, token counts and tool calls go on across connections.

    What counts as lost: nothing is lost that was never handed out by `data_to_send`; it goes out on the next
    connection, unless the gap policy drops it. In transparent mode nothing else is lost either. Otherwise the server
    never says what it has, so everything handed out after the newest handle, or less than
    ``ReconnectPolicy.in_flight`` before it came, is reported as `LossReason.UNCONFIRMED` when the connection breaks. Where the session cannot be resumed,
    all it had is reported as `LossReason.NEW_SESSION`.

    Before the first `SetupComplete` commands raise `IllegalInState`; between connections they follow
    ``ReconnectPolicy.gap``. Besides what the commands of `LiveSession` raise, they raise `NotConnected` where the policy
    keeps no (more) input, `ConnectionClosing` once `close` was called and `AlreadyClosed` after the end; on raise
    nothing was sent and nothing has changed.
    """

    __slots__ = (
        "_away",
        "_calls",
        "_checks",
        "_closing",
        "_config",
        "_connection",
        "_context",
        "_decision",
        "_end_info",
        "_endpoint",
        "_epoch",
        "_gap_losses",
        "_handle",
        "_held",
        "_link",
        "_mark",
        "_muted",
        "_now",
        "_outbox",
        "_queue",
        "_reconnector",
        "_request",
        "_session",
        "_settings",
        "_setup",
        "_source",
        "_started",
        "_window_open",
    )

    def __init__(
        self,
        source: EndpointSource,
        setup: LiveClientSetup,
        endpoint: Endpoint,
        policy: ReconnectPolicy,
        settings: _Settings,
        jitter: Callable[[], float],
        snapshot: Snapshot | None = None,
    ) -> None:
        """Use `client` or `restore` instead."""
        resumption = setup.session_resumption
        handle = resumption.handle if resumption is not None else None
        if snapshot is not None:
            handle = snapshot.handle
        self._source = source
        self._config = _without_handle(setup)
        self._setup = self._config
        self._settings = settings
        self._endpoint: Endpoint | None = endpoint
        self._reconnector = Reconnector(policy, jitter=jitter, handle=handle, accepted=snapshot is not None)
        self._calls = ToolCalls(settings.codec.backend, foreign=handle is not None and snapshot is None)
        manual = is_manual(setup)
        self._checks = ClientOutbound(settings.codec, settings.limits, self._calls, manual=manual, admit=self._admit)
        transparent = bool(resumption is not None and resumption.transparent)
        self._outbox = Outbox(transparent=transparent, max_sent=policy.outbox_bytes)
        self._queue: deque[Event] = deque()
        self._held: list[Event] = []
        self._gap_losses: dict[LossReason, Tally] = {}
        self._now: float | None = None
        self._epoch = 0
        self._started = False  # setup was completed once
        self._away = True  # input has to wait
        self._closing = False
        self._muted = False  # what the last connection would still write must not leave
        self._end_info: CloseInfo | None = None
        self._context: LiveClientContextUpdate | None = None
        self._mark: tuple[int, float] | None = None
        self._window_open = False
        self._media = False
        generation, usage = 0, Usage()
        if snapshot is not None:
            generation, usage = snapshot.generation, snapshot.usage
            self._restore(snapshot)
        self._decision: Dial | None = Dial(at=float("-inf"), delay=0.0, handle=handle, attempt=0, reason=ReconnectReason.DROPPED)
        self._request: DialRequest | None = None
        self._connect(endpoint, handle, generation, usage, Resumption(handle=handle))
