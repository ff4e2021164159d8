"""The emulated service: one `Emulator` for a server, one connection of it for each client."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import final

from live_protocol.connection.live_connection import LiveConnection
from live_protocol.connection.message_connection import MessageConnection
from live_protocol.connection.message_connection import WebSocketAction as MessageAction
from live_protocol.connection.wrappers import WRITE_ONLY, ByteConnectionWrapper
from live_protocol.emulator.actions import Model, ModelAction, UserTurn, as_model
from live_protocol.emulator.connection import BaseEmulatedConnection
from live_protocol.emulator.context import ServerContext
from live_protocol.emulator.echo_model import EchoModel
from live_protocol.emulator.options import EmulatorOptions
from live_protocol.emulator.store import IdGenerator, SessionStore, TokenStore
from live_protocol.errors import LiveProtocolError
from live_protocol.limits import Limits
from live_protocol.messages import AuthToken, AuthTokenCreateRequest
from live_protocol.timing import Timeouts
from live_protocol.websocket.link import Observer, Wants

__all__ = ["EmulatedConnection", "EmulatedMessageConnection", "Emulator", "describe_speech"]


def describe_speech(pcm: bytes, rate: int) -> str:
    """The default transcript: how long it was, for example ``[2.4 s of speech]``.

    Args:
        pcm: Mono 16-bit PCM.
        rate: Its rate, in Hz.
    """
    return f"[{len(pcm) / 2 / rate:.1f} s of speech]"


@final
class Emulator:
    """What all connections of one emulated server share: handles, tokens, counters, behaviour.

    It is pure: no socket, no clock, no thread. Use it and its connections from one thread.

    Args:
        model: Who answers: an object with the methods of `Model`, or a function that is asked everything; an
            `EchoModel` if left out, unless ``options.echo`` is off.
        options: Behaviour; the defaults if left out.
        transcriber: Makes the transcript of an utterance from mono 16-bit PCM and its rate in Hz.
        entropy: Source of random bytes for ids, handles and tokens; without it they count up, the same in every run.
        limits: Bounds of each connection.
        timeouts: Durations of each connection; the service itself sends no pings (wire.md#keepalive).
        compression: Whether to accept permessage-deflate.

    Attributes:
        options: Behaviour.

    Raises:
        InvalidMessage: From the constructor: ``model`` is no model.
    """

    def __init__(
        self,
        model: Model | Callable[[UserTurn], Iterable[ModelAction]] | None = None,
        *,
        options: EmulatorOptions | None = None,
        transcriber: Callable[[bytes, int], str] = describe_speech,
        entropy: Callable[[int], bytes] | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        compression: bool = False,
    ) -> None:
        self.options: EmulatorOptions = options or EmulatorOptions()
        ids = IdGenerator(entropy)
        self._tokens = TokenStore(ids)
        self._context = ServerContext(
            options=self.options,
            model=EchoModel() if model is None else as_model(model),
            answers=model is not None or self.options.echo,
            transcriber=transcriber,
            ids=ids,
            store=SessionStore(ids, self.options.max_handles),
        )
        self._limits = limits
        self._timeouts = timeouts or Timeouts(ping_interval=None)
        self._compression = compression

    def connection(self, *, observer: Observer | None = None) -> EmulatedConnection:
        """The server's end of one more connection.

        Args:
            observer: Told of everything that passes, for example a `live_protocol.recording.Recorder`.
        """
        inner = LiveConnection.server(
            limits=self._limits, timeouts=self._timeouts, compression=self._compression, observer=observer
        )
        return EmulatedConnection(inner, self._context, self._tokens)

    def message_connection(self, *, observer: Observer | None = None) -> EmulatedMessageConnection:
        """The server's end of one more connection, over a WebSocket that another library runs.

        Args:
            observer: As for `connection`.
        """
        inner = MessageConnection.server(limits=self._limits, timeouts=self._timeouts, observer=observer)
        return EmulatedMessageConnection(inner, self._context, self._tokens)

    def mint_token(self, request: AuthTokenCreateRequest, now: float, *, wall: datetime | None = None) -> AuthToken:
        """Mint an ephemeral token (wire.md#ephemeral-tokens).

        Args:
            request: Body of the REST call.
            now: Reading of the clock that the connections' `advance` is told.
            wall: What time it is at that reading; needed where the request names times.

        Returns:
            The reply; its name is the credential.

        Raises:
            InvalidMessage: A time that is not ahead, or by more than 20 hours, or without ``wall``; negative uses; a
                mask of unknown fields, or without a setup. Nothing was minted.
        """
        return self._tokens.mint(request, now, wall)


@final
class EmulatedConnection(BaseEmulatedConnection[LiveConnection], ByteConnectionWrapper[LiveConnection]):
    """The server's end of one connection, with the commands of `LiveConnection`; it answers by itself.

    Drive it like any connection. `next_event` lets the emulation react to the event it gives, so an event that nobody
    takes is not answered; `advance` does what the emulation has planned. What a model raises comes out of these two.
    """

    def _drop(self) -> None:
        self._break_transport("dropped on purpose")


@final
class EmulatedMessageConnection(BaseEmulatedConnection[MessageConnection]):
    """The same over a WebSocket that another library runs, with the commands of `MessageConnection`."""

    def __init__(self, inner: MessageConnection, context: ServerContext, tokens: TokenStore) -> None:
        """Use `Emulator.message_connection` instead."""
        super().__init__(inner, context, tokens)
        self._tail: deque[MessageAction] = deque()  # from before a drop, and not yet taken

    def requested(self, target: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """See `MessageConnection.requested`."""
        self.machine.requested(target, headers)

    def receive_message(self, data: bytes | bytearray | memoryview | str) -> None:
        """See `MessageConnection.receive_message`."""
        self.machine.receive_message(data)

    def closed(self, code: int = 1006, reason: str = "") -> None:
        """See `MessageConnection.closed`."""
        self._tail.clear()
        self.machine.closed(code, reason)

    def fail(self, error: LiveProtocolError) -> None:
        """See `MessageConnection.fail`."""
        self.machine.fail(error)

    def transport_failed(self, error: BaseException | str) -> None:
        """See `MessageConnection.transport_failed`."""
        self._tail.clear()
        self.machine.transport_failed(error)

    def next_action(self) -> MessageAction | None:
        """See `MessageConnection.next_action`."""
        return self._tail.popleft() if self._tail else self.machine.next_action()

    @property
    def wants(self) -> Wants:
        """See `MessageConnection.wants`; after a drop: drop the WebSocket, without a close frame."""
        return WRITE_ONLY if self._tail else self.machine.wants

    @property
    def buffered_out(self) -> int:
        """Bytes of messages that wait in `next_action`."""
        return sum(len(action) for action in self._tail if isinstance(action, bytes)) + self.machine.buffered_out

    def _drop(self) -> None:
        self._tail.extend(iter(self.machine.next_action, None))
        self.machine.transport_failed("dropped on purpose")
