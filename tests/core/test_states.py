"""Every cell of every table, through the public classes in both roles."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from support.core import (
    COMPLETE,
    GENERATED,
    GO_AWAY,
    INTERRUPTED,
    MANUAL,
    SETUP_COMPLETE,
    TEXT,
    call,
    cancel,
    close_frame,
    dial,
    names,
    new_client,
    open_pair,
    ready_client,
    ready_server,
    server_message,
    session_facts,
    setup,
    tell,
)

from live_protocol import (
    AlreadyClosed,
    Blob,
    ConnectionFailed,
    FunctionResponse,
    IllegalInState,
    LiveClientMessage,
    LiveConnection,
    LiveSession,
    OutOfOrder,
    Phase,
    StaleOperation,
    ToolCallState,
    ToolCallWasCancelled,
    TurnState,
)
from live_protocol import states as tables
from live_protocol.states import (
    ActivityInput,
    ActivityState,
    ConnectionInput,
    ConnectionState,
    PhaseInput,
    ToolCallInput,
    TurnInput,
)
from live_protocol.testing import Pair

ALL = [
    (tables.CONNECTION_TRANSITIONS, ConnectionState, ConnectionInput, {ConnectionState.CONNECTING}),
    (tables.PHASE_TRANSITIONS, Phase, PhaseInput, {Phase.NEW}),
    (tables.TURN_TRANSITIONS, TurnState, TurnInput, {TurnState.IDLE}),
    (tables.TOOL_CALL_TRANSITIONS, ToolCallState, ToolCallInput, {ToolCallState.PENDING}),
    (tables.ACTIVITY_TRANSITIONS, ActivityState, ActivityInput, {ActivityState.AUTOMATIC, ActivityState.OUTSIDE}),
]


@pytest.mark.parametrize(("table", "states", "inputs", "first"), ALL, ids=["link", "phase", "turn", "call", "activity"])
def test_a_table_covers_every_state_and_input(table: Any, states: Any, inputs: Any, first: set[Any]) -> None:
    assert {state for state, _ in table} | set(table.values()) | first == set(states)
    assert {signal for _, signal in table} == set(inputs)
    reached = set(first)
    while more := {after for (before, _), after in table.items() if before in reached} - reached:
        reached |= more
    assert reached == set(states)


# --- link -------------------------------------------------------------------------------------------------------


def connection_in(state: ConnectionState, *, client: bool) -> LiveConnection:
    if state is ConnectionState.CONNECTING:
        pair = Pair(dial())
        if not client:
            pair.server.receive_data(pair.client.data_to_send())
            next(pair.server.events())
        chosen = pair.client if client else pair.server
    else:
        pair = open_pair()
        chosen = pair.client if client else pair.server
        if state is ConnectionState.CLOSING:
            chosen.close()
        elif state is ConnectionState.CLOSED:
            chosen.receive_eof()
    assert isinstance(chosen, LiveConnection)
    assert chosen.state is state
    return chosen


def upgrade(connection: LiveConnection, *, client: bool) -> None:
    if not client:
        connection.accept()
        return
    request = connection.data_to_send()
    server = LiveConnection.server()
    server.receive_data(request)
    next(server.events())
    server.accept()
    connection.receive_data(server.data_to_send())


def drivable(state: ConnectionState, signal: ConnectionInput, client: bool) -> bool:
    """Whether bytes can mean this input: no close frame before the upgrade, no second upgrade after it."""
    if signal is ConnectionInput.UPGRADED:
        return not client or state is ConnectionState.CONNECTING
    return signal is not ConnectionInput.REMOTE_CLOSE or state is not ConnectionState.CONNECTING


@pytest.mark.parametrize(
    ("state", "signal", "client"),
    [cell for cell in itertools.product(ConnectionState, ConnectionInput, (True, False)) if drivable(*cell)],
)
def test_a_connection_follows_its_table(state: ConnectionState, signal: ConnectionInput, client: bool) -> None:
    connection = connection_in(state, client=client)
    after = tables.CONNECTION_TRANSITIONS.get((state, signal))
    if signal is ConnectionInput.UPGRADED:
        if after is None:
            error = {ConnectionState.OPEN: IllegalInState}.get(state, StaleOperation)
            before = connection.wants
            with pytest.raises(error):
                upgrade(connection, client=client)
            assert connection.wants == before
        else:
            upgrade(connection, client=client)
    elif signal is ConnectionInput.LOCAL_CLOSE:
        connection.data_to_send()
        connection.close()
        assert bool(connection.data_to_send()) == (state is ConnectionState.OPEN or (after is not None and not client))
    elif signal is ConnectionInput.REMOTE_CLOSE:
        connection.receive_data(close_frame(1000, masked=not client))
    elif signal is ConnectionInput.FAIL:
        connection.receive_data(b"\xff" * 8 if state is not ConnectionState.CONNECTING else b"\0\0 no http\r\n\r\n")
        if not client and state is ConnectionState.CONNECTING:
            connection.advance(0.0)
            connection.advance(1e6)  # the request was valid, so only the deadline can fail
    else:
        connection.receive_eof()
    assert connection.state is (after or state)


# --- phase ------------------------------------------------------------------------------------------------------


def client_in(phase: Phase, *, strict: bool) -> LiveSession:
    session = new_client(strict=strict)
    if phase is not Phase.NEW:
        session.send_setup()
    if phase in (Phase.READY, Phase.DRAINING, Phase.ENDED):
        tell(session, SETUP_COMPLETE)
    if phase is Phase.DRAINING:
        tell(session, GO_AWAY)
    if phase is Phase.ENDED:
        session.end()
    session.messages_to_send()
    assert session.phase is phase
    return session


def server_in(phase: Phase, *, strict: bool) -> LiveSession:
    session = LiveSession.server(strict=strict)
    if phase is not Phase.NEW:
        tell(session, {"setup": {"model": "models/m"}})
    if phase in (Phase.READY, Phase.DRAINING, Phase.ENDED):
        session.send_setup_complete()
    if phase is Phase.DRAINING:
        session.send(server_message(GO_AWAY))
    if phase is Phase.ENDED:
        session.end()
    session.messages_to_send()
    assert session.phase is phase
    return session


CLIENT_SENDS = {
    PhaseInput.SETUP: {"setup": {"model": "models/m"}},
    PhaseInput.CLIENT_MESSAGE: {"clientContent": {"turnComplete": True}},
}
SERVER_SENDS = {
    PhaseInput.SETUP_COMPLETE: SETUP_COMPLETE,
    PhaseInput.SERVER_MESSAGE: TEXT,
    PhaseInput.GO_AWAY: GO_AWAY,
}


def send(session: LiveSession, signal: PhaseInput) -> None:
    if signal is PhaseInput.SETUP:
        session.send(LiveClientMessage(setup=setup()))
    elif signal is PhaseInput.CLIENT_MESSAGE:
        session.send_client_content()
    else:
        session.send(server_message(SERVER_SENDS[signal]))


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "tolerant"])
@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@pytest.mark.parametrize(("phase", "signal"), list(itertools.product(Phase, PhaseInput)))
def test_a_phase_follows_its_table(phase: Phase, signal: PhaseInput, client: bool, strict: bool) -> None:
    session = (client_in if client else server_in)(phase, strict=strict)
    after = tables.PHASE_TRANSITIONS.get((phase, signal))
    if signal is PhaseInput.END:
        session.end()
        assert session.phase is after
        return
    if signal in (CLIENT_SENDS if client else SERVER_SENDS):
        if after is None:
            before = session_facts(session)
            with pytest.raises(AlreadyClosed if phase is Phase.ENDED else IllegalInState):
                send(session, signal)
            assert session_facts(session) == before
            assert session.messages_to_send() == []
        else:
            send(session, signal)
            assert session.phase is after
            assert len(session.messages_to_send()) == 1
        return
    events = tell(session, (SERVER_SENDS if client else CLIENT_SENDS)[signal])
    early = not client and (phase, signal) == (Phase.SETUP_SENT, PhaseInput.CLIENT_MESSAGE)
    if phase is Phase.ENDED:
        assert events == []
    elif after is not None or early:
        assert not any(event.unexpected for event in events)
        assert session.phase is (after or phase)
    elif strict:
        assert names(events) == ["ConnectionFailed"]
        assert isinstance(events[0], ConnectionFailed)
        assert isinstance(events[0].error, OutOfOrder)
        assert session.phase is Phase.ENDED
        assert session.last_phase is phase
    else:
        assert events
        assert all(event.unexpected for event in events)
        assert session.phase is phase


# --- turn -------------------------------------------------------------------------------------------------------

TURN_MESSAGES = {
    TurnInput.OUTPUT: TEXT,
    TurnInput.GENERATION_COMPLETE: GENERATED,
    TurnInput.INTERRUPTED: INTERRUPTED,
    TurnInput.TURN_COMPLETE: COMPLETE,
}
TURN_PATHS: dict[TurnState, list[dict[str, Any]]] = {
    TurnState.IDLE: [],
    TurnState.GENERATING: [TEXT],
    TurnState.GENERATED: [GENERATED],
    TurnState.INTERRUPTED: [TEXT, INTERRUPTED],
}


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@pytest.mark.parametrize(("state", "signal"), list(itertools.product(TurnState, TurnInput)))
def test_a_turn_follows_its_table(state: TurnState, signal: TurnInput, client: bool) -> None:
    session = ready_client(strict=True) if client else ready_server()

    def pass_on(value: dict[str, Any]) -> list[Any]:
        if client:
            return tell(session, value)
        session.send(server_message(value))
        return []

    for value in TURN_PATHS[state]:
        pass_on(value)
    assert session.turn is state
    events = pass_on(TURN_MESSAGES[signal])
    legal = tables.TURN_TRANSITIONS.get((state, signal))
    # The one illegal input that changes the state: output after the generation was complete.
    resumed = TurnState.GENERATING if (state, signal) == (TurnState.GENERATED, TurnInput.OUTPUT) else state
    assert session.turn is (legal or resumed)
    if client:
        assert [event.unexpected for event in events if type(event).__name__ != "TurnStarted"] == [legal is None]
        assert events[-1].stale == (state is TurnState.INTERRUPTED and signal is TurnInput.OUTPUT)
        starts = state is TurnState.IDLE and signal in (TurnInput.OUTPUT, TurnInput.GENERATION_COMPLETE)
        assert (names(events)[0] == "TurnStarted") == starts
        assert session.generation == bool(TURN_PATHS[state]) + starts


# --- tool calls -------------------------------------------------------------------------------------------------


def response(*, more: bool) -> FunctionResponse:
    return FunctionResponse(id="c", name="f", response={}, will_continue=more or None)


CALL_PATHS = {
    ToolCallState.PENDING: [],
    ToolCallState.STREAMING: [ToolCallInput.RESPOND_MORE],
    ToolCallState.ANSWERED: [ToolCallInput.RESPOND],
    ToolCallState.CANCELLED: [ToolCallInput.CANCEL],
}


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@pytest.mark.parametrize(("state", "signal"), list(itertools.product(ToolCallState, ToolCallInput)))
def test_a_tool_call_follows_its_table(state: ToolCallState, signal: ToolCallInput, client: bool) -> None:
    session = ready_client() if client else ready_server()

    def apply(what: ToolCallInput) -> list[Any]:
        if what is ToolCallInput.CANCEL:
            if client:
                return tell(session, cancel("c"))
            session.send(server_message(cancel("c")))
            return []
        more = what is ToolCallInput.RESPOND_MORE
        if client:
            session.send_tool_response(response(more=more))
            return []
        entry = {"id": "c", "name": "f", "response": {}, "willContinue": more}
        return tell(session, {"toolResponse": {"functionResponses": [entry]}})

    def now() -> ToolCallState:
        entry = session.tool_calls.get("c")
        assert entry is not None
        return entry.state

    if client:
        tell(session, call({"id": "c", "name": "f"}))
    else:
        session.send(server_message(call({"id": "c", "name": "f"})))
    for step in CALL_PATHS[state]:
        apply(step)
    assert now() is state
    session.messages_to_send()
    after = tables.TOOL_CALL_TRANSITIONS.get((state, signal))
    if after is None and client and signal is not ToolCallInput.CANCEL:
        before = session_facts(session)
        with pytest.raises(ToolCallWasCancelled if state is ToolCallState.CANCELLED else IllegalInState):
            apply(signal)
        assert session_facts(session) == before
        assert session.messages_to_send() == []
    else:
        events = apply(signal)
        if client and signal is ToolCallInput.CANCEL:
            assert events[0].known == (state in (ToolCallState.PENDING, ToolCallState.STREAMING))
    assert now() is (after or state)
    assert bool(session.pending_tool_calls) == (now() in (ToolCallState.PENDING, ToolCallState.STREAMING))


# --- activity ---------------------------------------------------------------------------------------------------

ACTIVITIES: dict[ActivityInput, dict[str, Any]] = {
    ActivityInput.START: {"activity_start": True},
    ActivityInput.END: {"activity_end": True},
    ActivityInput.MEDIA: {"audio": b"\0\0", "rate": 16000},
    ActivityInput.STREAM_END: {"audio_stream_end": True},
}
WIRE_ACTIVITIES: dict[ActivityInput, dict[str, Any]] = {
    ActivityInput.START: {"activityStart": {}},
    ActivityInput.END: {"activityEnd": {}},
    ActivityInput.MEDIA: {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "AAA="}},
    ActivityInput.STREAM_END: {"audioStreamEnd": True},
}


def activity_of(session: LiveSession) -> ActivityState:
    """The state of the window, from the commands that it refuses."""

    def refuses(**what: Any) -> bool:
        try:
            session.send_realtime_input(**what)
        except IllegalInState:
            return True
        return False

    if not refuses(audio_stream_end=True):
        return ActivityState.AUTOMATIC
    return ActivityState.OUTSIDE if refuses(video=Blob(mime_type="image/png", data=b"x")) else ActivityState.INSIDE


@pytest.mark.parametrize("media", ["raw", "blob", "video"])
@pytest.mark.parametrize(("state", "signal"), list(itertools.product(ActivityState, ActivityInput)))
def test_an_activity_window_follows_its_table(state: ActivityState, signal: ActivityInput, media: str) -> None:
    fields = {} if state is ActivityState.AUTOMATIC else {"realtime_input_config": MANUAL}
    session = ready_client(fields=fields)
    if state is ActivityState.INSIDE:
        session.send_realtime_input(activity_start=True)
    session.messages_to_send()
    what = ACTIVITIES[signal]
    if signal is ActivityInput.MEDIA and media == "blob":
        what = {"audio": Blob(data=b"\0\0", mime_type="audio/pcm;rate=16000")}
    elif signal is ActivityInput.MEDIA and media == "video":
        what = {"video": {"data": b"\0\0", "mime_type": "image/jpeg"}}
    after = tables.ACTIVITY_TRANSITIONS.get((state, signal))
    if after is None:
        before = session_facts(session)
        with pytest.raises(IllegalInState) as caught:
            session.send_realtime_input(**what)
        assert caught.value.hint
        assert session_facts(session) == before
        assert session.messages_to_send() == []
    else:
        session.send_realtime_input(**what)
        assert len(session.messages_to_send()) == 1
    assert activity_of(session) is (after or state)


@pytest.mark.parametrize("signal", ActivityInput)
def test_a_server_does_not_track_the_activity_window(signal: ActivityInput) -> None:
    # The server passes everything on; the model behind it decides what to refuse.
    session = ready_server()
    assert names(tell(session, {"realtimeInput": WIRE_ACTIVITIES[signal]})) == ["RealtimeInputReceived"]
