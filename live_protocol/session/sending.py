"""From a client's message to its text: check everything, encode, and only then change state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs
import pybase64

from live_protocol.codec import wire_base64
from live_protocol.codec.codec import AUDIO_TAIL, Codec, audio_head
from live_protocol.errors import InvalidMessage, MessageTooLarge
from live_protocol.limits import Limits
from live_protocol.messages import (
    LiveClientContextUpdate,
    LiveClientMessage,
    LiveClientRealtimeInput,
    LiveClientToolResponse,
)
from live_protocol.messages.audio_format import AudioFormat
from live_protocol.session import requests
from live_protocol.session.activity import ActivityWindow
from live_protocol.session.message_kinds import activity_signal
from live_protocol.session.tool_calls import ToolCallTracker
from live_protocol.states import ActivityInput, ActivityState, Phase

PHASE_HINTS: Final[Mapping[Phase, str]] = {
    Phase.NEW: "the session has not begun; setup comes first",
    Phase.SETUP_SENT: "wait for setup_complete",
    Phase.READY: "setup is over",
    Phase.DRAINING: "setup is over",
}
"""What to do instead of sending what the phase does not allow."""

_OUTSIDE: Final = ActivityState.OUTSIDE

# The members that are looked into before the encoder checks the whole.
_MEMBERS: Final = (
    ("realtime_input", LiveClientRealtimeInput),
    ("tool_response", LiveClientToolResponse),
    ("context_update", LiveClientContextUpdate),
)


class ClientMessageEncoder:
    """The rules of what a client may send, beyond the phase; each method changes state only if it succeeds.

    Args:
        codec: Dialect.
        limits: Bounds.
        calls: Tool calls that responses are held against.
        manual: Whether automatic activity detection is off.
        gate: Called before audio; may raise to refuse it.
    """

    __slots__ = ("_admit", "_calls", "_codec", "_form", "_frame_size", "_gate", "_head", "_limits", "_rate", "_window")

    def __init__(
        self,
        codec: Codec,
        limits: Limits,
        calls: ToolCallTracker,
        *,
        manual: bool,
        gate: Callable[[], None] | None = None,
    ) -> None:
        self._gate = gate
        self._codec = codec
        self._limits = limits
        self._calls = calls
        self._window = ActivityWindow(manual=manual)
        self._form: AudioFormat | None = None  # of raw audio, with what each chunk needs of it
        self._rate = 0
        self._head = b""
        self._frame_size = 0

    def encode_audio(
        self, audio: bytes | bytearray | memoryview, rate: int, *, admit: Callable[[int], None] | None = None
    ) -> bytes:
        """The text that carries raw audio: the path of nearly all messages.

        Args:
            audio: The samples.
            rate: Their rate.
            admit: Called with the size of the text before state changes; may raise to refuse it.

        Raises:
            InvalidMessage: No audio, half a sample, or a rate that is out of bounds or another than before.
            IllegalInState: Outside the activity window, or the model's profile forbids audio now.
            MessageTooLarge: Over ``Limits.max_send``.
        """
        window = self._window
        form = window.format
        if form is None or form is not self._form or rate != self._rate:
            form = self._change_format(rate)
        size = len(audio) if type(audio) is bytes else requests.sample_bytes(audio)
        if not size or size % self._frame_size:
            requests.check_samples(size, form)
        if window.state is _OUTSIDE:  # audio changes no state
            window.check(ActivityInput.MEDIA)
        if self._gate is not None:
            self._gate()
        encoded = pybase64.b64encode(audio) if type(audio) is bytes else wire_base64.encode(audio)
        payload = b"".join((self._head, encoded, AUDIO_TAIL))
        if len(payload) > self._limits.max_send:
            raise MessageTooLarge(len(payload), self._limits.max_send)
        if admit is not None:
            admit(len(payload))
        window.format = form
        return payload

    def _change_format(self, rate: int) -> AudioFormat:
        """See that audio may have this rate; note what each chunk needs to know of it."""
        window = self._window
        form = window.format
        if form is None or form.rate != rate or form.channels != 1:
            form = requests.pcm_format(rate)
            window.check_format(form)
        if form is not self._form:
            self._form, self._rate = form, rate
            self._head, self._frame_size = audio_head(form.mime_type), form.frame_size
        return form

    def encode_message(
        self, message: LiveClientMessage, *, epoch: int | None = None, admit: Callable[[int], None] | None = None
    ) -> bytes:
        """The text of any message with exactly one member.

        Args:
            message: The message.
            epoch: Number of the connection that its calls arrived on, if known.
            admit: As for `encode_audio`.

        Raises:
            InvalidMessage: The service would refuse it.
            IllegalInState: Outside the activity window, or a call was answered before.
            ToolCallWasCancelled: It answers a cancelled call.
            MessageTooLarge: Over ``Limits.max_send``.
        """
        for name, cls in _MEMBERS:
            member = getattr(message, name)
            if member is not None and not isinstance(member, cls):
                raise InvalidMessage(name, f"expected {cls.__name__}, got {type(member).__name__}")
        window = self._window
        state, form = window.state, window.format
        if (realtime := message.realtime_input) is not None:
            audio = requests.check_realtime_input(realtime)
            if audio is not None:
                window.check_format(audio)
                form = audio
                if self._gate is not None:
                    self._gate()
            if (signal := activity_signal(realtime)) is not None:
                state = window.check(signal)
        if (response := message.tool_response) is not None:
            checked = self._calls.check(requests.tool_responses(response.function_responses), epoch=epoch)
            message = attrs.evolve(message, tool_response=attrs.evolve(response, function_responses=checked))
        if (update := message.context_update) is not None and update.system_instruction is None is update.tools:
            raise InvalidMessage("context_update", "give system_instruction or tools; tools=[] removes all tools")
        payload = self._codec.encode_client(message)
        if len(payload) > self._limits.max_send:
            raise MessageTooLarge(len(payload), self._limits.max_send)
        if admit is not None:
            admit(len(payload))
        window.state, window.format = state, form
        if message.tool_response is not None:
            self._calls.responded(message.tool_response.function_responses, epoch=epoch)
        return payload
