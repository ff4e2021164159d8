"""A session of google-genai, told as JSON. Runs as a process of its own: ``python story.py DIALECT URL SPEECH``.

It is written as an application would be: only the public interface, nothing patched. The server's certificate is
trusted through SSL_CERT_FILE, as anybody would do it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

MODEL = "gemini-3.8-live"
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="The weather in a city, now.",
            parameters=types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}),
        )
    ]
)
STORY = " ".join(["Once upon a time there was a parrot that told one and the same story."] * 30)


def client(dialect: str, url: str, *, key: str = "any", **options: Any) -> genai.Client:
    http = types.HttpOptions(base_url=url.replace("wss://", "https://"), **options)
    match dialect:
        case "gemini":
            return genai.Client(vertexai=False, api_key=key, http_options=http)
        case "express":
            return genai.Client(vertexai=True, api_key=key, http_options=http)
        case "vertex":
            return genai.Client(
                vertexai=True,
                project="a-project",
                location="us-central1",
                credentials=Credentials(token=key),  # type: ignore[no-untyped-call]
                http_options=http,
            )
        case "gateway":  # without a project the URL is taken as it is, and the headers are the application's
            path = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
            headers = {"Authorization": f"Bearer {key}"}
            return genai.Client(
                vertexai=True, http_options=types.HttpOptions(base_url=f"{url}{path}", headers=headers, **options)
            )
    raise ValueError(dialect)


class Heard:
    """What one turn brought."""

    def __init__(self) -> None:
        self.text = ""
        self.heard = ""
        self.audio = 0
        self.mime_types: set[str] = set()
        self.calls: list[types.FunctionCall] = []
        self.interrupted = False
        self.tokens: int | None = None

    def take(self, message: types.LiveServerMessage) -> None:
        if message.tool_call:
            self.calls += message.tool_call.function_calls or []
        if message.usage_metadata:
            self.tokens = message.usage_metadata.total_token_count
        content = message.server_content
        if content is None:
            return
        self.interrupted |= bool(content.interrupted)
        if content.output_transcription:
            self.text += content.output_transcription.text or ""
        if content.input_transcription:
            self.heard += content.input_transcription.text or ""
        for part in (content.model_turn and content.model_turn.parts) or []:
            self.text += part.text or ""
            if part.inline_data:
                self.audio += len(part.inline_data.data or b"")
                self.mime_types.add(part.inline_data.mime_type or "")

    def told(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "heard": self.heard,
            "audio": self.audio,
            "mime_types": sorted(self.mime_types),
            "calls": [{"name": call.name, "args": call.args, "has_id": bool(call.id)} for call in self.calls],
            "interrupted": self.interrupted,
            "tokens": self.tokens,
        }


class Story:
    def __init__(self, dialect: str, url: str, speech: str) -> None:
        self.dialect = dialect
        self.url = url
        self.speech = speech
        self.handle: str | None = None

    @asynccontextmanager
    async def session(self, model: str = MODEL, key: str = "any", **config: Any) -> AsyncIterator[Any]:
        chosen = client(self.dialect, self.url, key=key)
        async with chosen.aio.live.connect(model=model, config=types.LiveConnectConfig(**config)) as session:
            yield session

    async def turn(self, session: Any) -> Heard:
        """Everything up to the end of a turn, which is where the SDK's generator ends."""
        heard = Heard()
        async for message in session.receive():
            heard.take(message)
            update = message.session_resumption_update
            if update and update.resumable and update.new_handle:
                self.handle = update.new_handle
        return heard

    async def ask(self, session: Any, text: str) -> dict[str, Any]:
        await session.send_client_content(turns=types.Content(role="user", parts=[types.Part(text=text)]))
        return (await self.turn(session)).told()

    # --- chapters ---------------------------------------------------------------------------------------------------

    async def conversation(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "response_modalities": [types.Modality.AUDIO],
            "system_instruction": "Be a parrot.",
            "tools": [WEATHER],
            "input_audio_transcription": types.AudioTranscriptionConfig(),
            "output_audio_transcription": types.AudioTranscriptionConfig(),
            "session_resumption": types.SessionResumptionConfig(),
            "speech_config": types.SpeechConfig(
                voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore"))
            ),
            "context_window_compression": types.ContextWindowCompressionConfig(sliding_window=types.SlidingWindow()),
        }
        told: dict[str, Any] = {}
        async with self.session(**config) as session:
            told["session_id"] = bool(session.session_id)
            told["text"] = await self.ask(session, "Good day")
            told["speech"] = await self.speak(session)
            told["call"] = await self.call(session)
            told["system"] = await self.ask(session, "/system")
            await session.send_context_update(system_instruction="Be an owl.", tools=[])
            told["updated"] = await self.ask(session, "/system")
            told["no_tool"] = await self.ask(session, "/call get_weather {}")
        # The configuration may change with resumption; text has not to be waited for.
        handle = types.SessionResumptionConfig(handle=self.handle)
        async with self.session(response_modalities=[types.Modality.TEXT], session_resumption=handle) as session:
            told["resumed"] = await self.ask(session, "/history")
        return told

    async def speak(self, session: Any) -> dict[str, Any]:
        with wave.open(self.speech) as file:
            rate, step = file.getframerate(), file.getframerate() // 10
            while chunk := file.readframes(step):
                await session.send_realtime_input(audio=types.Blob(data=chunk, mime_type=f"audio/pcm;rate={rate}"))
        await session.send_realtime_input(audio_stream_end=True)
        return (await self.turn(session)).told()

    async def call(self, session: Any) -> dict[str, Any]:
        heard = Heard()
        await session.send_client_content(
            turns=types.Content(role="user", parts=[types.Part(text='/call get_weather {"city": "Oslo"}')])
        )
        while not heard.text:
            async for message in session.receive():
                heard.take(message)
                for call in (message.tool_call and message.tool_call.function_calls) or []:
                    response = types.FunctionResponse(id=call.id, name=call.name, response={"output": "snow"})
                    await session.send_tool_response(function_responses=[response])
        return heard.told()

    async def text_only(self) -> dict[str, Any]:
        """What needs no voice, and so no time."""
        told: dict[str, Any] = {}
        async with self.session(response_modalities=[types.Modality.TEXT]) as session:
            told["text"] = await self.ask(session, "Hello")
            await session.send_realtime_input(text="In real time")
            told["realtime_text"] = (await self.turn(session)).told()
            told["image"] = await self.ask(session, "/image")
            told["cut"], told["after"] = await self.barge_in(session)
        return told

    async def rules(self) -> dict[str, Any]:
        """What the service has rules for: seeded history, marked activity, barge-in by voice, goAway, a function."""

        def get_weather(city: str) -> str:
            """The weather in a city, now."""
            return f"snow in {city}"

        told: dict[str, Any] = {}
        text: dict[str, Any] = {"response_modalities": [types.Modality.TEXT]}
        async with self.session(
            **text, tools=[get_weather], history_config=types.HistoryConfig(initial_history_in_client_content=True)
        ) as session:
            said = [("user", "Who are you?"), ("model", "A parrot.")]
            turns = [types.Content(role=role, parts=[types.Part(text=line)]) for role, line in said]
            await session.send_client_content(turns=turns)
            told["seeded"] = await self.ask(session, "/history")
            told["function"] = await self.call(session)
            await session.send_client_content(
                turns=types.Content(role="user", parts=[types.Part(text="One ")]), turn_complete=False
            )
            told["joined"] = await self.ask(session, "two")
            await session.send_client_content(
                turns=types.Content(role="user", parts=[types.Part(text="/goaway 0.2")]), turn_complete=True
            )
            try:
                async for message in self.until_the_end(session):
                    if message.go_away:
                        told["go_away"] = message.go_away.time_left
            except errors.APIError as error:
                told["end"] = error.code
        manual = types.RealtimeInputConfig(
            automatic_activity_detection=types.AutomaticActivityDetection(disabled=True),
            activity_handling=types.ActivityHandling.START_OF_ACTIVITY_INTERRUPTS,
        )
        async with self.session(
            **text, realtime_input_config=manual, input_audio_transcription=types.AudioTranscriptionConfig()
        ) as session:
            await session.send_client_content(
                turns=types.Content(role="user", parts=[types.Part(text=f"/slow 60 {STORY}")])
            )
            await session.send_realtime_input(activity_start=types.ActivityStart())
            told["cut"] = (await self.turn(session)).told()
            await session.send_realtime_input(video=types.Blob(data=b"\xff\xd8", mime_type="image/jpeg"))
            await session.send_realtime_input(audio=types.Blob(data=bytes(32_000), mime_type="audio/pcm;rate=16000"))
            await session.send_realtime_input(activity_end=types.ActivityEnd())
            told["marked"] = (await self.turn(session)).told()
            try:
                await session.send_realtime_input(audio=types.Blob(data=bytes(960), mime_type="audio/pcm;rate=24000"))
                await self.turn(session)
            except errors.APIError as error:
                told["rate"] = {"class": "APIError", "code": error.code, "text": str(error)}
        return told

    @staticmethod
    async def until_the_end(session: Any) -> AsyncIterator[types.LiveServerMessage]:
        while True:
            async for message in session.receive():
                yield message

    async def barge_in(self, session: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        heard = Heard()
        await session.send_client_content(
            turns=types.Content(role="user", parts=[types.Part(text=f"/slow 60 {STORY}")])
        )
        spoken = False
        async for message in session.receive():
            heard.take(message)
            if heard.text and not spoken:
                spoken = True
                await session.send_client_content(turns=types.Content(role="user", parts=[types.Part(text="Stop.")]))
        return heard.told(), (await self.turn(session)).told()

    async def ends(self) -> dict[str, Any]:
        """How refusals and closes show."""
        text: dict[str, Any] = {"response_modalities": [types.Modality.TEXT]}
        return {
            "no_model": await self.end(model="missing-model", **text),
            "modalities": await self.end(response_modalities=[types.Modality.TEXT, types.Modality.AUDIO]),
            "foreign_field": await self.end(**text, proactivity=types.ProactivityConfig(proactive_audio=True)),
            "bad_key": await self.end(key="invalid", **text),
            "bad_handle": await self.end(**text, session_resumption=types.SessionResumptionConfig(handle="made-up")),
            "internal": await self.end("/close 1011 Internal error encountered.", **text),
            "in_peace": await self.end("/close 1000", **text),
            "dropped": await self.end("/drop", **text),
        }

    async def end(self, text: str = "hi", **options: Any) -> dict[str, Any]:
        try:
            async with self.session(**options) as session:
                await self.ask(session, text)
        except errors.APIError as error:
            return {"class": type(error).__name__, "code": error.code, "text": str(error)}
        except Exception as error:
            return {"class": type(error).__name__, "code": None, "text": str(error)}
        return {"class": None}

    async def token(self) -> dict[str, Any]:
        """Mint an ephemeral token, and use it."""
        minter = client("gemini", self.url, api_version="v1alpha")
        locked = types.LiveConnectConfig(
            response_modalities=[types.Modality.TEXT], system_instruction="Be a locked parrot."
        )
        token = await minter.aio.auth_tokens.create(
            config=types.CreateAuthTokenConfig(
                uses=1,
                live_connect_constraints=types.LiveConnectConstraints(model=MODEL, config=locked),
            )
        )
        assert token.name is not None
        user = client("gemini", self.url, key=token.name, api_version="v1alpha")
        told: dict[str, Any] = {"prefix": token.name.partition("/")[0]}
        config = types.LiveConnectConfig(response_modalities=[types.Modality.TEXT])
        async with user.aio.live.connect(model=MODEL, config=config) as session:
            told["system"] = await self.ask(session, "/system")
        try:
            async with user.aio.live.connect(model=MODEL, config=config):
                pass
        except errors.APIError as error:
            told["second_use"] = {"code": error.code, "text": str(error)}
        # Only what is set is locked, and any number of sessions may start with it; this time without asyncio.
        partly = minter.auth_tokens.create(
            config=types.CreateAuthTokenConfig(
                uses=0,
                live_connect_constraints=types.LiveConnectConstraints(
                    config=types.LiveConnectConfig(system_instruction="Be half a parrot.")
                ),
                lock_additional_fields=[],
            )
        )
        assert partly.name is not None
        user = client("gemini", self.url, key=partly.name, api_version="v1alpha")
        for use in ("partly", "again"):
            async with user.aio.live.connect(model=MODEL, config=config) as session:
                told[use] = await self.ask(session, "/system")
        return told


async def main() -> None:
    dialect, url, speech, *chapters = sys.argv[1:]
    story = Story(dialect, url, speech)
    for chapter in chapters:
        print(json.dumps({chapter: await getattr(story, chapter)()}), flush=True)


asyncio.run(main())
