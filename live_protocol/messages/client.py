"""The messages of a client: the envelope and its five members (wire.md#client-messages)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import attrs

from live_protocol.messages.config import (
    AudioTranscriptionConfig,
    AvatarConfig,
    ContextWindowCompressionConfig,
    GenerationConfig,
    HistoryConfig,
    ProactivityConfig,
    RealtimeInputConfig,
    SafetySetting,
    SessionResumptionConfig,
)
from live_protocol.messages.content import Blob, Content, FunctionResponse
from live_protocol.messages.fields import NO_EXTRA, Backend, fast_define, wire
from live_protocol.messages.tools import Tool

__all__ = [
    "ActivityEnd",
    "ActivityStart",
    "LiveClientContent",
    "LiveClientContextUpdate",
    "LiveClientContextUpdateTools",
    "LiveClientMessage",
    "LiveClientRealtimeInput",
    "LiveClientSetup",
    "LiveClientToolResponse",
]


@final
@attrs.frozen(kw_only=True)
class LiveClientSetup:
    """The first message of every connection, resumed or not: configures the session (wire.md#setup).

    The service answers with ``LiveServerSetupComplete``. When resuming, everything but the model may change.

    Attributes:
        model: Resource name of the model (wire.md#model-names). Required.
        generation_config: Modalities, voice, thinking, sampling.
        system_instruction: System prompt; text parts only, each a paragraph.
        tools: Tools that the model may use.
        realtime_input_config: Activity detection and turn taking.
        input_audio_transcription: Switches on transcripts of the user's audio, even empty.
        output_audio_transcription: Switches on transcripts of the model's audio, even empty.
        session_resumption: Switches on resumption, even empty.
        context_window_compression: Switches on trimming of the context.
        history_config: How earlier history enters the session.
        proactivity: Whether the model acts on its own; on Gemini v1alpha only.
        explicit_vad_signal: Whether to send ``VoiceActivity``. Vertex only.
        avatar_config: Video avatar.
        safety_settings: Blocking of harmful content; Gemini v1beta has refused it.
        labels: The caller's own labels, for billing or as a safety identifier.
    """

    model: str | None = wire(required=True)
    generation_config: GenerationConfig | None = None
    system_instruction: Content | None = None
    tools: Sequence[Tool] = ()
    realtime_input_config: RealtimeInputConfig | None = None
    input_audio_transcription: AudioTranscriptionConfig | None = None
    output_audio_transcription: AudioTranscriptionConfig | None = None
    session_resumption: SessionResumptionConfig | None = None
    context_window_compression: ContextWindowCompressionConfig | None = None
    history_config: HistoryConfig | None = None
    proactivity: ProactivityConfig | None = None
    explicit_vad_signal: bool | None = wire(only=Backend.VERTEX)
    avatar_config: AvatarConfig | None = None
    safety_settings: Sequence[SafetySetting] = ()
    labels: Mapping[str, str] | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveClientContent:
    """Turns to append to the history, in order (wire.md#client-content).

    Interrupts a running generation. With ``turn_complete`` and no turns it means "go on".

    Attributes:
        turns: What to append; user and model turns may alternate.
        turn_complete: True requests an answer; otherwise the service waits for more client content.
    """

    turns: Sequence[Content] = ()
    turn_complete: bool | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ActivityStart:
    """Marks the start of user activity; has no fields (wire.md#activity)."""

    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ActivityEnd:
    """Marks the end of user activity; has no fields (wire.md#activity)."""

    extra: Mapping[str, Any] = NO_EXTRA


@final
@fast_define(kw_only=True)
class LiveClientRealtimeInput:
    """One piece of live input; set exactly one field (wire.md#realtime-input).

    Audio, video and text are separate streams; the order between them is not defined.

    Attributes:
        audio: The next chunk of audio.
        video: The next frame of video, as an image.
        text: The next piece of typed text.
        activity_start: The user starts; only with automatic detection off.
        activity_end: The user stops; only with automatic detection off.
        audio_stream_end: The microphone is off, and the service flushes its buffer; only with automatic detection on.
        media_chunks: Deprecated; only the first one is read.
    """

    audio: Blob | None = None
    video: Blob | None = None
    text: str | None = None
    activity_start: ActivityStart | None = None
    activity_end: ActivityEnd | None = None
    audio_stream_end: bool | None = None
    media_chunks: Sequence[Blob] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveClientToolResponse:
    """Results of function calls, matched to the calls by ``id`` (wire.md#tool-response).

    The calls of a message may be answered together or one by one.

    Attributes:
        function_responses: One entry per call, or per piece of a streamed response.
    """

    function_responses: Sequence[FunctionResponse] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveClientContextUpdateTools:
    """A list of tools; absent keeps the tools, empty removes them all (wire.md#context-update).

    Attributes:
        tools: The complete new list.
    """

    tools: Sequence[Tool] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveClientContextUpdate:
    """Replaces instructions or tools in mid-session, in order with other input (wire.md#context-update).

    Only newer models support it. It invalidates the prefix cache. At least one field is set.

    Attributes:
        system_instruction: New instructions; unchanged when absent.
        tools: New tools; unchanged when absent.
    """

    system_instruction: Content | None = None
    tools: LiveClientContextUpdateTools | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@fast_define(kw_only=True)
class LiveClientMessage:
    """Envelope of every client message; exactly one field is set (wire.md#client-messages).

    Attributes:
        setup: Configuration; the first message and only the first.
        client_content: Ordered turns for the history.
        realtime_input: Streamed audio, video, text and activity marks.
        tool_response: Results of function calls.
        context_update: New instructions or tools in mid-session.
    """

    setup: LiveClientSetup | None = None
    client_content: LiveClientContent | None = None
    realtime_input: LiveClientRealtimeInput | None = None
    tool_response: LiveClientToolResponse | None = None
    context_update: LiveClientContextUpdate | None = None
    extra: Mapping[str, Any] = NO_EXTRA
