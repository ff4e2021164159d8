"""One emulated session after its setup (wire.md#turn-state).

Theory of operation. `handle` gets the client's messages, `advance` the time. Input becomes a `Prompt` when it is
complete: text with ``turn_complete``, an utterance when it ends, a tool response at once. `_ask` starts a turn for it,
or queues it behind the running turn. `TurnPlayback` plays a turn; `_run` carries out its effects as they become due,
and starts the next queued prompt between turns.

Interruptions come from three sides: client content and urgent tool responses always interrupt, text and speech only if
the setup lets them (`_barge_in`). An interrupted turn is stopped, its open calls are cancelled, and its
history keeps only what has been said.

All activity in one message is handled together (`_activities`): utterances that end in one piece of audio are one
prompt, and if the user speaks again within it, the prompt waits in `_unanswered` until that ends too.

Resumption: each end of a turn offers a handle. `_consumed` is the index of the newest client message that is inside it;
it stops moving while audio is pending that belongs to no turn yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import attrs

from live_protocol.emulator.actions import (
    Cancel,
    Close,
    Drop,
    ModelAction,
    SendGoAway,
    UserTurn,
    text_of,
)
from live_protocol.emulator.audio_input import IncomingAudio, SessionRefused
from live_protocol.emulator.context import Port, Prompt, ServerContext
from live_protocol.emulator.memory import ConversationMemory
from live_protocol.emulator.tool_calls import make_calls, pending_key
from live_protocol.emulator.turn_player import Done, Effect, TurnPlayback
from live_protocol.emulator.validation import INVALID, LIFETIME, SCHEDULING, SessionRefusal, check_fields, thinks_on
from live_protocol.emulator.voice_activity import SpeechActivity, SpeechStarted
from live_protocol.events import (
    ClientContentReceived,
    ContextUpdateReceived,
    RealtimeInputReceived,
    ToolResponseReceived,
)
from live_protocol.messages import (
    ActivityHandling,
    Backend,
    Blob,
    Content,
    FunctionResponse,
    FunctionResponseScheduling,
    InteractionStatus,
    LiveClientContent,
    LiveClientContextUpdate,
    LiveClientRealtimeInput,
    LiveClientSetup,
    LiveClientToolResponse,
    LiveServerContent,
    LiveServerGoAway,
    LiveServerMessage,
    LiveServerSessionResumptionUpdate,
    LiveServerToolCallCancellation,
    Part,
    Transcription,
    VoiceActivity,
    VoiceActivityType,
)

ClientEvent = ClientContentReceived | RealtimeInputReceived | ToolResponseReceived | ContextUpdateReceived


class EmulatedSession:
    """One session.

    Args:
        setup: Its configuration.
        backend: Its dialect.
        conversation: Its memory, possibly of an earlier connection.
        context: State shared with the server's other sessions.
        port: Its connection.
        now: Clock reading.
    """

    def __init__(
        self,
        setup: LiveClientSetup,
        backend: Backend,
        conversation: ConversationMemory,
        context: ServerContext,
        *,
        port: Port,
        now: float,
    ) -> None:
        self._setup = setup
        self._backend = backend
        self._conversation = conversation
        self._context = context
        self._options = context.options
        self._port = port
        self._now = now
        self._audio = IncomingAudio(setup, context.options)
        self._earlier_audio = conversation.audio
        self._seeding = bool(setup.history_config and setup.history_config.initial_history_in_client_content)
        self._open: list[str] | None = None  # user text while turn_complete is false
        self._open_from = 0
        self._window_text: list[str] = []
        self._unanswered: Prompt | None = None  # ended, but the same message began more speech
        self._interrupted = False  # a turn was interrupted, and the next has not begun
        self._images: tuple[Blob, ...] = ()
        self._playback: TurnPlayback | None = None
        self._queue: deque[Prompt] = deque()
        self._consumed: int | None = None
        self._go_away: tuple[float, float] | None = None  # time of goAway, and the time left then
        self._close_at: float | None = None

    def start(self) -> None:
        """Start the session: the setup was accepted."""
        options = self._options
        if options.lifetime is not None:
            self._close_at = self._now + options.lifetime
            if options.go_away_notice is not None:
                left = min(options.go_away_notice, options.lifetime)
                self._go_away = (self._close_at - left, left)
        self._offer_resumption()
        self._run()

    def stop(self) -> None:
        """Stop everything: the connection has ended."""
        playback, self._playback = self._playback, None
        if playback is not None:
            playback.stop()
        self._queue.clear()
        self._go_away = self._close_at = self._audio.pause_at = None

    # --- the clock ----------------------------------------------------------------------------------------------

    @property
    def due(self) -> float | None:
        """Clock reading at which `advance` has something to do."""
        playing = self._playback.due if self._playback is not None else None
        announced = self._go_away[0] if self._go_away is not None else None
        times = (playing, self._audio.pause_at, announced, self._close_at)
        return min((time for time in times if time is not None), default=None)

    def shift(self, by: float) -> None:
        """Move all times: the clock has its first reading."""
        self._now += by
        if self._playback is not None:
            self._playback.shift(by)
        if self._audio.pause_at is not None:
            self._audio.pause_at += by
        if self._go_away is not None:
            self._go_away = (self._go_away[0] + by, self._go_away[1])
        if self._close_at is not None:
            self._close_at += by

    def advance(self, now: float) -> None:
        """Do everything that is due, each at its own time, so that the size of the clock's steps does not matter."""
        while (due := self.due) is not None and due <= now:
            self._now = max(self._now, due)
            self._fire()
        self._now = max(self._now, now)

    def _fire(self) -> None:
        if self._audio.pause_at is not None and self._audio.pause_at <= self._now:
            self._activities(self._audio.stream_ended())
        elif self._go_away is not None and self._go_away[0] <= self._now:
            left, self._go_away = self._go_away[1], None
            self._announce_end(left)
        elif self._close_at is not None and self._close_at <= self._now:
            self._refuse(LIFETIME)
        self._run()

    # --- messages of the client ---------------------------------------------------------------------------------

    def handle(self, event: ClientEvent) -> None:
        """React to a message of the client."""
        try:
            match event:
                case ClientContentReceived(content=content):
                    self._client_content(content)
                case RealtimeInputReceived(input=realtime):
                    self._realtime_input(realtime)
                case ToolResponseReceived(responses=responses):
                    self._tool_response(responses)
                case _:
                    self._context_update(event.update)
        except SessionRefused as refused:
            self._refuse(refused.refusal)
        if not self._audio.listening:
            self._consumed = event.index
        self._run()

    def _client_content(self, content: LiveClientContent) -> None:
        self._check(content, "client_content")
        self._interrupt()
        if self._open is None:
            self._open, self._open_from = [], self._conversation.length
        for turn in content.turns:
            if turn.role == "system" and self._backend is Backend.VERTEX:
                self._setup = attrs.evolve(self._setup, system_instruction=turn)
                continue
            self._conversation.remember(turn)
            if turn.role != "model":
                self._open.append(text_of(turn))
            for part in turn.parts:
                if part.inline_data is not None and (part.inline_data.mime_type or "").startswith("image/"):
                    self._see(part.inline_data)
        if content.turn_complete:
            text, before = "".join(self._open), self._open_from
            self._open = None
            if self._seeding:
                self._seeding = False
            else:
                self._ask(Prompt(kind="text", text=text, before=before))

    def _realtime_input(self, realtime: LiveClientRealtimeInput) -> None:
        if realtime.activity_start is not None:
            self._activities(self._audio.activity_started())
        audio = realtime.audio or next(iter(realtime.media_chunks), None)
        if audio is not None:
            self._media(audio)
        if realtime.video is not None:
            self._media(realtime.video)
        if realtime.text is not None:
            self._text(realtime.text)
        if realtime.activity_end is not None:
            self._activities(self._audio.activity_ended())
        if realtime.audio_stream_end:
            self._activities(self._audio.stream_ended())

    def _media(self, blob: Blob) -> None:
        if (blob.mime_type or "").lower().startswith("image/"):
            self._see(blob)
            return
        self._activities(self._audio.receive(blob, self._now))
        self._conversation.audio = self._earlier_audio + self._audio.position

    def _see(self, blob: Blob) -> None:
        self._images = (blob,)
        self._conversation.count_image()

    def _text(self, text: str) -> None:
        if self._audio.in_window:
            self._window_text.append(text)
            return
        self._barge_in()
        before = self._conversation.remember(Content(role="user", parts=[Part(text=text)]))
        self._ask(Prompt(kind="text", text=text, before=before))

    def _activities(self, activities: Iterable[SpeechActivity]) -> None:
        """React to the activity in one message; as in the service, all utterances in it get one answer."""
        prompts: list[Prompt] = []
        for activity in activities:
            if isinstance(activity, SpeechStarted):
                self._voice(VoiceActivityType.ACTIVITY_START, activity.at)
                self._barge_in()
            else:
                self._voice(VoiceActivityType.ACTIVITY_END, activity.at)
                prompts += self._spoken(activity.pcm)
        if prompts and self._unanswered is not None:
            prompts.insert(0, self._unanswered)
            self._unanswered = None
        if len(prompts) > 1:
            text = " ".join(prompt.text for prompt in prompts)
            prompts = [attrs.evolve(prompts[0], text=text, speech=b"".join(prompt.speech for prompt in prompts))]
        for prompt in prompts:
            if self._audio.busy:
                self._unanswered = prompt
            else:
                self._ask(prompt)

    def _voice(self, kind: VoiceActivityType, at: float) -> None:
        if self._setup.explicit_vad_signal and not self._audio.manual:
            offset = round(self._earlier_audio + at, 3)
            self._port.send(
                LiveServerMessage(
                    server_content=LiveServerContent(),
                    voice_activity=VoiceActivity(voice_activity_type=kind, audio_offset=offset),
                )
            )

    def _spoken(self, pcm: bytes) -> Sequence[Prompt]:
        """Return the prompt for an utterance, or for an activity that may also contain text."""
        text, self._window_text = "".join(self._window_text), []
        transcript = ""
        if pcm:
            transcript = self._context.transcriber(pcm, self._audio.rate)
            if self._setup.input_audio_transcription is not None:
                transcription = Transcription(text=transcript)
                self._port.send(LiveServerMessage(server_content=LiveServerContent(input_transcription=transcription)))
            self._conversation.count_speech(len(pcm) / 2 / self._audio.rate)
        if not pcm and not text:
            return ()
        parts = [Part(text=item) for item in (transcript, text) if item]
        before = self._conversation.remember(Content(role="user", parts=parts))
        if text:
            return (Prompt(kind="text", text=text, speech=pcm, before=before),)
        return (Prompt(kind="speech", text=transcript, speech=pcm, before=before),)

    def _context_update(self, update: LiveClientContextUpdate) -> None:
        self._check(update, "context_update")
        if update.system_instruction is None and update.tools is None:
            raise SessionRefused(INVALID)
        if update.system_instruction is not None:
            self._setup = attrs.evolve(self._setup, system_instruction=update.system_instruction)
        if update.tools is not None:
            self._setup = attrs.evolve(self._setup, tools=update.tools.tools)

    def _check(self, message: object, path: str) -> None:
        refused = check_fields(message, self._backend, path)
        if refused is not None:
            raise SessionRefused(refused)

    # --- function responses: wire.md#function-calling -----------------------------------------------------------

    def _tool_response(self, responses: Sequence[FunctionResponse]) -> None:
        if not responses:
            raise SessionRefused(INVALID)
        self._check(LiveClientToolResponse(function_responses=responses), "tool_response")
        for response in responses:
            if response.scheduling is not None and thinks_on(self._setup):
                raise SessionRefused(SCHEDULING)
            self._responded(response)

    def _responded(self, response: FunctionResponse) -> None:
        conversation, playback = self._conversation, self._playback
        if response.id in conversation.cancelled:
            return  # the client sent it before it saw the cancellation
        key = pending_key(response, conversation, self._backend)
        entry = None if key is None else conversation.pending[key]
        if key is not None and not response.will_continue:
            del conversation.pending[key]
        before = conversation.remember(Content(role="user", parts=[Part(function_response=response)]))
        prompt = Prompt(kind="response", response=response, call=None if entry is None else entry.call, before=before)
        if playback is not None and key in playback.awaiting:
            if not response.will_continue:
                playback.awaiting.discard(key)
            playback.go_on(self._answer(prompt, self._turn(prompt)), self._now)
        elif response.scheduling != FunctionResponseScheduling.SILENT:
            if response.scheduling == FunctionResponseScheduling.INTERRUPT:
                self._interrupt()
            self._ask(prompt)

    def _cancellation(self, keys: Iterable[str]) -> LiveServerToolCallCancellation | None:
        ids = self._conversation.cancel(keys)
        return LiveServerToolCallCancellation(ids=ids) if ids else None

    # --- turns --------------------------------------------------------------------------------------------------

    def _ask(self, prompt: Prompt) -> None:
        """Answer a prompt now or after the running turn, but not while client content is incomplete."""
        if not self._context.answers or self._open is not None:
            return
        if self._playback is None:
            self._begin(prompt)
        else:
            self._queue.append(prompt)

    def _turn(self, prompt: Prompt) -> UserTurn:
        return UserTurn(
            text=prompt.text,
            speech=prompt.speech,
            rate=self._audio.rate,
            response=prompt.response,
            call=prompt.call,
            history=self._conversation.until(prompt.before),
            pending=tuple(entry.call for entry in self._conversation.pending.values()),
            images=self._images,
            setup=self._setup,
            backend=self._backend,
        )

    def _answer(self, prompt: Prompt, turn: UserTurn) -> Iterable[ModelAction]:
        model = self._context.model
        if prompt.kind == "text":
            return model.on_text(turn)
        return model.on_speech(turn) if prompt.kind == "speech" else model.on_tool_response(turn)

    def _begin(self, prompt: Prompt) -> None:
        if self._options.withhold_handles and self._setup.session_resumption is not None:
            self._port.send(LiveServerMessage(session_resumption_update=LiveServerSessionResumptionUpdate()))
        turn = attrs.evolve(self._turn(prompt), interrupted=self._interrupted)
        self._interrupted = False
        self._playback = TurnPlayback(self._answer(prompt, turn), turn, self._options, self._now)

    def _barge_in(self) -> None:
        config = self._setup.realtime_input_config
        if config is None or config.activity_handling != ActivityHandling.NO_INTERRUPTION:
            self._interrupt()

    def _interrupt(self) -> None:
        playback, self._playback = self._playback, None
        if playback is None:
            return
        self._interrupted = True
        playback.stop()
        self._port.send(
            LiveServerMessage(
                server_content=LiveServerContent(interrupted=True),
                tool_call_cancellation=self._cancellation(sorted(playback.awaiting)),
            )
        )
        self._end_turn(playback)

    def _end_turn(self, playback: TurnPlayback) -> None:
        self._conversation.add_answer(playback)
        status = None
        if self._options.interaction_status:
            busy = bool(self._conversation.pending or self._queue)
            status = InteractionStatus.IN_PROGRESS if busy else InteractionStatus.IDLE
        self._port.send(
            LiveServerMessage(
                server_content=LiveServerContent(
                    turn_complete=True,
                    turn_complete_reason=playback.end.reason if playback.end is not None else None,
                    interaction_status=status,
                ),
                usage_metadata=self._conversation.usage(playback),
            )
        )
        self._offer_resumption()

    def _run(self) -> None:
        """Do everything that is due, and start a queued prompt when no turn is running and the user is silent."""
        while True:
            playback = self._playback
            if playback is None:
                if not self._queue or self._open is not None or self._audio.busy:
                    return
                self._begin(self._queue.popleft())
            elif (effect := playback.take(self._now)) is not None:
                self._apply(effect, playback)
            else:
                return

    def _apply(self, effect: Effect, playback: TurnPlayback) -> None:
        match effect:
            case LiveServerMessage():
                self._port.send(effect)
            case Done():
                self._playback = None
                self._end_turn(playback)
            case Cancel(ids=ids):
                cancellation = self._cancellation(ids or tuple(self._conversation.pending))
                if cancellation is not None:
                    self._port.send(LiveServerMessage(tool_call_cancellation=cancellation))
                playback.awaiting.intersection_update(self._conversation.pending)
            case SendGoAway(seconds=seconds):
                end = self._now + seconds
                self._close_at = end if self._close_at is None else min(self._close_at, end)
                self._go_away = None
                self._announce_end(seconds)
            case Close(code=code, reason=reason):
                self._refuse(SessionRefusal(code, reason))
            case Drop():
                self.stop()
                self._port.drop()
            case calls:
                self._conversation.add_answer(playback)
                for message in make_calls(calls, playback, self._conversation, self._context):
                    self._port.send(message)

    # --- the end, resumption ------------------------------------------------------------------------------------

    def _announce_end(self, seconds: float) -> None:
        self._port.send(LiveServerMessage(go_away=LiveServerGoAway(time_left=seconds)))

    def _refuse(self, refusal: SessionRefusal) -> None:
        self.stop()
        self._port.refuse(refusal)

    def _offer_resumption(self) -> None:
        resumption = self._setup.session_resumption
        if resumption is not None:
            self._port.send(
                LiveServerMessage(
                    session_resumption_update=LiveServerSessionResumptionUpdate(
                        new_handle=self._context.store.issue(self._conversation),
                        resumable=True,
                        last_consumed_client_message_index=self._consumed if resumption.transparent else None,
                    )
                )
            )
