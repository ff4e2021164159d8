"""The server's end of one connection, which plays a playbook to its client.

Theory of operation. The connection holds a position in its list of steps. Three things move it: the request for the
upgrade (`_upgrade`), a message of the client, and time. All of them call `_play`, which runs steps until one has to
wait: a `WaitStep` waits for its time, an expectation for a message. After the last step every message is a mismatch.

Script time is not clock time. A step that waits counts from `_at`, the moment at which the step before it ended, not
from the reading at which `advance` happened to be called. So a script behaves the same however coarse the clock is.

Messages are queued in `_received` while the script waits or sends, and are compared when an expectation reads them.
The first mismatch ends the script: `_fail` keeps the report for `check` and closes the connection with its first line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, TypedDict, Unpack, cast, final

from live_protocol.close_info import CloseInfo
from live_protocol.codec.codec import Codec
from live_protocol.connection.live_connection import LiveConnection
from live_protocol.connection.wrappers import AutomaticConnection, ByteConnectionWrapper
from live_protocol.emulator.validation import cut_reason
from live_protocol.endpoint import match_target
from live_protocol.errors import IllegalInState, LiveProtocolError, RemoteProtocolError
from live_protocol.events import ConnectionClosed, Event, UpgradeRequested
from live_protocol.limits import Limits
from live_protocol.messages import Backend, LiveServerMessage
from live_protocol.states import ConnectionState
from live_protocol.testing.playbook.matching import diff
from live_protocol.testing.playbook.steps import (
    CloseStep,
    DropStep,
    Expectation,
    ExpectClose,
    ExpectUpgrade,
    IgnoreStep,
    LabelStep,
    ReceivedEvent,
    RejectStep,
    SendRawStep,
    SendStep,
    Step,
    StepMatcher,
    StepMismatch,
    WaitStep,
    as_json,
    event_kind,
    is_received,
)
from live_protocol.timing import Timeouts
from live_protocol.websocket.link_core import Observer

_LIMITS: Final = Limits(max_send=1 << 30)  # a script may send messages that are too large
_TEXT: Final = (("Content-Type", "text/plain; charset=utf-8"),)


class PlaybookMismatch(LiveProtocolError, AssertionError):
    """The client did not do what its playbook expects; the text shows the difference.

    It is also an `AssertionError`, so test runners report it as a failed test.

    Attributes:
        step: Number of the step that was not met, from 1. It is one more than the number of steps if something came
            after the last one, and 0 if no client connected.
        why: One line for each difference.
        diff: Unified diff of the expected and the received message, as JSON without secrets; may be empty.
    """

    __module__ = "live_protocol.testing"  # test reports show it

    def __init__(self, step: int, why: Sequence[str], difference: str = "", steps: str = "") -> None:
        where = f"step {step}: " if step else ""
        super().__init__("\n\n".join(filter(None, (where + "\n  ".join(why), difference, steps))))
        self.step = step
        self.why: tuple[str, ...] = tuple(why)
        self.diff = difference


class PlaybookOptions(TypedDict, total=False):
    """Keyword arguments for one connection of a playbook.

    Attributes:
        step_timeout: Seconds of silence after which an expectation fails; None waits forever.
        limits: Bounds; by default `Limits()` without a limit on what is sent.
        timeouts: Durations; by default `Timeouts()` without pings.
        compression: Whether to accept permessage-deflate.
        observer: Called with everything that passes, for example a `live_protocol.recording.Recorder`.
    """

    step_timeout: float | None
    limits: Limits | None
    timeouts: Timeouts | None
    compression: bool
    observer: Observer | None


@final
class PlaybookConnection(AutomaticConnection[LiveConnection], ByteConnectionWrapper[LiveConnection]):
    """The server's end of one connection, with the commands of `LiveConnection`; it plays its script by itself.

    Drive it like any connection, for example with ``serve(connection_factory=playbook.connection)`` or in a
    `live_protocol.testing.Pair`. `next_event` and `advance` play the script. If the client does something unexpected,
    the connection closes with 1008 and a reason that begins with ``playbook:``, and `mismatch` has the details.
    """

    def __init__(self, steps: Sequence[Step], *, strict: bool = True, **options: Unpack[PlaybookOptions]) -> None:
        """Use `Playbook.connection` instead."""
        machine = LiveConnection.server(
            limits=options.get("limits") or _LIMITS,
            timeouts=options.get("timeouts") or Timeouts(ping_interval=None),
            compression=options.get("compression", False),
            strict=strict,
            observer=options.get("observer"),
        )
        super().__init__(machine)
        self._steps = tuple(steps)
        self._step_timeout = options.get("step_timeout")
        self._codec = Codec()
        self._position = 0
        self._received: deque[ReceivedEvent] = deque()
        self._ignored: frozenset[str] = frozenset()
        self._matcher: StepMatcher | None = None
        self._now: float | None = None
        self._at: float | None = None  # script time: when the previous step ended
        self._since: float | None = None  # when the present step began to wait
        self._mismatch: PlaybookMismatch | None = None

    def __repr__(self) -> str:
        return f"<PlaybookConnection {self.state} step {self._position + 1} of {len(self._steps)}>"

    # --- the script ---------------------------------------------------------------------------------------------

    @property
    def mismatch(self) -> PlaybookMismatch | None:
        """The first thing that the client did wrong, or None."""
        return self._mismatch

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self._position == len(self._steps) and self._mismatch is None

    @property
    def steps(self) -> str:
        """The script; marks show the steps that are done and the present one."""
        width = len(str(len(self._steps)))
        lines = ["steps:"]
        for number, step in enumerate(self._steps, 1):
            mark = "ok" if number <= self._position else ">>" if number == self._position + 1 else "  "
            lines.append(f"  {mark} {number:>{width}} {step.title}")
        return "\n".join(lines)

    def check(self) -> None:
        """Check that the client followed the script to its end.

        Raises:
            PlaybookMismatch: It did not.
        """
        if self._mismatch is not None:
            raise self._mismatch.with_traceback(None)
        if self._position < len(self._steps):
            raise PlaybookMismatch(self._position + 1, [f"{self._present} is still to come"], steps=self.steps)

    # --- the clock ----------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Move the clock, and run the steps that are due by then.

        Args:
            now: Reading of any monotonic clock, in seconds. An earlier reading than the last one changes nothing.
        """
        self.machine.advance(now)
        self._now = max(self._now if self._now is not None else now, now)
        if self._at is None:
            self._at = self._now
        self._play()

    def next_deadline(self) -> float | None:
        """The time of the next `advance` that the connection or the script needs, or None."""
        times = (self.machine.next_deadline(), self._due if self._playing else None)
        return min((time for time in times if time is not None), default=None)

    # --- playing ------------------------------------------------------------------------------------------------

    @property
    def _playing(self) -> bool:
        return self.machine.state is ConnectionState.OPEN and self._mismatch is None

    @property
    def _step(self) -> Step | None:
        return self._steps[self._position] if self._position < len(self._steps) else None

    @property
    def _present(self) -> str:
        """The present step, in words."""
        return repr(self._step.title) if self._step is not None else "the end of the playbook"

    @property
    def _due(self) -> float | None:
        """When the present step acts on the clock."""
        if self._since is None:
            return None
        seconds = self._step.seconds if isinstance(self._step, WaitStep) else self._step_timeout
        return None if seconds is None else self._since + seconds

    def _react(self, event: Event) -> None:
        self._at = self._now
        if isinstance(event, UpgradeRequested):
            if self.machine.state is ConnectionState.CONNECTING:
                self._upgrade(event)
        elif isinstance(event, ConnectionClosed):
            self._closed(event.info)
        elif is_received(event) and self._playing:
            self._received.append(cast("ReceivedEvent", event))
            self._play()

    def _next(self) -> None:
        self._position += 1
        self._matcher = self._since = None

    def _skip(self) -> None:
        """Run labels and ignores, which take no time."""
        while isinstance(step := self._step, (LabelStep, IgnoreStep)):
            if isinstance(step, IgnoreStep):
                self._ignored |= step.kinds
            self._next()

    def _upgrade(self, event: UpgradeRequested) -> None:
        self._skip()
        step = self._step
        if isinstance(step, ExpectUpgrade):
            mismatch = step.mismatch(event)
            if mismatch is not None:
                self._fail(mismatch)
                return
            self._next()
            self._skip()
            step = self._step
        if isinstance(step, RejectStep):
            self._next()
            self.machine.reject(step.status, step.headers, step.body)
            return
        route = match_target(event.target)
        self._codec = Codec(route.backend if route else Backend.GEMINI)
        self._accept()
        self._play()

    def _play(self) -> None:
        """Run steps until one has to wait."""
        while self._playing:
            self._skip()
            match self._step:
                case SendStep(messages=messages):
                    self._next()
                    for message in messages:
                        self._send(message)
                case SendRawStep(data=data):
                    self._next()
                    self.machine.send_raw(data)
                case CloseStep(code=code, reason=reason):
                    self._next()
                    self.machine.close(code, reason)
                case DropStep():
                    self._next()
                    self._break_transport("dropped by the playbook")
                case WaitStep():
                    if not self._waited():
                        return
                    self._next()
                case step:
                    if not self._listen(step):
                        return

    def _send(self, message: LiveServerMessage) -> None:
        try:
            self.machine.send(message)
        except IllegalInState:
            # A script may send a message that the protocol does not allow here.
            self.machine.send_raw(self._codec.encode_server(message))

    def _waited(self) -> bool:
        """Whether the present step's time is over."""
        if self._since is None:
            self._since = self._at
        due = self._due
        if due is None or self._now is None or self._now < due:
            return False
        self._at = due
        return True

    def _listen(self, step: Step | None) -> bool:
        """Compare the client's next message with the present step; False if there is no message."""
        if not self._received:
            if step is not None and self._waited():
                self._fail(StepMismatch([f"nothing came within {self._step_timeout:g} s, expected {step.title!r}"]))
            return False
        event = self._received.popleft()
        expectation = step if isinstance(step, Expectation) else None
        if event_kind(event) in self._ignored and (expectation is None or event_kind(event) not in expectation.kinds):
            return True
        if expectation is None:
            self._fail(StepMismatch([f"got {event_kind(event)} instead of {self._present}"], {}, as_json(event)))
            return True
        self._matcher = self._matcher or expectation.matcher()
        result = self._matcher(event)
        self._since = None  # the timeout counts silence
        if isinstance(result, StepMismatch):
            self._fail(result)
        elif result:
            self._next()
        return True

    def _closed(self, info: CloseInfo) -> None:
        self._skip()
        step, error = self._step, info.error
        if self._mismatch is not None:
            return
        how = f"the connection ended ({info.code}{f' {info.reason}' if info.reason else ''})"
        if isinstance(error, RemoteProtocolError):
            self._fail(StepMismatch([f"the client broke the protocol at {self._present}: {error}"]))
        elif isinstance(step, ExpectClose):
            mismatch = step.mismatch(info)
            if mismatch is not None:
                self._fail(mismatch)
            else:
                self._next()
                self._skip()
        elif step is not None:
            self._fail(StepMismatch([f"{how} while {self._present} was still to come"]))

    def _fail(self, mismatch: StepMismatch) -> None:
        """End the script: keep the report, and tell the client."""
        difference = diff(mismatch.expected, mismatch.received)
        step = self._position + 1
        self._mismatch = PlaybookMismatch(step, mismatch.why, difference, self.steps)
        self._received.clear()
        text = f"playbook: step {step}: {mismatch.why[0]}"
        if self.machine.state is ConnectionState.OPEN:
            self.machine.close(1008, cut_reason(text))
        elif self.machine.state is ConnectionState.CONNECTING:
            self.machine.reject(400, _TEXT, f"{text}\n".encode())
