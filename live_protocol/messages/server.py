"""The messages of the service: the envelope and its members (wire.md#server-messages)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import attrs

from live_protocol.messages.config import VoiceConsentSignature
from live_protocol.messages.content import Content, FunctionCall, Transcription
from live_protocol.messages.enums import (
    InteractionStatus,
    TurnCompleteReason,
    VadSignalType,
    VoiceActivityType,
)
from live_protocol.messages.fields import NO_EXTRA, Backend, Duration, Int64, fast_define, wire
from live_protocol.messages.grounding import GroundingMetadata, UrlContextMetadata
from live_protocol.messages.usage import UsageMetadata

__all__ = [
    "LiveServerContent",
    "LiveServerGoAway",
    "LiveServerMessage",
    "LiveServerSessionResumptionUpdate",
    "LiveServerSetupComplete",
    "LiveServerToolCall",
    "LiveServerToolCallCancellation",
    "VoiceActivity",
    "VoiceActivityDetectionSignal",
]


@final
@attrs.frozen(kw_only=True)
class LiveServerSetupComplete:
    """The answer to ``setup``; empty on Gemini (wire.md#handshake).

    Attributes:
        session_id: Id of the session. Vertex only.
        voice_consent_signature: Reusable proof of the verified consent. Gemini only.
    """

    session_id: str | None = wire(only=Backend.VERTEX)
    voice_consent_signature: VoiceConsentSignature | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@fast_define(kw_only=True)
class LiveServerContent:
    """Model output and the state of the turn; several fields can be set at once (wire.md#turn-state).

    Attributes:
        model_turn: New output of the model.
        input_transcription: Transcript of the user's audio, in no defined order with other fields.
        interim_input_transcription: Provisional transcript while the user speaks; cumulative.
        output_transcription: Transcript of the model's audio; a delta.
        generation_complete: The server has sent all output of the turn; absent in interrupted turns.
        interrupted: The user interrupted the generation: drop queued audio.
        turn_complete: The turn is over; with audio, when playback would be over.
        turn_complete_reason: Why the turn ended abnormally.
        interaction_status: Whether more turns follow by themselves; comes with ``turn_complete``.
        waiting_for_input: The model is silent because it expects the user to go on.
        grounding_metadata: Sources of the answer.
        url_context_metadata: URLs that the service fetched.
    """

    model_turn: Content | None = None
    input_transcription: Transcription | None = None
    interim_input_transcription: Transcription | None = None
    output_transcription: Transcription | None = None
    generation_complete: bool | None = None
    interrupted: bool | None = None
    turn_complete: bool | None = None
    turn_complete_reason: TurnCompleteReason | str | None = None
    interaction_status: InteractionStatus | str | None = None
    waiting_for_input: bool | None = None
    grounding_metadata: GroundingMetadata | None = None
    url_context_metadata: UrlContextMetadata | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@fast_define(kw_only=True)
class LiveServerToolCall:
    """Function calls for the client to run (wire.md#tool-calls).

    Attributes:
        function_calls: The calls.
    """

    function_calls: Sequence[FunctionCall] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveServerToolCallCancellation:
    """Cancelled calls; send no results for them (wire.md#cancellation).

    Attributes:
        ids: Ids of the calls.
    """

    ids: Sequence[str] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveServerGoAway:
    """Announces the end of the connection (wire.md#go-away).

    Attributes:
        time_left: Seconds until the service closes the connection.
    """

    time_left: Duration | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveServerSessionResumptionUpdate:
    """The point from which the session can be resumed (wire.md#resumption).

    An empty update means "not resumable now". An older handle stays valid, but resuming from it may lose later events.

    Attributes:
        new_handle: Handle to resume from; absent while resuming is impossible.
        resumable: Whether resuming now loses nothing.
        last_consumed_client_message_index: Last client message that the handle covers, in transparent mode; setup is 0,
            and each connection restarts the count. Vertex only.
    """

    new_handle: str | None = wire(secret=True)
    resumable: bool | None = None
    last_consumed_client_message_index: Int64 | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class VoiceActivityDetectionSignal:
    """The older form of ``VoiceActivity``; only for projects on an allow list (wire.md#voice-activity).

    Attributes:
        vad_signal_type: Start or end of speech.
    """

    vad_signal_type: VadSignalType | str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class VoiceActivity:
    """The service noticed that the user started or stopped speaking (wire.md#voice-activity).

    Attributes:
        voice_activity_type: Start or end; the wire key is ``type``.
        audio_offset: Seconds since the start of the session's audio, across resumptions.
    """

    voice_activity_type: VoiceActivityType | str | None = wire(json="type")
    audio_offset: Duration | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@fast_define(kw_only=True)
class LiveServerMessage:
    """Envelope of every server message (wire.md#server-messages).

    Normally one field is set. ``usage_metadata`` may accompany another one, and ``voice_activity`` comes with an empty
    ``server_content``.

    Attributes:
        setup_complete: Answer to setup; the first message of every connection.
        server_content: Model output and the state of the turn.
        tool_call: Function calls for the client to run.
        tool_call_cancellation: Cancelled calls.
        usage_metadata: Token counts, with another member or alone.
        go_away: The connection will end soon.
        session_resumption_update: The point from which the session can be resumed.
        voice_activity_detection_signal: Older form of ``voice_activity``.
        voice_activity: The user started or stopped speaking.
    """

    setup_complete: LiveServerSetupComplete | None = None
    server_content: LiveServerContent | None = None
    tool_call: LiveServerToolCall | None = None
    tool_call_cancellation: LiveServerToolCallCancellation | None = None
    usage_metadata: UsageMetadata | None = None
    go_away: LiveServerGoAway | None = None
    session_resumption_update: LiveServerSessionResumptionUpdate | None = None
    voice_activity_detection_signal: VoiceActivityDetectionSignal | None = None
    voice_activity: VoiceActivity | None = None
    extra: Mapping[str, Any] = NO_EXTRA
