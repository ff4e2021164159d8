"""The methods of a playbook that send."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, Self

from live_protocol.messages import (
    Content,
    FunctionCall,
    InteractionStatus,
    LiveServerContent,
    LiveServerGoAway,
    LiveServerMessage,
    LiveServerSessionResumptionUpdate,
    LiveServerSetupComplete,
    LiveServerToolCall,
    LiveServerToolCallCancellation,
    Part,
    Transcription,
)
from live_protocol.messages.audio_format import OUTPUT_RATE
from live_protocol.testing.playbook.matching import readable
from live_protocol.testing.playbook.patterns import audio_messages, check_seconds, raw, server_message
from live_protocol.testing.playbook.steps import SendRawStep, SendStep, Step


class SendingSteps(abc.ABC):
    """Methods that add a step which sends; each returns a new script."""

    @abc.abstractmethod
    def _with(self, *steps: Step) -> Self: ...

    def send(self, message: LiveServerMessage | Mapping[str, Any], *, title: str = "") -> Self:
        """Send a message, even one that the protocol does not allow here.

        Args:
            message: The message, or a dict of its fields in either casing.
            title: Title for reports.

        Raises:
            InvalidMessage: A field is unknown or has the wrong type.
        """
        whole = server_message(message)
        return self._with(SendStep((whole,), title or f"send {', '.join(readable(whole)) or 'nothing'}"))

    def send_raw(self, data: str | bytes | Mapping[str, Any], *, title: str = "") -> Self:
        """Send a WebSocket message as it is, JSON or not.

        Args:
            data: Text for a text message, bytes for a binary one, or a dict to send as JSON in a binary one.
            title: Title for reports.

        Raises:
            InvalidMessage: The type is wrong, or the dict cannot be encoded as JSON.
        """
        return self._with(SendRawStep(raw(data), title))

    def send_setup_complete(self, session_id: str | None = None) -> Self:
        """Accept the setup.

        Args:
            session_id: Id of the session; Vertex sends one.
        """
        return self.send(LiveServerMessage(setup_complete=LiveServerSetupComplete(session_id=session_id)))

    def send_text(self, text: str, *, thought: bool = False) -> Self:
        """Send a piece of the model's text.

        Args:
            text: The piece.
            thought: Whether it is a summary of thoughts.
        """
        part = Part(text=text, thought=thought or None)
        return self._send_content(f"send text {text[:40]!r}", model_turn=Content(parts=[part]))

    def send_audio(self, seconds: float = 1.0, *, data: bytes | None = None, rate: int = OUTPUT_RATE) -> Self:
        """Send audio of the model, in messages of 240 ms, all at once.

        Args:
            seconds: Length of a quiet tone.
            data: Other audio to send instead: mono 16-bit PCM.
            rate: Its sample rate, in Hz.

        Raises:
            InvalidMessage: ``seconds`` is not positive, or the rate is not supported.
        """
        messages, length = audio_messages(seconds, data, rate)
        return self._with(SendStep(messages, f"send {length:g} s of audio"))

    def send_transcript(self, text: str, *, user: bool = False) -> Self:
        """Send a piece of a transcript.

        Args:
            text: The piece.
            user: Whether the user said it; otherwise the model did.
        """
        name = "input_transcription" if user else "output_transcription"
        return self._send_content(f"send transcript {text[:40]!r}", **{name: Transcription(text=text)})

    def send_tool_call(self, name: str, args: Mapping[str, Any] | None = None, *, id: str | None = "call-1") -> Self:  # noqa: A002 - the name on the wire
        """Call a function.

        Args:
            name: Name of the function.
            args: Its arguments.
            id: Id of the call, or None.
        """
        call = FunctionCall(id=id, name=name, args=args or {})
        message = LiveServerMessage(tool_call=LiveServerToolCall(function_calls=[call]))
        return self.send(message, title=f"send call {id} of {name}")

    def send_tool_call_cancellation(self, *ids: str) -> Self:
        """Cancel calls.

        Args:
            ids: Their ids.
        """
        return self.send(LiveServerMessage(tool_call_cancellation=LiveServerToolCallCancellation(ids=ids)))

    def send_interrupted(self) -> Self:
        """Report that the user interrupted."""
        return self._send_content("send interrupted", interrupted=True)

    def send_generation_complete(self) -> Self:
        """Report that the turn has no more output."""
        return self._send_content("send generationComplete", generation_complete=True)

    def send_turn_complete(self, status: InteractionStatus | str | None = None) -> Self:
        """End the turn.

        Args:
            status: Interaction status, if the model sends one.
        """
        return self._send_content("send turnComplete", turn_complete=True, interaction_status=status)

    def reply(self, text: str) -> Self:
        """Send a whole turn of text: `send_text`, `send_generation_complete`, `send_turn_complete`.

        Args:
            text: The text.
        """
        return self.send_text(text).send_generation_complete().send_turn_complete()

    def send_resumption(self, handle: str | None, *, consumed: int | None = None) -> Self:
        """Send a resumption handle.

        Args:
            handle: The handle; None if the session cannot be resumed now.
            consumed: Number of the last client message it includes, in transparent mode.
        """
        update = LiveServerSessionResumptionUpdate(
            new_handle=handle, resumable=True if handle else None, last_consumed_client_message_index=consumed
        )
        return self.send(LiveServerMessage(session_resumption_update=update))

    def go_away(self, seconds: float) -> Self:
        """Announce the end of the connection; add ``wait`` and ``drop`` or ``close`` to end it.

        Args:
            seconds: Time left.

        Raises:
            InvalidMessage: ``seconds`` is not a number of seconds.
        """
        check_seconds("seconds", seconds)
        message = LiveServerMessage(go_away=LiveServerGoAway(time_left=seconds))
        return self.send(message, title=f"send goAway {seconds:g} s")

    def _send_content(self, title: str, **members: Any) -> Self:
        return self.send(LiveServerMessage(server_content=LiveServerContent(**members)), title=title)
