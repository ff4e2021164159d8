"""Content, its parts and their data (wire.md#content)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import attrs

from live_protocol.messages.enums import (
    DocumentMetadataContentLayer,
    FunctionResponseScheduling,
    Language,
    MediaProcessing,
    NullValue,
    Outcome,
    PartMediaResolutionLevel,
    SpreadsheetMetadataContentLayer,
    ToolType,
    VideoMetadataContentLayer,
)
from live_protocol.messages.fields import NO_EXTRA, Backend, Duration, JsonObject, fast_define, wire

__all__ = [
    "AudioMetadata",
    "Blob",
    "CodeExecutionResult",
    "Content",
    "DocumentMetadata",
    "ExecutableCode",
    "FileData",
    "FunctionCall",
    "FunctionResponse",
    "FunctionResponseBlob",
    "FunctionResponseFileData",
    "FunctionResponsePart",
    "Part",
    "PartMediaResolution",
    "PartialArg",
    "SpeechMetadata",
    "SpreadsheetMetadata",
    "ToolCall",
    "ToolResponse",
    "Transcription",
    "VideoMetadata",
    "WordInfo",
]


@final
@fast_define(kw_only=True)
class Blob:
    """Inline bytes with their media type (wire.md#content).

    Audio to the service is raw 16-bit little-endian mono PCM, at 16 kHz unless ``mime_type`` names another rate. Audio
    from it is the same at 24 kHz. Video is a series of images, about one per second.

    Attributes:
        mime_type: IANA media type, with parameters: ``audio/pcm;rate=16000``.
        data: The bytes.
        display_name: A label for the bytes.
    """

    mime_type: str | None = None
    data: bytes | None = wire(blob=True)
    display_name: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class FileData:
    """A reference to stored media (wire.md#content).

    Attributes:
        mime_type: IANA media type.
        file_uri: URI of the media: of the Files API, ``gs://`` or another. Required.
        display_name: A label for the media.
    """

    mime_type: str | None = None
    file_uri: str | None = wire(required=True)
    display_name: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class VideoMetadata:
    """The part of a video to use, and its frame rate (wire.md#content).

    Attributes:
        start_offset: Start of the clip, in seconds.
        end_offset: End of the clip, in seconds.
        fps: Frames per second to sample.
        content_layers: The layers to use.
    """

    start_offset: Duration | None = None
    end_offset: Duration | None = None
    fps: float | None = None
    content_layers: Sequence[VideoMetadataContentLayer | str] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class AudioMetadata:
    """The part of an audio clip to use (wire.md#content).

    Attributes:
        start_offset: Start of the clip, in seconds.
        end_offset: End of the clip, in seconds.
    """

    start_offset: Duration | None = None
    end_offset: Duration | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class DocumentMetadata:
    """The pages and layers of a document to use (wire.md#content).

    Attributes:
        start_page: First page.
        end_page: Last page.
        content_layers: The layers to use.
    """

    start_page: int | None = None
    end_page: int | None = None
    content_layers: Sequence[DocumentMetadataContentLayer | str] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class SpreadsheetMetadata:
    """The cells and layers of a spreadsheet to use (wire.md#content).

    Attributes:
        visible_cells: Range of cells.
        sheet_index: Number of the sheet.
        content_layers: The layers to use.
    """

    visible_cells: str | None = None
    sheet_index: int | None = None
    content_layers: Sequence[SpreadsheetMetadataContentLayer | str] = ()
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class SpeechMetadata:
    """Hints for speaking the text of a part (wire.md#content).

    Attributes:
        speaker: Name of the speaker, as in ``MultiSpeakerVoiceConfig``.
        style: Instruction on how to speak.
    """

    speaker: str | None = None
    style: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class PartMediaResolution:
    """Token resolution of one media part (wire.md#media-resolution).

    Attributes:
        level: Named level.
        num_tokens: Explicit budget in tokens.
    """

    level: PartMediaResolutionLevel | str | None = None
    num_tokens: int | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ExecutableCode:
    """Code from the model for the service to run (wire.md#server-tools).

    Gemini 2.x announces a function call with a part such as ``print(default_api.f(x='y'))``.

    Attributes:
        language: Its language. Required.
        code: The source code. Required.
        id: Links the code to its result.
    """

    language: Language | str | None = wire(required=True)
    code: str | None = wire(required=True)
    id: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class CodeExecutionResult:
    """The result of running ``ExecutableCode`` (wire.md#server-tools).

    Attributes:
        outcome: How it ended. Required.
        output: Standard output, or the error text.
        id: The ``id`` of the code.
    """

    outcome: Outcome | str | None = wire(required=True)
    output: str | None = None
    id: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class PartialArg:
    """A streamed piece of a function argument; one value field is set (wire.md#streamed-arguments).

    Attributes:
        json_path: Path of the argument (RFC 9535). Required.
        string_value: A string; pieces concatenate.
        number_value: A number.
        bool_value: A boolean.
        null_value: JSON null.
        will_continue: Whether more of this argument follows.
    """

    json_path: str | None = wire(only=Backend.VERTEX, required=True)
    string_value: str | None = wire(only=Backend.VERTEX)
    number_value: float | None = wire(only=Backend.VERTEX)
    bool_value: bool | None = wire(only=Backend.VERTEX)
    null_value: NullValue | str | None = wire(only=Backend.VERTEX)
    will_continue: bool | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@fast_define(kw_only=True)
class FunctionCall:
    """A call of a client function by the model (wire.md#tool-calls).

    Attributes:
        id: Id of the call; always present on Gemini, sometimes absent on Vertex.
        name: Name of the function.
        args: Arguments by name; the keys are data.
        partial_args: Streamed pieces of arguments. Vertex only.
        will_continue: Whether more pieces of this call follow. Vertex only.
    """

    id: str | None = None
    name: str | None = None
    args: JsonObject | None = None
    partial_args: Sequence[PartialArg] = wire(default=(), only=Backend.VERTEX)
    will_continue: bool | None = wire(only=Backend.VERTEX)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class FunctionResponseBlob:
    """Inline media of a function result (wire.md#tool-response).

    Attributes:
        mime_type: IANA media type.
        data: The bytes.
        display_name: Name that ``response`` can refer to.
    """

    mime_type: str | None = None
    data: bytes | None = wire(blob=True)
    display_name: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class FunctionResponseFileData:
    """Stored media of a function result (wire.md#tool-response).

    Attributes:
        file_uri: URI of the media. Required.
        mime_type: IANA media type. Required.
        display_name: Name that ``response`` can refer to.
    """

    file_uri: str | None = wire(required=True)
    mime_type: str | None = wire(required=True)
    display_name: str | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class FunctionResponsePart:
    """A piece of media in a function result; one of the data fields is set (wire.md#tool-response).

    3.x models accept PNG, JPEG, WebP and text; a PDF ends the session.

    Attributes:
        inline_data: Inline media.
        file_data: Stored media.
        media_processing: How the media is processed. Gemini only.
        media_resolution: Token resolution.
        video_metadata: Part of a video.
        document_metadata: Pages of a document.
        spreadsheet_metadata: Cells of a spreadsheet.
        audio_metadata: Part of an audio clip.
    """

    inline_data: FunctionResponseBlob | None = None
    file_data: FunctionResponseFileData | None = None
    media_processing: MediaProcessing | str | None = wire(only=Backend.GEMINI)
    media_resolution: PartMediaResolution | None = None
    video_metadata: VideoMetadata | None = None
    document_metadata: DocumentMetadata | None = None
    spreadsheet_metadata: SpreadsheetMetadata | None = None
    audio_metadata: AudioMetadata | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class FunctionResponse:
    """The result of one function call (wire.md#tool-response).

    A call may have several responses with ``will_continue`` true; an empty ``response`` with ``will_continue`` false
    ends the series.

    Attributes:
        id: The ``id`` of the call. Gemini requires it; on Vertex it may be absent if the call had none.
        name: Name of the function. Required.
        response: Any object; ``output`` and ``error`` are conventional keys. Required.
        parts: Media results.
        scheduling: How the result enters the conversation; only for non-blocking functions.
        will_continue: Whether more results for this non-blocking call follow. Gemini only.
    """

    id: str | None = None
    name: str | None = wire(required=True)
    response: JsonObject | None = wire(required=True)
    parts: Sequence[FunctionResponsePart] = ()
    scheduling: FunctionResponseScheduling | str | None = None
    will_continue: bool | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ToolCall:
    """A report that the service runs a tool of its own (wire.md#server-tools).

    Attributes:
        id: Id of the invocation.
        tool_type: The tool.
        args: Arguments by name; the keys are data.
    """

    id: str | None = wire(only=Backend.GEMINI)
    tool_type: ToolType | str | None = wire(only=Backend.GEMINI)
    args: JsonObject | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class ToolResponse:
    """The result of a tool that the service ran itself (wire.md#server-tools).

    Attributes:
        id: The ``id`` of the invocation.
        tool_type: The tool.
        response: The result; the keys are data.
    """

    id: str | None = wire(only=Backend.GEMINI)
    tool_type: ToolType | str | None = wire(only=Backend.GEMINI)
    response: JsonObject | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@attrs.frozen(kw_only=True)
class WordInfo:
    """A word of a transcript and its time (wire.md#transcripts).

    Attributes:
        word: The word.
        start_offset: Start, in seconds from the start of the audio stream.
        end_offset: End, in seconds from the start of the audio stream.
    """

    word: str | None = None
    start_offset: Duration | None = None
    end_offset: Duration | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@fast_define(kw_only=True)
class Transcription:
    """A piece of a transcript, possibly empty (wire.md#transcripts).

    Output pieces are deltas. Input pieces are deltas on some models, one final sentence on others. Interim pieces are
    cumulative: each replaces the one before.

    Attributes:
        text: The text, if there is one.
        finished: Whether this is the last piece of an utterance; rarely sent.
        language_code: Detected language, BCP 47.
        speaker_label: Tag of the speaker, such as ``spk_1``.
        words: Timing of each word.
        start_offset: Start, in seconds from the start of the audio stream.
        end_offset: End, in seconds from the start of the audio stream.
    """

    text: str | None = None
    finished: bool | None = None
    language_code: str | None = None
    speaker_label: str | None = None
    words: Sequence[WordInfo] = ()
    start_offset: Duration | None = None
    end_offset: Duration | None = None
    extra: Mapping[str, Any] = NO_EXTRA


@final
@fast_define(kw_only=True)
class Part:
    """A piece of content: one data field and its metadata (wire.md#content).

    Data fields are ``text``, ``inline_data``, ``file_data``, ``executable_code``, ``code_execution_result``,
    ``function_call``, ``function_response``, ``tool_call`` and ``tool_response``; at most one is set.

    Attributes:
        text: Text.
        thought: Whether this is a summary of the model's thoughts.
        thought_signature: Opaque signature of a thought.
        inline_data: Inline media.
        file_data: Stored media.
        executable_code: Code written by the model.
        code_execution_result: Result of that code.
        function_call: Function call; in live sessions only in history, calls come as ``LiveServerToolCall``.
        function_response: Function result; in live sessions only in history.
        tool_call: Invocation of a tool of the service. Gemini only.
        tool_response: Result of a tool of the service. Gemini only.
        media_resolution: Token resolution.
        media_processing: How media is processed.
        audio_transcription: Transcript of an audio part.
        audio_metadata: Part of an audio clip.
        video_metadata: Part of a video.
        document_metadata: Pages of a document.
        spreadsheet_metadata: Cells of a spreadsheet.
        speech_metadata: How to speak the text.
        part_metadata: The caller's own keys and values. Gemini only.
    """

    text: str | None = None
    thought: bool | None = None
    thought_signature: bytes | None = wire(blob=True)
    inline_data: Blob | None = None
    file_data: FileData | None = None
    executable_code: ExecutableCode | None = None
    code_execution_result: CodeExecutionResult | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    tool_call: ToolCall | None = wire(only=Backend.GEMINI)
    tool_response: ToolResponse | None = wire(only=Backend.GEMINI)
    media_resolution: PartMediaResolution | None = None
    media_processing: MediaProcessing | str | None = None
    audio_transcription: Transcription | None = None
    audio_metadata: AudioMetadata | None = None
    video_metadata: VideoMetadata | None = None
    document_metadata: DocumentMetadata | None = None
    spreadsheet_metadata: SpreadsheetMetadata | None = None
    speech_metadata: SpeechMetadata | None = None
    part_metadata: JsonObject | None = wire(only=Backend.GEMINI)
    extra: Mapping[str, Any] = NO_EXTRA


@final
@fast_define(kw_only=True)
class Content:
    """A turn or a piece of one (wire.md#content).

    Attributes:
        role: ``user`` or ``model``; Vertex also takes ``system``, which replaces the instructions. Gemini
            leaves it out in model turns.
        parts: The pieces, in order.
    """

    role: str | None = None
    parts: Sequence[Part] = ()
    extra: Mapping[str, Any] = NO_EXTRA
