"""Input while away, what is reported as lost, activity windows."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from core.reconnect.world import EAGER, TEXT, VERTEX, Scripted, World, numbers, of
from live_protocol import events as ev
from live_protocol.errors import IllegalInState, InvalidMessage, NotConnected, ToolCallWasCancelled
from live_protocol.events import LossReason
from live_protocol.messages import LiveClientMessage, LiveClientRealtimeInput
from live_protocol.reconnect import OfflinePolicy, ReconnectPolicy

SIZE = len(b'{"realtimeInput":{"text":"12345"}}')
AUDIO = bytes(320)
IMAGE = {"mime_type": "image/jpeg", "data": b"x"}
MANUAL = {**TEXT, "realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}


def away(policy: ReconnectPolicy, **rest: Any) -> tuple[World, Scripted]:
    server = Scripted()
    world = World(policy, emulator=server, **rest)
    world.cut()
    world.run()
    return world, server


def policy(**rest: Any) -> ReconnectPolicy:
    return attrs.evolve(EAGER, **rest)


def texts(world: World, count: int) -> None:
    for number in range(count):
        world.machine.send_realtime_input(text=f"text{number}")


# --- the offline policies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("room", "fits"), [(3 * SIZE - 1, 2), (3 * SIZE, 3), (3 * SIZE + 1, 3)])
def test_buffer_keeps_up_to_the_bound_and_then_raises(room: int, fits: int) -> None:
    world, server = away(policy(offline_bytes=room))
    texts(world, fits)
    with pytest.raises(NotConnected, match="used up") as caught:
        world.machine.send_realtime_input(text="texts")
    assert caught.value.operation == "send_realtime_input"
    assert world.machine.accepted == fits
    assert world.machine.buffered_out == 0
    world.until_ready()
    assert server.texts == [f"text{number}" for number in range(fits)]
    assert not of(world.events, ev.InputLost)


@pytest.mark.parametrize(("room", "fits"), [(3 * SIZE - 1, 2), (3 * SIZE, 3), (3 * SIZE + 1, 3)])
def test_drop_oldest_keeps_the_newest_and_reports_the_rest(room: int, fits: int) -> None:
    world, server = away(policy(offline=OfflinePolicy.DROP_OLDEST, offline_bytes=room))
    texts(world, 5)
    world.until_ready()
    assert server.texts == [f"text{number}" for number in range(5 - fits, 5)]
    (lost,) = of(world.events, ev.InputLost)
    assert (lost.reason, lost.certain, lost.count) == (LossReason.OFFLINE_BUFFER_FULL, True, 5 - fits)
    assert lost.numbers == ((1, 5 - fits),)
    assert lost.size == (5 - fits) * SIZE
    assert lost.kinds == {"realtime_input.text": 5 - fits}


def test_a_message_larger_than_the_buffer() -> None:
    world, server = away(policy(offline=OfflinePolicy.DROP_OLDEST, offline_bytes=SIZE))
    texts(world, 1)
    world.machine.send_realtime_input(text="too much for it")
    world.until_ready()
    assert server.texts == []
    assert numbers(of(world.events, ev.InputLost)) == [1, 2]
    world, server = away(policy(offline_bytes=SIZE))
    with pytest.raises(NotConnected):
        world.machine.send_realtime_input(text="too much for it")


def test_raise_keeps_nothing() -> None:
    world, server = away(policy(offline=OfflinePolicy.RAISE))
    with pytest.raises(NotConnected, match="no input is kept"):
        world.machine.send_realtime_input(text="hello")
    with pytest.raises(NotConnected):
        world.machine.send_realtime_input(audio=AUDIO, rate=16_000)
    assert world.machine.accepted == 0
    world.until_ready()
    assert server.texts == []


def test_what_is_refused_changes_nothing() -> None:
    world, _ = away(policy(offline_bytes=400), config=MANUAL)
    texts(world, 11)
    with pytest.raises(NotConnected):
        world.machine.send_realtime_input(activity_start=True)
    with pytest.raises(IllegalInState, match="activity_start"):
        world.machine.send_realtime_input(audio=AUDIO, rate=16_000)
    world.until_ready()
    world.machine.send_realtime_input(activity_start=True)


def test_what_is_checked_between_two_connections() -> None:
    world, _ = away(policy())
    with pytest.raises(InvalidMessage):
        world.machine.send_realtime_input(audio=b"123", rate=16_000)
    with pytest.raises(InvalidMessage):
        world.machine.send(LiveClientMessage())
    with pytest.raises(InvalidMessage):
        world.machine.send(LiveClientMessage(realtime_input={"text": "x"}))  # type: ignore[arg-type]
    with pytest.raises(InvalidMessage):
        world.machine.send_tool_response({"id": "nobody", "response": {}})
    assert world.machine.accepted == 0


# --- audio and video --------------------------------------------------------------------------------------------


def test_old_audio_is_worthless() -> None:
    world, server = away(policy(media_max_age=2.0, base_delay=5.0, max_delay=5.0))
    machine = world.machine
    for _ in range(10):
        machine.send_realtime_input(audio=AUDIO, rate=16_000)
        world.wait(0.5)
    machine.send_realtime_input(text="text")
    world.until_ready()
    assert server.texts == ["audio"] * 4 + ["text"]
    (lost,) = of(world.events, ev.InputLost)
    assert (lost.reason, lost.kinds, lost.numbers) == (
        LossReason.STALE,
        {"realtime_input.audio": 6},
        ((1, 6),),
    )


def test_audio_gives_way_to_everything_else_and_never_raises() -> None:
    world, server = away(policy(offline_bytes=2000))
    machine = world.machine
    for _ in range(10):
        machine.send_realtime_input(audio=AUDIO, rate=16_000)
    machine.send_realtime_input(video=IMAGE)
    machine.send_realtime_input(text="x" * 1900)
    machine.send_realtime_input(audio=AUDIO, rate=16_000)
    world.until_ready()
    assert server.texts == ["x" * 1900]
    (lost,) = of(world.events, ev.InputLost)
    assert lost.reason is LossReason.OFFLINE_BUFFER_FULL
    assert lost.kinds == {"realtime_input.audio": 11, "realtime_input.video": 1}
    assert lost.numbers == ((1, 11), (13, 13))


def test_drop_oldest_drops_audio_first() -> None:
    world, server = away(policy(offline=OfflinePolicy.DROP_OLDEST, offline_bytes=1000))
    machine = world.machine
    texts(world, 2)
    for _ in range(5):
        machine.send_realtime_input(audio=AUDIO, rate=16_000)
    machine.send_realtime_input(text="y" * 600)
    world.until_ready()
    assert server.texts == ["text0", "text1", "y" * 600]


def test_audio_that_was_queued_when_the_link_broke_grows_old_too() -> None:
    world, server = away(policy(base_delay=5.0, max_delay=5.0))
    world.until_ready()
    world.machine.send_realtime_input(audio=AUDIO, rate=16_000)
    world.machine.send_realtime_input(text="text")
    world.machine.transport_failed("reset")
    world.run()
    world.until_ready()
    assert server.texts == ["text"]
    (lost,) = of(world.events, ev.InputLost)
    assert lost.reason is LossReason.STALE


# --- what is reported outside transparent mode ------------------------------------------------------------------


def test_what_left_after_the_newest_handle_is_unconfirmed() -> None:
    server = Scripted()
    world = World(EAGER, emulator=server)
    texts(world, 3)
    world.run()
    server.handle("h")
    world.run()
    texts(world, 2)
    world.machine.send_client_content()
    world.machine.send_realtime_input(audio=AUDIO, rate=16_000)
    world.run()
    world.cut()
    (lost,) = of(world.run(), ev.InputLost)
    assert (lost.reason, lost.certain, lost.count) == (LossReason.UNCONFIRMED, False, 4)
    assert lost.numbers == ((4, 7),)
    assert lost.kinds == {"realtime_input.text": 2, "client_content": 1, "realtime_input.audio": 1}


def test_an_update_without_a_handle_confirms_nothing() -> None:
    server = Scripted()
    world = World(EAGER, emulator=server)
    texts(world, 1)
    world.run()
    server.tell(session_resumption_update={})
    world.run()
    world.cut()
    assert numbers(of(world.run(), ev.InputLost)) == [1]


@pytest.mark.parametrize(("wait", "lost"), [(0.0, [1]), (0.99, [1]), (1.0, []), (2.0, [])])
def test_what_may_have_been_on_its_way_is_not_confirmed(wait: float, lost: list[int]) -> None:
    server = Scripted()
    world = World(policy(in_flight_window=1.0), emulator=server)
    texts(world, 1)
    world.run()
    world.wait(wait)
    server.handle("h")
    world.run()
    world.cut()
    assert numbers(of(world.run(), ev.InputLost)) == lost


def test_a_handle_confirms_what_left_before_it_arrived_not_before_it_was_read() -> None:
    server = Scripted()
    world = World(EAGER, emulator=server)
    texts(world, 1)
    world.run()
    server.handle("h")
    world._down()  # it has arrived, and nobody reads it
    texts(world, 1)
    world._up()
    world.wait(10.0)
    world.cut()
    assert numbers(of(world.run(), ev.InputLost)) == [2]


def test_nor_before_its_first_byte_arrived() -> None:
    server = Scripted()
    world = World(EAGER, emulator=server)
    texts(world, 1)
    world.run()
    server.handle("h")
    data = world.server.data_to_send()
    world.machine.receive_data(data[:20])
    list(world.machine.events())
    texts(world, 1)
    world._up()
    world.machine.receive_data(data[20:])
    list(world.machine.events())
    world.cut()
    assert numbers(of(world.run(), ev.InputLost)) == [2]


def test_the_books_stay_small() -> None:
    server = Scripted()
    world = World(EAGER, emulator=server)
    for _ in range(1000):
        texts(world, 1)
        world.run()
        world.clock.advance(0.1)
        world.machine.advance(world.clock.now)
    world.cut()
    (lost,) = of(world.run(), ev.InputLost)
    assert lost.numbers == ((1, 1000),)
    assert lost.size == 1000 * SIZE


def test_merged_books_still_confirm() -> None:
    server = Scripted()
    world = World(EAGER, emulator=server)
    for _ in range(200):
        texts(world, 1)
        world.run()
    server.handle("h")
    world.run()
    world.cut()
    assert not of(world.run(), ev.InputLost)


# --- activity windows -------------------------------------------------------------------------------------------


def test_a_window_that_was_open_is_opened_again() -> None:
    server = Scripted()
    world = World(EAGER, emulator=server, config=MANUAL)
    world.machine.send_realtime_input(activity_start=True)
    world.machine.send_realtime_input(audio=AUDIO, rate=16_000)
    world.run()
    world.cut()
    world.run()
    world.machine.send_realtime_input(audio=AUDIO, rate=16_000)
    world.machine.send_realtime_input(activity_end=True)
    world.until_ready()
    assert server.texts[2:] == ["activity_start", "audio", "activity_end"]
    world.cut()
    world.until_ready()
    assert len(server.texts) == 5


def test_not_where_the_start_goes_out_again_by_itself() -> None:
    server = Scripted()
    world = World(policy(transparent=True), emulator=server, config=MANUAL, endpoint=VERTEX)
    world.machine.send_realtime_input(activity_start=True)
    world.run()
    world.cut()
    world.until_ready()
    assert server.texts == ["activity_start", "activity_start"]


def test_a_go_away_waits_for_the_window_to_close() -> None:
    server = Scripted()
    world = World(EAGER, emulator=server, config=MANUAL)
    world.machine.send_realtime_input(activity_start=True)
    world.run()
    server.tell(go_away={"time_left": 60.0})
    world.wait(10.0)
    assert not of(world.events, ev.Reconnecting)
    world.machine.send_realtime_input(activity_end=True)
    world.run()
    world.wait(0.1)
    assert of(world.events, ev.Reconnecting)


# --- tool calls -------------------------------------------------------------------------------------------------


def test_nothing_of_a_cancelled_call_is_sent() -> None:
    server = Scripted()
    world = World(EAGER, emulator=server)
    server.tell(tool_call={"function_calls": [{"id": "c1", "name": "f"}]})
    server.tell(tool_call_cancellation={"ids": ["c1"]})
    world.run()
    world.cut()
    world.until_ready()
    with pytest.raises(ToolCallWasCancelled):
        world.machine.send_tool_response({"id": "c1", "response": {}})
    world.run()
    assert server.texts == []
    assert world.machine.accepted == 0


def test_kinds_of_members_the_library_does_not_look_into() -> None:
    server = Scripted()
    world = World(EAGER, emulator=server)
    message = LiveClientMessage(realtime_input=LiveClientRealtimeInput(audio_stream_end=True))
    world.machine.send(message)
    world.run()
    world.cut()
    assert of(world.run(), ev.InputLost)[0].kinds == {"realtime_input.audio_stream_end": 1}
