"""What a timeline is made of. Times are seconds since the beginning of the recording, unless said otherwise."""

from __future__ import annotations

import enum
from typing import Final, final

import attrs

__all__ = [
    "ENVELOPE_STEP",
    "AudioStrip",
    "ConnectionSpan",
    "Gap",
    "GapKind",
    "Mark",
    "Ping",
    "ToolSpan",
    "TranscriptKind",
    "TranscriptSpan",
    "TurnSpan",
]

ENVELOPE_STEP: Final = 0.02
"""Seconds of audio that one value of an envelope stands for."""


def _since(end: float | None, start: float | None) -> float | None:
    return None if end is None or start is None else end - start


@final
@attrs.frozen(kw_only=True)
class AudioStrip:
    """A run of audio without a hole.

    The user's lies where it was sent; sent faster than real time it takes less room than it lasts. The model's lies
    where it would play if playback began as soon as audio was there; it arrives faster than it plays.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        seconds: How long it plays.
        heard: How much of it had played when its generation was cut, otherwise all of it; of the user's, all.
        chunks: Messages it came in.
        size: Bytes of PCM.
        rate: Hz.
        channels: 1 or 2.
        envelope: Peak of every `ENVELOPE_STEP` of it, 0 to 127.
        turn: Number of the turn it belongs to, 0 for the user's.
        stale: It came after its generation was cut.
    """

    start: float
    end: float
    seconds: float
    heard: float
    chunks: int
    size: int
    rate: int
    channels: int = 1
    envelope: bytes = attrs.field(repr=lambda envelope: f"<{len(envelope)} values>")
    turn: int = 0
    stale: bool = False


class TranscriptKind(enum.StrEnum):
    """Whose words, and how they are known."""

    HEARD = "heard"
    """The user's speech, as the service understood it."""
    WRITTEN = "written"
    """Text that the client sent."""
    SAID = "said"
    """The model's words: its text, or the transcript of its voice."""
    THOUGHT = "thought"
    """A summary of the model's thinking."""


@final
@attrs.frozen(kw_only=True)
class TranscriptSpan:
    """One utterance.

    Attributes:
        kind: Whose.
        start: When its first piece came.
        end: When its newest piece came.
        text: All of it.
        interrupted: It was cut.
        turn: Number of the turn it belongs to; 0 for the user's.
    """

    kind: TranscriptKind
    start: float
    end: float
    text: str
    interrupted: bool = False
    turn: int = 0


@final
@attrs.frozen(kw_only=True)
class ToolSpan:
    """One tool call.

    Attributes:
        call_id: Its id, empty where it has none.
        name: Name of the function.
        arguments: The arguments as JSON, cut where they are long.
        start: When it was requested.
        answered: When the last response was sent, None where none was.
        cancelled: When the server called it off, None where it did not.
        response: The newest response as JSON, cut where it is long.
        turn: Number of the turn that asked for it.
        connection: Number of the connection it came on.
    """

    call_id: str
    name: str
    arguments: str
    start: float
    answered: float | None = None
    cancelled: float | None = None
    response: str = ""
    turn: int = 0
    connection: int = 1

    @property
    def latency(self) -> float | None:
        """Seconds from the request to the last response."""
        return _since(self.answered, self.start)


@final
@attrs.frozen(kw_only=True)
class TurnSpan:
    """One turn of the model.

    Attributes:
        number: Its number in the recording, from 1.
        connection: Number of the connection it is on.
        start: When its first output came.
        end: When it was over: completed, or lost with its connection; None where the recording ends before.
        asked: When the input had been sent that it answers, as far as can be told: text, the last audible audio, the
            end of an activity or of the audio stream, the result of a tool. None where there was none since the turn
            before.
        asked_by: Which of these it was; empty where ``asked`` is None.
        first_audio: When its first audio came.
        first_text: When the first piece of its text or transcript came.
        generated: When the server said that all output was sent.
        interrupted: When it was cut.
        reason: Why it ended, where it ended abnormally.
        audio: Seconds of audio that came before it was cut.
        heard: Seconds of it that had time to play before it was cut.
        tokens: Tokens reported for it; None where none were.
    """

    number: int
    connection: int = 1
    start: float
    end: float | None = None
    asked: float | None = None
    asked_by: str = ""
    first_audio: float | None = None
    first_text: float | None = None
    generated: float | None = None
    interrupted: float | None = None
    reason: str = ""
    audio: float = 0.0
    heard: float = 0.0
    tokens: int | None = None

    @property
    def time_to_first_audio(self) -> float | None:
        """Seconds from ``asked`` to ``first_audio``."""
        return _since(self.first_audio, self.asked)

    @property
    def time_to_first_text(self) -> float | None:
        """Seconds from ``asked`` to ``first_text``."""
        return _since(self.first_text, self.asked)


@final
@attrs.frozen(kw_only=True)
class ConnectionSpan:
    """One connection.

    Attributes:
        number: Its number in the recording, from 1.
        start: When the first of it was recorded.
        end: When it was closed, None where that was not recorded.
        ready: When the server accepted the setup.
        model: Name of the model in the setup.
        resumes: Whether the setup carried a handle.
        going_away: When the server announced its end.
        code: Close code, None where no close was recorded.
        reason: Close reason.
        clean: Whether it was closed in order; None where no close was recorded.
        initiator: ``local``, ``remote`` or ``transport``, of the end that recorded it.
        error: What went wrong, as text.
        hint: What to do about it.
    """

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


class GapKind(enum.StrEnum):
    """What was missing."""

    SILENCE = "silence"
    """No message either way."""
    UNDERRUN = "underrun"
    """In the middle of a turn the model's audio had all been played before more of it came."""
    OUTAGE = "outage"
    """No connection."""


@final
@attrs.frozen(kw_only=True)
class Gap:
    """A time in which something was missing.

    Attributes:
        kind: What.
        start: When it began.
        end: When it was over.
        turn: Number of the turn, for an underrun; otherwise 0.
    """

    kind: GapKind
    start: float
    end: float
    turn: int = 0

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.start


@final
@attrs.frozen(kw_only=True)
class Ping:
    """An answered ping.

    Attributes:
        at: When the pong came.
        rtt: Seconds since the ping was sent.
    """

    at: float
    rtt: float


@final
@attrs.frozen(kw_only=True)
class Mark:
    """Something that happened at one moment.

    Attributes:
        at: When.
        kind: What, in a word or two.
        detail: Particulars, cut where they are long.
        sent: True where the client said it, False for the server, None for the link.
        problem: Whether it is nothing that a good session has.
    """

    at: float
    kind: str
    detail: str = ""
    sent: bool | None = None
    problem: bool = False
