"""Sans-I/O Gemini Live: bytes in, typed events out; commands in, bytes out. Client and server.

    >>> from live_protocol import Endpoint, LiveConnection, SetupReceived, UpgradeRequested
    >>> client = LiveConnection.client(Endpoint.custom("ws://localhost/"), model="a-model")
    >>> server = LiveConnection.server()
    >>> for _ in range(2):  # a socket would carry the same bytes
    ...     server.receive_data(client.data_to_send())
    ...     for event in server.events():
    ...         match event:
    ...             case UpgradeRequested(): server.accept()
    ...             case SetupReceived(): server.send_setup_complete()
    ...     client.receive_data(server.data_to_send())
    >>> [type(event).__name__ for event in client.events()]
    ['Connected', 'SetupComplete']

Most programs find all they need in this module. The rooms below have the rest:

- The ground: ``states``, ``events``, ``errors``, ``close_info``, ``limits``, ``timing``, ``endpoint``, ``messages``.
- The protocol: ``codec`` (JSON), ``websocket`` (RFC 6455), ``session`` (Live over whole messages), ``connection`` (both
  joined), ``reconnect`` (one session over many connections).
- Batteries, which ``import live_protocol`` does not load: ``tools`` (function calling), ``audio``, ``conversation``
  (transcripts and turns), ``recording`` (traces and timelines), ``emulator`` (the service's end), ``testing``.
"""

from live_protocol._version import __version__
from live_protocol.close_info import CloseInfo
from live_protocol.codec import Codec
from live_protocol.connection import LiveConnection, MessageConnection
from live_protocol.endpoint import Endpoint
from live_protocol.errors import (
    AlreadyClosed,
    ClientClosed,
    ConnectionClosing,
    DeadlineExpired,
    FrameViolation,
    HandshakeFailed,
    IllegalInState,
    InvalidJson,
    InvalidMessage,
    LimitExceeded,
    LiveProtocolError,
    LocalProtocolError,
    MessageTooLarge,
    NotConnected,
    OutOfOrder,
    PeerClosed,
    RemoteProtocolError,
    SchemaMismatch,
    ServerClosed,
    StaleOperation,
    ToolCallOrphaned,
    ToolCallWasCancelled,
    TransportFailed,
)
from live_protocol.events import (
    AudioChunk,
    ClientContentReceived,
    CodeExecutionResultReceived,
    Connected,
    ConnectionClosed,
    ConnectionFailed,
    ContextUpdateReceived,
    Event,
    ExecutableCodeReceived,
    GenerationComplete,
    GoAway,
    Grounding,
    InlineDataChunk,
    InputLost,
    InputTranscript,
    InteractionStatusChanged,
    InterimInputTranscript,
    Interrupted,
    OutputTranscript,
    PartReceived,
    PingReceived,
    PongReceived,
    RealtimeInputReceived,
    Reconnected,
    Reconnecting,
    ResumptionUpdated,
    ServerError,
    SetupComplete,
    SetupReceived,
    StallSuspected,
    TextChunk,
    ToolCallCancelled,
    ToolCallRequested,
    ToolResponseReceived,
    TurnComplete,
    TurnStarted,
    Undecodable,
    UnknownMessage,
    UpgradeRejected,
    UpgradeRequested,
    UrlContextRetrieved,
    UsageUpdated,
    VoiceActivityDetected,
    WaitingForInput,
)
from live_protocol.limits import Limits
from live_protocol.messages import (
    AudioFormat,
    Blob,
    Content,
    FunctionCall,
    FunctionDeclaration,
    FunctionResponse,
    LiveClientMessage,
    LiveClientSetup,
    LiveConnectConfig,
    LiveServerMessage,
    Modality,
    Part,
    Tool,
)
from live_protocol.reconnect import PersistentConnection, ReconnectPolicy
from live_protocol.session import LiveSession
from live_protocol.states import ActivityState, ConnectionState, Phase, ToolCallState, TurnState
from live_protocol.timing import Timeouts

__all__ = [
    "ActivityState",
    "AlreadyClosed",
    "AudioChunk",
    "AudioFormat",
    "Blob",
    "ClientClosed",
    "ClientContentReceived",
    "CloseInfo",
    "CodeExecutionResultReceived",
    "Codec",
    "Connected",
    "ConnectionClosed",
    "ConnectionClosing",
    "ConnectionFailed",
    "ConnectionState",
    "Content",
    "ContextUpdateReceived",
    "DeadlineExpired",
    "Endpoint",
    "Event",
    "ExecutableCodeReceived",
    "FrameViolation",
    "FunctionCall",
    "FunctionDeclaration",
    "FunctionResponse",
    "GenerationComplete",
    "GoAway",
    "Grounding",
    "HandshakeFailed",
    "IllegalInState",
    "InlineDataChunk",
    "InputLost",
    "InputTranscript",
    "InteractionStatusChanged",
    "InterimInputTranscript",
    "Interrupted",
    "InvalidJson",
    "InvalidMessage",
    "LimitExceeded",
    "Limits",
    "LiveClientMessage",
    "LiveClientSetup",
    "LiveConnectConfig",
    "LiveConnection",
    "LiveProtocolError",
    "LiveServerMessage",
    "LiveSession",
    "LocalProtocolError",
    "MessageConnection",
    "MessageTooLarge",
    "Modality",
    "NotConnected",
    "OutOfOrder",
    "OutputTranscript",
    "Part",
    "PartReceived",
    "PeerClosed",
    "PersistentConnection",
    "Phase",
    "PingReceived",
    "PongReceived",
    "RealtimeInputReceived",
    "ReconnectPolicy",
    "Reconnected",
    "Reconnecting",
    "RemoteProtocolError",
    "ResumptionUpdated",
    "SchemaMismatch",
    "ServerClosed",
    "ServerError",
    "SetupComplete",
    "SetupReceived",
    "StaleOperation",
    "StallSuspected",
    "TextChunk",
    "Timeouts",
    "Tool",
    "ToolCallCancelled",
    "ToolCallOrphaned",
    "ToolCallRequested",
    "ToolCallState",
    "ToolCallWasCancelled",
    "ToolResponseReceived",
    "TransportFailed",
    "TurnComplete",
    "TurnStarted",
    "TurnState",
    "Undecodable",
    "UnknownMessage",
    "UpgradeRejected",
    "UpgradeRequested",
    "UrlContextRetrieved",
    "UsageUpdated",
    "VoiceActivityDetected",
    "WaitingForInput",
    "__version__",
]
