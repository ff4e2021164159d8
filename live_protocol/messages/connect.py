"""Flat options of a session, and their nesting in its setup (wire.md#setup)."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, final

import attrs

from live_protocol.messages.client import LiveClientSetup
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
    SpeechConfig,
    ThinkingConfig,
    TranslationConfig,
)
from live_protocol.messages.content import Content, Part
from live_protocol.messages.enums import MediaResolution, Modality
from live_protocol.messages.fields import NO_EXTRA, Backend, wire
from live_protocol.messages.tools import Tool

__all__ = ["CONNECT_CONFIG_TO_SETUP", "LiveConnectConfig", "to_setup"]


@final
@attrs.frozen(kw_only=True)
class LiveConnectConfig:
    """Options of a session without the nesting of the wire; see ``to_setup`` (wire.md#setup).

    Attributes:
        generation_config: Defaults of the generation options below; each of them overrides its default.
        response_modalities: Exactly one of TEXT, AUDIO, or VIDEO with an avatar.
        temperature: Sampling temperature.
        top_p: Nucleus sampling: cumulated probability.
        top_k: Number of candidates per token; must be integral on Gemini.
        max_output_tokens: Maximum of generated tokens.
        media_resolution: Token resolution of input media.
        seed: Seed of the sampling.
        speech_config: Voice and language.
        thinking_config: Thinking.
        enable_affective_dialog: Whether answers react to the user's mood; v1alpha, gone from 3.8 models.
        translation_config: Live translation.
        system_instruction: System prompt; a string means one text part.
        tools: Tools that the model may use.
        session_resumption: Switches on resumption, even empty.
        input_audio_transcription: Switches on transcripts of the user's audio, even empty.
        output_audio_transcription: Switches on transcripts of the model's audio, even empty.
        realtime_input_config: Activity detection and turn taking.
        context_window_compression: Switches on trimming of the context.
        proactivity: Whether the model acts on its own; on Gemini v1alpha only.
        explicit_vad_signal: Whether to send ``VoiceActivity``. Vertex only.
        history_config: How earlier history enters the session.
        avatar_config: Video avatar.
        safety_settings: Blocking of harmful content; Gemini v1beta has refused it.
        labels: The caller's own labels, for billing or as a safety identifier.
        extra: Further fields of the setup, by wire key, which this version does not know.
    """

    generation_config: GenerationConfig | None = None
    response_modalities: Sequence[Modality | str] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    media_resolution: MediaResolution | str | None = None
    seed: int | None = None
    speech_config: SpeechConfig | None = None
    thinking_config: ThinkingConfig | None = None
    enable_affective_dialog: bool | None = None
    translation_config: TranslationConfig | None = None
    system_instruction: Content | str | None = None
    tools: Sequence[Tool] = ()
    session_resumption: SessionResumptionConfig | None = None
    input_audio_transcription: AudioTranscriptionConfig | None = None
    output_audio_transcription: AudioTranscriptionConfig | None = None
    realtime_input_config: RealtimeInputConfig | None = None
    context_window_compression: ContextWindowCompressionConfig | None = None
    proactivity: ProactivityConfig | None = None
    explicit_vad_signal: bool | None = wire(only=Backend.VERTEX)
    history_config: HistoryConfig | None = None
    avatar_config: AvatarConfig | None = None
    safety_settings: Sequence[SafetySetting] = ()
    labels: Mapping[str, str] | None = None
    extra: Mapping[str, Any] = NO_EXTRA


_SETUP_FIELDS: Final = frozenset(field.name for field in attrs.fields(LiveClientSetup))

CONNECT_CONFIG_TO_SETUP: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        field.name: (field.name,) if field.name in _SETUP_FIELDS else ("generation_config", field.name)
        for field in attrs.fields(LiveConnectConfig)
        if field.name != "extra"
    }
)
"""The place of each option: its path of field names below ``LiveClientSetup``."""

_ABSENT: Final = (type(None), tuple)  # looked at first: the test for other sequences takes ten times as long
_PLACES: Final = tuple((path[-1], len(path) == 1) for path in CONNECT_CONFIG_TO_SETUP.values())
_options: Final = operator.attrgetter(*CONNECT_CONFIG_TO_SETUP)


def to_setup(config: LiveConnectConfig, model: str) -> LiveClientSetup:
    """Nest flat options into the setup message.

    An option counts as absent if it is ``None``, ``""`` or an empty sequence. Without generation options the setup has
    no generation config. The encoder checks the values later.

    Args:
        config: The options.
        model: Resource name of the model, not changed.
    """
    setup: dict[str, Any] = {}
    generation: dict[str, Any] = {}
    for (name, top), value in zip(_PLACES, _options(config), strict=True):
        if (type(value) in _ABSENT or isinstance(value, Sequence)) and not value:
            continue
        target = setup if top else generation
        target[name] = value
    if generation:
        setup["generation_config"] = attrs.evolve(config.generation_config or GenerationConfig(), **generation)
    instruction = setup.get("system_instruction")
    if isinstance(instruction, str):
        setup["system_instruction"] = Content(role="user", parts=(Part(text=instruction),))
    return LiveClientSetup(model=model, **setup, extra=config.extra)
