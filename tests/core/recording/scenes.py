"""A recorded conversation with everything in it, made in memory: emulated model, slow wire, simulated clock."""

from __future__ import annotations

import functools
import io
from collections import deque
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from live_protocol.audio import wav
from live_protocol.connection import LiveConnection
from live_protocol.emulator import Call, EmulatedConnection, Emulator, EmulatorOptions, ModelAction, Say, UserTurn, Wait
from live_protocol.endpoint import Endpoint
from live_protocol.events import ResumptionUpdated, SetupComplete, ToolCallRequested
from live_protocol.messages import Content, Part
from live_protocol.recording import Recorder, TraceReader, TraceRecord

HANDLE_CANARY = "CANARY-HANDLE-0123456789"
KEY_CANARY = "AIzaCANARY0123456789CANARY0123456789CAN"
HOSTILE = "</script><script>document.title='BROKEN'</script><img src=x onerror=alert(1)> & \u2028 ]]> <!--"

CONFIG: dict[str, Any] = {
    "response_modalities": ["AUDIO"],
    "input_audio_transcription": {},
    "output_audio_transcription": {},
    "session_resumption": {},
    "tools": [{"function_declarations": [{"name": "get_weather", "description": "Weather."}]}],
}
STORY = "Once upon a time there was an old captain who sailed the northern sea with a parrot on his shoulder. " * 2


class Narrator:
    """Thinks before it speaks."""

    def on_text(self, turn: UserTurn) -> Iterable[ModelAction]:
        yield Wait(0.35)
        if "weather" in turn.text:
            yield Call("get_weather", {"city": "Oslo"})
        elif "story" in turn.text:
            yield Say(STORY)
        else:
            yield Say(f"You wrote: {turn.text}")

    def on_speech(self, turn: UserTurn) -> Iterable[ModelAction]:
        yield Wait(0.42)
        yield Say("I heard you well. How can I help you today?")

    def on_tool_response(self, turn: UserTurn) -> Iterable[ModelAction]:
        yield Wait(0.2)
        yield Say("In Oslo there is snow, and it is four degrees below zero.")


class World:
    """Both ends, a wire that takes time, and the clock. Steps are 10 ms."""

    def __init__(self, sink: io.BytesIO, *, delay: float = 0.03) -> None:
        self.now = 5000.0
        self.delay = delay
        self.recorder = Recorder(sink, info={"made_by": "a test"})
        self.emulator = Emulator(Narrator(), options=EmulatorOptions(speed=2.5, setup_delay=0.15, silence_ms=400))
        self.events: list[Any] = []
        self.handle: str | None = None

    def connect(self, **config: Any) -> None:
        self.client = LiveConnection.client(
            Endpoint.gemini(api_key=KEY_CANARY), {**CONFIG, **config}, model="gemini-3.8-live", observer=self.recorder
        )
        self.server: EmulatedConnection = self.emulator.connection()
        self.up: deque[tuple[float, bytes]] = deque()
        self.down: deque[tuple[float, bytes]] = deque()
        self.until(SetupComplete)

    def step(self) -> list[Any]:
        self.now += 0.01
        new: list[Any] = []
        for machine in (self.client, self.server):
            machine.advance(self.now)
        for queue, target in ((self.up, self.server), (self.down, self.client)):
            while queue and queue[0][0] <= self.now:
                target.receive_data(queue.popleft()[1])
        while list(self.server.events()):
            pass
        for event in self.client.events():
            new.append(event)
            if isinstance(event, ResumptionUpdated) and event.handle:
                self.handle = event.handle
        if data := self.client.data_to_send():
            self.up.append((self.now + self.delay, data))
        if data := self.server.data_to_send():
            self.down.append((self.now + self.delay, data))
        self.events += new
        return new

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.01)):
            self.step()

    def until(self, kind: type[Any], limit: float = 30.0) -> Any:
        for _ in range(round(limit / 0.01)):
            for event in self.step():
                if isinstance(event, kind):
                    return event
        raise AssertionError(f"no {kind.__name__}")

    def say(self, text: str) -> None:
        self.client.send_client_content(Content(role="user", parts=[Part(text=text)]))

    def speak(self, pcm: bytes, rate: int = 16_000) -> None:
        for start in range(0, len(pcm), rate // 5):
            self.client.send_realtime_input(audio=pcm[start : start + rate // 5], rate=rate)
            self.wait(0.1)


def speech() -> tuple[int, bytes]:
    with files("live_transports.cli").joinpath("speech.wav").open("rb") as file:
        form, pcm = wav.read_wav(file)
    return form.rate, pcm


def play(world: World) -> None:
    """Speech, text, a tool call, a barge-in, a lost connection, a hostile text, an orderly end."""
    world.connect()
    world.wait(0.4)
    rate, pcm = speech()
    world.speak(pcm + bytes(2 * rate * 6 // 10), rate)
    world.wait(3.2)
    world.client.ping(b"1")
    world.say("Hello there")
    world.wait(2.6)
    world.say("What is the weather in Oslo?")
    call = world.until(ToolCallRequested).call
    world.wait(0.7)
    world.client.send_tool_response({"id": call.id, "name": call.name, "response": {"output": "snow, -4 degrees"}})
    world.wait(4.5)
    world.client.ping(b"2")
    world.say("Tell me a story")
    world.wait(2.5)
    world.say("Stop, please.")
    world.wait(2.5)
    world.client.transport_failed("connection reset")
    world.server.receive_eof()
    world.wait(0.05)
    world.now += 1.3
    world.connect(session_resumption={"handle": world.handle})
    world.say(HOSTILE)
    world.wait(4.0)
    world.client.ping(b"3")
    world.wait(6.5)
    world.client.close(1000, "bye")
    world.wait(0.3)


@functools.cache
def recorded() -> bytes:
    sink = io.BytesIO()
    world = World(sink)
    play(world)
    assert world.recorder.error is None
    return sink.getvalue()


def records() -> list[TraceRecord]:
    return list(TraceReader(recorded()).records())
