"""Gathers each turn of the model into one object (wire.md#turn-state)."""

from __future__ import annotations

from typing import Final, final

import attrs

from live_protocol.events import (
    AudioChunk,
    ConnectionClosed,
    Event,
    GenerationComplete,
    InputTranscript,
    Interrupted,
    OutputTranscript,
    SetupComplete,
    TextChunk,
    ToolCallCancelled,
    ToolCallRequested,
    TurnComplete,
    TurnStarted,
    UsageUpdated,
)
from live_protocol.messages import FunctionCall, InteractionStatus, TurnCompleteReason
from live_protocol.messages.audio_format import AudioFormat
from live_protocol.session.usage import Usage

_OUTPUT: Final = (AudioChunk, TextChunk, OutputTranscript, ToolCallRequested)


@final
@attrs.define(kw_only=True, eq=False)
class TurnView:
    """One turn of the model so far; its `TurnCollector` fills it in.

    A turn has three ends. The *generation* is over when all output was sent, the *turn* when that output would have
    played, and the *interaction* when the model will not go on by itself. Wait for ``generated`` to stop reading, for
    ``complete`` to take the floor, and for ``interaction_complete`` to know that nothing more comes.

    Attributes:
        generation: Number of the generation; 0 before any output.
        started: Whether output arrived that was not stale, or a generation ended without any.
        generated: Whether all output was sent; stays False in an interrupted turn.
        complete: Whether the turn is over.
        interaction_complete: Whether the model is done. False on a complete turn means that the model goes on with
            further turns unasked.
        interaction_status: The service's word for that, or None from models that send none.
        interrupted: Whether the user or the end of the connection cut the turn.
        reason: Why it ended abnormally, or None.
        tool_calls: The model's calls in this turn, including cancelled ones.
        cancelled: Ids of calls that were cancelled while this was the newest turn.
        usage: Tokens reported for it.
        audio_format: Format of its audio, or None without audio.
        audio_seconds: Length of its audio that was not stale, in seconds, kept or not.
        audio_dropped: Bytes of audio that were not kept because they did not fit or had another format than the first.
    """

    generation: int = 0
    started: bool = False
    generated: bool = False
    complete: bool = False
    interaction_complete: bool = False
    interaction_status: InteractionStatus | str | None = None
    interrupted: bool = False
    reason: TurnCompleteReason | str | None = None
    tool_calls: list[FunctionCall] = attrs.field(factory=list)
    cancelled: list[str] = attrs.field(factory=list)
    usage: Usage = Usage()
    audio_format: AudioFormat | None = None
    audio_seconds: float = 0.0
    audio_dropped: int = 0
    _text: list[str] = attrs.field(factory=list, init=False, repr=False)
    _thoughts: list[str] = attrs.field(factory=list, init=False, repr=False)
    _spoken: list[str] = attrs.field(factory=list, init=False, repr=False)
    _heard: list[str] = attrs.field(factory=list, init=False, repr=False)
    _audio: bytearray = attrs.field(factory=bytearray, init=False, repr=False)

    @property
    def text(self) -> str:
        """The model's text without thoughts; empty if it speaks instead."""
        return "".join(self._text)

    @property
    def thoughts(self) -> str:
        """Summaries of the model's thinking."""
        return "".join(self._thoughts)

    @property
    def output_transcript(self) -> str:
        """The model's speech in words; needs ``output_audio_transcription`` in the setup."""
        return "".join(self._spoken)

    @property
    def input_transcript(self) -> str:
        """The user's speech, transcribed by the end of the turn; `TranscriptAssembler` catches later words too."""
        return "".join(self._heard)

    @property
    def answer(self) -> str:
        """The model's words: its transcript, or else its text."""
        return self.output_transcript or self.text

    @property
    def audio(self) -> bytes:
        """The audio in ``audio_format`` without stale chunks, if the collector keeps audio."""
        return bytes(self._audio)

    def _begin(self, generation: int) -> None:
        self.started = True
        self.generation = generation

    def _forget_output(self) -> None:
        for pieces in (self._text, self._thoughts, self._spoken, self._audio, self.tool_calls, self.cancelled):
            pieces.clear()
        self.generation = 0
        self.started = self.generated = self.interrupted = False
        self.audio_format = None
        self.audio_seconds, self.audio_dropped = 0.0, 0

    def _chunk(self, event: AudioChunk, room: int) -> None:
        self.audio_format = self.audio_format or event.format
        self.audio_seconds += event.format.seconds(len(event.data))
        if not room:
            return
        if event.format == self.audio_format and len(self._audio) + len(event.data) <= room:
            self._audio += event.data
        else:
            self.audio_dropped += len(event.data)


@final
class TurnCollector:
    """Gathers events by turn: feed it every event, and it returns each turn that ends.

    A turn holds everything since the one before it, so the user's words stand with the answer to them. It ends with the
    last event of the message that holds `TurnComplete`, or with the connection. A report of usage that comes alone
    between two turns counts for the one that has ended.

    An `Interrupted` and `TurnComplete` without a `TurnStarted` before them end nothing. The service sends such pairs
    for an answer that was over, or that began before this collector did. The collector forgets the output it has seen
    by then, so that the next answer stands alone.

    Args:
        keep_audio: Whether views keep the audio; otherwise they only measure it.
        max_audio: Most bytes of audio in one view.
        interrupted: Whether a turn was cut before this collector began, and its `TurnComplete` is still to come.

    Raises:
        ValueError: ``max_audio`` is less than 1.

    Attributes:
        current: The open turn.
        last: The turn that ended last, or None before the first.
    """

    __slots__ = ("_begun", "_ending", "_room", "current", "last")

    def __init__(
        self, *, keep_audio: bool = False, max_audio: int = 64 * 1024 * 1024, interrupted: bool = False
    ) -> None:
        if max_audio < 1:
            raise ValueError(f"max_audio must be at least 1, not {max_audio!r}")
        self.current: TurnView = TurnView(interrupted=interrupted)
        self.last: TurnView | None = None
        self._room = max_audio if keep_audio else 0
        self._begun = False
        self._ending = False

    def feed(self, event: Event) -> TurnView | None:
        """Take in an event.

        Returns:
            The turn that this event ended, or None. Its ``complete`` is False if the connection ended it.
        """
        match event:
            case TurnStarted():
                ended = self._cut() if self.current.started else None
                if self.current.interrupted:  # the connection took the end of the cut turn with it
                    self.current._forget_output()
                self.current._begin(event.generation)
                self._begun = True
                return ended
            case SetupComplete():
                return self._cut() if self.current.started else None
            case ConnectionClosed():
                return self._cut()
            case _:
                self._take(event)
        if self._ending and getattr(event, "last", True):
            self._ending = False
            return self._end()
        return None

    def _take(self, event: Event) -> None:
        view = self.current
        if isinstance(event, _OUTPUT) and not view.started:
            if event.stale:
                return  # the rest of an answer that was cut before
            view._begin(event.generation)  # it began before this collector did
        match event:
            case AudioChunk() if not event.stale:
                view._chunk(event, self._room)
            case TextChunk():
                (view._thoughts if event.thought else view._text).append(event.text)
            case OutputTranscript():
                view._spoken.append(event.text)
            case InputTranscript():
                view._heard.append(event.text)
            case ToolCallRequested():
                view.tool_calls.append(event.call)
            case ToolCallCancelled():
                view.cancelled.append(event.call_id)
            case UsageUpdated():
                self._usage(event)
            case Interrupted():
                view.interrupted = True
            case GenerationComplete():
                view.generated = True
            case TurnComplete():
                self._complete(event)
            case _:
                pass

    def _complete(self, event: TurnComplete) -> None:
        view = self.current
        if view.interrupted and not self._begun:
            view._forget_output()
            return
        view.complete = True
        view.reason = event.reason
        view.interaction_status = event.interaction_status
        view.interaction_complete = event.interaction_complete
        self._ending = True

    def _usage(self, event: UsageUpdated) -> None:
        view = self.current
        if not view.started and not view.complete and self.last is not None:
            view = self.last
        view.usage = view.usage.added(event.usage)

    def _cut(self) -> TurnView:
        self.current.interrupted = self.current.interrupted or self.current.started
        return self._end()

    def _end(self) -> TurnView:
        self._begun = False
        self.last, self.current = self.current, TurnView()
        return self.last
