"""The ASGI application at its interface: every event by hand, and what a server may do to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from transports.runtimes.kit.kit import AsyncioKit

from live_protocol import (
    AlreadyClosed,
    ClientClosed,
    DeadlineExpired,
    IllegalInState,
    InvalidMessage,
    LiveServerMessage,
    SetupReceived,
    Timeouts,
    TransportFailed,
    UpgradeRequested,
)
from live_protocol.connection import HttpResponse
from live_protocol.emulator import Drop, Emulator, ModelAction, UserTurn
from live_protocol.timing import Deadline
from live_transports.bridges import AsgiApp, LiveServerSession, asgi_app

PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
SETUP = {"type": "websocket.receive", "text": '{"setup":{"model":"models/m"}}'}
CONNECT = {"type": "websocket.connect"}


def scope(path: str = PATH, **more: Any) -> dict[str, Any]:
    return {"type": "websocket", "path": path, "headers": [(b"x-one", b"1")], "extensions": {}, **more}


class Server:
    """The server's side of one connection."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[Any] = asyncio.Queue()
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.broken: Exception | None = None

    async def receive(self) -> Any:
        event = await self.said.get()
        self.said.task_done()
        return event

    async def send(self, event: Any) -> None:
        if self.broken is not None:
            raise self.broken
        self.heard.put_nowait(event)

    def say(self, *events: Any) -> None:
        for event in events:
            self.said.put_nowait(event)

    async def hear(self) -> Any:
        return await self.heard.get()

    async def open(self) -> None:
        """Up to the accepted setup."""
        self.say(CONNECT)
        assert (await self.hear())["type"] == "websocket.accept"
        self.say(SETUP)
        assert b"setupComplete" in (await self.hear())["bytes"]


@asynccontextmanager
async def serving(
    app: AsgiApp, about: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Server, asyncio.Task[None]]]:
    server = Server()
    task = asyncio.create_task(app(about or scope(), server.receive, server.send))
    yield server, task
    if not task.done():
        task.cancel()
        await asyncio.wait([task])


def run(test: Callable[[], Awaitable[None]]) -> None:
    AsyncioKit("asyncio").run(test)


async def accept(session: LiveServerSession) -> None:
    """Accepts setups, to the end."""
    async for event in session:
        if isinstance(event, SetupReceived):
            await session.send_setup_complete()


# --- the upgrade ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "target"),
    [
        ({"path": "/a b", "query_string": b"key=x"}, "/a%20b?key=x"),
        ({"path": "/a b", "raw_path": b"/a%20%62"}, "/a%20%62"),
        ({"path": "/m/a", "root_path": "/m", "raw_path": b"/m/a"}, "/a"),
        ({"path": "/m/a", "root_path": "/m/"}, "/a"),
        ({"path": "/a", "root_path": "/m"}, "/a"),
        ({"path": "/mm/a", "root_path": "/m"}, "/mm/a"),
        ({"path": "/m", "root_path": "/m"}, "/"),
        ({"path": ""}, "/"),
    ],
)
def test_targets(about: dict[str, Any], target: str) -> None:
    async def test() -> None:
        seen: list[UpgradeRequested] = []
        app = asgi_app(accept, process_request=seen.append)
        async with serving(app, scope(**about)) as (server, _):
            server.say(CONNECT)
            await server.hear()
        assert [request.target for request in seen] == [target]
        assert seen[0].headers == (("x-one", "1"),)

    run(test)


def test_a_server_that_cannot_refuse() -> None:
    async def test() -> None:
        async with serving(asgi_app(accept), scope("/nope")) as (server, task):
            server.say(CONNECT)
            assert await server.hear() == {"type": "websocket.close"}
            await task
        async with serving(asgi_app(accept), scope("/nope", extensions=None)) as (server, task):
            server.say(CONNECT)
            assert await server.hear() == {"type": "websocket.close"}
            await task

    run(test)


def test_a_refusal() -> None:
    async def test() -> None:
        app = asgi_app(accept, process_request=lambda _: (403, [("X-Two", "2")], b"no"))
        async with serving(app, scope(extensions={"websocket.http.response": {}})) as (server, task):
            server.say(CONNECT)
            assert await server.hear() == {
                "type": "websocket.http.response.start",
                "status": 403,
                "headers": [(b"x-two", b"2"), (b"content-length", b"2")],
            }
            assert await server.hear() == {"type": "websocket.http.response.body", "body": b"no"}
            await task

    run(test)


def test_gone_before_it_began() -> None:
    async def test() -> None:
        async with serving(asgi_app(accept)) as (server, task):
            server.say({"type": "websocket.disconnect", "code": 1006})
            await task

    run(test)


def test_gone_before_the_answer() -> None:
    async def test() -> None:
        waits = asyncio.Event()

        async def process(request: UpgradeRequested) -> None:
            await waits.wait()

        async with serving(asgi_app(accept, process_request=process)) as (server, task):
            server.say(CONNECT, {"type": "websocket.disconnect"})
            await server.said.join()
            waits.set()
            await task
            assert server.heard.empty()

    run(test)


def test_an_answer_that_takes_too_long() -> None:
    async def test() -> None:
        async def process(request: UpgradeRequested) -> None:
            await asyncio.Event().wait()

        app = asgi_app(accept, process_request=process, timeouts=Timeouts(open=0.01))
        async with serving(app, scope(extensions={"websocket.http.response": {}})) as (server, _):
            server.say(CONNECT)
            assert (await server.hear())["status"] == 503

    run(test)


def test_somebody_has_to_answer() -> None:
    with pytest.raises(InvalidMessage, match="handler"):
        asgi_app()


# --- the end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "code", "error"),
    [
        ({"code": 1000, "reason": ""}, 1000, None),
        ({"code": 1005, "reason": None}, 1005, None),
        ({"code": 1005}, 1006, TransportFailed),
        ({}, 1006, TransportFailed),
        ({"code": 1006}, 1006, TransportFailed),
        ({"code": 1011, "reason": "oops"}, 1011, ClientClosed),
    ],
)
def test_disconnects(event: dict[str, Any], code: int, error: type[Exception] | None) -> None:
    async def test() -> None:
        sessions: list[LiveServerSession] = []

        async def handler(session: LiveServerSession) -> None:
            sessions.append(session)
            await accept(session)

        async with serving(asgi_app(handler)) as (server, task):
            await server.open()
            server.say({"type": "websocket.disconnect", **event})
            await task
        info = sessions[0].close_info
        assert info is not None
        assert info.code == code
        assert isinstance(info.error, error) if error else info.error is None

    run(test)


def test_the_handler_fails() -> None:
    async def test() -> None:
        async def handler(session: LiveServerSession) -> None:
            raise ZeroDivisionError

        async with serving(asgi_app(handler)) as (server, task):
            server.say(CONNECT)
            await server.hear()
            assert await server.hear() == {
                "type": "websocket.close",
                "code": 1011,
                "reason": "Internal error encountered.",
            }
            with pytest.raises(ZeroDivisionError):
                await task

    run(test)


def test_the_server_cancels() -> None:
    async def test() -> None:
        async with serving(asgi_app(accept)) as (server, task):
            await server.open()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert await server.hear() == {"type": "websocket.close", "code": 1000, "reason": ""}

    run(test)


def test_a_server_that_does_not_take_the_close() -> None:
    """Its send never ends; ours is bounded."""

    async def test() -> None:
        errors: list[Any] = []

        async def handler(session: LiveServerSession) -> None:
            await session.close()
            assert session.close_info is not None
            errors.append(session.close_info.error)

        app = asgi_app(handler, timeouts=Timeouts(close=0.01))
        server = Server()

        async def send(event: Any) -> None:
            if event["type"] == "websocket.close":
                await asyncio.Event().wait()

        server.say(CONNECT)
        await app(scope(), server.receive, send)
        assert isinstance(errors[0], DeadlineExpired)
        assert errors[0].which is Deadline.CLOSE

    run(test)


@pytest.mark.parametrize("told", [True, False])
def test_a_send_fails(told: bool) -> None:
    """Then the server tells of the end, or, if it does not, that is the end."""

    async def test() -> None:
        errors: list[BaseException] = []

        async def handler(session: LiveServerSession) -> None:
            try:
                await accept(session)
            except TransportFailed as error:
                errors.append(error)
                with pytest.raises(AlreadyClosed):
                    await session.send(LiveServerMessage())
                raise

        app = asgi_app(handler)
        async with serving(app) as (server, task):
            server.say(CONNECT)
            await server.hear()
            server.broken = BrokenPipeError("x")
            server.say(SETUP)
            if told:
                server.say({"type": "websocket.disconnect", "code": 1006})
            await task
        assert len(errors) == 1
        assert told or isinstance(errors[0].__cause__, BrokenPipeError)

    run(test)


class Dropping:
    def on_text(self, turn: UserTurn) -> list[ModelAction]:
        return [Drop()]

    on_speech = on_tool_response = on_text


def test_a_drop_on_purpose() -> None:
    """The application just returns; what the server makes of that is the server's."""

    async def test() -> None:
        app = asgi_app(connection_factory=Emulator(Dropping()).message_connection)
        about = scope(query_string=b"key=k")
        async with serving(app, about) as (server, task):
            await server.open()
            server.say({"type": "websocket.receive", "bytes": b'{"realtimeInput":{"text":"x"}}', "text": None})
            await task
            assert server.heard.empty()

    run(test)


# --- other scopes -----------------------------------------------------------------------------------------------


def test_lifespan() -> None:
    async def test() -> None:
        app = asgi_app(accept)
        async with serving(app, {"type": "lifespan"}) as (life, living), serving(app) as (server, task):
            life.say({"type": "lifespan.startup"})
            assert await life.hear() == {"type": "lifespan.startup.complete"}
            await server.open()
            life.say({"type": "lifespan.shutdown"})
            assert (await server.hear())["code"] == 1001
            assert await life.hear() == {"type": "lifespan.shutdown.complete"}
            await living
            await task

    run(test)


def test_a_request_that_is_not_finished() -> None:
    async def test() -> None:
        app = asgi_app(accept, http=lambda request, now: HttpResponse(body=request.body))
        about = {"type": "http", "method": "POST", "path": "/", "headers": []}
        async with serving(app, about) as (server, task):
            server.say({"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"})
            await task
            assert server.heard.empty()
        async with serving(app, about) as (server, task):
            server.say({"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.request"})
            await task
            assert (await server.hear())["status"] == 200
            assert (await server.hear())["body"] == b"a"

    run(test)


def test_another_scope() -> None:
    async def test() -> None:
        async with serving(asgi_app(accept), {"type": "gopher"}) as (_, task):
            with pytest.raises(InvalidMessage, match="gopher"):
                await task

    run(test)


def test_without_asyncio() -> None:
    trio = pytest.importorskip("trio")

    async def nothing(*_: object) -> Any:
        raise AssertionError

    with pytest.raises(IllegalInState, match="asyncio"):
        trio.run(asgi_app(accept), scope(), nothing, nothing)
