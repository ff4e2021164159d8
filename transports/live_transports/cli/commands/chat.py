"""``live-protocol chat``: text in, text (or the transcript of the voice) out."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any, final

from live_protocol.endpoint import Endpoint
from live_protocol.events import Event, OutputTranscript, TextChunk, TurnComplete
from live_protocol.messages import Content, Modality, Part
from live_transports.cli.argument_types import number
from live_transports.cli.conversation import ANSWER_TIMEOUT, Conversation, ToolDecliner, converse
from live_transports.cli.endpoint import add_target, target
from live_transports.cli.event_text import printable
from live_transports.cli.exit import OK
from live_transports.cli.loopback import reachable
from live_transports.cli.reporter import Reporter

_DESCRIPTION = """\
Talk to a model in text. Each TEXT is one turn; without any, each line of standard input is one.

Speech models answer with audio only; what is shown is the transcript. Tool calls are answered with an error.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    text = parser.add_argument("text", metavar="TEXT", nargs="*", help="what to say")
    # With nothing to offer for it, zsh lists an option that matches and does not insert it.
    text.complete = {"zsh": "()"}  # type: ignore[attr-defined]
    parser.add_argument("--system", metavar="S", help="the system instruction")
    parser.add_argument("--modality", choices=("AUDIO", "TEXT"), default="AUDIO", help="default: %(default)s")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=number(),
        default=ANSWER_TIMEOUT,
        help="wait for an answer; default: 60",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show every event instead of the text alone")
    parser.add_argument("--json", action="store_true", help="show every event as one JSON object a line")
    parser.add_argument("--full", action="store_true", help="with --json, payloads as base64 instead of their size")
    add_target(parser)


def run(options: argparse.Namespace) -> int:
    """Chat."""
    return asyncio.run(_chat(options, target(options)))


async def _chat(options: argparse.Namespace, endpoint: Endpoint | None) -> int:
    config: dict[str, Any] = {"response_modalities": [options.modality]}
    if options.modality == Modality.AUDIO:
        config["output_audio_transcription"] = {}
    if options.system:
        config["system_instruction"] = {"parts": [{"text": options.system}]}
    screen = _Screen(options)
    async with reachable(endpoint) as there, converse(there, config, options.model, screen.show) as conversation:
        screen.conversation = conversation
        async for text in _texts(options.text):
            screen.said(text)
            answer = conversation.answer()
            await conversation.session.send_client_content(Content(role="user", parts=[Part(text=text)]))
            await conversation.wait_for(answer, "an answer", options.timeout)
    screen.end()
    return OK


@final
class _Screen:
    """What becomes of events."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.conversation: Conversation | None = None
        every = options.verbose or options.json
        self._reporter = Reporter(sys.stdout, as_json=options.json, full=options.full) if every else None
        self._json = options.json
        self._declining = ToolDecliner("chat")

    def said(self, text: str) -> None:
        if self._reporter and not self._json:
            self._reporter.sent("client content", text, self.conversation.now if self.conversation else None)

    def show(self, event: Event, at: float) -> None:
        if self._reporter:
            self._reporter.event(event, at)
        elif isinstance(event, OutputTranscript) or (isinstance(event, TextChunk) and not event.thought):
            sys.stdout.write("" if event.stale else printable(event.text))
            sys.stdout.flush()
        elif isinstance(event, TurnComplete):
            sys.stdout.write("\n")
            sys.stdout.flush()
        if self.conversation is not None:
            self._declining.handle(self.conversation, event)

    def end(self) -> None:
        if self._reporter:
            self._reporter.flush()


async def _texts(given: list[str]) -> AsyncIterator[str]:
    for text in given:
        yield text
    if not given:
        async for line in _lines():
            if text := line.strip():
                yield text


def _give(future: asyncio.Future[bytes], data: bytes) -> None:
    if not future.done():
        future.set_result(data)


async def _lines() -> AsyncIterator[str]:
    """Lines of standard input, read by threads that no exit has to wait for."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()
    prompt = "> " if sys.stdin.isatty() else ""
    pending = b""
    ended = False
    while pending or not ended:
        line, newline, rest = pending.partition(b"\n")
        if newline or ended:
            pending = rest
            yield line.decode(errors="replace")
            continue
        future: asyncio.Future[bytes] = loop.create_future()

        def read(future: asyncio.Future[bytes] = future) -> None:
            # Not through sys.stdin: a thread that holds its lock makes the interpreter abort at exit.
            data = os.read(descriptor, 65536)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_give, future, data)

        sys.stderr.write(prompt)
        sys.stderr.flush()
        threading.Thread(target=read, daemon=True).start()
        data = await future
        pending += data
        ended = not data
        if ended and prompt:
            sys.stderr.write("\n")  # nobody has typed one
