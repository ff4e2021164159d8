"""The interface of a simulated model: the turns it answers and the actions it can take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast, final

import attrs

from live_protocol.errors import InvalidMessage
from live_protocol.messages import (
    Backend,
    Behavior,
    Blob,
    Content,
    FunctionCall,
    FunctionDeclaration,
    FunctionResponse,
    LiveClientSetup,
    LiveServerMessage,
    Modality,
    Part,
    TurnCompleteReason,
)
from live_protocol.messages.audio_format import OUTPUT_RATE


def text_of(content: Content | None) -> str:
    """The text of all parts, joined."""
    return "".join(part.text or "" for part in content.parts) if content is not None else ""


@final
@attrs.frozen(kw_only=True)
class UserTurn:
    """A turn of the user, which the model answers.

    Attributes:
        text: The user's text, or the transcript of the speech.
        speech: The user's speech: PCM, 16-bit signed little-endian, mono.
        rate: Sample rate of ``speech``, in Hz.
        response: The result of a call.
        call: The call that it answers; None if it answers no call, which Vertex allows.
        history: Everything before this turn.
        pending: Calls without a response.
        images: The newest video frame, if any.
        interrupted: Whether this interrupted the turn before it; the history has the part that was said.
        setup: The session's configuration, including later context updates.
        backend: The dialect.
    """

    text: str = ""
    speech: bytes = attrs.field(default=b"", repr=lambda data: f"<{len(data)} bytes>")
    rate: int = 16_000
    response: FunctionResponse | None = None
    call: FunctionCall | None = None
    history: Sequence[Content] = attrs.field(default=(), repr=False)
    pending: Sequence[FunctionCall] = ()
    images: Sequence[Blob] = ()
    interrupted: bool = False
    setup: LiveClientSetup = attrs.field(default=LiveClientSetup(), repr=False)
    backend: Backend = Backend.GEMINI

    @property
    def system_instruction(self) -> str:
        """Text of the current system instruction."""
        return text_of(self.setup.system_instruction)

    @property
    def functions(self) -> Mapping[str, FunctionDeclaration]:
        """The currently declared functions, by name."""
        return declared_functions(self.setup)

    @property
    def thinks(self) -> bool:
        """Whether the client wants to see thoughts; send them with ``Say(..., thought=True)``."""
        generation = self.setup.generation_config
        thinking = generation and generation.thinking_config
        return bool(thinking and thinking.include_thoughts)

    @property
    def speaks(self) -> bool:
        """Whether the answer is audio rather than text."""
        return speaks(self.setup)


def declared_functions(setup: LiveClientSetup) -> dict[str, FunctionDeclaration]:
    """The functions that a setup declares, by name."""
    return {item.name or "": item for tool in setup.tools for item in tool.function_declarations}


def blocks(setup: LiveClientSetup, name: str, *, otherwise: bool) -> bool:
    """Whether the model waits while this function runs (wire.md#blocking); ``otherwise`` if the setup does not say."""
    function = declared_functions(setup).get(name)
    if function is None or function.behavior in (None, Behavior.UNSPECIFIED):
        return otherwise
    return function.behavior == Behavior.BLOCKING


def speaks(setup: LiveClientSetup) -> bool:
    """Whether a session answers with audio, which is the default (wire.md#modalities)."""
    generation = setup.generation_config
    return generation is None or Modality.TEXT not in generation.response_modalities


# --- actions ----------------------------------------------------------------------------------------------------


@final
@attrs.frozen
class Say:
    """Say a text in several pieces: as text, or as audio with a transcript.

    Attributes:
        text: The text.
        thought: Whether it is a summary of thoughts, which is always sent as text.
    """

    text: str
    thought: bool = attrs.field(default=False, kw_only=True)


@final
@attrs.frozen
class Speak:
    """Play audio; a session that answers with text says the transcript instead.

    Attributes:
        pcm: 16-bit signed little-endian, mono.
        rate: Its sample rate, in Hz.
        transcript: Its transcript.
    """

    pcm: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    rate: int = OUTPUT_RATE
    transcript: str = ""


@final
@attrs.frozen
class Show:
    """Send parts of any kind, in one message.

    Attributes:
        parts: The parts.
    """

    parts: Sequence[Part]


@final
@attrs.frozen
class Call:
    """Call a function of the client; consecutive calls share one message.

    While a blocking function runs, the turn stays open, and `Model.on_tool_response` continues it.

    Attributes:
        name: Name of the function.
        args: Its arguments.
    """

    name: str
    args: Mapping[str, Any] = attrs.field(factory=dict)


@final
@attrs.frozen
class Cancel:
    """Cancel calls.

    Attributes:
        ids: Their ids; all pending calls if empty.
    """

    ids: Sequence[str] = ()


@final
@attrs.frozen
class Wait:
    """Do nothing for some time.

    Attributes:
        seconds: Duration.
    """

    seconds: float


@final
@attrs.frozen
class Send:
    """Send a whole message as it is.

    Attributes:
        message: The message.
    """

    message: LiveServerMessage


@final
@attrs.frozen
class EndTurn:
    """End the turn; later actions are discarded.

    Attributes:
        reason: The reason, unless the turn ends normally.
    """

    reason: TurnCompleteReason | None = None


@final
@attrs.frozen
class Stall:
    """Send nothing more in this turn, not even its end."""


@final
@attrs.frozen
class SendGoAway:
    """Announce the end of the connection, and end it at that time.

    Attributes:
        seconds: Time left.
    """

    seconds: float


@final
@attrs.frozen
class Close:
    """Close the connection.

    Attributes:
        code: Close code (RFC 6455 section 7.4).
        reason: Reason; cut at 123 bytes, as in the service.
    """

    code: int = 1000
    reason: str = ""


@final
@attrs.frozen
class Drop:
    """End the connection without a close frame, as a lost network does; earlier messages still arrive."""


ModelAction: TypeAlias = Say | Speak | Show | Call | Cancel | Wait | Send | EndTurn | Stall | SendGoAway | Close | Drop
"""An action of a model. The turn ends after its last action."""


class Model(Protocol):
    """A simulated model. Its methods may be generators; the emulator then asks for an action when it is due.

    If the user or the end of the connection interrupts a turn, the emulator closes the generator, so its ``finally``
    runs. Exceptions of a model propagate out of the connection's ``next_event`` or ``advance``.
    """

    def on_text(self, turn: UserTurn) -> Iterable[ModelAction]:
        """Answer ``turn.text``; an empty text asks the model to go on."""
        ...

    def on_speech(self, turn: UserTurn) -> Iterable[ModelAction]:
        """Answer ``turn.speech``."""
        ...

    def on_tool_response(self, turn: UserTurn) -> Iterable[ModelAction]:
        """React to ``turn.response``, the client's answer to ``turn.call``."""
        ...


@final
class _FunctionModel:
    """A model that calls one function for everything."""

    def __init__(self, function: Callable[[UserTurn], Iterable[ModelAction]]) -> None:
        self._function = function

    def on_text(self, turn: UserTurn) -> Iterable[ModelAction]:
        """Call the function."""
        return self._function(turn)

    on_speech = on_text
    on_tool_response = on_text


def as_model(model: Model | Callable[[UserTurn], Iterable[ModelAction]]) -> Model:
    """Return a model; a function becomes one.

    Raises:
        InvalidMessage: The object is neither a model nor a function.
    """
    missing = [name for name in ("on_text", "on_speech", "on_tool_response") if not hasattr(model, name)]
    if not missing:
        return cast("Model", model)
    if len(missing) == 3 and callable(model):
        return _FunctionModel(model)
    raise InvalidMessage("model", f"{type(model).__name__} has no {', '.join(missing)}")
