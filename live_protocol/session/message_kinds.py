"""Which members a message has, and what they mean for the tables. Pure functions of one message."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from live_protocol.errors import InvalidMessage
from live_protocol.messages import (
    LiveClientMessage,
    LiveClientRealtimeInput,
    LiveClientSetup,
    LiveServerContent,
    LiveServerMessage,
)
from live_protocol.states import ActivityInput, PhaseInput, TurnInput

_OUTPUT: Final = frozenset({"model_turn", "output_transcription"})


@functools.cache
def _members(cls: type) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    names = tuple(field.name for field in attrs.fields(cls) if field.name != "extra")
    return names, operator.attrgetter(*names)


def set_members(message: Any) -> list[str]:
    """Names of the members that are not absent, without ``extra``; the class has two at least."""
    names, values_of = _members(message.__class__)
    # A message compares itself with anything by a method in Python, so only tuples are compared.
    return [
        name
        for name, value in zip(names, values_of(message))  # noqa: B905 - of equal length
        if value is not None and (type(value) is not tuple or value)
    ]


def kind(message: LiveClientMessage | LiveServerMessage) -> str:
    """The members of an envelope in one word, for reports; of unknown names not too many, each cut short."""
    names = set_members(message)
    if message.extra:
        names += [key[:40] for key in itertools.islice(message.extra, 8)]
    return ",".join(names)


def client_member(message: LiveClientMessage) -> str:
    """The one member of a client message.

    Raises:
        InvalidMessage: There is none, or more than one.
    """
    names = set_members(message)
    if len(names) != 1:
        raise InvalidMessage("", f"a client message has exactly one member, got {', '.join(names) or 'none'}")
    return names[0]


def is_manual(setup: LiveClientSetup | None) -> bool:
    """Whether a setup switches automatic activity detection off."""
    config = setup and setup.realtime_input_config
    detection = config and config.automatic_activity_detection
    return bool(detection and detection.disabled)


def activity_signal(message: LiveClientRealtimeInput) -> ActivityInput | None:
    """What realtime input means for the activity window; None for text."""
    if message.activity_start is not None:
        return ActivityInput.START
    if message.activity_end is not None:
        return ActivityInput.END
    if message.audio_stream_end:
        return ActivityInput.STREAM_END
    return None if message.text is not None else ActivityInput.MEDIA


def server_signal(message: LiveServerMessage) -> PhaseInput:
    """What a server message means for the phase."""
    if message.setup_complete is not None:
        return PhaseInput.SETUP_COMPLETE
    return PhaseInput.GO_AWAY if message.go_away is not None else PhaseInput.SERVER_MESSAGE


def turn_signals(message: LiveServerMessage) -> Iterator[TurnInput]:
    """What a server message means for the turn, in the order of its events."""
    content = message.server_content
    if content is not None and content.interrupted:
        yield TurnInput.INTERRUPTED
    if has_output(message):
        yield TurnInput.OUTPUT
    if content is not None and content.generation_complete:
        yield TurnInput.GENERATION_COMPLETE
    if content is not None and content.turn_complete:
        yield TurnInput.TURN_COMPLETE


def has_output(message: LiveServerMessage) -> bool:
    """Whether a server message holds output of the model."""
    content = message.server_content
    return message.tool_call is not None or (
        content is not None
        and (
            content.model_turn is not None
            or content.output_transcription is not None
            or content.grounding_metadata is not None
            or content.url_context_metadata is not None
        )
    )


def only_output(message: LiveServerMessage) -> LiveServerContent | None:
    """The content of a server message, if all that it holds is a transcript of the model's speech, parts, or both."""
    content = message.server_content
    if content is None or content.extra or not _OUTPUT.issuperset(set_members(content)):
        return None
    return content


def seeds_history(setup: LiveClientSetup | None) -> bool:
    """Whether everything up to the first complete turn is history, which gets no answer (wire.md#initial-history)."""
    history = setup and setup.history_config
    return bool(history and history.initial_history_in_client_content)


def size_of(data: bytes | str) -> int:
    """Bytes of a message's text as UTF-8."""
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode(errors="surrogatepass"))
