"""Sessions that outlive their connection."""

from __future__ import annotations

from typing import Any

from core.emulator.pair import (
    GEMINI,
    TEXT,
    VERTEX,
    Pair,
    closed,
    connected,
    emulator,
    messages,
    names,
    of,
    said,
    speech,
)
from live_protocol import events as ev
from live_protocol.emulator import Emulator
from live_protocol.endpoint import Endpoint

TOOLS = [{"function_declarations": [{"name": "f"}]}]


def open_pair(
    server: Emulator, handle: str | None = None, endpoint: Endpoint = GEMINI, model: str = "m", **fields: Any
) -> Pair:
    resumption = {
        key: value for key, value in (("handle", handle), ("transparent", fields.pop("transparent", None))) if value
    }
    return Pair(server, {**TEXT, "session_resumption": resumption, **fields}, endpoint, model=model)


def leave(pair: Pair) -> str:
    pair.client.close()
    pair.run()
    assert pair.client.resumption.handle is not None
    return pair.client.resumption.handle


def test_a_long_history_loses_its_beginning() -> None:
    server = emulator(max_history=3)
    config = {**TEXT, "session_resumption": {}}
    pair = Pair(server, config)
    handles = [pair.client.resumption.handle]
    for text in ("a", "b", "c"):
        pair.text(text)
        handles.append(pair.client.resumption.handle)
    assert said(pair.text("/history")) == "user: c\nmodel: c"
    pair.client.close()
    pair.run()
    # A handle from before what is remembered leads to nothing, a later one to what is left of its time.
    for handle, history in ((handles[3], "model: c"), (handles[1], "Nothing was said.")):
        pair = Pair(server, {**TEXT, "session_resumption": {"handle": handle}})
        assert said(pair.text("/history")) == history
        pair.client.close()
        pair.run()


def test_handles_come_after_setup_and_after_each_turn() -> None:
    pair = open_pair(Emulator())
    assert names(pair.events) == ["Connected", "SetupComplete", "ResumptionUpdated"]
    new = pair.text("hi")
    assert names(new)[-3:] == ["TurnComplete", "UsageUpdated", "ResumptionUpdated"]
    updates = of(pair.events, ev.ResumptionUpdated)
    assert all(update.resumable for update in updates)
    assert len({update.handle for update in updates}) == 2
    with connected() as pair:
        pair.text("hi")
        assert not of(pair.events, ev.ResumptionUpdated)


def test_a_resumed_session_remembers() -> None:
    server = Emulator()
    pair = open_pair(server)
    pair.text("my name is Ada")
    handle = leave(pair)
    pair = open_pair(server, handle)
    assert of(pair.events, ev.SetupComplete)
    assert said(pair.text("/history")) == "user: my name is Ada\nmodel: my name is Ada"


def test_an_older_handle_forgets_later_turns() -> None:
    server = Emulator()
    pair = open_pair(server)
    pair.text("one")
    older = pair.client.resumption.handle
    pair.text("two")
    newer = leave(pair)
    pair = open_pair(server, older)
    assert said(pair.text("/history")) == "user: one\nmodel: one"
    leave(pair)
    assert said(open_pair(server, newer).text("/history")).startswith("user: one\nmodel: one\nuser: /history")


def test_an_unfinished_generation_is_not_continued() -> None:
    server = Emulator()
    pair = open_pair(server)
    pair.text("/slow 10 one two")
    pair.wait(6)
    handle = leave(pair)
    pair = open_pair(server, handle)
    assert pair.wait(30) == []
    assert said(pair.text("/history")) == "Nothing was said."


def test_pending_calls_survive() -> None:
    server = Emulator()
    pair = open_pair(server, tools=TOOLS)
    (call,) = of(pair.text('/call f {"x": 1}'), ev.ToolCallRequested)
    handle = leave(pair)
    pair = open_pair(server, handle, tools=TOOLS)
    assert said(pair.text("hi")) == "hi"
    pair.client.send_tool_response({"id": call.call.id, "name": "f", "response": {"late": 1}})
    assert said(pair.run()) == '{"late": 1}'


def test_an_older_handle_forgets_answers_too() -> None:
    server = Emulator()
    tools = [{"function_declarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}]
    pair = open_pair(server, tools=tools)
    (call,) = of(pair.text("/call f {}"), ev.ToolCallRequested)
    older = pair.client.resumption.handle
    answer = {"id": call.call.id, "name": "f", "response": {"late": 1}}
    pair.client.send_tool_response(answer)
    pair.run()
    leave(pair)
    pair = open_pair(server, older, tools=tools)
    pair.client.send_tool_response(answer)
    assert said(pair.run()) == '{"late": 1}'


def test_resuming_while_the_old_connection_is_open() -> None:
    server = Emulator()
    pair = open_pair(server)
    handle = pair.client.resumption.handle
    assert closed(open_pair(server, handle)) == (1011, "Internal error encountered.")
    # A connection that was lost without a word still counts as alive ...
    pair.client.transport_failed("gone")
    assert closed(open_pair(server, handle))[0] == 1011
    # ... until the server notices.
    pair.server.receive_eof()
    assert open_pair(server, handle).text("hi")


def test_unknown_handles() -> None:
    answer = (1008, "BidiGenerateContent session not found")
    assert closed(open_pair(Emulator(), "nobody")) == answer
    server = emulator(max_handles=2)
    pair = open_pair(server)
    first = pair.client.resumption.handle
    pair.text("one")
    pair.text("two")
    leave(pair)
    assert closed(open_pair(server, first)) == answer


def test_the_model_cannot_change() -> None:
    server = Emulator()
    handle = leave(open_pair(server))
    assert closed(open_pair(server, handle, model="other")) == (1007, "Request contains an invalid argument.")


def test_everything_else_can() -> None:
    server = Emulator()
    handle = leave(open_pair(server))
    pair = open_pair(server, handle, system_instruction="New.")
    assert said(pair.text("/system")) == "New."


def test_handles_may_be_withheld_while_a_turn_runs() -> None:
    server = emulator(withhold_handles=True)
    pair = open_pair(server)
    new = pair.text("hi")
    first, last = of(new, ev.ResumptionUpdated)
    assert (first.handle, first.resumable) == (None, False)
    assert last.resumable
    with connected(server) as plain:
        assert not of(plain.text("hi"), ev.ResumptionUpdated)


def test_transparent_mode() -> None:
    server = Emulator()
    pair = open_pair(server, endpoint=VERTEX, transparent=True)
    (update,) = of(pair.events, ev.ResumptionUpdated)
    assert update.last_consumed_client_message_index is None
    (update,) = of(pair.text("one"), ev.ResumptionUpdated)
    assert update.last_consumed_client_message_index == 1
    pair.content("two ", turn_complete=False)
    (update,) = of(pair.content("three"), ev.ResumptionUpdated)
    assert update.last_consumed_client_message_index == 3
    # Speech that goes on is in no turn yet, so it would be lost.
    pair.audio(speech(0.3))
    (update,) = of(pair.text("four"), ev.ResumptionUpdated)
    assert update.last_consumed_client_message_index == 3
    assert messages(pair.events)[-1].session_resumption_update is not None
    handle = leave(pair)
    pair = open_pair(server, handle, VERTEX, transparent=True)
    (update,) = of(pair.text("five"), ev.ResumptionUpdated)
    assert update.last_consumed_client_message_index == 1
