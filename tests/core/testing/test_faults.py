"""Injected faults, as a client sees them."""

from __future__ import annotations

from typing import Any

import pytest

from core.testing.playbook.support import HI, READY, client
from live_protocol import (
    ConnectionClosed,
    ConnectionState,
    DeadlineExpired,
    Event,
    IllegalInState,
    InvalidJson,
    InvalidMessage,
    LiveConnection,
    Phase,
    PongReceived,
    SetupComplete,
    TextChunk,
    Timeouts,
    TransportFailed,
    TurnComplete,
    TurnState,
    Undecodable,
    UnknownMessage,
)
from live_protocol.emulator import EmulatedConnection, Emulator
from live_protocol.messages import LiveServerContent, LiveServerMessage
from live_protocol.testing import Faults, FaultyConnection, Pair, Playbook


def joined(faults: Faults | str, **options: Any) -> tuple[Pair, LiveConnection, FaultyConnection[EmulatedConnection]]:
    wrong = Faults.from_string(faults) if isinstance(faults, str) else faults
    machine = FaultyConnection(Emulator().connection(), wrong)
    ours = client(**options)
    pair = Pair(ours, machine)
    pair.pump()
    return pair, ours, machine


def names(pair: Pair) -> list[str]:
    return [type(event).__name__ for event in pair.client_events]


def answer(pair: Pair, ours: LiveConnection) -> str:
    ours.send_client_content(HI)
    pair.wait(5)
    assert isinstance(pair.client_events[-2], TurnComplete)
    return "".join(event.text for event in pair.client_events if isinstance(event, TextChunk))


def sent(faults: Faults) -> list[bytes]:
    """The server's output in a whole conversation, piece by piece, without a client that checks it."""
    ours, machine = client(entropy=bytes), FaultyConnection(Emulator().connection(), faults)
    pieces: list[bytes] = []
    ours.advance(0.0)
    machine.advance(0.0)
    for now in range(200):
        machine.advance(now / 10)
        machine.receive_data(ours.data_to_send())
        list(machine.events())
        while piece := machine.data_to_send():
            pieces.append(piece)
            ours.receive_data(piece)
        for event in ours.events():
            if isinstance(event, SetupComplete):
                ours.send_client_content(HI)
    return pieces


WHOLE = b"".join(sent(Faults()))
HEAD = WHOLE.index(b"\r\n\r\n") + 4


def test_no_faults_change_nothing() -> None:
    pair, ours, machine = joined("")
    assert answer(pair, ours) == "Hi"
    assert machine.faults == Faults()
    ours.close()
    pair.pump()
    assert isinstance(pair.client_events[-1], ConnectionClosed)
    assert ours.close_info is not None
    assert ours.close_info.clean


# --- bytes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, HEAD - 1, HEAD, HEAD + 1, HEAD + 28, HEAD + 29, len(WHOLE) - 1, len(WHOLE)])
def test_cut(at: int) -> None:
    faults = Faults(cut=at)
    assert b"".join(sent(faults)) == WHOLE[:at]
    pair, ours, machine = joined(faults)
    if ours.state is ConnectionState.OPEN:
        ours.send_client_content(HI)
        pair.pump()
    assert ours.close_info is not None
    assert (ours.close_info.code, type(ours.close_info.error)) == (1006, TransportFailed)
    assert machine.state is ConnectionState.CLOSED
    assert machine.close_info is not None
    assert machine.data_to_send() == b""


def test_cut_beyond_everything() -> None:
    assert b"".join(sent(Faults(cut=len(WHOLE) + 1))) == WHOLE


def test_mute() -> None:
    for at in (1, HEAD, HEAD + 5):
        assert b"".join(sent(Faults(mute=at))) == WHOLE[:at]
    pair, ours, machine = joined(Faults(mute=HEAD))
    assert names(pair) == ["Connected"]
    pair.wait(100)
    assert isinstance(ours.close_info and ours.close_info.error, DeadlineExpired)
    assert machine.state is ConnectionState.CLOSED


def test_mute_outlasts_the_servers_own_close() -> None:
    machine = FaultyConnection(READY.wait(1).close(1011).connection(), Faults(mute=HEAD))
    ours = client(timeouts=Timeouts(ping_interval=None, setup=None))
    pair = Pair(ours, machine)
    pair.wait(1000)
    assert ours.state is ConnectionState.OPEN
    assert machine.state is ConnectionState.CLOSED
    assert (machine.wants.read, machine.wants.close) == (True, False)
    machine.close()
    assert machine.wants.close
    pair.pump()
    assert ours.state is ConnectionState.CLOSED


def test_corrupt() -> None:
    for at in (1, HEAD + 3, len(WHOLE)):
        changed = b"".join(sent(Faults(corrupt=at)))
        index = at - 1
        assert changed[:index] == WHOLE[:index]
        assert changed[index] == WHOLE[index] ^ 0xFF
        seeded = b"".join(sent(Faults(corrupt=at, seed=at)))
        assert seeded[index] != WHOLE[index]
    pair, _, _ = joined(Faults(corrupt=HEAD + 5))
    assert names(pair) == ["Connected", "Undecodable"]


def test_split() -> None:
    for size in (1, 7):
        pieces = sent(Faults(split=size))
        assert b"".join(pieces) == WHOLE
        assert max(map(len, pieces)) == size
    irregular = sent(Faults(split=7, seed=1))
    assert b"".join(irregular) == WHOLE
    assert {len(piece) for piece in irregular} == set(range(1, 8))
    assert irregular == sent(Faults(split=7, seed=1)) != sent(Faults(split=7, seed=2))
    pair, ours, _ = joined("split=1")
    assert answer(pair, ours) == "Hi"


def test_a_piece_is_due_at_once() -> None:
    machine = FaultyConnection(READY.connection(), Faults(split=1))
    ours = client()
    machine.advance(5.0)
    machine.receive_data(ours.data_to_send())
    list(machine.events())
    assert machine.wants.write
    assert machine.buffered_out == HEAD
    assert len(machine.data_to_send()) == 1
    assert machine.next_deadline() == 5.0
    assert machine.buffered_out == HEAD - 1


def test_delay() -> None:
    pair, ours, machine = joined("delay=0.5")
    assert names(pair) == []
    assert (machine.wants.write, machine.wants.close, machine.data_to_send()) == (False, False, b"")
    pair.wait(0.49)
    assert names(pair) == []
    pair.wait(0.01)
    assert names(pair) == ["Connected"]
    pair.wait(0.5)
    assert names(pair) == ["Connected", "SetupComplete"]
    assert answer(pair, ours) == "Hi"


def test_irregular_delays_keep_the_order() -> None:
    assert b"".join(sent(Faults(delay=0.5, seed=7))) == WHOLE
    arrivals: list[float] = []
    pair, ours, _ = joined("delay=1, seed=7")
    ours.advance(0)
    for _ in range(400):
        pair.wait(0.01)
        if len(pair.client_events) > len(arrivals):
            arrivals += [pair.clock.now] * (len(pair.client_events) - len(arrivals))
    assert len(arrivals) == 2
    assert 0 < arrivals[0] - 1000 < 1
    assert names(pair) == ["Connected", "SetupComplete"]


def test_a_delay_needs_a_clock() -> None:
    machine = FaultyConnection(READY.connection(), Faults(delay=1))
    machine.receive_data(client(entropy=bytes).data_to_send())
    list(machine.events())
    assert machine.next_deadline() is None
    assert machine.data_to_send() == WHOLE[:HEAD]


def test_drop() -> None:
    pair, ours, machine = joined("drop=2, delay=0.3")
    assert machine.next_deadline() == pytest.approx(1000.3)
    pair.wait(1.9)
    assert ours.state is ConnectionState.OPEN
    ours.send_client_content(HI)
    pair.wait(0.2)
    assert ours.close_info is not None
    assert (ours.close_info.code, machine.state) == (1006, ConnectionState.CLOSED)
    assert "TextChunk" not in names(pair)


def test_a_connection_without_a_clock_drops_nothing() -> None:
    assert FaultyConnection(READY.connection(), Faults(drop=1)).next_deadline() is None


# --- messages ---------------------------------------------------------------------------------------------------


def test_truncate() -> None:
    pair, _, _ = joined("truncate=1")
    (event,) = [event for event in pair.client_events if isinstance(event, Undecodable)]
    assert event.data == b'{\n  "setupCom'
    assert isinstance(event.error, InvalidJson)
    pair, ours, _ = joined("truncate=2")
    assert answer(pair, ours) == "i"


def test_oversize() -> None:
    pair, ours, _ = joined("oversize=2000000")
    (text,) = [event.text for event in pair.client_events if isinstance(event, TextChunk)]
    assert ours.close_info is None
    assert len(text) == 2_000_000 - len('{"serverContent": {"modelTurn": {"parts": [{"text": ""}]}}}\n')
    pair, ours, _ = joined("oversize=17000000")
    assert ours.close_info is not None
    assert ours.close_info.code == 1009
    pair, _, _ = joined("oversize=1")
    assert names(pair)[-1] == "TextChunk"


def test_duplicate() -> None:
    pair, ours, _ = joined("duplicate")
    assert names(pair).count("SetupComplete") == 2
    ours.send_client_content(HI)
    pair.pump()
    assert names(pair).count("TurnComplete") == 2


def test_unknown() -> None:
    pair, ours, _ = joined("unknown")
    assert isinstance(pair.client_events[-1], UnknownMessage)
    assert answer(pair, ours) == "Hi"


# --- silence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "which"),
    [("no-upgrade", "open"), ("no-setup-complete", "setup"), ("deaf", "setup")],
)
def test_no_answer_to_the_opening(faults: str, which: str) -> None:
    pair, ours, _ = joined(faults)
    pair.wait(100)
    error = ours.close_info and ours.close_info.error
    assert isinstance(error, DeadlineExpired)
    assert error.which == which


def test_no_pong() -> None:
    pair, ours, _ = joined("", timeouts=Timeouts(ping_interval=10, ping_timeout=5))
    pair.wait(12)
    assert isinstance(pair.client_events[-1], PongReceived)
    pair, ours, _ = joined("no-pong", timeouts=Timeouts(ping_interval=10, ping_timeout=5))
    pair.wait(16)
    error = ours.close_info and ours.close_info.error
    assert isinstance(error, DeadlineExpired)
    assert error.which == "pong"


def test_no_close() -> None:
    pair, ours, machine = joined("no-close")
    assert answer(pair, ours) == "Hi"
    ours.close()
    pair.wait(4)
    assert ours.state is ConnectionState.CLOSING
    pair.wait(2)
    error = ours.close_info and ours.close_info.error
    assert isinstance(error, DeadlineExpired)
    assert error.which == "close"
    assert machine.state is ConnectionState.CLOSED


def test_the_servers_program_may_always_close() -> None:
    pair, ours, machine = joined("no-close")
    ours.close()
    pair.pump()
    assert not machine.wants.close
    machine.close()
    assert machine.wants.close
    pair, ours, machine = joined("no-close")
    machine.transport_failed("gone")
    assert machine.wants.close


# --- the machine ------------------------------------------------------------------------------------------------


def test_facts_and_commands() -> None:
    inner = READY.send_tool_call("f").connection()
    machine = FaultyConnection(inner, Faults())
    pair = Pair(client(), machine)
    pair.pump()
    assert machine.machine is inner
    assert repr(machine) == "<FaultyConnection <PlaybookConnection OPEN step 4 of 3>>"
    assert (machine.state, machine.phase, machine.turn) == (ConnectionState.OPEN, Phase.READY, TurnState.GENERATING)
    assert [call.name for call in machine.pending_tool_calls] == ["f"]
    assert (machine.buffered_in, machine.buffered_out, machine.latency, machine.close_info) == (0, 0, None, None)
    machine.ping(b"x")
    machine.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=True)))
    machine.accept()
    with pytest.raises(IllegalInState):
        machine.reject(404)
    pair.pump()
    assert machine.latency == 0.0
    assert names(pair)[-1] == "TurnComplete"


def test_a_refused_upgrade_passes() -> None:
    for split in (None, 5):
        machine = FaultyConnection(Playbook().reject(404, body="x" * 50).connection(), Faults(split=split))
        pair = Pair(client(), machine)
        pair.pump()
        rejected: Any = pair.client_events[0]
        assert (rejected.status, rejected.body) == (404, b"x" * 50)


def test_nested_faults() -> None:
    """Frames are found in pieces of any size."""
    for split in (1, 3, 1000):
        inner = FaultyConnection(READY.send_text("x" * 70_000).send_text("y" * 200).connection(), Faults(split=split))
        pair = Pair(client(), FaultyConnection(inner, Faults(unknown=True)))
        pair.pump()
        assert [name for name in names(pair) if name != "TurnStarted"] == [
            "Connected", "SetupComplete", "UnknownMessage", "TextChunk", "TextChunk"
        ]  # fmt: skip


# --- in one line ------------------------------------------------------------------------------------------------


def test_from_string() -> None:
    everything = (
        "cut=120, mute=130,corrupt=3000 ,split=1,delay=0.5,drop=7,seed=-4,truncate=3,oversize=2000000,duplicate,"
        "unknown,no-upgrade,no_setup_complete,No-Pong,no-close,deaf,"
    )
    assert Faults.from_string(everything) == Faults(
        cut=120,
        mute=130,
        corrupt=3000,
        split=1,
        delay=0.5,
        drop=7.0,
        seed=-4,
        truncate=3,
        oversize=2_000_000,
        duplicate=True,
        unknown=True,
        no_upgrade=True,
        no_setup_complete=True,
        no_pong=True,
        no_close=True,
        deaf=True,
    )
    assert Faults.from_string("") == Faults.from_string(" , ") == Faults()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no-pnog", "faults: unknown fault 'no-pnog'; did you mean 'no_pong'"),
        ("xyzzy=3", "faults: unknown fault 'xyzzy'; there are cut, mute"),
        ("cut=1,cut=2", "faults.cut: is given twice"),
        ("no-pong=1", "faults.no_pong: takes no value"),
        ("cut", "faults.cut: needs a number, got ''"),
        ("cut=x", "faults.cut: needs a number, got 'x'"),
        ("cut=1.5", "faults.cut: needs a number, got '1.5'"),
        ("cut=0", "faults.cut: must be a whole number from 1, not 0"),
        ("delay=-1", "faults.delay: must be a number of seconds, not -1.0"),
        ("drop=inf", "faults.drop: must be a number of seconds, not inf"),
    ],
)
def test_invalid_faults(text: str, why: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        Faults.from_string(text)
    assert str(caught.value).startswith(why)


def test_events_pass() -> None:
    machine = FaultyConnection(READY.connection(), Faults())
    machine.receive_data(client().data_to_send())
    events: list[Event] = list(machine.events())
    assert [type(event).__name__ for event in events] == ["UpgradeRequested", "Connected"]
