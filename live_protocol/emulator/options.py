"""Options of an emulated server; the defaults need no clock and no key."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from typing import Any, Final, final

import attrs

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
    """The behaviour of the emulated service. Times are in seconds unless the name says otherwise.

    Attributes:
        echo: Whether an `EchoModel` answers if no model is given. If False, the emulator only enforces the protocol,
            and your program answers with `EmulatedConnection.send`.
        api_keys: The valid keys; None accepts every key. The keys ``invalid``, ``expired`` and ``exhausted`` are always
            refused, in the service's words.
        missing_models: Prefix of model names that are refused as unknown.
        session_id: Returns the session id that Vertex sends, for the number of the session, from 1.
        setup_delay: Time from ``setup`` to ``setupComplete``; None means never.
        lifetime: Time from ``setupComplete`` to the end of the connection, about 600 in the service; None means no end.
        go_away_notice: Time from ``goAway`` to that end; None sends no ``goAway``.
        speed: Speed at which audio is sent: 1 is real time, 2 is twice as fast, None sends it at once.
        hold_turn_complete: Whether ``turnComplete`` waits until the audio would have been played (wire.md#turn-state).
        silence_ms: Silence that ends speech, in milliseconds, unless the setup sets it.
        prefix_padding_ms: Minimum length of speech, in milliseconds, unless the setup sets it.
        threshold: Peak above which audio is speech, from 1 to 32,767; low sensitivity doubles it.
        stream_pause: Time without audio that ends speech, as ``audioStreamEnd`` does.
        max_speech: Maximum length of an utterance, and of the audio for one piece of text; longer ones are cut.
        interaction_status: Whether ``turnComplete`` has ``interactionStatus``, as on newer models.
        blocking_calls: Whether the model waits for a function unless its declaration says otherwise; 3.8 models do not
            (wire.md#blocking).
        announce_calls: Whether Gemini shows a call as ``executableCode`` first, as 2.x models do (wire.md#tool-calls).
        vertex_call_ids: Whether calls on Vertex have ids; some models send none.
        withhold_handles: Whether an empty ``sessionResumptionUpdate`` marks a running turn as not resumable.
        max_handles: Number of resumption handles to keep; the oldest are forgotten.
        max_history: Number of entries to keep in a session's history; the oldest are forgotten.
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
