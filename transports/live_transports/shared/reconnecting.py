"""The machine behind a ``connect()``, with one connection or with many; no I/O."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, final

from live_protocol.connection import ConnectOptions, LiveConnection
from live_protocol.connection.base import BaseConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import IllegalInState, InvalidMessage, LiveProtocolError
from live_protocol.reconnect import EndpointSource, PersistentConnection
from live_protocol.session import ConfigInput
from live_protocol.states import ConnectionState
from live_transports.shared.dialing import DialPlan
from live_transports.shared.options import DialOptions, options_of
from live_transports.shared.steps import DIAL_TIMEOUT

ClientConnection: TypeAlias = BaseConnection[Any] | PersistentConnection
"""The machine behind a client's session."""
ByteClientConnection: TypeAlias = LiveConnection | PersistentConnection
"""The same, over bytes."""
MakeDialPlan: TypeAlias = Callable[[Endpoint], DialPlan]
"""Checks the parameters of a dial against the endpoint it goes to; raises `InvalidMessage`."""


def reconnecting(machine: ClientConnection, operation: str) -> PersistentConnection:
    """The machine behind a session that reconnects.

    Raises:
        IllegalInState: The session does not reconnect.
    """
    if not isinstance(machine, PersistentConnection):
        raise IllegalInState(operation, "the session ends with its connection", "connect with reconnect=")
    return machine


@final
class Redialer:
    """The destinations of a session's connections.

    Args:
        endpoint: The endpoint, or a function that makes one for each dial.
        plan: Makes the plan of a dial.
        make: Makes the machine.

    Attributes:
        machine: Says when to dial.
        callback_context: Makes a context for the call of the caller's function, which may block.
    """

    __slots__ = ("_asked", "_plan", "callback_context", "machine")

    def __init__(
        self, endpoint: EndpointSource, plan: MakeDialPlan, make: Callable[[EndpointSource], PersistentConnection]
    ) -> None:
        self.callback_context: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
        self._plan = plan
        self._asked = 0
        source = endpoint if isinstance(endpoint, Endpoint) else self._asking(endpoint)
        self.machine: PersistentConnection = make(source)

    def _asking(self, source: Callable[[], Endpoint]) -> Callable[[], Endpoint]:
        newest = source()

        def ask() -> Endpoint:
            nonlocal newest
            if self._asked:
                try:
                    with self.callback_context():
                        newest = source()
                except Exception:
                    if self.machine.state is not ConnectionState.CLOSED:
                        raise
            return newest

        def counted() -> Endpoint:
            try:
                return ask()
            finally:
                self._asked += 1

        return counted

    @property
    def wanted(self) -> bool:
        """Whether there is something to dial now."""
        return self.machine.dial is not None

    def next(self) -> tuple[DialPlan | None, bool]:
        """Where to dial now, if anywhere, and whether the machine has events instead.

        It has some if the caller's function was called and gave no usable endpoint.
        """
        before = self._asked
        request = self.machine.dial
        if request is None:
            return None, self._asked != before
        try:
            return self._plan(request.endpoint), False
        except InvalidMessage as error:
            self.machine.dial_failed(error, retryable=False)
            return None, True

    def failed(self, error: LiveProtocolError) -> None:
        """The dial failed. A refused certificate is refused again, so that is final."""
        if self.wanted:
            hopeless = isinstance(error.__cause__, ssl.SSLCertVerificationError)
            self.machine.dial_failed(error, retryable=not hopeless)


def make_client(
    endpoint: EndpointSource, config: ConfigInput | None, options: DialOptions, *, open_transport: str | None
) -> tuple[LiveConnection, DialPlan] | Redialer:
    """What ``connect()`` drives: one connection and where it goes to, or one session over all its connections.

    Args:
        endpoint: As there.
        config: As there.
        options: As there.
        open_transport: Name of the parameter that holds an open transport, None if there is none.

    Raises:
        InvalidMessage: An argument cannot be used, or the service would refuse the setup.
        MessageTooLarge: The setup is over ``Limits.max_send``.
    """

    def plan(endpoint: Endpoint) -> DialPlan:
        return DialPlan.plan(
            endpoint,
            context=options.get("ssl"),
            server_hostname=options.get("server_hostname"),
            timeout=options.get("dial_timeout", DIAL_TIMEOUT),
            proxy=options.get("proxy"),
        )

    policy, snapshot = options.get("reconnect"), options.get("snapshot")
    machine_options = options_of(ConnectOptions, options)
    if policy is None:
        if snapshot is not None:
            raise InvalidMessage(
                "snapshot", "only a session that reconnects can continue from one: pass reconnect= too"
            )
        if not isinstance(endpoint, Endpoint):
            raise InvalidMessage("endpoint", "a function that makes endpoints needs reconnect= too")
        dial = plan(endpoint)
        return LiveConnection.client(endpoint, config, **machine_options), dial
    if open_transport is not None:
        raise InvalidMessage(open_transport, "serves one connection only; leave out this or reconnect=")
    if isinstance(endpoint, Endpoint):
        plan(endpoint)  # what cannot be dialed is refused at once

    def make(source: EndpointSource) -> PersistentConnection:
        return PersistentConnection.client(source, config, policy=policy, snapshot=snapshot, **machine_options)

    return Redialer(endpoint, plan, make)
