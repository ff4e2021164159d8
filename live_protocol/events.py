"""What happens on a connection: one closed union of final classes.

`Event` is the union of all event classes below; a ``match`` over it with ``assert_never`` in the last case type-checks.
A message can mean several events. They share it as ``message``, the final one has ``last`` set, and together they cover
all of its content.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, final

import attrs

from live_protocol._redaction import redact_credentials
from live_protocol.close_info import CloseInfo
from live_protocol.errors import LiveProtocolError, RemoteProtocolError
from live_protocol.messages import (
    Blob,
    CodeExecutionResult,
    Content,
    ExecutableCode,
    FunctionCall,
    FunctionResponse,
    GroundingMetadata,
    InteractionStatus,
    LiveClientContent,
    LiveClientContextUpdate,
    LiveClientMessage,
    LiveClientRealtimeInput,
    LiveClientSetup,
    LiveServerContent,
    LiveServerMessage,
    Part,
    Transcription,
    TurnCompleteReason,
    UrlContextMetadata,
    UsageMetadata,
    VadSignalType,
    VoiceActivityType,
)
from live_protocol.messages.audio_format import AudioFormat
from live_protocol.messages.fields import fast_define

__all__ = [
    "AudioChunk",
    "AudioSource",
    "ClientContentReceived",
    "CodeExecutionResultReceived",
    "Connected",
    "ConnectionClosed",
    "ConnectionEvent",
    "ConnectionFailed",
    "ContextUpdateReceived",
    "Event",
    "ExecutableCodeReceived",
    "GenerationComplete",
    "GoAway",
    "Grounding",
    "InlineDataChunk",
    "InputLost",
    "InputTranscript",
    "InteractionStatusChanged",
    "InterimInputTranscript",
    "Interrupted",
    "LossReason",
    "OutputTranscript",
    "PartReceived",
    "PingReceived",
    "PongReceived",
    "RealtimeInputReceived",
    "ReconnectEvent",
    "ReconnectReason",
    "Reconnected",
    "Reconnecting",
    "ResumptionUpdated",
    "ServerError",
    "SessionEvent",
    "SetupComplete",
    "SetupReceived",
    "StallKind",
    "StallSuspected",
    "TextChunk",
    "ToolCallCancelled",
    "ToolCallRequested",
    "ToolResponseReceived",
    "TurnComplete",
    "TurnStarted",
    "Undecodable",
    "UnknownMessage",
    "UpgradeRejected",
    "UpgradeRequested",
    "UrlContextRetrieved",
    "UsageUpdated",
    "VoiceActivityDetected",
    "WaitingForInput",
]


@final
class AudioSource:
    """What the messages of consecutive audio chunks have in common: all but the audio.

    An audio event needs the audio of its message. Building the message costs several times as much, and few programs
    read it, so the event builds it when it is asked.
    """

    __slots__ = ("_mime_type", "_role")

    def __init__(self, mime_type: str, role: str | None) -> None:
        self._mime_type = mime_type
        self._role = role

    def message(self, data: bytes) -> LiveServerMessage:
        """The message that carries this audio."""
        part = Part(inline_data=Blob(mime_type=self._mime_type, data=data))
        return LiveServerMessage(server_content=LiveServerContent(model_turn=Content(role=self._role, parts=[part])))


_NO_SERVER_MESSAGE: LiveServerMessage = LiveServerMessage()
_NO_CLIENT_MESSAGE: LiveClientMessage = LiveClientMessage()


@fast_define(kw_only=True)
class _FromServer:
    """Base of the events that come from a server message.

    Attributes:
        last: Whether this is the last event of its message.
        unexpected: Whether the protocol does not allow the message at this point.
    """

    _message: LiveServerMessage = attrs.field(default=_NO_SERVER_MESSAGE, alias="message", eq=False, repr=False)
    last: bool = True
    unexpected: bool = False

    @property
    def message(self) -> LiveServerMessage:
        """The whole message this event was taken from."""
        return self._message


@fast_define(kw_only=True)
class _Output(_FromServer):
    """Base of the events that belong to one generation of the model.

    Attributes:
        generation: Number of the generation, from 1; 0 before the first.
        stale: Whether the generation was interrupted before; do not play its output.
    """

    generation: int = 0
    stale: bool = False


@fast_define(kw_only=True)
class _FromClient:
    """Base of the events that come from a client message.

    Attributes:
        index: Number of the client message on this connection; setup is 0 (wire.md#transparent-mode).
        last: Whether this is the last event of its message.
        unexpected: Whether the protocol does not allow the message at this point.
    """

    _message: LiveClientMessage = attrs.field(default=_NO_CLIENT_MESSAGE, alias="message", eq=False, repr=False)
    index: int = 0
    last: bool = True
    unexpected: bool = False

    @property
    def message(self) -> LiveClientMessage:
        """The whole message this event was taken from."""
        return self._message


# --- connection -------------------------------------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class UpgradeRequested:
    """Server: a client requests a WebSocket; answer with ``accept()`` or ``reject()``.

    Attributes:
        target: Path and query as they came; the query may hold credentials and stays out of ``repr``.
        headers: Header fields in order, names in lower case; out of ``repr`` for the same reason.
    """

    target: str = attrs.field(repr=lambda target: repr(target.partition("?")[0]))
    headers: Sequence[tuple[str, str]] = attrs.field(default=(), repr=False)


@final
@attrs.frozen(kw_only=True)
class Connected:
    """The opening handshake succeeded (RFC 6455 section 4).

    Attributes:
        headers: Header fields of the response, names in lower case; out of ``repr``, since they may echo credentials.
        compression: Whether permessage-deflate is in use (RFC 7692).
    """

    headers: Sequence[tuple[str, str]] = attrs.field(default=(), repr=False)
    compression: bool = False


@final
@attrs.frozen(kw_only=True)
class UpgradeRejected:
    """The server refused the upgrade; `ConnectionFailed` and `ConnectionClosed` follow.

    Attributes:
        status: HTTP status.
        headers: Header fields, names in lower case; out of ``repr``, since they may echo credentials.
        body: Body, truncated to ``Limits.max_body``.
    """

    status: int
    headers: Sequence[tuple[str, str]] = attrs.field(default=(), repr=False)
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")


@final
@attrs.frozen(kw_only=True)
class PingReceived:
    """A ping came. Its pong is queued already.

    Attributes:
        payload: Up to 125 bytes.
    """

    payload: bytes = b""


@final
@attrs.frozen(kw_only=True)
class PongReceived:
    """A pong came.

    Attributes:
        payload: Up to 125 bytes.
        rtt: Seconds since the bytes of the matching ping were taken; None if it matches none of ours.
    """

    payload: bytes = b""
    rtt: float | None = None


@final
@attrs.frozen(kw_only=True)
class ConnectionFailed:
    """The connection failed. `ConnectionClosed` follows.

    Attributes:
        error: Why it failed.
    """

    error: LiveProtocolError


@final
@attrs.frozen(kw_only=True)
class ConnectionClosed:
    """The connection ended. This is the last event and comes exactly once.

    Attributes:
        info: How and why it ended.
    """

    info: CloseInfo


# --- session, client --------------------------------------------------------------------------------------------


@final
@fast_define(kw_only=True)
class SetupComplete(_FromServer):
    """The server accepted the setup. The session is ready (wire.md#handshake).

    Attributes:
        session_id: Id of the session; Vertex only.
    """

    session_id: str | None = None


@final
@fast_define(kw_only=True)
class GoAway(_FromServer):
    """The server will end this connection (wire.md#go-away).

    Attributes:
        time_left: Seconds until then; None if the server did not say.
    """

    time_left: float | None = None


@final
@fast_define(kw_only=True)
class ResumptionUpdated(_FromServer):
    """The server updated how this session can be resumed (wire.md#resumption).

    Attributes:
        handle: The new handle; None if the update has none, then the older one stays valid. A handle that comes without
            ``resumable`` is not used for resuming.
        resumable: Whether the session can be resumed from this point.
        last_consumed_client_message_index: Newest client message that the handle covers; transparent mode only.
    """

    handle: str | None = attrs.field(default=None, repr=False)
    resumable: bool = False
    last_consumed_client_message_index: int | None = None


@final
@fast_define(kw_only=True)
class TurnStarted(_Output):
    """The first output of a turn is about to come. The wire has no message for this."""


@final
@fast_define(kw_only=True)
class Interrupted(_Output):
    """The user interrupted the generation: drop the audio that has not been played (wire.md#turn-state)."""


@final
@fast_define(kw_only=True)
class GenerationComplete(_Output):
    """The server has sent all output of the turn. An interrupted turn has no such event."""


@final
@fast_define(kw_only=True)
class WaitingForInput(_Output):
    """The model does not answer yet because it expects the user to go on."""


@final
@fast_define(kw_only=True)
class TurnComplete(_Output):
    """The turn is over. With audio it comes when playback would be over.

    Attributes:
        reason: Why the turn ended abnormally, if it did.
        interaction_status: Status of the whole interaction; None on models that do not report it.
        interaction_complete: Whether no more turns follow without input of the user (status is not IN_PROGRESS).
    """

    reason: TurnCompleteReason | str | None = None
    interaction_status: InteractionStatus | str | None = None
    interaction_complete: bool = True


@final
@fast_define(kw_only=True)
class InteractionStatusChanged(_FromServer):
    """The server reported the status of the interaction.

    Attributes:
        status: IN_PROGRESS or IDLE; an unknown name is a plain string.
    """

    status: InteractionStatus | str


@final
@fast_define(kw_only=True)
class UsageUpdated(_FromServer):
    """Token usage since the last report, not a total of the session (wire.md#usage).

    Attributes:
        usage: The counts, under the same names for both backends.
    """

    usage: UsageMetadata


@final
@fast_define(kw_only=True)
class VoiceActivityDetected(_FromServer):
    """The server heard the user start or stop speaking.

    Attributes:
        kind: ACTIVITY_START or ACTIVITY_END, from ``voiceActivity``.
        audio_offset: Seconds since the start of the session's audio.
        signal: Start or end of speech, from ``voiceActivityDetectionSignal``.
    """

    kind: VoiceActivityType | str | None = None
    audio_offset: float | None = None
    signal: VadSignalType | str | None = None


class StallKind(enum.StrEnum):
    """What is overdue."""

    NO_SETUP_COMPLETE = "NO_SETUP_COMPLETE"
    """``setup`` was sent; ``setupComplete`` has not come."""
    NO_OUTPUT = "NO_OUTPUT"
    """Client content requested an answer; it has not started."""
    NO_GENERATION_COMPLETE = "NO_GENERATION_COMPLETE"
    """A turn is running, but its output has paused."""
    SILENT_LINK = "SILENT_LINK"
    """No byte has come since the last ping, not even its pong. Needs ``Timeouts.ping_interval``."""


@final
@attrs.frozen(kw_only=True)
class StallSuspected:
    """Output has been overdue for ``Timeouts.stall``. The application decides what to do.

    Attributes:
        kind: What is overdue.
        silence: Seconds since the session last made progress; for SILENT_LINK, since the last byte.
    """

    kind: StallKind
    silence: float


# --- content ----------------------------------------------------------------------------------------------------


@final
@fast_define(kw_only=True)
class AudioChunk(_Output):
    """A chunk of the model's voice. Chunks arrive faster than they play; the application paces playback.

    Attributes:
        data: Raw PCM, 16-bit signed little-endian.
        format: Its rate in Hz and its channels.
    """

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    format: AudioFormat
    _source: AudioSource | None = attrs.field(default=None, alias="source", eq=False, repr=False)

    @property
    def message(self) -> LiveServerMessage:
        """The whole message this event was taken from."""
        if self._source is not None and self._message is _NO_SERVER_MESSAGE:
            object.__setattr__(self, "_message", self._source.message(self.data))
        return self._message


@final
@fast_define(kw_only=True)
class TextChunk(_Output):
    """A chunk of the model's text.

    Attributes:
        text: The text; the chunks of a turn concatenate.
        thought: Whether it is a summary of the model's thinking instead of its answer.
    """

    text: str
    thought: bool = False


@final
@fast_define(kw_only=True)
class InlineDataChunk(_Output):
    """Inline media other than PCM audio.

    Attributes:
        blob: MIME type and bytes.
        part: The part that held it.
    """

    blob: Blob
    part: Part


@final
@fast_define(kw_only=True)
class ExecutableCodeReceived(_Output):
    """Code that the model wrote. Gemini 2.x also announces its tool calls this way.

    Attributes:
        code: Language and text.
    """

    code: ExecutableCode


@final
@fast_define(kw_only=True)
class CodeExecutionResultReceived(_Output):
    """The result of running the model's code.

    Attributes:
        result: Outcome and output.
    """

    result: CodeExecutionResult


@final
@fast_define(kw_only=True)
class PartReceived(_Output):
    """A part of another kind: a file reference, a call or response as content, or an unknown kind.

    Attributes:
        part: The part.
    """

    part: Part


@final
@fast_define(kw_only=True)
class InputTranscript(_FromServer):
    """A transcript of the user's speech, in no defined order with other events (wire.md#transcripts).

    Attributes:
        text: A piece of the utterance or all of it, depending on the model.
        finished: Whether the server marked it as the last of the utterance; rarely set.
        transcription: The whole transcription: language, speaker, words.
    """

    text: str
    finished: bool = False
    transcription: Transcription


@final
@fast_define(kw_only=True)
class InterimInputTranscript(_FromServer):
    """A preliminary transcript of the user's speech. Each replaces the one before; `InputTranscript` replaces them all.

    Attributes:
        text: The whole transcript so far.
        transcription: The whole transcription.
    """

    text: str
    transcription: Transcription


@final
@fast_define(kw_only=True)
class OutputTranscript(_Output):
    """A transcript of the model's speech.

    Attributes:
        text: The text, possibly empty; the pieces of a turn concatenate.
        finished: Whether the server marked it as the last.
        transcription: The whole transcription.
    """

    text: str
    finished: bool = False
    transcription: Transcription


@final
@fast_define(kw_only=True)
class ToolCallRequested(_Output):
    """The model calls a function; answer with ``send_tool_response``.

    Attributes:
        call: Id (absent on some Vertex models), name and arguments.
        epoch: Number of the connection that it came on; 0 without a `PersistentConnection`.
    """

    call: FunctionCall
    epoch: int = 0


@final
@fast_define(kw_only=True)
class ToolCallCancelled(_FromServer):
    """The server cancelled a call: stop its work and send no response.

    Attributes:
        call_id: Id of the call.
        known: Whether the call was open.
    """

    call_id: str
    known: bool = True


@final
@fast_define(kw_only=True)
class Grounding(_Output):
    """Sources of the model's answer.

    Attributes:
        metadata: Queries, chunks and supports.
    """

    metadata: GroundingMetadata


@final
@fast_define(kw_only=True)
class UrlContextRetrieved(_Output):
    """Pages that the model read for its answer.

    Attributes:
        metadata: URLs and the outcome of fetching them.
    """

    metadata: UrlContextMetadata


# --- forward compatibility --------------------------------------------------------------------------------------


@final
@fast_define(kw_only=True)
class UnknownMessage:
    """A message from either peer has members that this version does not know, at its top or in ``serverContent``.

    Attributes:
        fields: These members by wire key; members of ``serverContent`` are below that key.
        last: Whether this is the last event of its message.
        unexpected: Whether the protocol does not allow the message at this point.
    """

    _message: LiveServerMessage | LiveClientMessage = attrs.field(
        default=_NO_SERVER_MESSAGE, alias="message", eq=False, repr=False
    )
    fields: Mapping[str, Any]
    last: bool = True
    unexpected: bool = False

    @property
    def message(self) -> LiveServerMessage | LiveClientMessage:
        """The whole message this event was taken from."""
        return self._message


@final
@attrs.frozen(kw_only=True)
class Undecodable:
    """A message is not JSON or does not fit its class. The session goes on without it.

    Attributes:
        error: What is wrong with it, and where.
        data: The message as it came.
    """

    error: RemoteProtocolError
    data: bytes | str = attrs.field(repr=lambda data: f"<{len(data)}>")


@final
@fast_define(kw_only=True)
class ServerError(_FromServer):
    """The server sent an ``error`` object (wire.md#open-questions). It is not known to end the session.

    Attributes:
        code: Numeric code, None if absent.
        text: The server's message.
        status: Canonical status name.
    """

    code: int | None = None
    text: str = attrs.field(default="", repr=lambda text: repr(redact_credentials(text)))
    status: str = attrs.field(default="", repr=lambda status: repr(redact_credentials(status)))


# --- session, server --------------------------------------------------------------------------------------------


@final
@fast_define(kw_only=True)
class SetupReceived(_FromClient):
    """A client requests a session; answer with ``send_setup_complete()``.

    Attributes:
        setup: Model and configuration.
    """

    setup: LiveClientSetup


@final
@fast_define(kw_only=True)
class ClientContentReceived(_FromClient):
    """The client appends turns to the context.

    Attributes:
        content: The turns, and whether they request an answer.
    """

    content: LiveClientContent


@final
@fast_define(kw_only=True)
class RealtimeInputReceived(_FromClient):
    """The client sends live input. A message should have one member; several are accepted.

    Attributes:
        input: The members.
    """

    input: LiveClientRealtimeInput


@final
@fast_define(kw_only=True)
class ToolResponseReceived(_FromClient):
    """The client answers tool calls.

    Attributes:
        responses: The responses.
    """

    responses: Sequence[FunctionResponse]


@final
@fast_define(kw_only=True)
class ContextUpdateReceived(_FromClient):
    """The client replaces instructions or tools in mid-session.

    Attributes:
        update: The new ones; absent members stay as they are.
    """

    update: LiveClientContextUpdate


# --- reconnecting: only from a PersistentConnection -------------------------------------------------------------


class ReconnectReason(enum.StrEnum):
    """Why another connection follows."""

    DROPPED = "DROPPED"
    """The connection ended for a temporary reason."""
    DIAL_FAILED = "DIAL_FAILED"
    """No transport could be opened."""
    GO_AWAY = "GO_AWAY"
    """The server announced its end: this end left first, or the connection ended as announced."""
    CONFLICT = "CONFLICT"
    """The server refused to resume because the old connection still seemed alive (wire.md#resuming)."""
    HANDLE_REFUSED = "HANDLE_REFUSED"
    """The handle is invalid, or connections that resume from it keep failing: a new session begins."""


class LossReason(enum.StrEnum):
    """Why input did not get into the session."""

    UNCONFIRMED = "UNCONFIRMED"
    """It was sent after the newest handle, on a connection that broke; the session may have it or not."""
    OFFLINE_BUFFER_FULL = "OFFLINE_BUFFER_FULL"
    """The offline buffer was full, and the oldest input was dropped."""
    STALE = "STALE"
    """Audio or video that grew too old offline."""
    ORPHANED = "ORPHANED"
    """The response to a call of a session that could not be resumed."""
    NEW_SESSION = "NEW_SESSION"
    """It went into an earlier session, which could not be resumed."""
    ENDED = "ENDED"
    """It was waiting for a connection when the last one ended."""


@final
@attrs.frozen(kw_only=True)
class Reconnecting:
    """A connection ended or could not be opened, and another attempt follows. Comes in place of `ConnectionClosed`.

    Attributes:
        attempt: Number of the attempt in this row, from 1.
        delay: Seconds until the attempt.
        epoch: Number that the connection will have, from 1.
        reason: Why another connection is needed.
        info: How the last connection ended, or why it could not be opened.
        interrupted_generation: Number of the generation that was running, None if none was; the model does not go on
            with it.
    """

    attempt: int
    delay: float
    epoch: int
    reason: ReconnectReason
    info: CloseInfo
    interrupted_generation: int | None = None


@final
@attrs.frozen(kw_only=True)
class Reconnected:
    """The next connection is ready. Comes right after its `SetupComplete`.

    Attributes:
        epoch: Number of the connection.
        resumed: Whether the session goes on; otherwise a new one has begun, without the context of the old one.
        attempts: Number of attempts that it took.
        downtime: Seconds since the last connection was lost.
        replayed: Number of messages sent again because the session does not have them (transparent mode).
        open_calls: Ids (or names, without an id) of calls of earlier connections that can still be answered.
        orphaned_calls: Ids (or names) of calls that cannot; answering one raises `ToolCallOrphaned`.
    """

    epoch: int
    resumed: bool
    attempts: int
    downtime: float
    replayed: int = 0
    open_calls: Sequence[str] = ()
    orphaned_calls: Sequence[str] = ()


@final
@attrs.frozen(kw_only=True)
class InputLost:
    """A command accepted input that the session does not have, or may not have.

    Attributes:
        count: Number of messages.
        kinds: Number of messages of each kind, such as ``client_content`` or ``realtime_input.audio``.
        size: Bytes of their JSON.
        reason: Why they are lost.
        certain: Whether the session cannot have them.
        numbers: Their numbers, as ranges of first and last; the commands of a session count from 1, see
            `PersistentConnection.accepted`.
    """

    count: int
    kinds: Mapping[str, int]
    size: int
    reason: LossReason
    certain: bool = True
    numbers: Sequence[tuple[int, int]] = ()


ConnectionEvent: TypeAlias = (
    UpgradeRequested
    | Connected
    | UpgradeRejected
    | PingReceived
    | PongReceived
    | StallSuspected
    | ConnectionFailed
    | ConnectionClosed
)
"""Events of the WebSocket connection."""

SessionEvent: TypeAlias = (
    SetupComplete
    | GoAway
    | ResumptionUpdated
    | TurnStarted
    | Interrupted
    | GenerationComplete
    | WaitingForInput
    | TurnComplete
    | InteractionStatusChanged
    | UsageUpdated
    | VoiceActivityDetected
    | StallSuspected
    | AudioChunk
    | TextChunk
    | InlineDataChunk
    | ExecutableCodeReceived
    | CodeExecutionResultReceived
    | PartReceived
    | InputTranscript
    | InterimInputTranscript
    | OutputTranscript
    | ToolCallRequested
    | ToolCallCancelled
    | Grounding
    | UrlContextRetrieved
    | UnknownMessage
    | Undecodable
    | ServerError
    | SetupReceived
    | ClientContentReceived
    | RealtimeInputReceived
    | ToolResponseReceived
    | ContextUpdateReceived
    | ConnectionFailed
)
"""Events of the Live session."""

ReconnectEvent: TypeAlias = Reconnecting | Reconnected | InputLost
"""Events of a connection that reconnects."""

Event: TypeAlias = ConnectionEvent | SessionEvent | ReconnectEvent
"""All events."""
