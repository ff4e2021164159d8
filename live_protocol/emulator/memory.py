"""The memory of a session, which a later connection can resume: history, pending calls, size of the context."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import attrs

from live_protocol.emulator.turn_player import TurnPlayback
from live_protocol.messages import (
    Backend,
    Content,
    FunctionCall,
    MediaModality,
    ModalityTokenCount,
    Part,
    TrafficType,
    UsageMetadata,
)

_AUDIO_TOKENS: Final = 25  # per second (wire.md#session-limits)
_IMAGE_TOKENS: Final = 258  # per frame
_LETTERS: Final = 4  # per token, roughly
_MAX_CANCELLED: Final = 1024


@attrs.frozen(kw_only=True)
class PendingCall:
    """A call without a response.

    Attributes:
        call: Id, name, arguments.
        blocking: Whether the model waits for it.
    """

    call: FunctionCall
    blocking: bool


@attrs.define(kw_only=True, eq=False)
class ConversationMemory:
    """The memory of a session (wire.md#resumption).

    Attributes:
        model: The model, which resuming cannot change.
        alive: Returns whether the connection that uses it is still open.
        max_history: Maximum number of entries in the history.
        history: The newest entries, oldest first.
        forgotten: Number of older entries.
        pending: Calls without a response, by id, oldest first.
        cancelled: Ids of cancelled calls whose responses may still arrive.
        tokens: Size of the context, by modality.
        audio: Seconds of audio received so far.
    """

    model: str
    alive: Callable[[], bool]
    max_history: int = 4096
    history: list[Content] = attrs.Factory(list)
    forgotten: int = 0
    pending: dict[str, PendingCall] = attrs.Factory(dict)
    cancelled: dict[str, None] = attrs.Factory(dict)
    tokens: dict[MediaModality, int] = attrs.Factory(dict)
    audio: float = 0.0

    # --- history ------------------------------------------------------------------------------------------------

    @property
    def length(self) -> int:
        """Number of entries so far, including forgotten ones."""
        return self.forgotten + len(self.history)

    def until(self, length: int) -> tuple[Content, ...]:
        """The history as it was at an earlier length."""
        return tuple(self.history[: max(0, length - self.forgotten)])

    def back_to(self, length: int) -> None:
        """Remove all entries after an earlier length."""
        del self.history[max(0, length - self.forgotten) :]

    def _add(self, content: Content) -> None:
        self.history.append(content)
        if len(self.history) > self.max_history:
            del self.history[0]
            self.forgotten += 1

    def remember(self, content: Content) -> int:
        """Add to the history, and return its length before."""
        before = self.length
        self._add(content)
        self._count(MediaModality.TEXT, sum(_tokens(len(part.text or "")) for part in content.parts))
        return before

    def count_speech(self, seconds: float) -> None:
        """Count the tokens of the user's speech."""
        self._count(MediaModality.AUDIO, round(seconds * _AUDIO_TOKENS))

    def count_image(self) -> None:
        """Count the tokens of a video frame."""
        self._count(MediaModality.IMAGE, _IMAGE_TOKENS)

    def add_answer(self, playback: TurnPlayback) -> None:
        """Add the model's text so far; after an interruption only that stays (wire.md#turn-state)."""
        if playback.new_text:
            self._add(Content(role="model", parts=[Part(text=playback.new_text)]))
        playback.new_text = ""

    # --- calls --------------------------------------------------------------------------------------------------

    def add_call(self, key: str, entry: PendingCall) -> None:
        """Add a pending call."""
        self.pending[key] = entry
        self.remember(Content(role="model", parts=[Part(function_call=entry.call)]))

    def cancel(self, keys: Iterable[str]) -> list[str]:
        """Cancel calls, and return the ids of those that were pending and have one."""
        ids: list[str] = []
        for key in keys:
            entry = self.pending.pop(key, None)
            if entry is not None and entry.call.id:
                ids.append(entry.call.id)
                self.cancelled[key] = None
                if len(self.cancelled) > _MAX_CANCELLED:
                    del self.cancelled[next(iter(self.cancelled))]
        return ids

    # --- tokens -------------------------------------------------------------------------------------------------

    def _count(self, modality: MediaModality, tokens: int) -> None:
        if tokens:
            self.tokens[modality] = self.tokens.get(modality, 0) + tokens

    def usage(self, playback: TurnPlayback) -> UsageMetadata:
        """Return the report of a turn (wire.md#usage), and add its answer to the context."""
        prompt = _details(self.tokens)
        size = sum(self.tokens.values())
        turn = playback.turn
        kind = MediaModality.AUDIO if turn.speaks else MediaModality.TEXT
        answer = round(playback.played * _AUDIO_TOKENS) if turn.speaks else _tokens(playback.letters)
        thought = _tokens(playback.thoughts)
        self._count(kind, answer)
        return UsageMetadata(
            prompt_token_count=size,
            response_token_count=answer,
            thoughts_token_count=thought or None,
            total_token_count=size + answer + thought,
            prompt_tokens_details=prompt,
            response_tokens_details=_details({kind: answer}),
            traffic_type=TrafficType.ON_DEMAND if turn.backend is Backend.VERTEX else None,
        )


def _details(counts: Mapping[MediaModality, int]) -> Sequence[ModalityTokenCount]:
    """Counts by modality, without zeros, as in the service."""
    return tuple(ModalityTokenCount(modality=kind, token_count=count) for kind, count in counts.items() if count)


def _tokens(letters: int) -> int:
    return -(-letters // _LETTERS)
