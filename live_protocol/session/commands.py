"""The commands of the client role, under the names of the official AsyncSession, documented once."""

from __future__ import annotations

import abc
from collections.abc import Iterable

from live_protocol.messages import LiveClientMessage, LiveClientToolResponse
from live_protocol.session import requests


class ClientCommands(abc.ABC):
    """Commands that each make one client message. The class that inherits them decides what to do with it."""

    __slots__ = ()

    @abc.abstractmethod
    def _send_client(self, operation: str, message: LiveClientMessage) -> None: ...

    @abc.abstractmethod
    def _send_pcm(self, audio: bytes | bytearray | memoryview, rate: int) -> None: ...

    def send_client_content(self, turns: requests.TurnsInput | None = None, *, turn_complete: bool = True) -> None:
        """Append turns to the history, in order; interrupts a running generation (wire.md#client-content).

        Args:
            turns: `Content`, a dict of its fields, or a list of either; None with ``turn_complete`` means "go on".
            turn_complete: True: answer now. False: wait for more client content.

        Raises:
            InvalidMessage: With the path of what is wrong.
            IllegalInState: Setup is not complete, or this is the server's end.
            MessageTooLarge: Over ``Limits.max_send``.
            AlreadyClosed: The session has ended.
            In each case nothing was sent and nothing has changed.
        """
        content = requests.client_content(turns, turn_complete=turn_complete)
        self._send_client("send_client_content", LiveClientMessage(client_content=content))

    def send_realtime_input(
        self,
        *,
        audio: requests.AudioInput | None = None,
        rate: int | None = None,
        video: requests.MediaInput | None = None,
        text: str | None = None,
        activity_start: requests.MarkerInput | None = None,
        activity_end: requests.MarkerInput | None = None,
        audio_stream_end: bool | None = None,
    ) -> None:
        """Send one piece of live input; give exactly one of the members (wire.md#realtime-input).

        Args:
            audio: Raw PCM bytes (16-bit signed little-endian, mono) with ``rate``, or a `Blob` whose MIME type has the
                rate. 20 to 100 ms a chunk is recommended; 100 ms at 16 kHz are 3,200 bytes.
            rate: Sample rate of raw ``audio`` in Hz; 16,000 is native. One rate for the whole session.
            video: One still image as a `Blob` with an ``image/`` type, about one a second.
            text: Text; counts as activity.
            activity_start: The user begins; only with automatic detection off.
            activity_end: The user is done; only with automatic detection off.
            audio_stream_end: The microphone pauses; only with automatic detection on.

        Raises:
            InvalidMessage: Not exactly one member, or one the service refuses.
            IllegalInState: Setup is not complete, the activity window forbids it, or this is the server's end.
            MessageTooLarge: Over ``Limits.max_send``.
            AlreadyClosed: The session has ended.
            In each case nothing was sent and nothing has changed.
        """
        if (
            rate is not None
            and isinstance(audio, (bytes, bytearray, memoryview))
            and video is None
            and text is None
            and activity_start is None
            and activity_end is None
            and audio_stream_end is None
        ):
            self._send_pcm(audio, rate)
            return
        message = requests.realtime_input(
            audio=audio,
            rate=rate,
            video=video,
            text=text,
            activity_start=activity_start,
            activity_end=activity_end,
            audio_stream_end=audio_stream_end,
        )
        self._send_client("send_realtime_input", LiveClientMessage(realtime_input=message))

    def send_tool_response(self, function_responses: requests.ResponsesInput) -> None:
        """Answer one or several calls (wire.md#tool-response); a missing ``name`` is filled in from the call.

        Args:
            function_responses: `FunctionResponse`, a dict of its fields, or a list of either.

        Raises:
            InvalidMessage: None given, an id that is missing (Gemini) or unknown, or a field that does not fit.
            ToolCallWasCancelled: The server has cancelled one of the calls; safe to ignore.
            IllegalInState: A call has its final answer, setup is not complete, or this is the server's end.
            MessageTooLarge: Over ``Limits.max_send``.
            AlreadyClosed: The session has ended.
            In each case nothing was sent and nothing has changed.
        """
        responses = requests.tool_responses(function_responses)
        response = LiveClientToolResponse(function_responses=responses)
        self._send_client("send_tool_response", LiveClientMessage(tool_response=response))

    def send_context_update(
        self,
        *,
        system_instruction: requests.InstructionInput | None = None,
        tools: Iterable[requests.ToolInput] | None = None,
    ) -> None:
        """Replace instructions or tools in mid-session, where the model allows it (wire.md#context-update).

        Args:
            system_instruction: New instructions; None leaves them.
            tools: The whole new list; ``[]`` removes all, None leaves them.

        Raises:
            InvalidMessage: Neither is given, or one does not fit.
            IllegalInState: Setup is not complete, or this is the server's end.
            MessageTooLarge: Over ``Limits.max_send``.
            AlreadyClosed: The session has ended.
            In each case nothing was sent and nothing has changed.
        """
        update = requests.context_update(system_instruction, tools)
        self._send_client("send_context_update", LiveClientMessage(context_update=update))
