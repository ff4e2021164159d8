"""What ``connect()`` needs for a session that outlives its connections; no I/O in here."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, final

from live_protocol._machine import LiveMachine
from live_protocol.codec import Codec
from live_protocol.commands import ConfigInput
from live_protocol.connection import LiveConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import IllegalInState, InvalidMessage, LiveProtocolError
from live_protocol.limits import Limits
from live_protocol.persistent import EndpointSource, PersistentConnection
from live_protocol.reconnect import ReconnectPolicy
from live_protocol.snapshot import Snapshot
from live_protocol.timing import Timeouts
from live_transports._dialling import Dial

__all__ = ["Client", "Redial", "Renewal", "client", "persistent"]

Client: TypeAlias = LiveMachine[Any] | PersistentConnection
"""The machine behind a client's session."""
T = TypeVar("T")


@final
class Redial:
    """Where the next connection of a session goes to.

    Args:
        machine: Which says when.
        plan: Makes the plan of a dial from its endpoint.

    Attributes:
        machine: As given.
    """

    def __init__(self, machine: PersistentConnection, plan: Callable[[Endpoint], Dial]) -> None:
        self.machine = machine
        self._plan = plan

    @property
    def wanted(self) -> bool:
        """Whether there is something to dial, as far as that can be told without making an endpoint."""
        return self.machine.dial is not None

    def next(self) -> tuple[Dial | None, bool]:
        """Where to dial now, if anywhere; and whether that changed the machine, which then has something to tell."""
        before = self.machine.attempts
        request = self.machine.dial
        if request is not None:
            try:
                return self._plan(request.endpoint), False
            except InvalidMessage as error:
                self.machine.dial_failed(error, retryable=False)
        return None, self.machine.attempts != before
