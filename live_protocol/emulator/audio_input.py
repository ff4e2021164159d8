"""The user's audio: its format, and speech activity, manual or detected (wire.md#realtime-input and wire.md#audio)."""

from __future__ import annotations

from typing import Final

from live_protocol.emulator.options import EmulatorOptions
from live_protocol.emulator.validation import EXPLICIT_ACTIVITY, INVALID, SessionRefusal, sample_rate_changed
from live_protocol.emulator.voice_activity import SpeechActivity, SpeechDetector, SpeechEnded, SpeechStarted
from live_protocol.messages import (
    AutomaticActivityDetection,
    Blob,
    EndSensitivity,
    LiveClientSetup,
    RealtimeInputConfig,
    StartSensitivity,
    TurnCoverage,
)
from live_protocol.messages.audio_format import INPUT_RATE, AudioFormat

_MS: Final = 0.001


class SessionRefused(Exception):
    """The service would refuse the client's message; the session catches this and closes the connection."""

    def __init__(self, refusal: SessionRefusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class IncomingAudio:
    """Receives a session's audio.

    Args:
        setup: The session's configuration.
        options: Defaults for values that the setup does not set.

    Attributes:
        manual: Whether the client marks activity itself.
        pause_at: Clock reading at which speech ends unless more audio arrives; None while the user is silent.
    """

    def __init__(self, setup: LiveClientSetup, options: EmulatorOptions) -> None:
        config = setup.realtime_input_config or RealtimeInputConfig()
        self._whole = config.turn_coverage == TurnCoverage.TURN_INCLUDES_ALL_INPUT
        self._config = config.automatic_activity_detection or AutomaticActivityDetection()
        self._options = options
        self._detector: SpeechDetector | None = None
        self._format: AudioFormat | None = None
        self._window: bytearray | None = None
        self.manual: bool = bool(self._config.disabled)
        self.pause_at: float | None = None

    @property
    def rate(self) -> int:
        """Sample rate, in Hz."""
        return INPUT_RATE if self._format is None else self._format.rate

    @property
    def position(self) -> float:
        """Seconds of audio so far, with automatic detection."""
        return 0.0 if self._detector is None else self._detector.position

    @property
    def listening(self) -> bool:
        """Whether there is input that belongs to no turn yet."""
        return self._window is not None or (self._detector is not None and self._detector.listening)

    @property
    def busy(self) -> bool:
        """Whether the user is speaking."""
        return self._window is not None or (self._detector is not None and self._detector.speaking)

    @property
    def in_window(self) -> bool:
        """Whether the client has marked the start of an activity but not its end."""
        return self._window is not None

    def receive(self, blob: Blob, now: float) -> list[SpeechActivity]:
        """Receive audio, and return the activity in it.

        Raises:
            SessionRefused: It is not PCM, or its rate has changed.
        """
        audio = AudioFormat.parse(blob.mime_type or "", default_rate=INPUT_RATE)
        if audio is None or audio.channels != 1:
            raise SessionRefused(INVALID)
        if self._format is not None and audio != self._format:
            raise SessionRefused(sample_rate_changed(self._format.rate, audio.rate))
        self._format = audio
        pcm = blob.data or b""
        if self.manual:
            if self._window is not None:
                space = audio.size(self._options.max_speech) - len(self._window)
                self._window += pcm[: max(0, space)]
            return []
        if self._detector is None:
            self._detector = self._new_detector(audio.rate)
        activity = list(self._detector.feed(pcm))
        self.pause_at = now + self._options.stream_pause if self._detector.speaking else None
        return activity

    def _new_detector(self, rate: int) -> SpeechDetector:
        config, options = self._config, self._options
        silence_ms = options.silence_ms if config.silence_duration_ms is None else config.silence_duration_ms
        if config.silence_duration_ms is None and (
            config.end_of_speech_sensitivity == EndSensitivity.END_SENSITIVITY_LOW
        ):
            silence_ms *= 2
        padding_ms = options.prefix_padding_ms if config.prefix_padding_ms is None else config.prefix_padding_ms
        low = config.start_of_speech_sensitivity == StartSensitivity.START_SENSITIVITY_LOW
        return SpeechDetector(
            rate,
            silence=silence_ms * _MS,
            padding=padding_ms * _MS,
            threshold=options.threshold * (2 if low else 1),
            longest=options.max_speech,
            whole=self._whole,
        )

    def stream_ended(self) -> list[SpeechActivity]:
        """End speech: the stream paused. With manual activity this does nothing."""
        self.pause_at = None
        return [] if self._detector is None else list(self._detector.flush())

    def activity_started(self) -> list[SpeechActivity]:
        """Start an activity, marked by the client; a second start does nothing.

        Raises:
            SessionRefused: Detection is automatic.
        """
        if not self.manual:
            raise SessionRefused(EXPLICIT_ACTIVITY)
        if self._window is not None:
            return []
        self._window = bytearray()
        return [SpeechStarted(0.0)]

    def activity_ended(self) -> list[SpeechActivity]:
        """End an activity, marked by the client; an end without a start does nothing.

        Raises:
            SessionRefused: Detection is automatic.
        """
        if not self.manual:
            raise SessionRefused(EXPLICIT_ACTIVITY)
        window, self._window = self._window, None
        return [] if window is None else [SpeechEnded(0.0, bytes(window))]
