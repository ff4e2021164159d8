"""A timeline in Chrome's Trace Event Format, for ``chrome://tracing``, Perfetto and other viewers.

The format is a flat list of events. A viewer draws one row for each pair of process and thread number, so here the
session is the process, and every lane of the timeline page is a thread, named by metadata events ("M"). Spans are
complete events ("X") with a duration, and moments are instant events ("i"). Flow events ("s", "t", "f") draw the arrow
from the turn that calls a tool to the call and back to the turn that goes on with its result. Two spans of one thread
may nest but not overlap, so a lane with overlapping spans becomes several threads.

Times are whole microseconds since the beginning of the recording. A recording without times has evenly spaced ones.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, final

import attrs

from live_protocol._redaction import redact_tokens
from live_protocol.recording.timeline import Timeline, TranscriptKind

_PROCESS: Final = 1
_LATEST: Final = 2**53 - 1
"""The greatest integer that JSON numbers of every reader hold; in microseconds 285 years."""

_NAME_LENGTH: Final = 80
"""Characters of a text that name its span; the arguments hold all of it."""

_WORDS: Final = (
    ("User", (TranscriptKind.HEARD, TranscriptKind.WRITTEN)),
    ("Model", (TranscriptKind.SAID, TranscriptKind.THOUGHT)),
)
_PLACE: Final = frozenset({"start", "end", "at", "envelope"})
"""Attributes that an event's place says, and the envelope, which no viewer draws."""

Event: TypeAlias = dict[str, Any]


def chrome_trace(timeline: Timeline, *, name: str = "") -> dict[str, Any]:
    """A timeline as the JSON object of a trace file; write it with `json.dumps`.

    It holds the texts, arguments and responses that the timeline page shows, and no more: no audio, no credentials.

    Args:
        timeline: What to export.
        name: What the viewer calls the recording; the model's name is put before it.

    Returns:
        ``traceEvents`` in the order of their times, ``displayTimeUnit``, and ``otherData`` with ``timed``: False where
        only the order of the events means something.
    """
    events: list[Event] = []
    placed: dict[int, Event] = {}
    threads = 0
    for title, lane in _lanes(timeline):
        spans = sorted(lane, key=lambda span: span.start)
        rows = _rows(spans)
        for span, row in zip(spans, rows, strict=True):
            placed[id(span.source)] = event = span.event(threads + 1 + row)
            events.append(event)
        for row in range(max(rows, default=-1) + 1):
            threads += 1
            events.append(_metadata(threads, "thread_name", name=f"{title} {row + 1}" if row else title))
            events.append(_metadata(threads, "thread_sort_index", sort_index=threads))
    events += _flows(timeline, placed)
    # Metadata first. Of two spans that begin together the longer one encloses the other.
    events.sort(key=lambda event: (event["ph"] != "M", event.get("ts", 0), -event.get("dur", 0)))
    about = " · ".join(filter(None, ("Gemini Live session", timeline.summary.model, name)))
    return {
        "traceEvents": [_metadata(0, "process_name", name=redact_tokens(about)), *events],
        "displayTimeUnit": "ms",
        "otherData": {"timed": timeline.timed},
    }


def _metadata(thread: int, kind: str, **args: object) -> Event:
    return {"ph": "M", "pid": _PROCESS, "tid": thread, "name": kind, "args": args}


@final
@attrs.frozen
class _Span:
    """One event of a lane, in microseconds; a moment where ``end`` is None."""

    category: str
    name: str
    start: int
    end: int | None
    source: attrs.AttrsInstance
    unfinished: bool = False

    def event(self, thread: int) -> Event:
        args = _args(self.source)
        if self.unfinished:
            args["unfinished"] = True
        shared = {"pid": _PROCESS, "tid": thread, "ts": self.start, "name": self.name, "cat": self.category}
        if self.end is None:
            return {"ph": "i", "s": "t", **shared, "args": args}
        return {"ph": "X", "dur": self.end - self.start, **shared, "args": args}


def _lanes(timeline: Timeline) -> Iterator[tuple[str, list[_Span]]]:
    """The lanes, from the top."""

    def span(category: str, name: str, start: float, end: float | None, source: attrs.AttrsInstance) -> _Span:
        begin = _microseconds(start)
        finish = max(begin, _microseconds(timeline.end if end is None else end))
        return _Span(category, name or category, begin, finish, source, end is None)

    connections, turns, tools = timeline.connections, timeline.turns, timeline.tools
    yield "Connection", [span("connection", f"connection {one.number}", one.start, one.end, one) for one in connections]
    yield "Turns", [span("turn", f"turn {turn.number}", turn.start, turn.end, turn) for turn in turns]
    for title, strips in (("User audio", timeline.user_audio), ("Model audio", timeline.model_audio)):
        yield title, [span("audio", "audio", strip.start, strip.end, strip) for strip in strips]
    for title, kinds in _WORDS:
        said = [one for one in timeline.said if one.kind in kinds]
        yield title, [span("words", _headline(one.text), one.start, one.end, one) for one in said]
    yield "Tools", [span("tool", call.name, call.start, _first(call.answered, call.cancelled), call) for call in tools]
    yield "Gaps", [span("gap", gap.kind.value, gap.start, gap.end, gap) for gap in timeline.gaps]
    yield "Pings", [span("ping", "ping", max(0.0, ping.at - ping.rtt), ping.at, ping) for ping in timeline.pings]
    yield "Events", [_Span("event", mark.kind, _microseconds(mark.at), None, mark) for mark in timeline.marks]


def _rows(spans: Sequence[_Span]) -> list[int]:
    """For each span, given by their beginning, a row of its lane in which nothing else runs meanwhile."""
    rows: list[int] = []
    running: list[tuple[int, int]] = []
    free: list[int] = []
    for span in spans:
        while running and running[0][0] <= span.start:
            heapq.heappush(free, heapq.heappop(running)[1])
        row = heapq.heappop(free) if free else len(running)
        rows.append(row)
        heapq.heappush(running, (span.start if span.end is None else span.end, row))
    return rows


def _flows(timeline: Timeline, placed: Mapping[int, Event]) -> Iterator[Event]:
    """Arrows from the turn that made a call to the call, and back to the turn that goes on with its result."""
    turns = {turn.number: placed[id(turn)] for turn in timeline.turns}
    answering = {turn.asked: placed[id(turn)] for turn in timeline.turns if turn.asked_by == "tool response"}
    for number, call in enumerate(timeline.tools, 1):
        tool = placed[id(call)]
        caller, called, answered = turns.get(call.turn), tool["ts"], tool["ts"] + tool["dur"]
        points = [(caller, called), (tool, called)]
        if call.answered is not None:
            points.append((answering.get(call.answered, caller), answered))
        # An arrow needs a span to stand on: the turn may be over before the call comes, or before it is answered.
        stops = [(span, max(at, span["ts"])) for span, at in points if span and at <= span["ts"] + span["dur"]]
        for index, (span, at) in enumerate(stops if len(stops) > 1 else ()):
            phase = {"ph": "s"} if index == 0 else {"ph": "t"} if index < len(stops) - 1 else {"ph": "f", "bp": "e"}
            yield {**phase, "id": number, "pid": _PROCESS, "tid": span["tid"], "ts": at, "name": "call", "cat": "tool"}


def _microseconds(seconds: float) -> int:
    return round(min(seconds * 1e6, _LATEST))


def _first(*times: float | None) -> float | None:
    return next((time for time in times if time is not None), None)


def _headline(text: str) -> str:
    return " ".join(text[:_NAME_LENGTH].split())


def _args(source: attrs.AttrsInstance) -> dict[str, Any]:
    """What else is known of a span, under the names of its attributes, in seconds; what is absent is left out."""
    values = ((field.name, getattr(source, field.name)) for field in attrs.fields(type(source)))
    return {name: _plain(value) for name, value in values if name not in _PLACE and value is not None and value != ""}


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    return round(value, 6) if isinstance(value, float) else value
