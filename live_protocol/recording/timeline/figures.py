"""A summary in words, for the command line and the page."""

from __future__ import annotations

from typing import Final, final

import attrs

from live_protocol.recording.timeline.summary import Distribution, SessionEnd, Summary


@final
@attrs.frozen
class Figure:
    """One figure of a summary.

    Attributes:
        name: Its name.
        value: The figure, with its unit.
        detail: Details; may be empty.
        problem: Whether it shows a fault.
    """

    name: str
    value: str
    detail: str = ""
    problem: bool = False


def duration(seconds: float) -> str:
    """Seconds in words, for example ``420 ms``, ``3.48 s``, ``12 min 05 s``."""
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def size(count: int) -> str:
    """Bytes in words, in powers of 1,000."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.2f} MB"


def figures(summary: Summary) -> list[Figure]:
    """The figures of a summary. All but the most common ones are left out when they are zero."""
    shown = [
        _duration(summary),
        Figure("turns", str(summary.turns), _some(summary.interruptions, "interrupted")),
        *_spread("time to first audio", summary.first_audio, "turn"),
        *_spread("time to first text", summary.first_text, "turn"),
        Figure("user audio", duration(summary.user_audio) if summary.user_audio else "none"),
        _model_audio(summary),
        *_tools(summary),
        *_gaps(summary),
        *_spread("ping", summary.pings, "pong"),
        *_tokens(summary),
        _traffic(summary),
    ]
    if summary.problems:
        count = sum(summary.problems.values())
        shown.append(Figure("problems", str(count), ", ".join(summary.problems), problem=True))
    return shown


def ending(end: SessionEnd) -> str:
    """How it ended, in one line."""
    if not end.recorded:
        return "no end was recorded"
    by = _ENDS.get(end.initiator, "")
    words = ("closed with", str(end.code or "no code"), f"'{end.reason}'" if end.reason else "", by)
    text = " ".join(filter(None, words)) + (", clean" if end.clean else "")
    return f"{text}: {end.error}" if end.error else text


_ENDS: Final = {"local": "by this end", "remote": "by the other end", "transport": "by the transport"}


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _some(count: int, what: str) -> str:
    return f"{count} {what}" if count else ""


def _duration(summary: Summary) -> Figure:
    connections = _plural(summary.connections, "connection")
    if summary.timed:
        return Figure("duration", duration(summary.duration), connections)
    return Figure("duration", "not recorded", f"{connections}; only the order of messages is known")


def _spread(name: str, spread: Distribution | None, what: str) -> list[Figure]:
    if spread is None:
        return []
    if spread.count == 1:
        return [Figure(name, duration(spread.median), f"1 {what}")]
    rest = f"median of {spread.count}; p95 {duration(spread.p95)}, max {duration(spread.maximum)}"
    return [Figure(name, duration(spread.median), rest)]


def _model_audio(summary: Summary) -> Figure:
    heard = summary.model_audio_heard
    cut = heard is not None and heard < summary.model_audio - 0.005
    detail = f"{duration(heard)} of it could be heard" if heard is not None and cut else ""
    return Figure("model audio", duration(summary.model_audio) if summary.model_audio else "none", detail)


def _tools(summary: Summary) -> list[Figure]:
    if not summary.tool_calls:
        return []
    latency = f"median {duration(summary.tool_latency.median)}" if summary.tool_latency else ""
    cancelled, unanswered = _some(summary.tool_cancelled, "cancelled"), _some(summary.tool_unanswered, "unanswered")
    detail = ", ".join(filter(None, (latency, cancelled, unanswered)))
    return [Figure("tool calls", str(summary.tool_calls), detail, problem=bool(summary.tool_unanswered))]


def _gaps(summary: Summary) -> list[Figure]:
    counts = (summary.silences, "silence"), (summary.underruns, "underrun"), (summary.outages, "outage")
    count = sum(number for number, _ in counts)
    if not count:
        return []
    detail = ", ".join(_plural(number, what) for number, what in counts if number)
    bad = bool(summary.underruns or summary.outages)
    return [Figure("gaps", str(count), f"{detail}; {duration(summary.gap_seconds)}", problem=bad)]


def _tokens(summary: Summary) -> list[Figure]:
    usage = summary.usage
    if not usage.reports:
        return []
    return [Figure("tokens", f"{usage.total_tokens:,}", f"{usage.prompt_tokens:,} in, {usage.response_tokens:,} out")]


def _traffic(summary: Summary) -> Figure:
    up, down = summary.sent, summary.received
    detail = f"{size(up.size)} up in {up.messages:,}, {size(down.size)} down in {_plural(down.messages, 'message')}"
    return Figure("traffic", size(up.size + down.size), detail)
