"""Spans under construction, and the state that both halves of the builder share."""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from live_protocol.recording.timeline.spans import ConnectionSpan, Gap, Mark, ToolSpan, TranscriptSpan, TurnSpan
from live_protocol.recording.timeline.strips import Strips
from live_protocol.recording.timeline.texts import Texts

SPACING: Final = 0.1
"""Seconds between messages without times."""


@attrs.define(kw_only=True)
class ConnectionDraft:
    """Becomes a `ConnectionSpan`."""

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
        """The span so far."""
        return ConnectionSpan(**attrs.asdict(self, filter=attrs.filters.exclude("linked", "set_up")))


@attrs.define(kw_only=True)
class ToolDraft:
    """Becomes a `ToolSpan`."""

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
        """The span so far."""
        return ToolSpan(**attrs.asdict(self))


@attrs.define(kw_only=True)
class TurnDraft:
    """Becomes a `TurnSpan`; the strips add the length of its audio."""

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
        """The span so far."""
        return TurnSpan(audio=audio, heard=heard, **attrs.asdict(self))


class State:
    """The state that both halves of the builder share.

    Args:
        timed: Whether the records have times.

    Attributes:
        timed: The same.
        now: Time of the current record.
        texts: Cleans every text that is shown.
        connection: The newest connection, or None before the first.
        connections: All of them.
        turns: Turns of the model.
        tools: Tool calls.
        user_audio: The user's audio.
        model_audio: The model's audio.
        written: Text from the client.
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
        """Add a mark at the current time."""
        self.marks.append(Mark(at=self.now, kind=kind, detail=self.texts.detail(detail), sent=sent, problem=problem))

    # --- what a turn answers ------------------------------------------------------------------------------------

    def asked(self, by: str) -> None:
        """The client has just sent input; the next turn answers the newest."""
        self._asked = (self.now, by)

    def begin_turn(self) -> TurnDraft:
        """Begin a turn."""
        asked, by = self._asked or (None, "")
        self._asked = None
        number = self.connections[-1].number if self.connections else 1
        turn = TurnDraft(number=len(self.turns) + 1, connection=number, start=self.now, asked=asked, asked_by=by)
        self.turns.append(turn)
        return turn

    # --- tool calls ---------------------------------------------------------------------------------------------

    def requested(self, call: ToolDraft, call_id: str | None, name: str | None) -> None:
        """Add a call of the model."""
        self.tools.append(call)
        if call_id:
            self._by_id[call_id] = call
        else:
            self._by_name.setdefault(name or "", deque()).append(call)

    def call_of(self, call_id: str | None, name: str | None, *, done: bool) -> ToolDraft | None:
        """Find a call by its id, or else the oldest waiting one of that name."""
        if call_id:
            return self._by_id.get(call_id)
        waiting = self._by_name.get(name or "")
        if not waiting:
            return None
        return waiting.popleft() if done else waiting[0]
