"""Lyria RealTime, the music sibling of the Live API; Gemini only (wire.md#music).

Its names stay in this module; ``live_protocol.messages`` exports the module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import attrs

from live_protocol.messages.fields import NO_EXTRA, Backend, OpenEnum, wire

__all__ = [
    "AudioChunk",
    "LiveMusicClientContent",
    "LiveMusicClientMessage",
    "LiveMusicClientSetup",
    "LiveMusicFilteredPrompt",
    "LiveMusicGenerationConfig",
    "LiveMusicPlaybackControl",
    "LiveMusicServerContent",
    "LiveMusicServerMessage",
    "LiveMusicServerSetupComplete",
    "LiveMusicSourceMetadata",
    "MusicGenerationMode",
    "Scale",
    "WeightedPrompt",
]


class LiveMusicPlaybackControl(OpenEnum):
    """Transport control (wire.md#music)."""

    PLAYBACK_CONTROL_UNSPECIFIED = "PLAYBACK_CONTROL_UNSPECIFIED"
    PLAY = "PLAY"
    PAUSE = "PAUSE"
    STOP = "STOP"  # and drop the context
    RESET_CONTEXT = "RESET_CONTEXT"  # keep the prompts and go on playing


class MusicGenerationMode(OpenEnum):
    """What generation favours (wire.md#music)."""

    MUSIC_GENERATION_MODE_UNSPECIFIED = "MUSIC_GENERATION_MODE_UNSPECIFIED"
    QUALITY = "QUALITY"
    DIVERSITY = "DIVERSITY"
    VOCALIZATION = "VOCALIZATION"


class Scale(OpenEnum):
    """Musical scale: a major key and its relative minor (wire.md#music)."""

    SCALE_UNSPECIFIED = "SCALE_UNSPECIFIED"
    C_MAJOR_A_MINOR = "C_MAJOR_A_MINOR"
    D_FLAT_MAJOR_B_FLAT_MINOR = "D_FLAT_MAJOR_B_FLAT_MINOR"
    D_MAJOR_B_MINOR = "D_MAJOR_B_MINOR"
    E_FLAT_MAJOR_C_MINOR = "E_FLAT_MAJOR_C_MINOR"
    E_MAJOR_D_FLAT_MINOR = "E_MAJOR_D_FLAT_MINOR"
    F_MAJOR_D_MINOR = "F_MAJOR_D_MINOR"
    G_FLAT_MAJOR_E_FLAT_MINOR = "G_FLAT_MAJOR_E_FLAT_MINOR"
    G_MAJOR_E_MINOR = "G_MAJOR_E_MINOR"
    A_FLAT_MAJOR_F_MINOR = "A_FLAT_MAJOR_F_MINOR"
    A_MAJOR_G_FLAT_MINOR = "A_MAJOR_G_FLAT_MINOR"
    B_FLAT_MAJOR_G_MINOR = "B_FLAT_MAJOR_G_MINOR"
    B_MAJOR_A_FLAT_MINOR = "B_MAJOR_A_FLAT_MINOR"


@final
@attrs.frozen(kw_only=True)
class WeightedPrompt:
    """A prompt and its weight (wire.md#music).

    Attributes:
        text: The prompt.
        weight: Any number but 0; weights are normalised over all prompts.
    """

    text: str | None = wire(only=Backend.GEMINI)
    weight: float | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveMusicClientSetup:
    """The first message: names the model (wire.md#music).

    Attributes:
        model: Resource name, ``models/...``. Required.
    """

    model: str | None = wire(only=Backend.GEMINI, required=True)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveMusicClientContent:
    """Prompts that steer the music (wire.md#music).

    Attributes:
        weighted_prompts: The prompts and their weights.
    """

    weighted_prompts: Sequence[WeightedPrompt] = wire(default=(), only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveMusicGenerationConfig:
    """How the music sounds (wire.md#music).

    Each message is complete: an absent field falls back to its default.

    Attributes:
        temperature: Sampling temperature, 0 to 3.
        top_k: Number of candidates per token, 1 to 1000.
        seed: Seed of the sampling.
        guidance: How closely the prompts are followed, 0 to 6.
        bpm: Beats per minute, 60 to 200; takes effect after RESET_CONTEXT.
        density: Density of notes, 0 to 1.
        brightness: Brightness of the sound, 0 to 1.
        scale: Musical scale; takes effect after RESET_CONTEXT.
        mute_bass: Leave the bass out.
        mute_drums: Leave the drums out.
        only_bass_and_drums: Play bass and drums only.
        music_generation_mode: What to favour.
    """

    temperature: float | None = wire(only=Backend.GEMINI)
    top_k: int | None = wire(only=Backend.GEMINI)
    seed: int | None = wire(only=Backend.GEMINI)
    guidance: float | None = wire(only=Backend.GEMINI)
    bpm: int | None = wire(only=Backend.GEMINI)
    density: float | None = wire(only=Backend.GEMINI)
    brightness: float | None = wire(only=Backend.GEMINI)
    scale: Scale | str | None = wire(only=Backend.GEMINI)
    mute_bass: bool | None = wire(only=Backend.GEMINI)
    mute_drums: bool | None = wire(only=Backend.GEMINI)
    only_bass_and_drums: bool | None = wire(only=Backend.GEMINI)
    music_generation_mode: MusicGenerationMode | str | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveMusicClientMessage:
    """Envelope of every client message; exactly one field is set (wire.md#music).

    Attributes:
        setup: The first message.
        client_content: New prompts.
        music_generation_config: New options, as a whole.
        playback_control: Transport control; a bare string on the wire.
    """

    setup: LiveMusicClientSetup | None = wire(only=Backend.GEMINI)
    client_content: LiveMusicClientContent | None = wire(only=Backend.GEMINI)
    music_generation_config: LiveMusicGenerationConfig | None = wire(only=Backend.GEMINI)
    playback_control: LiveMusicPlaybackControl | str | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveMusicServerSetupComplete:
    """The answer to ``setup``; has no fields (wire.md#music)."""

    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveMusicSourceMetadata:
    """The input of a chunk (wire.md#music).

    Attributes:
        client_content: The prompts.
        music_generation_config: The options.
    """

    client_content: LiveMusicClientContent | None = wire(only=Backend.GEMINI)
    music_generation_config: LiveMusicGenerationConfig | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AudioChunk:
    """A chunk of music: 16-bit little-endian PCM, 48 kHz, stereo (wire.md#music).

    Attributes:
        data: The samples.
        mime_type: IANA media type.
        source_metadata: Its input.
    """

    data: bytes | None = wire(only=Backend.GEMINI, blob=True)
    mime_type: str | None = wire(only=Backend.GEMINI)
    source_metadata: LiveMusicSourceMetadata | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveMusicServerContent:
    """Generated music (wire.md#music).

    Attributes:
        audio_chunks: The chunks, in order.
    """

    audio_chunks: Sequence[AudioChunk] = wire(default=(), only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveMusicFilteredPrompt:
    """A prompt that was refused (wire.md#music).

    Attributes:
        text: The prompt.
        filtered_reason: Why it was refused.
    """

    text: str | None = wire(only=Backend.GEMINI)
    filtered_reason: str | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class LiveMusicServerMessage:
    """Envelope of every server message; one field is set (wire.md#music).

    Attributes:
        setup_complete: Answer to setup.
        server_content: Music.
        filtered_prompt: A prompt that was refused.
    """

    setup_complete: LiveMusicServerSetupComplete | None = wire(only=Backend.GEMINI)
    server_content: LiveMusicServerContent | None = wire(only=Backend.GEMINI)
    filtered_prompt: LiveMusicFilteredPrompt | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA
