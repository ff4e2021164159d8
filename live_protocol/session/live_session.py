"""LiveSession: the Live protocol over whole messages, without a WebSocket (wire.md#handshake).

How it works. One class serves both roles, because the tables of `live_protocol.states` do not know the role: the
sender of a message must stay inside them, its receiver decides what an illegal move costs.

- *Sending.* `ClientMessageEncoder` (client) or the codec (server) checks and encodes; only then does state move. The
  text waits in ``outgoing``.
- *Receiving.* `receive_message` only queues. `next_event` decodes the oldest message and moves phase, turn, calls and
  usage with it; `ServerMessageReader` makes its events, in a fixed order, with nothing that the message bundles left
  out. A chunk of audio in the middle of a turn takes a short cut: it moves nothing, and its message is built on
  demand.
- *Odd messages.* What is unknown, undecodable or out of place becomes a flagged event; with ``strict`` it ends the
  session. Bad input never raises.
- *Time.* Two deadlines: setup, and the suspicion that output has stalled. Neither fires while messages wait to be
  read.
- *The end.* `end` is called when the connection is gone. What came before can still be read, and counts for the phase
  in which the session ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple, Self, final

from live_protocol import events as ev
from live_protocol.close_info import FrameSummary
from live_protocol.codec.audio_layout import AudioLayout
from live_protocol.codec.codec import Codec
from live_protocol.errors import (
    AlreadyClosed,
    DeadlineExpired,
    IllegalInState,
    InvalidMessage,
    LiveProtocolError,
    MessageTooLarge,
    OutOfOrder,
    RemoteProtocolError,
    SchemaMismatch,
)
from live_protocol.events import SessionEvent
from live_protocol.limits import Limits
from live_protocol.messages import (
    FunctionCall,
    LiveClientMessage,
    LiveClientSetup,
    LiveServerMessage,
    LiveServerSetupComplete,
)
from live_protocol.messages.audio_format import AudioFormat
from live_protocol.messages.fields import constructor
from live_protocol.session import requests
from live_protocol.session.carried import CarriedState
from live_protocol.session.commands import ClientCommands
from live_protocol.session.message_kinds import (
    client_member,
    is_manual,
    kind,
    only_output,
    seeds_history,
    server_signal,
    set_members,
    size_of,
    turn_signals,
)
from live_protocol.session.profiles import ModelProfile, audio_gate, supports_scheduling
from live_protocol.session.receiving import ServerMessageReader, client_message_events
from live_protocol.session.resumption import Resumption
from live_protocol.session.sending import PHASE_HINTS, ClientMessageEncoder
from live_protocol.session.stall import StallDetector
from live_protocol.session.tool_calls import ToolCallTracker
from live_protocol.session.usage import Usage
from live_protocol.states import PHASE_TRANSITIONS, Phase, PhaseInput, TurnState
from live_protocol.timing import Deadline, Deadlines, Timeouts

_READY: Final = Phase.READY
_DRAINING: Final = Phase.DRAINING
_GENERATING: Final = TurnState.GENERATING

_audio_chunk: Final = constructor(ev.AudioChunk, "data", "format", "generation", "_source")

_FIRST: Final = "setup must be the first message and only the first"
_SUMMARIES: Final = 12
_MAX_LESSONS: Final = 64  # layouts learned from a peer that has many; the rest of its audio is parsed


def _utf8(data: bytes | str) -> bytes:
    return data if isinstance(data, bytes) else data.encode(errors="surrogatepass")


class _AudioStream(NamedTuple):
    """What consecutive chunks of audio have in common."""

    layout: AudioLayout
    format: AudioFormat
    source: ev.AudioSource


@final
class LiveSession(ClientCommands):
    """One Live session as a pure state machine: text of messages in, events out, commands in, text out.

    Decoding is lazy: state moves when `next_event` hands out the first event of the message that moves it, so every
    fact belongs to the message in hand. Build one with `client` or `server`.

    Attributes:
        phase: How far the session has come.
        last_phase: The phase in which it ended; meaningful once it has.
        client_message_index: Number of the newest client message; setup is 0, -1 before it.
        resumption: How the session could be resumed (client role).
        usage: Tokens so far (client role).
        tool_calls: The table of calls: made by the model in the client role, sent in the server role.
        ready: Events that `next_event` gives before it reads another message; the next one is at the end, since a list
            takes 700 bytes less than a deque.
        outgoing: What `messages_to_send` gives.
    """

    __slots__ = (
        "_audio",
        "_client",
        "_codec",
        "_deadlines",
        "_encoder",
        "_frames",
        "_lessons",
        "_limits",
        "_queue",
        "_setup",
        "_setup_text",
        "_stall",
        "_strict",
        "_timeouts",
        "_tracker",
        "client_message_index",
        "last_phase",
        "outgoing",
        "phase",
        "ready",
        "tool_calls",
    )

    def __init__(
        self,
        setup: LiveClientSetup | None,
        codec: Codec,
        limits: Limits,
        timeouts: Timeouts,
        *,
        strict: bool,
        profile: ModelProfile | None = None,
        deadlines: Deadlines | None = None,
        carry: CarriedState | None = None,
        setup_text: bytes = b"",
    ) -> None:
        self._client = setup is not None
        self._setup = setup
        self._setup_text = setup_text  # until it is sent
        self._codec = codec
        self._limits = limits
        self._timeouts = timeouts
        self._strict = strict
        self.phase: Phase = Phase.NEW
        self.last_phase: Phase = Phase.NEW
        self.client_message_index: int = -1
        if carry is None:
            resumes = setup is not None and bool(setup.session_resumption and setup.session_resumption.handle)
            calls = ToolCallTracker(codec.backend, allow_unknown_ids=resumes, scheduling=supports_scheduling(profile))
            self._tracker = ServerMessageReader(calls)
            encoder: ClientMessageEncoder | None = None
        else:
            calls, encoder = carry.calls, carry.encoder
            self._tracker = ServerMessageReader(calls)
            self._tracker.turns.generation = carry.generation
            self._tracker.usage, self._tracker.resumption = carry.usage, carry.resumption
        self.tool_calls: ToolCallTracker = calls
        self._encoder = encoder or ClientMessageEncoder(
            codec, limits, calls, manual=is_manual(setup), gate=audio_gate(profile, setup, calls)
        )
        self._audio: _AudioStream | None = None
        self._lessons = 0
        # A connection has a queue of its own and hands in each message when it is to be read; an empty deque takes 760
        # bytes.
        self._queue: deque[bytes | str] | None = None
        if deadlines is None:
            self._queue = deque()
            deadlines = Deadlines(self._queue)
        self._deadlines = deadlines
        self.ready: list[SessionEvent] = []
        self.outgoing: list[bytes] = []
        self._frames: deque[tuple[bool, str, int, float | None]] = deque(maxlen=_SUMMARIES)
        self._stall = StallDetector(self._deadlines, timeouts.stall if setup else None, seeding=seeds_history(setup))
        if setup is None:
            self._deadlines.arm(Deadline.SETUP, timeouts.setup)

    @classmethod
    def client(
        cls,
        setup: LiveClientSetup,
        *,
        codec: Codec | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        strict: bool = False,
        profile: ModelProfile | None = None,
        deadlines: Deadlines | None = None,
        carry: CarriedState | None = None,
    ) -> Self:
        """The client's end.

        Args:
            setup: What `send_setup` will send.
            codec: Dialect; Gemini's if left out.
            limits: Bounds; the defaults if left out.
            timeouts: Durations; the defaults if left out.
            strict: End the session at the first message that is unknown, undecodable or out of place, instead of
                reporting it; for tests.
            profile: What the model is known to refuse, so that it is refused here; see `live_protocol.session`.
            deadlines: The table of the connection under the session; one of its own if left out.
            carry: `carried` of the session that this one continues.

        Raises:
            InvalidMessage: The service would refuse the setup.
            MessageTooLarge: The setup is over ``Limits.max_send``.
        """
        limits = limits or Limits()
        codec = codec or Codec(max_depth=limits.max_json_depth)
        text = codec.encode_client(LiveClientMessage(setup=setup))
        requests.check_setup(setup)
        if len(text) > limits.max_send:
            raise MessageTooLarge(len(text), limits.max_send)
        return cls(
            setup,
            codec,
            limits,
            timeouts or Timeouts(),
            strict=strict,
            profile=profile,
            deadlines=deadlines,
            carry=carry,
            setup_text=text,
        )

    @classmethod
    def server(
        cls,
        *,
        codec: Codec | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        strict: bool = True,
        deadlines: Deadlines | None = None,
    ) -> Self:
        """The server's end.

        Args:
            codec: Dialect; Gemini's if left out.
            limits: Bounds; the defaults if left out.
            timeouts: Durations; the defaults if left out.
            strict: End the session as the service does, with 1007 and its texts, when a message is unknown, undecodable
                or out of place; otherwise report it as a flagged event.
            deadlines: As for `client`.
        """
        limits = limits or Limits()
        codec = codec or Codec(max_depth=limits.max_json_depth)
        return cls(None, codec, limits, timeouts or Timeouts(), strict=strict, deadlines=deadlines)

    def __repr__(self) -> str:
        role = "client" if self._client else "server"
        return f"<LiveSession {role} {self.phase} turn={self.turn}>"

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def turn(self) -> TurnState:
        """Where the model is in its turn."""
        return self._tracker.turns.state

    @property
    def awaiting_answer(self) -> bool:
        """Whether an answer was requested and has not started yet."""
        return self._stall.awaiting

    @property
    def generation(self) -> int:
        """Number of the newest generation, from 1; 0 before the first."""
        return self._tracker.turns.generation

    @property
    def resumption(self) -> Resumption:
        """How the session could be resumed."""
        return self._tracker.resumption

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return self._tracker.usage

    @property
    def carried(self) -> CarriedState:
        """What a session on another connection needs to continue this one: pass it as ``carry`` (client role)."""
        tracker = self._tracker
        return CarriedState(
            calls=self.tool_calls,
            generation=tracker.turns.generation,
            usage=tracker.usage,
            resumption=tracker.resumption,
        )

    @property
    def pending_tool_calls(self) -> tuple[FunctionCall, ...]:
        """Calls that await a response, oldest first."""
        return self.tool_calls.pending()

    @property
    def last_frames(self) -> tuple[FrameSummary, ...]:
        """The newest messages of both directions, oldest first, without their content."""
        return tuple(FrameSummary(sent=sent, kind=kind, size=size, at=at) for sent, kind, size, at in self._frames)

    # --- inputs -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Move the clock to ``now`` (seconds, any origin) and fire nothing.

        For commands and pulls of events, and while messages have arrived that were not handed in yet: what is due may
        be among them.
        """
        self._deadlines.tick(now)

    def advance(self, now: float) -> None:
        """Move the clock to ``now`` (seconds, any origin) and fire what is due."""
        self._deadlines.tick(now)
        for which in self._deadlines.expired(session=True):
            if which is Deadline.SETUP:
                self._setup_expired()
            else:
                self._stalled()

    def receive_message(self, data: bytes | str) -> None:
        """Take in the text of one whole message; never raises for what the peer did."""
        if self.phase is not Phase.ENDED:
            if self._queue is None:
                self._queue = deque()
            self._queue.append(data)

    def end(self) -> None:
        """The connection under the session has ended; messages that came before stay to be read."""
        if self.phase is not Phase.ENDED:
            self.last_phase = self.phase
        self.phase = PHASE_TRANSITIONS[self.phase, PhaseInput.END]
        self._deadlines.end_session()

    # --- outputs ------------------------------------------------------------------------------------------------

    def next_event(self) -> SessionEvent | None:
        """The next event, or None."""
        while not self.ready:
            if not self._queue:
                return None
            if (event := self.read(self._queue.popleft())) is not None:
                return event
        return self.ready.pop()

    def events(self) -> Iterator[SessionEvent]:
        """Events until there are no more for now; safe to abandon and to take up again."""
        while (event := self.next_event()) is not None:
            yield event

    def messages_to_send(self) -> list[bytes]:
        """The texts of messages to send, oldest first; a client sends them as text, a server as binary frames."""
        out, self.outgoing = self.outgoing, []
        return out

    def next_deadline(self) -> float | None:
        """When `advance` has something to do, at the latest; None while messages wait to be read."""
        return self._deadlines.next()

    # --- requests, client role ----------------------------------------------------------------------------------

    def send_setup(self) -> None:
        """Open the session with its setup (wire.md#setup).

        Raises:
            IllegalInState: It was sent before, or this is the server's end.
        """
        self._check_client("send_setup")
        phase = self._next_phase("send_setup", PhaseInput.SETUP)
        text, self._setup_text = self._setup_text, b""
        self._deadlines.arm(Deadline.SETUP, self._timeouts.setup)
        self._sent(phase, "setup", text)

    # --- requests, server role ----------------------------------------------------------------------------------

    def send_setup_complete(self, session_id: str | None = None) -> None:
        """Accept the client's setup.

        Args:
            session_id: Id of the session; Vertex sends one.

        Raises:
            IllegalInState: No setup came, it was accepted before, or this is the client's end.
            AlreadyClosed: The session has ended.
            In each case nothing was sent and nothing has changed.
        """
        self.send(LiveServerMessage(setup_complete=LiveServerSetupComplete(session_id=session_id)))

    # --- commands, either role ----------------------------------------------------------------------------------

    def send(self, message: LiveClientMessage | LiveServerMessage) -> None:
        """Send a whole message of this end's role, under the same rules as the other commands.

        Raises:
            InvalidMessage: It is the other role's, has not exactly one member (client), or does not fit.
            IllegalInState: It has no place in this phase.
            ToolCallWasCancelled: It answers a cancelled call.
            MessageTooLarge: Over ``Limits.max_send``.
            AlreadyClosed: The session has ended.
            In each case nothing was sent and nothing has changed.
        """
        if self._client:
            if not isinstance(message, LiveClientMessage):
                raise InvalidMessage("", f"the client's end sends LiveClientMessage, not {type(message).__name__}")
            self._send_client("send", message)
        else:
            if not isinstance(message, LiveServerMessage):
                raise InvalidMessage("", f"the server's end sends LiveServerMessage, not {type(message).__name__}")
            self._send_server(message)

    def send_encoded(self, kind: str, payload: bytes, *, awaiting: bool | None = None) -> int:
        """Client role: send a message that was checked and encoded before.

        Only the phase is checked here. The caller vouches for the rest: fields, size, tool calls, activity window.

        Args:
            kind: The member that the message has, such as ``client_content``.
            payload: Its JSON.
            awaiting: Whether the model owes an answer after it; None if the message changes nothing about that.

        Returns:
            Its number on this connection; the setup is 0.

        Raises:
            IllegalInState: Setup is not complete, or this is the server's end. Nothing was sent.
            AlreadyClosed: The session has ended. Nothing was sent.
        """
        phase = PHASE_TRANSITIONS.get((self.phase, PhaseInput.CLIENT_MESSAGE))
        if phase is None or not self._client:
            self._check_client("send_encoded")
            phase = self._next_phase("send_encoded", PhaseInput.CLIENT_MESSAGE)
        if awaiting is not None:
            self._stall.awaiting = awaiting
        self._sent(phase, kind, payload)
        return self.client_message_index

    # --- sending ------------------------------------------------------------------------------------------------

    def _check_client(self, operation: str) -> None:
        if not self._client:
            raise IllegalInState(operation, "this is the server's end", "use send() with a LiveServerMessage")

    def _next_phase(self, operation: str, signal: PhaseInput) -> Phase:
        phase = PHASE_TRANSITIONS.get((self.phase, signal))
        if phase is not None:
            return phase
        if self.phase is Phase.ENDED:
            raise AlreadyClosed(operation)
        raise IllegalInState(operation, f"the session is {self.phase}", PHASE_HINTS[self.phase])

    def _send_pcm(self, audio: bytes | bytearray | memoryview, rate: int) -> None:
        self.outgoing.append(self.encode_pcm(audio, rate))

    def encode_pcm(self, audio: bytes | bytearray | memoryview, rate: int) -> bytes:
        """Client role: count raw audio as sent, and give its text, which the caller sends.

        Raises:
            InvalidMessage, IllegalInState, MessageTooLarge, AlreadyClosed: As for `send_realtime_input`.
        """
        if self.phase is not _READY or not self._client:
            self._check_client("send_realtime_input")
            self._next_phase("send_realtime_input", PhaseInput.CLIENT_MESSAGE)  # which keeps every phase it allows
        payload = self._encoder.encode_audio(audio, rate)
        self.client_message_index += 1
        self._frames.append((True, "realtime_input", len(payload), self._deadlines.now))
        if self._stall.seconds is not None:
            self._progress()
        return payload

    def _send_client(self, operation: str, message: LiveClientMessage) -> None:
        self._check_client(operation)
        member = client_member(message)
        phase = self._next_phase(operation, PhaseInput.SETUP if message.setup else PhaseInput.CLIENT_MESSAGE)
        if message.setup is not None and message.setup != self._setup:
            raise InvalidMessage("setup", "this session was made with another setup")
        payload = self._encoder.encode_message(message)
        if message.setup is not None:
            self._deadlines.arm(Deadline.SETUP, self._timeouts.setup)
        if message.client_content is not None:
            self._stall.answer_requested(complete=bool(message.client_content.turn_complete))
        self._sent(phase, member, payload)

    def _send_server(self, message: LiveServerMessage) -> None:
        phase = self._next_phase("send", server_signal(message))
        payload = self._codec.encode_server(message)
        if len(payload) > self._limits.max_send:
            raise MessageTooLarge(len(payload), self._limits.max_send)
        for signal in turn_signals(message):
            self._tracker.turns.apply(signal)
        # In the order of the client's events.
        if message.tool_call_cancellation is not None:
            for call_id in message.tool_call_cancellation.ids:
                self.tool_calls.cancelled(call_id)
        if message.tool_call is not None:
            for call in message.tool_call.function_calls:
                self.tool_calls.requested(call)
        self.phase = phase
        self._record(sent=True, kind=kind(message), size=len(payload))
        self.outgoing.append(payload)

    def _sent(self, phase: Phase, member: str, payload: bytes) -> None:
        self.phase = phase
        self.client_message_index += 1
        self._frames.append((True, member, len(payload), self._deadlines.now))
        self.outgoing.append(payload)
        if self._stall.seconds is not None:
            self._progress()

    def _record(self, *, sent: bool, kind: str, size: int) -> None:
        self._frames.append((sent, kind, size, self._deadlines.now))

    # --- receiving ----------------------------------------------------------------------------------------------

    def _received(self, signal: PhaseInput) -> Phase | None:
        """The phase after a message, or None if the message has no place in the phase before.

        After the end it is the phase in which the session ended: what is read late came before.
        """
        over = self.phase is Phase.ENDED
        phase = PHASE_TRANSITIONS.get((self.last_phase if over else self.phase, signal))
        if phase is not None:
            if over:
                self.last_phase = phase
            else:
                self.phase = phase
        return phase

    def read(self, data: bytes | str) -> SessionEvent | None:
        """Read one whole message now. `receive_message` leaves that to `next_event`.

        Returns:
            The event, if it is a chunk of audio within a turn; otherwise None, and the events are in `ready`.
        """
        # In the middle of a turn a chunk of audio says nothing but itself: the path of nearly all messages.
        stream = self._audio
        if stream is not None and self._tracker.turns.state is _GENERATING:
            phase = self.phase
            if phase is _READY or phase is _DRAINING:
                raw = data if type(data) is bytes else _utf8(data)
                audio = stream.layout.audio(raw)
                if audio is not None:
                    self._frames.append((False, "server_content", len(raw), self._deadlines.now))
                    if self._stall.seconds is not None:
                        self._progress()
                    return _audio_chunk(audio, stream.format, self._tracker.turns.generation, stream.source)
        self._read(data)
        return None

    def _read(self, data: bytes | str) -> None:
        try:
            if not self._client:
                self._take_client_message(data)
                return
            decoded = self._codec.decode_server_part(data, strict=self._strict)
            if type(decoded) is LiveServerMessage:
                message = decoded
            else:
                message = Codec.audio_message(decoded)
                self._learn(decoded[0], decoded[2], _utf8(data))
            self._server_message(message, size_of(data))
        except RemoteProtocolError as error:
            if not isinstance(error, OutOfOrder):
                self._record(sent=False, kind="undecodable", size=size_of(data))
            if self._strict:
                self._fail(error)
            else:
                self.ready.insert(0, ev.Undecodable(error=error, data=data))

    def _learn(self, mime_type: str, role: str | None, raw: bytes) -> None:
        """Note how the peer writes audio, so that the next chunk need not be parsed."""
        audio_format = self._tracker.audio_format(mime_type)
        known = self._audio is not None and self._audio.layout.audio(raw) is not None
        if audio_format is not None and not known and self._lessons < _MAX_LESSONS:
            self._lessons += 1
            layout = AudioLayout.of(raw)
            if layout is not None:
                self._audio = _AudioStream(layout, audio_format, ev.AudioSource(mime_type, role))

    def _server_message(self, message: LiveServerMessage, size: int) -> None:
        members = kind(message)
        self._record(sent=False, kind=members, size=size)
        if (
            members == "server_content"
            and self._tracker.turns.state is TurnState.GENERATING
            and self.phase in (Phase.READY, Phase.DRAINING)
            and (content := only_output(message)) is not None
        ):
            # In the middle of a turn, output of the model moves nothing either.
            events: list[SessionEvent] = []
            generation = self._tracker.turns.generation
            self._tracker.add_output(events, content, {"message": message, "generation": generation})
            self._add(events)
            self._stall.awaiting = False
            if self._stall.seconds is not None:
                self._progress()
            return
        signal = server_signal(message)
        phase = self._received(signal)
        if phase is None and self._strict:
            raise OutOfOrder(f"{members} is not possible while the session is {self.phase}")
        if signal is PhaseInput.SETUP_COMPLETE:
            self._deadlines.disarm(Deadline.SETUP)
            if phase is not None:
                self._setup = None  # only a setup that is not answered yet is looked at again
        self._tracker.now = self._deadlines.now
        turn = self.turn
        events = self._tracker.events(message, unexpected=phase is None)
        self._stall.answered(turn, turn_signals(message), self.turn)
        self._add(events)
        if self._stall.seconds is not None:
            self._progress()

    def _take_client_message(self, data: bytes | str) -> None:
        message = self._codec.decode_client(data, strict=self._strict)
        if not set_members(message) and not message.extra:
            raise SchemaMismatch("", "a client message has exactly one member, got none")
        self._record(sent=False, kind=kind(message), size=size_of(data))
        before = self.last_phase if self.phase is Phase.ENDED else self.phase
        phase = self._received(PhaseInput.SETUP if message.setup else PhaseInput.CLIENT_MESSAGE)
        # Client messages between setup and setupComplete are early, not wrong: .NET's client sends them and the
        # service answers them (wire.md#handshake).
        early = before is Phase.SETUP_SENT and message.setup is None
        if phase is None and not early and self._strict:
            raise OutOfOrder(_FIRST, close_code=1007)
        self.client_message_index += 1
        if message.setup is not None:
            self._deadlines.disarm(Deadline.SETUP)
        if message.tool_response is not None:
            self.tool_calls.responded(message.tool_response.function_responses)
        events = list(
            client_message_events(message, index=self.client_message_index, unexpected=phase is None and not early)
        )
        self._add(events)

    def _add(self, events: list[SessionEvent]) -> None:
        for event in events[:-1]:
            object.__setattr__(event, "last", False)
        self.ready[:0] = reversed(events)

    # --- time and failure ---------------------------------------------------------------------------------------

    def _fail(self, error: LiveProtocolError) -> None:
        self.end()
        if self._queue:
            self._queue.clear()
        self.ready.insert(0, ev.ConnectionFailed(error=error))

    def _setup_expired(self) -> None:
        if self._setup is None:
            detail = "the client has sent no setup"
        else:
            options = [name for name in set_members(self._setup) if name != "model"]
            extras = f" with {', '.join(options)}" if options else ""
            detail = f"setup{extras} was sent, setupComplete has not come"
        self._fail(DeadlineExpired(Deadline.SETUP, self._timeouts.setup or 0.0, detail))

    def _progress(self) -> None:
        self._stall.progress(self.phase, self.turn, calls_open=bool(self.tool_calls.pending()))

    def _stalled(self) -> None:
        if suspicion := self._stall.suspect(self.phase, self.turn, calls_open=bool(self.tool_calls.pending())):
            self.ready.insert(0, suspicion)
