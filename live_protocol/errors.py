"""The error taxonomy: the caller's bug, a lost race, the peer's fault. The three never mix.

No message of these classes ever holds a key, a token, a URL's query or a payload.
"""

from __future__ import annotations

from collections.abc import Sequence

from live_protocol._redaction import redact_credentials
from live_protocol.timing import Deadline

__all__ = [
    "AlreadyClosed",
    "ClientClosed",
    "ConnectionClosing",
    "DeadlineExpired",
    "FrameViolation",
    "HandshakeFailed",
    "IllegalInState",
    "InvalidJson",
    "InvalidMessage",
    "LimitExceeded",
    "LiveProtocolError",
    "LocalProtocolError",
    "MessageTooLarge",
    "NotConnected",
    "OutOfOrder",
    "PeerClosed",
    "RemoteProtocolError",
    "SchemaMismatch",
    "ServerClosed",
    "StaleOperation",
    "ToolCallOrphaned",
    "ToolCallWasCancelled",
    "TransportFailed",
]

_UNSPECIFIC = "Request contains an invalid argument."
"""What the service says where it says nothing precise (wire.md#close-reasons)."""


class LiveProtocolError(Exception):
    """Base of everything this library raises or reports."""


# --- the caller's bug: raised by a command, nothing has changed -------------------------------------------------


class LocalProtocolError(LiveProtocolError):
    """The caller asked for something the protocol does not allow. Nothing was sent and no state has changed."""


class IllegalInState(LocalProtocolError):
    """The command is fine, its moment is not.

    Attributes:
        operation: The command that was refused.
        state: The state it was refused in.
        hint: What to do instead.
    """

    def __init__(self, operation: str, state: str, hint: str) -> None:
        super().__init__(f"{operation} is not possible while {state}: {hint}")
        self.operation = operation
        self.state = state
        self.hint = hint


class InvalidMessage(LocalProtocolError):
    """The message would be refused by the service.

    Attributes:
        path: Where, in the snake_case names of the message classes, for example ``setup.tools[0].name``.
        why: What is wrong there and what to do instead.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path = path
        self.why = why


class MessageTooLarge(LocalProtocolError):
    """The encoded message exceeds ``Limits.max_send``.

    Attributes:
        size: Bytes of the encoded message.
        limit: Bytes allowed.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the message is {size} bytes, Limits.max_send allows {limit}; send it in smaller pieces")
        self.size = size
        self.limit = limit


# --- a lost race: raised by a command, nothing was sent, safe to ignore -----------------------------------------


class StaleOperation(LiveProtocolError):
    """The command came too late through nobody's fault. Nothing was sent; ignoring it is safe."""


class ConnectionClosing(StaleOperation):
    """The closing handshake has begun; nothing more can be sent on this connection."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"{operation} came after the connection began to close; nothing was sent")
        self.operation = operation


class AlreadyClosed(StaleOperation):
    """The connection has ended; nothing more can be sent on it."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"{operation} came after the connection had ended; nothing was sent")
        self.operation = operation


class ToolCallWasCancelled(StaleOperation):
    """The server cancelled this call before its response was sent (wire.md#cancellation).

    Attributes:
        call_id: Id of the cancelled call.
    """

    def __init__(self, call_id: str) -> None:
        super().__init__(f"tool call {call_id!r} was cancelled by the server; its response was not sent")
        self.call_id = call_id


class ToolCallOrphaned(StaleOperation):
    """The call was made on an earlier connection, and may not be answered on the present one.

    Attributes:
        call_id: Id of the call, or its name where it has none.
        epoch: Number of the connection it was made on.
        current: Number of the present connection.
    """

    def __init__(self, call_id: str, epoch: int, current: int) -> None:
        super().__init__(
            f"tool call {call_id!r} was made on connection {epoch}, this is connection {current}; "
            "its response was not sent"
        )
        self.call_id = call_id
        self.epoch = epoch
        self.current = current


class NotConnected(StaleOperation):
    """The command came between two connections, and the policy keeps no input, or no more of it.

    Attributes:
        operation: The command.
        why: Why it was not kept.
    """

    def __init__(self, operation: str, why: str) -> None:
        super().__init__(f"{operation} came between two connections and {why}; nothing was sent")
        self.operation = operation
        self.why = why


# --- the peer's fault: only found inside ConnectionFailed -------------------------------------------------------


class RemoteProtocolError(LiveProtocolError):
    """The peer broke the protocol.

    Attributes:
        close_code: The RFC 6455 close code that this end answers with.
        close_reason: The close reason that goes with it; UTF-8, 123 bytes at most.
    """

    close_code: int = 1002
    close_reason: str = ""

    def __init__(self, message: str, *, close_code: int | None = None, close_reason: str | None = None) -> None:
        super().__init__(message)
        if close_code is not None:
            self.close_code = close_code
        self.close_reason = message if close_reason is None else close_reason


class HandshakeFailed(RemoteProtocolError):
    """The opening handshake did not lead to a WebSocket (RFC 6455 section 4).

    Attributes:
        why: What was wrong.
        status: HTTP status of the refusal, or None where the peer broke HTTP or RFC 6455 instead of refusing.
        headers: Header fields of the refusal, names in lower case.
        body: Body of the refusal, cut at ``Limits.max_body``.
    """

    def __init__(
        self,
        why: str,
        *,
        status: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        super().__init__(f"opening handshake failed: {why}")
        self.why = why
        self.status = status
        self.headers: tuple[tuple[str, str], ...] = tuple(headers)
        self.body = body


class FrameViolation(RemoteProtocolError):
    """A frame broke RFC 6455 (or RFC 7692)."""


class LimitExceeded(RemoteProtocolError):
    """The peer broke a bound of `Limits`.

    Attributes:
        which: Name of the bound.
        limit: Its value.
    """

    def __init__(self, which: str, limit: int, *, close_code: int = 1009) -> None:
        super().__init__(f"the peer exceeded Limits.{which} = {limit}", close_code=close_code)
        self.which = which
        self.limit = limit


class InvalidJson(RemoteProtocolError):
    """A message is not strict UTF-8 JSON with an object at the top.

    Attributes:
        why: What is wrong, without the text itself.
        position: Character offset where known.
    """

    def __init__(self, why: str, position: int | None = None) -> None:
        where = "" if position is None else f" at character {position}"
        super().__init__(
            f"invalid JSON{where}: {why}",
            close_code=1007,
            close_reason=_UNSPECIFIC,
        )
        self.why = why
        self.position = position


class SchemaMismatch(RemoteProtocolError):
    """A message is JSON, but not one of this protocol.

    Attributes:
        path: Where, in snake_case, for example ``setup.generation_config``.
        why: What is wrong there.
    """

    def __init__(self, path: str, why: str, *, close_reason: str | None = None) -> None:
        super().__init__(f"{path}: {why}" if path else why, close_code=1007, close_reason=close_reason or _UNSPECIFIC)
        self.path = path
        self.why = why


class OutOfOrder(RemoteProtocolError):
    """A well-formed message came in a phase that does not allow it."""


# --- neither side's bug -----------------------------------------------------------------------------------------


class DeadlineExpired(LiveProtocolError):
    """Something took longer than `Timeouts` allows.

    Attributes:
        which: The deadline.
        after: The time it allowed, in seconds.
        detail: What had been sent and what was still missing.
    """

    def __init__(self, which: Deadline, after: float, detail: str) -> None:
        super().__init__(f"the {which} deadline expired after {after:g} s: {detail}")
        self.which = which
        self.after = after
        self.detail = detail


class TransportFailed(LiveProtocolError):
    """The byte stream under the connection ended or broke without a closing handshake (close code 1006).

    Attributes:
        why: What happened, for example ``"the stream ended without a close frame"``.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class PeerClosed(LiveProtocolError):
    """The peer closed the connection with a code that says something went wrong: a verdict, not a violation.

    Attributes:
        code: Close code (RFC 6455 section 7.4).
        reason: The peer's text as it came; should it quote a credential, the text of the error does not.
        hint: What to do about it, where the reason is a known one (wire.md#close-reasons).
    """

    def __init__(self, code: int, reason: str, hint: str = "") -> None:
        text = f"closed by the peer with {code}" + (f" {redact_credentials(reason)!r}" if reason else "")
        super().__init__(f"{text}: {hint}" if hint else text)
        self.code = code
        self.reason = reason
        self.hint = hint


class ServerClosed(PeerClosed):
    """The service's answer to the client: 1007, 1008, 1011 and their like, with its text."""


class ClientClosed(PeerClosed):
    """A client ended its connection to this server with an error code."""
