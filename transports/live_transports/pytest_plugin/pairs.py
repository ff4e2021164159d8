"""A client and a server in memory, for tests without sockets, threads or waiting."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, final

from live_protocol.connection import LiveConnection
from live_protocol.emulator import EmulatedConnection, Emulator
from live_protocol.endpoint import Endpoint
from live_protocol.events import Event
from live_protocol.session import ConfigInput
from live_protocol.testing import FakeClock, Faults, FaultyConnection, Pair, PlaybookConnection, PlaybookSequence
from live_protocol.timing import Timeouts
from live_transports.pytest_plugin.servers import Script, as_faults, as_playbook


@final
class LivePair:
    """A client and a server joined in memory; the fixture ``live_pair`` creates it.

    Attributes:
        client: The client's end; its commands leave with the next `pump` or `wait`.
        server: The server's end.
        clock: The clock of both; `wait` moves it.
    """

    def __init__(
        self, client: LiveConnection, server: EmulatedConnection | PlaybookConnection, faults: Faults | None
    ) -> None:
        machine: Any = server if faults is None else FaultyConnection[Any](server, faults)
        self.client: LiveConnection = client
        self.server: EmulatedConnection | PlaybookConnection = server
        self._pair = Pair(client, machine)
        self.clock: FakeClock = self._pair.clock

    @property
    def client_events(self) -> Sequence[Event]:
        """Events of the client's end so far."""
        return tuple(self._pair.client_events)

    @property
    def server_events(self) -> Sequence[Event]:
        """Events of the server's end so far."""
        return tuple(self._pair.server_events)

    def pump(self) -> Sequence[Event]:
        """Move bytes until nothing moves; return the new events of the client's end."""
        before = len(self._pair.client_events)
        self._pair.pump()
        return tuple(self._pair.client_events[before:])

    def wait(self, seconds: float) -> Sequence[Event]:
        """Let time pass, stopping at every deadline; return the new events of the client's end."""
        before = len(self._pair.client_events)
        self._pair.wait(seconds)
        return tuple(self._pair.client_events[before:])


@final
class Pairs:
    """The pairs of one test; call it to create one."""

    def __init__(self) -> None:
        self._sequences: list[PlaybookSequence] = []

    def __call__(
        self,
        script: Script | None = None,
        config: ConfigInput | None = None,
        *,
        model: str = "test",
        endpoint: Endpoint | None = None,
        emulator: Emulator | None = None,
        faults: Faults | str | None = None,
        timeouts: Timeouts | None = None,
        strict: bool = False,
    ) -> LivePair:
        """Create a client and a server, and open a session as far as the script allows.

        Args:
            script: A playbook, its plain data or its file; an emulator if None.
            config: The client's configuration.
            model: Its model.
            endpoint: Its endpoint, for dialect and credentials; nothing is dialed.
            emulator: The emulator to use without a script; by default one with default options.
            faults: `Faults`, or a line for `Faults.from_string`.
            timeouts: The client's durations; by default without pings.
            strict: Whether an unknown or misplaced message ends the client's session.

        Raises:
            InvalidPlaybook: The script is not a playbook.
            InvalidMessage: The configuration or the faults are invalid.
        """
        client = LiveConnection.client(
            endpoint or Endpoint.gemini(api_key="not-a-key"),
            config,
            model=model,
            timeouts=timeouts or Timeouts(ping_interval=None),
            strict=strict,
        )
        server: EmulatedConnection | PlaybookConnection
        if script is None:
            server = (emulator or Emulator()).connection()
        else:
            sequence = PlaybookSequence(as_playbook(script))
            server = sequence.connection()
            self._sequences.append(sequence)
        pair = LivePair(client, server, as_faults(faults))
        pair.pump()
        return pair

    def __enter__(self) -> Self:
        """Return the factory itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Check that the clients followed their playbooks."""
        for sequence in self._sequences:
            sequence.check()
