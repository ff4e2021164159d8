"""Deadlines of the session: setup, and the suspicion of a stall; everything by a clock that the test holds."""

from __future__ import annotations

from typing import Any

import pytest
from support.core import (
    COMPLETE,
    GENERATED,
    SETUP_COMPLETE,
    TEXT,
    call,
    dumps,
    names,
    new_client,
    ready_client,
    tell,
)

from live_protocol import ConnectionFailed, DeadlineExpired, LiveSession, Phase, StallSuspected, Timeouts
from live_protocol.events import StallKind
from live_protocol.messages import AudioTranscriptionConfig, GenerationConfig, LiveClientSetup
from live_protocol.timing import Deadline, Deadlines

AUDIO = {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": "AAAA"}}]}}}
STALL = Timeouts(setup=None, stall=5.0)


@pytest.mark.parametrize("origin", [0.0, -100.0, 1e9])
@pytest.mark.parametrize("early", [True, False], ids=["before the clock", "with a clock"])
def test_setup_deadline(origin: float, early: bool) -> None:
    fields = {"generation_config": GenerationConfig(), "input_audio_transcription": AudioTranscriptionConfig()}
    session = new_client(fields=fields, timeouts=Timeouts(setup=30.0))
    if not early:
        session.advance(origin)
    session.send_setup()
    assert session.next_deadline() == (None if early else origin + 30)
    session.advance(origin)
    assert session.next_deadline() == origin + 30
    session.advance(origin + 29.9)
    assert tell(session) == []
    session.advance(origin + 30)
    (event,) = tell(session)
    assert isinstance(event, ConnectionFailed)
    assert isinstance(event.error, DeadlineExpired)
    assert (event.error.which, event.error.after) == (Deadline.SETUP, 30.0)
    assert "generation_config, input_audio_transcription" in str(event.error)
    assert session.phase is Phase.ENDED
    assert session.last_phase is Phase.SETUP_SENT
    assert session.next_deadline() is None
    assert tell(session, SETUP_COMPLETE) == []
    session.advance(origin + 1000)
    assert tell(session) == []


def test_messages_can_be_queued_beside_the_table_of_a_connection() -> None:
    deadlines = Deadlines()
    session = LiveSession.client(LiveClientSetup(model="models/m"), deadlines=deadlines)
    assert tell(session) == []
    session.send_setup()
    session.advance(0.0)
    assert deadlines.is_armed(Deadline.SETUP)
    assert names(tell(session, SETUP_COMPLETE, TEXT)) == ["SetupComplete", "TurnStarted", "TextChunk"]
    assert not deadlines.is_armed(Deadline.SETUP)


def test_setup_complete_disarms_the_deadline() -> None:
    session = new_client()
    session.advance(0.0)
    session.send_setup()
    tell(session, TEXT, {"sessionResumptionUpdate": {}})
    assert session.next_deadline() == 30.0
    tell(session, SETUP_COMPLETE)
    assert session.next_deadline() is None
    session.advance(1000.0)
    assert tell(session) == []


def test_a_setup_without_options_has_a_short_detail() -> None:
    session = new_client()
    session.advance(0.0)
    session.send_setup()
    session.advance(30.0)
    (event,) = tell(session)
    assert "setup was sent, setupComplete has not come" in str(event.error)


def test_no_setup_deadline() -> None:
    session = new_client(timeouts=Timeouts(setup=None))
    session.advance(0.0)
    session.send_setup()
    assert session.next_deadline() is None


@pytest.mark.parametrize("busy", [True, False])
def test_what_waits_to_be_read_is_not_missing(busy: bool) -> None:
    session = new_client()
    session.advance(0.0)
    session.send_setup()
    if not busy:
        session.receive_message(dumps(SETUP_COMPLETE))
    (session.tick if busy else session.advance)(1000.0)
    if busy:
        assert session.next_deadline() == 30.0
        session.receive_message(dumps(SETUP_COMPLETE))
    assert session.next_deadline() is None  # or a driver with a slow application would spin
    assert names(session.events()) == ["SetupComplete"]
    session.advance(2000.0)
    assert tell(session) == []


def test_messages_without_news_end_no_wait() -> None:
    session = new_client()
    session.advance(0.0)
    session.send_setup()
    session.receive_message(b"{}")
    session.advance(40.0)
    assert tell(session) == []
    session.advance(40.0)
    assert names(tell(session)) == ["ConnectionFailed"]


# --- stalls -----------------------------------------------------------------------------------------------------


def stalled(session: LiveSession, at: float) -> StallSuspected | None:
    session.advance(at)
    events = tell(session)
    if not events:
        return None
    (event,) = events
    assert isinstance(event, StallSuspected)
    return event


@pytest.mark.parametrize("origin", [0.0, 1000.0])
def test_no_setup_complete(origin: float) -> None:
    session = new_client(timeouts=STALL)
    session.advance(origin)
    session.send_setup()
    assert stalled(session, origin + 4.9) is None
    assert stalled(session, origin + 6.0) == StallSuspected(kind=StallKind.NO_SETUP_COMPLETE, silence=6.0)
    assert stalled(session, origin + 60.0) is None  # once
    assert session.phase is Phase.SETUP_SENT
    tell(session, SETUP_COMPLETE)
    assert session.next_deadline() is None


def test_setup_sent_before_the_clock_runs() -> None:
    session = new_client(timeouts=STALL)
    session.send_setup()
    session.tick(0.0)
    assert stalled(session, 5.0) == StallSuspected(kind=StallKind.NO_SETUP_COMPLETE, silence=5.0)


def ready(timeouts: Timeouts = STALL) -> LiveSession:
    session = ready_client(timeouts=timeouts)
    session.advance(0.0)
    return session


def test_idle_is_no_stall() -> None:
    session = ready()
    assert session.next_deadline() is None
    session.send_realtime_input(audio=b"\0\0", rate=16000)
    session.send_client_content(turn_complete=False)
    tell(session, {"usageMetadata": {}})
    assert stalled(session, 1000.0) is None


def test_no_output() -> None:
    session = ready()
    session.send_client_content()
    assert session.next_deadline() == 5.0
    tell(session, {"usageMetadata": {}})
    assert stalled(session, 5.0) == StallSuspected(kind=StallKind.NO_OUTPUT, silence=5.0)


@pytest.mark.parametrize("answer", [TEXT, AUDIO, GENERATED, COMPLETE, call({"id": "1", "name": "f"})])
def test_any_answer_will_do(answer: dict[str, Any]) -> None:
    session = ready()
    session.send_client_content()
    tell(session, answer)
    event = stalled(session, 5.0)
    assert event is None or event.kind is StallKind.NO_GENERATION_COMPLETE
    assert (event is None) == (answer not in (TEXT, AUDIO))


def test_asking_for_no_answer_ends_the_wait_for_one() -> None:
    session = ready()
    session.send_client_content()
    session.send_client_content(turn_complete=False)
    assert session.next_deadline() is None


def test_no_generation_complete() -> None:
    session = ready()
    tell(session, TEXT)
    for at in (4.0, 8.0, 12.0):  # audio keeps it alive
        session.advance(at)
        tell(session, AUDIO)
    assert stalled(session, 16.9) is None
    assert stalled(session, 17.0) == StallSuspected(kind=StallKind.NO_GENERATION_COMPLETE, silence=5.0)
    tell(session, GENERATED)
    assert stalled(session, 100.0) is None


def test_an_open_call_is_the_applications_turn() -> None:
    session = ready()
    tell(session, TEXT, call({"id": "1", "name": "f"}))
    assert session.next_deadline() is None
    session.send_tool_response({"id": "1", "response": {}})
    assert session.next_deadline() == 5.0
    assert stalled(session, 6.0) == StallSuspected(kind=StallKind.NO_GENERATION_COMPLETE, silence=6.0)


def test_what_is_due_may_be_over_when_the_deadline_comes() -> None:
    session = ready()
    tell(session, TEXT)
    session.tool_calls.requested(call_of("1"))
    assert stalled(session, 5.0) is None


def call_of(call_id: str) -> Any:
    from live_protocol import FunctionCall

    return FunctionCall(id=call_id, name="f")


def test_a_clock_that_steps_back_stands_still() -> None:
    session = ready()
    session.send_client_content()
    assert stalled(session, 4.0) is None
    assert stalled(session, -50.0) is None
    assert stalled(session, 5.5) == StallSuspected(kind=StallKind.NO_OUTPUT, silence=5.5)


def test_no_suspicion_after_the_end() -> None:
    session = ready()
    session.receive_message(dumps(TEXT))
    session.end()
    assert names(session.events()) == ["TurnStarted", "TextChunk"]
    assert session.next_deadline() is None
    assert stalled(session, 100.0) is None
