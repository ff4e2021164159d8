"""What a simulated model is asked, and what it can do: the whole interface of an own model."""

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

__all__ = [
    "Call",
    "Cancel",
    "Close",
    "Drop",
    "EndTurn",
    "Model",
    "ModelAction",
    "Say",
    "Send",
    "SendGoAway",
    "Show",
    "Speak",
    "Stall",
    "UserTurn",
    "Wait",
    "as_model",
    "text_of",
]


def text_of(content: Content | None) -> str:
    """The text of all parts, one after the other."""
    return "".join(part.text or "" for part in content.parts) if content is not None else ""


@final
@attrs.frozen(kw_only=True)
class UserTurn:
    """What a model is asked.

    Attributes:
        text: What the user wrote, or the transcript of what was said.
        speech: What the user said: PCM, 16-bit signed little-endian, mono.
        rate: Sample rate of ``speech``, in Hz.
        response: The result of a call.
        call: The call it answers, None where it answers none (Vertex lets clients do that).
        history: Everything before this turn.
        pending: Calls that await a response.
        images: The newest video frame, where there is one.
        interrupted: Whether this cut the turn before it short; the history has what was said of that.
        setup: The session's configuration, with later context updates in it.
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
        """Text of the system instruction now in force."""
        return text_of(self.setup.system_instruction)

    @property
    def functions(self) -> Mapping[str, FunctionDeclaration]:
        """The functions now declared, by name."""
        return declared(self.setup)

    @property
    def thinks(self) -> bool:
        """Whether the client wants to see thoughts, which `Say` with ``thought=True`` gives."""
        generation = self.setup.generation_config
        thinking = generation and generation.thinking_config
        return bool(thinking and thinking.include_thoughts)

    @property
    def speaks(self) -> bool:
        """Whether the answer is audio rather than text."""
        return speaks(self.setup)


def declared(setup: LiveClientSetup) -> dict[str, FunctionDeclaration]:
    """The functions that a setup declares, by name."""
    return {item.name or "": item for tool in setup.tools for item in tool.function_declarations}


def blocks(setup: LiveClientSetup, name: str, *, otherwise: bool) -> bool:
    """Whether the model waits while this function runs (wire.md#blocking); ``otherwise`` where nobody says so."""
    function = declared(setup).get(name)
    if function is None or function.behavior in (None, Behavior.UNSPECIFIED):
        return otherwise
    return function.behavior == Behavior.BLOCKING


def speaks(setup: LiveClientSetup) -> bool:
    """Whether a session answers with audio; it does where the setup does not say (wire.md#modalities)."""
    generation = setup.generation_config
    return generation is None or Modality.TEXT not in generation.response_modalities


# --- actions ----------------------------------------------------------------------------------------------------


@final
@attrs.frozen
class Say:
    """Say a text, in several pieces: as text, or with the voice and its transcript.

    Attributes:
        text: The text.
        thought: Whether it is a summary of thoughts, which is always text.
    """

    text: str
    thought: bool = attrs.field(default=False, kw_only=True)


@final
@attrs.frozen
class Speak:
    """Play audio; where the session answers with text, its transcript is said instead.

    Attributes:
        pcm: 16-bit signed little-endian, mono.
        rate: Its sample rate, in Hz.
        transcript: What is said in it.
    """

    pcm: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    rate: int = OUTPUT_RATE
    transcript: str = ""


@final
@attrs.frozen
class Show:
    """Put parts of any kind into the answer.

    Attributes:
        parts: The parts; they make one message.
    """

    parts: Sequence[Part]


@final
@attrs.frozen
class Call:
    """Call a function of the client; calls right after one another make one message.

    While a call of a blocking function runs, the turn stays open, and `Model.on_tool_response` continues it.

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
        ids: Their ids; empty means all that are pending.
    """

    ids: Sequence[str] = ()


@final
@attrs.frozen
class Wait:
    """Do nothing for some time.

    Attributes:
        seconds: How long.
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
    """End the turn here, whatever follows.

    Attributes:
        reason: Why, where that is not normal.
    """

    reason: TurnCompleteReason | None = None


@final
@attrs.frozen
class Stall:
    """Never say anything again in this turn, not even that it is over."""


@final
@attrs.frozen
class SendGoAway:
    """Announce the end of the connection, and end it then.

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
        reason: Reason; cut at 123 bytes as the service does.
    """

    code: int = 1000
    reason: str = ""


@final
@attrs.frozen
class Drop:
    """End the connection without a close frame, as a lost network does; what was sent before still arrives."""


ModelAction: TypeAlias = Say | Speak | Show | Call | Cancel | Wait | Send | EndTurn | Stall | SendGoAway | Close | Drop
"""Everything a model can do. A turn ends by itself after its last action."""


class Model(Protocol):
    """A simulated model. Its methods may be generators: an action is asked for when it is due.

    A generator whose turn is cut short, by the user or by the end of the connection, is closed where it stands, so that
    its ``finally`` runs. What a method raises comes out of whatever drove the connection there.
    """

    def on_text(self, turn: UserTurn) -> Iterable[ModelAction]:
        """The user wrote ``turn.text``, or asked to go on where that is empty."""
        ...

    def on_speech(self, turn: UserTurn) -> Iterable[ModelAction]:
        """The user said ``turn.speech``."""
        ...

    def on_tool_response(self, turn: UserTurn) -> Iterable[ModelAction]:
        """The client answered ``turn.call`` with ``turn.response``."""
        ...


@final
class _FunctionModel:
    """A model made of one function, which is asked everything.

    Args:
        function: Gives what to do; `UserTurn.speech` and `UserTurn.response` tell what it is about.
    """

    def __init__(self, function: Callable[[UserTurn], Iterable[ModelAction]]) -> None:
        self._function = function

    def on_text(self, turn: UserTurn) -> Iterable[ModelAction]:
        """Ask the function."""
        return self._function(turn)

    on_speech = on_text
    on_tool_response = on_text


def as_model(given: Model | Callable[[UserTurn], Iterable[ModelAction]]) -> Model:
    """A model, or what is made of a function.

    Raises:
        InvalidMessage: It is neither; found here rather than at the first word.
    """
    missing = [name for name in ("on_text", "on_speech", "on_tool_response") if not hasattr(given, name)]
    if not missing:
        return cast("Model", given)
    if len(missing) == 3 and callable(given):
        return _FunctionModel(given)
    raise InvalidMessage("model", f"{type(given).__name__} has no {', '.join(missing)}")
