"""Three kinds of errors that never mix: the caller's bug, a lost race, the peer's fault.

The text of an error never contains a key, a token, the query of a URL or a payload.
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

_INVALID_ARGUMENT = "Request contains an invalid argument."
"""The service's reason when it gives no details (wire.md#close-reasons)."""


class LiveProtocolError(Exception):
    """Base of all errors that this library raises or reports."""


# --- the caller's bug: a command raises it and changes nothing --------------------------------------------------


class LocalProtocolError(LiveProtocolError):
    """The protocol does not allow what the caller asked for. Nothing was sent and no state has changed."""


class IllegalInState(LocalProtocolError):
    """The command is not possible in the present state.

    Attributes:
        operation: The refused command.
        state: The state that does not allow it.
        hint: What to do instead.
    """

    def __init__(self, operation: str, state: str, hint: str) -> None:
        super().__init__(f"{operation} is not possible while {state}: {hint}")
        self.operation = operation
        self.state = state
        self.hint = hint


class InvalidMessage(LocalProtocolError):
    """The service would refuse the message, or an argument is malformed.

    Attributes:
        path: Path of the bad value, in the names of the message classes, for example ``setup.tools[0].name``.
        why: What is wrong with it and what to do instead.
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


# --- a lost race: a command raises it and sends nothing; safe to ignore -----------------------------------------


class StaleOperation(LiveProtocolError):
    """The command came too late, through no fault of the caller. Nothing was sent; ignoring the error is safe."""


class ConnectionClosing(StaleOperation):
    """The closing handshake has begun; the connection sends nothing more."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"{operation} came after the connection began to close; nothing was sent")
        self.operation = operation


class AlreadyClosed(StaleOperation):
    """The connection has ended."""

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
    """The call came on an earlier connection and cannot be answered on the present one.

    Attributes:
        call_id: Id of the call, or its name if it has no id.
        epoch: Number of the connection that the call came on.
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
    """The command came between two connections, and the policy does not keep its input for the next one.

    Attributes:
        operation: The command.
        why: Why its input was not kept.
    """

    def __init__(self, operation: str, why: str) -> None:
        super().__init__(f"{operation} came between two connections and {why}; nothing was sent")
        self.operation = operation
        self.why = why


# --- the peer's fault: carried by ConnectionFailed, never raised by a command -----------------------------------


class RemoteProtocolError(LiveProtocolError):
    """The peer broke the protocol.

    Attributes:
        close_code: Close code that this end answers with (RFC 6455 section 7.4).
        close_reason: Close reason that goes with it.
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
        status: HTTP status of the refusal; None if the peer broke HTTP or RFC 6455 instead of refusing.
        headers: Header fields of the refusal, names in lower case.
        body: Body of the refusal, truncated to ``Limits.max_body``.
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
    """The peer exceeded a limit.

    Attributes:
        which: Name of the limit, a field of `Limits`.
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
        position: Offset in characters, if known.
    """

    def __init__(self, why: str, position: int | None = None) -> None:
        where = "" if position is None else f" at character {position}"
        super().__init__(f"invalid JSON{where}: {why}", close_code=1007, close_reason=_INVALID_ARGUMENT)
        self.why = why
        self.position = position


class SchemaMismatch(RemoteProtocolError):
    """A message is JSON but does not fit its class.

    Attributes:
        path: Path of the bad value in snake_case, for example ``setup.generation_config``.
        why: What is wrong with it.
    """

    def __init__(self, path: str, why: str, *, close_reason: str | None = None) -> None:
        text = f"{path}: {why}" if path else why
        super().__init__(text, close_code=1007, close_reason=close_reason or _INVALID_ARGUMENT)
        self.path = path
        self.why = why


class OutOfOrder(RemoteProtocolError):
    """A valid message came in a phase that does not allow it."""


# --- nobody's bug -----------------------------------------------------------------------------------------------


class DeadlineExpired(LiveProtocolError):
    """A step took longer than `Timeouts` allows.

    Attributes:
        which: The deadline.
        after: The time it allowed, in seconds.
        detail: What was sent and what did not come.
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
    """The peer closed the connection with a code that means an error: a verdict, not a violation.

    Attributes:
        code: Close code (RFC 6455 section 7.4).
        reason: The peer's text as it came. The text of the error leaves out credentials in it.
        hint: What to do about it, if the code or the reason is known (wire.md#close-reasons).
    """

    def __init__(self, code: int, reason: str, hint: str = "") -> None:
        text = f"closed by the peer with {code}" + (f" {redact_credentials(reason)!r}" if reason else "")
        super().__init__(f"{text}: {hint}" if hint else text)
        self.code = code
        self.reason = reason
        self.hint = hint


class ServerClosed(PeerClosed):
    """The service ended the connection with an error code, such as 1007, 1008 or 1011."""


class ClientClosed(PeerClosed):
    """A client ended the connection with an error code."""
