"""Runs recorded messages through the real state machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias, final

import attrs

from live_protocol.codec import Codec
from live_protocol.connection import LiveConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import (
    LocalProtocolError,
    RemoteProtocolError,
    StaleOperation,
)
from live_protocol.events import Event, UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.messages import Backend, LiveClientMessage, LiveClientSetup
from live_protocol.recording import TraceFrame
from live_protocol.session import LiveSession
from live_protocol.timing import Timeouts
from live_protocol.websocket import WebSocketLink

END: Final = "end of recording"
"""Reason of the close frame that a replay adds; recordings have none."""

# The pauses of a recording must not fire our deadlines.
_TIMELESS: Final = Timeouts(open=None, setup=None, ping_interval=None, ping_timeout=None, close=None, stall=None)


@final
@attrs.frozen
class ReplayError:
    """A recorded client message that our client refuses to send at this point.

    Attributes:
        what: The command, or ``setup``.
        error: The reason.
    """

    what: str
    error: LocalProtocolError | StaleOperation | RemoteProtocolError


@final
@attrs.frozen
class ReplayedEvent:
    """One step of a replay.

    Attributes:
        at: Seconds since the recording's first frame, or None if it has no times.
        sent: Whether it concerns a message of the client.
        what: The event or the refusal.
    """

    at: float | None
    sent: bool
    what: Event | ReplayError


_Setup: TypeAlias = LiveClientSetup | None


@final
class Replay:
    """A recorded session; iterate over it once.

    Server messages go through a server's `WebSocketLink`, as bytes into a client `LiveConnection`, which makes its
    events. Client messages are decoded by a `LiveSession` in the server role. The client sends them too, so that its
    table of tool calls is right.

    Args:
        frames: The recording.
        backend: The dialect; the default follows from the model's name.
        strict: Whether the client ends at the first message that is unknown, undecodable or out of place.
        limits: Limits of the client.
    """

    def __init__(
        self,
        frames: Sequence[TraceFrame],
        *,
        backend: Backend | None = None,
        strict: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self._frames = frames
        self._epoch = next((frame.at for frame in frames if frame.at is not None), None)
        self._now: float | None = None
        self._refused: list[ReplayedEvent] = []
        setup = self._recorded_setup()
        self._backend = backend or _dialect(setup)
        self._client = self._make_client(setup, strict=strict, limits=limits)
        largest = max((len(frame.data) for frame in frames), default=1) + 1024
        self._server = WebSocketLink.server(limits=Limits(max_send=largest, max_message=largest), timeouts=_TIMELESS)
        codec = Codec(self._backend)
        self._reader = LiveSession.server(codec=codec, timeouts=_TIMELESS, strict=False)

    def __iter__(self) -> Iterator[ReplayedEvent]:
        """Yield everything in order; the client's `ConnectionClosed` is always last."""
        yield from self._refused
        self._advance(0.0)
        yield from self._pump()
        mirrored = False
        for frame in self._frames:
            if frame.at is not None and self._epoch is not None:
                self._advance(frame.at - self._epoch)
            if not frame.sent:
                yield from self._from_server(frame)
            else:
                for event in self._from_client(frame):
                    yield ReplayedEvent(self._now, sent=True, what=event)
                    message = getattr(event, "message", None)
                    is_setup = isinstance(message, LiveClientMessage) and message.setup is not None
                    if is_setup and not mirrored:
                        mirrored = True  # the client sent its setup already
                    elif isinstance(message, LiveClientMessage) and getattr(event, "last", True):
                        yield from self._mirror(message)
        self._server.close(1000, END)
        yield from self._pump()
        self._client.receive_eof()
        yield from self._events()

    # --- inside -------------------------------------------------------------------------------------------------

    def _recorded_setup(self) -> _Setup:
        first = next((frame.data for frame in self._frames if frame.sent), None)
        if first is None:
            return None
        try:
            return Codec().decode_client(first).setup
        except RemoteProtocolError:
            return None  # the server role reports it

    def _make_client(self, setup: _Setup, *, strict: bool, limits: Limits | None) -> LiveConnection:
        endpoint = Endpoint.custom("ws://replay/", backend=self._backend)
        try:
            return LiveConnection.client(
                endpoint, setup, model=_model(setup), limits=limits, timeouts=_TIMELESS, strict=strict
            )
        except LocalProtocolError as error:
            self._refused.append(ReplayedEvent(None, sent=True, what=ReplayError("setup", error)))
        return LiveConnection.client(endpoint, model="replay", limits=limits, timeouts=_TIMELESS, strict=strict)

    def _advance(self, now: float) -> None:
        if self._epoch is not None:
            self._now = now if self._now is None else max(now, self._now)
        self._client.advance(now)
        self._server.advance(now)
        self._reader.advance(now)

    def _from_client(self, frame: TraceFrame) -> Iterable[Event]:
        self._reader.receive_message(frame.data)
        return list(self._reader.events())

    def _mirror(self, message: LiveClientMessage) -> Iterator[ReplayedEvent]:
        try:
            self._client.send(message)
        except (LocalProtocolError, StaleOperation) as error:
            yield ReplayedEvent(self._now, sent=True, what=ReplayError("send", error))
        yield from self._pump()

    def _from_server(self, frame: TraceFrame) -> Iterator[ReplayedEvent]:
        try:
            if frame.kind == "text":
                self._server.send_text(frame.data)
            else:
                self._server.send_binary(frame.data)
        except StaleOperation:
            return  # the client has ended the connection
        yield from self._pump()

    def _pump(self) -> Iterator[ReplayedEvent]:
        moving = True
        while moving:
            moving = False
            while (item := self._server.next_event()) is not None:
                if type(item) is UpgradeRequested:
                    self._server.accept()
            for source, target in ((self._client, self._server), (self._server, self._client)):
                if data := source.data_to_send():
                    target.receive_data(data)
                    moving = True
            yield from self._events()

    def _events(self) -> Iterator[ReplayedEvent]:
        for event in self._client.events():
            yield ReplayedEvent(self._now, sent=False, what=event)


def _model(setup: _Setup) -> str:
    return (setup and setup.model) or "replay"


def _dialect(setup: _Setup) -> Backend:
    return Backend.VERTEX if _model(setup).startswith(("projects/", "publishers/")) else Backend.GEMINI
