"""What drivers and wrappers of a connection can rely on; `LiveConnection` documents each member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from live_protocol.close_info import CloseInfo
from live_protocol.errors import LiveProtocolError
from live_protocol.events import Event
from live_protocol.messages import FunctionCall
from live_protocol.states import ConnectionState, Phase, TurnState
from live_protocol.websocket.external_link import WebSocketAction
from live_protocol.websocket.link_core import Wants


class Connection(Protocol):
    """A connection of either role, over any transport. Reading its attributes has no side effects."""

    @property
    def wants(self) -> Wants: ...

    @property
    def state(self) -> ConnectionState: ...

    @property
    def phase(self) -> Phase: ...

    @property
    def turn(self) -> TurnState: ...

    @property
    def pending_tool_calls(self) -> tuple[FunctionCall, ...]: ...

    @property
    def close_info(self) -> CloseInfo | None: ...

    @property
    def buffered_in(self) -> int: ...

    @property
    def buffered_out(self) -> int: ...

    def tick(self, now: float) -> None: ...

    def advance(self, now: float) -> None: ...

    def transport_failed(self, error: BaseException | str) -> None: ...

    def next_event(self) -> Event | None: ...

    def next_deadline(self) -> float | None: ...

    def send(self, message: Any) -> None: ...

    def close(self, code: int = 1000, reason: str = "") -> None: ...


class ByteConnection(Connection, Protocol):
    """A connection over a byte stream: `LiveConnection`, `PersistentConnection`, or a wrapper of the first."""

    @property
    def latency(self) -> float | None: ...

    def receive_data(self, data: bytes | bytearray | memoryview) -> None: ...

    def receive_eof(self) -> None: ...

    def data_to_send(self) -> bytes: ...

    def ping(self, payload: bytes = b"") -> None: ...


class ServerConnection(Connection, Protocol):
    """A connection that can be the server's end."""

    def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None: ...

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None: ...


class ByteServerConnection(ByteConnection, ServerConnection, Protocol):
    """A `ByteConnection` that can be the server's end: `LiveConnection`, or a wrapper of one."""


class MessageServerConnection(ServerConnection, Protocol):
    """A connection over a WebSocket that another library runs: `MessageConnection`, or a wrapper of one."""

    def requested(self, target: str, headers: Sequence[tuple[str, str]] = ()) -> None: ...

    def receive_message(self, data: bytes | bytearray | memoryview | str) -> None: ...

    def closed(self, code: int = 1006, reason: str = "") -> None: ...

    def fail(self, error: LiveProtocolError) -> None: ...

    def next_action(self) -> WebSocketAction | None: ...
