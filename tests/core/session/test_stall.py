"""Where nothing is missing yet, and where something is: seeded history, a silent client, unknown nested fields."""

from __future__ import annotations

import pytest

from live_protocol import (
    ConnectionFailed,
    DeadlineExpired,
    LiveClientSetup,
    LiveSession,
    StallSuspected,
    Timeouts,
    UnknownMessage,
)
from live_protocol.messages import HistoryConfig

TURN = {"role": "user", "parts": [{"text": "before"}]}


def ready(setup: LiveClientSetup) -> LiveSession:
    session = LiveSession.client(setup, timeouts=Timeouts(stall=5.0))
    session.advance(0.0)
    session.send_setup()
    session.receive_message(b'{"setupComplete": {}}')
    list(session.events())
    return session


@pytest.mark.parametrize(("seeded", "stalls"), [(True, False), (False, True)])
def test_nobody_answers_initial_history(seeded: bool, stalls: bool) -> None:
    history = HistoryConfig(initial_history_in_client_content=seeded)
    session = ready(LiveClientSetup(model="models/m", history_config=history))
    session.send_client_content(TURN, turn_complete=False)
    session.send_client_content(TURN)
    session.advance(6.0)
    assert any(isinstance(event, StallSuspected) for event in session.events()) is stalls
    session.send_client_content(TURN)
    session.advance(12.0)
    assert any(isinstance(event, StallSuspected) for event in session.events())


def test_a_client_that_never_sends_setup_is_not_waited_for() -> None:
    session = LiveSession.server(timeouts=Timeouts(setup=30.0))
    session.advance(0.0)
    assert session.next_deadline() == 30.0
    session.advance(30.0)
    (failed,) = session.events()
    assert isinstance(failed, ConnectionFailed)
    assert isinstance(failed.error, DeadlineExpired)
    assert "the client has sent no setup" in str(failed.error)


def test_a_client_that_sends_setup_is() -> None:
    session = LiveSession.server(timeouts=Timeouts(setup=30.0))
    session.advance(0.0)
    session.receive_message(b'{"setup": {"model": "models/m"}}')
    list(session.events())
    assert session.next_deadline() is None


def test_unknown_members_of_server_content_are_told() -> None:
    session = ready(LiveClientSetup(model="models/m"))
    session.receive_message(b'{"serverContent": {"brandNew": 1}, "other": 2}')
    (unknown,) = session.events()
    assert isinstance(unknown, UnknownMessage)
    assert unknown.fields == {"serverContent": {"brandNew": 1}, "other": 2}
    assert "1" not in repr(unknown)


INTERRUPTED = b'{"serverContent": {"interrupted": true}}'
TURN_COMPLETE = b'{"serverContent": {"turnComplete": true}}'
OUTPUT = b'{"serverContent": {"modelTurn": {"parts": [{"text": "x"}]}}}'


@pytest.mark.parametrize(
    ("messages", "awaits"),
    [
        ([], True),
        ([OUTPUT], False),
        ([TURN_COMPLETE], False),
        ([INTERRUPTED], True),
        ([INTERRUPTED, TURN_COMPLETE], True),
        ([INTERRUPTED, TURN_COMPLETE, OUTPUT], False),
        ([b'{"serverContent": {"interrupted": true, "turnComplete": true}}'], True),
        ([b'{"serverContent": {"inputTranscription": {"text": "x"}}}'], True),
    ],
)
def test_what_answers_a_question(messages: list[bytes], awaits: bool) -> None:
    session = ready(LiveClientSetup(model="models/m"))
    assert not session.awaiting_answer
    session.send_client_content(TURN)
    for message in messages:
        session.receive_message(message)
    list(session.events())
    assert session.awaiting_answer is awaits
