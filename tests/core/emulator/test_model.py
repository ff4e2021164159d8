"""Custom models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from core.emulator.pair import (
    AUDIO,
    TEXT,
    VERTEX,
    Pair,
    connected,
    names,
    of,
    pcm,
    said,
    silence,
    speech,
    transcript,
)
from live_protocol import events as ev
from live_protocol.emulator import (
    Call,
    Cancel,
    Close,
    Drop,
    EchoModel,
    Emulator,
    EndTurn,
    ModelAction,
    Say,
    Send,
    SendGoAway,
    Show,
    Speak,
    Stall,
    UserTurn,
    Wait,
    describe_speech,
)
from live_protocol.errors import InvalidMessage
from live_protocol.limits import Limits
from live_protocol.messages import LiveServerContent, LiveServerMessage, Part, TurnCompleteReason
from live_protocol.states import TurnState


class Scripted:
    """Answers with prepared actions, and records its turns."""

    def __init__(self, *actions: ModelAction, responses: Iterable[ModelAction] = ()) -> None:
        self.actions = actions
        self.responses = tuple(responses)
        self.turns: list[UserTurn] = []

    def on_text(self, turn: UserTurn) -> Iterator[ModelAction]:
        self.turns.append(turn)
        yield from self.actions

    def on_speech(self, turn: UserTurn) -> Iterable[ModelAction]:
        self.turns.append(turn)
        return self.actions

    def on_tool_response(self, turn: UserTurn) -> Iterable[ModelAction]:
        self.turns.append(turn)
        return self.responses


def run(*actions: ModelAction, config: Any = TEXT, **kwargs: Any) -> tuple[Pair, list[ev.Event]]:
    pair = Pair(Emulator(Scripted(*actions)), config, strict=False, **kwargs)
    return pair, pair.text("go")


def test_say_with_thoughts() -> None:
    _, new = run(Say("let me think", thought=True), Say("done"))
    assert [(chunk.text, chunk.thought) for chunk in of(new, ev.TextChunk)] == [
        ("let ", True),
        ("me think", True),
        ("do", False),
        ("ne", False),
    ]
    _, new = run(Say("let me think", thought=True), Say("done"), config=AUDIO)
    assert all(chunk.thought for chunk in of(new, ev.TextChunk))
    assert transcript(new) == "done"


def test_speak() -> None:
    _, new = run(Speak(speech(0.5, 24_000), transcript="la la"), config=AUDIO)
    assert pcm(new) == speech(0.5, 24_000)
    assert transcript(new) == "la la"
    _, new = run(Speak(speech(0.5, 8000) + b"x", 8000), config=AUDIO)
    assert len(pcm(new)) == 24_000
    assert not transcript(new)
    _, new = run(Speak(b""), Speak(b"x", 8000), config=AUDIO)
    assert pcm(new) == b""
    _, new = run(Speak(speech(0.5, 24_000), transcript="la la"))
    assert said(new) == "la la"
    _, new = run(Speak(speech(0.5, 24_000)))
    assert said(new) == "[0.5 s of audio]"


def test_show_and_send() -> None:
    message = LiveServerMessage(server_content=LiveServerContent(waiting_for_input=True))
    _, new = run(Show([Part(text="a"), Part(text="b")]), Send(message), endpoint=VERTEX)
    assert [chunk.text for chunk in of(new, ev.TextChunk)] == ["a", "b"]
    assert of(new, ev.TextChunk)[0].message is of(new, ev.TextChunk)[1].message
    assert of(new, ev.WaitingForInput)


def test_a_turn_without_actions() -> None:
    _, new = run()
    assert names(new) == ["TurnStarted", "GenerationComplete", "TurnComplete", "UsageUpdated"]


def test_wait_end_and_stall() -> None:
    pair, new = run(Say("a"), Wait(2.0), Say("b"), EndTurn(TurnCompleteReason.RESPONSE_REJECTED), Say("c"))
    assert said(new) == "a"
    new = pair.wait(3)
    assert said(new) == "b"
    assert of(new, ev.TurnComplete)[0].reason == TurnCompleteReason.RESPONSE_REJECTED
    pair, new = run(Say("a"), Stall(), Say("b"))
    assert said(new + pair.wait(100)) == "a"
    assert pair.server.turn is TurnState.GENERATING


def test_an_end_does_not_wait_for_a_call() -> None:
    pair, new = run(Call("f"), Say("bye"), EndTurn())
    assert names(new)[-1] == "UsageUpdated"
    (call,) = of(new, ev.ToolCallRequested)
    pair.client.send_tool_response({"id": call.call.id, "name": "f", "response": {}})
    assert names(pair.run())[0] == "TurnStarted"


def test_cancel_by_id() -> None:
    model = Scripted(Call("f"), Call("g"), Cancel(["function-call-2", "nobody"]), responses=[Say("thanks")])
    pair = Pair(Emulator(model))
    new = pair.text("go")
    assert [event.call_id for event in of(new, ev.ToolCallCancelled)] == ["function-call-2"]
    pair.client.send_tool_response({"id": "function-call-1", "name": "f", "response": {"x": 1}})
    new = pair.run()
    assert said(new) == "thanks"
    assert names(new)[-1] == "UsageUpdated"
    pair = Pair(Emulator(Scripted(Cancel())))
    assert not of(pair.text("go"), ev.ToolCallCancelled)


def test_a_call_after_a_wait_while_another_gets_its_answer() -> None:
    model = Scripted(Call("f"), Wait(2.0), Say("x"), responses=[Say("thanks")])
    pair = Pair(Emulator(model))
    (call,) = of(pair.text("go"), ev.ToolCallRequested)
    pair.client.send_tool_response({"id": call.call.id, "name": "f", "response": {}})
    assert pair.run() == []
    assert said(pair.wait(2.0)) == "xthanks"


def test_endings() -> None:
    for action, code in ((Close(4000, "x"), 4000), (Drop(), 1006)):
        pair, _ = run(Say("a"), action)
        assert pair.client.close_info is not None
        assert pair.client.close_info.code == code
    pair, new = run(SendGoAway(1.0))
    assert of(new, ev.GoAway)
    pair.wait(1.0)
    assert pair.client.close_info is not None


def test_the_turn_that_a_model_gets() -> None:
    model = Scripted(responses=[Say("ok")])
    config = {
        **TEXT,
        "system_instruction": "Listen.",
        "tools": [{"function_declarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}],
    }
    pair = Pair(Emulator(model), config)
    pair.text("hello")
    pair.client.send_realtime_input(video={"mime_type": "image/jpeg", "data": b"1"})
    pair.client.send_realtime_input(video={"mime_type": "IMAGE/jpeg", "data": b"2"})
    for data in (speech(0.2, 8000), silence(0.6, 8000)):
        pair.audio(data, 8000)
    first, second = model.turns
    assert (first.text, first.speech, first.history, first.images) == ("hello", b"", (), ())
    assert (first.system_instruction, list(first.functions), first.speaks) == ("Listen.", ["f"], False)
    assert second.text == describe_speech(second.speech, second.rate) == "[0.2 s of speech]"
    assert (second.rate, [blob.data for blob in second.images]) == (8000, [b"2"])
    assert [content.role for content in second.history] == ["user"]
    assert "bytes" in repr(second)
    assert UserTurn().speaks
    assert UserTurn().system_instruction == ""


def test_a_model_gets_tool_responses() -> None:
    model = Scripted(Call("f", {"x": 1}), responses=[Say("ok")])
    pair = Pair(Emulator(model))
    (call,) = of(pair.text("go"), ev.ToolCallRequested)
    pair.client.send_tool_response({"id": call.call.id, "name": "f", "response": {"y": 2}})
    assert said(pair.run()) == "ok"
    turn = model.turns[-1]
    assert turn.call is not None
    assert turn.call.args == {"x": 1}
    assert turn.response is not None
    assert turn.response.response == {"y": 2}
    assert turn.pending == ()
    assert [content.role for content in turn.history] == ["user", "model"]


def test_the_echo_model_without_a_response() -> None:
    (said_nothing,) = EchoModel().on_tool_response(UserTurn())
    assert said_nothing == Say("null")


def test_exceptions_of_a_model_propagate() -> None:
    class Broken(Scripted):
        def on_text(self, turn: UserTurn) -> Iterator[ModelAction]:
            yield Wait(1.0)
            raise LookupError("my bug")

    pair = Pair(Emulator(Broken()))
    pair.text("go")
    with pytest.raises(LookupError, match="my bug"):
        pair.wait(2.0)
    # The turn is over then, and the connection goes on.
    assert names(pair.wait(1.0))[-1] == "UsageUpdated"
    with pytest.raises(InvalidMessage):
        run(Close(1006))


def test_the_smallest_model() -> None:
    class Echo:
        def on_text(self, turn: UserTurn) -> Iterable[ModelAction]:
            yield Say(turn.text.upper())

        def on_speech(self, turn: UserTurn) -> Iterable[ModelAction]:
            yield Speak(turn.speech, turn.rate)

        def on_tool_response(self, turn: UserTurn) -> Iterable[ModelAction]:
            yield Say("noted")

    with connected(Emulator(Echo())) as pair:
        assert said(pair.text("hi")) == "HI"


def test_a_function_is_a_model() -> None:
    def model(turn: UserTurn) -> Iterator[ModelAction]:
        if turn.response is not None:
            yield Say(f"Found {turn.response.response}.")
        elif turn.text.startswith("find"):
            yield Call("find")
        else:
            yield Say(f"{len(turn.speech)} bytes, {turn.text}")

    with connected(Emulator(model)) as pair:
        assert said(pair.text("hi")) == "0 bytes, hi"
        (call,) = of(pair.text("find it"), ev.ToolCallRequested)
        pair.client.send_tool_response({"id": call.call.id, "name": "find", "response": {"n": 3}})
        assert said(pair.run()) == "Found {'n': 3}."
        assert said(pair.audio(speech(0.2) + silence(0.6))) == "6400 bytes, [0.2 s of speech]"


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (object(), "object has no on_text, on_speech, on_tool_response"),
        (type("Mute", (), {"on_text": lambda self, turn: [], "__call__": lambda self, turn: []})(), "on_speech, on_"),
    ],
)
def test_objects_that_are_not_models(model: Any, why: str) -> None:
    with pytest.raises(InvalidMessage, match=why):
        Emulator(model)


def test_an_interrupted_model_is_closed() -> None:
    told: list[str] = []

    def model(turn: UserTurn) -> Iterator[ModelAction]:
        told.append(f"{turn.text}{' after a cut' if turn.interrupted else ''}")
        try:
            yield Say("Well, ")
            yield Wait(5.0)
            yield Say("that is long.")
        finally:
            told.append("end")

    pair = Pair(Emulator(model), start=1000.0)
    pair.text("one")
    pair.text("two")
    assert told == ["one", "end", "two after a cut"]
    pair.wait(5.0)
    pair.text("three")
    assert told[3:] == ["end", "three"]
    pair.client.close()
    pair.run()
    assert told[5:] == ["end"]  # with its connection


def test_a_model_interrupted_during_a_call() -> None:
    told: list[str] = []

    def model(turn: UserTurn) -> Iterator[ModelAction]:
        try:
            yield Call("f") if turn.text == "go" else Say("ok")
            yield Say("and so on")
        finally:
            told.append(turn.text)

    pair = Pair(Emulator(model))
    (call,) = of(pair.text("go"), ev.ToolCallRequested)
    assert said(pair.text("stop")) == "okand so on"
    assert told == ["go", "stop"]
    assert of(pair.events, ev.ToolCallCancelled)[0].call_id == call.call.id


def test_a_message_that_is_too_large_closes_with_1011() -> None:
    big = LiveServerMessage(extra={"x": "y" * 2000})
    model = Scripted(Say("a"), Send(big), Say("b"), Close(4000))
    pair = Pair(Emulator(model, limits=Limits(max_send=1000)))
    assert said(pair.text("go")) == "a"
    assert pair.client.close_info is not None
    assert (pair.client.close_info.code, pair.client.close_info.reason) == (1011, "Internal error occurred.")
