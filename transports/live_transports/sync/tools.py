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
from live_transports.sync.client_and_server_session import SyncClientSession
from live_transports.tools import END, ToolEnd, ToolRunnerBase, ToolScheduler, ToolTask, end_of, may_answer

__all__ = ["SyncToolStream", "ToolRunner"]


@final
class SyncToolStream:
    """The events of a session, with the calls among them being answered; iterate over it in place of the session."""

    def __init__(self, session: SyncClientSession, scheduler: ToolScheduler) -> None:
        self._session = session
        self._scheduler = scheduler
        self._lock = threading.RLock()  # outcomes are told under it, and may lead back here
        self._threads: set[threading.Thread] = set()

    def __iter__(self) -> Self:
        """The session's events, every one of them."""
        return self

    def __next__(self) -> Event:
        """The next event of the session; a call in it has been begun, and waits for nothing here.

        Raises:
            StopIteration: The session has ended in peace.
            LiveProtocolError: As for the session's own iteration.
        """
        event = self.next_event()
        if event is None:
            raise StopIteration
        return event

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event of the session, as the session's ``next_event`` gives it; a call in it has been begun.

        Args:
            timeout: Seconds to wait at most; 0 takes only what is there.

        Returns:
            The event, or None where the session has ended in peace.

        Raises:
            WaitTimeout: There was none in time; nothing is lost.
            LiveProtocolError: As for the session's own iteration.
        """
        event = self._session.next_event(timeout)
        if event is not None:
            with self._lock:
                started, _ = self._scheduler.feed(event)
                self._start(started)
        return event

    def turn(self, *, keep_audio: bool = False, max_audio: int = MAX_AUDIO) -> SyncTurn:
        """One turn of these events, as the session's ``turn`` gives it, with the calls in it being answered.

        Args:
            keep_audio: Whether the view holds the audio; otherwise it is only measured.
            max_audio: Most bytes of audio it holds.

        Raises:
            ValueError: ``max_audio`` is less than 1.
        """
        return self._session._turn(self.next_event, keep_audio=keep_audio, max_audio=max_audio)

    @property
    def running(self) -> int:
        """How many calls are not over yet, those that wait for their turn included."""
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
        """Its time is up: tell the model; the thread goes on, for nothing."""
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
        except Exception as error:  # of a generator that was left early and cleaned up
            failure = error
        if failure is None:
            return ToolEnd.ANSWERED, None
        try:
            self._send(task, task.response(failure))
        except LiveProtocolError as error:
            return end_of(error), error
        return ToolEnd.FAILED, failure

    def _results(self, task: ToolTask) -> Exception | None:
        """Send what the function gives; gives what it raised."""
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
        """Send one response after the other, or all in one where the model waits or takes no series."""
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
        task.responses += 1  # before it is waited for room, as the peer may be quicker
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
    """Runs the functions that the model calls, beside the session's stream of events.

    Each call gets a thread, so reading waits for none of them; a coroutine function gets an event loop there. What a
    function returns is sent as its response; what it raises, as an error. A generator of a non-blocking function gives
    one response after the other; of a blocking one, or on Vertex, all in one. A thread cannot be cancelled: the answer
    to a call that the server cancels, that was lost with its connection, or that comes too late, is dropped.
    """

    @contextmanager
    def attach(self, session: SyncClientSession) -> Iterator[SyncToolStream]:
        """Answer calls for the length of a ``with`` block; ``for event in`` what it gives.

        When the block is left, or the session ends, no more answers are sent. Leaving waits for the threads.

        Args:
            session: The session; take its events from what this gives, and only there.
        """
        stream = SyncToolStream(session, self._scheduler(session.connection.tool_calls))
        try:
            yield stream
        finally:
            stream.stop()
