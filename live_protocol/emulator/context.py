"""What a session shares with the other sessions of its server, and how it reaches its connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import attrs

from live_protocol.emulator.actions import Model
from live_protocol.emulator.options import EmulatorOptions
from live_protocol.emulator.store import IdGenerator, SessionStore
from live_protocol.emulator.validation import SessionRefusal
from live_protocol.messages import FunctionCall, FunctionResponse, LiveServerMessage

__all__ = ["Port", "Prompt", "ServerContext"]


class Port(Protocol):
    """What a session needs of its connection; after the end of the connection nothing of it does anything."""

    def send(self, message: LiveServerMessage) -> None:
        """Send a message."""
        ...

    def refuse(self, refusal: SessionRefusal) -> None:
        """Close the connection."""
        ...

    def drop(self) -> None:
        """End the connection without a close frame."""
        ...


@attrs.frozen(kw_only=True)
class ServerContext:
    """What all sessions of a server share.

    Attributes:
        options: Behaviour.
        model: Who answers.
        answers: Whether anybody does.
        transcriber: Makes the transcript of PCM at a rate.
        ids: Makes ids.
        store: Resumable conversations.
    """

    options: EmulatorOptions
    model: Model
    answers: bool
    transcriber: Callable[[bytes, int], str]
    ids: IdGenerator
    store: SessionStore


@attrs.frozen(kw_only=True)
class Prompt:
    """Something to answer, possibly later.

    Attributes:
        kind: Which method of the model is asked.
        before: How much of the history comes before it.
    """

    kind: Literal["text", "speech", "response"]
    before: int
    text: str = ""
    speech: bytes = b""
    response: FunctionResponse | None = None
    call: FunctionCall | None = None
