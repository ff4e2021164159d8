"""Scripted servers: a script says step by step what the client must do and what the server sends.

Write a `Playbook` in Python, or load one from plain data (parsed YAML or JSON) with `Playbook.load`. A
`PlaybookConnection` plays it to one client. If the client does something else, it gets a close frame, and the test
gets a `PlaybookMismatch` with a diff::

    Playbook().expect_setup(tools=...).send_setup_complete().send_audio(2).expect_tool_response("call-1").drop()

Every expectation takes patterns. ``...`` matches anything that is present, and None matches absence. A type matches its
instances. A compiled regular expression is searched for. A dict or message is compared member by member (in either
casing; other members may have any value), a list item by item. Any other callable is called with the value. Everything
else must be equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self, Unpack, final

from live_protocol.errors import InvalidMessage
from live_protocol.messages import LiveClientMessage
from live_protocol.testing.playbook.connection import PlaybookConnection, PlaybookMismatch, PlaybookOptions
from live_protocol.testing.playbook.loading import Loader
from live_protocol.testing.playbook.matching import Exactly, brief, readable
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
from live_protocol.websocket.endings import check_close
from live_protocol.websocket.http11 import check_refusal

_NOBODY: Final = "playbook: no further client was expected\n"


@final
class Playbook(SendingSteps):
    """An immutable script for the server's end of one connection; each method returns a copy with one more step.

    The upgrade is accepted unless the script begins with `expect_upgrade` or `reject`. Messages that arrive while the
    script waits or sends are kept for the next expectation. After the last step the client may only end the connection.

    Args:
        strict: Whether an unknown, undecodable or misplaced message ends the connection, as in the service. If False,
            ``expect("unknown")`` and ``expect("undecodable")`` can be steps.
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
        """One line for each step."""
        return tuple(step.title for step in self._steps)

    @classmethod
    def load(cls, data: Mapping[str, Any] | Sequence[Any]) -> Self:
        """Build a playbook from plain data, such as parsed YAML or JSON.

        The data is a list of steps, or a mapping with ``steps`` and ``strict``. A step is the name of a method (in
        either casing, with underscores, hyphens or blanks), or a mapping of that name to its argument: a mapping for
        keyword arguments, a list for several positional ones, anything else for the first one. The text ``...`` is the
        pattern for anything that is present. The steps of ``repeat`` and ``any_order`` are lists too.

        Args:
            data: The data.

        Raises:
            InvalidPlaybook: A step is wrong; the error has its number.
        """
        playbook: Self = Loader(cls).load(data)
        return playbook

    # --- playing ------------------------------------------------------------------------------------------------

    def connection(self, **options: Unpack[PlaybookOptions]) -> PlaybookConnection:
        """Return a connection that plays this script from its beginning.

        Call `PlaybookConnection.check` at the end, or `PlaybookSequence.check` for all connections of a server.

        Args:
            **options: ``step_timeout``: seconds of silence after which an expectation fails, None (the default) waits
                forever. ``limits``: bounds; by default `Limits()` without a limit on what is sent. ``timeouts``:
                durations; by default `Timeouts()` without pings. ``compression``: whether to accept
                permessage-deflate. ``observer``: called with everything that passes, for example a
                `live_protocol.recording.Recorder`.
        """
        return PlaybookConnection(self._steps, strict=self._strict, **options)

    # --- expecting ----------------------------------------------------------------------------------------------

    def expect(self, what: type | str, /, **fields: Any) -> Self:
        """Expect one message of the client.

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
        """Expect the setup.

        Args:
            functions: Names of functions that it must declare; it may declare others too.
            instruction: Pattern for the text of its system instruction.
            fields: Patterns for its fields, for example ``tools=...`` for any tools.

        Raises:
            InvalidMessage: It has no such field.
        """
        names = [functions] if isinstance(functions, str) else list(functions)
        return self._with(expectation("setup", fields, instruction=instruction, functions=names or None))

    def expect_client_content(self, text: Any = None, **fields: Any) -> Self:
        """Expect turns of the client.

        Args:
            text: Pattern for the text of all turns together.
            fields: Patterns for its fields.

        Raises:
            InvalidMessage: It has no such field.
        """
        return self._with(expectation("client_content", fields, text=text))

    def expect_realtime_input(self, **fields: Any) -> Self:
        """Expect one piece of live input; for audio see `expect_audio`.

        Args:
            fields: Patterns for its fields, for example ``activity_start=True``.

        Raises:
            InvalidMessage: It has no such field.
        """
        return self._with(expectation("realtime_input", fields))

    def expect_audio(self, seconds: float) -> Self:
        """Expect audio, in any number of consecutive messages.

        Args:
            seconds: Minimum length; the step ends with the message that reaches it.

        Raises:
            InvalidMessage: ``seconds`` is not a positive number.
        """
        check_seconds("seconds", seconds, least=1e-9)
        return self._with(ExpectAudio(seconds))

    def expect_tool_response(self, *ids: str, **fields: Any) -> Self:
        """Expect results of calls.

        Args:
            ids: Ids of the calls that this message answers, in any order; any ids if left out.
            fields: Patterns for its fields, for example
                ``function_responses=[{"response": {"output": "ok"}}]``.

        Raises:
            InvalidMessage: It has no such field, or an id is not a string.
        """
        for position, name in enumerate(ids):
            if not isinstance(name, str):
                raise InvalidMessage(
                    f"ids[{position}]",
                    f"expected the id of a call, got {brief(name)}; "
                    "to match results, pass function_responses=[{'response': ...}]",
                )
        return self._with(expectation("tool_response", fields, ids=list(ids) or None))

    def expect_context_update(self, **fields: Any) -> Self:
        """Expect new instructions or tools.

        Args:
            fields: Patterns for its fields.

        Raises:
            InvalidMessage: It has no such field.
        """
        return self._with(expectation("context_update", fields))

    def expect_message(self, message: LiveClientMessage) -> Self:
        """Expect exactly this message, without missing or extra members; media and redacted values may differ.

        Args:
            message: The message, with one member.

        Raises:
            InvalidMessage: It has no member.
        """
        value = readable(message)
        for key, member in value.items():
            return self._with(Expect(expectation(key, {}).kind, Exactly(member)))
        raise InvalidMessage("message", "has no member")

    def expect_upgrade(self, *, path: Any = None, headers: Mapping[str, Any] | None = None) -> Self:
        """Expect the request that opens the connection; only as the first step.

        Args:
            path: Pattern for its path, without the query.
            headers: Patterns for header fields by name, for example ``{"x-goog-api-key": ...}``.

        Raises:
            InvalidMessage: It is not the first step.
        """
        fields = {name.lower(): pattern for name, pattern in (headers or {}).items()}
        return self._with(ExpectUpgrade(path, fields))

    def expect_close(self, code: Any = ..., reason: Any = None) -> Self:
        """Expect the client to end the connection.

        Args:
            code: Pattern for its close code; 1006 means an end without a close frame.
            reason: Pattern for its reason.
        """
        return self._with(ExpectClose(code, reason))

    def any_order(self, *playbooks: Playbook) -> Self:
        """Expect several things in any order.

        Args:
            playbooks: Playbooks of expectations only.

        Raises:
            InvalidMessage: One has another step.
        """
        steps = [step for playbook in playbooks for step in playbook._steps]
        expectations = [step for step in steps if isinstance(step, Expectation)]
        if len(expectations) < len(steps) or not steps:
            raise InvalidMessage("any_order", "takes playbooks that expect messages, and nothing else")
        return self._with(AnyOrder(tuple(expectations)))

    def ignore(self, *kinds: type | str) -> Self:
        """Accept these messages at any time from here on; an expectation of one still applies.

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
            seconds: Duration.

        Raises:
            InvalidMessage: It is not a number of seconds.
        """
        check_seconds("seconds", seconds)
        return self._with(WaitStep(seconds))

    def close(self, code: int = 1000, reason: str = "") -> Self:
        """Close the connection; this ends the script.

        Args:
            code: Close code.
            reason: Reason, at most 123 bytes.

        Raises:
            InvalidMessage: RFC 6455 does not allow the code or the reason.
        """
        check_close(code, reason)
        return self._with(CloseStep(code, reason))

    def drop(self) -> Self:
        """End the connection without a close frame; earlier messages still arrive. This ends the script."""
        return self._with(DropStep())

    def reject(self, status: int = 503, *, headers: Mapping[str, str] | None = None, body: str = "") -> Self:
        """Refuse the upgrade, as the first step or after `expect_upgrade`; this ends the script.

        Args:
            status: HTTP status, 200 to 599.
            headers: Header fields.
            body: Body.

        Raises:
            InvalidMessage: It is elsewhere, or the response is not allowed.
        """
        fields = check_refusal(status, tuple((headers or {}).items()), body.encode())
        return self._with(RejectStep(status, fields, body.encode()))

    def label(self, text: str) -> Self:
        """Add a heading for reports.

        Args:
            text: Its text.
        """
        return self._with(LabelStep(text))

    def then(self, other: Playbook) -> Self:
        """Append all steps of another playbook.

        Args:
            other: The other one.

        Raises:
            InvalidMessage: A step is not allowed here.
        """
        return self._with(*other._steps)

    def repeat(self, times: int, other: Playbook) -> Self:
        """Append all steps of another playbook several times.

        Args:
            times: Number of times.
            other: The other one.

        Raises:
            InvalidMessage: A step is not allowed here, or ``times`` is not a natural number.
        """
        if not isinstance(times, int) or times < 0:
            raise InvalidMessage("times", "must be a number of times")
        return self._with(*other._steps * times)

    # --- inside -------------------------------------------------------------------------------------------------

    def _with(self, *steps: Step) -> Self:
        playbook = type(self)(strict=self._strict)
        playbook._steps = check_order((*self._steps, *steps))
        return playbook


@final
class PlaybookSequence:
    """Playbooks for the connections of one server, in the order in which clients connect.

    Args:
        playbooks: One for each connection; further clients are refused.
        repeat: Whether to play the last one for every further client instead.
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
        """Whether every playbook has ended: all its steps are done, or its connection has failed or closed."""
        return len(self._runs) >= len(self._playbooks) and all(
            run.finished or run.mismatch is not None or run.close_info is not None for run in self._runs
        )

    def connection(self, **options: Unpack[PlaybookOptions]) -> PlaybookConnection:
        """Return the next connection.

        Args:
            **options: As for `Playbook.connection`.
        """
        at = len(self._runs)
        if at >= len(self._playbooks) and self._repeat:
            at = len(self._playbooks) - 1
        playbook = self._playbooks[at] if at < len(self._playbooks) else Playbook().reject(503, body=_NOBODY)
        run = playbook.connection(**options)
        self._runs.append(run)
        return run

    def check(self) -> None:
        """Check that the clients followed all scripts to their ends.

        Raises:
            PlaybookMismatch: One did not, or there were too few or too many connections.
        """
        for run in self._runs:
            run.check()
        actual, expected = len(self._runs), len(self._playbooks)
        if actual < expected:
            raise PlaybookMismatch(0, [f"no client made connection {actual + 1} of {expected}"])
        if actual > expected and not self._repeat:
            raise PlaybookMismatch(0, [f"clients made {actual} connections, there are playbooks for {expected}"])
