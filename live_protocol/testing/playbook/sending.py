"""The steps of a playbook that send, one method each."""

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
from live_protocol.testing.playbook.matching import shown
from live_protocol.testing.playbook.patterns import audio_messages, check_seconds, raw, server_message
from live_protocol.testing.playbook.steps import SendRawStep, SendStep, Step

__all__ = ["SendingSteps"]


class SendingSteps(abc.ABC):
    """What a script can send; each method gives a new script."""

    @abc.abstractmethod
    def _with(self, *steps: Step) -> Self: ...

    def send(self, message: LiveServerMessage | Mapping[str, Any], *, title: str = "") -> Self:
        """A message, whether or not the protocol has a place for it here.

        Args:
            message: The message, or a dict of its fields in either casing.
            title: What reports call it.

        Raises:
            InvalidMessage: It does not fit.
        """
        whole = server_message(message)
        return self._with(SendStep((whole,), title or f"send {', '.join(shown(whole)) or 'nothing'}"))

    def send_raw(self, data: str | bytes | Mapping[str, Any], *, title: str = "") -> Self:
        """A WebSocket message as it is, JSON or not.

        Args:
            data: Text for a text message, bytes for a binary one; a dict goes out as JSON in a binary one.
            title: What reports call it.

        Raises:
            InvalidMessage: It is neither, or the dict is no JSON.
        """
        return self._with(SendRawStep(raw(data), title))

    def send_setup_complete(self, session_id: str | None = None) -> Self:
        """The setup is accepted.

        Args:
            session_id: Id of the session; Vertex sends one.
        """
        return self.send(LiveServerMessage(setup_complete=LiveServerSetupComplete(session_id=session_id)))

    def send_text(self, text: str, *, thought: bool = False) -> Self:
        """A piece of the model's text.

        Args:
            text: The piece.
            thought: Whether it is a summary of thoughts.
        """
        part = Part(text=text, thought=thought or None)
        return self._send_content(f"send text {text[:40]!r}", model_turn=Content(parts=[part]))

    def send_audio(self, seconds: float = 1.0, *, data: bytes | None = None, rate: int = OUTPUT_RATE) -> Self:
        """Audio of the model, in messages of 240 ms, all at once.

        Args:
            seconds: How much of a quiet tone.
            data: Own audio instead: mono 16-bit PCM.
            rate: Its rate, in Hz.

        Raises:
            InvalidMessage: Not a positive number, or a rate that audio does not have.
        """
        messages, length = audio_messages(seconds, data, rate)
        return self._with(SendStep(messages, f"send {length:g} s of audio"))

    def send_transcript(self, text: str, *, user: bool = False) -> Self:
        """A piece of a transcript.

        Args:
            text: The piece.
            user: Whether it is of what the user said; otherwise of the model.
        """
        said = Transcription(text=text)
        name = "input_transcription" if user else "output_transcription"
        return self._send_content(f"send transcript {text[:40]!r}", **{name: said})

    def send_tool_call(self, name: str, args: Mapping[str, Any] | None = None, *, id: str | None = "call-1") -> Self:  # noqa: A002 - the name on the wire
        """A function call.

        Args:
            name: Name of the function.
            args: Its arguments.
            id: Id of the call; None for none.
        """
        call = FunctionCall(id=id, name=name, args=args or {})
        message = LiveServerMessage(tool_call=LiveServerToolCall(function_calls=[call]))
        return self.send(message, title=f"send call {id} of {name}")

    def send_tool_call_cancellation(self, *ids: str) -> Self:
        """Calls are cancelled.

        Args:
            ids: Their ids.
        """
        return self.send(LiveServerMessage(tool_call_cancellation=LiveServerToolCallCancellation(ids=ids)))

    def send_interrupted(self) -> Self:
        """The user cut in."""
        return self._send_content("send interrupted", interrupted=True)

    def send_generation_complete(self) -> Self:
        """All output of the turn was sent."""
        return self._send_content("send generationComplete", generation_complete=True)

    def send_turn_complete(self, status: InteractionStatus | str | None = None) -> Self:
        """The turn is over.

        Args:
            status: Interaction status, where the model sends one.
        """
        return self._send_content("send turnComplete", turn_complete=True, interaction_status=status)

    def reply(self, text: str) -> Self:
        """A whole turn of text: `send_text`, `send_generation_complete`, `send_turn_complete`.

        Args:
            text: The text.
        """
        return self.send_text(text).send_generation_complete().send_turn_complete()

    def send_resumption(self, handle: str | None, *, consumed: int | None = None) -> Self:
        """Where the session can be resumed from.

        Args:
            handle: The handle; None where it cannot be resumed now.
            consumed: Number of the last client message inside it, in transparent mode.
        """
        update = LiveServerSessionResumptionUpdate(
            new_handle=handle, resumable=True if handle else None, last_consumed_client_message_index=consumed
        )
        return self.send(LiveServerMessage(session_resumption_update=update))

    def go_away(self, seconds: float) -> Self:
        """Announce the end of the connection; `wait` and `drop` or `close` bring it.

        Args:
            seconds: Time left.

        Raises:
            InvalidMessage: Not a number of seconds.
        """
        check_seconds("seconds", seconds)
        message = LiveServerMessage(go_away=LiveServerGoAway(time_left=seconds))
        return self.send(message, title=f"send goAway {seconds:g} s")

    def _send_content(self, title: str, **members: Any) -> Self:
        return self.send(LiveServerMessage(server_content=LiveServerContent(**members)), title=title)
