"""Events compare, copy and show themselves without their message or their payload."""

from __future__ import annotations

import copy
import pickle

from live_protocol import events
from live_protocol.errors import InvalidJson
from live_protocol.messages import AudioFormat, LiveServerMessage


def test_an_event_built_by_hand_has_an_empty_message() -> None:
    event = events.GoAway(time_left=5.0)
    assert event.message == LiveServerMessage()
    assert event == events.GoAway(time_left=5.0)
    assert events.UnknownMessage(fields={}).message == LiveServerMessage()
    assert events.SetupReceived(setup=None).message.setup is None  # type: ignore[arg-type]
    assert copy.copy(event) == event
    assert pickle.loads(pickle.dumps(LiveServerMessage())) == LiveServerMessage()


def test_payloads_and_secrets_stay_out_of_repr() -> None:
    audio = events.AudioChunk(data=b"x" * 1000, format=AudioFormat(16000))
    assert "<1000 bytes>" in repr(audio)
    assert len(repr(audio)) < 200
    assert "<3>" in repr(events.Undecodable(error=InvalidJson("x"), data="abc"))
    request = events.UpgradeRequested(target="/p?key=secret", headers=(("x-goog-api-key", "secret"),))
    assert "secret" not in repr(request)
    assert "'/p'" in repr(request)
