"""From one decoded message to its events, in the fixed order of the design; nothing it bundles is dropped."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from live_protocol import events as ev
from live_protocol.messages import (
    Blob,
    InteractionStatus,
    LiveClientMessage,
    LiveServerContent,
    LiveServerMessage,
    Part,
)
from live_protocol.messages.audio_format import OUTPUT_RATE, AudioFormat
from live_protocol.messages.fields import Extra
from live_protocol.session.message_kinds import has_output
from live_protocol.session.resumption import Resumption
from live_protocol.session.tool_calls import ToolCallTracker
from live_protocol.session.turns import TurnTracker
from live_protocol.session.usage import Usage
from live_protocol.states import TurnInput

_MAX_MIME_TYPE = 200
# REQUIRES_ACTION is the deprecated name of IDLE (wire.md#turn-state).
_OVER = (InteractionStatus.IDLE, InteractionStatus.REQUIRES_ACTION)
_UNSAID = (None, InteractionStatus.INTERACTION_STATUS_UNSPECIFIED)

# What every session begins with; they are immutable, so all share them.
_NO_USAGE = Usage()
_NO_RESUMPTION = Resumption()
_NO_MESSAGE = LiveServerMessage()


@functools.lru_cache(maxsize=64)  # a peer that makes up types must not make us keep them
def _audio_format(mime_type: str) -> AudioFormat | None:
    return AudioFormat.parse(mime_type, default_rate=OUTPUT_RATE)


class ServerMessageReader:
    """What the client role follows across messages, and the events it makes of each.

    Attributes:
        turns: The model's turn.
        calls: Tool calls.
        usage: Tokens so far.
        resumption: How the session could be resumed.
        now: Clock reading of the message in hand.
    """

    __slots__ = ("_message", "_unexpected", "calls", "now", "resumption", "turns", "usage")

    def __init__(self, calls: ToolCallTracker) -> None:
        self.turns: TurnTracker = TurnTracker()
        self.calls: ToolCallTracker = calls
        self.usage: Usage = _NO_USAGE
        self.resumption: Resumption = _NO_RESUMPTION
        self.now: float | None = None
        self._message: LiveServerMessage = _NO_MESSAGE
        self._unexpected = False

    @staticmethod
    def audio_format(mime_type: str) -> AudioFormat | None:
        """The format a MIME type stands for; a bare ``audio/pcm`` is 24 kHz (wire.md#audio)."""
        return None if len(mime_type) > _MAX_MIME_TYPE else _audio_format(mime_type)

    def events(self, message: LiveServerMessage, *, unexpected: bool) -> list[ev.SessionEvent]:
        """The events of one message."""
        self._message = message
        self._unexpected = unexpected
        out: list[ev.SessionEvent] = []
        self._lifecycle(out, message)
        content = message.server_content
        if content is not None and content.interrupted:
            step = self.turns.apply(TurnInput.INTERRUPTED)
            out.append(ev.Interrupted(**self._output(odd=step.unexpected)))
        if message.tool_call_cancellation is not None:
            for call_id in message.tool_call_cancellation.ids:
                is_open = self.calls.cancelled(call_id)
                out.append(ev.ToolCallCancelled(call_id=call_id, known=is_open, **self._server()))
        if content is not None:
            self._user(out, content)
        if has_output(message):
            self._model(out, message, content or LiveServerContent())
        if content is not None:
            self._turn_end(out, content)
        if message.usage_metadata is not None:
            self.usage = self.usage.added(message.usage_metadata)
            out.append(ev.UsageUpdated(usage=message.usage_metadata, **self._server()))
        self._outlook(out, message)
        self._message = _NO_MESSAGE  # the events hold it as long as it is needed
        return out

    def _server(self) -> dict[str, Any]:
        return {"message": self._message, "unexpected": self._unexpected}

    def _output(self, *, odd: bool = False, stale: bool = False) -> dict[str, Any]:
        return {
            "message": self._message,
            "unexpected": self._unexpected or odd,
            "generation": self.turns.generation,
            "stale": stale,
        }

    def _lifecycle(self, out: list[ev.SessionEvent], message: LiveServerMessage) -> None:
        if message.setup_complete is not None:
            out.append(ev.SetupComplete(session_id=message.setup_complete.session_id, **self._server()))
        if message.voice_activity is not None:
            activity = message.voice_activity
            out.append(
                ev.VoiceActivityDetected(
                    kind=activity.voice_activity_type, audio_offset=activity.audio_offset, **self._server()
                )
            )
        if message.voice_activity_detection_signal is not None:
            out.append(
                ev.VoiceActivityDetected(
                    signal=message.voice_activity_detection_signal.vad_signal_type, **self._server()
                )
            )

    def _user(self, out: list[ev.SessionEvent], content: LiveServerContent) -> None:
        if (interim := content.interim_input_transcription) is not None:
            out.append(ev.InterimInputTranscript(text=interim.text or "", transcription=interim, **self._server()))
        if (heard := content.input_transcription) is not None:
            out.append(
                ev.InputTranscript(
                    text=heard.text or "", finished=bool(heard.finished), transcription=heard, **self._server()
                )
            )

    def _model(self, out: list[ev.SessionEvent], message: LiveServerMessage, content: LiveServerContent) -> None:
        step = self.turns.apply(TurnInput.OUTPUT)
        if step.started:
            out.append(ev.TurnStarted(**self._output()))
        shared = self._output(odd=step.unexpected, stale=step.stale)
        self.add_output(out, content, shared)
        if content.grounding_metadata is not None:
            out.append(ev.Grounding(metadata=content.grounding_metadata, **shared))
        if content.url_context_metadata is not None:
            out.append(ev.UrlContextRetrieved(metadata=content.url_context_metadata, **shared))
        if message.tool_call is not None:
            for call in message.tool_call.function_calls:
                fresh = self.calls.requested(call)
                odd = {**shared, "unexpected": shared["unexpected"] or not fresh}
                out.append(ev.ToolCallRequested(call=call, epoch=self.calls.epoch, **odd))

    def add_output(self, out: list[ev.SessionEvent], content: LiveServerContent, shared: dict[str, Any]) -> None:
        """Add the events of what the model says: the transcript, then the parts.

        Args:
            out: Where to add them.
            content: What they are made of.
            shared: Further attributes of each.
        """
        if (spoken := content.output_transcription) is not None:
            out.append(
                ev.OutputTranscript(
                    text=spoken.text or "", finished=bool(spoken.finished), transcription=spoken, **shared
                )
            )
        if content.model_turn is not None:
            out.extend([self._part(part, shared) for part in content.model_turn.parts])

    def _part(self, part: Part, shared: dict[str, Any]) -> ev.SessionEvent:
        if part.inline_data is not None:
            return self.inline_data(part.inline_data, part, shared)
        if part.text is not None:
            return ev.TextChunk(text=part.text, thought=bool(part.thought), **shared)
        if part.executable_code is not None:
            return ev.ExecutableCodeReceived(code=part.executable_code, **shared)
        if part.code_execution_result is not None:
            return ev.CodeExecutionResultReceived(result=part.code_execution_result, **shared)
        return ev.PartReceived(part=part, **shared)

    def inline_data(self, blob: Blob, part: Part, shared: dict[str, Any]) -> ev.SessionEvent:
        """Audio if it is PCM at a rate within bounds, otherwise just data."""
        audio = self.audio_format(blob.mime_type or "")
        if audio is None:
            return ev.InlineDataChunk(blob=blob, part=part, **shared)
        return ev.AudioChunk(data=blob.data or b"", format=audio, **shared)

    def _turn_end(self, out: list[ev.SessionEvent], content: LiveServerContent) -> None:
        if content.generation_complete:
            step = self.turns.apply(TurnInput.GENERATION_COMPLETE)
            if step.started:
                out.append(ev.TurnStarted(**self._output()))
            out.append(ev.GenerationComplete(**self._output(odd=step.unexpected)))
        if content.waiting_for_input:
            out.append(ev.WaitingForInput(**self._output()))
        status = content.interaction_status
        if content.turn_complete:
            step = self.turns.apply(TurnInput.TURN_COMPLETE)
            out.append(
                ev.TurnComplete(
                    reason=content.turn_complete_reason,
                    interaction_status=status,
                    interaction_complete=status in _UNSAID or status in _OVER,
                    **self._output(odd=step.unexpected),
                )
            )
        if status is not None:
            out.append(ev.InteractionStatusChanged(status=status, **self._server()))

    def _outlook(self, out: list[ev.SessionEvent], message: LiveServerMessage) -> None:
        if message.go_away is not None:
            out.append(ev.GoAway(time_left=message.go_away.time_left, **self._server()))
        if (update := message.session_resumption_update) is not None:
            self.resumption = self.resumption.updated(update, self.now)
            out.append(
                ev.ResumptionUpdated(
                    handle=update.new_handle or None,
                    resumable=bool(update.resumable),
                    last_consumed_client_message_index=update.last_consumed_client_message_index,
                    **self._server(),
                )
            )
        content = message.server_content
        nested = content is not None and content.extra
        if message.extra or nested:
            unknown = Extra(message.extra)
            if nested:
                unknown["serverContent"] = nested
            error = unknown.pop("error", None)
            if error is not None:
                out.append(self._server_error(error))
            if unknown:
                out.append(ev.UnknownMessage(fields=unknown, **self._server()))

    def _server_error(self, error: Any) -> ev.ServerError:
        # Never seen on the wire, so nothing about its shape is taken for granted (wire.md#open-questions).
        members = error if isinstance(error, dict) else {"message": error}
        code = members.get("code")
        return ev.ServerError(
            code=code if type(code) is int else None,
            text=_text(members.get("message")),
            status=_text(members.get("status")),
            **self._server(),
        )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def client_message_events(message: LiveClientMessage, *, index: int, unexpected: bool) -> Iterator[ev.SessionEvent]:
    """The events of one client message."""
    shared: dict[str, Any] = {"message": message, "index": index, "unexpected": unexpected}
    if message.setup is not None:
        yield ev.SetupReceived(setup=message.setup, **shared)
    if message.client_content is not None:
        yield ev.ClientContentReceived(content=message.client_content, **shared)
    if message.realtime_input is not None:
        yield ev.RealtimeInputReceived(input=message.realtime_input, **shared)
    if message.tool_response is not None:
        yield ev.ToolResponseReceived(responses=message.tool_response.function_responses, **shared)
    if message.context_update is not None:
        yield ev.ContextUpdateReceived(update=message.context_update, **shared)
    if message.extra:
        yield ev.UnknownMessage(fields=message.extra, message=message, unexpected=unexpected)
