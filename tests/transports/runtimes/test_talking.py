"""The happy path: both ends are ours, over a real socket."""

from __future__ import annotations

from typing import Any

import pytest
from support import tls
from transports.runtimes.kit.kit import Kit
from transports.runtimes.kit.peer import BINARY, Conn, Peer, make_frame

from live_protocol import Endpoint, Phase
from live_protocol.events import (
    AudioChunk,
    ClientContentReceived,
    Connected,
    ConnectionClosed,
    RealtimeInputReceived,
    SetupComplete,
    SetupReceived,
    TextChunk,
    ToolCallRequested,
    ToolResponseReceived,
    TurnComplete,
    UpgradeRequested,
)
from live_protocol.messages import (
    Blob,
    Content,
    FunctionCall,
    LiveClientContent,
    LiveClientMessage,
    LiveServerContent,
    LiveServerMessage,
    LiveServerToolCall,
    Part,
)


def said(*parts: Part, turn_complete: bool | None = None) -> LiveServerMessage:
    return LiveServerMessage(
        server_content=LiveServerContent(model_turn=Content(parts=parts), turn_complete=turn_complete)
    )


def speech(data: bytes) -> Part:
    return Part(inline_data=Blob(data=data, mime_type="audio/pcm;rate=24000"))


async def model(session: Any) -> None:
    """Answers text by text, audio by audio, "call" by a tool call."""
    async for event in session:
        match event:
            case SetupReceived():
                await session.send_setup_complete("s-1")
            case ClientContentReceived(content=content) if content.turns[0].parts[0].text == "call":
                call = FunctionCall(id="c1", name="time", args={"zone": "UTC"})
                await session.send(LiveServerMessage(tool_call=LiveServerToolCall(function_calls=[call])))
            case ClientContentReceived(content=content):
                await session.send(said(Part(text=content.turns[0].parts[0].text.upper())))
                await session.send(LiveServerMessage(server_content=LiveServerContent(turn_complete=True)))
            case RealtimeInputReceived(input=live):
                await session.send(said(speech(live.audio.data)))
            case ToolResponseReceived(responses=responses):
                await session.send(said(Part(text=str(responses[0].response)), turn_complete=True))


def user(text: str) -> Content:
    return Content(role="user", parts=[Part(text=text)])


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("compression", [False, True], ids=["plain", "deflate"])
def test_text_audio_and_tools(kit: Kit, secure: bool, compression: bool) -> None:
    async def scenario() -> None:
        server_tls = tls.server_context() if secure else None
        client_tls = tls.client_context() if secure else None
        async with kit.serve(model, ssl=server_tls, compression=compression) as server:
            endpoint = Endpoint.custom(server.url())
            async with kit.connect(endpoint, ssl=client_tls, compression=compression) as session:
                assert session.phase is Phase.READY
                assert session.session_id == "s-1"
                events = []

                async def until(kind: type) -> Any:
                    async for event in session:
                        events.append(event)
                        if isinstance(event, kind):
                            return event
                    raise AssertionError("the stream ended")

                await session.send_client_content(user("hello"))
                assert (await until(TextChunk)).text == "HELLO"
                await until(TurnComplete)
                await session.send_realtime_input(audio=b"\1\0" * 1600, rate=16000)
                assert (await until(AudioChunk)).data == b"\1\0" * 1600
                await session.send_client_content(user("call"))
                call = (await until(ToolCallRequested)).call
                assert call.name == "time"
                assert session.pending_tool_calls == (call,)
                await session.send_tool_response({"id": "c1", "response": {"output": "noon"}})
                assert "noon" in (await until(TextChunk)).text
                assert session.pending_tool_calls == ()
                await session.send(LiveClientMessage(client_content=LiveClientContent(turns=[user("x")])))
                if kit.pings:
                    await session.ping(b"p")
                # What came while connecting is the beginning of the one stream.
                assert [type(event) for event in events[:2]] == [Connected, SetupComplete]
                assert events[0].compression is compression
            rest = [event async for event in session]
            assert type(rest[-1]) is ConnectionClosed
            assert session.close_info.clean
            assert session.phase is Phase.ENDED

    kit.run(scenario)


def test_one_byte_at_a_time(kit: Kit) -> None:
    def script(conn: Conn) -> None:
        conn.upgrade(chop=1)
        conn.read_message()
        conn.say({"setupComplete": {}}, chop=1)
        conn.say({"serverContent": {"modelTurn": {"parts": [{"text": "größe " * 60}]}}}, chop=1)
        conn.farewell()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                message = await session.receive()
                assert message.server_content.model_turn.parts[0].text == "größe " * 60
            peer.join()

    kit.run(scenario)


def test_first_messages_in_the_packet_of_the_upgrade(kit: Kit) -> None:
    early = make_frame(BINARY, b'{"serverContent":{"modelTurn":{"parts":[{"text":"early"}]}}}')

    def script(conn: Conn) -> None:
        conn.upgrade(extra=early)
        conn.read_message()
        conn.say({"setupComplete": {}})
        conn.farewell()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                kinds = []
                async for event in session:
                    kinds.append(type(event))
                    if kinds[-1] is SetupComplete:
                        break
                assert TextChunk in kinds
            peer.join()

    kit.run(scenario)


def test_receive_gives_whole_messages(kit: Kit) -> None:
    bundle = {
        "serverContent": {
            "modelTurn": {"parts": [{"text": "a"}, {"text": "b"}]},
            "outputTranscription": {"text": "ab"},
            "turnComplete": True,
        },
        "usageMetadata": {"totalTokenCount": 3},
    }

    def script(conn: Conn) -> None:
        conn.open()
        conn.frame(9, b"ping")
        conn.say(bundle)
        conn.say({"goAway": {"timeLeft": "5s"}})
        conn.say(bundle)
        conn.close(1000, "bye")
        conn.read_close()

    async def scenario() -> None:
        with Peer(script) as peer:
            async with kit.connect(peer.endpoint()) as session:
                first = await session.receive()
                assert len(first.server_content.model_turn.parts) == 2
                assert first.usage_metadata.total_token_count == 3
                assert (await session.receive()).go_away is not None
                assert session.phase is Phase.DRAINING
                # Iteration takes one event of the bundle; receive() gives the whole of what is begun.
                assert (await anext(session)).message.server_content is not None
                assert (await session.receive()).usage_metadata is not None
                for _ in range(3):
                    assert await session.receive() is None
                with pytest.raises(StopAsyncIteration):
                    await anext(session)
                assert session.close_info.reason == "bye"
            peer.join()

    kit.run(scenario)


def test_server_sees_the_request(kit: Kit) -> None:
    async def answering(session: Any) -> None:
        seen.append(session.request)
        assert type(await anext(session)) is UpgradeRequested
        message = await session.receive()
        assert message.setup.model == "models/test"
        await session.send_setup_complete()
        assert (await session.receive()).client_content is not None
        assert await session.receive() is None
        seen.append(session.close_info)

    seen: list[Any] = []

    async def scenario() -> None:
        async with (
            kit.serve(answering) as server,
            kit.connect(Endpoint.custom(server.url(), headers={"x-mark": "1"})) as session,
        ):
            await session.send_client_content(user("x"))
        assert dict(seen[0].headers)["x-mark"] == "1"

    kit.run(scenario)
    assert seen[1].clean
