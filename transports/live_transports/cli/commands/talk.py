"""``live-protocol talk``: a WAV file in, the spoken reply as a WAV file out."""

from __future__ import annotations

import argparse
import asyncio
import io
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO, final

from live_protocol.audio import MAX_CHUNK, Chunker, MissingExtra, Resampler, wav
from live_protocol.emulator import EmulatorOptions
from live_protocol.endpoint import Endpoint
from live_protocol.events import (
    AudioChunk,
    Event,
    InputTranscript,
    Interrupted,
    OutputTranscript,
    TextChunk,
    TurnComplete,
    TurnStarted,
)
from live_protocol.messages import AudioFormat, Content, Part
from live_protocol.messages.audio_format import INPUT_RATE, OUTPUT_RATE
from live_transports.cli.argument_types import add_path, number
from live_transports.cli.conversation import ANSWER_TIMEOUT, Conversation, ToolDecliner, converse
from live_transports.cli.endpoint import add_target, target
from live_transports.cli.event_text import printable
from live_transports.cli.exit import BAD_INPUT, FAILED, OK, USAGE, CommandFailed
from live_transports.cli.loopback import reachable
from live_transports.cli.reporter import Reporter
from live_transports.cli.status_line import StatusLine
from live_transports.cli.wav import read_wav_file, write_wav_file

_DESCRIPTION = """\
Say what is in a WAV file, at the speed at which it was spoken, and write the reply as a WAV file of 24 kHz.

Any rate goes in, mono or stereo, 8 to 64 bits; it is sent as 16 kHz mono in chunks of 100 ms. What was understood and
what was answered is shown as text. Where the speech goes on while the model speaks, the reply is cut as a listener
would have heard it. Tool calls are answered with an error.
"""

_INPUT: Final = AudioFormat(INPUT_RATE)
_OUTPUT: Final = AudioFormat(OUTPUT_RATE)

_LINGER: Final = 3.0
"""Seconds to wait for one more answer, where the last one began before all was said."""

_BAR: Final = 30
_SHORT: Final = 5
"""Characters of the progress bar where there is room, and below which there is none."""

_LOUD: Final = 700
"""Peak above which a chunk counts as voice, of 32,768."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_path(parser, "file", metavar="IN.wav", help="what to say; - reads standard input")
    add_path(parser, "-o", "--out", metavar="OUT.wav", help="write the reply there; - writes it to standard output")
    parser.add_argument("--fast", action="store_true", help="send as fast as the connection takes it")
    parser.add_argument("--text", metavar="TEXT", help="a turn of text before the speech")
    parser.add_argument("--system", metavar="S", help="the system instruction")
    parser.add_argument("--voice", metavar="NAME", help="the voice that answers, for example Kore")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=number(),
        default=ANSWER_TIMEOUT,
        help="wait for an answer; default: 60",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show every event instead of the text alone")
    parser.add_argument(
        "--json", action="store_true", help="show every event, and a summary last, as one JSON object a line"
    )
    parser.add_argument("--full", action="store_true", help="with --json, payloads as base64 instead of their size")
    add_target(parser)


def run(options: argparse.Namespace) -> int:
    """Talk."""
    if options.out == "-" and options.json:
        raise CommandFailed("-o - and --json both write to standard output", USAGE)
    if options.out not in (None, "-"):
        # Better now than after a long talk.
        if not Path(options.out).parent.is_dir():
            raise CommandFailed(f"{options.out}: there is no such folder", FAILED)
        if Path(options.out).is_dir():
            raise CommandFailed(f"{options.out}: is a folder", FAILED)
    endpoint = target(options)
    audio, pcm = _read(options.file)
    if not pcm:
        raise CommandFailed(f"{options.file}: there is no audio in it", BAD_INPUT)
    try:
        Resampler(audio, _INPUT)
    except MissingExtra as error:
        raise CommandFailed(f"{options.file}: {error}") from error
    return asyncio.run(_talk(options, endpoint, audio, pcm))


def _read(name: str) -> tuple[AudioFormat, bytes]:
    if name == "-":
        return read_wav_file(sys.stdin.buffer, "standard input")
    try:
        with Path(name).open("rb") as file:
            return read_wav_file(file, name)
    except OSError as error:
        raise CommandFailed(f"{name}: {error.strerror}", BAD_INPUT) from error


async def _talk(options: argparse.Namespace, endpoint: Endpoint | None, audio: AudioFormat, pcm: bytes) -> int:
    talk = _Talk(options, audio.seconds(len(pcm)))
    emulated = EmulatorOptions(hold_turn_complete=not options.fast)
    try:
        async with (
            reachable(endpoint, emulated) as there,
            converse(there, _config(options), options.model, talk.handle) as conversation,
        ):
            talk.conversation = conversation
            if options.text:
                answer = conversation.answer()
                talk.show.typed(options.text, conversation.now)
                await conversation.session.send_client_content(Content(role="user", parts=[Part(text=options.text)]))
                await conversation.wait_for(answer, "an answer to the text", options.timeout)
            await talk.say(audio, pcm)
            await talk.listen()
    finally:
        # What was heard before something failed is worth having too.
        talk.show.close()
        talk.write()
    talk.sum_up()
    return OK


def _config(options: argparse.Namespace) -> dict[str, Any]:
    config: dict[str, Any] = {
        "response_modalities": ["AUDIO"],
        "input_audio_transcription": {},
        "output_audio_transcription": {},
    }
    if options.system:
        config["system_instruction"] = {"parts": [{"text": options.system}]}
    if options.voice:
        config["speech_config"] = {"voice_config": {"prebuilt_voice_config": {"voice_name": options.voice}}}
    return config


@final
class _Talk:
    """One side of the conversation, and what came back.

    Args:
        options: The command line.
        seconds: Length of what is to be said.
    """

    def __init__(self, options: argparse.Namespace, seconds: float) -> None:
        self.conversation: Conversation | None = None
        self.show = _Show(options, seconds)
        self._options = options
        self._seconds = seconds
        self._reply = _Reply(paced=not options.fast)
        self._declining = ToolDecliner("talk")
        self._said_all = False
        self._running = False
        self._late = False  # the newest turn began after all was said
        self._settled = False  # and has ended, with nothing to follow
        self._ends = 0
        self._loudest = 0
        self._voice_at: float | None = None
        self._first_audio: float | None = None

    # --- saying -------------------------------------------------------------------------------------------------

    async def say(self, audio: AudioFormat, pcm: bytes) -> None:
        """Send the speech and its end."""
        conversation = self._talking
        self._ends = 0
        begin = conversation.now
        sent = 0
        for chunk in _chunks(audio, pcm):
            if not self._options.fast:
                # When it has been spoken, not before; a late chunk does not delay those behind it.
                await asyncio.sleep(begin + _INPUT.seconds(sent + len(chunk)) - conversation.now)
            await conversation.session.send_realtime_input(audio=chunk, rate=INPUT_RATE)
            sent += len(chunk)
            self.show.microphone(chunk, conversation.now, _INPUT.seconds(sent), self._reply.seconds)
            peak = max(map(abs, struct.unpack(f"<{len(chunk) // 2}h", chunk)))
            self._loudest = max(self._loudest, peak)
            if peak > _LOUD:
                self._voice_at = conversation.now
        self._said_all = True
        await conversation.session.send_realtime_input(audio_stream_end=True)

    async def listen(self) -> None:
        """Wait for the answer, or the last of several.

        Raises:
            CommandFailed: None came.
        """
        while not self._settled:
            answer = self._talking.answer()
            if self._ends and not self._running:
                # Pauses in the speech have got their answers already; perhaps its last words have one of their own.
                begins = self._talking.expect(lambda event: isinstance(event, TurnStarted))
                try:
                    await self._talking.wait_for(begins, "an answer", _LINGER)
                except CommandFailed:
                    return
            try:
                await self._talking.wait_for(answer, "an answer", self._options.timeout)
            except CommandFailed as failure:
                if self._loudest > _LOUD:
                    raise
                raise CommandFailed(f"{failure}; there is hardly any sound in what was said") from failure

    # --- hearing ------------------------------------------------------------------------------------------------

    def handle(self, event: Event, at: float) -> None:
        """Take an event."""
        self._reply.take(event, at)
        match event:
            case TurnStarted():
                self._running, self._late = True, self._said_all
            case Interrupted():
                self._late = False  # what has cut it wants an answer of its own
            case TurnComplete():
                self._running = False
                self._ends += 1
                self._settled = self._late and event.interaction_complete
            case AudioChunk() if self._first_audio is None and self._voice_at is not None:
                self._first_audio = at - self._voice_at
            case _:
                pass
        self.show.event(event, at)
        if self.conversation is not None:
            self._declining.handle(self.conversation, event)

    # --- afterwards ---------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write the reply, where there is one and a place for it."""
        pcm = self._reply.finish()
        if self._options.out and pcm:
            if self._options.out == "-":
                whole = io.BytesIO()  # a pipe could not be told the length afterwards
                wav.write_wav(whole, _OUTPUT, pcm)
                sys.stdout.buffer.write(whole.getvalue())
            else:
                write_wav_file(Path(self._options.out), _OUTPUT, pcm)

    def sum_up(self) -> None:
        """Say how it was."""
        seconds = self._reply.seconds
        self.show.summary(
            {
                "seconds_in": round(self._seconds, 3),
                "seconds_out": round(seconds, 3),
                "first_audio": None if self._first_audio is None else round(self._first_audio, 3),
                "answers": self._ends,
                "interruptions": self._reply.cuts,
                "out": self._options.out if seconds else None,
            }
        )
        if self._options.out and not seconds:
            raise CommandFailed(f"the answer had no audio, so {self._options.out} was not written")

    @property
    def _talking(self) -> Conversation:
        assert self.conversation is not None  # noqa: S101 - set before anything is said
        return self.conversation


def _chunks(audio: AudioFormat, pcm: bytes) -> Iterator[bytes]:
    """The same as 16 kHz mono, 100 ms each; converted on the way, so that a long file starts at once."""
    resampler = Resampler(audio, _INPUT)
    chunker = Chunker(_INPUT, MAX_CHUNK)
    step = audio.size(1.0)
    for start in range(0, len(pcm), step):
        yield from chunker.push(resampler.push(pcm[start : start + step]))
    yield from chunker.push(resampler.flush())
    if rest := chunker.flush():
        yield rest


@final
class _Reply:
    """What a listener hears of the model's voice, without the silence around it.

    Args:
        paced: Whether time passes as it does for a listener; only then an interruption tells what was not heard.

    Attributes:
        seconds: How much there is.
        cuts: Interruptions.
    """

    def __init__(self, *, paced: bool) -> None:
        self.seconds = 0.0
        self.cuts = 0
        self._paced = paced
        self._pcm = bytearray()
        self._played_until = 0.0
        self._resampler: Resampler | None = None

    def take(self, event: Event, at: float) -> None:
        if isinstance(event, AudioChunk) and not event.stale:
            if self._resampler is None or self._resampler.source != event.format:
                self.finish()
                self._resampler = Resampler(event.format, _OUTPUT)
            self._pcm += self._resampler.push(event.data)
            self._played_until = max(self._played_until, at) + event.format.seconds(len(event.data))
        elif isinstance(event, Interrupted):
            self.cuts += 1
            self.finish()
            if self._paced and (unheard := _OUTPUT.size(max(0.0, self._played_until - at))):
                del self._pcm[-unheard:]
            self._played_until = at
        self.seconds = _OUTPUT.seconds(len(self._pcm))

    def finish(self) -> bytes:
        """All of it."""
        if self._resampler is not None:
            self._pcm += self._resampler.flush()
            self.seconds = _OUTPUT.seconds(len(self._pcm))
        return bytes(self._pcm)


@final
class _Show:
    """What is shown: text, every event or JSON, and on a terminal how far it is."""

    def __init__(self, options: argparse.Namespace, seconds: float) -> None:
        # Where the reply goes to standard output, nothing else does.
        self._out: TextIO = sys.stderr if options.out == "-" else sys.stdout
        self._json = options.json
        every = options.verbose or options.json
        self._reporter = Reporter(self._out, as_json=options.json, full=options.full, live=False) if every else None
        self._progress = StatusLine(sys.stderr, wanted=not every)
        self._seconds = seconds
        self._speaker = ""
        self._text = ""

    def typed(self, text: str, at: float) -> None:
        if self._reporter is None:
            self._add("you", text)
        elif not self._json:
            self._reporter.sent("client content", text, at)

    def microphone(self, chunk: bytes, at: float, said: float, heard: float) -> None:
        if self._reporter is not None and not self._json:
            self._reporter.sent_audio(_INPUT, len(chunk), at)
        facts = f"said {said:.1f} of {self._seconds:.1f} s, heard {heard:.1f} s"
        room = min(_BAR, self._progress.room - len(facts) - len("[] "))
        done = round(room * min(1.0, said / self._seconds))
        self._progress.show(f"[{'#' * done}{'.' * (room - done)}] {facts}" if room >= _SHORT else facts)

    def event(self, event: Event, at: float) -> None:
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
        """Show what is held back."""
        if self._reporter is not None:
            self._reporter.flush()
        self._line()
        self._progress.clear()

    def summary(self, facts: dict[str, Any]) -> None:
        first = (
            "" if facts["first_audio"] is None else f", the first of it {facts['first_audio']:.2f} s after the voice"
        )
        cuts = f", {facts['interruptions']} interruptions" if facts["interruptions"] else ""
        line = f"{facts['seconds_in']:.2f} s in, {facts['seconds_out']:.2f} s out{first}{cuts}"
        if self._reporter is not None and self._json:
            self._reporter.note("Summary", line, sent=True, **facts)
            return
        self._out.write(f"{line}\n")
        if facts["out"] not in (None, "-"):
            self._out.write(f"{facts['out']}\n")
        self._out.flush()
