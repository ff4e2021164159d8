"""The strategies draw valid messages of every class, with every field."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from support.introspection import MESSAGES, fields
from support.strategies import CALM, ONEOFS, Rules, messages_of

from live_protocol.codec import Codec
from live_protocol.codec.decoding import from_dict
from live_protocol.messages import Backend, LiveServerMessage

RULES = {backend: Rules(backend=backend, unknown_enums=True) for backend in Backend}

SPOKEN = [
    pytest.param(backend, cls, id=f"{backend}-{name}")
    for backend in Backend
    for name, cls in MESSAGES.items()
    # Some classes have fields of the other backend only.
    if not fields(cls) or any(field.metadata.get("only") in (None, backend) for field in fields(cls))
]


@pytest.mark.parametrize(("backend", "cls"), SPOKEN)
@settings(CALM, max_examples=5)
@given(data=st.data())
def test_drawn_messages_are_valid_and_survive_a_round_trip(
    backend: Backend, cls: type[Any], data: st.DataObject
) -> None:
    message = data.draw(messages_of(cls, RULES[backend], depth=2))
    choice = [getattr(message, member) for member in ONEOFS.get(cls.__name__, ())]
    assert sum(member is not None for member in choice) <= 1
    assert from_dict(cls, Codec(backend).to_dict(message)) == message


@pytest.mark.parametrize("cls", [cls for cls in MESSAGES.values() if fields(cls)])
def test_every_field_is_drawn(cls: type[Any]) -> None:
    search = settings(CALM, max_examples=2_000, phases=[Phase.generate], derandomize=True, database=None)
    for field in fields(cls):

        def is_set(message: Any, name: str = field.name) -> bool:
            return bool(getattr(message, name) not in (None, ()))

        find(messages_of(cls, Rules(most_fields=12), depth=1), is_set, settings=search)


def test_drawn_messages_obey_the_rules() -> None:
    rules = Rules(zeros=False, leave_out=frozenset({"LiveServerMessage.server_content"}))

    @settings(CALM, max_examples=30)
    @given(messages_of(LiveServerMessage, rules))
    def check(message: LiveServerMessage) -> None:
        assert message.server_content is None
        if message.session_resumption_update is not None:
            assert message.session_resumption_update.new_handle != ""
            assert message.session_resumption_update.resumable is not False

    check()


def test_drawn_messages_have_bounded_depth() -> None:
    @settings(CALM, max_examples=30)
    @given(messages_of(LiveServerMessage, depth=1))
    def check(message: LiveServerMessage) -> None:
        if message.server_content is not None:
            inner = attrs.asdict(message.server_content, recurse=False)
            assert inner["model_turn"] is None

    check()
