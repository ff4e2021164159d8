"""The measures of a timeline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Self, final

import attrs

from live_protocol.recording.timeline.spans import (
    AudioStrip,
    ConnectionSpan,
    Gap,
    GapKind,
    Ping,
    ToolSpan,
    TurnSpan,
)
from live_protocol.session.usage import Usage

__all__ = ["Distribution", "SessionEnd", "Summary", "Traffic", "summarize"]


@final
@attrs.frozen(kw_only=True)
class Distribution:
    """How some measurements are spread, in seconds.

    Attributes:
        count: How many there are; at least 1.
        median: Half of them are not above it.
        p95: 95 of 100 are not above it; one of them, not between two.
        maximum: The highest.
    """

    count: int
    median: float
    p95: float
    maximum: float

    @classmethod
    def from_values(cls, values: Iterable[float | None]) -> Self | None:
        """The spread of what is not None; None where nothing is left."""
        known = sorted(value for value in values if value is not None)
        if not known:
            return None
        middle = len(known) // 2
        median = known[middle] if len(known) % 2 else known[middle - 1] / 2 + known[middle] / 2
        return cls(count=len(known), median=median, p95=known[math.ceil(0.95 * len(known)) - 1], maximum=known[-1])


@final
@attrs.frozen(kw_only=True)
class Traffic:
    """Messages of one direction.

    Attributes:
        messages: How many.
        size: Bytes of them, without frames.
    """

    messages: int
    size: int


@final
@attrs.frozen(kw_only=True)
class SessionEnd:
    """How the last connection ended.

    Attributes:
        recorded: Whether the recording tells.
        code: Close code.
        reason: Close reason.
        clean: Whether it was closed in order; None where that was not recorded.
        initiator: ``local``, ``remote`` or ``transport``.
        error: What went wrong.
        hint: What to do about it.
    """

    recorded: bool
    code: int | None = None
    reason: str = ""
    clean: bool | None = None
    initiator: str = ""
    error: str = ""
    hint: str = ""


@final
@attrs.frozen(kw_only=True)
class Summary:
    """A session in figures. Without recorded times all that is measured in them is None or 0.

    Attributes:
        timed: Whether the recording has times.
        duration: Seconds from its first record to its last.
        connections: How many there were.
        model: Name of the model in the first setup.
        turns: Turns of the model.
        interruptions: Turns that were cut.
        user_audio: Seconds of audio sent.
        model_audio: Seconds of audio received, stale audio too.
        model_audio_heard: Seconds of that which had time to play before they were cut.
        first_audio: From the input to the first audio of its answer.
        first_text: From the input to the first text or transcript of its answer.
        tool_calls: Tool calls.
        tool_cancelled: Calls that the server called off.
        tool_unanswered: Calls that were neither answered nor called off.
        tool_latency: From a call to its last response.
        silences: Times without a message either way.
        underruns: Times in mid-turn when the audio to play ran out.
        outages: Times without a connection.
        gap_seconds: Seconds of all these.
        pings: Round trips of pings.
        usage: Tokens; ``last`` is left out.
        sent: What the client sent.
        received: What the server sent.
        problems: Messages and events that a good session does not have, by kind.
        end: How it ended.
    """

    timed: bool
    duration: float
    connections: int
    model: str
    turns: int
    interruptions: int
    user_audio: float
    model_audio: float
    model_audio_heard: float | None
    first_audio: Distribution | None
    first_text: Distribution | None
    tool_calls: int
    tool_cancelled: int
    tool_unanswered: int
    tool_latency: Distribution | None
    silences: int
    underruns: int
    outages: int
    gap_seconds: float
    pings: Distribution | None
    usage: Usage
    sent: Traffic
    received: Traffic
    problems: Mapping[str, int]
    end: SessionEnd


def summarize(
    *,
    timed: bool,
    duration: float,
    connections: Sequence[ConnectionSpan],
    turns: Sequence[TurnSpan],
    user_audio: Sequence[AudioStrip],
    model_audio: Sequence[AudioStrip],
    tools: Sequence[ToolSpan],
    gaps: Sequence[Gap],
    pings: Sequence[Ping],
    usage: Usage,
    sent: Traffic,
    received: Traffic,
    problems: Mapping[str, int],
) -> Summary:
    """The figures of what a timeline holds."""
    count = {kind: sum(gap.kind is kind for gap in gaps) for kind in GapKind}
    return Summary(
        timed=timed,
        duration=duration if timed else 0.0,
        connections=len(connections),
        model=next((connection.model for connection in connections if connection.model), ""),
        turns=len(turns),
        interruptions=sum(turn.interrupted is not None for turn in turns),
        user_audio=sum(strip.seconds for strip in user_audio),
        model_audio=sum(strip.seconds for strip in model_audio),
        model_audio_heard=sum(strip.heard for strip in model_audio) if timed else None,
        first_audio=Distribution.from_values(turn.time_to_first_audio for turn in turns) if timed else None,
        first_text=Distribution.from_values(turn.time_to_first_text for turn in turns) if timed else None,
        tool_calls=len(tools),
        tool_cancelled=sum(call.cancelled is not None for call in tools),
        tool_unanswered=sum(call.answered is None is call.cancelled for call in tools),
        tool_latency=Distribution.from_values(call.latency for call in tools) if timed else None,
        silences=count[GapKind.SILENCE],
        underruns=count[GapKind.UNDERRUN],
        outages=count[GapKind.OUTAGE],
        gap_seconds=sum(gap.seconds for gap in gaps),
        pings=Distribution.from_values(ping.rtt for ping in pings),
        usage=attrs.evolve(usage, last=None),  # one report would show unknown members as they came
        sent=sent,
        received=received,
        problems=problems,
        end=_end(connections),
    )


def _end(connections: Sequence[ConnectionSpan]) -> SessionEnd:
    last = connections[-1] if connections else None
    if last is None or last.end is None:
        announced = last is not None and last.going_away is not None
        return SessionEnd(
            recorded=False, hint="The server had announced the end of the connection." if announced else ""
        )
    return SessionEnd(
        recorded=True,
        code=last.code,
        reason=last.reason,
        clean=last.clean,
        initiator=last.initiator,
        error=last.error,
        hint=last.hint,
    )
