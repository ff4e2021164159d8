"""Pytest fixtures for programs that use the Live API: a server, a pair in memory, a cassette.

This module imports only pytest, so that it costs nothing unless a test uses a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from live_transports.pytest_plugin.cassettes import Cassettes
    from live_transports.pytest_plugin.pairs import Pairs
    from live_transports.pytest_plugin.servers import Servers

__all__ = ["live_cassette", "live_pair", "live_server", "pytest_addoption"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--live-record``."""
    group = parser.getgroup("live-protocol")
    group.addoption("--live-record", action="store_true", help="record all cassettes of live_cassette again")


@pytest.fixture
def live_server() -> Iterator[Servers]:
    """Start servers on this machine: ``live_server()`` is an emulator, ``live_server(playbook)`` plays a script.

    They stop at the end of the test; the test fails if a client did not follow a playbook to its end.
    """
    from live_transports.pytest_plugin.servers import Servers  # noqa: PLC0415

    with Servers() as servers:
        yield servers


@pytest.fixture
def live_pair() -> Iterator[Pairs]:
    """Join a client and a server in memory, on a clock that the test moves: ``live_pair()``, ``live_pair(playbook)``.

    The test fails if the client did not follow a playbook to its end.
    """
    from live_transports.pytest_plugin.pairs import Pairs  # noqa: PLC0415

    with Pairs() as pairs:
        yield pairs


@pytest.fixture
def live_cassette(request: pytest.FixtureRequest) -> Cassettes:
    """Record a conversation once, then replay it.

    Enter it with ``with live_cassette("name", endpoint=real) as server: ...``, and let the client dial ``server``.

    Cassettes are files in ``cassettes`` beside the test, without secrets and with little of the audio. If there is
    none, or with ``--live-record``, ``server`` relays to the real endpoint and records. Otherwise it replays without a
    network, and every message of the client must be the recorded one.
    """
    from live_transports.pytest_plugin.cassettes import Cassettes  # noqa: PLC0415

    rerecord = bool(request.config.getoption("--live-record"))
    return Cassettes(request.path.parent / "cassettes", request.node.name, rerecord=rerecord)
