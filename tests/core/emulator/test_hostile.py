"""Valid, nearly valid and invalid messages: nothing raises, and every open connection still answers."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.emulator.pair import GEMINI, VERTEX, Raw, emulator
from core.emulator.test_robustness import MESSAGES, RARE, SPEECH

SETUPS: list[Any] = [
    {
        "generationConfig": {"responseModalities": ["TEXT"], "thinkingConfig": {"includeThoughts": True}},
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}]}],
        "sessionResumption": {},
        "systemInstruction": {"parts": [{"text": "x"}]},
    },
    {
        "generationConfig": {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}},
        "realtimeInputConfig": {
            "automaticActivityDetection": {"silenceDurationMs": 100, "prefixPaddingMs": 20},
            "activityHandling": "NO_INTERRUPTION",
            "turnCoverage": "TURN_INCLUDES_ALL_INPUT",
        },
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
        "historyConfig": {"initialHistoryInClientContent": True},
        "contextWindowCompression": {"triggerTokens": "100", "slidingWindow": {"targetTokens": 50}},
    },
    {
        "generationConfig": {"responseModalities": ["TEXT"]},
        "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}},
    },
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KNOWN_CODES = {1000, 1002, 1003, 1006, 1007, 1008, 1009, 1011, 1234, 4000}


@st.composite
def mutated(draw: st.DrawFn, base: Any) -> Any:
    """A message with a member replaced, removed or added."""
    value = copy.deepcopy(draw(st.sampled_from(base)))
    for _ in range(draw(st.integers(0, 2))):
        at = value
        while isinstance(at, (dict, list)) and at:
            key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            if not isinstance(at[key], (dict, list)) or draw(st.booleans()):
                how = draw(st.sampled_from(["replace", "remove", "add"]))
                if how == "replace":
                    at[key] = draw(VALUES)
                elif how == "remove":
                    del at[key]
                elif isinstance(at, dict):
                    at[draw(st.text(max_size=8))] = draw(VALUES)
                else:
                    at.append(draw(VALUES))
                break
            at = at[key]
    return value


@st.composite
def texts(draw: st.DrawFn, base: Any) -> bytes:
    """The bytes of such a message, some of them changed or cut off."""
    text = json.dumps(draw(mutated(base))).encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.binary(max_size=3)) + text[at + draw(st.integers(0, 3)) :]
    return text


@given(data=st.data())
def test_any_message_is_safe(data: st.DataObject) -> None:
    endpoint = data.draw(st.sampled_from([GEMINI, VERTEX]))
    raw = Raw(emulator(), endpoint)
    model = endpoint.model_path("m")
    raw.send(data.draw(texts([{"setup": {"model": model, **setup}} for setup in SETUPS])))
    for text in data.draw(st.lists(texts([*MESSAGES, *RARE, SPEECH]), max_size=6)):
        raw.send(text)
        if data.draw(st.booleans()):
            raw.wait(1.0)
        deadline = raw.server.next_deadline()
        assert deadline is None or deadline > raw.now
    if not raw.code:
        raw.wait(300)  # whatever was said has been heard
    if raw.code:
        assert raw.code in KNOWN_CODES
        assert raw.reason or raw.code in (1000, 1006, 1234, 4000)
        return
    # It is still there, and speaks.
    first = raw.send({"clientContent": {"turns": [{"parts": [{"text": "one"}]}], "turnComplete": True}})
    second = raw.send({"clientContent": {"turns": [{"parts": [{"text": "two"}]}], "turnComplete": True}})
    answered = first + second + raw.wait(10)
    assert any("turnComplete" in message.get("serverContent", {}) for message in answered), answered
