"""What an emulated server is like; everything has a default that needs no clock and no key."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from typing import Any, Final, final

import attrs

__all__ = ["EmulatorOptions", "VoiceOptions"]

_NAMESPACE: Final = uuid.UUID("9b7c31de-3a0e-5d53-8f39-6a1c4c8f0f10")


def _session_id(number: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, str(number)))


def _not_negative(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 <= value < float("inf"):
        raise ValueError(f"{attribute.name} must not be negative, not {value!r}")


def _positive(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"{attribute.name} must be positive, not {value!r}")


@final
@attrs.frozen(kw_only=True)
class VoiceOptions:
    """The voice that reads text: one short tone for each word.

    Attributes:
        pitch: Lowest tone, in Hz.
        volume: Loudness, from 0 to 1.
        word: Length of a one-letter word, in seconds; each further letter adds a quarter, up to eight letters.
        pause: Silence after a word, in seconds.
    """

    pitch: float = attrs.field(default=220.0, validator=_positive)
    volume: float = attrs.field(default=0.3, validator=_not_negative)
    word: float = attrs.field(default=0.1, validator=_positive)
    pause: float = attrs.field(default=0.04, validator=_not_negative)


@final
@attrs.frozen(kw_only=True)
class EmulatorOptions:
    """How the emulated service behaves; all times are in seconds unless the name says otherwise.

    Attributes:
        echo: Whether text and speech are answered at all where no model is given; off, only the rules of the
            protocol are emulated and whoever drives the connection answers with `EmulatedConnection.send`.
        api_keys: Keys that are valid; None takes every key but the words ``invalid``, ``expired`` and ``exhausted``,
            which are refused in the service's words in any case.
        missing_models: A model whose name begins with this is refused as unknown.
        session_id: Makes the session id that Vertex sends from the number of the session, which counts from 1.
        setup_delay: From ``setup`` to ``setupComplete``; None means it never comes.
        lifetime: From ``setupComplete`` to the end of the connection (the service: about 600); None means no end.
        go_away_notice: How long before that end ``goAway`` announces it; None means not at all.
        speed: How many times faster than it plays audio is sent: 1 is real time, None at once.
        hold_turn_complete: Whether ``turnComplete`` waits until the audio would have been played (wire.md#turn-state).
        silence_ms: Silence that ends speech, in milliseconds, where the setup does not say.
        prefix_padding_ms: Speech before its start counts, in milliseconds, where the setup does not say.
        threshold: Peak above which audio is speech, from 1 to 32,767; low sensitivity doubles it.
        stream_pause: After this much time without audio, speech has ended without ``audioStreamEnd`` too.
        max_speech: Longest utterance, and longest audio for one piece of text; what is beyond is cut.
        interaction_status: Whether ``turnComplete`` carries ``interactionStatus``, as on newer models.
        blocking_calls: Whether the model waits for a function whose declaration does not say; 3.8 models go on
            (wire.md#blocking).
        announce_calls: Whether Gemini shows a call as ``executableCode`` first, as 2.x models do (wire.md#tool-calls).
        vertex_call_ids: Whether calls on Vertex have ids; some models send none.
        withhold_handles: Whether an empty ``sessionResumptionUpdate`` tells that a running turn cannot be resumed.
        max_handles: Resumption handles that are remembered (a count); the oldest are forgotten.
        max_history: Entries of a session's history that are remembered (a count); the oldest are forgotten.
        voice: The voice that reads text.
    """

    echo: bool = True
    api_keys: Collection[str] | None = attrs.field(default=None, repr=False)
    missing_models: str = "missing"
    session_id: Callable[[int], str] = _session_id
    setup_delay: float | None = attrs.field(default=0.0, validator=_not_negative)
    lifetime: float | None = attrs.field(default=None, validator=_positive)
    go_away_notice: float | None = attrs.field(default=60.0, validator=_not_negative)
    speed: float | None = attrs.field(default=None, validator=_positive)
    hold_turn_complete: bool = True
    silence_ms: int = attrs.field(default=500, validator=_positive)
    prefix_padding_ms: int = attrs.field(default=20, validator=_not_negative)
    threshold: int = attrs.field(default=700, validator=_positive)
    stream_pause: float = attrs.field(default=1.0, validator=_positive)
    max_speech: float = attrs.field(default=60.0, validator=_positive)
    interaction_status: bool = False
    blocking_calls: bool = True
    announce_calls: bool = True
    vertex_call_ids: bool = True
    withhold_handles: bool = False
    max_handles: int = attrs.field(default=1024, validator=_positive)
    max_history: int = attrs.field(default=4096, validator=_positive)
    voice: VoiceOptions = VoiceOptions()
