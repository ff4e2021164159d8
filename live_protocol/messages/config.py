"""Session options: generation, speech, turn taking, transcription, resumption (wire.md#setup)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import attrs

from live_protocol.messages.enums import (
    ActivityHandling,
    AspectRatio,
    AudioTranscriptionConfigMode,
    Delivery,
    EndSensitivity,
    FeatureSelectionPreference,
    HarmBlockMethod,
    HarmBlockThreshold,
    HarmCategory,
    ImageSize,
    MediaResolution,
    Modality,
    ModelRoutingPreference,
    StartSensitivity,
    ThinkingLevel,
    TurnCoverage,
)
from live_protocol.messages.fields import NO_EXTRA, Backend, Duration, Int64, JsonObject, JsonValue, wire
from live_protocol.messages.schema import Schema

__all__ = [
    "AudioResponseFormat",
    "AudioTranscriptionConfig",
    "AutomaticActivityDetection",
    "AvatarConfig",
    "ContextWindowCompressionConfig",
    "CustomizedAvatar",
    "GenerationConfig",
    "GenerationConfigRoutingConfig",
    "GenerationConfigRoutingConfigAutoRoutingMode",
    "GenerationConfigRoutingConfigManualRoutingMode",
    "HistoryConfig",
    "ImageResponseFormat",
    "LanguageAuto",
    "LanguageHints",
    "ModelSelectionConfig",
    "MultiSpeakerVoiceConfig",
    "PrebuiltVoiceConfig",
    "ProactivityConfig",
    "RealtimeInputConfig",
    "ReplicatedVoiceConfig",
    "ResponseFormat",
    "SafetySetting",
    "SessionResumptionConfig",
    "SlidingWindow",
    "SpeakerVoiceConfig",
    "SpeechConfig",
    "TextResponseFormat",
    "ThinkingConfig",
    "TranslationConfig",
    "VideoResponseFormat",
    "VoiceConfig",
    "VoiceConsentSignature",
]


@final
@attrs.frozen(kw_only=True)
class VoiceConsentSignature:
    """Reusable proof that the owner of a cloned voice consented (wire.md#gemini-only).

    Attributes:
        signature: Opaque signature.
    """

    signature: str | None = wire(only=Backend.GEMINI, secret=True)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ReplicatedVoiceConfig:
    """A voice cloned from a sample (wire.md#speech).

    Attributes:
        mime_type: Media type of the sample; ``audio/wav`` means 24 kHz, mono, 16 bits.
        voice_sample_audio: The sample.
        consent_audio: Recording of the owner's consent. Gemini only.
        voice_consent_signature: Signature of an earlier consent, instead of the recording. Gemini only.
    """

    mime_type: str | None = None
    voice_sample_audio: bytes | None = wire(blob=True)
    consent_audio: bytes | None = wire(only=Backend.GEMINI, blob=True)
    voice_consent_signature: VoiceConsentSignature | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class PrebuiltVoiceConfig:
    """A voice of the service, by name (wire.md#speech).

    Attributes:
        voice_name: Name such as ``Kore``, ``Puck``, ``Aoede``.
    """

    voice_name: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class VoiceConfig:
    """One voice; exactly one field is set (wire.md#speech).

    Attributes:
        prebuilt_voice_config: A voice by name.
        replicated_voice_config: A cloned voice.
        voice: Name or resource name of a voice.
    """

    prebuilt_voice_config: PrebuiltVoiceConfig | None = None
    replicated_voice_config: ReplicatedVoiceConfig | None = None
    voice: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class SpeakerVoiceConfig:
    """The voice of one speaker (wire.md#speech).

    Attributes:
        speaker: Name of the speaker in the prompt. Required.
        voice_config: The voice. Required.
    """

    speaker: str | None = wire(required=True)
    voice_config: VoiceConfig | None = wire(required=True)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class MultiSpeakerVoiceConfig:
    """The voices of several speakers; the official SDK refuses it for live sessions (wire.md#speech).

    Attributes:
        speaker_voice_configs: One entry per speaker. Required.
    """

    speaker_voice_configs: Sequence[SpeakerVoiceConfig] = wire(default=(), required=True)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class SpeechConfig:
    """How the model speaks (wire.md#speech).

    Attributes:
        voice_config: The voice.
        language_code: Language, BCP 47.
        multi_speaker_voice_config: Voices of several speakers; not for live.
    """

    voice_config: VoiceConfig | None = None
    language_code: str | None = None
    multi_speaker_voice_config: MultiSpeakerVoiceConfig | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ThinkingConfig:
    """How much the model thinks, and whether it shows its thoughts (wire.md#thinking).

    3.x models use ``thinking_level`` instead of ``thinking_budget``; some refuse a level, others require one.

    Attributes:
        include_thoughts: Whether to return thought summaries, as parts with ``thought`` set.
        thinking_budget: Budget in tokens; 0 is off, -1 lets the model decide.
        thinking_level: Named level, for 3.x models.
    """

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: ThinkingLevel | str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class TranslationConfig:
    """Live translation (wire.md#translation).

    Attributes:
        echo_target_language: Whether to repeat input that is in the target language already.
        target_language_code: Language to translate to, BCP 47.
    """

    echo_target_language: bool | None = None
    target_language_code: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LanguageAuto:
    """Deprecated switch for language detection; has no options (wire.md#transcription-options)."""

    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LanguageHints:
    """Deprecated list of expected languages; use ``language_codes`` (wire.md#transcription-options).

    Attributes:
        language_codes: Languages, BCP 47.
    """

    language_codes: Sequence[str] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AudioTranscriptionConfig:
    """Transcription of one direction of audio; an empty message means the defaults (wire.md#transcription-options).

    Attributes:
        language_codes: Expected languages, BCP 47; detected when empty.
        language_auto: Deprecated switch for detection.
        language_hints: Deprecated, use ``language_codes``.
        custom_vocabulary: Phrases to favour; at most 1000 according to the documentation.
        adaptation_phrases: Deprecated, use ``custom_vocabulary``.
        word_timestamp: Whether to time each word.
        diarization: Whether to label speakers.
        mode: Verbatim (the default) or cleaned up.
        source_text: Text that voice instructions rewrite in ``SMART`` mode.
    """

    language_codes: Sequence[str] = ()
    language_auto: LanguageAuto | None = None
    language_hints: LanguageHints | None = None
    custom_vocabulary: Sequence[str] = ()
    adaptation_phrases: Sequence[str] = ()
    word_timestamp: bool | None = None
    diarization: bool | None = None
    mode: AudioTranscriptionConfigMode | str | None = None
    source_text: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AudioResponseFormat:
    """Format of audio output (wire.md#generation).

    Attributes:
        bit_rate: Bits per second.
        delivery: Inline or by URI.
        mime_type: IANA media type.
        sample_rate: Samples per second.
    """

    bit_rate: int | None = None
    delivery: Delivery | str | None = None
    mime_type: str | None = None
    sample_rate: int | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ImageResponseFormat:
    """Format of image output (wire.md#generation).

    Attributes:
        aspect_ratio: Width to height.
        delivery: Inline or by URI.
        image_size: Class of size.
        mime_type: IANA media type.
    """

    aspect_ratio: AspectRatio | str | None = None
    delivery: Delivery | str | None = None
    image_size: ImageSize | str | None = None
    mime_type: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class TextResponseFormat:
    """Format of text output (wire.md#generation).

    Attributes:
        mime_type: IANA media type.
        json_schema: JSON Schema of the output; the wire key is ``schema``.
    """

    mime_type: str | None = None
    json_schema: JsonValue | None = wire(json="schema")
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class VideoResponseFormat:
    """Format of video output (wire.md#generation).

    Attributes:
        aspect_ratio: Width to height.
        delivery: Inline or by URI.
        duration: Length, in seconds.
        gcs_uri: Bucket to write to.
        resolution: Resolution.
    """

    aspect_ratio: AspectRatio | str | None = None
    delivery: Delivery | str | None = None
    duration: Duration | None = None
    gcs_uri: str | None = None
    resolution: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ResponseFormat:
    """Output format of one modality; exactly one field is set (wire.md#generation).

    Attributes:
        audio: Audio.
        image: Images.
        text: Text.
        video: Video.
    """

    audio: AudioResponseFormat | None = None
    image: ImageResponseFormat | None = None
    text: TextResponseFormat | None = None
    video: VideoResponseFormat | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ModelSelectionConfig:
    """Preference when the service selects the model (wire.md#model-selection).

    Attributes:
        feature_selection_preference: Quality, cost or a balance. Required.
    """

    feature_selection_preference: FeatureSelectionPreference | str | None = wire(only=Backend.VERTEX, required=True)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GenerationConfigRoutingConfigAutoRoutingMode:
    """The service selects the model (wire.md#model-selection).

    Attributes:
        model_routing_preference: Quality, cost or a balance.
    """

    model_routing_preference: ModelRoutingPreference | str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GenerationConfigRoutingConfigManualRoutingMode:
    """The caller names the model (wire.md#model-selection).

    Attributes:
        model_name: Model to use.
    """

    model_name: str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GenerationConfigRoutingConfig:
    """Selection of the model; one field is set; not for live sessions (wire.md#model-selection).

    Attributes:
        auto_mode: The service selects.
        manual_mode: The caller selects.
    """

    auto_mode: GenerationConfigRoutingConfigAutoRoutingMode | None = wire(only=Backend.VERTEX)
    manual_mode: GenerationConfigRoutingConfigManualRoutingMode | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class GenerationConfig:
    """How the model generates (wire.md#generation).

    Live sessions refuse or ignore several fields; those are marked "not for live".

    Attributes:
        response_modalities: Exactly one in live sessions: TEXT, AUDIO, or VIDEO with an avatar.
        speech_config: Voice and language.
        thinking_config: Thinking.
        media_resolution: Token resolution of input media.
        temperature: Sampling temperature.
        top_p: Nucleus sampling: cumulated probability.
        top_k: Number of candidates per token; must be integral on Gemini.
        max_output_tokens: Maximum of generated tokens.
        seed: Seed of the sampling.
        presence_penalty: Penalty for tokens that have occurred.
        frequency_penalty: Penalty that grows with each occurrence.
        candidate_count: Number of answers.
        enable_affective_dialog: Whether answers react to the user's mood; v1alpha, gone from 3.8 models.
        translation_config: Live translation.
        audio_transcription_config: Transcription as the task of the session.
        response_format: Output format per modality.
        enable_enhanced_civic_answers: Better answers on civic questions. Gemini only.
        model_selection_config: Preference when selecting the model; the wire key on Vertex is ``modelConfig``. Vertex
            only.
        image_config: Options of image output, as a free-form object; not for live.
        stop_sequences: Strings that stop the generation; not for live.
        response_mime_type: Media type of the output; not for live.
        response_schema: Schema of the output; not for live.
        response_json_schema: JSON Schema of the output; not for live.
        response_logprobs: Whether to return log probabilities; not for live.
        logprobs: Number of log probabilities per token; not for live.
        routing_config: Choice of the model; not for live. Vertex only.
        audio_timestamp: Whether to time-stamp audio input; not for live. Vertex only.
    """

    response_modalities: Sequence[Modality | str] = ()
    speech_config: SpeechConfig | None = None
    thinking_config: ThinkingConfig | None = None
    media_resolution: MediaResolution | str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    candidate_count: int | None = None
    enable_affective_dialog: bool | None = None
    translation_config: TranslationConfig | None = None
    audio_transcription_config: AudioTranscriptionConfig | None = None
    response_format: Sequence[ResponseFormat] = ()
    enable_enhanced_civic_answers: bool | None = wire(only=Backend.GEMINI)
    model_selection_config: ModelSelectionConfig | None = wire(json_vertex="modelConfig", only=Backend.VERTEX)
    image_config: JsonObject | None = None
    stop_sequences: Sequence[str] = ()
    response_mime_type: str | None = None
    response_schema: Schema | None = None
    response_json_schema: JsonValue | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    routing_config: GenerationConfigRoutingConfig | None = wire(only=Backend.VERTEX)
    audio_timestamp: bool | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AutomaticActivityDetection:
    """The service's voice activity detection (wire.md#activity).

    Attributes:
        disabled: Whether it is off; then the client sends ``ActivityStart`` and ``ActivityEnd``.
        start_of_speech_sensitivity: Sensitivity to starts of speech.
        end_of_speech_sensitivity: Sensitivity to ends of speech.
        prefix_padding_ms: Speech before a start counts, in milliseconds.
        silence_duration_ms: Silence before an end counts, in milliseconds.
    """

    disabled: bool | None = None
    start_of_speech_sensitivity: StartSensitivity | str | None = None
    end_of_speech_sensitivity: EndSensitivity | str | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class RealtimeInputConfig:
    """How realtime input becomes turns (wire.md#turn-taking).

    Attributes:
        automatic_activity_detection: Voice activity detection; on with defaults when absent.
        activity_handling: Whether user activity interrupts the model.
        turn_coverage: The input that belongs to the user's turn.
        interim_transcript_timestamp_enabled: Whether interim transcripts have times.
    """

    automatic_activity_detection: AutomaticActivityDetection | None = None
    activity_handling: ActivityHandling | str | None = None
    turn_coverage: TurnCoverage | str | None = None
    interim_transcript_timestamp_enabled: bool | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class SessionResumptionConfig:
    """Switches resumption on; an empty message starts a new resumable session (wire.md#resumption).

    Attributes:
        handle: A ``new_handle`` to resume from; without it a new session starts.
        transparent: Whether updates have the last consumed client message. Gemini refuses it with 1007. Vertex only.
    """

    handle: str | None = wire(secret=True)
    transparent: bool | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class SlidingWindow:
    """Drops the oldest content, up to the start of a user turn (wire.md#context-compression).

    An empty message means the defaults.

    Attributes:
        target_tokens: Tokens to keep; half of ``trigger_tokens`` by default, and always below it.
    """

    target_tokens: Int64 | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ContextWindowCompressionConfig:
    """Trims a context that grew too long; lifts the time limit of a session (wire.md#context-compression).

    Attributes:
        trigger_tokens: Size that triggers trimming, in tokens; about 80 % of the window by default.
        sliding_window: The one way of trimming.
    """

    trigger_tokens: Int64 | None = None
    sliding_window: SlidingWindow | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ProactivityConfig:
    """Whether the model acts on its own (wire.md#proactivity).

    Attributes:
        proactive_audio: Whether the model may stay silent when the user does not address it.
        proactive_video: Whether the model may react to images on its own; needs ``proactive_audio``.
    """

    proactive_audio: bool | None = None
    proactive_video: bool | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class HistoryConfig:
    """How earlier history enters the session (wire.md#initial-history).

    Attributes:
        initial_history_in_client_content: Whether client content up to the first ``turn_complete`` is history, which
            gets no answer.
    """

    initial_history_in_client_content: bool | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class CustomizedAvatar:
    """An avatar made from a portrait (wire.md#avatars).

    Attributes:
        image_mime_type: Media type of the portrait, such as ``image/jpeg``.
        image_data: The portrait: 9 to 16, at least 704 by 1280 pixels.
    """

    image_mime_type: str | None = None
    image_data: bytes | None = wire(blob=True)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AvatarConfig:
    """The video avatar that speaks for the model (wire.md#avatars).

    Attributes:
        avatar_name: A prebuilt avatar.
        customized_avatar: An avatar made from a portrait.
        audio_bitrate_bps: Audio bits per second.
        video_bitrate_bps: Video bits per second.
    """

    avatar_name: str | None = None
    customized_avatar: CustomizedAvatar | None = None
    audio_bitrate_bps: int | None = None
    video_bitrate_bps: int | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class SafetySetting:
    """The blocking threshold of one harm category (wire.md#safety).

    Attributes:
        category: Category of harm. Required.
        threshold: The threshold. Required.
        method: Whether it applies to severity or probability. Vertex only.
    """

    category: HarmCategory | str | None = wire(required=True)
    threshold: HarmBlockThreshold | str | None = wire(required=True)
    method: HarmBlockMethod | str | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA
