"""What every ``ToolRunner`` shares: which call starts which function, what is answered, and what became of it.

Use the ``ToolRunner`` of your runtime's module. No I/O in here.
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
"""A `ToolRegistry`, or functions by the names they are declared by."""
Scheduling: TypeAlias = FunctionResponseScheduling | str | Mapping[str, FunctionResponseScheduling | str] | None
"""How results of non-blocking functions enter the conversation: for all of them, or by name."""
ToolTimeouts: TypeAlias = float | Mapping[str, float] | None
"""Seconds that a function gets: all of them, or by name; None is for ever."""

END: Final = object()
"""What a generator gives that has no more."""


@final
class ToolEnd(enum.StrEnum):
    """What became of a call."""

    ANSWERED = "ANSWERED"
    """The function's result was sent."""
    FAILED = "FAILED"
    """An error was sent: the function raised, does not exist, or got arguments that do not fit."""
    CANCELLED = "CANCELLED"
    """The server cancelled it; nothing was sent after that."""
    TIMED_OUT = "TIMED_OUT"
    """An error was sent, as the function took longer than it was given."""
    ORPHANED = "ORPHANED"
    """Its connection has ended and nobody waits for the answer any more; none was sent."""
    UNSENT = "UNSENT"
    """The answer could not be sent; the outcome's ``error`` says why."""
    ABANDONED = "ABANDONED"
    """The session ended, or the stream was left, before there was an answer."""


@final
@attrs.frozen(kw_only=True)
class ToolOutcome:
    """What became of one call.

    Attributes:
        call: The call.
        epoch: Connection it came on, where connections follow one another; otherwise 0.
        end: What became of it.
        responses: How many responses were sent.
        error: What the function raised, or what sending did; a `TimeoutError` where it took too long.
    """

    call: FunctionCall
    epoch: int
    end: ToolEnd
    responses: int = 0
    error: BaseException | None = None


@final
@attrs.frozen
class ToolResult:
    """What a function may return, or yield, to say more than its result.

    Attributes:
        value: The result.
        scheduling: How it enters the conversation; for non-blocking functions only.
        parts: Media results.
    """

    value: Any
    scheduling: FunctionResponseScheduling | str | None = attrs.field(default=None, kw_only=True)
    parts: Sequence[FunctionResponsePart] = attrs.field(default=(), kw_only=True)


# --- one call ---------------------------------------------------------------------------------------------------


class ToolTask:
    """One call on its way to an answer.

    Attributes:
        call: The call.
        epoch: Connection it came on.
        stopped: Why nothing is to be sent any more, None while an answer is wanted.
        failure: Why the function was given up, None while it was not.
        responses: How many were sent.
        declared: The function, None where there is none.
        timeout: Seconds the function gets; None for ever.
        handle: What the runtime cancels it by.
        watch: What the runtime stops the clock by.
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
        """Whether the model goes on meanwhile."""
        return self.declared is not None and self.declared.declaration.behavior == Behavior.NON_BLOCKING

    @property
    def sends_series(self) -> bool:
        """Whether there may be several responses; only Gemini takes ``will_continue``."""
        return self.non_blocking and self._calls.backend is Backend.GEMINI

    @property
    def in_loop(self) -> bool:
        """Whether the function is one to be called in an event loop."""
        function: Any = self.declared.function if self.declared is not None else None
        while isinstance(function, functools.partial):
            function = function.func
        called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
        return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)

    def bind(self, registry: ToolRegistry) -> Callable[[], Any]:
        """The function with its arguments.

        Raises:
            InvalidToolCall: There is no such function, or the arguments do not fit.
        """
        declared = self.declared = registry.find(self.call)
        args, kwargs = declared.bind(self.call)
        return functools.partial(declared.function, *args, **kwargs)

    def response(self, value: Any, *, more: bool = False) -> FunctionResponse:
        """The answer that a result makes.

        Raises:
            InvalidMessage: It has no form in JSON.
        """
        said = value if isinstance(value, ToolResult) else ToolResult(value)
        return respond(
            self.call,
            said.value,
            scheduling=self._scheduled(said.scheduling or self._scheduling),
            will_continue=True if more else None,
            parts=said.parts,
        )

    def end_of_stream(self) -> FunctionResponse:
        """What says that there are no more results, without making the model speak."""
        return FunctionResponse(
            id=self.call.id,
            name=self.call.name,
            response={},
            scheduling=self._scheduled(FunctionResponseScheduling.SILENT),
            will_continue=False,
        )

    def combined_response(self, values: list[Any]) -> FunctionResponse:
        """The one answer that several results make where the model takes no series.

        Raises:
            InvalidMessage: One has no form in JSON.
        """
        said = [value if isinstance(value, ToolResult) else ToolResult(value) for value in values]
        scheduling = next((one.scheduling for one in reversed(said) if one.scheduling is not None), None)
        parts = [part for one in said for part in one.parts]
        return self.response(ToolResult([one.value for one in said], scheduling=scheduling, parts=parts))

    def _scheduled(
        self, scheduling: FunctionResponseScheduling | str | None
    ) -> FunctionResponseScheduling | str | None:
        return scheduling if self.non_blocking and self._calls.scheduling else None


def end_of(error: BaseException) -> ToolEnd:
    """What it means that a response could not be sent."""
    if isinstance(error, ToolCallWasCancelled):
        return ToolEnd.CANCELLED
    return ToolEnd.ORPHANED if isinstance(error, ToolCallOrphaned) else ToolEnd.UNSENT


def may_answer(error: LiveProtocolError) -> bool:
    """Whether an error can be sent in place of a response that could not: that response was at fault."""
    return isinstance(error, LocalProtocolError) and not isinstance(error, IllegalInState)


# --- all of them ------------------------------------------------------------------------------------------------


@final
class ToolScheduler:
    """The calls of one stream: which are worked on, which wait for their turn.

    Args:
        registry: The functions.
        concurrency: How many are worked on at a time.
        scheduling: See `Scheduling`.
        timeouts: See `ToolTimeouts`.
        report: Told of every outcome; None to log failures instead.
        calls: The session's table of calls.

    Attributes:
        tasks: All that are not over, oldest first.
        registry: As given.
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
        """Take in an event; gives the jobs to start now and those to stop."""
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
        """Nobody wants an answer any more; gives the jobs to stop."""
        return self._stop(ToolEnd.ABANDONED, lambda _: True)

    def timed_out(self, task: ToolTask) -> FunctionResponse | None:
        """A job had its time: what the model is told in place of a result, None where nothing is to be told."""
        if task not in self.tasks or task.stopped is not None:
            return None
        task.stopped = ToolEnd.TIMED_OUT
        task.failure = TimeoutError(f"no result within {task.timeout:g} seconds")
        return task.response(task.failure)

    def send_failed(self, task: ToolTask, error: LiveProtocolError) -> None:
        """What `timed_out` gave could not be sent."""
        answered = isinstance(error, IllegalInState)  # by the function itself, in the last moment
        task.stopped, task.failure = (None, None) if answered else (end_of(error), error)

    def finished(self, task: ToolTask, end: ToolEnd, error: BaseException | None) -> list[ToolTask]:
        """A job is over; gives those to start now."""
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
                _logger.warning("the call of %s came to nothing: %s", task.call.name, end, exc_info=error)
            return
        outcome = ToolOutcome(call=task.call, epoch=task.epoch, end=end, responses=task.responses, error=error)
        try:
            self._report(outcome)
        except Exception:
            _logger.exception("on_outcome failed")


class ToolRunnerBase:
    """What runs functions for a model; the ``ToolRunner`` of each runtime is one.

    Args:
        tools: The functions. Hints and docstrings make their declarations; pass `tool` on in the setup.
        concurrency: How many calls are worked on at a time; the others wait for their turn.
        scheduling: How results of non-blocking functions enter the conversation: for all of them, or by name.
        timeout: Seconds that a function gets from its beginning to its last result, all of them or by name. After that
            the model is told that there is no result, and the call is cancelled; a model may wait for ever for an
            answer that never comes (wire.md#tool-calls).
        on_outcome: Called with a `ToolOutcome` when a call is over, where it was over; if left out, failures are
            logged. It must not wait.

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
