"""The core rows: one frame, no I/O, no event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import google_genai_side, live_protocol_side, wire
from benchmarks.runner import Plan, Row, Side, cpu_microseconds, turns

Decoder = Callable[[bytes], wire.Seen]


def _decode(
    plan: Plan, name: str, seen: wire.Seen, our_decoder: Callable[[], Decoder] = live_protocol_side.decoder
) -> Row:
    work: dict[Side, Decoder] = {"peer": google_genai_side.decoder(), "ours": our_decoder()}
    frame = wire.server_frame(wire.server_text(wire.model_message(*seen)))
    for side, decode in work.items():
        if decode(frame) != seen:
            raise RuntimeError(f"{side} does not give back what the frame holds")
    return _measure(plan, Row("decode", name, "us"), work, frame)


def _encode(plan: Plan, milliseconds: int) -> Row:
    work = {"peer": google_genai_side.encoder(), "ours": live_protocol_side.encoder()}
    audio = wire.pcm(milliseconds, wire.INPUT_RATE)
    for side, encode in work.items():
        if wire.audio_of_client_frame(encode(audio)) != audio:
            raise RuntimeError(f"{side} does not send the audio")
    return _measure(plan, Row("encode", f"{milliseconds} ms", "us"), work, audio)


def _measure(plan: Plan, row: Row, work: Any, argument: bytes) -> Row:
    for call in work.values():
        cpu_microseconds(call, argument, plan.iterations // 5)
    for side in turns(plan.rounds, row.label):
        row.samples[side].append(cpu_microseconds(work[side], argument, plan.iterations))
    return row


def rows(plan: Plan) -> list[Row]:
    short, long = wire.pcm(40, wire.OUTPUT_RATE), wire.pcm(200, wire.OUTPUT_RATE)
    words = "and then the two of them"
    return [
        _decode(plan, "40 ms", (short, None)),
        _decode(plan, "200 ms", (long, None)),
        _decode(plan, "40 ms, whole message", (short, None), live_protocol_side.message_decoder),
        _decode(plan, "200 ms with transcript", (long, words)),
        _decode(plan, "transcript", (None, words)),
        _encode(plan, 20),
        _encode(plan, 100),
    ]
