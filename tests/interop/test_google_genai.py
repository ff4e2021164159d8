"""google-genai, unpatched, holds whole sessions against ``live-protocol serve --tls``, in both dialects."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interop.support import SPEECH, Server, Stories, tell
from live_protocol import (
    Content,
    Endpoint,
    FunctionResponse,
    Part,
    ResumptionUpdated,
    TextChunk,
    ToolCallRequested,
    TurnComplete,
)
from live_transports import asyncio as live

pytest.importorskip("google.genai")

CHAPTERS: Mapping[str, tuple[str, ...]] = {
    "gemini": ("text_only", "ends", "token", "rules", "conversation"),
    "vertex": ("text_only", "ends", "rules", "conversation"),
    "express": ("text_only", "ends"),
    "gateway": ("text_only",),
}
"""How the SDK can be told to dial, and what is tried that way."""

BOTH = pytest.mark.parametrize("dialect", ["gemini", "vertex"])
EVERY = pytest.mark.parametrize("dialect", list(CHAPTERS))
STORY = Path(__file__).with_name("story.py")


@pytest.fixture(scope="module")
def stories(server: Server) -> Stories:
    """All stories at once."""
    commands = {
        dialect: [sys.executable, str(STORY), dialect, server.url, str(SPEECH), *chapters]
        for dialect, chapters in CHAPTERS.items()
    }
    # The SDK warns about itself on import.
    return tell(commands, SSL_CERT_FILE=server.ca, PYTHONWARNINGS="ignore")


@EVERY
def test_the_story_is_told_to_its_end(stories: Stories, dialect: str) -> None:
    assert (stories[dialect]["status"], stories[dialect]["err"]) == (0, "")
    assert set(CHAPTERS[dialect]) < set(stories[dialect])


# --- text -------------------------------------------------------------------------------------------------------


@EVERY
def test_text(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["text_only"]
    assert told["text"]["text"] == "Hello"
    assert told["text"]["tokens"] > 0
    assert told["realtime_text"]["text"] == "In real time"
    assert told["image"]["mime_types"] == ["image/png"]


@EVERY
def test_interruption(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["text_only"]
    assert told["cut"]["interrupted"]
    assert told["cut"]["text"].startswith("Once ")
    assert "one and the same story" not in told["cut"]["text"]
    assert (told["after"]["text"], told["after"]["interrupted"]) == ("Stop.", False)


# --- a conversation ---------------------------------------------------------------------------------------------


@BOTH
def test_setup(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["conversation"]
    assert told["session_id"] is (dialect == "vertex")
    assert told["system"]["text"] == "Be a parrot."


@BOTH
def test_audio_both_ways(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["conversation"]
    mime_type = "audio/pcm" if dialect == "vertex" else "audio/pcm;rate=24000"
    assert told["text"]["mime_types"] == told["speech"]["mime_types"] == [mime_type]
    assert told["text"]["text"] == "Good day"
    assert told["text"]["audio"] > 0
    assert told["speech"]["heard"] == told["speech"]["text"] == "[2.9 s of speech]"
    assert 2.5 < told["speech"]["audio"] / 48_000 < 3.0


@BOTH
def test_tool_call(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["conversation"]["call"]
    assert told["calls"] == [{"name": "get_weather", "args": {"city": "Oslo"}, "has_id": True}]
    assert told["text"] == '{"output": "snow"}'


@BOTH
def test_context_update(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["conversation"]
    assert told["updated"]["text"] == "Be an owl."
    assert told["no_tool"]["text"] == "No function 'get_weather' is declared."


@BOTH
def test_the_history_survives_resumption(stories: Stories, dialect: str) -> None:
    lines = stories[dialect]["conversation"]["resumed"]["text"].splitlines()
    assert lines[:4] == [
        "user: Good day",
        "model: Good day",
        "user: [2.9 s of speech]",
        "model: [2.9 s of speech]",
    ]
    assert 'model: {"output": "snow"}' in lines


# --- rules of the service ---------------------------------------------------------------------------------------


@BOTH
def test_history_and_unfinished_turns(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["rules"]
    assert told["seeded"]["text"] == "user: Who are you?\nmodel: A parrot."
    assert told["joined"]["text"] == "One two"


@BOTH
def test_a_python_function_as_a_tool(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["rules"]["function"]
    assert told["calls"] == [{"name": "get_weather", "args": {"city": "Oslo"}, "has_id": True}]
    assert told["text"] == '{"output": "snow"}'


@BOTH
def test_marked_activity(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["rules"]
    assert told["cut"]["interrupted"]
    assert told["marked"]["heard"] == told["marked"]["text"] == "[1.0 s of speech]"
    api_error(told["rate"], 1007, "Sample rate changed from previously 16000 to 24000, which is not supported.")


@BOTH
def test_go_away(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["rules"]
    assert (told["go_away"], told["end"]) == ("0.2s", 1011)


# --- how it ends ------------------------------------------------------------------------------------------------

ENDS: Mapping[str, tuple[int, str]] = {
    "modalities": (1007, "The requested combination of response modalities (TEXT, AUDIO) is not supported"),
    "bad_handle": (1008, "BidiGenerateContent session not found"),
    "internal": (1011, "Internal error encountered."),
    "in_peace": (1000, ""),
    "dropped": (1006, "abnormal closure"),
}
"""What is the same everywhere."""

GEMINI: Mapping[str, tuple[int, str]] = {
    "no_model": (1008, "models/missing-model is not found for API version v1"),
    "bad_key": (1007, "API key not valid. Please pass a valid API key."),
    "foreign_field": (1007, "Unknown name \"proactivity\" at 'setup': Cannot find field."),
}


def api_error(told: dict[str, Any], code: int, text: str) -> None:
    assert (told["class"], told["code"]) == ("APIError", code)
    assert text in told["text"]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("dialect", ["gemini", "vertex", "express"])
def test_an_end_shows_as_the_sdks_own_error(stories: Stories, dialect: str, how: str) -> None:
    api_error(stories[dialect]["ends"][how], *ENDS[how])


@pytest.mark.parametrize("how", GEMINI)
def test_a_refusal_of_gemini_comes_with_its_text(stories: Stories, how: str) -> None:
    api_error(stories["gemini"]["ends"][how], *GEMINI[how])


@pytest.mark.parametrize("dialect", ["vertex", "express"])
def test_a_refusal_of_vertex(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["ends"]
    api_error(told["no_model"], 1008, "Requested entity was not found.")
    # Vertex looks at credentials before it accepts the upgrade, and the SDK lets its WebSocket library speak.
    assert told["bad_key"]["class"] == "InvalidStatus"
    assert "HTTP 401" in told["bad_key"]["text"]
    # A field of Vertex and of v1alpha; the dialects differ.
    assert told["foreign_field"] == {"class": None}


def test_an_ephemeral_token_is_minted_and_used(stories: Stories) -> None:
    told = stories["gemini"]["token"]
    assert told["prefix"] == "auth_tokens"
    assert told["system"]["text"] == "Be a locked parrot."  # its setup, not the client's
    assert told["partly"]["text"] == told["again"]["text"] == "Be half a parrot."
    assert told["second_use"] == {"code": 1011, "text": "1011 None. Token has been used too many times"}


# --- the same server, our client --------------------------------------------------------------------------------


def _endpoint(dialect: str, base_url: str) -> Endpoint:
    if dialect == "gemini":
        return Endpoint.gemini(api_key="any", base_url=base_url)
    return Endpoint.vertex(access_token="any", project="a-project", location="us-central1", base_url=base_url)


@BOTH
def test_our_client_over_tls(server: Server, dialect: str) -> None:
    context = ssl.create_default_context(cafile=server.ca)
    endpoint = _endpoint(dialect, server.url)
    weather = {"function_declarations": [{"name": "get_weather", "description": "The weather in a city."}]}

    async def turn(session: live.LiveClientSession, text: str) -> tuple[str, str]:
        answer, over = "", False
        await session.send_client_content(Content(role="user", parts=[Part(text=text)]))
        async for event in session:
            match event:
                case TextChunk():
                    answer += event.text
                case ToolCallRequested(call=call):
                    response = FunctionResponse(id=call.id, name=call.name, response={"output": "snow"})
                    await session.send_tool_response(response)
                case TurnComplete():
                    over = bool(answer)
                case ResumptionUpdated(handle=str(handle)) if over:  # the one that includes the turn comes after it
                    return answer, handle
                case _:
                    pass
        raise AssertionError(session.close_info)

    async def scene() -> tuple[str, str]:
        config: dict[str, Any] = {"response_modalities": ["TEXT"], "tools": [weather], "session_resumption": {}}
        async with live.connect(endpoint, config, model="m", ssl=context) as session:
            said, handle = await turn(session, "/call get_weather {}")
        config["session_resumption"] = {"handle": handle}
        async with live.connect(endpoint, config, model="m", ssl=context) as session:
            history, _ = await turn(session, "/history")
        return said, history

    async def bounded() -> tuple[str, str]:
        async with asyncio.timeout(20):
            return await scene()

    said, history = asyncio.run(bounded())
    assert said.endswith('{"output": "snow"}')
    assert "model: call get_weather" in history
