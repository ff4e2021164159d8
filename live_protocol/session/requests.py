"""From what a caller passes to a checked message: the rules of wire.md#sdk-checks; nothing is sent here."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from live_protocol.endpoint import Endpoint
from live_protocol.errors import InvalidMessage
from live_protocol.messages import (
    ActivityEnd,
    ActivityStart,
    Backend,
    Blob,
    Content,
    FunctionDeclaration,
    FunctionResponse,
    GenerationConfig,
    LiveClientContent,
    LiveClientContextUpdate,
    LiveClientContextUpdateTools,
    LiveClientRealtimeInput,
    LiveClientSetup,
    LiveConnectConfig,
    Modality,
    Part,
    SpeechConfig,
    Tool,
    to_setup,
)
from live_protocol.messages.audio_format import AudioFormat
from live_protocol.session.arguments import (
    as_mapping,
    connect_config,
    content_of,
    message_from,
    messages_from,
    tools_of,
)
from live_protocol.session.message_kinds import set_members

T = TypeVar("T")

ConfigInput: TypeAlias = LiveConnectConfig | LiveClientSetup | Mapping[str, Any]
"""A configuration, a whole setup, or the plain data of a configuration in either casing."""
ContentInput: TypeAlias = Content | Mapping[str, Any]
"""One turn, or its plain data."""
InstructionInput: TypeAlias = str | Part | ContentInput | Sequence[str | Part | Mapping[str, Any]]
"""Text, parts, or content made of them."""
TurnsInput: TypeAlias = ContentInput | Iterable[ContentInput]
"""One turn, or several in order."""
AudioInput: TypeAlias = bytes | bytearray | memoryview | Blob | Mapping[str, Any]
"""PCM, whose rate is given beside it, or a blob that carries its rate."""
MediaInput: TypeAlias = Blob | Mapping[str, Any]
"""An image, or another piece of media with its MIME type."""
MarkerInput: TypeAlias = bool | ActivityStart | ActivityEnd | Mapping[str, Any]
"""True, or the empty message of an activity's start or end."""
ResponseInput: TypeAlias = FunctionResponse | Mapping[str, Any]
"""The answer to one call, or its plain data."""
ResponsesInput: TypeAlias = ResponseInput | Iterable[ResponseInput]
"""The answer to one call, or to several."""
ToolInput: TypeAlias = Tool | FunctionDeclaration | Mapping[str, Any] | Callable[..., Any]
"""A tool, its plain data, or a function: declared, of MCP, or a Python function with type hints."""

_SAMPLES: Final = frozenset({"B", "b", "c", "h", "<h"})
"""Formats of a buffer whose bytes can be PCM; of the host's order only "h", and no host with another runs this."""

# Generation options of the request API that the live service does not have (wire.md#generation).
_NOT_LIVE: Final = (
    "response_logprobs",
    "logprobs",
    "response_mime_type",
    "response_schema",
    "response_json_schema",
    "stop_sequences",
    "routing_config",
    "audio_timestamp",
)


# --- setup ------------------------------------------------------------------------------------------------------


def build_setup(endpoint: Endpoint, config: ConfigInput | None, model: str | None) -> LiveClientSetup:
    """The setup message for an endpoint.

    Args:
        endpoint: Gives the model its resource name.
        config: Flat options, a dict of them, or a whole setup message.
        model: The model; may be left out where ``config`` is a setup message that names one.

    Raises:
        InvalidMessage: With the path of the first thing the service would refuse.
    """
    name: object = model or (config.model if isinstance(config, LiveClientSetup) else None) or ""
    if not isinstance(name, str):
        raise InvalidMessage("setup.model", f"expected a string, got {type(name).__name__}")
    if isinstance(config, LiveClientSetup):
        path = endpoint.model_path(name)
        setup = config if config.model == path else attrs.evolve(config, model=path)
    else:
        options = LiveConnectConfig() if config is None else connect_config(config)
        if options.generation_config is not None:
            message_from(GenerationConfig, options.generation_config, "config.generation_config")
        setup = to_setup(options, endpoint.model_path(name))
        # As the official SDKs do: Vertex with a project, but not in express mode, has no default of its own.
        if endpoint.backend is Backend.VERTEX and endpoint.project is not None:
            generation = setup.generation_config or GenerationConfig()
            if not generation.response_modalities:
                generation = attrs.evolve(generation, response_modalities=(Modality.AUDIO,))
                setup = attrs.evolve(setup, generation_config=generation)
    check_setup(setup)
    return setup


def check_setup(setup: LiveClientSetup) -> None:
    """Refuse a setup that every backend refuses.

    Raises:
        InvalidMessage: With the path and what to do instead.
    """
    generation = setup.generation_config
    if not isinstance(generation, GenerationConfig):
        return  # none, or what the encoder refuses
    for name in _NOT_LIVE:
        if getattr(generation, name) not in (None, ()):
            raise InvalidMessage(f"setup.generation_config.{name}", "the Live API does not support it; leave it out")
    speech = generation.speech_config
    if isinstance(speech, SpeechConfig) and speech.multi_speaker_voice_config is not None:
        raise InvalidMessage(
            "setup.generation_config.speech_config.multi_speaker_voice_config",
            "the Live API speaks with one voice; use voice_config",
        )
    modalities = generation.response_modalities
    if isinstance(modalities, (list, tuple)) and len(modalities) > 1:
        raise InvalidMessage(
            "setup.generation_config.response_modalities",
            "the service takes exactly one; choose TEXT or AUDIO",
        )


# --- client content ---------------------------------------------------------------------------------------------


def client_content(turns: TurnsInput | None, *, turn_complete: bool) -> LiveClientContent:
    """Turns for the history.

    Raises:
        InvalidMessage: ``turns`` is a string, or holds something that is no `Content`.
    """
    if turns is None:
        return LiveClientContent(turn_complete=turn_complete)
    if isinstance(turns, str):
        raise InvalidMessage(
            "client_content.turns",
            "a plain string is not a turn; pass Content(role='user', parts=[Part(text=...)]), "
            "or send_realtime_input(text=...)",
        )
    contents = messages_from(Content, turns, "client_content.turns")
    return LiveClientContent(turns=contents, turn_complete=turn_complete)


# --- realtime input ---------------------------------------------------------------------------------------------


def realtime_input(
    *,
    audio: AudioInput | None,
    rate: int | None,
    video: MediaInput | None,
    text: str | None,
    activity_start: MarkerInput | None,
    activity_end: MarkerInput | None,
    audio_stream_end: bool | None,
) -> LiveClientRealtimeInput:
    """One piece of live input, checked by `check_realtime_input`.

    Raises:
        InvalidMessage: Not exactly one member, or that member would be refused.
    """
    members: dict[str, Any] = {}
    if audio is not None:
        if isinstance(audio, (bytes, bytearray, memoryview)):
            members["audio"] = Blob(data=bytes(audio), mime_type=pcm_format(rate).mime_type)
        else:
            members["audio"] = _audio_blob(audio)
    if rate is not None and not isinstance(audio, (bytes, bytearray, memoryview)):
        raise InvalidMessage("realtime_input.audio", "rate= is for raw bytes; a Blob has the rate in its mime_type")
    if video is not None:
        members["video"] = message_from(Blob, video, "realtime_input.video")
    if text is not None:
        members["text"] = text
    if activity_start is not None and activity_start is not False:
        members["activity_start"] = _marker(ActivityStart, activity_start, "realtime_input.activity_start")
    if activity_end is not None and activity_end is not False:
        members["activity_end"] = _marker(ActivityEnd, activity_end, "realtime_input.activity_end")
    if audio_stream_end is not None and audio_stream_end is not False:
        members["audio_stream_end"] = audio_stream_end
    message = LiveClientRealtimeInput(**members)
    check_realtime_input(message)
    return message


def _audio_blob(audio: Any) -> Blob:
    if isinstance(audio, Blob) or as_mapping(audio) is not None:
        return message_from(Blob, audio, "realtime_input.audio")
    raise InvalidMessage(
        "realtime_input.audio",
        f"expected bytes with rate=, or a Blob or a dict of its fields, got {type(audio).__name__}; "
        "call tobytes() on an array of 16-bit integers",
    )


def _marker(cls: type[T], value: Any, path: str) -> T:
    return cls() if value is True else message_from(cls, value, path)


@functools.lru_cache(maxsize=16)
def _pcm(rate: int) -> AudioFormat:
    """The format, which sessions share."""
    return AudioFormat(rate)


def pcm_format(rate: int | None) -> AudioFormat:
    """The format of raw bytes.

    Raises:
        InvalidMessage: No rate, or one out of bounds.
    """
    if rate is None:
        raise InvalidMessage("realtime_input.audio", "raw bytes need their sample rate: pass rate=16000 (Hz)")
    try:
        return _pcm(rate) if type(rate) is int else AudioFormat(rate)
    except ValueError as error:
        why = str(error)
    raise InvalidMessage("realtime_input.audio", why)


def check_realtime_input(message: LiveClientRealtimeInput) -> AudioFormat | None:
    """Refuse input that the service refuses, at once (wire.md#sdk-checks) or later.

    Returns:
        The format of the audio; None if the message is not audio.

    Raises:
        InvalidMessage: With the path and what to do instead.
    """
    members = [name for name in set_members(message) if getattr(message, name) not in (False, 0)]
    if len(members) != 1:
        names = f"got {len(members)}: {', '.join(members)}" if members else "got none"
        raise InvalidMessage("realtime_input", f"expected exactly one member per message, {names}; call once for each")
    if message.text == "":
        raise InvalidMessage("realtime_input.text", "the text is empty; leave the message out")
    if message.video is not None:
        _check_video(message_from(Blob, message.video, "realtime_input.video"))
    if message.media_chunks:
        chunks = messages_from(Blob, message.media_chunks, "realtime_input.media_chunks")
        return check_audio(chunks[0], "realtime_input.media_chunks[0]")
    if message.audio is not None:
        return check_audio(message_from(Blob, message.audio, "realtime_input.audio"), "realtime_input.audio")
    return None


def _check_video(blob: Blob) -> None:
    mime_type = blob.mime_type
    if not isinstance(mime_type, str) or not mime_type.lower().startswith("image/"):
        raise InvalidMessage(
            "realtime_input.video.mime_type",
            f"video is sent as still images, 'image/jpeg' for example, not {blob.mime_type!r}",
        )
    if not blob.data:
        raise InvalidMessage("realtime_input.video.data", "the image is empty")


def check_audio(blob: Blob, path: str) -> AudioFormat:
    """The format of an audio blob that the service will take.

    Raises:
        InvalidMessage: No PCM, no rate, no data, or half a sample.
    """
    mime_type = blob.mime_type or ""
    audio = AudioFormat.parse(mime_type) if isinstance(mime_type, str) else None
    if audio is None:
        raise InvalidMessage(
            f"{path}.mime_type",
            f"audio is raw 16-bit little-endian PCM with its rate, 'audio/pcm;rate=16000' for example, "
            f"not {mime_type!r}",
        )
    data = b"" if blob.data is None else blob.data
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InvalidMessage(f"{path}.data", f"expected bytes, got {type(data).__name__}")
    check_samples(sample_bytes(data, path), audio, path)
    return audio


def sample_bytes(data: bytes | bytearray | memoryview, path: str = "realtime_input.audio") -> int:
    """How many bytes these samples have.

    Raises:
        InvalidMessage: A view of something else than bytes or 16-bit integers, of floats for example.
    """
    view = memoryview(data)
    if view.format not in _SAMPLES:
        raise InvalidMessage(
            f"{path}.data",
            f"the memoryview has items of format {view.format!r}; give 16-bit little-endian integers, or their bytes",
        )
    return view.nbytes


def check_samples(size: int, audio: AudioFormat, path: str = "realtime_input.audio") -> None:
    """Refuse no audio and half samples.

    Raises:
        InvalidMessage: ``size`` is not a positive multiple of the frame size.
    """
    if not size:
        raise InvalidMessage(f"{path}.data", "the chunk is empty; leave the message out")
    if size % audio.frame_size:
        raise InvalidMessage(
            f"{path}.data",
            f"{size} bytes are not whole samples of {audio.frame_size} bytes; keep the rest for later",
        )


# --- tools and context ------------------------------------------------------------------------------------------


def tool_responses(responses: ResponsesInput) -> list[FunctionResponse]:
    """Results of calls as a list.

    Raises:
        InvalidMessage: Something in it is no `FunctionResponse`.
    """
    return messages_from(FunctionResponse, responses, "tool_response.function_responses")


def context_update(
    system_instruction: InstructionInput | None, tools: Iterable[ToolInput] | None
) -> LiveClientContextUpdate:
    """New instructions or tools.

    Raises:
        InvalidMessage: Neither is given, or one does not fit.
    """
    if system_instruction is None and tools is None:
        raise InvalidMessage("context_update", "give system_instruction or tools; tools=[] removes all tools")
    content: Content | None = None
    if system_instruction is not None:
        content = content_of(system_instruction, "context_update.system_instruction")
    wrapper: LiveClientContextUpdateTools | None = None
    if tools is not None:
        wrapper = LiveClientContextUpdateTools(tools=tools_of(tools, "context_update.tools.tools"))
    return LiveClientContextUpdate(system_instruction=content, tools=wrapper)
