"""What is special about each library: how it is dialed, what it says of the end, and what it must not hide."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import struct
import subprocess
import sys
import traceback
from typing import Any

import pytest
from support.patience import at_once
from transports.bridges.kits import KITS
from transports.runtimes.kit.kit import AsyncioKit, Kit
from transports.runtimes.kit.peer import BINARY, CLOSE, PING, Conn, Gone, Peer, make_frame

from live_protocol import (
    Connected,
    DeadlineExpired,
    Endpoint,
    FrameViolation,
    HandshakeFailed,
    IllegalInState,
    InvalidMessage,
    LimitExceeded,
    Limits,
    LiveProtocolError,
    ServerClosed,
    TextChunk,
    Timeouts,
    TransportFailed,
    TurnComplete,
)
from live_protocol.emulator import Emulator
from live_protocol.timing import Deadline
from live_transports import asyncio as live_asyncio
from live_transports import bridges

SECRET = "AIzaCANARY-0123456789-secret"
TEXT = {"response_modalities": ["TEXT"]}
CONTINUATION = 0


def say(text: str) -> bytes:
    return b'{"serverContent":{"modelTurn":{"parts":[{"text":"%s"}]}}}' % text.encode()


# --- with the emulator at the other end ---------------------------------------------------------------------------


@pytest.mark.parametrize("in_query", [False, True], ids=["header", "query"])
def test_a_turn(kit: Kit, in_query: bool) -> None:
    async def scenario() -> None:
        async with live_asyncio.serve(None, connection_factory=Emulator().connection) as server:
            endpoint = Endpoint.gemini(api_key=SECRET, base_url=server.url(path=""), key_in_query=in_query)
            async with kit.connect(endpoint, TEXT, model="m") as session:
                await session.send_realtime_input(text="hello")
                texts = []
                async for event in session:
                    if isinstance(event, TextChunk):
                        texts.append(event.text)
                    if isinstance(event, TurnComplete):
                        break
                assert "hello" in "".join(texts)
                with pytest.raises(IllegalInState, match="library"):
                    await session.ping()
                assert session.latency is None
            assert session.close_info.clean

    kit.run(scenario)


def test_a_key_that_is_refused(kit: Kit) -> None:
    async def scenario() -> None:
        async with live_asyncio.serve(None, connection_factory=Emulator().connection) as server:
            endpoint = Endpoint.gemini(api_key="invalid", base_url=server.url(path=""))
            with pytest.raises(ServerClosed, match="API key not valid"):
                async with kit.connect(endpoint, TEXT, model="m"):
                    pass

    kit.run(scenario)


# --- dialing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", KITS)
def test_arguments(library: str) -> None:
    pytest.importorskip(library)
    make = getattr(bridges, f"{library}_arguments")
    for in_query in (False, True):
        arguments = make(Endpoint.gemini(api_key=SECRET, key_in_query=in_query))
        assert SECRET in str(dict(arguments))
        assert SECRET not in repr(arguments)
        assert SECRET not in str(arguments)
        assert SECRET not in f"{arguments}"
    vertex = make(Endpoint.vertex(access_token="t", project="p"), limits=Limits(max_message=5), timeouts=Timeouts())
    assert 5 in vertex.values()
    quiet = make(
        Endpoint.custom("ws://[::1]:8080//double/ws?x=%2F"), timeouts=Timeouts(ping_interval=None, ping_timeout=None)
    )
    assert str(quiet.get("url") or quiet.get("uri")) == "ws://[::1]:8080//double/ws?x=%2F"
    assert not any(quiet.get(name) for name in ("heartbeat", "ping_interval", "enable_auto_ping"))


def test_the_request_is_the_endpoints(kit: Kit) -> None:
    """No header of the library's own where the endpoint says something else; the target is not touched."""

    def script(conn: Conn) -> bytes:
        request = conn.upgrade()
        conn.read_message()
        conn.say({"setupComplete": {}})
        conn.farewell()
        return request

    async def scenario() -> None:
        with Peer(script) as peer:
            endpoint = peer.endpoint("//a%20b/ws?x=%2F&y", headers={"x-goog-api-key": SECRET, "user-agent": "me"})
            async with kit.connect(endpoint):
                pass
            (request,) = await kit.join(peer)
        first, *fields = request.decode().lower().split("\r\n")
        assert first == "get //a%20b/ws?x=%2f&y http/1.1"
        assert f"x-goog-api-key: {SECRET}".lower() in fields
        assert [field for field in fields if field.startswith("user-agent")] == ["user-agent: me"]

    kit.run(scenario)


def test_the_setup_is_checked_before_anything_is_done(kit: Kit) -> None:
    def script(conn: Conn) -> list[int]:
        conn.upgrade()
        with contextlib.suppress(Gone):
            conn.farewell()
        return [opcode for opcode, _ in conn.seen if opcode != CLOSE]

    async def scenario() -> None:
        with Peer(script) as peer:
            with pytest.raises(InvalidMessage):
                async with kit.connect(peer.endpoint(), {"nonsense": 1}):
                    pass
            assert (await kit.join(peer)) == [[]]

    kit.run(scenario)


REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno"


@pytest.mark.parametrize(
    "answer", [REFUSAL, b"HTTP/1.1 101 No\r\n\r\n", b"\x16\x03\x01\r\n\r\n"], ids=["429", "101", "none"]
)
def test_what_the_library_raises_shows_no_credentials(kit: Kit, answer: bytes) -> None:
    def script(conn: Conn) -> None:
        conn.read_head()
        conn.send(answer)
        conn.until_gone()

    async def scenario() -> None:
        with Peer(script) as peer:
            endpoint = peer.endpoint(f"/ws?key={SECRET}", headers={"x-goog-api-key": SECRET})
            with pytest.raises(HandshakeFailed) as caught:
                async with kit.connect(endpoint):
                    raise AssertionError("connected")
            error = caught.value
            assert error.status == (429 if answer is REFUSAL else None)
            assert SECRET not in "".join(traceback.format_exception(error)) + repr(error)
            assert (error.__cause__, error.__context__) == (None, None)
            await kit.join(peer)

    kit.run(scenario)


def test_what_is_no_failure_to_connect_is_not_disguised() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        with pytest.raises(ZeroDivisionError):
            await bridges.dialing(broken(), Endpoint.custom("ws://test/"))

    AsyncioKit("asyncio").run(scenario)


def test_a_dial_has_one_bound_where_the_library_has_none() -> None:
    aiohttp = pytest.importorskip("aiohttp")

    def silent(conn: Conn) -> None:
        conn.until_gone()

    async def scenario() -> None:
        with Peer(silent) as peer:
            endpoint = peer.endpoint()
            async with aiohttp.ClientSession() as http:
                dial = http.ws_connect(**bridges.aiohttp_arguments(endpoint))
                with at_once(), pytest.raises(DeadlineExpired) as caught:
                    await bridges.dialing(dial, endpoint, timeouts=Timeouts(open=0.1))
                assert (caught.value.which, caught.value.after) == (Deadline.OPEN, 0.1)
            await kit.join(peer)

    kit = AsyncioKit("asyncio")
    kit.run(scenario)


# --- what the server said to the upgrade ----------------------------------------------------------------------------


def test_the_response_is_told_where_it_is_known(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.farewell()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                first = await anext(session)
                assert isinstance(first, Connected)
                told = dict(first.headers)
                assert told == {} if kit.name == "aiohttp" else told["upgrade"] == "websocket"
                assert not first.compression
            await kit.join(peer)

    kit.run(scenario)


# --- what came before the end, and how it ended ---------------------------------------------------------------------


@pytest.mark.parametrize("bytes_", [b"\xf2\x00", b"\x83\x00"], ids=["reserved bits", "opcode"])
def test_a_violation(kit: Kit, bytes_: bytes) -> None:
    def script(conn: Conn) -> tuple[int, str]:
        conn.open()
        conn.frame(BINARY, say("before"))
        conn.send(bytes_)
        return conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint(), timeouts=Timeouts(close=0.1)) as session:
                message = await session.receive()
                assert message.server_content.model_turn.parts[0].text == "before"
                with pytest.raises(FrameViolation):
                    await session.receive()
            assert session.close_info.code == 1002
            assert (await kit.join(peer))[0][0] == 1002

    kit.run(scenario)


def test_the_library_has_a_smaller_bound(kit: Kit) -> None:
    def script(conn: Conn) -> tuple[int, str]:
        conn.open()
        conn.frame(BINARY, say("x" * 2000))
        return conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint(), limits=Limits(max_message=1000)) as session:
                with pytest.raises(FrameViolation):
                    await session.receive()
            assert session.close_info.code == 1009
            assert (await kit.join(peer))[0][0] == 1009

    kit.run(scenario)


def test_no_pong(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.until_gone()

    async def scenario() -> None:
        with Peer(script) as peer:
            timeouts = Timeouts(ping_interval=0.1, ping_timeout=0.1, close=0.2)
            async with kit.connect(peer.endpoint(), timeouts=timeouts) as session:
                with pytest.raises(LiveProtocolError) as caught:
                    await session.receive()
            if kit.name == "aiohttp":
                assert isinstance(caught.value, TransportFailed)
                assert isinstance(caught.value.__cause__, TimeoutError)
            else:
                assert isinstance(caught.value, DeadlineExpired)
                assert (caught.value.which, caught.value.after) == (Deadline.PONG, 0.1)
            assert session.close_info.retryable
            await kit.join(peer)

    kit.run(scenario)


def test_a_close_without_a_code(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        conn.frame(CLOSE)
        conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                assert await session.receive() is None
            assert (session.close_info.code, session.close_info.clean) == (1005, True)
            await kit.join(peer)

    kit.run(scenario)


def test_fragments(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        whole = say("fragments")
        conn.send(make_frame(BINARY, whole[:5], fin=False))
        conn.frame(PING, b"between")
        for byte in whole[5:-1]:
            conn.send(make_frame(CONTINUATION, bytes([byte]), fin=False))
        conn.send(make_frame(CONTINUATION, whole[-1:]))
        conn.farewell()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                message = await session.receive()
                assert message.server_content.model_turn.parts[0].text == "fragments"
            await kit.join(peer)

    kit.run(scenario)


def test_a_late_setup_does_not_hang(kit: Kit) -> None:
    def script(conn: Conn) -> tuple[int, str]:
        conn.upgrade()
        return conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            with at_once(), pytest.raises(DeadlineExpired, match="setup"):
                async with kit.connect(peer.endpoint(), timeouts=Timeouts(setup=0.05, close=0.1)):
                    pass
            assert (await kit.join(peer))[0][0] == 1011

    kit.run(scenario)


# --- picows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "which"),
    [(Limits(max_fragments=3), "max_fragments"), (Limits(max_message=100), "max_message")],
    ids=["count", "size"],
)
def test_picows_fragments_are_bounded(limits: Limits, which: str) -> None:
    kit = KITS["picows"]()

    def script(conn: Conn) -> tuple[int, str]:
        conn.open()
        conn.send(make_frame(BINARY, b"{" + b" " * 30, fin=False))
        for _ in range(10):
            conn.send(make_frame(CONTINUATION, b" " * 30, fin=False))
        return conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint(), limits=limits, timeouts=Timeouts(close=0.1)) as session:
                with pytest.raises(LimitExceeded, match=which):
                    await session.receive()
            assert (await kit.join(peer))[0][0] == 1009

    kit.run(scenario)


@pytest.mark.parametrize("ends", ["close", "gone"])
def test_picows_keeps_what_comes_with_the_upgrade(ends: str) -> None:
    picows = pytest.importorskip("picows")
    kit = KITS["picows"]()

    def script(conn: Conn) -> None:
        farewell = make_frame(CLOSE, struct.pack("!H", 1008) + b"no") if ends == "close" else b""
        conn.upgrade(extra=farewell)
        if ends == "close":
            conn.until_gone()

    async def scenario() -> None:
        with Peer(script) as peer:
            endpoint = peer.endpoint()
            transport, listener = await picows.ws_connect(**bridges.picows_arguments(endpoint))
            if ends == "gone":
                await kit.join(peer)
            with pytest.raises(ServerClosed if ends == "close" else TransportFailed):
                await bridges.over_picows(transport, listener, endpoint, model="m")
            await transport.wait_disconnected()
            with pytest.raises(IllegalInState, match="listener"):
                await bridges.over_picows(transport, listener, endpoint, model="m")
            with pytest.raises(IllegalInState, match="listener"):
                await bridges.over_picows(transport, picows.WSListener(), endpoint, model="m")

    kit.run(scenario)


def test_picows_takes_the_end_of_tcp_for_the_end_of_the_upgrade() -> None:
    """Then its transport is dead from the beginning, and nothing calls the listener."""
    picows = pytest.importorskip("picows")
    kit = KITS["picows"]()

    def script(conn: Conn) -> None:
        conn.read_head()

    async def scenario() -> None:
        with Peer(script) as peer, at_once():
            endpoint = peer.endpoint()
            transport, listener = await picows.ws_connect(**bridges.picows_arguments(endpoint))
            with pytest.raises(TransportFailed):
                await bridges.over_picows(transport, listener, endpoint, model="m")
            await kit.join(peer)
        with Peer(script) as peer:
            endpoint = peer.endpoint()
            with pytest.raises(TransportFailed):
                await bridges.dialing(picows.ws_connect(**bridges.picows_arguments(endpoint)), endpoint)
            await kit.join(peer)

    kit.run(scenario)


# --- the shape of it ------------------------------------------------------------------------------------------------


def test_no_library_is_imported_before_it_is_used() -> None:
    program = (
        "import sys, live_transports.bridges\n"
        "print([name for name in ('websockets', 'aiohttp', 'picows', 'yarl', 'uvicorn', 'starlette', 'hypercorn')"
        " if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_functions_are_alike() -> None:
    shapes = []
    for library in KITS:
        parameters = inspect.signature(getattr(bridges, f"over_{library}")).parameters
        names = list(parameters)
        shapes.append(names[names.index("endpoint") :])
    assert shapes[0] == shapes[1] == shapes[2]


def _tasks() -> list[asyncio.Task[Any]]:
    """Those of the bridges."""

    def file(task: asyncio.Task[Any]) -> str:
        coroutine: Any = task.get_coro()
        return str(coroutine.cr_code.co_filename).partition("live_transports")[2]

    return [task for task in asyncio.all_tasks() if "bridges" in file(task)]


@pytest.mark.parametrize("what", ["opening", "block", "close"])
def test_nothing_runs_on_behind_a_cancelled(kit: Kit, what: str) -> None:
    def silent(conn: Conn) -> None:
        conn.upgrade()
        if what != "opening":
            conn.read_message()
            conn.say({"setupComplete": {}})
        with contextlib.suppress(Gone):
            conn.until_gone()

    async def use(endpoint: Endpoint) -> None:
        async with kit.connect(endpoint) as session:
            try:
                await (session.close() if what == "close" else session.receive())
            finally:
                left.append(len(_tasks()))

    async def scenario() -> None:
        with Peer(silent) as peer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await use(peer.endpoint())
            assert _tasks() == []
            if what == "close":
                assert left == [0]
            await kit.join(peer)

    left: list[int] = []
    kit.run(scenario)


def test_tasks(kit: Kit) -> None:
    """Two at most, for a library of coroutines; none for one of callbacks."""

    def polite(conn: Conn) -> None:
        conn.open()
        conn.farewell()

    async def scenario() -> None:
        with Peer(polite) as peer:
            async with kit.connect(peer.endpoint()):
                assert len(_tasks()) == (0 if kit.name == "picows" else 2)
            await kit.join(peer)

    kit.run(scenario)
