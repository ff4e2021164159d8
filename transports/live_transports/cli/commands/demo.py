"""``live-protocol demo``: a conversation with the emulator, and its timeline."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, final

import attrs

from live_protocol.emulator import EmulatorOptions
from live_protocol.events import (
    AudioChunk,
    Event,
    Interrupted,
    Reconnected,
    ToolCallRequested,
    TurnComplete,
)
from live_protocol.messages import AudioFormat, Content, FunctionResponse, Part
from live_protocol.reconnect import ReconnectPolicy
from live_protocol.recording import Timeline, TraceReader
from live_protocol.websocket import Observation
from live_transports.cli.argument_types import add_path
from live_transports.cli.commands.trace import write_page
from live_transports.cli.conversation import Conversation, converse
from live_transports.cli.endpoint import DEFAULT_MODEL
from live_transports.cli.exit import OK, CommandFailed
from live_transports.cli.loopback import loopback
from live_transports.cli.reporter import Reporter
from live_transports.cli.wav import read_wav_file, write_wav_file
from live_transports.recording import record_to

_DESCRIPTION = """\
Play a conversation with the built-in emulator over TCP: speech in and out, text, a tool call, an interruption, and a
session that continues on another connection. Needs no key and no network.

Writes the reply to the speech as a WAV file (the emulator repeats what it hears), the recorded session, and a page
that shows the session on a timeline.
"""

_SPEED: Final = 6.0
"""Audio travels this many times faster than real time."""

_CHUNK: Final = 0.1
"""Seconds of audio in a message."""

_STORY: Final = (
    "Let me tell you a very long story about the sea, the wind, an old captain and his parrot. It was a dark night, "
    "and the rain had been falling since noon, when the parrot said what it always said."
)
"""Long enough to be interrupted even on a slow machine."""

_CONFIG: Final[dict[str, Any]] = {
    "response_modalities": ["AUDIO"],
    "input_audio_transcription": {},
    "output_audio_transcription": {},
    "session_resumption": {},
    "tools": [
        {
            "function_declarations": [
                {
                    "name": "get_weather",
                    "description": "The weather in a city, now.",
                    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}},
                }
            ]
        }
    ],
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_path(
        parser,
        "--out",
        metavar="DIR",
        help="folder for the files; default: a new temporary folder",
        kind="directory",
    )
    parser.add_argument("--json", action="store_true", help="print every event and chapter, one JSON object per line")
    parser.add_argument(
        "--full", action="store_true", help="with --json, print payloads as base64 instead of their size"
    )


def run(options: argparse.Namespace) -> int:
    """Play the demo."""
    if options.out:
        folder = Path(options.out)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandFailed(f"{folder}: {error.strerror}") from error
    else:
        folder = Path(tempfile.mkdtemp(prefix="live-protocol-demo-"))
    stage = _Stage(options)
    reply, recording = folder / "reply.wav", folder / "session.jsonl"
    audio, pcm = asyncio.run(_demo(stage, recording))
    write_wav_file(reply, audio, pcm)
    with recording.open("rb") as file:
        timeline = Timeline.from_records(TraceReader(file).records())
    page = write_page(folder / "timeline.html", timeline, "demo")
    stage.list_files(
        {
            f"Reply to the speech, {audio.seconds(len(pcm)):.2f} s at {audio.rate} Hz": reply,
            "Recorded session at normal speed, for live-protocol trace and replay": recording,
            "Timeline of the session, for a browser": page,
        }
    )
    return OK


async def _demo(stage: _Stage, recording: Path) -> tuple[AudioFormat, bytes]:
    """Play all acts; returns the reply to the speech."""
    with contextlib.ExitStack() as stack:
        try:
            recorder = stack.enter_context(record_to(recording, info={"recorder": "live-protocol demo"}))
        except OSError as error:
            raise CommandFailed(f"{recording}: {error.strerror}") from error

        def observer(seen: Observation) -> None:
            # At the speed of the audio, so that the page shows what a listener would hear.
            recorder(seen if seen.at is None else attrs.evolve(seen, at=seen.at * _SPEED))

        async with loopback(EmulatorOptions(speed=_SPEED, hold_turn_complete=False)) as endpoint:
            address = endpoint.url.split("/ws/")[0]
            stage.say(f"An emulator of the Live API listens at {address}. A client connects.")
            policy = ReconnectPolicy(base_delay=0.0, in_flight_window=0.1)
            async with converse(
                endpoint, _CONFIG, DEFAULT_MODEL, stage.show, reconnect=policy, observer=observer
            ) as conversation:
                stage.conversation = conversation
                reply = await stage.speech()
                await stage.text()
                await stage.tool()
                await stage.barge_in()
                await stage.go_away()
    return reply


@final
class _Stage:
    """The acts and their shared state."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.reporter = Reporter(sys.stdout, as_json=options.json, full=options.full)
        self._json = options.json
        self.conversation: Conversation | None = None
        self._reply: list[AudioChunk] = []

    def say(self, text: str) -> None:
        """Announce an act."""
        if self._json:
            self.reporter.note("Chapter", text, self._at, text=text)
            return
        self.reporter.flush()
        sys.stdout.write(f"\n{text}\n")
        sys.stdout.flush()

    def list_files(self, files: Mapping[str, Path]) -> None:
        """Print the files that were written."""
        if self._json:
            self.reporter.note("Files", "", files={path.stem: str(path) for path in files.values()})
            return
        self.reporter.flush()
        for what, path in files.items():
            sys.stdout.write(f"\n{what}:\n{path}\n")

    def sent(self, label: str, detail: str) -> None:
        """Print something that this end sent; with ``--json`` only events are printed."""
        if not self._json:
            self.reporter.sent(label, detail, self._at)

    def show(self, event: Event, at: float) -> None:
        self.reporter.event(event, at)
        if isinstance(event, AudioChunk) and not event.stale:
            self._reply.append(event)

    async def speech(self) -> tuple[AudioFormat, bytes]:
        """Send speech in chunks; returns the reply."""
        self.say("1. Speech: a recorded sentence in chunks of 100 ms, then the microphone pauses.")
        answer = self._talk.answer()
        await self._speak()
        await self._talk.wait_for(answer, "the answer to the speech")
        if not self._reply:
            raise CommandFailed("the answer to the speech had no audio")
        return self._reply[0].format, b"".join(chunk.data for chunk in self._reply)

    async def text(self) -> None:
        """A turn of text."""
        self.say("2. Text: the model answers by voice, with a transcript.")
        await self._ask("Good morning! Is anybody there?")

    async def tool(self) -> None:
        """The model calls a function."""
        self.say("3. A tool call: the model calls, the application answers, the model continues.")
        talk = self._talk
        requested = talk.expect(lambda event: isinstance(event, ToolCallRequested))
        answer = await self._send('/call get_weather {"city": "Oslo"}')
        event = await talk.wait_for(requested, "the tool call")
        assert isinstance(event, ToolCallRequested)  # noqa: S101 - expected above
        response = FunctionResponse(id=event.call.id, name=event.call.name, response={"output": "snow, -4 degrees"})
        self.sent("tool response", f"{event.call.name} -> {json.dumps(response.response)}")
        if answer.done():  # the turn ended with the call, and the result begins another one
            answer = talk.answer()
        await talk.session.send_tool_response(response)
        await talk.wait_for(answer, "the answer to the tool response")

    async def barge_in(self) -> None:
        """The user interrupts the model."""
        self.say("4. Barge-in: the user interrupts the model; audio that has not played is dropped.")
        await self._cut_short(_STORY, _count(AudioChunk, 5), self._speak())

    async def go_away(self) -> None:
        """The service ends the connection, and the session continues."""
        self.say("5. GoAway: the service ends the connection; the client reconnects, and the session continues.")
        talk = self._talk
        reconnected = talk.expect(lambda event: isinstance(event, Reconnected))
        await self._ask("/wait 0\nThis line will be cut soon.\n/goaway 10")
        await talk.wait_for(reconnected, "the next connection")
        self.say("6. On the new connection the model still knows the conversation.")
        await self._cut_short("/history", _count(AudioChunk, 20), self._send("Thank you, goodbye."))

    async def _cut_short(self, text: str, enough: Callable[[Event], bool], then: Coroutine[Any, Any, object]) -> None:
        """Send a text, and interrupt its answer once enough of it was heard."""
        talk = self._talk
        heard = talk.expect(enough)
        interrupted = talk.expect(lambda event: isinstance(event, Interrupted))
        await self._send(text)
        await talk.wait_for(heard, "the answer")
        answer = talk.expect(_count(TurnComplete, 2))  # the first ends the interrupted turn
        await then
        await talk.wait_for(interrupted, "the interruption")
        await talk.wait_for(answer, "the answer")

    async def _speak(self) -> None:
        """Stream the recorded sentence and its end."""
        talk = self._talk
        with files("live_transports.cli").joinpath("speech.wav").open("rb") as file:
            form, pcm = read_wav_file(file, "speech.wav")
        step = form.size(_CHUNK)
        for start in range(0, len(pcm), step):
            chunk = pcm[start : start + step]
            await talk.session.send_realtime_input(audio=chunk, rate=form.rate)
            if not self._json:
                self.reporter.sent_audio(form, len(chunk), talk.now)
            await asyncio.sleep(_CHUNK / _SPEED)
        await talk.session.send_realtime_input(audio_stream_end=True)
        self.sent("audio stream end", "")

    async def _ask(self, text: str) -> None:
        answer = await self._send(text)
        await self._talk.wait_for(answer, "the answer")

    async def _send(self, text: str) -> asyncio.Future[Event]:
        answer = self._talk.answer()
        self.sent("client content", text)
        await self._talk.session.send_client_content(Content(role="user", parts=[Part(text=text)]))
        return answer

    @property
    def _at(self) -> float | None:
        return None if self.conversation is None else self.conversation.now

    @property
    def _talk(self) -> Conversation:
        assert self.conversation is not None  # noqa: S101 - set before the first act
        return self.conversation


def _count(kind: type[Event], number: int) -> Callable[[Event], bool]:
    """A predicate that fits the event of a kind with this number."""
    seen = 0

    def fits(event: Event) -> bool:
        nonlocal seen
        seen += isinstance(event, kind)
        return seen == number

    return fits
