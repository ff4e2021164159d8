"""``live-protocol chat``: text in, text or the transcript of the voice out."""

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
Talk to a model in text. Each TEXT is one turn. Without TEXT, each line of standard input is one.

Speech models answer with audio; the transcript is printed. Tool calls are answered with an error.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    text = parser.add_argument("text", metavar="TEXT", nargs="*", help="a turn")
    # Without a completion for TEXT, zsh lists a matching option but does not insert it.
    text.complete = {"zsh": "()"}  # type: ignore[attr-defined]
    parser.add_argument("--system", metavar="S", help="system instruction")
    parser.add_argument(
        "--modality",
        choices=("AUDIO", "TEXT"),
        default="AUDIO",
        help="what the model answers with; default: %(default)s",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=number(),
        default=ANSWER_TIMEOUT,
        help="time to wait for an answer; default: %(default)g",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print every event instead of only the text")
    parser.add_argument("--json", action="store_true", help="print every event, one JSON object per line")
    parser.add_argument(
        "--full", action="store_true", help="with --json, print payloads as base64 instead of their size"
    )
    add_target(parser)


def run(options: argparse.Namespace) -> int:
    """Run the conversation."""
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
            screen.typed(text)
            answer = conversation.answer()
            await conversation.session.send_client_content(Content(role="user", parts=[Part(text=text)]))
            await conversation.wait_for(answer, "an answer", options.timeout)
    screen.end()
    return OK


@final
class _Screen:
    """Prints the conversation."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.conversation: Conversation | None = None
        every = options.verbose or options.json
        self._reporter = Reporter(sys.stdout, as_json=options.json, full=options.full) if every else None
        self._json = options.json
        self._declining = ToolDecliner("chat")

    def typed(self, text: str) -> None:
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


async def _texts(arguments: list[str]) -> AsyncIterator[str]:
    for text in arguments:
        yield text
    if not arguments:
        async for line in _lines():
            if text := line.strip():
                yield text


def _give(future: asyncio.Future[bytes], data: bytes) -> None:
    if not future.done():
        future.set_result(data)


async def _lines() -> AsyncIterator[str]:
    """Lines of standard input, read by threads that do not delay exit."""
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
            # Not sys.stdin: a thread that holds its lock aborts the interpreter at exit.
            data = os.read(descriptor, 65536)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_give, future, data)

        sys.stderr.write(prompt)
        sys.stderr.flush()
        threading.Thread(target=read, daemon=True).start()
        data = await future
        pending += data
        ended = not data
        if ended and prompt:
            sys.stderr.write("\n")  # end of input leaves the prompt's line open
