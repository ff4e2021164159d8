"""The commands of the echo model."""

from __future__ import annotations

import struct
import zlib

import pytest

from core.emulator.pair import AUDIO, TEXT, VERTEX, closed, connected, emulator, names, of, said, transcript
from live_protocol import events as ev
from live_protocol.close_info import Initiator
from live_protocol.messages import Outcome
from live_protocol.states import ConnectionState, Phase, TurnState


def test_slow() -> None:
    with connected() as pair:
        assert pair.text("/slow 4 one two three four") == []
        assert said(pair.wait(0.99)) == ""
        assert said(pair.wait(0.02)) == "one "
        assert said(pair.wait(2)) == "two three "
        assert names(pair.wait(1)) == [
            "TextChunk",
            "TextChunk",
            "GenerationComplete",
            "TurnComplete",
            "UsageUpdated",
        ]
        assert said(pair.text("/slow 2") + pair.wait(2)) == "I am taking my time."


def test_slow_does_not_depend_on_clock_steps() -> None:
    with connected() as pair:
        pair.text("/slow 4 one two three four")
        pair.now = (pair.now or 0) + 100
        pair.server.advance(pair.now)
        assert said(pair.run()) == "one two three four"


@pytest.mark.parametrize("number", ["", "x", "-1", "nan", "inf", "1e99"])
def test_a_wrong_number_of_seconds(number: str) -> None:
    with connected() as pair:
        assert said(pair.text(f"/wait {number}")) == f"{number!r} is not a number of seconds."


def test_several_commands() -> None:
    with connected() as pair:
        assert (
            said(pair.text("/wait 1\nhello\n/wait 1\n/system") + pair.wait(3)) == "helloThere is no system instruction."
        )


def test_unknown_commands_are_said() -> None:
    with connected() as pair:
        assert said(pair.text("/nonsense\n/drop")) == "/nonsense\n/drop"


def test_go_away() -> None:
    with connected() as pair:
        new = pair.text("/goaway 7")
        (away,) = of(new, ev.GoAway)
        assert away.time_left == 7.0
        assert pair.client.phase is Phase.DRAINING
        assert said(pair.text("still here")) == "still here"
        assert pair.wait(6.9) == []
        pair.wait(0.2)
        assert closed(pair) == (1011, "Deadline expired before operation could complete.")
        assert pair.server.next_deadline() is None


def test_lifetime() -> None:
    with connected(emulator(lifetime=600.0)) as pair:
        assert pair.wait(539) == []
        (away,) = of(pair.wait(2), ev.GoAway)
        assert away.time_left == pytest.approx(60.0)
        pair.wait(60)
        assert closed(pair)[0] == 1011


def test_a_notice_of_the_whole_lifetime_or_none() -> None:
    with connected(emulator(lifetime=10.0)) as pair:
        (away,) = of(pair.wait(0), ev.GoAway)
        assert away.time_left == 10.0
    with connected(emulator(lifetime=10.0, go_away_notice=None)) as pair:
        pair.wait(20)
        assert not of(pair.events, ev.GoAway)
        assert closed(pair)[0] == 1011


def test_drop() -> None:
    with connected() as pair:
        new = pair.text("/wait 0\nlast words\n/drop\nnever said")
        assert said(new) == "last words"
        assert closed(pair)[0] == 1006
        assert pair.client.close_info is not None
        assert pair.client.close_info.initiator is Initiator.TRANSPORT
        assert pair.server.state is ConnectionState.CLOSED
        assert pair.server.wants.close
        assert not pair.server.wants.half_close
        assert "ConnectionClosed" in names(pair.seen)
        pair.wait(5)


def test_a_drop_sends_earlier_messages_first() -> None:
    with connected() as pair:
        pair.client.send_realtime_input(text="/wait 0\nlast words\n/drop")
        pair.server.receive_data(pair.client.data_to_send())
        assert "RealtimeInputReceived" in names(list(pair.server.events()))
        wants = pair.server.wants
        assert (wants.read, wants.write, wants.half_close, wants.close) == (False, True, False, False)
        assert pair.server.buffered_out == len(pair.server.data_to_send()) > 0
        assert pair.server.wants.close
        assert pair.server.data_to_send() == b""


def test_a_transport_that_fails_writes_nothing() -> None:
    with connected() as pair:
        pair.client.send_realtime_input(text="/wait 0\nlast words\n/drop")
        pair.server.receive_data(pair.client.data_to_send())
        list(pair.server.events())
        pair.server.transport_failed("reset")
        assert pair.server.data_to_send() == b""


def test_close() -> None:
    with connected() as pair:
        pair.text("/close 4321 " + "because " * 20)
        code, reason = closed(pair)
        assert code == 4321
        assert reason == ("because " * 20)[:123]
    with connected() as pair:
        pair.text("/close 1000")
        assert closed(pair) == (1000, "")


@pytest.mark.parametrize("code", ["x", "999", "1005", "1006", "1015", "5000", "\u0661\u0660\u0660\u0660"])
def test_codes_that_may_not_be_sent(code: str) -> None:
    with connected() as pair:
        assert said(pair.text(f"/close {code} no")) == f"{code!r} is not a close code that may be sent."


def test_unknown() -> None:
    with connected(strict=False) as pair:
        new = pair.text("/unknown")
        top, nested = of(new, ev.UnknownMessage)
        assert top.fields == {"brandNewMember": {"answer": 42}}
        assert list(nested.fields) == ["serverContent"]
        contents = [event.message.server_content for event in of(new, ev.GenerationComplete)]
        assert contents
        assert said(pair.text("fine")) == "fine"
        assert "ConnectionClosed" not in names(pair.events)


def test_error() -> None:
    with connected(strict=False) as pair:
        (error,) = of(pair.text("/error"), ev.ServerError)
        assert (error.code, error.status) == (500, "INTERNAL")


def test_stall() -> None:
    with connected() as pair:
        assert pair.text("/stall") == []
        assert pair.wait(3600) == []
        assert names(pair.text("again"))[:3] == ["Interrupted", "TurnComplete", "UsageUpdated"]


@pytest.mark.parametrize("config", [TEXT, AUDIO])
def test_image(config: object) -> None:
    with connected(config=config) as pair:
        (image,) = of(pair.text("/image"), ev.InlineDataChunk)
        assert image.blob.mime_type == "image/png"
        data = image.blob.data or b""
        assert data.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
        assert struct.unpack(">II", data[16:24]) == (1, 1)
        size = struct.unpack(">I", data[33:37])[0]
        assert len(zlib.decompress(data[41 : 41 + size])) == 4
        assert zlib.crc32(data[37 : 41 + size]) == struct.unpack(">I", data[41 + size : 45 + size])[0]


def test_code_and_grounding() -> None:
    with connected(endpoint=VERTEX) as pair:
        new = pair.text("/code\n/ground")
        (code,) = of(new, ev.ExecutableCodeReceived)
        (result,) = of(new, ev.CodeExecutionResultReceived)
        (grounding,) = of(new, ev.Grounding)
        assert code.code.code == "print(6 * 7)"
        assert (result.result.outcome, result.result.output) == (Outcome.OUTCOME_OK, "42\n")
        assert grounding.metadata.grounding_chunks
        assert said(new) == "Parrots repeat what they hear."


def test_commands_in_an_audio_session() -> None:
    with connected(config=AUDIO) as pair:
        assert transcript(pair.text("/system")) == "There is no system instruction."
        assert pair.client.turn is TurnState.GENERATED


def test_an_earlier_end_stays() -> None:
    with connected(emulator(lifetime=5.0, go_away_notice=1.0)) as pair:
        pair.text("/goaway 60")
        pair.wait(6)
        assert closed(pair)[0] == 1011
        assert len(of(pair.events, ev.GoAway)) == 1
