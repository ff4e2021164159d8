from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transports.cli.support import Result, call, run


def check(value: Any, *arguments: str) -> Result:
    return call("check", "-", *arguments, stdin=value if isinstance(value, str | bytes) else json.dumps(value))


def test_a_config_becomes_the_setup_that_would_be_sent(tmp_path: Path) -> None:
    config = {
        "response_modalities": ["AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
        "output_audio_transcription": {},
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    result = run("check", file, "--model", "some-model")
    assert (result.status, result.err) == (0, "")
    assert json.loads(result.out) == {
        "setup": {
            "model": "models/some-model",
            "generationConfig": {
                "responseModalities": ["AUDIO"],
                "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
            },
            "outputAudioTranscription": {},
        }
    }


def test_vertex_has_its_own_names_and_defaults() -> None:
    result = check({}, "--vertex", "--project", "p", "--location", "us-central1", "--model", "m")
    assert json.loads(result.out)["setup"] == {
        "model": "projects/p/locations/us-central1/publishers/google/models/m",
        "generationConfig": {"responseModalities": ["AUDIO"]},
    }


@pytest.mark.parametrize("wrap", [lambda setup: setup, lambda setup: {"setup": setup}])
def test_a_whole_setup(wrap: Any) -> None:
    result = check(wrap({"model": "m", "tools": [{"google_search": {}}]}))
    assert json.loads(result.out) == {"setup": {"model": "models/m", "tools": [{"googleSearch": {}}]}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"response_modalities": ["AUDIO", "TEXT"]}, "setup.generation_config.response_modalities: "),
        ({"temperature": "hot"}, "config.temperature: "),
        ({"no_such_option": 1}, "no_such_option"),
        ({"model": "m", "generationConfig": {"stopSequences": ["x"]}}, "setup.generation_config.stop_sequences: "),
        (
            {"setup": {"model": "m", "tools": [{"functionDeclarations": [{"description": 5}]}]}},
            "function_declarations[0]",
        ),
        ({"setup": {"model": "a/../b"}}, "setup.model: "),
        ({"setup": {}}, "setup.model: is required"),
    ],
)
def test_an_error_names_the_path_of_the_value(value: Any, message: str) -> None:
    result = check(value)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("error: ")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_field_of_the_other_backend() -> None:
    transparent = {"session_resumption": {"transparent": True}}
    assert check(transparent, "--vertex").status == 0
    refused = check(transparent)
    assert refused.status == 1
    assert "transparent" in refused.err


def test_credentials_in_a_config_are_not_printed() -> None:
    result = check({"session_resumption": {"handle": "very-secret"}})
    assert result.status == 0
    assert json.loads(result.out)["setup"]["sessionResumption"] == {"handle": "REDACTED-1"}


@pytest.mark.parametrize("text", ["", "[", "[]", "5", b"\xff\xfe", "[" * 100_000])
def test_files_other_than_json_objects(text: str | bytes) -> None:
    result = check(text)
    assert result.status == 3
    assert result.err.startswith("error: -: ")
    assert result.err.count("\n") == 1


def test_wrong_usage() -> None:
    assert check({}, "--project", "p").status == 2
    assert call("check", "/nowhere").status == 3


def test_json_output_of_valid_and_invalid_configurations() -> None:
    good = call("check", "-", "--json", stdin='{"response_modalities": ["TEXT"]}')
    (shown,) = good.objects()
    assert (good.status, shown["ok"]) == (0, True)
    assert shown["setup"]["generationConfig"] == {"responseModalities": ["TEXT"]}
    bad = call("check", "-", "--json", stdin='{"response_modalities": 7}')
    (shown,) = bad.objects()
    assert (bad.status, shown["ok"], bad.err) == (1, False, "")
    assert "response_modalities" in shown["error"]["text"]


@pytest.mark.parametrize(
    ("value", "arguments", "warnings"),
    [
        ({"response_modalities": ["TEXT"]}, ("--model", "gemini-3.8-live"), ["response_modalities: 3.8 serves AUDIO"]),
        ({"model": "models/gemini-3.8-live-extended-thinking"}, (), ["requires a thinking_level"]),
        ({"response_modalities": ["TEXT"]}, (), []),  # no warning about a placeholder
        ({"response_modalities": ["TEXT"]}, ("--model", "never-heard-of"), []),
    ],
)
def test_warnings_say_what_the_model_is_known_to_refuse(
    value: Any, arguments: tuple[str, ...], warnings: list[str]
) -> None:
    result = check(value, *arguments)
    assert result.status == 0
    assert json.loads(result.out)["setup"]
    lines = result.err.splitlines()
    assert len(lines) == len(warnings)
    assert all(line.startswith("warning: setup.") and text in line for line, text in zip(lines, warnings, strict=True))
    shown = json.loads(check(value, *arguments, "--json").out)
    assert [f"warning: {text}" for text in shown["warnings"]] == lines
