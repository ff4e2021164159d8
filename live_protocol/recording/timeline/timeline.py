"""A recorded session, measured: what happened when, how long it took, and what went wrong.

`Timeline.from_records` feeds the records of a trace to a ``Builder``. The builder decodes each message with the codec,
runs it through the same reading of messages as a live session, and collects drafts: connections, turns, strips of
audio, calls, gaps, marks. At the end the drafts become the frozen spans of `Timeline`, and ``summary`` reduces these to
figures. Nothing in a recording makes it fail: an undecodable message becomes a mark.
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
    AudioStrip,
    ConnectionSpan,
    Gap,
    Mark,
    Ping,
    ToolSpan,
    TranscriptSpan,
    TurnSpan,
)
from live_protocol.recording.timeline.summary import Summary, Traffic, summarize
from live_protocol.recording.trace import TraceRecord

DEFAULT_GAP = 5.0
"""Silence that counts as a gap, in seconds."""


@final
@attrs.frozen(kw_only=True)
class Timeline:
    """A recorded session. It holds no credentials: no session handle, and no text that looks like a key.

    Attributes:
        timed: Whether the recording has times. A ``.websocket.log`` has none; its messages are spaced evenly, and only
            their order means something.
        duration: Seconds from the first record to the last.
        end: Where the picture ends: at the last record, or when the last audio would have played.
        connections: Connections.
        turns: Turns of the model.
        user_audio: The user's audio.
        model_audio: The model's audio.
        said: Transcripts and texts, by their beginning.
        tools: Tool calls.
        gaps: Gaps, by their beginning.
        pings: Answered pings.
        marks: Everything else, in order.
        summary: The figures.
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
            gap: Silence that counts as a gap, in seconds.

        Raises:
            ValueError: ``gap`` is not a positive number. Nothing in the records raises.
        """
        if not gap > 0:
            raise ValueError(f"gap must be a positive number of seconds, not {gap!r}")
        everything = list(records)
        timed = bool(everything) and all(record.at is not None and math.isfinite(record.at) for record in everything)
        builder = Builder(timed=timed, gap=gap)
        for record in everything:
            builder.feed(record)
        return cls._finish(builder)

    @classmethod
    def _finish(cls, builder: Builder) -> Self:
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
        """JSON values: attributes by their names, envelopes as base64, and latencies if the recording has times."""
        shown = attrs.asdict(self, value_serializer=_plain)
        if self.timed:
            for members, turn in zip(shown["turns"], self.turns, strict=True):
                members["time_to_first_audio"] = turn.time_to_first_audio
                members["time_to_first_text"] = turn.time_to_first_text
            for members, call in zip(shown["tools"], self.tools, strict=True):
                members["latency"] = call.latency
        return shown


def _plain(_: object, __: object, value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.value if isinstance(value, enum.Enum) else value
