"""The ASGI application under real servers, over TCP; at the other end our client and the library ``websockets``."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.paths import TESTS
from support.patience import PATIENCE
from support.tls import authority, server_context
from transports.bridges.servers import SERVERS, Running
from transports.runtimes.kit.kit import AsyncioKit
from transports.runtimes.kit.peer import Conn, Gone, Script, dialer

from live_protocol import (
    AlreadyClosed,
    ClientClosed,
    ConnectionClosed,
    ConnectionClosing,
    Endpoint,
    HandshakeFailed,
    IllegalInState,
    Limits,
    LiveProtocolError,
    LiveServerMessage,
    RealtimeInputReceived,
    ServerClosed,
    SetupReceived,
    TextChunk,
    TransportFailed,
    TurnComplete,
    UpgradeRequested,
)
from live_protocol.close_info import Initiator
from live_protocol.emulator import Emulator, EmulatorOptions
from live_protocol.emulator.token_service import token_service
from live_protocol.messages import Content, LiveServerContent, Part
from live_transports import asyncio as live_asyncio
from live_transports.bridges import AsgiApp, LiveServerSession, asgi_app

PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
TEXT = {"response_modalities": ["TEXT"]}

pytestmark = pytest.mark.filterwarnings("ignore:remove second argument:DeprecationWarning")


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Running:
    return SERVERS[request.param]()


@pytest.fixture
def tells_codes(request: pytest.FixtureRequest, server: Running) -> bool:
    """Whether the server tells the application how the client closed."""
    return "hypercorn" not in request.node.name


def scenario(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        AsyncioKit("asyncio").run(lambda: test(*args, **kwargs))

    return run


def endpoint(port: int, prefix: str = "", **options: Any) -> Endpoint:
    return Endpoint.gemini(api_key="key", base_url=f"http://127.0.0.1:{port}{prefix}", **options)


def say(text: str) -> LiveServerMessage:
    return LiveServerMessage(server_content=LiveServerContent(model_turn=Content(parts=[Part(text=text)])))


async def dial(port: int, script: Script) -> Any:
    """Run a script at the other end; gives what came of it."""

    def run() -> Any:
        with dialer(port, script) as results:
            pass
        return results[0]

    return await asyncio.to_thread(run)


class Recorder:
    """A handler that accepts setups, echoes text, and remembers."""

    def __init__(self, then: Callable[[LiveServerSession], Awaitable[object]] | None = None) -> None:
        self.then = then
        self.sessions: list[LiveServerSession] = []
        self.events: list[Any] = []
        self.over = asyncio.Event()
        self.error: BaseException | None = None

    async def __call__(self, session: LiveServerSession) -> None:
        self.sessions.append(session)
        try:
            async for event in session:
                self.events.append(event)
                if isinstance(event, SetupReceived):
                    await session.send_setup_complete()
                    if self.then is not None:
                        await self.then(session)
                        return
                elif isinstance(event, RealtimeInputReceived):
                    await session.send(say(event.input.text or ""))
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.over.set()

    @property
    def session(self) -> LiveServerSession:
        (session,) = self.sessions
        return session


# --- talking ----------------------------------------------------------------------------------------------------


@scenario
async def test_the_emulator(server: Running) -> None:
    app = asgi_app(connection_factory=Emulator().message_connection)
    async with server(app) as port, live_asyncio.connect(endpoint(port), TEXT, model="m") as session:
        await session.send_realtime_input(text="hello")
        texts = []
        async for event in session:
            if isinstance(event, TextChunk):
                texts.append(event.text)
            if isinstance(event, TurnComplete):
                break
        assert "hello" in "".join(texts)
        await session.close()
        assert session.close_info is not None
        assert session.close_info.clean


@scenario
async def test_the_emulator_and_the_library_websockets(server: Running) -> None:
    client = pytest.importorskip("websockets.asyncio.client")
    app = asgi_app(connection_factory=Emulator().message_connection)
    closed = pytest.importorskip("websockets.exceptions").ConnectionClosedError
    async with server(app) as port, client.connect(f"ws://127.0.0.1:{port}{PATH}?key=k") as websocket:
        await websocket.send('{"setup":{"model":"models/m","generationConfig":{"responseModalities":["TEXT"]}}}')
        first = await websocket.recv()
        assert isinstance(first, bytes), "as the service does"
        assert json.loads(first) == {"setupComplete": {}}
        await websocket.send('{"setup":{}}')
        with pytest.raises(closed) as caught:
            await websocket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1007
        assert "setup" in caught.value.rcvd.reason


@scenario
async def test_credentials_count(server: Running) -> None:
    emulator = Emulator(options=EmulatorOptions(api_keys={"good"}))
    app = asgi_app(connection_factory=emulator.message_connection)
    async with server(app) as port:
        for in_query in (False, True):
            where = endpoint(port).url.partition("/ws/")[0].replace("ws:", "http:")
            good = Endpoint.gemini(api_key="good", base_url=where, key_in_query=in_query)
            async with live_asyncio.connect(good, TEXT, model="m"):
                pass
            bad = Endpoint.gemini(api_key="bad", base_url=where, key_in_query=in_query)
            with pytest.raises(ServerClosed, match="API key not valid"):
                await live_asyncio.connect(bad, TEXT, model="m")


@scenario
async def test_a_handler(server: Running, tells_codes: bool) -> None:
    recorder = Recorder()
    async with server(asgi_app(recorder)) as port:
        async with live_asyncio.connect(endpoint(port), TEXT, model="m") as session:
            await session.send_realtime_input(text="one")
            message = await session.receive()
            assert message is not None
            assert message.server_content == say("one").server_content
            with pytest.raises(IllegalInState, match="pings"):
                await recorder.session.ping()
            assert recorder.session.scope["type"] == "websocket"
            assert recorder.session.request is not None
            assert recorder.session.request.target == PATH
            assert ("x-goog-api-key", "key") in recorder.session.request.headers
        await recorder.over.wait()
        first, *_, last = recorder.events
        assert isinstance(first, UpgradeRequested)
        info = recorder.session.close_info
        assert info is not None
        if tells_codes:
            assert isinstance(last, ConnectionClosed)
            assert (info.code, info.clean, info.initiator) == (1000, True, Initiator.REMOTE)
            assert recorder.error is None
        else:
            assert (info.code, recorder.error) == (1006, info.error)


@scenario
async def test_many_at_once(server: Running) -> None:
    recorder = Recorder()

    async def talk(port: int, number: int) -> None:
        async with live_asyncio.connect(endpoint(port), TEXT, model="m") as session:
            sending = [session.send_realtime_input(text=f"{number} {index}") for index in range(20)]
            await asyncio.gather(*sending)
            for index in range(20):
                message = await session.receive()
                assert message is not None
                assert message.server_content == say(f"{number} {index}").server_content

    async with server(asgi_app(recorder)) as port:
        await asyncio.gather(*(talk(port, number) for number in range(10)))
    assert len(recorder.sessions) == 10


# --- refusing ---------------------------------------------------------------------------------------------------


@scenario
async def test_an_unknown_path(server: Running) -> None:
    recorder = Recorder()
    async with server(asgi_app(recorder)) as port:
        with pytest.raises(HandshakeFailed) as caught:
            await live_asyncio.connect(Endpoint.custom(f"ws://127.0.0.1:{port}/nope"), model="m")
        assert (caught.value.status, caught.value.body) == (404, b"no such method\n")
    assert recorder.sessions == []


@scenario
async def test_a_refusal_of_ones_own(server: Running) -> None:
    async def process(request: UpgradeRequested) -> tuple[int, list[tuple[str, str]], bytes] | None:
        await asyncio.sleep(0)
        return (429, [("Retry-After", "7")], b"later") if dict(request.headers).get("x-goog-api-key") else None

    recorder = Recorder()
    async with server(asgi_app(recorder, process_request=process)) as port:
        with pytest.raises(HandshakeFailed) as caught:
            await live_asyncio.connect(endpoint(port), model="m")
        assert (caught.value.status, caught.value.body) == (429, b"later")
        assert ("retry-after", "7") in caught.value.headers
        assert recorder.sessions == []
        async with live_asyncio.connect(Endpoint.custom(f"ws://127.0.0.1:{port}/any"), model="m"):
            pass


# --- ending -----------------------------------------------------------------------------------------------------


@scenario
async def test_the_handler_returns(server: Running) -> None:
    async def nothing(session: LiveServerSession) -> None:
        await session.send(say("bye"))

    recorder = Recorder(nothing)
    async with server(asgi_app(recorder)) as port:
        async with live_asyncio.connect(endpoint(port), TEXT, model="m") as session:
            assert (await session.receive()) is not None
            assert (await session.receive()) is None
        assert session.close_info is not None
        assert (session.close_info.code, session.close_info.initiator) == (1000, Initiator.REMOTE)
        info = recorder.session.close_info
        assert info is None or info.clean


@scenario
async def test_the_handler_closes(server: Running) -> None:
    async def refuse(session: LiveServerSession) -> None:
        await session.close(1008, "not you")
        await session.close(3000)
        assert session.close_info is not None
        assert (session.close_info.code, session.close_info.initiator) == (1008, Initiator.LOCAL)
        with pytest.raises(AlreadyClosed):
            await session.send(say("more"))

    recorder = Recorder(refuse)
    async with server(asgi_app(recorder)) as port, live_asyncio.connect(endpoint(port), TEXT, model="m") as session:
        with pytest.raises(ServerClosed) as caught:
            await session.receive()
        assert (caught.value.code, caught.value.reason) == (1008, "not you")
        await recorder.over.wait()
        assert recorder.error is None


@scenario
async def test_the_handler_fails(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(session: LiveServerSession) -> None:
        raise ZeroDivisionError("oops")

    recorder = Recorder(fail)
    async with server(asgi_app(recorder)) as port, live_asyncio.connect(endpoint(port), TEXT, model="m") as session:
        with pytest.raises(ServerClosed) as caught:
            await session.receive()
        assert caught.value.code == 1011
    if "uvicorn" in {record.name.partition(".")[0] for record in caplog.records}:
        assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)


@pytest.mark.parametrize(("code", "reason"), [(3000, "mine"), (1001, ""), (1011, "oops")])
@scenario
async def test_the_client_closes(server: Running, tells_codes: bool, code: int, reason: str) -> None:
    recorder = Recorder()
    async with server(asgi_app(recorder)) as port:
        async with live_asyncio.connect(endpoint(port), TEXT, model="m") as session:
            await session.close(code, reason)
        await recorder.over.wait()
        info = recorder.session.close_info
        assert info is not None
        if tells_codes:
            assert (info.code, info.reason, info.initiator) == (code, reason, Initiator.REMOTE)
            assert isinstance(recorder.error, ClientClosed) is (code != 1001)
        else:
            assert info.code == 1006


@scenario
async def test_the_client_is_lost(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    def script(conn: Conn) -> None:
        conn.request(f"{PATH}?key=k")
        conn.say({"setup": {"model": "models/m"}})
        conn.read_message()
        conn.reset()

    recorder = Recorder()
    async with server(asgi_app(recorder)) as port:
        await dial(port, script)
        await recorder.over.wait()
        assert isinstance(recorder.error, TransportFailed)
        with pytest.raises((ConnectionClosing, AlreadyClosed)):
            await recorder.session.send(say("x"))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR], "its own end is no error"


@scenario
async def test_nonsense(server: Running) -> None:
    def script(conn: Conn) -> tuple[int, str]:
        conn.request(f"{PATH}?key=k")
        conn.say({"setup": {"model": "models/m"}})
        conn.read_message()
        conn.frame(1, b"nonsense")
        return conn.read_close()

    recorder = Recorder()
    async with server(asgi_app(recorder)) as port:
        assert await dial(port, script) == (1007, "Request contains an invalid argument.")
    assert isinstance(recorder.error, LiveProtocolError)


@scenario
async def test_a_slow_client(server: Running) -> None:
    """Sends wait where the client does not read, and can be cancelled without leaving half a message."""
    go = threading.Event()

    async def flood(session: LiveServerSession) -> None:
        sending = [asyncio.create_task(session.send(say(f"{number} " + "x" * 60_000))) for number in range(100)]
        for _ in range(3):
            await asyncio.sleep(0)
        waiting = [task for task in sending if not task.done()]
        assert len(waiting) > 50, "nobody was held back"
        for task in waiting[::5]:
            task.cancel()
        go.set()
        await asyncio.wait(sending)

    def script(conn: Conn) -> list[int]:
        conn.request(f"{PATH}?key=k")
        conn.say({"setup": {"model": "models/m"}})
        conn.read_message()
        go.wait(PATIENCE)
        got = []
        with contextlib.suppress(Gone):
            while True:
                text = json.dumps(conn.read_message())
                got.append(int(text.partition('"text": "')[2].partition(" ")[0]))
        return got

    async with server(asgi_app(Recorder(flood))) as port:
        assert await dial(port, script) == list(range(100))


@scenario
async def test_the_server_goes_away(server: Running, tells_codes: bool) -> None:
    if not tells_codes:
        pytest.skip("hypercorn cancels its connections, and asyncio complains of that")
    recorder = Recorder()
    async with server(asgi_app(recorder)) as port:
        session = await live_asyncio.connect(endpoint(port), TEXT, model="m")
    with pytest.raises(ServerClosed) as caught:
        await session.receive()
    assert caught.value.code == 1012
    await session.close()
    await recorder.over.wait()
    info = recorder.session.close_info
    assert info is not None
    assert info.code == 1012


@scenario
async def test_the_application_goes_away(server: Running) -> None:
    recorder = Recorder()
    app = asgi_app(recorder)
    async with server(app) as port, live_asyncio.connect(endpoint(port), TEXT, model="m") as session:
        await app.aclose()
        assert await session.receive() is None
        await recorder.over.wait()
        info = recorder.session.close_info
        assert info is not None
        assert (info.code, info.clean, info.initiator) == (1001, True, Initiator.LOCAL)
        assert recorder.error is None


# --- frameworks -------------------------------------------------------------------------------------------------


def _mounted(app: AsgiApp) -> Any:
    applications = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")
    return applications.Starlette(routes=[routing.Mount("/deep/er", app=app)])


def _routed(app: AsgiApp) -> Any:
    applications = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")
    return applications.Starlette(routes=[routing.WebSocketRoute("/deep/er" + PATH, endpoint=app)])


def _in_fastapi(app: AsgiApp) -> Any:
    fastapi = pytest.importorskip("fastapi")
    outer = fastapi.FastAPI()
    outer.mount("/deep/er", app)
    return outer


@pytest.mark.parametrize("mount", [_mounted, _routed, _in_fastapi], ids=["mount", "route", "fastapi"])
@scenario
async def test_inside_a_framework(server: Running, mount: Callable[[AsgiApp], Any]) -> None:
    recorder = Recorder()
    async with server(mount(asgi_app(recorder))) as port:
        async with live_asyncio.connect(endpoint(port, "/deep/er"), TEXT, model="m") as session:
            await session.send_realtime_input(text="x")
            assert await session.receive() is not None
        with pytest.raises(HandshakeFailed) as caught:
            await live_asyncio.connect(Endpoint.custom(f"ws://127.0.0.1:{port}/other"), model="m")
        assert caught.value.status in (403, 404)
        await recorder.over.wait()
    assert recorder.session.request is not None
    assert recorder.session.request.target == (PATH if mount is not _routed else "/deep/er" + PATH)


@scenario
async def test_plain_http(server: Running) -> None:
    httpx = pytest.importorskip("httpx")
    async with server(asgi_app(Recorder())) as port, httpx.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{port}{PATH}")
        assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
        assert (await http.head(f"http://127.0.0.1:{port}{PATH}")).status_code == 426


@pytest.mark.parametrize("prefix", ["", "/deep/er"], ids=["root", "mounted"])
@scenario
async def test_ephemeral_tokens(server: Running, prefix: str) -> None:
    httpx = pytest.importorskip("httpx")
    emulator = Emulator(options=EmulatorOptions(api_keys={"key"}))
    service = token_service(emulator, lambda: datetime.now(UTC))
    app = asgi_app(connection_factory=emulator.message_connection, http=service, limits=Limits(max_body=1000))
    async with server(_mounted(app) if prefix else app) as port, httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{port}{prefix}/v1alpha/auth_tokens"
        answer = await http.post(url, json={"uses": 1}, headers={"x-goog-api-key": "key"})
        assert answer.status_code == 200
        where = Endpoint.gemini(token=answer.json()["name"], base_url=f"http://127.0.0.1:{port}{prefix}")
        async with live_asyncio.connect(where, TEXT, model="m") as session:
            await session.send_realtime_input(text="hello")
            assert (await session.turn().finish()).answer == "hello"
        with pytest.raises(ServerClosed):
            await live_asyncio.connect(where, TEXT, model="m")
        assert (await http.post(url, json={}, headers={"x-goog-api-key": "other"})).status_code == 400
        assert (await http.get(url)).status_code == 404
        assert (await http.post(url, content=b" " * 1001)).status_code == 413


@pytest.mark.parametrize("server", ["uvicorn-websockets", "uvicorn-wsproto"], indirect=True)
@scenario
async def test_google_genai(server: Running, tmp_path: Path) -> None:
    """Unpatched, over TLS, in a process of its own: text, an interruption, ends, a token of its own minting.

    It passes under hypercorn too, but asyncio complains of how that ends TLS.
    """
    pytest.importorskip("google.genai")
    authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    emulator = Emulator()
    service = token_service(emulator, lambda: datetime.now(UTC))
    app = asgi_app(connection_factory=emulator.message_connection, http=service)
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "GEMINI_"))}
    variables |= {"SSL_CERT_FILE": str(tmp_path / "ca.pem"), "no_proxy": "localhost", "PYTHONWARNINGS": "ignore"}
    variables["PYTHONPATH"] = os.pathsep.join(sys.path)
    story = TESTS / "interop" / "story.py"
    async with server(app, tls=server_context()) as port:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(story), "gemini", f"wss://localhost:{port}", "", "text_only", "ends", "token"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=variables,
        )
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    told = {name: chapter for line in out.splitlines() for name, chapter in json.loads(line).items()}
    assert told["text_only"]["text"]["text"] == "Hello"
    assert told["text_only"]["cut"]["interrupted"]
    assert told["token"]["prefix"] == "auth_tokens"
