"""A playbook while it is played: the server's end of one connection, which does what the script says."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, cast, final

from live_protocol.close_info import CloseInfo
from live_protocol.codec.codec import Codec
from live_protocol.connection.live_connection import LiveConnection
from live_protocol.connection.wrappers import AutomaticConnection, ByteConnectionWrapper
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
from live_protocol.websocket.link import Observer

__all__ = ["PlaybookConnection", "PlaybookMismatch"]

_MAX_REASON: Final = 123  # RFC 6455 section 5.5, less the code
_LIMITS: Final = Limits(max_send=1 << 30)  # what is too large is part of the tests
_TEXT: Final = (("Content-Type", "text/plain; charset=utf-8"),)


class PlaybookMismatch(LiveProtocolError, AssertionError):
    """The client did not do what its playbook says; the text shows what was different.

    It is an `AssertionError` too, so that test runners report it as a failed test.

    Attributes:
        step: Number of the step that was not met, from 1; one more than there are where something came after the
            last; 0 where nothing came at all.
        why: One line for each difference.
        diff: Unified diff of what was expected and what came, as JSON without secrets; may be empty.
    """

    __module__ = "live_protocol.testing"  # as it shows in a test's report

    def __init__(self, step: int, why: Sequence[str], difference: str = "", steps: str = "") -> None:
        where = f"step {step}: " if step else ""
        # JSON escapes line breaks, so each part stands for itself.
        super().__init__("\n\n".join(filter(None, (where + "\n  ".join(why), difference, steps))))
        self.step = step
        self.why: tuple[str, ...] = tuple(why)
        self.diff = difference


@final
class PlaybookConnection(AutomaticConnection[LiveConnection], ByteConnectionWrapper[LiveConnection]):
    """The server's end of one connection, with the commands of `LiveConnection`; it plays its script by itself.

    Drive it like any connection; ``serve(connection_factory=playbook.connection)`` and `live_protocol.testing.Pair`
    do. `next_event` plays on with the event it gives, `advance` with the time. Where the client does something else
    than expected, the connection is closed with 1008 and a reason that begins with ``playbook:``, and `mismatch` says
    more.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        strict: bool = True,
        step_timeout: float | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        compression: bool = False,
        observer: Observer | None = None,
    ) -> None:
        """Use `Playbook.connection` instead."""
        machine = LiveConnection.server(
            limits=limits or _LIMITS,
            timeouts=timeouts or Timeouts(ping_interval=None),
            compression=compression,
            strict=strict,
            observer=observer,
        )
        super().__init__(machine)
        self._steps = tuple(steps)
        self._step_timeout = step_timeout
        self._codec = Codec()
        self._position = 0
        self._received: deque[ReceivedEvent] = deque()
        self._ignored: frozenset[str] = frozenset()
        self._matcher: StepMatcher | None = None
        self._now: float | None = None
        self._at: float | None = None  # the moment that the script has come to
        self._since: float | None = None  # when the present step began to wait
        self._ended: CloseInfo | None = None
        self._mismatch: PlaybookMismatch | None = None

    def __repr__(self) -> str:
        return f"<PlaybookConnection {self.state} step {self._position + 1} of {len(self._steps)}>"

    # --- the script ---------------------------------------------------------------------------------------------

    @property
    def mismatch(self) -> PlaybookMismatch | None:
        """What the client did wrong; None while it did all right."""
        return self._mismatch

    @property
    def finished(self) -> bool:
        """Whether every step was done."""
        return self._position == len(self._steps) and self._mismatch is None

    @property
    def steps(self) -> str:
        """The script, with a mark at what was done and at where it stands."""
        width = len(str(len(self._steps)))
        lines = ["steps:"]
        for number, step in enumerate(self._steps, 1):
            mark = "ok" if number <= self._position else ">>" if number == self._position + 1 else "  "
            lines.append(f"  {mark} {number:>{width}} {step.title}")
        return "\n".join(lines)

    def check(self) -> None:
        """Raise what went wrong, or that the script was not played to its end.

        Raises:
            PlaybookMismatch: Either.
        """
        if self._mismatch is not None:
            raise self._mismatch.with_traceback(None)
        if self._position < len(self._steps):
            raise PlaybookMismatch(self._position + 1, [f"{self._present} is still to come"], steps=self.steps)

    # --- inputs -------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Tell the time; what the script has planned up to it happens.

        Args:
            now: Reading of any monotonic clock, in seconds. A reading before the last one counts as the last one.
        """
        self.machine.advance(now)
        self._now = max(self._now if self._now is not None else now, now)
        if self._at is None:
            self._at = self._now
        self._play()

    # --- outputs ------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `advance` has something to do at the latest: of the connection, or of the script."""
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
        """What stands in the script here, for a sentence."""
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
            self._over(event.info)
        elif is_received(event) and self._playing:
            self._received.append(cast("ReceivedEvent", event))
            self._play()

    def _next(self) -> None:
        self._position += 1
        self._matcher = self._since = None

    def _skip(self) -> None:
        """Past what only tells."""
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
        """Go on until something has to be waited for."""
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
            # A script may say what the protocol has no place for: that is what it is for.
            self.machine.send_raw(self._codec.encode_server(message))

    def _waited(self) -> bool:
        """Whether the present step's time is over; it starts where the step before ended."""
        if self._since is None:
            self._since = self._at
        due = self._due
        if due is None or self._now is None or self._now < due:
            return False
        self._at = due
        return True

    def _listen(self, step: Step | None) -> bool:
        """Hold the next thing that the client said against an expectation; False where there is none."""
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
        matcher = self._matcher = self._matcher or expectation.matcher()
        mismatch = matcher.take(event)
        self._since = None  # patience is for silence
        if mismatch is not None:
            self._fail(mismatch)
        elif matcher.met:
            self._next()
        return True

    def _over(self, info: CloseInfo) -> None:
        self._ended = info
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
        """It is over: say so to both sides."""
        difference = diff(mismatch.expected, mismatch.received)
        step = self._position + 1
        self._mismatch = PlaybookMismatch(step, mismatch.why, difference, self.steps)
        self._received.clear()
        text = f"playbook: step {step}: {mismatch.why[0]}"
        if self.machine.state is ConnectionState.OPEN:
            self.machine.close(1008, text.encode()[:_MAX_REASON].decode(errors="ignore"))
        elif self.machine.state is ConnectionState.CONNECTING:
            self.machine.reject(400, _TEXT, f"{text}\n".encode())
