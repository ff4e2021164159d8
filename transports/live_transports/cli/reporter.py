"""Prints events, one line each; runs of audio and of transcripts share a line."""

from __future__ import annotations

from typing import Final, TextIO, final

import attrs

from live_protocol.events import (
    AudioChunk,
    Event,
    InputTranscript,
    OutputTranscript,
    RealtimeInputReceived,
    TextChunk,
)
from live_protocol.messages import AudioFormat
from live_transports.cli.event_text import describe, headline, one_line, to_json
from live_transports.cli.status_line import StatusLine

_IN: Final = "<"
_OUT: Final = ">"
_SELF: Final = " "


@attrs.define
class _Roll:
    """A run of events that share a line."""

    at: float | None
    chunks: int = 0
    seconds: float = 0.0
    rate: int = 0
    text: str = ""

    def detail(self) -> str:
        if not self.chunks:
            return one_line(self.text.strip())
        plural = "" if self.chunks == 1 else "s"
        return f"{self.seconds:.2f} s in {self.chunks} chunk{plural} at {self.rate} Hz"


@final
class Reporter:
    """Writes events as they arrive.

    Args:
        out: The stream to write to.
        as_json: Write one JSON object per line and nothing else.
        full: With ``as_json``, write payloads instead of their sizes.
        live: If ``out`` is a terminal, show arriving audio on a changing line.
    """

    def __init__(self, out: TextIO, *, as_json: bool = False, full: bool = False, live: bool = True) -> None:
        self._out = out
        self._json = as_json
        self._full = full
        self._live = StatusLine(out, enabled=live)
        self._rolls: dict[tuple[str, str], _Roll] = {}

    def event(self, event: Event, at: float | None = None, *, sent: bool = False) -> None:
        """Report an event.

        Args:
            event: The event.
            at: Seconds since the beginning, if known.
            sent: Whether it reports something that the client sent.
        """
        if self._json:
            self._object(describe(event, full=self._full), at, sent=sent)
            return
        mark = _OUT if sent else _IN
        if type(event) is AudioChunk and not event.unexpected:
            self._audio((mark, "stale audio" if event.stale else "audio"), at, event.format, len(event.data))
        elif type(event) in (OutputTranscript, InputTranscript, TextChunk) and not getattr(event, "stale", False):
            label, _ = headline(event)
            self._roll((mark, label), at).text += event.text  # type: ignore[union-attr]  # type() narrows for pyright only
        elif type(event) is RealtimeInputReceived and (audio := _audio_input(event)) is not None:
            self._audio((mark, "microphone"), at, *audio)
        else:
            self.flush()
            self._line(mark, *headline(event), at)

    def sent(self, label: str, detail: str, at: float | None = None) -> None:
        """Report something that this end sent."""
        self.flush()
        self._line(_OUT, label, one_line(detail), at)

    def sent_audio(self, audio: AudioFormat, size: int, at: float | None = None) -> None:
        """Report audio that this end sent."""
        self._audio((_OUT, "microphone"), at, audio, size)

    def note(self, label: str, detail: str, at: float | None = None, *, sent: bool = False, **fields: object) -> None:
        """Report something other than an event, such as a refused command.

        Args:
            label: A word or two; with ``as_json`` it becomes the ``type``.
            detail: One line of text.
            at: Seconds since the beginning, if known.
            sent: Whether it concerns something that the client sent.
            **fields: What ``as_json`` writes instead of ``detail``.
        """
        if self._json:
            self._object({"type": label, **fields}, at, sent=sent)
            return
        self.flush()
        self._line(_OUT if sent else _SELF, label, one_line(detail), at)

    def flush(self) -> None:
        """Write the pending runs."""
        self._live.clear()
        for (mark, label), roll in self._rolls.items():
            if detail := roll.detail():
                self._line(mark, label, detail, roll.at)
        self._rolls.clear()
        self._out.flush()

    # --- inside -------------------------------------------------------------------------------------------------

    def _object(self, shown: dict[str, object], at: float | None, *, sent: bool) -> None:
        where: dict[str, object] = {} if at is None else {"at": round(at, 4)}
        self._out.write(to_json(where | {"from": "client" if sent else "server"} | shown) + "\n")
        self._out.flush()

    def _roll(self, key: tuple[str, str], at: float | None) -> _Roll:
        if any(mark != key[0] for mark, _ in self._rolls):
            self.flush()  # the other side has its turn
        return self._rolls.setdefault(key, _Roll(at))

    def _audio(self, key: tuple[str, str], at: float | None, audio: AudioFormat, size: int) -> None:
        roll = self._roll(key, at)
        roll.chunks += 1
        roll.seconds += audio.seconds(size)
        roll.rate = audio.rate
        if self._live:
            self._live.show(f"{_prefix(key[0], key[1], roll.at)}{roll.detail()}")

    def _line(self, mark: str, label: str, detail: str, at: float | None) -> None:
        self._out.write(f"{_prefix(mark, label, at)}{detail}".rstrip() + "\n")
        self._out.flush()


def _prefix(mark: str, label: str, at: float | None) -> str:
    time = "" if at is None else f"{at:8.3f} "
    return f"{time}{mark} {label:<19} "


def _audio_input(event: RealtimeInputReceived) -> tuple[AudioFormat, int] | None:
    blob = event.input.audio
    audio = None if blob is None else AudioFormat.parse(blob.mime_type or "")
    return (audio, len(blob.data or b"")) if audio is not None and blob is not None else None
