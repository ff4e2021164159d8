"""Every cell of the link's table, and what each state lets a command do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.websocket.harness import (
    BINARY,
    GOOD_REQUEST,
    GOOD_RESPONSE,
    KEY,
    TEXT,
    close_frame,
    new_client,
    new_server,
    open_client,
    open_link,
    open_server,
    outcome,
    parse,
    pull,
    raw,
)
from live_protocol.errors import (
    AlreadyClosed,
    ConnectionClosing,
    IllegalInState,
    InvalidMessage,
    MessageTooLarge,
    StaleOperation,
)
from live_protocol.events import PingReceived, PongReceived
from live_protocol.limits import Limits
from live_protocol.states import CONNECTION_TRANSITIONS, ConnectionInput, ConnectionState
from live_protocol.websocket import Wants, WebSocketLink

ROLES = pytest.mark.parametrize("role", ["client", "server"])


def new_link(role: str) -> WebSocketLink:
    return new_client() if role == "client" else new_server()


def closing_link(role: str) -> WebSocketLink:
    link = open_link(role)
    link.close()
    return link


STATES: dict[ConnectionState, Callable[[str], WebSocketLink]] = {
    ConnectionState.CONNECTING: new_link,
    ConnectionState.OPEN: open_link,
    ConnectionState.CLOSING: closing_link,
}


def upgraded(link: WebSocketLink, role: str) -> None:
    if role == "client":
        link.receive_data(GOOD_RESPONSE)
    else:
        link.receive_data(GOOD_REQUEST)
        link.accept()


def failed(link: WebSocketLink, role: str) -> None:
    connecting = link.state is ConnectionState.CONNECTING
    link.receive_data(b"\0" if connecting else raw(3, to=role))


INPUTS: dict[ConnectionInput, Callable[[WebSocketLink, str], None]] = {
    ConnectionInput.UPGRADED: upgraded,
    ConnectionInput.LOCAL_CLOSE: lambda link, role: link.close(),
    ConnectionInput.REMOTE_CLOSE: lambda link, role: link.receive_data(close_frame(1000, to=role)),
    ConnectionInput.FAIL: failed,
    ConnectionInput.END: lambda link, role: link.receive_eof(),
}


@ROLES
@pytest.mark.parametrize(("state", "what"), CONNECTION_TRANSITIONS, ids=str)
def test_every_cell_of_the_table_is_taken(state: ConnectionState, what: ConnectionInput, role: str) -> None:
    link = STATES[state](role)
    assert link.state is state
    INPUTS[what](link, role)
    assert link.state is CONNECTION_TRANSITIONS[state, what]


@ROLES
@pytest.mark.parametrize("state", ConnectionState, ids=str)
@pytest.mark.parametrize("command", ["send_text", "send_binary", "ping"])
def test_what_may_be_sent_when(state: ConnectionState, command: str, role: str) -> None:
    """W24."""
    if state is ConnectionState.CLOSED:
        link = open_link(role)
        link.receive_eof()
    else:
        link = STATES[state](role)
    pull(link)
    link.data_to_send()
    send = getattr(link, command)
    if state is ConnectionState.OPEN:
        send(b"x")
        first = {"send_text": 0x81, "send_binary": 0x82, "ping": 0x89}[command]
        assert parse(link.data_to_send()) == [(first, b"x")]
        return
    kinds = {
        ConnectionState.CONNECTING: IllegalInState,
        ConnectionState.CLOSING: ConnectionClosing,
        ConnectionState.CLOSED: AlreadyClosed,
    }
    with pytest.raises(kinds[state]) as caught:
        send(b"x" * 10_000_000)
    assert len(str(caught.value)) < 200
    assert issubclass(kinds[state], StaleOperation) is (state is not ConnectionState.CONNECTING)
    assert (link.state, link.buffered_out) == (state, 0)


@ROLES
@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("command", ["send_text", "send_binary"])
def test_a_message_may_be_as_large_as_its_limit(role: str, command: str, extra: int) -> None:
    link = open_link(role, limits=Limits(max_send=1000))
    send = getattr(link, command)
    if extra <= 0:
        send(bytes(1000 + extra))
        assert len(parse(link.data_to_send())[0][1]) == 1000 + extra
        return
    with pytest.raises(MessageTooLarge) as caught:
        send(bytes(1000 + extra))
    assert (caught.value.size, caught.value.limit, link.buffered_out) == (1001, 1000, 0)


@pytest.mark.parametrize("command", ["send_text", "send_binary", "ping"])
@pytest.mark.parametrize("data", ["text", bytearray(b"x"), None, 5])
def test_only_bytes_are_sent(command: str, data: object) -> None:
    """W22, A9."""
    link = open_client()
    with pytest.raises(InvalidMessage):
        getattr(link, command)(data)
    assert link.buffered_out == 0


@pytest.mark.parametrize("size", [124, 125, 126])
def test_a_ping_has_125_bytes_at_most(size: int) -> None:
    """W22."""
    link = open_client()
    if size <= 125:
        link.ping(bytes(size))
        assert parse(link.data_to_send()) == [(0x89, bytes(size))]
    else:
        with pytest.raises(InvalidMessage):
            link.ping(bytes(size))
        assert link.buffered_out == 0


@ROLES
def test_frames_leave_in_the_order_of_the_calls(role: str) -> None:
    link = open_link(role)
    link.send_text(b"1")
    link.ping(b"2")
    link.send_binary(b"3")
    link.receive_data(raw(9, b"?", to=role))
    size = link.buffered_out
    link.close(1000)
    data = link.data_to_send()
    assert len(data) > size
    # the pong may overtake messages; the close frame is the last
    assert parse(data) == [(0x8A, b"?"), (0x81, b"1"), (0x89, b"2"), (0x82, b"3"), (0x88, b"\x03\xe8")]
    assert (link.buffered_out, link.data_to_send()) == (0, b"")


@ROLES
def test_buffered_out_is_what_will_be_handed_out(role: str) -> None:
    link = open_link(role)
    link.receive_data(raw(9, b"12345", to=role))
    link.send_binary(bytes(70_000))
    link.ping(b"x")
    link.close(1001, "bye")
    size = link.buffered_out
    assert len(link.data_to_send()) == size


def test_only_the_client_masks() -> None:
    """A10."""
    client, server = open_client(), open_server()
    for link in (client, server):
        link.send_text(b"hello")
    assert client.data_to_send() == bytes.fromhex("8185 11223344 79475f287e")
    assert server.data_to_send() == b"\x81\x05hello"


def test_every_frame_has_a_mask_of_its_own() -> None:
    masks = iter([b"aaaa", b"bbbb", b"cccc", b"dddd", b"eeee"])
    link = open_client(entropy=lambda count: KEY if count == 16 else next(masks))
    link.send_text(b"1")
    link.send_binary(b"2")
    link.ping(b"3")
    link.receive_data(raw(9))
    link.close()
    data = link.data_to_send()
    assert [data.count(mask) for mask in (b"aaaa", b"bbbb", b"cccc", b"dddd", b"eeee")] == [1] * 5


def test_wants_over_a_whole_life() -> None:
    def wants(*names: str) -> Wants:
        return Wants(**{name: name in names for name in ("read", "write", "half_close", "close")})

    server = new_server()
    assert server.wants == wants("read")
    server.receive_data(GOOD_REQUEST)
    assert server.wants == wants()
    server.accept()
    assert server.wants == wants("read", "write")
    server.data_to_send()
    assert server.wants == wants("read")
    assert server.wants is server.wants
    server.close()
    assert server.wants == wants("read", "write")
    server.data_to_send()
    assert server.wants == wants("read")
    server.receive_data(close_frame(1000, to="server"))
    assert server.wants == wants("close")
    server.receive_eof()
    assert server.wants == wants("close")

    assert new_client().wants == wants("read")
    client = open_client()
    client.receive_data(close_frame(1000))
    assert client.wants == wants("read", "write")
    client.data_to_send()
    assert client.wants == wants("read")
    client.receive_eof()
    assert client.wants == wants("close")

    client = open_client()
    client.receive_data(raw(3))
    assert client.wants == wants("write")
    client.data_to_send()
    assert client.wants == wants("half_close", "close")
    client.receive_eof()
    assert client.wants == wants("close")


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("text", [False, True])
def test_reading_stops_above_the_bound_and_goes_on_below(extra: int, text: bool) -> None:
    link = open_client(limits=Limits(max_buffered_in=1000))
    message = ("ä" * 250).encode() if text else bytes(500)
    opcode = TEXT if text else BINARY
    link.receive_data(raw(opcode, message) + raw(opcode, b"x" * (500 + extra)))
    assert link.buffered_in == 1000 + extra
    assert link.wants.read is (extra <= 0)
    link.receive_data(raw(opcode, b"xxx"))
    assert not link.wants.read
    link.next_event()
    assert link.buffered_in == 503 + extra
    assert link.wants.read
    pull(link)
    assert link.buffered_in == 0


def test_a_message_larger_than_the_buffer_can_still_arrive() -> None:
    link = open_client(limits=Limits(max_buffered_in=1000))
    link.receive_data(raw(BINARY, bytes(5000))[:4000])
    assert link.buffered_in > 3900
    assert link.wants.read
    link.receive_data(bytes(1004))
    assert not link.wants.read
    assert pull(link) == [bytes(5000)]
    assert link.wants.read


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("how", ["one frame", "fragments", "text", "text in pieces"])
def test_a_message_may_come_as_large_as_its_limit(extra: int, how: str) -> None:
    link = open_client(limits=Limits(max_message=1000))
    body = b"x" * (1000 + extra)
    if how == "fragments":
        data = raw(BINARY, body[:600], fin=False) + raw(9) + raw(0, body[600:])
    else:
        data = raw(TEXT if how.startswith("text") else BINARY, body)
    pieces = [data[at : at + 7] for at in range(0, len(data), 7)] if how == "text in pieces" else [data]
    for piece in pieces:
        link.receive_data(piece)
    if extra <= 0:
        (message,) = [event for event in pull(link) if not isinstance(event, PingReceived)]
        assert message == (body.decode() if how.startswith("text") else body)
        link.receive_data(raw(BINARY, bytes(1000)))
        assert pull(link) == [bytes(1000)]
    else:
        _, error, info = outcome(link)
        assert (str(error), info.code) == ("the peer exceeded Limits.max_message = 1000", 1009)


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_message_may_have_as_many_fragments_as_its_limit(extra: int) -> None:
    link = open_client(limits=Limits(max_fragments=10))
    for _ in range(2):
        link.receive_data(raw(TEXT, b"a", fin=False) + raw(0, b"b", fin=False) * (8 + extra) + raw(0, b"c"))
    if extra <= 0:
        assert pull(link) == ["a" + "b" * (8 + extra) + "c"] * 2
    else:
        _, error, info = outcome(link)
        assert (str(error), info.code) == ("the peer exceeded Limits.max_fragments = 10", 1009)


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_pongs_owed_between_two_writes_have_a_bound(extra: int) -> None:
    link = open_client(limits=Limits(max_buffered_out=100))
    for _ in range(3):
        link.receive_data(raw(9, bytes(50)) + raw(9, bytes(38 + extra)))  # 6 bytes of header each
        if extra > 0:
            break
        link.data_to_send()
    assert link.state is (ConnectionState.OPEN if extra <= 0 else ConnectionState.CLOSING)


def test_a_pong_goes_out_with_a_pong_event_on_the_other_side() -> None:
    client, server = open_client(), open_server()
    client.ping(b"hello")
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    assert pull(server) == [PingReceived(payload=b"hello")]
    assert pull(client) == [PongReceived(payload=b"hello")]
