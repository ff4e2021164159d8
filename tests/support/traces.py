"""Traces written in memory."""

from __future__ import annotations

import io
import json
from typing import Any

from live_protocol.recording import TraceWriter


def record(*messages: Any, redact: bool = True, **options: Any) -> bytes:
    sink = io.BytesIO()
    writer = TraceWriter(sink, redact=redact, **options)
    for number, message in enumerate(messages):
        writer.record(number, number % 2 == 0, message)
    return sink.getvalue()


def lines(trace: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trace.decode().splitlines()]
