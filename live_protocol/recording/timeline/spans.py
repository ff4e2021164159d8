"""The elements of a timeline. Times are seconds since the beginning of the recording unless stated otherwise."""

from __future__ import annotations

import enum
from typing import Final, final

import attrs

ENVELOPE_STEP: Final = 0.02
"""Seconds of audio for each value of an envelope."""


def _since(end: float | None, start: float | None) -> float | None:
    return None if end is None or start is None else end - start


@final
@attrs.frozen(kw_only=True)
class AudioStrip:
    """A run of audio without a pause.

    The user's audio lies where it was sent; if it was sent faster than real time, the strip is shorter than the audio
    lasts. The model's audio arrives faster than it plays, so it lies where it would play if playback began with the
    first chunk.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        seconds: How long it plays.
        heard: Seconds that had played when its generation was cut; all of it if it was not cut, or is the user's.
        chunks: Number of messages.
        size: Bytes of PCM.
        rate: Hz.
        channels: 1 or 2.
        envelope: Peak of each `ENVELOPE_STEP`, 0 to 127.
        turn: Number of its turn; 0 for the user's audio.
        stale: Whether it arrived after its generation was cut.
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
    """Speaker and form of a transcript."""

    HEARD = "heard"
    """The user's speech as the service transcribed it."""
    WRITTEN = "written"
    """Text from the client."""
    SAID = "said"
    """The model's words: its text, or the transcript of its voice."""
    THOUGHT = "thought"
    """A summary of the model's thinking."""


@final
@attrs.frozen(kw_only=True)
class TranscriptSpan:
    """One utterance.

    Attributes:
        kind: Who said it, and in what form.
        start: When its first piece came.
        end: When its last piece came.
        text: The whole text.
        interrupted: Whether it was cut off.
        turn: Number of its turn; 0 for the user's words.
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
        call_id: Its id, or empty.
        name: Name of the function.
        arguments: The arguments as JSON, shortened if long.
        start: When the model requested it.
        answered: When the client sent its last response, or None.
        cancelled: When the server cancelled it, or None.
        response: The last response as JSON, shortened if long.
        turn: Number of the turn that requested it.
        connection: Number of its connection.
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
        connection: Number of its connection.
        start: When its first output came.
        end: When it was complete, or lost with its connection; None if the recording ends before.
        asked: When the client had sent the input that it probably answers: text, the last audible audio, the end of an
            activity or of the audio stream, the result of a tool. None without such input since the turn before.
        asked_by: The kind of that input; empty if ``asked`` is None.
        first_audio: When its first audio came.
        first_text: When the first piece of its text or transcript came.
        generated: When the server reported that all output was sent.
        interrupted: When it was cut.
        reason: Why it ended abnormally, or empty.
        audio: Seconds of audio that arrived before it was cut.
        heard: Seconds of that which had time to play before it was cut.
        tokens: Tokens reported for it, or None.
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
        start: When its first record was made.
        end: When it closed, or None if that was not recorded.
        ready: When the server accepted the setup.
        model: Name of the model in the setup.
        resumes: Whether the setup carried a handle.
        going_away: When the server announced its end.
        code: Close code, or None if no close was recorded.
        reason: Close reason.
        clean: Whether it closed in order, or None if no close was recorded.
        initiator: ``local``, ``remote`` or ``transport``, as the recording end saw it.
        error: The error, as text.
        hint: Advice.
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
    """Kinds of gaps."""

    SILENCE = "silence"
    """No message in either direction."""
    UNDERRUN = "underrun"
    """The model's audio ran out in the middle of a turn, before more of it came."""
    OUTAGE = "outage"
    """No connection."""


@final
@attrs.frozen(kw_only=True)
class Gap:
    """A time without messages, audio or a connection.

    Attributes:
        kind: What was missing.
        start: When it began.
        end: When it ended.
        turn: Number of the turn for an underrun, otherwise 0.
    """

    kind: GapKind
    start: float
    end: float
    turn: int = 0

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@final
@attrs.frozen(kw_only=True)
class Ping:
    """An answered ping.

    Attributes:
        at: When the pong came.
        rtt: Seconds between ping and pong.
    """

    at: float
    rtt: float


@final
@attrs.frozen(kw_only=True)
class Mark:
    """Something that happened at one moment.

    Attributes:
        at: When it happened.
        kind: A word or two.
        detail: Details, shortened if long.
        sent: True if the client sent it, False for the server, None for the connection itself.
        problem: Whether a healthy session has no such event.
    """

    at: float
    kind: str
    detail: str = ""
    sent: bool | None = None
    problem: bool = False
