"""Transparent mode: what goes out again, and what the outbox keeps (wire.md#transparent-mode)."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from core.reconnect.world import EAGER, TEXT, VERTEX, Scripted, World, numbers, of
from live_protocol import events as ev
from live_protocol.errors import NotConnected
from live_protocol.events import LossReason
from live_protocol.reconnect import OfflinePolicy, ReconnectPolicy

SIZE = len(b'{"realtimeInput":{"text":"12345"}}')
AUDIO = bytes(320)
IMAGE = {"mime_type": "image/jpeg", "data": b"x"}
MANUAL = {**TEXT, "realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}


def policy(**rest: Any) -> ReconnectPolicy:
    return attrs.evolve(EAGER, **rest)


def texts(world: World, count: int) -> None:
    for number in range(count):
        world.machine.send_realtime_input(text=f"text{number}")


# --- transparent mode -------------------------------------------------------------------------------------------


def transparent(**rest: Any) -> tuple[World, Scripted]:
    server = Scripted()
    return World(policy(transparent=True, **rest), emulator=server, endpoint=VERTEX), server


def test_what_the_handle_does_not_include_is_sent_again() -> None:
    world, server = transparent()
    texts(world, 5)
    world.run()
    server.handle("h", index=3)
    world.run()
    world.cut()
    world.run()
    world.machine.send_realtime_input(text="new")
    world.until_ready()
    assert [
        text for number, text in zip((n for n, _ in server.received), server.texts, strict=True) if number == 2
    ] == [
        "text3",
        "text4",
        "new",
    ]
    (reconnected,) = of(world.events, ev.Reconnected)
    assert reconnected.replayed == 2
    assert not of(world.events, ev.InputLost)


@pytest.mark.parametrize(("index", "replayed"), [(None, 5), (0, 5), (1, 4), (4, 1), (5, 0), (6, 0)])
def test_the_index_counts_from_the_setup(index: int | None, replayed: int) -> None:
    world, server = transparent()
    texts(world, 5)
    world.run()
    server.handle("h", index=index)
    world.run()
    world.cut()
    world.until_ready()
    assert of(world.events, ev.Reconnected)[0].replayed == replayed


def test_an_index_without_a_handle_trims_nothing() -> None:
    world, server = transparent()
    texts(world, 5)
    world.run()
    server.tell(session_resumption_update={"last_consumed_client_message_index": 5})
    world.run()
    world.cut()
    world.until_ready()
    assert of(world.events, ev.Reconnected)[0].replayed == 5


def test_numbering_restarts_with_each_connection() -> None:
    world, server = transparent()
    texts(world, 3)
    world.run()
    world.cut()
    world.until_ready()  # 1 to 3 go out again, as 1 to 3
    texts(world, 2)
    world.run()
    server.handle("h", index=4)
    world.run()
    world.cut()
    world.until_ready()
    assert [text for (number, _), text in zip(server.received, server.texts, strict=True) if number == 3] == ["text1"]


def test_drops_before_anything_went_out_again() -> None:
    world, _ = transparent()
    texts(world, 3)
    world.run()
    world.cut()
    for _ in range(4):
        world.cut_down = 100  # in the answer to the upgrade
        world.wait(0.5)
    assert world.cuts > 3
    world.cut_down = None
    world.until_ready()
    (reconnected,) = of(world.events, ev.Reconnected)
    assert reconnected.replayed == 3
    assert not of(world.events, ev.InputLost)


def test_audio_is_never_worthless_there() -> None:
    world, server = transparent(media_max_age=0.0, base_delay=5.0, max_delay=5.0, offline_bytes=2004)
    world.cut()
    world.run()
    for _ in range(4):
        world.machine.send_realtime_input(audio=AUDIO, rate=16_000)
    with pytest.raises(NotConnected):
        world.machine.send_realtime_input(audio=AUDIO, rate=16_000)
    world.until_ready()
    assert server.texts == ["audio"] * 4


def test_the_bound_for_new_input_does_not_count_what_is_sent_again() -> None:
    world, server = transparent(offline=OfflinePolicy.DROP_OLDEST, offline_bytes=2 * SIZE)
    texts(world, 5)
    world.run()
    world.cut()
    world.run()
    texts(world, 3)
    world.until_ready()
    sent = [text for (number, _), text in zip(server.received, server.texts, strict=True) if number == 2]
    assert sent == ["text0", "text1", "text2", "text3", "text4", "text1", "text2"]
    assert numbers(of(world.events, ev.InputLost)) == [6]


@pytest.mark.parametrize("room", [3 * SIZE - 1, 3 * SIZE, 3 * SIZE + 1])
def test_the_outbox_is_bounded(room: int) -> None:
    world, _ = transparent(outbox_bytes=room)
    texts(world, 5)
    world.run()
    world.cut()
    world.until_ready()
    lost = 5 - room // SIZE
    (report,) = of(world.events, ev.InputLost)
    assert (report.reason, report.certain, report.numbers) == (LossReason.UNCONFIRMED, False, ((1, lost),))
    assert of(world.events, ev.Reconnected)[0].replayed == 5 - lost


def test_what_fell_out_of_the_outbox_may_still_be_confirmed() -> None:
    world, server = transparent(outbox_bytes=SIZE + 2)
    texts(world, 200)
    world.run()
    server.handle("h", index=199)
    world.run()
    world.cut()
    world.until_ready()
    assert not of(world.events, ev.InputLost)
    assert of(world.events, ev.Reconnected)[0].replayed == 1


def test_unconfirmed_messages_are_reported_when_it_gives_up() -> None:
    world, server = transparent(max_attempts=1)
    texts(world, 3)
    world.run()
    server.handle("h", index=1)
    world.run()
    world.cut()
    world.run()
    texts(world, 1)
    world.fail_dials = 10
    world.wait(100.0)
    reports = {lost.reason: lost.numbers for lost in of(world.events, ev.InputLost)}
    assert reports == {LossReason.UNCONFIRMED: ((2, 3),), LossReason.ENDED: ((4, 4),)}


def test_closing_loses_nothing_that_left() -> None:
    world, _ = transparent()
    texts(world, 3)
    world.run()
    world.machine.close()
    world.run()
    assert not of(world.events, ev.InputLost)
    assert len(world.machine.snapshot().outbox) == 3
