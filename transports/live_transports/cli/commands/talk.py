"""``live-protocol talk``: a WAV file in, the spoken reply as a WAV file out."""

from __future__ import annotations

import argparse
import asyncio
import io
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, final

from live_protocol.audio import MAX_CHUNK, Chunker, MissingExtra, Resampler, wav
from live_protocol.emulator import EmulatorOptions
from live_protocol.endpoint import Endpoint
from live_protocol.events import (
    AudioChunk,
    Event,
    Interrupted,
    TurnComplete,
    TurnStarted,
)
from live_protocol.messages import AudioFormat, Content, Part
from live_protocol.messages.audio_format import INPUT_RATE
from live_transports.cli.argument_types import add_path, number
from live_transports.cli.conversation import ANSWER_TIMEOUT, Conversation, ToolDecliner, converse
from live_transports.cli.endpoint import add_target, target
from live_transports.cli.exit import BAD_INPUT, FAILED, OK, USAGE, CommandFailed
from live_transports.cli.loopback import reachable
from live_transports.cli.reply import REPLY_FORMAT, Reply
from live_transports.cli.talk_output import SPEECH_FORMAT, TalkOutput
from live_transports.cli.wav import read_wav_file, write_wav_file

_DESCRIPTION = """\
Send the speech in a WAV file at the speed at which it was spoken, and write the reply as a WAV file of 24 kHz.

The file may have any rate, one or two channels, and 8 to 64 bits; it is sent as 16 kHz mono in chunks of 100 ms. Both
transcripts are printed. If the speech interrupts the model, the reply is cut where a listener would have heard it stop.
Tool calls are answered with an error.
"""

_LINGER: Final = 3.0
"""Seconds to wait for one more answer, if the last one began before the speech ended."""

_LOUD: Final = 700
"""Peak above which a chunk counts as voice, of 32,768."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_path(parser, "file", metavar="IN.wav", help="speech; - for standard input")
    add_path(parser, "-o", "--out", metavar="OUT.wav", help="write the reply to this file; - for standard output")
    parser.add_argument("--fast", action="store_true", help="send as fast as the connection allows")
    parser.add_argument("--text", metavar="TEXT", help="send a turn of text before the speech")
    parser.add_argument("--system", metavar="S", help="system instruction")
    parser.add_argument("--voice", metavar="NAME", help="voice of the model, for example Kore")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=number(),
        default=ANSWER_TIMEOUT,
        help="time to wait for an answer; default: %(default)g",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print every event instead of only the text")
    parser.add_argument("--json", action="store_true", help="print every event and a summary, one JSON object per line")
    parser.add_argument(
        "--full", action="store_true", help="with --json, print payloads as base64 instead of their size"
    )
    add_target(parser)


def run(options: argparse.Namespace) -> int:
    """Run the conversation."""
    if options.out == "-" and options.json:
        raise CommandFailed("-o - and --json both write to standard output", USAGE)
    if options.out not in (None, "-"):
        # Fail before a long talk, not after it.
        if not Path(options.out).parent.is_dir():
            raise CommandFailed(f"{options.out}: the folder does not exist", FAILED)
        if Path(options.out).is_dir():
            raise CommandFailed(f"{options.out}: this is a folder", FAILED)
    endpoint = target(options)
    audio, pcm = _read(options.file)
    if not pcm:
        raise CommandFailed(f"{options.file}: the file has no audio", BAD_INPUT)
    try:
        Resampler(audio, SPEECH_FORMAT)
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
        # Keep what was heard before a failure.
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
    """The user's side of the conversation, and the reply.

    Args:
        options: The command line.
        seconds: Length of the speech.
    """

    def __init__(self, options: argparse.Namespace, seconds: float) -> None:
        self.conversation: Conversation | None = None
        self.show = TalkOutput(options, seconds)
        self._options = options
        self._seconds = seconds
        self._reply = Reply(paced=not options.fast)
        self._declining = ToolDecliner("talk")
        self._speech_sent = False
        self._running = False
        self._late = False  # the newest turn began after the speech ended
        self._settled = False  # and has ended, and no other follows
        self._ends = 0
        self._loudest = 0
        self._voice_at: float | None = None
        self._first_audio: float | None = None

    # --- sending -------------------------------------------------------------------------------------------------

    async def say(self, audio: AudioFormat, pcm: bytes) -> None:
        """Send the speech and its end."""
        conversation = self._talking
        self._ends = 0
        begin = conversation.now
        sent = 0
        for chunk in _chunks(audio, pcm):
            if not self._options.fast:
                # Send a chunk when it has been spoken; a late chunk does not delay the next ones.
                await asyncio.sleep(begin + SPEECH_FORMAT.seconds(sent + len(chunk)) - conversation.now)
            await conversation.session.send_realtime_input(audio=chunk, rate=INPUT_RATE)
            sent += len(chunk)
            self.show.microphone(chunk, conversation.now, SPEECH_FORMAT.seconds(sent), self._reply.seconds)
            peak = max(map(abs, struct.unpack(f"<{len(chunk) // 2}h", chunk)))
            self._loudest = max(self._loudest, peak)
            if peak > _LOUD:
                self._voice_at = conversation.now
        self._speech_sent = True
        await conversation.session.send_realtime_input(audio_stream_end=True)

    async def listen(self) -> None:
        """Wait for the answer, or for the last of several.

        Raises:
            CommandFailed: No answer came.
        """
        while not self._settled:
            answer = self._talking.answer()
            if self._ends and not self._running:
                # The pauses in the speech were answered. Its last words may get an answer too.
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
                raise CommandFailed(f"{failure}; the speech is nearly silent") from failure

    # --- receiving ------------------------------------------------------------------------------------------------

    def handle(self, event: Event, at: float) -> None:
        """Handle an event."""
        self._reply.take(event, at)
        match event:
            case TurnStarted():
                self._running, self._late = True, self._speech_sent
            case Interrupted():
                self._late = False  # the interruption will be answered
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

    # --- the end -----------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write the reply, if there is one and a file for it."""
        pcm = self._reply.finish()
        if self._options.out and pcm:
            if self._options.out == "-":
                whole = io.BytesIO()  # a pipe cannot be corrected once the length is known
                wav.write_wav(whole, REPLY_FORMAT, pcm)
                sys.stdout.buffer.write(whole.getvalue())
            else:
                write_wav_file(Path(self._options.out), REPLY_FORMAT, pcm)

    def sum_up(self) -> None:
        """Print the summary."""
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
        assert self.conversation is not None  # noqa: S101 - set before the first message
        return self.conversation


def _chunks(audio: AudioFormat, pcm: bytes) -> Iterator[bytes]:
    """Convert to 16 kHz mono in chunks of 100 ms, step by step, so that a long file starts at once."""
    resampler = Resampler(audio, SPEECH_FORMAT)
    chunker = Chunker(SPEECH_FORMAT, MAX_CHUNK)
    step = audio.size(1.0)
    for start in range(0, len(pcm), step):
        yield from chunker.push(resampler.push(pcm[start : start + step]))
    yield from chunker.push(resampler.flush())
    if rest := chunker.flush():
        yield rest
