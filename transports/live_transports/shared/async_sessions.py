"""The sessions that users hold, over any async runtime: their facts and commands."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias, TypeVar

from live_protocol.connection import ServerConnection
from live_protocol.connection.base import BaseConnection
from live_protocol.errors import IllegalInState
from live_protocol.events import Event, SetupComplete, UpgradeRequested
from live_protocol.messages import (
    FunctionCall,
    LiveClientMessage,
    LiveServerMessage,
    LiveServerSetupComplete,
)
from live_protocol.reconnect import PersistentConnection, Snapshot
from live_protocol.session import Resumption, Usage, requests
from live_protocol.states import Phase, TurnState
from live_transports.shared.async_session import AsyncDriver, AsyncSession
from live_transports.shared.reconnecting import ClientConnection, reconnecting
from live_transports.shared.steps import Response, ServePlan, handler_fault
from live_transports.shared.turns import MAX_AUDIO, Turn, make_collector

S = TypeVar("S", bound="AsyncServerSession")
Handler: TypeAlias = Callable[[S], Awaitable[object]]
"""What a server runs with each session."""
ProcessRequest: TypeAlias = Callable[[UpgradeRequested], Awaitable[Response | None] | Response | None]
"""Answers a request for an upgrade: None accepts it."""


class AsyncClientSession(AsyncSession[LiveServerMessage, ClientConnection]):
    """The client's end of a live session, under the names of the official AsyncSession.

    A send puts its message on the wire whole, or raises and has changed nothing. It then waits only while the transport
    is full; cancelling that wait takes nothing back. Messages leave in the order of the calls. Besides what is listed,
    every send raises `StaleOperation` if the connection is closing or closed (nothing was sent), and the connection's
    error if that ended while the message waited to leave.

    Where it reconnects, all of this holds across connections: between two of them a message waits for the next one, as
    ``ReconnectPolicy.offline`` says, and `NotConnected` is raised if that keeps no more.
    """

    __slots__ = ("_session_id",)

    def __init__(self, machine: ClientConnection, driver: AsyncDriver) -> None:
        super().__init__(machine, driver)
        self._session_id: str | None = None

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def session_id(self) -> str | None:
        """Id that the server gave the session; Vertex only."""
        return self._session_id

    @property
    def turn_state(self) -> TurnState:
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

    @property
    def epoch(self) -> int:
        """Number of the newest connection, from 1; 0 if the session does not reconnect."""
        return self._machine.epoch if isinstance(self._machine, PersistentConnection) else 0

    def snapshot(self) -> Snapshot:
        """What another process needs to go on with this session, after this one has ended; see `drain`.

        Raises:
            IllegalInState: The session does not reconnect.
        """
        return reconnecting(self._machine, "snapshot").snapshot()

    async def drain(self, within: float) -> None:
        """Let the session end at the next safe moment, to go on in another process; does not wait for it.

        Keep receiving: the stream ends in peace, and then `snapshot` has all that the other process needs. See
        `PersistentConnection.drain`.

        Args:
            within: Seconds after which it ends at the latest, in the middle of a turn if need be.

        Raises:
            InvalidMessage: ``within`` is no number from 0. Nothing has changed.
            IllegalInState: The session does not reconnect.
        """
        machine = reconnecting(self._machine, "drain")
        self._driver.tick()
        machine.drain(within)
        if machine.phase is Phase.ENDED:  # there was no connection to leave
            await self._driver.close(1000, "")
        self._driver.flush()

    # --- turns --------------------------------------------------------------------------------------------------

    def turn(self, *, keep_audio: bool = False, max_audio: int = MAX_AUDIO) -> Turn:
        """The session's events up to the end of the turn that comes next, or is under way, gathered as they pass.

        ``async for event in turn`` gives them, ``turn.view`` is what is known so far, ``await turn.finish()`` takes the
        rest. What comes after the turn stays in the session's stream. A turn that was under way and is cut, before
        this call or after it, is passed over: the turn is the one that follows.

        Args:
            keep_audio: Whether the view holds the audio; otherwise it is only measured.
            max_audio: Most bytes of audio it holds.

        Raises:
            ValueError: ``max_audio`` is less than 1.
        """
        return self._turn(self.__anext__, keep_audio=keep_audio, max_audio=max_audio)

    def _turn(self, take: Callable[[], Awaitable[Event]], *, keep_audio: bool, max_audio: int) -> Turn:
        return Turn(
            take,
            self._driver.event_queue.unread,
            make_collector(self.turn_state, keep_audio=keep_audio, max_audio=max_audio),
        )

    # --- commands -----------------------------------------------------------------------------------------------

    async def send_client_content(
        self, turns: requests.TurnsInput | None = None, *, turn_complete: bool = True
    ) -> None:
        """Append turns to the history, in order; interrupts a running generation.

        Args:
            turns: `Content`, a dict of its fields, or a list of either; None with ``turn_complete`` means "go on".
            turn_complete: True: answer now. False: wait for more client content.

        Raises:
            InvalidMessage: With the path of what is wrong. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            LiveProtocolError: See the class.
        """
        self._driver.tick()
        self._machine.send_client_content(turns, turn_complete=turn_complete)
        await self._sent()

    async def send_realtime_input(
        self,
        *,
        audio: requests.AudioInput | None = None,
        rate: int | None = None,
        video: requests.MediaInput | None = None,
        text: str | None = None,
        activity_start: requests.MarkerInput | None = None,
        activity_end: requests.MarkerInput | None = None,
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
        driver = self._driver
        if (
            type(audio) is bytes
            and rate is not None
            and video is None
            and text is None
            and activity_start is None
            and activity_end is None
            and audio_stream_end is None
        ):
            if driver.send_pcm(audio, rate):
                await driver.wait_writable()
            return
        driver.tick()
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

    async def send_tool_response(
        self, function_responses: requests.ResponsesInput, *, epoch: int | None = None
    ) -> None:
        """Answer one or several calls; a missing ``name`` is filled in from the call.

        Args:
            function_responses: `FunctionResponse`, a dict of its fields, or a list of either.
            epoch: Where the session reconnects: connection the calls came on, from ``ToolCallRequested.epoch``. It
                keeps the result of an old call from a new one with the same id.

        Raises:
            InvalidMessage: None given, an id that is missing (Gemini) or unknown, or a field that does not fit.
            ToolCallWasCancelled: The server has cancelled one of the calls; safe to ignore.
            ToolCallOrphaned: The connection of the call has ended, so no answer is expected; safe to ignore.
            IllegalInState: A call was answered before.
            MessageTooLarge: Over ``Limits.max_send``. In each case nothing was sent.
            LiveProtocolError: See the class.
        """
        self._driver.tick()
        if isinstance(self._machine, PersistentConnection):
            self._machine.send_tool_response(function_responses, epoch=epoch)
        else:
            self._machine.send_tool_response(function_responses)
        await self._sent()

    async def send_context_update(
        self,
        *,
        system_instruction: requests.InstructionInput | None = None,
        tools: Iterable[requests.ToolInput] | None = None,
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
        self._driver.tick()
        self._machine.send_context_update(system_instruction=system_instruction, tools=tools)
        await self._sent()

    async def send(self, message: LiveClientMessage) -> None:
        """Send a whole message, under the same rules as the other commands.

        Args:
            message: With exactly one member.

        Raises:
            InvalidMessage: It has not exactly one member, or does not fit. Nothing was sent.
            IllegalInState: It has no place now, as a second setup has not. Nothing was sent.
            ToolCallWasCancelled: It answers a cancelled call. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            LiveProtocolError: See the class.
        """
        self._driver.tick()
        self._machine.send(message)
        await self._sent()

    def _ping(self, payload: bytes) -> None:
        self._machine.ping(payload)

    async def _open(self) -> None:
        self._session_id = (await self._opened(SetupComplete)).session_id


class AsyncServerSession(AsyncSession[LiveClientMessage, ServerConnection]):
    """The server's end of a live session. Its stream begins with `UpgradeRequested`, which was answered already."""

    __slots__ = ("_request",)

    def __init__(self, machine: ServerConnection, driver: AsyncDriver) -> None:
        super().__init__(machine, driver)
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
        self._driver.tick()
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

    async def _serve(self, plan: ServePlan) -> Exception | None:
        """Answer the upgrade and run the handler; returns the handler's fault, if it has one."""
        try:
            if plan.process_request is None or await self._admit(plan.process_request):
                await plan.handler(self)
        except Exception as error:
            return handler_fault(error, self.close_info)
        return None

    async def _admit(self, process_request: Callable[[UpgradeRequested], Any]) -> bool:
        """Answer the upgrade; whether it was accepted."""
        self._request = request = await self._opened(UpgradeRequested)
        answer = process_request(request)
        refusal: Response | None = await answer if inspect.isawaitable(answer) else answer
        self._driver.tick()
        if refusal is None:
            self._machine.accept()
        else:
            self._machine.reject(*refusal)
        self._driver.flush()
        return refusal is None

    def _ping(self, payload: bytes) -> None:
        if not isinstance(self._machine, BaseConnection):
            raise IllegalInState("ping", "the machine drives itself", "leave pings to its deadlines")
        self._machine.ping(payload)


async def drain(session: AsyncServerSession) -> None:
    """The handler for a machine that drives itself: take its events."""
    async for _ in session:
        pass
