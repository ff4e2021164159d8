"""The client's end on threads: `connect`, and the session it gives."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Unpack, final

from live_protocol.errors import DeadlineExpired
from live_protocol.events import Event, SetupComplete
from live_protocol.messages import FunctionCall, LiveClientMessage, LiveServerMessage
from live_protocol.reconnect import EndpointSource, PersistentConnection, Snapshot
from live_protocol.session import ConfigInput, Resumption, Usage, requests
from live_protocol.states import Phase, TurnState
from live_transports.shared.options import DialOptions, check_options
from live_transports.shared.reconnecting import ByteClientConnection, Redialer, make_client, reconnecting
from live_transports.shared.timeouts import Countdown, WaitTimeout
from live_transports.shared.turns import MAX_AUDIO, SyncTurn, make_collector
from live_transports.sync.dialing import open_stream
from live_transports.sync.driver import SyncDriver
from live_transports.sync.session import SyncSession


@final
class LiveClientSession(SyncSession[LiveServerMessage, ByteClientConnection]):
    """The client's end of a live session on threads; `connect` makes it.

    A send puts its whole message on the wire, or raises and changes nothing. It then waits only while the transport is
    full, ``timeout`` seconds at most. After a `WaitTimeout` the message is still queued. Messages of one thread leave
    in the order of its calls. Besides the errors listed with it, every send raises `StaleOperation` if the connection
    is closing or closed (nothing was sent), `WaitTimeout`, and the connection's error if the connection ends while the
    message waits to leave.

    A session that reconnects keeps these promises across connections. Between two of them a message waits for the next
    one, within ``ReconnectPolicy.offline``; beyond that a send raises `NotConnected`.
    """

    __slots__ = ("_session_id",)

    def __init__(self, machine: ByteClientConnection, driver: SyncDriver) -> None:
        super().__init__(machine, driver)
        self._session_id: str | None = None

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def session_id(self) -> str | None:
        """The session's id; only Vertex sends one."""
        return self._session_id

    @property
    def turn_state(self) -> TurnState:
        """Where the model is in its turn, as of the newest event received."""
        return self._machine.turn

    @property
    def pending_tool_calls(self) -> tuple[FunctionCall, ...]:
        """Calls that await a response, oldest first."""
        with self._driver.lock:
            return self._machine.pending_tool_calls

    @property
    def resumption(self) -> Resumption:
        """How the session can be resumed."""
        with self._driver.lock:
            return self._machine.resumption

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        with self._driver.lock:
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
        """What another process needs to go on with this session after its end here.

        Raises:
            IllegalInState: The session does not reconnect.
        """
        with self._driver.lock:
            return reconnecting(self._machine, "snapshot").snapshot()

    def drain(self, within: float) -> None:
        """End the session at the next safe moment, so that another process can go on with it. Keep receiving.

        Args:
            within: Seconds after which it ends at the latest, in the middle of a turn if need be.

        Raises:
            InvalidMessage: ``within`` is negative or no number. Nothing has changed.
            IllegalInState: The session does not reconnect. Nothing has changed.
        """
        machine = reconnecting(self._machine, "drain")
        with self._driver.lock:
            self._driver.tick()
            machine.drain(within)
            self._driver.flush()
        if machine.phase is Phase.ENDED:  # there was no connection to leave
            self._driver.close(1000, "")

    # --- turns --------------------------------------------------------------------------------------------------

    def turn(self, *, keep_audio: bool = False, max_audio: int = MAX_AUDIO) -> SyncTurn:
        """The next turn, or the one under way: its events, gathered as they pass.

        ``for event in turn`` gives the events, ``turn.view`` what they add up to so far, and ``turn.finish()`` takes
        the rest. Later events stay in the session's stream. A turn that is cut short by an interruption is skipped: you
        get the one that follows.

        Args:
            keep_audio: Keep the audio in the view; otherwise only its length is known.
            max_audio: Most bytes of audio to keep.

        Raises:
            ValueError: ``max_audio`` is less than 1.
        """
        return self._turn(self.next_event, keep_audio=keep_audio, max_audio=max_audio)

    def _turn(self, take: Callable[[float | None], Event | None], *, keep_audio: bool, max_audio: int) -> SyncTurn:
        return SyncTurn(take, self._unread, make_collector(self.turn_state, keep_audio=keep_audio, max_audio=max_audio))

    def _unread(self, event: Event) -> None:
        with self._driver.lock:
            self._driver.event_queue.unread(event)

    # --- commands -----------------------------------------------------------------------------------------------

    def send_client_content(
        self, turns: requests.TurnsInput | None = None, *, turn_complete: bool = True, timeout: float | None = None
    ) -> None:
        """Append turns to the history, in order; interrupts a running generation.

        Args:
            turns: `Content`, a dict of its fields, or a list of either; None with ``turn_complete`` means "go on".
            turn_complete: True: answer now. False: wait for more client content.
            timeout: Most seconds to wait for room.

        Raises:
            InvalidMessage: An argument does not fit; the error has its path. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            LiveProtocolError: See the class.
        """
        self._driver.call(
            "send_client_content",
            lambda: self._machine.send_client_content(turns, turn_complete=turn_complete),
            timeout,
        )

    def send_realtime_input(
        self,
        *,
        audio: requests.AudioInput | None = None,
        rate: int | None = None,
        video: requests.MediaInput | None = None,
        text: str | None = None,
        activity_start: requests.MarkerInput | None = None,
        activity_end: requests.MarkerInput | None = None,
        audio_stream_end: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        """Send one piece of live input; give exactly one of the members.

        Args:
            audio: Raw PCM bytes (16-bit signed little-endian, mono) with ``rate``, or a `Blob` whose MIME type has the
                rate. 20 to 100 ms a chunk is recommended.
            rate: Sample rate of raw ``audio`` in Hz; 16,000 is native. One rate for the whole session.
            video: One still image as a `Blob` with an ``image/`` type, about one a second.
            text: Text. It counts as activity.
            activity_start: The user starts to speak; only with automatic detection off.
            activity_end: The user has finished; only with automatic detection off.
            audio_stream_end: The microphone pauses; only with automatic detection on.
            timeout: Most seconds to wait for room.

        Raises:
            InvalidMessage: Not exactly one member, or one the service refuses. Nothing was sent.
            IllegalInState: The activity window forbids it. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            LiveProtocolError: See the class.
        """
        driver, machine = self._driver, self._machine
        with driver.lock:  # as `SyncDriver.call`, without a closure of eight cells for each chunk of audio
            machine.tick(monotonic())
            if (
                type(audio) is bytes
                and rate is not None
                and video is None
                and text is None
                and activity_start is None
                and activity_end is None
                and audio_stream_end is None
            ):
                driver.send_pcm(machine, audio, rate)
            else:
                machine.send_realtime_input(
                    audio=audio,
                    rate=rate,
                    video=video,
                    text=text,
                    activity_start=activity_start,
                    activity_end=activity_end,
                    audio_stream_end=audio_stream_end,
                )
                driver.flush()
            if driver.full:
                driver.wait_for_room("send_realtime_input", timeout)

    def send_tool_response(
        self, function_responses: requests.ResponsesInput, *, epoch: int | None = None, timeout: float | None = None
    ) -> None:
        """Answer one or more calls. A missing ``name`` is taken from the call.

        Args:
            function_responses: `FunctionResponse`, a dict of its fields, or a list of either.
            epoch: The connection that the calls came on, from ``ToolCallRequested.epoch``. In a session that reconnects
                it keeps the result of an old call from a new call with the same id.
            timeout: Most seconds to wait for room.

        Raises:
            InvalidMessage: There is no response, an id is missing (Gemini) or unknown, or a field does not fit.
            ToolCallWasCancelled: The server has cancelled one of the calls; safe to ignore.
            ToolCallOrphaned: The call's connection has ended, and the answer with it; safe to ignore.
            IllegalInState: A call has its final answer already.
            MessageTooLarge: Over ``Limits.max_send``. In each case nothing was sent.
            LiveProtocolError: See the class.
        """
        machine = self._machine
        options = {"epoch": epoch} if isinstance(machine, PersistentConnection) else {}
        self._driver.call(
            "send_tool_response", lambda: machine.send_tool_response(function_responses, **options), timeout
        )

    def send_context_update(
        self,
        *,
        system_instruction: requests.InstructionInput | None = None,
        tools: Iterable[requests.ToolInput] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Replace instructions or tools in mid-session, if the model allows it.

        Args:
            system_instruction: New instructions; None keeps the old ones.
            tools: The whole new list. ``[]`` removes all tools, None keeps them.
            timeout: Most seconds to wait for room.

        Raises:
            InvalidMessage: Both are None, or one does not fit. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            LiveProtocolError: See the class.
        """
        self._driver.call(
            "send_context_update",
            lambda: self._machine.send_context_update(system_instruction=system_instruction, tools=tools),
            timeout,
        )

    def send(self, message: LiveClientMessage, *, timeout: float | None = None) -> None:
        """Send a whole message, under the same rules as the other commands.

        Args:
            message: A message with exactly one member.
            timeout: Most seconds to wait for room.

        Raises:
            InvalidMessage: It has no member or several, or does not fit. Nothing was sent.
            IllegalInState: It is not allowed now; a second setup never is. Nothing was sent.
            ToolCallWasCancelled: It answers a cancelled call. Nothing was sent.
            MessageTooLarge: Over ``Limits.max_send``. Nothing was sent.
            LiveProtocolError: See the class.
        """
        self._driver.call("send", lambda: self._machine.send(message), timeout)

    def _ping(self, payload: bytes) -> None:
        self._machine.ping(payload)

    def _open(self, timeout: float | None) -> None:
        self._session_id = self._opened(SetupComplete, timeout).session_id


def connect(
    endpoint: EndpointSource,
    config: ConfigInput | None = None,
    *,
    sock: socket.socket | None = None,
    timeout: float | None = None,
    **options: Unpack[DialOptions],
) -> LiveClientSession:
    """Open a live session. Use it in ``with``, or close it yourself.

    This returns when the server has accepted the setup. The events up to there begin the session's stream.

    Args:
        endpoint: The service, with credentials and dialect. With ``reconnect`` also a function that makes an endpoint
            for each dial, for example with a fresh token.
        config: `LiveConnectConfig`, a dict in its shape, or a whole `LiveClientSetup`.
        sock: A connected TCP socket to use instead of dialing, to the proxy if there is one; it is closed in any case.
        timeout: Most seconds for all steps together. Each step has its own bound too.
        **options: See `DialOptions` and `ConnectOptions`.

    Returns:
        The session, ready to be used.

    Raises:
        TypeError: There is no such option.
        WaitTimeout: The steps together took longer than ``timeout``. Its cause names the step.
        LiveProtocolError: As `live_transports.asyncio.connect` raises them. The socket is closed.
    """
    check_options(DialOptions, options)
    countdown = Countdown(timeout)
    try:
        client = make_client(endpoint, config, options, open_transport=None if sock is None else "sock")
    except BaseException:
        if sock is not None:
            sock.close()
        raise
    local_addr = options.get("local_addr")
    if isinstance(client, Redialer):
        dial = None
        driver = SyncDriver(
            client.machine, redialer=client, open=lambda dial, waiter: open_stream(dial, waiter, local_addr)
        )
    else:
        machine, dial = client
        driver = SyncDriver(machine)
    session = LiveClientSession._create(driver.machine, driver)
    try:
        if dial is not None:
            dial = dial.within(timeout)
            driver.start(open_stream(dial, driver.waiter(dial.timeout), local_addr, sock))
        session._open(countdown.left)
    except BaseException as error:
        late = isinstance(error, WaitTimeout) or (isinstance(error, DeadlineExpired) and countdown.left == 0)
        expired = WaitTimeout("connect", cost=f"{session!r} was given up")
        driver.abort()
        driver.discard()
        if late:
            raise expired from error
        raise
    return session
