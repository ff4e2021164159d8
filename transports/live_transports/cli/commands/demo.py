"""``live-protocol demo``: a conversation that needs nothing but this package."""

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
A conversation over real TCP with the built-in emulator, with all that can happen in one: speech in and out, text, a
tool call, an interruption, a connection that is replaced by another one while the session goes on.

Needs no key and no network. Left behind are the reply to the speech as a WAV file (the emulator repeats what it
hears), the recorded session, and a page that shows it on a timeline.
"""

_SPEED: Final = 6.0
"""How many times faster than real time audio travels, so that nobody has to wait."""

_CHUNK: Final = 0.1
"""Seconds of audio in a message, as the service recommends."""

_STORY: Final = (
    "Let me tell you a very long story about the sea, the wind, an old captain and his parrot. It was a dark night, "
    "and the rain had been falling since noon, when the parrot said what it always said."
)
"""Takes several times as long to say as it takes to be cut short, whatever else the machine does."""

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
        help="folder for what is left behind; default: a new one for temporary files",
        kind="directory",
    )
    parser.add_argument("--json", action="store_true", help="every event and chapter as one JSON object a line")
    parser.add_argument("--full", action="store_true", help="with --json, payloads as base64 instead of their size")


def run(options: argparse.Namespace) -> int:
    """Play it."""
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
    stage.leave(
        {
            f"The reply to the speech, {audio.seconds(len(pcm)):.2f} s at {audio.rate} Hz": reply,
            "The session as it was recorded, at normal speed, for live-protocol trace and replay": recording,
            "The session on a timeline, for a browser": page,
        }
    )
    return OK


async def _demo(stage: _Stage, recording: Path) -> tuple[AudioFormat, bytes]:
    """Play all acts; gives the reply to the speech."""
    with contextlib.ExitStack() as stack:
        try:
            recorder = stack.enter_context(record_to(recording, info={"recorder": "live-protocol demo"}))
        except OSError as error:
            raise CommandFailed(f"{recording}: {error.strerror}") from error

        def observer(seen: Observation) -> None:
            # At the speed of the audio, so that the page shows what would have been heard.
            recorder(seen if seen.at is None else attrs.evolve(seen, at=seen.at * _SPEED))

        async with loopback(EmulatorOptions(speed=_SPEED, hold_turn_complete=False)) as endpoint:
            address = endpoint.url.split("/ws/")[0]
            stage.say(f"An emulator of the Live API listens at {address}; here is a client of it.")
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
    """The acts, and what they share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.reporter = Reporter(sys.stdout, as_json=options.json, full=options.full)
        self._json = options.json
        self.conversation: Conversation | None = None
        self._heard: list[AudioChunk] = []

    def say(self, text: str) -> None:
        """Announce what follows."""
        if self._json:
            self.reporter.note("Chapter", text, self._at, text=text)
            return
        self.reporter.flush()
        sys.stdout.write(f"\n{text}\n")
        sys.stdout.flush()

    def leave(self, files: Mapping[str, Path]) -> None:
        """Tell what is left behind."""
        if self._json:
            self.reporter.note("Files", "", files={path.stem: str(path) for path in files.values()})
            return
        self.reporter.flush()
        for what, path in files.items():
            sys.stdout.write(f"\n{what}:\n{path}\n")

    def sent(self, label: str, detail: str) -> None:
        """Show what this end sends; as JSON only what comes is shown."""
        if not self._json:
            self.reporter.sent(label, detail, self._at)

    def show(self, event: Event, at: float) -> None:
        self.reporter.event(event, at)
        if isinstance(event, AudioChunk) and not event.stale:
            self._heard.append(event)

    async def speech(self) -> tuple[AudioFormat, bytes]:
        """Speech goes in, in real chunks; gives what came back."""
        self.say("1. Speech: a recorded sentence in chunks of 100 ms, then the microphone pauses.")
        answer = self._talk.answer()
        await self._speak()
        await self._talk.wait_for(answer, "the answer to the speech")
        if not self._heard:
            raise CommandFailed("the answer to the speech had no audio")
        return self._heard[0].format, b"".join(chunk.data for chunk in self._heard)

    async def text(self) -> None:
        """A turn of text."""
        self.say("2. Text, answered by voice with its transcript.")
        await self._ask("Good morning! Is anybody there?")

    async def tool(self) -> None:
        """The model calls a function."""
        self.say("3. A tool call: the model asks, the application answers, the model goes on.")
        talk = self._talk
        requested = talk.expect(lambda event: isinstance(event, ToolCallRequested))
        answer = await self._send('/call get_weather {"city": "Oslo"}')
        event = await talk.wait_for(requested, "the tool call")
        assert isinstance(event, ToolCallRequested)  # noqa: S101 - what was expected
        response = FunctionResponse(id=event.call.id, name=event.call.name, response={"output": "snow, -4 degrees"})
        self.sent("tool response", f"{event.call.name} -> {json.dumps(response.response)}")
        if answer.done():  # a turn that ended with the call; what the model makes of the result is another one
            answer = talk.answer()
        await talk.session.send_tool_response(response)
        await talk.wait_for(answer, "the answer to the tool's result")

    async def barge_in(self) -> None:
        """The user does not let the model finish."""
        self.say("4. Barge-in: the user speaks up while the model does; what is not played yet is to be dropped.")
        await self._cut_short(_STORY, _count(AudioChunk, 5), self._speak())

    async def go_away(self) -> None:
        """The service ends the connection, not the session."""
        self.say("5. The service announces the end of the connection; the client dials again, and the session goes on.")
        talk = self._talk
        reconnected = talk.expect(lambda event: isinstance(event, Reconnected))
        await self._ask("/wait 0\nThis line will be cut soon.\n/goaway 10")
        await talk.wait_for(reconnected, "the next connection")
        self.say("6. The same conversation on another connection: what was said before is known, at some length.")
        await self._cut_short("/history", _count(AudioChunk, 20), self._send("Thank you, goodbye."))

    async def _cut_short(self, text: str, enough: Callable[[Event], bool], then: Coroutine[Any, Any, object]) -> None:
        """Say something, and something else when enough of the answer was heard."""
        talk = self._talk
        heard = talk.expect(enough)
        interrupted = talk.expect(lambda event: isinstance(event, Interrupted))
        await self._send(text)
        await talk.wait_for(heard, "the answer")
        answer = talk.expect(_count(TurnComplete, 2))  # the first one ends the turn that was cut
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
        assert self.conversation is not None  # noqa: S101 - the acts begin after it was set
        return self.conversation


def _count(kind: type[Event], wanted: int) -> Callable[[Event], bool]:
    """Fits the last of so many events of a kind."""
    seen = 0

    def fits(event: Event) -> bool:
        nonlocal seen
        seen += isinstance(event, kind)
        return seen == wanted

    return fits
