"""No secret reaches a trace, and what is none stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.traces import lines, record

from live_protocol.recording import open_trace, read_trace

KEY = "AIzaCANARY-0123456789_abcdefghijklmnopqr"
SECRET_MESSAGES: list[dict[str, Any]] = [
    {"setup": {"sessionResumption": {"handle": "CANARY"}}},
    {"setup": {"session_resumption": {"handle": "CANARY"}}},
    {"sessionResumptionUpdate": {"newHandle": "CANARY", "resumable": True}},
    {"session_resumption_update": {"new_handle": "CANARY"}},
    {"setup": {"tools": [{"mcpServers": [{"streamableHttpTransport": {"headers": {"X-Auth": "CANARY"}}}]}]}},
    {"contextUpdate": {"tools": [{"exaAiSearch": {"apiKey": "CANARY", "customConfigs": {"a": ["CANARY", 1]}}}]}},
    {"setup": {"tools": [{"retrieval": {"x": {"api_key_config": {"apiKeyString": "CANARY"}}}}]}},
    {"setup": {"tools": [{"googleMaps": {"authConfig": {"oauthConfig": {"accessToken": "CANARY"}}}}]}},
    {"setup": {"x": {"voiceConsentSignature": {"signature": "CANARY"}}}},
    {"serverContent": {"groundingMetadata": {"googleMapsWidgetContextToken": "CANARY"}}},
    {"clientContent": {"turns": [{"parts": [{"text": f"my key is {KEY}"}]}]}},
    {"toolResponse": {"functionResponses": [{"response": {"token": "auth_tokens/CANARY"}}]}},
    {"toolResponse": {"functionResponses": [{"response": {KEY: 1}}]}},
]


@pytest.mark.parametrize("message", SECRET_MESSAGES)
@pytest.mark.parametrize("indent", [None, 1, 2])
def test_secrets_do_not_reach_a_trace(message: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(message, indent=indent) + ("\n" if indent == 2 else "")
    trace = record(text)
    assert b"CANARY" not in trace
    assert b"REDACTED" in trace
    (frame,) = open_trace(trace)
    assert json.loads(frame.data).keys() == message.keys()
    if indent != 1:  # an unknown layout is given up with the text
        assert len(frame.data.splitlines()) == len(text.splitlines())
    assert b"CANARY" in record(text, redact=False)


def test_what_is_no_secret_is_kept() -> None:
    blob = "AIzaAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    messages = [
        {"toolCall": {"functionCalls": [{"args": {"handle": "@bob", "apiKey": "theirs", "headers": {"a": "b"}}}]}},
        {
            "setup": {
                "tools": [{"functionDeclarations": [{"parameters": {"properties": {"apiKey": {"type": "STRING"}}}}]}]
            }
        },
        {"setup": {"sessionResumption": {"handle": ""}}},
        {"setup": {"sessionResumption": {"handle": None, "transparent": True}}},
        {"sessionResumptionUpdate": {"lastConsumedClientMessageIndex": "7"}},
        {"realtimeInput": {"audio": {"data": blob, "mimeType": "audio/pcm"}}},
        {"realtime_input": {"audio": {"data": blob, "mime_type": "audio/pcm"}}},
        {"serverContent": {"modelTurn": {"parts": [{"executableCode": {"code": "sorted(x, key=len)"}}]}}},
        {"serverContent": {"outputTranscription": {"text": "authorization: ask your bank"}}},
        {"odd": [1, None, True, ["x"]], "setup": 5},
    ]
    texts = [json.dumps(message) for message in messages]
    assert [json.loads(frame.data) for frame in open_trace(record(*texts))] == messages


def test_exact_secrets() -> None:
    message = json.dumps({"clientContent": {"turns": [{"parts": [{"text": "say hunter2 / hunter%322"}]}]}})
    trace = record(message, "plain hunter2", b"\xffhunter2", secrets=["hunter2", ""], info={"note": "by hunter2"})
    assert b"hunter2" not in trace
    frames = open_trace(trace)
    assert b"say REDACTED /" in frames[0].data
    assert frames[1].data == b"plain REDACTED"
    assert frames[2].data == b"\xffREDACTED"


def test_handles_keep_their_identity() -> None:
    def update(handle: str) -> str:
        return json.dumps({"sessionResumptionUpdate": {"newHandle": handle}})

    setup = json.dumps({"setup": {"sessionResumption": {"handle": "CANARY-b"}}})
    trace = record(update("CANARY-a"), update("CANARY-b"), update("CANARY-a"), setup)
    shown = [line["json"] for line in lines(trace)[1:]]
    assert [x["sessionResumptionUpdate"]["newHandle"] for x in shown[:3]] == ["REDACTED-1", "REDACTED-2", "REDACTED-1"]
    assert shown[3]["setup"]["sessionResumption"]["handle"] == "REDACTED-2"


def test_handles_are_not_remembered_for_ever() -> None:
    updates = [f'{{"sessionResumptionUpdate":{{"newHandle":"h{n}"}}}}' for n in range(4097)]
    trace = record(*updates, updates[0], updates[4096])
    shown = [line["json"]["sessionResumptionUpdate"]["newHandle"] for line in lines(trace)[1:]]
    assert shown[-2:] == ["REDACTED-4098", "REDACTED-4097"]


@pytest.mark.parametrize(
    "payload",
    [
        '{"sessionResumptionUpdate":{"newHandle":"CANARY","newHandle":"x"}}',
        '{"sessionResumptionUpdate":{"newHandle":"CANARY","newHandle":""}}',
        '{"setup":{"a":"CANARY"},"setup":{}}',
        '{"sessionResumptionUpdate": {"newHandle" : "CANARY',
        '{"setup":{"sessionResumption":{"handle":"CANARY\\"CANARY"',
        f"not JSON {KEY}",
        "Authorization: Bearer CANARY",
        b'\xff{"new_handle":"CANARY"}',
    ],
)
def test_secrets_in_odd_payloads(payload: str | bytes) -> None:
    trace = record(payload)
    assert b"CANARY" not in trace
    (frame,) = open_trace(trace)
    assert b"CANARY" not in frame.data


def test_secrets_in_a_lone_surrogate_message() -> None:
    trace = record('{ "sessionResumptionUpdate":{"newHandle":"CANARY","x":"\\ud800"}}')
    (frame,) = open_trace(trace)
    assert frame.data == b'{"sessionResumptionUpdate":{"newHandle":"REDACTED-1","x":"\\ud800"}}'


def test_secrets_in_the_header() -> None:
    info = {
        "headers": [["authorization", "Bearer CANARY"], ["n", 1]],
        "Authorization": "CANARY",
        "x-goog-api-key": "CANARY",
        "nested": {"api_key": "CANARY", "url": "wss://h/?key=CANARY&x=1", "list": [KEY, 5]},
    }
    trace = record(info=info)
    assert b"CANARY" not in trace
    assert read_trace(trace).info["nested"]["url"] == "wss://h/?key=REDACTED&x=1"
    assert b"CANARY" in record(info=info, redact=False)


@pytest.mark.parametrize("unit", ['"\\', "[", '"', '{"a":', '"handle":"', "\\"])
def test_damage_takes_linear_time(unit: str) -> None:
    open_trace(record(unit * 50_000))
