"""What holds for any input: no exception, one end, the same events however the bytes are cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core import (
    COMPLETE,
    GENERATED,
    GO_AWAY,
    INTERRUPTED,
    MANUAL,
    TEXT,
    as_dict,
    call,
    cancel,
    dial,
    facts,
    frame,
    names,
    new_client,
    open_pair,
    ready_client,
    server_message,
    tell,
)

from live_protocol import (
    Blob,
    ConnectionClosed,
    ConnectionFailed,
    Content,
    FunctionResponse,
    Limits,
    LiveClientMessage,
    LiveConnection,
    LiveProtocolError,
    LiveServerMessage,
    LiveSession,
    Part,
    Phase,
    UpgradeRequested,
)
from live_protocol.messages import LiveClientContent, LiveClientRealtimeInput
from live_protocol.testing import chunks

AUDIO = {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": "A" * 400}}]}}}
SAYINGS: list[Any] = [
    TEXT,
    AUDIO,
    GENERATED,
    COMPLETE,
    INTERRUPTED,
    GO_AWAY,
    call({"id": "1", "name": "f"}),
    cancel("1"),
    {"usageMetadata": {"totalTokenCount": 1}},
    {"sessionResumptionUpdate": {"newHandle": "h"}},
]


# --- chunk invariance -------------------------------------------------------------------------------------------


def constant(size: int) -> bytes:
    return b"\x17" * size


def told(client: LiveConnection, flights: list[bytes], sizes: list[int] | None, *, lazily: bool) -> list[Any]:
    events: list[Any] = []
    for data in flights:
        for piece in chunks(data, sizes or [len(data)]):
            client.receive_data(piece)
            client.data_to_send()
            if not lazily:
                events += list(client.events())
    client.receive_eof()
    return events + list(client.events())


def plain(event: Any) -> Any:
    """An event in a form that compares: errors are equal only to themselves."""
    fields = as_dict(event)
    if isinstance(event, ConnectionClosed):
        fields["info"] = attrs.evolve(event.info, error=None)
        fields["error"] = repr(event.info.error)
    elif isinstance(event, ConnectionFailed):
        fields["error"] = (repr(event.error), vars(event.error))
    return type(event), fields, getattr(event, "message", None)


def server_bytes(sayings: list[Any], *, compression: bool, close: bool) -> list[bytes]:
    server = LiveConnection.server(compression=compression)
    server.receive_data(dial(compression=compression, entropy=constant).data_to_send())
    next(server.events())
    server.accept()
    flights = [server.data_to_send()]  # the server hears setup before it says anything more
    server.receive_data(frame(b'{"setup":{"model":"models/m"}}', masked=True))
    list(server.events())
    server.send_setup_complete()
    for saying in sayings:
        if isinstance(saying, bytes):
            server.ping(saying)
        else:
            server.send(server_message(saying))
    if close:
        server.close(1011, "Internal error occurred.")
    return [*flights, server.data_to_send()]


@given(
    st.lists(st.sampled_from(SAYINGS) | st.binary(max_size=9), max_size=8),
    st.lists(st.integers(1, 200), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_events_do_not_depend_on_how_bytes_are_cut(
    sayings: list[Any], sizes: list[int], compression: bool, close: bool, lazily: bool
) -> None:
    flights = server_bytes(sayings, compression=compression, close=close)
    whole = told(dial(compression=compression, entropy=constant), flights, None, lazily=False)
    pieces = told(dial(compression=compression, entropy=constant), flights, sizes, lazily=lazily)
    assert [plain(event) for event in pieces] == [plain(event) for event in whole]
    kinds = names(whole)
    assert kinds[-1] == "ConnectionClosed"
    assert kinds.count("PingReceived") == sum(isinstance(saying, bytes) for saying in sayings)


# --- totality ---------------------------------------------------------------------------------------------------


def at_the_upgrade(client: bool) -> LiveConnection:
    if client:
        return dial()
    server = LiveConnection.server()
    server.advance(0.0)
    return server


def after_the_upgrade(client: bool) -> LiveConnection:
    pair = open_pair()
    end = pair.client if client else pair.server
    assert isinstance(end, LiveConnection)
    return end


def run_to_the_end(end: LiveConnection, pieces: list[bytes]) -> list[Any]:
    events: list[Any] = []

    def pull() -> None:
        for event in end.events():
            if isinstance(event, UpgradeRequested):
                end.accept()
            events.append(event)
            assert len(repr(event)) < 100_000
        end.data_to_send()
        assert end.buffered_in >= 0

    for piece in pieces:
        end.receive_data(piece)
        pull()
    end.receive_eof()
    pull()
    end.receive_eof()
    assert end.next_event() is None
    kinds = names(events)
    assert kinds.count("ConnectionClosed") == 1
    assert kinds[-1] == "ConnectionClosed"
    assert "ConnectionFailed" not in kinds[:-2]
    return events


# Bytes that look enough like the real thing to get somewhere.
snippets = st.sampled_from(
    [
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"HTTP/1.1 403 No\r\n",
        b"GET / HTTP/1.1\r\n",
        b"Upgrade: websocket\r\n",
        b"Connection: Upgrade\r\n",
        b"Host: x\r\n",
        b"Sec-WebSocket-Version: 13\r\n",
        b"\r\n",
        b"\x81\x02{}",
        b"\x82\x82\0\0\0\0{}",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        b"\x88\x00",
        b"\x88\x80\0\0\0\0",
        b"\x89\x00",
        b"\x01\x01{",
        b"\x80\x01}",
    ]
)
payloads = st.sampled_from(
    [
        b"{}",
        b"",
        b"null",
        b'{"serverContent":{}}',
        b'{"setupComplete":{}}',
        b'{"setup":{"model":"m"}}',
        b'{"error":1}',
        b"\xff",
        *(json.dumps(saying).encode() for saying in SAYINGS),
    ]
)
frames = st.builds(
    frame,
    payloads | st.binary(max_size=130),
    st.sampled_from([0, 1, 2, 8, 9, 10, 3]),
    masked=st.booleans(),
    fin=st.booleans(),
)
streams = st.lists(st.binary(max_size=40) | snippets | frames, max_size=12)


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@pytest.mark.parametrize("start", [at_the_upgrade, after_the_upgrade])
@given(pieces=streams)
def test_any_bytes(start: Callable[[bool], LiveConnection], client: bool, pieces: list[bytes]) -> None:
    run_to_the_end(start(client), pieces)


keys = st.sampled_from(
    [
        *(field.name for cls in (LiveServerMessage, LiveClientMessage) for field in attrs.fields(cls)),
        "serverContent",
        "modelTurn",
        "parts",
        "inlineData",
        "data",
        "mimeType",
        "toolCall",
        "functionCalls",
        "id",
        "args",
        "turns",
        "setupComplete",
        "goAway",
        "timeLeft",
        "error",
        "code",
        "message",
        "usageMetadata",
        "generationComplete",
        "interrupted",
        "toolCallCancellation",
        "ids",
        "clientContent",
        "realtimeInput",
        "text",
        "audio",
        "setup",
        "model",
        "turnComplete",
        "x",
    ]
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.just("AAAA")
)
values = st.recursive(
    leaves | st.sampled_from(SAYINGS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "tolerant"])
@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@given(
    values=st.lists(values | st.dictionaries(keys, values, max_size=3), max_size=6),
    ready=st.booleans(),
    surrogate=st.booleans(),
)
def test_any_value(client: bool, strict: bool, values: list[Any], ready: bool, surrogate: bool) -> None:
    if client and ready:
        session = ready_client(strict=strict)
    elif client:
        session = new_client(strict=strict)
    else:
        session = LiveSession.server(strict=strict)
        if ready:
            tell(session, {"setup": {"model": "m"}})
            session.send_setup_complete()
    session.advance(1.0)
    for value in values:
        text: bytes | str = json.dumps(value, ensure_ascii=surrogate)
        events = tell(session, text if surrogate else text.encode())  # type: ignore[union-attr]
        assert all(
            hasattr(event, "message")
            for event in events
            if names([event])[0] not in ("Undecodable", "ConnectionFailed")
        )
        lasts = [event.last for event in events if hasattr(event, "last")]
        assert lasts == [False] * (len(lasts) - 1) + [True] * bool(lasts)
        if not strict:
            assert "ConnectionFailed" not in names(events)
    session.advance(1e6)
    list(session.events())
    session.end()
    assert session.phase is Phase.ENDED
    assert session.next_event() is None


@given(st.binary(max_size=60) | st.text(max_size=60, alphabet=st.characters()))
def test_any_text(text: bytes | str) -> None:
    session = ready_client()
    for event in tell(session, text):
        assert names([event]) in (["Undecodable"], ["UnknownMessage"], ["ServerError"])
    session.send_client_content()


# --- commands ---------------------------------------------------------------------------------------------------

REALTIME = ("audio", "rate", "video", "text", "activity_start", "activity_end", "audio_stream_end")
anything: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        5,
        -1,
        1.5,
        "",
        "x",
        b"",
        b"\0\0",
        b"\0\0\0",
        [],
        {},
        (),
        [None],
        ["x"],
        [{}],
        {"parts": 5},
        {"id": "1"},
        "\ud800",
        {"id": "1", "name": "f", "response": {}},
        {"id": "1", "response": {"a": float("nan")}},
        FunctionResponse(id="2", name="f", response={5: 1}),
        FunctionResponse(id="1", name=["f"], response={}),  # type: ignore[arg-type]
        Blob(data=b"\0\0", mime_type="audio/pcm;rate=16000"),
        Blob(data=b"\0", mime_type="image/png"),
        Blob(data=5, mime_type=5),
        Content(parts=[Part(text="x")]),
        Content(parts=5),
        Part(text=5),
        {"data": "AAAA", "mimeType": "audio/pcm;rate=8000"},
        object(),
        LiveClientMessage(),
        LiveServerMessage(),
        LiveClientMessage(realtime_input=LiveClientRealtimeInput(text="x")),
        16000,
        24000,
        LiveClientMessage(client_content=LiveClientContent(turn_complete=True), extra={"a": {1}}),
    ]
)
commands = st.one_of(
    st.tuples(
        st.just("send_client_content"),
        st.tuples(anything),
        st.fixed_dictionaries({}, optional={"turn_complete": anything}),
    ),
    st.tuples(
        st.just("send_realtime_input"),
        st.just(()),
        st.fixed_dictionaries({}, optional=dict.fromkeys(REALTIME, anything)),
    ),
    st.tuples(st.just("send_tool_response"), st.tuples(anything), st.just({})),
    st.tuples(
        st.just("send_context_update"),
        st.just(()),
        st.fixed_dictionaries({}, optional={"system_instruction": anything, "tools": anything}),
    ),
    st.tuples(st.just("send"), st.tuples(anything), st.just({})),
    st.tuples(st.just("send_setup_complete"), st.tuples(anything), st.just({})),
    st.tuples(st.just("ping"), st.tuples(anything), st.just({})),
    st.tuples(st.just("close"), st.tuples(anything, anything), st.just({})),
)


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@given(todo=st.lists(commands, max_size=8), manual=st.booleans(), small=st.booleans())
def test_commands_do_all_or_nothing(client: bool, todo: list[Any], manual: bool, small: bool) -> None:
    config = {"realtime_input_config": MANUAL} if manual else {}
    limits = Limits(max_send=170) if small else Limits()
    pair = open_pair(dial(config, limits=limits), LiveConnection.server(limits=limits))
    pair.server.send(server_message(call({"id": "1", "name": "f"}, {"id": "2", "name": "g"})))
    pair.pump()
    end = pair.client if client else pair.server
    other, heard = (pair.server, pair.server_events) if client else (pair.client, pair.client_events)
    assert isinstance(end, LiveConnection)
    heard.clear()
    for name, args, options in todo:
        before = facts(end)
        try:
            getattr(end, name)(*args, **options)
        except LiveProtocolError:
            assert facts(end) == before
            assert end.data_to_send() == b""
        else:
            pair.pump()
    assert not {"ConnectionFailed", "Undecodable"} & set(names(heard)) or other.close_info is not None
    pair.pump()
