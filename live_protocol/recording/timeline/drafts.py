"""What a timeline is built from: the spans in the making, and the state they share."""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from live_protocol.recording.timeline.spans import ConnectionSpan, Gap, Mark, ToolSpan, TranscriptSpan, TurnSpan
from live_protocol.recording.timeline.strips import Strips
from live_protocol.recording.timeline.texts import Texts

__all__ = ["SPACING", "ConnectionDraft", "State", "ToolDraft", "TurnDraft"]

SPACING: Final = 0.1
"""Seconds between messages that have no times."""


@attrs.define(kw_only=True)
class ConnectionDraft:
    """See `ConnectionSpan`."""

    number: int
    start: float
    end: float | None = None
    ready: float | None = None
    model: str = ""
    resumes: bool = False
    going_away: float | None = None
    code: int | None = None
    reason: str = ""
    clean: bool | None = None
    initiator: str = ""
    error: str = ""
    hint: str = ""
    linked: bool = False
    set_up: bool = False

    def span(self) -> ConnectionSpan:
        """As it is now."""
        return ConnectionSpan(**attrs.asdict(self, filter=attrs.filters.exclude("linked", "set_up")))


@attrs.define(kw_only=True)
class ToolDraft:
    """See `ToolSpan`."""

    call_id: str
    name: str
    arguments: str
    start: float
    answered: float | None = None
    cancelled: float | None = None
    response: str = ""
    turn: int = 0
    connection: int = 1

    def span(self) -> ToolSpan:
        """As it is now."""
        return ToolSpan(**attrs.asdict(self))


@attrs.define(kw_only=True)
class TurnDraft:
    """See `TurnSpan`; what its audio amounts to comes from the strips."""

    number: int
    connection: int
    start: float
    asked: float | None
    asked_by: str
    end: float | None = None
    first_audio: float | None = None
    first_text: float | None = None
    generated: float | None = None
    interrupted: float | None = None
    reason: str = ""
    tokens: int | None = None

    def span(self, audio: float, heard: float) -> TurnSpan:
        """As it is now."""
        return TurnSpan(audio=audio, heard=heard, **attrs.asdict(self))


class State:
    """What both halves of the builder share.

    Args:
        timed: Whether the records have times.

    Attributes:
        timed: The same.
        now: Where the record in hand lies.
        texts: Cleans what is to be shown.
        connection: The newest connection, None before the first.
        connections: All of them.
        turns: Turns of the model.
        tools: Tool calls.
        user_audio: What the user said.
        model_audio: What the model says.
        written: Text that the client sent.
        marks: Moments.
        gaps: Gaps.
    """

    def __init__(self, *, timed: bool) -> None:
        self.timed = timed
        self.now: float = 0.0
        self.texts: Texts = Texts()
        self.connection: ConnectionDraft | None = None
        self.connections: list[ConnectionDraft] = []
        self.turns: list[TurnDraft] = []
        self.tools: list[ToolDraft] = []
        spaced = None if timed else SPACING
        self.user_audio: Strips = Strips(plays=False, spaced=spaced)
        self.model_audio: Strips = Strips(plays=True, spaced=spaced)
        self.written: list[TranscriptSpan] = []
        self.marks: list[Mark] = []
        self.gaps: list[Gap] = []
        self._asked: tuple[float, str] | None = None
        self._by_id: dict[str, ToolDraft] = {}
        self._by_name: dict[str, deque[ToolDraft]] = {}

    def mark(self, kind: str, detail: str = "", *, sent: bool | None = None, problem: bool = False) -> None:
        """Note a moment."""
        self.marks.append(Mark(at=self.now, kind=kind, detail=self.texts.detail(detail), sent=sent, problem=problem))

    # --- what a turn answers ------------------------------------------------------------------------------------

    def asked(self, by: str) -> None:
        """The user's side has just said something; the newest of these is what the next turn answers."""
        self._asked = (self.now, by)

    def begin_turn(self) -> TurnDraft:
        """A turn begins."""
        asked, by = self._asked or (None, "")
        self._asked = None
        number = self.connections[-1].number if self.connections else 1
        turn = TurnDraft(number=len(self.turns) + 1, connection=number, start=self.now, asked=asked, asked_by=by)
        self.turns.append(turn)
        return turn

    # --- tool calls ---------------------------------------------------------------------------------------------

    def requested(self, call: ToolDraft, call_id: str | None, name: str | None) -> None:
        """The model made a call."""
        self.tools.append(call)
        if call_id:
            self._by_id[call_id] = call
        else:
            self._by_name.setdefault(name or "", deque()).append(call)

    def call_of(self, call_id: str | None, name: str | None, *, done: bool) -> ToolDraft | None:
        """The call that something is about: by its id, otherwise the oldest of its name that waits."""
        if call_id:
            return self._by_id.get(call_id)
        waiting = self._by_name.get(name or "")
        if not waiting:
            return None
        return waiting.popleft() if done else waiting[0]
