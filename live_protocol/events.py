"""What a connection tells: one closed union of final classes.

`Event` is every public class below; a ``match`` over it with ``assert_never`` in the last case type-checks. Events that
came out of one message share it as ``message`` and mark their end with ``last``; nothing a message bundled is dropped.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, final

import attrs

from live_protocol._redaction import redact_credentials
from live_protocol.close_info import CloseInfo
from live_protocol.errors import LiveProtocolError, RemoteProtocolError
from live_protocol.messages import (
    Blob,
    CodeExecutionResult,
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
    "LazyMessage",
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

M = TypeVar("M", bound=LiveServerMessage | LiveClientMessage)


@final
class LazyMessage(Generic[M]):
    """The message some events were taken from, built when somebody asks for it.

    An audio chunk needs one string of its message; the rest costs several times as much and few read it.
    """

    __slots__ = ("_build", "_message")

    def __init__(self, message: M | None = None, build: Callable[[], M] | None = None) -> None:
        self._message: M | None = message
        self._build = build

    @property
    def message(self) -> M:
        """The whole typed message."""
        message = self._message
        if message is None:
            assert self._build is not None  # noqa: S101 - one of the two is always given
            message = self._message = self._build()
            self._build = None
        return message


_NO_SERVER_MESSAGE: LazyMessage[LiveServerMessage] = LazyMessage(LiveServerMessage())
_NO_CLIENT_MESSAGE: LazyMessage[LiveClientMessage] = LazyMessage(LiveClientMessage())


@fast_define(kw_only=True)
class _FromServer:
    """Base of what a server message tells.

    Attributes:
        last: Whether this is the last event of its message.
        unexpected: Whether the message came where the protocol does not have it; it is reported all the same.
    """

    _lazy_message: LazyMessage[LiveServerMessage] = attrs.field(
        default=_NO_SERVER_MESSAGE, alias="lazy_message", eq=False, repr=False
    )
    last: bool = True
    unexpected: bool = False

    @property
    def message(self) -> LiveServerMessage:
        """The whole message this event was taken from."""
        return self._lazy_message.message


@fast_define(kw_only=True)
class _Output(_FromServer):
    """Base of what belongs to one generation of the model.

    Attributes:
        generation: Number of the generation, from 1; 0 before the first.
        stale: True after an interruption: the generation was cut, do not play this.
    """

    generation: int = 0
    stale: bool = False


@fast_define(kw_only=True)
class _FromClient:
    """Base of what a client message tells.

    Attributes:
        index: Number of the client message on this connection; setup is 0 (wire.md#transparent-mode).
        last: Whether this is the last event of its message.
        unexpected: Whether the message came where the protocol does not have it.
    """

    _lazy_message: LazyMessage[LiveClientMessage] = attrs.field(
        default=_NO_CLIENT_MESSAGE, alias="lazy_message", eq=False, repr=False
    )
    index: int = 0
    last: bool = True
    unexpected: bool = False

    @property
    def message(self) -> LiveClientMessage:
        """The whole message this event was taken from."""
        return self._lazy_message.message


# --- link -------------------------------------------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class UpgradeRequested:
    """Server role: a client asks for a WebSocket; answer with ``accept()`` or ``reject()``.

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
        headers: Header fields of the response, names in lower case; out of ``repr``, they may echo credentials.
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
        headers: Header fields, names in lower case; out of ``repr``, they may echo credentials.
        body: Body, cut at ``Limits.max_body``.
    """

    status: int
    headers: Sequence[tuple[str, str]] = attrs.field(default=(), repr=False)
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")


@final
@attrs.frozen(kw_only=True)
class PingReceived:
    """A ping came; its pong is queued already.

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
        rtt: Seconds since the matching ping's bytes were taken, None where it matches none of ours.
    """

    payload: bytes = b""
    rtt: float | None = None


@final
@attrs.frozen(kw_only=True)
class ConnectionFailed:
    """Something ended the connection in other than peace; `ConnectionClosed` follows.

    Attributes:
        error: What it was.
    """

    error: LiveProtocolError


@final
@attrs.frozen(kw_only=True)
class ConnectionClosed:
    """The end: always the last event, exactly once.

    Attributes:
        info: Everything known about it.
    """

    info: CloseInfo


# --- session, client role ---------------------------------------------------------------------------------------


@final
@fast_define(kw_only=True)
class SetupComplete(_FromServer):
    """The server accepted the setup; the session is ready (wire.md#handshake).

    Attributes:
        session_id: Id of the session; Vertex only.
    """

    session_id: str | None = None


@final
@fast_define(kw_only=True)
class GoAway(_FromServer):
    """The server will end this connection (wire.md#go-away).

    Attributes:
        time_left: Seconds until then; None where the server did not say.
    """

    time_left: float | None = None


@final
@fast_define(kw_only=True)
class ResumptionUpdated(_FromServer):
    """News about resuming this session (wire.md#resumption).

    Attributes:
        handle: The new handle, None where this update carries none (an older one stays good). One that comes
            without ``resumable`` is shown here and used nowhere.
        resumable: Whether the session can be resumed from this very moment.
        last_consumed_client_message_index: Newest client message inside the handle; transparent mode only.
    """

    handle: str | None = attrs.field(default=None, repr=False)
    resumable: bool = False
    last_consumed_client_message_index: int | None = None


@final
@fast_define(kw_only=True)
class TurnStarted(_Output):
    """The first output of a new turn; made here, the wire has no such message."""


@final
@fast_define(kw_only=True)
class Interrupted(_Output):
    """Generation was cut by the user: drop audio that was not played yet (wire.md#turn-state)."""


@final
@fast_define(kw_only=True)
class GenerationComplete(_Output):
    """All output of the turn was sent; absent in interrupted turns."""


@final
@fast_define(kw_only=True)
class WaitingForInput(_Output):
    """The model does not answer because it expects the user to go on."""


@final
@fast_define(kw_only=True)
class TurnComplete(_Output):
    """The turn is over; for audio, when it would have been played.

    Attributes:
        reason: Why, where the turn ended abnormally.
        interaction_status: What the server says about the whole interaction, None on models that do not.
        interaction_complete: False where more turns follow by themselves (status IN_PROGRESS).
    """

    reason: TurnCompleteReason | str | None = None
    interaction_status: InteractionStatus | str | None = None
    interaction_complete: bool = True


@final
@fast_define(kw_only=True)
class InteractionStatusChanged(_FromServer):
    """The server reported the interaction's status.

    Attributes:
        status: IN_PROGRESS or IDLE; a name this version does not know is a plain string.
    """

    status: InteractionStatus | str


@final
@fast_define(kw_only=True)
class UsageUpdated(_FromServer):
    """Token usage since the last report, not a total of the session (wire.md#usage).

    Attributes:
        usage: The counts, whichever backend's spelling they came in.
    """

    usage: UsageMetadata


@final
@fast_define(kw_only=True)
class VoiceActivityDetected(_FromServer):
    """The server heard the user start or stop.

    Attributes:
        kind: ACTIVITY_START or ACTIVITY_END, where ``voiceActivity`` reported it.
        audio_offset: Seconds since the start of the session's audio.
        signal: Start or end of speech, where ``voiceActivityDetectionSignal`` reported it.
    """

    kind: VoiceActivityType | str | None = None
    audio_offset: float | None = None
    signal: VadSignalType | str | None = None


class StallKind(enum.StrEnum):
    """What is suspiciously missing."""

    NO_SETUP_COMPLETE = "NO_SETUP_COMPLETE"
    """``setup`` was sent, ``setupComplete`` has not come."""
    NO_OUTPUT = "NO_OUTPUT"
    """Client content asked for an answer, none has begun."""
    NO_GENERATION_COMPLETE = "NO_GENERATION_COMPLETE"
    """A turn is running, nothing has come for a while."""
    SILENT_LINK = "SILENT_LINK"
    """A ping went out, and not one byte has come since: not even a pong. Needs ``Timeouts.ping_interval``."""


@final
@attrs.frozen(kw_only=True)
class StallSuspected:
    """Output is due and has been missing for ``Timeouts.stall``; what to do is the application's decision.

    Attributes:
        kind: What is missing.
        silence: Seconds since the session last made progress; of a silent link, since the newest byte.
    """

    kind: StallKind
    silence: float


# --- content ----------------------------------------------------------------------------------------------------


@final
@fast_define(kw_only=True)
class AudioChunk(_Output):
    """A piece of the model's voice. It arrives faster than it plays; the application paces playback.

    Attributes:
        data: Raw PCM, 16-bit signed little-endian.
        format: Its rate in Hz and its channels.
    """

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    format: AudioFormat


@final
@fast_define(kw_only=True)
class TextChunk(_Output):
    """A piece of the model's text.

    Attributes:
        text: The piece; pieces of a turn append.
        thought: Whether this is a summary of the model's thinking instead of its answer.
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
    """Code the model wrote; Gemini 2.x also shows its tool calls this way before making them.

    Attributes:
        code: Language and text.
    """

    code: ExecutableCode


@final
@fast_define(kw_only=True)
class CodeExecutionResultReceived(_Output):
    """What the model's code printed.

    Attributes:
        result: Outcome and output.
    """

    result: CodeExecutionResult


@final
@fast_define(kw_only=True)
class PartReceived(_Output):
    """A part of any other kind: file reference, call or response as content, or one this version does not know.

    Attributes:
        part: The part.
    """

    part: Part


@final
@fast_define(kw_only=True)
class InputTranscript(_FromServer):
    """What the user said; has no ordering relation to anything else (wire.md#transcripts).

    Attributes:
        text: A piece, or the whole utterance, depending on the model.
        finished: Whether the server marked it as the utterance's last; rarely seen.
        transcription: The whole transcription: language, speaker, words.
    """

    text: str
    finished: bool = False
    transcription: Transcription


@final
@fast_define(kw_only=True)
class InterimInputTranscript(_FromServer):
    """A guess at what the user is saying; each replaces the former, `InputTranscript` replaces them all.

    Attributes:
        text: The whole guess so far.
        transcription: The whole transcription.
    """

    text: str
    transcription: Transcription


@final
@fast_define(kw_only=True)
class OutputTranscript(_Output):
    """What the model says; pieces of a turn append.

    Attributes:
        text: The piece; may be empty.
        finished: Whether the server marked it as the last.
        transcription: The whole transcription.
    """

    text: str
    finished: bool = False
    transcription: Transcription


@final
@fast_define(kw_only=True)
class ToolCallRequested(_Output):
    """The model asks for a function; answer with ``send_tool_response``.

    Attributes:
        call: Id (absent on some Vertex models), name and arguments.
        epoch: Number of the connection it came on, where connections follow one another; otherwise 0.
    """

    call: FunctionCall
    epoch: int = 0


@final
@fast_define(kw_only=True)
class ToolCallCancelled(_FromServer):
    """Drop the work for this call and send no response.

    Attributes:
        call_id: Its id.
        known: Whether the call was still open here.
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
    """Pages the model read for its answer.

    Attributes:
        metadata: URLs and what became of them.
    """

    metadata: UrlContextMetadata


# --- forward compatibility --------------------------------------------------------------------------------------


@final
@fast_define(kw_only=True)
class UnknownMessage:
    """Members this version does not know, at the top of a message or in ``serverContent``, from either role's peer.

    Attributes:
        fields: Those members, by wire key; those of ``serverContent`` stand under that key.
        last: Whether this is the last event of its message.
        unexpected: Whether the message came where the protocol does not have it.
    """

    _lazy_message: LazyMessage[LiveServerMessage] | LazyMessage[LiveClientMessage] = attrs.field(
        default=_NO_SERVER_MESSAGE, alias="lazy_message", eq=False, repr=False
    )
    fields: Mapping[str, Any]
    last: bool = True
    unexpected: bool = False

    @property
    def message(self) -> LiveServerMessage | LiveClientMessage:
        """The whole message this event was taken from."""
        return self._lazy_message.message


@final
@attrs.frozen(kw_only=True)
class Undecodable:
    """A message that is not JSON, or JSON that does not fit; the session goes on without it.

    Attributes:
        error: Where and why.
        data: The message as it came.
    """

    error: RemoteProtocolError
    data: bytes | str = attrs.field(repr=lambda data: f"<{len(data)}>")


@final
@fast_define(kw_only=True)
class ServerError(_FromServer):
    """An in-band ``error`` object (wire.md#open-questions); not known to end the session.

    Attributes:
        code: Numeric code, None where absent.
        text: The server's message.
        status: Canonical status name.
    """

    code: int | None = None
    text: str = attrs.field(default="", repr=lambda text: repr(redact_credentials(text)))
    status: str = attrs.field(default="", repr=lambda status: repr(redact_credentials(status)))


# --- session, server role ---------------------------------------------------------------------------------------


@final
@fast_define(kw_only=True)
class SetupReceived(_FromClient):
    """A client wants a session; answer with ``send_setup_complete()``.

    Attributes:
        setup: Model and configuration.
    """

    setup: LiveClientSetup


@final
@fast_define(kw_only=True)
class ClientContentReceived(_FromClient):
    """Turns to append to the context.

    Attributes:
        content: The turns, and whether generation shall start.
    """

    content: LiveClientContent


@final
@fast_define(kw_only=True)
class RealtimeInputReceived(_FromClient):
    """Live input. Clients send one member a message; several are accepted.

    Attributes:
        input: The members.
    """

    input: LiveClientRealtimeInput


@final
@fast_define(kw_only=True)
class ToolResponseReceived(_FromClient):
    """Results of calls.

    Attributes:
        responses: One for each call answered.
    """

    responses: Sequence[FunctionResponse]


@final
@fast_define(kw_only=True)
class ContextUpdateReceived(_FromClient):
    """New instructions or tools in mid-session.

    Attributes:
        update: What changes; absent members stay as they are.
    """

    update: LiveClientContextUpdate


# --- reconnecting: what a PersistentConnection adds ---------------------------------------------------------------


class ReconnectReason(enum.StrEnum):
    """Why there is to be another connection."""

    DROPPED = "DROPPED"
    """The connection ended in a way that another one can repair."""
    DIAL_FAILED = "DIAL_FAILED"
    """No transport could be opened."""
    GO_AWAY = "GO_AWAY"
    """The server announced its end, and we left first, or it ended as announced."""
    CONFLICT = "CONFLICT"
    """The resumption was refused because the old connection still seemed to live (wire.md#resuming)."""
    HANDLE_REFUSED = "HANDLE_REFUSED"
    """The handle is dead, or whatever resumes from it dies: a new session begins."""


class LossReason(enum.StrEnum):
    """Why input did not get into the session."""

    UNCONFIRMED = "UNCONFIRMED"
    """It was handed to a connection that broke, after the newest handle; whether the session has it nobody knows."""
    OFFLINE_BUFFER_FULL = "OFFLINE_BUFFER_FULL"
    """The buffer for input while away was full; the oldest gave way."""
    STALE = "STALE"
    """Audio or video that had become too old while away."""
    ORPHANED = "ORPHANED"
    """The response to a call of a session that could not be resumed."""
    NEW_SESSION = "NEW_SESSION"
    """An earlier session had it, and that one could not be resumed."""
    ENDED = "ENDED"
    """It waited to be sent when the last connection had ended."""


@final
@attrs.frozen(kw_only=True)
class Reconnecting:
    """A connection ended, or could not be made, and another one will be tried; stands where `ConnectionClosed` would.

    Attributes:
        attempt: Which try in a row this is, from 1.
        delay: Seconds until it is made.
        epoch: Number that the connection will have, from 1.
        reason: Why.
        info: How the last connection ended, or why there is none.
        interrupted_generation: Generation that ended in the middle, None where none was running; the model does not go
            on with it.
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
    """Another connection is ready; comes right after its `SetupComplete`.

    Attributes:
        epoch: Its number.
        resumed: Whether the session goes on; False: a new one has begun, which knows nothing of what was before.
        attempts: How many tries it took.
        downtime: Seconds since the last connection was lost.
        replayed: Messages that went out once more because the session does not have them (transparent mode).
        open_calls: Ids (names, where there is none) of calls of earlier connections that may still be answered.
        orphaned_calls: The same of calls that nobody waits for any more; answering raises `ToolCallOrphaned`.
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
    """Input that a command accepted and that the session does not have, or may not have.

    Attributes:
        count: How many messages.
        kinds: How many of each kind, by names such as ``client_content`` or ``realtime_input.audio``.
        size: Bytes of their JSON.
        reason: Why.
        certain: False where the session may have them all the same.
        numbers: Which, as ranges of first and last: the commands of the session are counted from 1, see
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
"""What the WebSocket link tells, besides messages."""

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
"""What the Live session tells."""

ReconnectEvent: TypeAlias = Reconnecting | Reconnected | InputLost
"""What a connection that reconnects tells besides."""

Event: TypeAlias = ConnectionEvent | SessionEvent | ReconnectEvent
"""Everything a connection tells."""
