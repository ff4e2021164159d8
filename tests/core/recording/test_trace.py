"""Both recording formats: exact, total on damage, and silent about secrets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import RECORDINGS
from support.traces import lines, record

from live_protocol.errors import InvalidMessage, LocalProtocolError
from live_protocol.recording import (
    InvalidTrace,
    Source,
    TraceFrame,
    TraceWriter,
    open_trace,
    read_trace,
    read_websocket_log,
    write_websocket_log,
)

FILES = sorted(RECORDINGS.glob("*.websocket.log"))
HEADER = b'{"format":"live-protocol-trace","version":1}\n'

needs_recordings = pytest.mark.skipif(not FILES, reason="the recorded sessions are not part of the distribution")


class Drip:
    """A source that gives few bytes at a time and knows how many were taken."""

    def __init__(self, data: bytes, size: int = 1) -> None:
        self.left, self.size, self.largest = io.BytesIO(data), size, 0

    def read(self, size: int, /) -> bytes:
        self.largest = max(self.largest, size)
        return self.left.read(min(size, self.size))


def logged(*frames: TraceFrame) -> bytes:
    sink = io.BytesIO()
    write_websocket_log(frames, sink)
    return sink.getvalue()


def until_error(frames: Iterator[TraceFrame]) -> tuple[list[TraceFrame], InvalidTrace]:
    whole: list[TraceFrame] = []
    with pytest.raises(InvalidTrace) as caught:
        whole.extend(frames)
    error = caught.value
    assert isinstance(error, LocalProtocolError)
    assert str(error) == f"invalid trace at byte {error.offset}: expected {error.expected}"
    assert "CANARY" not in str(error)
    assert error.__context__ is None
    assert list(frames) == []  # over, not stuck
    return whole, error


# --- Google's recordings ----------------------------------------------------------------------------------------


@needs_recordings
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])
def test_recordings_round_trip_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    frames = list(read_websocket_log(data))
    assert logged(*frames) == data
    assert open_trace(data) == frames
    for frame in frames:
        assert isinstance(json.loads(frame.data), dict)
        assert (frame.at, frame.kind) == (None, None)
    with path.open("rb") as file:
        assert list(read_websocket_log(file)) == frames


@needs_recordings
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])
@pytest.mark.parametrize("redact", [True, False])
def test_recordings_survive_our_own_format(path: Path, redact: bool) -> None:
    frames = list(read_websocket_log(path.read_bytes()))
    sink = io.BytesIO()
    writer = TraceWriter(sink, redact=redact)
    for number, frame in enumerate(frames):
        writer.record(number / 4, frame.sent, frame.data)
    again = open_trace(sink.getvalue())
    assert [(frame.sent, frame.data) for frame in again] == [(frame.sent, frame.data) for frame in frames]
    assert [frame.at for frame in again] == [number / 4 for number in range(len(frames))]
    assert {frame.kind for frame in again} == {"binary"}
    assert all("json" in line for line in lines(sink.getvalue())[1:])


@needs_recordings
def test_there_are_as_many_frames_as_the_recordings_say() -> None:
    frames = [frame for path in FILES for frame in read_websocket_log(path.read_bytes())]
    assert (len(FILES), sum(f.sent for f in frames), sum(not f.sent for f in frames)) == (16, 29, 40)


FRAMES = (
    TraceFrame(sent=True, data=b'{"a":1}'),
    TraceFrame(sent=False, data=b""),
    TraceFrame(sent=False, data=b"\n>3 x\n\xff" * 5),
)
LOG = b'>8 {"a":1}\n<1 \n<41 ' + b"\n>3 x\n\xff" * 5 + b"\n"
LOG = LOG.replace(b"<41 ", b"<36 ")


def test_websocket_log() -> None:
    assert logged(*FRAMES) == LOG
    for source in (LOG, bytearray(LOG), memoryview(LOG), io.BytesIO(LOG), Drip(LOG), Drip(LOG, 7)):
        assert list(read_websocket_log(source)) == list(FRAMES)
    assert list(read_websocket_log(b"")) == open_trace(b"") == []


def test_a_frame_shows_its_size_only() -> None:
    frame = TraceFrame(sent=True, data=b"CANARY", at=1.5, kind="text")
    assert repr(frame) == "TraceFrame(sent=True, data=<6 bytes>, at=1.5, kind='text')"


@pytest.mark.parametrize("cut", range(1, len(LOG)))
def test_a_cut_log_gives_what_is_whole(cut: int) -> None:
    ends = [0, 11, 15, len(LOG)]
    if cut in ends:
        assert len(list(read_websocket_log(LOG[:cut]))) == ends.index(cut)
        return
    whole, error = until_error(read_websocket_log(LOG[:cut]))
    assert whole == list(FRAMES[: len(whole)])
    assert ends[len(whole)] < cut < ends[len(whole) + 1]
    assert ends[len(whole)] <= error.offset <= cut


@pytest.mark.parametrize(
    ("tail", "offset", "expected"),
    [
        (b"CANARY", 0, "a record"),
        (b"=8 CANARYY\n", 0, "a record"),
        (b">08 CANARYY\n", 0, "a record"),
        (b">-8 CANARYY\n", 0, "a record"),
        (b">0 ", 0, "a record"),
        (b"> 8 CANARYY\n", 0, "a record"),
        (b">8\tCANARYY\n", 0, "a record"),
        (b"\n>8 CANARYY\n", 0, "a record"),
        (b">" + b"9" * 17 + b" CANARY", 0, "a record"),
        (b">" + b"9" * 16 + b" CANARY\n", 25, "9999999999999992 more bytes"),
        (b">7 CANARY!\n", 9, "the newline"),
    ],
)
def test_damaged_logs(tail: bytes, offset: int, expected: str) -> None:
    for source in (LOG + tail, Drip(LOG + tail, 3)):
        whole, error = until_error(read_websocket_log(source))
        assert whole == list(FRAMES)
        assert error.offset == len(LOG) + offset
        assert error.expected.startswith(expected)


def test_lengths_are_claims_not_allocations() -> None:
    source = Drip(b">9999999999999999 CANARY", 100)
    until_error(read_websocket_log(source))
    assert source.largest <= 65536


@pytest.mark.parametrize("read", [read_websocket_log, lambda source: iter(read_trace(source))])
def test_text_files_are_refused(read: Any) -> None:
    with pytest.raises(InvalidTrace, match="binary mode"):
        list(read(io.StringIO("> CANARY")))


@given(st.binary() | st.lists(st.sampled_from([b">", b"<", b"2", b" ", b"x", b"\n", HEADER, b"{}"])).map(b"".join))
def test_any_bytes_are_frames_or_a_typed_error(data: bytes) -> None:
    try:
        frames = open_trace(data)
    except InvalidTrace:
        return
    if data[:1] != b"{":
        assert logged(*frames) == data


# --- our own ----------------------------------------------------------------------------------------------------


def test_a_trace_as_it_is_written() -> None:
    trace = record('{"setup":{"model":"models/m"}}', b'{\n  "setupComplete": {}\n}\n', "hé", b"\xff")
    assert trace.decode() == (
        '{"format":"live-protocol-trace","version":1,"redacted":true}\n'
        '{"t":0.0,"dir":">","kind":"text","json":{"setup":{"model":"models/m"}}}\n'
        '{"t":1.0,"dir":"<","kind":"binary","json":{"setupComplete":{}},"form":"indented"}\n'
        '{"t":2.0,"dir":">","kind":"text","text":"hé"}\n'
        '{"t":3.0,"dir":"<","kind":"binary","data":"/w=="}\n'
    )


LAYOUTS: list[tuple[str, str | None]] = [
    ("{}", "compact"),
    ('{"a":["é",1,-0.5,1e-07,null,true,123456789012345678901234567890]}', "compact"),
    ('{"a":"\\u00e9\\ud83d\\ude00"}', "ascii"),
    ('{"a":"\\ud800"}', "ascii"),
    ('{"a": [1, "\\u00e9"]}', "spaced"),
    ('{\n  "a": [\n    1,\n    "é"\n  ]\n}\n', "indented"),
    ('{"a":1}\n', None),
    ('{"a":1.50}', None),
    ('{"a":-0}', None),
    ('{"a":1,"a":1}', None),
    ('{"a":NaN}', None),
    ('{"a":1e999}', None),
    ('{"a":' + "9" * 5000 + "}", None),
    ("[1]", None),
    ('"x"', None),
    ("", None),
    ("\ufeff{}", None),
    ('{"a":"\n"}', None),
    ('{"a"', None),
    ("[" * 100_000, None),
    ('{"a":' * 128 + "{}" + "}" * 128, None),
    ('{"a":' * 127 + "{}" + "}" * 127, "compact"),
    ('{"a":"' + "[{" * 1000 + '"}', "compact"),
]


@pytest.mark.parametrize(("text", "form"), LAYOUTS, ids=range(len(LAYOUTS)))
@pytest.mark.parametrize("redact", [True, False])
def test_every_layout_comes_back_exactly(text: str, form: str | None, redact: bool) -> None:
    trace = record(text, text.encode(), redact=redact)
    _, first, second = lines(trace)
    if redact and text == '{"a":1,"a":1}':  # a dict cannot show the hidden value, so it is not kept
        text, form = '{"a":1}', "ascii"
    assert ("json" in first) is (form is not None)
    assert form is None or first.get("form", "compact") == form
    assert (first["kind"], second["kind"]) == ("text", "binary")
    frames = open_trace(trace)
    assert [frame.data for frame in frames] == [text.encode()] * 2
    assert [frame.kind for frame in frames] == ["text", "binary"]
    assert [frame.sent for frame in frames] == [True, False]
    assert [frame.at for frame in frames] == [0.0, 1.0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.binary() | st.text() | JSON.map(lambda v: json.dumps({"k": v}, indent=1)), max_size=4))
def test_without_redaction_every_byte_comes_back(messages: list[str | bytes]) -> None:
    frames = open_trace(record(*messages, redact=False))
    assert [frame.data for frame in frames] == [m.encode() if isinstance(m, str) else m for m in messages]


def test_sources_and_buffers() -> None:
    trace = record(b"x", bytearray(b"y"), memoryview(b"z"))
    sources: list[Source] = [
        trace,
        bytearray(trace),
        memoryview(trace),
        io.BytesIO(trace),
        Drip(trace),
        Drip(trace, 50),
    ]
    for source in sources:
        assert [frame.data for frame in read_trace(source)] == [b"x", b"y", b"z"]


def test_a_trace_is_read_as_far_as_it_is_taken() -> None:
    source = Drip(record("a", "b", "c"), 10)
    frames = iter(read_trace(source))
    assert next(frames).data == b"a"
    assert source.left.read() != b""


def test_header() -> None:
    trace = record(info={"model": "models/m", "n": 1, "list": ["x", {"y": None}]})
    assert lines(trace)[0]["info"] == {"model": "models/m", "n": 1, "list": ["x", {"y": None}]}
    reader = read_trace(trace)
    assert reader.info == {"model": "models/m", "n": 1, "list": ["x", {"y": None}]}
    assert reader.redacted is True
    assert read_trace(record(redact=False)).redacted is False
    assert read_trace(record(redact=False, info={"key": "k"})).info == {"key": "k"}
    assert read_trace(HEADER.replace(b"}", b',"info":[],"more":1}')).info == {}
    assert read_trace(HEADER.rstrip()).info == {}


@pytest.mark.parametrize(
    "options",
    [
        {"info": {"a": object()}},
        {"info": {"a": float("nan")}},
        {"info": {("CANARY",): 1}},
        {"info": 5},
        {"info": json.loads('{"a":' * 130 + "1" + "}" * 130)},
        {"info": json.loads('{"a":' * 900 + "1" + "}" * 900)},
        {"secrets": "CANARY"},
    ],
)
def test_what_a_writer_refuses(options: Any) -> None:
    sink = io.BytesIO()
    with pytest.raises(InvalidMessage) as caught:
        TraceWriter(sink, **options)
    assert caught.value.path in options
    assert caught.value.__context__ is None
    assert sink.getvalue() == b""


@pytest.mark.parametrize(
    ("t", "data", "path"),
    [
        (float("nan"), "x", "t"),
        (float("inf"), "x", "t"),
        (10**400, "x", "t"),
        (True, "x", "t"),
        ("1", "x", "t"),
        (1, "CANARY\ud800", "data"),
        (1, 5, "data"),
        (1, None, "data"),
    ],
)
def test_what_a_record_refuses(t: Any, data: Any, path: str) -> None:
    sink = io.BytesIO()
    writer = TraceWriter(sink)
    before = sink.getvalue()
    with pytest.raises(InvalidMessage) as caught:
        writer.record(t, True, data)
    assert caught.value.path == path
    assert caught.value.__context__ is None
    assert sink.getvalue() == before


def test_one_write_a_line() -> None:
    class Sink:
        def __init__(self) -> None:
            self.writes: list[bytes] = []

        def write(self, data: bytes, /) -> None:
            self.writes.append(data)

    sink = Sink()
    writer = TraceWriter(sink)
    writer.record(0, True, "{}")
    assert len(sink.writes) == 2
    assert all(data.count(b"\n") == 1 and data.endswith(b"\n") for data in sink.writes)


GOOD = b'{"t":0,"dir":">","kind":"text","text":"CANARY"}\n'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"\n", "one JSON object"),
        (b"CANARY\n", "one JSON object"),
        (b"[]\n", "one JSON object"),
        (b"\xff\n", "one JSON object"),
        (b'{"CANARY":NaN}\n', "one JSON object"),
        (b"{" * 100_000 + b"\n", "one JSON object"),
        (b"{}\n", "'t'"),
        (GOOD.replace(b'"t":0', b'"t":"CANARY"'), "'t'"),
        (GOOD.replace(b'"t":0', b'"t":true'), "'t'"),
        (GOOD.replace(b'"t":0', b'"t":1' + b"0" * 400), "'t'"),
        (GOOD.replace(b'">"', b'"CANARY"'), "'dir'"),
        (GOOD.replace(b'">"', b"[]"), "'dir'"),
        (GOOD.replace(b'"kind":"text"', b'"kind":{}'), "'kind'"),
        (GOOD.replace(b'"text":"CANARY"', b'"x":1'), "one of"),
        (GOOD.replace(b'"text":"CANARY"', b'"text":"CANARY","json":{}'), "one of"),
        (GOOD.replace(b'"text":"CANARY"', b'"text":5'), "one of"),
        (GOOD.replace(b'"text":"CANARY"', b'"text":"\\ud800"'), "one of"),
        (GOOD.replace(b'"text":"CANARY"', b'"json":"CANARY"'), "one of"),
        (GOOD.replace(b'"text":"CANARY"', b'"json":{},"form":"CANARY"'), "one of"),
        (GOOD.replace(b'"text":"CANARY"', b'"json":{},"form":[]'), "one of"),
        (GOOD.replace(b'"text":"CANARY"', b'"json":{"CANARY":"\\ud800"}'), "one of"),
        (GOOD.replace(b'"text":"CANARY"', b'"data":"CANARY"'), "one of"),
        (GOOD.replace(b'"text":"CANARY"', b'"data":"\xc3\xa9"'), "one of"),
        (GOOD.replace(b'"text":"CANARY"', b'"data":"eA==\\n"'), "one of"),
        (GOOD.rstrip()[:-1], "a whole line"),
        (b"\xc3", "a whole line"),
    ],
)
def test_damaged_lines(line: bytes, expected: str) -> None:
    whole, error = until_error(iter(read_trace(HEADER + GOOD + line)))
    assert [frame.data for frame in whole] == [b"CANARY"]
    assert error.offset == len(HEADER + GOOD)
    assert expected in error.expected


def test_a_lost_last_newline_and_unknown_members_do_no_harm() -> None:
    line = GOOD.rstrip().replace(b"{", b'{"new":{"x":1},')
    assert [frame.data for frame in open_trace(HEADER + GOOD + line)] == [b"CANARY"] * 2


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "header line"),
        (b"{}\n", "header line"),
        (b"{CANARY\n", "header line"),
        (b'{"format":"CANARY"}\n', "header line"),
        (HEADER.replace(b"1", b"2"), "version 1"),
        (HEADER.replace(b",", b'}{"x":'), "header line"),
        (HEADER[:20], "a whole line"),
    ],
)
def test_bad_headers(data: bytes, expected: str) -> None:
    with pytest.raises(InvalidTrace, match=expected) as caught:
        read_trace(data)
    assert caught.value.offset == 0
    assert "CANARY" not in str(caught.value)


def test_neither_format() -> None:
    with pytest.raises(InvalidTrace, match="websocket log") as caught:
        open_trace(b"CANARY")
    assert caught.value.offset == 0
