"""The server's end: upgrades, handlers, what clients do to it, and how it goes away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support import tls
from support.patience import at_once
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import CLOSE, PING, PONG, TEXT, Conn, Gone

from live_protocol import (
    ClientClosed,
    ConnectionState,
    Endpoint,
    HandshakeFailed,
    InvalidJson,
    InvalidMessage,
    LiveProtocolError,
    Phase,
    ServerClosed,
    Timeouts,
    TransportFailed,
)
from live_protocol.events import Event, SetupReceived, UpgradeRequested
from live_protocol.messages import LiveServerContent, LiveServerMessage, LiveServerSetupComplete
from live_protocol.websocket import Wants

GEMINI = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


async def accepting(session: Any) -> None:
    async for event in session:
        if type(event) is SetupReceived:
            await session.send_setup_complete()


async def refused(kit: Kit, url: str, **headers: str) -> HandshakeFailed:
    with pytest.raises(HandshakeFailed) as caught:
        async with kit.connect(Endpoint.custom(url, headers=headers)):
            raise AssertionError("connected")
    return caught.value


# --- the upgrade ------------------------------------------------------------------------------------------------


def test_unknown_paths_are_refused(kit: Kit) -> None:
    called: list[Any] = []

    async def handler(session: Any) -> None:
        called.append(session)

    async def scenario() -> None:
        async with kit.serve(handler) as server:
            error = await refused(kit, server.url(path="/other"))
            assert error.status == 404
            assert error.body == b"no such method\n"

    kit.run(scenario)
    assert not called


@pytest.mark.parametrize("coloured", [False, True], ids=["function", "coroutine"])
def test_the_upgrade_is_answered_by_the_application(kit: Kit, coloured: bool) -> None:
    def process(request: UpgradeRequested) -> Any:
        if dict(request.headers).get("x-goog-api-key") == "good":
            return None
        return 401, (("www-authenticate", "key"),), b"who are you?"

    async def coroutine(request: UpgradeRequested) -> Any:
        await kit.pass_on()
        return process(request)

    async def scenario() -> None:
        async with kit.serve(accepting, process_request=coroutine if coloured else process) as server:
            error = await refused(kit, server.url(path="/any"))
            assert error.status == 401
            assert dict(error.headers)["www-authenticate"] == "key"
            assert error.body == b"who are you?"
            endpoint = Endpoint.custom(server.url(path="/any"), headers={"x-goog-api-key": "good"})
            async with kit.connect(endpoint) as session:
                assert session.phase is Phase.READY

    kit.run(scenario)


def test_a_broken_process_request(kit: Kit) -> None:
    def process(_: UpgradeRequested) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        async with kit.serve(accepting, process_request=process) as server:
            assert (await refused(kit, server.url())).status == 503
        (complaint,) = kit.complaints
        assert isinstance(complaint["exception"], ZeroDivisionError)
        kit.complaints.clear()

    kit.run(scenario)


def test_the_endpoint_of_the_official_client(kit: Kit) -> None:
    async def scenario() -> None:
        async with kit.serve(accepting) as server:
            endpoint = Endpoint.gemini(api_key="k", base_url=server.url(path="").replace("ws", "http", 1))
            async with kit.connect(endpoint) as session:
                assert session.phase is Phase.READY

    kit.run(scenario)


# --- handlers ---------------------------------------------------------------------------------------------------


def test_a_handler_that_returns(kit: Kit) -> None:
    async def handler(session: Any) -> None:
        await session.receive()
        await session.send_setup_complete()

    async def scenario() -> None:
        async with kit.serve(handler) as server, kit.connect(Endpoint.custom(server.url())) as session:
            assert await session.receive() is None
            assert session.close_info.code == 1000

    kit.run(scenario)


def test_a_handler_that_raises(kit: Kit) -> None:
    async def handler(session: Any) -> None:
        await session.receive()
        await session.send_setup_complete()
        raise ZeroDivisionError("secret of the handler")

    async def scenario() -> None:
        async with kit.serve(handler) as server, kit.connect(Endpoint.custom(server.url())) as session:
            with pytest.raises(ServerClosed) as caught:
                await session.receive()
            assert (caught.value.code, caught.value.reason) == (1011, "Internal error encountered.")
        (complaint,) = kit.complaints
        assert isinstance(complaint["exception"], ZeroDivisionError)
        kit.complaints.clear()

    kit.run(scenario)


def test_send_after_the_client_left_is_no_fault_of_the_handler(kit: Kit) -> None:
    async def handler(session: Any) -> None:
        await session.receive()
        await session.send_setup_complete()
        assert await session.receive() is None
        await session.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=True)))

    async def scenario() -> None:
        async with kit.serve(handler) as server, kit.connect(Endpoint.custom(server.url())):
            pass

    kit.run(scenario)


def test_bad_messages_to_send(kit: Kit) -> None:
    async def handler(session: Any) -> None:
        with pytest.raises(LiveProtocolError):
            await session.send_setup_complete()
        await session.receive()
        with pytest.raises(InvalidMessage):
            await session.send("not a message")
        await session.send_setup_complete()
        if kit.pings:
            await session.ping(b"x")
        outcome.append(session.phase)
        await session.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=True)))
        await session.receive()

    outcome: list[Phase] = []

    async def scenario() -> None:
        async with kit.serve(handler) as server, kit.connect(Endpoint.custom(server.url())) as session:
            assert await session.receive() is not None  # leaving could come before what the handler does

    kit.run(scenario)
    assert outcome == [Phase.READY]


# --- what clients do --------------------------------------------------------------------------------------------


def rude(kind: str) -> Any:
    def script(conn: Conn) -> Any:
        match kind:
            case "no http":
                conn.send(b"\x16\x03\x01\x02\x00")
                return conn.read_head()[:12]
            case "half a request":
                conn.send(b"GET / HTTP/1.1\r\n")
                conn.reset()
                return None
            case _:
                conn.request(GEMINI)
        match kind:
            case "unmasked":
                conn.send(b"\x81\x02{}")
            case "no json":
                conn.frame(TEXT, b"{")
            case "no setup":
                conn.say({"clientContent": {}})
            case "error":
                conn.close(1011, "client's fault")
            case "reset":
                conn.say({"setup": {"model": "models/test"}})
                conn.read_frame()
                conn.reset()
                return None
        return conn.read_close()

    return script


RUDE = {
    "no http": (b"HTTP/1.1 400", None),
    "half a request": (None, None),
    "unmasked": ((1002, "server expects masked frames"), LiveProtocolError),
    "no json": ((1007, "Request contains an invalid argument."), InvalidJson),
    "no setup": ((1007, "setup must be the first message and only the first"), LiveProtocolError),
    "error": ((1011, "client's fault"), ClientClosed),
    "reset": (None, TransportFailed),
}


@pytest.mark.parametrize("kind", RUDE)
def test_rude_clients(kit: Kit, kind: str) -> None:
    says, raises = RUDE[kind]
    raised: list[BaseException | None] = []

    async def handler(session: Any) -> None:
        try:
            while (message := await session.receive()) is not None:
                if message.setup:
                    await session.send_setup_complete()
        except LiveProtocolError as error:
            raised.append(error)
            over.set()
            raise  # it is the connection's own end: nobody is bothered with it
        raised.append(None)

    async def scenario() -> None:
        nonlocal over
        over = kit.signal()
        async with kit.serve(handler) as server:
            async with kit.dialer(server.port, rude(kind)) as results:
                if raises is not None:
                    await over.wait()
            if isinstance(says, tuple):
                assert results[0][0] == says[0]
                if kind != "unmasked":
                    assert results[0][1] == says[1]
            else:
                assert results == [says]
        assert bool(raised) is bool(raises)
        if raises:
            assert isinstance(raised[0], raises)

    over: Any = None
    kit.run(scenario)


def test_clients_that_say_nothing(kit: Kit) -> None:
    def script(conn: Conn) -> bytes:
        return conn.read_head()

    async def scenario() -> None:
        async with kit.serve(accepting, timeouts=Timeouts(open=0.15, close=0.3)) as server:
            async with kit.dialer(server.port, script) as results:
                pass
            assert results[0].startswith(b"HTTP/1.1 408 ")

    kit.run(scenario)


def test_clients_that_answer_no_pings(kit: Kit) -> None:
    def script(conn: Conn) -> list[int]:
        conn.request(GEMINI)
        conn.say({"setup": {"model": "models/test"}})
        try:
            while conn.read_frame()[0] != CLOSE:
                pass
        except Gone:
            pass
        return [opcode for opcode, _ in conn.seen]

    async def scenario() -> None:
        async with kit.serve(accepting, timeouts=Timeouts(ping_interval=0.05, ping_timeout=0.1, close=0.2)) as server:
            async with kit.dialer(server.port, script) as results:
                pass
            assert PING in results[0]
            assert results[0][-1] == CLOSE

    kit.run(scenario)


def test_pings_of_clients_are_answered_though_the_handler_is_busy(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.request(GEMINI)
        conn.say({"setup": {"model": "models/test"}})
        conn.frame(PING, b"hello?")
        assert conn.read_frame() == (PONG, b"hello?")
        done.set()
        conn.close()
        conn.read_close()

    async def handler(session: Any) -> None:
        await done.wait()

    async def scenario() -> None:
        nonlocal done
        done = kit.signal()
        async with kit.serve(handler) as server, kit.dialer(server.port, script):
            await done.wait()

    done: Any = None
    kit.run(scenario)


def test_many_clients(kit: Kit) -> None:
    async def scenario() -> None:
        async with kit.serve(accepting) as server, kit.jobs() as jobs:
            together = 0

            async def client() -> None:
                nonlocal together
                async with kit.connect(Endpoint.custom(server.url())) as session:
                    together += 1
                    while together < 50:
                        await kit.sleep(0.001)
                    await session.send_realtime_input(text="x")

            for job in [jobs.start(client) for _ in range(50)]:
                await job.wait()
                assert job.error is None

    kit.run(scenario)


# --- going away -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_the_server_goes_away(kit: Kit, secure: bool) -> None:
    ended: list[str] = []

    async def handler(session: Any) -> None:
        await accepting(session)
        ended.append("by itself")

    async def scenario() -> None:
        server_tls, client_tls = (tls.server_context(), tls.client_context()) if secure else (None, None)
        async with kit.serve(handler, ssl=server_tls) as server:
            async with kit.connect(Endpoint.custom(server.url()), ssl=client_tls) as session:
                await server.close(1001, "bye")
                assert await session.receive() is None
                assert (session.close_info.code, session.close_info.reason) == (1001, "bye")
                assert server.sockets == ()
                with pytest.raises(LiveProtocolError):
                    server.url()
            await server.close()

    kit.run(scenario)
    assert ended == ["by itself"]


def test_handlers_that_do_not_end_are_cancelled(cancelling: Kit) -> None:
    kit = cancelling
    cancelled: list[bool] = []

    async def handler(session: Any) -> None:
        await session.receive()
        await session.send_setup_complete()
        try:
            await kit.sleep(100)
        finally:
            cancelled.append(True)

    async def scenario() -> None:
        async with kit.serve(handler) as server, kit.connect(Endpoint.custom(server.url())):
            with at_once():
                await server.close(grace=0.1)

    kit.run(scenario)
    assert cancelled == [True]


def test_a_server_that_goes_away_before_the_upgrade(kit: Kit) -> None:
    def script(conn: Conn) -> bytes:
        conn.send(b"GET / HTTP/1.1\r\n")
        sent.set()
        return conn.read_head()

    async def scenario() -> None:
        nonlocal sent
        sent = kit.signal()
        async with kit.serve(accepting) as server:
            async with kit.dialer(server.port, script) as results:
                await sent.wait()
                await kit.sleep(0.02)
                await server.close()
            assert results[0].startswith(b"HTTP/1.1 503 ")

    sent: Any = None
    kit.run(scenario)


# --- a machine that drives itself -------------------------------------------------------------------------------


class SelfDriving:
    """Answers the upgrade and the setup from inside its own next_event()."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    @property
    def wants(self) -> Wants:
        return self.inner.wants

    @property
    def state(self) -> ConnectionState:
        return self.inner.state

    @property
    def phase(self) -> Phase:
        return self.inner.phase

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def next_event(self) -> Event | None:
        event = self.inner.next_event()
        if type(event) is UpgradeRequested:
            self.inner.accept()
        elif type(event) is SetupReceived:
            self.inner.send(LiveServerMessage(setup_complete=LiveServerSetupComplete(session_id="self")))
        return event


@pytest.mark.parametrize("drain", [True, False], ids=["nobody", "handler"])
def test_a_machine_that_drives_itself(kit: Kit, drain: bool) -> None:
    kinds: list[type] = []

    async def handler(session: Any) -> None:
        assert session.request is None
        kinds.extend([type(event) async for event in session])

    async def scenario() -> None:
        async with (
            kit.serve(None if drain else handler, connection_factory=lambda: SelfDriving(kit.machine())) as server,
            kit.connect(Endpoint.custom(server.url())) as session,
        ):
            assert session.session_id == "self"

    kit.run(scenario)
    assert drain or SetupReceived in kinds


def test_somebody_has_to_answer(kit: Kit) -> None:
    async def scenario() -> None:
        with pytest.raises(InvalidMessage, match="handler"):
            async with kit.serve(None):
                raise AssertionError

    kit.run(scenario)


@pytest.fixture(autouse=True)
def clean(kit: Kit) -> Iterator[None]:
    yield
    assert not kit.complaints
