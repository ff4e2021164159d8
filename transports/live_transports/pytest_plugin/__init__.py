"""Fixtures for tests of what speaks the Live API: a server, a pair in memory, a cassette.

This module imports pytest and nothing else, so that it costs nothing where no fixture is used.
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
    """Declare the option."""
    group = parser.getgroup("live-protocol")
    group.addoption("--live-record", action="store_true", help="record the cassettes of live_cassette anew")


@pytest.fixture
def live_server() -> Iterator[Servers]:
    """Start servers on this machine: ``live_server()`` is an emulator, ``live_server(playbook)`` plays a script.

    At the end of the test they are stopped, and a playbook that was not followed to its end fails the test.
    """
    from live_transports.pytest_plugin.servers import Servers  # noqa: PLC0415

    with Servers() as servers:
        yield servers


@pytest.fixture
def live_pair() -> Iterator[Pairs]:
    """Join a client and a server in memory, on a clock that the test moves: ``live_pair()``, ``live_pair(playbook)``.

    At the end of the test a playbook that was not followed to its end fails the test.
    """
    from live_transports.pytest_plugin.pairs import Pairs  # noqa: PLC0415

    with Pairs() as pairs:
        yield pairs


@pytest.fixture
def live_cassette(request: pytest.FixtureRequest) -> Cassettes:
    """Record a conversation once and replay it ever after.

    It is entered: ``with live_cassette("name", endpoint=real) as server: ...``, and the client dials ``server``.

    Cassettes are files in ``cassettes`` beside the test, without secrets and with little of the audio. Where there is
    none, or with ``--live-record``, what the client says to ``server`` goes to the real endpoint and is recorded;
    otherwise no network is used, and every message of the client has to be the recorded one.
    """
    from live_transports.pytest_plugin.cassettes import Cassettes  # noqa: PLC0415

    rerecord = bool(request.config.getoption("--live-record"))
    return Cassettes(request.path.parent / "cassettes", request.node.name, rerecord=rerecord)
