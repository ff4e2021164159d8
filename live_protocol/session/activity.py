"""What may be sent as realtime input, and in which order (wire.md#realtime-input and wire.md#audio)."""

from __future__ import annotations

from live_protocol.errors import IllegalInState, InvalidMessage
from live_protocol.messages.audio_format import AudioFormat
from live_protocol.states import ACTIVITY_TRANSITIONS, ActivityInput, ActivityState

_HINTS = {
    (ActivityState.AUTOMATIC, ActivityInput.START): "the server detects activity; to mark it yourself, set "
    "realtime_input_config.automatic_activity_detection.disabled = True",
    (ActivityState.AUTOMATIC, ActivityInput.END): "the server detects activity; to mark it yourself, set "
    "realtime_input_config.automatic_activity_detection.disabled = True",
    (ActivityState.OUTSIDE, ActivityInput.END): "send activity_start first",
    (ActivityState.OUTSIDE, ActivityInput.MEDIA): "send activity_start first",
    (
        ActivityState.OUTSIDE,
        ActivityInput.STREAM_END,
    ): "audio_stream_end is for automatic detection only; leave it out",
    (ActivityState.INSIDE, ActivityInput.START): "send activity_end first",
    (
        ActivityState.INSIDE,
        ActivityInput.STREAM_END,
    ): "audio_stream_end is for automatic detection only; send activity_end",
}


class ActivityWindow:
    """The user's activity window, and the one sample rate of the session.

    Args:
        manual: Whether automatic activity detection is off.

    Attributes:
        state: Where the window is.
        format: Format of the audio sent so far, None before the first chunk.
    """

    __slots__ = ("format", "state")

    def __init__(self, *, manual: bool = False) -> None:
        self.state = ActivityState.OUTSIDE if manual else ActivityState.AUTOMATIC
        self.format: AudioFormat | None = None

    def check(self, signal: ActivityInput) -> ActivityState:
        """The state that ``signal`` leads to; nothing changes yet.

        Raises:
            IllegalInState: The service would refuse it with 1007.
        """
        try:
            return ACTIVITY_TRANSITIONS[self.state, signal]
        except KeyError:
            hint = _HINTS[self.state, signal]
        raise IllegalInState(f"realtime input {signal}", f"activity is {self.state}", hint)

    def check_format(self, audio: AudioFormat) -> None:
        """Check that the rate stays what it was.

        Raises:
            InvalidMessage: The service would refuse the change with 1007.
        """
        if self.format is not None and audio != self.format:
            raise InvalidMessage(
                "realtime_input.audio.mime_type",
                f"the session's audio is {self.format.mime_type}, this is {audio.mime_type}; one format a session, "
                "resample first",
            )
