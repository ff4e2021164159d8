"""Everything that can go wrong on a connection: reported once, in order, completely, and without secrets."""

from __future__ import annotations

from typing import Any

import pytest
from support.core import (
    CANARY,
    COMPLETE,
    GO_AWAY,
    SETUP_COMPLETE,
    TEXT,
    call,
    check_end,
    close_frame,
    dial,
    dumps,
    frame,
    names,
    open_pair,
    say,
)

from live_protocol import (
    AlreadyClosed,
    ClientClosed,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionState,
    DeadlineExpired,
    Endpoint,
    FrameViolation,
    InvalidJson,
    InvalidMessage,
    Limits,
    LiveConnection,
    LiveProtocolError,
    OutOfOrder,
    PeerClosed,
    Phase,
    SchemaMismatch,
    ServerClosed,
    StallSuspected,
    Timeouts,
    TransportFailed,
)
from live_protocol.close_info import Initiator
from live_protocol.events import StallKind
from live_protocol.testing import Pair
from live_protocol.timing import Deadline

# --- faults of the peer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        (b"nonsense", InvalidJson, 1007),
        (b"{}", SchemaMismatch, 1007),
        (b'{"new":1}', SchemaMismatch, 1007),
        (b'{"setup":{"model":"m"}}', OutOfOrder, 1007),
    ],
)
def test_a_strict_server_ends_the_connection_as_the_service_does(text: bytes, kind: Any, code: int) -> None:
    pair = open_pair()
    good = frame(b'{"clientContent":{}}', masked=True)
    pair.server.receive_data(good + frame(text, masked=True) + good + frame(b"x", 9, masked=True))
    pair.pump()
    assert names(pair.server_events) == ["ClientContentReceived", "ConnectionFailed", "ConnectionClosed"]
    info = check_end(pair.server_events, pair.server, failed=True)
    assert type(info.error) is kind
    assert (info.code, info.clean, info.initiator, info.phase) == (code, False, Initiator.LOCAL, Phase.READY)
    assert info.reason == info.error.close_reason
    seen = check_end(pair.client_events, pair.client, failed=True)
    assert isinstance(seen.error, ServerClosed)
    assert (seen.code, seen.reason, seen.initiator) == (code, info.reason, Initiator.REMOTE)
    assert pair.server.state is pair.client.state is ConnectionState.CLOSED


@pytest.mark.parametrize(
    ("text", "kind"),
    [(b"nonsense", InvalidJson), (b'{"new":1}', SchemaMismatch), (dumps(SETUP_COMPLETE), OutOfOrder)],
)
def test_a_strict_client(text: bytes, kind: Any) -> None:
    pair = open_pair(dial(strict=True))
    pair.client.receive_data(frame(dumps(TEXT)) + frame(text) + frame(dumps(COMPLETE)))
    pair.pump()
    assert names(pair.client_events) == ["TurnStarted", "TextChunk", "ConnectionFailed", "ConnectionClosed"]
    assert type(check_end(pair.client_events, pair.client, failed=True).error) is kind
    assert isinstance(check_end(pair.server_events, pair.server, failed=True).error, ClientClosed)


def test_a_strict_failure_before_the_peers_own_end() -> None:
    pair = open_pair(dial(strict=True))
    pair.client.receive_data(frame(b"nonsense") + close_frame(1011, "Internal error occurred."))
    info = check_end(list(pair.client.events()), pair.client, failed=True)
    assert isinstance(info.error, InvalidJson)
    assert info.code == 1011  # what the wire said stays in the report


def test_tolerance_is_the_default_of_clients() -> None:
    pair = open_pair()
    pair.client.receive_data(
        frame(b"nonsense") + frame(b'{"new":1}') + frame(dumps(SETUP_COMPLETE)) + frame(dumps(TEXT))
    )
    pair.pump()
    assert names(pair.client_events) == [
        "Undecodable",
        "UnknownMessage",
        "SetupComplete",
        "TurnStarted",
        "TextChunk",
    ]
    assert pair.client.state is ConnectionState.OPEN


@pytest.mark.parametrize("server", [True, False])
def test_broken_frames(server: bool) -> None:
    pair = open_pair()
    end, events = (pair.server, pair.server_events) if server else (pair.client, pair.client_events)
    end.receive_data(frame(dumps(TEXT if not server else {"clientContent": {}}), masked=server) + b"\xff\xff")
    pair.pump()
    info = check_end(events, end, failed=True)
    assert isinstance(info.error, FrameViolation)
    assert len(events) > 2  # what came before the fault is told first


# --- verdicts of the service ------------------------------------------------------------------------------------

INVALID_FIELD = "Invalid JSON payload received. Unknown name \"x\" at 'setup.generation_config': Cannot find field."
KNOWN = [
    (1007, "API key not valid. Please pass a valid API key.", False, "refused the API key"),
    (1007, "API Key not found. Please pass a valid API key.", False, "had no API key"),
    (1007, "API key expired. Please renew the API key.", False, "expired"),
    (1007, "Request contains an invalid argument.", False, "see last_frames"),
    (1007, INVALID_FIELD, False, "does not know the named setup field"),
    (1007, ('Invalid JSON payload received. Unknown name "x" at \'' + "setup.a" * 20)[:123], False, "setup field"),
    (1007, "Invalid value at 'setup.generation_config.seed' (TYPE_INT32)", False, "value of the named field"),
    (1007, "setup must be the first message and only the first", False, "setup twice"),
    (
        1007,
        "Explicit activity control is not supported when automatic activity detection is enabled.",
        False,
        "automatic_activity_detection.disabled = True",
    ),
    (
        1007,
        "The requested combination of response modalities (TEXT) is not supported by the model. models/gemini",
        False,
        "response_modalities",
    ),
    (1007, "Cannot extract voices from a non-audio request", False, "speech_config"),
    (1007, "Sample rate changed from previously 24000 to 16000, which is not supported.", False, "one sample rate"),
    (1007, "Thinking level must be specified for this model", False, "thinking_level"),
    (1007, "Function response scheduling is not supported for this model", False, "scheduling"),
    (1007, "Media resolution is not supported in the live api.", False, "Remove the named option"),
    (1007, "User location is not supported for the API use.", False, "not available at the location"),
    (1007, "Invalid session handle", False, "start a new session"),
    (
        1008,
        "models/x is not found for API version v1beta, or is not supported for bidiGenerateContent. Call Li",
        False,
        "The model is unknown",
    ),
    (1008, "Operation is not implemented, or supported, or enabled.", False, "does not support an option"),
    (1008, "Requested entity was not found.", False, "start a new session"),
    (1008, "BidiGenerateContent session not found", False, "no longer knows"),
    (1008, "Your project has been denied access to this.", False, "console"),
    (1008, "Generative Language API has not been used in project 7 before", False, "Enable the API"),
    (1009, "", False, "too large"),
    (1011, "Internal error occurred.", True, "retry after about a second"),
    (1011, "Internal error encountered.", True, "retry after about a second"),
    (1011, "The service is currently unavailable.", True, "backoff"),
    (1011, "Deadline expired before operation could complete.", True, "stalled turn"),
    (1011, "You exceeded your current quota, please check your plan and billing details.", False, "quota"),
    (1011, "Resource has been exhausted (e.g. check quota).", False, "quota"),
    (1011, "Your prepayment credits are depleted. Please go to", False, "top it up"),
    (1011, "Your project has exceeded its monthly spending cap", False, "spending cap"),
    (1011, "Token has been used too many times", False, "mint a new one"),
    (1011, "keepalive ping timeout", True, "got no pong in time"),
    (1011, "", True, "backoff"),
    (1013, "", True, "overloaded"),
    (1012, "", True, "restarts"),
    (1002, "", False, "protocol error"),
    (1003, "", False, "this kind of data"),
    (1007, "something new", False, "refused the content"),
    (1008, "something new", False, "refused the request"),
    (1014, "", True, "gateway"),
    (4000, "something else", False, ""),
]


@pytest.mark.parametrize(("code", "reason", "retryable", "hint"), KNOWN)
def test_known_reasons(code: int, reason: str, retryable: bool, hint: str) -> None:
    pair = open_pair()
    say(pair, call({"id": "c-1", "name": "f"}), call({"name": "g"}), GO_AWAY)
    pair.clock.advance(2.5)
    pair.client.advance(pair.clock.now)
    pair.server.close(code, reason)
    pair.pump()
    info = check_end(pair.client_events, pair.client, failed=True)
    assert (info.code, info.reason, info.clean, info.initiator) == (code, reason, False, Initiator.REMOTE)
    assert (info.retryable, info.phase, info.age) == (retryable, Phase.DRAINING, 2.5)
    assert hint in info.hint
    assert bool(info.hint) == bool(hint)
    assert info.pending_tool_calls == ("c-1", "g")
    assert [frame.kind for frame in info.last_frames] == [
        "setup",
        "setup_complete",
        "tool_call",
        "tool_call",
        "go_away",
    ]
    assert isinstance(info.error, ServerClosed)
    assert (info.error.code, info.error.reason, info.error.hint) == (code, reason, info.hint)
    mine = check_end(pair.server_events, pair.server, failed=False)
    assert (mine.code, mine.reason, mine.initiator) == (code, reason, Initiator.LOCAL)


def test_a_client_that_closes_with_an_error() -> None:
    pair = open_pair()
    pair.client.close(4001, "bye")
    pair.pump()
    info = check_end(pair.server_events, pair.server, failed=True)
    assert isinstance(info.error, ClientClosed)
    assert isinstance(info.error, PeerClosed)
    assert (info.error.code, info.error.reason) == (4001, "bye")


def test_a_close_without_a_code_is_clean() -> None:
    pair = open_pair()
    pair.client.receive_data(frame(b"", 8))
    pair.pump()
    assert check_end(pair.client_events, pair.client, failed=False).code == 1005


def test_messages_before_the_verdict_come_first() -> None:
    pair = open_pair()
    pair.client.receive_data(
        frame(dumps(TEXT)) + frame(dumps(COMPLETE)) + close_frame(1011, "Internal error occurred.")
    )
    seen = []
    for event in pair.client.events():
        seen.append(type(event).__name__)
        if not isinstance(event, (ConnectionFailed, ConnectionClosed)):
            assert pair.client.close_info is None
            assert pair.client.phase is Phase.READY
    assert seen == ["TurnStarted", "TextChunk", "TurnComplete", "ConnectionFailed", "ConnectionClosed"]


# --- the transport ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["eof", "reset", "text"])
def test_the_transport_ends(how: str) -> None:
    pair = open_pair()
    pair.client.receive_data(frame(dumps(TEXT)))
    pair.client.send_client_content()
    if how == "eof":
        pair.client.receive_eof()
    else:
        pair.client.transport_failed(ConnectionResetError(104, CANARY) if how == "reset" else "torn")
        assert pair.client.data_to_send() == b""
    events = list(pair.client.events())
    assert names(events) == ["TurnStarted", "TextChunk", "ConnectionFailed", "ConnectionClosed"]
    info = check_end(events, pair.client, failed=True)
    assert isinstance(info.error, TransportFailed)
    assert (info.code, info.initiator, info.retryable) == (1006, Initiator.TRANSPORT, True)
    assert CANARY not in repr(info)


def test_eof_during_the_handshake() -> None:
    client = dial()
    client.receive_eof()
    info = check_end(list(client.events()), client, failed=True)
    assert (info.code, info.phase, info.age, info.last_frames) == (1006, Phase.NEW, None, ())


# --- deadlines --------------------------------------------------------------------------------------------------


def test_no_setup_complete() -> None:
    pair = Pair(dial({"labels": {"a": "b"}}, timeouts=Timeouts(setup=7.0)))
    pair.wait(6.9)
    assert pair.client.state is ConnectionState.OPEN
    pair.wait(0.1)
    info = check_end(pair.client_events, pair.client, failed=True)
    assert isinstance(info.error, DeadlineExpired)
    assert info.error.which is Deadline.SETUP
    assert "labels" in str(info.error)
    assert (info.phase, info.age, info.code, info.initiator) == (Phase.SETUP_SENT, 7.0, 1011, Initiator.LOCAL)
    check_end(pair.server_events, pair.server, failed=True)


def test_commands_between_the_deadline_and_its_event() -> None:
    pair = Pair(dial(timeouts=Timeouts(setup=7.0)))
    pair.pump()
    pair.client.advance(pair.clock.now + 7.0)
    with pytest.raises(AlreadyClosed):
        pair.client.send_client_content()
    assert names(pair.client.events()) == ["ConnectionFailed", "ConnectionClosed"]


def test_messages_that_wait_for_a_slow_application_are_not_missing() -> None:
    timeouts = Timeouts(setup=7.0, stall=3.0, ping_interval=None)
    pair = Pair(dial(timeouts=timeouts), LiveConnection.server(timeouts=timeouts))
    pair.pump()
    pair.server.send_setup_complete()
    pair.client.receive_data(pair.server.data_to_send())
    pair.client.advance(pair.clock.now + 100.0)
    assert pair.client.next_deadline() is None
    assert names(pair.client.events()) == ["SetupComplete"]
    pair.client.send_client_content()
    pair.client.receive_data(frame(dumps(COMPLETE)))
    pair.client.advance(pair.clock.now + 200.0)
    assert names(pair.client.events()) == ["TurnComplete"]
    pair.client.advance(pair.clock.now + 300.0)
    assert names(pair.client.events()) == []


def test_stalls_are_reported_and_nothing_more() -> None:
    pair = open_pair(dial(timeouts=Timeouts(stall=3.0)))
    pair.client.send_client_content()
    pair.wait(10.0)
    assert pair.client_events == [StallSuspected(kind=StallKind.NO_OUTPUT, silence=3.0)]
    assert pair.client.state is ConnectionState.OPEN


def silent(timeouts: Timeouts) -> tuple[Pair, list[Any]]:
    """A session whose peer has stopped to answer, and what it tells up to one second after its first ping."""
    pair = open_pair(dial(timeouts=timeouts))
    start = pair.clock.now
    pair.client.advance(start + 20.0)
    assert pair.client.data_to_send()  # the ping
    pair.client.advance(start + 21.0)
    return pair, list(pair.client.events())


def test_a_silent_link_is_suspected_before_it_is_given_up() -> None:
    pair, events = silent(Timeouts(stall=3.0))
    assert events == []
    pair.client.advance(pair.clock.now + 23.0)
    assert list(pair.client.events()) == [StallSuspected(kind=StallKind.SILENT_LINK, silence=23.0)]
    pair.client.advance(pair.clock.now + 79.0)
    assert list(pair.client.events()) == []  # once
    pair.client.advance(pair.clock.now + 80.0)
    assert names(pair.client.events()) == ["ConnectionFailed", "ConnectionClosed"]


def test_any_byte_lifts_the_suspicion() -> None:
    pair, _ = silent(Timeouts(stall=3.0))
    pair.client.receive_data(frame(dumps(COMPLETE))[:1])
    pair.client.advance(pair.clock.now + 39.0)
    assert list(pair.client.events()) == []
    assert not pair.client.data_to_send()


def test_a_link_that_is_about_to_end_is_not_suspected() -> None:
    pair, _ = silent(Timeouts(stall=70.0))
    pair.client.advance(pair.clock.now + 100.0)
    assert names(pair.client.events()) == ["ConnectionFailed", "ConnectionClosed"]
    pair, _ = silent(Timeouts(stall=3.0))
    pair.client.close()
    pair.client.advance(pair.clock.now + 24.0)
    assert list(pair.client.events()) == []


def test_an_idle_link_that_answers_is_never_suspected() -> None:
    pair = open_pair(dial(timeouts=Timeouts(stall=0.5)))
    pair.wait(600.0)
    assert "PongReceived" in names(pair.client_events)
    assert "StallSuspected" not in names(pair.client_events)
    pair = open_pair(dial(timeouts=Timeouts(stall=0.5, ping_interval=None)))
    pair.wait(600.0)
    assert set(names(pair.client_events)) == {"PingReceived"}


def test_a_ping_from_before_the_clock() -> None:
    client, server = dial(timeouts=Timeouts(stall=3.0)), LiveConnection.server()
    server.receive_data(client.data_to_send())
    for _ in server.events():
        server.accept()
        break
    client.receive_data(server.data_to_send())
    client.ping(b"?")
    assert names(client.events()) == ["Connected"]
    client.data_to_send()
    client.advance(100.0)
    client.advance(103.0)
    found = [event for event in client.events() if isinstance(event, StallSuspected)]
    assert StallSuspected(kind=StallKind.SILENT_LINK, silence=3.0) in found


def test_a_connection_that_closes_waits_for_no_setup() -> None:
    pair = Pair(dial(timeouts=Timeouts(setup=7.0, close=20.0, stall=1.0)))
    pair.pump()
    pair.client.close()
    closing = pair.clock.now
    pair.client.advance(closing + 8.0)
    assert pair.client.next_deadline() == closing + 20.0
    pair.pump()
    info = check_end(pair.client_events, pair.client, failed=False)
    assert (info.code, info.clean, info.phase) == (1000, True, Phase.SETUP_SENT)


def test_nobody_answers_our_close() -> None:
    pair = open_pair()
    pair.client.close()
    pair.client.advance(pair.clock.now + 6.0)
    info = check_end(list(pair.client.events()), pair.client, failed=True)
    assert isinstance(info.error, DeadlineExpired)
    assert info.error.which is Deadline.CLOSE


def test_a_clock_that_steps_back() -> None:
    pair = open_pair()
    start = pair.clock.now
    pair.client.advance(start + 5.0)
    pair.client.advance(start - 100.0)
    pair.server.close()
    pair.pump()
    assert pair.client.close_info is not None
    assert pair.client.close_info.age == 5.0


# --- back-pressure ----------------------------------------------------------------------------------------------


def test_reading_pauses_while_the_application_is_slow() -> None:
    limits = Limits(max_buffered_in=4000)
    pair = open_pair(dial(limits=limits))
    message = frame(dumps({"serverContent": {"modelTurn": {"parts": [{"text": "x" * 1000}]}}}))
    fed = 0
    while pair.client.wants.read:
        pair.client.receive_data(message)
        fed += 1
    assert fed == 4
    assert pair.client.buffered_in > 4000
    pair.client.advance(pair.clock.now + 1000.0)
    assert pair.client.state is ConnectionState.OPEN
    pair.client.next_event()
    assert pair.client.wants.read
    assert len(list(pair.client.events())) == 4
    assert pair.client.buffered_in == 0


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_messages_have_a_size(over: int) -> None:
    limit = 300
    pair = open_pair(dial(limits=Limits(max_message=limit)))
    text = dumps(TEXT)
    text = text + b" " * (limit + over - len(text))
    pair.client.receive_data(frame(text))
    pair.pump()
    if over <= 0:
        assert names(pair.client_events) == ["TurnStarted", "TextChunk"]
    else:
        assert check_end(pair.client_events, pair.client, failed=True).code == 1009


def test_nesting_has_a_limit() -> None:
    pair = open_pair(
        dial(limits=Limits(max_json_depth=4)), LiveConnection.server(strict=False, limits=Limits(max_json_depth=3))
    )
    pair.client.receive_data(frame(b'{"x":[[[1]]]}') + frame(b'{"x":[[[[1]]]]}'))
    pair.server.receive_data(frame(b'{"x":[[1]]}', masked=True) + frame(b'{"x":[[[1]]]}', masked=True))
    pair.pump()
    assert names(pair.client_events) == names(pair.server_events) == ["UnknownMessage", "Undecodable"]


# --- secrets ----------------------------------------------------------------------------------------------------


def everything_said(pair: Pair) -> str:
    texts = []
    for end, events in ((pair.client, pair.client_events), (pair.server, pair.server_events)):
        texts += [repr(event) for event in events]
        texts += [repr(end), repr(end.close_info), repr(end.resumption), repr(end.usage)]  # type: ignore[attr-defined]
        for event in events:
            if isinstance(event, ConnectionFailed):
                texts += [str(event.error), repr(vars(event.error)), repr(event.error.args)]
                assert event.error.__cause__ is None
                assert event.error.__context__ is None
    return "\n".join(texts)


@pytest.mark.parametrize("end", ["clean", "verdict", "nonsense", "eof", "setup", "rejected"])
@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint.gemini(api_key=CANARY, base_url="ws://test/"),
        Endpoint.gemini(api_key=CANARY, base_url="ws://test/", key_in_query=True),
        Endpoint.gemini(token=f"auth_tokens/{CANARY}", base_url="ws://test/"),
        Endpoint.vertex(access_token=CANARY, project="p", base_url="ws://test/"),
        Endpoint.custom(f"ws://test/?token={CANARY}", headers={"x-own": CANARY}),
    ],
    ids=["key", "query", "token", "vertex", "custom"],
)
def test_no_secret_is_ever_shown(endpoint: Endpoint, end: str) -> None:
    config = {"session_resumption": {"handle": CANARY}}
    client = LiveConnection.client(endpoint, config, model="m", strict=end == "nonsense", timeouts=Timeouts(setup=5.0))
    pair = Pair(client)
    assert CANARY not in repr(client) + repr(endpoint)
    if end == "rejected":
        pair.server.receive_data(client.data_to_send())
        next(pair.server.events())
        pair.server.reject(401)
    pair.pump()
    if end not in ("setup", "rejected"):
        pair.server.send_setup_complete()
        pair.pump()
        say(pair, {"sessionResumptionUpdate": {"newHandle": CANARY, "resumable": True}})
        with pytest.raises(LiveProtocolError) as caught:
            client.send_client_content({"key": CANARY})
        assert CANARY not in str(caught.value)
        with pytest.raises(InvalidMessage):
            client.close(1, CANARY)
    if end == "clean":
        client.close()
    elif end == "verdict":
        pair.server.close(1007, "API key not valid. Please pass a valid API key.")
    elif end == "nonsense":
        client.receive_data(frame(f'{{"key":"{CANARY}"'.encode()))
    elif end == "eof":
        client.transport_failed(OSError(CANARY))
    elif end == "setup":
        pair.wait(5.0)
    pair.pump()
    assert client.close_info is not None
    said = everything_said(pair)
    assert CANARY not in said
    assert CANARY not in repr(client.close_info.last_frames)
