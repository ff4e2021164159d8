"""The steps of a playbook as values: each has a title, and each expectation can say why a message does not fit."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs

from live_protocol.close_info import CloseInfo, Initiator
from live_protocol.emulator.actions import declared_functions, text_of
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
from live_protocol.messages import LiveServerMessage
from live_protocol.messages.audio_format import INPUT_RATE, AudioFormat
from live_protocol.testing.playbook.matching import Comparison, brief, readable

ReceivedEvent: TypeAlias = (
    SetupReceived
    | ClientContentReceived
    | RealtimeInputReceived
    | ToolResponseReceived
    | ContextUpdateReceived
    | UnknownMessage
    | Undecodable
)
"""An event for a message of the client."""

KINDS: Final[Mapping[type, str]] = {
    SetupReceived: "setup",
    ClientContentReceived: "client_content",
    RealtimeInputReceived: "realtime_input",
    ToolResponseReceived: "tool_response",
    ContextUpdateReceived: "context_update",
    UnknownMessage: "unknown",
    Undecodable: "undecodable",
}
"""The playbooks' word for each kind of message."""


def is_received(event: Event) -> bool:
    """Whether an event is a message of the client."""
    return type(event) in KINDS


def event_kind(event: ReceivedEvent) -> str:
    """The kind of a message."""
    return KINDS[type(event)]


def _payload(event: ReceivedEvent) -> Any:
    if isinstance(event, Undecodable):
        return {"data": event.data, "error": str(event.error)}
    return event.fields if isinstance(event, UnknownMessage) else getattr(event.message, event_kind(event))


def _json_key(kind: str) -> str:
    head, *tail = kind.split("_")
    return head + "".join(word.title() for word in tail)


def as_json(event: ReceivedEvent) -> dict[str, Any]:
    """The whole message, as JSON for people."""
    payload = readable(_payload(event))
    return payload if isinstance(event, UnknownMessage) else {_json_key(event_kind(event)): payload}


@attrs.frozen
class StepMismatch:
    """The reason why an expectation was not met.

    Attributes:
        why: One line for each difference.
        expected: A message that would have matched, as JSON for people.
        received: The message that came.
    """

    why: Sequence[str]
    expected: Mapping[str, Any] = attrs.field(factory=dict)
    received: Mapping[str, Any] = attrs.field(factory=dict)


StepMatcher: TypeAlias = Callable[[ReceivedEvent], StepMismatch | bool]
"""Takes the next message: True if the expectation is met, False if it needs more, or the mismatch."""


class Expectation(abc.ABC):
    """A step that waits for messages of the client."""

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """One line for reports."""

    @property
    @abc.abstractmethod
    def kinds(self) -> frozenset[str]:
        """The kinds of messages that can meet it."""

    @abc.abstractmethod
    def matcher(self) -> StepMatcher:
        """Return a fresh matcher."""


# --- messages of the client -------------------------------------------------------------------------------------


FACTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "text": lambda content: "".join(text_of(turn) for turn in content.turns),
    "instruction": lambda setup: text_of(setup.system_instruction),
    "functions": lambda setup: sorted(declared_functions(setup)),
    "ids": lambda response: sorted(item.id or "" for item in response.function_responses),
}
"""Values computed from a message, for patterns beside those of its fields."""


@attrs.frozen
class Expect(Expectation):
    """Expect one message.

    Attributes:
        kind: Its kind.
        pattern: Pattern for its fields.
        facts: Patterns for the `FACTS` of it.
    """

    kind: str
    pattern: Any = attrs.field(factory=dict)
    facts: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def title(self) -> str:
        words = [f"{name}={brief(value)}" for name, value in self.facts.items()]
        if isinstance(self.pattern, Mapping):
            words += [f"{name}={brief(value)}" for name, value in self.pattern.items()]
        else:
            words.append("as recorded")
        return " ".join((f"expect {self.kind}", *words))

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset((self.kind,))

    def matcher(self) -> StepMatcher:
        return lambda event: self._mismatch(event) or True

    def _mismatch(self, event: ReceivedEvent) -> StepMismatch | None:
        payload, kind = _payload(event), event_kind(event)
        received = as_json(event)
        comparison = Comparison()
        expected: Any = comparison.expected(self.pattern, payload if kind == self.kind else {}, self.kind)
        if kind != self.kind:
            facts = {f"({name})": Comparison().expected(pattern, None, "") for name, pattern in self.facts.items()}
            return StepMismatch(
                [f"expected {self.kind}, got {kind}"], {_json_key(self.kind): expected} | facts, received
            )
        facts = {}
        for name, pattern in self.facts.items():
            fact = FACTS[name](payload)
            if name == "functions":  # the setup may declare others too
                missing = [each for each in pattern if each not in fact]
                wanted = sorted({*fact, *missing})
                if missing:
                    comparison.mismatches.append(f"setup.functions: expected {brief(missing)}, got {brief(fact)}")
            else:
                ordered = sorted(pattern) if name == "ids" else pattern  # responses come in any order
                wanted = comparison.expected(ordered, fact, f"{self.kind}.{name}")
            if wanted != readable(fact):
                facts[f"({name})"] = wanted
                received[f"({name})"] = readable(fact)
        if not comparison.mismatches:
            return None
        return StepMismatch(comparison.report, {_json_key(kind): expected} | facts, received)


@attrs.frozen
class ExpectAudio(Expectation):
    """Expect audio, in any number of messages.

    Attributes:
        seconds: Minimum length.
    """

    seconds: float

    @property
    def title(self) -> str:
        return f"expect {self.seconds:g} s of audio"

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(("realtime_input",))

    def matcher(self) -> StepMatcher:
        missing = self.seconds

        def match(event: ReceivedEvent) -> StepMismatch | bool:
            nonlocal missing
            if isinstance(event, RealtimeInputReceived):
                blob = event.input.audio or next(iter(event.input.media_chunks), None)
                audio = AudioFormat.parse(blob.mime_type or "", default_rate=INPUT_RATE) if blob else None
                if blob is not None and audio is not None:
                    missing -= audio.seconds(len(blob.data or b""))
                    return missing <= 1e-6  # rounding errors of the sum
            title = self.title.removeprefix("expect ")
            why = f"{title} did not come: {missing:g} s are missing, got {event_kind(event)}"
            wanted = {"realtimeInput": {"audio": {"mimeType": "<audio/pcm>", "data": "<audio>"}}}
            return StepMismatch([why], wanted, as_json(event))

        return match


@attrs.frozen
class AnyOrder(Expectation):
    """Expect several things in any order.

    Attributes:
        steps: The expectations.
    """

    steps: Sequence[Expectation]

    @property
    def title(self) -> str:
        return f"expect in any order: {'; '.join(step.title.removeprefix('expect ') for step in self.steps)}"

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset[str]().union(*(step.kinds for step in self.steps))

    def matcher(self) -> StepMatcher:
        unmet = [(step, step.matcher()) for step in self.steps]

        def match(event: ReceivedEvent) -> StepMismatch | bool:
            mismatches: list[StepMismatch] = []
            for pair in unmet:
                step, matcher = pair
                result = matcher(event)
                if not isinstance(result, StepMismatch):
                    if result:
                        unmet.remove(pair)
                    return not unmet
                # Report an expectation of the same kind: the client most likely meant that one.
                mismatches.insert(0 if event_kind(event) in step.kinds else len(mismatches), result)
            return mismatches[0]

        return match


# --- the beginning and the end of the connection ----------------------------------------------------------------


@attrs.frozen
class ExpectUpgrade:
    """Expect the request that opens the connection. Reports never show its values: they contain credentials.

    Attributes:
        path: Pattern for its path.
        headers: Patterns for header fields, by name in lower case.
    """

    path: Any = None
    headers: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def title(self) -> str:
        names = (["path"] if self.path is not None else []) + list(self.headers)
        return f"expect upgrade{' with ' if names else ''}{', '.join(names)}"

    def mismatch(self, event: UpgradeRequested) -> StepMismatch | None:
        """The reason why a request does not fit, or None."""
        values = {"path": event.target.partition("?")[0], **dict(event.headers)}
        patterns = ({} if self.path is None else {"path": self.path}) | dict(self.headers)
        why: list[str] = []
        for name, pattern in patterns.items():
            comparison = Comparison()
            comparison.expected(pattern, values.get(name), name)
            if comparison.mismatches:
                why.append(f"upgrade.{name}: {'is not as expected' if name in values else 'is missing'}")
        return StepMismatch(why) if why else None


@attrs.frozen
class ExpectClose:
    """Expect the client to end the connection.

    Attributes:
        code: Pattern for the close code; 1006 means an end without a close frame.
        reason: Pattern for the reason.
    """

    code: Any = ...
    reason: Any = None

    @property
    def title(self) -> str:
        return f"expect close{'' if self.code is ... else f' with {brief(self.code)}'}"

    def mismatch(self, info: CloseInfo) -> StepMismatch | None:
        """The reason why this end does not fit, or None."""
        comparison = Comparison()
        comparison.expected(self.code, info.code, "close.code")
        if self.reason is not None:
            comparison.expected(self.reason, info.reason, "close.reason")
        if info.initiator is Initiator.LOCAL:
            comparison.mismatches.insert(0, "close: this end closed the connection, not the client")
        return StepMismatch(comparison.report) if comparison.mismatches else None


# --- actions ----------------------------------------------------------------------------------------------------


@attrs.frozen
class SendStep:
    """Send messages, all at once."""

    messages: Sequence[LiveServerMessage]
    title: str


@attrs.frozen
class SendRawStep:
    """Send a WebSocket message as it is: `str` as text, `bytes` as binary."""

    data: str | bytes
    name: str = ""

    @property
    def title(self) -> str:
        unit = "characters" if isinstance(self.data, str) else "bytes"
        return self.name or f"send {len(self.data)} {unit} as they are"


@attrs.frozen
class WaitStep:
    """Do nothing for some time; messages of the client wait meanwhile."""

    seconds: float

    @property
    def title(self) -> str:
        return f"wait {self.seconds:g} s"


@attrs.frozen
class LabelStep:
    """A heading for reports."""

    text: str

    @property
    def title(self) -> str:
        return f"# {self.text}"


@attrs.frozen
class IgnoreStep:
    """Accept messages of these kinds at any time from here on."""

    kinds: frozenset[str]

    @property
    def title(self) -> str:
        return f"ignore {', '.join(sorted(self.kinds))}"


@attrs.frozen
class CloseStep:
    """Close the connection."""

    code: int
    reason: str

    @property
    def title(self) -> str:
        return f"close with {self.code}"


@attrs.frozen
class DropStep:
    """End the connection without a close frame, as a lost network does."""

    title: str = "drop"


@attrs.frozen
class RejectStep:
    """Refuse the upgrade."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    @property
    def title(self) -> str:
        return f"reject with {self.status}"


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
