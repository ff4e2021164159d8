"""The common part of every ``ToolRunner``: scheduling of calls, their answers, and their outcomes.

Use the ``ToolRunner`` of your runtime's module. This module does no I/O.
"""

from __future__ import annotations

import enum
import functools
import inspect
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, final

import attrs

from live_protocol.errors import (
    IllegalInState,
    LiveProtocolError,
    LocalProtocolError,
    ToolCallOrphaned,
    ToolCallWasCancelled,
)
from live_protocol.events import ConnectionClosed, Event, Reconnected, ToolCallCancelled, ToolCallRequested
from live_protocol.messages import (
    Backend,
    Behavior,
    FunctionCall,
    FunctionResponse,
    FunctionResponsePart,
    FunctionResponseScheduling,
)
from live_protocol.session import ToolCallTracker, key_of
from live_protocol.tools import DeclaredFunction, ToolRegistry, respond

__all__ = ["Scheduling", "ToolEnd", "ToolOutcome", "ToolResult", "ToolTimeouts", "Tools"]

_logger = logging.getLogger("live_transports")

Tools: TypeAlias = ToolRegistry | Mapping[str, Callable[..., Any] | DeclaredFunction]
"""A `ToolRegistry`, or functions by the names to declare them under."""
Scheduling: TypeAlias = FunctionResponseScheduling | str | Mapping[str, FunctionResponseScheduling | str] | None
"""How results of non-blocking functions enter the conversation: for all functions, or by name."""
ToolTimeouts: TypeAlias = float | Mapping[str, float] | None
"""Seconds that a function may take: for all functions, or by name; None is unlimited."""

END: Final = object()
"""The sentinel for an exhausted generator."""


@final
class ToolEnd(enum.StrEnum):
    """The end of a call."""

    ANSWERED = "ANSWERED"
    """The function's result was sent."""
    FAILED = "FAILED"
    """An error was sent: the function raised, does not exist, or got wrong arguments."""
    CANCELLED = "CANCELLED"
    """The server cancelled the call; nothing was sent after that."""
    TIMED_OUT = "TIMED_OUT"
    """An error was sent: the function took too long."""
    ORPHANED = "ORPHANED"
    """The call's connection ended and its successor does not know the call; no answer was sent."""
    UNSENT = "UNSENT"
    """Sending the answer failed; the outcome's ``error`` says why."""
    ABANDONED = "ABANDONED"
    """The session ended, or iteration stopped, before there was an answer."""


@final
@attrs.frozen(kw_only=True)
class ToolOutcome:
    """The outcome of one call.

    Attributes:
        call: The call.
        epoch: Number of its connection in a persistent session; otherwise 0.
        end: How it ended.
        responses: Number of responses sent.
        error: The exception of the function or of sending; a `TimeoutError` if the function took too long.
    """

    call: FunctionCall
    epoch: int
    end: ToolEnd
    responses: int = 0
    error: BaseException | None = None


@final
@attrs.frozen
class ToolResult:
    """A result with details; a function may return or yield it.

    Attributes:
        value: The result.
        scheduling: How it enters the conversation; only for non-blocking functions.
        parts: Media results.
    """

    value: Any
    scheduling: FunctionResponseScheduling | str | None = attrs.field(default=None, kw_only=True)
    parts: Sequence[FunctionResponsePart] = attrs.field(default=(), kw_only=True)


# --- one call ---------------------------------------------------------------------------------------------------


class ToolTask:
    """One call without an answer yet.

    Attributes:
        call: The call.
        epoch: Number of its connection.
        stopped: Why no answer will be sent, or None.
        failure: Why the function was cancelled, or None.
        responses: Number of responses sent.
        declared: The function, or None if it does not exist.
        timeout: Seconds that the function may take; None is unlimited.
        handle: The runtime's object for cancelling the function.
        watch: The runtime's object for cancelling the timeout.
    """

    __slots__ = (
        "_calls", "_scheduling", "call", "declared", "epoch", "failure", "handle", "responses", "stopped", "timeout",
        "watch",
    )  # fmt: skip

    def __init__(
        self,
        event: ToolCallRequested,
        declared: DeclaredFunction | None,
        scheduling: Scheduling,
        timeouts: ToolTimeouts,
        calls: ToolCallTracker,
    ) -> None:
        self.call: FunctionCall = event.call
        self.epoch: int = event.epoch
        self.declared = declared
        self.stopped: ToolEnd | None = None
        self.failure: BaseException | None = None
        self.responses: int = 0
        self.handle: Any = None
        self.watch: Any = None
        self._calls = calls
        name = event.call.name or ""
        self.timeout: float | None = timeouts.get(name) if isinstance(timeouts, Mapping) else timeouts
        self._scheduling = scheduling.get(name) if isinstance(scheduling, Mapping) else scheduling

    @property
    def non_blocking(self) -> bool:
        """Whether the model continues while the function runs."""
        return self.declared is not None and self.declared.declaration.behavior == Behavior.NON_BLOCKING

    @property
    def sends_series(self) -> bool:
        """Whether the function may send several responses; only Gemini accepts ``will_continue``."""
        return self.non_blocking and self._calls.backend is Backend.GEMINI

    @property
    def in_loop(self) -> bool:
        """Whether the function must be called in an event loop."""
        function: Any = self.declared.function if self.declared is not None else None
        while isinstance(function, functools.partial):
            function = function.func
        called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
        return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)

    def bind(self, registry: ToolRegistry) -> Callable[[], Any]:
        """Return the function with its arguments bound.

        Raises:
            InvalidToolCall: The function does not exist, or the arguments are wrong.
        """
        declared = self.declared = registry.find(self.call)
        args, kwargs = declared.bind(self.call)
        return functools.partial(declared.function, *args, **kwargs)

    def response(self, value: Any, *, more: bool = False) -> FunctionResponse:
        """Return the response for a result.

        Raises:
            InvalidMessage: The result cannot be converted to JSON.
        """
        result = value if isinstance(value, ToolResult) else ToolResult(value)
        return respond(
            self.call,
            result.value,
            scheduling=self._scheduled(result.scheduling or self._scheduling),
            will_continue=True if more else None,
            parts=result.parts,
        )

    def end_of_stream(self) -> FunctionResponse:
        """Return the response that ends a series without making the model speak."""
        return FunctionResponse(
            id=self.call.id,
            name=self.call.name,
            response={},
            scheduling=self._scheduled(FunctionResponseScheduling.SILENT),
            will_continue=False,
        )

    def combined_response(self, values: list[Any]) -> FunctionResponse:
        """Combine several results in one response, for models that accept no series.

        Raises:
            InvalidMessage: A result cannot be converted to JSON.
        """
        results = [value if isinstance(value, ToolResult) else ToolResult(value) for value in values]
        scheduling = next((result.scheduling for result in reversed(results) if result.scheduling is not None), None)
        parts = [part for result in results for part in result.parts]
        return self.response(ToolResult([result.value for result in results], scheduling=scheduling, parts=parts))

    def _scheduled(
        self, scheduling: FunctionResponseScheduling | str | None
    ) -> FunctionResponseScheduling | str | None:
        return scheduling if self.non_blocking and self._calls.scheduling else None


def end_of(error: BaseException) -> ToolEnd:
    """The end of a call whose response could not be sent."""
    if isinstance(error, ToolCallWasCancelled):
        return ToolEnd.CANCELLED
    return ToolEnd.ORPHANED if isinstance(error, ToolCallOrphaned) else ToolEnd.UNSENT


def may_answer(error: LiveProtocolError) -> bool:
    """Whether the response itself was at fault, so an error can be sent instead."""
    return isinstance(error, LocalProtocolError) and not isinstance(error, IllegalInState)


# --- all of them ------------------------------------------------------------------------------------------------


@final
class ToolScheduler:
    """The running and waiting calls of one session.

    Args:
        registry: The functions.
        concurrency: Maximum number of running calls.
        scheduling: See `Scheduling`.
        timeouts: See `ToolTimeouts`.
        report: Called with every outcome; if None, failures are logged.
        calls: The session's table of calls.

    Attributes:
        tasks: All unfinished calls, oldest first.
        registry: The functions.
    """

    def __init__(
        self,
        registry: ToolRegistry,
        concurrency: int,
        scheduling: Scheduling,
        timeouts: ToolTimeouts,
        *,
        report: Callable[[ToolOutcome], object] | None,
        calls: ToolCallTracker,
    ) -> None:
        self.tasks: dict[ToolTask, None] = {}
        self.registry = registry
        self._free = concurrency
        self._scheduling = scheduling
        self._timeouts = timeouts
        self._calls = calls
        self._report = report
        self._waiting: deque[ToolTask] = deque()

    def feed(self, event: Event) -> tuple[list[ToolTask], list[ToolTask]]:
        """React to an event; return the tasks to start and the tasks to stop."""
        if isinstance(event, ToolCallRequested):
            declared = self.registry.get(event.call.name or "")
            task = ToolTask(event, declared, self._scheduling, self._timeouts, self._calls)
            self.tasks[task] = None
            self._waiting.append(task)
            return self._next(), []
        if isinstance(event, ToolCallCancelled):
            return [], self._stop(ToolEnd.CANCELLED, lambda task: task.call.id == event.call_id)
        if isinstance(event, Reconnected):
            orphans, epoch = frozenset(event.orphaned_calls), event.epoch
            return [], self._stop(ToolEnd.ORPHANED, lambda task: task.epoch < epoch and key_of(task.call) in orphans)
        if isinstance(event, ConnectionClosed):
            return [], self.stop_all()
        return [], []

    def stop_all(self) -> list[ToolTask]:
        """Abandon all calls; return the tasks to stop."""
        return self._stop(ToolEnd.ABANDONED, lambda _: True)

    def timed_out(self, task: ToolTask) -> FunctionResponse | None:
        """Time out a task; return the error to send, or None if no answer is wanted any more."""
        if task not in self.tasks or task.stopped is not None:
            return None
        task.stopped = ToolEnd.TIMED_OUT
        task.failure = TimeoutError(f"no result within {task.timeout:g} seconds")
        return task.response(task.failure)

    def send_failed(self, task: ToolTask, error: LiveProtocolError) -> None:
        """Note that the response of `timed_out` could not be sent."""
        answered = isinstance(error, IllegalInState)  # the function finished at the last moment
        task.stopped, task.failure = (None, None) if answered else (end_of(error), error)

    def finished(self, task: ToolTask, end: ToolEnd, error: BaseException | None) -> list[ToolTask]:
        """Remove a finished task; return the tasks to start."""
        del self.tasks[task]
        self._free += 1
        self._report_outcome(task, task.stopped or end, task.failure or error)
        return self._next()

    def _next(self) -> list[ToolTask]:
        started = []
        while self._free and self._waiting:
            self._free -= 1
            started.append(self._waiting.popleft())
        return started

    def _stop(self, end: ToolEnd, chosen: Callable[[ToolTask], bool]) -> list[ToolTask]:
        stopped = [task for task in self.tasks if task.stopped is None and chosen(task)]
        for task in stopped:
            task.stopped = end
            if task in self._waiting:
                self._waiting.remove(task)
                del self.tasks[task]
                self._report_outcome(task, end, None)
        return [task for task in stopped if task in self.tasks]

    def _report_outcome(self, task: ToolTask, end: ToolEnd, error: BaseException | None) -> None:
        if self._report is None:
            if end in (ToolEnd.FAILED, ToolEnd.TIMED_OUT, ToolEnd.UNSENT):
                _logger.warning("tool call %s failed: %s", task.call.name, end, exc_info=error)
            return
        outcome = ToolOutcome(call=task.call, epoch=task.epoch, end=end, responses=task.responses, error=error)
        try:
            self._report(outcome)
        except Exception:
            _logger.exception("on_outcome failed")


class ToolRunnerBase:
    """Runs functions for the model; the base class of each runtime's ``ToolRunner``.

    Args:
        tools: The functions. Type hints and docstrings become their declarations; pass the runner in the setup's tools.
        concurrency: Maximum number of calls that run at a time; the others wait.
        scheduling: How results of non-blocking functions enter the conversation: for all functions, or by name.
        timeout: Seconds that a function may take from its start to its last result, for all functions or by name. After
            that the call is cancelled and the model gets an error; without an answer it may wait forever
            (wire.md#tool-calls).
        on_outcome: Called with a `ToolOutcome` when a call ends, in the thread or task where it ends. It must not
            block. If left out, failures are logged.

    Raises:
        InvalidMessage: A function cannot be declared.
        ValueError: ``concurrency`` is less than 1, or a timeout is not positive.

    Attributes:
        registry: The functions.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        concurrency: int = 16,
        scheduling: Scheduling = None,
        timeout: ToolTimeouts = None,
        on_outcome: Callable[[ToolOutcome], object] | None = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {concurrency!r}")
        for seconds in timeout.values() if isinstance(timeout, Mapping) else () if timeout is None else (timeout,):
            if not seconds > 0:
                raise ValueError(f"a timeout must be positive, not {seconds!r}")
        if isinstance(tools, ToolRegistry):
            registry = tools
        else:
            registry = ToolRegistry()
            for name, function in tools.items():
                entry = function.function if isinstance(function, DeclaredFunction) else function
                behavior = function.declaration.behavior if isinstance(function, DeclaredFunction) else None
                registry.add(entry, name=name, behavior=behavior)
        self.registry: ToolRegistry = registry
        self._concurrency = concurrency
        self._scheduling = scheduling
        self._timeouts = timeout
        self._on_outcome = on_outcome

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self.registry)}>"

    def _scheduler(self, calls: ToolCallTracker) -> ToolScheduler:
        return ToolScheduler(
            self.registry,
            self._concurrency,
            self._scheduling,
            self._timeouts,
            report=self._on_outcome,
            calls=calls,
        )
