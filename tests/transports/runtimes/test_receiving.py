"""Receiving: the stream, its end, cancellation, and a program that does not keep up."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support import tls
from support.patience import PATIENCE
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import BINARY, CLOSE, PING, PONG, Conn, Gone, Peer, make_frame

from live_protocol import (
    DeadlineExpired,
    FrameViolation,
    IllegalInState,
    InvalidJson,
    LimitExceeded,
    Limits,
    LiveProtocolError,
    SchemaMismatch,
    ServerClosed,
    StaleOperation,
    Timeouts,
    TransportFailed,
)
from live_protocol.events import ConnectionClosed, ConnectionFailed, TextChunk, Undecodable, UnknownMessage
from live_protocol.timing import Deadline


def text(value: str) -> dict[str, Any]:
    return {"serverContent": {"modelTurn": {"parts": [{"text": value}]}}}


# --- waiting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["receive", "__anext__"])
def test_cancelling_a_wait_loses_nothing(cancelling: Kit, verb: str) -> None:
    kit = cancelling
    step = threading.Semaphore(0)

    def script(conn: Conn) -> None:
        conn.open()
        for index in range(100):
            step.acquire()
            conn.say(text(str(index)), chop=20)
        conn.farewell()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                got: list[str] = []
                rounds = cut = 0
                while len(got) < 100:
                    rounds += 1
                    if rounds % 3 == 0:
                        step.release()
                    try:
                        async with kit.timeout(0.0003 * (cut % 5)):
                            found = await getattr(session, verb)()
                    except TimeoutError:
                        cut += 1
                        continue
                    if verb == "receive":
                        got.append(found.server_content.model_turn.parts[0].text)
                    elif type(found) is TextChunk:
                        got.append(found.text)
                assert got == [str(index) for index in range(100)]
                assert cut > 10
            await kit.join(peer)

    kit.run(scenario)


def test_one_receiver_at_a_time(kit: Kit) -> None:
    go = threading.Event()

    def script(conn: Conn) -> None:
        conn.open()
        go.wait()
        conn.say(text("for the first"))
        conn.farewell()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session, kit.jobs() as jobs:
                while (await anext(session)).__class__.__name__ != "SetupComplete":
                    pass
                first = jobs.start(session.receive)
                await kit.pass_on()
                with pytest.raises(IllegalInState, match="another t"):
                    await session.receive()
                with pytest.raises(IllegalInState, match="another t"):
                    await anext(session)
                go.set()
                await first.wait()
                assert first.value.server_content is not None
            await kit.join(peer)

    kit.run(scenario)


# --- messages that are none -------------------------------------------------------------------------------------


def test_undecodable_and_unknown_messages(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        for _ in range(2):
            conn.frame(BINARY, b"{no json")
            conn.say({"serverContent": 7})
            conn.say({"newServerThing": {}})
            conn.say(text("still here"))
        conn.farewell()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                with pytest.raises(InvalidJson):
                    await session.receive()
                with pytest.raises(SchemaMismatch):
                    await session.receive()
                assert "newServerThing" in (await session.receive()).extra
                assert (await session.receive()).server_content is not None
                kinds = []
                async for event in session:
                    kinds.append(type(event))
                    if type(event) is TextChunk:
                        break
                assert kinds[:3] == [Undecodable, Undecodable, UnknownMessage]
            peer.join()

    kit.run(scenario)


# --- the end ----------------------------------------------------------------------------------------------------


def _reset(conn: Conn) -> None:
    conn.reset()


def _eof(conn: Conn) -> None:
    conn.eof()
    conn.until_gone()


def _torn(conn: Conn) -> None:
    conn.send(make_frame(BINARY, b"x" * 100)[:50])
    conn.eof()
    conn.until_gone()


def _refusal(conn: Conn) -> None:
    conn.close(1008, "Requested entity was not found.")
    assert conn.read_close() == (1008, "Requested entity was not found.")


def _violation(conn: Conn) -> None:
    conn.send(b"\xff\x00")
    assert conn.read_close()[0] == 1002


def _too_big(conn: Conn) -> None:
    conn.frame(BINARY, b" " * 100_000)
    assert conn.read_close()[0] == 1009


ENDS: dict[str, tuple[Callable[[Conn], None], type[LiveProtocolError]]] = {
    "reset": (_reset, TransportFailed),
    "eof": (_eof, TransportFailed),
    "torn": (_torn, TransportFailed),
    "refusal": (_refusal, ServerClosed),
    "violation": (_violation, FrameViolation),
    "too-big": (_too_big, LimitExceeded),
}


@pytest.mark.parametrize("verb", ["receive", "iteration"])
@pytest.mark.parametrize("end", ENDS)
def test_unclean_ends_cannot_be_missed(kit: Kit, end: str, verb: str) -> None:
    leave, kind = ENDS[end]

    def script(conn: Conn) -> None:
        conn.open()
        conn.say(text("good"))
        conn.read_message()
        leave(conn)

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint(), limits=Limits(max_message=65536)) as session:
                assert (await session.receive()).server_content is not None
                await session.send_realtime_input(text="go")
                if verb == "iteration":
                    assert [type(await anext(session)) for _ in range(2)] == [ConnectionFailed, ConnectionClosed]
                for _ in range(3):
                    with pytest.raises(kind) as caught:
                        await (session.receive() if verb == "receive" else anext(session))
                    if end == "reset":
                        assert isinstance(caught.value.__cause__, ConnectionResetError)
                assert session.close_info.error is caught.value
                assert not session.close_info.clean
            await kit.join(peer)

    kit.run(scenario)


def test_a_clean_end_ends_the_loop(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.say(text("last words"))
        conn.close(1000, "done")
        conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                events = [event async for event in session]
                assert type(events[-1]) is ConnectionClosed
                assert events[-1].info.reason == "done"
                assert [event async for event in session] == []
                assert await session.receive() is None
            peer.join()

    kit.run(scenario)


# --- a program that is slow -------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_a_slow_consumer_costs_no_memory(kit: Kit, secure: bool) -> None:
    limit = 256 * 1024
    message = make_frame(BINARY, json.dumps(text("x" * 20_000)).encode())
    asked, drained = threading.Event(), threading.Event()

    def script(conn: Conn) -> int:
        conn.open()
        # Within the budget pings are answered although nobody receives.
        for _ in range(3):
            conn.say(text("y" * 1000))
            conn.frame(PING, b"still there?")
            assert conn.read_frame() == (PONG, b"still there?")
        asked.set()
        conn.sock.settimeout(0.25)
        sent = 0
        try:
            while sent < 2000:
                conn.send(message)
                sent += 1
        except TimeoutError:
            stuck.append(sent)
        signal.set()
        conn.sock.settimeout(PATIENCE)
        drained.wait(PATIENCE)
        conn.until_gone()
        return sent

    stuck: list[int] = []

    async def scenario() -> None:
        nonlocal signal
        signal = kit.signal()
        client_tls = tls.client_context() if secure else None
        with Peer(script, tls=tls.server_context() if secure else None) as peer:
            async with kit.connect(peer.endpoint(), ssl=client_tls, limits=Limits(max_buffered_in=limit)) as session:
                await signal.wait()
                assert stuck, "the peer was never held back"
                assert limit < session.connection.buffered_in < limit + 512 * 1024
                seen = 0
                async with kit.jobs() as jobs:
                    while seen < stuck[0]:
                        seen += type(await anext(session)) is TextChunk
                    del jobs
                drained.set()
                session.abort()
            await kit.join(peer)

    signal: Any = None
    kit.run(scenario)


@pytest.mark.parametrize("then", ["send", "receive", "wait"])
def test_a_program_that_was_held_up_reads_before_it_gives_up(kit: Kit, then: str) -> None:
    """The pong came in time, but nobody looked until its deadline had passed."""

    def script(conn: Conn) -> None:
        conn.open()
        while True:
            opcode, payload = conn.read_frame()
            if opcode == PING:
                pinged.set()
                time.sleep(0.03)
                conn.frame(PONG, payload)
                conn.say(text("here I am"))
            elif opcode == CLOSE:
                conn.frame(CLOSE, payload)
                return

    async def scenario() -> None:
        nonlocal pinged
        pinged = kit.signal()
        timeouts = Timeouts(ping_interval=0.1, ping_timeout=0.4)
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint(), timeouts=timeouts) as session:
                for _ in range(2):
                    await pinged.wait()
                    pinged = kit.signal()
                    kit.hold_up(0.5)
                    if then == "send":
                        await session.send_realtime_input(text="alive?")
                    elif then == "wait":
                        await kit.sleep(0.01)
                    assert (await session.receive()).server_content is not None
            assert session.close_info.clean
            peer.join()

    pinged: Any = None
    kit.run(scenario)


def test_a_peer_that_answers_no_pings(kit: Kit) -> None:
    def script(conn: Conn) -> tuple[int, str]:
        conn.open()
        return conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            timeouts = Timeouts(ping_interval=0.05, ping_timeout=0.1)
            async with kit.connect(peer.endpoint(), timeouts=timeouts) as session:
                with pytest.raises(DeadlineExpired) as caught:
                    await session.receive()
                assert caught.value.which is Deadline.PONG
                assert session.close_info.initiator == "local"
            assert (await kit.join(peer)) == [(1011, "keepalive ping timeout")]

    kit.run(scenario)


def test_a_peer_that_reads_nothing_and_answers_no_pings(kit: Kit) -> None:
    release = threading.Event()

    def script(conn: Conn) -> None:
        conn.open()
        release.wait(PATIENCE)

    async def scenario() -> None:
        timeouts = Timeouts(ping_interval=0.1, ping_timeout=0.1, close=0.2)
        with Peer(script, rcvbuf=4096) as peer:
            async with kit.connect(peer.endpoint(), timeouts=timeouts) as session:
                # The sender finds out too, and by the same error, although its bytes are stuck in front of the ping.
                with pytest.raises(DeadlineExpired) as caught:  # noqa: PT012
                    while True:
                        await session.send_realtime_input(text="x" * 100_000)
                with pytest.raises(DeadlineExpired):
                    await session.receive()
                assert caught.value.which is Deadline.PONG
            release.set()
            await kit.join(peer)

    kit.run(scenario)


def test_idle_sockets_are_not_small_talk(kit: Kit) -> None:
    """Any byte counts as life: no ping is sent to a peer that talks."""

    def script(conn: Conn) -> list[int]:
        conn.open()
        for _ in range(8):
            conn.sock.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                conn.read_frame()
            conn.say(text("talk"))
        conn.sock.settimeout(PATIENCE)
        with contextlib.suppress(Gone):
            conn.farewell()
        return [opcode for opcode, _ in conn.seen]

    async def scenario() -> None:
        for _ in range(5):  # a busy machine may make a silence of one of them
            with Peer(script) as peer:
                async with kit.connect(peer.endpoint(), timeouts=Timeouts(ping_interval=0.2)) as session:
                    for _ in range(8):
                        await session.receive()
                if PING not in (await kit.join(peer))[0]:
                    break
        else:
            raise AssertionError("a peer that talks was pinged, five times out of five")

    kit.run(scenario)


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("how", ["reset", "fin"])
def test_the_reason_survives_a_write_that_would_fail(kit: Kit, how: str, secure: bool) -> None:
    """A server that refuses and hangs up with our input unread resets the connection; its reason lies unread here."""

    def script(conn: Conn) -> None:
        conn.open()
        conn.read_message()
        conn.close(1008, "Requested entity was not found.")
        if how == "reset":
            conn.reset()
        else:
            conn.sock.shutdown(socket.SHUT_RDWR)
        left.set()

    async def scenario() -> None:
        with Peer(script, tls=tls.server_context() if secure else None) as peer:
            async with kit.connect(peer.endpoint(), ssl=tls.client_context() if secure else None) as session:
                await session.send_realtime_input(text="go")
                left.wait(PATIENCE)  # blocks the program, which therefore reads nothing
                with contextlib.suppress(StaleOperation):
                    for _ in range(5):
                        await session.send_realtime_input(text="more")
                with pytest.raises(ServerClosed) as caught:
                    await session.receive()
                assert caught.value.code == 1008
            await kit.join(peer)

    left = threading.Event()
    kit.run(scenario)
