"""Function calls: blocking, non-blocking and cancelled; late, repeated and unsolicited answers."""

from __future__ import annotations

from typing import Any

import pytest

from core.emulator.pair import (
    AUDIO,
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
)
from live_protocol import events as ev
from live_protocol.emulator import Emulator
from live_protocol.endpoint import Endpoint
from live_protocol.states import TurnState

INVALID = (1007, "Request contains an invalid argument.")


def tools(**behaviors: str | None) -> dict[str, Any]:
    declarations = [{"name": name, **({"behavior": kind} if kind else {})} for name, kind in behaviors.items()]
    return {**TEXT, "tools": [{"function_declarations": declarations}]}


BLOCKING = tools(f=None, g="BLOCKING")
NON_BLOCKING = tools(f="NON_BLOCKING")


def calls(events: list[ev.Event]) -> list[Any]:
    return [event.call for event in of(events, ev.ToolCallRequested)]


def respond(pair: Pair, call_id: str | None, response: Any = None, **fields: Any) -> list[ev.Event]:
    pair.client.send_tool_response({"id": call_id, "name": "f", "response": response or {}, **fields})
    return pair.run()


def late_response(call_id: str) -> dict[str, Any]:
    """A response that a `LiveConnection` would refuse to send."""
    return {"toolResponse": {"functionResponses": [{"id": call_id, "name": "f", "response": {}}]}}


def test_a_blocking_call() -> None:
    with connected(config=BLOCKING) as pair:
        new = pair.text('/call f {"city": "Oslo", "n": 2}')
        assert names(new) == ["TurnStarted", "ExecutableCodeReceived", "ToolCallRequested"]
        assert of(new, ev.ExecutableCodeReceived)[0].code.code == "print(default_api.f(city='Oslo', n=2))"
        (call,) = calls(new)
        assert (call.id, call.name, call.args) == ("function-call-1", "f", {"city": "Oslo", "n": 2})
        assert pair.wait(100) == []
        assert pair.server.pending_tool_calls == (call,)
        new = respond(pair, call.id, {"output": "cold"})
        assert said(new) == '{"output": "cold"}'
        assert names(new)[-3:] == ["GenerationComplete", "TurnComplete", "UsageUpdated"]
        assert "TurnStarted" not in names(new)  # the same turn
        assert pair.server.pending_tool_calls == ()
        history = said(pair.text("/history")).splitlines()
        assert history[1:] == ["model: call f", "user: response f", 'model: {"output": "cold"}']


def test_text_before_a_call_comes_first() -> None:
    with connected(emulator(announce_calls=False), BLOCKING) as pair:
        new = pair.text("/wait 0\nlet me see\n/call f")
        assert names(new) == ["TurnStarted", "TextChunk", "TextChunk", "ToolCallRequested"]
        respond(pair, calls(new)[0].id)
        assert said(pair.text("/history")).splitlines()[-4:] == [
            "model: let me see",
            "model: call f",
            "user: response f",
            "model: {}",
        ]


def test_two_calls_in_one_message() -> None:
    with connected(config=BLOCKING) as pair:
        new = pair.text("/call f\n/call g\ndone")
        first, second = calls(new)
        assert sum(message.tool_call is not None for message in messages(new)) == 1
        assert said(new) == "done"
        assert said(respond(pair, second.id, {"n": 2})) == '{"n": 2}'
        assert pair.client.turn is TurnState.GENERATING
        new = respond(pair, first.id, {"n": 1})
        assert said(new) == '{"n": 1}'
        assert names(new)[-1] == "UsageUpdated"


def test_undeclared_functions_and_bad_arguments() -> None:
    with connected(config=BLOCKING) as pair:
        assert said(pair.text("/call h {}")) == "No function 'h' is declared."
        for args in ("[]", "{", '{"a": NaN}', '{"a":' * 40 + "1" + "}" * 40, f'{{"a": "{"x" * 65_536}"}}'):
            assert said(pair.text(f"/call f {args}")) == "The arguments of 'f' are not a JSON object of moderate size."
        pair.client.send_context_update(tools=[])
        assert said(pair.text("/call f")) == "No function 'f' is declared."


def test_new_input_cancels_a_blocking_call() -> None:
    for act in (Pair.text, Pair.content):
        with connected(config=BLOCKING) as pair:
            (call,) = calls(pair.text("/call f"))
            new = act(pair, "never mind")
            assert names(new)[:4] == ["Interrupted", "ToolCallCancelled", "TurnComplete", "UsageUpdated"]
            assert of(new, ev.Interrupted)[0].message.tool_call_cancellation is not None
            assert said(new) == "never mind"
            # A response that was on its way does no harm.
            new = pair.raw(late_response(call.id))
            assert new == []
            assert said(pair.text("fine")) == "fine"


def test_a_non_blocking_call() -> None:
    with connected(config=NON_BLOCKING) as pair:
        new = pair.text("/call f")
        assert names(new)[-3:] == ["GenerationComplete", "TurnComplete", "UsageUpdated"]
        (call,) = calls(new)
        assert said(pair.text("meanwhile")) == "meanwhile"
        new = respond(pair, call.id, {"late": True})
        assert names(new)[0] == "TurnStarted"
        assert said(new) == '{"late": true}'


def test_cancel() -> None:
    with connected(config=NON_BLOCKING) as pair:
        (first,) = calls(pair.text("/call f"))
        (second,) = calls(pair.text("/call f"))
        new = pair.text("/cancel")
        assert [event.call_id for event in of(new, ev.ToolCallCancelled)] == [first.id, second.id]
        assert said(new) == "Cancelled."
        assert said(pair.text("/cancel")) == "There is no call to cancel."


def test_scheduling() -> None:
    config = {**NON_BLOCKING, "response_modalities": ["AUDIO"]}
    with connected(config=config) as pair:
        ids = [calls(pair.text("/call f"))[0].id for _ in range(3)]
        pair.text("one two three four")
        assert respond(pair, ids[0], scheduling="SILENT") == []
        assert respond(pair, ids[1], scheduling="WHEN_IDLE") == []
        new = respond(pair, ids[2], scheduling="INTERRUPT")
        assert names(new)[:3] == ["Interrupted", "TurnComplete", "UsageUpdated"]
        assert "AudioChunk" in names(new)
        # What was to be said when idle comes after it.
        new = pair.wait(20)
        assert names(new)[:3] == ["TurnComplete", "UsageUpdated", "TurnStarted"]
        assert names(new)[-1] == "UsageUpdated"


def test_will_continue() -> None:
    with connected(config=NON_BLOCKING) as pair:
        (call,) = calls(pair.text("/call f"))
        assert said(respond(pair, call.id, {"part": 1}, will_continue=True)) == '{"part": 1}'
        assert pair.server.pending_tool_calls == (call,)
        assert said(respond(pair, call.id, {"part": 2}, will_continue=True)) == '{"part": 2}'
        assert said(respond(pair, call.id, {}, will_continue=False)) == "{}"
        assert pair.server.pending_tool_calls == ()
    with connected(config=BLOCKING) as pair:
        (call,) = calls(pair.text("/call f"))
        new = respond(pair, call.id, {"part": 1}, will_continue=True)
        assert said(new) == '{"part": 1}'
        assert "TurnComplete" not in names(new)
        assert names(respond(pair, call.id, {"part": 2}))[-1] == "UsageUpdated"


def test_interaction_status_while_a_call_runs() -> None:
    with connected(emulator(interaction_status=True), NON_BLOCKING) as pair:
        new = pair.text("/call f")
        assert not of(new, ev.TurnComplete)[0].interaction_complete
        new = respond(pair, calls(new)[0].id)
        assert of(new, ev.TurnComplete)[0].interaction_complete


@pytest.mark.parametrize(
    ("endpoint", "response"),
    [
        (GEMINI, '{"name": "f", "response": {}}'),
        (GEMINI, '{"id": "function-call-9", "name": "f", "response": {}}'),
        (VERTEX, '{"id": "function-call-9", "name": "f", "response": {}}'),
        (GEMINI, ""),
    ],
)
def test_responses_without_a_call(endpoint: Endpoint, response: str) -> None:
    with connected(config=BLOCKING, endpoint=endpoint) as pair:
        pair.text("/call f")
        pair.raw('{"toolResponse": {"functionResponses": [' + response + "]}}")
        assert closed(pair) == INVALID


def test_a_second_response() -> None:
    with connected(config=BLOCKING) as pair:
        (call,) = calls(pair.text("/call f"))
        respond(pair, call.id)
        pair.raw(late_response(call.id))
        assert closed(pair) == INVALID


def test_vertex_calls() -> None:
    with connected(config=BLOCKING, endpoint=VERTEX) as pair:
        # Nobody asked, and it is answered all the same (recorded).
        assert said(respond(pair, None, {"b": 1})) == '{"b": 1}'
        new = pair.text("/call f")
        (call,) = calls(new)
        assert len(call.id) == 36
        assert not of(new, ev.ExecutableCodeReceived)
        assert said(respond(pair, None, {"a": 1})) == '{"a": 1}'


def test_vertex_calls_without_ids() -> None:
    with connected(emulator(vertex_call_ids=False), BLOCKING, VERTEX) as pair:
        first, second = calls(pair.text("/call f\n/call g"))
        assert first.id is None is second.id
        assert said(respond(pair, None, {"a": 1})) == '{"a": 1}'
        new = pair.text("never mind")
        assert names(new)[:2] == ["Interrupted", "TurnComplete"]  # what has no id cannot be cancelled
        assert said(new) == "never mind"


def test_scheduling_on_a_model_without_it() -> None:
    config = {**NON_BLOCKING, "thinking_config": {"thinking_level": "LOW"}}
    with connected(config=config, model="gemini-3.8-live-extended-thinking") as pair:
        (call,) = calls(pair.text("/call f"))
        respond(pair, call.id, scheduling="SILENT")
        assert closed(pair) == (1007, "Function response scheduling is not supported for this model")


def test_models_that_do_not_wait() -> None:
    for server, behavior, turn in (
        (emulator(blocking_calls=False), None, TurnState.IDLE),
        (emulator(blocking_calls=False), "UNSPECIFIED", TurnState.IDLE),
        (emulator(blocking_calls=False), "BLOCKING", TurnState.GENERATING),
        (emulator(), "UNSPECIFIED", TurnState.GENERATING),
    ):
        with connected(server, tools(f=behavior)) as pair:
            (call,) = calls(pair.text("/call f"))
            assert pair.server.turn is turn
            assert said(respond(pair, call.id, {"a": 1})) == '{"a": 1}'


def test_extended_thinking_never_waits() -> None:
    model = "gemini-3.8-live-extended-thinking"
    level = {"thinking_config": {"thinking_level": "LOW"}}
    with connected(config={**tools(f=None), **level}, model=model) as pair:
        assert calls(pair.text("/call f"))
        assert pair.server.turn is TurnState.IDLE
    assert closed(Pair(config={**tools(f="BLOCKING"), **level}, model=model)) == INVALID


def test_the_memory_of_cancelled_calls_is_bounded() -> None:
    with connected(config=NON_BLOCKING) as pair:
        (first,) = calls(pair.text("/call f"))
        pair.text("/cancel")
        for _ in range(11):
            pair.text("\n".join(["/call f"] * 100))
            pair.text("/cancel")
        pair.raw(late_response(first.id))
        assert closed(pair) == INVALID


def test_calls_sent_by_hand_without_an_echo_model() -> None:
    with connected(emulator(echo=False), {**AUDIO}) as pair:
        pair.raw(late_response("x"))
        assert closed(pair) == INVALID


def test_ids_from_entropy() -> None:
    server = Emulator(entropy=lambda count: b"\xab" * count)
    with connected(server, BLOCKING, VERTEX) as pair:
        (call,) = calls(pair.text("/call f"))
        assert call.id == "abababab-abab-4bab-abab-abababababab"


def test_a_queued_answer_comes_after_a_false_start() -> None:
    detection = {"automatic_activity_detection": {"disabled": True}}
    config = {**NON_BLOCKING, "response_modalities": ["AUDIO"], "realtime_input_config": detection}
    with connected(config=config) as pair:
        (call,) = calls(pair.text("/call f"))
        pair.text("one two three")
        assert respond(pair, call.id, {"x": 1}) == []
        pair.client.send_realtime_input(activity_start=True)
        assert names(pair.run()) == ["Interrupted", "TurnComplete", "UsageUpdated"]
        pair.client.send_realtime_input(activity_end=True)
        assert "AudioChunk" in names(pair.run())
