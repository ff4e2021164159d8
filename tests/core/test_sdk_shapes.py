"""What users of the official SDK bring along: dicts of its configurations and messages, and its own objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from google.genai import types

from core.support import ready_client, tell
from live_protocol import Endpoint, InvalidMessage, LiveConnection
from live_protocol.commands import build_setup
from live_protocol.declare import declare
from live_protocol.messages import Blob, Content, Modality, Part, Tool

GEMINI = Endpoint.gemini(api_key="any")


def test_a_configuration_dumped_by_the_sdk() -> None:
    theirs = types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        speech_config=types.SpeechConfig(
            voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore"))
        ),
        tools=[types.Tool(function_declarations=[types.FunctionDeclaration(name="f")])],
        realtime_input_config=types.RealtimeInputConfig(
            activity_handling=types.ActivityHandling.NO_INTERRUPTION,
            automatic_activity_detection=types.AutomaticActivityDetection(silence_duration_ms=500),
        ),
        context_window_compression=types.ContextWindowCompressionConfig(sliding_window=types.SlidingWindow()),
    )
    plain = build_setup(GEMINI, theirs.model_dump(exclude_none=True), "m")
    assert plain == build_setup(GEMINI, theirs.model_dump(exclude_none=True, mode="json"), "m")
    assert plain.generation_config is not None
    assert plain.generation_config.response_modalities == [Modality.AUDIO]


@pytest.mark.parametrize("key", ["system_instruction", "systemInstruction"])
@pytest.mark.parametrize("parts", [["Be brief.", {"text": "Be kind."}], ({"text": "Be brief."}, Part(text="Be kind."))])
def test_instructions_in_parts(key: str, parts: Any) -> None:
    config = {key: parts}
    setup = build_setup(GEMINI, config, "m")
    assert setup.system_instruction == Content(role="user", parts=[Part(text="Be brief."), Part(text="Be kind.")])
    assert config == {key: parts}


def get_weather(city: str) -> str:
    """Weather of a city."""
    return city


@pytest.mark.parametrize(
    ("config", "path", "remedy"),
    [
        ({"http_options": {"api_version": "v1alpha"}}, "config.http_options", "version="),
        ({"httpOptions": {"timeout": 3}}, "config.http_options", "Endpoint"),
        ({"tools": [get_weather]}, "config.tools[0]", "declare"),
        ({"tools": [types.Tool()]}, "config.tools[0]", "model_dump"),
        (types.LiveConnectConfig(), "config", "model_dump"),
        ({"response_modalities": [np.int16(1)]}, "config.response_modalities[0]", "tobytes"),
    ],
)
def test_configurations_that_say_what_to_do(config: Any, path: str, remedy: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        LiveConnection.client(GEMINI, config, model="m")
    assert caught.value.path == path
    assert remedy in caught.value.why


def test_the_remedy_for_functions_works() -> None:
    assert build_setup(GEMINI, {"tools": [Tool(function_declarations=[declare(get_weather)])]}, "m").tools


SAMPLES = np.zeros(160, "<i2")


@pytest.mark.parametrize(
    ("send", "path", "remedy"),
    [
        (
            lambda session: session.send_client_content(types.Content(parts=[types.Part(text="x")])),
            "client_content.turns",
            "model_dump",
        ),
        (
            lambda session: session.send_client_content([types.Content(parts=[types.Part(text="x")])]),
            "client_content.turns[0]",
            "model_dump",
        ),
        (
            lambda session: session.send_realtime_input(audio=types.Blob(data=b"xx", mime_type="audio/pcm;rate=16000")),
            "realtime_input.audio",
            "model_dump",
        ),
        (lambda session: session.send_realtime_input(audio=SAMPLES, rate=16000), "realtime_input.audio", "tobytes"),
        (
            lambda session: session.send_realtime_input(audio=memoryview(SAMPLES.astype("f4")), rate=16000),
            "realtime_input.audio.data",
            "16-bit",
        ),
        (
            lambda session: session.send_realtime_input(
                audio=Blob(data=memoryview(SAMPLES.astype(">i2")), mime_type="audio/pcm;rate=16000")  # type: ignore[arg-type]
            ),
            "realtime_input.audio.data",
            "'>h'",
        ),
        (lambda session: session.send_context_update(tools=[get_weather]), "context_update.tools.tools[0]", "declare"),
    ],
)
def test_messages_that_say_what_to_do(send: Callable[[Any], None], path: str, remedy: str) -> None:
    session = ready_client()
    with pytest.raises(InvalidMessage) as caught:
        send(session)
    assert caught.value.path == path
    assert remedy in caught.value.why
    assert not session.messages_to_send()


def test_messages_dumped_by_the_sdk() -> None:
    session = ready_client()
    tell(session, {"toolCall": {"functionCalls": [{"id": "1", "name": "f"}]}})
    session.send_client_content(types.Content(role="user", parts=[types.Part(text="x")]).model_dump(exclude_none=True))
    blob = types.Blob(data=b"xx", mime_type="audio/pcm;rate=16000")
    session.send_realtime_input(audio=blob.model_dump(exclude_none=True))
    response = types.FunctionResponse(
        id="1", name="f", response={"a": 1}, scheduling=types.FunctionResponseScheduling.SILENT
    )
    session.send_tool_response(response.model_dump(exclude_none=True))
    assert len(session.messages_to_send()) == 3


@pytest.mark.parametrize("samples", [SAMPLES, np.array(memoryview(SAMPLES.tobytes())), SAMPLES[::-1]])
def test_views_of_samples(samples: Any) -> None:
    session = ready_client()
    session.send_realtime_input(audio=memoryview(samples), rate=16000)
    assert len(session.messages_to_send()) == 1
