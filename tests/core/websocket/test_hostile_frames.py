"""What peers get wrong, or do on purpose, in frames; every one ends in a typed outcome and in nothing else."""

from __future__ import annotations

import pytest

from core.websocket.harness import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    close_frame,
    feed,
    open_client,
    open_link,
    outcome,
    parse,
    pull,
    raw,
)
from live_protocol.close_info import Initiator
from live_protocol.errors import FrameViolation, LimitExceeded, ServerClosed, TransportFailed
from live_protocol.events import ConnectionClosed, ConnectionFailed, PingReceived, PongReceived
from live_protocol.limits import Limits
from live_protocol.states import ConnectionState

ROLES = pytest.mark.parametrize("role", ["client", "server"])

MUST_FAIL = {
    "reserved opcode 3": (raw(3), 1002),
    "reserved opcode 7": (raw(7, b"x"), 1002),
    "reserved control opcode": (raw(0xB), 1002),
    "rsv1 without an extension": (raw(TEXT, b"x", rsv=4), 1002),
    "rsv2": (raw(TEXT, b"x", rsv=2), 1002),
    "rsv3 on a ping": (raw(PING, rsv=1), 1002),
    "fragmented ping": (raw(PING, fin=False), 1002),
    "fragmented close": (raw(CLOSE, fin=False), 1002),
    "ping of 126 bytes": (raw(PING, b"x" * 126), 1002),
    "pong of 65536 bytes": (raw(PONG, b"x" * 65536), 1002),
    "length 125 in 2 bytes": (raw(BINARY, b"x" * 125, width=2), 1002),
    "length 65535 in 8 bytes": (raw(BINARY, b"x" * 65535, width=8), 1002),
    "length 2^63": (raw(BINARY, length=2**63, width=8), 1002),
    "length 2^63 - 1": (raw(BINARY, length=2**63 - 1, width=8), 1009),
    "continuation without a message": (raw(0, b"x"), 1002),
    "text inside a text": (raw(TEXT, b"a", fin=False) + raw(TEXT, b"b"), 1002),
    "empty binary inside a text": (raw(TEXT, b"a", fin=False) + raw(BINARY), 1002),
    "text is not UTF-8": (raw(TEXT, b"\xff"), 1007),
    "text ends in the middle of a character": (raw(TEXT, b"\xc3"), 1007),
    "text with a surrogate": (raw(TEXT, b"\xed\xa0\x80"), 1007),
    "second fragment is not UTF-8": (raw(TEXT, b"ok", fin=False) + raw(0, b"\xff"), 1007),
    "close of one byte": (raw(CLOSE, b"\x03"), 1002),
    "close code 999": (close_frame(999), 1002),
    "close code 1004": (close_frame(1004), 1002),
    "close code 1005": (close_frame(1005), 1002),
    "close code 1006": (close_frame(1006), 1002),
    "close code 1015": (close_frame(1015), 1002),
    "close code 1016": (close_frame(1016), 1002),
    "close code 2999": (close_frame(2999), 1002),
    "close code 5000": (close_frame(5000), 1002),
    "close code 0": (close_frame(0), 1002),
    "close reason is not UTF-8": (close_frame(1000, b"\xff"), 1007),
    "masked towards a client": (raw(TEXT, b"x", to="server"), 1002),
    "masked with a long payload": (raw(BINARY, b"x" * 300, to="server"), 1002),
}


def as_sent_to(role: str, data: bytes) -> bytes:
    """The rows are unmasked; towards a server every frame gets a mask of zeros, which leaves its payload as it is."""
    if role == "client":
        return data
    masked = b""
    while data:
        size = data[1] & 0x7F
        at = 2 if size < 126 else 4 if size == 126 else 10
        length = size if size < 126 else int.from_bytes(data[2:at], "big")
        masked += data[:1] + bytes([data[1] ^ 0x80]) + data[2:at] + bytes(4) + data[at : at + length]
        data = data[at + length :]
    return masked


@ROLES
@pytest.mark.parametrize("slow", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("row", MUST_FAIL, ids=str)
def test_a_broken_frame_ends_the_connection_with_its_code(row: str, role: str, slow: bool) -> None:
    data, code = MUST_FAIL[row]
    # the opposite of a masked frame towards a client is an unmasked one towards a server
    data = raw(TEXT, b"x") if role == "server" and row.startswith("masked") else as_sent_to(role, data)
    link = open_link(role)
    good = raw(TEXT, b"before", to=role)
    feed(link, *([bytes([byte]) for byte in good + data] if slow else [good + data]))
    assert link.state is ConnectionState.CLOSING
    events, error, info = outcome(link)
    assert events == ["before"]
    assert isinstance(error, (FrameViolation, LimitExceeded))
    assert error.close_code == info.code == code
    assert (info.clean, info.initiator, info.retryable) == (False, Initiator.LOCAL, False)
    assert info.reason == error.close_reason
    ((first, payload),) = parse(link.data_to_send())
    assert (first, payload) == (0x88, code.to_bytes(2, "big") + info.reason.encode())


@ROLES
def test_after_our_failure_everything_is_ignored_and_nothing_is_kept(role: str) -> None:
    """W6, A2."""
    link = open_link(role)
    link.receive_data(raw(3, to=role))
    pull(link)
    link.data_to_send()
    for _ in range(1000):
        link.receive_data(raw(BINARY, b"x" * 1000, to=role) + raw(PING, to=role))
    assert (link.buffered_in, link.buffered_out, link.pending) == (0, 0, False)
    assert link.wants.close
    assert not link.wants.read


def test_the_answer_to_our_failure_is_not_waited_for() -> None:
    """W7."""
    link = open_client()
    link.receive_data(raw(3))
    pull(link)
    link.data_to_send()
    assert link.wants.close
    link.receive_data(close_frame(1002))
    assert link.next_event() is None


def test_a_peers_close_and_our_failure_with_the_same_code_differ() -> None:
    """W8, A2."""
    ours, theirs = open_client(), open_client()
    ours.receive_data(raw(3))
    theirs.receive_data(close_frame(1002, "bad"))
    assert outcome(ours)[2].initiator is Initiator.LOCAL
    _, error, info = outcome(theirs)
    assert info.initiator is Initiator.REMOTE
    assert isinstance(error, ServerClosed)


def test_a_header_that_announces_too_much_is_refused_before_its_payload() -> None:
    link = open_client(limits=Limits(max_message=1000))
    link.receive_data(raw(BINARY, length=1001, width=2))
    _, error, _ = outcome(link)
    assert isinstance(error, LimitExceeded)
    assert error.which == "max_message"


def test_an_announced_size_of_2_to_the_63_less_one_is_never_streamed() -> None:
    """W3."""
    link = open_client()
    link.receive_data(raw(BINARY, b"x" * 100, length=2**63 - 1, width=8))
    assert link.buffered_in == 0
    assert isinstance(outcome(link)[1], LimitExceeded)


def test_endless_empty_fragments_are_counted() -> None:
    """W4."""
    link = open_client()
    link.receive_data(raw(TEXT, fin=False) + raw(0, fin=False) * 100_000)
    _, error, _ = outcome(link)
    assert isinstance(error, LimitExceeded)
    assert error.which == "max_fragments"


def test_input_is_framed_at_once_so_nothing_piles_up_unparsed() -> None:
    """W5."""
    link = open_client(limits=Limits(max_buffered_in=1_000_000))
    for _ in range(200):
        if link.wants.read:
            link.receive_data(raw(BINARY, bytes(100_000)))
    assert link.buffered_in == 1_100_000


def test_messages_before_the_end_of_the_stream_come_before_its_report() -> None:
    """W9."""
    link = open_client()
    link.receive_data(raw(TEXT, b"last") + close_frame(1000))
    link.receive_eof()
    events, error, info = outcome(link)
    assert events == ["last"]
    assert (error, info.code, info.clean) == (None, 1000, True)


def test_the_end_of_the_stream_after_a_close_or_twice_says_nothing_new() -> None:
    """W10, A3."""
    link = open_client()
    link.receive_data(close_frame(1000))
    link.receive_eof()
    link.receive_eof()
    link.transport_failed("reset")
    assert [type(event) for event in pull(link)] == [ConnectionClosed]


@pytest.mark.parametrize("cut", [raw(TEXT, b"abc")[:-1], raw(BINARY, b"abc")[:-1], raw(TEXT, b"ab", fin=False)])
def test_a_message_cut_off_by_the_end_of_the_stream_is_dropped(cut: bytes) -> None:
    """W11."""
    link = open_client()
    link.receive_data(cut)
    assert link.buffered_in > 0
    link.receive_eof()
    events, error, info = outcome(link)
    assert events == []
    assert isinstance(error, TransportFailed)
    assert (info.code, info.initiator, link.buffered_in) == (1006, Initiator.TRANSPORT, 0)


@ROLES
def test_bytes_after_the_end_are_dropped_without_a_word(role: str) -> None:
    """W12, A4."""
    link = open_link(role)
    link.receive_eof()
    pull(link)
    link.receive_data(raw(TEXT, b"late", to=role))
    assert pull(link) == []


@ROLES
def test_bytes_behind_the_peers_close_frame_are_dropped(role: str) -> None:
    """W13."""
    link = open_link(role)
    link.receive_data(close_frame(1000, to=role) + raw(TEXT, b"late", to=role) + raw(PING, to=role))
    link.receive_data(raw(3, to=role))
    assert [type(event) for event in pull(link)] == [ConnectionClosed]
    assert [first for first, _ in parse(link.data_to_send())] == [0x88]


@ROLES
def test_a_ping_after_our_close_frame_is_not_answered(role: str) -> None:
    """W15, A7."""
    link = open_link(role)
    link.close()
    link.data_to_send()
    link.receive_data(raw(PING, b"?", to=role) + raw(TEXT, b"still coming", to=role))
    assert pull(link) == ["still coming"]
    assert link.data_to_send() == b""


def test_close_code_1014_of_a_gateway_is_reported_as_it_came() -> None:
    """W16."""
    link = open_client()
    link.receive_data(close_frame(1014, "bad gateway"))
    _, error, info = outcome(link)
    assert isinstance(error, ServerClosed)
    assert (info.code, info.retryable, error.code) == (1014, True, 1014)
    assert parse(link.data_to_send()) == [(0x88, b"\x03\xf6bad gateway")]


@pytest.mark.parametrize("first", [raw(TEXT, b"par", fin=False), raw(BINARY, b"par", fin=False)])
def test_a_close_frame_inside_a_message_says_so(first: bytes) -> None:
    """W17."""
    link = open_client()
    link.receive_data(first + close_frame(1000))
    events, error, info = outcome(link)
    assert (events, error, info.code) == ([], None, 1000)
    assert "cut off a message" in info.hint


def test_of_a_fragmented_text_only_the_whole_is_handed_out() -> None:
    """W18."""
    link = open_client()
    link.receive_data(raw(TEXT, "gü".encode()[:2], fin=False))
    link.receive_data(raw(PING, b"1"))
    link.receive_data(raw(0, "gü".encode()[2:], fin=False))
    assert [type(event) for event in pull(link)] == [PingReceived]
    link.receive_data(raw(0))
    assert pull(link) == ["gü"]


def test_a_text_that_comes_byte_by_byte_is_one_message() -> None:
    """W19, A1."""
    link = open_client()
    text = "ä€😀" * 2000
    feed(link, *[bytes([byte]) for byte in raw(TEXT, text.encode())])
    assert pull(link) == [text]
    feed(link, *[bytes([byte]) for byte in raw(BINARY, b"b" * 5000, fin=False) + raw(0, b"c" * 5000)])
    assert pull(link) == [b"b" * 5000 + b"c" * 5000]
    data = raw(BINARY, b"b" * 5000)
    feed(link, data[:4], *[bytes([byte]) for byte in data[4:]])
    assert pull(link) == [b"b" * 5000]


def test_very_many_tiny_frames_in_one_read_are_bounded_by_wants() -> None:
    link = open_client()
    link.receive_data(raw(BINARY) * 100_000)
    assert link.buffered_in == 0
    assert not link.wants.read
    assert len(pull(link)) == 100_000
    assert link.wants.read


def test_of_a_burst_of_pings_only_the_newest_are_answered() -> None:
    """W21."""
    link = open_client()
    for number in range(1000):
        link.receive_data(raw(PING, str(number).encode()))
    assert len(pull(link)) == 1000
    assert link.buffered_out == 16 * (6 + 3)
    assert parse(link.data_to_send()) == [(0x8A, str(number).encode()) for number in range(984, 1000)]
    link.receive_data(raw(PING, b"again"))
    assert parse(link.data_to_send()) == [(0x8A, b"again")]


@ROLES
def test_a_flood_of_pings_between_two_writes_ends_the_connection(role: str) -> None:
    """W21."""
    link = open_link(role, limits=Limits(max_buffered_out=10_000))
    link.receive_data(raw(PING, to=role) * 10_000)
    events = pull(link)
    error = events[-2].error
    assert isinstance(events[-2], ConnectionFailed)
    assert isinstance(error, LimitExceeded)
    assert (error.which, error.close_code) == ("max_buffered_out", 1008)
    assert [first for first, _ in parse(link.data_to_send())] == [0x8A] * 16 + [0x88]


@ROLES
def test_the_largest_control_payload_comes_back_whole(role: str) -> None:
    link = open_link(role)
    for chunks in ([raw(PING, bytes(125), to=role)], [bytes([byte]) for byte in raw(PING, bytes(125), to=role)]):
        feed(link, *chunks)
        assert pull(link) == [PingReceived(payload=bytes(125))]
        assert parse(link.data_to_send()) == [(0x8A, bytes(125))]


@ROLES
def test_a_pong_nobody_asked_for_has_no_round_trip(role: str) -> None:
    link = open_link(role)
    feed(link, raw(PONG, b"x", to=role), *[bytes([byte]) for byte in raw(PONG, b"y", to=role)])
    assert pull(link) == [PongReceived(payload=b"x"), PongReceived(payload=b"y")]
    assert link.latency is None


def test_a_close_frame_without_a_code_is_1005_and_answered_alike() -> None:
    link = open_client()
    link.receive_data(raw(CLOSE))
    _, error, info = outcome(link)
    assert (error, info.code, info.reason, info.clean) == (None, 1005, "", True)
    assert parse(link.data_to_send()) == [(0x88, b"")]


def test_bytes_that_are_no_buffer_are_the_only_thing_refused_on_input() -> None:
    link = open_client()
    with pytest.raises(TypeError):
        link.receive_data("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        link.receive_data(None)  # type: ignore[arg-type]
    frame = raw(TEXT, b"x")
    for data in (b"", bytearray(), memoryview(b"")):
        link.receive_data(data)
    for data in (frame, bytearray(frame), memoryview(frame), memoryview(frame + b"")[::1]):
        link.receive_data(data)
    assert pull(link) == ["x"] * 4


@ROLES
@pytest.mark.parametrize(
    "start",
    [
        raw(TEXT, b"ok\xff")[2:],
        raw(TEXT, b"\xf4\x90")[2:],
    ],
)
def test_text_that_cannot_become_utf_8_any_more_fails_before_its_frame_is_complete(role: str, start: bytes) -> None:
    link = open_link(role)
    whole = raw(TEXT, start + b"more", to=role)
    link.receive_data(whole[:-4])
    assert outcome(link)[2].code == 1007


@ROLES
def test_a_broken_header_fails_as_soon_as_it_can_be_seen(role: str) -> None:
    mask = 0x80 if role == "server" else 0
    for start in (bytes([0x83, mask]), bytes([0xF1, mask]), bytes([0x89, mask | 126]), b"\x80"):
        link = open_link(role)
        link.receive_data(start)
        assert link.state is ConnectionState.CLOSING
