"""@google/genai, unpatched, holds whole sessions against ``live-protocol serve``, over TLS and without."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT

from interop.support import SPEECH, Server, Stories, tell

PACKAGE = ROOT / "node_modules" / "@google" / "genai" / "package.json"
NODE = shutil.which("node")
if NODE is None:
    pytest.skip("needs node", allow_module_level=True)
if not PACKAGE.exists():
    pytest.skip("needs @google/genai in node_modules, where .ci/run installs it", allow_module_level=True)

CHAPTERS: Mapping[str, tuple[str, ...]] = {
    "gemini": ("text_only", "ends", "token", "conversation"),
    "vertex": ("text_only", "ends", "conversation"),
    "express": ("text_only", "ends"),
    "gateway": ("text_only",),
}
"""How the SDK can be told to dial, and what is tried that way."""

PLAIN = ("gemini", "vertex")
BOTH = pytest.mark.parametrize("dialect", ["gemini", "vertex"])
EVERY = pytest.mark.parametrize("dialect", list(CHAPTERS))
STORY = Path(__file__).with_name("story.mjs")


def story(dialect: str, url: str, chapters: tuple[str, ...]) -> list[str]:
    # The SDK takes an HTTP URL and makes a WebSocket URL of it.
    return [str(NODE), str(STORY), dialect, url.replace("ws", "http", 1), str(SPEECH), *chapters]


@pytest.fixture(scope="module")
def stories(server: Server) -> Stories:
    """All stories at once."""
    commands = {dialect: story(dialect, server.url, chapters) for dialect, chapters in CHAPTERS.items()}
    return tell(commands, NODE_EXTRA_CA_CERTS=server.ca)


@EVERY
def test_the_story_is_told_to_its_end(stories: Stories, dialect: str) -> None:
    assert (stories[dialect]["status"], stories[dialect]["err"]) == (0, "")
    assert set(CHAPTERS[dialect]) < set(stories[dialect])


# --- text -------------------------------------------------------------------------------------------------------


def texts(told: dict[str, Any]) -> None:
    assert told["text"]["text"] == "Hello"
    assert told["text"]["tokens"] > 0
    assert told["realtime"]["text"] == "In real time"
    assert told["image"]["mimeTypes"] == ["image/png"]
    assert told["end"] == {"code": 1005, "text": "", "error": None}  # the SDK closes without a code


@EVERY
def test_text(stories: Stories, dialect: str) -> None:
    texts(stories[dialect]["text_only"])


@EVERY
def test_interruption(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["text_only"]
    assert told["cut"]["interrupted"]
    assert told["cut"]["text"].startswith("Once ")
    assert len(told["cut"]["text"]) < 100
    assert (told["after"]["text"], told["after"]["interrupted"]) == ("Stop.", False)


def test_without_tls(plain_server: Server) -> None:
    commands = {dialect: story(dialect, plain_server.url, ("text_only",)) for dialect in PLAIN}
    for told in tell(commands).values():
        assert (told["status"], told["err"]) == (0, "")
        texts(told["text_only"])


# --- a conversation ---------------------------------------------------------------------------------------------


@BOTH
def test_setup(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["conversation"]
    assert told["setup"] == {"complete": True, "sessionId": dialect == "vertex"}
    assert told["system"]["text"] == "Be a parrot."


@BOTH
def test_audio_both_ways(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["conversation"]
    mime_type = "audio/pcm" if dialect == "vertex" else "audio/pcm;rate=24000"
    assert told["text"]["mimeTypes"] == told["speech"]["mimeTypes"] == [mime_type]
    assert told["text"]["text"] == "Good day"
    assert told["text"]["audio"] > 0
    assert told["speech"]["heard"] == told["speech"]["text"] == "[2.9 s of speech]"
    assert 2.5 < told["speech"]["audio"] / 48_000 < 3.0


@BOTH
def test_tool_call(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["conversation"]["call"]
    (call,) = told["calls"]
    assert call.pop("id")
    assert call == {"name": "get_weather", "args": {"city": "Oslo"}}
    assert told["text"] == '{"output": "snow"}'


@BOTH
def test_the_history_survives_resumption(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["conversation"]
    lines = told["resumed"]["text"].splitlines()
    assert lines[:4] == [
        "user: Good day",
        "model: Good day",
        "user: [2.9 s of speech]",
        "model: [2.9 s of speech]",
    ]
    assert 'model: {"output": "snow"}' in lines


# --- how it ends ------------------------------------------------------------------------------------------------

ENDS: Mapping[str, tuple[int, str]] = {
    "modalities": (1007, "The requested combination of response modalities (TEXT, AUDIO) is not supported"),
    "bad_handle": (1008, "BidiGenerateContent session not found"),
    "internal": (1011, "Internal error encountered."),
    "in_peace": (1000, ""),
    "dropped": (1006, ""),
}
"""What is the same everywhere."""


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("dialect", ["gemini", "vertex", "express"])
def test_the_callback_is_told_code_and_reason(stories: Stories, dialect: str, how: str) -> None:
    code, text = ENDS[how]
    told = stories[dialect]["ends"][how]
    assert (told["code"], told["error"]) == (code, None)
    assert told["text"].startswith(text)


def test_refusals_of_gemini(stories: Stories) -> None:
    told = stories["gemini"]["ends"]
    assert told["bad_key"] == {"code": 1007, "text": "API key not valid. Please pass a valid API key.", "error": None}
    assert told["no_model"]["code"] == 1008
    assert told["no_model"]["text"].startswith("models/missing-model is not found for API version v1beta")


@pytest.mark.parametrize("dialect", ["vertex", "express"])
def test_refusals_of_vertex(stories: Stories, dialect: str) -> None:
    told = stories[dialect]["ends"]
    assert told["no_model"] == {"code": 1008, "text": "Requested entity was not found.", "error": None}
    # Vertex looks at credentials before it accepts the upgrade.
    assert told["bad_key"]["error"] == "Unexpected server response: 401"


def test_an_ephemeral_token_is_minted_and_used(stories: Stories) -> None:
    told = stories["gemini"]["token"]
    assert told["prefix"] == "auth_tokens"
    assert told["system"]["text"] == "Be a locked parrot."  # its setup, not the client's
    assert told["second_use"] == {"code": 1011, "text": "Token has been used too many times", "error": None}
