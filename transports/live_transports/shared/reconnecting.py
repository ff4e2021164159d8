"""What ``connect()`` needs for a session that outlives its connections; no I/O in here."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, final

from live_protocol.codec import Codec
from live_protocol.connection import LiveConnection
from live_protocol.connection.base import BaseConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import IllegalInState, InvalidMessage, LiveProtocolError
from live_protocol.limits import Limits
from live_protocol.reconnect import EndpointSource, PersistentConnection, ReconnectPolicy, Snapshot
from live_protocol.session import ConfigInput, ModelProfile
from live_protocol.states import ConnectionState
from live_protocol.timing import Timeouts
from live_protocol.websocket import Observer
from live_transports.shared.dialing import DialPlan

__all__ = ["ByteClientConnection", "ClientConnection", "MakeDialPlan", "Redialer", "make_client", "reconnecting"]

ClientConnection: TypeAlias = BaseConnection[Any] | PersistentConnection
"""The machine behind a client's session."""
ByteClientConnection: TypeAlias = LiveConnection | PersistentConnection
"""The same, over bytes."""
MakeDialPlan: TypeAlias = Callable[[Endpoint], DialPlan]
"""Checks the parameters of a dial against the endpoint it goes to; raises `InvalidMessage`."""


def reconnecting(machine: ClientConnection, operation: str) -> PersistentConnection:
    """The machine behind a session that reconnects.

    Raises:
        IllegalInState: It does not.
    """
    if not isinstance(machine, PersistentConnection):
        raise IllegalInState(operation, "the session ends with its connection", "connect with reconnect=")
    return machine


@final
class Redialer:
    """Where the connections of a session go to, one after the other.

    Args:
        endpoint: Where, or what makes an endpoint for each dial.
        plan: Makes the plan of a dial.
        make: Makes the machine.

    Attributes:
        machine: Which says when.
        callback_context: Makes what surrounds the caller's code, which may take its time.
    """

    machine: PersistentConnection

    def __init__(
        self, endpoint: EndpointSource, plan: MakeDialPlan, make: Callable[[EndpointSource], PersistentConnection]
    ) -> None:
        self.callback_context: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
        self._plan = plan
        self._asked = 0
        self.machine = make(endpoint if isinstance(endpoint, Endpoint) else self._asking(endpoint))

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
        """Where to dial now, if anywhere; and whether that failed at once, so that the machine has something to tell.

        It can do so where the caller's code makes the endpoint.
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
        """The dial failed; a certificate that is refused will be so again."""
        if self.wanted:
            hopeless = isinstance(error.__cause__, ssl.SSLCertVerificationError)
            self.machine.dial_failed(error, retryable=not hopeless)


def make_client(
    endpoint: EndpointSource,
    config: ConfigInput | None,
    plan: MakeDialPlan,
    *,
    reconnect: ReconnectPolicy | None,
    snapshot: Snapshot | None,
    given: str | None,
    model: str | None,
    limits: Limits | None,
    timeouts: Timeouts | None,
    codec: Codec | None,
    compression: bool,
    strict: bool,
    observer: Observer | None,
    profile: ModelProfile | None,
) -> tuple[LiveConnection, DialPlan] | Redialer:
    """What ``connect()`` drives: one connection and where it goes to, or one session over as many as it takes.

    Args:
        endpoint: As there.
        config: As there.
        plan: Makes the plan of a dial.
        reconnect: As there.
        snapshot: As there.
        given: Name of the parameter that holds an open transport, None where none was given.
        model: As there.
        limits: As there.
        timeouts: As there.
        codec: As there.
        compression: As there.
        strict: As there.
        observer: As there.
        profile: As there.

    Raises:
        InvalidMessage: An argument cannot be used, or the service would refuse the setup.
        MessageTooLarge: The setup is over ``Limits.max_send``.
    """
    if reconnect is None:
        if snapshot is not None:
            raise InvalidMessage("snapshot", "only a session that reconnects can go on with one: give reconnect= too")
        if not isinstance(endpoint, Endpoint):
            raise InvalidMessage("endpoint", "one dial takes one endpoint; what makes them needs reconnect= too")
        dial = plan(endpoint)
        machine = LiveConnection.client(
            endpoint,
            config,
            model=model,
            limits=limits,
            timeouts=timeouts,
            codec=codec,
            compression=compression,
            strict=strict,
            observer=observer,
            profile=profile,
        )
        return machine, dial
    if given is not None:
        raise InvalidMessage(given, "is good for one connection only; leave it out, or reconnect=")
    if isinstance(endpoint, Endpoint):
        plan(endpoint)  # what cannot be dialed is refused at once
    return Redialer(
        endpoint,
        plan,
        lambda source: PersistentConnection.client(
            source,
            config,
            model=model,
            policy=reconnect,
            limits=limits,
            timeouts=timeouts,
            codec=codec,
            compression=compression,
            strict=strict,
            observer=observer,
            profile=profile,
            snapshot=snapshot,
        ),
    )
