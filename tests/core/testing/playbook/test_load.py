"""Playbooks as plain data."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest
from support.paths import ROOT

from core.testing.playbook.support import HI, Scene
from live_protocol import LocalProtocolError
from live_protocol.testing import Faults, InvalidPlaybook, Playbook


def test_data_says_the_same_as_python() -> None:
    data = [
        {"label": "the story of the issue"},
        {"expect_setup": {"tools": "...", "functions": ["f"]}},
        "send_setup_complete",
        {"ignore": ["realtime_input", "context_update"]},
        {"send audio": 2},
        {"sendToolCall": {"name": "f", "args": {"q": 1}}},
        {"expect-tool-response": ["call-1"]},
        {"expect_client_content": "Hi"},
        {"expect": "setup"},
        {"expect": {"clientContent": {"turnComplete": True}}},
        {"expect": {"toolResponse": None}},
        {"send": {"serverContent": {"turnComplete": True}}},
        {"send_raw": {"newThing": {}}},
        {"send_raw": "{"},
        {"any_order": [{"expect_audio": 1}, {"expect_client_content": {"text": "x"}}]},
        {"repeat": {"times": 2, "steps": [{"reply": "Ho"}]}},
        {"send_turn_complete": None},
        {"goAway": 5},
        {"wait": 5.5},
        {"close": [1011, "Internal error occurred."]},
    ]
    python = (
        Playbook()
        .label("the story of the issue")
        .expect_setup(tools=..., functions=["f"])
        .send_setup_complete()
        .ignore("realtime_input", "context_update")
        .send_audio(2)
        .send_tool_call("f", {"q": 1})
        .expect_tool_response("call-1")
        .expect_client_content("Hi")
        .expect("setup")
        .expect("client_content", turnComplete=True)
        .expect("tool_response")
        .send({"serverContent": {"turnComplete": True}})
        .send_raw({"newThing": {}})
        .send_raw("{")
        .any_order(Playbook().expect_audio(1), Playbook().expect_client_content("x"))
        .repeat(2, Playbook().reply("Ho"))
        .send_turn_complete()
        .go_away(5)
        .wait(5.5)
        .close(1011, "Internal error occurred.")
    )
    assert Playbook.load(data).titles == python.titles
    assert Playbook.load({"steps": data, "strict": False})._strict is False
    assert Playbook.load({"steps": ["drop"]})._strict is True


def test_data_is_played() -> None:
    playbook = Playbook.load(
        [
            "expect setup",
            "send setup complete",
            {"expect_client_content": {"turns": [{"parts": ["..."]}]}},
            {"reply": "Ho"},
        ]
    )
    scene = Scene(playbook)
    scene.say(HI)
    assert scene.names[-1] == "TurnComplete"
    scene.server.check()


@pytest.mark.parametrize(
    ("data", "step", "why"),
    [
        (5, "", "expected a list of steps, got int"),
        ("drop", "", "expected a list of steps, got str"),
        ({"step": []}, "", "unknown member 'step'; did you mean 'steps'?"),
        ({"strict": True}, "", "expected a list of steps, got NoneType"),
        (["expect_setup", "expct_setup"], "2", "unknown step 'expct_setup'; did you mean 'expect_setup' or 'expect_"),
        (["xyzzy"], "1", "unknown step 'xyzzy'; there are expect, expect_setup"),
        ([5], "1", "expected the name of a step, got int"),
        ([{5: 1}], "1", "expected the name of a step, got int"),
        ([{"wait": 1, "drop": None}], "1", "a step is one name with its argument, got 2 names"),
        ([{}], "1", "a step is one name with its argument, got 0 names"),
        (["reply"], "1", "reply: missing a required argument: 'text'"),
        ([{"wait": [1, 2]}], "1", "wait: too many positional arguments"),
        ([{"wait": {"hours": 1}}], "1", "wait: missing a required argument: 'seconds'"),
        ([{"wait": "long"}], "1", "wait: seconds: must be a number of seconds, not 'long'"),
        ([{"expect_setup": {"tols": 1}}], "1", "expect_setup: setup: has no field 'tols'; did you mean 'tools'?"),
        ([{"expect": ["setup"]}], "1", "expect: takes one message with its fields"),
        ([{"expect": {"setup": {}, "unknown": {}}}], "1", "expect: takes one message with its fields"),
        ([{"expect": {"setup": 5}}], "1", "expect: the fields of a message are a mapping"),
        ([{"send": {"x": 1}}], "1", "send: message: unknown field 'x'; LiveServerMessage has no such field"),
        ([{"repeat": 3}], "1", "repeat: takes 'times' and 'steps'"),
        ([{"repeat": {"times": 3}}], "1", "repeat: takes 'times' and 'steps'"),
        ([{"repeat": {"times": "x", "steps": []}}], "1", "repeat: times: must be a number of times"),
        ([{"repeat": {"times": 3, "steps": ["drop", "drp"]}}], "1.2", "unknown step 'drp'; did you mean 'drop'?"),
        (["drop", {"any_order": 5}], "2", "expected a list of steps, got int"),
        (
            [{"any_order": ["drop"]}],
            "1",
            "any_order: any_order: takes playbooks that expect messages, and nothing else",
        ),
        (["drop", "drop"], "2", "drop: playbook: nothing can follow 'drop', but 'drop' does"),
        ([{"label": {"text": "x", "more": 1}}], "1", "label: got an unexpected keyword argument 'more'"),
        ([{"reject": {"headers": 5}}], "1", "reject: 'int' object has no attribute 'items'"),
        ([{"send_text": 5}], "1", "send_text: 'int' object is not subscriptable"),
    ],
)
def test_wrong_data_is_refused(data: Any, step: str, why: str) -> None:
    with pytest.raises(InvalidPlaybook) as caught:
        Playbook.load(data)
    assert caught.value.step == step
    assert caught.value.why.startswith(why)
    assert str(caught.value) == (f"step {step}: {caught.value.why}" if step else caught.value.why)
    assert isinstance(caught.value, LocalProtocolError)


def test_the_example_of_the_documentation() -> None:
    yaml = pytest.importorskip("yaml")
    page = (ROOT / "docs" / "guide" / "testing.md").read_text("utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    playbook = Playbook.load(yaml.safe_load(block))
    assert playbook.titles[0] == 'expect setup functions=["get_weather"] tools="<anything>"'
    assert playbook.titles[-1] == "drop"


def test_the_documentation_names_every_step_and_every_fault() -> None:
    page = (ROOT / "docs" / "guide" / "testing.md").read_text("utf-8")
    named = set(re.findall(r"[a-z_]+", page.replace("-", "_")))
    steps = {name for name in dir(Playbook) if not name.startswith("_")}
    assert steps <= named | {"expect_message", "load", "titles"}
    assert {field.name for field in attrs.fields(Faults)} <= named
