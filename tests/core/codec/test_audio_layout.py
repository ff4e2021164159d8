"""Audio that is cut out of a text by its layout is what the parser finds in it, with the same MIME type and role."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.strategies import CALM

from live_protocol import Codec, InvalidJson, SchemaMismatch
from live_protocol.codec.audio_layout import AudioLayout

CODEC = Codec()
LONG = base64.b64encode(bytes(range(256)) * 100).decode()


def message(data: str, mime_type: str = "audio/pcm", role: str | None = None) -> dict[str, Any]:
    turn: dict[str, Any] = {"parts": [{"inlineData": {"mimeType": mime_type, "data": data}}]}
    return {"serverContent": {"modelTurn": turn if role is None else {"role": role, **turn}}}


FORMS: list[str] = [
    json.dumps(message("DATA"), indent=2) + "\n",
    json.dumps(message("DATA")),
    json.dumps(message("DATA", role="model"), separators=(",", ":")),
    '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"data":"DATA","mimeType":"a/b"}}],"role":"model"}}}',
    '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"data":"DATA","mimeType":"DATA"}}]}}}',
    '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"DATA","data":"DATA"}}]}}}',
    '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"\\"DATA\\"","data":"DATA"}}]}}}',
    '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"a","data":"DATA","data":"QUJD"}}]}}}',
    '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"a","data":"DATA","data":"\\u0051UJD"}}]}}}',
    '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"a","data":"QUJD","data":"DATA"}}]}}}',
    '{"serverContent":1,"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"a","data":"DATA"}}]}}}',
    '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"a","data":"DATA"}}]}},"serverContent":{}}',
    '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"a","\\u0064ata":"DATA"}}]}}}',
    '{"serverContent":{"modelTurn":{"parts":[{"text":"DATA"}]}}}',
]
DATA = [
    "", "QUJD", "live", "QUI=", "QQ==", "QUI", "QQ", "-_-_", "+/+/", "QU\\/D", "\\u0051UJD", "Q", "QU JD", "QUJD\\n",
    LONG, 'QUJD","data":"QUJD', "é", "\x00", "QUJD\\",
]  # fmt: skip

texts = st.builds(lambda form, data: form.replace("DATA", data).encode(), st.sampled_from(FORMS), st.sampled_from(DATA))


def parsed(text: bytes) -> Any:
    try:
        return CODEC.decode_server_part(text)
    except (InvalidJson, SchemaMismatch):
        return None


@given(texts, texts, st.integers(0, 400), st.sampled_from([b"", b'"', b"\\", b"}", b" ", b"A", b"\xff"]))
@example(FORMS[0].replace("DATA", "QUJD").encode(), FORMS[0].replace('"DATA"', '"').encode(), 400, b"")
@settings(CALM, max_examples=2000)
def test_a_layout_never_reads_what_the_parser_does_not(first: bytes, second: bytes, at: int, put: bytes) -> None:
    part = parsed(first)
    if type(part) is not tuple or (layout := AudioLayout.of(first)) is None:
        return
    for text in (first, second, second[:at] + put + second[at:], second[:at] + put + second[at + 1 :]):
        audio = layout.audio(text)
        if audio is not None:
            assert parsed(text) == (part[0], audio, part[2])


@pytest.mark.parametrize("form", FORMS[:3])
@pytest.mark.parametrize("data", ["QUJD", "QUI=", LONG])
def test_what_the_known_writers_write_has_a_layout(form: str, data: str) -> None:
    layout = AudioLayout.of(form.replace("DATA", "AAAA").encode())
    assert layout is not None
    assert layout.audio(form.replace("DATA", data).encode()) == base64.b64decode(data)


@pytest.mark.parametrize("text", FORMS[:3])
def test_a_head_and_a_tail_that_share_a_quote_are_no_message(text: str) -> None:
    layout = AudioLayout.of(text.replace("DATA", "AAAA").encode())
    assert layout is not None
    assert layout.audio(text.replace('"DATA"', '"').encode()) is None


def test_an_endless_frame_around_the_audio_is_not_kept() -> None:
    text = json.dumps(message("QUJD", mime_type="a" * 2000)).encode()
    assert AudioLayout.of(text) is None


def test_a_large_message_costs_no_memory_but_its_audio() -> None:
    layout = AudioLayout.of(json.dumps(message("QUJD")).encode())
    assert layout is not None
    text = json.dumps(message("QUJD" * 250_000)).encode()
    tracemalloc.start()
    try:
        audio = layout.audio(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    expected = b"ABC" * 250_000
    assert audio == expected
    assert peak < len(expected) + 10_000
