"""A session with a background listener, and a way to wait for the model's answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, final

from live_protocol.endpoint import Endpoint
from live_protocol.errors import LiveProtocolError, StaleOperation
from live_protocol.events import Event, SetupComplete, ToolCallRequested, TurnComplete
from live_protocol.reconnect import ReconnectPolicy
from live_protocol.session import ConfigInput
from live_protocol.timing import Timeouts
from live_protocol.websocket import Observer
from live_transports import asyncio as live
from live_transports.cli.event_text import one_line
from live_transports.cli.exit import CommandFailed

ANSWER_TIMEOUT: Final = 60.0
"""Default seconds to wait for the end of a turn."""


@final
class Conversation:
    """A session whose events go to a callback as they arrive.

    Attributes:
        session: The session.
    """

    def __init__(self, session: live.LiveClientSession, on_event: Callable[[Event, float], None], epoch: float) -> None:
        self.session = session
        self._on_event = on_event
        self._epoch = epoch
        self._expected: list[tuple[Callable[[Event], bool], asyncio.Future[Event]]] = []
        self._listener = asyncio.create_task(self._listen())

    @property
    def now(self) -> float:
        """Seconds since the conversation began."""
        return time.monotonic() - self._epoch

    def expect(self, predicate: Callable[[Event], bool]) -> asyncio.Future[Event]:
        """The first event from now on that fits. Call this before you send the message that causes the event."""
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._expected.append((predicate, future))
        return future

    def answer(self) -> asyncio.Future[Event]:
        """The end of the model's next answer. If the service announces more turns, the end of the last one."""
        return self.expect(lambda event: isinstance(event, TurnComplete) and event.interaction_complete)

    async def wait_for(self, future: asyncio.Future[Event], what: str, seconds: float = ANSWER_TIMEOUT) -> Event:
        """Wait for a future from `expect`.

        Raises:
            CommandFailed: The event did not come in time, or the connection ended first.
            LiveProtocolError: The connection failed.
        """
        either: set[asyncio.Future[Any]] = {future, self._listener}
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            return future.result()
        if self._listener.done():
            self._listener.result()  # raises if the connection failed
            raise CommandFailed(f"the connection ended before {what} came")
        raise CommandFailed(f"{what} did not come within {seconds:g} s")

    async def finish(self) -> None:
        """Close the session and handle its last events.

        Raises:
            LiveProtocolError: The connection failed.
        """
        await self.session.aclose()
        await self._listener

    async def _listen(self) -> None:
        try:
            await self._handle()
        except LiveProtocolError as error:
            info = self.session.close_info
            if info is None or info.hint in str(error):
                raise
            raise CommandFailed(f"{error}: {info.hint}") from error

    async def _handle(self) -> None:
        async for event in self.session:
            self._on_event(event, self.now)
            for entry in self._expected.copy():
                predicate, future = entry
                if predicate(event):
                    self._expected.remove(entry)
                    if not future.done():
                        future.set_result(event)

    async def abandon(self) -> None:
        """Stop listening, without raising."""
        self._listener.cancel()
        await asyncio.wait({self._listener})
        if not self._listener.cancelled():
            self._listener.exception()  # reported elsewhere


@asynccontextmanager
async def converse(
    endpoint: Endpoint,
    config: ConfigInput,
    model: str,
    on_event: Callable[[Event, float], None],
    *,
    timeouts: Timeouts | None = None,
    reconnect: ReconnectPolicy | None = None,
    observer: Observer | None = None,
) -> AsyncIterator[Conversation]:
    """Open a conversation for the duration of the block.

    Raises:
        LiveProtocolError: The session cannot be opened, or the connection failed.
    """
    epoch = time.monotonic()
    opening = live.connect(endpoint, config, model=model, timeouts=timeouts, reconnect=reconnect, observer=observer)
    async with opening as session:
        conversation = Conversation(session, on_event, epoch)
        try:
            # The setup is complete; let its events be shown before anything is sent.
            await conversation.wait_for(conversation.expect(lambda event: isinstance(event, SetupComplete)), "setup")
            yield conversation
            await conversation.finish()
        except StaleOperation:
            # A send raced with the end of the connection: report how that ended instead.
            await conversation.wait_for(asyncio.get_running_loop().create_future(), "an answer", 5.0)
        finally:
            await conversation.abandon()


@final
class ToolDecliner:
    """Answers tool calls with an error, so that the model does not wait for a result.

    Args:
        name: The application, as the model is told.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._replies: set[asyncio.Task[None]] = set()

    def handle(self, conversation: Conversation, event: Event) -> None:
        """Answer the event if it is a tool call."""
        if isinstance(event, ToolCallRequested):
            reply = asyncio.create_task(self._decline(conversation, event))
            self._replies.add(reply)
            reply.add_done_callback(self._replies.discard)

    async def _decline(self, conversation: Conversation, event: ToolCallRequested) -> None:
        call = event.call
        arguments = one_line(json.dumps(call.args or {}))
        sys.stderr.write(f"tool call {one_line(call.name or '')}({arguments}): declined, this command has no tools\n")
        response = {"id": call.id, "name": call.name, "response": {"error": f"this {self._name} has no tools"}}
        with contextlib.suppress(StaleOperation):
            await conversation.session.send_tool_response(response)
