"""Plays one turn of the model by the clock (wire.md#turn-order).

Theory of operation. A turn is a pipeline of three stages, driven by `TurnPlayback.take`:

1. Sources: iterators of actions. The model's answer is the first; each answer to a tool response adds one.
2. Steps: messages with the time at which they leave. `_pull` takes one action and turns it into steps, or into an
   effect for the session to carry out. It runs only when all steps have left, so a generator produces
   its next action no earlier than the action is due.
3. Effects: `take` returns one at a time, and None when the clock must move first. `due` is the time of the next one.

`_at` is the time up to which the turn is planned. Waits and the pace of audio move it ahead; `_play_until` is the time
at which a client would have played everything. Consecutive calls are collected in `_calls` and leave as one effect.

The turn ends when the sources are exhausted and no blocking call is open: first ``generationComplete``, then `Done`,
which waits for `_play_until` if `EmulatorOptions.hold_turn_complete` is set.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Final, TypeAlias, final

import attrs

from live_protocol.emulator.actions import (
    Call,
    Cancel,
    Close,
    Drop,
    EndTurn,
    ModelAction,
    Say,
    Send,
    SendGoAway,
    Show,
    Speak,
    Stall,
    UserTurn,
    Wait,
)
from live_protocol.emulator.options import EmulatorOptions
from live_protocol.emulator.voice import OUTPUT, convert_rate, fragments, speak
from live_protocol.messages import (
    Backend,
    Blob,
    Content,
    LiveServerContent,
    LiveServerMessage,
    Part,
    Transcription,
)

_FIRST_CHUNK: Final = OUTPUT.size(0.2)  # wire.md#audio
_CHUNK: Final = OUTPUT.size(0.24)


@final
@attrs.frozen
class Done:
    """The turn is over."""


Effect: TypeAlias = LiveServerMessage | tuple[Call, ...] | Cancel | SendGoAway | Close | Drop | Done
"""Something for the session to carry out."""


@attrs.define
class _Step:
    """A message and the time at which it leaves.

    Attributes:
        at: Clock reading.
        message: The message; None for speech without a transcript.
        text: Text that enters the history then.
        plays: Seconds of audio in the message.
    """

    at: float
    message: LiveServerMessage | None
    text: str = ""
    plays: float = 0.0


class TurnPlayback:
    """One turn of the model, from its first action to `Done`.

    Args:
        actions: The model's answer; taken one by one, when due.
        turn: The user's turn.
        options: Pace and voice.
        now: Clock reading.

    Attributes:
        turn: The user's turn.
        new_text: Text said, but not yet in the history.
        letters: Letters said in the whole turn.
        thoughts: Letters of thoughts in the whole turn.
        played: Seconds of audio sent so far.
        awaiting: Ids of calls that keep the turn open.
        end: The model's `EndTurn`, if any.
    """

    def __init__(self, actions: Iterable[ModelAction], turn: UserTurn, options: EmulatorOptions, now: float) -> None:
        self.turn = turn
        self.new_text: str = ""
        self.letters: int = 0
        self.thoughts: int = 0
        self.played: float = 0.0
        self.awaiting: set[str] = set()
        self.end: EndTurn | None = None
        self._sources: deque[Iterator[ModelAction]] = deque([iter(actions)])
        self._options = options
        self._transcribes = turn.speaks and turn.setup.output_audio_transcription is not None
        self._at = now
        self._play_until = now
        self._steps: deque[_Step] = deque()
        self._audio = bytearray()
        self._chunk = _FIRST_CHUNK
        self._calls: list[Call] = []
        self._next: ModelAction | None = None
        self._transcribed = False
        self._exhausted = False
        self._stalled = False
        self._generated = False

    # --- the clock ----------------------------------------------------------------------------------------------

    @property
    def due(self) -> float | None:
        """Clock reading at which `take` has an effect; None if the clock alone brings none."""
        if self._steps:
            return self._steps[0].at
        if self._stalled or (self._exhausted and not self._calls and self.awaiting):
            return None
        if self._generated:
            return self._play_until if self._options.hold_turn_complete else self._at
        return self._at

    def shift(self, by: float) -> None:
        """Move all times: the clock has its first reading."""
        self._at += by
        self._play_until += by
        for step in self._steps:
            step.at += by

    def go_on(self, actions: Iterable[ModelAction], now: float) -> None:
        """Add the model's reaction to a tool response."""
        self._at = max(self._at, now)
        self._sources.append(iter(actions))
        self._exhausted = False

    def take(self, now: float) -> Effect | None:
        """Return the next effect that is due, or None."""
        while True:
            due = self.due
            if due is None or due > now:
                return None
            if self._steps:
                step = self._steps.popleft()
                self.new_text += step.text
                self.letters += len(step.text)
                if step.plays:
                    self.played += step.plays
                    self._play_until = max(self._play_until, step.at) + step.plays
                if step.message is not None:
                    return step.message
            elif self._generated:
                return Done()
            else:
                effect = self._pull()
                if effect is not None:
                    return effect

    # --- actions ------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Discard all further actions, and close the generators."""
        while self._sources:
            source = self._sources.popleft()
            if isinstance(source, Generator):
                source.close()

    def _take_action(self) -> ModelAction | None:
        while self._sources:
            action = next(self._sources[0], None)
            if action is not None:
                return action
            self._sources.popleft()
        return None

    def _pull(self) -> Effect | None:
        action, self._next = self._next or self._take_action(), None
        if isinstance(action, Call):
            self._calls.append(action)
            return None
        if self._calls:
            calls, self._next = tuple(self._calls), action
            self._calls.clear()
            self._exhausted = action is None
            return calls
        match action:
            case None:
                self._exhausted = True
                if self.awaiting:
                    return None
                self._generated = True
                return LiveServerMessage(server_content=LiveServerContent(generation_complete=True))
            case Say(text=text, thought=thought):
                self._say(text, thought=thought)
            case Speak():
                self._speak(action)
            case Show(parts=parts):
                return self._content(*parts)
            case Wait(seconds=seconds):
                self._at += seconds
            case Send(message=message):
                return message
            case EndTurn():
                self.end = action
                self.stop()
                self.awaiting.clear()
            case Stall():
                self._stalled = True
            case _:
                return action
        return None

    def _say(self, text: str, *, thought: bool) -> None:
        if thought or not self.turn.speaks:
            self.thoughts += len(text) if thought else 0
            for piece in fragments(text):
                part = Part(text=piece, thought=thought or None)
                self._steps.append(_Step(self._at, self._content(part), text="" if thought else piece))
            return
        space = OUTPUT.size(self._options.max_speech)
        for piece in fragments(text):
            self._transcribe(piece)
            if space > 0:
                pcm = speak(piece, self._options.voice)[:space]
                space -= len(pcm)
                self._add_audio(pcm)
        self._flush()

    def _speak(self, action: Speak) -> None:
        if not self.turn.speaks:
            self._say(action.transcript or f"[{len(action.pcm) / 2 / action.rate:.1f} s of audio]", thought=False)
            return
        for piece in fragments(action.transcript):
            self._transcribe(piece)
        self._add_audio(convert_rate(action.pcm, action.rate))
        self._flush()

    def _transcribe(self, piece: str) -> None:
        message = None
        if self._transcribes:
            if self.turn.backend is Backend.VERTEX and not self._transcribed:
                self._steps.append(_Step(self._at, _transcript(None)))  # as recorded (wire.md#turn-order)
            self._transcribed = True
            message = _transcript(piece)
        self._steps.append(_Step(self._at, message, text=piece))

    def _add_audio(self, pcm: bytes) -> None:
        self._audio += pcm
        while len(self._audio) >= self._chunk:
            self._emit(self._chunk)
            self._chunk = _CHUNK

    def _flush(self) -> None:
        if self._audio:
            self._emit(len(self._audio))

    def _emit(self, size: int) -> None:
        data = bytes(self._audio[:size])
        del self._audio[:size]
        # Vertex sends a bare audio/pcm (wire.md#audio).
        mime_type = OUTPUT.mime_type if self.turn.backend is Backend.GEMINI else "audio/pcm"
        message = self._content(Part(inline_data=Blob(mime_type=mime_type, data=data)))
        seconds = OUTPUT.seconds(len(data))
        self._steps.append(_Step(self._at, message, plays=seconds))
        if self._options.speed is not None:
            self._at += seconds / self._options.speed

    def _content(self, *parts: Part) -> LiveServerMessage:
        role = "model" if self.turn.backend is Backend.VERTEX else None
        return LiveServerMessage(server_content=LiveServerContent(model_turn=Content(role=role, parts=parts)))


def _transcript(text: str | None) -> LiveServerMessage:
    return LiveServerMessage(server_content=LiveServerContent(output_transcription=Transcription(text=text)))
