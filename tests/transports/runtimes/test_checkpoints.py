"""Cancellation at every checkpoint of every operation: nothing torn, nothing lost, nothing left behind."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import tls
from support.patience import PATIENCE
from transports.runtimes.kit.checkpoints import MOST, at_every_checkpoint, cancelled_at
from transports.runtimes.kit.kit import Job, Kit
from transports.runtimes.kit.peer import BINARY, CLOSE, PING, Conn, Gone, Peer, make_frame

from live_protocol import Endpoint, LiveProtocolError, StaleOperation
from live_protocol.events import SetupReceived, TextChunk
from live_protocol.messages import (
    Content,
    LiveClientMessage,
    LiveClientRealtimeInput,
    LiveServerContent,
    LiveServerMessage,
    Part,
)

GEMINI = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


def text(value: str) -> dict[str, Any]:
    return {"serverContent": {"modelTurn": {"parts": [{"text": value}]}}}


def whole(conn: Conn) -> None:
    """Our end has gone: what it left unread is whole frames."""
    left = b""
    with contextlib.suppress(Gone):
        while left := bytes(conn.buffer):
            conn.read_frame()
    assert not left, f"a torn frame: {left[:20]!r}"


# --- from the dial to the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_a_whole_life(cancelling: Kit, secure: bool) -> None:
    kit = cancelling
    context = tls.client_context() if secure else None

    def script(conn: Conn) -> None:
        with contextlib.suppress(Gone):
            conn.open()
            conn.say(text("hello"))
            conn.farewell()
        whole(conn)

    async def life() -> None:
        async with kit.connect(peer.endpoint(), ssl=context) as session:
            await session.send_client_content({"role": "user", "parts": [{"text": "x"}]})
            await session.receive()
            await session.ping()

    async def check(job: Job) -> None:
        assert job.error is None

    async def scenario() -> None:
        cuts.append(await at_every_checkpoint(kit, life, check))

    cuts: list[int] = []
    with Peer(script, tls=tls.server_context() if secure else None) as peer:
        kit.run(scenario)
        with contextlib.suppress(OSError):  # the peer's, of a TLS handshake that was cut
            peer.join()
    assert cuts[0] >= 4


# --- sending ----------------------------------------------------------------------------------------------------

BIG = "x" * 100_000
CALLS = {"toolCall": {"functionCalls": [{"id": str(index), "name": "f", "args": {}} for index in range(50)]}}

VERBS: dict[str, Callable[[Any, str], Any]] = {
    "send_client_content": lambda session, mark: session.send_client_content(
        {"role": "user", "parts": [{"text": mark}]}
    ),
    "send_realtime_input": lambda session, mark: session.send_realtime_input(text=mark),
    "send_tool_response": lambda session, mark: session.send_tool_response(
        {"id": mark.split()[0], "response": {"text": mark}}
    ),
    "send_context_update": lambda session, mark: session.send_context_update(system_instruction=mark),
    "send": lambda session, mark: session.send(LiveClientMessage(realtime_input=LiveClientRealtimeInput(text=mark))),
    "ping": lambda session, mark: session.ping(mark.split()[0].encode()),
}


class Reader:
    """A peer that reads what has been begun when it is told to, and nothing in between."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.got: list[str] = []
        self.go = threading.Event()

    def __call__(self, conn: Conn) -> None:
        conn.open()
        conn.say(CALLS)
        self.read(conn)

    def read(self, conn: Conn) -> None:
        while True:
            assert self.go.wait(PATIENCE)
            self.go.clear()
            while len(self.got) < len(self.begun):
                opcode, payload = conn.read_frame()
                if opcode == CLOSE:
                    conn.frame(CLOSE, payload)
                    return
                self.got.append(payload.decode() if opcode == PING else json.loads(payload) and payload.decode())


async def _fill(kit: Kit, session: Any, reader: Reader) -> None:
    """Send until the transport takes no more."""

    async def fill() -> None:
        while True:
            reader.begun.append("fill")
            await session.send_realtime_input(text="fill " + BIG)

    async with kit.jobs() as jobs:
        jobs.start(fill)
        for _ in range(10):
            await kit.pass_on()


@pytest.mark.parametrize("verb", VERBS)
def test_sends(cancelling: Kit, verb: str) -> None:
    kit = cancelling
    reader = Reader()

    async def scenario() -> None:
        with Peer(reader, rcvbuf=4096) as peer:
            async with kit.connect(peer.endpoint()) as session:
                while not session.pending_tool_calls:
                    await anext(session)
                calls = [call.id for call in session.pending_tool_calls]

                async def full() -> None:
                    await _fill(kit, session, reader)

                async def send() -> None:
                    reader.begun.append(f"{calls.pop(0)} ")
                    await VERBS[verb](session, reader.begun[-1] + BIG)

                async def check(job: Job) -> None:
                    assert job.error is None

                assert await at_every_checkpoint(kit, send, check, before=full, on_the_way=reader.go.set) > 0
                reader.begun.append("and the close frame")
                reader.go.set()
            await kit.join(peer)
            assert len(reader.got) == len(reader.begun) - 1, "what was called was sent"
            for begun, got in zip(reader.begun, reader.got, strict=False):
                assert begun.strip() in got, "in order"

    kit.run(scenario)


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_a_thousand_sends_cancelled_at_random(cancelling: Kit, secure: bool) -> None:
    """In the middle of the wait for room, each of them; the peer sees whole messages, in the order of the calls."""
    kit, dice = cancelling, random.Random(0)
    reader = Reader()

    async def scenario() -> None:
        with Peer(reader, rcvbuf=4096, tls=tls.server_context() if secure else None) as peer:
            async with kit.connect(peer.endpoint(), ssl=tls.client_context() if secure else None) as session:
                while not session.pending_tool_calls:
                    await anext(session)
                cut, reads = 0, False

                async def send(number: int, verb: str, size: int) -> None:
                    reader.begun.append(f"{number} ")
                    if reads:  # it may have come to the end of what was begun before this
                        reader.go.set()
                    await VERBS[verb](session, f"{number} " + size * "x")

                while cut < 1000:
                    async with kit.jobs() as jobs:
                        reads = False
                        await _fill(kit, session, reader)
                        running = {}
                        for _ in range(dice.randrange(1, 60)):
                            verb = dice.choice([verb for verb in VERBS if verb != "send_tool_response"])
                            number = len(running) + 1000 * cut
                            running[number] = jobs.start(send, number, verb, dice.choice([10, 1000, 30_000]))
                        for _ in range(dice.randrange(5)):
                            await kit.pass_on()
                        for job in dice.sample(list(running.values()), dice.randrange(len(running) + 1)):
                            job.cancel()
                            if dice.random() < 0.3:
                                await kit.pass_on()
                        reads = True
                        reader.go.set()
                        for number, job in running.items():
                            await job.wait()
                            assert job.error is None
                            cut += job.cancelled and f"{number} " in reader.begun
                reader.begun.append("and the close frame")
                reader.go.set()
            await kit.join(peer)
            assert len(reader.got) == len(reader.begun) - 1
            for begun, got in zip(reader.begun, reader.got, strict=False):
                assert begun.strip() in got
        assert session.close_info is not None
        assert session.close_info.clean

    kit.run(scenario)


def test_sends_of_a_handler(cancelling: Kit) -> None:
    kit = cancelling
    reader = Reader()

    def script(conn: Conn) -> None:
        conn.request(GEMINI)
        conn.say({"setup": {"model": "models/test"}})
        reader.read(conn)

    def message(mark: str) -> LiveServerMessage:
        return LiveServerMessage(server_content=LiveServerContent(model_turn=Content(parts=[Part(text=mark)])))

    async def handler(session: Any) -> None:
        async def accept() -> None:
            reader.begun.append("setupComplete")
            await session.send_setup_complete()

        async def fill() -> None:
            while True:
                reader.begun.append("fill")
                await session.send(message("fill " + BIG))

        async def full() -> None:
            async with kit.jobs() as jobs:
                jobs.start(fill)
                for _ in range(10):
                    await kit.pass_on()

        async def send() -> None:
            reader.begun.append(f"number {len(reader.begun)} ")
            await session.send(message(reader.begun[-1] + BIG))

        async def check(job: Job) -> None:
            assert job.error is None

        await session.receive()
        await cancelled_at(kit, 0, accept)
        cuts.append(await at_every_checkpoint(kit, send, check, before=full, on_the_way=reader.go.set))
        reader.begun.append("and the close frame")
        reader.go.set()

    async def scenario() -> None:
        async with kit.serve(handler) as server, kit.dialer(server.port, script):
            pass

    cuts: list[int] = []
    kit.run(scenario)
    assert cuts[0] > 0
    assert len(reader.got) == len(reader.begun) - 1
    for begun, got in zip(reader.begun, reader.got, strict=False):
        assert begun in got


# --- receiving --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["receive", "iteration", "turn"])
def test_receiving(cancelling: Kit, verb: str) -> None:
    """Each operation waits for several packets of half a message each; none of what came before the cut is lost."""
    kit = cancelling
    go = threading.Semaphore(0)

    def script(conn: Conn) -> None:
        conn.open()
        for number in itertools.count():
            data = make_frame(BINARY, json.dumps(text(str(number))).encode())
            if number % 3 == 2:
                data += make_frame(BINARY, json.dumps({"serverContent": {"turnComplete": True}}).encode())
            for part in (data[:20], data[20:]):
                go.acquire()
                if over:
                    conn.farewell()
                    return
                conn.send(part)

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                got: list[str] = []

                async def receive() -> None:
                    message = await session.receive()
                    parts = message.server_content.model_turn
                    got.extend(part.text for part in parts.parts) if parts else None

                async def iterate() -> None:
                    async for event in session:
                        if isinstance(event, TextChunk):
                            got.append(event.text)
                            break

                async def gather() -> None:
                    async for event in session.turn():
                        if isinstance(event, TextChunk):
                            got.append(event.text)  # noqa: PERF401 - the cut must leave what came before

                async def check(job: Job) -> None:
                    assert job.error is None

                operation = {"receive": receive, "iteration": iterate, "turn": gather}[verb]
                cuts = await at_every_checkpoint(kit, operation, check, on_the_way=go.release)
                assert cuts > 0
                for _ in range(20):
                    go.release()
                while len(got) < 10:
                    await receive()
                assert got == [str(number) for number in range(len(got))]
                over.append(True)
                go.release()
            await kit.join(peer)

    over: list[bool] = []
    kit.run(scenario)


# --- closing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("verb", ["close", "aclose"])
def test_closing(cancelling: Kit, verb: str, secure: bool) -> None:
    kit = cancelling
    context = tls.client_context() if secure else None

    def script(conn: Conn) -> int:
        with contextlib.suppress(Gone):
            conn.open()
            conn.farewell()
        whole(conn)
        return [opcode for opcode, _ in conn.seen].count(CLOSE)

    async def scenario() -> None:
        with Peer(script, tls=tls.server_context() if secure else None) as peer:
            cuts = 0
            while (await life(peer, cuts)).cancelled:
                cuts += 1
                assert cuts < MOST
            assert cuts > 0
            await kit.join(peer)
            assert all(frames <= 1 for frames in peer.results if frames is not Gone)

    async def life(peer: Peer, place: int) -> Job:
        async with kit.connect(peer.endpoint(), ssl=context) as session:
            job = await cancelled_at(kit, place, getattr(session, verb))
            with pytest.raises(StaleOperation):
                await session.ping()
            with contextlib.suppress(LiveProtocolError):
                while await session.receive() is not None:
                    pass
            await session.close()
        assert job.error is None
        assert session.close_info is not None
        assert session.close_info.clean or job.cancelled
        return job

    kit.run(scenario)


# --- servers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["block", "close"])
def test_servers(cancelling: Kit, what: str) -> None:
    kit = cancelling
    handled: list[str] = []

    async def handler(session: Any) -> None:
        handled.append("begun")
        try:
            async for event in session:
                if isinstance(event, SetupReceived):
                    await session.send_setup_complete()
        finally:
            handled.append("over")

    async def block() -> None:
        async with kit.serve(handler) as server, kit.connect(Endpoint.custom(server.url())):
            pass

    async def close(place: int) -> Job:
        async with kit.serve(handler) as server, kit.connect(Endpoint.custom(server.url())) as session:
            job = await cancelled_at(kit, place, server.close)
            with contextlib.suppress(LiveProtocolError):
                while await session.receive() is not None:
                    pass
            await server.close()
            assert server.sockets == ()
            assert handled.count("begun") == handled.count("over")
        return job

    async def scenario() -> None:
        cuts, cancelled = 0, True
        while cancelled:
            job = await (close(cuts) if what == "close" else cancelled_at(kit, cuts, block))
            assert job.error is None
            assert handled.count("begun") == handled.count("over")
            cancelled = job.cancelled
            cuts += cancelled
            assert cuts < MOST
        assert cuts > 0

    kit.run(scenario)
