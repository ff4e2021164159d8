"""Facts of the link in a trace: written, read, skipped by whoever wants messages alone."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from live_protocol.errors import InvalidMessage
from live_protocol.recording import (
    InvalidTrace,
    TraceFrame,
    TraceNote,
    TraceReader,
    TraceWriter,
    open_trace,
    read_trace,
)


def written(*notes: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    writer = TraceWriter(sink, **options)
    for given in notes:
        writer.note(*given)
    return sink.getvalue()


def test_a_note_is_one_line_and_comes_back() -> None:
    data = written((1.5, "closed", {"code": 1000, "reason": "bye"}), (2, "ping"))
    assert data.splitlines()[1] == b'{"t":1.5,"kind":"closed","code":1000,"reason":"bye"}'
    assert list(TraceReader(data).records()) == [
        TraceNote(at=1.5, kind="closed", facts={"code": 1000, "reason": "bye"}),
        TraceNote(at=2.0, kind="ping", facts={}),
    ]


def test_messages_alone() -> None:
    sink = io.BytesIO()
    writer = TraceWriter(sink)
    writer.note(0, "connected", {"compression": False})
    writer.record(1, True, "{}")
    writer.note(2, "of-a-later-version", {"x": [1]})
    frame = TraceFrame(sent=True, data=b"{}", at=1.0, kind="text")
    assert list(read_trace(sink.getvalue())) == [frame]
    assert open_trace(sink.getvalue()) == [frame]
    records = list(read_trace(sink.getvalue()).records())
    assert [type(record) for record in records] == [TraceNote, TraceFrame, TraceNote]


def test_once() -> None:
    reader = TraceReader(written((0, "ping")))
    assert len(list(reader.records())) == 1
    assert list(reader.records()) == list(reader) == []


def test_secrets_are_taken_out() -> None:
    reason = "key=CANARY AIzaCANARYCANARYCANARY"
    data = written((0, "closed", {"reason": reason, "token": "CANARY"}), secrets=["exact"])
    assert b"CANARY" not in data
    assert b"CANARY" in written((0, "closed", {"reason": reason}), redact=False)


def test_facts_stay_out_of_repr() -> None:
    assert "CANARY" not in repr(TraceNote(at=0.0, kind="x", facts={"a": "CANARY"}))


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ((float("nan"), "x"), "t"),
        ((0, "text"), "kind"),
        ((0, "binary"), "kind"),
        ((0, "x", {"a": object()}), "facts"),
        ((0, "x", {"a": float("inf")}), "facts"),
    ],
)
def test_what_cannot_be_written(arguments: Any, path: str) -> None:
    sink = io.BytesIO()
    writer = TraceWriter(sink)
    before = sink.getvalue()
    with pytest.raises(InvalidMessage) as caught:
        writer.note(*arguments)
    assert caught.value.path == path
    assert sink.getvalue() == before


def test_a_note_has_a_time() -> None:
    data = written() + json.dumps({"kind": "x"}).encode() + b"\n"
    with pytest.raises(InvalidTrace, match="'t'"):
        list(TraceReader(data).records())
