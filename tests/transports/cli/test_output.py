"""Events as JSON and as lines."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import get_args

import attrs
import pytest

from live_protocol import events as ev
from live_protocol import messages as m
from live_protocol.close_info import CloseInfo, Initiator
from live_protocol.errors import InvalidJson, ServerClosed, TransportFailed
from live_protocol.messages import AudioFormat
from live_transports.cli.event_text import describe, headline, to_json
from live_transports.cli.reporter import Reporter

SECRET = "AIzaSyVerySecret0123456789"
PCM = AudioFormat(24_000)
SAMPLES: list[ev.Event] = [
    ev.UpgradeRequested(target=f"/ws/x?key={SECRET}", headers=(("x-goog-api-key", SECRET),)),
    ev.Connected(headers=(("server", "x"),), compression=True),
    ev.UpgradeRejected(status=403, body=b"no"),
    ev.PingReceived(payload=b"p"),
    ev.PongReceived(payload=b"p", rtt=0.012),
    ev.ConnectionFailed(error=TransportFailed("it broke")),
    ev.ConnectionClosed(
        info=CloseInfo(
            code=1011,
            reason="bad",
            clean=False,
            initiator=Initiator.REMOTE,
            error=ServerClosed(1011, "bad", "retry"),
            hint="retry",
            pending_tool_calls=("1",),
        )
    ),
    ev.SetupComplete(session_id="s"),
    ev.GoAway(time_left=9.5),
    ev.ResumptionUpdated(handle="very-secret", resumable=True),
    ev.TurnStarted(generation=1),
    ev.Interrupted(generation=1),
    ev.GenerationComplete(generation=1),
    ev.WaitingForInput(generation=1),
    ev.TurnComplete(generation=1, reason=m.TurnCompleteReason.MALFORMED_FUNCTION_CALL, interaction_complete=False),
    ev.InteractionStatusChanged(status=m.InteractionStatus.IDLE),
    ev.UsageUpdated(usage=m.UsageMetadata(prompt_token_count=1, total_token_count=2)),
    ev.VoiceActivityDetected(kind=m.VoiceActivityType.ACTIVITY_START, audio_offset=0.5),
    ev.StallSuspected(kind=ev.StallKind.NO_OUTPUT, silence=3.0),
    ev.AudioChunk(data=bytes(4800), format=PCM, generation=1),
    ev.TextChunk(text="t", generation=1),
    ev.InlineDataChunk(blob=m.Blob(mime_type="image/png", data=b"12"), part=m.Part(), generation=1),
    ev.ExecutableCodeReceived(code=m.ExecutableCode(code="print(1)")),
    ev.CodeExecutionResultReceived(result=m.CodeExecutionResult(outcome=m.Outcome.OUTCOME_OK, output="1")),
    ev.PartReceived(part=m.Part(file_data=m.FileData(file_uri="u"))),
    ev.InputTranscript(text="in", transcription=m.Transcription(text="in")),
    ev.InterimInputTranscript(text="i", transcription=m.Transcription(text="i")),
    ev.OutputTranscript(text="out", transcription=m.Transcription(text="out")),
    ev.ToolCallRequested(call=m.FunctionCall(id="1", name="f", args={"a": float("inf")})),
    ev.ToolCallCancelled(call_id="1", known=False),
    ev.Grounding(metadata=m.GroundingMetadata(grounding_chunks=[m.GroundingChunk()])),
    ev.UrlContextRetrieved(metadata=m.UrlContextMetadata()),
    ev.UnknownMessage(fields={"new": {"key": SECRET}}),
    ev.Undecodable(error=InvalidJson("no"), data="{\ud800"),
    ev.ServerError(code=500, text="oops", status="INTERNAL"),
    ev.SetupReceived(setup=m.LiveClientSetup(session_resumption=m.SessionResumptionConfig(handle="very-secret"))),
    ev.ClientContentReceived(content=m.LiveClientContent(turn_complete=True)),
    ev.RealtimeInputReceived(input=m.LiveClientRealtimeInput(activity_start=m.ActivityStart())),
    ev.ToolResponseReceived(responses=[m.FunctionResponse(id="1", name="f", response={"output": 1})]),
    ev.Reconnecting(
        attempt=1,
        delay=0.5,
        epoch=2,
        reason=next(iter(ev.ReconnectReason)),
        info=CloseInfo(code=1006, clean=False, initiator=Initiator.TRANSPORT),
    ),
    ev.Reconnected(epoch=2, resumed=True, attempts=1, downtime=0.7),
    ev.InputLost(count=2, kinds={"client_content": 2}, size=10, reason=ev.LossReason.STALE, certain=False),
    ev.ContextUpdateReceived(update=m.LiveClientContextUpdate(system_instruction=m.Content())),
]


def test_there_is_a_sample_of_every_event() -> None:
    assert {type(sample) for sample in SAMPLES} == set(get_args(ev.Event))
    assert len({type(sample) for sample in SAMPLES}) == len(SAMPLES)


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("full", [False, True])
def test_every_event_is_json_with_its_name_and_fields_and_no_secret(event: ev.Event, full: bool) -> None:
    text = to_json(describe(event, full=full))
    shown = json.loads(text)
    assert shown["type"] == type(event).__name__
    names = {field.name for field in attrs.fields(type(event)) if not field.name.startswith("_")}
    assert set(shown) - {"type"} == names
    assert text.isascii()
    assert "ecret" not in text


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_every_event_is_a_line(event: ev.Event) -> None:
    label, detail = headline(event)
    assert label
    assert "\n" not in detail
    assert "ecret" not in detail


def test_values_of_messages() -> None:
    shown = describe(
        ev.UnknownMessage(fields={"at": datetime(2026, 1, 2, tzinfo=UTC), "n": 2**70, "list": [b"12", None]})
    )
    assert shown["fields"] == {"at": "2026-01-02T00:00:00+00:00", "n": 2**70, "list": [{"size": 2}, None]}
    closed = describe(SAMPLES[6])["info"]
    assert closed["error"] == {"class": "ServerClosed", "text": "closed by the peer with 1011 'bad': retry"}
    assert closed["initiator"] == "REMOTE"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def report(*events: ev.Event, live: bool = False) -> str:
    out = Terminal()
    reporter = Reporter(out, live=live)
    for event in events:
        reporter.event(event)
    reporter.flush()
    return out.getvalue()


def test_runs_share_a_line_and_other_events_end_them() -> None:
    chunk = ev.AudioChunk(data=bytes(4800), format=PCM, generation=1)
    words = [ev.OutputTranscript(text=text, transcription=m.Transcription()) for text in ("Hello", " ", "you")]
    lines = report(chunk, words[0], chunk, words[1], chunk, words[2], ev.TurnComplete(), chunk).splitlines()
    assert lines == [
        "< audio               0.30 s in 3 chunks at 24000 Hz",
        "< said                Hello you",
        "< turn complete",
        "< audio               0.10 s in 1 chunk at 24000 Hz",
    ]


def test_stale_and_unexpected_events_are_marked() -> None:
    stale = ev.AudioChunk(data=bytes(4800), format=PCM, generation=1, stale=True)
    odd = ev.AudioChunk(data=bytes(4800), format=PCM, generation=1, unexpected=True)
    late = ev.OutputTranscript(text="rest", transcription=m.Transcription(), stale=True)
    assert report(stale, stale, odd, late).splitlines() == [
        "< stale audio         0.20 s in 2 chunks at 24000 Hz",
        "< audio               0.10 s [unexpected here]",
        "< said                rest [stale]",
    ]


def test_on_a_terminal_the_line_grows() -> None:
    chunk = ev.AudioChunk(data=bytes(4800), format=PCM, generation=1)
    text = report(chunk, chunk, live=True)
    assert text.count("\r") == 3
    assert "0.10 s in 1 chunk " in text
    assert text.endswith("\r\x1b[K< audio               0.20 s in 2 chunks at 24000 Hz\n")


def test_a_dumb_terminal_gets_no_changing_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    chunk = ev.AudioChunk(data=bytes(4800), format=PCM, generation=1)
    assert report(chunk, live=True) == "< audio               0.10 s in 1 chunk at 24000 Hz\n"
