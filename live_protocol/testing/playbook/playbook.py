"""Scripted servers: what a client has to do, step by step, and what it gets for it.

A `Playbook` says it in Python, `Playbook.load` takes the same as plain data (from YAML or JSON), and a
`PlaybookConnection` plays it to one client. A client that does something else is told so by a close frame, and the
test by a `PlaybookMismatch` with a diff::

    Playbook().expect_setup(tools=...).send_setup_complete().send_audio(2).expect_tool_response("call-1").drop()

Patterns, wherever something is expected: ``...`` is anything but absence, None is absence, a type is an instance of
it, a compiled regular expression is searched for, a dict or a message is matched member by member (either casing;
members it does not name may be anything), a list item by item, any other callable is asked, everything else has to be
equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self, final

from live_protocol.errors import InvalidMessage
from live_protocol.limits import Limits
from live_protocol.messages import LiveClientMessage
from live_protocol.testing.playbook.connection import PlaybookConnection, PlaybookMismatch
from live_protocol.testing.playbook.loading import Loader
from live_protocol.testing.playbook.matching import Exactly, shown
from live_protocol.testing.playbook.patterns import check_order, check_seconds, expectation, kinds_of
from live_protocol.testing.playbook.sending import SendingSteps
from live_protocol.testing.playbook.steps import (
    AnyOrder,
    CloseStep,
    DropStep,
    Expect,
    Expectation,
    ExpectAudio,
    ExpectClose,
    ExpectUpgrade,
    IgnoreStep,
    LabelStep,
    RejectStep,
    Step,
    WaitStep,
)
from live_protocol.timing import Timeouts
from live_protocol.websocket.endings import check_close
from live_protocol.websocket.http11 import check_refusal
from live_protocol.websocket.link import Observer

__all__ = ["Playbook", "PlaybookSequence"]

_NOBODY: Final = "playbook: no further client was expected\n"


@final
class Playbook(SendingSteps):
    """A script for the server's end of one connection: a value. Each method gives a new one with one more step.

    The upgrade is accepted unless the script begins with `expect_upgrade` or `reject`. What a client says while the
    script waits or sends is kept for the next expectation; after the last step nothing more may come but the end.

    Args:
        strict: End the connection, as the service does, at a message that is unknown, undecodable or out of place;
            otherwise ``expect("unknown")`` and ``expect("undecodable")`` can be steps.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self._strict = strict
        self._steps: tuple[Step, ...] = ()

    def __repr__(self) -> str:
        return f"<Playbook of {len(self._steps)} steps>"

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def titles(self) -> Sequence[str]:
        """What the steps are, one line each."""
        return tuple(step.title for step in self._steps)

    @classmethod
    def load(cls, data: Mapping[str, Any] | Sequence[Any]) -> Self:
        """A playbook from plain data, such as YAML or JSON gives.

        It is a list of steps, or a mapping with ``steps`` and ``strict``. A step is the name of a method (in either
        casing, with underscores, hyphens or blanks), or a mapping of that name to its argument: a mapping for keyword
        arguments, a list for several positional ones, anything else for the first. The text ``...`` as a pattern means
        anything but absence. Steps of ``repeat`` and ``any_order`` are lists themselves.

        Args:
            data: The data.

        Returns:
            The playbook.

        Raises:
            InvalidPlaybook: With the number of the step and what is wrong with it.
        """
        loader = Loader(cls)
        made: Self = loader.load(data)
        return made

    # --- playing ------------------------------------------------------------------------------------------------

    def connection(
        self,
        *,
        step_timeout: float | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        compression: bool = False,
        observer: Observer | None = None,
    ) -> PlaybookConnection:
        """One connection that plays this script from its beginning.

        `PlaybookConnection.check` tells how it went, and `PlaybookSequence.check` how all connections of a server did.

        Args:
            step_timeout: Seconds of silence after which an expectation has failed; None waits for ever.
            limits: Bounds; the defaults, but for the size of what is sent, if left out.
            timeouts: Durations; the defaults without pings if left out.
            compression: Whether to accept permessage-deflate.
            observer: Told of everything that passes, for example a `live_protocol.recording.Recorder`.
        """
        return PlaybookConnection(
            self._steps,
            strict=self._strict,
            step_timeout=step_timeout,
            limits=limits,
            timeouts=timeouts,
            compression=compression,
            observer=observer,
        )

    # --- expecting ----------------------------------------------------------------------------------------------

    def expect(self, what: type | str, /, **fields: Any) -> Self:
        """One message of the client.

        Args:
            what: `SetupReceived`, `ClientContentReceived` ..., or ``"setup"``, ``"client_content"``,
                ``"realtime_input"``, ``"tool_response"``, ``"context_update"``; with ``strict=False`` also
                `UnknownMessage` and `Undecodable`.
            fields: Patterns for its fields, in either casing.

        Raises:
            InvalidMessage: No such message, or it has no such field.
        """
        return self._with(expectation(what, fields))

    def expect_setup(self, *, functions: Iterable[str] = (), instruction: Any = None, **fields: Any) -> Self:
        """The setup.

        Args:
            functions: Names of functions that it has to declare; it may declare others too.
            instruction: Pattern for the text of its system instruction.
            fields: Patterns for its fields, for example ``tools=...`` for any tools.

        Raises:
            InvalidMessage: It has no such field.
        """
        names = [functions] if isinstance(functions, str) else list(functions)
        return self._with(expectation("setup", fields, instruction=instruction, functions=names or None))

    def expect_client_content(self, text: Any = None, **fields: Any) -> Self:
        """Turns of the client.

        Args:
            text: Pattern for the text of all turns together.
            fields: Patterns for its fields.

        Raises:
            InvalidMessage: It has no such field.
        """
        return self._with(expectation("client_content", fields, text=text))

    def expect_realtime_input(self, **fields: Any) -> Self:
        """One piece of live input; for audio see `expect_audio`.

        Args:
            fields: Patterns for its fields, for example ``activity_start=True``.

        Raises:
            InvalidMessage: It has no such field.
        """
        return self._with(expectation("realtime_input", fields))

    def expect_audio(self, seconds: float) -> Self:
        """So much audio, in any number of messages one after the other.

        Args:
            seconds: How much at least; more is taken only as far as the last message goes.

        Raises:
            InvalidMessage: Not a positive number.
        """
        check_seconds("seconds", seconds, least=1e-9)
        return self._with(ExpectAudio(seconds))

    def expect_tool_response(self, *ids: str, **fields: Any) -> Self:
        """Results of calls.

        Args:
            ids: Ids of the calls that this message answers, in any order; none means any.
            fields: Patterns for its fields, for example
                ``function_responses=[{"response": {"output": "ok"}}]``.

        Raises:
            InvalidMessage: It has no such field.
        """
        return self._with(expectation("tool_response", fields, ids=list(ids) or None))

    def expect_context_update(self, **fields: Any) -> Self:
        """New instructions or tools.

        Args:
            fields: Patterns for its fields.

        Raises:
            InvalidMessage: It has no such field.
        """
        return self._with(expectation("context_update", fields))

    def expect_message(self, message: LiveClientMessage) -> Self:
        """Exactly this message, with nothing missing and nothing more; media and what was redacted may differ.

        Args:
            message: The message, of one member.

        Raises:
            InvalidMessage: It has none.
        """
        value = shown(message)
        for key, member in value.items():
            return self._with(Expect(expectation(key, {}).kind, Exactly(member)))
        raise InvalidMessage("message", "has no member")

    def expect_upgrade(self, *, path: Any = None, headers: Mapping[str, Any] | None = None) -> Self:
        """The request that opens the connection; only as the first step.

        Args:
            path: Pattern for its path, without the query.
            headers: Patterns for header fields by name, for example ``{"x-goog-api-key": ...}``.

        Raises:
            InvalidMessage: It is not the first step.
        """
        fields = {name.lower(): pattern for name, pattern in (headers or {}).items()}
        return self._with(ExpectUpgrade(path, fields))

    def expect_close(self, code: Any = ..., reason: Any = None) -> Self:
        """The end of the connection, by the client.

        Args:
            code: Pattern for its close code; 1006 stands for an end without a close frame.
            reason: Pattern for its reason.
        """
        return self._with(ExpectClose(code, reason))

    def any_order(self, *playbooks: Playbook) -> Self:
        """Expectations in whatever order they are met.

        Args:
            playbooks: Each holds expectations only.

        Raises:
            InvalidMessage: One holds something else.
        """
        steps = [step for playbook in playbooks for step in playbook._steps]
        expectations = [step for step in steps if isinstance(step, Expectation)]
        if len(expectations) < len(steps) or not steps:
            raise InvalidMessage("any_order", "takes playbooks that expect messages, and nothing else")
        return self._with(AnyOrder(tuple(expectations)))

    def ignore(self, *kinds: type | str) -> Self:
        """From here on these may come at any time; where one is expected, it still counts.

        Args:
            kinds: As for `expect`, for example ``"realtime_input"`` for a microphone that never stops.

        Raises:
            InvalidMessage: No such message.
        """
        return self._with(IgnoreStep(kinds_of(kinds)))

    # --- everything else ----------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> Self:
        """Do nothing for some time.

        Args:
            seconds: How long.

        Raises:
            InvalidMessage: Not a number of seconds.
        """
        check_seconds("seconds", seconds)
        return self._with(WaitStep(seconds))

    def close(self, code: int = 1000, reason: str = "") -> Self:
        """Close the connection; ends the script.

        Args:
            code: Close code.
            reason: Reason, at most 123 bytes.

        Raises:
            InvalidMessage: They may not be sent.
        """
        check_close(code, reason)
        return self._with(CloseStep(code, reason))

    def drop(self) -> Self:
        """End the connection without a close frame; what was sent before still arrives. Ends the script."""
        return self._with(DropStep())

    def reject(self, status: int = 503, *, headers: Mapping[str, str] | None = None, body: str = "") -> Self:
        """Refuse the upgrade; stands first, or behind `expect_upgrade`, and ends the script.

        Args:
            status: HTTP status, 200 to 599.
            headers: Header fields.
            body: Body.

        Raises:
            InvalidMessage: It stands elsewhere, or may not be sent.
        """
        fields = check_refusal(status, tuple((headers or {}).items()), body.encode())
        return self._with(RejectStep(status, fields, body.encode()))

    def label(self, text: str) -> Self:
        """A heading for reports.

        Args:
            text: Its text.
        """
        return self._with(LabelStep(text))

    def then(self, other: Playbook) -> Self:
        """All steps of another playbook.

        Args:
            other: The other one.

        Raises:
            InvalidMessage: They have no place here.
        """
        return self._with(*other._steps)

    def repeat(self, times: int, other: Playbook) -> Self:
        """All steps of another playbook, several times.

        Args:
            times: How often.
            other: The other one.

        Raises:
            InvalidMessage: They have no place here, or ``times`` is no number.
        """
        if not isinstance(times, int) or times < 0:
            raise InvalidMessage("times", "must be a number of times")
        return self._with(*other._steps * times)

    # --- inside -------------------------------------------------------------------------------------------------

    def _with(self, *steps: Step) -> Self:
        made = type(self)(strict=self._strict)
        made._steps = check_order((*self._steps, *steps))
        return made


@final
class PlaybookSequence:
    """Playbooks for the connections of one server, in the order in which clients come.

    Args:
        playbooks: The first for the first connection, and so on; a further client is refused.
        repeat: Play the last one again for every further client instead.
    """

    def __init__(self, *playbooks: Playbook, repeat: bool = False) -> None:
        self._playbooks = playbooks
        self._repeat = repeat
        self._runs: list[PlaybookConnection] = []

    @property
    def connections(self) -> Sequence[PlaybookConnection]:
        """The connections so far."""
        return tuple(self._runs)

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come: every playbook is played to its end, or its connection is over."""
        return len(self._runs) >= len(self._playbooks) and all(
            run.finished or run.mismatch is not None or run.close_info is not None for run in self._runs
        )

    def connection(
        self,
        *,
        step_timeout: float | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        compression: bool = False,
        observer: Observer | None = None,
    ) -> PlaybookConnection:
        """The next connection; the arguments are those of `Playbook.connection`."""
        at = len(self._runs)
        if at >= len(self._playbooks) and self._repeat:
            at = len(self._playbooks) - 1
        playbook = self._playbooks[at] if at < len(self._playbooks) else Playbook().reject(503, body=_NOBODY)
        run = playbook.connection(
            step_timeout=step_timeout, limits=limits, timeouts=timeouts, compression=compression, observer=observer
        )
        self._runs.append(run)
        return run

    def check(self) -> None:
        """Raise the first thing that went wrong; see `PlaybookConnection.check`.

        Raises:
            PlaybookMismatch: A mismatch, a connection left early, too few or too many connections.
        """
        for run in self._runs:
            run.check()
        came, there = len(self._runs), len(self._playbooks)
        if came < there:
            raise PlaybookMismatch(0, [f"connection {came + 1} of {there} was never made: nobody connected"])
        if came > there and not self._repeat:
            raise PlaybookMismatch(0, [f"{came} connections were made, there are playbooks for {there}"])
