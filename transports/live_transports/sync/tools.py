"""`ToolRunner` on threads."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, final

from live_protocol.errors import LiveProtocolError
from live_protocol.events import Event
from live_protocol.messages import FunctionResponse
from live_transports.shared.turns import MAX_AUDIO, SyncTurn
from live_transports.sync.client import LiveClientSession
from live_transports.tools import END, ToolEnd, ToolRunnerBase, ToolScheduler, ToolTask, end_of, may_answer


@final
class SyncToolStream:
    """The events of a session while its tool calls are answered. Iterate over this instead of the session."""

    def __init__(self, session: LiveClientSession, scheduler: ToolScheduler) -> None:
        self._session = session
        self._scheduler = scheduler
        self._lock = threading.RLock()  # outcomes are reported under it, and may lead back here
        self._threads: set[threading.Thread] = set()

    def __iter__(self) -> Self:
        """All events of the session."""
        return self

    def __next__(self) -> Event:
        """The next event of the session. A call in it runs already, on another thread.

        Raises:
            StopIteration: The session has ended after a clean close.
            LiveProtocolError: As for the session's own iteration.
        """
        event = self.next_event()
        if event is None:
            raise StopIteration
        return event

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event, as the session's ``next_event`` returns it. A call in it runs already.

        Args:
            timeout: Most seconds to wait; 0 does not wait.

        Returns:
            The event, or None after a clean close.

        Raises:
            WaitTimeout: None came in time. Nothing is lost.
            LiveProtocolError: As for the session's own iteration.
        """
        event = self._session.next_event(timeout)
        if event is not None:
            with self._lock:
                started, _ = self._scheduler.feed(event)
                self._start(started)
        return event

    def turn(self, *, keep_audio: bool = False, max_audio: int = MAX_AUDIO) -> SyncTurn:
        """One turn, as the session's ``turn`` returns it, while its tool calls are answered.

        Args:
            keep_audio: Keep the audio in the view; otherwise only its length is known.
            max_audio: Most bytes of audio to keep.

        Raises:
            ValueError: ``max_audio`` is less than 1.
        """
        return self._session._turn(self.next_event, keep_audio=keep_audio, max_audio=max_audio)

    @property
    def running(self) -> int:
        """Number of calls that have not ended, waiting ones included."""
        return len(self._scheduler.tasks)

    # --- inside -------------------------------------------------------------------------------------------------

    def _start(self, tasks: list[ToolTask]) -> None:
        for task in tasks:
            thread = threading.Thread(target=self._run, args=(task,), name="live tool", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _run(self, task: ToolTask) -> None:
        end: ToolEnd = ToolEnd.ABANDONED
        failure: BaseException | None = None
        if task.timeout is not None:
            task.watch = threading.Timer(task.timeout, self._time_out, (task,))
            task.watch.name, task.watch.daemon = "live tool timer", True
            task.watch.start()
        try:
            end, failure = self._work(task)
        finally:
            if task.watch is not None:
                task.watch.cancel()
                task.watch.join()
            with self._lock:
                self._start(self._scheduler.finished(task, end, failure))
                self._threads.discard(threading.current_thread())

    def _time_out(self, task: ToolTask) -> None:
        """Tell the model that the call took too long. Its thread goes on, and its result is dropped."""
        with self._lock:
            response = self._scheduler.timed_out(task)
        if response is None:
            return
        try:
            self._answer(task, response)
        except LiveProtocolError as error:
            with self._lock:
                self._scheduler.send_failed(task, error)

    def _work(self, task: ToolTask) -> tuple[ToolEnd, BaseException | None]:
        failure: Exception | None
        try:
            failure = self._results(task)
        except LiveProtocolError as error:
            failure = error
            if not may_answer(error):
                return end_of(error), error
        except Exception as error:  # raised by a generator that is closed early
            failure = error
        if failure is None:
            return ToolEnd.ANSWERED, None
        try:
            self._send(task, task.response(failure))
        except LiveProtocolError as error:
            return end_of(error), error
        return ToolEnd.FAILED, failure

    def _results(self, task: ToolTask) -> Exception | None:
        """Send the function's results; returns the exception it raised, if any."""
        with contextlib.ExitStack() as stack:
            try:
                result = task.bind(self._scheduler.registry)()
                if inspect.isawaitable(result):
                    result = stack.enter_context(asyncio.Runner()).run(_awaited(result))
            except Exception as error:
                return error
            if inspect.isasyncgen(result):
                result = _blocking(stack.enter_context(asyncio.Runner()), result)
            if inspect.isgenerator(result):
                stack.callback(result.close)
                return self._stream(task, result)
            self._send(task, task.response(result))
        return None

    def _stream(self, task: ToolTask, results: Iterator[Any]) -> Exception | None:
        """Send one response after the other, or all in one if the model waits or takes no series."""
        gathered: list[Any] = []
        while task.stopped is None:
            try:
                one = next(results, END)
            except Exception as error:
                return error
            if one is END:
                self._send(task, task.end_of_stream() if task.sends_series else task.combined_response(gathered))
                break
            if task.sends_series:
                self._send(task, task.response(one, more=True))
            else:
                gathered.append(one)
        return None

    def _send(self, task: ToolTask, response: FunctionResponse) -> None:
        if task.stopped is None:
            self._answer(task, response)

    def _answer(self, task: ToolTask, response: FunctionResponse) -> None:
        task.responses += 1  # before the wait for room, since the peer may be quicker
        try:
            self._session.send_tool_response(response, epoch=task.epoch or None)
        except LiveProtocolError:
            task.responses -= 1
            raise

    def stop(self) -> None:
        """Send no more answers, and wait for the threads."""
        with self._lock:
            self._scheduler.stop_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join()


async def _awaited(result: Any) -> Any:
    return await result


def _blocking(runner: asyncio.Runner, results: Any) -> Iterator[Any]:
    try:
        while (one := runner.run(_awaited(anext(results, END)))) is not END:
            yield one
    finally:
        runner.run(results.aclose())


@final
class ToolRunner(ToolRunnerBase):
    """Runs the functions that the model calls, while you read the session's events.

    Each call has a thread, so reading never waits for one. A coroutine function runs in an event loop there. The return
    value is sent as the response, an exception as an error. A generator of a non-blocking function sends one response
    after the other; of a blocking one, or on Vertex, all in one. A thread cannot be cancelled: if the server cancels
    the call, if its connection ends, or if it takes too long, its answer is dropped.
    """

    @contextmanager
    def attach(self, session: LiveClientSession) -> Iterator[SyncToolStream]:
        """Answer calls during a ``with`` block. Iterate over the stream that it returns.

        After the block, or after the session's end, no more answers are sent. Leaving the block waits for the threads.

        Args:
            session: The session. Take its events from the stream only.
        """
        stream = SyncToolStream(session, self._scheduler(session.connection.tool_calls))
        try:
            yield stream
        finally:
            stream.stop()
