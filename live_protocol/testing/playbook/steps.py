"""The steps of a playbook: what to do, what to expect, and how each says what it is."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs

from live_protocol.close_info import CloseInfo, Initiator
from live_protocol.emulator.actions import declared, text_of
from live_protocol.events import (
    ClientContentReceived,
    ContextUpdateReceived,
    Event,
    RealtimeInputReceived,
    SetupReceived,
    ToolResponseReceived,
    Undecodable,
    UnknownMessage,
    UpgradeRequested,
)
from live_protocol.messages import LiveClientContent, LiveClientSetup, LiveClientToolResponse
from live_protocol.messages.audio_format import INPUT_RATE, AudioFormat
from live_protocol.testing.playbook.actions import (
    CloseStep,
    DropStep,
    IgnoreStep,
    LabelStep,
    RejectStep,
    SendRawStep,
    SendStep,
    WaitStep,
)
from live_protocol.testing.playbook.matching import Comparison, brief, shown

__all__ = [
    "KINDS",
    "MEMBERS",
    "AnyOrder",
    "CloseStep",
    "DropStep",
    "Expect",
    "ExpectAudio",
    "ExpectClose",
    "ExpectUpgrade",
    "Expectation",
    "IgnoreStep",
    "LabelStep",
    "ReceivedEvent",
    "RejectStep",
    "SendRawStep",
    "SendStep",
    "Step",
    "StepMatcher",
    "StepMismatch",
    "WaitStep",
    "as_json",
    "event_kind",
    "is_received",
]

ReceivedEvent: TypeAlias = (
    SetupReceived
    | ClientContentReceived
    | RealtimeInputReceived
    | ToolResponseReceived
    | ContextUpdateReceived
    | UnknownMessage
    | Undecodable
)
"""What a client says."""

KINDS: Final[Mapping[type, str]] = {
    SetupReceived: "setup",
    ClientContentReceived: "client_content",
    RealtimeInputReceived: "realtime_input",
    ToolResponseReceived: "tool_response",
    ContextUpdateReceived: "context_update",
    UnknownMessage: "unknown",
    Undecodable: "undecodable",
}
"""One word for each, as playbooks name them."""

MEMBERS: Final = ("setup", "client_content", "realtime_input", "tool_response", "context_update")
"""Those that are members of `LiveClientMessage`."""


def is_received(event: Event) -> bool:
    """Whether an event is something that the client said."""
    return type(event) in KINDS


def event_kind(event: ReceivedEvent) -> str:
    """What it is, in one word."""
    return KINDS[type(event)]


def _payload(event: ReceivedEvent) -> Any:
    if isinstance(event, Undecodable):
        return {"data": event.data, "error": str(event.error)}
    return event.fields if isinstance(event, UnknownMessage) else getattr(event.message, event_kind(event))


def _wire(kind: str) -> str:
    head, *tail = kind.split("_")
    return head + "".join(word.title() for word in tail)


def as_json(event: ReceivedEvent) -> dict[str, Any]:
    """The whole of what was said, for people."""
    payload = shown(_payload(event))
    return payload if isinstance(event, UnknownMessage) else {_wire(event_kind(event)): payload}


@attrs.frozen
class StepMismatch:
    """Why an expectation was not met.

    Attributes:
        why: One line for each difference.
        expected: What would have been right, as JSON for people.
        received: What came.
    """

    why: Sequence[str]
    expected: Mapping[str, Any] = attrs.field(factory=dict)
    received: Mapping[str, Any] = attrs.field(factory=dict)


class StepMatcher(abc.ABC):
    """An expectation while it waits.

    Attributes:
        met: Whether it is fulfilled.
    """

    def __init__(self) -> None:
        self.met = False

    @abc.abstractmethod
    def take(self, event: ReceivedEvent) -> StepMismatch | None:
        """Look at what the client said; gives why it does not fit, None where it does."""


class Expectation(abc.ABC):
    """A step that waits for what the client says."""

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """What it waits for, in one line."""

    @property
    @abc.abstractmethod
    def kinds(self) -> frozenset[str]:
        """What it could be fulfilled by."""

    @abc.abstractmethod
    def matcher(self) -> StepMatcher:
        """Begin to wait."""


# --- facts of a message that patterns may name beside its fields --------------------------------------------------


def _content_text(content: LiveClientContent) -> str:
    return "".join(text_of(turn) for turn in content.turns)


def _instruction(setup: LiveClientSetup) -> str:
    return text_of(setup.system_instruction)


def _functions(setup: LiveClientSetup) -> list[str]:
    return sorted(declared(setup))


def _ids(response: LiveClientToolResponse) -> list[str]:
    return sorted(item.id or "" for item in response.function_responses)


FACTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "text": _content_text,
    "instruction": _instruction,
    "functions": _functions,
    "ids": _ids,
}


# --- expectations -----------------------------------------------------------------------------------------------


@attrs.frozen
class Expect(Expectation):
    """One message.

    Attributes:
        kind: Which.
        pattern: What its fields are like.
        facts: What follows from its fields and is like: names of `FACTS`.
    """

    kind: str
    pattern: Any = attrs.field(factory=dict)
    facts: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def title(self) -> str:
        """See `Expectation`."""
        said = [f"{name}={brief(value)}" for name, value in self.facts.items()]
        if not isinstance(self.pattern, Mapping):
            said.append("as recorded")
        else:
            said += [f"{name}={brief(value)}" for name, value in self.pattern.items()]
        return " ".join((f"expect {self.kind}", *said))

    @property
    def kinds(self) -> frozenset[str]:
        """See `Expectation`."""
        return frozenset((self.kind,))

    def matcher(self) -> StepMatcher:
        """See `Expectation`."""
        return _One(self)

    def mismatch(self, event: ReceivedEvent) -> StepMismatch | None:
        """Why an event does not fit, None where it does."""
        payload, kind = _payload(event), event_kind(event)
        received = as_json(event)
        comparison = Comparison()
        expected: Any = comparison.expected(self.pattern, payload if kind == self.kind else {}, self.kind)
        if kind != self.kind:
            named = {f"({name})": Comparison().expected(pattern, None, "") for name, pattern in self.facts.items()}
            return StepMismatch([f"expected {self.kind}, got {kind}"], {_wire(self.kind): expected} | named, received)
        facts: dict[str, Any] = {}
        for name, pattern in self.facts.items():
            fact = FACTS[name](payload)
            if name == "functions":  # those that are asked for have to be there, others may
                missing = [each for each in pattern if each not in fact]
                wanted = sorted({*fact, *missing})
                if missing:
                    comparison.mismatches.append(f"setup.functions: expected {brief(missing)}, got {brief(fact)}")
            else:  # responses come in any order
                ordered = sorted(pattern) if name == "ids" else pattern
                wanted = comparison.expected(ordered, fact, f"{self.kind}.{name}")
            if wanted != shown(fact):
                facts[f"({name})"] = wanted
                received[f"({name})"] = shown(fact)
        return (
            StepMismatch(comparison.report, {_wire(kind): expected} | facts, received)
            if comparison.mismatches
            else None
        )


class _One(StepMatcher):
    def __init__(self, step: Expect) -> None:
        super().__init__()
        self._step = step

    def take(self, event: ReceivedEvent) -> StepMismatch | None:
        mismatch = self._step.mismatch(event)
        self.met = mismatch is None
        return mismatch


@attrs.frozen
class ExpectAudio(Expectation):
    """So much audio, in any number of messages.

    Attributes:
        seconds: How much at least.
    """

    seconds: float

    @property
    def title(self) -> str:
        """See `Expectation`."""
        return f"expect {self.seconds:g} s of audio"

    @property
    def kinds(self) -> frozenset[str]:
        """See `Expectation`."""
        return frozenset(("realtime_input",))

    def matcher(self) -> StepMatcher:
        """See `Expectation`."""
        return _Listening(self)


class _Listening(StepMatcher):
    def __init__(self, step: ExpectAudio) -> None:
        super().__init__()
        self._left = step.seconds
        self._title = step.title

    def take(self, event: ReceivedEvent) -> StepMismatch | None:
        if isinstance(event, RealtimeInputReceived):
            blob = event.input.audio or next(iter(event.input.media_chunks), None)
            audio = AudioFormat.parse(blob.mime_type or "", default_rate=INPUT_RATE) if blob else None
            if blob is not None and audio is not None:
                self._left -= audio.seconds(len(blob.data or b""))
                self.met = self._left <= 1e-6  # binary fractions
                return None
        why = (
            f"{self._title.removeprefix('expect ')} did not come: {self._left:g} s are missing, got {event_kind(event)}"
        )
        wanted = {"realtimeInput": {"audio": {"mimeType": "<audio/pcm>", "data": "<audio>"}}}
        return StepMismatch([why], wanted, as_json(event))


@attrs.frozen
class AnyOrder(Expectation):
    """Several expectations, whichever comes first.

    Attributes:
        steps: The expectations.
    """

    steps: Sequence[Expectation]

    @property
    def title(self) -> str:
        """See `Expectation`."""
        return f"expect in any order: {'; '.join(step.title.removeprefix('expect ') for step in self.steps)}"

    @property
    def kinds(self) -> frozenset[str]:
        """See `Expectation`."""
        return frozenset[str]().union(*(step.kinds for step in self.steps))

    def matcher(self) -> StepMatcher:
        """See `Expectation`."""
        return _AnyOf(self)


class _AnyOf(StepMatcher):
    def __init__(self, step: AnyOrder) -> None:
        super().__init__()
        self._open = [(each, each.matcher()) for each in step.steps]

    def take(self, event: ReceivedEvent) -> StepMismatch | None:
        mismatches: list[StepMismatch] = []
        for pair in self._open:
            step, matcher = pair
            mismatch = matcher.take(event)
            if mismatch is None:
                if matcher.met:
                    self._open.remove(pair)
                self.met = not self._open
                return None
            # The one that was meant is most likely of the same kind.
            mismatches.insert(0 if event_kind(event) in step.kinds else len(mismatches), mismatch)
        return mismatches[0]


@attrs.frozen
class ExpectUpgrade:
    """The request that opens the connection; its values are never shown, for they hold credentials.

    Attributes:
        path: What its path is like.
        headers: What header fields are like, by name in lower case.
    """

    path: Any = None
    headers: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def title(self) -> str:
        """What it waits for, in one line."""
        names = (["path"] if self.path is not None else []) + list(self.headers)
        return f"expect upgrade{' with ' if names else ''}{', '.join(names)}"

    def mismatch(self, event: UpgradeRequested) -> StepMismatch | None:
        """Why a request does not fit, None where it does."""
        given = {"path": event.target.partition("?")[0], **dict(event.headers)}
        asked = ({} if self.path is None else {"path": self.path}) | dict(self.headers)
        why: list[str] = []
        for name, pattern in asked.items():
            comparison = Comparison()
            comparison.expected(pattern, given.get(name), name)
            if comparison.mismatches:
                why.append(f"upgrade.{name}: {'is not as expected' if name in given else 'is missing'}")
        return StepMismatch(why) if why else None


@attrs.frozen
class ExpectClose:
    """The client ends the connection.

    Attributes:
        code: What its close code is like; 1006 stands for an end without a close frame.
        reason: What its reason is like.
    """

    code: Any = ...
    reason: Any = None

    @property
    def title(self) -> str:
        """What it waits for, in one line."""
        return f"expect close{'' if self.code is ... else f' with {brief(self.code)}'}"

    def mismatch(self, info: CloseInfo) -> StepMismatch | None:
        """Why an end does not fit, None where it does."""
        comparison = Comparison()
        comparison.expected(self.code, info.code, "close.code")
        if self.reason is not None:
            comparison.expected(self.reason, info.reason, "close.reason")
        if info.initiator is Initiator.LOCAL:
            comparison.mismatches.insert(0, "close: this end closed the connection, not the client")
        return StepMismatch(comparison.report) if comparison.mismatches else None


Step: TypeAlias = (
    Expect
    | ExpectAudio
    | AnyOrder
    | ExpectUpgrade
    | ExpectClose
    | SendStep
    | SendRawStep
    | WaitStep
    | LabelStep
    | IgnoreStep
    | CloseStep
    | DropStep
    | RejectStep
)
"""One step of a playbook."""
