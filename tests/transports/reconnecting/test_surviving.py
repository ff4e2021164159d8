"""A session outlives its connections, on every runtime."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from support.patience import PATIENCE
from transports.reconnecting.service import EAGER, QUIET, TEXT, Service, closed_port, quick, say, until, user
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import Conn, Gone, Peer

from live_protocol import (
    ConnectionClosed,
    ConnectionFailed,
    Endpoint,
    IllegalInState,
    InputLost,
    InvalidMessage,
    NotConnected,
    PersistentConnection,
    Phase,
    Reconnected,
    Reconnecting,
    ServerClosed,
    SetupComplete,
    TransportFailed,
    TurnComplete,
)
from live_protocol.events import ReconnectReason
from live_protocol.reconnect import OfflinePolicy


def options(**more: Any) -> dict[str, Any]:
    return {"timeouts": QUIET, "reconnect": EAGER, **more}


@pytest.mark.parametrize("end", ["/drop", "/goaway 0.05", "/close 1011 Internal error encountered."])
def test_it_goes_on_with_its_history(kit: Kit, end: str) -> None:
    async def scenario() -> None:
        async with kit.connect(service.endpoint(), TEXT, **options()) as session:
            events: list[Any] = []
            assert (await say(session, "one")).text == "one"
            await session.send_client_content(user(end))
            again = await until(session, Reconnected, events)
            assert (again.resumed, again.epoch, session.epoch) == (True, 2, 2)
            assert [type(event) for event in events[-2:]] == [SetupComplete, Reconnected]
            assert not [event for event in events if isinstance(event, ConnectionFailed | ConnectionClosed)]
            assert (await say(session, "two")).text == "two"
            history = (await say(session, "/history")).text.splitlines()
            assert [line for line in history if "one" in line or "two" in line] == [
                "user: one",
                "model: one",
                "user: two",
                "model: two",
            ]
            assert isinstance(session.connection, PersistentConnection)
            assert session.phase is Phase.READY
            assert session.close_info is None
        rest = [event async for event in session]
        assert type(rest[-1]) is ConnectionClosed
        assert session.close_info.clean

    with Service() as service:
        kit.run(scenario)


def test_the_old_socket_closes_before_the_new_one_opens(kit: Kit) -> None:
    open_now, most = set[int](), [0]
    lock = threading.Lock()

    def script(conn: Conn) -> None:
        conn.open()
        with lock:
            open_now.add(id(conn))
            most[0] = max(most[0], len(open_now))
        number = len(peer.results)
        conn.say({"sessionResumptionUpdate": {"newHandle": f"h{number}", "resumable": True}})
        if number < 3:
            conn.close(1011, "Internal error encountered.")
            with lock:  # before we let go of our end
                open_now.discard(id(conn))
        conn.until_gone()

    async def scenario() -> None:
        async with kit.connect(peer.endpoint(), TEXT, **options()) as session:
            for _ in range(3):
                await until(session, Reconnected)
            session.abort()
        assert len(await kit.join(peer)) == 4

    with Peer(script) as peer:
        kit.run(scenario)
    assert most[0] == 1


def test_an_endpoint_for_each_dial(kit: Kit) -> None:
    made = []

    def fresh() -> Endpoint:
        made.append(len(made))
        if len(made) == 2:
            raise ConnectionError("no token at the moment")
        return service.endpoint()

    async def scenario() -> None:
        async with kit.connect(fresh, TEXT, **options()) as session:
            events: list[Any] = []
            await session.send_client_content(user("/drop"))
            assert (await until(session, Reconnected, events)).attempts == 2
            reasons = [event.reason for event in events if isinstance(event, Reconnecting)]
            assert reasons == [ReconnectReason.DROPPED, ReconnectReason.DIAL_FAILED]
            assert len(made) == 3

    with Service() as service:
        kit.run(scenario)


def test_what_is_said_offline_arrives(kit: Kit) -> None:
    async def scenario() -> None:
        async with kit.connect(service.endpoint(), TEXT, **options()) as session:
            await say(session, "one")
            await session.send_client_content(user("/drop"))
            await until(session, Reconnecting)
            await session.send_client_content(user("two"))
            assert (await say(session, "/history")).text
            text = (await say(session, "/history")).text
            assert text.count("user: two") == 1

    with Service() as service:
        kit.run(scenario)


def test_an_offline_policy_that_keeps_nothing(kit: Kit) -> None:
    async def scenario() -> None:
        policy = quick(offline=OfflinePolicy.RAISE)
        async with kit.connect(service.endpoint(), TEXT, **options(reconnect=policy)) as session:
            await session.send_client_content(user("/drop"))
            await until(session, Reconnecting)
            with pytest.raises(NotConnected):
                await session.send_client_content(user("two"))
            await until(session, Reconnected)
            assert (await say(session, "three")).text == "three"

    with Service() as service:
        kit.run(scenario)


def test_senders_that_wait_for_room_go_on_when_the_transport_goes(kit: Kit) -> None:
    """Their messages are kept, or reported; nobody waits for a dead transport's high-water mark."""
    cut = threading.Event()
    connections: list[Conn] = []

    def script(conn: Conn) -> None:
        connections.append(conn)
        conn.open()
        conn.say({"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}})
        if len(connections) == 1:
            assert cut.wait(PATIENCE)
            conn.reset()
        else:
            conn.until_gone()

    async def scenario() -> None:
        policy = quick(offline_bytes=64 * 1024 * 1024)
        async with kit.connect(peer.endpoint(), TEXT, **options(reconnect=policy)) as session, kit.jobs() as jobs:
            await until(session, SetupComplete)
            text = "x" * 1_000_000

            async def send() -> None:
                for _ in range(12):
                    await session.send_client_content(user(text), turn_complete=False)

            sending = jobs.start(send)
            await kit.pass_on()
            assert not sending.done
            cut.set()
            events: list[Any] = []
            await until(session, Reconnected, events)
            done = await sending.wait()
            assert done.error is None
            lost = sum(event.count for event in events if isinstance(event, InputLost))
            assert lost <= 12
            session.abort()

    with Peer(script, rcvbuf=4096) as peer:
        kit.run(scenario)


def test_giving_up_raises_the_last_error_once(kit: Kit) -> None:
    def endpoint() -> Endpoint:
        return ends.pop(0)

    async def scenario() -> None:
        policy = quick(max_attempts=2)
        async with kit.connect(endpoint, TEXT, **options(reconnect=policy)) as session:
            await session.send_client_content(user("/drop"))
            events: list[Any] = []
            with pytest.raises(TransportFailed, match="could not connect") as caught:
                await until(session, Reconnected, events)
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)
            assert [type(event) for event in events[-2:]] == [ConnectionFailed, ConnectionClosed]
            assert [type(event) for event in events].count(ConnectionClosed) == 1
            assert [event.attempt for event in events if isinstance(event, Reconnecting)] == [1, 2]
            assert session.phase is Phase.ENDED
            assert "2 tries" in session.close_info.hint

    with Service() as service:
        nowhere = service.endpoint(closed_port())
        ends = [service.endpoint(), nowhere, nowhere, nowhere]
        kit.run(scenario)


@pytest.mark.parametrize("retry", [False, True])
def test_the_first_connection(kit: Kit, retry: bool) -> None:
    """Its failure raises as without a policy, unless the policy says to try again."""

    def endpoint() -> Endpoint:
        return ends.pop(0)

    async def scenario() -> None:
        opening = kit.connect(endpoint, TEXT, **options(reconnect=quick(retry_first=retry)))
        if retry:
            async with opening as session:
                assert (await say(session, "hello")).text == "hello"
                assert session.epoch == 1
        else:
            with pytest.raises(TransportFailed, match="could not connect"):
                async with opening:
                    pass

    with Service() as service:
        nowhere = service.endpoint(closed_port())
        ends = [nowhere, nowhere, service.endpoint()]
        kit.run(scenario)


def test_a_setup_that_is_refused_is_refused(kit: Kit) -> None:
    async def scenario() -> None:
        with pytest.raises(ServerClosed):
            async with kit.connect(service.endpoint(), TEXT, model="missing", **options()):
                pass

    with Service() as service:
        kit.run(scenario)


def test_a_session_moves(kit: Kit) -> None:
    async def scenario() -> None:
        async with kit.connect(service.endpoint(), TEXT, **options()) as session:
            assert (await say(session, "one")).text == "one"
            await session.close()
            snapshot = session.snapshot()
        async with kit.connect(service.endpoint(), TEXT, **options(snapshot=snapshot)) as session:
            assert "user: one" in (await say(session, "/history")).text
            assert session.epoch == 2

    with Service() as service:
        kit.run(scenario)


def test_arguments_that_do_not_go_together(kit: Kit) -> None:
    async def scenario() -> None:
        endpoint = Endpoint.gemini(api_key="key")
        given = "stream" if "trio" in kit.name or "anyio" in kit.name else "sock"
        snapshot = PersistentConnection.client(endpoint, TEXT, model="test").snapshot()
        for path, where, more in (
            ("snapshot", endpoint, {"snapshot": snapshot}),
            ("endpoint", lambda: endpoint, {}),
            (given, endpoint, {"reconnect": EAGER, given: object()}),
            ("ssl", service.endpoint, {"reconnect": EAGER, "server_hostname": "x"}),
            ("ssl", service.endpoint(), {"reconnect": EAGER, "server_hostname": "x"}),
        ):
            if kit.name == "sync" and path == "sock":
                continue  # it would be closed
            with pytest.raises(InvalidMessage) as caught:
                async with kit.connect(where, TEXT, **more):
                    pass
            assert caught.value.path == path
        async with kit.connect(service.endpoint(), TEXT, timeouts=QUIET) as session:
            assert session.epoch == 0
            with pytest.raises(IllegalInState, match="snapshot"):
                session.snapshot()

    with Service() as service:
        kit.run(scenario)


def test_turns_one_at_a_time(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.open()
        for text in ("one", "two"):
            conn.say({"serverContent": {"modelTurn": {"parts": [{"text": text}]}}})
            conn.say({"serverContent": {"generationComplete": True}})
            conn.say({"serverContent": {"turnComplete": True}})
        conn.say({"serverContent": {"modelTurn": {"parts": [{"text": "three"}]}}})
        with contextlib.suppress(Gone):
            conn.farewell()

    async def scenario() -> None:
        async with kit.connect(peer.endpoint(), TEXT, timeouts=QUIET) as session:
            turn = session.turn()
            events = [event async for event in turn] if hasattr(turn, "__aiter__") else list(turn)
            assert type(events[-1]) is TurnComplete
            assert (turn.view.text, turn.view.complete) == ("one", True)
            second = session.turn()
            finished = second.finish() if kit.name == "sync" else await second.finish()
            assert finished is second.view
            assert finished.text == "two"
            with pytest.raises(ValueError, match="max_audio"):
                session.turn(max_audio=0)
            await session.close()
            third = session.turn()
            finished = third.finish() if kit.name == "sync" else await third.finish()
            assert (finished.text, finished.complete, finished.interrupted) == ("three", False, True)
        assert [event async for event in session] == []

    with Peer(script) as peer:
        kit.run(scenario)
