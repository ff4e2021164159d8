"""Where nothing is missing yet, and where something is: seeded history, a silent client, unknown nested fields."""

from __future__ import annotations

import pytest

from live_protocol import (
    DeadlineExpired,
    Failed,
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
    assert isinstance(failed, Failed)
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
