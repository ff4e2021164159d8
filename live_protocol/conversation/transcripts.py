"""Assembles fragments of transcripts into utterances (wire.md#transcripts)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, TypeAlias, final

import attrs

from live_protocol.events import (
    ConnectionClosed,
    ConnectionFailed,
    Event,
    GenerationComplete,
    InputTranscript,
    InterimInputTranscript,
    Interrupted,
    OutputTranscript,
    SetupComplete,
    TextChunk,
    TurnComplete,
    TurnStarted,
    VoiceActivityDetected,
)
from live_protocol.messages import Transcription, VadSignalType, VoiceActivityType, WordInfo

_SENTENCE_ENDS: Final = (".", "!", "?", "…")


class Role(enum.StrEnum):
    """Who speaks."""

    USER = "USER"
    """The user, as the service heard the speech."""
    MODEL = "MODEL"
    """The model: the transcript of its voice, or its text."""
    THOUGHT = "THOUGHT"
    """A summary of the model's thinking, never spoken."""


@final
@attrs.frozen(kw_only=True)
class Utterance:
    """One stretch of speech or text. Each update carries all of it.

    Attributes:
        number: Its number in the session, from 1; updates of one utterance share it.
        role: Who speaks.
        text: All the words so far.
        final: Whether it is closed. A late piece may still amend it; then it comes again, still final.
        generation: Generation of the model's words. For the user's, the newest generation when they began, 0 before the
            first.
        interrupted: Whether the user or the end of the connection cut it off.
        language: BCP 47 code, or None if the service does not name it.
        speaker: Tag of the speaker, or None if the service does not tell speakers apart.
        words: Timing of each word, if the service reports it.
    """

    number: int
    role: Role
    text: str
    final: bool = False
    generation: int = 0
    interrupted: bool = False
    language: str | None = None
    speaker: str | None = None
    words: Sequence[WordInfo] = ()


Updates: TypeAlias = tuple[Utterance, ...]


@final
class _Draft:
    """An open utterance: its settled text, and the guess at the words after it."""

    __slots__ = ("guess", "settled", "utterance")

    def __init__(self, utterance: Utterance) -> None:
        self.utterance = utterance
        self.settled = ""
        self.guess = ""

    def add(self, text: str, heard: Transcription | None) -> Utterance:
        # Whole sentences arrive without a space between them; fragments bring their own.
        gap = " " if self.settled.endswith(_SENTENCE_ENDS) and text[:1].isupper() else ""
        self.settled += gap + text
        self.guess = ""
        return self._updated(heard)

    def suppose(self, text: str, heard: Transcription) -> Utterance:
        self.guess = text
        return self._updated(heard)

    def _updated(self, heard: Transcription | None) -> Utterance:
        said = self.utterance
        gap = " " if self.settled and self.guess and not (self.settled[-1].isspace() or self.guess[0].isspace()) else ""
        said = attrs.evolve(said, text=self.settled + gap + self.guess)
        if heard is not None:
            language, speaker = heard.language_code or said.language, heard.speaker_label or said.speaker
            # The words of a guess are as provisional as the guess.
            words = said.words if self.guess else (*said.words, *heard.words)
            said = attrs.evolve(said, language=language, speaker=speaker, words=words)
        self.utterance = said
        return said

    def close(self, *, interrupted: bool = False) -> Utterance:
        self.utterance = attrs.evolve(self.utterance, final=True, interrupted=interrupted)
        return self.utterance


@final
class TranscriptAssembler:
    """Assembles utterances: feed it every event, and it returns the utterances that changed.

    The service sends fragments, in no order relative to other messages, and rarely marks the last one. The rules:

    *Pieces.* A piece of `InputTranscript`, `OutputTranscript` or `TextChunk` is appended to the open utterance of
    its role, or opens one. Some models send whole sentences, so a missing space is added between the end of a sentence
    and a piece that begins with a capital. An empty piece changes nothing. A piece from another speaker opens another
    utterance. Thoughts are a separate role.

    *Guesses.* `InterimInputTranscript` replaces the guess before it; the next `InputTranscript` replaces the guess.
    An utterance that closes before that keeps its guess as its text.

    *The model's* utterance, and its thought, closes at `GenerationComplete`, `Interrupted`, `TurnComplete`, at a piece
    of another generation, and at one marked ``finished``. A piece of the cut generation that follows `Interrupted`
    amends the closed utterance: the service sends the last words together with the interruption. If `Interrupted`
    comes between `GenerationComplete` and `TurnComplete`, the utterance comes again as interrupted: it was sent whole,
    but not heard whole.

    *The user's* utterance closes when the model begins to answer (`TurnStarted`), when the service hears the user start
    again (`VoiceActivityDetected`), and at a piece marked ``finished``. Transcription lags behind, so a piece after
    `TurnStarted` amends the utterance that it closed; a guess does the same if that utterance ended in a guess. After
    the next new guess, `Interrupted`, `TurnComplete` or start of activity, a piece opens a new utterance. The end of
    activity closes nothing, because the words may still be on their way.

    *All* close at `ConnectionFailed`, `ConnectionClosed` and the `SetupComplete` of another connection; the model's are
    then interrupted. The assembler keeps only open utterances and those that may still be amended.
    """

    __slots__ = ("_amendable", "_generation", "_number", "_open")

    def __init__(self) -> None:
        self._open: dict[Role, _Draft] = {}
        self._amendable: dict[Role, _Draft] = {}
        self._generation = 0
        self._number = 0

    @property
    def open(self) -> tuple[Utterance, ...]:
        """The open utterances, oldest first."""
        return tuple(sorted((draft.utterance for draft in self._open.values()), key=lambda said: said.number))

    def feed(self, event: Event) -> tuple[Utterance, ...]:
        """Take in an event; events without words pass by.

        Returns:
            The utterances that changed, each with all its words, in the order of the changes.
        """
        match event:
            case OutputTranscript():
                return self._model(event, Role.MODEL, event.transcription, finished=event.finished)
            case TextChunk():
                return self._model(event, Role.THOUGHT if event.thought else Role.MODEL, None)
            case InputTranscript():
                return self._heard(event)
            case InterimInputTranscript():
                return self._guess(event)
            case TurnStarted():
                self._generation = event.generation
                return self._close(Role.USER, amendable=True)
            case Interrupted():
                self._amendable.pop(Role.USER, None)
                return self._unheard() + self._close(Role.THOUGHT, Role.MODEL, interrupted=True, amendable=True)
            case GenerationComplete():
                return self._close(Role.THOUGHT, Role.MODEL, amendable=True)
            case TurnComplete():
                self._amendable.clear()
                return self._close(Role.THOUGHT, Role.MODEL)
            case VoiceActivityDetected() if _is_start(event):
                self._amendable.pop(Role.USER, None)
                return self._close(Role.USER)
            case ConnectionClosed() | ConnectionFailed() | SetupComplete():
                return self.close()
            case _:
                return ()

    def close(self) -> tuple[Utterance, ...]:
        """Close every open utterance, as the end of the connection does."""
        self._amendable.clear()
        return self._close(Role.USER) + self._close(Role.THOUGHT, Role.MODEL, interrupted=True)

    def _unheard(self) -> Updates:
        # It closed when the last word was sent, which is before the last word was heard.
        draft = self._amendable.get(Role.MODEL)
        return (draft.close(interrupted=True),) if draft is not None and Role.MODEL not in self._open else ()

    def _model(
        self, event: OutputTranscript | TextChunk, role: Role, heard: Transcription | None, *, finished: bool = False
    ) -> Updates:
        speaker = heard.speaker_label if heard is not None else None
        late = self._amendable.get(role)
        if event.stale and event.text and late is not None and late.utterance.generation == event.generation:
            return (late.add(event.text, heard),)
        draft = self._open.get(role)
        closed: Updates = ()
        if draft is not None and event.text and draft.utterance.generation != event.generation:
            closed = self._close(role)
        return closed + self._piece(role, event.text, heard, speaker, event.generation, finished=finished)

    def _heard(self, event: InputTranscript) -> Updates:
        heard = event.transcription
        late = self._amendable.get(Role.USER)
        same = late is not None and _same_speaker(late.utterance, heard.speaker_label)
        if late is not None and same and event.text and Role.USER not in self._open:
            if event.finished:
                del self._amendable[Role.USER]
            return (late.add(event.text, heard),)
        finished = event.finished
        return self._piece(Role.USER, event.text, heard, heard.speaker_label, self._generation, finished=finished)

    def _guess(self, event: InterimInputTranscript) -> Updates:
        if not event.text:
            return ()
        late = self._amendable.get(Role.USER)
        if late is not None and late.guess and Role.USER not in self._open:
            return (late.suppose(event.text, event.transcription),)
        self._amendable.pop(Role.USER, None)
        closed, draft = self._draft(Role.USER, event.transcription.speaker_label, self._generation)
        return (*closed, draft.suppose(event.text, event.transcription))

    def _piece(
        self,
        role: Role,
        text: str,
        heard: Transcription | None,
        speaker: str | None,
        generation: int,
        *,
        finished: bool,
    ) -> Updates:
        closed: Updates = ()
        if text:
            closed, draft = self._draft(role, speaker, generation)
            update = draft.add(text, heard)
            if not finished:
                return (*closed, update)
        return closed + self._close(role) if finished else closed

    def _draft(self, role: Role, speaker: str | None, generation: int) -> tuple[Updates, _Draft]:
        closed: Updates = ()
        draft = self._open.get(role)
        if draft is not None and not _same_speaker(draft.utterance, speaker):
            closed, draft = self._close(role), None
        if draft is None:
            self._number += 1
            draft = _Draft(Utterance(number=self._number, role=role, text="", generation=generation))
            self._open[role] = draft
        return closed, draft

    def _close(self, *roles: Role, interrupted: bool = False, amendable: bool = False) -> Updates:
        closed: list[Utterance] = []
        for role in roles:
            draft = self._open.pop(role, None)
            if draft is not None:
                closed.append(draft.close(interrupted=interrupted))
                if amendable:
                    self._amendable[role] = draft
        return tuple(closed)


def _same_speaker(said: Utterance, speaker: str | None) -> bool:
    return said.speaker is None or speaker is None or said.speaker == speaker


def _is_start(event: VoiceActivityDetected) -> bool:
    return event.kind == VoiceActivityType.ACTIVITY_START or event.signal == VadSignalType.VAD_SIGNAL_TYPE_SOS
