"""A chunk of audio passes a persistent connection by ways of its own: they change nothing, and they are short."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import attrs
from hypothesis import given
from hypothesis import strategies as st

from core.reconnect.world import EAGER, GEMINI, ONE, VERTEX, Scripted, World, numbers, of
from live_protocol import events as ev
from live_protocol.codec.decoding import from_dict
from live_protocol.connection import LiveConnection
from live_protocol.errors import LiveProtocolError
from live_protocol.messages import Blob, LiveServerMessage
from live_protocol.reconnect import OfflinePolicy, PersistentConnection, ReconnectPolicy
from live_protocol.states import Phase
from live_protocol.timing import Timeouts

CHUNK = bytes(640)
AUDIO = {"response_modalities": ["AUDIO"]}
SAY = {"model_turn": {"parts": [{"inline_data": {"mime_type": "audio/pcm;rate=24000", "data": bytes(960)}}]}}

STEPS = st.lists(
    st.one_of(
        st.sampled_from(["audio", "audio", "audio", "text", "say", "handle", "cut", "reset", "away", "lazy", "read"]),
        st.floats(0.0, 1.5),
    ),
    max_size=30,
)


def fate(event: ev.Event) -> object:
    """An event without what differs from run to run, and without sizes: the members of a blob have another order."""
    if isinstance(event, ev.InputLost):
        return event.count, event.kinds, event.reason, event.certain, event.numbers
    return (event.handle,) if isinstance(event, ev.ResumptionUpdated) else repr(event)


def play(steps: list[str | float], policy: ReconnectPolicy, *, raw: bool) -> list[object]:
    """What the application and the server see."""
    server = Scripted()
    world = World(policy, config=AUDIO, emulator=server)
    machine = world.machine
    seen: list[object] = []
    for number, step in enumerate(steps):
        if isinstance(step, float):
            world.wait(step)
        elif step in ("audio", "lazy", "text"):
            try:
                if step == "text":
                    machine.send_realtime_input(text="hello")
                elif raw:
                    machine.send_realtime_input(audio=CHUNK, rate=16_000)
                else:
                    machine.send_realtime_input(audio=Blob(mime_type="audio/pcm;rate=16000", data=CHUNK))
            except LiveProtocolError as error:
                seen.append(str(error))
            if step != "lazy":  # whose bytes wait, so that a break can catch them
                world.run()
        elif step == "away":
            world.fail_dials = 1
        elif step == "read":
            world.run()
        elif world.server is not None and world.ready:
            if step == "say":
                server.tell(server_content=SAY)
            elif step == "handle":
                server.handle(f"handle {number}")
            else:
                world.cut(reset=step == "reset")
    world.wait(5.0)
    seen += map(fate, world.events)
    return [*seen, machine.accepted, server.received, server.setups]


@given(STEPS, st.sampled_from([*OfflinePolicy]), st.sampled_from([0.0, 0.5]))
def test_raw_audio_fares_as_audio_in_a_blob(
    steps: list[str | float], offline: OfflinePolicy, in_flight_window: float
) -> None:
    """A blob takes the way of every other message."""
    policy = attrs.evolve(EAGER, offline=offline, in_flight_window=in_flight_window, media_max_age=1.0)
    assert play(steps, policy, raw=True) == play(steps, policy, raw=False)


def test_a_handle_is_dated_by_its_first_byte() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    world.machine.send_realtime_input(audio=CHUNK, rate=16_000)
    world.run()
    server.handle("first")
    data = world.server.data_to_send()
    world.machine.receive_data(data[:1])
    assert world.machine.next_event() is None
    world.machine.send_realtime_input(audio=CHUNK, rate=16_000)  # the server has made its handle before
    assert world.machine.data_to_send()
    world.machine.receive_data(data[1:])
    world.run()
    world.cut()
    world.run()
    assert numbers(of(world.events, ev.InputLost)) == [2]


def test_what_the_clock_adds_does_not_make_a_handle_older() -> None:
    server = Scripted()
    machine = PersistentConnection.client(
        GEMINI, AUDIO, model="m", policy=ONE, timeouts=Timeouts(ping_interval=None, stall=0.5)
    )
    world = World(ONE, emulator=server, machine=machine)
    server.tell(server_content=SAY)
    world.wait(0.1)
    machine.send_realtime_input(audio=CHUNK, rate=16_000)
    world.wait(0.1)
    world.clock.now += 1.0
    machine.advance(world.clock.now)  # the suspicion of a stall is not read before the handle comes
    server.handle("second")
    world.run()
    assert of(world.events, ev.StallSuspected)
    world.cut()
    world.run()
    assert not of(world.events, ev.InputLost)


def test_audio_is_kept_in_transparent_mode() -> None:
    server = Scripted()
    world = World(attrs.evolve(ONE, transparent=True), config=AUDIO, endpoint=VERTEX, emulator=server)
    for _ in range(2):
        world.machine.send_realtime_input(audio=CHUNK, rate=16_000)
        world.run()
    server.handle("both", index=1)
    world.run()
    world.cut()
    world.until_ready()
    (again,) = of(world.events, ev.Reconnected)
    assert again.replayed == 1
    assert [epoch for epoch, _ in server.received] == [1, 1, 2]
    assert not of(world.events, ev.InputLost)


def test_what_leaves_with_the_answer_to_a_close_frame_has_left() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    world.machine.send_realtime_input(audio=CHUNK, rate=16_000)
    server.now.close(1011)
    world.machine.receive_data(server.now.data_to_send())
    world.machine.receive_eof()
    assert world.machine.data_to_send()
    world.server = None
    world.run()
    assert numbers(of(world.events, ev.InputLost)) == [1]
    world.until_ready()
    assert not server.received


def test_pending_says_whether_a_pull_is_worth_it() -> None:
    server = Scripted()
    world = World(ONE, emulator=server)
    assert not world.machine.pending
    server.tell(server_content=SAY)
    world.machine.receive_data(world.server.data_to_send())
    assert world.machine.pending
    world.run()
    assert not world.machine.pending
    world.cut()
    assert world.machine.pending


def test_time_goes_on_while_a_dial_waits() -> None:
    world = World(ONE)
    world.cut()
    world.run()
    due = world.machine.next_deadline()
    assert due is not None
    world.machine.tick(due + 3.0)
    assert world.machine.dial is None
    assert world.machine.next_deadline() == due
    assert world.machine.snapshot().created == due + 3.0
    world.machine.advance(due + 3.0)
    assert world.machine.dial is not None


def talked(machine: LiveConnection | PersistentConnection) -> LiveConnection | PersistentConnection:
    """The machine after ten seconds of voice: fifty chunks up and twenty-five down in each. It holds no more later."""
    server = LiveConnection.server(strict=False)
    machine.advance(0.0)
    server.advance(0.0)
    if isinstance(machine, PersistentConnection):
        assert machine.dial is not None
        machine.dial_succeeded()
    while not server.wants.close and machine.phase is not Phase.READY:
        server.receive_data(machine.data_to_send())
        for event in server.events():
            if isinstance(event, ev.UpgradeRequested):
                server.accept()
            elif isinstance(event, ev.SetupReceived):
                server.send_setup_complete()
        machine.receive_data(server.data_to_send())
        for _ in machine.events():
            pass
    said = from_dict(LiveServerMessage, {"server_content": SAY})
    for tick in range(1, 10 * 50):
        machine.tick(tick / 50)
        machine.send_realtime_input(audio=CHUNK, rate=16_000)
        machine.data_to_send()
        if tick % 2:
            server.send(said)
            machine.receive_data(server.data_to_send())
            for _ in machine.events():
                pass
    return machine


def held(make: Callable[[], LiveConnection | PersistentConnection], count: int = 5) -> float:
    """Bytes that such a machine holds."""
    machines = [talked(make())]  # lazy imports and caches are no session's cost
    gc.collect()
    tracemalloc.start()
    try:
        machines += [talked(make()) for _ in range(count)]
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()


def test_after_some_voice_it_holds_little_more_than_one_connection() -> None:
    policy = ReconnectPolicy()
    plain = held(lambda: LiveConnection.client(GEMINI, AUDIO, model="m"))
    persistent = held(lambda: PersistentConnection.client(GEMINI, AUDIO, model="m", policy=policy))
    assert persistent - plain < 4 * 1024
