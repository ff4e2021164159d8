"""A recorded session, measured: what happened when, how long it took, and what went wrong.

Knows traces, the codec and the session's reading of messages. Begin reading in ``spans``, then ``timeline``.
"""

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
from live_protocol.recording.timeline.summary import Distribution, SessionEnd, Summary, Traffic
from live_protocol.recording.timeline.timeline import DEFAULT_GAP, Timeline

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
