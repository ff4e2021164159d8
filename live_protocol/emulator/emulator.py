"""The emulated service: an `Emulator` for a server, and a connection for each client."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import final

from live_protocol.connection.live_connection import LiveConnection
from live_protocol.connection.message_connection import MessageConnection
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
from live_protocol.websocket.external_link import WebSocketAction as MessageAction
from live_protocol.websocket.link_core import Observer, Wants


def describe_speech(pcm: bytes, rate: int) -> str:
    """The default transcriber: returns the length, for example ``[2.4 s of speech]``.

    Args:
        pcm: Mono 16-bit PCM.
        rate: Its rate, in Hz.
    """
    return f"[{len(pcm) / 2 / rate:.1f} s of speech]"


@final
class Emulator:
    """An emulated server. Its connections share handles, tokens, counters and behaviour.

    It has no socket, clock or thread. Use it and its connections from one thread.

    Args:
        model: The model: an object with the methods of `Model`, or one function for everything; an `EchoModel` by
            default, unless ``options.echo`` is False.
        options: Behaviour.
        transcriber: Returns the transcript of an utterance, from mono 16-bit PCM and its rate in Hz.
        entropy: Source of random bytes for ids, handles and tokens; without it they count up, the same in every run.
        limits: Bounds of each connection.
        timeouts: Durations of each connection; by default without pings, as in the service (wire.md#keepalive).
        compression: Whether to accept permessage-deflate.

    Attributes:
        options: Behaviour.

    Raises:
        InvalidMessage: ``model`` is not a model.
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
        """Return the server's end of a new connection.

        Args:
            observer: Called with everything that passes, for example a `live_protocol.recording.Recorder`.
        """
        inner = LiveConnection.server(
            limits=self._limits, timeouts=self._timeouts, compression=self._compression, observer=observer
        )
        return EmulatedConnection(inner, self._context, self._tokens)

    def message_connection(self, *, observer: Observer | None = None) -> EmulatedMessageConnection:
        """Return the server's end of a new connection, over a WebSocket of another library.

        Args:
            observer: As for `connection`.
        """
        inner = MessageConnection.server(limits=self._limits, timeouts=self._timeouts, observer=observer)
        return EmulatedMessageConnection(inner, self._context, self._tokens)

    def mint_token(self, request: AuthTokenCreateRequest, now: float, *, wall: datetime | None = None) -> AuthToken:
        """Mint an ephemeral token (wire.md#ephemeral-tokens).

        Args:
            request: Body of the REST call.
            now: Reading of the clock that the connections' `advance` gets.
            wall: Time of day at that reading; required if the request has times.

        Returns:
            The reply; its ``name`` is the credential.

        Raises:
            InvalidMessage: A time is in the past, more than 20 hours ahead, or ``wall`` is missing; ``uses`` is
                negative; the mask has unknown fields or there is no setup for it. Nothing was minted.
        """
        return self._tokens.mint(request, now, wall)


@final
class EmulatedConnection(BaseEmulatedConnection[LiveConnection], ByteConnectionWrapper[LiveConnection]):
    """The server's end of one connection, with the commands of `LiveConnection`; it answers by itself.

    Drive it like any connection. It reacts to an event when `next_event` returns it, so take all events. `advance` does
    everything that is due. Exceptions of the model propagate out of these two.
    """

    def _drop(self) -> None:
        self._break_transport("dropped on purpose")


@final
class EmulatedMessageConnection(BaseEmulatedConnection[MessageConnection]):
    """An emulated connection over a WebSocket of another library, with the commands of `MessageConnection`."""

    def __init__(self, inner: MessageConnection, context: ServerContext, tokens: TokenStore) -> None:
        """Use `Emulator.message_connection` instead."""
        super().__init__(inner, context, tokens)
        self._tail: deque[MessageAction] = deque()  # actions from before a drop

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
        """See `MessageConnection.wants`; after a drop, drop the WebSocket without a close frame."""
        return WRITE_ONLY if self._tail else self.machine.wants

    @property
    def buffered_out(self) -> int:
        """Bytes of messages waiting in `next_action`."""
        return sum(len(action) for action in self._tail if isinstance(action, bytes)) + self.machine.buffered_out

    def _drop(self) -> None:
        self._tail.extend(iter(self.machine.next_action, None))
        self.machine.transport_failed("dropped on purpose")
