"""A client and a server do whatever comes to mind; what must hold is checked after every step."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.core import dial, names, server_message

from live_protocol import (
    Codec,
    Connected,
    ConnectionClosed,
    ConnectionState,
    IllegalInState,
    LiveConnection,
    LiveProtocolError,
    Phase,
    SetupReceived,
    StaleOperation,
    Timeouts,
    UpgradeRequested,
)
from live_protocol.messages import LiveClientMessage, LiveServerMessage

ORDER = list(Phase)
texts = st.text(st.characters(codec="utf-8"), max_size=200)
sayings = st.sampled_from(
    [
        {"serverContent": {"modelTurn": {"parts": [{"text": "hi"}]}}},
        {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": "AAAA"}}]}}},
        {"serverContent": {"outputTranscription": {}}},
        {"serverContent": {"generationComplete": True}},
        {"serverContent": {"turnComplete": True}, "usageMetadata": {"totalTokenCount": 1}},
        {"serverContent": {"interrupted": True}},
        {"toolCall": {"functionCalls": [{"id": "a", "name": "f"}, {"id": "b", "name": "g"}]}},
        {"toolCallCancellation": {"ids": ["a"]}},
        {"goAway": {"timeLeft": "5s"}},
        {"setupComplete": {}},
    ]
)


class Conversation(RuleBasedStateMachine):
    """Both ends over two pipes that deliver when they like, in pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        timeouts = Timeouts(ping_interval=None, setup=None, open=None)
        self.client = dial(timeouts=timeouts)
        self.server = LiveConnection.server(timeouts=timeouts)
        self.ends = {"client": self.client, "server": self.server}
        self.pipes: dict[str, bytearray] = {"client": bytearray(), "server": bytearray()}
        self.told: dict[str, list[Any]] = {"client": [], "server": []}
        self.sent: dict[str, list[Any]] = {"client": [], "server": []}
        self.lost = False
        self.advance(0.0)

    def other(self, name: str) -> str:
        return "server" if name == "client" else "client"

    @initialize(handshake=st.booleans())
    def begin(self, handshake: bool) -> None:
        if handshake:
            for _ in range(3):
                for name in ("client", "server"):
                    self.write(name)
                    self.deliver(self.other(name), 100_000)
                    self.read(self.other(name), 100)

    # --- moving bytes, events and time ---

    @rule(name=st.sampled_from(["client", "server"]))
    def write(self, name: str) -> None:
        self.pipes[self.other(name)] += self.ends[name].data_to_send()

    @rule(name=st.sampled_from(["client", "server"]), size=st.integers(1, 300))
    def deliver(self, name: str, size: int) -> None:
        pipe = self.pipes[name]
        self.ends[name].receive_data(bytes(pipe[:size]))
        del pipe[:size]

    @rule(name=st.sampled_from(["client", "server"]), count=st.integers(1, 5))
    def read(self, name: str, count: int) -> None:
        end, told = self.ends[name], self.told[name]
        for _ in range(count):
            event = end.next_event()
            if event is None:
                break
            told.append(event)
            if isinstance(event, UpgradeRequested) and end.state is ConnectionState.CONNECTING:
                try:
                    end.accept()
                except StaleOperation:
                    assert end.state is not ConnectionState.CONNECTING
            if isinstance(event, SetupReceived) and end.state is ConnectionState.OPEN and end.phase is Phase.SETUP_SENT:
                self.send("server", {"setupComplete": {}})

    @rule(seconds=st.floats(0, 4))
    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.client.advance(self.now)
        self.server.advance(self.now)

    @rule(name=st.sampled_from(["client", "server"]))
    def hang_up(self, name: str) -> None:
        wants = self.ends[name].wants
        if (wants.close or wants.half_close) and not wants.write:
            other = self.other(name)
            self.deliver(other, 10**9)
            self.ends[other].receive_eof()
            self.ends[name].receive_eof()
            self.lost = True

    # --- commands ---

    def send(self, name: str, value: dict[str, Any]) -> None:
        end = self.ends[name]
        message: LiveClientMessage | LiveServerMessage
        message = server_message(value) if name == "server" else Codec().decode_client(json.dumps(value))
        before = (end.phase, end.turn, end.pending_tool_calls, end.buffered_out)
        try:
            end.send(message)
        except LiveProtocolError as error:
            refused = type(error)
            assert (end.phase, end.turn, end.pending_tool_calls, end.buffered_out) == before
            allowed = {ConnectionState.CONNECTING: IllegalInState, ConnectionState.OPEN: LiveProtocolError}
            assert issubclass(refused, allowed.get(end.state, StaleOperation))
        else:
            assert end.state is ConnectionState.OPEN
            self.sent[name].append(message)

    @rule(value=sayings)
    def server_says(self, value: dict[str, Any]) -> None:
        self.send("server", value)

    @rule(text=texts)
    def client_says(self, text: str) -> None:
        self.send("client", {"clientContent": {"turns": [{"parts": [{"text": text}]}], "turnComplete": True}})

    @rule()
    def client_sends_audio(self) -> None:
        blob = {"mimeType": "audio/pcm;rate=16000", "data": "AAA="}
        self.send("client", {"realtimeInput": {"audio": blob}})

    @rule(call_id=st.sampled_from(["a", "b", "c"]), more=st.booleans())
    def client_answers(self, call_id: str, more: bool) -> None:
        entry = {"id": call_id, "name": "f", "response": {}, "willContinue": more}
        self.send("client", {"toolResponse": {"functionResponses": [entry]}})

    @rule()
    def client_sends_setup_again(self) -> None:
        self.send("client", {"setup": {"model": "models/other"}})

    @rule(name=st.sampled_from(["client", "server"]))
    def ping(self, name: str) -> None:
        end = self.ends[name]
        if end.state is ConnectionState.OPEN:
            end.ping(b"x")

    @precondition(lambda self: len(self.told["client"]) > 3)
    @rule(name=st.sampled_from(["client", "server"]), code=st.sampled_from([1000, 1001, 1011, 4000]))
    def close(self, name: str, code: int) -> None:
        self.ends[name].close(code, "bye")

    @precondition(lambda self: len(self.told["client"]) > 8)
    @rule(name=st.sampled_from(["client", "server"]))
    def cut(self, name: str) -> None:
        self.ends[name].receive_eof()
        self.lost = True

    # --- what must hold ---

    @invariant()
    def the_end_comes_last_and_once(self) -> None:
        for name, events in self.told.items():
            kinds = names(events)
            assert "ConnectionClosed" not in kinds[:-1]
            assert "ConnectionFailed" not in kinds[:-2]
            closed = bool(events) and isinstance(events[-1], ConnectionClosed)
            assert (self.ends[name].close_info is not None) == closed
            assert (self.ends[name].phase is Phase.ENDED) == closed
            assert kinds.count("Connected") <= 1
            if "SetupComplete" in kinds:
                assert isinstance(events[0], Connected)

    @invariant()
    def messages_arrive_in_order(self) -> None:
        for name in ("client", "server"):
            sent = self.sent[self.other(name)]
            news = [event for event in self.told[name] if hasattr(event, "message") and event.last]
            got = [event.message for event in news if not isinstance(event, SetupReceived)]
            silent = [message for message in sent if message_has_news(message)]
            assert got == silent[: len(got)]

    @invariant()
    def ends_agree(self) -> None:
        assert not any(
            kind in ("Undecodable", "UnknownMessage") for kind in names(self.told["client"] + self.told["server"])
        )
        if self.client.close_info is None and self.server.close_info is None:
            # What has been said is ahead of what has been heard, never behind.
            assert ORDER.index(self.client.phase) <= max(ORDER.index(self.server.phase), ORDER.index(Phase.SETUP_SENT))
        for end in self.ends.values():
            deadline = end.next_deadline()
            assert deadline is None or deadline > self.now or end.close_info is None
            assert end.buffered_in >= 0
            assert end.buffered_out >= 0

    @invariant()
    def all_said_and_heard_is_the_same(self) -> None:
        quiet = not any(self.pipes.values()) and not any(
            end.buffered_out or end.buffered_in for end in self.ends.values()
        )
        both_open = all(end.state is ConnectionState.OPEN for end in self.ends.values())
        if quiet and both_open and not self.lost and self.client.phase is not Phase.NEW:
            heard = [event.message for event in self.told["client"] if hasattr(event, "message") and event.last]
            if heard == [message for message in self.sent["server"] if message_has_news(message)]:
                assert self.client.turn is self.server.turn
                assert self.client.phase is self.server.phase or self.server.phase is Phase.NEW

    def teardown(self) -> None:
        for name in ("client", "server"):
            self.ends[name].receive_eof()
            self.read(name, 100_000)
            assert isinstance(self.told[name][-1], ConnectionClosed)
        self.the_end_comes_last_and_once()
        self.messages_arrive_in_order()


def message_has_news(message: object) -> bool:
    return isinstance(message, LiveClientMessage) or message != LiveServerMessage()


TestConversation = Conversation.TestCase
TestConversation.settings = settings(stateful_step_count=60)
