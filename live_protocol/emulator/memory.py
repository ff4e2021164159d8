"""What a session knows and a later connection may take over: history, open calls, size of the context."""

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

__all__ = ["ConversationMemory", "PendingCall"]

_AUDIO_RATE: Final = 25  # tokens a second (wire.md#session-limits)
_IMAGE: Final = 258  # tokens a frame
_LETTERS: Final = 4  # a token, roughly
_REMEMBERED: Final = 1024


@attrs.frozen(kw_only=True)
class PendingCall:
    """A call that awaits a response.

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
        alive: Tells whether the connection that holds it still lives.
        max_history: Entries of the history that are remembered.
        history: What was said, in order, without the oldest that were forgotten.
        forgotten: Entries that were forgotten.
        pending: Calls that await a response, by id, oldest first.
        cancelled: Ids of cancelled calls whose responses may still be on their way.
        tokens: Size of the context, by modality.
        audio: Seconds of audio heard so far.
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

    # --- what was said ------------------------------------------------------------------------------------------

    @property
    def length(self) -> int:
        """How many entries there have been."""
        return self.forgotten + len(self.history)

    def until(self, length: int) -> tuple[Content, ...]:
        """The history as it was when it had so many entries."""
        return tuple(self.history[: max(0, length - self.forgotten)])

    def back_to(self, length: int) -> None:
        """Forget everything that came after so many entries."""
        del self.history[max(0, length - self.forgotten) :]

    def _add(self, content: Content) -> None:
        self.history.append(content)
        if len(self.history) > self.max_history:
            del self.history[0]
            self.forgotten += 1

    def remember(self, content: Content) -> int:
        """Add to the history; gives how long it was before."""
        before = self.length
        self._add(content)
        self._count(MediaModality.TEXT, sum(_tokens(len(part.text or "")) for part in content.parts))
        return before

    def heard(self, seconds: float) -> None:
        """Count speech of the user."""
        self._count(MediaModality.AUDIO, round(seconds * _AUDIO_RATE))

    def saw(self) -> None:
        """Count a frame of video."""
        self._count(MediaModality.IMAGE, _IMAGE)

    def note(self, playback: TurnPlayback) -> None:
        """Add what the model said so far: after an interruption only that stays (wire.md#turn-state)."""
        if playback.said:
            self._add(Content(role="model", parts=[Part(text=playback.said)]))
        playback.said = ""

    # --- calls --------------------------------------------------------------------------------------------------

    def called(self, key: str, entry: PendingCall) -> None:
        """Enter a call."""
        self.pending[key] = entry
        self.remember(Content(role="model", parts=[Part(function_call=entry.call)]))

    def cancel(self, keys: Iterable[str]) -> list[str]:
        """Forget calls; gives the ids of those that were pending and have one."""
        ids: list[str] = []
        for key in keys:
            entry = self.pending.pop(key, None)
            if entry is not None and entry.call.id:
                ids.append(entry.call.id)
                self.cancelled[key] = None
                if len(self.cancelled) > _REMEMBERED:
                    del self.cancelled[next(iter(self.cancelled))]
        return ids

    # --- tokens -------------------------------------------------------------------------------------------------

    def _count(self, modality: MediaModality, tokens: int) -> None:
        if tokens:
            self.tokens[modality] = self.tokens.get(modality, 0) + tokens

    def usage(self, playback: TurnPlayback) -> UsageMetadata:
        """The report of a turn (wire.md#usage); its answer belongs to the context from then on."""
        prompt = _details(self.tokens)
        size = sum(self.tokens.values())
        turn = playback.turn
        kind = MediaModality.AUDIO if turn.speaks else MediaModality.TEXT
        made = round(playback.played * _AUDIO_RATE) if turn.speaks else _tokens(playback.letters)
        thought = _tokens(playback.thoughts)
        self._count(kind, made)
        return UsageMetadata(
            prompt_token_count=size,
            response_token_count=made,
            thoughts_token_count=thought or None,
            total_token_count=size + made + thought,
            prompt_tokens_details=prompt,
            response_tokens_details=_details({kind: made}),
            traffic_type=TrafficType.ON_DEMAND if turn.backend is Backend.VERTEX else None,
        )


def _details(counts: Mapping[MediaModality, int]) -> Sequence[ModalityTokenCount]:
    """Counts by modality; like the service, nothing where there is nothing to count."""
    return tuple(ModalityTokenCount(modality=kind, token_count=count) for kind, count in counts.items() if count)


def _tokens(letters: int) -> int:
    return -(-letters // _LETTERS)
