"""How a link can end, as `CloseInfo`: by a close frame, a refusal, a failure, or the transport."""

from __future__ import annotations

import errno
import os
from typing import Final

from live_protocol.close_info import CLEAN_CODES, CloseInfo, Initiator, diagnose
from live_protocol.errors import (
    ClientClosed,
    DeadlineExpired,
    HandshakeFailed,
    InvalidMessage,
    LiveProtocolError,
    RemoteProtocolError,
    ServerClosed,
    TransportFailed,
)
from live_protocol.states import ConnectionState
from live_protocol.timing import Deadline
from live_protocol.websocket.frames import peer_may_send
from live_protocol.websocket.handshake import refusal_hint

MAX_REASON: Final = 123  # RFC 6455 section 5.5: 125 bytes of a control frame, less the code
MEANWHILE: Final = {
    ConnectionState.CONNECTING: "during the opening handshake",
    ConnectionState.OPEN: "without a close frame",
    ConnectionState.CLOSING: "before the peer answered our close frame",
}
"""What the end of the transport cut off, by the state it found."""


def check_close(code: int, reason: str) -> None:
    """Refuse what cannot stand in a close frame.

    Raises:
        InvalidMessage: The code may not be sent, or the reason is no UTF-8 or too long.
    """
    if not isinstance(code, int) or not peer_may_send(code):
        raise InvalidMessage("code", "must be 1000 to 1003, 1007 to 1014 or 3000 to 4999")
    if not isinstance(reason, str) or any("\ud800" <= char <= "\udfff" for char in reason):
        raise InvalidMessage("reason", "must be text without lone surrogates")
    if (size := len(reason.encode())) > MAX_REASON:
        raise InvalidMessage("reason", f"must be {MAX_REASON} bytes of UTF-8 at most, not {size}")


def closed_locally() -> CloseInfo:
    """The attempt to connect was given up because the caller said so."""
    return CloseInfo(code=1006, clean=False, initiator=Initiator.LOCAL)


def closed_by_frame(code: int, reason: str, *, sent: tuple[int, str] | None, cut: bool, client: bool) -> CloseInfo:
    """The peer's close frame came.

    Args:
        code: Its code, 1005 for none.
        reason: Its reason.
        sent: Code and reason of our own close frame, if that went first.
        cut: Whether it left a message unfinished.
        client: Our role.
    """
    clean = code in CLEAN_CODES
    echo = sent is not None and sent[0] == code
    retryable, hint = diagnose(code, reason)
    if sent is not None and (clean or echo):
        retryable, hint = False, ""  # it says no more than that we were heard
        reason = reason or (sent[1] if echo else "")
    if cut:
        hint = f"{hint} The close frame cut off a message.".lstrip()
    error = None
    if not clean and not echo:
        error = (ServerClosed if client else ClientClosed)(code, reason, hint)
    return CloseInfo(
        code=code,
        reason=reason,
        clean=clean,
        initiator=Initiator.REMOTE if sent is None else Initiator.LOCAL,
        error=error,
        retryable=retryable,
        hint=hint,
    )


def closed_by_refusal(error: RemoteProtocolError) -> CloseInfo:
    """Client role: the server refused the upgrade, or did not answer as a WebSocket server does."""
    initiator = Initiator.LOCAL
    retryable = False
    hint = "The other end does not answer as a WebSocket server: check scheme, host, port and path."
    if isinstance(error, HandshakeFailed) and error.status is not None:
        initiator = Initiator.REMOTE
        retryable, hint = refusal_hint(error.status)
    return CloseInfo(code=1006, clean=False, initiator=initiator, error=error, retryable=retryable, hint=hint)


def closed_by_failure(error: LiveProtocolError, code: int, reason: str) -> CloseInfo:
    """The peer broke a rule or a deadline.

    Args:
        error: What it was.
        code: Code of the close frame that went out, 1006 for none.
        reason: Its reason.
    """
    retryable, hint = diagnose(code, reason) if isinstance(error, DeadlineExpired) else (False, "")
    return CloseInfo(
        code=code,
        reason=reason,
        clean=False,
        initiator=Initiator.LOCAL,
        error=error,
        retryable=retryable,
        hint=hint,
    )


def closed_by_transport(why: str, *, closing: bool) -> CloseInfo:
    """The byte stream ended without the peer's close frame.

    Args:
        why: What happened.
        closing: Whether our own close frame went before.
    """
    retryable, hint = diagnose(1006, "")
    return CloseInfo(
        code=1006,
        clean=False,
        initiator=Initiator.LOCAL if closing else Initiator.TRANSPORT,
        error=TransportFailed(why),
        retryable=retryable,
        hint=hint,
    )


def close_frame_for(error: LiveProtocolError) -> tuple[int, str]:
    """Code and reason of the close frame that names a fault, cut to what fits."""
    if isinstance(error, RemoteProtocolError):
        code, reason = error.close_code, error.close_reason
    elif isinstance(error, DeadlineExpired):
        code = 1011
        reason = "keepalive ping timeout" if error.which is Deadline.PONG else str(error)
    else:
        code, reason = 1011, ""
    return code, reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")


def scrub(error: BaseException) -> str:
    """What may be said about an exception: texts and arguments of unknown origin can hold addresses and credentials."""
    name = type(error).__name__
    number = error.errno if isinstance(error, OSError) else None
    if number is None or number not in errno.errorcode or any(base.__module__ == "ssl" for base in type(error).__mro__):
        return name  # the errno of TLS errors is a number of OpenSSL
    return f"{name}: {os.strerror(number)}"
