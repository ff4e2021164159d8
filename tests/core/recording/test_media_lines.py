"""A message like one before is written without being parsed; its line is the same as if it were."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from hypothesis import example, given
from hypothesis import strategies as st

from live_protocol.recording import TraceWriter, open_trace
from live_protocol.recording.media_lines import MediaLines

Message = str | bytes

SAMPLES = ("AIza" + "0" * 31, "AIza" + "1" * 31)
DATA = "QUFB" * 12
MIC = '{"realtimeInput":{"audio":{"data":"%s","mimeType":"audio/pcm;rate=16000"}}}'
VOICE = """{
  "serverContent": {
    "modelTurn": {
      "parts": [
        {
          "inlineData": {
            "mimeType": "audio/pcm;rate=24000",
            "data": "%s"
          }
        }
      ]
    }
  }
}
"""
SHAPES = [
    MIC,
    VOICE,
    json.dumps({"realtime_input": {"video": {"mime_type": "image/png", "data": "%s"}}}),
    '{"realtimeInput" : {"audio" : {"mimeType" : "a/b", "data" : "%s"}}}',
    '{"a":"ü","inlineData":{"mimeType":"a/b","data":"%s"}}',
    '{"a":"\\ud800","inlineData":{"mimeType":"a/b","data":"%s"}}',
    '{"inlineData":{"data":"%s","mimeType":"a/b"},"sessionResumptionUpdate":{"newHandle":"CANARY"}}',
    '{"inlineData":{"data":"%s","mimeType":"a/b"},"text":"a secret"}',
    '{"toolCall":{"args":{"data":"%s"}}}',
    '{"inlineData":{"mimeType":"a/b","data":"%s","data":"x"}}',
    '{"a":{"mimeType":"a/b","d\\u0061ta":"\\u0041'
    + SAMPLES[0][1:]
    + '"},"b":{"mimeType":"a/b","data":"%s","data":""}}',
    '{"inlineData":{"mimeType":"a/b","data":"%s"},"text":"' + SAMPLES[0] + '"}',
    '["data","%s"]',
    '{"a\\"data":"%s"}',
    '{"data":1,"b":"%s"}',
    '{"inlineData":{"mimeType":"a/b","data":"%s"}',
    '%s"data"',
    '%s"data":x',
    '"data":"%s"',
    '{"x":"data","y":{"%s":1}}',
    "{" + '"a":{' * 127 + '"mimeType":"a/b","data":"%s"' + "}" * 128,
    "{" + '"a":{' * 128 + '"mimeType":"a/b","data":"%s"' + "}" * 129,
]
ODD = ["==", "\\", "\\u0041", "\x01", "\x7f", "ü", '","x":"', "%", " "]
texts = st.text("ABCXYZabcxyz0189+/-_=", max_size=80) | st.sampled_from(
    [DATA, *(DATA + odd for odd in ODD), *SAMPLES, "secret" * 10, "%s"]
)
messages = st.lists(
    st.tuples(st.sampled_from(SHAPES), st.lists(texts, min_size=1, max_size=4), st.booleans(), st.booleans()),
    max_size=6,
)


@contextmanager
def parsed() -> Iterator[None]:
    """Every message is parsed."""
    with mock.patch.object(MediaLines, "line", return_value=None):
        yield


def trace(messages: Sequence[Message], **options: Any) -> bytes:
    sink = io.BytesIO()
    writer = TraceWriter(sink, **options)
    for number, message in enumerate(messages):
        writer.record(number / 8, number % 3 == 0, message)
    return sink.getvalue()


def same(messages: Sequence[Message], **options: Any) -> bytes:
    found = trace(messages, **options)
    with parsed():
        assert trace(messages, **options) == found
    return found


@given(messages, st.booleans(), st.sampled_from([[], ["secret"], ["AIza"], ["data"], ["A"]]))
@example([(shape, [DATA, DATA + "AAAA", DATA + "BBBB"], True, True) for shape in SHAPES], True, [])
@example([(shape, [DATA, DATA + "AAAA", DATA + "BBBB"], False, False) for shape in SHAPES], False, [])
def test_lines_are_the_same_as_if_each_was_parsed(
    messages: list[tuple[str, list[str], bool, bool]], redact: bool, secrets: list[str]
) -> None:
    sent: list[Message] = []
    for shape, pieces, binary, mixed in messages:
        filled = [shape.replace("%s", piece, 1) for piece in pieces]
        filled = filled if mixed else filled * 2
        sent += [text.encode() for text in filled] if binary else filled
    found = same(sent, redact=redact, secrets=secrets)
    if not redact:
        exact = [one if isinstance(one, bytes) else one.encode() for one in sent]
        assert [frame.data for frame in open_trace(found)] == exact


def test_only_the_first_messages_are_parsed() -> None:
    sent = [shape % f"{DATA}{number:04}" for number in range(10) for shape in (VOICE, MIC)]
    with mock.patch.object(TraceWriter, "_members", autospec=True, side_effect=TraceWriter._members) as parse:
        found = trace(sent)
    assert parse.call_count == 2 * (1 + 2)  # the first message, and what stands for the second and all others
    assert [frame.data.decode() for frame in open_trace(found)] == sent


def test_what_cannot_be_learned_costs_little() -> None:
    parsed_in_vain = 0
    for shape in ('{"toolCall":{"args":{"data":"%s"}}}', '["data","%s"]', '{"a":%d,"data":"%s"}'):
        with mock.patch.object(TraceWriter, "_members", autospec=True, side_effect=TraceWriter._members) as parse:
            trace([shape.replace("%d", str(number)).replace("%s", DATA) for number in range(100)])
        parsed_in_vain += parse.call_count - 100
    assert parsed_in_vain == len(SAMPLES)  # both once, for the first shape


def test_credentials_beside_audio_are_removed_every_time() -> None:
    key = "AIzaCANARY0123456789"
    shape = '{"inlineData":{"mimeType":"a/b","data":"%s"},"text":"' + key + '"}'
    found = same([shape % f"{DATA}{number:04}" for number in range(5)])
    assert b"CANARY" not in found
    assert found.count(b"REDACTED") == 5


def test_what_is_remembered_is_bounded() -> None:
    shape = '{"realtimeInput":{"audio":{"mimeType":"a/%d","data":"%s"}}}'
    sent: list[Message] = [shape % (number // 3, DATA) for number in range(300)]
    writer = TraceWriter(io.BytesIO())
    for message in sent:
        writer.record(0.0, True, message)
    assert 0 < len(writer._media_lines._known) <= 32
    same([*sent, *sent[:3]])


def test_another_end_of_the_same_beginning() -> None:
    one, other = MIC % DATA, (MIC % DATA).replace("16000", "24000")
    same([one, one, one, other, other, other, one, one, one])
