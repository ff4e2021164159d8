"""What `connect` hands through to the machine: the observer, and the profile of the model."""

from __future__ import annotations

import io
from typing import Any

import pytest
from transports.runtimes.kit.kit import Kit
from transports.runtimes.test_talking import model, user

from live_protocol import Endpoint, IllegalInState
from live_protocol.events import ToolCallRequested
from live_protocol.reconnect import ReconnectPolicy
from live_protocol.recording import Recorder, Timeline, TraceReader
from live_protocol.session import ModelProfile

TOOLS = {"tools": [{"function_declarations": [{"name": "time"}]}]}


@pytest.mark.parametrize("policy", [None, ReconnectPolicy()], ids=["once", "reconnecting"])
def test_observer_and_profile(kit: Kit, policy: ReconnectPolicy | None) -> None:
    sink = io.BytesIO()
    options: dict[str, Any] = {"observer": Recorder(sink), "profile": ModelProfile(audio_during_calls=False)}

    async def scenario() -> None:
        async with (
            kit.serve(model) as server,
            kit.connect(Endpoint.custom(server.url()), TOOLS, reconnect=policy, **options) as session,
        ):
            await session.send_client_content(user("call"))
            async for event in session:
                if isinstance(event, ToolCallRequested):
                    break
            with pytest.raises(IllegalInState, match="blocks the model"):
                await session.send_realtime_input(audio=bytes(640), rate=16_000)
            await session.send_tool_response({"id": "c1", "response": {}})
            await session.send_realtime_input(audio=bytes(640), rate=16_000)
            await session.close()

    kit.run(scenario)
    timeline = Timeline.from_records(TraceReader(sink.getvalue()).records())
    assert [call.name for call in timeline.tools] == ["time"]
    assert timeline.end is not None
