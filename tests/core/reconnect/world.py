"""A persistent connection against an emulated server, on a wire that can be cut anywhere, on a fake clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from live_protocol import events as ev
from live_protocol.codec.decoding import from_dict
from live_protocol.connection import LiveConnection
from live_protocol.emulator import Emulator, EmulatorOptions, ModelAction, Say, UserTurn
from live_protocol.endpoint import Endpoint
from live_protocol.messages import (
    Content,
    LiveClientMessage,
    LiveClientSetup,
    LiveServerMessage,
    LiveServerSessionResumptionUpdate,
)
from live_protocol.reconnect import DialRequest, PersistentConnection, ReconnectPolicy
from live_protocol.session.message_kinds import set_members
from live_protocol.states import ConnectionState
from live_protocol.testing import FakeClock
from live_protocol.timing import Timeouts

E = TypeVar("E")

GEMINI = Endpoint.gemini(api_key="key")
VERTEX = Endpoint.vertex(access_token="token", project="p", location="us-central1")
TEXT = {"response_modalities": ["TEXT"]}
QUIET = Timeouts(ping_interval=None)
EAGER = ReconnectPolicy(
    jitter=0.0,
    stable_after=0.0,
    give_up_after=None,
    max_attempts=10_000,
    max_delay=0.5,
    retry_first=True,
    in_flight_window=0.0,
)
"""Never gives up, and trusts a wire without latency."""
ONE = ReconnectPolicy(jitter=0.0, in_flight_window=0.0)
"""The defaults, without chance and latency."""


def text_of(content: Content) -> str:
    return "".join(part.text or "" for part in content.parts)


class Witness:
    """A model that says what it was told, and keeps what it was told."""

    def __init__(self, answer: Callable[[UserTurn], Iterable[ModelAction]] | None = None) -> None:
        self.turns: list[UserTurn] = []
        self._answer = answer or (lambda turn: (Say(f"you said {turn.text}"),))

    def on_text(self, turn: UserTurn) -> Iterable[ModelAction]:
        self.turns.append(turn)
        return self._answer(turn)

    on_speech = on_text
    on_tool_response = on_text

    @property
    def heard(self) -> list[str]:
        """What the user said in the session as the newest turn knows it, that turn included."""
        turn = self.turns[-1]
        return [text_of(content) for content in turn.history if content.role == "user"] + [turn.text]


Script = Callable[[LiveConnection, ev.SetupReceived, int], None]


class Scripted:
    """A server that only does what it is told: by a script when a setup comes, by the test afterwards.

    Attributes:
        script: Called with the connection, the setup and the number of the connection.
        connections: All of them.
        received: What the clients sent after their setups, in order, with the number of the connection.
        setups: All setups.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.script: Script = script or accept
        self.connections: list[LiveConnection] = []
        self.received: list[tuple[int, LiveClientMessage]] = []
        self.setups: list[LiveClientSetup] = []

    def connection(self) -> ScriptedConnection:
        connection = LiveConnection.server()
        self.connections.append(connection)
        return ScriptedConnection(self, connection, len(self.connections))

    @property
    def now(self) -> LiveConnection:
        return self.connections[-1]

    def tell(self, **members: Any) -> None:
        """Send a message on the newest connection."""
        self.now.send(from_dict(LiveServerMessage, members))

    def handle(self, name: str, *, index: int | None = None, resumable: bool = True) -> None:
        """Send a handle."""
        update = {"new_handle": name, "resumable": resumable, "last_consumed_client_message_index": index}
        self.tell(session_resumption_update={key: value for key, value in update.items() if value is not None})

    @property
    def texts(self) -> list[str]:
        """Texts and kinds of what was received."""
        found = []
        for _, message in self.received:
            if message.client_content is not None:
                found.append("".join(text_of(turn) for turn in message.client_content.turns))
            elif message.realtime_input is not None:
                found.append(message.realtime_input.text or set_members(message.realtime_input)[0])
            else:
                found.append(set_members(message)[0])
        return found


def accept(connection: LiveConnection, event: ev.SetupReceived, number: int) -> None:
    """The usual script: the setup is complete, and here is a handle."""
    connection.send_setup_complete()
    if event.setup.session_resumption is not None:
        update = LiveServerSessionResumptionUpdate(new_handle=f"h{number}", resumable=True)
        connection.send(LiveServerMessage(session_resumption_update=update))


class ScriptedConnection:
    """One connection of a `Scripted`, with the surface that `World` needs."""

    def __init__(self, server: Scripted, connection: LiveConnection, number: int) -> None:
        self._server = server
        self._connection = connection
        self._number = number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def events(self) -> Iterator[ev.Event]:
        for event in self._connection.events():
            if type(event) is ev.UpgradeRequested:
                self._connection.accept()
            elif type(event) is ev.SetupReceived:
                self._server.setups.append(event.setup)
                self._server.script(self._connection, event, self._number)
            elif isinstance(
                event,
                ev.ClientContentReceived
                | ev.RealtimeInputReceived
                | ev.ToolResponseReceived
                | ev.ContextUpdateReceived,
            ):
                self._server.received.append((self._number, event.message))
            yield event


class World:
    """One machine, one server, and the transport between them.

    Attributes:
        cut_up: Bytes to the server after which the wire breaks, None for never.
        cut_down: The same for bytes from the server.
        dials: What was dialed.
        at_close: Called before the last bytes of a connection that the machine leaves are carried.
        fail_dials: How many dials are to fail from now on.
        cuts: How often the wire was cut.
        cut_in: How often in which state of the machine, on the first connection or a further one, and which way.
    """

    def __init__(
        self,
        policy: ReconnectPolicy = EAGER,
        *,
        config: Any = TEXT,
        endpoint: Any = GEMINI,
        model: Any = None,
        emulator: Emulator | Scripted | None = None,
        machine: PersistentConnection | None = None,
        clock: FakeClock | None = None,
        connect: bool = True,
        jitter: Callable[[], float] = lambda: 0.0,
        **options: Any,
    ) -> None:
        self.clock = clock or FakeClock()
        self.model = model or Witness()
        self.emulator = emulator or Emulator(self.model, options=EmulatorOptions(**options))
        self.machine = machine or PersistentConnection.client(
            endpoint, config, model="m", policy=policy, timeouts=QUIET, jitter=jitter, strict=True
        )
        self.server: Any = None
        self.at_close: Callable[[], None] = lambda: None
        self.events: list[Any] = []
        self.dials: list[DialRequest] = []
        self.fail_dials = 0
        self.cut_up: int | None = None
        self.cut_down: int | None = None
        self.cuts = 0
        self.cut_in: Counter[str] = Counter()
        self.machine.advance(self.clock.now)
        if connect:
            self.run()

    # --- the driver ---------------------------------------------------------------------------------------------

    def run(self) -> list[Any]:
        """Move bytes until nothing moves; gives the machine's new events."""
        seen = len(self.events)
        while self._dial() or self._up() or self._serve() or self._down() or self._hang_up() or self._collect():
            pass
        return self.events[seen:]

    def _dial(self) -> bool:
        request = self.machine.dial
        if request is None:
            return False
        self._close_transport()
        self.dials.append(request)
        if self.fail_dials:
            self.fail_dials -= 1
            self.machine.dial_failed(ConnectionRefusedError(111, "refused"))
            return True
        self.server = self.emulator.connection()
        self.server.advance(self.clock.now)
        self.machine.dial_succeeded()
        return True

    def _close_transport(self) -> None:
        if self.server is not None:
            self.server.receive_eof()
            self.drain()
            self.server = None

    def drain(self) -> None:
        assert self.server is not None
        for _ in self.server.events():
            pass

    def _up(self) -> bool:
        data = self.machine.data_to_send()
        if not data:
            return False
        if self.server is None:
            return True
        if self.machine.state is ConnectionState.CLOSING:
            self.at_close()
        if self.cut_up is not None:
            if len(data) >= self.cut_up:
                self.server.receive_data(data[: self.cut_up])
                self.cut("up")
                return True
            self.cut_up -= len(data)
        self.server.receive_data(data)
        return True

    def _down(self) -> bool:
        if self.server is None:
            return False
        data = self.server.data_to_send()
        if not data:
            return False
        if self.cut_down is not None:
            if len(data) >= self.cut_down:
                self.machine.receive_data(data[: self.cut_down])
                self.cut("down")
                return True
            self.cut_down -= len(data)
        self.machine.receive_data(data)
        return True

    def _serve(self) -> bool:
        moved = False
        while self.server is not None and any(True for _ in self.server.events()):
            moved = True
        return moved

    def cut(self, way: str = "between", *, reset: bool = False) -> None:
        """Break the wire; the server has seen all that was carried so far, and notices too.

        Args:
            way: Whose bytes it cuts: ``up``, to the server, ``down``, or nobody's.
            reset: Whether the client hears of it as an error.
        """
        assert self.server is not None
        self.cut_up = self.cut_down = None
        self.cuts += 1
        machine = self.machine
        which = "first" if machine.epoch == 1 else "further"
        self.cut_in[f"{machine.state} {machine.phase} {machine.turn} {which} {way}"] += 1
        self.drain()
        self.server.transport_failed("cut")
        self.drain()
        self.server = None
        if reset:
            self.machine.transport_failed(ConnectionResetError(104, "reset"))
        else:
            self.machine.receive_eof()

    def _hang_up(self) -> bool:
        if self.server is None:
            return False
        if self.machine.wants.close or self.machine.wants.half_close:
            self._close_transport()
            self.machine.receive_eof()
            return True
        if self.server.wants.close and not self.server.wants.write:
            self.server.receive_eof()
            self.drain()
            self.server = None
            self.machine.receive_eof()
            return True
        return False

    def _collect(self) -> bool:
        found = list(self.machine.events())
        self.events += found
        return bool(found)

    # --- time ---------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> list[Any]:
        """Let time pass, stopping wherever one of the ends has something to do."""
        end = self.clock.now + seconds
        seen = len(self.events)
        self.run()
        stuck = 0
        while True:
            due = [self.machine.next_deadline(), self.server.next_deadline() if self.server else None]
            step = min([end, *(at for at in due if at is not None)])
            stuck = stuck + 1 if step <= self.clock.now else 0
            assert stuck < 5, "a deadline that advance() does not move"
            self.clock.now = max(self.clock.now, step)
            if self.server is not None:
                self.server.advance(self.clock.now)
            self.machine.advance(self.clock.now)
            self.run()
            if self.clock.now >= end:
                return self.events[seen:]

    def until_ready(self, most: float = 1000.0) -> list[Any]:
        """Let time pass until the session can be used."""
        seen = len(self.events)
        end = self.clock.now + most
        self.run()
        while not self.ready and self.machine.state is not ConnectionState.CLOSED:
            due = self.machine.next_deadline()
            assert due is not None, "nothing will happen any more"
            assert due <= end, "not ready in time"
            self.wait(max(0.0, due - self.clock.now))
        return self.events[seen:]

    @property
    def ready(self) -> bool:
        return self.machine.state is ConnectionState.OPEN and self.machine.phase.value in ("READY", "DRAINING")

    # --- what the user does -------------------------------------------------------------------------------------

    def say(self, text: str, *, turn_complete: bool = True) -> list[Any]:
        self.machine.send_client_content({"role": "user", "parts": [{"text": text}]}, turn_complete=turn_complete)
        return self.run()


def of(events: Iterable[Any], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def kinds(events: Iterable[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def numbers(losses: Sequence[ev.InputLost]) -> list[int]:
    return sorted(number for lost in losses for first, last in lost.numbers for number in range(first, last + 1))
