"""``live-protocol demo``: a conversation that needs nothing but this package."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, final

from live_protocol.audio import AudioFormat
from live_protocol.emulator import EmulatorOptions
from live_protocol.events import AudioChunk, Event, Interrupted, ToolCallRequested, TurnComplete
from live_protocol.messages import Content, FunctionResponse, Part
from live_transports.cli._conversation import Conversation, converse
from live_transports.cli._failure import OK, CommandFailed
from live_transports.cli._loopback import loopback
from live_transports.cli._reporter import Reporter
from live_transports.cli._target import DEFAULT_MODEL
from live_transports.cli._wav import read_wav, write_wav

__all__ = ["configure", "run"]

_DESCRIPTION = """\
A short conversation over real TCP with the built-in emulator: speech in and out, text, a tool call, an interruption.

Needs no key and no network. The reply to the speech is written as a WAV file (the emulator repeats what it hears).
"""

_SPEED: Final = 4.0
"""How many times faster than real time audio travels, so that nobody has to wait."""

_CHUNK: Final = 0.1
"""Seconds of audio in a message, as the service recommends."""

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
    parser.add_argument("--out", metavar="DIR", help="folder for reply.wav; default: a new one for temporary files")


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
    return asyncio.run(_demo(folder / "reply.wav"))


async def _demo(path: Path) -> int:
    emulated = EmulatorOptions(speed=_SPEED, hold_turn_complete=False)
    stage = _Stage()
    async with loopback(emulated) as endpoint:
        stage.say(f"An emulator of the Live API listens at {endpoint.url.split('/ws/')[0]}; here is a client of it.")
        async with converse(endpoint, _CONFIG, DEFAULT_MODEL, stage.show) as conversation:
            stage.conversation = conversation
            audio, pcm = await stage.speech()
            write_wav(path, audio, pcm)
            await stage.text()
            await stage.tool()
            await stage.barge_in()
    stage.reporter.flush()
    stage.say(f"The reply to the speech, {audio.seconds(len(pcm)):.2f} s at {audio.rate} Hz, is in:")
    sys.stdout.write(f"{path}\n")
    return OK


@final
class _Stage:
    """The acts, and what they share."""

    def __init__(self) -> None:
        self.reporter = Reporter(sys.stdout)
        self.conversation: Conversation | None = None
        self._heard: list[AudioChunk] = []

    def say(self, text: str) -> None:
        self.reporter.flush()
        sys.stdout.write(f"\n{text}\n")
        sys.stdout.flush()

    def show(self, event: Event, at: float) -> None:
        self.reporter.event(event, at)
        if isinstance(event, AudioChunk) and not event.stale:
            self._heard.append(event)

    async def speech(self) -> tuple[AudioFormat, bytes]:
        """Speech goes in, in real chunks; gives what came back."""
        talk, session = self._talk, self._talk.session
        self.say("1. Speech: a recorded sentence in chunks of 100 ms, then the microphone pauses.")
        with files("live_transports.cli").joinpath("speech.wav").open("rb") as file:
            form, pcm = read_wav(file, "speech.wav")
        answer = talk.answer()
        step = form.size(_CHUNK)
        for start in range(0, len(pcm), step):
            chunk = pcm[start : start + step]
            await session.send_realtime_input(audio=chunk, rate=form.rate)
            self.reporter.sent_audio(form, len(chunk), talk.now)
            await asyncio.sleep(_CHUNK / _SPEED)
        await session.send_realtime_input(audio_stream_end=True)
        self.reporter.sent("audio stream end", "", talk.now)
        await talk.wait_for(answer, "the answer to the speech")
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
        self.reporter.sent("tool response", f"{event.call.name} -> {json.dumps(response.response)}", talk.now)
        if answer.done():  # a turn that ended with the call; what the model makes of the result is another one
            answer = talk.answer()
        await talk.session.send_tool_response(response)
        await talk.wait_for(answer, "the answer to the tool's result")

    async def barge_in(self) -> None:
        """The user does not let the model finish."""
        self.say("4. Barge-in: the user speaks up while the model does; what is not played yet is to be dropped.")
        talk = self._talk
        started = talk.expect(lambda event: isinstance(event, AudioChunk))
        interrupted = talk.expect(lambda event: isinstance(event, Interrupted))
        await self._send(
            "Let me tell you a very long story about the sea, the wind, an old captain and his parrot. " * 2
        )
        await talk.wait_for(started, "the beginning of the answer")
        answer = talk.expect(_second_end())
        await self._send("Stop, please.")
        await talk.wait_for(interrupted, "the interruption")
        await talk.wait_for(answer, "the answer")

    async def _ask(self, text: str) -> None:
        answer = await self._send(text)
        await self._talk.wait_for(answer, "the answer")

    async def _send(self, text: str) -> asyncio.Future[Event]:
        answer = self._talk.answer()
        self.reporter.sent("client content", text, self._talk.now)
        await self._talk.session.send_client_content(Content(role="user", parts=[Part(text=text)]))
        return answer

    @property
    def _talk(self) -> Conversation:
        assert self.conversation is not None  # noqa: S101 - the acts begin after it was set
        return self.conversation


def _second_end() -> Callable[[Event], bool]:
    """Fits the second end of a turn from here: the first one ends the turn that was cut."""
    ends = 0

    def fits(event: Event) -> bool:
        nonlocal ends
        ends += isinstance(event, TurnComplete)
        return ends == 2

    return fits
