"""What drivers rely on: the clock moves without firing, facts cost nothing, options are checked."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import attrs
import pytest
from support.core import dial, names, open_pair

from live_protocol import (
    ConnectionState,
    Endpoint,
    LiveConnection,
    MessageConnection,
    PersistentConnection,
    ReconnectPolicy,
    Timeouts,
)
from live_protocol.connection import ByteServerConnection, ConnectOptions, MessageServerConnection
from live_protocol.connection.options import ConnectionSettings
from live_protocol.connection.protocols import ByteConnection
from live_protocol.connection.wrappers import ByteConnectionWrapper
from live_protocol.testing import FakeClock, Pair

FACTS = ("wants", "state", "phase", "turn", "pending_tool_calls", "close_info", "buffered_in", "buffered_out")
ENDPOINT = Endpoint.custom("ws://test/")


def test_tick_fires_nothing() -> None:
    pair = open_pair(dial(timeouts=Timeouts(ping_interval=20.0, ping_timeout=10.0)), LiveConnection.server())
    client, server, now = pair.client, pair.server, pair.clock.now
    assert isinstance(client, LiveConnection)
    client.advance(now + 20.0)
    server.receive_data(client.data_to_send())  # a ping
    client.tick(now + 100.0)  # the program was held up, and the pong waits in the socket
    assert client.next_deadline() == now + 30.0
    assert client.next_event() is None
    assert client.state is ConnectionState.OPEN
    client.receive_data(server.data_to_send())
    client.advance(now + 100.0)
    assert client.state is ConnectionState.OPEN
    assert client.latency == 80.0
    assert client.next_deadline() == now + 120.0


def test_what_is_due_after_a_tick_fires_with_the_next_advance() -> None:
    pair = Pair(dial(timeouts=Timeouts(open=10.0)), clock=FakeClock(0.0))
    pair.client.tick(1000.0)
    assert names(pair.client.events()) == []
    pair.client.advance(0.0)
    assert names(pair.client.events()) == ["ConnectionFailed", "ConnectionClosed"]


def test_a_wrapper_ticks_up_to_its_next_deadline() -> None:
    inner = LiveConnection.server(timeouts=Timeouts(open=10.0))
    wrapper = ByteConnectionWrapper(inner)
    wrapper.tick(100.0)
    wrapper.tick(1000.0)
    assert inner.state is ConnectionState.CONNECTING
    wrapper.advance(1000.0)
    assert inner.state is ConnectionState.CLOSING


@contextmanager
def calls() -> Iterator[list[str]]:
    counted: list[str] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "live_protocol" in frame.f_code.co_filename:
            counted.append(frame.f_code.co_qualname)

    sys.setprofile(profile)
    try:
        yield counted
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LiveConnection.client(ENDPOINT, model="m"),
        LiveConnection.server,
        lambda: MessageConnection.client(ENDPOINT, model="m"),
        MessageConnection.server,
    ],
)
def test_reading_a_fact_runs_no_function(make: Callable[[], LiveConnection | MessageConnection]) -> None:
    connection = make()
    read = operator.attrgetter("wants", "state", "phase", "close_info")
    with calls() as counted:
        read(connection)
    assert not counted
    with calls() as counted:
        connection.next_deadline()
    assert len(counted) <= 2
    for name in FACTS:
        with pytest.raises(AttributeError):
            setattr(connection, name, None)


@pytest.mark.parametrize(
    ("protocol", "made"),
    [
        (ByteServerConnection, LiveConnection.server()),
        (ByteServerConnection, ByteConnectionWrapper(LiveConnection.server())),
        (MessageServerConnection, MessageConnection.server()),
        (ByteConnection, PersistentConnection.client(ENDPOINT, model="m", policy=ReconnectPolicy())),
    ],
)
def test_every_member_of_the_protocols_exists(protocol: type, made: object) -> None:
    members = {name for base in protocol.__mro__ for name in vars(base) if not name.startswith("_")}
    assert members >= set(FACTS) | {"tick", "advance", "next_event", "next_deadline"}
    assert not [name for name in members if not hasattr(made, name)]


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (LiveConnection.client, {"modal": "m"}),
        (LiveConnection.server, {"model": "m"}),
        (MessageConnection.client, {"compression": True}),
        (MessageConnection.server, {"profile": None}),
    ],
)
def test_an_unknown_option_is_refused(make: Callable[..., object], options: dict[str, Any]) -> None:
    endpoint = [ENDPOINT] if "client" in repr(make) else []
    (name,) = options
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        make(*endpoint, **options)


def test_every_option_is_a_setting() -> None:
    assert ConnectOptions.__optional_keys__ == {field.name for field in attrs.fields(ConnectionSettings)}
    settings = ConnectionSettings.read(ConnectOptions, {"limits": None, "timeouts": None}, strict=True)
    assert (settings.limits.max_send, settings.timeouts.close, settings.strict) == (16 * 1024 * 1024, 5.0, True)
    assert not ConnectionSettings.read(ConnectOptions, {"strict": False}, strict=True).strict
