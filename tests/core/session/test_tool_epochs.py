"""Calls that outlive their connection, as the table of calls keeps them."""

from __future__ import annotations

import pytest
from support.core import call, cancel, ready_client, session_facts, tell

from live_protocol import (
    Codec,
    FunctionResponse,
    InvalidMessage,
    LiveSession,
    StaleOperation,
    ToolCallOrphaned,
)
from live_protocol.messages import Backend

A = {"id": "a", "response": {}}


def next_connection(session: LiveSession, *, backend: Backend = Backend.GEMINI, epoch: int = 2) -> LiveSession:
    """A session on a new connection that takes over the open calls of another one."""
    following = ready_client(codec=Codec(backend))
    following.tool_calls.epoch = epoch
    following.tool_calls.restore(session.tool_calls.open())
    return following


def test_open_calls_may_be_answered_on_the_next_connection() -> None:
    session = ready_client(codec=Codec(Backend.VERTEX))
    tell(session, call({"id": "a", "name": "f"}, {"name": "g"}, {"id": "c", "name": "h"}), cancel("c"))
    assert [entry.epoch for entry in session.tool_calls.open()] == [0, 0]
    following = next_connection(session, backend=Backend.VERTEX)
    assert [entry.name for entry in following.pending_tool_calls] == ["f", "g"]
    following.send_tool_response([A, {"name": "g", "response": {}}])
    assert following.pending_tool_calls == ()


def test_orphans_are_refused() -> None:
    session = ready_client(codec=Codec(Backend.VERTEX))
    session.tool_calls.epoch = 1
    tell(session, call({"id": "a", "name": "f"}, {"name": "g"}))
    assert [entry.call.name for entry in session.tool_calls.orphan()] == ["f", "g"]
    assert session.pending_tool_calls == ()
    session.tool_calls.epoch = 2
    for answer, key in ((A, "a"), ({"name": "g", "response": {}}, "g")):
        before = session_facts(session)
        with pytest.raises(ToolCallOrphaned) as caught:
            session.send_tool_response(answer)
        assert (caught.value.call_id, caught.value.epoch, caught.value.current) == (key, 1, 2)
        assert isinstance(caught.value, StaleOperation)
        assert session_facts(session) == before
    # A new call of the same id is a new call.
    tell(session, call({"id": "a", "name": "again"}, {"name": "g"}))
    session.send_tool_response([A, {"name": "g", "response": {}}])
    assert session.pending_tool_calls == ()


def test_an_answer_to_another_connections_call() -> None:
    session = ready_client()
    session.tool_calls.epoch = 2
    tell(session, call({"id": "a", "name": "f"}))
    responses = [FunctionResponse(id="a", response={})]
    with pytest.raises(ToolCallOrphaned) as caught:
        session.tool_calls.check(responses, epoch=1)
    assert (caught.value.epoch, caught.value.current) == (1, 2)
    assert session.tool_calls.check(responses, epoch=2)[0].name == "f"
    with pytest.raises(InvalidMessage):
        session.tool_calls.check([], epoch=2)


def test_calls_without_id_are_told_apart_by_their_connection() -> None:
    session = ready_client(codec=Codec(Backend.VERTEX))
    calls = session.tool_calls
    for calls.epoch in (1, 2):
        tell(session, call({"name": "f"}))
    answer = [FunctionResponse(name="f", response={})]
    assert calls.check(answer, epoch=2) == answer
    calls.responded(answer, epoch=2)
    assert [entry.epoch for entry in calls.open()] == [1]
    with pytest.raises(ToolCallOrphaned):
        calls.check(answer, epoch=2)
    calls.responded(calls.check(answer, epoch=1), epoch=1)
    assert calls.open() == ()


def test_orphans_are_forgotten_some_day() -> None:
    session = ready_client()
    tell(session, call(*({"id": f"x{index}", "name": "f"} for index in range(1030))))
    assert len(session.tool_calls.orphan()) == 1030
    with pytest.raises(InvalidMessage):
        session.send_tool_response({"id": "x5", "name": "f", "response": {}})
    with pytest.raises(ToolCallOrphaned):
        session.send_tool_response({"id": "x6", "name": "f", "response": {}})
