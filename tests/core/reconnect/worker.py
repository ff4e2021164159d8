"""A worker process: takes a session over from Redis, says something, and puts it back. Run by `test_stores`."""

from __future__ import annotations

import socket
import sys
import time
from contextlib import closing

from live_protocol.endpoint import Endpoint
from live_protocol.events import ConnectionClosed, Reconnected, ResumptionUpdated, TextChunk, TurnComplete
from live_protocol.reconnect import PersistentConnection, ReconnectPolicy
from live_protocol.states import ConnectionState
from live_transports.stores import RedisStore

KEY = "conversation"
CONFIG = {"response_modalities": ["TEXT"]}


def talk(machine: PersistentConnection, port: int, text: str) -> list[object]:
    """Say one thing, hear the answer and its handle, close; everything that happened."""
    events: list[object] = []
    said = closed = False
    request = machine.dial
    assert request is not None
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as sock:
        machine.dial_succeeded()
        while not any(type(event) is ConnectionClosed for event in events):
            machine.advance(time.monotonic())
            while (event := machine.next_event()) is not None:
                events.append(event)
            if machine.phase == "READY" and not said:
                machine.send_client_content({"role": "user", "parts": [{"text": text}]})
                said = True
            turns = [index for index, event in enumerate(events) if type(event) is TurnComplete]
            if turns and not closed and any(type(event) is ResumptionUpdated for event in events[turns[0] :]):
                machine.close()
                closed = True
            if data := machine.data_to_send():
                sock.sendall(data)
            elif machine.state is not ConnectionState.CLOSED and machine.wants.read:
                if received := sock.recv(65536):
                    machine.receive_data(received)
                else:
                    machine.receive_eof()
    return events


def main(url: str, port: int, name: str, text: str) -> None:
    store = RedisStore.from_url(url)
    endpoint = Endpoint.custom(
        f"ws://127.0.0.1:{port}/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        headers={"x-goog-api-key": "key"},
    )
    policy = ReconnectPolicy()
    store.claim(KEY, name, ttl=60)
    loaded = store.load(KEY)
    if loaded is None:
        version = None
        machine = PersistentConnection.client(endpoint, CONFIG, model="m", policy=policy)
    else:
        snapshot, version = loaded
        machine = PersistentConnection.restore(snapshot, endpoint, CONFIG, model="m", policy=policy)
    events = talk(machine, port, text)
    store.save(KEY, machine.snapshot(), expected=version, owner=name)
    store.release(KEY, name)
    resumed = [event.resumed for event in events if isinstance(event, Reconnected)]
    print(resumed, "".join(event.text for event in events if isinstance(event, TextChunk)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
