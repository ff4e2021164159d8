"""Functions that the model calls, run beside the stream of events: what the async runtimes have in common."""

from __future__ import annotations

import abc
import contextlib
import inspect
from collections.abc import Callable, Generator
from typing import Any, Self, TypeVar

from live_protocol.errors import LiveProtocolError
from live_protocol.events import Event
from live_protocol.messages import FunctionResponse
from live_transports.shared.async_sessions import AsyncClientSession
from live_transports.shared.turns import MAX_AUDIO, Turn
from live_transports.tools import END, ToolEnd, ToolScheduler, ToolTask, end_of, may_answer

T = TypeVar("T")


class ToolStream(abc.ABC):
    """The events of a session, with the calls among them being answered; iterate over it in place of the session."""

    def __init__(self, session: AsyncClientSession, scheduler: ToolScheduler) -> None:
        self._session = session
        self._scheduler = scheduler

    def __aiter__(self) -> Self:
        """The session's events, every one of them."""
        return self

    async def __anext__(self) -> Event:
        """The next event of the session; a call in it has been begun, and waits for nothing here.

        Raises:
            StopAsyncIteration: The session has ended in peace.
            LiveProtocolError: As for the session's own iteration.
        """
        event = await self._session.__anext__()
        started, stopped = self._scheduler.feed(event)
        self._act(started, stopped)
        return event

    def turn(self, *, keep_audio: bool = False, max_audio: int = MAX_AUDIO) -> Turn:
        """One turn of these events, as the session's ``turn`` gives it, with the calls in it being answered.

        Args:
            keep_audio: Whether the view holds the audio; otherwise it is only measured.
            max_audio: Most bytes of audio it holds.

        Raises:
            ValueError: ``max_audio`` is less than 1.
        """
        return self._session._turn(self.__anext__, keep_audio=keep_audio, max_audio=max_audio)

    @property
    def running(self) -> int:
        """How many calls are not over yet, those that wait for their turn included."""
        return len(self._scheduler.tasks)

    # --- inside -------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def _start(self, task: ToolTask, /) -> None:
        """Begin a task for `_work`."""

    @abc.abstractmethod
    def _cancel(self, task: ToolTask, /) -> None:
        """Cancel its task."""

    @abc.abstractmethod
    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Call it on a thread. If cancelled, still wait for its end."""

    async def _close(self, results: Generator[Any, Any, Any]) -> None:
        """Let a generator clean up, on a thread, also where its call was cancelled."""
        await self._in_thread(results.close)

    def _act(self, started: list[ToolTask], stopped: list[ToolTask]) -> None:
        for task in started:
            self._start(task)
        for task in stopped:
            self._cancel(task)

    def _finished(self, task: ToolTask, end: ToolEnd, error: BaseException | None) -> None:
        self._act(self._scheduler.finished(task, end, error), [])

    async def _work(self, task: ToolTask) -> tuple[ToolEnd, BaseException | None]:
        """Answer a call."""
        failure: Exception | None
        try:
            failure = await self._results(task)
        except LiveProtocolError as error:
            failure = error
            if not may_answer(error):
                return end_of(error), error
        except Exception as error:  # of a generator that was left early and cleaned up
            failure = error
        return await self._failed(task, failure)

    async def _failed(self, task: ToolTask, failure: Exception | None) -> tuple[ToolEnd, BaseException | None]:
        if failure is None:
            return ToolEnd.ANSWERED, None
        try:
            await self._send(task, task.response(failure))
        except LiveProtocolError as error:
            return end_of(error), error
        return ToolEnd.FAILED, failure

    async def _time_out(self, task: ToolTask) -> None:
        """Its time is up: tell the model, then cancel it."""
        response = self._scheduler.timed_out(task)
        if response is None:
            return
        try:
            await self._answer(task, response)
        except LiveProtocolError as error:
            self._scheduler.send_failed(task, error)
        if task.stopped is not None and task in self._scheduler.tasks:
            self._cancel(task)

    async def _results(self, task: ToolTask) -> Exception | None:
        """Send what the function gives; gives what it raised.

        Raises:
            LiveProtocolError: Sending did.
        """
        try:
            call = task.bind(self._scheduler.registry)
            result = call() if task.in_loop else await self._in_thread(call)
            if inspect.isawaitable(result):
                result = await result
        except Exception as error:
            return error
        if inspect.isasyncgen(result) or inspect.isgenerator(result):
            return await self._stream(task, result)
        await self._send(task, task.response(result))
        return None

    async def _stream(self, task: ToolTask, results: Any) -> Exception | None:
        """Send one response after the other, or all in one where the model waits or takes no series."""
        gathered: list[Any] = []
        asynchronous = inspect.isasyncgen(results)
        async with contextlib.AsyncExitStack() as stack:
            if asynchronous:
                stack.push_async_callback(results.aclose)
            else:
                stack.push_async_callback(self._close, results)
            while True:
                try:
                    one = await (anext(results, END) if asynchronous else self._in_thread(next, results, END))
                except Exception as error:
                    return error
                if one is END:
                    break
                if task.sends_series:
                    await self._send(task, task.response(one, more=True))
                else:
                    gathered.append(one)
        await self._send(task, task.end_of_stream() if task.sends_series else task.combined_response(gathered))
        return None

    async def _send(self, task: ToolTask, response: FunctionResponse) -> None:
        if task.stopped is None:
            await self._answer(task, response)

    async def _answer(self, task: ToolTask, response: FunctionResponse) -> None:
        task.responses += 1  # before it is waited for room, as the peer may be quicker
        try:
            await self._session.send_tool_response(response, epoch=task.epoch or None)
        except LiveProtocolError:
            task.responses -= 1
            raise
