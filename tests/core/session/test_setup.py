"""From options to the setup message, and what is refused before anything is dialed (wire.md#setup)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from support.core import CANARY, dial, setup

from live_protocol import Codec, Endpoint, InvalidMessage, Limits, LiveConnection, LiveSession, MessageTooLarge
from live_protocol.messages import (
    AudioTranscriptionConfig,
    Backend,
    Behavior,
    Content,
    FunctionDeclaration,
    GenerationConfig,
    LiveClientSetup,
    LiveConnectConfig,
    Modality,
    MultiSpeakerVoiceConfig,
    Part,
    PrebuiltVoiceConfig,
    SessionResumptionConfig,
    SpeechConfig,
    Tool,
    VoiceConfig,
)

GEMINI = Endpoint.gemini(api_key=CANARY)
VERTEX = Endpoint.vertex(access_token=CANARY, project="p", location="us-central1")
EXPRESS = Endpoint.vertex(api_key=CANARY)


def setup_of(endpoint: Endpoint, config: Any = None, model: str | None = "m") -> dict[str, Any]:
    """The setup frame that the client sends once it is connected."""
    client = LiveConnection.client(endpoint, config, model=model)
    server = LiveConnection.server(strict=False)
    server.receive_data(client.data_to_send())
    next(server.events())
    server.accept()
    client.receive_data(server.data_to_send())
    server.receive_data(client.data_to_send())
    (received,) = [event for event in server.events() if type(event).__name__ == "SetupReceived"]
    codec = Codec(endpoint.backend)
    value: dict[str, Any] = json.loads(codec.encode_client(received.message))["setup"]
    return value


def refused(path: str, why: str, config: Any = None, *, endpoint: Endpoint = GEMINI, model: str | None = "m") -> None:
    with pytest.raises(InvalidMessage) as caught:
        LiveConnection.client(endpoint, config, model=model)
    assert caught.value.path == path
    assert why in caught.value.why
    assert CANARY not in repr(caught.value)


FLAT = {
    "response_modalities": ["AUDIO"],
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 40.0,
    "max_output_tokens": 100,
    "media_resolution": "MEDIA_RESOLUTION_LOW",
    "seed": 1,
    "speech_config": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}, "language_code": "en-US"},
    "thinking_config": {"include_thoughts": True},
    "enable_affective_dialog": True,
    "translation_config": {"target_language_code": "fr"},
    "system_instruction": "Be brief.",
    "tools": [{"function_declarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}, {"google_search": {}}],
    "session_resumption": {"handle": "h"},
    "input_audio_transcription": {},
    "output_audio_transcription": {},
    "realtime_input_config": {"automatic_activity_detection": {"disabled": True}},
    "context_window_compression": {"trigger_tokens": 25600, "sliding_window": {"target_tokens": "12800"}},
    "proactivity": {"proactive_audio": True},
    "history_config": {"initial_history_in_client_content": True},
    "labels": {"a_b": "c"},
}
NESTED = {
    "model": "models/m",
    "generationConfig": {
        "responseModalities": ["AUDIO"],
        "temperature": 0.7,
        "topP": 0.9,
        "topK": 40.0,
        "maxOutputTokens": 100,
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "seed": 1,
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}, "languageCode": "en-US"},
        "thinkingConfig": {"includeThoughts": True},
        "enableAffectiveDialog": True,
        "translationConfig": {"targetLanguageCode": "fr"},
    },
    "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}]},
    "tools": [{"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}, {"googleSearch": {}}],
    "sessionResumption": {"handle": "h"},
    "inputAudioTranscription": {},
    "outputAudioTranscription": {},
    "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}},
    "contextWindowCompression": {"triggerTokens": "25600", "slidingWindow": {"targetTokens": "12800"}},
    "proactivity": {"proactiveAudio": True},
    "historyConfig": {"initialHistoryInClientContent": True},
    "labels": {"a_b": "c"},
}


def camel(value: Any, key: str = "") -> Any:
    def name(text: str) -> str:
        head, *tail = text.split("_")
        return head + "".join(word.capitalize() for word in tail)

    if isinstance(value, dict):
        return {k if key == "labels" else name(k): camel(v, k) for k, v in value.items()}
    return [camel(item) for item in value] if isinstance(value, list) else value


def test_every_option_lands_on_its_level() -> None:
    assert setup_of(GEMINI, FLAT) == NESTED
    assert setup_of(GEMINI, camel(FLAT)) == NESTED
    typed = LiveConnectConfig(
        response_modalities=[Modality.AUDIO],
        temperature=0.7,
        speech_config=SpeechConfig(
            voice_config=VoiceConfig(prebuilt_voice_config=PrebuiltVoiceConfig(voice_name="Kore"))
        ),
        system_instruction=Content(parts=[Part(text="x")]),
        tools=[Tool(function_declarations=[FunctionDeclaration(name="f", behavior=Behavior.BLOCKING)])],
        input_audio_transcription=AudioTranscriptionConfig(),
        session_resumption=SessionResumptionConfig(),
        extra={"brandNew": 1},
    )
    assert setup_of(GEMINI, typed) == {
        "model": "models/m",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "temperature": 0.7,
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
        },
        "systemInstruction": {"parts": [{"text": "x"}]},
        "tools": [{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}],
        "inputAudioTranscription": {},
        "sessionResumption": {},
        "brandNew": 1,
    }


def test_messages_may_stand_inside_dicts() -> None:
    config = {"speech_config": SpeechConfig(language_code="de"), "tools": (Tool(google_search=None),)}
    assert setup_of(GEMINI, config) == {
        "model": "models/m",
        "generationConfig": {"speechConfig": {"languageCode": "de"}},
        "tools": [{}],
    }


def test_values_of_python_may_stand_inside_dicts() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    window = {"time_range_filter": {"start_time": start, "endTime": "2026-02-01T00:00:00Z"}}
    config = {
        "tools": [{"google_search": window}],
        "response_modalities": (Modality.TEXT,),
        "avatar_config": {"customized_avatar": {"image_data": b"\xff"}},
    }
    assert setup_of(GEMINI, config) == {
        "model": "models/m",
        "generationConfig": {"responseModalities": ["TEXT"]},
        "tools": [
            {
                "googleSearch": {
                    "timeRangeFilter": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-02-01T00:00:00Z"}
                }
            }
        ],
        "avatarConfig": {"customizedAvatar": {"imageData": "/w=="}},
    }


def test_single_options_override_the_generation_config() -> None:
    config = {"generation_config": {"temperature": 0.1, "topP": 0.5}, "temperature": 0.2}
    assert setup_of(GEMINI, config)["generationConfig"] == {"temperature": 0.2, "topP": 0.5}


def test_nothing_given() -> None:
    assert setup_of(GEMINI) == setup_of(GEMINI, {}) == {"model": "models/m"}


@pytest.mark.parametrize(
    ("endpoint", "model", "path"),
    [
        (GEMINI, "m", "models/m"),
        (GEMINI, "models/m", "models/m"),
        (GEMINI, "tunedModels/m", "tunedModels/m"),
        (VERTEX, "m", "projects/p/locations/us-central1/publishers/google/models/m"),
        (VERTEX, "a/b", "projects/p/locations/us-central1/publishers/a/models/b"),
        (VERTEX, "projects/x", "projects/x"),
        (EXPRESS, "m", "publishers/google/models/m"),
    ],
)
def test_model_paths(endpoint: Endpoint, model: str, path: str) -> None:
    assert setup_of(endpoint, model=model)["model"] == path
    assert setup_of(endpoint, LiveClientSetup(model=model), model=None)["model"] == path
    assert setup_of(endpoint, LiveClientSetup(model="other"), model=model)["model"] == path


def test_default_modality() -> None:
    assert setup_of(VERTEX)["generationConfig"] == {"responseModalities": ["AUDIO"]}
    assert setup_of(VERTEX, {"temperature": 1})["generationConfig"] == {
        "responseModalities": ["AUDIO"],
        "temperature": 1,
    }
    assert setup_of(VERTEX, {"response_modalities": ["TEXT"]})["generationConfig"] == {"responseModalities": ["TEXT"]}
    assert "generationConfig" not in setup_of(EXPRESS)
    assert "generationConfig" not in setup_of(GEMINI)
    assert "generationConfig" not in setup_of(VERTEX, LiveClientSetup())  # whoever writes the whole means the whole


@pytest.mark.parametrize(
    ("config", "path", "why"),
    [
        ({"temprature": 1}, "config", "unknown field 'temprature'; did you mean 'temperature'?"),
        ({"responseModality": ["AUDIO"]}, "config", "did you mean 'response_modalities'?"),
        ({"speech_config": {"voiceConf": {}}}, "config.speech_config", "did you mean 'voice_config'?"),
        ({"tools": [{}, {"google_serch": {}}]}, "config.tools[1]", "did you mean 'google_search'?"),
        ({"zzz": 1}, "config", "LiveConnectConfig has no such field"),
        ({5: 1}, "config", "unknown field '5'"),
        ({"x" * 1000: CANARY}, "config", "no such field"),
        ({"temperature": "warm"}, "config.temperature", "expected a number, got a string"),
        ({"tools": 5}, "config.tools", "expected Tool or a dict of its fields, got int"),
        ({"tools": "google_search"}, "config.tools", "expected Tool or a dict of its fields, got str"),
        ({"safety_settings": {}}, "config.safety_settings", "expected a list, got an object; put it into one: [...]"),
        ({"labels": {"a": 1}}, "config.labels.a", "expected a string, got a number"),
        ({"labels": {"": 1}}, "config.labels", "expected a string, got a number"),
        ({"labels": {5: "x"}}, "config.labels.5", "expected a string, got a number"),
        ({"response_modalities": "AUDIO"}, "config.response_modalities", "expected a list, got a string"),
        ({"system_instruction": 5}, "config.system_instruction", "expected Content or a dict of its fields, got int"),
        ("AUDIO", "config", "expected LiveConnectConfig or a dict of its fields, got str"),
        (LiveConnectConfig(generation_config=CANARY, seed=1), "config.generation_config", "expected GenerationConfig"),
        (LiveConnectConfig(response_modalities="AUDIO"), "setup.generation_config.response_modalities", "a list"),
        (LiveConnectConfig(response_modalities=5), "setup.generation_config.response_modalities", "a list"),
        (LiveConnectConfig(speech_config=5), "setup.generation_config.speech_config", "expected SpeechConfig"),
        (LiveConnectConfig(tools=[5]), "config.tools[0]", "expected Tool or a dict of its fields, got int"),
        (LiveClientSetup(generation_config=CANARY), "setup.generation_config", "expected GenerationConfig"),
    ],
)
def test_mismatches(config: Any, path: str, why: str) -> None:
    refused(path, why, config)


def test_the_mapping_of_generation_options_may_be_a_dict() -> None:
    refused("config.generation_config", "expected GenerationConfig", LiveConnectConfig(generation_config=5))


@pytest.mark.parametrize("model", [None, "", "a..b", "a?b", "a&b", "a b", "m\n", "m\x00"])
def test_models_that_the_sdks_refuse(model: str | None) -> None:
    refused("setup.model", "", model=model)


def test_models_of_the_wrong_type() -> None:
    refused("setup.model", "expected a string, got int", model=5)  # type: ignore[arg-type]
    refused("setup.model", "expected a string, got list", LiveClientSetup(model=["m"]), model=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"response_logprobs": True},
        {"logprobs": 1},
        {"response_mime_type": "text/plain"},
        {"response_schema": {"type": "STRING"}},
        {"response_json_schema": {}},
        {"stop_sequences": ["x"]},
        {"routing_config": {}},
        {"audio_timestamp": False},
    ],
)
def test_what_live_does_not_have(fields: dict[str, Any]) -> None:
    refused(
        f"setup.generation_config.{next(iter(fields))}",
        "the Live API does not support it",
        {"generation_config": fields},
    )


def test_one_voice_and_one_modality() -> None:
    speech = SpeechConfig(multi_speaker_voice_config=MultiSpeakerVoiceConfig())
    path = "setup.generation_config.speech_config.multi_speaker_voice_config"
    refused(path, "one voice", {"speech_config": speech})
    refused("setup.generation_config.response_modalities", "exactly one", {"response_modalities": ["TEXT", "AUDIO"]})
    for modalities in ([], ["TEXT"], ("AUDIO",), ["BRAND_NEW"]):
        setup_of(GEMINI, {"response_modalities": modalities})


@pytest.mark.parametrize(
    ("config", "path", "endpoint"),
    [
        ({"explicit_vad_signal": True}, "setup.explicit_vad_signal", GEMINI),
        ({"session_resumption": {"transparent": True}}, "setup.session_resumption.transparent", GEMINI),
        (
            {"safety_settings": [{"category": "a", "threshold": "b", "method": "c"}]},
            "setup.safety_settings[0].method",
            GEMINI,
        ),
        (
            {"generation_config": {"model_selection_config": {"feature_selection_preference": "x"}}},
            "setup.generation_config.model_selection_config",
            GEMINI,
        ),
        (
            {"generation_config": {"enable_enhanced_civic_answers": True}},
            "setup.generation_config.enable_enhanced_civic_answers",
            VERTEX,
        ),
    ],
)
def test_fields_of_the_other_backend(config: Any, path: str, endpoint: Endpoint) -> None:
    other = GEMINI if endpoint is VERTEX else VERTEX
    refused(path, f"only the {other.backend} backend takes this field", config, endpoint=endpoint)
    setup_of(other, config)


def test_sessions_check_their_setup() -> None:
    for bad in (
        {"model": "m"},
        LiveClientSetup(),
        setup(generation_config=5),
        setup(generation_config=GenerationConfig(logprobs=1)),
        setup(explicit_vad_signal=True),
    ):
        with pytest.raises(InvalidMessage):
            LiveSession.client(bad)  # type: ignore[arg-type]
    LiveSession.client(setup(explicit_vad_signal=True), codec=Codec(Backend.VERTEX))


def test_the_setup_has_a_size() -> None:
    size = len(b'{"setup":{"model":"models/m"}}')
    for limit in (size, size + 1):
        dial(limits=Limits(max_send=limit))
    with pytest.raises(MessageTooLarge) as caught:
        dial(limits=Limits(max_send=size - 1))
    assert (caught.value.size, caught.value.limit) == (size, size - 1)
