"""The output of ``live-protocol talk``."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final, TextIO, final

from live_protocol.events import Event, InputTranscript, OutputTranscript, TextChunk, TurnComplete
from live_protocol.messages import AudioFormat
from live_protocol.messages.audio_format import INPUT_RATE
from live_transports.cli.event_text import printable
from live_transports.cli.reporter import Reporter
from live_transports.cli.status_line import StatusLine

__all__ = ["SPEECH_FORMAT", "TalkOutput"]

SPEECH_FORMAT: Final = AudioFormat(INPUT_RATE)
"""The format in which speech is sent."""

_BAR: Final = 30
_SHORT: Final = 5
"""Characters of the progress bar: at most, and at least."""


@final
class TalkOutput:
    """Prints text, every event, or JSON, and the progress on a terminal."""

    def __init__(self, options: argparse.Namespace, seconds: float) -> None:
        # Standard output is for the reply alone, if it goes there.
        self._out: TextIO = sys.stderr if options.out == "-" else sys.stdout
        self._json = options.json
        every = options.verbose or options.json
        self._reporter = Reporter(self._out, as_json=options.json, full=options.full, live=False) if every else None
        self._progress = StatusLine(sys.stderr, enabled=not every)
        self._seconds = seconds
        self._speaker = ""
        self._text = ""

    def typed(self, text: str, at: float) -> None:
        """Print a turn of text that the user sent."""
        if self._reporter is None:
            self._add("you", text)
        elif not self._json:
            self._reporter.sent("client content", text, at)

    def microphone(self, chunk: bytes, at: float, sent: float, received: float) -> None:
        """Report a chunk of speech, and show the seconds sent and received."""
        if self._reporter is not None and not self._json:
            self._reporter.sent_audio(SPEECH_FORMAT, len(chunk), at)
        facts = f"sent {sent:.1f} of {self._seconds:.1f} s, received {received:.1f} s"
        room = min(_BAR, self._progress.room - len(facts) - len("[] "))
        done = round(room * min(1.0, sent / self._seconds))
        self._progress.show(f"[{'#' * done}{'.' * (room - done)}] {facts}" if room >= _SHORT else facts)

    def event(self, event: Event, at: float) -> None:
        """Print an event, or the text in it."""
        if self._reporter is not None:
            self._reporter.event(event, at)
        elif isinstance(event, InputTranscript):
            self._add("you", event.text)
        elif isinstance(event, OutputTranscript) or (isinstance(event, TextChunk) and not event.thought):
            if not event.stale:
                self._add("model", event.text)
        elif isinstance(event, TurnComplete):
            self._line()

    def _add(self, speaker: str, text: str) -> None:
        if speaker != self._speaker:
            self._line()
        self._speaker = speaker
        self._text += text

    def _line(self) -> None:
        if text := printable(self._text).strip():
            self._progress.clear()
            self._out.write(f"{self._speaker + ':':<7}{text}\n")
            self._out.flush()
        self._text = self._speaker = ""

    def close(self) -> None:
        """Print pending lines."""
        if self._reporter is not None:
            self._reporter.flush()
        self._line()
        self._progress.clear()

    def summary(self, facts: dict[str, Any]) -> None:
        """Print lengths, latency and interruptions."""
        first = "" if facts["first_audio"] is None else f", the first {facts['first_audio']:.2f} s after the voice"
        cuts = f", {facts['interruptions']} interruptions" if facts["interruptions"] else ""
        line = f"{facts['seconds_in']:.2f} s in, {facts['seconds_out']:.2f} s out{first}{cuts}"
        if self._reporter is not None and self._json:
            self._reporter.note("Summary", line, sent=True, **facts)
            return
        self._out.write(f"{line}\n")
        if facts["out"] not in (None, "-"):
            self._out.write(f"{facts['out']}\n")
        self._out.flush()
