"""A recorded session, measured: what happened when, how long it took, and what went wrong.

`Timeline.from_records` takes the records of a trace and never fails on what they hold; `render` draws the result.
"""

from __future__ import annotations

import base64
import enum
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Self, final

import attrs

from live_protocol.recording.timeline.builder import Builder
from live_protocol.recording.timeline.spans import (
    ENVELOPE_STEP,
    AudioStrip,
    ConnectionSpan,
    Gap,
    GapKind,
    Mark,
    Ping,
    ToolSpan,
    TranscriptKind,
    TranscriptSpan,
    TurnSpan,
)
from live_protocol.recording.timeline.summary import Distribution, SessionEnd, Summary, Traffic, summarize
from live_protocol.recording.trace import TraceRecord

__all__ = [
    "DEFAULT_GAP",
    "ENVELOPE_STEP",
    "AudioStrip",
    "ConnectionSpan",
    "Distribution",
    "Gap",
    "GapKind",
    "Mark",
    "Ping",
    "SessionEnd",
    "Summary",
    "Timeline",
    "ToolSpan",
    "Traffic",
    "TranscriptKind",
    "TranscriptSpan",
    "TurnSpan",
]

DEFAULT_GAP = 5.0
"""Seconds without a message that count as a gap."""


@final
@attrs.frozen(kw_only=True)
class Timeline:
    """A recorded session. It holds no credential: session handles are never in it, what looks like a key is taken out.

    Attributes:
        timed: Whether the recording has times. A ``.websocket.log`` has none; then its messages are spaced evenly, and
            only their order means something.
        duration: Seconds from the first record to the last.
        end: Where the picture ends: the last record, or the end of the audio that would still be playing.
        connections: Connections.
        turns: Turns of the model.
        user_audio: What the user said.
        model_audio: What the model said.
        said: Transcripts and texts, by their beginning.
        tools: Tool calls.
        gaps: Gaps, by their beginning.
        pings: Answered pings.
        marks: Everything else, in order.
        summary: The same in figures.
    """

    timed: bool
    duration: float
    end: float
    connections: Sequence[ConnectionSpan]
    turns: Sequence[TurnSpan]
    user_audio: Sequence[AudioStrip]
    model_audio: Sequence[AudioStrip]
    said: Sequence[TranscriptSpan]
    tools: Sequence[ToolSpan]
    gaps: Sequence[Gap]
    pings: Sequence[Ping]
    marks: Sequence[Mark]
    summary: Summary

    @classmethod
    def from_records(cls, records: Iterable[TraceRecord], *, gap: float = DEFAULT_GAP) -> Self:
        """Measure a recording.

        Args:
            records: Its messages and notes, in order; see `TraceReader.records` and `read_websocket_log`.
            gap: Seconds without a message that count as a gap.

        Raises:
            ValueError: ``gap`` is not a positive number. Nothing in the records makes it raise.
        """
        if not gap > 0:
            raise ValueError(f"gap must be a positive number of seconds, not {gap!r}")
        known = list(records)
        timed = bool(known) and all(record.at is not None and math.isfinite(record.at) for record in known)
        builder = Builder(timed=timed, gap=gap)
        for record in known:
            builder.feed(record)
        return cls._built(builder)

    @classmethod
    def _built(cls, builder: Builder) -> Self:
        user, model = builder.user_audio.strips(), builder.model_audio.strips()
        audio: defaultdict[int, float] = defaultdict(float)
        heard: defaultdict[int, float] = defaultdict(float)
        for strip in model:
            if not strip.stale:
                audio[strip.turn] += strip.seconds
                heard[strip.turn] += strip.heard
        connections = tuple(draft.span() for draft in builder.connections)
        turns = tuple(draft.span(audio[draft.number], heard[draft.number]) for draft in builder.turns)
        tools = tuple(draft.span() for draft in builder.tools)
        gaps = tuple(sorted(builder.gaps, key=lambda gap: gap.start))
        sent, received = (
            Traffic(messages=messages, size=size) for messages, size in zip(builder.messages, builder.size, strict=True)
        )
        summary = summarize(
            timed=builder.timed,
            duration=builder.now,
            connections=connections,
            turns=turns,
            user_audio=user,
            model_audio=model,
            tools=tools,
            gaps=gaps,
            pings=builder.pings,
            usage=builder.usage,
            sent=sent,
            received=received,
            problems=dict(Counter(mark.kind for mark in builder.marks if mark.problem)),
        )
        played = [strip.start + strip.heard if builder.timed else strip.end for strip in model if not strip.stale]
        return cls(
            timed=builder.timed,
            duration=builder.now,
            end=max([builder.now, *(strip.end for strip in user), *played]),
            connections=connections,
            turns=turns,
            user_audio=user,
            model_audio=model,
            said=builder.said(),
            tools=tools,
            gaps=gaps,
            pings=tuple(builder.pings),
            marks=tuple(builder.marks),
            summary=summary,
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values: attributes by their names, envelopes as base64; latencies where there are times."""
        shown = attrs.asdict(self, value_serializer=_plain)
        if self.timed:
            for turn, known in zip(shown["turns"], self.turns, strict=True):
                turn["time_to_first_audio"] = known.time_to_first_audio
                turn["time_to_first_text"] = known.time_to_first_text
            for call, made in zip(shown["tools"], self.tools, strict=True):
                call["latency"] = made.latency
        return shown


def _plain(_: object, __: object, value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.value if isinstance(value, enum.Enum) else value
