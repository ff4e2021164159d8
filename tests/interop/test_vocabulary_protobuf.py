"""What the codec writes, Google's own protobuf JSON parser reads, and the other way round.

Held against the published v1beta protos, which lag behind the service: what they do not have is listed below,
and an entry that they have got meanwhile fails.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.introspection import camel, fields, hints, is_enum, is_message, shape
from support.strategies import CALM, Rules, messages_of

from live_protocol.codec import Codec
from live_protocol.codec.decoding import from_dict
from live_protocol.messages import (
    Backend,
    GroundingChunkMapsPlaceAnswerSourcesReviewSnippet,
    Interval,
    LiveClientMessage,
    LiveServerMessage,
    Schema,
)

with warnings.catch_warnings():
    # The packages are not ours to keep free of deprecated calls; only their import is forgiven.
    warnings.simplefilter("ignore", DeprecationWarning)
    json_format = pytest.importorskip("google.protobuf.json_format")
    message_factory = pytest.importorskip("google.protobuf.message_factory")
    protos = pytest.importorskip("google.ai.generativelanguage_v1beta")

CLIENT = protos.BidiGenerateContentClientMessage.pb()
SERVER = protos.BidiGenerateContentServerMessage.pb()

NOT_PUBLISHED = frozenset(
    {
        "AudioTranscriptionConfig.adaptation_phrases",
        "AudioTranscriptionConfig.custom_vocabulary",
        "AudioTranscriptionConfig.diarization",
        "AudioTranscriptionConfig.language_auto",
        "AudioTranscriptionConfig.language_codes",
        "AudioTranscriptionConfig.language_hints",
        "AudioTranscriptionConfig.mode",
        "AudioTranscriptionConfig.source_text",
        "AudioTranscriptionConfig.word_timestamp",
        "Blob.display_name",
        "CodeExecutionResult.id",
        "ComputerUse.disabled_safety_policies",
        "ComputerUse.enable_prompt_injection_detection",
        "ExecutableCode.id",
        "FileData.display_name",
        "FileSearch.file_search_store_names",
        "FileSearch.metadata_filter",
        "FileSearch.top_k",
        "FunctionResponseBlob.display_name",
        "FunctionResponsePart.audio_metadata",
        "FunctionResponsePart.document_metadata",
        "FunctionResponsePart.file_data",
        "FunctionResponsePart.media_processing",
        "FunctionResponsePart.media_resolution",
        "FunctionResponsePart.spreadsheet_metadata",
        "FunctionResponsePart.video_metadata",
        "GenerationConfig.audio_transcription_config",
        "GenerationConfig.enable_affective_dialog",
        "GenerationConfig.response_format",
        "GenerationConfig.translation_config",
        "GoogleMaps.auth_config",
        "GoogleSearch.search_types",
        "GroundingChunk.image",
        "GroundingChunkMapsPlaceAnswerSources.flag_content_uri",
        "GroundingChunkMapsPlaceAnswerSources.review_snippet",
        "GroundingChunkMapsPlaceAnswerSourcesReviewSnippet.author_attribution",
        "GroundingChunkMapsPlaceAnswerSourcesReviewSnippet.flag_content_uri",
        "GroundingChunkMapsPlaceAnswerSourcesReviewSnippet.relative_publish_time_description",
        "GroundingChunkMapsPlaceAnswerSourcesReviewSnippet.review",
        "GroundingChunkRetrievedContext.custom_metadata",
        "GroundingChunkRetrievedContext.file_search_store",
        "GroundingChunkRetrievedContext.media_id",
        "GroundingChunkRetrievedContext.page_number",
        "GroundingChunkWeb.domain",
        "GroundingMetadata.image_search_queries",
        "GroundingSupport.rendered_parts",
        "LiveClientMessage.context_update",
        "LiveClientSetup.avatar_config",
        "LiveClientSetup.history_config",
        "LiveClientSetup.labels",
        "LiveClientSetup.proactivity",
        "LiveClientSetup.safety_settings",
        "LiveServerContent.interaction_status",
        "LiveServerContent.interim_input_transcription",
        "LiveServerContent.turn_complete_reason",
        "LiveServerMessage.voice_activity",
        "LiveServerMessage.voice_activity_detection_signal",
        "LiveServerSetupComplete.voice_consent_signature",
        "Part.audio_metadata",
        "Part.audio_transcription",
        "Part.document_metadata",
        "Part.media_processing",
        "Part.media_resolution",
        "Part.speech_metadata",
        "Part.spreadsheet_metadata",
        "Part.tool_call",
        "Part.tool_response",
        "RealtimeInputConfig.interim_transcript_timestamp_enabled",
        "Schema.additional_properties",
        "Schema.defs",
        "Schema.ref",
        "ThinkingConfig.thinking_level",
        "Tool.mcp_servers",
        "Transcription.end_offset",
        "Transcription.finished",
        "Transcription.language_code",
        "Transcription.speaker_label",
        "Transcription.start_offset",
        "Transcription.words",
        "UsageMetadata.service_tier",
        "VideoMetadata.content_layers",
        "VoiceConfig.replicated_voice_config",
        "VoiceConfig.voice",
    }
)
"""Fields for Gemini, in messages that a session can reach, which the published protos do not have."""

NOT_PUBLISHED_MEMBERS = frozenset(
    {
        "Environment.ENVIRONMENT_DESKTOP",
        "Environment.ENVIRONMENT_MOBILE",
        "Modality.VIDEO",
        "TurnCoverage.TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
    }
)
NOT_OURS: Mapping[str, str] = {
    "FileSearch.retrieval_config": "an early form of file search that the service has dropped",
    "FileSearch.retrieval_resources": "an early form of file search that the service has dropped",
    "GenerationConfig.response_json_schema_ordered": "a second field for response_json_schema",
}

RENAMED = frozenset({"Schema.format", "Schema.type"})
"""Fields that Google's Python package renames, so that its snake_case is not that of the wire."""

CAMEL = Rules(
    backend=Backend.GEMINI,
    zeros=False,
    leave_out=NOT_PUBLISHED | NOT_PUBLISHED_MEMBERS,
    overrides={
        # An integer in this dialect, a float in the other, so a float in our class.
        "GenerationConfig.top_k": st.integers(1, 1000).map(float),
        # A message of its own in the protos, where keys have two casings; a free-form object in our class.
        "GenerationConfig.image_config": st.just({}),
    },
)
SNAKE = attrs.evolve(CAMEL, leave_out=CAMEL.leave_out | RENAMED)
WIDE = {rules: attrs.evolve(rules, most_fields=8) for rules in (CAMEL, SNAKE)}

CODEC = Codec(Backend.GEMINI)


class Comparison:
    """A class and all it leads to, side by side with the protos."""

    def __init__(self) -> None:
        self.pairs: dict[type[Any], Any] = {}
        self.not_published: set[str] = set()
        self.not_ours: set[str] = set()
        self.renamed: set[str] = set()

    def add(self, cls: type[Any], descriptor: Any) -> None:
        if cls in self.pairs:
            return
        self.pairs[cls] = descriptor
        theirs = {field.json_name: field for field in descriptor.fields}
        known = hints(cls)
        for field in fields(cls):
            place = f"{cls.__name__}.{field.name}"
            found = theirs.pop(field.metadata.get("json", camel(field.name)), None)
            if found is not None:
                if found.name != field.name:
                    self.renamed.add(place)
                self.add_type(known[field.name], found)
            elif field.metadata.get("only") is not Backend.VERTEX:
                self.not_published.add(place)
        self.not_ours.update(f"{cls.__name__}.{field.name}" for field in theirs.values())

    def add_type(self, hint: Any, field: Any) -> None:
        item, _, mapped, _ = shape(hint)
        if is_message(item):
            value = field.message_type.fields_by_name["value"] if mapped else field
            self.add(item, value.message_type)
        elif is_enum(item):
            members = {member.value for member in item}
            published = {value.name for value in field.enum_type.values}
            self.not_published.update(f"{item.__name__}.{name}" for name in members - published)
            self.not_ours.update(f"{item.__name__}.{name}" for name in published - members)


COMPARISON = Comparison()
COMPARISON.add(LiveClientMessage, CLIENT.DESCRIPTOR)
COMPARISON.add(LiveServerMessage, SERVER.DESCRIPTOR)

casings = pytest.mark.parametrize(
    ("rules", "snake_case"), [(CAMEL, False), (SNAKE, True)], ids=["camelCase", "snake_case"]
)


def comparable(value: Any, hint: Any) -> Any:
    """The value with floats as protobuf keeps them (32 bits) and messages as plain data."""
    item, repeated, mapped, _ = shape(hint)
    if value is None:
        return None
    if mapped:
        return {key: comparable(member, item) for key, member in value.items()}
    if repeated:
        return [comparable(member, item) for member in value]
    if is_message(item):
        known = hints(item)
        members = {field.name: comparable(getattr(value, field.name), known[field.name]) for field in fields(item)}
        return {**members, "extra": dict(value.extra)}
    return struct.unpack("f", struct.pack("f", value))[0] if item is float else value


def assert_same(found: Any, expected: Any) -> None:
    assert comparable(found, type(expected)) == comparable(expected, type(expected))


@casings
@settings(CALM)
@given(data=st.data())
def test_client_messages(rules: Rules, snake_case: bool, data: st.DataObject) -> None:
    message = data.draw(messages_of(LiveClientMessage, rules))
    parsed = json_format.Parse(CODEC.encode_client(message), CLIENT())
    text = json_format.MessageToJson(parsed, preserving_proto_field_name=snake_case)
    found = CODEC.decode_client(text, strict=True)
    assert_same(found, message)
    assert json_format.Parse(CODEC.encode_client(found), CLIENT()) == parsed


@casings
@settings(CALM)
@given(data=st.data())
def test_server_messages(rules: Rules, snake_case: bool, data: st.DataObject) -> None:
    message = data.draw(messages_of(LiveServerMessage, rules))
    parsed = json_format.Parse(CODEC.encode_server(message), SERVER())
    text = json_format.MessageToJson(parsed, preserving_proto_field_name=snake_case)
    found = CODEC.decode_server(text)
    assert_same(found, message)
    assert json_format.Parse(CODEC.encode_server(found), SERVER()) == parsed


@pytest.mark.parametrize("cls", COMPARISON.pairs)
@casings
@settings(CALM, max_examples=20)
@given(data=st.data())
def test_every_class(cls: type[Any], rules: Rules, snake_case: bool, data: st.DataObject) -> None:
    # The envelopes hold too much for their depths to be drawn often.
    message = data.draw(messages_of(cls, WIDE[rules], depth=1))
    proto = message_factory.GetMessageClass(COMPARISON.pairs[cls])
    parsed = json_format.ParseDict(CODEC.to_dict(message), proto())
    found = json_format.MessageToDict(parsed, preserving_proto_field_name=snake_case)
    assert_same(from_dict(cls, found), message)


def test_the_lists_are_exact() -> None:
    assert COMPARISON.not_published == NOT_PUBLISHED | NOT_PUBLISHED_MEMBERS
    assert COMPARISON.not_ours == NOT_OURS.keys()
    assert COMPARISON.renamed == RENAMED
    assert all(NOT_OURS.values())


def test_the_comparison_reaches_the_depths() -> None:
    assert {Schema, GroundingChunkMapsPlaceAnswerSourcesReviewSnippet, Interval} <= COMPARISON.pairs.keys()
    assert len(COMPARISON.pairs) > 60
