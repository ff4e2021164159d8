"""What every connection is made of: a link and a Live session, joined. Byte streams and whole messages differ above.

How it works. A connection holds no rule of the protocol; it carries things between its two halves, which know nothing
of each other:

- *In.* The link takes what arrives at once: frames, pings, closes, bounds. Whole messages wait on its queue.
  `next_event` takes one, lets the session read it, and gives the events it makes before it takes another, so that
  every fact of the session belongs to the event in hand. A link's own events pass between messages, in the order of
  the wire.
- *Out.* A command is checked by the session, then its text goes to the link in the same call: order of calls is order
  on the wire. A command that raises has changed nothing in either half.
- *Faults.* What the link finds wrong it reports by itself. What the session finds wrong becomes the link's outcome
  through ``fail``, so that there is one end, told once: `ConnectionFailed`, then `ConnectionClosed`, here completed
  with what only the session knows.
- *Time.* Link and session share one table of deadlines, the link's. `tick` moves the clock, `advance` also fires what
  is due: first the link's deadlines, then the session's, which are on hold while messages wait to be read.
- *Facts.* ``wants``, ``state`` and the like are kept by the half that changes them; the connection only points there
  (`forward`), so they are never stale and cost a driver no call.

Before the upgrade is accepted, a server's session has no dialect; accepting it makes the session that counts.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, Final, Generic, TypeVar, cast

import attrs

from live_protocol.close_info import CloseInfo
from live_protocol.connection.options import ConnectionSettings
from live_protocol.endpoint import match_target
from live_protocol.errors import AlreadyClosed, ConnectionClosing, IllegalInState
from live_protocol.events import ConnectionClosed, ConnectionFailed, Event, UpgradeRequested
from live_protocol.messages import Backend, FunctionCall, LiveClientMessage, LiveClientSetup, LiveServerMessage
from live_protocol.session.carried import CarriedState
from live_protocol.session.commands import ClientCommands
from live_protocol.session.live_session import LiveSession
from live_protocol.session.resumption import Resumption
from live_protocol.session.tool_calls import ToolCallTracker
from live_protocol.session.usage import Usage
from live_protocol.states import ConnectionState, Phase, TurnState
from live_protocol.timing import Deadlines
from live_protocol.websocket.external_link import MessageLink
from live_protocol.websocket.link import WebSocketLink
from live_protocol.websocket.link_core import LinkCore, Wants

_OPEN: Final = ConnectionState.OPEN

L = TypeVar("L", bound=WebSocketLink | MessageLink)


def forward(path: str, meaning: str) -> Any:
    """A read-only fact that an object inside keeps up to date; reading it runs no function of ours."""
    return property(operator.attrgetter(path), doc=meaning)


def client_session(
    settings: ConnectionSettings,
    setup: LiveClientSetup,
    backend: Backend,
    deadlines: Deadlines,
    carry: CarriedState | None = None,
) -> LiveSession:
    """The session of a client's connection, with its deadlines in the table given.

    Raises:
        InvalidMessage: The service would refuse the setup.
        MessageTooLarge: The setup is over ``Limits.max_send``.
    """
    return LiveSession.client(
        setup,
        codec=settings.codec_for(backend),
        limits=settings.limits,
        timeouts=settings.timeouts,
        strict=settings.strict,
        profile=settings.profile,
        deadlines=deadlines,
        carry=carry,
    )


def server_session(settings: ConnectionSettings, backend: Backend, deadlines: Deadlines) -> LiveSession:
    """The session of a server's connection, with its deadlines in the table given."""
    return LiveSession.server(
        codec=settings.codec_for(backend),
        limits=settings.limits,
        timeouts=settings.timeouts,
        strict=settings.strict,
        deadlines=deadlines,
    )


class JoinedHalves(ClientCommands, Generic[L]):
    """The two halves of a connection, for whatever carries things between them."""

    __slots__ = ("_core", "_deadlines", "_link", "_session")

    _core: LinkCore
    _deadlines: Deadlines
    _link: L
    _session: LiveSession

    def tick(self, now: float) -> None:
        """Tell the time and fire nothing: before commands, pulls of events and bytes that arrived.

        A deadline that has passed meanwhile stays due: bytes that waited to be read may still settle it.

        Args:
            now: As for `advance`.
        """
        deadlines = self._deadlines
        last = deadlines.now
        if last is None:
            deadlines.tick(now)
        elif now > last:
            deadlines.now = now

    def _report(self, info: CloseInfo) -> CloseInfo:
        """The end that the link reports, completed with what only the session knows; the session ends too."""
        session, deadlines = self._session, self._deadlines
        session.end()
        return attrs.evolve(
            info,
            phase=session.last_phase,
            age=None if deadlines.now is None or deadlines.started is None else deadlines.now - deadlines.started,
            last_frames=session.last_frames,
            pending_tool_calls=tuple(call.id or call.name or "" for call in session.pending_tool_calls),
        )


class BaseConnection(JoinedHalves[L]):
    """The surface that `LiveConnection` and `MessageConnection` have in common.

    Every command raises `IllegalInState` while the handshake is under way, `ConnectionClosing` once closing has begun
    and `AlreadyClosed` after the end, besides what the same command of `LiveSession` raises; on raise nothing was
    sent and nothing has changed.
    """

    __slots__ = ("_client", "_close_info", "_settings", "_target", "_unbegun")

    def __init__(self, link: L, session: LiveSession | ConnectionSettings) -> None:
        """Use ``client`` or ``server`` instead.

        Args:
            link: The WebSocket; its table of deadlines serves the whole connection.
            session: A client's session; in the server role what the session is made from, once the request has named
                the dialect.
        """
        self._link = link
        self._core = link.core
        self._deadlines = link.core.deadlines
        self._settings: ConnectionSettings | None = None
        if isinstance(session, ConnectionSettings):
            self._settings = session
            # It only has facts to give and waits for nothing. Accepting the upgrade makes the session that counts.
            none_due = Deadlines()
            none_due.end_session()
            session = server_session(session, Backend.GEMINI, none_due)
        self._session = session
        self._client = self._settings is None
        self._unbegun = self._client  # and setup is still to be sent
        self._target = ""
        self._close_info: CloseInfo | None = None

    def __repr__(self) -> str:
        role = "client" if self._client else "server"
        return f"<{type(self).__name__} {role} {self.state} {self.phase} turn={self.turn}>"

    # --- inputs -------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Tell the time and fire the deadlines that are due.

        Args:
            now: Reading of any monotonic clock, in seconds. A reading before the last one counts as the last one.
        """
        self._link.advance(now)
        self._session.advance(now)

    def transport_failed(self, error: BaseException | str) -> None:
        """The transport broke: reset, torn write, TLS failure. Only the kind of the error is kept."""
        self._link.transport_failed(error)

    # --- outputs ------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether `next_event` is worth a call; a message that waits may turn out to hold no event."""
        return bool(self._core.queue or self._session.ready)

    def next_event(self) -> Event | None:
        """The next event, or None if there is none yet."""
        session, link = self._session, self._link
        while True:
            if session.ready:
                event = session.ready.pop()
                if type(event) is not ConnectionFailed:
                    return event
                link.fail(event.error)
            item = link.next_event()
            if isinstance(item, (bytes, str)):
                if (chunk := session.read(item)) is not None:
                    return chunk
            elif type(item) is ConnectionClosed:
                return self._closed(item)
            else:
                if type(item) is UpgradeRequested:
                    self._target = item.target
                return item

    def events(self) -> Iterator[Event]:
        """Events until there is none; safe to abandon and to take up again."""
        while (event := self.next_event()) is not None:
            yield event

    def next_deadline(self) -> float | None:
        """Reading at which `advance` has something to do, at the latest; None where time alone changes nothing."""
        deadlines = self._deadlines
        return deadlines.earliest_of_link if deadlines.messages else deadlines.earliest

    # --- handshake, server role ---------------------------------------------------------------------------------

    def accept(self, headers: Sequence[tuple[str, str]] = (), *, backend: Backend | None = None) -> None:
        """Accept the upgrade.

        Args:
            headers: Header fields to add.
            backend: Dialect to speak; the one of the requested path if left out.

        Raises:
            IllegalInState: Nothing was requested, or it was answered.
            InvalidMessage: A header cannot be sent. In both cases nothing has changed.
        """
        self._link.accept(headers)
        if backend is None:
            route = match_target(self._target)
            backend = route.backend if route else Backend.GEMINI
        self._session = server_session(cast("ConnectionSettings", self._settings), backend, self._deadlines)

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None:
        """Refuse the upgrade with an HTTP response.

        Raises:
            IllegalInState: Nothing was requested, or it was answered.
            InvalidMessage: The status or a header cannot be sent. In both cases nothing has changed.
        """
        self._link.reject(status, headers, body)

    # --- commands -----------------------------------------------------------------------------------------------

    def send_setup_complete(self, session_id: str | None = None) -> None:
        """See `LiveSession.send_setup_complete`."""
        self._check_open("send_setup_complete")
        self._session.send_setup_complete(session_id)
        self._flush()

    def send(self, message: LiveClientMessage | LiveServerMessage) -> None:
        """See `LiveSession.send`."""
        self._check_open("send")
        self._session.send(message)
        self._flush()

    def send_encoded(self, kind: str, payload: bytes, *, awaiting: bool | None = None) -> int:
        """See `LiveSession.send_encoded`."""
        self._check_open("send_encoded")
        index = self._session.send_encoded(kind, payload, awaiting=awaiting)
        self._flush()
        return index

    def send_raw(self, data: bytes | str) -> None:
        """Send one WebSocket message as it is. The session does not see it, so no rule of the session applies.

        Args:
            data: `str` goes out as a text message, `bytes` as a binary one.

        Raises:
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
        """
        if isinstance(data, str):
            self._link.send_text(data.encode())
        else:
            self._link.send_binary(data)

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping; `PongReceived` answers it.

        Args:
            payload: Up to 125 bytes.

        Raises:
            InvalidMessage: The payload is longer.
        """
        self._link.ping(payload)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake; calling it again does nothing.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: At most 123 bytes of UTF-8.

        Raises:
            InvalidMessage: Code or reason may not be sent; nothing has changed.
        """
        self._link.close(code, reason)

    # --- facts --------------------------------------------------------------------------------------------------

    wants: Wants = forward("_core.wants", "What the transport should do now: read, write, half-close, close.")
    state: ConnectionState = forward("_core.state", "State of the WebSocket connection.")
    phase: Phase = forward("_session.phase", "How far the session has come.")
    turn: TurnState = forward("_session.turn", "Where the model is in its turn.")
    generation: int = forward("_session.generation", "Number of the newest generation, from 1; 0 before the first.")
    pending_tool_calls: tuple[FunctionCall, ...] = forward(
        "_session.pending_tool_calls", "Calls that await a response, oldest first."
    )
    tool_calls: ToolCallTracker = forward(
        "_session.tool_calls", "The table of calls, for what became of each: see `ToolCallTracker.get`."
    )
    resumption: Resumption = forward("_session.resumption", "How the session could be resumed.")
    usage: Usage = forward("_session.usage", "Tokens so far.")
    carried: CarriedState = forward("_session.carried", "See `LiveSession.carried`.")
    awaiting_answer: bool = forward("_session.awaiting_answer", "Whether an answer was requested and has not begun.")
    close_info: CloseInfo | None = forward("_close_info", "What the `ConnectionClosed` event said, None before it.")
    buffered_in: int = forward("_link.buffered_in", "Bytes received that no event has told of yet.")
    buffered_out: int = forward("_link.buffered_out", "Bytes that wait to be sent.")
    latency: float | None = forward("_link.latency", "Seconds the newest pong took, None before the first.")

    # --- inside -------------------------------------------------------------------------------------------------

    def _check_open(self, operation: str) -> None:
        state = self._core.state
        if state is ConnectionState.OPEN:
            return
        if state is ConnectionState.CONNECTING:
            raise IllegalInState(operation, "the opening handshake is under way", "wait for setup_complete")
        raise ConnectionClosing(operation) if state is ConnectionState.CLOSING else AlreadyClosed(operation)

    def _begin(self) -> None:
        """Client role: once the link is open, setup goes first."""
        if self._core.state is ConnectionState.OPEN:
            self._unbegun = False
            self._session.send_setup()
            self._flush()

    def _send_client(self, operation: str, message: LiveClientMessage) -> None:
        self._check_open(operation)
        self._session._send_client(operation, message)
        self._flush()

    def _send_pcm(self, audio: bytes | bytearray | memoryview, rate: int) -> None:
        if self._core.state is not _OPEN:
            self._check_open("send_realtime_input")
        self._link.send_text(self._session.encode_pcm(audio, rate))

    def _flush(self) -> None:
        outgoing = self._session.outgoing
        send = self._link.send_text if self._client else self._link.send_binary
        for payload in outgoing:
            send(payload)
        outgoing.clear()

    def _closed(self, event: ConnectionClosed) -> ConnectionClosed:
        self._close_info = self._report(event.info)
        return ConnectionClosed(info=self._close_info)
