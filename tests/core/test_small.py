"""The small parts: deadlines, bounds, audio formats, close reports, and the tools for tests."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core import dial, open_pair

from live_protocol import (
    AlreadyClosed,
    AudioFormat,
    CloseInfo,
    ConnectionClosing,
    Deadline,
    DeadlineExpired,
    IllegalInState,
    Initiator,
    InvalidJson,
    InvalidMessage,
    LimitExceeded,
    Limits,
    LiveConnection,
    LiveServerMessage,
    MessageTooLarge,
    OutOfOrder,
    RemoteProtocolError,
    SchemaMismatch,
    ServerClosed,
    Timeouts,
    ToolCallWasCancelled,
    TransportFailed,
    events,
)
from live_protocol.close_info import CLEAN_CODES, diagnose
from live_protocol.messages.audio_format import INPUT_RATE, OUTPUT_RATE
from live_protocol.testing import FakeClock, Pair, chunks
from live_protocol.timing import Deadlines

# --- time -------------------------------------------------------------------------------------------------------


def due(deadlines: Deadlines, now: float, *, session: bool = False) -> list[Deadline]:
    deadlines.tick(now)
    return list(deadlines.expired(session=session))


def test_deadlines() -> None:
    deadlines = Deadlines()
    deadlines.arm(Deadline.OPEN, 10.0)
    assert deadlines.next() is None  # there is no clock yet
    assert not deadlines.expired(session=False)
    assert deadlines.is_armed(Deadline.OPEN)
    assert not due(deadlines, 100.0)
    assert deadlines.next() == 110.0
    deadlines.arm(Deadline.CLOSE, 5.0)
    deadlines.arm(Deadline.PING, 5.0)
    deadlines.arm(Deadline.PONG, None)
    assert not deadlines.is_armed(Deadline.PONG)
    assert deadlines.next() == 105.0
    assert not due(deadlines, 104.999)
    assert due(deadlines, 110.0) == [Deadline.CLOSE, Deadline.PING, Deadline.OPEN]
    assert not due(deadlines, 1000.0)
    assert deadlines.next() is None


def test_link_and_session_fire_only_their_own() -> None:
    deadlines = Deadlines()
    deadlines.tick(0.0)
    deadlines.arm(Deadline.STALL, 1.0)
    deadlines.arm(Deadline.SILENT_LINK, 2.0)
    deadlines.arm(Deadline.SETUP, 3.0)
    assert due(deadlines, 10.0) == [Deadline.SILENT_LINK]
    assert deadlines.next() == 1.0
    assert due(deadlines, 10.0, session=True) == [Deadline.STALL, Deadline.SETUP]


def test_the_session_is_on_hold_while_messages_wait() -> None:
    messages = ["one"]
    deadlines = Deadlines(messages)
    deadlines.tick(0.0)
    deadlines.arm(Deadline.SETUP, 1.0)
    assert deadlines.next() is None
    deadlines.arm(Deadline.PING, 5.0)
    assert deadlines.next() == 5.0
    assert not due(deadlines, 2.0, session=True)
    messages.clear()
    assert deadlines.next() == 1.0
    assert due(deadlines, 2.0, session=True) == [Deadline.SETUP]


@pytest.mark.parametrize("end", [Deadlines.clear, Deadlines.end_session])
def test_a_session_that_has_ended_waits_for_nothing(end: Callable[[Deadlines], None]) -> None:
    deadlines = Deadlines()
    deadlines.arm(Deadline.SETUP, 1.0)
    deadlines.arm(Deadline.OPEN, 1.0)
    end(deadlines)
    assert deadlines.is_armed(Deadline.OPEN) is (end is Deadlines.end_session)
    deadlines.tick(0.0)
    for which in Deadline:
        deadlines.arm(which, 1.0)
    assert not due(deadlines, 2.0, session=True)
    assert Deadline.CLOSE in due(deadlines, 2.0)


def test_deadlines_are_moved_and_dropped() -> None:
    deadlines = Deadlines()
    deadlines.arm(Deadline.OPEN, 1.0)
    deadlines.arm(Deadline.CLOSE, 1.0)
    deadlines.disarm(Deadline.OPEN)
    deadlines.tick(0.0)
    deadlines.arm(Deadline.CLOSE, 7.0)
    assert deadlines.next() == 7.0
    deadlines.arm(Deadline.CLOSE, None)
    assert deadlines.next() is None
    deadlines.disarm(Deadline.CLOSE)
    deadlines.arm(Deadline.PING, 1.0)
    deadlines.clear()
    assert not deadlines.is_armed(Deadline.PING)
    assert not due(deadlines, 100.0)


def test_a_clock_never_runs_backwards() -> None:
    deadlines = Deadlines()
    deadlines.tick(100.0)
    deadlines.tick(50.0)
    assert (deadlines.started, deadlines.now) == (100.0, 100.0)
    deadlines.arm(Deadline.OPEN, 1.0)
    assert not due(deadlines, -1.0)
    assert deadlines.next() == 101.0
    deadlines.tick(101.0)
    assert due(deadlines, 0.0) == [Deadline.OPEN]


@pytest.mark.parametrize("field", attrs.fields(Timeouts), ids=lambda field: field.name)
def test_timeouts(field: Any) -> None:
    for good in (None, 0.001, 5, 1e9):
        assert getattr(Timeouts(**{field.name: good}), field.name) == good
    for bad in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"Timeouts.{field.name} must be a positive number"):
            Timeouts(**{field.name: bad})


@pytest.mark.parametrize("field", attrs.fields(Limits), ids=lambda field: field.name)
def test_limits(field: Any) -> None:
    assert getattr(Limits(**{field.name: 1}), field.name) == 1
    for bad in (0, -1, 1.0, True, None, "1"):
        with pytest.raises(ValueError, match=f"Limits.{field.name} must be a positive integer"):
            Limits(**{field.name: bad})


# --- audio ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mime", "rate", "channels"),
    [
        ("audio/pcm;rate=16000", 16000, 1),
        (" Audio/PCM ; RATE = 16000 ", 16000, 1),
        ('audio/pcm;rate="8000"', 8000, 1),
        ("audio/pcm;rate=48000;channels=2", 48000, 2),
        ("audio/pcm;codec=x;rate=4000;y", 4000, 1),
        ("audio/pcm;rate=192000", 192000, 1),
        ("audio/pcm;rate=8000;rate=16000", 16000, 1),
    ],
)
def test_audio_formats(mime: str, rate: int, channels: int) -> None:
    audio = AudioFormat.parse(mime)
    assert audio == AudioFormat(rate, channels)
    assert AudioFormat.parse(audio.mime_type) == audio
    assert audio.frame_size == 2 * channels


@pytest.mark.parametrize(
    "mime",
    ["", "audio/pcm", "audio/pcm;", "audio/pcmu;rate=8000", "audio/wav;rate=8000", "audio/pcm;rate=3999",
     "audio/pcm;rate=-1",
     "audio/pcm;rate=192001", "audio/pcm;rate=1", "audio/pcm;rate=9999999999", "audio/pcm;rate=8000;channels=3",
     "audio/pcm;rate=8000;channels=0", "audio/pcm;rate=8e3", "xaudio/pcm;rate=8000", "audio/pcm rate=8000"],
)  # fmt: skip
def test_no_audio_formats(mime: str) -> None:
    assert AudioFormat.parse(mime) is None


def test_bare_pcm() -> None:
    assert AudioFormat.parse("audio/pcm", default_rate=INPUT_RATE) == AudioFormat(16000)
    assert AudioFormat.parse("audio/pcm;x=y", default_rate=OUTPUT_RATE) == AudioFormat(24000)
    assert AudioFormat.parse("audio/pcm;rate=8000", default_rate=OUTPUT_RATE) == AudioFormat(8000)


@given(st.integers(4000, 192_000), st.sampled_from([1, 2]), st.floats(0, 1000))
def test_audio_arithmetic(rate: int, channels: int, seconds: float) -> None:
    audio = AudioFormat(rate, channels)
    size = audio.size(seconds)
    assert size % audio.frame_size == 0
    assert -1e-5 / rate <= seconds - audio.seconds(size) < 1.00001 / rate
    assert audio.size(audio.seconds(size)) == size


def test_audio_bounds() -> None:
    assert AudioFormat(16000).size(0.1) == 3200
    assert AudioFormat(24000).seconds(9600) == 0.2
    for rate in (3999, 192_001, 0, True, 16000.0, "16000", None):
        with pytest.raises(ValueError, match="an audio rate is 4000 to 192000 Hz"):
            AudioFormat(rate)  # type: ignore[arg-type]
    for channels in (0, 3, "1", None):
        with pytest.raises(ValueError, match="1 or 2 channels"):
            AudioFormat(16000, channels)  # type: ignore[arg-type]


# --- closing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(CLEAN_CODES - {1001}))
def test_nothing_to_say_about_a_clean_end(code: int) -> None:
    assert diagnose(code, "") == (False, "")


def test_reasons_are_read_in_any_case_and_cut_short() -> None:
    assert diagnose(1007, "API KEY NOT VALID") == diagnose(1007, "xx api key not valid")
    assert diagnose(1011, "internal error") != diagnose(1008, "internal error")
    assert diagnose(1006, "")[0]
    assert not diagnose(1011, "You exceeded your current quota, pl")[0]


def test_close_info_defaults() -> None:
    info = CloseInfo(code=1000, clean=True, initiator=Initiator.LOCAL)
    assert (info.reason, info.hint, info.last_frames, info.pending_tool_calls, info.age) == ("", "", (), (), None)


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (IllegalInState("ping", "CLOSED", "dial"), "ping is not possible while CLOSED: dial"),
        (InvalidMessage("a.b", "why"), "a.b: why"),
        (InvalidMessage("", "why"), "why"),
        (MessageTooLarge(5, 4), "the message is 5 bytes, Limits.max_send allows 4; send it in smaller pieces"),
        (ConnectionClosing("ping"), "ping came after the connection began to close; nothing was sent"),
        (AlreadyClosed("ping"), "ping came after the connection had ended; nothing was sent"),
        (ToolCallWasCancelled("x"), "tool call 'x' was cancelled by the server; its response was not sent"),
        (InvalidJson("why"), "invalid JSON: why"),
        (InvalidJson("why", 0), "invalid JSON at character 0: why"),
        (SchemaMismatch("", "why"), "why"),
        (SchemaMismatch("a", "why"), "a: why"),
        (LimitExceeded("max_message", 5), "the peer exceeded Limits.max_message = 5"),
        (DeadlineExpired(Deadline.OPEN, 10.0, "why"), "the open deadline expired after 10 s: why"),
        (TransportFailed("why"), "why"),
        (ServerClosed(1011, "r", "h"), "closed by the peer with 1011 'r': h"),
        (ServerClosed(1011, ""), "closed by the peer with 1011"),
    ],
)
def test_errors_speak(error: Exception, text: str) -> None:
    assert str(error) == text


def test_close_codes_of_errors() -> None:
    assert (RemoteProtocolError("x").close_code, RemoteProtocolError("x").close_reason) == (1002, "x")
    assert (OutOfOrder("x", close_code=1007).close_code, OutOfOrder("x", close_reason="").close_reason) == (1007, "")
    assert LimitExceeded("a", 1).close_code == 1009
    assert SchemaMismatch("a", "b", close_reason="c").close_reason == "c"
    assert SchemaMismatch("a", "b").close_reason == "Request contains an invalid argument."


# --- events -----------------------------------------------------------------------------------------------------


def test_events_without_a_message() -> None:
    event = events.GoAway(time_left=5.0)
    assert event.message == LiveServerMessage()
    assert event == events.GoAway(time_left=5.0)
    assert events.UnknownMessage(fields={}).message == LiveServerMessage()
    assert events.SetupReceived(setup=None).message.setup is None  # type: ignore[arg-type]
    assert copy.copy(event) == event
    assert pickle.loads(pickle.dumps(LiveServerMessage())) == LiveServerMessage()


def test_payloads_stay_out_of_repr() -> None:
    audio = events.AudioChunk(data=b"x" * 1000, format=AudioFormat(16000))
    assert "<1000 bytes>" in repr(audio)
    assert len(repr(audio)) < 200
    assert "<3>" in repr(events.Undecodable(error=InvalidJson("x"), data="abc"))
    request = events.UpgradeRequested(target="/p?key=secret", headers=(("x-goog-api-key", "secret"),))
    assert "secret" not in repr(request)
    assert "'/p'" in repr(request)


# --- tools for tests --------------------------------------------------------------------------------------------


def test_fake_clock() -> None:
    clock = FakeClock()
    assert (clock(), clock.now) == (1000.0, 1000.0)
    assert clock.advance(0.5) == clock() == 1000.5
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


@given(st.binary(max_size=50), st.lists(st.integers(-2, 9), max_size=4))
def test_chunks(data: bytes, sizes: list[int]) -> None:
    pieces = list(chunks(data, sizes))
    assert b"".join(pieces) == data
    assert all(pieces)
    if not sizes:
        assert len(pieces) == bool(data)
    for piece, size in zip(pieces[:-1], sizes, strict=False):
        assert len(piece) == max(1, size)


def test_pair_by_default() -> None:
    pair = Pair(clock=FakeClock(5.0))
    pair.wait(1.0)
    assert pair.clock.now == 6.0
    assert [type(event).__name__ for event in pair.client_events] == ["Connected"]


def quiet(seconds: float | None) -> Pair:
    """A pair of which only the client sends pings."""
    server = LiveConnection.server(timeouts=Timeouts(ping_interval=None))
    return open_pair(dial(timeouts=Timeouts(ping_interval=seconds)), server)


def test_pair_waits_deadline_by_deadline() -> None:
    pair = quiet(1.0)
    pair.wait(3.5)
    assert [type(event).__name__ for event in pair.server_events] == ["PingReceived"] * 3
    assert [type(event).__name__ for event in pair.client_events] == ["PongReceived"] * 3
    pair = quiet(None)
    pair.wait(1e6)
    assert pair.client_events == []
    pair = quiet(2.0)
    pair.wait(2.0)
    assert len(pair.server_events) == 1
