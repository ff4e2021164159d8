"""The server's messages on the timeline."""

from __future__ import annotations

from typing import Final

from live_protocol import events as ev
from live_protocol.conversation.transcripts import Role, TranscriptAssembler, Utterance
from live_protocol.messages import Backend, LiveServerMessage
from live_protocol.recording.timeline.drafts import ConnectionDraft, State, ToolDraft, TurnDraft
from live_protocol.recording.timeline.spans import Gap, GapKind, TranscriptKind, TranscriptSpan
from live_protocol.session.receiving import ServerMessageReader
from live_protocol.session.tool_calls import ToolCallTracker
from live_protocol.session.usage import Usage

_UNDERRUN: Final = 0.05  # seconds; every player buffers more

_KINDS: Final = {Role.USER: TranscriptKind.HEARD, Role.MODEL: TranscriptKind.SAID, Role.THOUGHT: TranscriptKind.THOUGHT}


class ServerSide(State):
    """The half of the builder that follows the server's messages."""

    def __init__(self, *, timed: bool) -> None:
        super().__init__(timed=timed)
        self._usage = Usage()
        self._turn: TurnDraft | None = None  # the running turn
        self._assembler = TranscriptAssembler()
        self._utterances: dict[int, tuple[float, float, Utterance, int]] = {}
        self._tracker = ServerMessageReader(ToolCallTracker(Backend.GEMINI, allow_unknown_ids=True))

    @property
    def usage(self) -> Usage:
        """Tokens of all connections."""
        return self._usage

    def fresh(self) -> None:
        """Start counting generations and calls again, for another connection."""
        self._tracker = ServerMessageReader(ToolCallTracker(Backend.GEMINI, allow_unknown_ids=True))

    def from_server(self, message: LiveServerMessage, connection: ConnectionDraft) -> None:
        """Take in one message."""
        self._tracker.now = self.now
        for event in self._tracker.events(message, unexpected=False):
            for said in self._assembler.feed(event):
                self._said(said)
            if isinstance(event, ev.AudioChunk):
                self._audio(event)
            elif not self._in_turn(event) and not self._in_call(event):
                self._mark(event, connection)

    def lose_turn(self) -> None:
        """End the turn and the utterances that ran on a lost connection."""
        for said in self._assembler.close():
            self._said(said)
        if self._turn is not None:
            self._turn.end = self.now
            self._turn.interrupted = self._turn.interrupted or self.now
            self._turn = None

    def said(self) -> tuple[TranscriptSpan, ...]:
        """Everything that was said or written, by its beginning."""
        spoken = [
            TranscriptSpan(
                kind=_KINDS[utterance.role],
                start=start,
                end=end,
                text=self.texts.whole(utterance.text),
                interrupted=utterance.interrupted,
                turn=turn,
            )
            for start, end, utterance, turn in self._utterances.values()
            if utterance.text
        ]
        return tuple(sorted([*spoken, *self.written], key=lambda said: said.start))

    # --- inside -------------------------------------------------------------------------------------------------

    def _said(self, utterance: Utterance) -> None:
        turn = 0 if utterance.role is Role.USER or not self.turns else self.turns[-1].number
        start, end, before, turn = self._utterances.get(utterance.number, (self.now, self.now, utterance, turn))
        if before.text != utterance.text:
            end = self.now
        self._utterances[utterance.number] = (start, end, utterance, turn)

    def _audio(self, event: ev.AudioChunk) -> None:
        strips, turn = self.model_audio, self._turn
        number = self.turns[-1].number if self.turns else 0
        if turn is not None and not event.stale:
            if turn.first_audio is None:
                turn.first_audio = self.now
            elif self.timed and self.now > strips.cursor + _UNDERRUN:
                self.gaps.append(Gap(kind=GapKind.UNDERRUN, start=strips.cursor, end=self.now, turn=number))
        strips.add(self.now, event.data, event.format, turn=number, stale=event.stale)

    def _in_turn(self, event: ev.SessionEvent) -> bool:
        turn = self._turn
        match event:
            case ev.TurnStarted():
                self._turn = self.begin_turn()
            case ev.TextChunk() | ev.OutputTranscript():
                if turn is not None and turn.first_text is None and event.text and not getattr(event, "thought", False):
                    turn.first_text = self.now
            case ev.InputTranscript() | ev.InterimInputTranscript():
                pass
            case ev.GenerationComplete():
                if turn is not None:
                    turn.generated = self.now
                self.mark("generation complete", sent=False)
            case ev.Interrupted():
                if turn is not None:
                    turn.interrupted = self.now
                    if self.timed:
                        self.model_audio.cut(self.now)
                self.mark("interrupted", f"turn {turn.number}" if turn is not None else "no turn", sent=False)
            case ev.TurnComplete():
                reason = str(event.reason or "")
                if turn is not None:
                    turn.end = self.now
                    turn.reason = self.texts.detail(reason)
                    self._turn = None
                self.mark("turn complete", reason, sent=False, problem=bool(reason))
            case ev.UsageUpdated():
                self._usage = self._usage.added(event.usage)
                total = event.usage.total_token_count or 0
                if self.turns:
                    self.turns[-1].tokens = (self.turns[-1].tokens or 0) + total
                self.mark("usage", f"{total} tokens", sent=False)
            case _:
                return False
        return True

    def _in_call(self, event: ev.SessionEvent) -> bool:
        if isinstance(event, ev.ToolCallRequested):
            request, clean = event.call, self.texts.detail
            call = ToolDraft(
                call_id=clean(request.id or ""),
                name=clean(request.name or ""),
                arguments=self.texts.json(dict(request.args or {})),
                start=self.now,
                turn=self.turns[-1].number if self.turns else 0,
                connection=self.connections[-1].number,
            )
            self.requested(call, request.id, request.name)
            return True
        if isinstance(event, ev.ToolCallCancelled):
            cancelled = self.call_of(event.call_id, None, done=True)
            if cancelled is None:
                self.mark("tool cancelled", f"unknown call: {event.call_id}", sent=False, problem=True)
            elif cancelled.cancelled is None:
                cancelled.cancelled = self.now
            return True
        return False

    def _mark(self, event: ev.SessionEvent, connection: ConnectionDraft) -> None:
        kind, detail, problem = "", "", False
        match event:
            case ev.SetupComplete():
                kind = "setup complete"
                connection.ready = self.now
            case ev.GoAway():
                kind, detail = "go away", "" if event.time_left is None else f"{event.time_left:g} s left"
                connection.going_away = self.now
            case ev.ResumptionUpdated():
                self.texts.handle(event.handle)
                kind = "resumption"
                detail = ("new handle" if event.handle else "") if event.resumable else "not possible now"
            case ev.WaitingForInput():
                kind = "waiting for input"
            case ev.InteractionStatusChanged():
                kind, detail = "interaction", str(event.status)
            case ev.VoiceActivityDetected():
                at = "" if event.audio_offset is None else f" at {event.audio_offset:g} s of audio"
                kind, detail = "voice activity", f"{event.kind or event.signal or ''}{at}"
            case ev.InlineDataChunk():
                kind, detail = "media", f"{event.blob.mime_type or 'no type'}, {len(event.blob.data or b'')} bytes"
            case ev.ExecutableCodeReceived():
                kind, detail = "code", event.code.code or ""
            case ev.CodeExecutionResultReceived():
                kind, detail = "code result", f"{event.result.outcome}: {event.result.output or ''}"
            case ev.Grounding():
                kind, detail = "grounding", f"{len(event.metadata.grounding_chunks)} sources"
            case ev.UrlContextRetrieved():
                kind, detail = "url context", f"{len(event.metadata.url_metadata)} pages"
            case ev.ServerError():
                words = (str(event.code or ""), event.status, event.text)
                kind, detail, problem = "server error", " ".join(filter(None, words)), True
            case ev.UnknownMessage():
                kind, detail, problem = "unknown message", ", ".join(event.fields), True
            case _:
                kind = "part"
        self.mark(kind, detail, sent=False, problem=problem)
