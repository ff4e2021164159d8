"""No member of an envelope passes in silence: each becomes an event, or an attribute of one."""

from __future__ import annotations

from typing import Any

import pytest
from support.core import ready_client, ready_server, tell
from support.introspection import fields, hints, sample

from live_protocol import Codec, LiveClientMessage, LiveServerMessage, Undecodable
from live_protocol.messages import LiveServerContent

CODEC = Codec()

RIDES_WITH_ANOTHER = {"turn_complete_reason": "an attribute of TurnComplete"}


def members(cls: type[Any]) -> list[str]:
    return [field.name for field in fields(cls)]


def with_only(cls: type[Any], name: str, *, depth: int = 2) -> Any:
    """A message with this member alone; an empty one at the bottom must not lack a required field."""
    return cls(**{name: sample(hints(cls)[name], depth)})


@pytest.mark.parametrize("name", members(LiveServerMessage))
def test_of_a_server_message(name: str) -> None:
    events = tell(ready_client(), CODEC.encode_server(with_only(LiveServerMessage, name)))
    assert events
    assert not [event for event in events if isinstance(event, Undecodable)]


@pytest.mark.parametrize("name", members(LiveServerContent))
def test_of_server_content(name: str) -> None:
    message = LiveServerMessage(server_content=with_only(LiveServerContent, name))
    events = tell(ready_client(), CODEC.encode_server(message))
    assert bool(events) == (name not in RIDES_WITH_ANOTHER)


@pytest.mark.parametrize("name", [name for name in members(LiveClientMessage) if name != "setup"])
def test_of_a_client_message(name: str) -> None:
    events = tell(ready_server(strict=False), CODEC.encode_client(with_only(LiveClientMessage, name, depth=3)))
    assert events
    assert not [event for event in events if isinstance(event, Undecodable)]
