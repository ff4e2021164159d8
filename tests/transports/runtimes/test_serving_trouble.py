"""Servers in trouble: clients that stall, handlers that do not read, a system that gives no more sockets."""

from __future__ import annotations

import json
import os
import resource
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import tls
from support.patience import PATIENCE, at_once
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import TEXT, Conn, make_frame

from live_protocol import Endpoint, InvalidMessage, Limits, LiveProtocolError, Phase, Timeouts
from live_protocol.events import SetupReceived

GEMINI = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


async def accepting(session: Any) -> None:
    async for event in session:
        if isinstance(event, SetupReceived):
            await session.send_setup_complete()


async def ended(kit: Kit, sock: socket.socket) -> bytes:
    """What a socket still gives, up to its end."""
    sock.setblocking(False)
    got = b""
    while True:
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            await kit.sleep(0.01)
            continue
        except ConnectionError:
            return got
        if not data:
            return got
        got += data


# --- stalling clients -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("says", [b"", b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "no TLS"])
def test_a_client_that_never_gets_through_tls(kit: Kit, says: bytes) -> None:
    async def scenario() -> None:
        timeouts = Timeouts(open=0.2) if not says else None
        async with kit.serve(accepting, ssl=tls.server_context(), timeouts=timeouts) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as sock, at_once():
                sock.sendall(says)
                await ended(kit, sock)
            endpoint = Endpoint.custom(server.url())
            assert endpoint.secure
            async with kit.connect(endpoint, ssl=tls.client_context()) as session:
                assert session.phase is Phase.READY

    kit.run(scenario)


def test_closing_while_a_client_is_in_tls(kit: Kit) -> None:
    async def scenario() -> None:
        async with kit.serve(accepting, ssl=tls.server_context()) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                await kit.sleep(0.05)
                with at_once():
                    await server.close()
                    await ended(kit, sock)

    kit.run(scenario)


def test_a_handler_closes_the_server(kit: Kit) -> None:
    async def scenario() -> None:
        async def handler(session: Any) -> None:
            await session.receive()
            await session.send_setup_complete()
            await server.close()
            closed.set()

        closed = kit.signal()
        async with kit.serve(handler) as server:
            async with kit.connect(Endpoint.custom(server.url())) as session:
                assert await session.receive() is None
                assert session.close_info.code == 1000, "its own connection is left to its end"
            await closed.wait()
            assert server.sockets == ()

    kit.run(scenario)


# --- closing ----------------------------------------------------------------------------------------------------


def test_a_bad_close_code_changes_nothing(kit: Kit) -> None:
    async def scenario() -> None:
        async with kit.serve(accepting) as server, kit.connect(Endpoint.custom(server.url())) as session:
            with pytest.raises(InvalidMessage):
                await server.close(1005)
            await session.ping()
            async with kit.connect(Endpoint.custom(server.url())) as another:
                assert another.phase is Phase.READY
            assert session.phase is Phase.READY

    kit.run(scenario)


@pytest.mark.parametrize("later", range(8))
def test_closed_by_two_at_once(kit: Kit, later: int) -> None:
    async def scenario() -> None:
        async with kit.serve(accepting) as server, kit.connect(Endpoint.custom(server.url())) as session:
            async with kit.jobs() as jobs:
                closers = [jobs.start(server.close)]
                for _ in range(later):
                    await kit.pass_on()
                closers.append(jobs.start(server.close))
                for job in closers:
                    await job.wait()
                    assert job.error is None
            assert server.sockets == ()
            assert await session.receive() is None

    kit.run(scenario)


# --- handlers ---------------------------------------------------------------------------------------------------


def test_a_handler_that_never_reads(kit: Kit) -> None:
    """What its client sends costs a bounded amount of memory, and the server can be closed all the same."""
    limit = 64 * 1024
    message = make_frame(TEXT, json.dumps({"realtimeInput": {"text": "x" * 20_000}}).encode(), mask=True)

    def script(conn: Conn) -> None:
        conn.request(GEMINI)
        conn.say({"setup": {"model": "models/test"}})
        conn.sock.settimeout(0.25)
        with pytest.raises(TimeoutError):  # noqa: PT012
            for _ in range(2000):
                conn.send(message)
        stuck.set()
        conn.sock.settimeout(PATIENCE)
        conn.until_gone()

    async def handler(session: Any) -> None:
        sessions.append(session)
        await stuck.wait()
        await over.wait()

    async def scenario() -> None:
        nonlocal stuck, over
        stuck, over = kit.signal(), kit.signal()
        timeouts = Timeouts(close=0.3)
        limits = Limits(max_buffered_in=limit)
        async with kit.serve(handler, limits=limits, timeouts=timeouts) as server, kit.dialer(server.port, script):
            await stuck.wait()
            assert limit < sessions[0].connection.buffered_in < limit + 512 * 1024
            over.set()
            with at_once():
                await server.close()

    sessions: list[Any] = []
    stuck: Any = None
    over: Any = None
    kit.run(scenario)


def test_a_machine_that_cannot_be_made(kit: Kit) -> None:
    def factory() -> Any:
        raise ZeroDivisionError

    async def scenario() -> None:
        async with kit.serve(accepting, connection_factory=factory) as server:
            for _ in range(2):
                with pytest.raises(LiveProtocolError):
                    async with kit.connect(Endpoint.custom(server.url())):
                        raise AssertionError("connected")
        assert [type(complaint["exception"]) for complaint in kit.complaints] == 2 * [ZeroDivisionError]
        kit.complaints.clear()

    kit.run(scenario)


# --- the system -------------------------------------------------------------------------------------------------


def test_too_many_open_files(kit: Kit) -> None:
    """Whoever comes when there are no more sockets has to wait until there are; nobody else notices."""

    async def scenario() -> None:
        async with kit.serve(accepting) as server, kit.connect(Endpoint.custom(server.url())) as before:
            with socket.socket() as late:
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                lowest = os.open(os.devnull, os.O_RDONLY)
                os.close(lowest)
                resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
                try:
                    late.setblocking(False)
                    late.connect_ex(("127.0.0.1", server.port))
                    await kit.sleep(0.05)
                    await before.ping()
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                late.sendall(b"no http\r\n\r\n")
                assert (await ended(kit, late)).startswith(b"HTTP/1.1 400 ")
            async with kit.connect(Endpoint.custom(server.url())) as after:
                assert after.phase is Phase.READY
            assert before.phase is Phase.READY
        assert all(complaint["exception"].errno == 24 for complaint in kit.complaints)
        kit.complaints.clear()

    kit.run(scenario)


def test_hundreds_of_connections_leave_nothing(kit: Kit, length: Callable[[int, int], int]) -> None:
    async def scenario() -> None:
        async with kit.serve(accepting) as server:
            endpoint, before = Endpoint.custom(server.url()), 0

            async def client() -> None:
                async with kit.connect(endpoint) as session:
                    await session.send_realtime_input(text="x")

            for _ in range(length(20, 500)):
                before = len(os.listdir("/proc/self/fd"))
                async with kit.jobs() as jobs:
                    for job in [jobs.start(client) for _ in range(10)]:
                        await job.wait()
                        assert job.error is None
            patience = 1000
            while len(os.listdir("/proc/self/fd")) > before and patience:
                patience -= 1
                await kit.sleep(0.001)
            assert patience, "sockets of clients that have left are still open"
            assert threading.active_count() < 30

    kit.run(scenario)
