"""The objects that a session gets from its server and its connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs

from live_protocol.connection.base import BaseConnection
from live_protocol.emulator.actions import Model
from live_protocol.emulator.options import EmulatorOptions
from live_protocol.emulator.store import IdGenerator, SessionStore
from live_protocol.emulator.validation import SessionRefusal
from live_protocol.errors import MessageTooLarge
from live_protocol.messages import FunctionCall, FunctionResponse, LiveServerMessage
from live_protocol.states import ConnectionState


@attrs.frozen
class Port:
    """A session's access to its connection. After the end of the connection it does nothing."""

    _connection: BaseConnection[Any]
    _drop: Callable[[], None]

    def send(self, message: LiveServerMessage) -> None:
        """Send a message."""
        if self._connection.state is ConnectionState.OPEN:
            try:
                self._connection.send(message)
            except MessageTooLarge:
                self._connection.close(1011, "Internal error occurred.")

    def refuse(self, refusal: SessionRefusal) -> None:
        """Close the connection."""
        if self._connection.state is ConnectionState.OPEN:
            self._connection.close(refusal.code, refusal.reason)

    def drop(self) -> None:
        """End the connection without a close frame."""
        self._drop()


@attrs.frozen(kw_only=True)
class ServerContext:
    """State that all sessions of a server share.

    Attributes:
        options: Behaviour.
        model: The model.
        answers: Whether the model answers text and speech.
        transcriber: Returns the transcript of PCM at a rate.
        ids: Source of ids.
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
    """Input for the model, which may have to wait for its turn.

    Attributes:
        kind: The method of the model that answers.
        before: Length of the history before it.
    """

    kind: Literal["text", "speech", "response"]
    before: int
    text: str = ""
    speech: bytes = b""
    response: FunctionResponse | None = None
    call: FunctionCall | None = None
