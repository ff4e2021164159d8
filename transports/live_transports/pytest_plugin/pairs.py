"""A client and a server in memory, for tests without sockets, threads and waiting."""

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

__all__ = ["LivePair", "Pairs"]


@final
class LivePair:
    """A client and a server joined by a wire in memory; a fixture makes it.

    Attributes:
        client: The client's end; commands leave with the next `pump` or `wait`.
        server: The server's end.
        clock: The clock that both know; `wait` moves it.
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
        """What the client's end has told so far."""
        return tuple(self._pair.client_events)

    @property
    def server_events(self) -> Sequence[Event]:
        """What the server's end has told so far."""
        return tuple(self._pair.server_events)

    def pump(self) -> Sequence[Event]:
        """Carry bytes until nothing moves; gives the new events of the client's end."""
        before = len(self._pair.client_events)
        self._pair.pump()
        return tuple(self._pair.client_events[before:])

    def wait(self, seconds: float) -> Sequence[Event]:
        """Let time pass, with everything that happens on the way; gives the new events of the client's end."""
        before = len(self._pair.client_events)
        self._pair.wait(seconds)
        return tuple(self._pair.client_events[before:])


@final
class Pairs:
    """The pairs of one test; calling it makes one more."""

    def __init__(self) -> None:
        self._stages: list[PlaybookSequence] = []

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
        """Make a client and a server and let them open a session, as far as the script goes.

        Args:
            script: A playbook, its plain data or its file; None means an emulator.
            config: The client's configuration.
            model: Its model.
            endpoint: Its endpoint, for dialect and credentials; nothing is dialed.
            emulator: Another emulator than one of all defaults; without a script.
            faults: What goes wrong: `Faults`, or a line for `Faults.from_string`.
            timeouts: The client's durations; by default without pings.
            strict: Whether the client ends the session at a message that is unknown or out of place.

        Returns:
            The pair, pumped once.

        Raises:
            InvalidPlaybook: The script is none.
            InvalidMessage: The configuration or the faults do not fit.
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
            self._stages.append(sequence)
        pair = LivePair(client, server, as_faults(faults))
        pair.pump()
        return pair

    def __enter__(self) -> Self:
        """The factory itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See whether the playbooks were followed."""
        for sequence in self._stages:
            sequence.check()
