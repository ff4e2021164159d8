"""The sessions that users hold, over any async runtime: verbs, stream, closing. A runtime supplies an `AsyncWire`."""

from __future__ import annotations

import abc
from collections.abc import Callable, Coroutine, Generator, Iterable
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, final

from live_protocol import commands
from live_protocol._machine import LiveMachine
from live_protocol._tables import Phase, TurnState
from live_protocol.closing import CloseInfo
from live_protocol.errors import IllegalInState
from live_protocol.events import Event, Need, SetupComplete, UpgradeRequested
from live_protocol.messages import (
    FunctionCall,
    LiveClientMessage,
    LiveServerMessage,
    LiveServerSetupComplete,
)
from live_protocol.resumption import Resumption
from live_protocol.usage import Usage
from live_transports._driver import Core, Inbox, NoPublicConstructor, Response

__all__ = ["AsyncClientSession", "AsyncServerSession", "AsyncSession", "AsyncWire", "Opening"]

T = TypeVar("T")
M = TypeVar("M", bound=LiveClientMessage | LiveServerMessage)
K = TypeVar("K", bound=Core)
S = TypeVar("S")


class AsyncWire(abc.ABC):
    """One connection under one runtime: the machine, its transport and its timer."""

    inbox: Inbox[Any]

    @abc.abstractmethod
    def tick(self) -> None:
        """Tell the machine the time, before a command or a pull."""

    @abc.abstractmethod
    def settle(self) -> None:
        """The machine has changed: write, read on, close, arm the timer; or see to it that this happens."""

    @abc.abstractmethod
    async def room(self) -> None:
        """Wait until the transport takes more, first come first served.

        Raises:
            LiveProtocolError: The connection ended meanwhile.
        """

    @abc.abstractmethod
    async def arrival(self) -> None:
        """Wait until there may be events. One task at a time calls it; cancelling it loses nothing."""

    async def breathe(self) -> None:  # noqa: B027 - nothing is a way to do it
        """Before events are pulled: a checkpoint, where the runtime makes one of every operation."""

    @abc.abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Close in order and wait for the transport's end; on cancellation `abort`."""

    @abc.abstractmethod
    def abort(self) -> None:
        """End the transport at once."""


class AsyncSession(Generic[M, K], metaclass=NoPublicConstructor):
    """One end of one live session. ``async for event in session`` is everything that happens, to the very end.

    One task at a time receives; any number of tasks send. After a clean close the stream just ends; after an unclean
    one it gives `Failed` and `ConnectionClosed` and then raises the error.
    """

    __slots__ = ("_machine", "_receiving", "_wire")

    def __init__(self, machine: K, wire: AsyncWire) -> None:
        self._machine = machine
        self._wire = wire
        self._receiving = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._machine.state} {self._machine.phase}>"

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> K:
        """The state machine, for its facts; commands go through the session, which sends what they leave behind."""
        return self._machine

    @property
    def phase(self) -> Phase:
        """How far the session has come."""
        return self._machine.phase

    @property
    def close_info(self) -> CloseInfo | None:
        """How the connection ended; None before `ConnectionClosed` was received or `close` has returned."""
        return self._wire.inbox.info

    # --- receiving ----------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        """The session's one stream of events; loops can be left and entered again, nothing is lost in between."""
        return self

    async def __anext__(self) -> Event:
        """The next event; see the class for how the stream ends. Cancelling it loses nothing.

        Raises:
            StopAsyncIteration: The stream has ended in peace.
            IllegalInState: Another task is receiving. Nothing has changed.
            LiveProtocolError: The stream has ended otherwise: what `Failed` said, on every further call.
        """
        event = await self._take(self._wire.inbox.next_event)
        if event is None:
            raise StopAsyncIteration
        return event

    async def receive(self) -> M | None:
        """The next whole message, where events are too fine; cancelling it loses nothing.

        It reads the same stream as iteration and skips what is no message: the setup's acceptance, pings, suspicions.
        Of a message that iteration has begun it gives the whole.

        Returns:
            The message, or None after a clean close, on every further call too.

        Raises:
            InvalidJson, SchemaMismatch: The next message cannot be decoded; the session goes on with the one behind it.
            IllegalInState: Another task is receiving. Nothing has changed.
            LiveProtocolError: The connection ended otherwise, on every further call too: `ServerClosed`,
                `TransportFailed`, `DeadlineExpired`, `FrameViolation`, `LimitExceeded`.
        """
        message: M | None = await self._take(self._wire.inbox.next_message)
        return message

    async def _take(self, take: Callable[[], T | Literal[Need.DATA]]) -> T:
        if self._receiving:
            raise IllegalInState("receive", "another task receives", "let one task receive and hand on what it gets")
        self._receiving = True
        try:
            await self._wire.breathe()
            self._wire.tick()
            while (item := take()) is Need.DATA:
                await self._wire.arrival()
            return item
        finally:
            self._receiving = False

    async def _opened(self, kind: type[Event]) -> Event:
        """Wait for the event that opens the session; whatever comes up to it is the beginning of the stream."""
        found: Event = await self._take(lambda: self._wire.inbox.hold_until(kind) or Need.DATA)
        return found

    # --- sending ------------------------------------------------------------------------------------------------

    async def _sent(self) -> None:
        self._wire.settle()
        await self._wire.room()

    async def ping(self, payload: bytes = b"") -> None:
        """Send a ping; `PongReceived` answers it.

        Args:
            payload: Up to 125 bytes.

        Raises:
            InvalidMessage: The payload is longer. Nothing was sent.
            StaleOperation: The connection is closing or closed. Nothing was sent.
            LiveProtocolError: The connection ended while the ping waited for room.
        """
        self._wire.tick()
        self._ping(payload)
        await self._sent()

    @abc.abstractmethod
    def _ping(self, payload: bytes) -> None: ...

    # --- closing ------------------------------------------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order, and free the socket in any case.

        May be called more than once, from any task, and while another task receives: that one gets what had arrived
        and then the end. It takes ``Timeouts.close`` at most. Whether the peer agreed is in `close_info`. If cancelled,
        it ends the transport at once.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: At most 123 bytes of UTF-8.

        Raises:
            InvalidMessage: Code or reason may not be sent; nothing has changed.
        """
        await self._wire.close(code, reason)

    async def aclose(self) -> None:
        """`close`, under the name that `contextlib.aclosing` looks for."""
        await self._wire.close(1000, "")

    def abort(self) -> None:
        """End the connection at once. A close frame goes out if the transport takes it right now; nothing is awaited.

        A task that receives gets what had arrived and then the end.
        """
        self._wire.abort()

    async def __aenter__(self) -> Self:
        """The session itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """`close`; where the block is left by cancellation, which should not have to wait, `abort`."""
        if error is not None and not isinstance(error, Exception):
            self._wire.abort()
        else:
            await self._wire.close(1000, "")


class AsyncClientSession(AsyncSession[LiveServerMessage, LiveMachine[Any]]):
    """The client's end of a live session, under the names of the official AsyncSession.

    A send puts its message on the wire whole, or raises and has changed nothing. It then waits only while the transport
    is full; cancelling that wait takes nothing back. Messages leave in the order of the calls. Besides what is listed,
    every send raises `StaleOperation` if the connection is closing or closed (nothing was sent), and the connection's
    error if that ended while the message waited to leave.
    """

    __slots__ = ("_session_id",)

    def __init__(self, machine: LiveMachine[Any], wire: AsyncWire) -> None:
        super().__init__(machine, wire)
        self._session_id: str | None = None

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def session_id(self) -> str | None:
        """Id that the server gave the session; Vertex only."""
        return self._session_id

    @property
    def turn(self) -> TurnState:
        """Where the model is in its turn, as of the newest event received."""
        return self._machine.turn

    @property
    def pending_tool_calls(self) -> tuple[FunctionCall, ...]:
        """Calls that await a response, oldest first."""
        return self._machine.pending_tool_calls

    @property
    def resumption(self) -> Resumption:
        """How the session could be resumed."""
        return self._machine.resumption

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return self._machine.usage

    @property
    def latency(self) -> float | None:
        """Seconds the newest pong took, None before the first."""
        return self._machine.latency

    # --- verbs --------------------------------------------------------------------------------------------------

    async def send_client_content(self, turns: commands.Turns | None = None, *, turn_complete: bool = True) -> None:
        """Append turns to the history, in order; interrupts a running generation.

        Args:
            turns: `Content`, a dict of its fields, or a list of either; None with ``turn_complete`` means "go on".
            turn_complete: True: answer now. False: wait for more client content.

        Raises:
            InvalidMessage: With the path of what is wrong. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            LiveProtocolError: See the class.
        """
        self._wire.tick()
        self._machine.send_client_content(turns, turn_complete=turn_complete)
        await self._sent()

    async def send_realtime_input(
        self,
        *,
        audio: commands.AudioInput | None = None,
        rate: int | None = None,
        video: commands.MediaInput | None = None,
        text: str | None = None,
        activity_start: commands.Marker | None = None,
        activity_end: commands.Marker | None = None,
        audio_stream_end: bool | None = None,
    ) -> None:
        """Send one piece of live input; give exactly one of the members.

        Args:
            audio: Raw PCM bytes (16-bit signed little-endian, mono) with ``rate``, or a `Blob` whose MIME type has the
                rate. 20 to 100 ms a chunk is recommended.
            rate: Sample rate of raw ``audio`` in Hz; 16,000 is native. One rate for the whole session.
            video: One still image as a `Blob` with an ``image/`` type, about one a second.
            text: Text; counts as activity.
            activity_start: The user begins; only with automatic detection off.
            activity_end: The user is done; only with automatic detection off.
            audio_stream_end: The microphone pauses; only with automatic detection on.

        Raises:
            InvalidMessage: Not exactly one member, or one the service refuses. Nothing was sent.
            IllegalInState: The activity window forbids it. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            LiveProtocolError: See the class.
        """
        self._wire.tick()
        self._machine.send_realtime_input(
            audio=audio,
            rate=rate,
            video=video,
            text=text,
            activity_start=activity_start,
            activity_end=activity_end,
            audio_stream_end=audio_stream_end,
        )
        await self._sent()

    async def send_tool_response(self, function_responses: commands.Responses) -> None:
        """Answer one or several calls; a missing ``name`` is filled in from the call.

        Args:
            function_responses: `FunctionResponse`, a dict of its fields, or a list of either.

        Raises:
            InvalidMessage: None given, an id that is missing (Gemini) or unknown, or a field that does not fit.
            ToolCallWasCancelled: The server has cancelled one of the calls; safe to ignore.
            IllegalInState: A call was answered for good.
            MessageTooLarge: Over ``Limits.max_send``. In each case nothing was sent.
            LiveProtocolError: See the class.
        """
        self._wire.tick()
        self._machine.send_tool_response(function_responses)
        await self._sent()

    async def send_context_update(
        self,
        *,
        system_instruction: commands.ContentInput | str | None = None,
        tools: Iterable[commands.ToolInput] | None = None,
    ) -> None:
        """Replace instructions or tools in mid-session, where the model allows it.

        Args:
            system_instruction: New instructions; None leaves them.
            tools: The whole new list; ``[]`` removes all, None leaves them.

        Raises:
            InvalidMessage: Neither is given, or one does not fit. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            LiveProtocolError: See the class.
        """
        self._wire.tick()
        self._machine.send_context_update(system_instruction=system_instruction, tools=tools)
        await self._sent()

    async def send(self, message: LiveClientMessage) -> None:
        """Send a whole message, under the same rules as the other verbs.

        Args:
            message: With exactly one member.

        Raises:
            InvalidMessage: It has not exactly one member, or does not fit. Nothing was sent.
            IllegalInState: It has no place now, as a second setup has not. Nothing was sent.
            ToolCallWasCancelled: It answers a cancelled call. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            LiveProtocolError: See the class.
        """
        self._wire.tick()
        self._machine.send(message)
        await self._sent()

    def _ping(self, payload: bytes) -> None:
        self._machine.ping(payload)

    async def _open(self) -> None:
        event = await self._opened(SetupComplete)
        self._session_id = event.session_id if isinstance(event, SetupComplete) else None


class AsyncServerSession(AsyncSession[LiveClientMessage, Core]):
    """The server's end of a live session. Its stream begins with `UpgradeRequested`, which was answered already."""

    __slots__ = ("_request",)

    def __init__(self, machine: Core, wire: AsyncWire) -> None:
        super().__init__(machine, wire)
        self._request: UpgradeRequested | None = None

    @property
    def request(self) -> UpgradeRequested | None:
        """The upgrade that was accepted; None where the machine answers it itself."""
        return self._request

    async def send(self, message: LiveServerMessage) -> None:
        """Send a message, whole or not at all, then wait while the transport is full.

        Args:
            message: The message.

        Raises:
            InvalidMessage: It is no `LiveServerMessage`, or does not fit. Nothing was sent.
            IllegalInState: It has no place in this phase. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            StaleOperation: The connection is closing or closed. Nothing was sent.
            LiveProtocolError: The connection ended while the message waited to leave.
        """
        self._wire.tick()
        self._machine.send(message)
        await self._sent()

    async def send_setup_complete(self, session_id: str | None = None) -> None:
        """Accept the client's setup.

        Args:
            session_id: Id of the session; Vertex sends one.

        Raises:
            IllegalInState: No setup came, or it was accepted before. Nothing was sent.
            LiveProtocolError: As `send`.
        """
        await self.send(LiveServerMessage(setup_complete=LiveServerSetupComplete(session_id=session_id)))

    async def _requested(self) -> UpgradeRequested:
        event = await self._opened(UpgradeRequested)
        assert isinstance(event, UpgradeRequested)  # noqa: S101 - asked for
        self._request = event
        return event

    async def _answer(self, refusal: Response | None) -> bool:
        """Answer the upgrade; whether it was accepted."""
        self._wire.tick()
        if refusal is None:
            self._machine.accept()
        else:
            self._machine.reject(*refusal)
        self._wire.settle()
        return refusal is None

    def _ping(self, payload: bytes) -> None:
        if not isinstance(self._machine, LiveMachine):
            raise IllegalInState("ping", "the machine drives itself", "leave pings to its deadlines")
        self._machine.ping(payload)


@final
class Opening(Generic[S]):
    """Something to be opened: ``async with`` it, or ``await`` it and close what comes out. Each use opens anew."""

    __slots__ = ("_open", "_opened")

    def __init__(self, open: Callable[[], Coroutine[Any, Any, S]]) -> None:  # noqa: A002 - it is what it does
        self._open = open
        self._opened: list[Any] = []

    def __await__(self) -> Generator[Any, None, S]:
        """Open."""
        return self._open().__await__()

    async def __aenter__(self) -> S:
        """Open, to be closed at the end of the block."""
        opened = await self._open()
        self._opened.append(opened)
        return opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close as the session or server does it."""
        await self._opened.pop().__aexit__(kind, error, trace)
