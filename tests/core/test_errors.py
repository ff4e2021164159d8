"""The text of each error, and the close code that it answers with."""

from __future__ import annotations

import pytest

from live_protocol.errors import (
    AlreadyClosed,
    ConnectionClosing,
    DeadlineExpired,
    IllegalInState,
    InvalidJson,
    InvalidMessage,
    LimitExceeded,
    MessageTooLarge,
    OutOfOrder,
    RemoteProtocolError,
    SchemaMismatch,
    ServerClosed,
    ToolCallWasCancelled,
    TransportFailed,
)
from live_protocol.timing import Deadline


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (IllegalInState("ping", "CLOSED", "dial"), "ping is not possible while CLOSED: dial"),
        (InvalidMessage("a.b", "why"), "a.b: why"),
        (InvalidMessage("", "why"), "why"),
        (MessageTooLarge(5, 4), "the message is 5 bytes, Limits.max_send allows 4; send it in smaller pieces"),
        (ConnectionClosing("ping"), "ping came after the connection began to close; nothing was sent"),
        (AlreadyClosed("ping"), "ping came after the connection had ended; nothing was sent"),
        (ToolCallWasCancelled("x"), "tool call 'x' was cancelled by the server; its response was not sent"),
        (InvalidJson("why"), "invalid JSON: why"),
        (InvalidJson("why", 0), "invalid JSON at character 0: why"),
        (SchemaMismatch("", "why"), "why"),
        (SchemaMismatch("a", "why"), "a: why"),
        (LimitExceeded("max_message", 5), "the peer exceeded Limits.max_message = 5"),
        (DeadlineExpired(Deadline.OPEN, 10.0, "why"), "the open deadline expired after 10 s: why"),
        (TransportFailed("why"), "why"),
        (ServerClosed(1011, "r", "h"), "closed by the peer with 1011 'r': h"),
        (ServerClosed(1011, ""), "closed by the peer with 1011"),
    ],
)
def test_an_error_explains_itself(error: Exception, text: str) -> None:
    assert str(error) == text


def test_a_remote_error_has_a_close_code_and_reason() -> None:
    assert (RemoteProtocolError("x").close_code, RemoteProtocolError("x").close_reason) == (1002, "x")
    assert (OutOfOrder("x", close_code=1007).close_code, OutOfOrder("x", close_reason="").close_reason) == (1007, "")
    assert LimitExceeded("a", 1).close_code == 1009
    assert SchemaMismatch("a", "b", close_reason="c").close_reason == "c"
    assert SchemaMismatch("a", "b").close_reason == "Request contains an invalid argument."
