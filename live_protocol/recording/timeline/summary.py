"""Reduces a timeline to figures."""

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


@final
@attrs.frozen(kw_only=True)
class Distribution:
    """The spread of some measurements, in seconds.

    Attributes:
        count: Number of measurements, at least 1.
        median: Median.
        p95: 95th percentile, without interpolation.
        maximum: The highest.
    """

    count: int
    median: float
    p95: float
    maximum: float

    @classmethod
    def from_values(cls, values: Iterable[float | None]) -> Self | None:
        """The spread of the values that are not None; None without any."""
        ranked = sorted(value for value in values if value is not None)
        if not ranked:
            return None
        middle = len(ranked) // 2
        median = ranked[middle] if len(ranked) % 2 else ranked[middle - 1] / 2 + ranked[middle] / 2
        p95 = ranked[math.ceil(0.95 * len(ranked)) - 1]
        return cls(count=len(ranked), median=median, p95=p95, maximum=ranked[-1])


@final
@attrs.frozen(kw_only=True)
class Traffic:
    """Messages of one direction.

    Attributes:
        messages: Number of messages.
        size: Their bytes, without frame headers.
    """

    messages: int
    size: int


@final
@attrs.frozen(kw_only=True)
class SessionEnd:
    """How the last connection ended.

    Attributes:
        recorded: Whether the recording has the end.
        code: Close code.
        reason: Close reason.
        clean: Whether it closed in order, or None if that was not recorded.
        initiator: ``local``, ``remote`` or ``transport``.
        error: The error, as text.
        hint: Advice.
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
    """A session in figures. Without recorded times, measures of time are None or 0.

    Attributes:
        timed: Whether the recording has times.
        duration: Seconds from its first record to its last.
        connections: Number of connections.
        model: Name of the model in the first setup.
        turns: Number of turns.
        interruptions: Number of turns that were cut.
        user_audio: Seconds of audio sent.
        model_audio: Seconds of audio received, including stale audio.
        model_audio_heard: Seconds of that which had time to play before it was cut.
        first_audio: From the input to the first audio of its answer.
        first_text: From the input to the first text or transcript of its answer.
        tool_calls: Number of tool calls.
        tool_cancelled: Calls that the server cancelled.
        tool_unanswered: Calls that were neither answered nor cancelled.
        tool_latency: From a call to its last response.
        silences: Number of times without a message in either direction.
        underruns: Number of times the audio ran out in the middle of a turn.
        outages: Number of times without a connection.
        gap_seconds: Seconds of all gaps.
        pings: Round trips of pings.
        usage: Tokens, without ``last``.
        sent: Messages from the client.
        received: Messages from the server.
        problems: Number of events that a healthy session does not have, by kind.
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
    """Reduce the elements of a timeline to figures."""
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
        usage=attrs.evolve(usage, last=None),  # a single report would show its unknown members unredacted
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
